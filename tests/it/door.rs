//! The transaction door: how the database can fail a transaction, and what the caller sees.

use std::fmt::Display;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use holdfast::app::App;
use holdfast::checkout::payments::receipt::Receipt;
use holdfast::config::Config;
use holdfast::db::{Database, Error, Failure, pool};
use holdfast::domain::{Meaning, PaymentEvent, Refusal};
use mysql_async::prelude::Queryable;
use tokio::sync::{Barrier, watch};

use crate::support::proxy::{Action, Proxy, Rule};
use crate::support::shop::Instance;
use crate::support::{Answer, Shop, eventually, payment};

const RESERVE_ONE: &str = "UPDATE products SET reserved = reserved + 1 WHERE id = ?";

/// The most that a client waits for a response, whatever the database does.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns the answer, which must come within [`PATIENCE`].
async fn in_time<T>(answer: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, answer).await.expect("every answer comes within 5 seconds")
}

/// Reserves a unit of one product and then of another; the first attempts of two callers meet in between.
async fn reserve_both(door: Database, ids: [i64; 2], meeting: &Barrier, attempts: &AtomicU32) {
    let reserved = door.transaction("test.reserve_both", |tx| {
        async move {
            tx.execute(RESERVE_ONE, (ids[0],)).await?;
            if attempts.fetch_add(1, Ordering::SeqCst) < 2 {
                meeting.wait().await;
            }
            tx.execute(RESERVE_ONE, (ids[1],)).await?;
            Ok(())
        }
        .boxed()
    });
    reserved.await.expect("the transaction is run again after a deadlock");
}

#[tokio::test]
async fn after_a_deadlock_the_victim_is_run_again_and_both_transactions_take_effect_once() {
    let shop = Shop::open().await;
    let (one, other) = (shop.product(10).await, shop.product(10).await);
    let door = shop.app().checkout.database().clone();
    let (meeting, attempts) = (Barrier::new(2), AtomicU32::new(0));
    tokio::join!(
        reserve_both(door.clone(), [one, other], &meeting, &attempts),
        reserve_both(door, [other, one], &meeting, &attempts),
    );
    assert_eq!(attempts.into_inner(), 3, "one of the two was the victim, once");
    assert_eq!(shop.row::<(i64, i64)>("SELECT MIN(reserved), MAX(reserved) FROM products").await, (2, 2));
}

#[tokio::test]
async fn a_transaction_that_waits_too_long_for_a_row_is_run_again() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let door = shop.app().checkout.database().clone();
    let mut holder = shop.sql().await;
    holder.query_drop("BEGIN").await.expect("a transaction begins");
    holder.exec_drop(RESERVE_ONE, (product_id,)).await.expect("the row is free");

    let attempts = watch::Sender::new(0);
    let mut begun = attempts.subscribe();
    let waiting = door.transaction("test.wait", |tx| {
        attempts.send_modify(|count| *count += 1);
        async move { tx.execute(RESERVE_ONE, (product_id,)).await }.boxed()
    });
    let leaving = async {
        in_time(begun.wait_for(|&count| count == 2)).await.expect("the sender exists");
        holder.query_drop("COMMIT").await.expect("the holder commits");
    };
    let (waited, ()) = tokio::join!(waiting, leaving);
    assert_eq!(waited.expect("the second wait is short"), 1);
    assert_eq!(shop.count("SELECT reserved FROM products").await, 2);
}

#[tokio::test]
async fn a_transaction_that_loses_a_race_is_run_again_whichever_statement_fails() {
    let (shop, product_id, _) = Shop::selling(10).await;
    let (app, proxy) = shop.app_through_proxy().await;
    for (code, state) in [(1213, "40001"), (1205, "HY000"), (1020, "HY000"), (3101, "HY000")] {
        for rule in [Rule::from("-- holds/release"), Rule::from("-- products/give_back"), Rule::exactly("COMMIT")] {
            let hold = app
                .checkout
                .create_hold(holdfast::checkout::NewHold::new(product_id, 2, None))
                .await
                .expect("enough units")
                .hold;
            let lost = proxy.on(rule.clone(), Action::Error(code, state, "another transaction was first"));
            app.checkout
                .release_hold(&holdfast::domain::Caller::operator(), hold.id)
                .await
                .unwrap_or_else(|error| panic!("{code} at {rule:?}: {error}"));
            assert_eq!(lost.hits(), 1, "{code} at {rule:?}");
            assert_eq!(shop.count("SELECT reserved FROM products").await, 0, "{code} at {rule:?}");
        }
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_transaction_is_run_again_after_an_error_unrelated_to_it_whichever_statement_fails() {
    let (shop, product_id, _) = Shop::selling(10).await;
    let (app, proxy) = shop.app_through_proxy().await;
    for code in [1041, 1615, 1969, 3024, 3100] {
        for rule in [Rule::from("-- holds/release"), Rule::from("-- products/give_back"), Rule::exactly("COMMIT")] {
            let hold = app
                .checkout
                .create_hold(holdfast::checkout::NewHold::new(product_id, 2, None))
                .await
                .expect("enough units")
                .hold;
            let lost = proxy.on(rule.clone(), Action::Error(code, "HY000", "interrupted"));
            app.checkout
                .release_hold(&holdfast::domain::Caller::operator(), hold.id)
                .await
                .unwrap_or_else(|error| panic!("{code} at {rule:?}: {error}"));
            assert_eq!(lost.hits(), 1, "{code} at {rule:?}");
            assert_eq!(shop.count("SELECT reserved FROM products").await, 0, "{code} at {rule:?}");
        }
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_request_that_loses_every_race_gets_503_with_retry_after_and_changes_nothing() {
    let shop = Shop::open().await;
    let product_id = shop.product(3).await;
    let (instance, proxy) = shop.serve_through_proxy().await;
    let hold_id = instance.hold(product_id, 1).await;
    for statement in ["-- orders/insert", "-- holds/mark_ordered", "-- order_events/insert"] {
        let lost = proxy.on(Rule::from(statement).always(), Action::DEADLOCK);
        let refused = in_time(instance.try_order(&hold_id)).await.expect(503);
        assert_eq!((refused.code(), refused.header("retry-after")), ("contention", "1"), "{refused:?}");
        assert!((2..=20).contains(&lost.hits()), "{} attempts at {statement}", lost.hits());
        assert_eq!(shop.count("SELECT (SELECT COUNT(*) FROM orders) + (SELECT COUNT(*) FROM order_events)").await, 0);
    }
    assert_eq!(instance.hold_status(&hold_id).await, "active");
    instance.try_order(&hold_id).await.expect(201);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refusal_is_not_run_again() {
    let shop = Shop::open().await;
    let attempts = AtomicU32::new(0);
    let door = shop.app().checkout.database().clone();
    let refused = door.transaction("test.refuse", |tx| {
        attempts.fetch_add(1, Ordering::SeqCst);
        async move {
            tx.execute("INSERT INTO products (name, price_minor, currency, stock) VALUES ('x', 1, 'EUR', 1)", ())
                .await?;
            Err::<(), _>(Failure::Refused(Refusal::HoldExpired))
        }
        .boxed()
    });
    assert!(matches!(refused.await, Err(Error::Refused(_))));
    assert_eq!(attempts.into_inner(), 1);
    assert_eq!(shop.count("SELECT COUNT(*) FROM products").await, 0, "it is rolled back");
}

/// Breaks a connection at its next COMMIT; the work must succeed all the same.
async fn losing_its_commit<T, E: Display>(
    proxy: &Proxy,
    action: Action,
    work: impl Future<Output = Result<T, E>>,
) -> T {
    let lost = proxy.on(Rule::exactly("COMMIT"), action);
    let value = work.await.unwrap_or_else(|error| panic!("{action:?}: {error}"));
    assert_eq!(lost.hits(), 1, "{action:?}");
    value
}

/// Does everything that a buyer can do with units, and breaks each COMMIT.
async fn buy_losing_every_commit(app: &App, proxy: &Proxy, product_id: i64, action: Action) {
    let checkout = &app.checkout;
    let dropped =
        losing_its_commit(proxy, action, checkout.create_hold(holdfast::checkout::NewHold::new(product_id, 1, None)))
            .await
            .hold;
    losing_its_commit(proxy, action, checkout.release_hold(&holdfast::domain::Caller::operator(), dropped.id)).await;
    let held =
        losing_its_commit(proxy, action, checkout.create_hold(holdfast::checkout::NewHold::new(product_id, 2, None)))
            .await;
    assert!(!held.replayed);
    let order = losing_its_commit(
        proxy,
        action,
        checkout.create_order(holdfast::checkout::NewOrder::new(held.hold.id, None, None)),
    )
    .await
    .order;
    losing_its_commit(proxy, action, checkout.cancel_order(&holdfast::domain::Caller::operator(), order.id)).await;

    let held =
        checkout.create_hold(holdfast::checkout::NewHold::new(product_id, 3, None)).await.expect("enough units").hold;
    let order = checkout
        .create_order(holdfast::checkout::NewOrder::new(held.id, None, None))
        .await
        .expect("an active hold")
        .order;
    let paid = payment(order.id, "paid");
    let refunded = PaymentEvent {
        meaning: Meaning::Refunded,
        txn_id: paid.txn_id.clone(),
        restock: true,
        ..payment(order.id, "refunded")
    };
    for event in [paid, refunded] {
        let receipt: Receipt = losing_its_commit(proxy, action, checkout.receive_event(event.clone())).await;
        assert!(!receipt.duplicate, "{action:?}: an event that was delivered once is not a duplicate");
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_at_its_commit_leaves_exactly_one_effect() {
    for action in [Action::CutBefore, Action::CutAfter] {
        let shop = Shop::open().await;
        let product_id = shop.product(10).await;
        let (app, proxy) = shop.app_through_proxy().await;
        buy_losing_every_commit(&app, &proxy, product_id, action).await;

        let ends = "SELECT CAST(GROUP_CONCAT(status, ' ', qty ORDER BY qty) AS CHAR) FROM holds";
        assert_eq!(shop.row::<String>(ends).await, "released 1,ordered 2,ordered 3", "{action:?}");
        let trail = "SELECT CAST(GROUP_CONCAT(to_status ORDER BY id) AS CHAR) FROM order_events";
        assert_eq!(shop.row::<String>(trail).await, "pending,cancelled,pending,paid,refunded", "{action:?}");
        assert_eq!(shop.count("SELECT COUNT(*) FROM payment_events WHERE status = 'applied'").await, 2, "{action:?}");
        assert_eq!(shop.count("SELECT reserved FROM products").await, 0, "{action:?}");
    }
}

#[track_caller]
fn assert_unavailable(answer: &Answer) {
    assert_eq!((answer.status, answer.code()), (503, "database_unavailable"), "{answer:?}");
    assert_eq!(answer.header("retry-after"), "1", "{answer:?}");
}

#[tokio::test]
async fn an_unreachable_database_gives_503_and_needs_no_restart_once_it_is_back() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let (instance, proxy) = shop.serve_through_proxy().await;
    let hold_id = instance.hold(product_id, 1).await;
    proxy.refuse().await;
    let product = format!("/api/products/{product_id}");
    let (held, ordered, read, ready) = tokio::join!(
        in_time(instance.try_hold(product_id, 1)),
        in_time(instance.try_order(&hold_id)),
        in_time(instance.get(&product)),
        in_time(instance.get("/readyz")),
    );
    for answer in [held, ordered, read, ready] {
        assert_unavailable(&answer);
    }
    instance.get("/healthz").await.expect(200);

    proxy.accept();
    assert!(eventually(async || instance.get("/readyz").await.status == 200).await, "it needs no restart");
    instance.try_hold(product_id, 1).await.expect(201);
    instance.try_order(&hold_id).await.expect(201);
    assert_eq!(instance.available(product_id).await, 8);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn connections_that_break_while_they_are_idle_fail_no_request() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let held = (0..8).map(|_| app.checkout.create_hold(holdfast::checkout::NewHold::new(product_id, 1, None)));
    futures_util::future::try_join_all(held).await.expect("enough units");
    proxy.refuse().await;
    proxy.accept();
    app.checkout
        .create_hold(holdfast::checkout::NewHold::new(product_id, 1, None))
        .await
        .expect("the database is there");
    assert_eq!(shop.count("SELECT reserved FROM products").await, 9);
}

/// Releases a hold while `action` happens to the last statement before the COMMIT.
async fn give_back_into_silence(action: Action) {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let (instance, proxy) = shop.serve_through_proxy().await;
    let hold_id = instance.hold(product_id, 1).await;
    let path = format!("/api/holds/{hold_id}");
    // The transaction has locked the hold's row by then.
    let silence = proxy.on(Rule::from("-- products/give_back").always(), action);
    assert_unavailable(&in_time(instance.delete(&path)).await);
    assert!(silence.hits() > 0);
    drop(silence);
    assert_eq!(in_time(instance.delete(&path)).await.expect(200).text("status"), "released");
    assert_eq!(shop.count("SELECT reserved FROM products").await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_database_that_stops_responding_gives_503_and_keeps_no_locks() {
    tokio::join!(give_back_into_silence(Action::Blackhole), give_back_into_silence(Action::Partition));
}

#[tokio::test]
async fn one_connection_that_stops_responding_fails_no_request() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let (instance, proxy) = shop.serve_through_proxy().await;
    let hold_id = instance.hold(product_id, 1).await;
    let silence = proxy.on("-- products/give_back", Action::Blackhole);
    assert_eq!(in_time(instance.delete(&format!("/api/holds/{hold_id}"))).await.expect(200).text("status"), "released");
    assert_eq!(silence.hits(), 1);
    assert_eq!(shop.count("SELECT reserved FROM products").await, 0);
}

#[tokio::test]
async fn a_panic_inside_a_transaction_rolls_it_back() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let door = Database::new(pool::options(&shop.database.url).expect("a URL"), 1);
    let panicking = door.clone();
    let panicked = tokio::spawn(async move {
        let work = panicking.transaction("test.panic", |tx| {
            async move {
                tx.execute(RESERVE_ONE, (product_id,)).await?;
                if tx.last_insert_id() == Some(0) || !tx.after_unknown() {
                    panic!("on purpose");
                }
                Ok(())
            }
            .boxed()
        });
        work.await
    });
    assert!(panicked.await.expect_err("the caller gets the panic").is_panic());
    // The pool has one connection: the next transaction would commit what was left open on it.
    let reserved = door.transaction("test.next", |tx| {
        async move { tx.execute("UPDATE products SET reserved = reserved + 5 WHERE id = ?", (product_id,)).await }
            .boxed()
    });
    assert_eq!(reserved.await.expect("a connection is free"), 1);
    assert_eq!(shop.count("SELECT reserved FROM products").await, 5);
}

#[tokio::test]
async fn a_request_that_is_cut_off_does_not_stop_its_transaction_half_way() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let (config, proxy) = shop.config_through_proxy().await;
    let Instance { service, client } = Instance::start(Config { drain_seconds: 0, ..config }).await;
    let hold_id = client.hold(product_id, 3).await;
    let held_back = proxy.on("-- products/give_back", Action::PauseBefore);
    let request = client.request("DELETE", &format!("/api/holds/{hold_id}"));
    let cut_off = tokio::spawn(async move { client.try_send(request).await });
    held_back.reached().await;
    let stopping = tokio::spawn(service.stop());
    let answer = in_time(cut_off).await.expect("no panic");
    assert!(answer.is_err(), "the client gets no response: {answer:?}");
    held_back.release();
    stopping.await.expect("it stops when the work is done");
    assert_eq!(shop.count("SELECT reserved FROM products").await, 0);
    shop.assert_conserved().await;
}
