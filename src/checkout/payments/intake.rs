//! A delivery that is taken in alone: an event is durable first, then applied, then what waits for the same order.

use futures_util::FutureExt as _;
use tracing::warn;

use super::attempt::{Source, copy_of, reload_receipt, settle};
use super::receipt::{Delivery, Receipt};
use super::waiting::apply_waiting_for_reference;
use crate::db::door::Database;
use crate::db::error::Error;
use crate::db::tables::payment_event_deliveries;
use crate::db::tables::payment_event_trail::{self, Action};
use crate::db::tables::payment_events::{self, Beginning};
use crate::domain::payment::DeliveryStatus;
use crate::domain::retry::pause_after;
use crate::domain::{EventStatus, Meaning};

/// How often an event is tried again because another event had to be applied first.
const TRIES: u32 = 3;

/// Takes in one delivery in a transaction of its own. An event that cannot be applied is stored nevertheless, and a worker
/// tries it again.
pub(crate) async fn receive_alone(database: &Database, delivery: &Delivery) -> Result<Receipt, Error> {
    match receive_and_apply(database, delivery).await {
        Err(error @ (Error::Broken(_) | Error::Contended { .. } | Error::Stale(_))) => {
            warn!(%error, "a payment event could not be applied; it will be retried");
            enqueue(database, delivery, Some(&error)).await
        }
        result => result,
    }
}

async fn receive_and_apply(database: &Database, delivery: &Delivery) -> Result<Receipt, Error> {
    let reference = delivery.event.reference;
    let mut receipt = settle(database, Source::Delivery(delivery)).await;
    for _ in 0..TRIES {
        let Err(Error::Stale(_)) = receipt else { break };
        // A payment that came before this event waits for the same order, and goes first.
        apply_waiting_for_reference(database, reference).await?;
        receipt = settle(database, Source::Delivery(delivery)).await;
    }
    let receipt = receipt?.ok_or_else(|| Error::Broken("a new delivery got no result".to_owned()))?;
    let took_money = matches!(receipt.status, EventStatus::Applied | EventStatus::RefundDue)
        && delivery.event.meaning == Meaning::Succeeded;
    if receipt.duplicate || !(took_money || receipt.status == EventStatus::Parked) {
        return Ok(receipt);
    }
    // Our row is committed. Now apply the events that wait for the same order: an order that committed before us is seen now,
    // and so is a refund that arrived before its success.
    let woken = apply_waiting_for_reference(database, reference).await?;
    // the request that created the order may have applied the event first
    match woken > 0 || receipt.status == EventStatus::Parked {
        true => {
            let answered = reload_receipt(database, receipt).await?;
            if receipt.status == EventStatus::Parked && answered.status != EventStatus::Parked {
                correct_answer(database, &answered).await;
            }
            Ok(answered)
        }
        false => Ok(receipt),
    }
}

/// Replaces the answer that was stored with the event by the one that is sent.
pub(crate) async fn correct_answer(database: &Database, receipt: &Receipt) {
    let (event_id, answer) = (receipt.event_id, receipt.answer());
    let corrected = database.transaction("payments.correct_answer", |tx| {
        async move { payment_event_deliveries::correct(tx, event_id, answer).await }.boxed()
    });
    if let Err(error) = corrected.await {
        warn!(event_id, %error, "the answer of a first delivery could not be corrected");
    }
}

/// Stores an event for a worker, to be applied at once, or later if an attempt has failed.
pub(crate) async fn enqueue(
    database: &Database,
    delivery: &Delivery,
    failed: Option<&Error>,
) -> Result<Receipt, Error> {
    let attempts = u32::from(failed.is_some());
    let pause = pause_after(attempts, rand::random());
    let beginning = Beginning { attempts, pause, park_seconds: delivery.park_seconds };
    let detail = failed.map(ToString::to_string);
    let detail = detail.as_deref();
    database
        .transaction("payments.enqueue", |tx| {
            async move {
                let Some(event_id) = payment_events::insert(tx, &delivery.event, beginning).await? else {
                    return copy_of(tx, &delivery.event).await;
                };
                if let Some(detail) = detail {
                    payment_event_trail::insert(tx, event_id, Action::AttemptFailed, detail).await?;
                }
                payment_event_deliveries::insert(tx, event_id, DeliveryStatus::Queued).await?;
                Ok(Receipt { event_id, status: EventStatus::Received, duplicate: false, order_status: None })
            }
            .boxed()
        })
        .await
}
