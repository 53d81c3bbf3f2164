//! The table of orders.

use std::time::Duration;

use chrono::NaiveDateTime;
use mysql_async::{Params, params};
use uuid::Uuid;

use super::literal::{Literal, list};
use super::{Failure, Tx, bytes, exactly, id, single, sql, state};
use crate::domain::OrderStatus;

/// An order as its readers and the payment machine see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: Uuid,
    /// The hold that it was made from.
    pub hold_id: Uuid,
    /// Where it is.
    pub status: OrderStatus,
    /// What has to be paid, in minor units of `currency`.
    pub total_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// UTC.
    pub created_at: NaiveDateTime,
    /// Until when it may stay unpaid, UTC.
    pub pay_by: NaiveDateTime,
    /// The provider of the charge that paid it.
    pub charge_provider: Option<Vec<u8>>,
    /// That provider's name for the charge.
    pub charge_txn_id: Option<Vec<u8>>,
}

/// An order that was not paid in time.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// The order.
    pub order_id: Uuid,
    /// Its hold.
    pub hold_id: Uuid,
    /// How long ago its deadline was.
    pub late: Duration,
}

type Columns = (Vec<u8>, Vec<u8>, String, i64, String, NaiveDateTime, NaiveDateTime, Option<Vec<u8>>, Option<Vec<u8>>);

fn order(columns: Columns) -> Result<Order, Failure> {
    let (order, hold, status, total_minor, currency, created_at, pay_by, charge_provider, charge_txn_id) = columns;
    Ok(Order {
        id: id(&order)?,
        hold_id: id(&hold)?,
        status: state(&status)?,
        total_minor,
        currency,
        created_at,
        pay_by,
        charge_provider,
        charge_txn_id,
    })
}

/// Makes a pending order from an active hold. False when the hold is not active, already has an order, or the id is
/// taken.
pub async fn insert(tx: &mut Tx<'_>, order_id: Uuid, hold_id: Uuid, ttl_seconds: u64) -> Result<bool, Failure> {
    let params = params! { "order_id" => bytes(order_id), "hold_id" => bytes(hold_id), ttl_seconds };
    Ok(tx.execute(sql::orders::INSERT, params).await? == 1)
}

/// One order.
pub async fn find(tx: &mut Tx<'_>, order_id: Uuid) -> Result<Option<Order>, Failure> {
    tx.row(sql::orders::FIND, params! { "order_id" => bytes(order_id) }).await?.map(order).transpose()
}

/// The order that a hold became.
pub async fn find_by_hold(tx: &mut Tx<'_>, hold_id: Uuid) -> Result<Option<Order>, Failure> {
    tx.row(sql::orders::FIND_BY_HOLD, params! { "hold_id" => bytes(hold_id) }).await?.map(order).transpose()
}

/// Marks a pending order paid by this charge. False when it is not pending any more.
pub async fn mark_paid(
    tx: &mut Tx<'_>,
    order_id: Uuid,
    provider: &[u8],
    txn_id: Option<&[u8]>,
) -> Result<bool, Failure> {
    let affected =
        tx.execute(sql::orders::MARK_PAID, params! { "order_id" => bytes(order_id), provider, txn_id }).await?;
    single("orders/mark_paid", affected)
}

/// Marks a paid order refunded. False when it is not paid.
pub async fn mark_refunded(tx: &mut Tx<'_>, order_id: Uuid) -> Result<bool, Failure> {
    let affected = tx.execute(sql::orders::MARK_REFUNDED, params! { "order_id" => bytes(order_id) }).await?;
    single("orders/mark_refunded", affected)
}

/// Cancels one pending order. False when it is not pending any more.
pub async fn cancel(tx: &mut Tx<'_>, order_id: Uuid) -> Result<bool, Failure> {
    let affected = tx.execute_text(&with_ids(&[order_id])).await?;
    single("orders/cancel", affected)
}

/// Cancels these pending orders, all of them or (as a race to run again) none.
pub async fn cancel_all(tx: &mut Tx<'_>, order_ids: &[Uuid]) -> Result<(), Failure> {
    let affected = tx.execute_text(&with_ids(order_ids)).await?;
    exactly("orders/cancel", affected, order_ids.len())
}

/// Up to `limit` orders that were not paid in time, the oldest first.
pub async fn list_due(tx: &mut Tx<'_>, limit: u32) -> Result<Vec<Due>, Failure> {
    let found: Vec<(Vec<u8>, Vec<u8>, i64)> = tx.rows(sql::orders::LIST_DUE, params! { limit }).await?;
    let due = |(order, hold, late_us): (Vec<u8>, Vec<u8>, i64)| {
        let late = Duration::from_micros(u64::try_from(late_us).unwrap_or(0));
        Ok(Due { order_id: id(&order)?, hold_id: id(&hold)?, late })
    };
    found.into_iter().map(due).collect()
}

/// Microseconds until the next pending order is overdue, negative when one already is; `None` when there is none.
pub async fn find_next_due(tx: &mut Tx<'_>) -> Result<Option<i64>, Failure> {
    let row: Option<Option<i64>> = tx.row(sql::orders::FIND_NEXT_DUE, Params::Empty).await?;
    Ok(row.flatten())
}

fn with_ids(order_ids: &[Uuid]) -> String {
    let mut sorted = order_ids.to_vec();
    sorted.sort_unstable();
    sql::orders::CANCEL.replace("{ids}", &list(sorted.into_iter().map(Literal::Id)))
}
