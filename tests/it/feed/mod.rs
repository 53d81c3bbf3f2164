//! The feed: what happened, in one order that never changes.

mod availability;
mod epoch;
mod faults;
mod holds;
mod numbered;
mod told;
mod waiting;

use std::collections::BTreeMap;

use holdfast::app::App;
use holdfast::config::Config;
use holdfast::domain::{AdminToken, FeedHolds};
use serde_json::Value;

use crate::clients::OPERATOR;
use crate::support::{Answer, Bare, Client, Shop, with_policy};

/// Reads a page of the feed with a token.
async fn page(client: &Client, token: &str, query: &str) -> Answer {
    client.send(client.request("GET", &format!("/api/feed?{query}")).bearer_auth(token)).await
}

/// Reads the feed from the beginning to its end, in pages of `limit` events.
pub(crate) async fn read_all(client: &Client, token: &str, limit: usize) -> Vec<Value> {
    let (mut items, mut query) = (Vec::new(), format!("limit={limit}"));
    loop {
        let read = page(client, token, &query).await.expect(200);
        let events = read.body["items"].as_array().expect("a list").clone();
        if events.is_empty() {
            return items;
        }
        items.extend(events);
        query = format!("limit={limit}&after={}", read.text("next"));
    }
}

/// Gives all committed events their positions.
pub(crate) async fn number(app: &App) {
    while app.checkout.number_feed().await.expect("the step runs") {}
}

/// A service with a token of operators that tells of holds.
pub(crate) async fn telling(shop: &Shop) -> Bare {
    let config = Config { admin_token: AdminToken::new(OPERATOR), ..shop.config() };
    shop.serve_without_workers_as(with_policy(config, |policy| policy.feed_holds = FeedHolds::On)).await
}

/// Numbers the feed and reads all of it as an operator.
async fn told(client: &Bare) -> Vec<Value> {
    number(&client.app).await;
    read_all(client, OPERATOR, 1000).await
}

/// Returns the types of events.
fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().expect("a type")).collect()
}

/// Checks that the positions of an operator's feed follow each other from 1 on, and that no event is there twice.
fn assert_whole(events: &[Value]) {
    let positions: Vec<i64> = events.iter().map(|event| event["position"].as_i64().expect("a position")).collect();
    assert_eq!(positions, (1..=positions.len() as i64).collect::<Vec<_>>());
    let mut names: Vec<&str> = events.iter().map(|event| event["id"].as_str().expect("a name")).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), events.len());
}

/// Checks that the events of each order are those of its trail, in its order.
async fn assert_as_trails(shop: &Shop, events: &[Value]) {
    let mut by_order: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for event in events {
        let data = &event["data"];
        let kind = event["type"].as_str().expect("a type").to_owned();
        if kind.starts_with("order.") || kind == "payment.failed" {
            let (order_id, status) =
                (data["order_id"].as_str().expect("an order"), data["status"].as_str().expect("a state"));
            by_order.entry(order_id.to_owned()).or_default().push((kind, status.to_owned()));
        }
    }
    let trails: Vec<(String, String, String)> =
        shop.rows("SELECT LOWER(HEX(order_id)), reason, to_status FROM order_events ORDER BY id").await;
    let mut expected: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for (order_id, reason, status) in trails {
        let kind = match reason.as_str() {
            "created" => "order.created",
            "payment_succeeded" => "order.paid",
            "payment_refunded" | "payment_part_refunded" => "order.refunded",
            "payment_attempt_failed" => "payment.failed",
            _ => "order.cancelled",
        };
        let order_id = uuid::Uuid::parse_str(&order_id).expect("an id").to_string();
        expected.entry(order_id).or_default().push((kind.to_owned(), status));
    }
    assert_eq!(by_order, expected);
}
