//! Overdue rows whose units cannot be given back because the tables were changed by hand: the audit finds them, and they
//! delay no other row.

use std::sync::Arc;

use holdfast::app::App;
use holdfast::checkout::audit::report::Kind;
use mysql_async::prelude::Queryable;
use uuid::Uuid;

use crate::support::proxy::{Action, Proxy, Rule};
use crate::support::{Shop, together};

/// Holds or orders of one product, of one unit each, that ran out `age` ms ago.
struct Batch {
    product_id: i64,
    age: u32,
    count: usize,
    orders: bool,
}

impl Batch {
    fn holds(product_id: i64, age: u32, count: usize) -> Self {
        Self { product_id, age, count, orders: false }
    }

    fn orders(product_id: i64, age: u32, count: usize) -> Self {
        Self { product_id, age, count, orders: true }
    }

    /// Writes the rows; returns their ids. An order has the id of its hold.
    async fn make(&self, shop: &Shop) -> Vec<Uuid> {
        let Self { product_id, age, count, orders } = *self;
        let ids: Vec<Uuid> = (0..count).map(|_| Uuid::now_v7()).collect();
        let status = if orders { "ordered" } else { "active" };
        let row = |id: &Uuid| format!("(x'{}', {product_id}, 1, 4999, 'EUR', '{status}', @past, @past)", id.simple());
        let order = |id: &Uuid| format!("(x'{0}', x'{0}', 4999, 'EUR', @past)", id.simple());
        let created = |id: &Uuid| format!("(x'{}', 'pending', 'created')", id.simple());
        let mut statements = vec![
            "SET time_zone = '+00:00'".to_owned(),
            format!("SET @past = NOW(6) - INTERVAL {age}000 MICROSECOND"),
            format!("UPDATE products SET reserved = reserved + {count} WHERE id = {product_id}"),
        ];
        for ids in ids.chunks(5000) {
            let of = |row: &dyn Fn(&Uuid) -> String| ids.iter().map(row).collect::<Vec<_>>().join(", ");
            let columns = "id, product_id, qty, unit_price_minor, currency, status, expires_at, returns_at";
            statements.push(format!("INSERT INTO holds ({columns}) VALUES {}", of(&row)));
            if orders {
                let columns = "id, hold_id, total_minor, currency, pay_by";
                statements.push(format!("INSERT INTO orders ({columns}) VALUES {}", of(&order)));
                let columns = "order_id, to_status, reason";
                statements.push(format!("INSERT INTO order_events ({columns}) VALUES {}", of(&created)));
            }
        }
        let mut conn = shop.sql().await;
        for statement in statements {
            conn.query_drop(statement).await.expect("the statement runs");
        }
        ids
    }
}

async fn delete_product(shop: &Shop, product_id: i64) {
    shop.execute(&format!("DELETE FROM products WHERE id = {product_id}")).await;
}

async fn restore_product(shop: &Shop, product_id: i64, stock: i64, reserved: i64) {
    let columns = "id, name, price_minor, currency, stock, reserved";
    let row = format!("({product_id}, 'A thing', 4999, 'EUR', {stock}, {reserved})");
    shop.execute(&format!("INSERT INTO products ({columns}) VALUES {row}")).await;
}

/// Runs the steps of the workers until there is nothing more to do.
async fn drain(app: &App) {
    while app.checkout.expire_holds().await.expect("the step runs") {}
    while app.checkout.cancel_overdue_orders().await.expect("the step runs") {}
}

/// Returns how many sets of holds and of orders were tried.
fn tries(proxy: &Proxy) -> usize {
    let tries = |name: &str| proxy.statements().iter().filter(|statement| statement.starts_with(name)).count();
    tries("-- holds/expire:") + tries("-- orders/cancel_overdue:")
}

async fn active(shop: &Shop, product_id: i64) -> i64 {
    let waiting = "status = 'active' OR status = 'ordered' AND returns_at IS NOT NULL";
    shop.count(&format!("SELECT COUNT(*) FROM holds WHERE product_id = {product_id} AND ({waiting})")).await
}

/// Returns the kinds of the findings of an audit.
async fn found(shop: &Shop) -> Vec<Kind> {
    let report = shop.app().checkout.audit().await.expect("an audit can be made");
    report.counts.iter().map(|&(kind, _)| kind).collect()
}

#[tokio::test]
async fn a_deleted_product_delays_no_other_product_and_its_units_come_back_once_it_is_restored() {
    let shop = Shop::open().await;
    let (gone, other, third) = (shop.product(500).await, shop.product(500).await, shop.product(500).await);
    for (product_id, age) in [(gone, 2000), (other, 1500), (third, 1000)] {
        Batch::holds(product_id, age, 30).make(&shop).await;
        Batch::orders(product_id, age, 30).make(&shop).await;
    }
    delete_product(&shop, gone).await;
    let app = shop.app();
    drain(&app).await;
    assert_eq!((shop.reserved(other).await, shop.reserved(third).await), (0, 0));
    assert_eq!(active(&shop, gone).await, 60);
    assert_eq!(found(&shop).await, [Kind::HoldWithoutProduct]);

    Batch::holds(other, 0, 5).make(&shop).await;
    Batch::orders(other, 0, 5).make(&shop).await;
    drain(&app).await;
    assert_eq!(shop.reserved(other).await, 0, "units of later rows come back too");

    restore_product(&shop, gone, 500, 60).await;
    drain(&shop.app()).await;
    assert_eq!((shop.reserved(gone).await, active(&shop, gone).await), (0, 0));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn units_that_are_not_reserved_any_more_delay_no_others() {
    let shop = Shop::open().await;
    let (short, other) = (shop.product(500).await, shop.product(500).await);
    for (product_id, age) in [(short, 2000), (other, 1000)] {
        Batch::holds(product_id, age, 30).make(&shop).await;
        Batch::orders(product_id, age, 30).make(&shop).await;
    }
    shop.execute(&format!("UPDATE products SET reserved = 37 WHERE id = {short}")).await;
    let app = shop.app();
    drain(&app).await;
    assert_eq!((shop.reserved(other).await, shop.reserved(short).await), (0, 0));
    assert_eq!(active(&shop, short).await, 23, "as many units as were reserved are back");
    assert_eq!(found(&shop).await, [Kind::UnitsNotConserved]);

    shop.execute(&format!("UPDATE products SET reserved = 23 WHERE id = {short}")).await;
    Batch::holds(short, 0, 1).make(&shop).await;
    app.checkout.expire_holds().await.expect("the step runs");
    assert_eq!(active(&shop, short).await, 23, "a hold that runs out later comes back at once");
    drain(&shop.app()).await;
    assert_eq!((shop.reserved(short).await, active(&shop, short).await), (0, 0));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn holds_that_another_worker_gives_back_meanwhile_do_not_make_their_product_look_damaged() {
    let shop = Shop::open().await;
    let (sound, short) = (shop.product(500).await, shop.product(500).await);
    let holds = Batch::holds(sound, 2000, 10).make(&shop).await;
    Batch::holds(short, 1000, 10).make(&shop).await;
    shop.execute(&format!("UPDATE products SET reserved = 3 WHERE id = {short}")).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let read = proxy.on("-- products/list_reserved:", Action::PauseBefore);
    let worker = Arc::clone(&app);
    let step = tokio::spawn(async move { worker.checkout.expire_holds().await });
    read.reached().await;
    let ids: Vec<String> = holds[..5].iter().map(|id| format!("x'{}'", id.simple())).collect();
    for statement in [
        format!("UPDATE holds SET status = 'expired', returns_at = NULL WHERE id IN ({})", ids.join(", ")),
        format!("UPDATE products SET reserved = reserved - 5 WHERE id = {sound}"),
    ] {
        shop.execute(&statement).await;
    }
    read.release();
    step.await.expect("no panic").expect("the step runs");
    drain(&app).await;
    assert_eq!(
        (shop.reserved(sound).await, active(&shop, sound).await),
        (0, 0),
        "no row of this product is passed over"
    );
    assert_eq!(active(&shop, short).await, 7);
}

#[tokio::test]
async fn a_worker_whose_first_reads_fail_still_ends_rows_that_became_due_before_it_started() {
    let shop = Shop::open().await;
    let product_id = shop.product(500).await;
    Batch::holds(product_id, 90_000, 10).make(&shop).await;
    Batch::orders(product_id, 90_000, 10).make(&shop).await;
    let event = "INSERT INTO payment_events (provider, idempotency_key, fingerprint, meaning, hold_id, body, due_at)
                 VALUES ('default', 'k', REPEAT('x', 32), 'failed', REPEAT('y', 16), '', NOW(6) - INTERVAL 90 SECOND)";
    let mut conn = shop.sql().await;
    conn.query_drop("SET time_zone = '+00:00'").await.expect("the statement runs");
    conn.query_drop(event).await.expect("the statement runs");
    let (app, proxy) = shop.app_through_proxy().await;
    let too_long = Action::Error(3024, "HY000", "the query takes too long");
    let failing: Vec<_> = ["-- holds/list_due:", "-- orders/list_due:", "-- payment_events/list_due:"]
        .into_iter()
        .map(|name| proxy.on(Rule::from(name).always(), too_long))
        .collect();
    app.checkout.expire_holds().await.expect_err("it takes too long");
    app.checkout.cancel_overdue_orders().await.expect_err("it takes too long");
    app.checkout.process_due_events().await.expect_err("it takes too long");
    drop(failing);
    drain(&app).await;
    while app.checkout.process_due_events().await.expect("the step runs") {}
    assert_eq!(shop.reserved(product_id).await, 0);
    assert_eq!(shop.count("SELECT COUNT(*) FROM payment_events WHERE status = 'parked'").await, 1);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_order_whose_hold_was_deleted_delays_no_other_order() {
    let shop = Shop::open().await;
    let product_id = shop.product(500).await;
    let lost = Batch::orders(product_id, 2000, 2).make(&shop).await;
    Batch::orders(product_id, 1000, 30).make(&shop).await;
    shop.execute(&format!("DELETE FROM holds WHERE id = x'{}'", lost[0].simple())).await;
    let app = shop.app();
    drain(&app).await;
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders WHERE status = 'pending'").await, 1);
    assert_eq!(shop.reserved(product_id).await, 1);
    assert_eq!(found(&shop).await, [Kind::OrderWithoutHold, Kind::UnitsNotConserved]);
}

#[tokio::test]
async fn one_row_that_the_server_refuses_to_change_is_isolated_after_a_few_tries() {
    let shop = Shop::open().await;
    let product_id = shop.product(5000).await;
    let holds = Batch::holds(product_id, 2000, 700).make(&shop).await;
    let orders = Batch::orders(product_id, 2000, 300).make(&shop).await;
    for (name, table, id) in [("no_hold", "holds", holds[311]), ("no_order", "orders", orders[123])] {
        let refuse = "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'";
        let id = id.simple();
        shop.execute(&format!(
            "CREATE TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW
             BEGIN IF NEW.id = x'{id}' THEN {refuse}; END IF; END"
        ))
        .await;
    }
    let (app, proxy) = shop.app_through_proxy().await;
    drain(&app).await;
    assert_eq!(shop.reserved(product_id).await, 2, "all others are back");
    assert!(tries(&proxy) <= 50, "{}", tries(&proxy));
    proxy.clear();
    drain(&app).await;
    assert_eq!(tries(&proxy), 0, "the two rows are passed over for a while");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn any_number_of_holds_of_a_deleted_product_costs_a_few_tries_and_delays_no_other_product() {
    let shop = Shop::open().await;
    let (gone, other) = (shop.product(50_000).await, shop.product(500).await);
    Batch::holds(gone, 2000, 22_000).make(&shop).await;
    Batch::orders(gone, 2000, 1200).make(&shop).await;
    Batch::holds(other, 1000, 100).make(&shop).await;
    Batch::orders(other, 1000, 100).make(&shop).await;
    delete_product(&shop, gone).await;
    let (app, proxy) = shop.app_through_proxy().await;
    drain(&app).await;
    assert_eq!(shop.reserved(other).await, 0);
    assert!(tries(&proxy) <= 6, "{}", tries(&proxy));
    for next in [app.checkout.next_hold_due().await, app.checkout.next_order_due().await] {
        assert_eq!(next.expect("it can be read"), None, "a row that is passed over is not due");
    }
    proxy.clear();
    drain(&app).await;
    assert_eq!(tries(&proxy), 0);
}

#[tokio::test]
async fn a_buyer_gets_the_units_that_can_be_given_back_although_the_counter_was_changed_by_hand() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    Batch::holds(product_id, 2000, 8).make(&shop).await;
    shop.execute(&format!("UPDATE products SET reserved = 5 WHERE id = {product_id}")).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let taken = app
        .checkout
        .create_hold(holdfast::checkout::NewHold::new(product_id, 9, None))
        .await
        .expect("five are free and five come back");
    assert_eq!(taken.hold.qty, 9);
    assert_eq!((shop.reserved(product_id).await, active(&shop, product_id).await), (9, 4));
    proxy.clear();
    app.checkout.create_hold(holdfast::checkout::NewHold::new(product_id, 9, None)).await.expect_err("one is left");
    assert_eq!(tries(&proxy), 0, "the rest is passed over");
}

#[tokio::test]
async fn several_workers_pass_over_the_same_rows_and_give_the_others_back_once() {
    let shop = Shop::open().await;
    let (gone, other) = (shop.product(5000).await, shop.product(5000).await);
    for (product_id, age) in [(gone, 3000), (other, 2000), (gone, 1000)] {
        Batch::holds(product_id, age, 1500).make(&shop).await;
        Batch::orders(product_id, age, 400).make(&shop).await;
    }
    delete_product(&shop, gone).await;
    let workers = (0..3).map(|_| {
        let app = shop.app();
        async move { drain(&app).await }
    });
    together(workers).await;
    assert_eq!((shop.reserved(other).await, active(&shop, other).await), (0, 0));
    assert_eq!(active(&shop, gone).await, 3800);
    assert_eq!(found(&shop).await, [Kind::HoldWithoutProduct]);
}
