//! A commit whose response is lost takes effect once: the service finds its own rows, and the client gets its response.

use serde_json::{Value, json};

use crate::idempotency::{HOLDS, ORDERS, WEBHOOK, assert_replays};
use crate::support::proxy::{Action, Rule};
use crate::support::{Answer, Bare, Client, Shop, mint};

const CUTS: [Action; 2] = [Action::CutAfter, Action::CutBefore];

/// Sends a request and cuts the COMMIT after `skip` others; the client does not notice.
async fn post_cut(client: &Bare, cut: Action, skip: usize, path: &str, key: Option<&str>, body: &Value) -> Answer {
    let rule = client.proxy.on(Rule::exactly("COMMIT").skip(skip), cut);
    let answer = match key {
        Some(key) => client.post_keyed(path, key, body).await,
        None => client.post(path, body).await,
    };
    assert_eq!(rule.hits(), 1, "{cut:?} of the COMMIT after {skip} others: {answer:?}");
    assert!(!answer.is_replayed(), "the client sent one request: {answer:?}");
    answer
}

#[tokio::test]
async fn a_hold_whose_commit_is_cut_is_one_hold() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = shop.serve_without_workers().await;
    let body = json!({ "product_id": product_id, "qty": 1 });
    let mut made = 0;
    for (cut, key) in CUTS.into_iter().zip(["after", "before"]).flat_map(|(cut, key)| [(cut, None), (cut, Some(key))]) {
        let answer = post_cut(&client, cut, 0, HOLDS, key, &body).await.expect(201);
        made += 1;
        assert_eq!(answer.text("status"), "active");
        assert_eq!(client.hold_status(&answer.text("hold_id")).await, "active");
        assert_eq!((shop.count("SELECT COUNT(*) FROM holds").await, shop.reserved(product_id).await), (made, made));
        if let Some(key) = key {
            assert_replays(&client.post_keyed(HOLDS, key, &body).await, &answer);
        }
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_last_unit_is_held_although_the_commit_is_cut() {
    let shop = Shop::open().await;
    let client = shop.serve_without_workers().await;
    for cut in CUTS {
        let product_id = shop.product(1).await;
        let body = json!({ "product_id": product_id, "qty": 1 });
        post_cut(&client, cut, 0, HOLDS, None, &body).await.expect(201);
        assert_eq!(client.available(product_id).await, 0);
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_order_whose_commit_is_cut_is_one_order() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = shop.serve_without_workers().await;
    let mut made = 0;
    for (cut, key) in CUTS.into_iter().flat_map(|cut| [(cut, None), (cut, Some("key"))]) {
        let body = json!({ "hold_id": client.hold(product_id, 1).await });
        let key = key.map(|key| format!("{key}-{cut:?}"));
        let answer = post_cut(&client, cut, 0, ORDERS, key.as_deref(), &body).await.expect(201);
        made += 1;
        assert_eq!(answer.text("status"), "pending");
        assert_eq!(client.trail(&answer.text("order_id")).await.len(), 1);
        assert_eq!(shop.count("SELECT COUNT(*) FROM orders").await, made);
        if let Some(key) = key {
            assert_replays(&client.post_keyed(ORDERS, &key, &body).await, &answer);
        }
    }
    shop.assert_conserved().await;
}

/// Takes a hold and parks a payment for it; an order of the hold is paid before the response. Returns the order's body.
pub(crate) async fn paid_hold(client: &Client, product_id: i64, event: &str) -> Value {
    let hold_id = client.hold(product_id, 1).await;
    client.webhook(&json!({ "hold_id": hold_id, "status": "paid", "idempotency_key": event })).await.expect(202);
    json!({ "hold_id": hold_id })
}

#[tokio::test]
async fn the_response_to_an_order_with_a_waiting_payment_says_paid_whichever_commit_is_cut() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = shop.serve_without_workers().await;
    // the commits of the order, of the payment, and of the recorded response
    for (cut, skip) in CUTS.into_iter().flat_map(|cut| [(cut, 0), (cut, 1), (cut, 2)]) {
        let key = format!("{cut:?}-{skip}");
        let body = paid_hold(&client, product_id, &key).await;
        let answer = post_cut(&client, cut, skip, ORDERS, Some(&key), &body).await.expect(201);
        assert_eq!(answer.text("status"), "paid", "{key}");
        assert_replays(&client.post_keyed(ORDERS, &key, &body).await, &answer);
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_event_whose_commit_is_cut_is_one_event() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = shop.serve_without_workers().await;
    for cut in CUTS {
        for status in ["paid", "failed"] {
            let (_, order_id) = client.hold_and_order(product_id, 1).await;
            let body = json!({ "order_id": order_id, "status": status, "idempotency_key": format!("{cut:?}{status}") });
            let answer = post_cut(&client, cut, 0, WEBHOOK, None, &body).await.expect(200);
            assert_eq!(answer.text("status"), "processed");
            assert_eq!(client.trail(&order_id).await.len(), 2);
            assert_eq!(client.webhook(&body).await.expect(200).text("status"), "duplicate");
        }
        let (order_id, hold_id) = (mint(), client.hold(product_id, 1).await);
        let early = json!({ "order_id": order_id, "status": "paid", "idempotency_key": format!("{cut:?}") });
        let answer = post_cut(&client, cut, 0, WEBHOOK, None, &early).await.expect(202);
        assert_eq!(answer.text("status"), "pending_order");
        let placed = client.try_order_as(&hold_id, &order_id).await.expect(201);
        assert_eq!((placed.text("status").as_str(), client.trail(&order_id).await.len()), ("paid", 2));
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM payment_events").await, 6);
    assert_eq!(shop.reserved(product_id).await, 4);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_release_or_a_cancellation_whose_commit_is_cut_gives_units_back_once() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = shop.serve_without_workers().await;
    client.hold(product_id, 5).await;
    for cut in CUTS {
        let hold_id = client.hold(product_id, 2).await;
        let release = client.proxy.on(Rule::exactly("COMMIT"), cut);
        assert_eq!(client.release(&hold_id).await.expect(200).text("status"), "released");
        assert_eq!(shop.reserved(product_id).await, 5);

        let (_, order_id) = client.hold_and_order(product_id, 2).await;
        let cancel = client.proxy.on(Rule::exactly("COMMIT"), cut);
        assert_eq!(client.cancel(&order_id).await.expect(200).text("status"), "cancelled");
        assert_eq!(client.trail(&order_id).await.len(), 2);
        assert_eq!(shop.reserved(product_id).await, 5);
        assert_eq!((release.hits(), cancel.hits()), (1, 1));
    }
    shop.assert_conserved().await;
}
