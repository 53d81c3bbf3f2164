//! Requests do not harm each other. The jobs of one batch are not harmed by an order id that is taken, a hold that runs out
//! during the batch, keys so long that one packet of all would be too large, or a row that another client keeps locked. Other
//! requests are not harmed by requests for products that do not exist, or by requests that wait.

use std::sync::Arc;

use holdfast::app::App;
use holdfast::checkout::{Error, Operation};
use holdfast::domain::{EventStatus, Refusal};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use uuid::Uuid;

use crate::support::crowd::{SLOTS, all, deliver, held_up, hold, holds, in_order, keyed, order, orders, sent};
use crate::support::proxy::{Action, Rule};
use crate::support::{Shop, payment};

#[tokio::test]
async fn a_batch_with_order_ids_that_are_taken_still_needs_one_packet() {
    let shop = Shop::open().await;
    let product_id = shop.product(1000).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let taken = orders(&app, product_id, 1).await[0];
    let held = holds(&app, product_id, SLOTS + 30).await;
    let jam = held_up(&proxy, held[..SLOTS].iter().map(|&hold_id| order(&app, hold_id, None, None))).await;
    let wish = |n: usize| n.is_multiple_of(3).then_some(taken);
    let crowd = in_order(held[SLOTS..].iter().enumerate().map(|(n, &hold_id)| order(&app, hold_id, wish(n), None)));
    proxy.clear();
    jam.release().await;
    for (n, answer) in all(crowd).await.into_iter().enumerate() {
        match answer {
            Err(Error::Refused(Refusal::OrderIdTaken)) => assert_eq!(n % 3, 0),
            answer => assert!(n % 3 != 0 && answer.is_ok(), "{n}: {answer:?}"),
        }
    }
    assert_eq!((sent(&proxy, "orders/insert"), sent(&proxy, "orders/find")), (1, 1), "one lookup, one packet");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_that_runs_out_during_a_batch_costs_the_batch_one_more_packet() {
    let shop = Shop::open().await;
    let product_id = shop.product(1000).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let held = holds(&app, product_id, SLOTS + 10).await;
    let jam = held_up(&proxy, held[..SLOTS].iter().map(|&hold_id| order(&app, hold_id, None, None))).await;
    let crowd = in_order(held[SLOTS..].iter().map(|&hold_id| order(&app, hold_id, None, None)));
    proxy.clear();
    let packet = proxy.on("-- orders/insert", Action::PauseBefore);
    jam.release().await;
    packet.reached().await;
    shop.let_hold_run_out(&held[SLOTS + 3].to_string()).await;
    drop(packet);
    for (n, answer) in all(crowd).await.into_iter().enumerate() {
        match answer {
            Err(Error::Refused(Refusal::HoldExpired)) => assert_eq!(n, 3),
            answer => assert!(n != 3 && answer.is_ok(), "{n}: {answer:?}"),
        }
    }
    assert_eq!(sent(&proxy, "orders/insert"), 2, "the second packet leaves out the hold that ran out");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn many_requests_with_long_keys_are_sent_in_packets_that_every_server_accepts() {
    const BUYERS: usize = 2_000;
    let shop = Shop::open().await;
    let product_id = shop.product(10_000).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let jam = held_up(&proxy, [hold(&app, product_id, 1, None)]).await;
    let key = |n: usize| keyed(Operation::Hold, format!("{n:0255}"), 0);
    let crowd = in_order((0..BUYERS).map(|n| hold(&app, product_id, 1, Some(key(n)))));
    proxy.clear();
    jam.release().await;
    assert!(all(crowd).await.iter().all(Result::is_ok));
    let longest = proxy.statements().iter().map(String::len).max().expect("something was sent");
    assert!((400_000..600_000).contains(&longest), "{longest} bytes");
    assert_eq!(shop.reserved(product_id).await, BUYERS as i64 + 1);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn holds_of_unknown_products_share_a_read_and_open_no_lane() {
    let shop = Shop::open().await;
    let (app, proxy) = shop.app_through_proxy().await;
    let crowd = in_order((0..200).map(|n| hold(&app, 1_000_000 + n, 1, None)));
    for answer in all(crowd).await {
        assert!(matches!(answer, Err(Error::Refused(Refusal::ProductNotFound))), "{answer:?}");
    }
    assert_eq!(app.checkout.lanes(), 1, "only the lane of reads");
    assert_eq!(sent(&proxy, "products/take"), 0);
    let reads = sent(&proxy, "products/list_some");
    assert!(reads <= 3, "{reads} reads for 200 requests");
}

#[tokio::test]
async fn a_product_is_looked_up_once_before_its_first_hold() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (app, proxy) = shop.app_through_proxy().await;
    for _ in 0..3 {
        hold(&app, product_id, 1, None).await.expect("enough units");
    }
    assert_eq!(sent(&proxy, "products/list_some"), 1);
    // a product that is inserted later is found by the next request
    let unknown = hold(&app, product_id + 1, 1, None).await;
    assert!(matches!(unknown, Err(Error::Refused(Refusal::ProductNotFound))), "{unknown:?}");
    assert_eq!(shop.product(1).await, product_id + 1);
    hold(&app, product_id + 1, 1, None).await.expect("enough units");
}

/// The refusal names the reused key, not the unknown product.
#[tokio::test]
async fn a_key_used_for_another_request_is_refused_even_if_the_product_is_unknown() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let key = |body| Some(keyed(Operation::Hold, "key", body));
    hold(&shop.app(), product_id, 1, key(0)).await.expect("enough units");
    let reused = hold(&shop.app(), product_id + 1, 1, key(1)).await;
    assert!(matches!(reused, Err(Error::Refused(Refusal::IdempotencyKeyReuse))), "{reused:?}");
}

/// The requests wait on all connections that they may use, until the test lets them go on.
#[tokio::test]
async fn requests_that_wait_leave_connections_to_the_batches_and_the_workers() {
    let shop = Shop::open().await;
    let [hot, other] = [shop.product(100).await, shop.product(100).await];
    let (config, proxy) = shop.config_through_proxy().await;
    let app = Arc::new(App::new(&config));
    let held = hold(&app, hot, 1, None).await.expect("enough units");
    hold(&app, other, 1, None).await.expect("enough units");
    let finds = proxy.on(Rule::from("-- holds/find:").always(), Action::PauseBefore);
    let hold_id = held.hold.id;
    let requests = in_order((0..50).map(|_| {
        let app = Arc::clone(&app);
        async move { app.checkout.hold(&holdfast::domain::Caller::operator(), hold_id).await }
    }));
    finds.reached_by(2).await;
    let lone = hold(&app, other, 1, None);
    let crowd = in_order((0..20).map(|_| hold(&app, hot, 1, None)));
    assert!(all(crowd).await.iter().all(Result::is_ok));
    lone.await.expect("a single job has its own share of the connections");
    shop.let_hold_run_out(&hold_id.to_string()).await;
    app.checkout.expire_holds().await.expect("a worker has its own share of the connections");
    app.checkout.readiness().await.expect("a readiness check has its own share of the connections");
    assert_eq!(finds.hits(), 2, "requests may use 2 of the 8 connections in the pool");
    drop(finds);
    assert!(all(requests).await.iter().all(Result::is_ok));
    assert_eq!(shop.reserved(hot).await, 20);
    shop.assert_conserved().await;
}

/// Many products have one request each, for nine units, that waits for the database; one product has many requests.
#[tokio::test]
async fn many_lanes_with_one_job_leave_a_busy_lane_its_connections() {
    let shop = Shop::open().await;
    let hot = shop.product(100).await;
    let (config, proxy) = shop.config_through_proxy().await;
    let app = Arc::new(App::new(&config));
    hold(&app, hot, 1, None).await.expect("enough units");
    let mut small = Vec::new();
    for _ in 0..20 {
        small.push(shop.product(10).await);
    }
    let packets = proxy.on(Rule::from("reserved + 9").always(), Action::PauseBefore);
    let others = in_order(small.iter().map(|&product_id| hold(&app, product_id, 9, None)));
    packets.reached_by(3).await;
    let mut crowd = in_order((0..21).map(|_| hold(&app, hot, 1, None)));
    let alone = crowd.remove(0);
    assert!(all(crowd).await.iter().all(Result::is_ok), "all but the first, which runs as a single job, share batches");
    drop(packets);
    assert!(all(others).await.iter().all(Result::is_ok));
    assert!(alone.await.expect("no panic").is_ok());
    shop.assert_conserved().await;
}

/// Locks the rows with these ids from another client, until the connection is dropped.
async fn lock(shop: &Shop, table: &str, ids: &[Uuid]) -> Conn {
    let mut conn = shop.sql().await;
    conn.query_drop("BEGIN").await.expect("a transaction begins");
    for id in ids {
        let update = format!("UPDATE {table} SET created_at = created_at WHERE id = x'{}'", id.simple());
        conn.query_drop(update).await.expect("the row is free");
    }
    conn
}

#[tokio::test]
async fn single_payments_for_locked_orders_do_not_delay_other_payments() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let placed = orders(&app, product_id, 4).await;
    let pay = |order_id: &Uuid| deliver(&app, payment(*order_id, &order_id.to_string()));
    let locked = lock(&shop, "orders", &placed[..2]).await;
    // payments that wait occupy both slots for batches
    let mut waiting = Vec::new();
    for order_id in &placed[..2] {
        let packet = proxy.on("-- payment_events/insert_applied:", Action::PauseBefore);
        waiting.extend(in_order([pay(order_id)]));
        packet.reached().await;
    }
    for order_id in &placed[2..] {
        assert_eq!(pay(order_id).await.expect("the event is accepted").status, EventStatus::Applied);
    }
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()), "the others still wait");
    drop(locked);
    for receipt in all(waiting).await {
        assert_eq!(receipt.expect("the event is accepted").status, EventStatus::Applied);
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn orders_of_locked_holds_do_not_delay_other_orders() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let held = holds(&app, product_id, 3).await;
    let locked = lock(&shop, "holds", &held[..2]).await;
    let mut waiting = Vec::new();
    for &hold_id in &held[..2] {
        let packet = proxy.on("-- orders/insert:", Action::PauseBefore);
        waiting.extend(in_order([order(&app, hold_id, None, None)]));
        packet.reached().await;
    }
    order(&app, held[2], None, None).await.expect("an active hold");
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()), "the others still wait");
    drop(locked);
    for placed in all(waiting).await {
        placed.expect("an active hold");
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_locked_order_costs_the_other_payments_in_its_batch_one_lock_wait() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let placed = orders(&app, product_id, SLOTS + 30).await;
    let (first, others) = placed.split_at(SLOTS);
    let pay = |order_id: &Uuid| deliver(&app, payment(*order_id, &order_id.to_string()));
    let jam = held_up(&proxy, first.iter().map(pay)).await;
    let crowd = in_order(others[1..].iter().map(pay));
    let last = in_order([pay(&others[0])]);
    let locked = lock(&shop, "orders", &others[..1]).await;
    proxy.clear();
    jam.release().await;
    for receipt in all(crowd).await {
        assert_eq!(receipt.expect("the event is accepted").status, EventStatus::Applied);
    }
    assert_eq!(sent(&proxy, "payment_events/insert_applied"), 1, "the batch runs only once");
    drop(locked);
    drop(all(last).await);
    shop.assert_conserved().await;
}
