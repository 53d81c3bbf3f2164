//! Events arrive: all of them, in the order of each order, at least once, by one instance at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use holdfast::checkout::push::PushNoted;
use holdfast::config::Config;
use holdfast::domain::mint_id;
use holdfast::push::round::{Message, Target};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::shared::{config, refuse, register, running, silent, store, tell, tell_of_products};
use super::{ENDPOINTS, Reply, ask, here, sender};
use crate::clients::OPERATOR;
use crate::feed::number;
use crate::support::process::Process;
use crate::support::statsd::StatsD;
use crate::support::{Instance, Shop, eventually, mint};

fn accept() -> Reply {
    Reply::status(200, "thanks")
}

#[tokio::test]
async fn a_push_has_what_the_feed_has_in_the_order_of_each_order_and_is_signed() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let instance = running(&shop).await;
    instance.hold_and_order(product_id, 1).await;
    shop.until("SELECT CAST(safe AS SIGNED) FROM feed", 1).await;
    let endpoint = register(&instance, accept()).await;
    let (first, second) = (mint(), mint());
    instance.hold_and_order(product_id, 1).await;
    tell(&shop, &[&first, &second, &first, &first, &second]).await;
    let events = endpoint.arrived(6).await;
    let read = instance.send(instance.request("GET", "/api/feed").bearer_auth(OPERATOR)).await.expect(200);
    let fed: Vec<Value> = read.body["items"].as_array().expect("a list")[1..].to_vec();
    let mut sorted = events.clone();
    sorted.sort_by_key(|event| event["position"].as_i64());
    assert_eq!(sorted, fed, "not the event before the endpoint was registered");
    for order_id in [&first, &second] {
        let of_order = events.iter().filter(|event| event["data"]["order_id"] == **order_id);
        let positions: Vec<_> = of_order.map(|event| event["position"].as_i64()).collect();
        assert!(positions.len() >= 2 && positions.is_sorted(), "{positions:?}");
    }
    endpoint.assert_signed();
}

#[tokio::test]
async fn two_instances_push_every_event_once() {
    let shop = Shop::open().await;
    let (one, two) = (running(&shop).await, running(&shop).await);
    let endpoints = [register(&one, accept()).await, register(&two, accept()).await];
    for _ in 0..5 {
        tell_of_products(&shop, 60).await;
    }
    for endpoint in &endpoints {
        endpoint.arrived(300).await;
    }
    let pushed = "SELECT COUNT(*) FROM push_cursors WHERE position = (SELECT safe FROM feed)";
    shop.until(pushed, 2).await;
    for endpoint in &endpoints {
        let mut positions = endpoint.positions();
        positions.sort_unstable();
        assert_eq!(positions, (1..=300).collect::<Vec<_>>(), "each once");
        endpoint.assert_signed();
    }
}

#[tokio::test]
async fn what_was_sent_and_not_noted_arrives_again_with_the_same_id() {
    let shop = Shop::open().await;
    let api = silent(&shop).await;
    let endpoint = register(&api, accept()).await;
    tell(&shop, &[&mint()]).await;
    number(&api.app).await;
    // an instance pushes, and ends before it notes that
    let (checkout, killed) = (&api.app.checkout, mint_id());
    assert!(checkout.take_push_lease(killed, endpoint.id).await.expect("a database"));
    let round = checkout.begin_push_round(killed, endpoint.id, None, 0).await.expect("a database").expect("a lease");
    let message = |event: &holdfast::checkout::feed::reading::FeedEvent| {
        let (id, order_id) = (event.id(), event.told.order_id);
        Message {
            subject: order_id,
            body: json!({ "id": id, "position": event.position }).to_string().into_bytes(),
            id,
        }
    };
    let messages: Vec<Message> = round.jobs.iter().map(|job| message(&job.event)).collect();
    let (url, timestamp_seconds) = (&endpoint.receiver.url(), round.now.and_utc().timestamp());
    let target = Target { endpoint_id: endpoint.id, url, secrets: &round.endpoint.secrets, timestamp_seconds };
    let (sender, stop) = (sender(here()), CancellationToken::new());
    let ends = sender.send_all(&target, &messages, here().time, &stop).await;
    assert!(ends.len() == 1 && ends[0].is_delivered());
    let other = running(&shop).await;
    assert!(!checkout.take_push_lease(mint_id(), endpoint.id).await.expect("a database"), "the lease lasts");
    shop.execute("UPDATE push_cursors SET leased_until = UTC_TIMESTAMP(6)").await;
    endpoint.arrived(2).await;
    let ids: BTreeSet<String> =
        endpoint.receiver.received().iter().map(|request| request.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), 1);
    endpoint.assert_signed();
    shop.until("SELECT CAST(position AS SIGNED) FROM push_cursors", 1).await;
    let noted = checkout.note_push_round(killed, &round, &ends).await.expect("a database");
    assert_eq!(noted, PushNoted::LeaseLost);
    assert_eq!(endpoint.attempts(&other).await.len(), 1, "the lost note left nothing");
}

#[tokio::test]
async fn an_endpoint_that_hangs_delays_none_of_49_others() {
    let shop = Shop::open().await;
    // no attempt ends by itself
    let instance = Instance::start(Config { push_time: Duration::from_secs(600), ..config(&shop) }).await;
    let (open, gate) = watch::channel(false);
    let hanging = register(&instance, Reply::When(gate)).await;
    let mut others = Vec::new();
    for _ in 0..49 {
        others.push(register(&instance, accept()).await);
    }
    tell_of_products(&shop, 20).await;
    assert!(eventually(async || hanging.receiver.received().len() == 4).await, "as many as it has connections");
    for other in &others {
        other.arrived(20).await;
    }
    tell_of_products(&shop, 1).await;
    for other in &others {
        other.arrived(21).await;
    }
    open.send_replace(true);
    hanging.arrived(21).await;
}

#[tokio::test]
async fn a_disabled_endpoint_gets_nothing_until_it_is_enabled_and_then_what_it_missed() {
    let shop = Shop::open().await;
    let instance = running(&shop).await;
    let endpoint = register(&instance, accept()).await;
    let own = format!("{ENDPOINTS}/{}", endpoint.id);
    tell_of_products(&shop, 1).await;
    endpoint.arrived(1).await;
    ask(&instance, "PATCH", &own, Some(json!({ "enabled": false }))).await.expect(200);
    tell_of_products(&shop, 2).await;
    shop.until("SELECT CAST(safe AS SIGNED) FROM feed", 3).await;
    // its task has seen that it is disabled, and has given the lease back
    shop.until("SELECT COUNT(*) FROM push_cursors WHERE holder IS NULL", 1).await;
    assert_eq!(endpoint.positions(), [1]);
    ask(&instance, "PATCH", &own, Some(json!({ "enabled": true }))).await.expect(200);
    endpoint.arrived(3).await;
    assert_eq!(endpoint.positions(), [1, 2, 3]);
}

#[tokio::test]
async fn an_instance_that_stops_gives_its_leases_back() {
    let shop = Shop::open().await;
    let instance = running(&shop).await;
    let endpoint = register(&instance, accept()).await;
    tell_of_products(&shop, 1).await;
    endpoint.arrived(1).await;
    instance.service.stop().await;
    let free = "SELECT COUNT(*) FROM push_cursors WHERE holder IS NULL AND position = 1";
    assert_eq!(shop.count(free).await, 1);
}

#[tokio::test]
async fn attempts_and_the_oldest_event_that_is_not_delivered_are_measured() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let settings = [("HOLDFAST_ADMIN_TOKEN", OPERATOR), ("HOLDFAST_PUSH_PRIVATE", "on"), statsd.setting()];
    let (_process, client) = Process::serve(&shop.database.url, &settings).await;
    let endpoint = register(&client, refuse(|event| event["position"] == 1)).await;
    tell_of_products(&shop, 2).await;
    endpoint.arrived(2).await;
    statsd.counted("push.attempts", &["outcome:delivered"], 1).await;
    statsd.told("push.attempts", "c", &["outcome:refused"], 1).await;
    // the first event is not delivered, and grows older
    statsd.gauged("push.oldest_undelivered_s", &["endpoint:1"], |age| age > 0.0).await;
}

#[tokio::test]
async fn events_of_types_that_only_a_later_version_knows_are_left_out_and_stop_nothing() {
    let shop = Shop::open().await;
    let instance = running(&shop).await;
    let endpoint = register(&instance, accept()).await;
    let order = mint();
    let unknown = json!({ "type": "order.moved", "order_id": order });
    store(&shop, &vec![unknown; 90]).await;
    store(&shop, &[json!({ "type": "order.created", "order_id": order })]).await;
    endpoint.arrived(1).await;
    // an instance of the later version has failed to push some
    let waiting =
        "INSERT INTO push_failures (endpoint_id, position, row_position, state, attempts, happened_at, next_at)";
    let rows: Vec<String> =
        (1..=30).map(|position| format!("(1, {position}, 90, 'waiting', 1, NOW(6), UTC_TIMESTAMP(6))")).collect();
    shop.execute(&format!("{waiting} VALUES {}", rows.join(", "))).await;
    tell_of_products(&shop, 1).await;
    endpoint.arrived(2).await;
    endpoint.until_idle(&shop).await;
    assert_eq!(endpoint.positions(), [91, 92]);
}

#[tokio::test]
async fn a_change_by_an_operator_and_a_stop_end_a_round_whose_answers_hang() {
    let shop = Shop::open().await;
    // no attempt ends by itself
    let config = Config { push_time: Duration::from_secs(600), ..config(&shop) };
    let instance = Instance::start(config).await;
    let (_open, gate) = watch::channel(false);
    let endpoint = register(&instance, Reply::When(gate)).await;
    tell_of_products(&shop, 10).await;
    let hangs = async |count| eventually(async || endpoint.receiver.received().len() == count).await;
    assert!(hangs(4).await, "as many as it has connections");
    let own = format!("{ENDPOINTS}/{}", endpoint.id);
    ask(&instance, "PATCH", &own, Some(json!({ "enabled": false }))).await.expect(200);
    shop.until("SELECT COUNT(*) FROM push_cursors WHERE holder IS NULL", 1).await;
    assert!(hangs(4).await, "no other push has begun");
    ask(&instance, "PATCH", &own, Some(json!({ "enabled": true }))).await.expect(200);
    assert!(hangs(8).await, "it is pushed to again");
    instance.service.stop().await;
    assert_eq!(shop.count("SELECT COUNT(*) FROM push_cursors WHERE holder IS NULL AND position = 0").await, 1);
}
