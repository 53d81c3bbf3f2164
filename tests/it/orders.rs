//! Holds become orders, orders end, and a request that comes too late gets a refusal that names the reason.

use serde_json::{Value, json};

use crate::support::{Answer, Shop, mint, together, with};

const UNKNOWN_ID: &str = "018f3c4e-0000-7000-8000-000000000000";

/// Splits the answers into those with this status and the others.
pub(crate) fn split(answers: Vec<Answer>, status: u16) -> (Vec<Answer>, Vec<Answer>) {
    answers.into_iter().partition(|answer| answer.status == status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_requests_to_order_one_hold_give_one_order_and_a_refusal_that_names_it() {
    let shop = Shop::open().await;
    let product_id = shop.product(30).await;
    let instances = [shop.serve().await, shop.serve().await];
    for _ in 0..20 {
        let hold_id = instances[0].hold(product_id, 1).await;
        let buyers = instances.iter().map(|instance| (instance.client.clone(), hold_id.clone()));
        let answers = together(buyers.map(|(client, hold_id)| async move { client.try_order(&hold_id).await })).await;
        let (made, refused) = split(answers, 201);
        assert_eq!((made.len(), refused.len()), (1, 1), "{made:?} {refused:?}");
        refused[0].refused(409, "hold_used");
        assert_eq!(refused[0].text("order_id"), made[0].text("order_id"));
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders").await, 20);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn twenty_releases_at_once_give_the_units_back_once() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let client = shop.serve_without_workers().await;
    let [kept, released] = [client.hold(product_id, 2).await, client.hold(product_id, 3).await];
    let answers = together((0..20).map(|_| {
        let (client, released) = (client.client.clone(), released.clone());
        async move { client.release(&released).await }
    }));
    for answer in answers.await {
        assert_eq!(answer.expect(200).text("status"), "released");
    }
    assert_eq!(client.release(&released).await.expect(200).text("status"), "released");
    assert_eq!(shop.reserved(product_id).await, 2);
    client.try_order(&released).await.refused(409, "hold_released");
    assert_eq!(client.hold_status(&kept).await, "active");
    client.release(UNKNOWN_ID).await.refused(404, "hold_not_found");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn releasing_a_hold_that_ran_out_is_no_error_and_gives_no_units_back_twice() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let client = shop.serve_without_workers().await;
    let hold_id = client.hold(product_id, 5).await;
    shop.let_holds_run_out().await;
    assert_eq!(client.release(&hold_id).await.expect(200).text("status"), "expired");
    assert_eq!(shop.reserved(product_id).await, 5, "the expiry gives the units back, not the release");
    client.app.checkout.expire_holds().await.expect("the step runs");
    assert_eq!(client.release(&hold_id).await.expect(200).text("status"), "expired");
    assert_eq!(shop.reserved(product_id).await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_that_was_ordered_cannot_be_released() {
    let (shop, product_id, client) = Shop::selling(2).await;
    let (hold_id, order_id) = client.hold_and_order(product_id, 2).await;
    let refusal = client.release(&hold_id).await;
    assert_eq!(refusal.refused(409, "hold_used").text("order_id"), order_id);
    assert_eq!((client.order_status(&order_id).await.as_str(), client.available(product_id).await), ("pending", 0));
    client.cancel(&order_id).await.expect(200);
    client.release(&hold_id).await.refused(409, "hold_used");
    assert_eq!(client.available(product_id).await, 2);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refused_order_names_the_reason() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = shop.serve_without_workers().await;
    client.try_order(UNKNOWN_ID).await.refused(404, "hold_not_found");
    client.cancel(UNKNOWN_ID).await.refused(404, "order_not_found");
    client.get(&format!("/api/orders/{UNKNOWN_ID}")).await.refused(404, "order_not_found");
    client.get(&format!("/api/orders/{UNKNOWN_ID}/events")).await.refused(404, "order_not_found");

    let expired = client.hold(product_id, 1).await;
    shop.let_holds_run_out().await;
    client.try_order(&expired).await.refused(409, "hold_expired");
    client.app.checkout.expire_holds().await.expect("the step runs");
    client.try_order(&expired).await.refused(409, "hold_expired");
    assert_eq!(client.hold_status(&expired).await, "expired");

    let (used, order_id) = client.hold_and_order(product_id, 1).await;
    for order_again in [None, Some(mint()), Some(order_id.clone())] {
        let refusal = match order_again {
            None => client.try_order(&used).await,
            Some(id) => client.try_order_as(&used, &id).await,
        };
        assert_eq!(refusal.refused(409, "hold_used").text("order_id"), order_id);
    }
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_may_choose_the_id_of_its_order_and_only_one_order_gets_it() {
    let (shop, product_id, client) = Shop::selling(40).await;
    for _ in 0..10 {
        let order_id = mint();
        let holds = [client.hold(product_id, 1).await, client.hold(product_id, 1).await];
        let buyers = holds.clone().map(|hold_id| (client.client.clone(), hold_id, order_id.clone()));
        let orders = buyers.map(|(client, hold, order)| async move { client.try_order_as(&hold, &order).await });
        let answers = together(orders).await;
        let loser = answers.iter().position(|answer| answer.status == 409).expect("one is refused");
        answers[loser].refused(409, "order_id_taken");
        let made = answers[1 - loser].clone().expect(201);
        assert_eq!((made.text("order_id"), made.text("hold_id")), (order_id.clone(), holds[1 - loser].clone()));
        assert_eq!(made.header("location"), format!("/api/orders/{order_id}"));
        assert_eq!(
            client.hold_status(&holds[loser]).await,
            "active",
            "the refused hold can be ordered under another id"
        );
        client.order(&holds[loser]).await;
    }
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_cancels_at_once_give_the_units_back_once() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let instances = [shop.serve().await, shop.serve().await];
    let (_, other) = instances[0].hold_and_order(product_id, 4).await;
    let (_, order_id) = instances[0].hold_and_order(product_id, 3).await;
    let cancels = (0..50).map(|number| (instances[number % 2].client.clone(), order_id.clone()));
    for answer in together(cancels.map(|(client, order_id)| async move { client.cancel(&order_id).await })).await {
        assert_eq!(answer.expect(200).text("status"), "cancelled");
    }
    assert_eq!(instances[0].cancel(&order_id).await.expect(200).text("status"), "cancelled");
    assert_eq!(shop.reserved(product_id).await, 4);
    assert_eq!(instances[0].transitions(&order_id).await, [">pending:created", "pending>cancelled:buyer_cancelled"]);
    assert_eq!(instances[0].order_status(&other).await, "pending");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_paid_order_cannot_be_cancelled() {
    let (shop, product_id, client) = Shop::selling(1).await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    client.pay(&order_id, "paid", "k").await.expect(200);
    client.cancel(&order_id).await.refused(409, "order_paid");
    assert_eq!((client.order_status(&order_id).await.as_str(), client.available(product_id).await), ("paid", 0));
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unpaid_order_is_cancelled_once_however_many_workers_see_it() {
    let shop = Shop::open().await;
    let product_id = shop.product(20).await;
    let client = shop.serve_without_workers().await;
    let mut orders = Vec::new();
    for _ in 0..5 {
        orders.push(client.hold_and_order(product_id, 2).await.1);
    }
    client.pay(&orders[0], "paid", "k").await.expect(200);
    shop.let_orders_run_out().await;
    client.pay(&orders[1], "paid", "late").await.expect(200);
    let (_, in_time) = client.hold_and_order(product_id, 1).await;
    let apps = (0..4).map(|_| shop.app());
    for step in together(apps.map(|app| async move { app.checkout.cancel_overdue_orders().await })).await {
        assert!(!step.expect("the step runs"), "one batch is enough for all of them");
    }
    for order_id in &orders[..2] {
        assert_eq!(client.order_status(order_id).await, "paid", "a payment before the step of the worker counts");
    }
    for order_id in &orders[2..] {
        let trail = client.transitions(order_id).await;
        assert_eq!(trail, [">pending:created", "pending>cancelled:payment_overdue"]);
    }
    assert_eq!(client.order_status(&in_time).await, "pending");
    assert_eq!(shop.reserved(product_id).await, 2 * 2 + 1);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_trail_shows_what_happened_to_an_order_and_what_the_provider_reported() {
    let (shop, product_id, client) = Shop::selling(2).await;
    let (_, order_id) = client.hold_and_order(product_id, 2).await;
    let said = json!({
        "txn_id": "txn-é", "amount": "99.980", "currency": "eur", "timestamp": "2026-01-02T03:04:05+02:00",
        "webhook_source": "till 7", "correlation_id": "c-1",
    });
    let mut event_ids = Vec::new();
    for (status, key) in [("succeeded", "k1"), ("failed", "ignored"), ("refunded", "k2")] {
        let event = json!({ "order_id": order_id, "status": status, "idempotency_key": key });
        let answer = client.webhook(&with(&event, said.clone())).await.expect(200);
        event_ids.push(answer.body["event_id"].clone());
    }

    let trail = client.trail(&order_id).await;
    assert_eq!(trail.len(), 3, "{trail:?}");
    let created = json!({ "to": "pending", "reason": "created" });
    let paid =
        json!({ "from": "pending", "to": "paid", "reason": "payment_succeeded", "payment_event_id": event_ids[0] });
    let refunded =
        json!({ "from": "paid", "to": "refunded", "reason": "payment_refunded", "payment_event_id": event_ids[2] });
    let mut told = said;
    told["provider_timestamp"] = told["timestamp"].take();
    told["source"] = told["webhook_source"].take();
    let expected = [created, with(&paid, told.clone()), with(&refunded, told)];
    for (row, expected) in trail.iter().zip(expected) {
        assert_eq!(with(row, json!({ "id": null, "at": null })), expected);
    }
    let key = |row: &Value| (row["at"].as_str().expect("a time").to_owned(), row["id"].as_i64().expect("an id"));
    assert!(trail.is_sorted_by_key(key), "oldest first: {trail:?}");
    assert!(trail.iter().all(|row| key(row).0.len() == 27 && key(row).0.ends_with('Z')), "{trail:?}");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_keeps_its_price_when_the_price_of_the_product_changes() {
    let (shop, product_id, client) = Shop::selling(10).await;
    let held = client.try_hold(product_id, 3).await.expect(201);
    shop.execute("UPDATE products SET price_minor = 9999, currency = 'USD'").await;
    let order = client.try_order(&held.text("hold_id")).await.expect(201);
    assert_eq!((order.body["total_minor"].as_i64(), order.text("currency").as_str()), (Some(3 * 4999), "EUR"));
    let items = json!([{ "product_id": product_id, "qty": 3, "unit_price_minor": 4999 }]);
    assert_eq!(order.body["items"], items);
    let payment = json!({
        "order_id": order.text("order_id"), "status": "paid", "idempotency_key": "k", "amount": 149.97, "currency": "EUR",
    });
    assert_eq!(client.webhook(&payment).await.expect(200).text("status"), "processed");
    assert_eq!(client.try_hold(product_id, 1).await.expect(201).body["unit_price_minor"], 9999);
    shop.assert_conserved().await;
}
