//! What was sold for an event ends after the event was cancelled: in steps, each of which is one transaction of any instance, until
//! nothing is left.
//!
//! From the commit of the cancellation on, no units of the event are taken: who took some locked their product before, and has
//! committed. So the event's holds are known, and the first stage ends those that are active, or whose orders are not paid. It goes on
//! until one read finds none. By then every order with units of the event is paid or has ended, and none is paid any more: a late
//! payment would take the units again. So the second stage, one walk over the event's holds by id, finds every paid order, and its
//! place never passes one that appears later. A refund that comes meanwhile locks the charge, as the walk does.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use tracing::warn;
use uuid::Uuid;

use crate::checkout::error::Error;
use crate::checkout::state::Checkout;
use crate::checkout::transition;
use crate::db::tables::due_refunds::{self, NewDue, Paid};
use crate::db::tables::event_cancellations::{self, Cancellation, Done, Stage};
use crate::db::tables::order_events::Reason;
use crate::db::tables::{charges, events, holds, orders, products, tickets};
use crate::db::{Failure, Tx};
use crate::domain::due_refund::{Share, due};
use crate::domain::{FeedItem, FeedType, Named as _, OrderStatus};
use crate::telemetry;

/// What one step may take, in rows.
#[derive(Debug, Clone, Copy)]
struct Most {
    holds: u32,
    refunds: u32,
}

impl Checkout {
    /// Makes one step towards the end of an event that was cancelled; with each call, of the next such event. Returns whether there
    /// may be more to end.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn end_events(&self) -> Result<bool, Error> {
        let last = self.paces.last_event.load(Ordering::Relaxed);
        let find =
            |after| self.background.read("event_cancellations.find_open", move |tx| find_open(tx, after).boxed());
        let event_id = match find(last).await? {
            None if last > 0 => find(0).await?,
            found => found,
        };
        self.paces.last_event.store(event_id.unwrap_or(0), Ordering::Relaxed);
        let Some(event_id) = event_id else { return Ok(false) };
        let most = Most { holds: self.paces.holds.rows(), refunds: self.paces.refunds.rows() };
        let step = self.background.transaction("events.end", |tx| step(tx, event_id, most).boxed()).await;
        match &step {
            Ok(done) => {
                self.paces.holds.succeeded(most.holds);
                self.paces.refunds.succeeded(most.refunds);
                report(done.as_ref());
            }
            Err(error) => {
                warn!(event_id, %error, "a step towards the end of an event failed");
                self.paces.holds.failed(most.holds);
                self.paces.refunds.failed(most.refunds);
            }
        }
        step?;
        Ok(true)
    }
}

async fn find_open(tx: &mut Tx<'_>, after: i64) -> Result<Option<i64>, Failure> {
    event_cancellations::find_open(tx, after).await
}

fn report(done: Option<&Done>) {
    if let Some(done) = done {
        telemetry::event_ended("hold", done.holds_ended);
        telemetry::event_ended("order", done.orders_cancelled);
        telemetry::event_ended("refund", done.refunds_due);
    }
}

/// Makes one step. Returns `None` when another instance has made it.
async fn step(tx: &mut Tx<'_>, event_id: i64, most: Most) -> Result<Option<Done>, Failure> {
    let Some(before) = event_cancellations::find(tx, event_id).await? else { return Ok(None) };
    if before.stage == Stage::Finished || !event_cancellations::claim(tx, &before).await? {
        return Ok(None);
    }
    let types = products::list_of_event(tx, event_id).await?;
    let done = match before.stage {
        Stage::Holds => end_holds(tx, &before, &types, most.holds).await?,
        _ => write_refunds(tx, &before, &types, most.refunds).await?,
    };
    event_cancellations::note(tx, event_id, &done).await?;
    Ok(Some(done))
}

fn nothing(before: &Cancellation) -> Done {
    Done {
        stage: before.stage,
        place: (before.product_id, before.hold_id),
        holds_ended: 0,
        orders_cancelled: 0,
        refunds_due: 0,
        amount_minor: 0,
    }
}

/// Ends some of the active holds and unpaid orders.
async fn end_holds(tx: &mut Tx<'_>, before: &Cancellation, types: &[i64], most: u32) -> Result<Done, Failure> {
    let found = match types.is_empty() {
        true => BTreeMap::new(),
        false => holds::list_returning(tx, types, most).await?,
    };
    if found.is_empty() {
        return Ok(Done { stage: Stage::Refunds, ..nothing(before) });
    }
    let held: Vec<Uuid> = found.iter().filter(|(_, order)| order.is_none()).map(|(&hold_id, _)| hold_id).collect();
    let pending: Vec<(Uuid, Uuid)> =
        found.iter().filter_map(|(&hold_id, order_id)| order_id.map(|order_id| (order_id, hold_id))).collect();
    transition::end(tx, types, &held, &pending).await?;
    Ok(Done { holds_ended: held.len() as u64, orders_cancelled: pending.len() as u64, ..nothing(before) })
}

/// Writes due refunds for the paid orders of the next page of holds, and makes their tickets for the event void.
async fn write_refunds(tx: &mut Tx<'_>, before: &Cancellation, types: &[i64], most: u32) -> Result<Done, Failure> {
    // a walk begins with the first ticket type, before its first hold
    let Some(&product_id) = types.iter().find(|&&id| id >= before.product_id) else {
        return Ok(Done { stage: Stage::Finished, ..nothing(before) });
    };
    let after = if product_id == before.product_id { before.hold_id } else { Uuid::nil() };
    let page = due_refunds::list_to_write(tx, (before.event_id, types), (product_id, after), most).await?;
    let new: Vec<NewDue> = page.iter().filter_map(new_due).collect();
    let currency = events::find_terms(tx, before.event_id).await?.and_then(|event| event.currency);
    write(tx, before.event_id, &page, &new).await?;
    let holds: BTreeSet<Uuid> = page.iter().map(|row| row.hold_id).collect();
    let place = match holds.last() {
        Some(&last) if holds.len() >= most as usize => (product_id, last),
        _ => (product_id + 1, Uuid::nil()),
    };
    let in_currency = new.iter().filter(|due| due.currency == currency);
    let amount_minor = in_currency.filter_map(|due| due.amount_minor).sum();
    Ok(Done { place, refunds_due: new.len() as u64, amount_minor, ..nothing(before) })
}

async fn write(tx: &mut Tx<'_>, event_id: i64, page: &[Paid], new: &[NewDue]) -> Result<(), Failure> {
    if !new.is_empty() {
        let charges = page.iter().filter_map(|row| row.order.as_ref()?.charge.as_ref());
        let written: BTreeSet<i64> = new.iter().map(|due| due.charge_event_id).collect();
        let read = charges.map(|charge| (charge.event_id, (charge.refunded_minor, charge.due_refunds)));
        charges::note_due(tx, &read.filter(|(id, _)| written.contains(id)).collect()).await?;
        due_refunds::insert_all(tx, event_id, new).await?;
    }
    let order_ids: BTreeSet<Uuid> = page.iter().filter_map(|row| row.order.as_ref()).map(|order| order.id).collect();
    if !order_ids.is_empty() {
        let order_ids: Vec<Uuid> = order_ids.into_iter().collect();
        let voided = tickets::void(tx, &order_ids, Some(event_id)).await?;
        // those that another ticket type of the event has told have no charge here
        let first = page.iter().filter_map(|row| row.order.as_ref()).filter(|order| order.charge.is_some());
        let first: BTreeSet<Uuid> = first.map(|order| order.id).collect();
        tell(tx, &first.into_iter().collect::<Vec<_>>(), new, voided > 0).await?;
    }
    Ok(())
}

/// Tells the feed of due refunds, and of the tickets of these orders if they were made void.
async fn tell(tx: &mut Tx<'_>, order_ids: &[Uuid], new: &[NewDue], voided: bool) -> Result<(), Failure> {
    if order_ids.is_empty() {
        return Ok(());
    }
    let clients: HashMap<Uuid, i64> = orders::list_clients(tx, order_ids).await?.into_iter().collect();
    let item = |kind, order_id| {
        let client_id = clients.get(&order_id).copied().unwrap_or_default();
        FeedItem::of_order(kind, client_id, order_id, OrderStatus::Paid).because(Reason::EventCancelled.as_str())
    };
    if voided {
        tx.tell(order_ids.iter().map(|&order_id| item(FeedType::TicketVoided, order_id)));
    }
    tx.tell(new.iter().map(|due| {
        let told = item(FeedType::PaymentRefundDue, due.order_id).by_payment(due.charge_event_id);
        told.with_amount(due.amount_minor, due.currency.clone())
    }));
    Ok(())
}

/// Returns what is due of a charge; `None` when nothing is, or it is written already.
fn new_due(row: &Paid) -> Option<NewDue> {
    let order = row.order.as_ref()?;
    let charge = order.charge.as_ref()?;
    let share = Share {
        own_minor: order.own_minor,
        total_minor: order.total_minor,
        in_currency_of_order: charge.currency.as_ref() == Some(&order.currency),
    };
    let before_minor = charge.refunded_minor.max(charge.known_minor);
    let amount_minor = charge.amount_minor.map(|taken_minor| due(share, taken_minor, before_minor));
    // where refunds of the charge are when they have reached it
    let from_minor = charge.refunded_minor.max(charge.until_minor);
    (amount_minor != Some(0)).then(|| NewDue {
        charge_event_id: charge.event_id,
        order_id: order.id,
        amount_minor,
        until_minor: amount_minor.map(|minor| from_minor + minor),
        currency: charge.currency.clone(),
    })
}
