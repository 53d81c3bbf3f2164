//! The inbox: an event that cannot be applied at once is applied later, given up, or replayed; none is lost.

use std::sync::Arc;

use holdfast::app::App;
use holdfast::domain::retry::ATTEMPTS;
use holdfast::domain::{EventStatus, Refusal, WebhookMode};
use serde_json::json;

use crate::support::proxy::{Action, Rule};
use crate::support::{Answer, Instance, Shop, mint, together, with_policy};

/// An error that no retry resolves, such as a bug or a damaged row causes.
const POISON: Action = Action::Error(3819, "HY000", "a check constraint is violated");

pub(crate) fn outcome(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["status"].as_str().unwrap_or_default())
}

impl Shop {
    /// Returns the state and the attempts of the event with this key.
    pub(crate) async fn event(&self, key: &str) -> (String, u32) {
        self.row(&format!("SELECT status, attempts FROM payment_events WHERE idempotency_key = '{key}'")).await
    }

    pub(crate) async fn let_events_be_due(&self) {
        self.execute("UPDATE payment_events SET due_at = UTC_TIMESTAMP(6) WHERE due_at IS NOT NULL").await;
    }

    /// Returns the seconds until the next attempt of the only event that waits for one.
    pub(crate) async fn next_attempt_in(&self) -> f64 {
        let left = "TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), due_at) / 1e6";
        self.row(&format!("SELECT CAST({left} AS DOUBLE) FROM payment_events WHERE status = 'received'")).await
    }

    pub(crate) async fn errors(&self) -> Vec<(String, u32, String)> {
        self.rows("SELECT action, attempt, CAST(detail AS CHAR) FROM payment_event_trail ORDER BY id").await
    }
}

pub(crate) async fn work_off(app: &Arc<App>) {
    while app.checkout.process_due_events().await.expect("the step runs") {}
}

#[tokio::test]
async fn an_event_that_cannot_be_applied_is_kept_and_tried_again_until_it_can() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let client = shop.serve_without_workers().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let (_, neighbour) = client.hold_and_order(product_id, 1).await;
    let _poison = client.proxy.on(Rule::from("-- orders/mark_").always(), POISON);
    let poisoned = client.pay(&order_id, "paid", "poison").await;
    assert_eq!(outcome(&poisoned), (202, "queued"), "{poisoned:?}");
    assert_eq!(outcome(&client.pay(&order_id, "paid", "poison").await), (200, "duplicate"));
    assert_eq!(outcome(&client.pay(&neighbour, "failed", "healthy").await), (200, "processed"));

    for (attempt, pause) in [(1, 5.0), (2, 10.0), (3, 30.0), (4, 60.0), (5, 120.0), (6, 600.0), (7, 600.0)] {
        assert_eq!(shop.event("poison").await, ("received".to_owned(), attempt));
        let left = shop.next_attempt_in().await;
        assert!((pause * 0.7..=pause * 1.2).contains(&left), "attempt {attempt}: {left} s");
        work_off(&client.app).await;
        assert_eq!(shop.event("poison").await.1, attempt, "not before it is due");
        shop.let_events_be_due().await;
        work_off(&client.app).await;
    }
    let errors = shop.errors().await;
    assert_eq!(errors.len(), 8, "{errors:?}");
    let kept = |(action, _, detail): &(String, u32, String)| action == "attempt_failed" && detail.contains("3819");
    assert!(errors.iter().all(kept), "{errors:?}");

    let healthy = shop.app();
    shop.let_events_be_due().await;
    work_off(&healthy).await;
    assert_eq!(shop.event("poison").await, ("applied".to_owned(), 9));
    assert_eq!(client.order_status(&order_id).await, "paid");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_event_whose_retries_are_used_up_is_dead_and_can_be_replayed() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let client = shop.serve_without_workers().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let _poison = client.proxy.on(Rule::from("-- orders/mark_").always(), POISON);
    client.pay(&order_id, "paid", "poison").await.expect(202);
    shop.execute(&format!("UPDATE payment_events SET attempts = {}", ATTEMPTS - 1)).await;
    for expected in ["received", "dead"] {
        shop.let_events_be_due().await;
        work_off(&client.app).await;
        assert_eq!(shop.event("poison").await, (expected.to_owned(), ATTEMPTS));
    }
    assert_eq!(shop.errors().await.last().map(|error| error.0.clone()), Some("given_up".to_owned()));
    work_off(&client.app).await;

    let healthy = shop.app();
    let event_id = shop.count("SELECT id FROM payment_events").await;
    let receipt = healthy.checkout.replay_event("operator", event_id, false, "mended").await.expect("it is replayed");
    assert_eq!(receipt.status, EventStatus::Applied);
    assert_eq!(client.order_status(&order_id).await, "paid");
    let again = healthy.checkout.replay_event("operator", event_id, false, "").await;
    assert!(matches!(again, Err(holdfast::checkout::Error::Refused(Refusal::EventNotReplayable))), "{again:?}");
    let missing = healthy.checkout.replay_event("operator", event_id + 1, false, "").await;
    assert!(matches!(missing, Err(holdfast::checkout::Error::Refused(Refusal::EventNotFound))), "{missing:?}");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_waiting_event_that_cannot_be_applied_is_tried_again_and_does_not_fail_its_order() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let client = shop.serve_without_workers().await;
    let (hold_id, order_id) = (client.hold(product_id, 1).await, mint());
    client.pay(&order_id, "paid", "poison").await.expect(202);
    let _poison = client.proxy.on(Rule::from("-- orders/mark_").always(), POISON);
    assert_eq!(client.try_order_as(&hold_id, &order_id).await.expect(201).text("status"), "pending");
    assert_eq!(shop.event("poison").await, ("received".to_owned(), 1));
    assert_eq!(shop.errors().await.len(), 1);
    shop.let_events_be_due().await;
    work_off(&shop.app()).await;
    assert_eq!(client.order_status(&order_id).await, "paid");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_payment_that_cannot_be_applied_protects_its_order_only_during_its_first_attempts() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let client = shop.serve_without_workers().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let _poison = client.proxy.on(Rule::from("-- orders/mark_").always(), POISON);
    client.pay(&order_id, "paid", "poison").await.expect(202);
    shop.let_order_run_out(&order_id).await;
    client.app.checkout.cancel_overdue_orders().await.expect("the step runs");
    assert_eq!(client.order_status(&order_id).await, "pending", "the payment still counts as in time");
    for (attempts, status) in [(4, "pending"), (5, "cancelled")] {
        shop.execute(&format!("UPDATE payment_events SET attempts = {attempts}")).await;
        client.app.checkout.cancel_overdue_orders().await.expect("the step runs");
        assert_eq!(client.order_status(&order_id).await, status, "{attempts}");
    }
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_apply_every_event_once() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let queueing = with_policy(shop.config(), |policy| policy.webhook_mode = WebhookMode::Queue);
    let (apps, client) = ([shop.app(), shop.app()], shop.serve_without_workers_as(queueing).await);
    let mut orders = Vec::new();
    for _ in 0..60 {
        let (_, order_id) = client.hold_and_order(product_id, 1).await;
        assert_eq!(outcome(&client.pay(&order_id, "paid", &order_id).await), (202, "queued"));
        orders.push(order_id);
    }
    together((0..6).map(|worker| {
        let app = Arc::clone(&apps[worker % 2]);
        async move { work_off(&app).await }
    }))
    .await;
    let applied = "SELECT COUNT(*) FROM payment_events WHERE status = 'applied' AND attempts = 1";
    assert_eq!(shop.count(applied).await, 60);
    for order_id in orders {
        assert_eq!(client.trail(&order_id).await.len(), 2);
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_attempt_that_its_worker_did_not_finish_is_counted_and_made_again() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let queueing = with_policy(shop.config(), |policy| policy.webhook_mode = WebhookMode::Queue);
    let client = shop.serve_without_workers_as(queueing).await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    client.pay(&order_id, "paid", "key").await.expect(202);

    let (doomed, proxy) = shop.app_through_proxy().await;
    let claim = proxy.on("-- payment_events/claim:", Action::PauseBefore);
    let working = tokio::spawn(async move { work_off(&doomed).await });
    claim.reached().await;
    working.abort();
    drop(proxy);
    assert_eq!(shop.event("key").await, ("received".to_owned(), 1));
    assert!(shop.next_attempt_in().await > 3.0);
    shop.let_events_be_due().await;
    work_off(&shop.app()).await;
    assert_eq!(shop.event("key").await, ("applied".to_owned(), 2));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn in_queue_mode_a_worker_applies_events_after_their_response() {
    let shop = Shop::open().await;
    let product_id = shop.product(3).await;
    let client = Instance::start(with_policy(shop.config(), |policy| policy.webhook_mode = WebhookMode::Queue)).await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    assert_eq!(outcome(&client.pay(&order_id, "paid", "key").await), (202, "queued"));
    assert_eq!(outcome(&client.pay(&order_id, "paid", "key").await), (200, "duplicate"));
    client.pay(&order_id, "failed", "key").await.refused(422, "idempotency_key_reuse");
    shop.until("SELECT COUNT(*) FROM payment_events WHERE status = 'applied'", 1).await;
    assert_eq!(client.order_status(&order_id).await, "paid");

    // this payment comes before its order
    let (hold_id, order_id) = (client.hold(product_id, 1).await, mint());
    client.pay(&order_id, "paid", "early").await.expect(202);
    shop.until("SELECT COUNT(*) FROM payment_events WHERE status = 'parked'", 1).await;
    assert_eq!(client.try_order_as(&hold_id, &order_id).await.expect(201).text("status"), "paid");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_failure_never_overtakes_a_payment_that_was_queued_before_it() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let queueing = with_policy(shop.config(), |policy| policy.webhook_mode = WebhookMode::Queue);
    let (client, applying) = (shop.serve_without_workers_as(queueing).await, shop.serve_without_workers().await);
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    client.pay(&order_id, "paid", "payment").await.expect(202);
    assert_eq!(outcome(&applying.pay(&order_id, "failed", "failure").await), (200, "ignored"));
    assert_eq!(shop.event("payment").await.0, "applied");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_operator_may_accept_an_amount_and_that_is_recorded() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let client = shop.serve_without_workers().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let short = json!({ "order_id": order_id, "status": "paid", "amount": "49.00", "txn_id": "T1" });
    assert_eq!(outcome(&client.webhook(&short).await), (200, "quarantined"));
    let event_id = shop.count("SELECT id FROM payment_events").await;
    let replay = async |accept| client.app.checkout.replay_event("operator", event_id, accept, "agreed by phone").await;
    assert_eq!(replay(false).await.expect("it is replayed").status, EventStatus::Quarantined);
    assert_eq!(replay(true).await.expect("it is replayed").status, EventStatus::Applied);
    assert_eq!(client.order_status(&order_id).await, "paid");
    let trail = shop.errors().await;
    assert_eq!(trail.len(), 2);
    assert!(trail[1].0 == "replayed" && trail[1].2.contains("amount accepted") && trail[1].2.contains("by phone"));
    assert_eq!(shop.count("SELECT accepted_amount FROM payment_events").await, 1);
    // no more than the amount taken can be given back
    let refund = |amount: &str| json!({ "order_id": order_id, "status": "refunded", "amount": amount, "txn_id": "T1" });
    assert_eq!(outcome(&client.webhook(&refund("49.99")).await), (200, "quarantined"));
    let rest = json!({ "order_id": order_id, "status": "refunded", "txn_id": "T1", "idempotency_key": "rest" });
    assert_eq!(client.webhook(&rest).await.text("order_status"), "refunded");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_body_some_headers_and_the_processing_time_of_an_event_are_stored() {
    let shop = Shop::open().await;
    let product_id = shop.product(3).await;
    let client = shop.serve_without_workers().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let body = format!(r#"{{"order_id":"{order_id}",  "status":"paid","txn_id":"T1","metadata":{{"é":[1]}}}}"#);
    let request = client.request("POST", "/api/payments/webhook").header("content-type", "application/json");
    let request =
        request.header("x-request-id", "sandbox").header("cookie", "secret").header("authorization", "Bearer s");
    client.send(request.body(body.clone())).await.expect(200);
    let (kept, headers, took): (Vec<u8>, Vec<u8>, i64) =
        shop.row("SELECT body, headers, processing_us FROM payment_events").await;
    assert_eq!(kept, body.as_bytes());
    let headers = String::from_utf8(headers).expect("text");
    assert!(headers.contains("x-request-id: sandbox\n"), "{headers}");
    assert!(!headers.contains("cookie") && !headers.contains("Bearer"), "{headers}");
    assert!(took > 0, "{took}");

    let long = "x".repeat(6000);
    let request =
        client.request("POST", "/api/payments/webhook").header("tracestate", long).header("x-request-id", "kept");
    let event = json!({ "order_id": mint(), "status": "paid", "txn_id": "T2" });
    client.send(request.json(&event)).await.expect(202);
    let headers: Vec<u8> = shop.row("SELECT headers FROM payment_events ORDER BY id DESC LIMIT 1").await;
    let headers = String::from_utf8(headers).expect("text");
    assert!(headers.len() < 4096 && headers.contains("x-request-id: kept"), "{headers}");
}

#[tokio::test]
async fn headers_with_signatures_or_keys_are_not_stored() {
    let shop = Shop::open().await;
    let client = shop.serve_without_workers().await;
    let secret = [
        ("webhook-signature", "v1,a-secret"),
        ("stripe-signature", "t=1,v1=a-secret"),
        ("authorization", "Bearer a-secret"),
        ("proxy-authorization", "Basic a-secret"),
        ("cookie", "a-secret"),
        ("idempotency-key", "a-secret"),
        ("x-api-key", "a-secret"),
        ("x-hub-signature-256", "sha256=a-secret"),
        ("x-of-some-provider", "a-secret"),
    ];
    let kept =
        [("webhook-id", "w-1"), ("webhook-timestamp", "17"), ("x-request-id", "r-1"), ("user-agent", "a provider")];
    let request = client.request("POST", "/api/payments/webhook");
    let request = secret.iter().chain(&kept).fold(request, |request, (name, value)| request.header(*name, *value));
    client.send(request.json(&json!({ "order_id": mint(), "status": "paid", "txn_id": "T" }))).await.expect(202);
    let headers: Vec<u8> = shop.row("SELECT headers FROM payment_events").await;
    let headers = String::from_utf8(headers).expect("text");
    assert!(!headers.contains("a-secret"), "{headers}");
    for (name, value) in kept {
        assert!(headers.contains(&format!("{name}: {value}\n")), "{name} in {headers}");
    }
}
