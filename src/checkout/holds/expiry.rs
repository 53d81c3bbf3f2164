//! Expiry: holds and unpaid orders that have run out give their units back. Each statement changes a batch of rows, small
//! enough that buyers do not wait long behind it. A row can be marked only once, so any number of instances may do this at the
//! same time.
//!
//! A hold ends as a whole: no page and no batch ends within one. What was read only says which holds to try. The mark compares
//! the deadline once more, so that an extension that was committed meanwhile wins, and the units that go back are read after it,
//! since a buyer may have taken some off meanwhile.
//!
//! Rows whose units cannot be given back (their product was deleted, or has fewer units reserved than they hold) are set apart
//! and passed over: see `passed_over.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::NaiveDateTime;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use uuid::Uuid;

use super::halves::in_halves;
use super::passed_over::{Findings, PassedOver, Unfit};
use super::whole::{DueHold, batches, whole_holds};
use crate::checkout::hold_events::tell_ended;
use crate::checkout::units::{give_back_counted, list_whole};
use crate::db::due::{Page, Place, Window};
use crate::db::tables::holds::{self, Due, sum};
use crate::db::tables::products;
use crate::db::{Database, Error, Failure, Tx};
use crate::domain::FeedType;
use crate::telemetry;

/// Maximum number of rows per transaction. Requests for the same product wait behind its last statement and its commit, which
/// take little longer for many rows than for few.
pub(crate) const BATCH: usize = 2_000;
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
    /// How many holds or orders of the page were processed and not passed over.
    pub(crate) done: usize,
}

/// Due rows that were read.
#[derive(Debug)]
pub(crate) struct Look<T> {
    read_at: NaiveDateTime,
    due: Vec<T>,
    /// The place behind which more rows may follow.
    last: Option<Place>,
}

impl<T> Look<T> {
    /// Returns the rows of a page of at most `limit`.
    pub(crate) fn of(page: Page<T>, limit: u32, place: impl Fn(&T) -> Place) -> Self {
        let last = page.rows.last().filter(|_| page.rows.len() == limit as usize).map(place);
        Self { read_at: page.read_at, due: page.rows, last }
    }
}

/// Gives back a page of holds that have run out, of one product or of all, a batch per transaction.
pub(crate) async fn expire_due(
    database: &Database,
    passed_over: &PassedOver,
    product_id: Option<i64>,
    window: Window,
) -> Result<Pass, Error> {
    let read = || {
        let look = database.read("holds.list_due", move |tx| {
            async move {
                let page = holds::list_due(tx, product_id, window).await?;
                match product_id {
                    None => Ok(look_at(&page, window.limit)),
                    Some(_) => look_at_product(tx, page, window.limit).await,
                }
            }
            .boxed()
        });
        look.boxed()
    };
    let work = |due| expire_batches(database, passed_over, due).boxed();
    do_page(database, read, work).await
}

/// Returns the holds of a page of rows of all products.
fn look_at(page: &Page<Due>, limit: u32) -> Look<DueHold> {
    let (due, last) = whole_holds(page, limit);
    Look { read_at: page.read_at, due, last }
}

/// Returns the holds of a page of rows of one product, each with its rows of other products.
async fn look_at_product(tx: &mut Tx<'_>, page: Page<Due>, limit: u32) -> Result<Look<DueHold>, Failure> {
    let Look { read_at, due, last } = Look::of(page, limit, Due::place);
    let hold_ids: Vec<Uuid> = due.iter().map(|row| row.units.hold_id).collect();
    let rows = if due.is_empty() { Vec::new() } else { holds::list_due_lines(tx, &hold_ids).await? };
    let mut due = DueHold::group(&rows);
    due.sort_by_key(DueHold::place);
    Ok(Look { read_at, due, last })
}

/// Reads a page of due rows and processes them; reads again when another worker was faster with some of them. If the database's
/// clock has jumped, nothing is processed.
pub(crate) async fn do_page<'a, T>(
    database: &Database,
    read: impl Fn() -> BoxFuture<'a, Result<Look<T>, Error>>,
    work: impl Fn(Vec<T>) -> BoxFuture<'a, Result<usize, Error>>,
) -> Result<Pass, Error> {
    for _ in 0..LOOKS {
        if database.clock().paused_for().is_some() {
            return Ok(Pass::Paused);
        }
        let asked = Instant::now();
        let Look { read_at, due, last } = read().await?;
        if !database.clock().admits(read_at, asked) {
            return Ok(Pass::Paused);
        }
        match work(due).await {
            Err(Error::Stale(_)) => {}
            Err(error) => return Err(error),
            Ok(done) => return Ok(Pass::Done(Seen { read_at, last, done })),
        }
    }
    Ok(Pass::Raced)
}

/// Gives back those of these holds that have run out. Returns whether none of them is left: false while the database's clock is not
/// trusted, or other workers process the same ones.
pub(crate) async fn expire_some(
    database: &Database,
    passed_over: &PassedOver,
    hold_ids: &[Uuid],
) -> Result<bool, Error> {
    if hold_ids.is_empty() {
        return Ok(true);
    }
    for _ in 0..LOOKS {
        if database.clock().paused_for().is_some() {
            return Ok(false);
        }
        let asked = Instant::now();
        let read = database
            .read("holds.list_due_lines", |tx| async move { holds::list_due_lines(tx, hold_ids).await }.boxed());
        let due = read.await?;
        let Some(read_at) = due.first().map(|row| row.at + row.late) else { return Ok(true) };
        if !database.clock().admits(read_at, asked) {
            return Ok(false);
        }
        match expire_batches(database, passed_over, DueHold::group(&due)).await {
            Err(Error::Stale(_)) => {}
            done => return done.map(|_| true),
        }
    }
    Ok(false)
}

/// Gives back the holds of one product that have run out, for a late payment. This is rare, so it keeps no record of
/// passed-over rows.
pub(crate) async fn expire_product(database: &Database, product_id: i64) -> Result<(), Error> {
    let window = Window { after: Place::first(), age: Duration::ZERO, limit: LISTED };
    expire_due(database, &PassedOver::default(), Some(product_id), window).await.map(drop)
}

/// Returns how many of these holds were given back.
async fn expire_batches(database: &Database, passed_over: &PassedOver, due: Vec<DueHold>) -> Result<usize, Error> {
    let mut done = 0;
    for batch in batches(due, BATCH, |hold| hold.rows().len()) {
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

/// Gives back all of these holds in one transaction, or none.
async fn expire_batch(database: &Database, due: &[DueHold]) -> Result<(), Error> {
    if due.is_empty() {
        return Ok(());
    }
    let hold_ids: Vec<Uuid> = due.iter().map(DueHold::id).collect();
    let rows: usize = due.iter().map(|hold| hold.rows().len()).sum();
    let hold_ids = &hold_ids;
    database
        .transaction("holds.expire", |tx| {
            async move {
                holds::expire(tx, hold_ids, rows).await?;
                let rows = list_whole(tx, hold_ids, rows as u64).await?;
                tell_ended(tx, FeedType::HoldExpired, None, &rows).await?;
                give_back_counted(tx, &rows).await
            }
            .map(|done| done.map_err(Failure::of_some_rows))
            .boxed()
        })
        .await?;
    telemetry::expired("hold", due.iter().map(DueHold::late));
    Ok(())
}

/// Gives back as many of these holds as possible, and passes over the others. Most of what can be wrong is seen by one read of
/// the products; halving finds the rest. Returns how many holds were given back.
async fn expire_apart(database: &Database, passed_over: &PassedOver, due: Vec<DueHold>) -> Result<usize, Error> {
    let product_ids = due.iter().flat_map(DueHold::rows).map(|row| row.units.product_id);
    let mut reserved = reserved(database, product_ids).await?;
    let (mut fitting, mut unfit) = (Vec::with_capacity(due.len()), Vec::new());
    for hold in due {
        let wanted = sum(hold.rows().iter().map(|row| row.units));
        let missing = wanted.keys().find(|product_id| !reserved.contains_key(product_id));
        let lacking = wanted.iter().find(|&(product_id, qty)| reserved.get(product_id).is_some_and(|left| left < qty));
        match (missing, lacking) {
            (Some(&product_id), _) => unfit.push((hold.place(), Unfit::Missing(product_id))),
            // the deadlines ascend, so the last hold of the product counts
            (None, Some((&product_id, _))) => unfit.push((hold.place(), Unfit::Unreserved(product_id))),
            (None, None) => {
                for (product_id, qty) in wanted {
                    reserved.entry(product_id).and_modify(|left| *left -= qty);
                }
                fitting.push(hold);
            }
        }
    }
    // holds of one product stand together, so that halving separates the products first
    fitting.sort_by_key(DueHold::product_id);
    let work = |set| expire_batch(database, set).boxed();
    do_apart(passed_over, "hold", (&fitting, unfit), DueHold::place, work).await
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
