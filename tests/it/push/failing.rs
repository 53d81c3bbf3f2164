//! Events that an endpoint does not accept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast::config::Config;
use holdfast::domain::PushPrivate;
use serde_json::{Value, json};

use super::shared::{config, refuse, register, running, store, tell, tell_of_products};
use super::{ENDPOINTS, Reply, ask};
use crate::support::{Instance, Shop, mint};

/// A receiver that refuses while the switch is on, and the switch.
fn failing() -> (Reply, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&fails);
    (refuse(move |_| fails.load(Ordering::SeqCst)), switch)
}

#[tokio::test]
async fn an_event_that_fails_holds_back_its_own_order_alone() {
    let shop = Shop::open().await;
    let instance = running(&shop).await;
    let (bad, good) = (mint(), mint());
    let fails = Arc::new(AtomicBool::new(true));
    let (switch, refused) = (Arc::clone(&fails), bad.clone());
    let reply = refuse(move |event| event["data"]["order_id"] == *refused && fails.load(Ordering::SeqCst));
    let endpoint = register(&instance, reply).await;
    tell(&shop, &[&bad, &good, &bad]).await;
    endpoint.until_waiting(&shop, 2).await;
    endpoint.postpone(&shop).await;
    tell(&shop, &[&good, &bad]).await;
    endpoint.until_waiting(&shop, 3).await;
    endpoint.postpone(&shop).await;
    let mut positions = endpoint.positions();
    let before = positions.len();
    positions.sort_unstable();
    positions.dedup();
    assert_eq!(positions, [1, 2, 4], "the first one, and the other order");
    switch.store(false, Ordering::SeqCst);
    endpoint.make_due(&shop).await;
    endpoint.until_idle(&shop).await;
    assert_eq!(endpoint.positions()[before..], [1, 3, 5], "in their order");
    endpoint.assert_signed();
}

#[tokio::test]
async fn an_event_is_tried_by_the_schedule_and_then_failed_and_its_order_goes_on() {
    let shop = Shop::open().await;
    let instance = running(&shop).await;
    let order = mint();
    let endpoint = register(&instance, refuse(|event| event["position"] == 1)).await;
    tell(&shop, &[&order, &order]).await;
    let due = "TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(6), next_at + INTERVAL 1 SECOND)";
    let query = format!("SELECT attempts, {due} FROM push_failures WHERE position = 1");
    for (attempt, seconds) in (1..).zip([5, 300, 1_800, 7_200, 18_000, 36_000, 36_000]) {
        shop.until("SELECT CAST(attempts AS SIGNED) FROM push_failures WHERE position = 1", attempt).await;
        let (attempts, left): (i64, i64) = shop.row(&query).await;
        assert_eq!(attempts, attempt);
        assert!(left <= seconds && left > seconds - 60, "{left} of {seconds} s after attempt {attempt}");
        endpoint.make_due(&shop).await;
    }
    shop.until("SELECT COUNT(*) FROM push_failures WHERE state = 'failed' AND attempts = 8", 1).await;
    endpoint.until_idle(&shop).await;
    assert_eq!(endpoint.positions(), [1, 1, 1, 1, 1, 1, 1, 1, 2]);
    let shown: Vec<Value> = endpoint.attempts(&instance).await;
    assert_eq!(shown.len(), 9);
    assert_eq!((&shown[0]["position"], &shown[0]["outcome"]), (&json!(2), &json!("delivered")));
    let own = format!("{ENDPOINTS}/{}/undelivered", endpoint.id);
    let undelivered = ask(&instance, "GET", &own, None).await.expect(200).body["items"].clone();
    let (state, next) = (&undelivered[0]["state"], undelivered[0].get("next_attempt_at"));
    assert_eq!((undelivered.as_array().map(Vec::len), state, next), (Some(1), &json!("failed"), None));
    for (attempt, shown) in shown[1..].iter().rev().enumerate() {
        let expected = json!([1, attempt + 1, "refused", 503, "no"]);
        let names = ["position", "attempt", "outcome", "status", "answer"];
        assert_eq!(json!(names.map(|name| shown[name].clone())), expected);
    }
}

#[tokio::test]
async fn a_hundred_events_that_fail_stop_the_cursor_until_there_is_room() {
    let shop = Shop::open().await;
    let instance = running(&shop).await;
    let (reply, switch) = failing();
    let endpoint = register(&instance, reply).await;
    tell_of_products(&shop, 130).await;
    endpoint.until_waiting(&shop, 100).await;
    tell_of_products(&shop, 1).await;
    shop.until("SELECT CAST(safe AS SIGNED) FROM feed", 131).await;
    endpoint.make_due(&shop).await;
    shop.until("SELECT COUNT(*) FROM push_failures WHERE attempts >= 2", 100).await;
    let positions = endpoint.positions();
    assert_eq!(positions.iter().max(), Some(&100), "no event behind the cursor was pushed");
    assert_eq!(shop.count("SELECT CAST(position AS SIGNED) FROM push_cursors").await, 100);
    switch.store(false, Ordering::SeqCst);
    endpoint.make_due(&shop).await;
    shop.until("SELECT CAST(position AS SIGNED) FROM push_cursors", 131).await;
    endpoint.until_idle(&shop).await;
    assert_eq!(endpoint.positions().iter().filter(|position| **position > 100).count(), 31);
}

#[tokio::test]
async fn an_endpoint_without_a_success_for_72_hours_is_disabled_and_one_that_succeeds_is_not() {
    let shop = Shop::open().await;
    let instance = running(&shop).await;
    let (reply, switch) = failing();
    let endpoint = register(&instance, reply).await;
    let since =
        |hours: i64| format!("UPDATE push_cursors SET failing_since = UTC_TIMESTAMP(6) - INTERVAL {hours} HOUR");
    tell_of_products(&shop, 1).await;
    endpoint.until_waiting(&shop, 1).await;
    assert_eq!(shop.execute(&since(71)).await, 1);
    endpoint.make_due(&shop).await;
    endpoint.arrived(2).await;
    shop.until("SELECT CAST(attempts AS SIGNED) FROM push_failures", 2).await;
    switch.store(false, Ordering::SeqCst);
    tell_of_products(&shop, 1).await;
    shop.until("SELECT COUNT(*) FROM push_cursors WHERE failing_since IS NULL AND position = 2", 1).await;
    switch.store(true, Ordering::SeqCst);
    endpoint.make_due(&shop).await;
    shop.until("SELECT COUNT(*) FROM push_cursors WHERE failing_since IS NOT NULL", 1).await;
    assert_eq!(shop.count("SELECT COUNT(*) FROM endpoints WHERE disabled_at IS NULL").await, 1);
    shop.execute(&since(73)).await;
    endpoint.make_due(&shop).await;
    shop.until("SELECT COUNT(*) FROM endpoints WHERE disabled_reason = 'failing'", 1).await;
    let own = format!("{ENDPOINTS}/{}", endpoint.id);
    let shown = ask(&instance, "GET", &own, None).await.expect(200).body;
    assert_eq!((&shown["enabled"], &shown["last_attempt"]["status"]), (&json!(false), &json!(503)));
    switch.store(false, Ordering::SeqCst);
    endpoint.postpone(&shop).await;
    ask(&instance, "PATCH", &own, Some(json!({ "enabled": true }))).await.expect(200);
    endpoint.until_idle(&shop).await;
    let anew = shop.count("SELECT COUNT(*) FROM push_cursors WHERE failing_since IS NULL").await;
    assert_eq!(anew, 1, "its time begins again");
}

#[tokio::test]
async fn a_redirect_and_an_address_that_is_not_allowed_are_shown_among_the_attempts() {
    let shop = Shop::open().await;
    let instance = running(&shop).await;
    let elsewhere = register(&instance, Reply::status(200, "")).await;
    let location = format!("location: {}", elsewhere.receiver.url());
    ask(&instance, "PATCH", &format!("{ENDPOINTS}/{}", elsewhere.id), Some(json!({ "enabled": false })))
        .await
        .expect(200);
    let endpoint = register(&instance, Reply::with_header(307, &location, "")).await;
    tell_of_products(&shop, 1).await;
    endpoint.until_waiting(&shop, 1).await;
    let shown = endpoint.attempts(&instance).await;
    assert_eq!((&shown[0]["outcome"], &shown[0]["status"]), (&json!("redirected"), &json!(307)));
    assert_eq!(elsewhere.receiver.connections(), 0);
    instance.service.stop().await;
    // the same endpoint, and an instance that pushes to the internet alone
    let guarded = Instance::start(Config { push_private: PushPrivate::Off, ..config(&shop) }).await;
    endpoint.make_due(&shop).await;
    shop.until("SELECT CAST(attempts AS SIGNED) FROM push_failures", 2).await;
    let shown = endpoint.attempts(&guarded).await;
    assert_eq!((&shown[0]["outcome"], shown[0].get("status")), (&json!("not_allowed"), None));
    assert_eq!(endpoint.receiver.received().len(), 1);
}

#[tokio::test]
async fn an_endpoint_without_attempts_for_a_day_and_one_with_a_new_url_have_their_time_again() {
    let shop = Shop::open().await;
    let instance = running(&shop).await;
    let endpoint = register(&instance, refuse(|_| true)).await;
    tell_of_products(&shop, 1).await;
    endpoint.until_waiting(&shop, 1).await;
    let long_ago = "failing_since = UTC_TIMESTAMP(6) - INTERVAL 700 HOUR";
    let quiet = format!("UPDATE push_cursors SET {long_ago}, failed_at = UTC_TIMESTAMP(6) - INTERVAL 25 HOUR");
    shop.execute(&quiet).await;
    endpoint.make_due(&shop).await;
    shop.until("SELECT CAST(attempts AS SIGNED) FROM push_failures", 2).await;
    let anew = "SELECT COUNT(*) FROM push_cursors WHERE failing_since > UTC_TIMESTAMP(6) - INTERVAL 1 HOUR";
    assert_eq!(shop.count(anew).await, 1, "it did not fail meanwhile");
    shop.execute(&format!("UPDATE push_cursors SET {long_ago}")).await;
    let url = json!({ "url": format!("{}&c=d", endpoint.receiver.url()) });
    ask(&instance, "PATCH", &format!("{ENDPOINTS}/{}", endpoint.id), Some(url)).await.expect(200);
    endpoint.make_due(&shop).await;
    shop.until("SELECT CAST(attempts AS SIGNED) FROM push_failures", 3).await;
    assert_eq!(shop.count(anew).await, 1);
    assert_eq!(shop.count("SELECT COUNT(*) FROM endpoints WHERE disabled_at IS NULL").await, 1);
}

#[tokio::test]
async fn what_an_endpoint_has_not_accepted_is_listed_with_what_it_is_about() {
    let shop = Shop::open().await;
    let instance = running(&shop).await;
    let (order, hold) = (mint(), mint());
    let endpoint = register(&instance, refuse(|_| true)).await;
    tell(&shop, &[&order]).await;
    let of_hold = |kind| json!({ "type": kind, "hold_id": hold, "status": "active" });
    store(&shop, &[of_hold("hold.created"), of_hold("hold.extended")]).await;
    tell_of_products(&shop, 1).await;
    endpoint.until_waiting(&shop, 4).await;
    let list = format!("{ENDPOINTS}/{}/undelivered", endpoint.id);
    let listed = async || ask(&instance, "GET", &list, None).await.expect(200).body["items"].clone();
    let items = listed().await;
    let fields = ["position", "type", "order_id", "hold_id"];
    let shown = |items: &Value| -> Vec<Value> {
        let items = items.as_array().expect("a list");
        items.iter().map(|item| json!(fields.map(|name| item[name].clone()))).collect()
    };
    let expected = [
        json!([1, "order.created", order, null]),
        json!([2, "hold.created", null, hold]),
        json!([3, "hold.extended", null, hold]),
        json!([4, "product.changed", null, null]),
    ];
    assert_eq!(shown(&items), expected);
    assert_eq!((&items[1]["attempts"], &items[2]["attempts"]), (&json!(1), &json!(0)), "it waits for its hold");
    let attempts = endpoint.attempts(&instance).await;
    let of = |position: i64| attempts.iter().find(|attempt| attempt["position"] == position).expect("an attempt");
    assert_eq!(items[0]["event_id"], of(1)["event_id"]);
    assert_eq!(items[1]["event_id"], of(2)["event_id"]);
    // an event that is gone from the feed still waits, by its position
    shop.execute("UPDATE push_failures SET next_at = next_at + INTERVAL 1 HOUR").await;
    shop.execute("DELETE FROM feed_batches WHERE position = 1").await;
    let items = listed().await;
    assert_eq!(shown(&items)[0], json!([1, null, order, null]));
    assert_eq!((items.as_array().map(Vec::len), items[0].get("event_id")), (Some(4), None));
}
