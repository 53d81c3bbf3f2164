//! Transitions of orders: each is a guarded update, its row in the order's trail, and what follows for the units. The packets
//! that make and pay orders in batches write their transitions themselves; every other one is here.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{hold_events, issuing, units};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::tables::holds::Counted;
use crate::db::tables::order_events::{self, Reason, Transition};
use crate::db::tables::orders::{self, Due, Order, Refunded};
use crate::db::tables::{holds, seats};
use crate::domain::{FeedItem, FeedType, Named as _, OrderStatus, OrderTickets};

/// Cancels a pending order because a buyer gave up, or because of a failed payment (`event_id`), and puts its units back on
/// sale. Returns false when it is not pending any more.
pub(crate) async fn cancel(tx: &mut Tx<'_>, order: &Order, event_id: Option<i64>) -> Result<bool, Failure> {
    if !orders::cancel(tx, order.id).await? {
        return Ok(false);
    }
    let step = |reason| step(order.id, OrderStatus::Pending, OrderStatus::Cancelled, reason);
    match event_id {
        None => order_events::insert(tx, &[step(Reason::BuyerCancelled)]).await?,
        Some(event_id) => order_events::insert_for_payment(tx, step(Reason::PaymentFailed), event_id).await?,
    }
    let reason = if event_id.is_some() { Reason::PaymentFailed } else { Reason::BuyerCancelled };
    let cancelled = cancelled(order.id, order.client_id, reason);
    tx.tell([event_id.map_or(cancelled.clone(), |event_id| cancelled.by_payment(event_id))]);
    let settled = holds::settle(tx, &[order.hold_id]).await?;
    units::give_back_whole(tx, &[order.hold_id], settled).await?;
    Ok(true)
}

/// Cancels pending orders that were not paid in time, all of them or none, and puts their units back on sale.
///
/// # Errors
/// [`Failure::Stale`] when some of them are not pending any more, or have more time now.
pub(crate) async fn cancel_overdue(tx: &mut Tx<'_>, due: &[Due]) -> Result<(), Failure> {
    let order_ids: Vec<Uuid> = due.iter().map(|row| row.order_id).collect();
    let hold_ids: Vec<Uuid> = due.iter().map(|row| row.hold_id).collect();
    orders::cancel_overdue(tx, &order_ids).await?;
    note_cancelled(tx, &order_ids, Reason::PaymentOverdue).await?;
    let settled = holds::settle(tx, &hold_ids).await?;
    units::give_back_whole(tx, &hold_ids, settled).await
}

/// Ends holds because an event was cancelled that some of their units are of, those of `types`: active ones are released, and the pending orders of the
/// others cancelled, all of them or none. Their units go back on sale.
///
/// # Errors
/// [`Failure::Raced`] when some of them are not active or pending any more, or have no units of the event any more.
pub(crate) async fn end(
    tx: &mut Tx<'_>,
    types: &[i64],
    held: &[Uuid],
    pending: &[(Uuid, Uuid)],
) -> Result<(), Failure> {
    let order_ids: Vec<Uuid> = pending.iter().map(|&(order_id, _)| order_id).collect();
    let mut hold_ids: Vec<Uuid> = pending.iter().map(|&(_, hold_id)| hold_id).collect();
    let mut rows = 0;
    if !pending.is_empty() {
        orders::cancel_all(tx, &order_ids).await?;
        note_cancelled(tx, &order_ids, Reason::EventCancelled).await?;
        rows += holds::settle(tx, &hold_ids).await?;
    }
    rows += holds::release_whole(tx, held).await?;
    hold_ids.extend(held);
    let counted = holds::list_counted(tx, &hold_ids).await?;
    let of_event = counted.iter().map(|row| row.units).filter(|units| types.contains(&units.product_id));
    let ended: BTreeSet<Uuid> = of_event.map(|units| units.hold_id).collect();
    if counted.len() as u64 != rows || hold_ids.iter().any(|hold_id| !ended.contains(hold_id)) {
        return Err(Failure::Raced("holds/release_whole"));
    }
    let released: Vec<Counted> = counted.iter().filter(|row| held.contains(&row.units.hold_id)).copied().collect();
    let reason = Reason::EventCancelled.as_str();
    hold_events::tell_ended(tx, FeedType::HoldReleased, Some(reason), &released).await?;
    units::give_back_counted(tx, &counted).await
}

/// Marks an order paid by an event. A pending order's units were reserved at its hold, so no product is touched; a cancelled
/// one, whose units went back on sale, takes them again. Its units of ticket types get their tickets.
///
/// # Errors
/// [`Failure::Raced`] when the order is not in the state that was read any more; [`Failure::OutOfStock`],
/// [`Failure::OverLimit`].
pub(crate) async fn pay(tx: &mut Tx<'_>, order: &Order, event_id: i64) -> Result<(), Failure> {
    if !orders::mark_paid(tx, order.id, order.status).await? {
        return Err(Failure::Raced("orders/mark_paid"));
    }
    let paid = step(order.id, order.status, OrderStatus::Paid, Reason::PaymentSucceeded);
    order_events::insert_for_payment(tx, paid, event_id).await?;
    let paid = FeedItem::of_order(FeedType::OrderPaid, order.client_id, order.id, OrderStatus::Paid);
    let paid = paid.with_sold(order.hold_id);
    tx.tell([paid.by_payment(event_id)]);
    match order.status {
        OrderStatus::Cancelled => {
            issuing::issue(tx, order).await?;
            units::reserve(tx, order.hold_id).await
        }
        _ => {
            holds::settle(tx, &[order.hold_id]).await?;
            issuing::issue(tx, order).await?;
            match order.tickets {
                OrderTickets::Seats => seats::mark_sold(tx, order.hold_id).await,
                _ => Ok(()),
            }
        }
    }
}

/// Stores how much of a paid order was given back by an event, and puts its units back on sale if they are restocked. If all of it
/// was given back, its tickets are void.
///
/// # Errors
/// [`Failure::Raced`] when the order is not paid any more, or another part of it was given back since it was read.
pub(crate) async fn refund(tx: &mut Tx<'_>, order: &Order, refunded: Refunded, event_id: i64) -> Result<(), Failure> {
    let (status, restocked) = (refunded.status, refunded.restocked);
    let refunded_of_total = order.after(&refunded).refunded_of_total();
    if !orders::refund(tx, order, refunded).await? {
        return Err(Failure::Raced("orders/refund"));
    }
    let reason = match status {
        OrderStatus::Refunded => Reason::PaymentRefunded,
        _ => Reason::PaymentPartRefunded,
    };
    // the order may have been paid after it was read; the guard ensures that it is `paid`
    let given_back = step(order.id, OrderStatus::Paid, status, reason);
    order_events::insert_for_payment(tx, given_back, event_id).await?;
    let told = FeedItem::of_order(FeedType::OrderRefunded, order.client_id, order.id, status);
    tx.tell([told.by_payment(event_id).with_refunded(refunded_of_total)]);
    if status == OrderStatus::Refunded {
        issuing::void(tx, order).await?;
    }
    if restocked {
        units::give_back(tx, &[order.hold_id]).await?;
    }
    Ok(())
}

/// Shows a failed attempt to pay in the trail of an order, if it is pending and its trail shows few of them. It stays pending.
pub(crate) async fn note_failed_attempt(tx: &mut Tx<'_>, order: &Order, event_id: i64) -> Result<(), Failure> {
    if orders::count_failed_attempt(tx, order.id).await? {
        let pending = OrderStatus::Pending;
        let noted = step(order.id, pending, pending, Reason::PaymentAttemptFailed);
        order_events::insert_for_payment(tx, noted, event_id).await?;
        let failed = FeedItem::of_order(FeedType::PaymentFailed, order.client_id, order.id, pending);
        tx.tell([failed.by_payment(event_id)]);
    }
    Ok(())
}

/// Writes that these orders were cancelled, in their trails and for the feed.
async fn note_cancelled(tx: &mut Tx<'_>, order_ids: &[Uuid], reason: Reason) -> Result<(), Failure> {
    let steps = order_ids.iter().map(|&id| step(id, OrderStatus::Pending, OrderStatus::Cancelled, reason));
    order_events::insert(tx, &steps.collect::<Vec<_>>()).await?;
    let clients = orders::list_clients(tx, order_ids).await?;
    tx.tell(clients.into_iter().map(|(order_id, client_id)| cancelled(order_id, client_id, reason)));
    Ok(())
}

fn cancelled(order_id: Uuid, client_id: i64, reason: Reason) -> FeedItem {
    FeedItem::of_order(FeedType::OrderCancelled, client_id, order_id, OrderStatus::Cancelled).because(reason.as_str())
}

fn step(order_id: Uuid, from: OrderStatus, to: OrderStatus, reason: Reason) -> Transition {
    Transition { order_id, from: Some(from), to, reason }
}
