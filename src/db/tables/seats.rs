//! The table of seats: one row for each seat of a ticket type.

use std::collections::BTreeMap;

use mysql_async::{Row, params};

use crate::db::column::{column, text_column};
use crate::db::door::Tx;
use crate::db::error::{Failure, raced};
use crate::db::literal::{Literal, rows};
use crate::db::sql;
use crate::db::tables::products::in_parts;
use crate::domain::seat_map::{MapSeat, SeatState};

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

/// Lists the seats of a ticket type, without their ranks.
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
            rank: 0,
        })
    };
    found.iter().map(seat).collect()
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
