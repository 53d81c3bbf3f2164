//! Readers that wait for events.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::{number, page, types};
use crate::clients::{OPERATOR, managed};
use crate::support::Shop;
use crate::support::proxy::{Action, Rule};

/// Longer than any answer of a service at work, and shorter than the longest wait for an event.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_reader_that_waits_is_answered_as_soon_as_something_is_told() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = Arc::new(managed(&shop).await);
    let reading = {
        let client = Arc::clone(&client);
        tokio::spawn(async move { page(&client, OPERATOR, "wait=30").await })
    };
    while !client.app.checkout.feed_is_awaited() {
        tokio::task::yield_now().await;
    }
    client.hold_and_order(product_id, 1).await;
    number(&client.app).await;
    let read = timeout(SOON, reading).await.expect("it does not wait on").expect("a task").expect(200);
    assert_eq!(types(read.body["items"].as_array().expect("a list")), ["order.created"]);
}

#[tokio::test]
async fn a_service_that_stops_answers_readers_that_wait_at_once() {
    let shop = Shop::open().await;
    let client = Arc::new(managed(&shop).await);
    let reading = {
        let client = Arc::clone(&client);
        tokio::spawn(async move { page(&client, OPERATOR, "wait=30").await })
    };
    while !client.app.checkout.feed_is_awaited() {
        tokio::task::yield_now().await;
    }
    client.app.drain();
    let read = timeout(SOON, reading).await.expect("it does not wait on").expect("a task").expect(200);
    assert_eq!(read.body["items"].as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn a_running_service_tells_of_its_own_and_of_what_another_instance_did() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let (mut config, silent) = (shop.config(), shop.serve_without_workers().await);
    config.admin_token = holdfast::domain::AdminToken::new(OPERATOR);
    let running = crate::support::Instance::start(config).await;
    running.hold_and_order(product_id, 1).await;
    let read = timeout(SOON, page(&running, OPERATOR, "wait=30")).await.expect("it is told").expect(200);
    assert_eq!(types(read.body["items"].as_array().expect("a list")), ["order.created"]);
    let mut next = read.text("next");
    for _ in 0..3 {
        let after = format!("wait=30&after={next}");
        let reading = timeout(SOON, page(&running, OPERATOR, &after));
        let (read, _) = tokio::join!(reading, silent.hold_and_order(product_id, 1));
        let read = read.expect("it is told").expect(200);
        assert_eq!(types(read.body["items"].as_array().expect("a list")), ["order.created"]);
        next = read.text("next");
    }
}

#[tokio::test]
async fn readers_take_few_of_the_connections_however_many_read_at_once() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = Arc::new(managed(&shop).await);
    let paused = client.proxy.on(Rule::from("-- feed/find:").always(), Action::PauseBefore);
    let readers: Vec<_> = (0..30)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { page(&client, OPERATOR, "").await })
        })
        .collect();
    paused.reached_by(4).await;
    // others are served while these wait for the database
    assert_eq!(client.available(product_id).await, 10);
    assert_eq!(paused.hits(), 4);
    drop(paused);
    for reader in readers {
        reader.await.expect("a task").expect(200);
    }
}
