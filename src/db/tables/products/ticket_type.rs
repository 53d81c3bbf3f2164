//! New ticket types: products with what they have of their events.

use super::row::{new_row, ticket_literals};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::literal::{self, Literal};
use crate::db::sql;
use crate::domain::{ProductDetails, Ticket};

/// Creates a ticket type. Returns its id; `None` when its sku is taken.
pub async fn insert_ticket_type(
    tx: &mut Tx<'_>,
    details: &ProductDetails,
    ticket: &Ticket,
    stock: i64,
) -> Result<Option<i64>, Failure> {
    let mut row = [Literal::Null; 20];
    row[..15].copy_from_slice(&new_row(details, stock));
    row[15] = ticket.event_id.map_or(Literal::Null, Literal::Number);
    row[16..].copy_from_slice(&ticket_literals(Some(ticket)));
    let statement = sql::products::InsertTicketType { rows: literal::rows([row]) };
    if tx.execute_text(&statement.text()).await? != 1 {
        return Ok(None);
    }
    let product_id = tx.last_insert_id().and_then(|id| i64::try_from(id).ok());
    product_id.map(Some).ok_or_else(|| Failure::Broken("a new ticket type has no id".to_owned()))
}
