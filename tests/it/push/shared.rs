//! What tests of deliveries share: endpoints of receivers on this machine, and events.

use std::sync::Arc;

use holdfast::config::Config;
use holdfast::domain::{AdminToken, PushPrivate};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::{ENDPOINTS, Received, Receiver, Reply, ask};
use crate::clients::OPERATOR;
use crate::support::{Bare, Client, Instance, Shop, eventually, mint};

/// A registered endpoint.
pub(super) struct Registered {
    pub(super) receiver: Receiver,
    pub(super) id: i64,
    pub(super) secret: String,
}

pub(super) fn config(shop: &Shop) -> Config {
    Config { admin_token: AdminToken::new(OPERATOR), push_private: PushPrivate::On, ..shop.config() }
}

/// An instance that pushes to this machine.
pub(super) async fn running(shop: &Shop) -> Instance {
    Instance::start(config(shop)).await
}

/// An instance without workers.
pub(super) async fn silent(shop: &Shop) -> Bare {
    shop.serve_without_workers_as(config(shop)).await
}

/// Registers an endpoint with a receiver that replies like this.
pub(super) async fn register(client: &Client, reply: Reply) -> Registered {
    let receiver = Receiver::start(reply).await;
    let made = ask(client, "POST", ENDPOINTS, Some(json!({ "url": receiver.url() }))).await.expect(201);
    Registered { receiver, id: made.body["id"].as_i64().expect("an id"), secret: made.text("secret") }
}

/// A receiver that refuses while this is true of an event.
pub(super) fn refuse(refused: impl Fn(&Value) -> bool + Send + Sync + 'static) -> Reply {
    Reply::By(Arc::new(move |request| if refused(&event(request)) { 503 } else { 200 }))
}

/// The event in a request.
pub(super) fn event(request: &Received) -> Value {
    serde_json::from_slice(&request.body).expect("JSON")
}

/// Stores events, as a transaction tells them: of orders that nothing else knows, by their ids.
pub(super) async fn tell(shop: &Shop, orders: &[&str]) {
    let events: Vec<Value> = orders
        .iter()
        .map(|order_id| json!({ "type": "order.created", "order_id": order_id, "status": "pending" }))
        .collect();
    store(shop, &events).await;
}

/// Stores as many events that are of no order.
pub(super) async fn tell_of_products(shop: &Shop, count: usize) {
    let events: Vec<Value> = (0..count).map(|id| json!({ "type": "product.changed", "product_id": id })).collect();
    store(shop, &events).await;
}

/// Stores events of one row.
pub(super) async fn store(shop: &Shop, events: &[Value]) {
    let text = serde_json::to_string(events).expect("JSON");
    let insert = "INSERT INTO feed_batches (client_id, items, transitions, batch, events) VALUES (-1, ";
    shop.execute(&format!("{insert}{}, 0, x'{}', '{text}')", events.len(), mint().replace('-', ""))).await;
}

impl Registered {
    /// Waits until so many requests have arrived, and returns their events.
    pub(super) async fn arrived(&self, count: usize) -> Vec<Value> {
        let arrived = eventually(async || self.receiver.received().len() >= count).await;
        let events = self.events();
        assert!(arrived, "{} of {count} events: {events:?}", events.len());
        events
    }

    /// Returns the events of all requests that have arrived.
    pub(super) fn events(&self) -> Vec<Value> {
        self.receiver.received().iter().map(event).collect()
    }

    /// Returns the positions of the events of all requests that have arrived.
    pub(super) fn positions(&self) -> Vec<i64> {
        self.events().iter().map(|event| event["position"].as_i64().expect("a position")).collect()
    }

    /// Checks that each request is signed, and named by its event.
    pub(super) fn assert_signed(&self) {
        for request in self.receiver.received() {
            let (id, at) = (request.header("webhook-id"), request.header("webhook-timestamp"));
            let at = at.parse().expect("seconds");
            let signed = Webhook::new(&self.secret).expect("a secret").sign(id, at, &request.body).expect("it signs");
            assert_eq!(request.header("webhook-signature"), signed);
            assert_eq!(event(&request)["id"].as_str(), Some(id));
        }
    }

    /// Waits until the cursor is at the end of the feed, and nothing waits.
    pub(super) async fn until_idle(&self, shop: &Shop) {
        let waiting = "SELECT COUNT(*) FROM push_failures WHERE state = 'waiting' AND endpoint_id =";
        shop.until(&format!("{waiting} {}", self.id), 0).await;
    }

    /// Waits until so many events wait.
    pub(super) async fn until_waiting(&self, shop: &Shop, count: i64) {
        let waiting = "SELECT COUNT(*) FROM push_failures WHERE state = 'waiting' AND endpoint_id =";
        shop.until(&format!("{waiting} {}", self.id), count).await;
    }

    /// Makes everything that waits due.
    pub(super) async fn make_due(&self, shop: &Shop) {
        shop.execute(&format!("UPDATE push_failures SET next_at = UTC_TIMESTAMP(6) WHERE endpoint_id = {}", self.id))
            .await;
    }

    /// Lets nothing that waits be due.
    pub(super) async fn postpone(&self, shop: &Shop) {
        let later = "UPDATE push_failures SET next_at = UTC_TIMESTAMP(6) + INTERVAL 1 DAY WHERE endpoint_id =";
        shop.execute(&format!("{later} {}", self.id)).await;
    }

    /// Reads the attempts of this endpoint, the newest first.
    pub(super) async fn attempts(&self, client: &Client) -> Vec<Value> {
        let path = format!("{ENDPOINTS}/{}/attempts?limit=100", self.id);
        let read = ask(client, "GET", &path, None).await.expect(200);
        read.body["items"].as_array().expect("a list").clone()
    }
}
