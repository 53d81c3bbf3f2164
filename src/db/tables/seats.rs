//! The table of seats: one row for each seat of a ticket type.

use std::collections::{BTreeMap, HashSet};

use mysql_async::{Row, params};
use uuid::Uuid;

use crate::db::column::{column, text_column};
use crate::db::door::Tx;
use crate::db::error::{Failure, raced};
use crate::db::guard::exactly;
use crate::db::literal::{self, Literal, ids, numbers, rows};
use crate::db::sql;
use crate::db::tables::products::in_parts;
use crate::domain::seat_map::{MapSeat, SeatState};
use crate::domain::seating::{PlannedSeat, SeatPlan};

/// How many rows one statement inserts at most: with the longest labels, some 500 KB.
const ROWS: usize = 500;

/// A seat and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Its number among the seats of its type, in the order in which they were made.
    pub n: i64,
    /// Its section.
    pub section: String,
    /// Its row.
    pub row: String,
    /// `section-row-seat`.
    pub label: String,
    /// The number of its row among the rows of its type.
    pub row_n: i64,
    /// Its place in the row.
    pub place: i64,
    /// How good its row is; 1 is the best.
    pub rank: i64,
}

/// Makes seats of a ticket type. The caller has locked the type's row, and has found none of them.
///
/// # Errors
/// [`Failure::Raced`] when another program has made one of them.
pub async fn insert_all(tx: &mut Tx<'_>, product_id: i64, seats: &[Seat]) -> Result<(), Failure> {
    let statements = seats.chunks(ROWS).map(|seats| insert(product_id, seats)).collect();
    in_parts(tx, statements).await.map_err(|failure| raced(failure, "seats_label"))?;
    Ok(())
}

fn insert(product_id: i64, seats: &[Seat]) -> String {
    sql::seats::Insert { rows: rows(seats.iter().map(|seat| row(product_id, seat))) }.text()
}

fn row(product_id: i64, seat: &Seat) -> [Literal<'_>; 8] {
    [
        Literal::Number(product_id),
        Literal::Number(seat.n),
        Literal::Bytes(seat.section.as_bytes()),
        Literal::Bytes(seat.row.as_bytes()),
        Literal::Bytes(seat.label.as_bytes()),
        Literal::Number(seat.row_n),
        Literal::Number(seat.place),
        Literal::Number(seat.rank),
    ]
}

/// Lists the seats of a ticket type.
pub async fn list(tx: &mut Tx<'_>, product_id: i64) -> Result<Vec<Seat>, Failure> {
    let found: Vec<Row> = tx.rows(sql::seats::LIST, params! { product_id }).await?;
    let seat = |row: &Row| {
        Ok(Seat {
            n: column(row, "n")?,
            section: text_column(row, "section")?.unwrap_or_default(),
            row: text_column(row, "row_name")?.unwrap_or_default(),
            label: text_column(row, "label")?.unwrap_or_default(),
            row_n: column(row, "row_n")?,
            place: column(row, "place")?,
            rank: column(row, "row_rank")?,
        })
    };
    found.iter().map(seat).collect()
}

/// Reads the plan of a ticket type.
pub async fn read_plan(tx: &mut Tx<'_>, product_id: i64) -> Result<SeatPlan, Failure> {
    let planned = |Seat { n, label, row_n, place, rank, .. }: Seat| PlannedSeat { n, label, rank, row: row_n, place };
    Ok(SeatPlan::new(list(tx, product_id).await?.into_iter().map(planned)))
}

/// Returns the statement that lists the best free seats of a ticket type, at most `limit`.
pub fn list_free(product_id: i64, limit: u64) -> String {
    let product_id = Literal::Number(product_id).into();
    sql::seats::ListFree { product_id, limit: Literal::Count(limit).into() }.text()
}

/// Returns the statement that lists those of these seats that are free.
pub fn list_free_some(product_id: i64, seats: &[i64]) -> String {
    let product_id = Literal::Number(product_id).into();
    sql::seats::ListFreeSome { product_id, seats: numbers(seats) }.text()
}

/// Reads which of these seats are free at present.
pub async fn find_free(tx: &mut Tx<'_>, product_id: i64, seats: &[i64]) -> Result<HashSet<i64>, Failure> {
    Ok(tx.rows_text(&list_free_some(product_id, seats)).await?.into_iter().collect())
}

/// Returns the statement that gives seats of a ticket type to holds. It changes the rows of those that are free.
pub fn take(product_id: i64, holds: &BTreeMap<i64, Uuid>) -> String {
    sql::seats::Take {
        product_id: Literal::Number(product_id).into(),
        seats: literal::list(holds.keys().map(|&n| Literal::Number(n))),
        hold_ids: literal::list(holds.values().map(|&hold_id| Literal::Id(hold_id))),
    }
    .text()
}

/// Returns the statement that makes the seats free that holds have of a ticket type.
pub fn give_back_all(product_id: i64, hold_ids: &[Uuid]) -> String {
    sql::seats::GiveBack { product_id: Literal::Number(product_id).into(), hold_ids: ids(hold_ids) }.text()
}

/// Makes the `count` seats free that holds have of a ticket type.
///
/// # Errors
/// [`Failure::Broken`] when they have another number of seats.
pub async fn give_back(tx: &mut Tx<'_>, product_id: i64, hold_ids: &[Uuid], count: i64) -> Result<(), Failure> {
    let affected = tx.execute_text(&give_back_all(product_id, hold_ids)).await?;
    given_back(affected, product_id, hold_ids, count)
}

/// Compares the number of seats that the statement of [`give_back_all`] has changed.
///
/// # Errors
/// [`Failure::Broken`] when the holds had another number of seats than `count`.
pub fn given_back(affected: u64, product_id: i64, hold_ids: &[Uuid], count: i64) -> Result<(), Failure> {
    match i64::try_from(affected) == Ok(count) {
        true => Ok(()),
        false => Err(Failure::Broken(format!(
            "{affected} seats of {count} of the ticket type {product_id} were given back for the holds {hold_ids:?}"
        ))),
    }
}

/// Gives a hold the seats that it had before, and marks them sold. Returns whether all of them were free; true without seats.
pub async fn take_again(tx: &mut Tx<'_>, hold_id: Uuid, product_id: i64, labels: &[String]) -> Result<bool, Failure> {
    if labels.is_empty() {
        return Ok(true);
    }
    let statement = sql::seats::TakeAgain {
        product_id: Literal::Number(product_id).into(),
        hold_id: Literal::Id(hold_id).into(),
        labels: literal::list(labels.iter().map(|label| Literal::Bytes(label.as_bytes()))),
    };
    let affected = tx.execute_text(&statement.text()).await?;
    Ok(exactly("seats/take_again", affected, labels.len(), Failure::Raced).is_ok())
}

/// Returns the statement that marks the seats of holds sold.
pub fn mark_sold_all(hold_ids: &[Uuid]) -> String {
    sql::seats::MarkSold { hold_ids: ids(hold_ids) }.text()
}

/// Marks the seats of a hold sold.
///
/// # Errors
/// [`Failure::Broken`] when it has none.
pub async fn mark_sold(tx: &mut Tx<'_>, hold_id: Uuid) -> Result<(), Failure> {
    match tx.execute_text(&mark_sold_all(&[hold_id])).await? {
        0 => Err(Failure::Broken(format!("the hold {hold_id} has no seats to mark sold"))),
        _ => Ok(()),
    }
}

/// Lists the seated ticket types of an event, each with its seats; `None` when there is no such event.
pub async fn list_map(tx: &mut Tx<'_>, event_id: i64) -> Result<Option<Vec<(i64, Vec<MapSeat>)>>, Failure> {
    type Columns = (
        Option<i64>,
        Option<Vec<u8>>,
        Option<Vec<u8>>,
        Option<Vec<u8>>,
        Option<i64>,
        Option<i64>,
        Option<i64>,
        bool,
        Option<bool>,
    );
    let found: Vec<Columns> = tx.rows(sql::seats::LIST_MAP, params! { event_id }).await?;
    if found.is_empty() {
        return Ok(None);
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let mut types: BTreeMap<i64, Vec<MapSeat>> = BTreeMap::new();
    for (product_id, section, row, label, row_n, place, rank, is_held, sold) in found {
        let Some(product_id) = product_id else { continue };
        let seats = types.entry(product_id).or_default();
        let (Some(section), Some(row), Some(label), Some(row_n)) = (section, row, label, row_n) else { continue };
        let state = match (sold.unwrap_or_default(), is_held) {
            (true, _) => SeatState::Sold,
            (false, true) => SeatState::Held,
            (false, false) => SeatState::Free,
        };
        let (place, rank) = (place.unwrap_or_default(), rank.unwrap_or_default());
        seats.push(MapSeat { row_n, place, rank, section: text(section), row: text(row), label: text(label), state });
    }
    Ok(Some(types.into_iter().collect()))
}
