//! One payment at Stripe: its objects, with ids of their own, and what a shop stores of them.

use std::path::Path;

use holdfast::config::Config;
use holdfast::domain::AdminToken;
use holdfast::domain::signature::Secrets;
use serde_json::{Value, json};

use crate::stripe::{SECRET, deliver};
use crate::support::{Answer, Bare, Client, Shop, binary, mint};

pub(crate) const TOKEN: &str = "an-operators-token-of-these-tests";

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
    pub(crate) order_id: String,
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

    pub(crate) fn charge(&self) -> String {
        format!("pi_{}", self.suffix)
    }
}

pub(crate) fn session(payment: &Payment) -> Value {
    payment.event("checkout.session.completed", Shown::Order)
}

pub(crate) fn intent(payment: &Payment) -> Value {
    payment.event("payment_intent.succeeded", Shown::Nothing)
}

pub(crate) fn declined(payment: &Payment) -> Value {
    payment.event("payment_intent.payment_failed", Shown::Nothing)
}

pub(crate) fn refunded(payment: &Payment) -> Value {
    payment.event("charge.refunded", Shown::Nothing)
}

impl Shop {
    pub(crate) fn stripe_config(&self) -> Config {
        let stripe_secrets = Some(Secrets::stripe(&format!("another secret, {SECRET}")).expect("secrets"));
        Config { stripe_secrets, admin_token: AdminToken::new(TOKEN), ..self.config() }
    }

    /// An instance without workers that accepts Stripe's events.
    pub(crate) async fn stripe_without_workers(&self) -> Bare {
        self.serve_without_workers_as(self.stripe_config()).await
    }

    /// Returns meaning and state of the events of this charge, in the order of receipt.
    pub(crate) async fn states_of(&self, payment: &Payment) -> Vec<String> {
        let of = format!("txn_id = '{}'", payment.charge());
        self.rows(&format!("SELECT CONCAT(meaning, ' ', status) FROM payment_events WHERE {of} ORDER BY id")).await
    }

    pub(crate) async fn unmatched(&self) -> i64 {
        let events = self.count("SELECT COUNT(*) FROM payment_events WHERE status = 'unmatched'").await;
        let waiting = self.count("SELECT COUNT(DISTINCT event_id) FROM unmatched_objects").await;
        assert_eq!(events, waiting, "an unmatched event waits for its objects, and no other event does");
        events
    }

    /// Checks that the order is paid by one charge, and that one success counted.
    pub(crate) async fn assert_paid_once(&self, client: &Client, payment: &Payment) {
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
pub(crate) async fn two_instances() -> (Shop, Bare, Bare, Payment) {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let (one, other) = (shop.stripe_without_workers().await, shop.stripe_without_workers().await);
    let (_, order_id) = one.hold_and_order(product_id, 1).await;
    let payment = Payment::of(&order_id);
    (shop, one, other, payment)
}

pub(crate) fn outcome(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["status"].as_str().unwrap_or_default())
}

/// Delivers an event in a task of its own.
pub(crate) fn spawn(client: &Client, event: Value) -> tokio::task::JoinHandle<Answer> {
    let client = client.clone();
    tokio::spawn(async move { deliver(&client, &event).await })
}

pub(crate) async fn ask(client: &Client, path: &str) -> Answer {
    client.send(client.request("GET", &format!("/api/admin/{path}")).bearer_auth(TOKEN)).await
}
