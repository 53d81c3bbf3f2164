//! Positions that are given again, after tables of the feed were restored without those of endpoints.

use std::collections::BTreeSet;

use holdfast::checkout::push::{PushNoted, PushRound};
use holdfast::domain::{AttemptOutcome, mint_id};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::shared::{refuse, register, running, silent, tell, tell_of_products};
use super::worker::tried;
use super::{ENDPOINTS, Reply, ask};
use crate::feed::number;
use crate::support::{Shop, mint};

/// The feed has lost the positions behind the tenth; those of its events that are left get others.
async fn go_back(shop: &Shop) {
    shop.execute("UPDATE feed SET position = 10, safe = 10").await;
    shop.execute("UPDATE feed_batches SET position = NULL WHERE position > 10").await;
}

#[tokio::test]
async fn events_that_get_positions_again_below_a_cursor_are_pushed_again() {
    for is_restarted in [true, false] {
        let shop = Shop::open().await;
        let mut instance = running(&shop).await;
        let endpoint = register(&instance, Reply::status(200, "")).await;
        tell_of_products(&shop, 10).await;
        shop.until("SELECT CAST(position AS SIGNED) FROM push_cursors", 10).await;
        tell_of_products(&shop, 10).await;
        shop.until("SELECT CAST(position AS SIGNED) FROM push_cursors", 20).await;
        if is_restarted {
            instance.service.stop().await;
            go_back(&shop).await;
            instance = running(&shop).await;
        } else {
            go_back(&shop).await;
        }
        tell_of_products(&shop, 5).await;
        let events = endpoint.arrived(35).await;
        let ids: BTreeSet<&str> = events.iter().filter_map(|event| event["id"].as_str()).collect();
        assert_eq!(ids.len(), 25, "all events, and those that have other positions now once more");
        let mut again = endpoint.positions().split_off(20);
        again.sort_unstable();
        assert_eq!(again, (11..=25).collect::<Vec<i64>>());
        endpoint.assert_signed();
        drop(instance);
    }
}

#[tokio::test]
async fn what_waited_at_a_position_that_is_given_again_is_not_taken_for_another_event() {
    let shop = Shop::open().await;
    let instance = running(&shop).await;
    let (open, gate) = watch::channel(false);
    let endpoint = register(&instance, refuse(move |_| !*gate.borrow())).await;
    tell_of_products(&shop, 10).await;
    tell_of_products(&shop, 10).await;
    endpoint.until_waiting(&shop, 20).await;
    endpoint.postpone(&shop).await;
    // the second row is lost, and others come in its place
    shop.execute("DELETE FROM feed_batches WHERE position > 10").await;
    shop.execute("UPDATE feed SET position = 10, safe = 10").await;
    let begun = shop.app().checkout.begin_feed_epoch().await.expect("it begins");
    shop.until("SELECT COUNT(*) FROM push_failures WHERE position > 10", 0).await;
    assert!(begun.brought_back.is_empty() || begun.brought_back == [endpoint.id]);
    open.send_replace(true);
    let orders: Vec<String> = (0..10).map(|_| mint()).collect();
    let orders: Vec<&str> = orders.iter().map(String::as_str).collect();
    tell(&shop, &orders[..3]).await;
    tell(&shop, &orders[3..]).await;
    let arrived = "SELECT CAST(position AS SIGNED) FROM push_cursors";
    shop.until(arrived, 20).await;
    let events = endpoint.events();
    for order_id in &orders {
        assert_eq!(events.iter().filter(|event| event["data"]["order_id"] == **order_id).count(), 1);
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM push_failures WHERE position > 10").await, 0);
    endpoint.until_waiting(&shop, 10).await;
}

#[tokio::test]
async fn what_an_instance_remembers_of_a_feed_that_went_back_does_not_count() {
    for (has_new_epoch, cursor) in [(true, 0), (false, 0), (false, 15)] {
        let shop = Shop::open().await;
        let api = silent(&shop).await;
        let endpoint = register(&api, Reply::status(200, "")).await;
        let checkout = &api.app.checkout;
        let path = format!("{ENDPOINTS}/{}", endpoint.id);
        ask(&api, "PATCH", &path, Some(json!({ "types": ["order.created"] }))).await.expect(200);
        let holder = mint_id();
        assert!(checkout.take_push_lease(holder, endpoint.id).await.expect("a database"));
        let begin = async |before: Option<&PushRound>| {
            let seen = before.and_then(PushRound::seen);
            let begun = checkout.begin_push_round(holder, endpoint.id, seen, 0).await;
            begun.expect("a database").expect("a lease")
        };
        tell_of_products(&shop, 10).await;
        tell_of_products(&shop, 10).await;
        number(&api.app).await;
        shop.execute(&format!("UPDATE push_cursors SET position = {cursor}")).await;
        let round = begin(None).await;
        assert!(round.is_empty() && round.seen().is_some());
        go_back(&shop).await;
        shop.execute("DELETE FROM feed_batches WHERE position IS NULL").await;
        if has_new_epoch {
            checkout.begin_feed_epoch().await.expect("it begins");
        }
        let order_id = mint();
        tell(&shop, &[&order_id]).await;
        tell_of_products(&shop, 10).await;
        number(&api.app).await;
        let round = begin(Some(&round)).await;
        let found: Vec<Value> = round.jobs.iter().map(|job| json!(job.event.told.order_id)).collect();
        assert_eq!(found, [json!(order_id)], "new epoch: {has_new_epoch}, cursor {cursor}");
    }
}

#[tokio::test]
async fn a_round_that_began_before_the_feed_went_back_does_not_count() {
    let shop = Shop::open().await;
    let api = silent(&shop).await;
    let endpoint = register(&api, Reply::status(200, "")).await;
    let (checkout, holder) = (&api.app.checkout, mint_id());
    assert!(checkout.take_push_lease(holder, endpoint.id).await.expect("a database"));
    tell_of_products(&shop, 10).await;
    tell_of_products(&shop, 10).await;
    number(&api.app).await;
    let begin =
        async || checkout.begin_push_round(holder, endpoint.id, None, 0).await.expect("a database").expect("a lease");
    let round = begin().await;
    assert_eq!(round.jobs.len(), 20);
    go_back(&shop).await;
    number(&api.app).await;
    let ends = vec![tried(AttemptOutcome::Delivered); 20];
    let noted = checkout.note_push_round(holder, &round, &ends).await.expect("a database");
    assert_eq!(noted, PushNoted::LeaseLost);
    assert_eq!(begin().await.jobs.len(), 20);
}
