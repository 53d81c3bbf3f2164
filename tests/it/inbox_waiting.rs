//! An event that waits for its order, its success or its charge is applied when that comes, or given up in time.

use std::time::Duration;

use serde_json::json;

use crate::inbox::{outcome, work_off};
use crate::support::proxy::{Action, Rule};
use crate::support::{Shop, mint, with_policy};

#[tokio::test]
async fn an_event_whose_order_never_appears_is_due_for_refund_or_dead() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let client = shop.serve_without_workers_as(with_policy(shop.config(), |policy| policy.park_seconds = 3600)).await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let nowhere = mint();
    for (order_id, word) in [(&nowhere, "paid"), (&nowhere, "failed"), (&order_id, "refunded")] {
        assert_eq!(outcome(&client.pay(order_id, word, word).await), (202, "pending_order"));
    }
    let waits = "SELECT COUNT(*) FROM payment_events
                 WHERE status = 'parked' AND due_at = park_until
                   AND park_until BETWEEN received_at + INTERVAL 3599 SECOND AND received_at + INTERVAL 3601 SECOND";
    assert_eq!(shop.count(waits).await, 3);
    work_off(&client.app).await;
    assert_eq!(shop.count(waits).await, 3, "not before their deadline");

    let past = "SET park_until = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND, due_at = park_until";
    shop.execute(&format!("UPDATE payment_events {past}")).await;
    work_off(&client.app).await;
    for (key, status) in [("paid", "refund_due"), ("failed", "dead"), ("refunded", "dead")] {
        assert_eq!(shop.event(key).await.0, status, "{key}");
    }
    // a refund of that charge under another key settles it
    let copy = json!({ "order_id": nowhere, "status": "refunded", "idempotency_key": "back" });
    assert_eq!(outcome(&client.webhook(&copy).await), (200, "processed"));
    assert_eq!(shop.event("paid").await.0, "refunded");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refund_is_not_given_up_before_the_success_that_it_belongs_to() {
    let shop = Shop::open().await;
    let client = shop.serve_without_workers().await;
    let nowhere = mint();
    let event = |word: &str, name: &str, key: &str| json!({ "order_id": nowhere, "status": word, "txn_id": name, "idempotency_key": key });
    for event in [event("refunded", "T1", "refund"), event("refunded", "T2", "stray"), event("paid", "T1", "paid")] {
        assert_eq!(outcome(&client.webhook(&event).await), (202, "pending_order"));
    }
    let overdue = "SET park_until = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND, due_at = park_until WHERE idempotency_key";
    shop.execute(&format!("UPDATE payment_events {overdue} <> 'paid'")).await;
    work_off(&client.app).await;
    assert_eq!(shop.count("SELECT COUNT(*) FROM payment_events WHERE settled_at IS NOT NULL").await, 0);
    assert_ne!(client.app.checkout.next_event_due().await.expect("it can be read"), Some(Duration::ZERO));

    shop.execute(&format!("UPDATE payment_events {overdue} = 'paid'")).await;
    work_off(&client.app).await;
    shop.let_events_be_due().await;
    work_off(&client.app).await;
    for (key, status) in [("paid", "refunded"), ("refund", "applied"), ("stray", "dead")] {
        assert_eq!(shop.event(key).await.0, status, "{key}");
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refund_that_was_given_up_still_settles_its_charge_when_the_charge_is_reported() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let client = shop.serve_without_workers().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let give_up = async || {
        let past = "SET park_until = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND, due_at = park_until WHERE status = 'parked'";
        shop.execute(&format!("UPDATE payment_events {past}")).await;
        work_off(&client.app).await;
    };
    for (order_id, expected) in [(order_id, "applied"), (mint(), "refunded")] {
        let event = |word: &str| json!({ "order_id": order_id, "status": word, "txn_id": order_id });
        client.webhook(&event("refunded")).await.expect(202);
        give_up().await;
        let state = async |word| {
            let of = format!("meaning = '{word}' AND txn_id = '{order_id}'");
            shop.row::<String>(&format!("SELECT status FROM payment_events WHERE {of}")).await
        };
        assert_eq!(state("refunded").await, "dead");
        client.webhook(&event("paid")).await;
        give_up().await;
        assert_eq!((state("refunded").await.as_str(), state("succeeded").await.as_str()), ("applied", expected));
    }
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_for_a_hold_that_runs_out_while_it_becomes_an_order_pays_that_order() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let short = with_policy(shop.config(), |policy| policy.hold_ttl_seconds = 1);
    let (ordering, paying) = (shop.serve_without_workers_as(short).await, shop.serve_without_workers().await);
    let hold_id = ordering.hold(product_id, 1).await;
    let commit = ordering.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let (client, hold) = (ordering.client.clone(), hold_id.clone());
    let order = tokio::spawn(async move { client.try_order(&hold).await });
    commit.reached().await;
    // other transactions still read an active hold, whose deadline has passed
    shop.until_holds_have_run_out().await;
    let client = paying.client.clone();
    let paid = json!({ "hold_id": hold_id, "status": "paid", "txn_id": "T1" });
    let payment = tokio::spawn(async move { client.webhook(&paid).await });
    shop.until_running("holds/expire_overdue").await;
    commit.release();
    let order_id = order.await.expect("no panic").expect(201).text("order_id");
    payment.await.expect("no panic").expect(200);
    assert_eq!(paying.order_status(&order_id).await, "paid");
    assert_eq!(shop.count("SELECT COUNT(*) FROM payment_events WHERE status = 'applied'").await, 1);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_order_that_appears_at_the_last_moment_still_gets_its_payment() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let client = shop.serve_without_workers().await;
    let (hold_id, order_id) = (client.hold(product_id, 1).await, mint());
    client.pay(&order_id, "paid", "key").await.expect(202);
    shop.execute("UPDATE payment_events SET park_until = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND, due_at = park_until")
        .await;
    // the order is made by an instance that ends before it looks for waiting events
    let (doomed, proxy) = shop.app_through_proxy().await;
    let look = proxy.on("-- orders/list_touched:", Action::PauseBefore);
    let (hold, order) = (hold_id.parse().expect("an id"), order_id.parse().ok());
    let crash = tokio::spawn(async move {
        doomed.checkout.create_order(holdfast::checkout::NewOrder::new(hold, order, None)).await
    });
    look.reached().await;
    crash.abort();
    drop(proxy);
    work_off(&client.app).await;
    assert_eq!(client.order_status(&order_id).await, "paid");
    shop.assert_conserved().await;
}
