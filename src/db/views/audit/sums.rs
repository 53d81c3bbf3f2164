//! Sums over a page, and the counters of products.

use mysql_async::prelude::FromRow;
use mysql_async::{Row, params};

use super::page::Page;
use crate::db::column::state;
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::sql;
use crate::domain::EventStatus;

/// The counters of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// The product.
    pub product_id: i64,
    /// Units put on sale.
    pub stock: i64,
    /// Units on sale now.
    pub available: i64,
    /// Reserved units.
    pub reserved: i64,
}

/// Lists up to `limit` products from `first` on, by id.
pub async fn list_products(tx: &mut Tx<'_>, first: i64, limit: u32) -> Result<Vec<Counters>, Failure> {
    let found: Vec<(i64, i64, i64, i64)> = tx.rows(sql::audit::LIST_PRODUCTS, params! { first, limit }).await?;
    let counters = |(product_id, stock, available, reserved)| Counters { product_id, stock, available, reserved };
    Ok(found.into_iter().map(counters).collect())
}

/// Units that holds and orders reserve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Units {
    /// In active holds.
    pub held: i64,
    /// In pending orders.
    pub awaiting: i64,
    /// In paid orders, and in refunded ones whose units stayed sold.
    pub sold: i64,
}

impl Units {
    /// Adds other units.
    pub fn add(&mut self, other: Self) {
        self.held += other.held;
        self.awaiting += other.awaiting;
        self.sold += other.sold;
    }
}

/// The holds of one product in a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldSum {
    /// The product.
    pub product_id: i64,
    /// How many rows.
    pub rows: i64,
    /// How many of them are ordered.
    pub ordered: i64,
    /// The units of active ones.
    pub held: i64,
    /// How many return at another time than their own state requires.
    pub odd: i64,
    /// How many active ones have a creation time in the future.
    pub ahead: i64,
}

/// Sums up a page of holds by product, without their orders.
pub async fn sum_holds(tx: &mut Tx<'_>, page: &Page) -> Result<Vec<HoldSum>, Failure> {
    let found: Vec<(i64, i64, i64, i64, i64, i64)> = tx.rows(sql::audit::SUM_HOLDS, page.params()).await?;
    let sum = |(product_id, rows, ordered, held, odd, ahead)| HoldSum { product_id, rows, ordered, held, odd, ahead };
    Ok(found.into_iter().map(sum).collect())
}

/// The holds of one product that belong to a page of orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitSum {
    /// The product; `None` where the hold is missing.
    pub product_id: Option<i64>,
    /// How many rows of holds are ordered.
    pub ordered: i64,
    /// The units of the orders. Units of active holds are subtracted again: [`HoldSum`] has them as held.
    pub units: Units,
    /// How many rows do not fit their order.
    pub odd: i64,
    /// How many rows belong to orders with a creation time in the future.
    pub ahead: i64,
}

/// Sums up the holds of a page of orders, by product.
pub async fn sum_units(tx: &mut Tx<'_>, page: &Page) -> Result<Vec<UnitSum>, Failure> {
    type Columns = (Option<i64>, i64, i64, i64, i64, i64, i64);
    let found: Vec<Columns> = tx.rows(sql::audit::SUM_UNITS, page.params()).await?;
    let sum = |(product_id, ordered, active, awaiting, sold, odd, ahead): Columns| UnitSum {
        product_id,
        ordered,
        units: Units { held: -active, awaiting, sold },
        odd,
        ahead,
    };
    Ok(found.into_iter().map(sum).collect())
}

/// Counts the holds of a page whose rows differ where the rows of one hold are alike.
pub async fn count_uneven_holds(tx: &mut Tx<'_>, page: &Page) -> Result<i64, Failure> {
    only(tx, sql::audit::SUM_LINES, page).await
}

/// Counts the orders of a page whose total is not the sum of their lines.
pub async fn count_wrong_totals(tx: &mut Tx<'_>, page: &Page) -> Result<i64, Failure> {
    only(tx, sql::audit::SUM_TOTALS, page).await
}

/// The trails of a page of orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrailSum {
    /// How many orders.
    pub rows: i64,
    /// How many transitions they have.
    pub transitions: i64,
    /// How many of the orders have a trail that does not lead to their state, or a refund that the state forbids.
    pub odd: i64,
}

/// Sums up the trails of a page of orders.
pub async fn sum_trails(tx: &mut Tx<'_>, page: &Page) -> Result<TrailSum, Failure> {
    let (rows, transitions, odd) = only(tx, sql::audit::SUM_TRAILS, page).await?;
    Ok(TrailSum { rows, transitions, odd })
}

/// Counts, of a page of trails of products, the rows that no change can have written by itself, and those that create a product.
pub async fn sum_product_trail(tx: &mut Tx<'_>, page: &Page) -> Result<(i64, i64), Failure> {
    only(tx, sql::audit::SUM_PRODUCT_TRAIL, page).await
}

/// The transitions of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransitionSum {
    /// How many.
    pub rows: i64,
    /// How many a success caused.
    pub paid: i64,
    /// How many a failure caused.
    pub failed: i64,
    /// How many have no cause that explains them.
    pub odd: i64,
    /// How many were told.
    pub told: i64,
}

/// Sums up the transitions of a page, with their events, charges and orders.
pub async fn sum_transitions(tx: &mut Tx<'_>, page: &Page) -> Result<TransitionSum, Failure> {
    let (rows, paid, failed, explained, told): (i64, i64, i64, i64, i64) =
        only(tx, sql::audit::SUM_TRANSITIONS, page).await?;
    Ok(TransitionSum { rows, paid, failed, odd: rows - explained, told })
}

/// The events of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventSum {
    /// How many.
    pub rows: i64,
    /// Applied successes.
    pub paid: i64,
    /// Applied failures.
    pub failed: i64,
    /// How many are neither, or have no time of their outcome.
    pub others: i64,
}

/// Sums up the events of a page, each by itself.
pub async fn sum_events(tx: &mut Tx<'_>, page: &Page) -> Result<EventSum, Failure> {
    let (rows, paid, failed, plain): (i64, i64, i64, i64) = only(tx, sql::audit::SUM_EVENTS, page).await?;
    Ok(EventSum { rows, paid, failed, others: rows - plain })
}

/// Counts, of the successes of a page that are due for refund or refunded, those that own a charge, and those that own
/// none or one that does not match.
pub async fn sum_due_charges(tx: &mut Tx<'_>, page: &Page) -> Result<(i64, i64), Failure> {
    only(tx, sql::audit::SUM_DUE_CHARGES, page).await
}

/// Returns the only row of a statement over a page.
async fn only<T: FromRow + Send + 'static>(tx: &mut Tx<'_>, statement: &str, page: &Page) -> Result<T, Failure> {
    let row = tx.row(statement, page.params()).await?;
    row.ok_or_else(|| Failure::Broken("a sum returned no row".to_owned()))
}

/// Charges of one state and currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeSum {
    /// `paid`, `refund_due` or `refunded`.
    pub status: String,
    /// ISO 4217; `None` when it is unknown.
    pub currency: Option<String>,
    /// How many.
    pub count: i64,
    /// How many have no known amount.
    pub unknown: i64,
    /// The amount that was not given back, in minor units.
    pub kept_minor: i64,
    /// The amount that was given back, in minor units.
    pub refunded_minor: i64,
    /// How many are inconsistent by themselves.
    pub odd: i64,
}

/// Sums up the money of a page of charges.
pub async fn sum_charges(tx: &mut Tx<'_>, page: &Page) -> Result<Vec<ChargeSum>, Failure> {
    type Columns = (String, Option<String>, i64, i64, i64, i64, i64);
    let found: Vec<Columns> = tx.rows(sql::audit::SUM_CHARGES, page.params()).await?;
    let sum = |(status, currency, count, unknown, kept_minor, refunded_minor, odd)| ChargeSum {
        status,
        currency,
        count,
        unknown,
        kept_minor,
        refunded_minor,
        odd,
    };
    Ok(found.into_iter().map(sum).collect())
}

/// Successes without a charge, of one state and amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingSum {
    /// Their state.
    pub status: EventStatus,
    /// The decimal amount in major units, as it was written.
    pub amount: Option<String>,
    /// As it was written, or the order's.
    pub currency: Option<String>,
    /// How many.
    pub count: i64,
}

/// Sums up the money of a page of the inbox that has no charge.
pub async fn sum_waiting_successes(tx: &mut Tx<'_>, page: &Page) -> Result<Vec<WaitingSum>, Failure> {
    let found: Vec<Row> = tx.rows(sql::audit::SUM_WAITING_SUCCESSES, page.params()).await?;
    let sum = |row: Row| {
        type Columns = (String, Option<Vec<u8>>, Option<Vec<u8>>, i64);
        let (status, amount, currency, count): Columns =
            mysql_async::from_row_opt(row).map_err(|error| Failure::Broken(error.to_string()))?;
        let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(WaitingSum { status: state(&status)?, amount: text(amount), currency: text(currency), count })
    };
    found.into_iter().map(sum).collect()
}
