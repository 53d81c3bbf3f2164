//! What runs out: holds and unpaid orders give their units back. Set-based, and in batches, so that buyers never wait long
//! behind it; a row can be marked once, so any number of instances may do this at the same time.
//!
//! Rows whose units cannot be given back (their product was deleted, fewer units are reserved than they hold) are set apart
//! and passed over: see `passed_over.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::NaiveDateTime;
use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::Checkout;
use super::halves::in_halves;
use super::horizon::Horizon;
use super::passed_over::{Findings, PassedOver};
use crate::db::due::{Place, Window};
use crate::db::holds::{self, Due, Units, sum};
use crate::db::{Database, Error, Failure, audit, orders, products};
use crate::telemetry;

/// Rows that one transaction takes at most. Buyers of the same product wait behind its last statement and its commit,
/// which take little longer for many rows than for few.
const BATCH: usize = 2_000;
/// How often a step looks again because another worker was faster.
pub(super) const LOOKS: u32 = 3;
/// Rows that one look finds at most. Many batches per look, since a look has to pass all rows that were just changed and
/// are not purged yet.
pub(super) const LISTED: u32 = 20_000;

/// What came of a page of due rows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pass {
    /// Everything on it was done or passed over.
    Done(Seen),
    /// Other workers are at the same rows.
    Raced,
    /// The database's clock has jumped: nothing was changed.
    Paused,
}

/// Where a page of due rows was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// The database's clock then, UTC.
    pub(super) read_at: NaiveDateTime,
    /// The last row when the page was full: there may be more behind it.
    pub(super) last: Option<Place>,
    /// How many rows of the page were done.
    pub(super) done: usize,
}

impl Checkout {
    /// Gives back one batch of holds that have run out. Returns whether there may be more.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn expire_holds(&self) -> Result<bool, Error> {
        let mut horizon = self.due_holds.lock().await;
        let window = Window { after: horizon.place(), age: Duration::ZERO, limit: LISTED };
        let seen = expire_due(&self.database, &self.passed_over, None, window).await;
        self.record(&mut horizon, seen).await
    }

    /// How long until the next hold runs out that [`Checkout::expire_holds`] has not seen, by the database's clock; zero
    /// when one already has, `None` when none does within a second. Not before the end of a pause.
    ///
    /// # Errors
    /// As every read.
    pub async fn next_hold_due(&self) -> Result<Option<Duration>, Error> {
        if let Some(pause) = self.database.clock().paused_for() {
            return Ok(Some(pause));
        }
        let seen = self.due_holds.lock().await.seen();
        let due_in_us = self
            .database
            .read("holds.find_next_due", |tx| async move { holds::find_next_due(tx, seen).await }.boxed())
            .await?;
        Ok(due_in_us.map(from_us))
    }

    /// The same for unpaid orders and [`Checkout::cancel_overdue_orders`].
    ///
    /// # Errors
    /// As every read.
    pub async fn next_order_due(&self) -> Result<Option<Duration>, Error> {
        if let Some(pause) = self.database.clock().paused_for() {
            return Ok(Some(pause));
        }
        let seen = self.due_orders.lock().await.seen();
        let due_in_us = self
            .database
            .read("orders.find_next_due", |tx| async move { orders::find_next_due(tx, seen).await }.boxed())
            .await?;
        Ok(due_in_us.map(from_us))
    }

    /// Moves a worker's horizon by what a page came to. Returns whether there may be more at once.
    pub(super) async fn record(&self, horizon: &mut Horizon, pass: Result<Pass, Error>) -> Result<bool, Error> {
        match pass {
            Ok(Pass::Done(Seen { read_at, last, .. })) => {
                horizon.record(read_at, last);
                Ok(last.is_some())
            }
            Ok(Pass::Raced) => {
                horizon.restart();
                Ok(true)
            }
            Ok(Pass::Paused) => {
                horizon.restart();
                Ok(false)
            }
            Err(error) => {
                horizon.restart();
                if horizon.is_unknown() && matches!(error, Error::Unavailable(_)) {
                    let read = self.database.read("expiry.find_time", |tx| audit::find_time(tx).boxed());
                    horizon.skip_to(read.await?);
                }
                Err(error)
            }
        }
    }
}

/// Gives back a page of holds that have run out, of one product or of all, a batch per transaction; looks again when another
/// worker was faster with some of them.
pub(super) async fn expire_due(
    database: &Database,
    passed_over: &PassedOver,
    product_id: Option<i64>,
    window: Window,
) -> Result<Pass, Error> {
    for _ in 0..LOOKS {
        let asked = Instant::now();
        let page = database
            .read("holds.list_due", |tx| async move { holds::list_due(tx, product_id, window).await }.boxed())
            .await?;
        if !database.clock().admits(page.read_at, asked) {
            return Ok(Pass::Paused);
        }
        match expire_batches(database, passed_over, &page.rows).await {
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

/// Gives back what has run out of one product, for a late payment. That is rare, so nothing is remembered for the next one.
pub(super) async fn expire_product(database: &Database, product_id: i64) -> Result<(), Error> {
    let window = Window { after: Place::first(), age: Duration::ZERO, limit: LISTED };
    expire_due(database, &PassedOver::default(), Some(product_id), window).await.map(drop)
}

/// Returns how many of these rows were given back.
async fn expire_batches(database: &Database, passed_over: &PassedOver, due: &[Due]) -> Result<usize, Error> {
    let mut done = 0;
    for batch in due.chunks(BATCH) {
        let batch = passed_over.without(batch);
        let count = batch.len();
        done += match expire_batch(database, &batch).await {
            Ok(()) => count,
            Err(Error::Unfit(_)) => expire_apart(database, passed_over, batch).await?,
            Err(error) => return Err(error),
        };
    }
    Ok(done)
}

/// One transaction: all of these rows, or none.
async fn expire_batch(database: &Database, due: &[Due]) -> Result<(), Error> {
    if due.is_empty() {
        return Ok(());
    }
    let mut units: Vec<Units> = due.iter().map(|row| row.units).collect();
    units.sort_unstable();
    let units = &units;
    database
        .transaction("holds.expire", |tx| {
            async move {
                holds::expire(tx, units).await?;
                products::give_back(tx, &sum(units.iter().copied())).await
            }
            .map(|done| done.map_err(Failure::of_some_rows))
            .boxed()
        })
        .await?;
    telemetry::expired("hold", due.iter().map(|row| row.late));
    Ok(())
}

/// Gives back as many of these rows as can be, and passes over the others. Most of what can be wrong is seen by one read
/// of the products; halving finds the rest. Returns how many rows were given back.
async fn expire_apart(database: &Database, passed_over: &PassedOver, due: Vec<Due>) -> Result<usize, Error> {
    let product_ids = due.iter().map(|row| row.units.product_id);
    let mut reserved = reserved(database, product_ids).await?;
    let (mut fitting, mut findings) = (Vec::with_capacity(due.len()), Findings::of("hold"));
    for row in due {
        let Units { product_id, qty, .. } = row.units;
        match reserved.get_mut(&product_id) {
            None => {
                passed_over.pass_missing(product_id);
                findings.add(row.place(), || format!("there is no product {product_id}"));
            }
            Some(left) if *left < qty => {
                // the deadlines ascend, so the last row of the product counts
                passed_over.pass_unreserved(product_id, row.at);
                findings.add(row.place(), || format!("the product {product_id} has no such units reserved"));
            }
            Some(left) => {
                *left -= qty;
                fitting.push(row);
            }
        }
    }
    // rows of a product stand together, so that halves part the products first
    fitting.sort_by_key(|row| row.units.product_id);
    let rest = in_halves(&fitting, |set| expire_batch(database, set).boxed()).await;
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

/// How many units of these products are reserved.
pub(super) async fn reserved(
    database: &Database,
    product_ids: impl Iterator<Item = i64>,
) -> Result<BTreeMap<i64, i64>, Error> {
    let product_ids: BTreeSet<i64> = product_ids.collect();
    let product_ids = &product_ids;
    database
        .read("products.list_reserved", |tx| {
            async move { products::list_reserved(tx, product_ids.iter().copied()).await }.boxed()
        })
        .await
}

fn from_us(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(0))
}
