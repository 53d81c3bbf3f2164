//! Orders: a hold that somebody means to pay for.

use futures_util::FutureExt as _;
use uuid::Uuid;

use super::{Checkout, made_before};
use crate::db::holds::{self, Hold, sum};
use crate::db::idempotency_keys::{self, Keyed};
use crate::db::order_events::{self, OrderEvent, Reason, Transition};
use crate::db::orders::{self, Order};
use crate::db::{Error, Failure, Tx, products};
use crate::domain::{HoldStatus, OrderStatus, Refusal, mint_id};
use crate::telemetry;

/// An order with what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The order.
    pub order: Order,
    /// Its items: the rows of its hold.
    pub items: Vec<Hold>,
    /// True when an earlier request under the same key made it.
    pub replayed: bool,
}

impl Checkout {
    /// Makes an order of a hold, once; then lets events that came before it take effect.
    ///
    /// # Errors
    /// [`Refusal::HoldNotFound`], [`Refusal::HoldUsed`], [`Refusal::HoldExpired`], [`Refusal::HoldReleased`],
    /// [`Refusal::OrderIdTaken`], [`Refusal::IdempotencyKeyReuse`].
    pub async fn create_order(
        &self,
        hold_id: Uuid,
        order_id: Option<Uuid>,
        keyed: Option<Keyed>,
    ) -> Result<Placed, Error> {
        let order_id = order_id.unwrap_or_else(mint_id);
        let (order_id, replayed) = self.insert_order(order_id, hold_id, keyed.as_ref()).await?;
        match replayed {
            true => telemetry::replayed("order"),
            false => telemetry::order_created(),
        }
        // Our row is committed; an event that committed its own before that is seen now, one that did it later sees us.
        self.wake_parked(order_id, hold_id).await?;
        let mut placed = self.order(order_id).await?;
        placed.replayed = replayed;
        if let Some(keyed) = keyed {
            placed.order.status = self.first_answer(&keyed, placed.order.status).await?;
        }
        Ok(placed)
    }

    /// Returns the order's id and whether an earlier request under the same key made it.
    async fn insert_order(&self, order_id: Uuid, hold_id: Uuid, keyed: Option<&Keyed>) -> Result<(Uuid, bool), Error> {
        let ttl_seconds = self.policy.order_ttl_seconds;
        self.database
            .transaction("orders.create", |tx| {
                async move {
                    if let Some(keyed) = keyed
                        && !idempotency_keys::insert(tx, keyed, order_id).await?
                    {
                        let made = made_before(tx, keyed).await?;
                        let ours = tx.after_unknown() && made.resource_id == order_id;
                        return Ok((made.resource_id, !ours));
                    }
                    if !orders::insert(tx, order_id, hold_id, ttl_seconds).await? {
                        return explain_refused_order(tx, order_id, hold_id).await;
                    }
                    if !holds::mark_ordered(tx, hold_id, order_id).await? {
                        // It ran out or was given back between the two statements; a second look says which.
                        return Err(Failure::Raced("holds/mark_ordered"));
                    }
                    let created =
                        Transition { order_id, from: None, to: OrderStatus::Pending, reason: Reason::Created };
                    order_events::insert(tx, &[created]).await?;
                    Ok((order_id, false))
                }
                .boxed()
            })
            .await
    }

    /// Writes down which status the first answer under a key tells, and returns the one that stands there: copies that
    /// run at the same time tell the same.
    async fn first_answer(&self, keyed: &Keyed, status: OrderStatus) -> Result<OrderStatus, Error> {
        self.database
            .transaction("orders.first_answer", |tx| {
                async move {
                    if idempotency_keys::answer(tx, keyed, status).await? {
                        return Ok(status);
                    }
                    Ok(made_before(tx, keyed).await?.answered_status.unwrap_or(status))
                }
                .boxed()
            })
            .await
    }

    /// An order with its items.
    ///
    /// # Errors
    /// [`Refusal::OrderNotFound`].
    pub async fn order(&self, order_id: Uuid) -> Result<Placed, Error> {
        self.database
            .read("orders.find", |tx| {
                async move {
                    let order = orders::find(tx, order_id).await?.ok_or(Failure::Refused(Refusal::OrderNotFound))?;
                    let items = holds::find(tx, order.hold_id).await?;
                    Ok(Placed { order, items, replayed: false })
                }
                .boxed()
            })
            .await
    }

    /// Everything that happened to an order, oldest first.
    ///
    /// # Errors
    /// [`Refusal::OrderNotFound`].
    pub async fn order_events(&self, order_id: Uuid) -> Result<Vec<OrderEvent>, Error> {
        self.database
            .read("order_events.list", |tx| {
                async move {
                    let events = order_events::list(tx, order_id).await?;
                    // An order's creation is its first row: no rows, no order.
                    if events.is_empty() { Err(Refusal::OrderNotFound.into()) } else { Ok(events) }
                }
                .boxed()
            })
            .await
    }

    /// The buyer gives up: the units go back on sale, once. An order that is cancelled already stays so.
    ///
    /// # Errors
    /// [`Refusal::OrderNotFound`], [`Refusal::OrderPaid`].
    pub async fn cancel_order(&self, order_id: Uuid) -> Result<Placed, Error> {
        let cancelled = self
            .database
            .transaction("orders.cancel", |tx| {
                async move {
                    let order = orders::find(tx, order_id).await?.ok_or(Failure::Refused(Refusal::OrderNotFound))?;
                    if orders::cancel(tx, order_id).await? {
                        let transition = Transition {
                            order_id,
                            from: Some(OrderStatus::Pending),
                            to: OrderStatus::Cancelled,
                            reason: Reason::BuyerCancelled,
                        };
                        order_events::insert(tx, &[transition]).await?;
                        give_back_units(tx, order.hold_id).await?;
                        return Ok(true);
                    }
                    match orders::find(tx, order_id).await?.map(|order| order.status) {
                        Some(OrderStatus::Cancelled) => Ok(false),
                        Some(OrderStatus::Paid | OrderStatus::Refunded) => Err(Refusal::OrderPaid.into()),
                        _ => Err(Failure::Raced("orders/cancel")),
                    }
                }
                .boxed()
            })
            .await?;
        if cancelled {
            telemetry::order_cancelled();
        }
        self.order(order_id).await
    }
}

/// The units of an order that was just cancelled go back on sale.
pub(super) async fn give_back_units(tx: &mut Tx<'_>, hold_id: Uuid) -> Result<(), Failure> {
    holds::settle(tx, &[hold_id]).await?;
    let units = sum(holds::list_units(tx, &[hold_id]).await?);
    products::give_back(tx, &units).await
}

/// Says why no order could be made, or that it was made: by an earlier attempt of ours whose commit was lost from sight.
async fn explain_refused_order(tx: &mut Tx<'_>, order_id: Uuid, hold_id: Uuid) -> Result<(Uuid, bool), Failure> {
    if let Some(order) = orders::find_by_hold(tx, hold_id).await? {
        return match tx.after_unknown() && order.id == order_id {
            true => Ok((order_id, false)),
            false => Err(Refusal::HoldUsed { order_id: order.id }.into()),
        };
    }
    let rows = holds::find(tx, hold_id).await?;
    let refusal = match rows.first().map(|row| row.status) {
        None => Refusal::HoldNotFound,
        Some(HoldStatus::Expired) => Refusal::HoldExpired,
        Some(HoldStatus::Released) => Refusal::HoldReleased,
        Some(HoldStatus::Active) if orders::find(tx, order_id).await?.is_some() => Refusal::OrderIdTaken,
        Some(HoldStatus::Active | HoldStatus::Ordered) => return Err(Failure::Raced("orders/insert")),
    };
    Err(refusal.into())
}
