//! An event is shown with all that is known about it: the failed check, its deliveries and their answers.

use holdfast::config::Config;
use holdfast::domain::{AdminToken, WebhookMode};
use serde_json::{Value, json};

use super::{TOKEN, open_shop};
use crate::support::proxy::Action;
use crate::support::{Instance, Shop, mint, together, with_policy};

#[tokio::test]
async fn an_event_is_shown_with_everything_that_is_known_about_it() {
    let (shop, product_id, client) = open_shop().await;
    let (hold_id, order_id) = client.hold_and_order(product_id, 1).await;
    let body = json!({
        "order_id": order_id, "status": "paid", "idempotency_key": "the-key", "txn_id": "T-1", "amount": "49.99",
        "currency": "eur", "timestamp": 7, "correlation_id": "c-1", "webhook_source": "somewhere", "metadata": { "a": 1 },
    });
    let request = client.request("POST", "/api/payments/webhook").header("x-request-id", "is-kept").json(&body);
    let event_id = client.send(request).await.expect(200).body["event_id"].as_i64().expect("an id");
    let shown = client.event(event_id).await;
    assert_eq!(serde_json::from_str::<Value>(shown["payload"].as_str().expect("text")).expect("JSON"), body);
    for (field, value) in [
        ("idempotency_key", json!("the-key")),
        ("provider_timestamp", json!("7")),
        ("correlation_id", json!("c-1")),
        ("source", json!("somewhere")),
        ("accepted_amount", json!(false)),
        ("history", json!([])),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    assert!(shown["processing_us"].as_i64().is_some_and(|us| us > 0), "{shown}");
    let headers = shown["headers"].as_array().expect("a list");
    assert!(headers.contains(&json!({ "name": "x-request-id", "value": "is-kept" })), "{shown}");
    let charge = json!({
        "event_id": event_id, "state": "paid", "order_id": order_id, "hold_id": hold_id, "amount_minor": 4999,
        "currency": "EUR", "refunded_minor": 0,
    });
    assert_eq!(shown["charge"], charge);
    let copy = client.report(&order_id, "paid", json!({ "txn_id": "T-1" })).await;
    assert_eq!(client.event(copy).await["charge"], charge, "the charge that the copy names");

    shop.execute(&format!("UPDATE payment_events SET body = x'ff00', txn_id = NULL WHERE id = {copy}")).await;
    let shown = client.event(copy).await;
    assert_eq!((&shown["payload_base64"], &shown["payload"]), (&json!("/wA="), &Value::Null));
    client.ask("payment-events/0").await.refused(404, "payment_event_not_found");
    client.ask("payment-events/x").await.refused(400, "invalid_id");
}

#[tokio::test]
async fn a_quarantined_event_names_the_check_that_failed_and_both_values() {
    let (shop, product_id, client) = open_shop().await;
    let (_, paid) = client.hold_and_order(product_id, 1).await;
    let (other_hold, pending) = client.hold_and_order(product_id, 1).await;
    let (paid_hold, _) = (client.get(&format!("/api/orders/{paid}")).await.text("hold_id"), ());
    client.report(&paid, "paid", json!({ "txn_id": "T-1" })).await;
    client.report(&paid, "paid", json!({ "txn_id": "T-2" })).await;
    let money = |amount: &str, currency: &str| json!({ "amount": amount, "currency": currency });
    let refund = |amount: &str, currency: &str| json!({ "amount": amount, "currency": currency, "txn_id": "T-1" });
    let (one, other) = (format!("order {paid}"), format!("order {pending}"));
    let (one_hold, another_hold) = (format!("hold {paid_hold}"), format!("hold {other_hold}"));
    let cases = [
        (&pending, "paid", money("49.98", "eur"), "amount_mismatch", "49.99 EUR", "49.98 EUR"),
        (&pending, "failed", json!({ "amount": "1" }), "amount_mismatch", "49.99 EUR", "1 EUR"),
        (&pending, "paid", money("49.99", "USD"), "currency_mismatch", "49.99 EUR", "49.99 USD"),
        (&paid, "paid", json!({ "hold_id": other_hold }), "order_reference_mismatch", &one_hold, &another_hold),
        (&pending, "paid", json!({ "txn_id": "T-1" }), "charge_of_another_order", &one, &other),
        (&pending, "refunded", json!({ "txn_id": "T-1" }), "charge_of_another_order", &one, &other),
        (&paid, "refunded", json!({}), "several_charges", "one charge", "2 charges"),
        (&paid, "refunded", refund("50", "EUR"), "refund_exceeds_charge", "at most 49.99 EUR", "50 EUR"),
        (&paid, "refunded", refund("1", "USD"), "refund_currency_mismatch", "EUR", "USD"),
        (&paid, "refunded", refund("-1", "EUR"), "refund_amount_invalid", "an amount in EUR", "-1 EUR"),
    ];
    let mut expected = Vec::new();
    for (order_id, status, more, reason, known, stated) in cases {
        let event_id = client.report(order_id, status, more).await;
        let quarantine = json!({ "reason": reason, "expected": known, "got": stated });
        let shown = client.event(event_id).await["event"].clone();
        assert_eq!((&shown["state"], &shown["quarantine"]), (&json!("quarantined"), &quarantine), "{shown}");
        expected.push((event_id, quarantine));
    }
    let items = client.pages("payment-events?state=quarantined&limit=3").await.concat();
    let listed: Vec<_> =
        items.iter().map(|item| (item["event_id"].as_i64().expect("an id"), item["quarantine"].clone())).collect();
    assert_eq!(listed, expected);

    let wrong = expected[0].0;
    client.act(&format!("payment-events/{wrong}/replay"), json!({ "accept_amount": true })).await.expect(200);
    let shown = client.event(wrong).await["event"].clone();
    assert_eq!(
        (&shown["state"], &shown["quarantine"]),
        (&json!("applied"), &Value::Null),
        "an applied event has no reason"
    );
    shop.execute("DELETE FROM payment_event_quarantines").await;
    let old = client.event(expected[1].0).await["event"].clone();
    assert_eq!(
        (&old["state"], &old["quarantine"]),
        (&json!("quarantined"), &Value::Null),
        "earlier versions stored no reason"
    );
    shop.assert_conserved().await;
}

#[tokio::test]
async fn headers_that_only_earlier_versions_stored_are_not_shown() {
    let (shop, _, client) = open_shop().await;
    let event_id = client.report(&mint(), "paid", json!({})).await;
    let old = "webhook-signature: v1,secret\nx-api-key: secret\nuser-agent: a provider\nx-of-mine: secret\n";
    shop.execute(&format!("UPDATE payment_events SET headers = '{}'", old.replace('\n', "\\n"))).await;
    assert_eq!(client.event(event_id).await["headers"], json!([{ "name": "user-agent", "value": "a provider" }]));
}

/// Returns the number and the answer of each delivery of an event.
fn answers(shown: &Value) -> Vec<(i64, &str)> {
    let answer = |item: &Value| item["number"].as_i64().expect("a number");
    let items = shown["deliveries"].as_array().expect("a list");
    items.iter().map(|item| (answer(item), item["answer"].as_str().expect("a word"))).collect()
}

#[tokio::test]
async fn each_delivery_of_an_event_is_shown_with_its_answer() {
    let (shop, product_id, client) = open_shop().await;
    let (hold_id, order_id) = (client.hold(product_id, 1).await, mint());
    let early = json!({ "order_id": order_id, "status": "paid", "idempotency_key": "early", "txn_id": "T-1" });
    let event_id = client.webhook(&early).await.expect(202).body["event_id"].as_i64().expect("an id");
    client.webhook(&early).await.expect(200);
    client.try_order_as(&hold_id, &order_id).await.expect(201);
    client.webhook(&early).await.expect(200);
    let shown = client.event(event_id).await;
    assert_eq!(answers(&shown), [(1, "pending_order"), (2, "duplicate"), (3, "duplicate")]);
    assert_eq!((&shown["event"]["state"], &shown["event"]["deliveries"]), (&json!("applied"), &json!(3)));

    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    for (status, more, answer) in [
        ("paid", json!({ "amount": "1", "txn_id": "T-2" }), "quarantined"),
        ("paid", json!({ "txn_id": "T-3" }), "processed"),
        ("failed", json!({}), "ignored"),
        ("paid", json!({ "txn_id": "T-4" }), "refund_due"),
        ("refunded", json!({ "txn_id": "T-3" }), "processed"),
    ] {
        let event_id = client.report(&order_id, status, more).await;
        if answer == "refund_due" {
            client.act(&format!("refunds/{event_id}/done"), json!({})).await.expect(200);
        }
        let shown = client.event(event_id).await;
        assert_eq!(answers(&shown), [(1, answer)]);
        assert!(shown["deliveries"][0]["at"].as_str() >= shown["event"]["received_at"].as_str(), "{shown}");
    }

    shop.execute("DELETE FROM payment_event_deliveries").await;
    client.webhook(&early).await.expect(200);
    assert_eq!(answers(&client.event(event_id).await), [(4, "duplicate")], "deliveries without a row are not shown");
}

#[tokio::test]
async fn of_many_deliveries_the_first_and_the_last_are_kept() {
    let (shop, product_id, client) = open_shop().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let event = json!({ "order_id": order_id, "status": "paid", "idempotency_key": "k", "amount": "1" });
    let event_id = client.webhook(&event).await.expect(200).body["event_id"].as_i64().expect("an id");
    let copies = (0..149).map(|_| (client.client.clone(), event.clone()));
    together(copies.map(|(client, event)| async move { client.webhook(&event).await.expect(200) })).await;
    let shown = client.event(event_id).await;
    let expected: Vec<_> = std::iter::once((1, "quarantined")).chain((52..=150).map(|n| (n, "duplicate"))).collect();
    assert_eq!(answers(&shown), expected);
    assert_eq!(shown["event"]["deliveries"], 150, "all of them are counted");
    assert_eq!(shop.count("SELECT COUNT(*) FROM payment_event_deliveries").await, 100);
}

#[tokio::test]
async fn a_queued_delivery_is_shown_as_queued() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let config = Config { admin_token: AdminToken::new(TOKEN), ..shop.config() };
    let client = Instance::start(with_policy(config, |policy| policy.webhook_mode = WebhookMode::Queue)).await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let event_id = client.report(&order_id, "paid", json!({})).await;
    shop.until("SELECT COUNT(*) FROM payment_events WHERE status = 'applied'", 1).await;
    assert_eq!(answers(&client.event(event_id).await), [(1, "queued")]);
}

#[tokio::test]
async fn an_answer_that_changed_before_it_was_sent_is_shown_as_it_was_sent() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let paying = shop.serve_without_workers().await;
    let ordering = Instance::start(Config { admin_token: AdminToken::new(TOKEN), ..shop.config() }).await;
    let (hold_id, order_id) = (ordering.hold(product_id, 1).await, mint());
    let look = paying.proxy.on("-- payment_events/list_waiting_for:", Action::PauseBefore);
    let (client, order) = (paying.client.clone(), order_id.clone());
    let payment = tokio::spawn(async move { client.pay(&order, "paid", "key").await });
    look.reached().await;
    assert_eq!(ordering.try_order_as(&hold_id, &order_id).await.expect(201).text("status"), "paid");
    look.release();
    let answer = payment.await.expect("no panic").expect(200);
    assert_eq!(answer.body["status"], "processed");
    let event_id = answer.body["event_id"].as_i64().expect("an id");
    assert_eq!(answers(&ordering.event(event_id).await), [(1, "processed")]);
}
