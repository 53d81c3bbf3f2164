//! Events that an operator wants pushed again.

use serde_json::json;
use tokio::sync::watch;

use super::shared::{refuse, register, running, silent, tell_of_products};
use super::{ENDPOINTS, Reply, ask};
use crate::support::{Shop, eventually};

#[tokio::test]
async fn one_event_a_range_and_all_from_a_position_are_pushed_again() {
    let shop = Shop::open().await;
    let instance = running(&shop).await;
    let endpoint = register(&instance, Reply::status(200, "")).await;
    let path = format!("{ENDPOINTS}/{}/replay", endpoint.id);
    let replay = async |body| ask(&instance, "POST", &path, Some(body)).await;
    assert_eq!(replay(json!({ "from": 1 })).await.expect(409).code(), "nothing_to_replay");
    tell_of_products(&shop, 150).await;
    shop.until("SELECT CAST(position AS SIGNED) FROM push_cursors", 150).await;
    let mut arrived = 150;
    for (body, from, to) in [
        (json!({ "from": 7, "to": 7 }), 7, 7),
        (json!({ "from": 3, "to": 120 }), 3, 120),
        (json!({ "from": 140 }), 140, 150),
        (json!({ "from": 149, "to": 9_999 }), 149, 150),
    ] {
        assert_eq!(replay(body).await.expect(202).body, json!({ "from": from, "to": to }));
        shop.until("SELECT COUNT(*) FROM push_cursors WHERE replay_position >= replay_until", 1).await;
        let mut again = endpoint.positions().split_off(arrived);
        again.sort_unstable();
        assert_eq!(again, (from..=to).collect::<Vec<i64>>());
        arrived += again.len();
    }
    endpoint.assert_signed();
    for body in [json!({ "from": 0 }), json!({ "from": 2, "to": 1 }), json!({})] {
        assert_eq!(replay(body).await.expect(422).code(), "invalid_body");
    }
    assert_eq!(replay(json!({ "from": 151 })).await.expect(409).code(), "nothing_to_replay");
    let trail = ask(&instance, "GET", &format!("{ENDPOINTS}/{}/trail", endpoint.id), None).await.expect(200).body;
    assert_eq!(trail["items"][0]["action"], "replayed");
    assert_eq!(trail["items"][0]["detail"], json!({ "from": 149, "to": 150 }));
}

#[tokio::test]
async fn a_failed_event_is_replayed_and_then_is_no_failure_any_more() {
    let shop = Shop::open().await;
    let instance = running(&shop).await;
    let (open, gate) = watch::channel(false);
    let endpoint = register(&instance, refuse(move |_| !*gate.borrow())).await;
    tell_of_products(&shop, 1).await;
    endpoint.until_waiting(&shop, 1).await;
    shop.execute("UPDATE push_failures SET attempts = 7").await;
    endpoint.make_due(&shop).await;
    shop.until("SELECT COUNT(*) FROM push_failures WHERE state = 'failed'", 1).await;
    open.send_replace(true);
    let path = format!("{ENDPOINTS}/{}/replay", endpoint.id);
    ask(&instance, "POST", &path, Some(json!({ "from": 1, "to": 1 }))).await.expect(202);
    shop.until("SELECT COUNT(*) FROM push_failures", 0).await;
    assert_eq!(endpoint.positions(), [1, 1, 1]);
}

#[tokio::test]
async fn one_replay_at_a_time_is_under_way_and_the_same_request_again_changes_nothing() {
    let shop = Shop::open().await;
    let instance = running(&shop).await;
    let (open, gate) = watch::channel(true);
    let endpoint = register(&instance, Reply::When(gate)).await;
    tell_of_products(&shop, 20).await;
    shop.until("SELECT CAST(position AS SIGNED) FROM push_cursors", 20).await;
    open.send_replace(false);
    let path = format!("{ENDPOINTS}/{}/replay", endpoint.id);
    let replay = async |body| ask(&instance, "POST", &path, Some(body)).await;
    replay(json!({ "from": 1, "to": 10 })).await.expect(202);
    assert!(eventually(async || endpoint.receiver.received().len() > 20).await, "it has begun");
    assert_eq!(replay(json!({ "from": 2, "to": 12 })).await.expect(409).code(), "replay_under_way");
    replay(json!({ "from": 1, "to": 10 })).await.expect(202);
    for others in [json!({ "from": 1 }), json!({ "from": 1, "to": 11 }), json!({ "from": 3, "to": 10 })] {
        assert_eq!(replay(others).await.expect(409).code(), "replay_under_way");
    }
    open.send_replace(true);
    shop.until("SELECT COUNT(*) FROM push_cursors WHERE replay_position >= replay_until", 1).await;
    let trail = "SELECT COUNT(*) FROM endpoint_trail WHERE action = 'replayed'";
    assert_eq!((endpoint.receiver.received().len(), shop.count(trail).await), (30, 1));
}

#[tokio::test]
async fn a_replay_from_farther_back_is_another_one_and_one_without_an_end_keeps_its_own() {
    let shop = Shop::open().await;
    let api = silent(&shop).await;
    let endpoint = register(&api, Reply::status(200, "")).await;
    let path = format!("{ENDPOINTS}/{}/replay", endpoint.id);
    let replay = async |body| ask(&api, "POST", &path, Some(body)).await;
    shop.execute("UPDATE push_cursors SET position = 20").await;
    replay(json!({ "from": 5, "to": 10 })).await.expect(202);
    assert_eq!(replay(json!({ "from": 1, "to": 10 })).await.expect(409).code(), "replay_under_way");
    let own = format!("{ENDPOINTS}/{}", endpoint.id);
    let shown = ask(&api, "GET", &own, None).await.expect(200).body;
    let under_way = json!({ "from": 5, "to": 10, "position": 4 });
    assert_eq!((&shown["position"], &shown["replay"]), (&json!(20), &under_way));
    shop.execute("UPDATE push_cursors SET replay_position = replay_until").await;
    let begun = replay(json!({ "from": 5 })).await.expect(202).body;
    shop.execute("UPDATE push_cursors SET position = 21").await;
    assert_eq!(replay(json!({ "from": 5 })).await.expect(202).body, begun, "although the endpoint has come farther");
    assert_eq!(begun, json!({ "from": 5, "to": 20 }));
    let trail = "SELECT COUNT(*) FROM endpoint_trail WHERE action = 'replayed'";
    assert_eq!(shop.count(trail).await, 2);
}

#[tokio::test]
async fn a_replay_makes_an_event_due_that_waits() {
    let shop = Shop::open().await;
    let instance = running(&shop).await;
    let (open, gate) = watch::channel(false);
    let endpoint = register(&instance, refuse(move |_| !*gate.borrow())).await;
    tell_of_products(&shop, 2).await;
    endpoint.until_waiting(&shop, 2).await;
    endpoint.postpone(&shop).await;
    open.send_replace(true);
    let path = format!("{ENDPOINTS}/{}/replay", endpoint.id);
    ask(&instance, "POST", &path, Some(json!({ "from": 2, "to": 2 }))).await.expect(202);
    endpoint.until_waiting(&shop, 1).await;
    assert_eq!(endpoint.positions().last(), Some(&2));
    assert_eq!(shop.count("SELECT position FROM push_failures").await, 1);
}
