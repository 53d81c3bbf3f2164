//! One attempt to apply a payment event: the transaction that gives the event its outcome.

use std::collections::BTreeSet;

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tracing::warn;

use super::receipt::{Delivery, Receipt};
use super::settlement::{Resolved, Stock, apply, give_up, money_of, resolve};
use crate::checkout::holds::expiry;
use crate::db::door::{Database, Tx};
use crate::db::error::{Error, Failure};
use crate::db::tables::charges::Money;
use crate::db::tables::payment_events::{self, Beginning, Stored};
use crate::db::tables::{holds, payment_event_deliveries, payment_event_quarantines, products};
use crate::domain::retry::pause_after;
use crate::domain::{
    Audience, Details, FeedItem, FeedType, Meaning, Named as _, Outcome, PaymentEvent, Quarantine, Reference, Refusal,
};
use crate::telemetry;

/// Where an event to be applied comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'a> {
    /// A delivery, the first one as far as is known.
    Delivery(&'a Delivery),
    /// The inbox, where it waits. `counted`: this is an attempt that nothing else has counted.
    Inbox { event_id: i64, counted: bool },
}

/// Applies an event and stores its outcome, in one transaction. Returns `None` if another transaction did that first. If a late
/// payment finds no units on sale, or its buyer at the limit, expired holds are given back before it becomes due for refund.
pub(crate) async fn settle(database: &Database, source: Source<'_>) -> Result<Option<Receipt>, Error> {
    match attempt(database, source, Stock::Unknown).await {
        Err(Error::Refused(Refusal::EventCancelled)) => return attempt(database, source, Stock::EventCancelled).await,
        Err(Error::OutOfStock | Error::OverLimit { .. }) => {}
        result => return result,
    }
    let reference = match source {
        Source::Delivery(delivery) => delivery.event.reference,
        Source::Inbox { event_id, .. } => stored(database, event_id).await?.reference,
    };
    expire_for(database, reference).await?;
    match attempt(database, source, Stock::Unknown).await {
        Err(Error::OutOfStock) => attempt(database, source, Stock::Gone).await,
        Err(Error::Refused(Refusal::EventCancelled)) => attempt(database, source, Stock::EventCancelled).await,
        Err(Error::OverLimit { limit, units }) => attempt(database, source, Stock::OverLimit { limit, units }).await,
        result => result,
    }
}

async fn attempt(database: &Database, source: Source<'_>, stock: Stock) -> Result<Option<Receipt>, Error> {
    let began = match source {
        Source::Delivery(delivery) => delivery.arrived,
        Source::Inbox { .. } => Instant::now(),
    };
    let settled = database
        .transaction("payments.apply", |tx| {
            async move {
                let event_id = match source {
                    Source::Delivery(delivery) => {
                        let park_seconds = delivery.park_seconds;
                        let beginning = Beginning { attempts: 1, pause: pause_after(1, 0.5), park_seconds };
                        match payment_events::insert(tx, &delivery.event, beginning).await? {
                            Some(event_id) => event_id,
                            None => return copy_of(tx, &delivery.event).await.map(|receipt| Some((receipt, None))),
                        }
                    }
                    Source::Inbox { event_id, counted } => match payment_events::claim(tx, event_id, counted).await? {
                        true => event_id,
                        false => return Ok(None),
                    },
                };
                let asked = Instant::now();
                let event = find(tx, event_id).await?;
                let ends = event.overdue && tx.clock().admits(event.read_at, asked);
                let (outcome, order_status) = match apply(tx, &event, stock).await? {
                    (Outcome::Parked, order_status) if ends => (give_up(tx, &event).await?, order_status),
                    settled => settled,
                };
                let status = outcome.event_status();
                match &outcome {
                    Outcome::Parked if event.overdue => {
                        payment_events::postpone(tx, event_id, pause_after(1, rand::random())).await?;
                    }
                    Outcome::Parked => payment_events::park(tx, event_id, began.elapsed()).await?,
                    _ => payment_events::settle(tx, event_id, status, began.elapsed()).await?,
                }
                if let Outcome::Quarantined(quarantine) | Outcome::NotSold(quarantine) = &outcome {
                    payment_event_quarantines::insert(tx, event_id, quarantine).await?;
                }
                tell(tx, &event, &outcome).await?;
                let receipt = Receipt { event_id, status, duplicate: false, order_status };
                // the answer of a success that pays its order needs no row: it follows from the event
                let plain = event.meaning == Meaning::Succeeded && outcome == Outcome::Applied;
                if matches!(source, Source::Delivery(_)) && !plain {
                    payment_event_deliveries::insert(tx, event_id, receipt.answer()).await?;
                }
                Ok(Some((receipt, Some(outcome))))
            }
            .boxed()
        })
        .await?;
    Ok(settled.map(|(receipt, outcome)| {
        if let Some(Outcome::Quarantined(quarantine)) = outcome {
            report_quarantine(receipt.event_id, &quarantine);
        }
        receipt
    }))
}

/// Tells the feed of money that pays for no order, or that waits for an operator. The transitions of orders tell of themselves.
async fn tell(tx: &mut Tx<'_>, event: &Stored, outcome: &Outcome) -> Result<(), Failure> {
    let (kind, reason) = match outcome {
        Outcome::Quarantined(quarantine) => (FeedType::PaymentQuarantined, Some(quarantine.reason.as_str())),
        Outcome::NotSold(quarantine) => (FeedType::PaymentRefundDue, Some(quarantine.reason.as_str())),
        Outcome::RefundDue => (FeedType::PaymentRefundDue, None),
        Outcome::Applied | Outcome::Ignored | Outcome::Parked | Outcome::Dead => return Ok(()),
    };
    let (order, hold_id) = match resolve(tx, event.reference).await? {
        Resolved::Order(order) => (Some(order), None),
        Resolved::Missing => (None, event.reference.hold_id),
        // it names things of two shops, maybe
        Resolved::Contradiction(_) => (None, None),
    };
    let item = match (&order, hold_id) {
        (Some(order), _) => FeedItem::of_order(kind, order.client_id, order.id, order.status),
        (None, None) => FeedItem::new(kind, Audience::Operators),
        (None, Some(hold_id)) => match holds::find(tx, hold_id).await?.first() {
            Some(row) => FeedItem::new(kind, Audience::Client(Details::client_id(row.details.as_deref()))),
            None => FeedItem::new(kind, Audience::Operators),
        },
    };
    let Money { amount_minor, currency } = money_of(event, order.as_deref());
    let item = item.by_payment(event.id).with_amount(amount_minor, currency);
    tx.tell([match reason {
        Some(reason) => item.because(reason),
        None => item,
    }]);
    Ok(())
}

fn report_quarantine(event_id: i64, Quarantine { reason, expected, got }: &Quarantine) {
    warn!(event_id, reason = reason.as_str(), expected, got, "a payment event is quarantined");
    telemetry::webhook_quarantined(*reason);
}

async fn find(tx: &mut Tx<'_>, event_id: i64) -> Result<Stored, Failure> {
    payment_events::find(tx, event_id).await?.ok_or(Failure::Raced("payment_events/find"))
}

pub(crate) async fn stored(database: &Database, event_id: i64) -> Result<Stored, Error> {
    database.read("payments.find", |tx| async move { find(tx, event_id).await }.boxed()).await
}

/// Gives back the expired holds of an order's products, and of what counts on the same limits, so that no payment fails because of
/// them.
async fn expire_for(database: &Database, reference: Reference) -> Result<(), Error> {
    let product_ids = database
        .read("holds.list_units", |tx| {
            async move {
                let units = match resolve(tx, reference).await? {
                    Resolved::Order(order) => holds::list_units(tx, &[order.hold_id]).await?,
                    Resolved::Missing | Resolved::Contradiction(_) => Vec::new(),
                };
                let own: Vec<i64> = holds::sum(units).into_keys().collect();
                let mut product_ids: BTreeSet<i64> = products::list_beside(tx, &own).await?.into_iter().collect();
                product_ids.extend(own);
                Ok(product_ids)
            }
            .boxed()
        })
        .await?;
    for product_id in product_ids {
        expiry::expire_product(database, product_id).await?;
    }
    Ok(())
}

/// Returns the receipt with the present states of its event and its order.
pub(crate) async fn reload_receipt(database: &Database, before: Receipt) -> Result<Receipt, Error> {
    database
        .read("payments.receipt", |tx| {
            async move {
                let event = find(tx, before.event_id).await?;
                let order_status = resolve(tx, event.reference).await?.status();
                Ok(Receipt { status: event.status, order_status, ..before })
            }
            .boxed()
        })
        .await
}

/// Answers a delivery whose key is already taken: as a copy, or with a refusal if it is a different event.
pub(crate) async fn copy_of(tx: &mut Tx<'_>, event: &PaymentEvent) -> Result<Receipt, Failure> {
    let stored = payment_events::find_by_key(tx, event.provider, &event.idempotency_key).await?;
    let stored = stored.ok_or(Failure::Raced("payment_events/insert"))?;
    if stored.fingerprint != event.fingerprint() {
        return Err(Refusal::IdempotencyKeyReuse.into());
    }
    let order_status = resolve(tx, stored.reference).await?.status();
    // If our COMMIT got no response, the event found here is most likely from our own first attempt.
    let receipt = Receipt { event_id: stored.id, status: stored.status, duplicate: !tx.after_unknown(), order_status };
    payment_event_deliveries::insert(tx, stored.id, receipt.answer()).await?;
    Ok(receipt)
}
