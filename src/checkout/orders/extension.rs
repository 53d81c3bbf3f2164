//! A later deadline of a pending order, for payments that take longer than expected. The units of its hold come back later, too.

use futures_util::FutureExt as _;
use uuid::Uuid;

use super::batch::Placed;
use super::find;
use crate::checkout::error::Error;
use crate::checkout::extension::Extension;
use crate::checkout::state::Checkout;
use crate::db::tables::holds;
use crate::db::tables::orders;
use crate::db::{Failure, Tx};
use crate::domain::{Caller, Details, OrderStatus, Refusal};
use crate::telemetry;

impl Checkout {
    /// Moves the deadline of a pending order of this caller. Returns the order as it is now, and whether an earlier request with
    /// the same key has moved it.
    ///
    /// # Errors
    /// [`Refusal::OrderNotFound`], [`Refusal::OrderPaid`], [`Refusal::OrderCancelled`], [`Refusal::OrderOverdue`],
    /// [`Refusal::ExtensionLimit`], [`Refusal::IdempotencyKeyReuse`].
    pub async fn extend_order(&self, caller: &Caller, order_id: Uuid, extension: &Extension) -> Result<Placed, Error> {
        let most = self.policy.max_hold_seconds;
        let placed = self
            .database
            .transaction("orders.extend", |tx| {
                async move {
                    let done = extension.begin(tx).await?;
                    if done.is_none() {
                        move_deadline(tx, caller, order_id, extension, most).await?;
                    }
                    Ok(Placed { replayed: done.unwrap_or(false), ..own(tx, caller, order_id).await? })
                }
                .boxed()
            })
            .await?;
        if placed.replayed {
            telemetry::replayed("extend");
        }
        for item in &placed.items {
            self.supplies.outlooks.record_move(item.product_id, placed.order.pay_by);
        }
        Ok(placed)
    }
}

async fn move_deadline(
    tx: &mut Tx<'_>,
    caller: &Caller,
    order_id: Uuid,
    extension: &Extension,
    most: u64,
) -> Result<(), Failure> {
    let Placed { order, items, .. } = own(tx, caller, order_id).await?;
    let limits = holds::find_limits(tx, order.hold_id).await?;
    let now = limits.first().map(|limit| limit.server_time);
    match order.status {
        OrderStatus::Pending if now.is_some_and(|now| order.pay_by <= now) => return Err(Refusal::OrderOverdue.into()),
        OrderStatus::Pending => {}
        OrderStatus::Cancelled => return Err(Refusal::OrderCancelled.into()),
        OrderStatus::Paid | OrderStatus::Refunded => return Err(Refusal::OrderPaid.into()),
    }
    let pay_by = extension.moved(order.pay_by, order.created_at, &limits, most)?;
    if !orders::extend(tx, &order, pay_by).await? {
        return Err(Failure::Raced("orders/extend"));
    }
    holds::return_later(tx, order.hold_id, items.len(), pay_by).await
}

/// Returns an order that this caller may see, with its items.
async fn own(tx: &mut Tx<'_>, caller: &Caller, order_id: Uuid) -> Result<Placed, Failure> {
    let placed = find(tx, order_id).await?;
    match Details::are_seen(placed.details.as_deref(), caller) {
        true => Ok(placed),
        false => Err(Refusal::OrderNotFound.into()),
    }
}
