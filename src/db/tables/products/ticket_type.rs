//! New ticket types: products with what they have of their events.

use mysql_async::params;

use super::row::{new_row, ticket_literals};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::guard::exactly;
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

/// Lists the ticket types of an event by id, the retired ones, too.
pub async fn list_of_event(tx: &mut Tx<'_>, event_id: i64) -> Result<Vec<i64>, Failure> {
    tx.rows(sql::products::LIST_OF_EVENT, params! { event_id }).await
}

/// Lists the ticket types whose units count on the same limit per buyer of an event as those of these products, these included.
pub async fn list_beside(tx: &mut Tx<'_>, product_ids: &[i64]) -> Result<Vec<i64>, Failure> {
    if product_ids.is_empty() {
        return Ok(Vec::new());
    }
    tx.rows_text(&sql::products::ListBeside { ids: literal::numbers(product_ids) }.text()).await
}

/// Ends the sale of these ticket types with their event, which was cancelled.
///
/// # Errors
/// [`Failure::Raced`] when one of them is not of the event any more.
pub async fn cancel(tx: &mut Tx<'_>, event_id: i64, product_ids: &[i64]) -> Result<(), Failure> {
    if product_ids.is_empty() {
        return Ok(());
    }
    let statement =
        sql::products::Cancel { event_id: Literal::Number(event_id).into(), ids: literal::numbers(product_ids) };
    let affected = tx.execute_text(&statement.text()).await?;
    exactly("products/cancel", affected, product_ids.len(), Failure::Raced)
}
