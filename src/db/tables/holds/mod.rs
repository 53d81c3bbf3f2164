//! The table of holds: held units, one row per hold and product.

mod counted;
mod units;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;
use mysql_async::{Row, params};
use uuid::Uuid;

pub(in crate::db) use self::counted::read_labels;
pub use self::counted::{
    Counted, Returned, Uncounted, find_page_end, has_any, list_counted, list_counted_of, list_returning,
    list_to_reserve, list_uncounted, mark_counted, read_counted, release_whole, seats_of,
};
use self::units::units;
pub use self::units::{Units, sum};
use super::owners;
use crate::db::column::{bytes, column, id, id_column, state};
use crate::db::door::Tx;
use crate::db::due::{Page, Place, Window};
use crate::db::error::Failure;
use crate::db::guard::exactly;
use crate::db::literal::{Literal, Text, cases, choice, ids, numbers, within};
use crate::db::sql;
use crate::domain::{Details, HoldStatus, Refusal};
use crate::telemetry;

/// One row of a hold, as reads return it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldLine {
    /// The hold.
    pub id: Uuid,
    /// The product.
    pub product_id: i64,
    /// How many units.
    pub qty: i64,
    /// The price of one unit at the time of the hold, in minor units of `currency`.
    pub unit_price_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// Its state; a hold that has run out is expired.
    pub status: HoldStatus,
    /// The buyer's deadline, UTC.
    pub expires_at: NaiveDateTime,
    /// Its order, if it became one.
    pub order_id: Option<Uuid>,
    /// Its owner, and what was written on it; `None`: an anonymous caller took it and wrote nothing.
    pub details: Option<Arc<Details>>,
    /// The database's clock when it was read, UTC.
    pub server_time: NaiveDateTime,
    /// How long its order may stay unpaid, in seconds, if its product said so when it was taken.
    pub order_ttl_seconds: Option<u64>,
    /// The counter of held units that has its units while it is active, if there is one.
    pub held_on: Option<Uuid>,
    /// How often the units or the deadline of the hold were changed; the same in all of its rows.
    pub changes: i64,
    /// The labels of its seats; none for the units of an admission, `None` for those of no ticket type.
    pub seats: Option<Arc<[String]>>,
}

impl HoldLine {
    /// Returns the labels of its seats; `None` for other units.
    pub fn labels(&self) -> Option<&[String]> {
        labels(self.seats.as_deref())
    }

    /// Returns why the hold can neither change nor become an order; `None` while it is active.
    pub fn ended(&self) -> Option<Refusal> {
        match (self.order_id, self.status) {
            (Some(order_id), _) => Some(Refusal::HoldUsed { order_id }),
            (None, HoldStatus::Expired) => Some(Refusal::HoldExpired),
            (None, HoldStatus::Released) => Some(Refusal::HoldReleased),
            (None, HoldStatus::Active | HoldStatus::Ordered) => None,
        }
    }
}

/// Returns the labels of seats; `None` for other units.
pub(super) fn labels(seats: Option<&[String]>) -> Option<&[String]> {
    seats.filter(|labels| !labels.is_empty())
}

/// A row that has run out.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// Its units.
    pub units: Units,
    /// When it ran out, UTC.
    pub at: NaiveDateTime,
    /// How long ago that was.
    pub late: Duration,
}

impl Due {
    /// Returns its place in the index of deadlines.
    pub fn place(&self) -> Place {
        Place { at: self.at, id: self.units.hold_id, product_id: self.units.product_id }
    }
}

/// The units of a product that are on sale, and those that may come back, in one snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Supply {
    /// Units on sale.
    pub available: i64,
    /// Units whose holds or unpaid orders run out by themselves, as far as requested.
    pub returning: i64,
    /// When the earliest of those is due, in microseconds; negative when a worker is about to give it back.
    pub first_returns_in_us: i64,
    /// The deadlines of their rows, the earliest first, UTC.
    pub returns: Vec<NaiveDateTime>,
    /// The database's clock, UTC.
    pub read_at: NaiveDateTime,
    /// Whether the product has no terms but its price.
    pub is_plain: bool,
}

impl Supply {
    /// Returns whether some of what may come back has run out.
    pub fn is_due(&self) -> bool {
        self.returning > 0 && self.first_returns_in_us <= 0
    }
}

/// Finds the rows of a hold, by product; none when the hold does not exist.
pub async fn find(tx: &mut Tx<'_>, hold_id: Uuid) -> Result<Vec<HoldLine>, Failure> {
    list_rows(tx, &[hold_id]).await
}

/// Lists the rows of these holds, by hold and product; missing holds are left out.
pub async fn list_rows(tx: &mut Tx<'_>, hold_ids: &[Uuid]) -> Result<Vec<HoldLine>, Failure> {
    let found: Vec<Row> = tx.rows_text(&sql::holds::Find { ids: ids(hold_ids) }.text()).await?;
    found.iter().map(line).collect()
}

/// Reads a row of `holds/find` or of a list of holds.
pub(in crate::db) fn line(row: &Row) -> Result<HoldLine, Failure> {
    Ok(HoldLine {
        id: id(&column::<Vec<u8>>(row, "id")?)?,
        product_id: column(row, "product_id")?,
        qty: column(row, "qty")?,
        unit_price_minor: column(row, "unit_price_minor")?,
        currency: column(row, "currency")?,
        status: state(&column::<String>(row, "status")?)?,
        expires_at: column(row, "expires_at")?,
        order_id: id_column(row, "order_id")?,
        details: owners::details(row)?,
        order_ttl_seconds: order_ttl_seconds(row)?,
        changes: column(row, "changes")?,
        server_time: column(row, "server_time")?,
        held_on: id_column(row, "held_on")?,
        seats: read_labels(row)?.map(Arc::from),
    })
}

/// Reads how long an order of a row may stay unpaid.
pub(super) fn order_ttl_seconds(row: &Row) -> Result<Option<u64>, Failure> {
    let seconds = column::<Option<i64>>(row, "order_ttl_seconds")?;
    Ok(seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0))
}

/// Lists the units of these holds, in any state.
pub async fn list_units(tx: &mut Tx<'_>, hold_ids: &[Uuid]) -> Result<Vec<Units>, Failure> {
    let found = tx.rows_text(&sql::holds::ListUnits { ids: ids(hold_ids) }.text()).await?;
    found.into_iter().map(units).collect()
}

/// Returns the statement that marks active holds as ordered, each with the number of its changes when it was read; their units
/// come back when `order_id`, which is one of their orders, must be paid. It does not mark a hold that was changed since.
pub fn mark_ordered(holds: &BTreeMap<Uuid, i64>, order_id: Uuid) -> String {
    let (order_id, hold_ids) = (Literal::Id(order_id).into(), keys(holds));
    sql::holds::MarkOrdered { order_id, ids: ids(&hold_ids), changes: changes_of(holds) }.text()
}

/// Does the same for orders with different times, in seconds; `order_id` is one of them.
pub fn mark_ordered_each(holds: &BTreeMap<Uuid, i64>, seconds: &BTreeMap<Uuid, u64>, order_id: Uuid) -> String {
    let hold_ids: Vec<Uuid> = keys(holds);
    let pairs = seconds.iter().map(|(&hold_id, &seconds)| (Literal::Id(hold_id), Literal::Count(seconds)));
    let (order_id, cases) = (Literal::Id(order_id).into(), cases(pairs));
    sql::holds::MarkOrderedEach { order_id, cases, ids: ids(&hold_ids), changes: changes_of(holds) }.text()
}

fn keys(holds: &BTreeMap<Uuid, i64>) -> Vec<Uuid> {
    holds.keys().copied().collect()
}

/// Returns the expected number of changes: `0` unless one of the holds was changed.
fn changes_of(holds: &BTreeMap<Uuid, i64>) -> Text {
    let changed = holds.iter().filter(|&(_, &changes)| changes != 0);
    let pairs = changed.map(|(&hold_id, &changes)| (Literal::Id(hold_id), Literal::Number(changes)));
    choice("holds.id", pairs, Literal::Number(0))
}

/// Gives a hold back for its buyer. Returns how many rows it had; none when it is not active any more.
pub async fn release(tx: &mut Tx<'_>, hold_id: Uuid) -> Result<u64, Failure> {
    let affected = tx.execute(sql::holds::RELEASE, params! { "hold_id" => bytes(hold_id) }).await?;
    Ok(counted("holds/release", affected))
}

/// Leaves an active hold with these units of each product, if its `rows` rows have been changed `changes` times so far; products
/// that are not named keep theirs.
///
/// # Errors
/// [`Failure::Raced`] when another transaction has changed or ended it.
pub async fn reduce(
    tx: &mut Tx<'_>,
    (hold_id, rows, changes): (Uuid, usize, i64),
    kept: &BTreeMap<i64, i64>,
) -> Result<(), Failure> {
    let pairs = kept.iter().map(|(&product_id, &qty)| (Literal::Number(product_id), Literal::Number(qty)));
    let (hold_id, changes) = (Literal::Id(hold_id).into(), Literal::Number(changes).into());
    let affected = tx.execute_text(&sql::holds::Reduce { cases: cases(pairs), hold_id, changes }.text()).await?;
    exactly("holds/reduce", affected, rows, Failure::Raced)
}

/// Removes the rows of these products from a hold that [`reduce`] has just changed.
pub async fn delete(tx: &mut Tx<'_>, hold_id: Uuid, product_ids: &[i64]) -> Result<(), Failure> {
    let statement = sql::holds::Delete { hold_id: Literal::Id(hold_id).into(), product_ids: numbers(product_ids) };
    let affected = tx.execute_text(&statement.text()).await?;
    exactly("holds/delete", affected, product_ids.len(), Failure::Raced)
}

/// Moves the deadline of an active hold of `rows` rows, if it is as it was read.
///
/// # Errors
/// [`Failure::Raced`] when another transaction has changed or ended it.
pub async fn extend(tx: &mut Tx<'_>, before: &HoldLine, rows: usize, expires_at: NaiveDateTime) -> Result<(), Failure> {
    let (expires_before, changes) = (before.expires_at, before.changes);
    let params = params! { "hold_id" => bytes(before.id), expires_at, expires_before, changes };
    exactly("holds/extend", tx.execute(sql::holds::EXTEND, params).await?, rows, Failure::Raced)
}

/// Moves the time at which the units of an ordered hold of `rows` rows come back.
///
/// # Errors
/// [`Failure::Raced`] when its order is not pending any more.
pub async fn return_later(
    tx: &mut Tx<'_>,
    hold_id: Uuid,
    rows: usize,
    returns_at: NaiveDateTime,
) -> Result<(), Failure> {
    let params = params! { "hold_id" => bytes(hold_id), returns_at };
    exactly("holds/return_later", tx.execute(sql::holds::RETURN_LATER, params).await?, rows, Failure::Raced)
}

/// What bounds the deadline of a row of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldLimit {
    /// When the hold was taken, UTC.
    pub created_at: NaiveDateTime,
    /// Until how many seconds after its creation it can be extended, if its product says so.
    pub most_seconds: Option<u64>,
    /// The database's clock when it was read, UTC.
    pub server_time: NaiveDateTime,
}

/// Lists what bounds the deadline of a hold, row by row.
pub async fn find_limits(tx: &mut Tx<'_>, hold_id: Uuid) -> Result<Vec<HoldLimit>, Failure> {
    type Columns = (NaiveDateTime, Option<i64>, NaiveDateTime);
    let found: Vec<Columns> = tx.rows(sql::holds::FIND_LIMITS, params! { "hold_id" => bytes(hold_id) }).await?;
    // a value below 1, which only another program can have written, does not count
    let most = |seconds: Option<i64>| seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|most| *most > 0);
    let limit = |(created_at, seconds, server_time)| {
        let most_seconds = most(seconds);
        HoldLimit { created_at, most_seconds, server_time }
    };
    Ok(found.into_iter().map(limit).collect())
}

/// Returns the statement that gives back holds which their callers replace. It changes the rows of active ones that have time
/// left.
pub fn release_all(hold_ids: &[Uuid]) -> String {
    sql::holds::ReleaseAll { ids: ids(hold_ids) }.text()
}

/// Returns the statement of [`settle`].
pub fn settle_all(hold_ids: &[Uuid]) -> String {
    sql::holds::Settle { ids: ids(hold_ids) }.text()
}

/// Clears the return time of holds whose orders were paid or cancelled: their units do not come back by themselves any more.
/// Returns how many rows they had.
pub async fn settle(tx: &mut Tx<'_>, hold_ids: &[Uuid]) -> Result<u64, Failure> {
    let affected = tx.execute_text(&settle_all(hold_ids)).await?;
    if affected < hold_ids.len() as u64 {
        return Err(Failure::Broken(format!("{affected} rows settled for the holds {hold_ids:?}")));
    }
    Ok(affected)
}

/// Lists a page of rows that have run out, the oldest first, of one product or of all. The age in `window` applies to all
/// products only.
pub async fn list_due(tx: &mut Tx<'_>, product_id: Option<i64>, window: Window) -> Result<Page<Due>, Failure> {
    type Row = (Option<Vec<u8>>, Option<i64>, Option<i64>, Option<NaiveDateTime>, Option<i64>);
    type Columns = (NaiveDateTime, Option<Vec<u8>>, Option<i64>, Option<i64>, Option<NaiveDateTime>, Option<i64>);
    let found: Vec<Columns> = match product_id {
        Some(product_id) => {
            let Window { after, limit, .. } = window;
            let params = params! { product_id, "from" => after.at, "id" => bytes(after.id), limit };
            tx.rows(sql::holds::LIST_DUE_OF_PRODUCT, params).await?
        }
        None => tx.rows(sql::holds::LIST_DUE, window.params()).await?,
    };
    let due = |row: Row| {
        let (Some(hold), Some(product), Some(qty), Some(at), Some(late_us)) = row else { return Ok(None) };
        let late = Duration::from_micros(u64::try_from(late_us).unwrap_or(0));
        Ok(Some(Due { units: units((hold, product, qty))?, at, late }))
    };
    let found = found.into_iter().map(|(now, hold, product, qty, at, late)| (now, (hold, product, qty, at, late)));
    Page::read(found.collect(), due)
}

/// Lists all rows of these holds, of those that have run out, by hold and product.
pub async fn list_due_lines(tx: &mut Tx<'_>, hold_ids: &[Uuid]) -> Result<Vec<Due>, Failure> {
    type Columns = (Vec<u8>, i64, i64, NaiveDateTime, i64);
    let found: Vec<Columns> = tx.rows_text(&sql::holds::ListDueLines { ids: ids(hold_ids) }.text()).await?;
    let due = |(hold, product, qty, at, late_us)| {
        let late = Duration::from_micros(u64::try_from(late_us).unwrap_or(0));
        Ok(Due { units: units((hold, product, qty))?, at, late })
    };
    found.into_iter().map(due).collect()
}

/// Marks these holds, which have `rows` rows together, expired.
///
/// # Errors
/// [`Failure::Stale`] when another transaction has changed some of them.
pub async fn expire(tx: &mut Tx<'_>, hold_ids: &[Uuid], rows: usize) -> Result<(), Failure> {
    let affected = tx.execute_text(&sql::holds::Expire { ids: ids(hold_ids) }.text()).await?;
    exactly("holds/expire", affected, rows, Failure::Stale)
}

/// Marks one hold expired if it has run out; waits for a transaction that makes an order of it. Returns how many rows it had;
/// none when it is not active any more, or has not run out.
pub async fn expire_overdue(tx: &mut Tx<'_>, hold_id: Uuid) -> Result<u64, Failure> {
    let affected = tx.execute(sql::holds::EXPIRE_OVERDUE, params! { "hold_id" => bytes(hold_id) }).await?;
    Ok(counted("holds/expire_overdue", affected))
}

/// Returns the microseconds until the next active hold runs out, negative when one already has; `None` when none runs out
/// after `seen` and within a second.
pub async fn find_next_due(tx: &mut Tx<'_>, seen: NaiveDateTime) -> Result<Option<i64>, Failure> {
    tx.row(sql::holds::FIND_NEXT_DUE, params! { seen }).await
}

/// Finds the units of a product that are on sale, and those that may come back; of the latter at least `enough`, if there are
/// as many. `ranges`: only units that may come back in these ranges, in their order. `None` when the product does not exist.
pub async fn find_supply(
    tx: &mut Tx<'_>,
    product_id: i64,
    enough: i64,
    ranges: Option<&[(NaiveDateTime, Option<NaiveDateTime>)]>,
) -> Result<Option<Supply>, Failure> {
    type Columns = (i64, NaiveDateTime, Option<i64>, Option<i64>, Option<NaiveDateTime>, bool);
    let found: Vec<Columns> = match ranges {
        None => tx.rows(sql::holds::FIND_SUPPLY, params! { product_id, "limit" => enough }).await?,
        Some(ranges) => {
            let statement = sql::holds::FindSupplyWithin {
                product_id: Literal::Number(product_id).into(),
                ranges: within("returns_at", ranges),
                limit: Literal::Number(enough).into(),
            };
            tx.rows_text(&statement.text()).await?
        }
    };
    let Some(&(available, read_at, _, first, _, is_plain)) = found.first() else { return Ok(None) };
    let returning = found.iter().filter_map(|&(_, _, qty, ..)| qty).sum();
    let returns = found.iter().filter_map(|&(.., at, _)| at).collect();
    Ok(Some(Supply { available, returning, first_returns_in_us: first.unwrap_or(0), returns, read_at, is_plain }))
}

/// Counts a guarded update of one hold that changed none of its rows. Returns how many it changed.
fn counted(guard: &'static str, affected: u64) -> u64 {
    if affected == 0 {
        telemetry::guard_missed(guard);
    }
    affected
}
