//! Orders that were not paid in time are cancelled in batches, as holds are expired.

use std::collections::{BTreeSet, HashMap};

use futures_util::FutureExt as _;
use uuid::Uuid;

use crate::checkout::holds::expiry::{BATCH, Look, Pass, do_apart, do_page, reserved};
use crate::checkout::holds::passed_over::{PassedOver, Unfit};
use crate::checkout::holds::whole::batches;
use crate::checkout::transition::cancel_overdue;
use crate::db::due::Window;
use crate::db::tables::holds::{self, Units, sum};
use crate::db::tables::orders::{self, Due};
use crate::db::{Database, Error, Failure};
use crate::domain::product::MOST_LINES;
use crate::telemetry;

/// Maximum number of orders per page.
pub(crate) const ORDERS: u32 = 500;

/// Cancels a page of orders that were not paid in time.
pub(crate) async fn cancel_due(database: &Database, passed_over: &PassedOver, window: Window) -> Result<Pass, Error> {
    let read = || {
        let page = database.read("orders.list_due", move |tx| {
            async move { Ok(Look::of(orders::list_due(tx, window).await?, window.limit, Due::place)) }.boxed()
        });
        page.boxed()
    };
    let work = |rows| cancel_orders(database, passed_over, rows).boxed();
    do_page(database, read, work).await
}

/// Returns how many of these orders were cancelled.
async fn cancel_orders(database: &Database, passed_over: &PassedOver, due: Vec<Due>) -> Result<usize, Error> {
    let due = without_missing(database, passed_over, due).await?;
    let mut done = 0;
    for batch in divided(database, due).await? {
        let count = batch.len();
        done += match cancel_batch(database, &batch).await {
            Ok(()) => count,
            Err(Error::Unfit(_)) => cancel_apart(database, passed_over, batch).await?,
            Err(error) => return Err(error),
        };
    }
    Ok(done)
}

/// Divides orders into those of one transaction each, by the rows of their holds. These are read only if they may be too many.
async fn divided(database: &Database, due: Vec<Due>) -> Result<Vec<Vec<Due>>, Error> {
    if due.len() * MOST_LINES <= BATCH {
        return Ok(vec![due]);
    }
    let units = units_of(database, &due).await?;
    Ok(batches(due, BATCH, |row| units.get(&row.hold_id).map_or(1, Vec::len)))
}

/// Cancels all of these orders in one transaction, or none.
async fn cancel_batch(database: &Database, due: &[Due]) -> Result<(), Error> {
    if due.is_empty() {
        return Ok(());
    }
    database
        .transaction("orders.cancel_overdue", |tx| {
            async move { cancel_overdue(tx, due).await }.map(|done| done.map_err(Failure::of_some_rows)).boxed()
        })
        .await?;
    telemetry::expired("order", due.iter().map(|row| row.late));
    Ok(())
}

/// Returns the orders that are not passed over. Their products are read only while one is known to be missing.
async fn without_missing(database: &Database, passed_over: &PassedOver, mut due: Vec<Due>) -> Result<Vec<Due>, Error> {
    due.retain(|row| !passed_over.passes_order(row.place()));
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

/// Reads the units in the holds of these orders.
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

/// Cancels as many of these orders as possible, and passes over the others. Most of what can be wrong is seen by one read of
/// the holds and one of the products; halving finds the rest. Returns how many were cancelled.
async fn cancel_apart(database: &Database, passed_over: &PassedOver, due: Vec<Due>) -> Result<usize, Error> {
    let units = units_of(database, &due).await?;
    let product_ids: BTreeSet<i64> = units.values().flatten().map(|units| units.product_id).collect();
    let mut reserved = reserved(database, product_ids.into_iter()).await?;
    let (mut fitting, mut unfit) = (Vec::with_capacity(due.len()), Vec::new());
    for row in due {
        let units = units.get(&row.hold_id).map_or(&[][..], Vec::as_slice);
        let missing = units.iter().map(|units| units.product_id).find(|product_id| !reserved.contains_key(product_id));
        let wanted = sum(units.iter().copied());
        let fits = wanted.iter().all(|(product_id, qty)| reserved.get(product_id).is_some_and(|left| left >= qty));
        let why = match missing {
            Some(product_id) => Unfit::Missing(product_id),
            None if units.is_empty() => Unfit::Row(format!("there is no hold {}", row.hold_id)),
            None if !fits => Unfit::Row(format!("too few units are reserved for hold {}", row.hold_id)),
            None => {
                for (product_id, qty) in wanted {
                    reserved.entry(product_id).and_modify(|left| *left -= qty);
                }
                fitting.push(row);
                continue;
            }
        };
        unfit.push((row.place(), why));
    }
    let work = |set| cancel_batch(database, set).boxed();
    do_apart(passed_over, "order", (&fitting, unfit), Due::place, work).await
}
