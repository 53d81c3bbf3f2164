//! A request that is sent again, with a key and without, and one whose COMMIT has no answer.

use serde_json::{Value, json};

use super::{add_seats, concert, event, hall, id, keyed, map, office, organizer, row, seated, send, stalls, standing};
use crate::support::proxy::{Action, Rule};
use crate::support::{Client, Shop, with};

/// A path, a body, another body, and what counts what they make.
async fn requests(client: &Client) -> Vec<(String, Value, Value, &'static str)> {
    let (event_id, product_id) = hall(client).await;
    let organizer_id = organizer(client).await;
    vec![
        (
            "/api/admin/organizers".to_owned(),
            json!({ "name": "A|b" }),
            json!({ "name": "A" }),
            "SELECT COUNT(*) FROM organizers",
        ),
        (
            "/api/admin/events".to_owned(),
            concert(organizer_id),
            with(&concert(organizer_id), json!({ "venue": "Other" })),
            "SELECT COUNT(*) FROM events",
        ),
        (format!("/api/admin/events/{event_id}/ticket-types"), stalls(), standing(), "SELECT COUNT(*) FROM products"),
        (
            format!("/api/admin/ticket-types/{product_id}/seats"),
            row("A", "1", json!(3)),
            row("A", "1", json!(4)),
            "SELECT COUNT(*) FROM seats",
        ),
    ]
}

/// Returns an answer without the time of its read.
fn same(body: &Value) -> Value {
    with(body, json!({ "server_time": null }))
}

#[tokio::test]
async fn a_request_with_a_key_is_applied_once_and_answered_alike() {
    let shop = Shop::open().await;
    let (client, other) = (office(&shop).await, office(&shop).await);
    for (path, body, different, count) in requests(&client).await {
        let first = keyed(&client, &path, "key", &body).await.expect(201);
        assert!(!first.is_replayed());
        let made = shop.count(count).await;
        for api in [&client, &other] {
            let again = keyed(api, &path, "key", &body).await.expect(201);
            assert!(again.is_replayed(), "{path}");
            assert_eq!((same(&again.body), again.header("location")), (same(&first.body), first.header("location")));
            keyed(api, &path, "key", &different).await.refused(422, "idempotency_key_reuse");
        }
        keyed(&client, &path, "a b", &body).await.refused(400, "invalid_idempotency_key");
        assert_eq!(shop.count(count).await, made, "{path}");
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn without_a_key_only_seats_and_skus_are_safe_to_repeat() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    for (path, body, _, count) in requests(&client).await {
        let before = shop.count(count).await;
        let first = send(&client, &path, &body).await.expect(201);
        let again = send(&client, &path, &body).await;
        if path.ends_with("seats") {
            again.refused(409, "seat_exists");
            assert_eq!(shop.count(count).await, before + 3);
        } else {
            assert_ne!(id(&again.expect(201)), id(&first));
            assert_eq!(shop.count(count).await, before + 2);
        }
    }
}

#[tokio::test]
async fn a_commit_without_an_answer_makes_one_of_each() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let requests = requests(&client).await;
    for with_key in [false, true] {
        for (place, action) in [Action::CutBefore, Action::CutAfter].into_iter().enumerate() {
            for (path, body, _, count) in &requests {
                let body = match path.ends_with("seats") {
                    true => row(&format!("{with_key}"), &format!("{place}"), json!(3)),
                    false => body.clone(),
                };
                let before = shop.count(count).await;
                let rule = client.proxy.on(Rule::exactly("COMMIT"), action);
                let key = format!("key {place}").replace(' ', "-");
                let made = match with_key {
                    true => keyed(&client, path, &key, &body).await,
                    false => send(&client, path, &body).await,
                };
                assert!(!made.expect(201).is_replayed(), "{path}");
                assert_eq!(rule.hits(), 1);
                let more = if path.ends_with("seats") { 3 } else { 1 };
                assert_eq!(shop.count(count).await, before + more, "{path} {action:?}");
                if with_key {
                    assert!(keyed(&client, path, &key, &body).await.expect(201).is_replayed());
                }
            }
        }
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn two_requests_with_one_key_at_once_on_two_instances_make_one() {
    let shop = Shop::open().await;
    let (one, other) = (office(&shop).await, office(&shop).await);
    for (path, body, _, count) in requests(&one).await {
        let before = shop.count(count).await;
        // both have found no such key
        let held = one.proxy.on("-- idempotency_keys/insert:", Action::PauseBefore);
        let (first, second) = tokio::join!(keyed(&one, &path, "key", &body), async {
            held.reached().await;
            let second = keyed(&other, &path, "key", &body).await;
            held.release();
            second
        });
        let (first, second) = (first.expect(201), second.expect(201));
        assert_eq!((first.is_replayed(), second.is_replayed()), (true, false), "{path}");
        assert_eq!(same(&first.body), same(&second.body));
        let more = if path.ends_with("seats") { 3 } else { 1 };
        assert_eq!(shop.count(count).await, before + more, "{path}");
    }
}

#[tokio::test]
async fn a_copy_of_a_request_for_seats_tells_the_stock_as_it_is_now() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = hall(&client).await;
    let path = format!("/api/admin/ticket-types/{product_id}/seats");
    keyed(&client, &path, "key", &row("A", "1", json!(2))).await.expect(201);
    add_seats(&client, product_id, &row("B", "1", json!(1))).await.expect(201);
    let again = keyed(&client, &path, "key", &row("A", "1", json!(2))).await.expect(201);
    assert_eq!(again.body, json!({ "product_id": product_id, "seats": 2, "stock": 3 }));
    assert_eq!((seated(&shop, product_id).await, map(&client, event_id).await.len()), (3, 2));
    event(&client, json!({})).await;
}
