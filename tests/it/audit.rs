//! The audit finds every kind of damage, and reports nothing else.

use std::collections::BTreeSet;

use holdfast::app::App;
use holdfast::checkout::audit::report::{Finding, Kind, Report};
use holdfast::domain::Named as _;
use serde_json::json;

use crate::support::{Client, Shop, binary, mint};

pub(crate) async fn audit(app: &App) -> Report {
    app.checkout.audit().await.expect("an audit can be made")
}

pub(crate) fn text(id: &serde_json::Value) -> String {
    id.to_string()
}

/// Rows in every state, so that each damage finds a row to change.
pub(crate) struct Scene {
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
    pub(crate) async fn make(client: &Client, product_id: i64) -> Self {
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
        let held = json!({ "product_id": product_id, "qty": 1, "buyer": "b" });
        Self {
            held: client.post("/api/holds", &held).await.expect(201).text("hold_id"),
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
    #[expect(clippy::too_many_lines, reason = "a table, one entry for each kind")]
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
        let trail = |action: &str, from: &str| {
            format!(
                "INSERT INTO product_trail (product_id, change_id, place, actor, action, from_values, to_values) VALUES
                 ({spare_product}, '1', 1, 'o', 'created', NULL, '{{}}'), ({spare_product}, '1', 2, 'o', '{action}', {from}, '{{}}')"
            )
        };
        let line = |expires_at: &str, status: &str, currency: &str, changes: i64| {
            let columns = "id, product_id, qty, unit_price_minor, currency, status, expires_at, returns_at, changes";
            let returns_at = if status == "'active'" { expires_at } else { "NULL" };
            format!(
                "INSERT INTO holds ({columns}) SELECT id, {spare_product}, 1, 1, {currency}, {status}, {expires_at},
                 {returns_at}, {changes} FROM holds WHERE id = {held}"
            )
        };
        let seat = |set: &str| {
            let columns = "product_id, n, section, row_name, label, row_n, place, row_rank, hold_id, sold";
            format!("INSERT INTO seats ({columns}) VALUES ({spare_product}, 1, 'A', '1', 'A-1-1', 1, 1, 1, {set})")
        };
        vec![
            damage(Kind::SeatsNotConserved, &spare_product.to_string(), moved("kind = 'seated'")),
            damage(
                Kind::EventNotEnded,
                "4711",
                "INSERT INTO event_cancellations (event_id, cancelled_by, cancelled_at) VALUES (4711, 'o', NOW(6))"
                    .to_owned(),
            ),
            damage(
                Kind::DueRefundWrong,
                &self.paid_by,
                format!(
                    "INSERT INTO due_refunds (charge_event_id, event_id, order_id, amount_minor, until_minor, currency)
                     VALUES ({}, 4711, {paid}, 4999, 4999, 'EUR')",
                    self.paid_by
                ),
            ),
            damage(Kind::SeatWithoutHold, &spare_product.to_string(), seat(&format!("{held}, FALSE"))),
            damage(Kind::SeatSoldWrongly, &spare_product.to_string(), seat("NULL, TRUE")),
            damage(
                Kind::TicketsDiffer,
                &self.paid.1,
                format!(
                    "UPDATE holds JOIN products ON products.id = {spare_product}
                     SET holds.product_id = {spare_product}, products.kind = 'admission', products.event_id = 1
                     WHERE holds.id = {}",
                    binary(&self.paid.0)
                ),
            ),
            damage(
                Kind::TicketWrong,
                &self.paid.1,
                format!(
                    "INSERT INTO tickets (order_id, product_id, unit, event_id, code) VALUES ({paid}, {spare_product}, 1, 1, '1')"
                ),
            ),
            damage(
                Kind::TransitionNotTold,
                &self.paid.1,
                format!(
                    "DELETE FROM feed_batches WHERE events LIKE '%order.paid%' AND events LIKE '%{}%'",
                    self.paid.1
                ),
            ),
            damage(Kind::TransitionNotTold, &self.paid.1, paying_row("told = NULL")),
            damage(
                Kind::FeedGap,
                "7",
                "UPDATE feed_batches SET position = 7 WHERE items = 1 ORDER BY id LIMIT 1".to_owned(),
            ),
            damage(Kind::FeedPositionWrong, "feed", "UPDATE feed SET position = position + 1".to_owned()),
            damage(Kind::PushCursorWrong, "7", "DELETE FROM push_cursors".to_owned()),
            damage(Kind::PushCursorWrong, "7", "UPDATE push_cursors SET position = 1000".to_owned()),
            damage(Kind::PushCursorWrong, "7", "UPDATE push_cursors SET epoch = 1000".to_owned()),
            damage(
                Kind::PushFailureWrong,
                "7",
                "INSERT INTO push_failures (endpoint_id, position, row_position, state, attempts, happened_at, next_at)
                 VALUES (7, 1, 1, 'waiting', 1, NOW(6), NOW(6))"
                    .to_owned(),
            ),
            damage(Kind::ProductTrailBroken, &spare_product.to_string(), trail("created", "NULL")),
            damage(Kind::ProductTrailBroken, &spare_product.to_string(), trail("stock", "'{}'")),
            damage(Kind::ProductTrailBroken, &spare_product.to_string(), trail("changed", "NULL")),
            damage(Kind::UnitsNotConserved, &spare_product.to_string(), moved("reserved = reserved + 1")),
            damage(Kind::HoldOrderMismatch, &self.held, hold(&held, "status = 'ordered', returns_at = NULL")),
            damage(Kind::HoldOrderMismatch, &self.pending.0, hold(&binary(&self.pending.0), "status = 'expired'")),
            damage(Kind::HoldReturnsWrongly, &self.paid.0, hold(&binary(&self.paid.0), "returns_at = expires_at")),
            damage(Kind::HoldReturnsWrongly, &self.held, hold(&held, "returns_at = NULL")),
            damage(
                Kind::HoldLinesDiffer,
                &self.held,
                line("expires_at + INTERVAL 1 SECOND", "'active'", "currency", 0),
            ),
            damage(Kind::HoldLinesDiffer, &self.held, line("expires_at", "'released'", "currency", 0)),
            damage(Kind::HoldLinesDiffer, &self.held, line("expires_at", "'active'", "'USD'", 0)),
            damage(Kind::HoldLinesDiffer, &self.held, line("expires_at", "'active'", "currency", 1)),
            damage(Kind::HoldDeadlineTooLate, &self.held, hold(&held, "created_at = NOW(6) + INTERVAL 1 MINUTE")),
            damage(
                Kind::OrderDeadlineTooLate,
                &self.pending.1,
                order(&pending, "created_at = NOW(6) + INTERVAL 1 MINUTE"),
            ),
            damage(
                Kind::HoldLinesDiffer,
                &self.held,
                format!(
                    "INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, expires_at)
                     VALUES ({held}, {spare_product}, 1, 4999, 'EUR', NOW(6) + INTERVAL 1 DAY)"
                ),
            ),
            damage(Kind::OrderTotalMismatch, &self.pending.1, order(&pending, "total_minor = total_minor + 1")),
            damage(Kind::OrderTotalMismatch, &self.paid.1, order(&paid, "currency = 'USD'")),
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
            damage(
                Kind::CounterWrong,
                "00000000000000000000000000000001",
                "INSERT INTO buyer_units (id, units) VALUES (x'00000000000000000000000000000001', 1)".to_owned(),
            ),
            damage(
                Kind::UnitsNotCounted,
                &self.held,
                "UPDATE products SET max_per_buyer = 4, limit_state = 'enforced' WHERE reserved > 0".to_owned(),
            ),
            damage(Kind::ChargeRefundMismatch, &self.paid_by, charge(&self.paid_by, "refunded_minor = amount_minor")),
            damage(Kind::ChargeRefundMismatch, &self.paid_by, charge(&self.paid_by, "refunded_minor = 5000")),
        ]
    }
}

/// Empties every table except `products`, and sets all their units free.
async fn forget_everything(shop: &Shop) {
    for table in [
        "holds",
        "hold_owners",
        "buyer_units",
        "orders",
        "order_events",
        "payment_events",
        "charges",
        "product_trail",
        "seats",
        "event_cancellations",
        "due_refunds",
        "tickets",
        "feed_batches",
        "endpoints",
        "push_cursors",
        "push_failures",
    ] {
        shop.execute(&format!("DELETE FROM {table}")).await;
    }
    shop.execute("UPDATE feed SET position = 0, safe = 0").await;
    shop.execute("INSERT INTO endpoints (id, url) VALUES (7, 'https://shop.example/')").await;
    shop.execute("INSERT INTO push_cursors (endpoint_id, epoch, position) SELECT 7, epoch, 0 FROM feed").await;
    shop.execute("UPDATE products SET kind = NULL WHERE kind IS NOT NULL").await;
    shop.execute("UPDATE products SET reserved = 0, max_per_buyer = NULL, limit_state = NULL").await;
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
    // SumsDisagree reports damage that no check finds, and no such damage is known; a due refund is missing only of an event that was
    // cancelled, as tests/it/tickets/ended_damage.rs has it
    let apart = [Kind::SumsDisagree, Kind::DueRefundMissing];
    let named = Kind::ALL.iter().filter(|&kind| !apart.contains(kind));
    assert_eq!(found, named.map(|kind| kind.as_str()).collect());
}
