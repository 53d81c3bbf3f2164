//! Seats are free again exactly once when their hold or order ends, and a late payment takes the same ones again or none.

use serde_json::{Value, json};

use super::held::{agrees, best, hold, named, row_of, seats};
use super::{map, office, row, standing, ticket_type};
use crate::support::{Answer, Bare, Shop, mint};

async fn report(client: &Bare, order_id: &str, status: &str, txn_id: &str) -> Answer {
    let event = json!({
        "order_id": order_id, "status": status, "idempotency_key": mint(), "txn_id": txn_id, "restock": status == "refunded",
    });
    client.webhook(&event).await
}

async fn patch(client: &Bare, hold_id: &str, body: Value) -> Answer {
    client.send(client.request("PATCH", &format!("/api/holds/{hold_id}")).json(&body)).await
}

/// Ends a hold in this way; the second time, it has ended already.
async fn end(shop: &Shop, client: &Bare, way: &str, hold_id: &str, order_id: &str) {
    match way {
        "release" => drop(client.release(hold_id).await.expect(200)),
        "expiry" => {
            shop.let_hold_run_out(hold_id).await;
            while client.app.checkout.expire_holds().await.expect("a worker's step") {}
        }
        "cancel" => drop(client.cancel(order_id).await.expect(200)),
        "overdue" => {
            shop.let_order_run_out(order_id).await;
            while client.app.checkout.cancel_overdue_orders().await.expect("a worker's step") {}
        }
        "failure" => drop(report(client, order_id, "failed", order_id).await.expect(200)),
        _ => drop(report(client, order_id, "refunded", order_id).await.expect(200)),
    }
}

#[tokio::test]
async fn seats_are_free_again_exactly_once_whatever_ended_their_hold() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = row_of(&client, 4).await;
    for way in ["release", "expiry", "cancel", "overdue", "failure", "refund"] {
        let hold_id = named(&client, product_id, &["A-1-1", "A-1-2"]).await.expect(201).text("hold_id");
        let order_id = match way {
            "release" | "expiry" => String::new(),
            _ => client.order(&hold_id).await,
        };
        if way == "refund" {
            report(&client, &order_id, "paid", &order_id).await.expect(200);
            assert_eq!(map(&client, event_id).await, ["A-1 1s 2s 3f 4f"]);
        }
        assert_eq!(agrees(&shop, product_id).await, 2, "{way}");
        end(&shop, &client, way, &hold_id, &order_id).await;
        assert_eq!(
            (map(&client, event_id).await, agrees(&shop, product_id).await),
            (vec!["A-1 1f 2f 3f 4f".to_owned()], 0),
            "{way}"
        );
        shop.assert_conserved().await;
        // another buyer has one of them when the same end is asked for again
        let other = named(&client, product_id, &["A-1-2", "A-1-3"]).await.expect(201).text("hold_id");
        end(&shop, &client, way, &hold_id, &order_id).await;
        assert_eq!(
            (map(&client, event_id).await, agrees(&shop, product_id).await),
            (vec!["A-1 1f 2h 3h 4f".to_owned()], 2),
            "{way}"
        );
        shop.assert_conserved().await;
        client.release(&other).await.expect(200);
    }
}

#[tokio::test]
async fn seats_of_a_refund_without_restock_stay_sold() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = row_of(&client, 3).await;
    let held = named(&client, product_id, &["A-1-1", "A-1-2"]).await.expect(201);
    let order_id = client.order(&held.text("hold_id")).await;
    client.pay(&order_id, "paid", "one").await.expect(200);
    client.pay(&order_id, "refunded", "two").await.expect(200);
    assert_eq!(
        (client.order_status(&order_id).await.as_str(), map(&client, event_id).await),
        ("refunded", vec!["A-1 1s 2s 3f".to_owned()])
    );
    named(&client, product_id, &["A-1-2"]).await.refused(409, "seat_taken");
    assert_eq!(agrees(&shop, product_id).await, 2);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_late_payment_takes_the_same_seats_again_if_they_are_free() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = row_of(&client, 5).await;
    let held = named(&client, product_id, &["A-1-4", "A-1-1"]).await.expect(201);
    let order_id = client.order(&held.text("hold_id")).await;
    client.cancel(&order_id).await.expect(200);
    named(&client, product_id, &["A-1-2"]).await.expect(201);
    client.pay(&order_id, "paid", "late").await.expect(200);
    assert_eq!(
        (client.order_status(&order_id).await.as_str(), map(&client, event_id).await),
        ("paid", vec!["A-1 1s 2h 3f 4s 5f".to_owned()])
    );
    assert_eq!(agrees(&shop, product_id).await, 3);
    let order = client.get(&format!("/api/orders/{order_id}")).await.expect(200);
    assert_eq!(seats(&order), ["A-1-1", "A-1-4"]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_late_payment_is_due_for_refund_when_another_buyer_has_one_of_its_seats() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = row_of(&client, 5).await;
    let admission = ticket_type(&client, event_id, &standing()).await;
    let items =
        json!([{ "product_id": product_id, "seats": ["A-1-1", "A-1-2"] }, { "product_id": admission, "qty": 2 }]);
    let order_id = client.order(&hold(&client, items).await.expect(201).text("hold_id")).await;
    client.cancel(&order_id).await.expect(200);
    let other = named(&client, product_id, &["A-1-2"]).await.expect(201);
    let event = client.pay(&order_id, "paid", "late").await.expect(200);
    assert_eq!((&event.body["status"], &event.body["order_status"]), (&json!("refund_due"), &json!("cancelled")));
    assert_eq!(
        (map(&client, event_id).await, shop.reserved(admission).await),
        (vec!["A-1 1f 2h 3f 4f 5f".to_owned()], 0)
    );
    assert_eq!((agrees(&shop, product_id).await, seats(&other)), (1, vec!["A-1-2".to_owned()]));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_same_key_gives_the_same_seats() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, product_id) = row_of(&client, 9).await;
    let best = json!({ "items": [{ "product_id": product_id, "qty": 2, "best_available": true }] });
    let named = json!({ "items": [{ "product_id": product_id, "seats": ["A-1-9"] }] });
    let first = client.post_keyed("/api/holds", "best", &best).await.expect(201);
    let other = client.post_keyed("/api/holds", "named", &named).await.expect(201);
    for (key, body, before) in [("best", &best, &first), ("named", &named, &other)] {
        let again = client.post_keyed("/api/holds", key, body).await.expect(201);
        assert!(again.is_replayed());
        assert_eq!((again.text("hold_id"), seats(&again)), (before.text("hold_id"), seats(before)));
    }
    // other seats, or the same ones in another way, are another request
    let others = [
        json!([{ "product_id": product_id, "seats": ["A-1-8"] }]),
        json!([{ "product_id": product_id, "qty": 1, "best_available": true }]),
    ];
    for items in others {
        let answer = client.post_keyed("/api/holds", "named", &json!({ "items": items })).await;
        answer.refused(422, "idempotency_key_reuse");
    }
    let split = json!({ "items": [{ "product_id": product_id, "qty": 2, "best_available": true, "split": false }] });
    client.post_keyed("/api/holds", "best", &split).await.refused(422, "idempotency_key_reuse");
    assert_eq!(agrees(&shop, product_id).await, 3);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_that_gives_up_its_line_of_seats_frees_these_and_no_others() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = row_of(&client, 4).await;
    let balcony = ticket_type(&client, event_id, &super::stalls()).await;
    super::add_seats(&client, balcony, &row("B", "1", json!(3))).await.expect(201);
    let items = json!([{ "product_id": product_id, "seats": ["A-1-1", "A-1-3"] }, { "product_id": balcony, "seats": ["B-1-2"] }]);
    let hold_id = hold(&client, items).await.expect(201).text("hold_id");
    named(&client, product_id, &["A-1-4"]).await.expect(201);
    // fewer seats of a type would not say which
    let fewer = json!({ "items": [{ "product_id": product_id, "qty": 1 }] });
    patch(&client, &hold_id, fewer).await.refused(422, "invalid_change");
    assert_eq!(map(&client, event_id).await, ["A-1 1h 2f 3h 4h", "B-1 1f 2h 3f"]);
    let without = json!({ "items": [{ "product_id": product_id, "qty": 0 }] });
    for _ in 0..2 {
        patch(&client, &hold_id, without.clone()).await.expect(200);
        assert_eq!(map(&client, event_id).await, ["A-1 1f 2f 3f 4h", "B-1 1f 2h 3f"]);
    }
    assert_eq!((agrees(&shop, product_id).await, agrees(&shop, balcony).await), (1, 1));
    shop.assert_conserved().await;
    // the rest goes its way
    let order_id = client.order(&hold_id).await;
    client.pay(&order_id, "paid", "key").await.expect(200);
    assert_eq!(map(&client, event_id).await, ["A-1 1f 2f 3f 4h", "B-1 1f 2s 3f"]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_of_one_type_cannot_be_left_with_fewer_seats() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = row_of(&client, 3).await;
    let hold_id = best(&client, product_id, 2, false).await.expect(201).text("hold_id");
    let before = map(&client, event_id).await;
    patch(&client, &hold_id, json!({ "qty": 1 })).await.refused(422, "invalid_change");
    patch(&client, &hold_id, json!({ "qty": 2 })).await.expect(200);
    assert_eq!((map(&client, event_id).await, agrees(&shop, product_id).await), (before, 2));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_that_is_replaced_by_one_without_seats_frees_them() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = row_of(&client, 3).await;
    let admission = ticket_type(&client, event_id, &standing()).await;
    let old = named(&client, product_id, &["A-1-1", "A-1-2"]).await.expect(201).text("hold_id");
    named(&client, product_id, &["A-1-3"]).await.expect(201);
    let body = json!({ "items": [{ "product_id": admission, "qty": 2 }], "replaces": old });
    client.post("/api/holds", &body).await.expect(201);
    assert_eq!((map(&client, event_id).await, agrees(&shop, product_id).await), (vec!["A-1 1f 2f 3h".to_owned()], 1));
    assert_eq!((shop.reserved(admission).await, client.hold_status(&old).await.as_str()), (2, "released"));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_buyer_gets_the_seats_of_holds_that_have_run_out() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = row_of(&client, 4).await;
    let old = named(&client, product_id, &["A-1-1", "A-1-2"]).await.expect(201).text("hold_id");
    named(&client, product_id, &["A-1-2"]).await.refused(409, "seat_taken");
    shop.let_holds_run_out().await;
    // enough others are free, so that their units alone would not be asked for
    assert_eq!(seats(&named(&client, product_id, &["A-1-2"]).await.expect(201)), ["A-1-2"]);
    assert_eq!(
        (client.hold_status(&old).await.as_str(), map(&client, event_id).await),
        ("expired", vec!["A-1 1f 2h 3f 4f".to_owned()])
    );
    shop.let_holds_run_out().await;
    assert_eq!(seats(&best(&client, product_id, 4, false).await.expect(201)).len(), 4);
    assert_eq!(agrees(&shop, product_id).await, 4);
    shop.assert_conserved().await;
}
