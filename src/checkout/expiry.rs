//! What runs out: holds and unpaid orders give their units back. Set-based, and in batches, so that buyers never wait long
//! behind it; a row can be marked once, so any number of instances may do this at the same time.

use futures_util::FutureExt as _;
use std::time::Duration;

use super::Checkout;
use crate::db::holds::{self, Due, Units, sum};
use crate::db::order_events::{self, Reason, Transition};
use crate::db::{Database, Error, orders, products};
use crate::domain::OrderStatus;
use crate::telemetry;

/// Rows that one transaction takes at most. Buyers of the same product wait behind its last statement and its commit,
/// which take little longer for many rows than for few.
const BATCH: usize = 2_000;
/// How often a step looks again because another worker was faster.
const LOOKS: u32 = 3;
/// Orders that one transaction takes at most.
const ORDERS: u32 = 500;
/// Rows that one look finds at most. Many batches per look, since a look has to pass all rows that were just changed and
/// are not purged yet.
pub(super) const LISTED: u32 = 20_000;

impl Checkout {
    /// Gives back one batch of holds that have run out. Returns whether there may be more.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn expire_holds(&self) -> Result<bool, Error> {
        Ok(expire_due(&self.database, None, LISTED).await? == LISTED as usize)
    }

    /// Cancels one batch of orders that were not paid in time. Returns whether there may be more.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn cancel_overdue_orders(&self) -> Result<bool, Error> {
        let cancelled = self
            .database
            .transaction("orders.cancel_overdue", |tx| {
                async move {
                    let due = orders::list_due(tx, ORDERS).await?;
                    if due.is_empty() {
                        return Ok(due);
                    }
                    let order_ids: Vec<_> = due.iter().map(|row| row.order_id).collect();
                    let hold_ids: Vec<_> = due.iter().map(|row| row.hold_id).collect();
                    orders::cancel_all(tx, &order_ids).await?;
                    let transitions: Vec<_> = order_ids.iter().map(|&order_id| overdue(order_id)).collect();
                    order_events::insert(tx, &transitions).await?;
                    holds::settle(tx, &hold_ids).await?;
                    let units = sum(holds::list_units(tx, &hold_ids).await?);
                    products::give_back(tx, &units).await?;
                    Ok(due)
                }
                .boxed()
            })
            .await?;
        telemetry::expired("order", cancelled.iter().map(|row| row.late));
        Ok(cancelled.len() == ORDERS as usize)
    }

    /// How long until the next hold runs out, by the database's clock; zero when one already has, `None` when there is
    /// none.
    ///
    /// # Errors
    /// As every read.
    pub async fn next_hold_due(&self) -> Result<Option<Duration>, Error> {
        let due_in_us = self
            .database
            .read("holds.find_next_due", |tx| async move { holds::find_next_due(tx).await }.boxed())
            .await?;
        Ok(due_in_us.map(from_us))
    }

    /// The same for unpaid orders.
    ///
    /// # Errors
    /// As every read.
    pub async fn next_order_due(&self) -> Result<Option<Duration>, Error> {
        let due_in_us = self
            .database
            .read("orders.find_next_due", |tx| async move { orders::find_next_due(tx).await }.boxed())
            .await?;
        Ok(due_in_us.map(from_us))
    }
}

/// Gives back holds that have run out, of one product or of all, a batch per transaction; looks again when another worker
/// was faster with some of them. Returns how many rows the last look found.
pub(super) async fn expire_due(database: &Database, product_id: Option<i64>, limit: u32) -> Result<usize, Error> {
    for _ in 0..LOOKS {
        let due = database
            .read("holds.list_due", |tx| async move { holds::list_due(tx, product_id, limit).await }.boxed())
            .await?;
        match expire_batches(database, &due).await {
            Err(Error::Stale(_)) => {}
            result => return result.map(|()| due.len()),
        }
    }
    // others are at it: there may be more
    Ok(limit as usize)
}

async fn expire_batches(database: &Database, due: &[Due]) -> Result<(), Error> {
    for batch in due.chunks(BATCH) {
        expire_batch(database, batch).await?;
        telemetry::expired("hold", batch.iter().map(|row| row.late));
    }
    Ok(())
}

/// One transaction: all of these rows, or none.
async fn expire_batch(database: &Database, due: &[Due]) -> Result<(), Error> {
    let mut units: Vec<Units> = due.iter().map(|row| row.units).collect();
    units.sort_unstable();
    let units = &units;
    database
        .transaction("holds.expire", |tx| {
            async move {
                holds::expire(tx, units).await?;
                products::give_back(tx, &sum(units.iter().copied())).await
            }
            .boxed()
        })
        .await
}

fn from_us(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(0))
}

fn overdue(order_id: uuid::Uuid) -> Transition {
    Transition {
        order_id,
        from: Some(OrderStatus::Pending),
        to: OrderStatus::Cancelled,
        reason: Reason::PaymentOverdue,
    }
}
