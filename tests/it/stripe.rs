//! Stripe's webhook: its events are verified, and read with the meaning that Stripe gives them.

use holdfast::config::Config;
use holdfast::domain::signature::Secrets;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::signatures::{hmac, now};
use crate::support::shop::Instance;
use crate::support::{Answer, Client, Shop, mint, with};

pub(crate) const STRIPE: &str = "/api/payments/webhook/stripe";
pub(crate) const SECRET: &str = "whsec_5WbX5kEWLlfzsGNjH64I8lOOqUB6e8FH";

/// Returns the signature header that Stripe sends with this body.
pub(crate) fn header(secret: &str, at: i64, body: &str) -> String {
    let code = hmac(secret.as_bytes(), format!("{at}.{body}").as_bytes());
    let hex: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={at},v1={hex},v0={}", "0".repeat(64))
}

pub(crate) fn request(client: &Client, header: &str, body: &str) -> RequestBuilder {
    let request = client.request("POST", STRIPE).header("content-type", "application/json; charset=utf-8");
    request.header("stripe-signature", header).body(body.to_owned())
}

/// Delivers an event as Stripe does.
pub(crate) async fn deliver(client: &Client, event: &Value) -> Answer {
    let body = event.to_string();
    client.send(request(client, &header(SECRET, now(), &body), &body)).await
}

fn event(id: &str, kind: &str, object: Value) -> Value {
    json!({
        "id": id, "object": "event", "api_version": "2025-01-27.acacia", "created": 1_767_323_045, "type": kind,
        "data": { "object": object }, "livemode": false, "pending_webhooks": 1, "request": { "id": null },
    })
}

/// A PaymentIntent for one unit, as Stripe writes it.
fn intent(order_id: &str) -> Value {
    json!({
        "id": "pi_1", "object": "payment_intent", "amount": 4999, "amount_received": 4999, "currency": "eur",
        "metadata": { "order_id": order_id }, "latest_charge": "ch_1", "status": "succeeded",
    })
}

/// The charge of that PaymentIntent.
fn charge(order_id: &str, refunded: u64) -> Value {
    json!({
        "id": "ch_1", "object": "charge", "amount": 4999, "amount_refunded": refunded, "currency": "eur",
        "payment_intent": "pi_1", "metadata": { "order_id": order_id }, "refunded": refunded == 4999,
    })
}

impl Shop {
    /// An instance that accepts Stripe's signatures with [`SECRET`] and with another secret.
    pub(crate) async fn serve_stripe(&self) -> Instance {
        let secrets = Secrets::stripe(&format!("another secret, {SECRET}")).expect("secrets");
        Instance::start(Config { stripe_secrets: Some(secrets), ..self.config() }).await
    }

    /// Returns provider, key, charge, amount, currency and state of every event.
    async fn inbox(&self) -> Vec<[String; 6]> {
        let columns = "provider, idempotency_key, txn_id, amount, currency, CAST(status AS CHAR)";
        let rows: Vec<(String, String, String, String, String, String)> =
            self.rows(&format!("SELECT {columns} FROM payment_events ORDER BY id")).await;
        rows.into_iter().map(|(a, b, c, d, e, f)| [a, b, c, d, e, f]).collect()
    }
}

/// A shop with one order, and an instance that accepts Stripe's events.
async fn shop_with_order() -> (Shop, Instance, String) {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let instance = shop.serve_stripe().await;
    let (_, order_id) = instance.hold_and_order(product_id, 1).await;
    (shop, instance, order_id)
}

#[tokio::test]
async fn a_stripe_payment_pays_its_order_once() {
    let (shop, client, order_id) = shop_with_order().await;
    let succeeded = event("evt_1", "payment_intent.succeeded", intent(&order_id));
    let answer = deliver(&client, &succeeded).await.expect(200);
    assert_eq!((answer.text("status"), answer.text("order_status")), ("processed".to_owned(), "paid".to_owned()));
    let again = deliver(&client, &succeeded).await.expect(200);
    assert_eq!((again.text("status"), &again.body["event_id"]), ("duplicate".to_owned(), &answer.body["event_id"]));
    assert_eq!(shop.inbox().await, [["stripe", "evt_1", "pi_1", "49.99", "eur", "applied"]]);

    let refunded = event("evt_2", "charge.refunded", charge(&order_id, 4999));
    assert_eq!(deliver(&client, &refunded).await.expect(200).text("order_status"), "refunded");
    assert_eq!(shop.inbox().await[1], ["stripe", "evt_2", "pi_1", "49.99", "eur", "applied"]);
    assert_eq!(shop.row::<String>("SELECT provider_timestamp FROM payment_events LIMIT 1").await, "1767323045");
    let other = event("evt_1", "payment_intent.payment_failed", intent(&order_id));
    deliver(&client, &other).await.refused(422, "idempotency_key_reuse");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_cancelled_intent_cancels_its_order_and_an_event_may_name_the_hold_instead() {
    let (shop, client, order_id) = shop_with_order().await;
    let failed = with(&intent(&order_id), json!({ "amount_received": 0 }));
    let failed = event("evt_1", "payment_intent.canceled", failed);
    assert_eq!(deliver(&client, &failed).await.expect(200).text("order_status"), "cancelled");
    assert_eq!(shop.inbox().await[0][3], "49.99", "the amount that was to be paid");

    let (hold_id, order_id) = (client.hold(1, 1).await, mint());
    let by_hold = with(&intent(&order_id), json!({ "metadata": { "hold_id": hold_id, "colour": "red" } }));
    let early = event("evt_2", "payment_intent.succeeded", by_hold);
    assert_eq!(deliver(&client, &early).await.expect(202).text("status"), "pending_order");
    assert_eq!(client.try_order_as(&hold_id, &order_id).await.expect(201).text("status"), "paid");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_amount_received_counts_and_a_charge_without_an_intent_has_its_own_id() {
    let (shop, client, order_id) = shop_with_order().await;
    let short = with(&intent(&order_id), json!({ "amount_received": 4998 }));
    let answer = deliver(&client, &event("evt_1", "payment_intent.succeeded", short)).await.expect(200);
    assert_eq!(answer.text("status"), "quarantined");
    let old = with(&intent(&order_id), json!({ "amount_received": null }));
    let answer = deliver(&client, &event("evt_2", "payment_intent.succeeded", old)).await.expect(200);
    assert_eq!(answer.text("order_status"), "paid");
    let alone = with(&charge(&order_id, 1000), json!({ "payment_intent": null }));
    deliver(&client, &event("evt_3", "charge.refunded", alone)).await;
    let inbox = shop.inbox().await;
    assert_eq!(inbox[0][2..4], ["pi_1", "49.98"]);
    assert_eq!(inbox[2][2..4], ["ch_1", "10.00"]);
}

#[tokio::test]
async fn amounts_are_read_in_the_unit_that_stripe_uses_for_their_currency() {
    let (shop, client, _) = shop_with_order().await;
    let cases = [
        ("JPY", 5000, "jpy", 5000_u64, "paid"),
        ("ISK", 50, "isk", 5000, "paid"),
        ("UGX", 50, "ugx", 5000, "paid"),
        ("MGA", 5000, "mga", 50, "paid"),
        ("KWD", 5120, "kwd", 5120, "paid"),
        ("HUF", 1000, "huf", 1000, "paid"),
        ("ISK", 50, "isk", 5050, "pending"),
        ("JPY", 5000, "jpy", 500_000, "pending"),
        ("EUR", 5000, "usd", 5000, "pending"),
        ("EUR", 5000, "qqq", 5000, "pending"),
        ("QQQ", 5000, "qqq", 5000, "pending"),
        ("EUR", 5000, "€", 5000, "pending"),
        ("EUR", 5000, "eur", u64::MAX, "pending"),
        ("EUR", 5000, "eur", 0, "pending"),
    ];
    for (number, (order_currency, price_minor, currency, amount, order_status)) in cases.into_iter().enumerate() {
        shop.execute(&format!(
            "UPDATE products SET price_minor = {price_minor}, currency = '{order_currency}', stock = 50"
        ))
        .await;
        let (_, order_id) = client.hold_and_order(1, 1).await;
        let charged = with(
            &intent(&order_id),
            json!({ "id": format!("pi_{number}"), "amount_received": amount, "currency": currency }),
        );
        let event = event(&format!("evt_{number}"), "payment_intent.succeeded", charged);
        let answer = deliver(&client, &event).await.expect(200);
        let what = format!("{amount} {currency} for {price_minor} {order_currency}: {answer:?}");
        assert_eq!(answer.text("order_status"), order_status, "{what}");
        assert_eq!(answer.text("status"), if order_status == "paid" { "processed" } else { "quarantined" }, "{what}");
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn events_of_other_types_are_acknowledged_and_not_stored() {
    let (shop, client, order_id) = shop_with_order().await;
    for kind in
        ["payment_intent.created", "charge.dispute.created", "charge.failed", "invoice.paid", "", "Charge.Refunded"]
    {
        for object in [intent(&order_id), json!({ "id": 1, "amount": -1.5, "metadata": [] }), json!(null)] {
            let answer = deliver(&client, &event("evt_1", kind, object)).await.expect(200);
            assert_eq!(answer.body, json!({ "status": "ignored" }), "{kind}");
        }
    }
    assert!(shop.inbox().await.is_empty());
    assert_eq!(client.order_status(&order_id).await, "pending");
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_refused() {
    let (shop, client, order_id) = shop_with_order().await;
    let wrong = [
        json!({ "metadata": { "order_id": 1234 } }),
        json!({ "metadata": "none" }),
        json!({ "amount": null, "amount_received": null }),
        json!({ "amount_received": -1 }),
        json!({ "amount_received": 49.99 }),
        json!({ "amount_received": "4999" }),
        json!({ "currency": null }),
        json!({ "currency": "" }),
        json!({ "currency": "a currency" }),
        json!({ "id": null }),
        json!({ "id": "p".repeat(256) }),
    ];
    for change in wrong {
        let answer =
            deliver(&client, &event("evt_1", "payment_intent.succeeded", with(&intent(&order_id), change))).await;
        answer.refused(422, "invalid_body");
    }
    for id in [json!(null), json!(1), json!(""), json!("e v t"), json!("e".repeat(256))] {
        let event = with(&event("evt_1", "payment_intent.succeeded", intent(&order_id)), json!({ "id": id }));
        deliver(&client, &event).await.refused(422, "invalid_body");
    }
    let huge = event("evt_1", "payment_intent.succeeded", intent(&order_id)).to_string();
    let huge = huge.replace("\"amount_received\":4999", "\"amount_received\":184467440737095516160");
    let answer = client.send(request(&client, &header(SECRET, now(), &huge), &huge)).await;
    answer.refused(422, "invalid_body");
    assert!(shop.inbox().await.is_empty());
}

#[tokio::test]
async fn an_event_without_a_valid_stripe_signature_is_refused() {
    let (shop, client, order_id) = shop_with_order().await;
    let body = event("evt_1", "payment_intent.succeeded", intent(&order_id)).to_string();
    let right = header(SECRET, now(), &body);
    let refused = [
        String::new(),
        "t=,v1=".to_owned(),
        right.replace("v1", "v0"),
        right.replace("t=", "t=+"),
        right.replace("t=", "t=0"),
        header("whsec_another", now(), &body),
        header("", now(), &body),
        header("off", now(), &body),
        header(SECRET, now() - 301, &body),
        header(SECRET, now() + 330, &body),
        header(SECRET, i64::MIN, &body),
        header(SECRET, i64::MAX, &body),
        header(SECRET, now(), &body.replace("evt_1", "evt_2")),
    ];
    for header in refused {
        let answer = client.send(request(&client, &header, &body)).await;
        assert_eq!((answer.status, answer.code()), (401, "invalid_signature"), "{header}");
        assert_eq!(answer.header("www-authenticate"), "Stripe-Signature");
    }
    let unsigned = client.post_raw(STRIPE, "application/json", body.clone()).await;
    unsigned.refused(401, "invalid_signature");
    let twice = request(&client, &right, &body).header("stripe-signature", &right);
    client.send(twice).await.refused(401, "invalid_signature");
    for position in 0..right.find(",v0").expect("a v0") {
        let mut damaged = right.clone().into_bytes();
        damaged[position] ^= 1;
        let damaged = String::from_utf8(damaged).expect("text");
        let answer = client.send(request(&client, &damaged, &body)).await;
        assert_eq!((answer.status, answer.code()), (401, "invalid_signature"), "{damaged}");
    }
    assert!(shop.inbox().await.is_empty());
    let by_older_secret = header("another secret", now() - 240, &body);
    client.send(request(&client, &by_older_secret, &body)).await.expect(200);
    client.send(request(&client, &right, &body)).await.expect(200);
    assert_eq!(shop.inbox().await.len(), 1);
}

#[tokio::test]
async fn without_a_stripe_secret_the_route_does_not_exist() {
    let (shop, _, client) = Shop::selling(1).await;
    let body = event("evt_1", "payment_intent.succeeded", intent(&mint())).to_string();
    for header in ["", &header("", now(), &body), &header("off", now(), &body)] {
        client.send(request(&client, header, &body)).await.refused(404, "not_found");
    }
    client.post_raw(STRIPE, "text/plain", "x").await.refused(404, "not_found");
    assert!(shop.inbox().await.is_empty());
}

#[tokio::test]
async fn the_same_key_at_two_providers_is_two_events() {
    let (shop, client, order_id) = shop_with_order().await;
    deliver(&client, &event("evt_1", "payment_intent.succeeded", intent(&order_id))).await.expect(200);
    let other = json!({ "order_id": order_id, "status": "paid", "idempotency_key": "evt_1", "txn_id": "pi_1" });
    client.webhook(&other).await.expect(200);
    let providers: Vec<String> = shop.rows("SELECT provider FROM payment_events ORDER BY id").await;
    assert_eq!(providers, ["stripe", "default"]);
}

#[tokio::test]
async fn a_success_without_a_charge_counts_as_the_known_charge_only_at_the_same_provider() {
    for (at_stripe, expected) in [(true, "refund_due"), (false, "ignored")] {
        let (shop, client, order_id) = shop_with_order().await;
        let nameless = |key: &str| json!({ "order_id": order_id, "status": "paid", "idempotency_key": key });
        match at_stripe {
            true => deliver(&client, &event("evt_1", "payment_intent.succeeded", intent(&order_id))).await.expect(200),
            false => client.webhook(&nameless("first")).await.expect(200),
        };
        let answer = client.webhook(&nameless("second")).await.expect(200);
        assert_eq!((answer.text("status"), answer.text("order_status")), (expected.to_owned(), "paid".to_owned()));
        shop.assert_conserved().await;
    }
}
