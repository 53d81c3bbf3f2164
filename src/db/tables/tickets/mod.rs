//! The table of tickets: one row for each unit of a ticket type whose order was paid, and one more for each new code.

mod row;

use mysql_async::Row;
use uuid::Uuid;

pub use self::row::{
    Redeem, Ticket, TicketKey, TicketPlace, find, find_next, insert_again, list_all_by_code, list_by_code, list_page,
    list_some, read_clients, read_rows, redeem_all, replace,
};
use super::holds;
use super::products::in_parts;
use crate::db::column::{column, id};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::literal::{Literal, ids, rows};
use crate::db::sql;
use crate::domain::TicketCode;

/// How many rows one statement inserts at most: with the longest labels, some 330 KB.
const ROWS: usize = 500;
/// What a ticket adds to a packet at most, in bytes, without its seat.
const ROW_BYTES: usize = 136;

/// Units of one ticket type in a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketUnits {
    /// The hold.
    pub hold_id: Uuid,
    /// The ticket type.
    pub product_id: i64,
    /// Its event.
    pub event_id: i64,
    /// How many.
    pub qty: i64,
    /// The labels of the seats; none for the units of an admission.
    pub seats: Vec<String>,
}

/// The first ticket of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTicket {
    /// The order.
    pub order_id: Uuid,
    /// The ticket type.
    pub product_id: i64,
    /// Its event.
    pub event_id: i64,
    /// Which of the order's units of this ticket type it is, from 1.
    pub unit: i64,
    /// The label of the seat, if the unit is one.
    pub seat: Option<String>,
    /// The code.
    pub code: TicketCode,
}

impl NewTicket {
    /// Returns how many bytes it adds to a packet, at most.
    pub fn bytes(&self) -> usize {
        ROW_BYTES + 2 * self.seat.as_ref().map_or(0, String::len)
    }
}

/// Lists the units of ticket types of these holds, by hold and ticket type. Those of an ordered hold do not change.
pub async fn list_units(tx: &mut Tx<'_>, hold_ids: &[Uuid]) -> Result<Vec<TicketUnits>, Failure> {
    let found: Vec<Row> = tx.rows_text(&sql::tickets::ListUnits { ids: ids(hold_ids) }.text()).await?;
    let units = |row: &Row| {
        Ok(TicketUnits {
            hold_id: id(&column::<Vec<u8>>(row, "id")?)?,
            product_id: column(row, "product_id")?,
            event_id: column::<Option<i64>>(row, "event_id")?.unwrap_or_default(),
            qty: column(row, "qty")?,
            seats: holds::read_labels(row)?.unwrap_or_default(),
        })
    };
    found.iter().map(units).collect()
}

/// Returns the statement that writes new tickets.
pub fn insert_some<'a>(tickets: impl IntoIterator<Item = &'a NewTicket>) -> String {
    let row = |ticket: &'a NewTicket| {
        [
            Literal::Id(ticket.order_id),
            Literal::Number(ticket.product_id),
            Literal::Number(ticket.unit),
            Literal::Number(ticket.event_id),
            Literal::Bytes(ticket.code.bytes()),
            Literal::text(&ticket.seat),
        ]
    };
    sql::tickets::Insert { rows: rows(tickets.into_iter().map(row)) }.text()
}

/// Writes new tickets. The caller has just marked their orders paid, in the same transaction.
pub async fn insert_all(tx: &mut Tx<'_>, tickets: &[NewTicket]) -> Result<(), Failure> {
    in_parts(tx, tickets.chunks(ROWS).map(insert_some).collect()).await?;
    Ok(())
}

/// Returns the statement that makes the tickets of orders void; `event_id`: those for this event alone. The number of changed rows is
/// how many tickets were not void before.
pub fn void_all(order_ids: &[Uuid], event_id: Option<i64>) -> String {
    let ids = ids(order_ids);
    match event_id {
        None => sql::tickets::Void { ids }.text(),
        Some(event_id) => sql::tickets::VoidOfEvent { ids, event_id: Literal::Number(event_id).into() }.text(),
    }
}

/// Makes the tickets of orders void; `event_id`: those for this event alone. The caller has locked the orders, or what
/// their payments change first, by a guarded statement in the same transaction. Returns how many tickets were not void before.
pub async fn void(tx: &mut Tx<'_>, order_ids: &[Uuid], event_id: Option<i64>) -> Result<u64, Failure> {
    tx.execute_text(&void_all(order_ids, event_id)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_adds_no_more_bytes_than_its_bound() {
        for seat in [None, Some("x".repeat(248))] {
            let ticket = NewTicket {
                order_id: Uuid::max(),
                product_id: i64::MIN,
                event_id: i64::MIN,
                unit: 1000,
                seat,
                code: TicketCode::mint(),
            };
            let length = |count: usize| insert_some(std::iter::repeat_n(&ticket, count)).len();
            assert!(length(101) - length(1) <= 100 * ticket.bytes(), "{} bytes", (length(101) - length(1)) / 100);
        }
    }
}
