//! Refusals that read only ranges, rows whose deadline was moved by hand, and the snapshot of an audit.

use std::time::Duration;

use holdfast::app::App;
use holdfast::checkout::{Checkout, Error, Policy, WholeReads};
use holdfast::db::Database;
use holdfast::domain::Refusal;
use mysql_async::Opts;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

use crate::support::proxy::{Action, Rule};
use crate::support::{Shop, eventually, of_transactions, payment};

const TOKEN: &str = "a-token-of-thirty-two-characters-or-so";
const HOUR: Duration = Duration::from_secs(3600);

/// An instance whose refusals read all units that may come back once, and then only ranges for an hour.
fn by_ranges(shop: &Shop) -> Checkout {
    over(shop, WholeReads { slow: Duration::ZERO, every: HOUR })
}

/// An instance whose every refusal reads all units that may come back.
fn whole(shop: &Shop) -> Checkout {
    over(shop, WholeReads { slow: HOUR, every: HOUR })
}

fn over(shop: &Shop, whole_reads: WholeReads) -> Checkout {
    let opts = Opts::from_url(&shop.database.url).expect("a database URL");
    Checkout::new(Database::new(opts, 4), Policy { whole_reads, ..Policy::default() })
}

/// Returns code, stock left and seconds to wait of the refusal of a hold; `None` when there are enough units now.
async fn refusal(checkout: &Checkout, product_id: i64, qty: i64) -> Option<(&'static str, i64, u64)> {
    match checkout.create_hold(holdfast::checkout::NewHold::new(product_id, qty, None)).await {
        Err(Error::Refused(Refusal::SoldOut { available_stock })) => Some(("sold_out", available_stock, 0)),
        Err(Error::Refused(Refusal::AllHeld { available_stock, retry_after_seconds })) => {
            Some(("all_held", available_stock, retry_after_seconds))
        }
        Err(error) => panic!("{error}"),
        Ok(taken) => {
            checkout.release_hold(&holdfast::domain::Caller::operator(), taken.hold.id).await.expect("it is active");
            None
        }
    }
}

/// The holds and orders that were made.
#[derive(Default)]
struct Market {
    holds: Vec<Uuid>,
    orders: Vec<Uuid>,
}

impl Market {
    /// Does one random thing that can happen to a product while it is sold.
    async fn step(&mut self, shop: &Shop, app: &App, checkout: &Checkout, product_id: i64, random: &mut StdRng) {
        let hold = random.random_range(0..self.holds.len().max(1));
        let order = random.random_range(0..self.orders.len().max(1));
        match random.random_range(0..10) {
            0..4 => {
                if let Ok(taken) = checkout
                    .create_hold(holdfast::checkout::NewHold::new(product_id, random.random_range(1..4), None))
                    .await
                {
                    self.holds.push(taken.hold.id);
                }
            }
            4..6 if !self.holds.is_empty() => {
                let hold = self.holds.swap_remove(hold);
                self.orders.extend(
                    checkout
                        .create_order(holdfast::checkout::NewOrder::new(hold, None, None))
                        .await
                        .map(|placed| placed.order.id),
                );
            }
            6 if !self.holds.is_empty() => {
                checkout
                    .release_hold(&holdfast::domain::Caller::operator(), self.holds.swap_remove(hold))
                    .await
                    .expect("it is active, or was");
            }
            7 if !self.orders.is_empty() => {
                let order = self.orders.swap_remove(order);
                app.checkout.receive_event(payment(order, &order.to_string())).await.expect("the event is accepted");
            }
            8 if !self.orders.is_empty() => {
                checkout
                    .cancel_order(&holdfast::domain::Caller::operator(), self.orders.swap_remove(order))
                    .await
                    .expect("it is pending");
            }
            9 if !self.holds.is_empty() => {
                shop.let_hold_run_out(&self.holds.swap_remove(hold).to_string()).await;
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_refusal_that_reads_only_ranges_is_the_same_as_one_that_reads_everything() {
    let shop = Shop::open().await;
    let (app, exact, instances) = (shop.app(), whole(&shop), [by_ranges(&shop), by_ranges(&shop)]);
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..4 {
        let product_id = shop.product(9).await;
        let mut market = Market::default();
        for step in 0..60 {
            let instance = &instances[step % 2];
            market.step(&shop, &app, instance, product_id, &mut random).await;
            let qty = random.random_range(1..10);
            // both expire what has run out before they refuse
            let told = refusal(&instances[(step + 1) % 2], product_id, qty).await;
            let truth = refusal(&exact, product_id, qty).await;
            let near = |one: u64, other: u64| one.abs_diff(other) <= 1;
            match (told, truth) {
                (None, None) => {}
                (Some((code, left, wait)), Some((true_code, true_left, true_wait))) => {
                    assert_eq!((code, left), (true_code, true_left), "step {step}, {qty} units");
                    assert!(near(wait, true_wait), "step {step}: {wait} s instead of {true_wait}");
                }
                other => panic!("step {step}: {other:?}"),
            }
        }
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_whose_deadline_was_moved_by_hand_is_seen_by_the_next_whole_read() {
    let shop = Shop::open().await;
    let product_id = shop.product(3).await;
    let checkout = by_ranges(&shop);
    let held = checkout
        .create_hold(holdfast::checkout::NewHold::new(product_id, 3, None))
        .await
        .expect("the units are free")
        .hold;
    assert!(matches!(refusal(&checkout, product_id, 2).await, Some(("all_held", 0, 1..=120))));
    let moved = "SET expires_at = UTC_TIMESTAMP(6) + INTERVAL 300 SECOND, returns_at = expires_at";
    shop.execute(&format!("UPDATE holds {moved} WHERE id = x'{}'", held.id.simple())).await;
    assert_eq!(refusal(&checkout, product_id, 2).await, Some(("sold_out", 0, 0)), "only ranges are read");
    let often = over(&shop, WholeReads { slow: Duration::ZERO, every: Duration::ZERO });
    assert!(matches!(refusal(&often, product_id, 2).await, Some(("all_held", 0, 200..=300))));
}

#[tokio::test]
async fn a_deadline_that_was_moved_before_the_horizon_is_found_by_the_walk_for_stragglers() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let app = shop.app();
    let hold = app
        .checkout
        .create_hold(holdfast::checkout::NewHold::new(product_id, 1, None))
        .await
        .expect("enough units")
        .hold;
    let ordered = app
        .checkout
        .create_hold(holdfast::checkout::NewHold::new(product_id, 2, None))
        .await
        .expect("enough units")
        .hold;
    app.checkout.create_order(holdfast::checkout::NewOrder::new(ordered.id, None, None)).await.expect("an active hold");
    let step = async || {
        app.checkout.expire_holds().await.expect("the step runs");
        app.checkout.cancel_overdue_orders().await.expect("the step runs");
        app.checkout.process_due_events().await.expect("the step runs");
    };
    step().await;
    let past = "UTC_TIMESTAMP(6) - INTERVAL 60 SECOND";
    for statement in [
        format!("UPDATE holds SET expires_at = {past}, returns_at = expires_at WHERE id = x'{}'", hold.id.simple()),
        format!("UPDATE orders SET pay_by = {past}"),
        format!("UPDATE holds SET returns_at = {past} WHERE id = x'{}'", ordered.id.simple()),
    ] {
        shop.execute(&statement).await;
    }
    step().await;
    assert_eq!(shop.reserved(product_id).await, 3, "the workers read only from their horizon on");
    while app.checkout.find_stragglers().await.expect("the step runs") {}
    assert_eq!(shop.reserved(product_id).await, 0);
}

#[tokio::test]
async fn a_walk_for_stragglers_that_fails_does_not_stop_the_other_walks() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let held = app
        .checkout
        .create_hold(holdfast::checkout::NewHold::new(product_id, 2, None))
        .await
        .expect("enough units")
        .hold;
    app.checkout.create_order(holdfast::checkout::NewOrder::new(held.id, None, None)).await.expect("an active hold");
    app.checkout.expire_holds().await.expect("the step runs");
    app.checkout.cancel_overdue_orders().await.expect("the step runs");
    let past = "UTC_TIMESTAMP(6) - INTERVAL 60 SECOND";
    shop.execute(&format!("UPDATE orders SET pay_by = {past}")).await;
    shop.execute(&format!("UPDATE holds SET returns_at = {past}")).await;
    let broken = proxy.on(Rule::from("-- holds/list_due:").always(), Action::Error(1064, "42000", "broken"));
    app.checkout.find_stragglers().await.expect_err("the walk over holds fails");
    assert!(broken.hits() > 0);
    assert_eq!(shop.reserved(product_id).await, 0, "the order is cancelled nevertheless");
}

/// Counts the open transactions of other connections in the test's database: those of an audit.
async fn audits_open(shop: &Shop) -> usize {
    let name = &shop.database.name;
    let query = format!(
        "SELECT processlist.id FROM information_schema.innodb_trx
         JOIN information_schema.processlist ON processlist.id = trx_mysql_thread_id
         WHERE processlist.db = '{name}' AND processlist.id <> CONNECTION_ID()"
    );
    of_transactions(&mut shop.sql().await, &query).await.len()
}

#[tokio::test]
async fn an_audit_ends_on_the_server_when_its_client_disconnects() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let config = holdfast::config::Config { admin_token: holdfast::domain::AdminToken::new(TOKEN), ..shop.config() };
    let client = shop.serve_without_workers_as(config).await;
    client.app.checkout.create_hold(holdfast::checkout::NewHold::new(product_id, 1, None)).await.expect("enough units");
    // The server has run the statement, and the audit waits for the result with its snapshot open.
    let page = client.proxy.on(Rule::from("-- audit/sum_holds"), Action::PauseAfter);
    let request = client.client.clone();
    let asking =
        tokio::spawn(async move { request.send(request.request("GET", "/api/admin/audit").bearer_auth(TOKEN)).await });
    page.reached().await;
    // the server lists what it read up to 100 ms before
    assert!(eventually(async || audits_open(&shop).await == 1).await, "no snapshot is open");
    asking.abort();
    assert!(eventually(async || audits_open(&shop).await == 0).await, "the snapshot is still open");
    assert_eq!(page.hits(), 1);
    drop(page);
    let again = async || client.app.checkout.audit().await.is_ok_and(|report| report.is_clean());
    assert!(eventually(again).await, "a second audit can be made");
}
