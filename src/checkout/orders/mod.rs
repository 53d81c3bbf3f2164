//! Orders: holds that a buyer is going to pay for.

pub(crate) mod batch;
pub mod extension;
pub mod overdue;

use std::sync::Arc;

use futures_util::FutureExt as _;
use uuid::Uuid;

use self::batch::{OrderRequest, Ordered, Placed};
use crate::checkout::error::Error;
use crate::checkout::patience::{ask, deadline};
use crate::checkout::payments::waiting::apply_waiting_for;
use crate::checkout::state::Checkout;
use crate::checkout::transition;
use crate::db::error::Error as DbError;
use crate::db::tables::idempotency_keys::{self, IdempotentRequest, StoredResult};
use crate::db::tables::order_events::{self, TrailEntry};
use crate::db::tables::orders::{self};
use crate::db::tables::payment_events;
use crate::db::{Failure, Tx};
use crate::domain::{Caller, Details, OrderStatus, Refusal, mint_id};
use crate::telemetry;

/// How often a cancellation is tried again because a payment had to be applied first.
const TRIES: u32 = 3;

/// An order to make.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// The hold.
    pub hold_id: Uuid,
    /// The id that the client chose, if it did.
    pub order_id: Option<Uuid>,
    /// The client's idempotency key, if it sent one.
    pub keyed: Option<IdempotentRequest>,
    /// The caller: the hold must be its own.
    pub caller: Caller,
    /// What is written on the order, if anything; its owner becomes that of the hold.
    pub written: Option<Arc<Details>>,
}

impl NewOrder {
    /// Returns an order of an anonymous caller that writes nothing on it.
    pub fn new(hold_id: Uuid, order_id: Option<Uuid>, keyed: Option<IdempotentRequest>) -> Self {
        Self { hold_id, order_id, keyed, caller: Caller::anonymous(), written: None }
    }
}

impl Checkout {
    /// Creates the order of a hold, once; then applies the events that arrived before it.
    ///
    /// # Errors
    /// [`Refusal::HoldNotFound`], [`Refusal::HoldUsed`], [`Refusal::HoldExpired`], [`Refusal::HoldReleased`],
    /// [`Refusal::OrderIdTaken`], [`Refusal::IdempotencyKeyReuse`].
    pub async fn create_order(&self, new: NewOrder) -> Result<Placed, Error> {
        let NewOrder { hold_id, order_id, keyed, caller, written } = new;
        let (chosen, order_id) = (order_id.is_some(), order_id.unwrap_or_else(mint_id));
        let request = OrderRequest { order_id, chosen, hold_id, caller, written, keyed: keyed.clone() };
        let (mut placed, told) = match ask(&self.orders, (), request, deadline()).await? {
            Ordered::Now { placed, changed: false } => (*placed, Some(OrderStatus::Pending)),
            // the order exists, whether or not it can be read again now
            Ordered::Now { placed, changed: true } => (self.placed(order_id).await.unwrap_or(*placed), None),
            Ordered::Before(made) => (self.placed_before(&made).await?, made.answered_status),
        };
        match placed.replayed {
            true => telemetry::replayed("order"),
            false => telemetry::order_created(),
        }
        if let Some(keyed) = keyed {
            let status = match told {
                Some(status) => status,
                None => self.first_answer(&keyed, placed.order.status).await?,
            };
            // a copy repeats the first response, whatever was refunded since
            placed.order.refunded_minor = if status == OrderStatus::Refunded { placed.order.total_minor } else { 0 };
            placed.order.status = status;
        }
        Ok(placed)
    }

    /// Returns the order that an earlier request with the same key created. While the response to that request is not settled,
    /// it may not have looked for waiting events yet, and may never do so; then this function does.
    async fn placed_before(&self, made: &StoredResult) -> Result<Placed, Error> {
        let order_id = made.resource_id;
        if made.answered_status.is_none() {
            let hold_id = self.placed(order_id).await?.order.hold_id;
            apply_waiting_for(&self.database, &[(order_id, hold_id)]).await?;
        }
        let placed = self.placed(order_id).await?;
        Ok(Placed { replayed: true, ..placed })
    }

    /// Settles which status the responses under a key show, and returns it: `status`, unless a copy may have shown another one.
    async fn first_answer(&self, keyed: &IdempotentRequest, status: OrderStatus) -> Result<OrderStatus, DbError> {
        self.database
            .transaction("orders.first_answer", |tx| {
                async move {
                    if idempotency_keys::answer(tx, keyed, status).await? {
                        return Ok(status);
                    }
                    let made = idempotency_keys::find(tx, keyed).await?;
                    idempotency_keys::wait_for_disk(tx).await?;
                    Ok(made.and_then(|made| made.answered_status).unwrap_or(status))
                }
                .boxed()
            })
            .await
    }

    /// Returns an order of this caller with its items.
    ///
    /// # Errors
    /// [`Refusal::OrderNotFound`].
    pub async fn order(&self, caller: &Caller, order_id: Uuid) -> Result<Placed, Error> {
        let placed = self.placed(order_id).await?;
        match Details::are_seen(placed.details.as_deref(), caller) {
            true => Ok(placed),
            false => Err(Refusal::OrderNotFound.into()),
        }
    }

    /// Returns an order with its items, of any owner.
    async fn placed(&self, order_id: Uuid) -> Result<Placed, Error> {
        Ok(self.database.read("orders.find", |tx| async move { find(tx, order_id).await }.boxed()).await?)
    }

    /// Returns everything that happened to an order of this caller, oldest first.
    ///
    /// # Errors
    /// [`Refusal::OrderNotFound`].
    pub async fn order_events(&self, caller: &Caller, order_id: Uuid) -> Result<Vec<TrailEntry>, Error> {
        Ok(self
            .database
            .read("order_events.list", |tx| {
                async move {
                    let found = orders::find_placed(tx, order_id).await?;
                    match found.is_some_and(|(_, details)| Details::are_seen(details.as_deref(), caller)) {
                        true => order_events::list(tx, order_id).await,
                        false => Err(Refusal::OrderNotFound.into()),
                    }
                }
                .boxed()
            })
            .await?)
    }

    /// Cancels an order of this caller: the units go back on sale, once. An order that is already cancelled stays as it is.
    ///
    /// # Errors
    /// [`Refusal::OrderNotFound`], [`Refusal::OrderPaid`].
    pub async fn cancel_order(&self, caller: &Caller, order_id: Uuid) -> Result<Placed, Error> {
        let mut cancelled = self.try_cancel(caller, order_id).await;
        for _ in 0..TRIES {
            let Err(DbError::Stale(_)) = cancelled else { break };
            // A payment that waits for the order has not been applied yet; it goes first.
            let hold_id = self.placed(order_id).await?.order.hold_id;
            apply_waiting_for(&self.database, &[(order_id, hold_id)]).await?;
            cancelled = self.try_cancel(caller, order_id).await;
        }
        if cancelled? {
            telemetry::order_cancelled();
        }
        self.placed(order_id).await
    }

    /// Returns false when the order was cancelled before.
    async fn try_cancel(&self, caller: &Caller, order_id: Uuid) -> Result<bool, DbError> {
        self.database
            .transaction("orders.cancel", |tx| {
                async move {
                    let found = orders::find_placed(tx, order_id).await?;
                    let own = found.filter(|(_, details)| Details::are_seen(details.as_deref(), caller));
                    let (order, _) = own.ok_or(Failure::Refused(Refusal::OrderNotFound))?;
                    payment_events::no_success_waits(tx, order_id, order.hold_id).await?;
                    if transition::cancel(tx, &order, None).await? {
                        return Ok(true);
                    }
                    match orders::find(tx, order_id).await?.map(|order| order.status) {
                        Some(OrderStatus::Cancelled) => {
                            idempotency_keys::wait_for_disk(tx).await?;
                            Ok(false)
                        }
                        Some(OrderStatus::Paid | OrderStatus::Refunded) => Err(Refusal::OrderPaid.into()),
                        _ => Err(Failure::Raced("orders/cancel")),
                    }
                }
                .boxed()
            })
            .await
    }
}

/// Returns an order with its items, of any owner.
async fn find(tx: &mut Tx<'_>, order_id: Uuid) -> Result<Placed, Failure> {
    let found = orders::find_placed(tx, order_id).await?;
    let (order, details) = found.ok_or(Failure::Refused(Refusal::OrderNotFound))?;
    let items = orders::list_items(tx, &[order_id]).await?.remove(&order_id).unwrap_or_default();
    Ok(Placed { order, details, items, replayed: false })
}
