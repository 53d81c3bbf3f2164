//! Rows of holds whose units counters have, and those whose units a worker counts.

use std::collections::BTreeMap;

use mysql_async::{Row, params};
use uuid::Uuid;

use super::units::{Units, units};
use crate::db::column::{bytes, column, id, id_column, state, text_column};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::guard::exactly;
use crate::db::literal::{Literal, cases, ids, numbers};
use crate::db::sql;
use crate::db::tables::owners;
use crate::domain::{HoldStatus, Owner};

/// The units of one row of a hold, and the counters that have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counted {
    /// The units.
    pub units: Units,
    /// The counters.
    pub counters: [Option<Uuid>; 3],
    /// Whether the units are seats.
    pub has_seats: bool,
}

/// Returns the seats that these rows have, by ticket type: the holds, and how many seats they have together.
pub fn seats_of(rows: &[Counted]) -> BTreeMap<i64, (Vec<Uuid>, i64)> {
    let mut types: BTreeMap<i64, (Vec<Uuid>, i64)> = BTreeMap::new();
    for Counted { units, .. } in rows.iter().filter(|row| row.has_seats) {
        let (hold_ids, count) = types.entry(units.product_id).or_default();
        hold_ids.push(units.hold_id);
        *count += units.qty;
    }
    types
}

/// One row of a hold whose units a late payment takes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// The product.
    pub product_id: i64,
    /// How many units.
    pub qty: i64,
    /// The counter that had the units, if there was one.
    pub counted_on: Option<Uuid>,
    /// The most units of one buyer, as the product says.
    pub max_per_buyer: Option<i64>,
    /// The counter that had the units for the event, if there was one.
    pub event_counted_on: Option<Uuid>,
    /// The most units of one buyer, as the event says.
    pub event_max_per_buyer: Option<i64>,
    /// The owner of the hold.
    pub owner: Owner,
    /// Whether they are of an event that was cancelled.
    pub event_cancelled: bool,
    /// The labels of the seats that it had; none for other units.
    pub seats: Vec<String>,
}

/// A hold whose units are out and not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncounted {
    /// The hold.
    pub hold_id: Uuid,
    /// How many units.
    pub qty: i64,
    /// Its order, if it is ordered.
    pub order_id: Option<Uuid>,
    /// Its owner, who has a buyer.
    pub owner: Owner,
}

/// Lists the units of these holds, with the counters that have them.
pub async fn list_counted(tx: &mut Tx<'_>, hold_ids: &[Uuid]) -> Result<Vec<Counted>, Failure> {
    read_counted(&tx.rows_text(&list_counted_of(hold_ids)).await?)
}

/// Returns the statement of [`list_counted`].
pub fn list_counted_of(hold_ids: &[Uuid]) -> String {
    sql::holds::ListCounted { ids: ids(hold_ids) }.text()
}

/// Reads the rows of [`list_counted_of`].
pub fn read_counted(found: &[Row]) -> Result<Vec<Counted>, Failure> {
    let counted = |row: &Row| {
        let units = units((column(row, "id")?, column(row, "product_id")?, column(row, "qty")?))?;
        let counters = ["counted_on", "event_counted_on", "held_on"];
        let [of_buyer, of_event, held] = counters.map(|name| id_column(row, name));
        Ok(Counted { units, counters: [of_buyer?, of_event?, held?], has_seats: column(row, "has_seats")? })
    };
    found.iter().map(counted).collect()
}

/// Lists holds of these ticket types whose units come back by themselves, each with its unpaid order, if it has one; at most `limit`
/// rows, of which a hold may have several.
pub async fn list_returning(
    tx: &mut Tx<'_>,
    product_ids: &[i64],
    limit: u32,
) -> Result<BTreeMap<Uuid, Option<Uuid>>, Failure> {
    let statement = sql::holds::ListReturning { ids: numbers(product_ids), limit: Literal::Count(limit.into()).into() };
    let found: Vec<Row> = tx.rows_text(&statement.text()).await?;
    let hold = |row: &Row| Ok((id(&column::<Vec<u8>>(row, "id")?)?, id_column(row, "order_id")?));
    found.iter().map(hold).collect()
}

/// Marks active holds released, whether or not they have run out. Returns how many rows they had.
pub async fn release_whole(tx: &mut Tx<'_>, hold_ids: &[Uuid]) -> Result<u64, Failure> {
    match hold_ids.is_empty() {
        true => Ok(0),
        false => tx.execute_text(&sql::holds::ReleaseWhole { ids: ids(hold_ids) }.text()).await,
    }
}

/// Lists the rows of a hold whose units a late payment takes again, by product.
pub async fn list_to_reserve(tx: &mut Tx<'_>, hold_id: Uuid) -> Result<Vec<Returned>, Failure> {
    let found: Vec<Row> = tx.rows(sql::holds::LIST_TO_RESERVE, params! { "hold_id" => bytes(hold_id) }).await?;
    let returned = |row: &Row| {
        Ok(Returned {
            product_id: column(row, "product_id")?,
            qty: column(row, "qty")?,
            counted_on: id_column(row, "counted_on")?,
            max_per_buyer: column(row, "max_per_buyer")?,
            event_counted_on: id_column(row, "event_counted_on")?,
            event_max_per_buyer: column(row, "event_max_per_buyer")?,
            event_cancelled: column(row, "event_cancelled")?,
            owner: owners::owner(row)?.unwrap_or_default(),
            seats: read_labels(row)?.unwrap_or_default(),
        })
    };
    found.iter().map(returned).collect()
}

/// Reads the labels of the seats of a row; none for the units of an admission, `None` for those of no ticket type.
pub(in crate::db) fn read_labels(row: &Row) -> Result<Option<Vec<String>>, Failure> {
    let labels = text_column(row, "seats")?;
    Ok(labels.map(|labels| labels.lines().map(str::to_owned).collect()))
}

/// Finds where a page of `rows` rows behind a hold ends; `None` when fewer follow.
pub async fn find_page_end(tx: &mut Tx<'_>, after: Uuid, rows: u32) -> Result<Option<Uuid>, Failure> {
    let params = params! { "after" => bytes(after), "offset" => rows.saturating_sub(1) };
    let found: Option<Vec<u8>> = tx.row(sql::holds::FIND_PAGE_END, params).await?;
    found.as_deref().map(id).transpose()
}

/// Returns whether a product has a hold, in any state.
pub async fn has_any(tx: &mut Tx<'_>, product_id: i64) -> Result<bool, Failure> {
    Ok(tx.row::<Vec<u8>>(sql::holds::FIND_ANY, params! { product_id }).await?.is_some())
}

/// Lists the holds of a product behind `after` and up to `last` whose units are out, have a buyer and are not counted.
pub async fn list_uncounted(
    tx: &mut Tx<'_>,
    product_id: i64,
    after: Uuid,
    last: Uuid,
) -> Result<Vec<Uncounted>, Failure> {
    let params = params! { product_id, "after" => bytes(after), "last" => bytes(last) };
    let found: Vec<Row> = tx.rows(sql::holds::LIST_UNCOUNTED, params).await?;
    let uncounted = |row: &Row| {
        Ok(Uncounted {
            hold_id: id(&column::<Vec<u8>>(row, "id")?)?,
            qty: column(row, "qty")?,
            order_id: match state(&column::<String>(row, "status")?)? {
                HoldStatus::Ordered => id_column(row, "order_id")?,
                _ => None,
            },
            owner: owners::owner(row)?.unwrap_or_default(),
        })
    };
    found.iter().map(uncounted).collect()
}

/// How many rows one statement marks: it compares each row with all of them.
const MARKS: usize = 500;

/// Notes on holds of a product in this state, which have no counter, the counters that have their units from now on: by hold, the
/// counter and the units that were read.
///
/// # Errors
/// [`Failure::Raced`] when one of them has a counter, another state or other units by now.
pub async fn mark_counted(
    tx: &mut Tx<'_>,
    product_id: i64,
    status: HoldStatus,
    counters: &BTreeMap<Uuid, (Uuid, i64)>,
) -> Result<(), Failure> {
    let all: Vec<(Uuid, (Uuid, i64))> = counters.iter().map(|(&hold_id, &mark)| (hold_id, mark)).collect();
    for some in all.chunks(MARKS) {
        mark_some(tx, product_id, status, some).await?;
    }
    Ok(())
}

async fn mark_some(
    tx: &mut Tx<'_>,
    product_id: i64,
    status: HoldStatus,
    marks: &[(Uuid, (Uuid, i64))],
) -> Result<(), Failure> {
    let hold_ids: Vec<Uuid> = marks.iter().map(|&(hold_id, _)| hold_id).collect();
    let pairs = marks.iter().map(|&(hold_id, (counter, _))| (Literal::Id(hold_id), Literal::Id(counter)));
    let units = marks.iter().map(|&(hold_id, (_, units))| (Literal::Id(hold_id), Literal::Number(units)));
    let statement = sql::holds::MarkCounted {
        cases: cases(pairs),
        ids: ids(&hold_ids),
        product_id: Literal::Number(product_id).into(),
        status: Literal::name(status).into(),
        units: cases(units),
    };
    let affected = tx.execute_text(&statement.text()).await?;
    exactly("holds/mark_counted", affected, marks.len(), Failure::Raced)
}
