//! Expiry: holds and unpaid orders that have run out give their units back. Each statement changes a batch of rows, small
//! enough that buyers do not wait long behind it. A row can be marked only once, so any number of instances may do this at the
//! same time.
//!
//! Rows whose units cannot be given back (their product was deleted, or has fewer units reserved than they hold) are set apart
//! and passed over: see `passed_over.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::NaiveDateTime;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::halves::in_halves;
use super::passed_over::{Findings, PassedOver, Unfit};
use crate::checkout::units::give_back_rows;
use crate::db::due::{Page, Place, Window};
use crate::db::tables::holds::{self, Due, Units};
use crate::db::tables::products;
use crate::db::{Database, Error, Failure};
use crate::telemetry;

/// Maximum number of rows per transaction. Requests for the same product wait behind its last statement and its commit, which
/// take little longer for many rows than for few.
const BATCH: usize = 2_000;
/// How often a step reads its page again because another worker was faster.
const LOOKS: u32 = 3;
/// Maximum number of rows per page: many batches, since each read walks over all rows that were just changed and are not purged
/// yet.
pub(crate) const LISTED: u32 = 20_000;

/// The result of a page of due rows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pass {
    /// Every row was processed or passed over.
    Done(Seen),
    /// Other workers process the same rows.
    Raced,
    /// The database's clock has jumped: nothing was changed.
    Paused,
}

/// A page of due rows that was processed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// The database's clock when the page was read, UTC.
    pub(crate) read_at: NaiveDateTime,
    /// The last row if the page was full: more rows may follow.
    pub(crate) last: Option<Place>,
    /// How many rows of the page were processed and not passed over.
    pub(crate) done: usize,
}

/// Gives back a page of holds that have run out, of one product or of all, a batch per transaction.
pub(crate) async fn expire_due(
    database: &Database,
    passed_over: &PassedOver,
    product_id: Option<i64>,
    window: Window,
) -> Result<Pass, Error> {
    let read = || {
        let page = database
            .read("holds.list_due", move |tx| async move { holds::list_due(tx, product_id, window).await }.boxed());
        page.boxed()
    };
    let work = |rows| expire_batches(database, passed_over, rows).boxed();
    do_page(database, window, read, work, Due::place).await
}

/// Reads a page of due rows and processes them; reads again when another worker was faster with some of them. If the database's
/// clock has jumped, nothing is processed.
pub(crate) async fn do_page<'a, T>(
    database: &Database,
    window: Window,
    read: impl Fn() -> BoxFuture<'a, Result<Page<T>, Error>>,
    work: impl Fn(Vec<T>) -> BoxFuture<'a, Result<usize, Error>>,
    place: impl Fn(&T) -> Place,
) -> Result<Pass, Error> {
    for _ in 0..LOOKS {
        if database.clock().paused_for().is_some() {
            return Ok(Pass::Paused);
        }
        let asked = Instant::now();
        let Page { read_at, rows } = read().await?;
        if !database.clock().admits(read_at, asked) {
            return Ok(Pass::Paused);
        }
        let full = rows.len() == window.limit as usize;
        let last = rows.last().filter(|_| full).map(&place);
        match work(rows).await {
            Err(Error::Stale(_)) => {}
            Err(error) => return Err(error),
            Ok(done) => return Ok(Pass::Done(Seen { read_at, last, done })),
        }
    }
    Ok(Pass::Raced)
}

/// Gives back the holds of one product that have run out, for a late payment. This is rare, so it keeps no record of
/// passed-over rows.
pub(crate) async fn expire_product(database: &Database, product_id: i64) -> Result<(), Error> {
    let window = Window { after: Place::first(), age: Duration::ZERO, limit: LISTED };
    expire_due(database, &PassedOver::default(), Some(product_id), window).await.map(drop)
}

/// Returns how many of these rows were given back.
async fn expire_batches(database: &Database, passed_over: &PassedOver, due: Vec<Due>) -> Result<usize, Error> {
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

/// Gives back all of these rows in one transaction, or none.
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
                give_back_rows(tx, units.iter().copied()).await
            }
            .map(|done| done.map_err(Failure::of_some_rows))
            .boxed()
        })
        .await?;
    telemetry::expired("hold", due.iter().map(|row| row.late));
    Ok(())
}

/// Gives back as many of these rows as possible, and passes over the others. Most of what can be wrong is seen by one read of
/// the products; halving finds the rest. Returns how many rows were given back.
async fn expire_apart(database: &Database, passed_over: &PassedOver, due: Vec<Due>) -> Result<usize, Error> {
    let product_ids = due.iter().map(|row| row.units.product_id);
    let mut reserved = reserved(database, product_ids).await?;
    let (mut fitting, mut unfit) = (Vec::with_capacity(due.len()), Vec::new());
    for row in due {
        let Units { product_id, qty, .. } = row.units;
        match reserved.get_mut(&product_id) {
            None => unfit.push((row.place(), Unfit::Missing(product_id))),
            // the deadlines ascend, so the last row of the product counts
            Some(left) if *left < qty => unfit.push((row.place(), Unfit::Unreserved(product_id))),
            Some(left) => {
                *left -= qty;
                fitting.push(row);
            }
        }
    }
    // rows of one product stand together, so that halving separates the products first
    fitting.sort_by_key(|row| row.units.product_id);
    let work = |set| expire_batch(database, set).boxed();
    do_apart(passed_over, "hold", (&fitting, unfit), Due::place, work).await
}

/// Processes the `fitting` rows by halves, and passes over the `unfit` ones, `(place, why)`. If processing fails, no row is
/// passed over: another worker may have changed the products since they were read. Returns how many rows were processed.
pub(crate) async fn do_apart<'rows, T: Clone + Sync>(
    passed_over: &PassedOver,
    kind: &'static str,
    (fitting, unfit): (&'rows [T], Vec<(Place, Unfit)>),
    place: impl Fn(&T) -> Place,
    work: impl Fn(&'rows [T]) -> BoxFuture<'rows, Result<(), Error>>,
) -> Result<usize, Error> {
    let rest = in_halves(fitting, work).await?;
    let done = fitting.len() - rest.bad.len() - rest.untried.len();
    let bad = rest.bad.into_iter().map(|(row, why)| (place(&row), Unfit::Row(why)));
    let mut findings = Findings::of(kind);
    for (place, why) in unfit.into_iter().chain(bad) {
        passed_over.pass(place, &why);
        findings.add(place, || why.to_string());
    }
    rest.untried.iter().for_each(|row| passed_over.leave_row(place(row)));
    findings.report();
    Ok(done)
}

/// Reads how many units of these products are reserved.
pub(crate) async fn reserved(
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
