//! A request that is sent again, at once or later, because its response was lost: it takes effect once, and every copy gets
//! the first response.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::idempotency_cuts::paid_hold;
use crate::support::proxy::{Action, Rule};
use crate::support::{Answer, Bare, Client, Shop, mint, together};

pub(crate) const HOLDS: &str = "/api/holds";
pub(crate) const ORDERS: &str = "/api/orders";
pub(crate) const WEBHOOK: &str = "/api/payments/webhook";

fn post_keyed(client: &Client, path: &'static str, key: &'static str, body: &Value) -> JoinHandle<Answer> {
    let (client, body) = (client.clone(), body.clone());
    tokio::spawn(async move { client.post_keyed(path, key, &body).await })
}

/// Returns the response's text without `expires_in`, which each response computes anew.
pub(crate) fn lasting(answer: &Answer) -> String {
    let Some((before, after)) = answer.text.split_once("\"expires_in\":") else { return answer.text.clone() };
    format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// Asserts that a replay equals the first success.
#[track_caller]
pub(crate) fn assert_replays(replay: &Answer, first: &Answer) {
    assert!(replay.is_replayed() && !first.is_replayed(), "{first:?} {replay:?}");
    assert_eq!((replay.status, lasting(replay)), (201, lasting(first)));
    assert_eq!(replay.header("location"), first.header("location"));
}

#[tokio::test]
async fn a_hold_is_replayed_as_it_was_whatever_happened_to_it_later() {
    let shop = Shop::open().await;
    let product_id = shop.product(9).await;
    let client = shop.serve_without_workers().await;
    let body = json!({ "product_id": product_id, "qty": 3 });
    let mut firsts = Vec::new();
    for key in ["released", "ordered", "paid"] {
        let first = client.post_keyed(HOLDS, key, &body).await.expect(201);
        assert_replays(&client.post_keyed(HOLDS, key, &body).await, &first);
        firsts.push((key, first));
    }
    client.release(&firsts[0].1.text("hold_id")).await.expect(200);
    client.order(&firsts[1].1.text("hold_id")).await;
    let order_id = client.order(&firsts[2].1.text("hold_id")).await;
    client.pay(&order_id, "paid", "k").await.expect(200);
    for (key, first) in &firsts {
        assert_replays(&client.post_keyed(HOLDS, key, &body).await, first);
    }
    assert_eq!(shop.reserved(product_id).await, 6);
    assert_eq!(shop.count("SELECT COUNT(*) FROM holds").await, 3);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_replay_of_a_hold_that_ran_out_shows_that_no_seconds_are_left() {
    let shop = Shop::open().await;
    let product_id = shop.product(3).await;
    let client = shop.serve_with_ttls(1, 900).await;
    let body = json!({ "product_id": product_id, "qty": 3 });
    let first = client.post_keyed(HOLDS, "k", &body).await.expect(201);
    assert_eq!(first.body["expires_in"], 1);
    shop.until_holds_have_run_out().await;
    shop.app().checkout.expire_holds().await.expect("the step runs");
    let replay = client.post_keyed(HOLDS, "k", &body).await;
    assert_replays(&replay, &first);
    assert_eq!((&replay.body["status"], &replay.body["expires_in"]), (&json!("active"), &json!(0)));
    assert_eq!(client.hold_status(&first.text("hold_id")).await, "expired");
    assert_eq!(client.available(product_id).await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_copies_of_a_hold_at_once_are_one_hold() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let instances = [shop.serve().await, shop.serve().await];
    let body = json!({ "product_id": product_id, "qty": 2 });
    let copies = (0..50).map(|copy| post_keyed(&instances[copy % 2], HOLDS, "key", &body));
    assert_one_answer(together(copies).await.into_iter().map(|joined| joined.expect("no panic")).collect());
    assert_eq!(shop.reserved(product_id).await, 2);
    assert_eq!(shop.count("SELECT COUNT(*) FROM holds").await, 1);
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_copies_of_an_order_at_once_are_one_order() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let instances = [shop.serve().await, shop.serve().await];
    let body = json!({ "hold_id": instances[0].hold(product_id, 2).await });
    let copies = (0..50).map(|copy| post_keyed(&instances[copy % 2], ORDERS, "key", &body));
    assert_one_answer(together(copies).await.into_iter().map(|joined| joined.expect("no panic")).collect());
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders").await, 1);
    assert_eq!(shop.count("SELECT COUNT(*) FROM order_events").await, 1);
    shop.assert_conserved().await;
}

/// Asserts that all responses are equal, and all but one are marked as replays.
fn assert_one_answer(answers: Vec<Answer>) {
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    let texts: BTreeSet<String> = answers.iter().map(lasting).collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert_eq!(answers.iter().filter(|answer| !answer.is_replayed()).count(), 1, "{answers:?}");
}

#[tokio::test]
async fn a_copy_waits_until_the_first_request_commits() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let (client, other) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    let hold = json!({ "product_id": product_id, "qty": 1 });
    let order = json!({ "hold_id": client.hold(product_id, 1).await });
    for (path, body) in [(HOLDS, hold), (ORDERS, order)] {
        let commit = client.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
        let first = post_keyed(&client, path, "key", &body);
        commit.reached().await;
        let copy = post_keyed(&other, path, "key", &body);
        shop.until_running("idempotency_keys/insert").await;
        commit.release();
        let (first, copy) = (first.await.expect("no panic"), copy.await.expect("no panic"));
        assert_replays(&copy, &first.expect(201));
    }
    assert_eq!(shop.reserved(product_id).await, 2);
}

#[tokio::test]
async fn a_copy_that_waited_for_a_refused_request_is_served_as_the_first() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let (client, other) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    // the first instance must not know yet that no unit is left, or it would not write the key
    let hold_id = other.hold(product_id, 1).await;
    let body = json!({ "product_id": product_id, "qty": 1 });

    let rollback = client.proxy.on(Rule::exactly("ROLLBACK"), Action::PauseBefore);
    let first = post_keyed(&client, HOLDS, "key", &body);
    rollback.reached().await;
    other.release(&hold_id).await.expect(200);
    let copy = post_keyed(&other, HOLDS, "key", &body);
    shop.until_running("idempotency_keys/insert").await;
    rollback.release();
    let answers = [first.await.expect("no panic"), copy.await.expect("no panic")];
    let copy = answers[1].clone().expect(201);
    assert!(!copy.is_replayed() || answers[0].status == 201, "{answers:?}");
    assert_eq!((shop.reserved(product_id).await, shop.count("SELECT COUNT(*) FROM holds").await), (1, 2));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_key_stands_for_one_request() {
    let (shop, product_id, client) = Shop::selling(10).await;
    let other_product = shop.product(10).await;
    let hold = client.post_keyed(HOLDS, "key", &json!({ "product_id": product_id, "qty": 1 })).await.expect(201);
    for (product_id, qty) in [(product_id, 2), (other_product, 1)] {
        let other = json!({ "product_id": product_id, "qty": qty });
        client.post_keyed(HOLDS, "key", &other).await.refused(422, "idempotency_key_reuse");
    }
    let (hold_id, other_hold) = (hold.text("hold_id"), client.hold(product_id, 1).await);
    client.post_keyed(ORDERS, "key", &json!({ "hold_id": hold_id })).await.expect(201);
    for other in [json!({ "hold_id": other_hold }), json!({ "hold_id": hold_id, "order_id": mint() })] {
        client.post_keyed(ORDERS, "key", &other).await.refused(422, "idempotency_key_reuse");
    }
    assert_eq!(client.hold_status(&other_hold).await, "active");
    assert_eq!((shop.reserved(product_id).await, shop.reserved(other_product).await), (2, 0));
    assert_eq!(shop.count("SELECT CAST(SUM(replays) AS SIGNED) FROM idempotency_keys").await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refusal_is_not_recorded() {
    let (shop, product_id, client) = Shop::selling(2).await;
    let body = json!({ "product_id": product_id, "qty": 1 });
    let (taken, order) = client.hold_and_order(product_id, 2).await;
    client.post_keyed(HOLDS, "key", &body).await.refused(409, "all_held");
    client.cancel(&order).await.expect(200);
    let first = client.post_keyed(HOLDS, "key", &body).await.expect(201);
    assert!(!first.is_replayed());
    assert_replays(&client.post_keyed(HOLDS, "key", &body).await, &first);

    client.post_keyed(ORDERS, "key", &json!({ "hold_id": taken })).await.refused(409, "hold_used");
    let order = json!({ "hold_id": first.text("hold_id") });
    assert!(!client.post_keyed(ORDERS, "key", &order).await.expect(201).is_replayed());
    shop.assert_conserved().await;
}

#[tokio::test]
async fn keys_differ_by_case_and_by_operation() {
    let (shop, product_id, client) = Shop::selling(10).await;
    let body = json!({ "product_id": product_id, "qty": 1 });
    let mut holds = BTreeSet::new();
    for key in ["key", "Key", "KEY"] {
        let first = client.post_keyed(HOLDS, key, &body).await.expect(201);
        assert!(!first.is_replayed());
        let order = json!({ "hold_id": first.text("hold_id") });
        assert!(!client.post_keyed(ORDERS, key, &order).await.expect(201).is_replayed());
        holds.insert(first.text("hold_id"));
    }
    assert_eq!((holds.len(), shop.reserved(product_id).await), (3, 3));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_order_is_replayed_with_the_status_of_the_first_response() {
    let (shop, product_id, client) = Shop::selling(10).await;
    let body = json!({ "hold_id": client.hold(product_id, 1).await });
    let first = client.post_keyed(ORDERS, "pending", &body).await.expect(201);
    let order_id = first.text("order_id");
    assert_eq!(first.text("status"), "pending");
    client.pay(&order_id, "paid", "k1").await.expect(200);
    assert_replays(&client.post_keyed(ORDERS, "pending", &body).await, &first);
    assert_eq!(client.order_status(&order_id).await, "paid");

    let hold_id = client.hold(product_id, 1).await;
    client.webhook(&json!({ "hold_id": hold_id, "status": "paid", "idempotency_key": "k2" })).await.expect(202);
    let body = json!({ "hold_id": hold_id });
    let first = client.post_keyed(ORDERS, "paid", &body).await.expect(201);
    assert_eq!(first.text("status"), "paid");
    client.pay(&first.text("order_id"), "refunded", "k3").await.expect(200);
    assert_replays(&client.post_keyed(ORDERS, "paid", &body).await, &first);
    assert_eq!(client.order_status(&first.text("order_id")).await, "refunded");
    shop.assert_conserved().await;
}

/// The order in which a first request and its copy read and write the key's row.
#[derive(Clone, Copy, Debug)]
enum Meeting {
    /// The copy is counted and gets its response before the first response is recorded.
    CopyBeforeAnswer,
    /// The copy is counted, but not committed, when the first response is recorded.
    CopyUncommitted,
    /// The first response is recorded, but not committed, when the copy is counted.
    AnswerUncommitted,
    /// The copy has read the row; the first response is recorded and sent before the copy is counted.
    CopyHasReadBefore,
}

/// Sends a request with a waiting payment and a copy of it at the same time. Returns both responses.
async fn meet(shop: &Shop, [client, other]: [&Bare; 2], meeting: Meeting, body: &Value) -> [Answer; 2] {
    let answering = Rule::from("-- idempotency_keys/answer:");
    let counting = Rule::from("-- idempotency_keys/insert:");
    let (key, path) = ("key", ORDERS);
    let joined = |copy: Answer, first: Answer| [first, copy];
    match meeting {
        Meeting::CopyBeforeAnswer => {
            let answer = client.proxy.on(answering, Action::PauseBefore);
            let first = post_keyed(client, path, key, body);
            answer.reached().await;
            let copy = other.post_keyed(path, key, body).await;
            answer.release();
            joined(copy, first.await.expect("no panic"))
        }
        Meeting::CopyUncommitted => {
            let answer = client.proxy.on(answering, Action::PauseBefore);
            let first = post_keyed(client, path, key, body);
            answer.reached().await;
            let commit = other.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
            let copy = post_keyed(other, path, key, body);
            commit.reached().await;
            answer.release();
            shop.until_running("idempotency_keys/answer").await;
            commit.release();
            joined(copy.await.expect("no panic"), first.await.expect("no panic"))
        }
        Meeting::AnswerUncommitted => {
            // after the commits of the order and of the payment
            let commit = client.proxy.on(Rule::exactly("COMMIT").skip(2), Action::PauseBefore);
            let first = post_keyed(client, path, key, body);
            commit.reached().await;
            let copy = post_keyed(other, path, key, body);
            shop.until_running("idempotency_keys/insert").await;
            commit.release();
            joined(copy.await.expect("no panic"), first.await.expect("no panic"))
        }
        Meeting::CopyHasReadBefore => {
            let answer = client.proxy.on(answering, Action::PauseBefore);
            let first = post_keyed(client, path, key, body);
            answer.reached().await;
            let count = other.proxy.on(counting, Action::PauseBefore);
            let copy = post_keyed(other, path, key, body);
            count.reached().await;
            answer.release();
            let first = first.await.expect("no panic");
            count.release();
            joined(copy.await.expect("no panic"), first)
        }
    }
}

#[tokio::test]
async fn a_request_and_a_copy_at_the_same_time_return_the_same_status() {
    for (meeting, told) in [
        (Meeting::CopyBeforeAnswer, "pending"),
        (Meeting::CopyUncommitted, "pending"),
        (Meeting::AnswerUncommitted, "paid"),
        (Meeting::CopyHasReadBefore, "paid"),
    ] {
        let shop = Shop::open().await;
        let product_id = shop.product(10).await;
        let (client, other) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
        let body = paid_hold(&client, product_id, "event").await;
        let [first, copy] = meet(&shop, [&client, &other], meeting, &body).await;
        assert_eq!(first.clone().expect(201).text("status"), told, "{meeting:?}");
        assert_replays(&copy, &first);
        assert_replays(&client.post_keyed(ORDERS, "key", &body).await, &first);
        assert_eq!(client.order_status(&first.text("order_id")).await, "paid", "{meeting:?}");
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn an_order_that_an_earlier_version_left_without_a_recorded_status_gets_one_from_its_copies() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let instances = [shop.serve_without_workers().await, shop.serve_without_workers().await];
    for (key, waits) in [("plain", false), ("paid", true)] {
        let body = match waits {
            true => paid_hold(&instances[0], product_id, key).await,
            false => json!({ "hold_id": instances[0].hold(product_id, 1).await }),
        };
        // the order is made, and the next step fails; an earlier version records no status with the order
        let look = match body["order_id"].is_null() {
            true => "-- payment_events/list_holds:",
            false => "-- orders/list_touched:",
        };
        let looking = instances[0].proxy.on(look, Action::Error(1146, "42S02", "No such table"));
        let first = instances[0].post_keyed(ORDERS, key, &body).await.expect(201);
        assert_eq!((looking.hits(), first.text("status")), (1, "pending".to_owned()));
        let unanswered = format!(
            "UPDATE idempotency_keys SET answered_status = NULL WHERE idempotency_key = '{key}' AND operation = 'order'"
        );
        assert_eq!(shop.execute(&unanswered).await, 1);
        let copies = (0..10).map(|copy| post_keyed(&instances[copy % 2], ORDERS, key, &body));
        let copies = together(copies).await.into_iter().map(|joined| joined.expect("no panic"));
        for copy in copies {
            assert_eq!((copy.status, copy.is_replayed()), (201, true), "{copy:?}");
            assert_eq!(copy.text("status"), if waits { "paid" } else { "pending" }, "{key}");
        }
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_key_adds_one_read_to_an_order_and_no_commit() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = shop.serve_without_workers().await;
    // the first order opens the connection
    client.hold_and_order(product_id, 1).await;
    let mut sent = Vec::new();
    for key in [None, Some("key")] {
        let body = json!({ "hold_id": client.hold(product_id, 1).await });
        client.proxy.clear();
        match key {
            Some(key) => client.post_keyed(ORDERS, key, &body).await.expect(201),
            None => client.post(ORDERS, &body).await.expect(201),
        };
        sent.push(client.proxy.statements());
    }
    let commits = |statements: &[String]| statements.iter().filter(|text| *text == "COMMIT").count();
    assert_eq!((commits(&sent[0]), commits(&sent[1])), (1, 1));
    let (reads, others): (Vec<&String>, Vec<&String>) =
        sent[1].iter().partition(|text| text.starts_with("-- idempotency_keys/list:"));
    assert_eq!((reads.len(), others.len()), (1, sent[0].len()), "{:?}", sent[1]);
}
