//! A Stripe payment is spread over a session, an intent, a charge and refunds, and few of them name the order.

use std::path::Path;

use holdfast::config::Config;
use holdfast::domain::signature::Secrets;
use holdfast::domain::{AdminToken, Event, WebhookMode};
use serde_json::{Value, json};

use crate::stripe::{SECRET, deliver};
use crate::support::proxy::{Action, Rule};
use crate::support::{Answer, Bare, Client, Instance, Shop, binary, mint, payment, together, with_policy};

const TOKEN: &str = "an-operators-token-of-these-tests";

/// The metadata of an object.
#[derive(Debug, Clone)]
pub(crate) enum Shown {
    /// The order's id.
    Order,
    /// No field.
    Nothing,
    /// This value.
    Metadata(Value),
}

/// One payment at Stripe: its objects have ids of their own.
#[derive(Debug, Clone)]
pub(crate) struct Payment {
    order_id: String,
    suffix: String,
}

impl Payment {
    pub(crate) fn of(order_id: &str) -> Self {
        Self { order_id: order_id.to_owned(), suffix: mint().replace('-', "") }
    }

    /// Returns the event that is checked in under `name`, with the ids of this payment.
    pub(crate) fn event(&self, name: &str, shown: Shown) -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/stripe_events/{name}.json"));
        let mut text = std::fs::read_to_string(path).expect("an event");
        for (id, own) in [
            ("pi_3SXqkLB7WZ01zgkW1hT4vQyE", "pi"),
            ("ch_3SXqkLB7WZ01zgkW1mKfBn2R", "ch"),
            ("ch_3SXqkLB7WZ01zgkW1Yq0aHsT", "ch_declined"),
            ("ch_1SXrAaB7WZ01zgkWzZ5tKp0B", "ch_alone"),
            ("re_3SXqkLB7WZ01zgkW1ZtP8dUf", "re"),
            ("cs_test_a1Xh0vN3tq2sYH6bWc8KfLr5mPz9JdGe4UoTiQkRwBxVnMyS7jElCpZ", "cs"),
            ("SXqkLB7WZ01zgkW1", ""),
        ] {
            text = text.replace(id, &format!("{own}_{}", self.suffix));
        }
        let mut event: Value = serde_json::from_str(&text).expect("JSON");
        event["data"]["object"]["metadata"] = match shown {
            Shown::Order => json!({ "order_id": self.order_id }),
            Shown::Nothing => json!({}),
            Shown::Metadata(metadata) => metadata,
        };
        event
    }

    fn charge(&self) -> String {
        format!("pi_{}", self.suffix)
    }
}

fn session(payment: &Payment) -> Value {
    payment.event("checkout.session.completed", Shown::Order)
}

fn intent(payment: &Payment) -> Value {
    payment.event("payment_intent.succeeded", Shown::Nothing)
}

fn declined(payment: &Payment) -> Value {
    payment.event("payment_intent.payment_failed", Shown::Nothing)
}

fn refunded(payment: &Payment) -> Value {
    payment.event("charge.refunded", Shown::Nothing)
}

impl Shop {
    fn stripe_config(&self) -> Config {
        let stripe_secrets = Some(Secrets::stripe(&format!("another secret, {SECRET}")).expect("secrets"));
        Config { stripe_secrets, admin_token: AdminToken::new(TOKEN), ..self.config() }
    }

    /// An instance without workers that accepts Stripe's events.
    async fn stripe_without_workers(&self) -> Bare {
        self.serve_without_workers_as(self.stripe_config()).await
    }

    /// Returns meaning and state of the events of this charge, in the order of receipt.
    async fn states_of(&self, payment: &Payment) -> Vec<String> {
        let of = format!("txn_id = '{}'", payment.charge());
        self.rows(&format!("SELECT CONCAT(meaning, ' ', status) FROM payment_events WHERE {of} ORDER BY id")).await
    }

    async fn unmatched(&self) -> i64 {
        let events = self.count("SELECT COUNT(*) FROM payment_events WHERE status = 'unmatched'").await;
        let waiting = self.count("SELECT COUNT(DISTINCT event_id) FROM unmatched_objects").await;
        assert_eq!(events, waiting, "an unmatched event waits for its objects, and no other event does");
        events
    }

    /// Checks that the order is paid by one charge, and that one success counted.
    async fn assert_paid_once(&self, client: &Client, payment: &Payment) {
        assert_eq!(client.order_status(&payment.order_id).await, "paid");
        let mut states = self.states_of(payment).await;
        states.sort();
        assert_eq!(states, ["succeeded applied", "succeeded ignored"]);
        let of_order =
            format!("SELECT CONCAT(name, ' ', status) FROM charges WHERE order_id = {}", binary(&payment.order_id));
        assert_eq!(self.rows::<String>(&of_order).await, [format!("{} paid", payment.charge())]);
        assert_eq!(self.unmatched().await, 0);
        self.assert_conserved().await;
    }
}

/// A shop with one order that is paid through Checkout, and two instances over it.
async fn two_instances() -> (Shop, Bare, Bare, Payment) {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let (one, other) = (shop.stripe_without_workers().await, shop.stripe_without_workers().await);
    let (_, order_id) = one.hold_and_order(product_id, 1).await;
    let payment = Payment::of(&order_id);
    (shop, one, other, payment)
}

fn outcome(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["status"].as_str().unwrap_or_default())
}

/// Delivers an event in a task of its own.
fn spawn(client: &Client, event: Value) -> tokio::task::JoinHandle<Answer> {
    let client = client.clone();
    tokio::spawn(async move { deliver(&client, &event).await })
}

async fn ask(client: &Client, path: &str) -> Answer {
    client.send(client.request("GET", &format!("/api/admin/{path}")).bearer_auth(TOKEN)).await
}

/// Returns every permutation of some things.
fn orders_of<T: Clone>(things: &[T]) -> Vec<Vec<T>> {
    let Some(_) = things.first() else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for first in 0..things.len() {
        let mut rest = things.to_vec();
        let first = rest.remove(first);
        all.extend(orders_of(&rest).into_iter().map(|rest| [vec![first.clone()], rest].concat()));
    }
    all
}

#[tokio::test]
async fn the_events_of_one_checkout_have_the_same_result_in_every_order() {
    let shop = Shop::open().await;
    let product_id = shop.product(24).await;
    let instances = [shop.stripe_without_workers().await, shop.stripe_without_workers().await];
    let [one, _] = &instances;
    let events: [fn(&Payment) -> Value; 4] =
        [session, intent, refunded, |payment| payment.event("charge.succeeded", Shown::Nothing)];
    for order in orders_of(&[0, 1, 2, 3]) {
        let (_, order_id) = one.hold_and_order(product_id, 1).await;
        let payment = Payment::of(&order_id);
        for (turn, &event) in order.iter().enumerate() {
            let answer = deliver(&instances[turn % 2], &events[event](&payment)).await;
            assert!([200, 202].contains(&answer.status), "{order:?}: {answer:?}");
        }
        // a copy of each changes nothing
        for &event in &order {
            deliver(one, &events[event](&payment)).await.expect(200);
        }
        assert_eq!(one.order_status(&order_id).await, "refunded", "{order:?}");
        let mut states = shop.states_of(&payment).await;
        states.sort();
        assert_eq!(states, ["refunded applied", "succeeded applied", "succeeded ignored"], "{order:?}");
        let charge: (String, i64) =
            shop.row(&format!("SELECT name, refunded_minor FROM charges WHERE order_id = {}", binary(&order_id))).await;
        assert_eq!(charge, (payment.charge(), 4999), "{order:?}");
    }
    assert_eq!(shop.unmatched().await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_declined_card_changes_nothing_but_the_trail() {
    let (shop, client, _other, payment) = two_instances().await;
    let available = client.available(1).await;
    let pay_by = || async { client.get(&format!("/api/orders/{}", payment.order_id)).await.text("pay_by") };
    let before = pay_by().await;
    // the session is not complete: the intent itself names the order
    let first = payment.event("payment_intent.payment_failed", Shown::Order);
    let answer = deliver(&client, &first).await.expect(200);
    assert_eq!((outcome(&answer), answer.text("order_status")), ((200, "ignored"), "pending".to_owned()));
    assert_eq!(outcome(&deliver(&client, &first).await), (200, "duplicate"), "one row in the trail");
    // another card: the event does not name the order, but its intent is known by now
    let mut second = declined(&payment);
    second["id"] = json!("evt_second_card");
    assert_eq!(deliver(&client, &second).await.expect(200).text("order_status"), "pending");
    assert_eq!((client.available(1).await, pay_by().await), (available, before), "nothing is given back or extended");
    shop.assert_conserved().await;

    deliver(&client, &intent(&payment)).await.expect(200);
    let mut late = declined(&payment);
    late["id"] = json!("evt_late");
    assert_eq!(deliver(&client, &late).await.expect(200).text("order_status"), "paid");
    let pending = "pending>pending:payment_attempt_failed";
    let expected = [">pending:created", pending, pending, "pending>paid:payment_succeeded"];
    assert_eq!(client.transitions(&payment.order_id).await, expected);
    let row = &client.trail(&payment.order_id).await[1];
    assert_eq!((&row["txn_id"], &row["amount"]), (&json!(payment.charge()), &json!("49.99")), "{row}");
    let states = ["failed ignored", "failed ignored", "succeeded applied", "failed ignored"];
    assert_eq!(shop.states_of(&payment).await, states);
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declined_card_never_follows_the_end_of_its_order_in_the_trail() {
    let (shop, slow, client, payment) = two_instances().await;
    // the slow instance has read that the order is pending
    let count = slow.proxy.on("-- orders/count_failed_attempt:", Action::PauseBefore);
    let attempt = spawn(&slow, payment.event("payment_intent.payment_failed", Shown::Order));
    count.reached().await;
    assert_eq!(client.pay(&payment.order_id, "failed", "k").await.expect(200).text("order_status"), "cancelled");
    count.release();
    assert_eq!(outcome(&attempt.await.expect("no panic")), (200, "ignored"));
    let expected = [">pending:created", "pending>cancelled:payment_failed"];
    assert_eq!(client.transitions(&payment.order_id).await, expected);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_trail_shows_a_bounded_number_of_failed_attempts() {
    let (shop, client, _other, payment) = two_instances().await;
    shop.execute("UPDATE orders SET failed_attempts = 99").await;
    for number in 0..3 {
        let mut event = payment.event("payment_intent.payment_failed", Shown::Order);
        event["id"] = json!(format!("evt_{number}"));
        assert_eq!(outcome(&deliver(&client, &event).await), (200, "ignored"));
    }
    assert_eq!(client.transitions(&payment.order_id).await.len(), 2);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_order_is_cancelled_when_no_money_will_come() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = shop.stripe_without_workers().await;
    for (name, shown) in [
        ("payment_intent.canceled", Shown::Order),
        ("payment_intent.canceled", Shown::Nothing),
        ("checkout.session.expired", Shown::Order),
        ("checkout.session.async_payment_failed", Shown::Order),
        ("checkout.session.async_payment_failed", Shown::Nothing),
    ] {
        let (_, order_id) = client.hold_and_order(product_id, 1).await;
        let payment = Payment::of(&order_id);
        let linking = payment.event("checkout.session.completed.unpaid", Shown::Order);
        assert_eq!(deliver(&client, &linking).await.expect(200).body, json!({ "status": "ignored" }));
        assert_eq!(client.order_status(&order_id).await, "pending", "an unpaid session only links");
        let answer = deliver(&client, &payment.event(name, shown.clone())).await.expect(200);
        assert_eq!(answer.text("order_status"), "cancelled", "{name} {shown:?}");
        assert_eq!(client.available(product_id).await, 10, "{name} {shown:?}");
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_payment_by_a_delayed_method_counts_when_its_money_arrives() {
    let (shop, client, _other, payment) = two_instances().await;
    deliver(&client, &payment.event("checkout.session.completed.unpaid", Shown::Order)).await.expect(200);
    let answer = deliver(&client, &payment.event("checkout.session.async_payment_succeeded", Shown::Order)).await;
    assert_eq!((outcome(&answer), answer.text("order_status")), ((200, "processed"), "paid".to_owned()));
    let answer = deliver(&client, &intent(&payment)).await;
    assert_eq!((outcome(&answer), answer.text("order_status")), ((200, "ignored"), "paid".to_owned()));
    shop.assert_paid_once(&client, &payment).await;
}

#[tokio::test]
async fn a_session_that_needs_no_payment_pays_only_an_order_that_costs_nothing() {
    let (shop, client, _other, payment) = two_instances().await;
    let free = payment.event("checkout.session.completed.free", Shown::Order);
    let answer = deliver(&client, &free).await.expect(200);
    assert_eq!((outcome(&answer), answer.text("order_status")), ((200, "quarantined"), "pending".to_owned()));
    shop.execute("UPDATE products SET price_minor = 0").await;
    let (_, order_id) = client.hold_and_order(1, 1).await;
    let free = Payment::of(&order_id).event("checkout.session.completed.free", Shown::Order);
    assert_eq!(deliver(&client, &free).await.expect(200).text("order_status"), "paid");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_charge_without_an_intent_pays_and_is_refunded_by_its_own_id() {
    let (shop, client, _other, payment) = two_instances().await;
    let mut charge = payment.event("charge.succeeded.without_intent", Shown::Order);
    charge["data"]["object"]["captured"] = json!(false);
    assert_eq!(
        deliver(&client, &charge).await.expect(200).body,
        json!({ "status": "ignored" }),
        "authorised, not captured"
    );
    let mut charge = payment.event("charge.succeeded.without_intent", Shown::Nothing);
    charge["type"] = json!("charge.captured");
    assert_eq!(deliver(&client, &charge).await.expect(200).text("order_status"), "paid");
    let mut refund = refunded(&payment);
    refund["data"]["object"]["id"] = charge["data"]["object"]["id"].clone();
    refund["data"]["object"]["payment_intent"] = json!(null);
    assert_eq!(deliver(&client, &refund).await.expect(200).text("order_status"), "refunded");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refund_object_does_not_count_since_its_charge_has_the_total() {
    let (shop, client, _other, payment) = two_instances().await;
    deliver(&client, &session(&payment)).await.expect(200);
    for event in [payment.event("refund.updated", Shown::Nothing), payment.event("refund.updated", Shown::Order)] {
        assert_eq!(deliver(&client, &event).await.expect(200).body, json!({ "status": "ignored" }));
    }
    assert_eq!(client.order_status(&payment.order_id).await, "paid");
    deliver(&client, &refunded(&payment)).await.expect(200);
    assert_eq!(client.order_status(&payment.order_id).await, "refunded");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_client_reference_is_a_second_place_for_the_order_id() {
    let (shop, client, _other, payment) = two_instances().await;
    let mut event = payment.event("checkout.session.completed", Shown::Metadata(json!({ "order_id": "A-1001" })));
    event["data"]["object"]["client_reference_id"] = json!(payment.order_id);
    assert_eq!(deliver(&client, &event).await.expect(200).text("order_status"), "paid");
    deliver(&client, &intent(&payment)).await.expect(200);
    shop.assert_paid_once(&client, &payment).await;
}

/// A session that names no order, with this client reference.
fn session_with_reference(payment: &Payment, reference: &str) -> Value {
    let mut event = payment.event("checkout.session.completed", Shown::Nothing);
    event["data"]["object"]["client_reference_id"] = json!(reference);
    event
}

#[tokio::test]
async fn a_client_reference_that_names_no_order_yields_to_the_metadata_of_the_intent() {
    for turn in 0..2 {
        let (shop, client, other, payment) = two_instances().await;
        let customer = mint();
        let mut events =
            [session_with_reference(&payment, &customer), payment.event("payment_intent.succeeded", Shown::Order)];
        events.rotate_left(turn);
        for event in &events {
            assert_eq!(deliver(&client, event).await.status, 200, "{event}");
        }
        // a copy is a duplicate, whatever links are known by then
        assert_eq!(outcome(&deliver(&other, &events[0]).await), (200, "duplicate"));
        shop.assert_paid_once(&client, &payment).await;
        // nothing waits for an order that never comes, and a refund that names nothing finds the charge
        assert_eq!(deliver(&other, &refunded(&payment)).await.expect(200).text("order_status"), "refunded");
        assert_eq!(shop.count("SELECT COUNT(*) FROM payment_events WHERE status = 'parked'").await, 0);
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn a_client_reference_that_two_payments_share_does_not_link_them() {
    let (shop, client, _other, first) = two_instances().await;
    let second = Payment::of(&client.hold_and_order(1, 1).await.1);
    let customer = mint();
    for payment in [&first, &second] {
        deliver(&client, &session_with_reference(payment, &customer)).await.expect(200);
    }
    for payment in [&first, &second] {
        deliver(&client, &payment.event("payment_intent.succeeded", Shown::Order)).await.expect(200);
    }
    shop.assert_paid_once(&client, &first).await;
    shop.assert_paid_once(&client, &second).await;
}

#[tokio::test]
async fn an_order_that_is_made_after_a_session_with_its_client_reference_is_paid_by_the_sweep() {
    let (shop, client, _other, _) = two_instances().await;
    let (hold_id, order_id) = (client.hold(1, 1).await, mint());
    let payment = Payment::of(&order_id);
    let answer = deliver(&client, &session_with_reference(&payment, &order_id)).await;
    assert_eq!(outcome(&answer), (200, "unmatched"));
    client.post("/api/orders", &json!({ "hold_id": hold_id, "order_id": order_id })).await.expect(201);
    client.app.checkout.sweep_unmatched().await.expect("the step runs");
    assert_eq!(client.order_status(&order_id).await, "paid");
    deliver(&client, &intent(&payment)).await.expect(200);
    shop.assert_paid_once(&client, &payment).await;
}

#[tokio::test]
async fn a_refund_without_metadata_belongs_to_its_charge_even_if_an_old_link_names_another_order() {
    let (shop, client, _other, payment) = two_instances().await;
    // an earlier session links the intent to another order
    let (_, other_order) = client.hold_and_order(1, 1).await;
    let mut early = payment.event("checkout.session.completed.unpaid", Shown::Order);
    early["data"]["object"]["metadata"] = json!({ "order_id": other_order });
    deliver(&client, &early).await.expect(200);
    deliver(&client, &payment.event("payment_intent.succeeded", Shown::Order)).await.expect(200);
    let answer = deliver(&client, &refunded(&payment)).await.expect(200);
    assert_eq!((outcome(&answer), answer.text("order_status")), ((200, "processed"), "refunded".to_owned()));
    assert_eq!(client.order_status(&payment.order_id).await, "refunded");
    assert_eq!(client.order_status(&other_order).await, "pending");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_authorisation_that_is_released_or_captured_in_part_refunds_nothing() {
    let (shop, client, _other, payment) = two_instances().await;
    deliver(&client, &payment.event("payment_intent.succeeded", Shown::Order)).await.expect(200);
    let refund = |name: &str, captured: bool, amounts: [u32; 3]| {
        let mut event = refunded(&payment);
        event["id"] = json!(name);
        event["api_version"] = json!("2024-12-18.acacia");
        let object = &mut event["data"]["object"];
        object["captured"] = json!(captured);
        for (field, amount) in ["amount", "amount_captured", "amount_refunded"].into_iter().zip(amounts) {
            object[field] = json!(amount);
        }
        event
    };
    for (name, captured, amounts) in
        [("evt_released", false, [4999, 0, 4999]), ("evt_taken_in_part", true, [9999, 4999, 5000])]
    {
        let answer = deliver(&client, &refund(name, captured, amounts)).await.expect(200);
        assert_eq!(answer.body, json!({ "status": "ignored" }), "{name}");
    }
    assert_eq!(client.order_status(&payment.order_id).await, "paid");
    let back = refund("evt_given_back", true, [9999, 4999, 9999]);
    assert_eq!(deliver(&client, &back).await.expect(200).text("order_status"), "refunded");
    assert_eq!(shop.count("SELECT refunded_minor FROM charges").await, 4999);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn payments_of_another_shop_are_stored_and_listed_and_nothing_is_due_for_them() {
    let (shop, client, _other, payment) = two_instances().await;
    let app = shop.app();
    let strange = [
        ("payment_intent.succeeded", Shown::Nothing),
        ("payment_intent.succeeded", Shown::Metadata(json!({ "order_id": "A-1001" }))),
        ("checkout.session.completed", Shown::Metadata(json!({ "hold_id": "", "colour": "red" }))),
        ("payment_intent.canceled", Shown::Nothing),
        ("charge.refunded", Shown::Metadata(json!(null))),
    ];
    let mut ids = Vec::new();
    for (name, shown) in strange {
        let event = Payment::of("").event(name, shown);
        let answer = deliver(&client, &event).await.expect(200);
        assert_eq!(answer.body, json!({ "status": "unmatched", "event_id": answer.body["event_id"] }));
        ids.push(answer.body["event_id"].clone());
        let again = deliver(&client, &event).await.expect(200);
        assert_eq!((outcome(&again), again.text("event_status")), ((200, "duplicate"), "unmatched".to_owned()));
    }
    // also after 30 days
    shop.execute("UPDATE payment_events SET received_at = received_at - INTERVAL 30 DAY").await;
    while app.checkout.work_off_inbox().await.expect("the step runs") {}
    app.checkout.sweep_parked().await.expect("the step runs");
    assert!(!app.checkout.sweep_unmatched().await.expect("the step runs"));
    assert_eq!(app.checkout.next_event_due().await.expect("the step runs"), None, "no event is due");
    assert_eq!(shop.unmatched().await, 5);
    let list = ask(&client, "payment-events?state=unmatched").await.expect(200);
    let listed: Vec<Value> =
        list.body["items"].as_array().expect("a list").iter().map(|item| item["event_id"].clone()).collect();
    assert_eq!(listed, ids);
    assert_eq!(ask(&client, "refunds").await.expect(200).body["items"], json!([]));
    let audit = ask(&client, "audit").await.expect(200);
    let sums: Vec<&Value> = audit.body["money"].as_array().expect("a list").iter().collect();
    assert!(sums.iter().all(|sum| sum["state"] == "unmatched" && sum["count"] == 3), "{sums:?}");
    shop.assert_conserved().await;

    // operators can neither replay such a payment nor mark it refunded: it is not this shop's
    for (path, code) in [("payment-events/{}/replay", "not_replayable"), ("refunds/{}/done", "not_refundable")] {
        let path = format!("/api/admin/{}", path.replace("{}", &ids[0].to_string()));
        let request = client.request("POST", &path).bearer_auth(TOKEN).json(&json!({ "note": "by hand" }));
        client.send(request).await.refused(409, code);
    }
    assert_eq!(client.order_status(&payment.order_id).await, "pending");
}

#[tokio::test]
async fn a_success_that_names_an_order_id_waits_for_that_order() {
    let (shop, client, _other, _) = two_instances().await;
    let hold_id = client.hold(1, 1).await;
    let payment = Payment::of(&mint());
    assert_eq!(outcome(&deliver(&client, &session(&payment)).await), (202, "pending_order"));
    assert_eq!(outcome(&deliver(&client, &intent(&payment)).await), (202, "pending_order"), "linked by the session");
    assert_eq!(client.try_order_as(&hold_id, &payment.order_id).await.expect(201).text("status"), "paid");
    shop.assert_paid_once(&client, &payment).await;
}

#[tokio::test]
async fn an_event_that_is_linked_days_later_has_the_full_time_to_wait_for_its_order() {
    let (shop, client, _other, _) = two_instances().await;
    let hold_id = client.hold(1, 1).await;
    let payment = Payment::of(&mint());
    assert_eq!(outcome(&deliver(&client, &intent(&payment)).await), (200, "unmatched"));
    shop.execute("UPDATE payment_events SET received_at = received_at - INTERVAL 3 DAY").await;
    // the session links only: its order does not exist yet
    deliver(&client, &payment.event("checkout.session.completed.unpaid", Shown::Order)).await.expect(200);
    assert_eq!(shop.states_of(&payment).await, ["succeeded parked"]);
    assert_eq!(client.try_order_as(&hold_id, &payment.order_id).await.expect(201).text("status"), "paid");
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_and_intent_at_the_same_moment_pay_once_wherever_one_is_held_back() {
    // which event is held back (0: session, 1: intent), at which statement, and before or after the server has run it
    for (held, statement, action) in [
        (1, "-- payment_events/insert_settled:", Action::PauseBefore),
        // the event is written but not committed: the session cannot see it
        (1, "-- unmatched_objects/insert:", Action::PauseAfter),
        (1, "-- unmatched_objects/list_of_event:", Action::PauseBefore),
        // the intent has found no link, and the link is written after that
        (1, "-- payment_links/list:", Action::PauseAfter),
        (0, "-- payment_links/insert:", Action::PauseBefore),
        // the link is written but not committed: the intent cannot see it
        (0, "-- payment_links/insert:", Action::PauseAfter),
        (0, "-- unmatched_objects/list_waiting:", Action::PauseBefore),
        (0, "-- payment_events/insert:", Action::PauseBefore),
        (0, "-- payment_events/insert:", Action::PauseAfter),
        (0, "-- orders/mark_paid:", Action::PauseBefore),
    ] {
        let (shop, slow, fast, payment) = two_instances().await;
        let events = [session(&payment), intent(&payment)];
        let pause = slow.proxy.on(statement, action);
        let first = spawn(&slow, events[held].clone());
        pause.reached().await;
        deliver(&fast, &events[1 - held]).await;
        pause.release();
        let answer = first.await.expect("no panic");
        assert_eq!(answer.status, 200, "{statement} {action:?}: {answer:?}");
        let [one, other] = [slow.client.clone(), fast.client.clone()];
        for event in &events {
            assert_eq!(outcome(&deliver(&one, event).await), (200, "duplicate"), "{statement} {action:?}");
        }
        shop.assert_paid_once(&other, &payment).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_two_instances_match_at_once_is_applied_once() {
    let (shop, one, other, payment) = two_instances().await;
    let matches = [&one, &other].map(|instance| instance.proxy.on("-- payment_events/match:", Action::PauseBefore));
    // the intent finds the link, and the link finds the intent
    let link = other.proxy.on("-- unmatched_objects/list_waiting:", Action::PauseBefore);
    let linking = spawn(&other, session(&payment));
    link.reached().await;
    let unmatched = spawn(&one, intent(&payment));
    matches[0].reached().await;
    link.release();
    matches[1].reached().await;
    matches.iter().for_each(crate::support::proxy::Handle::release);
    for answer in [linking.await.expect("no panic"), unmatched.await.expect("no panic")] {
        assert!([200, 202].contains(&answer.status), "{answer:?}");
    }
    let app = shop.app();
    while app.checkout.work_off_inbox().await.expect("the step runs") {}
    shop.assert_paid_once(&one, &payment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_events_at_once_on_two_instances_pay_every_order_once() {
    let shop = Shop::open().await;
    let product_id = shop.product(20).await;
    let instances = [Instance::start(shop.stripe_config()).await, Instance::start(shop.stripe_config()).await];
    let mut payments = Vec::new();
    for _ in 0..20 {
        payments.push(Payment::of(&instances[0].hold_and_order(product_id, 1).await.1));
    }
    let deliveries = payments.iter().enumerate().flat_map(|(number, payment)| {
        let events = [session(payment), intent(payment), intent(payment), declined(payment)];
        events.into_iter().enumerate().map(move |(turn, event)| (number + turn, event))
    });
    let tasks = deliveries.map(|(turn, event)| {
        let client = instances[turn % 2].client.clone();
        async move { deliver(&client, &event).await }
    });
    for answer in together(tasks.collect::<Vec<_>>()).await {
        assert!([200, 202].contains(&answer.status), "{answer:?}");
    }
    shop.until("SELECT COUNT(*) FROM payment_events WHERE status IN ('received', 'unmatched')", 0).await;
    for payment in &payments {
        assert_eq!(instances[0].order_status(&payment.order_id).await, "paid");
        let mut states = shop.states_of(payment).await;
        states.sort();
        assert_eq!(states, ["failed ignored", "succeeded applied", "succeeded ignored"]);
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM charges").await, 20);
    assert_eq!(shop.unmatched().await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_workers_apply_events_that_a_crash_left_between_two_steps() {
    // the link is committed, but the instance does not look for the events that wait for it
    let (shop, crashing, client, payment) = two_instances().await;
    deliver(&client, &intent(&payment)).await.expect(200);
    let crash = crashing.proxy.on(Rule::from("-- unmatched_objects/list_waiting:").always(), Action::CutBefore);
    deliver(&crashing, &payment.event("checkout.session.completed.unpaid", Shown::Order)).await;
    drop(crash);
    assert_eq!((client.order_status(&payment.order_id).await.as_str(), shop.unmatched().await), ("pending", 1));
    shop.app().checkout.sweep_unmatched().await.expect("the step runs");
    assert_eq!((client.order_status(&payment.order_id).await.as_str(), shop.unmatched().await), ("paid", 0));
    shop.assert_conserved().await;

    // the unmatched event is committed, but the instance does not look for its link
    let (shop, crashing, client, payment) = two_instances().await;
    deliver(&client, &payment.event("checkout.session.completed.unpaid", Shown::Order)).await.expect(200);
    let crash = crashing.proxy.on(Rule::from("-- unmatched_objects/list_of_event:").always(), Action::CutBefore);
    assert_eq!(outcome(&deliver(&crashing, &intent(&payment)).await), (200, "unmatched"));
    drop(crash);
    shop.app().checkout.sweep_unmatched().await.expect("the step runs");
    assert_eq!((client.order_status(&payment.order_id).await.as_str(), shop.unmatched().await), ("paid", 0));
    shop.assert_conserved().await;

    // the event is matched, but not applied
    let (shop, crashing, client, payment) = two_instances().await;
    deliver(&client, &payment.event("checkout.session.completed.unpaid", Shown::Order)).await.expect(200);
    let crash = crashing.proxy.on(Rule::from("-- payment_events/lease:").always(), Action::CutBefore);
    assert_eq!(outcome(&deliver(&crashing, &intent(&payment)).await), (202, "queued"));
    drop(crash);
    while shop.app().checkout.work_off_inbox().await.expect("the step runs") {}
    assert_eq!((client.order_status(&payment.order_id).await.as_str(), shop.unmatched().await), ("paid", 0));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_event_whose_commit_has_an_unknown_result_is_applied_once() {
    for commit in [0, 1, 2] {
        let (shop, client, other, payment) = two_instances().await;
        deliver(&other, &payment.event("checkout.session.completed.unpaid", Shown::Order)).await.expect(200);
        let cut = client.proxy.on(Rule::exactly("COMMIT").skip(commit), Action::CutAfter);
        let answer = deliver(&client, &intent(&payment)).await;
        assert_eq!(cut.hits(), 1);
        assert!([200, 202].contains(&answer.status), "{commit}: {answer:?}");
        // a lease whose commit has an unknown result lasts until the next attempt
        shop.execute("UPDATE payment_events SET due_at = UTC_TIMESTAMP(6) WHERE due_at IS NOT NULL").await;
        while shop.app().checkout.work_off_inbox().await.expect("the step runs") {}
        assert_eq!(shop.states_of(&payment).await, ["succeeded applied"], "{commit}");
        assert_eq!((client.order_status(&payment.order_id).await.as_str(), shop.unmatched().await), ("paid", 0));
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn the_sweep_reads_many_unmatched_events_in_pages_and_keeps_its_place() {
    let (shop, client, _other, payment) = two_instances().await;
    deliver(&client, &payment.event("checkout.session.completed.unpaid", Shown::Order)).await.expect(200);
    let columns = "provider, idempotency_key, fingerprint, status, meaning, txn_id, body, settled_at";
    let values = "'stripe', CONCAT('evt_', seq), '', 'unmatched', 'succeeded', CONCAT('pi_', seq), '', NOW(6)";
    let numbers = "WITH RECURSIVE numbers AS (SELECT 1 AS seq UNION ALL SELECT seq + 1 FROM numbers WHERE seq < 900)";
    shop.execute(&format!("INSERT INTO payment_events ({columns}) {numbers} SELECT {values} FROM numbers")).await;
    let objects = "SELECT 'stripe', CONCAT(kind, '_', id), id FROM payment_events, (SELECT 'pi' AS kind UNION SELECT 'ch') AS kinds";
    shop.execute(&format!("INSERT INTO unmatched_objects {objects}")).await;
    let crash = client.proxy.on(Rule::from("-- unmatched_objects/list_of_event:").always(), Action::CutBefore);
    deliver(&client, &intent(&payment)).await.expect(200);
    drop(crash);
    let app = shop.app();
    assert!(app.checkout.sweep_unmatched().await.expect("the step runs"), "1,802 rows are more than a page");
    assert_eq!(client.order_status(&payment.order_id).await, "pending");
    assert!(!app.checkout.sweep_unmatched().await.expect("the step runs"));
    assert_eq!(client.order_status(&payment.order_id).await, "paid");
    assert_eq!(shop.unmatched().await, 900);
    assert!(app.checkout.sweep_unmatched().await.expect("the step runs"), "the sweep begins again");
}

#[tokio::test]
async fn a_payment_that_was_stored_without_links_is_found_by_its_charge() {
    let (shop, client, _other, payment) = two_instances().await;
    let by_old_version = Event {
        provider: "stripe",
        txn_id: Some(payment.charge()),
        ..self::payment(payment.order_id.parse().expect("an id"), "evt_old")
    };
    // the refund comes first: it waits, and no link ever comes
    assert_eq!(outcome(&deliver(&client, &refunded(&payment)).await), (200, "unmatched"));
    client.app.checkout.receive_event(by_old_version).await.expect("the event is accepted");
    client.app.checkout.sweep_unmatched().await.expect("the step runs");
    assert_eq!(client.order_status(&payment.order_id).await, "refunded");

    let (_, order_id) = client.hold_and_order(1, 1).await;
    let payment = Payment::of(&order_id);
    deliver(&client, &session(&payment)).await.expect(200);
    shop.execute("DELETE FROM payment_links").await;
    assert_eq!(deliver(&client, &refunded(&payment)).await.expect(200).text("order_status"), "refunded");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_unmatched_success_is_applied_before_the_failure_that_links_it() {
    let (shop, client, _other, payment) = two_instances().await;
    assert_eq!(outcome(&deliver(&client, &refunded(&payment)).await), (200, "unmatched"));
    assert_eq!(
        outcome(&deliver(&client, &payment.event("payment_intent.canceled", Shown::Nothing)).await).1,
        "unmatched"
    );
    assert_eq!(outcome(&deliver(&client, &intent(&payment)).await), (200, "unmatched"));
    let failure = payment.event("checkout.session.async_payment_failed", Shown::Order);
    let answer = deliver(&client, &failure).await.expect(200);
    assert_eq!((outcome(&answer), answer.text("order_status")), ((200, "ignored"), "refunded".to_owned()));
    let paid = ["pending>paid:payment_succeeded", "paid>refunded:payment_refunded"];
    assert_eq!(client.transitions(&payment.order_id).await[1..], paid);
    assert_eq!(shop.unmatched().await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn in_queue_mode_the_worker_applies_events_that_are_linked() {
    let shop = Shop::open().await;
    let product_id = shop.product(2).await;
    let queueing = with_policy(shop.stripe_config(), |policy| policy.webhook_mode = WebhookMode::Queue);
    let client = shop.serve_without_workers_as(queueing).await;
    for intent_first in [true, false] {
        let payment = Payment::of(&client.hold_and_order(product_id, 1).await.1);
        let events = [intent(&payment), session(&payment)];
        for place in if intent_first { [0, 1] } else { [1, 0] } {
            let answer = deliver(&client, &events[place]).await;
            let expected = if intent_first && place == 0 { (200, "unmatched") } else { (202, "queued") };
            assert_eq!(outcome(&answer), expected);
        }
        while client.app.checkout.work_off_inbox().await.expect("the step runs") {}
        shop.assert_paid_once(&client, &payment).await;
    }
}

#[tokio::test]
async fn the_canonical_webhook_uses_no_links() {
    let (shop, client, _other, payment) = two_instances().await;
    client.proxy.clear();
    let failure = json!({ "order_id": payment.order_id, "status": "failure", "idempotency_key": "k" });
    assert_eq!(client.webhook(&failure).await.expect(200).text("order_status"), "cancelled");
    client.webhook(&json!({ "order_id": mint(), "status": "paid", "idempotency_key": "p" })).await.expect(202);
    let statements = client.proxy.statements().join("\n");
    assert!(statements.contains("payment_events/insert") && !statements.contains("_links"), "{statements}");
    assert!(!statements.contains("unmatched"), "{statements}");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_audit_reports_an_unmatched_event_that_no_link_can_find() {
    let (shop, client, _other, payment) = two_instances().await;
    deliver(&client, &intent(&payment)).await.expect(200);
    shop.assert_conserved().await;
    shop.execute("DELETE FROM unmatched_objects").await;
    let report = shop.app().checkout.audit().await.expect("an audit");
    assert!(report.to_string().contains("a payment event that is unmatched is never due"), "{report}");
}

#[tokio::test]
async fn a_transition_from_pending_to_pending_needs_a_failed_attempt() {
    let (shop, client, _other, payment) = two_instances().await;
    deliver(&client, &payment.event("payment_intent.payment_failed", Shown::Order)).await.expect(200);
    shop.assert_conserved().await;
    for (change, back, finding) in [
        ("reason = 'payment_failed'", "reason = 'payment_attempt_failed'", "transition_not_allowed"),
        ("payment_event_id = NULL", "payment_event_id = 1", "transition_event_mismatch"),
    ] {
        let id = "(SELECT id FROM (SELECT MAX(id) AS id FROM order_events) AS newest)";
        let original: i64 = shop.count("SELECT MAX(payment_event_id) FROM order_events").await;
        shop.execute(&format!("UPDATE order_events SET {change} WHERE id = {id}")).await;
        let report = shop.app().checkout.audit().await.expect("an audit");
        assert!(report.to_string().contains(finding), "{change}: {report}");
        let back = back.replace("= 1", &format!("= {original}"));
        shop.execute(&format!("UPDATE order_events SET {back} WHERE id = {id}")).await;
    }
    shop.assert_conserved().await;
}
