//! Payment events: delivered any number of times, in any order, before or after their order.

mod dev;
mod meetings;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::proxy::{Action, Rule};
use crate::support::{Answer, Client, Shop, binary, mint, together, with};

/// A success of the whole amount for one unit, under the key `key`.
fn success(order_id: &str) -> Value {
    json!({
        "order_id": order_id, "status": "paid", "idempotency_key": "key", "amount": "49.99", "currency": "EUR",
        "txn_id": format!("txn {order_id}"),
    })
}

fn deliver(client: &Client, body: Value) -> JoinHandle<Answer> {
    let client = client.clone();
    tokio::spawn(async move { client.webhook(&body).await })
}

/// Returns the HTTP status, the outcome of the delivery, and the state of its order.
fn outcome(answer: &Answer) -> (u16, &str, &str) {
    let word = |field: &str| answer.body[field].as_str().unwrap_or_default();
    (answer.status, word("status"), word("order_status"))
}

impl Shop {
    async fn events(&self) -> i64 {
        self.count("SELECT COUNT(*) FROM payment_events").await
    }

    async fn deliveries(&self) -> i64 {
        self.count("SELECT CAST(SUM(deliveries) AS SIGNED) FROM payment_events").await
    }

    async fn event_status(&self, key: &str) -> String {
        self.row(&format!("SELECT status FROM payment_events WHERE idempotency_key = '{key}'")).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_event_fifty_times_at_once_has_one_effect() {
    let shop = Shop::open().await;
    let product_id = shop.product(2).await;
    let instances = [shop.serve().await, shop.serve().await];
    for (status, order_status) in [("paid", "paid"), ("failed", "cancelled")] {
        let (_, order_id) = instances[0].hold_and_order(product_id, 1).await;
        let event = with(&success(&order_id), json!({ "status": status, "idempotency_key": status }));
        let copies = (0..50).map(|copy| (instances[copy % 2].client.clone(), event.clone()));
        let answers = together(copies.map(|(client, event)| async move { client.webhook(&event).await })).await;

        let (processed, duplicates): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.body["status"] == "processed");
        assert_eq!((processed.len(), duplicates.len()), (1, 49), "{answers:?}");
        for duplicate in duplicates {
            assert_eq!(outcome(duplicate), (200, "duplicate", order_status));
            assert_eq!(duplicate.body["event_status"], "applied");
            assert_eq!(duplicate.body["event_id"], processed[0].body["event_id"]);
        }
        assert_eq!(instances[1].trail(&order_id).await.len(), 2, "its creation and one effect");
    }
    assert_eq!((shop.events().await, shop.deliveries().await), (2, 100));
    assert_eq!(shop.reserved(product_id).await, 1);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_key_comes_from_the_header_or_the_body_and_both_must_agree() {
    let (shop, product_id, client) = Shop::selling(2).await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let in_body = success(&order_id);
    let bare = with(&in_body, json!({ "idempotency_key": null }));
    let path = "/api/payments/webhook";
    assert_eq!(outcome(&client.post_keyed(path, "key", &bare).await), (200, "processed", "paid"));
    assert_eq!(outcome(&client.webhook(&in_body).await), (200, "duplicate", "paid"));
    assert_eq!(outcome(&client.post_keyed(path, "key", &in_body).await), (200, "duplicate", "paid"));
    client.post_keyed(path, "Key", &in_body).await.refused(422, "idempotency_key_mismatch");
    client.post_keyed(path, "kéy", &bare).await.refused(400, "invalid_idempotency_key");
    let unnamed = with(&bare, json!({ "txn_id": null }));
    client.webhook(&unnamed).await.refused(400, "idempotency_key_required");
    assert_eq!((shop.events().await, shop.deliveries().await), (1, 3));
}

#[tokio::test]
async fn an_event_without_a_key_is_known_by_its_transaction_and_its_meaning() {
    let (shop, product_id, client) = Shop::selling(2).await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let event = with(&success(&order_id), json!({ "idempotency_key": null }));
    assert_eq!(outcome(&client.webhook(&event).await), (200, "processed", "paid"));
    for word in ["success", "succeeded"] {
        let copy = with(&event, json!({ "status": word }));
        assert_eq!(outcome(&client.webhook(&copy).await), (200, "duplicate", "paid"));
    }
    let failure = with(&event, json!({ "status": "failed" }));
    assert_eq!(outcome(&client.webhook(&failure).await), (200, "ignored", "paid"), "another meaning: another event");
    let other = with(&event, json!({ "txn_id": "TXN" }));
    assert_eq!(
        outcome(&client.webhook(&other).await),
        (200, "refund_due", "paid"),
        "another transaction: another event"
    );
    assert_eq!((shop.events().await, shop.deliveries().await), (3, 5));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_key_stands_for_one_event() {
    let (shop, product_id, client) = Shop::selling(2).await;
    let (hold_id, order_id) = client.hold_and_order(product_id, 1).await;
    let (_, other_order) = client.hold_and_order(product_id, 1).await;
    let event = success(&order_id);
    client.webhook(&event).await.expect(200);
    let others = [
        json!({ "status": "failed" }),
        json!({ "status": "refunded" }),
        json!({ "order_id": other_order }),
        json!({ "hold_id": hold_id }),
        json!({ "order_id": null, "hold_id": hold_id }),
        json!({ "amount": "49.98" }),
        json!({ "amount": null }),
        json!({ "currency": "USD" }),
        json!({ "currency": null }),
        json!({ "txn_id": "Txn" }),
        json!({ "txn_id": null }),
    ];
    for change in others {
        client.webhook(&with(&event, change)).await.refused(422, "idempotency_key_reuse");
    }
    assert_eq!((shop.events().await, shop.deliveries().await), (1, 1));
    assert_eq!(client.order_status(&order_id).await, "paid");
    assert_eq!(client.order_status(&other_order).await, "pending");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_retry_may_differ_in_fields_that_do_not_matter() {
    let (shop, product_id, client) = Shop::selling(2).await;
    shop.execute("UPDATE products SET price_minor = 10000").await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let event = with(&success(&order_id), json!({ "amount": 100 }));
    assert_eq!(outcome(&client.webhook(&event).await), (200, "processed", "paid"));
    let copies = [
        json!({ "timestamp": 1_767_323_045, "correlation_id": "c-2" }),
        json!({ "metadata": { "attempt": 2, "nested": [1, { "a": null }] } }),
        json!({ "webhook_source": "elsewhere" }),
        json!({ "status": "success", "currency": "eur" }),
        json!({ "order_id": null, "order_uuid": order_id }),
        json!({ "amount": "100.00" }),
        json!({ "amount": "1e2" }),
    ];
    for change in copies {
        assert_eq!(
            outcome(&client.webhook(&with(&event, change.clone())).await),
            (200, "duplicate", "paid"),
            "{change}"
        );
    }
    let text = event.to_string().replace("\"amount\":100", "\"amount\":100.0");
    let answer = client.post_raw("/api/payments/webhook", "application/json", text).await;
    assert_eq!(outcome(&answer), (200, "duplicate", "paid"), "a number is read digit by digit");
    assert_eq!((shop.events().await, client.trail(&order_id).await.len()), (1, 2));
}

#[tokio::test]
async fn an_event_that_cannot_be_understood_is_refused_and_not_stored() {
    let (shop, product_id, client) = Shop::selling(2).await;
    let (hold_id, order_id) = client.hold_and_order(product_id, 1).await;
    let event = success(&order_id);
    for word in ["PAID", "pending", "", "refund"] {
        client.webhook(&with(&event, json!({ "status": word }))).await.refused(422, "unknown_status");
    }
    client.webhook(&with(&event, json!({ "order_uuid": mint() }))).await.refused(422, "order_reference_mismatch");
    client.webhook(&with(&event, json!({ "order_id": null }))).await.refused(422, "order_reference_required");
    assert_eq!(shop.events().await, 0);

    let by_both_names = with(&event, json!({ "order_uuid": order_id, "hold_id": hold_id }));
    assert_eq!(outcome(&client.webhook(&by_both_names).await), (200, "processed", "paid"));
}

#[tokio::test]
async fn an_event_may_name_the_hold_instead_of_the_order() {
    let (shop, product_id, client) = Shop::selling(3).await;
    let (hold_id, order_id) = client.hold_and_order(product_id, 1).await;
    let by_hold = with(&success(&order_id), json!({ "order_id": null, "hold_id": hold_id }));
    assert_eq!(outcome(&client.webhook(&by_hold).await), (200, "processed", "paid"));

    let hold_id = client.hold(product_id, 1).await;
    let early = json!({ "hold_id": hold_id, "status": "paid", "idempotency_key": "early" });
    assert_eq!(outcome(&client.webhook(&early).await), (202, "pending_order", ""));
    assert_eq!(client.try_order(&hold_id).await.expect(201).text("status"), "paid");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_and_an_order_that_do_not_belong_together_are_quarantined() {
    let (shop, product_id, client) = Shop::selling(3).await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let (other_hold, other_order) = client.hold_and_order(product_id, 1).await;
    let unused_hold = client.hold(product_id, 1).await;
    for (number, hold_id) in [&other_hold, &unused_hold, &mint()].into_iter().enumerate() {
        let event = with(&success(&order_id), json!({ "hold_id": hold_id, "idempotency_key": number.to_string() }));
        assert_eq!(client.webhook(&event).await.expect(200).text("status"), "quarantined");
    }
    let order_unknown = with(&success(&mint()), json!({ "hold_id": other_hold, "idempotency_key": "unknown" }));
    assert_eq!(client.webhook(&order_unknown).await.expect(200).text("status"), "quarantined");
    for order_id in [&order_id, &other_order] {
        assert_eq!(client.order_status(order_id).await, "pending");
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_event_that_comes_before_its_order_takes_effect_when_the_order_is_made() {
    let shop = Shop::open().await;
    let product_id = shop.product(2).await;
    let client = shop.serve_without_workers().await;
    for (word, order_status, reason) in
        [("paid", "paid", "payment_succeeded"), ("failed", "cancelled", "payment_failed")]
    {
        let (hold_id, order_id) = (client.hold(product_id, 1).await, mint());
        let event = with(&success(&order_id), json!({ "status": word, "idempotency_key": word }));
        assert_eq!(outcome(&client.webhook(&event).await), (202, "pending_order", ""));
        assert_eq!(outcome(&client.webhook(&event).await), (200, "duplicate", ""));
        assert_eq!(shop.event_status(word).await, "parked");

        assert_eq!(client.try_order_as(&hold_id, &order_id).await.expect(201).text("status"), order_status);
        assert_eq!(client.order_status(&order_id).await, order_status);
        let trail = client.transitions(&order_id).await;
        assert_eq!(trail, [">pending:created".to_owned(), format!("pending>{order_status}:{reason}")]);
        assert_eq!(outcome(&client.webhook(&event).await), (200, "duplicate", order_status));
        assert_eq!(shop.event_status(word).await, "applied");
    }
    assert_eq!(shop.reserved(product_id).await, 1);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn of_several_events_that_wait_the_successes_are_applied_first() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let client = shop.serve_without_workers().await;
    let (hold_id, order_id) = (client.hold(product_id, 1).await, mint());
    let by_hold = json!({ "order_id": null, "hold_id": hold_id });
    for (key, word, reference) in [
        ("failure", "failed", json!({})),
        ("other failure", "cancelled", by_hold.clone()),
        ("success", "paid", by_hold),
    ] {
        let key = key.replace(' ', "-");
        let event = with(&with(&success(&order_id), json!({ "status": word, "idempotency_key": key })), reference);
        client.webhook(&event).await.expect(202);
    }
    assert_eq!(client.try_order_as(&hold_id, &order_id).await.expect(201).text("status"), "paid");
    for (key, status) in [("success", "applied"), ("failure", "ignored"), ("other-failure", "ignored")] {
        assert_eq!(shop.event_status(key).await, status, "{key}");
    }
    assert_eq!(shop.reserved(product_id).await, 1);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_failure_cancels_the_order_and_gives_its_units_back_once() {
    let (shop, product_id, client) = Shop::selling(5).await;
    let (hold_id, order_id) = client.hold_and_order(product_id, 3).await;
    client.hold(product_id, 2).await;
    assert_eq!(outcome(&client.pay(&order_id, "failure", "k1").await), (200, "processed", "cancelled"));
    assert_eq!(client.available(product_id).await, 3);
    assert_eq!(outcome(&client.pay(&order_id, "cancelled", "k2").await), (200, "ignored", "cancelled"));
    assert_eq!(outcome(&client.pay(&order_id, "failure", "k1").await), (200, "duplicate", "cancelled"));
    client.cancel(&order_id).await.expect(200);
    assert_eq!((client.available(product_id).await, client.hold_status(&hold_id).await.as_str()), (3, "ordered"));
    assert_eq!(client.transitions(&order_id).await, [">pending:created", "pending>cancelled:payment_failed"]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn only_the_first_charge_pays_an_order() {
    let (shop, product_id, client) = Shop::selling(1).await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let event = success(&order_id);
    assert_eq!(outcome(&client.webhook(&event).await), (200, "processed", "paid"));
    let again = [
        (json!({ "idempotency_key": "same-charge" }), "ignored"),
        (json!({ "idempotency_key": "no-name", "txn_id": null }), "ignored"),
        (json!({ "idempotency_key": "second-charge", "txn_id": "TXN" }), "refund_due"),
        (json!({ "idempotency_key": "failure", "status": "failed" }), "ignored"),
        (json!({ "idempotency_key": "other-failure", "status": "failed", "txn_id": "another" }), "ignored"),
    ];
    for (change, expected) in again {
        assert_eq!(outcome(&client.webhook(&with(&event, change)).await), (200, expected, "paid"));
    }
    assert_eq!(shop.event_status("second-charge").await, "refund_due");
    assert_eq!(client.trail(&order_id).await.len(), 2);
    assert_eq!(client.available(product_id).await, 0);
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_charges_at_the_same_moment_one_pays_and_the_other_is_due_for_refund() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let instances = [shop.serve_without_workers().await, shop.serve_without_workers().await];
    let (_, order_id) = instances[0].hold_and_order(product_id, 1).await;
    let charge = |name: &str| with(&success(&order_id), json!({ "idempotency_key": name, "txn_id": name }));
    let commit = instances[0].proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let first = deliver(&instances[0], charge("first"));
    commit.reached().await;
    let second = deliver(&instances[1], charge("second"));
    shop.until_running("orders/mark_all_paid").await;
    commit.release();
    assert_eq!(outcome(&first.await.expect("no panic")), (200, "processed", "paid"));
    assert_eq!(outcome(&second.await.expect("no panic")), (200, "refund_due", "paid"));
    let charge: String =
        shop.row(&format!("SELECT name FROM charges WHERE status = 'paid' AND order_id = {}", binary(&order_id))).await;
    assert_eq!(charge, "first");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_charge_for_a_cancelled_order_is_due_for_refund_if_its_units_are_taken() {
    let (shop, product_id, client) = Shop::selling(2).await;
    let (_, failed) = client.hold_and_order(product_id, 1).await;
    let (_, given_up) = client.hold_and_order(product_id, 1).await;
    client.pay(&failed, "failed", "failure").await.expect(200);
    client.cancel(&given_up).await.expect(200);
    client.hold(product_id, 2).await;
    for (order_id, key) in [(&failed, "late"), (&given_up, "later")] {
        let event = with(&success(order_id), json!({ "idempotency_key": key }));
        assert_eq!(outcome(&client.webhook(&event).await), (200, "refund_due", "cancelled"));
        assert_eq!(shop.event_status(key).await, "refund_due");
        assert_eq!(client.trail(order_id).await.len(), 2);
    }
    assert_eq!(client.available(product_id).await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_event_with_a_wrong_amount_or_currency_is_quarantined() {
    let (shop, product_id, client) = Shop::selling(1).await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let wrong = [
        json!({ "amount": "49.98" }),
        json!({ "amount": 4999 }),
        json!({ "amount": "49.990001" }),
        json!({ "currency": "USD" }),
        json!({ "currency": "XXX", "amount": null }),
        json!({ "status": "failed", "amount": "1" }),
    ];
    for (number, change) in wrong.into_iter().enumerate() {
        let event = with(&with(&success(&order_id), change), json!({ "idempotency_key": format!("wrong-{number}") }));
        assert_eq!(outcome(&client.webhook(&event).await), (200, "quarantined", "pending"), "{event}");
        assert_eq!(outcome(&client.webhook(&event).await), (200, "duplicate", "pending"));
    }
    assert_eq!(client.trail(&order_id).await.len(), 1);
    assert_eq!(outcome(&client.webhook(&success(&order_id)).await), (200, "processed", "paid"));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_success_touches_no_product() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let client = shop.serve_without_workers().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    client.proxy.clear();
    assert_eq!(outcome(&client.webhook(&success(&order_id)).await), (200, "processed", "paid"));
    let statements = client.proxy.statements();
    assert!(statements.iter().any(|text| text.contains("-- orders/mark_all_paid:")), "{statements:#?}");
    assert!(!statements.iter().any(|text| text.contains("products")), "{statements:#?}");
}
