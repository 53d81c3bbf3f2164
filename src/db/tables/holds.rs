//! The table of holds: held units, one row per hold and product.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;
use mysql_async::{Row, params};
use uuid::Uuid;

use super::owners;
use crate::db::column::{bytes, column, id, id_column, state};
use crate::db::door::Tx;
use crate::db::due::{Page, Place, Window};
use crate::db::error::Failure;
use crate::db::guard::exactly;
use crate::db::literal::{Literal, cases, ids, rows, within};
use crate::db::sql;
use crate::domain::{Details, HoldStatus};
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
}

/// The units of one row of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Units {
    /// The hold.
    pub hold_id: Uuid,
    /// The product.
    pub product_id: i64,
    /// How many.
    pub qty: i64,
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

/// Sums up units by product, in the order of the products' ids.
pub fn sum(units: impl IntoIterator<Item = Units>) -> BTreeMap<i64, i64> {
    let mut sums = BTreeMap::new();
    for row in units {
        *sums.entry(row.product_id).or_insert(0) += row.qty;
    }
    sums
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
        order_ttl_seconds: column::<Option<i64>>(row, "order_ttl_seconds")?
            .and_then(|seconds| u64::try_from(seconds).ok())
            .filter(|seconds| *seconds > 0),
        server_time: column(row, "server_time")?,
    })
}

/// Lists the units of these holds, in any state.
pub async fn list_units(tx: &mut Tx<'_>, hold_ids: &[Uuid]) -> Result<Vec<Units>, Failure> {
    let found = tx.rows_text(&sql::holds::ListUnits { ids: ids(hold_ids) }.text()).await?;
    found.into_iter().map(units).collect()
}

/// Returns the statement that marks active holds as ordered; their units come back when `order_id`, which is one of their
/// orders, must be paid.
pub fn mark_ordered(hold_ids: &[Uuid], order_id: Uuid) -> String {
    sql::holds::MarkOrdered { order_id: Literal::Id(order_id).into(), ids: ids(hold_ids) }.text()
}

/// Does the same for orders with different times, in seconds; `order_id` is one of them.
pub fn mark_ordered_each(seconds: &BTreeMap<Uuid, u64>, order_id: Uuid) -> String {
    let hold_ids: Vec<Uuid> = seconds.keys().copied().collect();
    let pairs = seconds.iter().map(|(&hold_id, &seconds)| (Literal::Id(hold_id), Literal::Count(seconds)));
    let (order_id, cases) = (Literal::Id(order_id).into(), cases(pairs));
    sql::holds::MarkOrderedEach { order_id, cases, ids: ids(&hold_ids) }.text()
}

/// Gives a hold back for its buyer. Returns false when it is not active any more.
pub async fn release(tx: &mut Tx<'_>, hold_id: Uuid) -> Result<bool, Failure> {
    let affected = tx.execute(sql::holds::RELEASE, params! { "hold_id" => bytes(hold_id) }).await?;
    Ok(some("holds/release", affected))
}

/// Returns the statement of [`settle`].
pub fn settle_all(hold_ids: &[Uuid]) -> String {
    sql::holds::Settle { ids: ids(hold_ids) }.text()
}

/// Clears the return time of holds whose orders were paid or cancelled: their units do not come back by themselves any more.
pub async fn settle(tx: &mut Tx<'_>, hold_ids: &[Uuid]) -> Result<(), Failure> {
    let affected = tx.execute_text(&settle_all(hold_ids)).await?;
    if affected < hold_ids.len() as u64 {
        return Err(Failure::Broken(format!("{affected} rows settled for the holds {hold_ids:?}")));
    }
    Ok(())
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

/// Marks these rows expired. They must be sorted.
///
/// # Errors
/// [`Failure::Stale`] when another transaction has changed some of them.
pub async fn expire(tx: &mut Tx<'_>, due: &[Units]) -> Result<(), Failure> {
    let keys = due.iter().map(|row| [Literal::Id(row.hold_id), Literal::Number(row.product_id)]);
    let hold_ids: Vec<Uuid> = due.iter().map(|row| row.hold_id).collect();
    let statement = sql::holds::Expire { ids: ids(&hold_ids), rows: rows(keys) };
    let affected = tx.execute_text(&statement.text()).await?;
    exactly("holds/expire", affected, due.len(), Failure::Stale)
}

/// Marks one hold expired if it has run out; waits for a transaction that makes an order of it. Returns false when it is not
/// active any more, or has not run out.
pub async fn expire_overdue(tx: &mut Tx<'_>, hold_id: Uuid) -> Result<bool, Failure> {
    let affected = tx.execute(sql::holds::EXPIRE_OVERDUE, params! { "hold_id" => bytes(hold_id) }).await?;
    Ok(some("holds/expire_overdue", affected))
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

fn units((hold, product_id, qty): (Vec<u8>, i64, i64)) -> Result<Units, Failure> {
    Ok(Units { hold_id: id(&hold)?, product_id, qty })
}

/// Returns whether a guarded update changed one hold, which may have several rows.
fn some(guard: &'static str, affected: u64) -> bool {
    if affected == 0 {
        telemetry::guard_missed(guard);
    }
    affected > 0
}
