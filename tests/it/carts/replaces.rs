//! A hold that replaces another: the old one goes back and the new one is taken, or nothing changes.

use holdfast::config::Config;
use holdfast::domain::{AdminToken, Role};
use serde_json::{Value, json};

use super::{body, cart, items, products, refused, reserved};
use crate::support::{Answer, Client, Shop, mint, with};

/// Tries to replace a hold by these lines.
pub(super) async fn replace(client: &Client, old: &str, lines: &[(i64, i64)]) -> Answer {
    client.post("/api/holds", &with(&body(lines), json!({ "replaces": old }))).await
}

#[tokio::test]
async fn a_replacement_counts_the_units_of_the_old_hold_as_available() {
    let shop = Shop::open().await;
    let [one, other, third] = products(&shop, 3).await;
    let client = shop.serve_without_workers().await;
    let mut old = cart(&client, &[(one, 3), (other, 2)]).await;
    for (lines, expected) in [
        // the same, fewer, more of a part of it, other products with smaller and larger ids, one line alone
        (&[(one, 3), (other, 2)][..], [3, 2, 0]),
        (&[(one, 1), (other, 2)], [1, 2, 0]),
        (&[(one, 2), (other, 3)], [2, 3, 0]),
        (&[(third, 3)], [0, 0, 3]),
        (&[(one, 3)], [3, 0, 0]),
        (&[(other, 1), (third, 1)], [0, 1, 1]),
        (&[(one, 3), (other, 3), (third, 3)], [3, 3, 3]),
        (&[(one, 3), (other, 3), (third, 3)], [3, 3, 3]),
    ] {
        let new = replace(&client, &old, lines).await.expect(201);
        let expected_items: Vec<_> = lines.iter().map(|&(product_id, qty)| (product_id, qty, 4999)).collect();
        assert_eq!(items(&new), expected_items);
        assert_eq!(reserved(&shop, &[one, other, third]).await, expected, "{lines:?}");
        assert_eq!(client.hold_status(&old).await, "released");
        old = new.text("hold_id");
        shop.assert_conserved().await;
    }
    let single = json!({ "product_id": one, "qty": 2, "replaces": old });
    let single = client.post("/api/holds", &single).await.expect(201);
    assert_eq!((items(&single), single.body["qty"].as_i64()), (vec![(one, 2, 4999)], Some(2)));
    client.order(&single.text("hold_id")).await;
    assert_eq!(reserved(&shop, &[one, other, third]).await, [2, 0, 0]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_replacement_that_cannot_be_had_leaves_the_old_hold() {
    let shop = Shop::open().await;
    let [one, other, third] = products(&shop, 3).await;
    shop.execute(&format!("UPDATE products SET currency = 'USD' WHERE id = {third}")).await;
    let client = shop.serve_without_workers().await;
    let old = cart(&client, &[(one, 2)]).await;
    client.hold(other, 2).await;
    let kept = client.get(&format!("/api/holds/{old}")).await.expect(200).text("expires_at");
    for (lines, status, code, lines_refused) in [
        (&[(one, 4), (other, 1)][..], 409, "sold_out", 1),
        (&[(one, 3), (other, 2)], 409, "all_held", 1),
        (&[(one, 4), (other, 2)], 409, "sold_out", 2),
        (&[(one, 1), (third + 1000, 1)], 404, "product_not_found", 1),
        (&[(one, 11)], 422, "invalid_quantity", 1),
        (&[(one, 1), (third, 1)], 422, "mixed_currencies", 0),
    ] {
        let answer = replace(&client, &old, lines).await;
        answer.refused(status, code);
        if lines_refused > 0 {
            assert_eq!(refused(&answer).len(), lines_refused, "{answer:?}");
        }
        let hold = client.get(&format!("/api/holds/{old}")).await.expect(200);
        assert_eq!((hold.text("status").as_str(), hold.text("expires_at")), ("active", kept.clone()));
        assert_eq!(reserved(&shop, &[one, other, third]).await, [2, 2, 0]);
    }
    client.order(&old).await;
    shop.assert_conserved().await;
}

#[tokio::test]
async fn only_an_active_hold_is_replaced() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 9).await;
    let client = shop.serve_without_workers().await;
    let take = async || cart(&client, &[(one, 1), (other, 1)]).await;
    let [released, expired, marked] = [take().await, take().await, take().await];
    client.release(&released).await.expect(200);
    shop.let_hold_run_out(&marked).await;
    client.app.checkout.expire_holds().await.expect("the step runs");
    shop.let_hold_run_out(&expired).await;
    let ordered = take().await;
    let order_id = client.order(&ordered).await;
    let lines = [(one, 1), (other, 2)];
    replace(&client, &mint(), &lines).await.refused(404, "hold_not_found");
    replace(&client, &released, &lines).await.refused(409, "hold_released");
    replace(&client, &expired, &lines).await.refused(409, "hold_expired");
    replace(&client, &marked, &lines).await.refused(409, "hold_expired");
    assert_eq!(replace(&client, &ordered, &lines).await.refused(409, "hold_used").body["order_id"], order_id);
    // the expired hold that no worker has seen still has its units
    assert_eq!(reserved(&shop, &[one, other]).await, [2, 2]);
    client.app.checkout.expire_holds().await.expect("the step runs");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn only_a_hold_of_the_same_client_and_buyer_is_replaced() {
    const OPERATOR: &str = "an-operators-token-of-these-tests";
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 99).await;
    let config = Config { admin_token: AdminToken::new(OPERATOR), ..shop.config() };
    let api = shop.serve_without_workers_as(config).await;
    let mut tokens = Vec::new();
    for name in ["a-shop", "another-shop"] {
        let (_, token) = api.app.checkout.add_client("a test", name, Role::Storefront).await.expect("a new name");
        tokens.push(token.reveal().to_owned());
    }
    let send = async |token: Option<usize>, buyer: Option<&str>, more: Value| {
        let request = api.request("POST", "/api/holds").json(&with(&body(&[(one, 1), (other, 1)]), more));
        let request = match token {
            Some(token) => request.bearer_auth(&tokens[token]),
            None => request,
        };
        api.send(match buyer {
            Some(buyer) => request.header("holdfast-buyer", buyer),
            None => request,
        })
        .await
    };
    let owners = [
        (None, None),
        (None, Some("b")),
        (Some(0), None),
        (Some(0), Some("b")),
        (Some(0), Some("c")),
        (Some(1), Some("b")),
    ];
    for (owner, &(token, buyer)) in owners.iter().enumerate() {
        let hold_id = send(token, buyer, json!({})).await.expect(201).text("hold_id");
        let replaces = json!({ "replaces": hold_id });
        for (place, &(token, buyer)) in owners.iter().enumerate() {
            if place != owner {
                let answer = send(token, buyer, replaces.clone()).await;
                answer.refused(404, "hold_not_found");
            }
        }
        let unnarrowed = with(&replaces, json!({ "buyer": buyer }));
        send(token, None, unnarrowed).await.expect(201);
    }
    assert_eq!(reserved(&shop, &[one, other]).await, [6, 6]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_replacement_with_a_key_is_safe_to_repeat() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 3).await;
    let instances = [shop.serve_without_workers().await, shop.serve_without_workers().await];
    let old = cart(&instances[0], &[(one, 2), (other, 3)]).await;
    let request = with(&body(&[(one, 3), (other, 3)]), json!({ "replaces": old }));
    let copies = (0..40).map(|place| {
        let (client, request) = (instances[place % 2].client.clone(), request.clone());
        async move { client.post_keyed("/api/holds", "replace", &request).await }
    });
    let answers = crate::support::together(copies).await;
    let first = answers[0].clone().expect(201).text("hold_id");
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.text("hold_id") == first), "{answers:?}");
    let later = instances[0].post_keyed("/api/holds", "replace", &request).await.expect(201);
    assert_eq!((later.is_replayed(), later.text("hold_id")), (true, first));
    instances[0].post_keyed("/api/holds", "other", &request).await.refused(409, "hold_released");
    assert_eq!(reserved(&shop, &[one, other]).await, [3, 3]);
    shop.assert_conserved().await;
}
