//! The rows of products: what reads return, and the values that statements write.

use chrono::NaiveDateTime;
use mysql_async::Row;

use super::limit::LimitState;
use crate::db::column::{column, state, text_column};
use crate::db::error::Failure;
use crate::db::literal::Literal;
use crate::domain::{ProductDetails, Sale, Ticket};

/// A product, as reads return it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its id.
    pub id: i64,
    /// What an operator says about it.
    pub details: ProductDetails,
    /// Units put on sale.
    pub stock: i64,
    /// Units on sale now.
    pub available: i64,
    /// The database's clock when it was read, UTC.
    pub server_time: NaiveDateTime,
}

/// The terms of a product, which every hold of it keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// What one unit costs, in minor units of `currency`.
    pub price_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// All other terms.
    pub sale: Sale,
}

impl Product {
    /// Returns the terms.
    pub fn terms(&self) -> Terms {
        let ProductDetails { price_minor, currency, sale, .. } = &self.details;
        Terms { price_minor: *price_minor, currency: currency.clone(), sale: sale.clone() }
    }
}

/// Reads the columns of a product.
pub(in crate::db) fn product(row: &Row) -> Result<Product, Failure> {
    Ok(Product {
        id: column(row, "id")?,
        details: ProductDetails {
            sku: column(row, "sku")?,
            name: column(row, "name")?,
            price_minor: column(row, "price_minor")?,
            currency: column(row, "currency")?,
            sale: sale(row)?,
            max_hold_seconds: column(row, "max_hold_seconds")?,
            metadata: text_column(row, "metadata")?,
        },
        stock: column(row, "stock")?,
        available: column(row, "available")?,
        server_time: column(row, "server_time")?,
    })
}

/// Reads the columns of the terms of a sale.
pub(in crate::db) fn sale(row: &Row) -> Result<Sale, Failure> {
    Ok(Sale {
        status: state(&column::<String>(row, "status")?)?,
        starts_at: column(row, "sale_starts_at")?,
        ends_at: column(row, "sale_ends_at")?,
        hold_ttl_seconds: column(row, "hold_ttl_seconds")?,
        order_ttl_seconds: column(row, "order_ttl_seconds")?,
        max_qty: column(row, "max_qty")?,
        max_per_buyer: column(row, "max_per_buyer")?,
        ticket: ticket(row)?,
    })
}

fn ticket(row: &Row) -> Result<Option<Ticket>, Failure> {
    let Some(kind) = column::<Option<String>>(row, "kind")? else { return Ok(None) };
    Ok(Some(Ticket {
        event_id: column(row, "event_id")?,
        kind: state(&kind)?,
        sale_starts_at: column(row, "event_sale_starts_at")?,
        sale_ends_at: column(row, "event_sale_ends_at")?,
        max_per_buyer: column(row, "event_max_per_buyer")?,
        cancelled_at: column(row, "cancelled_at")?,
    }))
}

/// Returns the columns that an operator sets, in the order of the statements.
pub(super) fn literals(details: &ProductDetails) -> [Literal<'_>; 13] {
    let [status, starts, ends, hold, order, most, per_buyer] = sale_literals(&details.sale);
    [
        Literal::text(&details.sku),
        Literal::Bytes(details.name.as_bytes()),
        Literal::Number(details.price_minor),
        Literal::Bytes(details.currency.as_bytes()),
        status,
        starts,
        ends,
        hold,
        order,
        most,
        per_buyer,
        details.max_hold_seconds.map_or(Literal::Null, Literal::Number),
        Literal::text(&details.metadata),
    ]
}

/// Returns the columns of the terms of a sale, in the order of the statements.
pub(super) fn sale_literals(sale: &Sale) -> [Literal<'static>; 7] {
    let time = |time: Option<NaiveDateTime>| time.map_or(Literal::Null, Literal::Time);
    let number = |number: Option<i64>| number.map_or(Literal::Null, Literal::Number);
    [
        Literal::name(sale.status),
        time(sale.starts_at),
        time(sale.ends_at),
        number(sale.hold_ttl_seconds),
        number(sale.order_ttl_seconds),
        number(sale.max_qty),
        number(sale.max_per_buyer),
    ]
}

/// Returns the columns that a ticket type has of its event, in the order of the statements.
pub(super) fn ticket_literals(ticket: Option<&Ticket>) -> [Literal<'static>; 4] {
    let Some(ticket) = ticket else { return [Literal::Null; 4] };
    let time = |time: Option<NaiveDateTime>| time.map_or(Literal::Null, Literal::Time);
    let most = ticket.max_per_buyer.map_or(Literal::Null, Literal::Number);
    [Literal::name(ticket.kind), time(ticket.sale_starts_at), time(ticket.sale_ends_at), most]
}

/// Returns the columns of a new product, in the order of the statements.
pub(super) fn new_row(details: &ProductDetails, stock: i64) -> [Literal<'_>; 15] {
    let [sku, name, price, currency, status, starts, ends, hold, order, most, per_buyer, max_hold, metadata] =
        literals(details);
    let stock = Literal::Number(stock);
    // no unit of a new product is out
    let state = details.sale.per_buyer().map_or(Literal::Null, |_| Literal::name(LimitState::Enforced));
    [sku, name, price, currency, status, starts, ends, hold, order, most, per_buyer, max_hold, metadata, stock, state]
}
