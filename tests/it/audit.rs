//! The audit finds every kind of damage, reports nothing else, and blocks no other transaction.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use holdfast::app::App;
use holdfast::checkout::Error;
use holdfast::checkout::audit::report::{Finding, Kind, Report};
use holdfast::db::views::audit::{CHARGES, EVENTS, HOLDS, ORDERS, TRANSITIONS, check, find_page};
use holdfast::db::{Failure, Tx};
use holdfast::domain::{Named as _, Refusal};
use mysql_async::prelude::Queryable as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

use crate::support::process::Process;
use crate::support::proxy::{Action, Rule};
use crate::support::shop::Instance;
use crate::support::{Client, Shop, binary, mint, together, with};

async fn audit(app: &App) -> Report {
    app.checkout.audit().await.expect("an audit can be made")
}

fn text(id: &serde_json::Value) -> String {
    id.to_string()
}

/// Rows in every state, so that each damage finds a row to change.
struct Scene {
    held: String,
    pending: (String, String),
    paid: (String, String),
    paid_by: String,
    other_paid_by: String,
    /// Another charge for the paid order.
    due: String,
    /// The charge of the paid order under another key.
    ignored: String,
    cancelled: String,
    cancelled_by: String,
    refunded: String,
    refunded_by: String,
    parked: String,
}

impl Scene {
    async fn make(client: &Client, product_id: i64) -> Self {
        let pay = async |order_id: &str, status: &str, txn_id: &str| {
            let event = json!({
                "order_id": order_id, "status": status, "idempotency_key": mint(), "txn_id": txn_id,
                "amount": "49.99", "currency": "EUR",
            });
            text(&client.webhook(&event).await.body["event_id"])
        };
        let (txn, other) = (mint(), mint());
        let paid = client.hold_and_order(product_id, 1).await;
        let paid_by = pay(&paid.1, "paid", &txn).await;
        let due = pay(&paid.1, "paid", &mint()).await;
        let ignored = pay(&paid.1, "paid", &txn).await;
        let cancelled = client.hold_and_order(product_id, 1).await.1;
        let cancelled_by = pay(&cancelled, "failed", &mint()).await;
        let refunded = client.hold_and_order(product_id, 1).await.1;
        let other_paid_by = pay(&refunded, "paid", &other).await;
        let refunded_by = pay(&refunded, "refunded", &other).await;
        Self {
            held: client.hold(product_id, 1).await,
            pending: client.hold_and_order(product_id, 1).await,
            paid,
            paid_by,
            other_paid_by,
            due,
            ignored,
            cancelled,
            cancelled_by,
            refunded,
            refunded_by,
            parked: pay(&mint(), "paid", &mint()).await,
        }
    }

    /// Returns each kind of finding with the id that it is reported at and the statement that causes it.
    fn damages(&self, spare_product: i64) -> Vec<(Kind, String, String)> {
        let (held, pending, paid) = (binary(&self.held), binary(&self.pending.1), binary(&self.paid.1));
        let cancelled = binary(&self.cancelled);
        let (no_order, no_event) = (mint(), spare_product + 1_000_000);
        let step = |order: &str, from: &str, to: &str| {
            format!(
                "INSERT INTO order_events (order_id, from_status, to_status, reason, payment_event_id)
                 VALUES ({order}, '{from}', '{to}', 'damage', {})",
                self.paid_by
            )
        };
        let hold = |id: &str, set: &str| format!("UPDATE holds SET {set} WHERE id = {id}");
        let order = |id: &str, set: &str| format!("UPDATE orders SET {set} WHERE id = {id}");
        let event = |id: &str, set: &str| format!("UPDATE payment_events SET {set} WHERE id = {id}");
        let charge = |id: &str, set: &str| format!("UPDATE charges SET {set} WHERE event_id = {id}");
        let paying_row = |set: &str| format!("UPDATE order_events SET {set} WHERE payment_event_id = {}", self.paid_by);
        let both = |set: &str| {
            let joined = "UPDATE charges JOIN payment_events ON payment_events.id = charges.event_id";
            format!("{joined} SET {set} WHERE event_id = {}", self.due)
        };
        let damage = |kind: Kind, id: &str, damage: String| (kind, id.to_owned(), damage);
        let moved = |damage: &str| format!("UPDATE products SET {damage} WHERE id = {spare_product}");
        vec![
            damage(Kind::UnitsNotConserved, &spare_product.to_string(), moved("reserved = reserved + 1")),
            damage(Kind::HoldOrderMismatch, &self.held, hold(&held, "status = 'ordered', returns_at = NULL")),
            damage(Kind::HoldOrderMismatch, &self.pending.0, hold(&binary(&self.pending.0), "status = 'expired'")),
            damage(Kind::HoldReturnsWrongly, &self.paid.0, hold(&binary(&self.paid.0), "returns_at = expires_at")),
            damage(Kind::HoldReturnsWrongly, &self.held, hold(&held, "returns_at = NULL")),
            damage(Kind::HoldDeadlineTooLate, &self.held, hold(&held, "created_at = NOW(6) + INTERVAL 1 MINUTE")),
            damage(
                Kind::OrderDeadlineTooLate,
                &self.pending.1,
                order(&pending, "created_at = NOW(6) + INTERVAL 1 MINUTE"),
            ),
            damage(Kind::HoldWithoutProduct, &self.held, hold(&held, "product_id = 1000000")),
            damage(
                Kind::OrderWithoutHold,
                &self.pending.1,
                format!("DELETE FROM holds WHERE id = {}", binary(&self.pending.0)),
            ),
            damage(Kind::OrderStatusUnexplained, &self.pending.1, order(&pending, "status = 'cancelled'")),
            damage(
                Kind::OrderStatusUnexplained,
                &self.pending.1,
                format!("DELETE FROM order_events WHERE order_id = {pending}"),
            ),
            damage(Kind::TrailBroken, &self.cancelled, step(&cancelled, "pending", "paid")),
            damage(
                Kind::TrailBroken,
                &self.paid.1,
                format!("DELETE FROM order_events WHERE order_id = {paid} AND from_status IS NULL"),
            ),
            damage(Kind::OrderPaidTwice, &self.paid.1, step(&paid, "pending", "paid")),
            damage(Kind::OrderPaidTwice, &self.paid.1, event(&self.due, "status = 'applied'")),
            damage(
                Kind::OrderPaidTwice,
                &self.paid.1,
                both("payment_events.status = 'applied', charges.status = 'paid', meaning = 'failed'"),
            ),
            damage(
                Kind::OrderWithoutCharge,
                &self.paid.1,
                format!("DELETE FROM charges WHERE event_id = {}", self.paid_by),
            ),
            damage(Kind::OrderWithoutCharge, &self.paid.1, charge(&self.paid_by, "status = 'refunded'")),
            damage(Kind::OrderRefundMismatch, &self.paid.1, order(&paid, "refunded_minor = 1")),
            damage(Kind::OrderRefundMismatch, &self.paid.1, order(&paid, "restocked = TRUE")),
            damage(Kind::TransitionNotAllowed, &self.cancelled, step(&cancelled, "cancelled", "refunded")),
            damage(Kind::TransitionNotAllowed, &self.paid.1, step(&paid, "paid", "pending")),
            damage(Kind::TransitionWithoutOrder, &no_order, step(&binary(&no_order), "pending", "paid")),
            damage(Kind::TransitionEventMismatch, &self.paid.1, paying_row("payment_event_id = NULL")),
            damage(
                Kind::TransitionEventMismatch,
                &self.paid.1,
                paying_row(&format!("payment_event_id = {}", self.due)),
            ),
            damage(
                Kind::TransitionEventMismatch,
                &self.paid.1,
                paying_row(&format!("payment_event_id = {}", self.other_paid_by)),
            ),
            damage(Kind::TransitionEventMismatch, &self.paid.1, paying_row(&format!("payment_event_id = {no_event}"))),
            damage(Kind::TransitionEventMismatch, &self.cancelled, step(&cancelled, "pending", "cancelled")),
            damage(Kind::EventSettledWrongly, &self.paid_by, event(&self.paid_by, "settled_at = NULL")),
            damage(Kind::EventSettledWrongly, &self.parked, event(&self.parked, "settled_at = NOW(6)")),
            damage(Kind::EventNeverDue, &self.parked, event(&self.parked, "due_at = NULL")),
            damage(Kind::AppliedEventWithoutEffect, &self.paid_by, paying_row("payment_event_id = NULL")),
            damage(Kind::AppliedEventWithoutEffect, &self.paid_by, step(&paid, "paid", "paid")),
            damage(
                Kind::AppliedEventWithoutEffect,
                &self.cancelled_by,
                format!("DELETE FROM order_events WHERE payment_event_id = {}", self.cancelled_by),
            ),
            damage(
                Kind::AppliedEventWithoutEffect,
                &self.refunded_by,
                format!(
                    "DELETE FROM order_events WHERE order_id = {} AND to_status = 'refunded'",
                    binary(&self.refunded)
                ),
            ),
            damage(Kind::SuccessWithoutCharge, &self.due, format!("DELETE FROM charges WHERE event_id = {}", self.due)),
            damage(
                Kind::SuccessWithoutCharge,
                &self.due,
                both("payment_events.status = 'refunded', event_id = 1000000 + event_id, name = 'another'"),
            ),
            damage(Kind::SuccessWithoutOrder, &self.paid_by, order(&paid, "status = 'cancelled'")),
            damage(Kind::SuccessIgnoredWrongly, &self.ignored, event(&self.ignored, "txn_id = 'unheard of'")),
            damage(
                Kind::SuccessIgnoredWrongly,
                &self.ignored,
                event(&self.ignored, &format!("txn_id = NULL, order_id = {pending}")),
            ),
            damage(Kind::SuccessDead, &self.parked, event(&self.parked, "status = 'dead', settled_at = NOW(6)")),
            damage(
                Kind::ChargeWithoutEvent,
                &no_event.to_string(),
                charge(&self.due, &format!("event_id = {no_event}")),
            ),
            damage(Kind::ChargeWithoutEvent, &self.due, charge(&self.due, "name = 'other'")),
            damage(Kind::ChargeWithoutEvent, &self.due, event(&self.due, "meaning = 'failed'")),
            damage(Kind::ChargeStatusMismatch, &self.due, charge(&self.due, "status = 'paid'")),
            damage(Kind::ChargeStatusMismatch, &self.paid_by, charge(&self.paid_by, "status = 'refund_due'")),
            damage(Kind::ChargeRefundMismatch, &self.paid_by, charge(&self.paid_by, "refunded_minor = amount_minor")),
            damage(Kind::ChargeRefundMismatch, &self.paid_by, charge(&self.paid_by, "refunded_minor = 5000")),
        ]
    }
}

/// Empties every table except `products`, and sets all their units free.
async fn forget_everything(shop: &Shop) {
    for table in ["holds", "orders", "order_events", "payment_events", "charges"] {
        shop.execute(&format!("DELETE FROM {table}")).await;
    }
    shop.execute("UPDATE products SET reserved = 0 WHERE reserved > 0").await;
}

#[tokio::test]
async fn every_kind_of_damage_is_found_where_it_is() {
    // without workers, nothing repairs or moves the damaged rows
    let shop = Shop::open().await;
    let (product_id, client) = (shop.product(10_000).await, shop.serve_without_workers().await);
    // this constraint would refuse some of the damages
    shop.execute("ALTER TABLE charges DROP CONSTRAINT charges_refunded").await;
    let app = shop.app();
    let mut found = BTreeSet::new();
    let count = Scene::make(&client, product_id).await.damages(0).len();
    for number in 0..count {
        // each damage is applied to clean tables
        forget_everything(&shop).await;
        let (scene, spare_product) = (Scene::make(&client, product_id).await, shop.product(5).await);
        let (kind, id, damage) = scene.damages(spare_product).swap_remove(number);
        let here = |finding: &Finding| finding.kind == kind && finding.id == id;
        let clean = audit(&app).await;
        assert!(clean.is_clean(), "before {damage}: {clean}");
        assert!(shop.execute(&damage).await > 0, "{damage}");
        let report = audit(&app).await;
        assert!(report.findings.iter().any(here), "{kind} at {id} after {damage}\n{report}");
        assert!(!report.is_clean());
        found.insert(kind.as_str());
    }
    // SumsDisagree reports damage that no check finds, and no such damage is known
    let named = Kind::ALL.iter().filter(|&&kind| kind != Kind::SumsDisagree);
    assert_eq!(found, named.map(|kind| kind.as_str()).collect());
}

/// Damages of one row. `{other}` stands for the value of the same column in another row.
const DAMAGES: [(&str, &str, &[&str]); 5] = [
    (
        "holds",
        "id",
        &[
            "status = 'active'",
            "status = 'ordered'",
            "status = 'released'",
            "returns_at = NULL",
            "returns_at = expires_at",
            "created_at = NOW(6) + INTERVAL 1 HOUR",
        ],
    ),
    (
        "orders",
        "id",
        &[
            "status = 'pending'",
            "status = 'paid'",
            "status = 'cancelled'",
            "status = 'refunded'",
            "refunded_minor = 4999",
            "restocked = TRUE",
            "pay_by = NOW(6)",
            "created_at = NOW(6) + INTERVAL 1 HOUR",
            "hold_id = UNHEX(REPLACE(UUID(), '-', ''))",
        ],
    ),
    (
        "order_events",
        "id",
        &[
            "from_status = NULL",
            "from_status = 'pending'",
            "from_status = 'paid'",
            "to_status = 'pending'",
            "to_status = 'paid'",
            "to_status = 'cancelled'",
            "to_status = 'refunded'",
            "payment_event_id = NULL",
            "payment_event_id = {other}",
            "order_id = {other}",
            "id = id + 1000000",
        ],
    ),
    (
        "payment_events",
        "id",
        &[
            "status = 'received'",
            "status = 'parked'",
            "status = 'applied'",
            "status = 'ignored'",
            "status = 'refund_due'",
            "status = 'refunded'",
            "status = 'dead'",
            "meaning = 'succeeded'",
            "meaning = 'failed'",
            "meaning = 'refunded'",
            "order_id = NULL",
            "order_id = {other}",
            "txn_id = NULL",
            "txn_id = {other}",
            "provider = 'other'",
            "settled_at = NULL",
            "settled_at = NOW(6)",
            "due_at = NULL",
        ],
    ),
    (
        "charges",
        "event_id",
        &[
            "status = 'paid'",
            "status = 'refund_due'",
            "status = 'refunded'",
            "refunded_minor = 1",
            "refunded_minor = amount_minor",
            "event_id = event_id + 1000000",
            "order_id = NULL",
            "order_id = {other}",
            "name = 'other'",
            "provider = 'other'",
        ],
    ),
];

/// Runs every check over its whole table, and returns the findings.
async fn make_all_checks(tx: &mut Tx<'_>) -> Result<BTreeSet<(&'static str, String)>, Failure> {
    let mut found = BTreeSet::new();
    for table in [&HOLDS, &ORDERS, &TRANSITIONS, &EVENTS, &CHARGES] {
        let page = find_page(tx, table, table.first(), 1_000_000).await?;
        for &kind in table.checks.iter().chain(table.own_checks) {
            found.extend(check(tx, kind, &page).await?.into_iter().map(|finding| (kind.as_str(), finding.id)));
        }
    }
    Ok(found)
}

/// Returns the statement that damages one row of a table; without `set`, it deletes the row.
fn damage(table: &str, key: &str, set: Option<&str>, rows: &[String], pick: usize) -> String {
    let (row, other) = (&rows[pick % rows.len()], &rows[pick / rows.len() % rows.len()]);
    let Some(set) = set else { return format!("DELETE FROM {table} WHERE {key} = {row}") };
    let (column, _) = set.split_once(' ').expect("a column");
    let other = format!("(SELECT {column} FROM (SELECT {column} FROM {table} WHERE {key} = {other}) AS another)");
    format!("UPDATE {table} SET {} WHERE {key} = {row}", set.replace("{other}", &other))
}

#[tokio::test]
async fn the_sums_of_an_audit_miss_nothing_that_a_check_finds() {
    const PAIRS: usize = 60;
    let shop = Shop::open().await;
    let product_id = shop.product(10_000).await;
    // without workers, nothing repairs the damaged rows
    let served = shop.serve_without_workers().await;
    let client = &served.client;
    shop.execute("ALTER TABLE charges DROP CONSTRAINT charges_refunded").await;
    Scene::make(client, product_id).await;
    let late = client.hold_and_order(product_id, 1).await.1;
    client.cancel(&late).await.expect(200);
    let paid =
        json!({ "order_id": late, "status": "paid", "txn_id": "late", "idempotency_key": "l", "amount": "49.99" });
    client.webhook(&paid).await.expect(200);
    let refund =
        json!({ "txn_id": "late", "status": "refunded", "idempotency_key": "r", "amount": "9.99", "order_id": late });
    client.webhook(&refund).await.expect(200);
    let app = shop.app();
    let clean = audit(&app).await;
    assert!(clean.is_clean(), "{clean}");
    for (table, ..) in DAMAGES {
        shop.execute(&format!("CREATE TABLE {table}_before LIKE {table}")).await;
        shop.execute(&format!("INSERT INTO {table}_before SELECT {table}.* FROM {table}")).await;
    }
    let mut conn = shop.sql().await;
    let mut all = Vec::new();
    for (table, key, sets) in DAMAGES {
        let rows: Vec<String> =
            conn.query(format!("SELECT CONCAT('0x', HEX({key})) FROM {table} ORDER BY {key}")).await.expect("rows");
        for set in sets.iter().map(|&set| Some(set)).chain([None]) {
            all.push((table, key, set, rows.clone()));
        }
    }
    // each damage alone, then some in pairs; the seed is fixed
    let mut random = StdRng::seed_from_u64(9);
    let singles = (0..all.len()).map(|number| vec![number]);
    let pairs: Vec<Vec<usize>> =
        (0..PAIRS).map(|_| (0..2).map(|_| random.random_range(0..all.len())).collect()).collect();
    let (mut found, mut clean) = (BTreeSet::new(), 0);
    for damages in singles.chain(pairs) {
        let statements = damages.iter().map(|&number| {
            let (table, key, set, rows) = &all[number];
            damage(table, key, *set, rows, random.random_range(0..10_000))
        });
        let statements: Vec<String> = statements.collect();
        for statement in &statements {
            // a statement that violates a unique key changes nothing
            let _ = conn.query_drop(statement).await;
        }
        let expected = app
            .checkout
            .database()
            .snapshot("checks", |tx| make_all_checks(tx).boxed())
            .await
            .expect("checks can be made");
        let report = audit(&app).await;
        let told = report.findings.iter().filter(|finding| finding.kind != Kind::UnitsNotConserved);
        let told: BTreeSet<(&'static str, String)> =
            told.map(|finding| (finding.kind.as_str(), finding.id.clone())).collect();
        assert_eq!(told, expected, "after {statements:#?}");
        clean += usize::from(expected.is_empty());
        found.extend(expected.into_iter().map(|(kind, _)| kind));
        for (table, ..) in DAMAGES {
            shop.execute(&format!("DELETE FROM {table}")).await;
            shop.execute(&format!("INSERT INTO {table} SELECT {table}_before.* FROM {table}_before")).await;
        }
    }
    assert!(found.len() > 15 && clean < 30, "{clean} damages had no finding; the others had {found:?}");
}

#[tokio::test]
async fn a_report_shows_where_the_units_and_the_money_are() {
    let (shop, product_id, client) = Shop::selling(10).await;
    Scene::make(&client, product_id).await;
    let wrong =
        json!({ "hold_id": mint(), "status": "paid", "idempotency_key": "k", "amount": "1.10", "currency": "USD" });
    client.webhook(&wrong).await.expect(202);
    shop.product(3).await;
    let report = audit(&shop.app()).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.stock.to_string(), "stock 13 = 9 available + 1 held + 1 awaiting + 2 sold");
    assert_eq!(report.products.len(), 2);
    let counts = report.looked_at.to_string();
    assert_eq!(counts, "2 products, 5 holds, 4 orders with 8 transitions, 8 payment events, 3 charges");
    let money: Vec<String> = report.money.iter().map(|money| format!("{money}")).collect();
    let line = |state: &str| money.iter().find(|line| line.starts_with(state)).unwrap_or_else(|| panic!("{money:#?}"));
    assert!(line("paid ").contains(" 4999 EUR"), "{money:#?}");
    assert!(line("refunded ").contains(" 4999 EUR"), "{money:#?}");
    line("refund_due ");
    assert!(money.iter().any(|line| line.starts_with("parked ") && line.contains(" 110 USD")), "{money:#?}");
}

/// Buys, pays, cancels, lets holds run out and refunds until `over` is set; returns the number of turns.
async fn buy(shop: Arc<Shop>, client: Client, product_id: i64, over: Arc<AtomicBool>) -> usize {
    let mut turns = 0;
    while !over.load(Ordering::SeqCst) {
        turns += 1;
        let answer = client.try_hold(product_id, 1).await;
        if answer.status != 201 {
            continue;
        }
        let hold_id = answer.text("hold_id");
        match turns % 6 {
            0 => {
                client.release(&hold_id).await.expect(200);
                continue;
            }
            1 => {
                shop.let_hold_run_out(&hold_id).await;
                continue;
            }
            _ => {}
        }
        let order_id = client.order(&hold_id).await;
        let (txn, event) = (
            mint(),
            |status: &str, txn: &str| json!({ "order_id": order_id, "status": status, "txn_id": txn, "idempotency_key": mint(), "amount": "49.99" }),
        );
        match turns % 6 {
            2 => client.webhook(&event("failed", &txn)).await.expect(200),
            3 => client.cancel(&order_id).await.expect(200),
            _ => client.webhook(&event("paid", &txn)).await.expect(200),
        };
        let other = mint();
        let more = match turns % 12 {
            2 | 3 | 8 => vec![event("paid", &other)],
            4 => vec![with(&event("refunded", &txn), json!({ "restock": true }))],
            5 => vec![event("paid", &other), event("refunded", &other)],
            10 => vec![event("paid", &txn), event("refunded", &txn)],
            11 => vec![with(&event("refunded", &txn), json!({ "amount": "9.99" }))],
            _ => vec![],
        };
        for event in more {
            client.webhook(&event).await.expect(200);
        }
    }
    turns
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audits_during_a_sale_find_nothing_wrong() {
    const AUDITS: usize = 25;
    const TRANSITIONS: i64 = 200;
    let shop = Arc::new(Shop::open().await);
    let products = [shop.product(40).await, shop.product(100_000).await];
    let instances: [Instance; 2] = [shop.serve().await, shop.serve().await];
    let over = Arc::<AtomicBool>::default();
    let buyers = (0..12).map(|n: usize| {
        let client = instances[n % 2].client.clone();
        buy(Arc::clone(&shop), client, products[n / 2 % 2], Arc::clone(&over))
    });
    let buying = tokio::spawn(together(buyers.collect::<Vec<_>>()));
    let app = shop.app();
    let (mut seen, mut wrong) = (Vec::new(), Vec::new());
    // a slow machine needs more audits until the sale has made this many transitions
    while seen.len() < AUDITS || seen.last().is_some_and(|&transitions| transitions < TRANSITIONS) {
        let report = audit(&app).await;
        if !report.is_clean() {
            wrong.push(report.to_string());
        }
        seen.push(report.looked_at.transitions);
    }
    over.store(true, Ordering::SeqCst);
    let turns: usize = buying.await.expect("no panic").into_iter().sum();
    assert!(wrong.is_empty(), "{} of {}: {}", wrong.len(), seen.len(), wrong[0]);
    assert!(turns > 0 && seen.windows(2).any(|pair| pair[0] < pair[1]), "the sale went on: {turns} {seen:?}");
}

#[tokio::test]
async fn an_audit_blocks_neither_sales_nor_schema_changes() {
    let (shop, product_id, client) = Shop::selling(10).await;
    let (app, proxy) = shop.app_through_proxy().await;
    client.hold_and_order(product_id, 1).await;
    let paused = proxy.on("-- audit/sum_trails:", Action::PauseBefore);
    let auditing = tokio::spawn({
        let app = Arc::clone(&app);
        async move { app.checkout.audit().await }
    });
    paused.reached().await;
    let second = app.checkout.audit().await;
    assert!(matches!(second, Err(Error::Refused(Refusal::AuditRunning))), "{second:?}");
    let (_, order_id) = client.hold_and_order(product_id, 2).await;
    client.cancel(&order_id).await.expect(200);
    shop.execute("ALTER TABLE products ADD COLUMN color INT NULL").await;
    paused.release();
    let report = auditing.await.expect("no panic").expect("an audit can be made");
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.looked_at.orders, report.looked_at.transitions), (1, 1), "later rows are not in the snapshot");
    assert_eq!(audit(&app).await.looked_at.transitions, 3);
}

#[tokio::test]
async fn an_audit_starts_again_when_the_schema_changes_or_the_connection_breaks() {
    let (shop, product_id, client) = Shop::selling(10).await;
    let (app, proxy) = shop.app_through_proxy().await;
    client.hold_and_order(product_id, 1).await;
    let cut = proxy.on(Rule::from("-- audit/sum_transitions:"), Action::CutBefore);
    assert!(audit(&app).await.is_clean());
    assert_eq!(cut.hits(), 1);

    let paused = proxy.on("-- audit/sum_trails:", Action::PauseBefore);
    let auditing = tokio::spawn(async move { app.checkout.audit().await });
    paused.reached().await;
    shop.execute("ALTER TABLE order_events ADD COLUMN color INT NULL, ALGORITHM = COPY").await;
    paused.release();
    assert!(auditing.await.expect("no panic").expect("an audit can be made").is_clean());
}

#[tokio::test]
async fn the_exit_code_of_the_command_shows_what_the_audit_found() {
    let (shop, product_id, client) = Shop::selling(10).await;
    client.hold_and_order(product_id, 1).await;
    let settings = [("HOLDFAST_DATABASE_URL", shop.database.url.as_str())];
    let clean = Process::run(&["audit"], &settings).await.expect(0);
    assert!(clean.out.ends_with("\nclean"), "{}", clean.out);
    assert!(clean.out.contains("stock 10 = 9 available + 0 held + 1 awaiting + 0 sold"), "{}", clean.out);
    shop.execute("UPDATE products SET reserved = 2").await;
    let found = Process::run(&["audit"], &settings).await.expect(1);
    assert!(found.out.contains("units_not_conserved: 1\n") && found.out.ends_with("\nNOT CLEAN"), "{}", found.out);
    Process::run(&["audit"], &[]).await.expect(2);
    let away = Process::run(&["audit"], &[("HOLDFAST_DATABASE_URL", "mysql://root@127.0.0.1:1/nothing")]).await;
    assert!(away.expect(3).err.contains("cannot run"));
}
