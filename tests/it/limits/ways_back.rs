//! Units leave their counter when they go back on sale, whatever the way, and come to it again with a late payment.

use serde_json::json;

use super::{LIMIT, counted, limited, refused_over_limit, take, taken};
use crate::support::{Bare, Shop, mint};

async fn pay(client: &Bare, order_id: &str, status: &str, txn_id: &str) -> crate::support::Answer {
    let event = json!({
        "order_id": order_id, "status": status, "idempotency_key": mint(), "txn_id": txn_id, "restock": status == "refunded",
    });
    client.webhook(&event).await
}

#[tokio::test]
async fn every_way_back_takes_units_off_their_counter_once() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let client = shop.serve_without_workers().await;
    for way in ["release", "expiry", "cancel", "overdue", "failure", "refund"] {
        let hold_id = taken(&client, product_id, LIMIT, "b").await;
        if way == "release" {
            client.release(&hold_id).await.expect(200);
            client.release(&hold_id).await.expect(200);
        } else if way == "expiry" {
            shop.let_holds_run_out().await;
            while client.app.checkout.expire_holds().await.expect("a worker's step") {}
        } else {
            let order_id = client.order(&hold_id).await;
            assert_eq!(counted(&shop, product_id, "b").await, LIMIT, "an order counts: {way}");
            let txn_id = mint();
            match way {
                "cancel" => drop(client.cancel(&order_id).await.expect(200)),
                "overdue" => {
                    shop.let_orders_run_out().await;
                    while client.app.checkout.cancel_overdue_orders().await.expect("a worker's step") {}
                }
                "failure" => drop(pay(&client, &order_id, "failed", &txn_id).await.expect(200)),
                _ => {
                    pay(&client, &order_id, "paid", &txn_id).await.expect(200);
                    refused_over_limit(&take(&client, product_id, 1, "b").await, LIMIT);
                    pay(&client, &order_id, "refunded", &txn_id).await.expect(200);
                }
            }
        }
        assert_eq!((counted(&shop, product_id, "b").await, shop.reserved(product_id).await), (0, 0), "{way}");
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn a_refund_without_restock_leaves_the_units_with_their_buyer() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let client = shop.serve_without_workers().await;
    let order_id = client.order(&taken(&client, product_id, LIMIT, "b").await).await;
    client.pay(&order_id, "paid", "one").await.expect(200);
    client.pay(&order_id, "refunded", "two").await.expect(200);
    assert_eq!(client.order_status(&order_id).await, "refunded");
    assert_eq!(counted(&shop, product_id, "b").await, LIMIT);
    refused_over_limit(&take(&client, product_id, 1, "b").await, LIMIT);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_late_payment_within_the_limit_counts_again_and_one_beyond_it_is_due_for_refund() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let client = super::operated(&shop).await;
    let late = client.order(&taken(&client, product_id, 3, "b").await).await;
    client.cancel(&late).await.expect(200);
    assert_eq!(counted(&shop, product_id, "b").await, 0);
    let between = taken(&client, product_id, 2, "b").await;
    let event = client.pay(&late, "paid", "late").await.expect(200);
    assert_eq!((&event.body["status"], &event.body["order_status"]), (&json!("refund_due"), &json!("cancelled")));
    assert_eq!((counted(&shop, product_id, "b").await, shop.reserved(product_id).await), (2, 2));
    let path = format!("/api/admin/payment-events/{}", event.body["event_id"]);
    let shown = client.send(client.request("GET", &path).bearer_auth(super::OPERATOR)).await.expect(200);
    let why = &shown.body["event"]["quarantine"];
    assert_eq!(*why, json!({ "reason": "buyer_limit", "expected": "at most 4 units", "got": "5 units" }));
    shop.assert_conserved().await;

    client.release(&between).await.expect(200);
    let other = client.order(&taken(&client, product_id, 4, "b").await).await;
    client.cancel(&other).await.expect(200);
    client.pay(&other, "paid", "in-time").await.expect(200);
    assert_eq!((client.order_status(&other).await.as_str(), counted(&shop, product_id, "b").await), ("paid", 4));
    refused_over_limit(&take(&client, product_id, 1, "b").await, 4);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_late_payment_is_not_refused_because_of_a_hold_of_the_buyer_that_has_run_out() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let client = shop.serve_without_workers().await;
    let late = client.order(&taken(&client, product_id, 3, "b").await).await;
    client.cancel(&late).await.expect(200);
    taken(&client, product_id, 2, "b").await;
    shop.let_holds_run_out().await;
    client.pay(&late, "paid", "late").await.expect(200);
    assert_eq!((client.order_status(&late).await.as_str(), counted(&shop, product_id, "b").await), ("paid", 3));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_buyer_is_not_refused_because_of_a_hold_that_has_run_out() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let client = shop.serve_without_workers().await;
    taken(&client, product_id, LIMIT, "b").await;
    shop.let_holds_run_out().await;
    taken(&client, product_id, LIMIT, "b").await;
    assert_eq!((counted(&shop, product_id, "b").await, shop.reserved(product_id).await), (LIMIT, LIMIT));
    shop.assert_conserved().await;
}
