//! Holds and orders that run out: their units come back once, soon, and in spite of every fault.

use holdfast::app::App;
use holdfast::checkout::Error;
use holdfast::domain::{EventStatus, HoldStatus, OrderStatus, Refusal};
use mysql_async::prelude::Queryable;
use uuid::Uuid;

use crate::support::process::Process;
use crate::support::proxy::{Action, Rule};
use crate::support::{Shop, payment};

const RESERVED: &str = "SELECT CAST(SUM(reserved) AS SIGNED) FROM products";
/// The most holds that one transaction expires.
const HOLDS: usize = 2_000;
/// The most orders that one transaction cancels.
const ORDERS: usize = 500;

/// Runs a step until there is nothing more to do; returns how often it reported more.
async fn drain(mut step: impl AsyncFnMut() -> Result<bool, Error>) -> u32 {
    let mut more = 0;
    while step().await.expect("a step succeeds") {
        more += 1;
    }
    more
}

/// Writes `count` holds of one unit each that ran out a second ago.
async fn hold_long_ago(shop: &Shop, product_id: i64, count: usize) -> Vec<Uuid> {
    let ids: Vec<Uuid> = (0..count).map(|_| Uuid::now_v7()).collect();
    let row = |id: &Uuid| format!("(x'{}', {product_id}, 1, 4999, 'EUR', @past, @past)", id.simple());
    let rows: Vec<String> = ids.iter().map(row).collect();
    let mut conn = shop.sql().await;
    let insert = "INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, expires_at, returns_at) VALUES";
    for statement in [
        "SET time_zone = '+00:00'".to_owned(),
        "SET @past = NOW(6) - INTERVAL 1 SECOND".to_owned(),
        format!("{insert} {}", rows.join(", ")),
        format!("UPDATE products SET reserved = reserved + {count} WHERE id = {product_id}"),
    ] {
        conn.query_drop(statement).await.expect("the statement runs");
    }
    ids
}

/// Writes `count` orders of one unit each that were due a second ago.
async fn order_long_ago(shop: &Shop, product_id: i64, count: usize) {
    hold_long_ago(shop, product_id, count).await;
    let mut conn = shop.sql().await;
    for statement in [
        "INSERT INTO orders (id, hold_id, total_minor, currency, pay_by)
         SELECT id, id, qty * unit_price_minor, currency, returns_at FROM holds WHERE status = 'active'",
        "INSERT INTO order_events (order_id, to_status, reason) SELECT id, 'pending', 'created' FROM orders",
        "UPDATE holds SET status = 'ordered'",
    ] {
        conn.query_drop(statement).await.expect("the statement runs");
    }
}

/// Writes four holds of one unit each that run out one after the other, out of step with a worker that looks once a second.
async fn hold_until_soon(shop: &Shop) {
    let product_id = shop.product(9).await;
    hold_long_ago(shop, product_id, 4).await;
    let mut conn = shop.sql().await;
    for statement in [
        "SET time_zone = '+00:00', @rank = 0",
        "UPDATE holds SET expires_at = NOW(6) + INTERVAL (1050000 + 270000 * (@rank := @rank + 1)) MICROSECOND ORDER BY id",
        "UPDATE holds SET returns_at = expires_at",
    ] {
        conn.query_drop(statement).await.expect("the statement runs");
    }
}

#[tokio::test]
async fn the_worker_alone_gives_units_back_within_a_second_after_their_deadline() {
    let shop = Shop::open().await;
    hold_until_soon(&shop).await;
    let _instance = shop.serve().await;
    let mut conn = shop.sql().await;
    let look = "SELECT reserved,
                       (SELECT COUNT(*) FROM holds WHERE expires_at > UTC_TIMESTAMP(6)),
                       (SELECT MAX(TIMESTAMPDIFF(MICROSECOND, expires_at, UTC_TIMESTAMP(6))) FROM holds
                        WHERE status = 'active')
                FROM products";
    let (mut before, mut worst_us) = (4, 0);
    while before > 0 {
        let (reserved, running, late_us): (i64, i64, Option<i64>) =
            conn.query_first(look).await.expect("it runs").expect("a row");
        assert!(before >= running, "{before} units were reserved while {running} holds had not run out");
        (before, worst_us) = (reserved, worst_us.max(late_us.unwrap_or(0)));
        assert!(worst_us < 1_000_000, "a hold that ran out {worst_us} microseconds ago is still active");
    }
    println!("given back at most {} ms after the deadline", worst_us / 1000);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn two_workers_at_once_give_every_unit_back_once() {
    let pauses =
        [(Rule::from("-- holds/list_due"), Action::PauseAfter), (Rule::from("-- holds/expire"), Action::PauseBefore)];
    for (rule, action) in pauses {
        let shop = Shop::open().await;
        for count in [150, 150] {
            let product_id = shop.product(200).await;
            hold_long_ago(&shop, product_id, count).await;
        }
        let (slow, proxy) = shop.app_through_proxy().await;
        let held_back = proxy.on(rule, action);
        let slow_step = tokio::spawn(async move { slow.checkout.expire_holds().await });
        held_back.reached().await;
        shop.app().checkout.expire_holds().await.expect("the quick worker is not blocked");
        assert_eq!(shop.count(RESERVED).await, 0);
        held_back.release();
        slow_step.await.expect("no panic").expect("the slow worker finds nothing left");
        assert_eq!(shop.count(RESERVED).await, 0, "nothing is given back twice");
        shop.assert_conserved().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_workers_on_holds_and_orders_give_every_unit_back_once() {
    let shop = Shop::open().await;
    let (one, other) = (shop.product(2000).await, shop.product(2000).await);
    order_long_ago(&shop, one, 700).await;
    hold_long_ago(&shop, one, 600).await;
    hold_long_ago(&shop, other, 600).await;
    let workers = (0..4).map(|_| {
        let app = shop.app();
        tokio::spawn(async move {
            while app.checkout.expire_holds().await.expect("a step succeeds") {}
            while app.checkout.cancel_overdue_orders().await.expect("a step succeeds") {}
        })
    });
    for worker in futures_util::future::join_all(workers).await {
        worker.expect("no step fails");
    }
    assert_eq!(shop.count(RESERVED).await, 0);
    assert_eq!(shop.count("SELECT COUNT(*) FROM holds WHERE status = 'expired'").await, 1200);
    assert_eq!(shop.count("SELECT COUNT(*) FROM order_events WHERE reason = 'payment_overdue'").await, 700);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn many_due_rows_are_ended_batch_by_batch() {
    let shop = Shop::open().await;
    let product_id = shop.product(10_000).await;
    let (app, proxy) = shop.app_through_proxy().await;
    order_long_ago(&shop, product_id, ORDERS + 1).await;
    hold_long_ago(&shop, product_id, 2 * HOLDS + 1).await;
    drain(async || app.checkout.expire_holds().await).await;
    let batches = proxy.statements().iter().filter(|statement| statement.starts_with("-- holds/expire:")).count();
    assert_eq!(batches, 3, "buyers wait for one batch and not for all");
    assert_eq!(shop.count(RESERVED).await, 501);
    assert_eq!(drain(async || app.checkout.cancel_overdue_orders().await).await, 1);
    assert_eq!(shop.count(RESERVED).await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_instance_that_is_killed_leaves_its_holds_to_the_others() {
    let shop = Shop::open().await;
    let product_id = shop.product(9).await;
    let (process, client) = Process::serve(&shop.database.url, &[("HOLDFAST_HOLD_TTL_SECONDS", "2")]).await;
    for qty in [1, 2, 3] {
        client.hold(product_id, qty).await;
    }
    process.kill().await;
    assert_eq!(shop.count(RESERVED).await, 6);
    let _other = shop.serve().await;
    shop.until(RESERVED, 0).await;
    shop.assert_conserved().await;
}

/// Cuts between marking rows and giving their units back, and at the commit of both.
fn crashes() -> [(Rule, Action); 4] {
    [
        (Rule::from("-- products/give_back"), Action::CutBefore),
        (Rule::from("-- products/give_back"), Action::CutAfter),
        (Rule::exactly("COMMIT"), Action::CutBefore),
        (Rule::exactly("COMMIT"), Action::CutAfter),
    ]
}

#[tokio::test]
async fn a_connection_that_breaks_between_marking_and_giving_back_loses_nothing() {
    for (rule, action) in crashes() {
        let shop = Shop::open().await;
        let product_id = shop.product(50).await;
        let (app, proxy) = shop.app_through_proxy().await;
        order_long_ago(&shop, product_id, 10).await;
        let cut = proxy.on(rule.clone(), action);
        app.checkout.cancel_overdue_orders().await.expect("it is run again");
        assert_eq!((cut.hits(), shop.count(RESERVED).await), (1, 0), "{rule:?} {action:?}");

        hold_long_ago(&shop, product_id, 10).await;
        let cut = proxy.on(rule.clone(), action);
        app.checkout.expire_holds().await.expect("it is run again");
        assert_eq!((cut.hits(), shop.count(RESERVED).await), (1, 0), "{rule:?} {action:?}");
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn a_worker_that_dies_between_marking_and_giving_back_leaves_the_rows_to_the_next() {
    for (rule, action) in crashes().into_iter().filter(|(_, action)| matches!(action, Action::CutBefore)) {
        let shop = Shop::open().await;
        let product_id = shop.product(50).await;
        let (dying, proxy) = shop.app_through_proxy().await;
        order_long_ago(&shop, product_id, 10).await;
        hold_long_ago(&shop, product_id, 10).await;
        let _cut = proxy.on(rule.always(), action);
        assert!(matches!(dying.checkout.expire_holds().await, Err(Error::Unavailable(_))));
        assert!(matches!(dying.checkout.cancel_overdue_orders().await, Err(Error::Unavailable(_))));
        // The server may roll back the transaction of the broken connection only later.
        shop.until(RESERVED, 20).await;
        let next = shop.app();
        next.checkout.expire_holds().await.expect("the rows are still due");
        next.checkout.cancel_overdue_orders().await.expect("the rows are still due");
        assert_eq!(shop.count(RESERVED).await, 0);
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn an_unpaid_order_is_cancelled_by_the_worker_alone_and_its_trail_states_the_reason() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let instance = shop.serve_with_ttls(60, 1).await;
    let order_id = instance.order(&instance.hold(product_id, 3).await).await;
    shop.until(RESERVED, 0).await;
    assert_eq!(
        shop.count("SELECT COUNT(*) FROM orders WHERE status = 'cancelled' AND pay_by <= UTC_TIMESTAMP(6)").await,
        1
    );
    let trail = instance.get(&format!("/api/orders/{order_id}/events")).await.expect(200);
    let last = trail.body["items"].as_array().and_then(|items| items.last()).expect("a trail");
    assert_eq!((&last["from"], &last["to"]), (&"pending".into(), &"cancelled".into()), "{trail:?}");
    assert_eq!(last["reason"], "payment_overdue", "{trail:?}");
    assert_eq!(instance.pay(&order_id, "failed", "late").await.expect(200).text("status"), "ignored");
    shop.assert_conserved().await;
}

/// Makes an order of three units that is overdue and that no worker has cancelled yet.
async fn overdue_order(shop: &Shop, app: &App) -> Uuid {
    let product_id = shop.product(5).await;
    let hold = app
        .checkout
        .create_hold(holdfast::checkout::NewHold::new(product_id, 3, None))
        .await
        .expect("enough units")
        .hold;
    let order = app
        .checkout
        .create_order(holdfast::checkout::NewOrder::new(hold.id, None, None))
        .await
        .expect("an active hold")
        .order;
    shop.let_orders_run_out().await;
    order.id
}

#[tokio::test]
async fn a_payment_after_the_deadline_pays_if_the_order_is_not_cancelled_yet() {
    let shop = Shop::open().await;
    let app = shop.app();
    let order_id = overdue_order(&shop, &app).await;
    let receipt = app.checkout.receive_event(payment(order_id, "late")).await.expect("it is taken in");
    assert_eq!((receipt.status, receipt.order_status), (EventStatus::Applied, Some(OrderStatus::Paid)));
    app.checkout.cancel_overdue_orders().await.expect("there is nothing to cancel");
    assert_eq!(shop.count(RESERVED).await, 3);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_payment_that_commits_before_the_workers_cancellation_pays() {
    let shop = Shop::open().await;
    let app = shop.app();
    let order_id = overdue_order(&shop, &app).await;
    let (worker, proxy) = shop.app_through_proxy().await;
    let held_back = proxy.on("-- orders/cancel", Action::PauseBefore);
    let step = tokio::spawn(async move { worker.checkout.cancel_overdue_orders().await });
    held_back.reached().await;
    app.checkout.receive_event(payment(order_id, "late")).await.expect("it is taken in");
    held_back.release();
    step.await.expect("no panic").expect("the step reads again and finds nothing");
    assert_eq!(shop.row::<String>("SELECT status FROM orders").await, "paid");
    assert_eq!(shop.count(RESERVED).await, 3);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_that_has_run_out_can_neither_be_ordered_nor_released() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let app = shop.app();
    let hold = app
        .checkout
        .create_hold(holdfast::checkout::NewHold::new(product_id, 2, None))
        .await
        .expect("enough units")
        .hold;
    shop.let_holds_run_out().await;
    let refused = app.checkout.create_order(holdfast::checkout::NewOrder::new(hold.id, None, None)).await;
    assert!(matches!(refused, Err(Error::Refused(Refusal::HoldExpired))), "{refused:?}");
    let ended = app
        .checkout
        .release_hold(&holdfast::domain::Caller::operator(), hold.id)
        .await
        .expect("to release an ended hold is no error");
    assert_eq!(ended[0].status, HoldStatus::Expired);
    app.checkout.expire_holds().await.expect("the step runs");
    assert_eq!(shop.count(RESERVED).await, 0, "its units came back once");
    let refused = app.checkout.create_order(holdfast::checkout::NewOrder::new(hold.id, None, None)).await;
    assert!(matches!(refused, Err(Error::Refused(Refusal::HoldExpired))), "{refused:?}");
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders").await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_order_whose_hold_runs_out_before_it_commits_is_refused() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let (buyer, proxy) = shop.app_through_proxy().await;
    let hold = buyer
        .checkout
        .create_hold(holdfast::checkout::NewHold::new(product_id, 2, None))
        .await
        .expect("enough units")
        .hold;
    let held_back = proxy.on("-- holds/mark_ordered", Action::PauseBefore);
    let ordering = tokio::spawn(async move {
        buyer.checkout.create_order(holdfast::checkout::NewOrder::new(hold.id, None, None)).await
    });
    held_back.reached().await;
    shop.let_holds_run_out().await;
    shop.app().checkout.expire_holds().await.expect("the step runs");
    held_back.release();
    let refused = ordering.await.expect("no panic");
    assert!(matches!(refused, Err(Error::Refused(Refusal::HoldExpired))), "{refused:?}");
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders").await, 0);
    assert_eq!(shop.count(RESERVED).await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_that_is_released_while_the_worker_expires_it_comes_back_once() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let due = hold_long_ago(&shop, product_id, 2).await;
    let (worker, proxy) = shop.app_through_proxy().await;
    let held_back = proxy.on("-- holds/expire", Action::PauseBefore);
    let step = tokio::spawn(async move { worker.checkout.expire_holds().await });
    held_back.reached().await;
    // The effect of a release that read the clock a moment before the deadline.
    let given_back =
        format!("UPDATE holds SET status = 'released', returns_at = NULL WHERE id = x'{}'", due[0].simple());
    assert_eq!(shop.execute(&given_back).await, 1);
    shop.execute("UPDATE products SET reserved = reserved - 1").await;
    held_back.release();
    step.await.expect("no panic").expect("the step reads again and finds the other hold");
    assert_eq!(shop.count(RESERVED).await, 0);
    let ends = "SELECT CAST(GROUP_CONCAT(status ORDER BY status + 0) AS CHAR) FROM holds";
    assert_eq!(shop.row::<String>(ends).await, "released,expired");
    shop.assert_conserved().await;
}
