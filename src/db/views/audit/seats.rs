//! Sums over the seats of ticket types.

use mysql_async::Params;

use super::page::Page;
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::sql;

/// The seats of a ticket type, and what its product says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeatSum {
    /// The ticket type.
    pub product_id: i64,
    /// Its units that were put on sale.
    pub stock: i64,
    /// Its reserved units.
    pub reserved: i64,
    /// Its seats.
    pub seats: i64,
    /// Those that are not free.
    pub taken: i64,
    /// Those that do not fit their hold or its order.
    pub odd: i64,
}

/// Returns whether there is a ticket type.
pub async fn has_ticket_types(tx: &mut Tx<'_>) -> Result<bool, Failure> {
    Ok(tx.row::<i64>(sql::audit::FIND_TICKETS, Params::Empty).await?.is_some())
}

/// Adds up the seats of the ticket types of a page.
pub async fn sum_seats(tx: &mut Tx<'_>, page: &Page) -> Result<Vec<SeatSum>, Failure> {
    let found: Vec<(i64, i64, i64, i64, i64, i64)> = tx.rows(sql::audit::SUM_SEATS, page.params()).await?;
    let sum =
        |(product_id, stock, reserved, seats, taken, odd)| SeatSum { product_id, stock, reserved, seats, taken, odd };
    Ok(found.into_iter().map(sum).collect())
}
