//! Orders that were not paid in time: they are cancelled in batches, as holds are expired.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;
use uuid::Uuid;

use super::Checkout;
use super::expiry::{LOOKS, Pass, Seen, reserved};
use super::halves::in_halves;
use super::passed_over::{Findings, PassedOver};
use crate::db::due::Window;
use crate::db::holds::{self, Units, sum};
use crate::db::order_events::{self, Reason, Transition};
use crate::db::orders::{self, Due};
use crate::db::{Database, Error, Failure, products};
use crate::domain::OrderStatus;
use crate::telemetry;

/// Orders that one transaction takes at most, and one look finds.
pub(super) const ORDERS: u32 = 500;

impl Checkout {
    /// Cancels one batch of orders that were not paid in time. Returns whether there may be more.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn cancel_overdue_orders(&self) -> Result<bool, Error> {
        let mut horizon = self.due_orders.lock().await;
        let window = Window { after: horizon.place(), age: Duration::ZERO, limit: ORDERS };
        let seen = cancel_due(&self.database, &self.passed_over, window).await;
        self.record(&mut horizon, seen).await
    }
}

/// Cancels a page of orders that were not paid in time; looks again when something else was faster with some of them.
pub(super) async fn cancel_due(database: &Database, passed_over: &PassedOver, window: Window) -> Result<Pass, Error> {
    for _ in 0..LOOKS {
        let asked = Instant::now();
        let page =
            database.read("orders.list_due", |tx| async move { orders::list_due(tx, window).await }.boxed()).await?;
        if !database.clock().admits(page.read_at, asked) {
            return Ok(Pass::Paused);
        }
        let due = without_missing(database, passed_over, &page.rows).await?;
        let count = due.len();
        let cancelled = match cancel_batch(database, &due).await {
            Err(Error::Unfit(_)) => cancel_apart(database, passed_over, due).await,
            done => done.map(|()| count),
        };
        match cancelled {
            Err(Error::Stale(_)) => {}
            Err(error) => return Err(error),
            Ok(done) => {
                let full = page.rows.len() == window.limit as usize;
                let last = page.rows.last().filter(|_| full).map(Due::place);
                return Ok(Pass::Done(Seen { read_at: page.read_at, last, done }));
            }
        }
    }
    Ok(Pass::Raced)
}

/// One transaction: all of these orders, or none.
async fn cancel_batch(database: &Database, due: &[Due]) -> Result<(), Error> {
    if due.is_empty() {
        return Ok(());
    }
    database
        .transaction("orders.cancel_overdue", |tx| {
            async move {
                let order_ids: Vec<_> = due.iter().map(|row| row.order_id).collect();
                let hold_ids: Vec<_> = due.iter().map(|row| row.hold_id).collect();
                orders::cancel_all(tx, &order_ids).await?;
                let transitions: Vec<_> = order_ids.iter().map(|&order_id| overdue(order_id)).collect();
                order_events::insert(tx, &transitions).await?;
                holds::settle(tx, &hold_ids).await?;
                let units = sum(holds::list_units(tx, &hold_ids).await?);
                products::give_back(tx, &units).await
            }
            .map(|done| done.map_err(Failure::of_some_rows))
            .boxed()
        })
        .await?;
    telemetry::expired("order", due.iter().map(|row| row.late));
    Ok(())
}

/// The orders that are not passed over. Products are looked for only while one is known to be missing.
async fn without_missing(database: &Database, passed_over: &PassedOver, due: &[Due]) -> Result<Vec<Due>, Error> {
    let mut due: Vec<Due> = due.iter().filter(|row| !passed_over.passes_order(row.place())).copied().collect();
    if !due.is_empty() && passed_over.knows_missing() {
        let units = units_of(database, &due).await?;
        let is_missing = |row: &Due| units.get(&row.hold_id).is_some_and(|units| misses(passed_over, units));
        due.retain(|row| !is_missing(row));
    }
    Ok(due)
}

fn misses(passed_over: &PassedOver, units: &[Units]) -> bool {
    units.iter().any(|units| passed_over.is_missing(units.product_id))
}

/// What the holds of these orders speak for.
async fn units_of(database: &Database, due: &[Due]) -> Result<HashMap<Uuid, Vec<Units>>, Error> {
    let hold_ids: Vec<Uuid> = due.iter().map(|row| row.hold_id).collect();
    let hold_ids = &hold_ids;
    let listed =
        database.read("holds.list_units", |tx| async move { holds::list_units(tx, hold_ids).await }.boxed()).await?;
    let mut units: HashMap<Uuid, Vec<Units>> = HashMap::new();
    for row in listed {
        units.entry(row.hold_id).or_default().push(row);
    }
    Ok(units)
}

/// Cancels as many of these orders as can be, and passes over the others. Most of what can be wrong is seen by one read
/// of the holds and one of the products; halving finds the rest. Returns how many were cancelled.
async fn cancel_apart(database: &Database, passed_over: &PassedOver, due: Vec<Due>) -> Result<usize, Error> {
    let units = units_of(database, &due).await?;
    let product_ids: BTreeSet<i64> = units.values().flatten().map(|units| units.product_id).collect();
    let mut reserved = reserved(database, product_ids.into_iter()).await?;
    let (mut fitting, mut findings) = (Vec::with_capacity(due.len()), Findings::of("order"));
    for row in due {
        let units = units.get(&row.hold_id).map_or(&[][..], Vec::as_slice);
        let missing = units.iter().map(|units| units.product_id).find(|product_id| !reserved.contains_key(product_id));
        let wanted = sum(units.iter().copied());
        let fits = wanted.iter().all(|(product_id, qty)| reserved.get(product_id).is_some_and(|left| left >= qty));
        if let Some(product_id) = missing {
            passed_over.pass_missing(product_id);
            findings.add(row.place(), || format!("there is no product {product_id}"));
        } else if units.is_empty() || !fits {
            passed_over.pass_row(row.place());
            let why = if units.is_empty() { "there is no hold" } else { "there are no such units reserved" };
            findings.add(row.place(), || format!("{why}, {}", row.hold_id));
        } else {
            for (product_id, qty) in wanted {
                reserved.entry(product_id).and_modify(|left| *left -= qty);
            }
            fitting.push(row);
        }
    }
    let rest = in_halves(&fitting, |set| cancel_batch(database, set).boxed()).await;
    let rest = rest.inspect_err(|_| findings.report())?;
    let done = fitting.len() - rest.bad.len() - rest.untried.len();
    for (row, why) in rest.bad {
        passed_over.pass_row(row.place());
        findings.add(row.place(), || why);
    }
    rest.untried.iter().for_each(|row| passed_over.leave_row(row.place()));
    findings.report();
    Ok(done)
}

fn overdue(order_id: Uuid) -> Transition {
    Transition {
        order_id,
        from: Some(OrderStatus::Pending),
        to: OrderStatus::Cancelled,
        reason: Reason::PaymentOverdue,
    }
}
