//! Payments: what a provider reports is durable first, and then applied to its order.
//!
//! A webhook and its order may arrive in either order, or at once. Both commit their own row first and look for the
//! other's afterwards, in a second transaction; looking before committing would lose both, since neither sees the
//! other's uncommitted row. What a crash leaves between the two steps, a worker finds.

use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tracing::{Span, warn};
use uuid::Uuid;

use super::event_batch::EventJob;
use super::orders::give_back_units;
use super::{Checkout, answer};
use crate::db::order_events::{self, Reason, Transition};
use crate::db::orders::{self, Order};
use crate::db::payment_events::{self, Stored};
use crate::db::{Database, Error, Failure, Tx, holds, products};
use crate::domain::payment::amount_fits;
use crate::domain::{Event, EventStatus, HoldStatus, Meaning, Named as _, OrderStatus, Outcome, Reference, Refusal};
use crate::telemetry;

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The event in the inbox.
    pub event_id: i64,
    /// Where the event is now.
    pub status: EventStatus,
    /// True when an earlier delivery brought it.
    pub duplicate: bool,
    /// Its order's state, when there is one.
    pub order_status: Option<OrderStatus>,
}

/// How often an event is tried again because a payment went first.
const TRIES: u32 = 3;
/// Parked events that one sweep takes at most.
const SWEEP: u32 = 100;

impl Checkout {
    /// Takes in one delivery: durable when this returns, and applied if its order exists.
    ///
    /// # Errors
    /// [`Refusal::IdempotencyKeyReuse`] when the key stands for another event; [`Error::Overloaded`] when too many
    /// deliveries wait.
    pub async fn receive_event(&self, event: Event) -> Result<Receipt, Error> {
        let (sender, answered) = oneshot::channel();
        self.events
            .submit((), EventJob { event, span: Span::current(), answer: sender })
            .map_err(|_| Error::Overloaded)?;
        let receipt = answer(answered).await?;
        telemetry::webhook_delivered(match (receipt.duplicate, receipt.status) {
            (true, _) => "duplicate",
            (false, EventStatus::Applied) => "processed",
            (false, status) => status.as_str(),
        });
        Ok(receipt)
    }

    /// Finds events that wait although their order exists, since a crash kept both sides from looking. Returns whether
    /// there may be more.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn sweep_parked(&self) -> Result<bool, Error> {
        let waiting = self
            .database
            .read("payments.list_parked", |tx| {
                async move { payment_events::list_parked_with_order(tx, SWEEP).await }.boxed()
            })
            .await?;
        let mut settled = 0;
        for &event_id in &waiting {
            match apply_parked(&self.database, event_id).await {
                Ok(here) => settled += u32::from(here),
                // one bad event must not keep those behind it waiting
                Err(error) => warn!(event_id, %error, "a waiting payment event could not be applied"),
            }
        }
        Ok(waiting.len() == SWEEP as usize && settled > 0)
    }
}

/// Takes in one delivery in a transaction of its own.
pub(super) async fn receive_alone(database: &Database, event: &Event) -> Result<Receipt, Error> {
    let mut receipt = take_in(database, event).await;
    for _ in 0..TRIES {
        let Err(Error::Stale(_)) = receipt else { break };
        // A payment that came before this event waits for the same order, and goes first.
        wake_waiting(database, event.reference).await?;
        receipt = take_in(database, event).await;
    }
    let mut receipt = receipt?;
    if receipt.status == EventStatus::Parked {
        // Our row is committed; an order that committed its own before that is seen now. Whatever waits for it takes
        // effect in order.
        wake_waiting(database, event.reference).await?;
        receipt = look_again(database, receipt).await?;
    }
    if receipt.status == EventStatus::Applied && !receipt.duplicate && event.meaning == Meaning::Succeeded {
        // a refund that came before its success waits for it
        wake_waiting(database, event.reference).await?;
    }
    Ok(receipt)
}

/// Inserts the event and, if its order exists, applies it in the same transaction.
async fn take_in(database: &Database, event: &Event) -> Result<Receipt, Error> {
    database
        .transaction("payments.receive", |tx| {
            async move {
                let Some(event_id) = payment_events::insert(tx, event).await? else {
                    return copy_of(tx, event).await;
                };
                let stored = payment_events::find(tx, event_id).await?.ok_or(Failure::Raced("payment_events/find"))?;
                let (outcome, order_status) = apply(tx, &stored).await?;
                payment_events::settle(tx, event_id, outcome.event_status()).await?;
                Ok(Receipt { event_id, status: outcome.event_status(), duplicate: false, order_status })
            }
            .boxed()
        })
        .await
}

/// The same delivery, with where its event and its order are now.
async fn look_again(database: &Database, before: Receipt) -> Result<Receipt, Error> {
    database
        .read("payments.receipt", |tx| {
            async move {
                let stored =
                    payment_events::find(tx, before.event_id).await?.ok_or(Failure::Raced("payment_events/find"))?;
                let order_status = resolve(tx, stored.reference).await?.status();
                Ok(Receipt { status: stored.status, order_status, ..before })
            }
            .boxed()
        })
        .await
}

/// Applies what waits for the order that is named, if it exists.
async fn wake_waiting(database: &Database, reference: Reference) -> Result<(), Error> {
    let order =
        database.read("orders.find_reference", |tx| async move { resolve(tx, reference).await }.boxed()).await?;
    match order {
        Resolved::Order(order) => wake_parked(database, &[(order.id, order.hold_id)]).await.map(|_| ()),
        Resolved::Missing | Resolved::Contradiction => Ok(()),
    }
}

/// Applies what waited for these orders (each with its hold), which exist now. Returns how many events that were.
pub(super) async fn wake_parked(database: &Database, orders: &[(Uuid, Uuid)]) -> Result<usize, Error> {
    if orders.is_empty() {
        return Ok(0);
    }
    let waiting = database
        .read("payments.list_parked_for", |tx| async move { payment_events::list_parked_for(tx, orders).await }.boxed())
        .await?;
    for &event_id in &waiting {
        if let Err(error) = apply_parked(database, event_id).await {
            // the worker that sweeps comes back to it; those behind it must not wait for that
            warn!(event_id, %error, "a waiting payment event could not be applied");
        }
    }
    Ok(waiting.len())
}

/// Applies one waiting event if its order exists. Returns whether it got its outcome here.
async fn apply_parked(database: &Database, event_id: i64) -> Result<bool, Error> {
    let outcome = database
        .transaction("payments.apply", |tx| {
            async move {
                if !payment_events::claim(tx, event_id).await? {
                    return Ok(None);
                }
                let stored = payment_events::find(tx, event_id).await?.ok_or(Failure::Raced("payment_events/find"))?;
                let (outcome, _) = apply(tx, &stored).await?;
                if outcome == Outcome::Parked {
                    return Ok(None);
                }
                payment_events::settle(tx, event_id, outcome.event_status()).await?;
                Ok(Some(outcome))
            }
            .boxed()
        })
        .await?;
    if let Some(outcome) = outcome {
        telemetry::webhook_woken(outcome.event_status().as_str());
    }
    Ok(outcome.is_some())
}

/// Answers a delivery whose key is already taken: a copy, unless it means something else.
async fn copy_of(tx: &mut Tx<'_>, event: &Event) -> Result<Receipt, Failure> {
    let stored = payment_events::find_by_key(tx, event.provider, &event.idempotency_key).await?;
    let stored = stored.ok_or(Failure::Raced("payment_events/insert"))?;
    if stored.fingerprint != event.fingerprint() {
        return Err(Refusal::IdempotencyKeyReuse.into());
    }
    let order_status = resolve(tx, stored.reference).await?.status();
    // After a commit that we lost sight of, what we find is most likely our own first delivery.
    Ok(Receipt { event_id: stored.id, status: stored.status, duplicate: !tx.after_unknown(), order_status })
}

/// The order that a reference names.
enum Resolved {
    Order(Box<Order>),
    /// It does not exist yet.
    Missing,
    /// The order and the hold that were named do not belong together.
    Contradiction,
}

impl Resolved {
    fn status(&self) -> Option<OrderStatus> {
        match self {
            Self::Order(order) => Some(order.status),
            Self::Missing | Self::Contradiction => None,
        }
    }
}

async fn resolve(tx: &mut Tx<'_>, reference: Reference) -> Result<Resolved, Failure> {
    let by_order = match reference.order_id {
        Some(order_id) => orders::find(tx, order_id).await?,
        None => None,
    };
    let by_hold = match (reference.hold_id, &by_order) {
        (Some(hold_id), None) => orders::find_by_hold(tx, hold_id).await?,
        _ => None,
    };
    Ok(match (by_order, by_hold) {
        (Some(order), _) if reference.hold_id.is_some_and(|hold_id| hold_id != order.hold_id) => {
            Resolved::Contradiction
        }
        (None, Some(_)) if reference.order_id.is_some() => Resolved::Contradiction,
        (Some(order), _) | (None, Some(order)) => Resolved::Order(Box::new(order)),
        (None, None) => Resolved::Missing,
    })
}

/// What an event comes to, and what that does to its order, in the transaction that settles the event.
async fn apply(tx: &mut Tx<'_>, event: &Stored) -> Result<(Outcome, Option<OrderStatus>), Failure> {
    let order = match resolve(tx, event.reference).await? {
        Resolved::Order(order) => *order,
        Resolved::Missing => return Ok((without_order(tx, event).await?, None)),
        Resolved::Contradiction => return Ok((Outcome::Quarantined, None)),
    };
    if !amount_fits(event.amount.as_deref(), event.currency.as_deref(), order.total_minor, &order.currency) {
        return Ok((Outcome::Quarantined, Some(order.status)));
    }
    let changed_to = match event.meaning {
        Meaning::Succeeded => succeed(tx, event, &order).await?,
        Meaning::Failed => fail(tx, event, &order).await?,
        // its success has not come yet
        Meaning::Refunded if matches!(order.status, OrderStatus::Pending | OrderStatus::Cancelled) => {
            return Ok((Outcome::Parked, Some(order.status)));
        }
        Meaning::Refunded => refund(tx, event, &order).await?,
    };
    if changed_to.is_some() {
        return Ok((Outcome::Applied, changed_to));
    }
    let order = orders::find(tx, order.id).await?.ok_or(Failure::Raced("orders/find"))?;
    if order.status == OrderStatus::Pending {
        return Err(Failure::Raced("payments/apply"));
    }
    Ok((Outcome::too_late(event.meaning, order.status, same_charge(event, &order)), Some(order.status)))
}

/// No product row is touched: the units were reserved at the hold.
async fn succeed(tx: &mut Tx<'_>, event: &Stored, order: &Order) -> Result<Option<OrderStatus>, Failure> {
    if !orders::mark_paid(tx, order.id, &event.provider, event.txn_id.as_deref()).await? {
        return Ok(None);
    }
    record(tx, event, order, OrderStatus::Pending, OrderStatus::Paid, Reason::PaymentSucceeded).await?;
    holds::settle(tx, &[order.hold_id]).await?;
    Ok(Some(OrderStatus::Paid))
}

async fn fail(tx: &mut Tx<'_>, event: &Stored, order: &Order) -> Result<Option<OrderStatus>, Failure> {
    payment_events::no_success_waits(tx, order.id, order.hold_id).await?;
    if !orders::cancel(tx, order.id).await? {
        return Ok(None);
    }
    record(tx, event, order, OrderStatus::Pending, OrderStatus::Cancelled, Reason::PaymentFailed).await?;
    give_back_units(tx, order.hold_id).await?;
    Ok(Some(OrderStatus::Cancelled))
}

async fn refund(tx: &mut Tx<'_>, event: &Stored, order: &Order) -> Result<Option<OrderStatus>, Failure> {
    if !same_charge(event, order) || !orders::mark_refunded(tx, order.id).await? {
        return Ok(None);
    }
    record(tx, event, order, OrderStatus::Paid, OrderStatus::Refunded, Reason::PaymentRefunded).await?;
    if event.restock {
        let units = holds::sum(holds::list_units(tx, &[order.hold_id]).await?);
        products::give_back(tx, &units).await?;
    }
    Ok(Some(OrderStatus::Refunded))
}

/// An event whose order does not exist waits for it, unless it never will: money for a hold that ended without an order
/// is due for refund at once.
async fn without_order(tx: &mut Tx<'_>, event: &Stored) -> Result<Outcome, Failure> {
    let (Meaning::Succeeded, Reference { order_id: None, hold_id: Some(hold_id) }) = (event.meaning, event.reference)
    else {
        return Ok(Outcome::Parked);
    };
    let rows = holds::find(tx, hold_id).await?;
    let ended = |row: &holds::Hold| matches!(row.status, HoldStatus::Released | HoldStatus::Expired);
    Ok(if rows.first().is_some_and(ended) { Outcome::RefundDue } else { Outcome::Parked })
}

async fn record(
    tx: &mut Tx<'_>,
    event: &Stored,
    order: &Order,
    from: OrderStatus,
    to: OrderStatus,
    reason: Reason,
) -> Result<(), Failure> {
    let transition = Transition { order_id: order.id, from: Some(from), to, reason };
    order_events::insert_for_payment(tx, transition, event.id).await
}

/// Whether the event speaks of the charge that paid the order; one that names no transaction speaks of any.
fn same_charge(event: &Stored, order: &Order) -> bool {
    let named = event.txn_id.is_none() || event.txn_id == order.charge_txn_id;
    named && order.charge_provider.as_ref() == Some(&event.provider)
}
