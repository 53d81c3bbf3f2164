//! Payments: an event that a provider reports is first made durable, and then applied to its order.
//!
//! A webhook and its order may arrive in any sequence, or at once. Both commit their own row first and look for the other's
//! afterwards, in a second transaction. If they looked before they commit, both could miss the other, since neither sees the
//! other's uncommitted row. If a crash prevents the second step, a worker finds the event (see [`super::sweep`]).

use std::collections::HashSet;

use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{Span, warn};
use uuid::Uuid;

use super::event_batch::EventJob;
use super::settlement::{OUT_OF_STOCK, Resolved, Supply, apply, give_up, resolve};
use super::{Checkout, PATIENCE, answer, expiry};
use crate::db::payment_event_trail::{self, Action};
use crate::db::payment_events::{self, Beginning, Stored};
use crate::db::{Database, Error, Failure, Tx, holds, orders, payment_event_deliveries, payment_event_quarantines};
use crate::domain::payment::DeliveryStatus;
use crate::domain::retry::pause_after;
use crate::domain::{
    Event, EventStatus, Meaning, Named as _, OrderStatus, Outcome, Quarantine, Reference, Refusal, WebhookMode,
};
use crate::telemetry;

/// The result of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The id of the event in the inbox.
    pub event_id: i64,
    /// The state of the event now.
    pub status: EventStatus,
    /// True when the event was delivered before.
    pub duplicate: bool,
    /// The state of its order, if there is one.
    pub order_status: Option<OrderStatus>,
}

impl Receipt {
    /// Returns the status in the response to the delivery.
    pub fn answer(&self) -> DeliveryStatus {
        match (self.duplicate, self.status) {
            (true, _) => DeliveryStatus::Duplicate,
            (false, EventStatus::Applied) => DeliveryStatus::Processed,
            (false, EventStatus::Ignored) => DeliveryStatus::Ignored,
            (false, EventStatus::Quarantined | EventStatus::Dead) => DeliveryStatus::Quarantined,
            (false, EventStatus::RefundDue | EventStatus::Refunded) => DeliveryStatus::RefundDue,
            (false, EventStatus::Parked) => DeliveryStatus::PendingOrder,
            (false, EventStatus::Received) => DeliveryStatus::Queued,
            (false, EventStatus::Unmatched) => DeliveryStatus::Unmatched,
        }
    }
}

/// One delivery of an event.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) event: Event,
    pub(super) arrived: Instant,
    /// How long the event may wait for its order, in seconds.
    pub(super) park_seconds: u64,
}

/// How often an event is tried again because another event had to be applied first.
const TRIES: u32 = 3;
/// How often the events that wait for an order are looked for: after a payment is applied, its refunds can be.
const ROUNDS: u32 = 3;

impl Checkout {
    /// Takes in one delivery: when this returns, the event is durable, and applied if its order exists, unless that is left to
    /// a worker.
    ///
    /// # Errors
    /// [`Refusal::IdempotencyKeyReuse`] when the key stands for another event; [`Error::Overloaded`] when too many deliveries
    /// wait.
    pub async fn receive_event(&self, event: Event) -> Result<Receipt, Error> {
        let arrived = Instant::now();
        let delivery = Delivery { event, arrived, park_seconds: self.policy.park_seconds };
        let receipt = match self.policy.webhook_mode {
            WebhookMode::Apply => {
                let (sender, answered) = oneshot::channel();
                let deadline = arrived + PATIENCE;
                let job = EventJob { delivery, deadline, span: Span::current(), answer: sender };
                self.events.submit((), job).map_err(|_| Error::Overloaded)?;
                answer(deadline, answered).await?
            }
            WebhookMode::Queue => enqueue(&self.database, &delivery, None).await?,
        };
        if receipt.status == EventStatus::Received {
            self.event_queued.notify_one();
        }
        record_delivery(receipt, arrived);
        Ok(receipt)
    }
}

/// Counts a delivery by its result.
pub(super) fn record_delivery(receipt: Receipt, arrived: Instant) {
    if receipt.status != EventStatus::Received {
        telemetry::webhook_processed(arrived.elapsed());
    }
    telemetry::webhook_delivered(match (receipt.duplicate, receipt.status) {
        (true, _) => "duplicate",
        (false, EventStatus::Applied) => "processed",
        (false, EventStatus::Received) => "queued",
        (false, status) => status.as_str(),
    });
}

/// Takes in one delivery in a transaction of its own. An event that cannot be applied is stored nevertheless, and a worker
/// tries it again.
pub(super) async fn receive_alone(database: &Database, delivery: &Delivery) -> Result<Receipt, Error> {
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
    let mut receipt = settle(database, Way::First(delivery)).await;
    for _ in 0..TRIES {
        let Err(Error::Stale(_)) = receipt else { break };
        // A payment that came before this event waits for the same order, and goes first.
        wake_others(database, reference).await?;
        receipt = settle(database, Way::First(delivery)).await;
    }
    let receipt = receipt?.ok_or_else(|| Error::Broken("a new delivery got no result".to_owned()))?;
    let took_money = matches!(receipt.status, EventStatus::Applied | EventStatus::RefundDue)
        && delivery.event.meaning == Meaning::Succeeded;
    if receipt.duplicate || !(took_money || receipt.status == EventStatus::Parked) {
        return Ok(receipt);
    }
    // Our row is committed. Now apply the events that wait for the same order: an order that committed before us is seen now,
    // and so is a refund that arrived before its success.
    let woken = wake_others(database, reference).await?;
    // the request that created the order may have applied the event first
    match woken > 0 || receipt.status == EventStatus::Parked {
        true => {
            let answered = look_again(database, receipt).await?;
            if receipt.status == EventStatus::Parked && answered.status != EventStatus::Parked {
                correct_answer(database, &answered).await;
            }
            Ok(answered)
        }
        false => Ok(receipt),
    }
}

/// Replaces the answer that was stored with the event by the one that is sent.
pub(super) async fn correct_answer(database: &Database, receipt: &Receipt) {
    let (event_id, answer) = (receipt.event_id, receipt.answer());
    let corrected = database.transaction("payments.correct_answer", |tx| {
        async move { payment_event_deliveries::correct(tx, event_id, answer).await }.boxed()
    });
    if let Err(error) = corrected.await {
        warn!(event_id, %error, "the answer of a first delivery could not be corrected");
    }
}

/// Stores an event for a worker, to be applied at once, or later if an attempt has failed.
async fn enqueue(database: &Database, delivery: &Delivery, failed: Option<&Error>) -> Result<Receipt, Error> {
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

/// Where an event to be applied comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way<'a> {
    /// A delivery, the first one as far as is known.
    First(&'a Delivery),
    /// The inbox, where it waits. `counted`: this is an attempt that nothing else has counted.
    Waiting { event_id: i64, counted: bool },
}

/// Applies an event and stores its outcome, in one transaction. Returns `None` if another transaction did that first. If a late
/// payment finds no units on sale, expired holds are given back before it becomes due for refund.
pub(super) async fn settle(database: &Database, way: Way<'_>) -> Result<Option<Receipt>, Error> {
    match attempt(database, way, Supply::Unknown).await {
        Err(Error::Stale(OUT_OF_STOCK)) => {}
        result => return result,
    }
    let reference = match way {
        Way::First(delivery) => delivery.event.reference,
        Way::Waiting { event_id, .. } => stored(database, event_id).await?.reference,
    };
    expire_for(database, reference).await?;
    match attempt(database, way, Supply::Unknown).await {
        Err(Error::Stale(OUT_OF_STOCK)) => attempt(database, way, Supply::Gone).await,
        result => result,
    }
}

async fn attempt(database: &Database, way: Way<'_>, supply: Supply) -> Result<Option<Receipt>, Error> {
    let began = match way {
        Way::First(delivery) => delivery.arrived,
        Way::Waiting { .. } => Instant::now(),
    };
    let settled = database
        .transaction("payments.apply", |tx| {
            async move {
                let event_id = match way {
                    Way::First(delivery) => {
                        let park_seconds = delivery.park_seconds;
                        let beginning = Beginning { attempts: 1, pause: pause_after(1, 0.5), park_seconds };
                        match payment_events::insert(tx, &delivery.event, beginning).await? {
                            Some(event_id) => event_id,
                            None => return copy_of(tx, &delivery.event).await.map(|receipt| Some((receipt, None))),
                        }
                    }
                    Way::Waiting { event_id, counted } => match payment_events::claim(tx, event_id, counted).await? {
                        true => event_id,
                        false => return Ok(None),
                    },
                };
                let asked = Instant::now();
                let event = find(tx, event_id).await?;
                let ends = event.overdue && tx.clock().admits(event.read_at, asked);
                let (outcome, order_status) = match apply(tx, &event, supply).await? {
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
                if let Outcome::Quarantined(quarantine) = &outcome {
                    payment_event_quarantines::insert(tx, event_id, quarantine).await?;
                }
                let receipt = Receipt { event_id, status, duplicate: false, order_status };
                // the answer of a success that pays its order needs no row: it follows from the event
                let plain = event.meaning == Meaning::Succeeded && outcome == Outcome::Applied;
                if matches!(way, Way::First(_)) && !plain {
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

fn report_quarantine(event_id: i64, Quarantine { reason, expected, got }: &Quarantine) {
    warn!(event_id, reason = reason.as_str(), expected, got, "a payment event is quarantined");
    telemetry::webhook_quarantined(*reason);
}

async fn find(tx: &mut Tx<'_>, event_id: i64) -> Result<Stored, Failure> {
    payment_events::find(tx, event_id).await?.ok_or(Failure::Raced("payment_events/find"))
}

/// Applies the events that wait for the order of an event that has its outcome now.
pub(super) async fn wake_others_of(database: &Database, event_id: i64) {
    let woken = async { wake_others(database, stored(database, event_id).await?.reference).await };
    if let Err(error) = woken.await {
        // the sweep will find them
        warn!(event_id, %error, "could not look for events that wait for the same order; the sweep will find them");
    }
}

async fn stored(database: &Database, event_id: i64) -> Result<Stored, Error> {
    database.read("payments.find", |tx| async move { find(tx, event_id).await }.boxed()).await
}

/// Gives back the expired holds of an order's products, so that no payment fails because of them.
async fn expire_for(database: &Database, reference: Reference) -> Result<(), Error> {
    let units = database
        .read("holds.list_units", |tx| {
            async move {
                match resolve(tx, reference).await? {
                    Resolved::Order(order) => holds::list_units(tx, &[order.hold_id]).await,
                    Resolved::Missing | Resolved::Contradiction(_) => Ok(Vec::new()),
                }
            }
            .boxed()
        })
        .await?;
    for product_id in holds::sum(units).into_keys() {
        expiry::expire_product(database, product_id).await?;
    }
    Ok(())
}

/// Returns the receipt with the present states of its event and its order.
pub(super) async fn look_again(database: &Database, before: Receipt) -> Result<Receipt, Error> {
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

/// Applies the events that waited for these orders (each with its hold), which exist now. Returns how many were found.
pub(super) async fn wake_parked(database: &Database, orders: &[(Uuid, Uuid)]) -> Result<usize, Error> {
    let both = |&(order_id, hold_id)| Reference { order_id: Some(order_id), hold_id: Some(hold_id) };
    wake(database, &orders.iter().map(both).collect::<Vec<_>>()).await
}

/// Applies the events that wait for these orders and holds and can be applied now. Returns how many were found.
async fn wake(database: &Database, references: &[Reference]) -> Result<usize, Error> {
    let mut woken = 0;
    for _ in 0..ROUNDS {
        let waiting = list_waiting_for(database, references).await?;
        let mut settled = 0;
        for &event_id in &waiting {
            settled += usize::from(apply_waiting(database, event_id).await);
        }
        woken += waiting.len();
        if settled == 0 {
            break;
        }
    }
    Ok(woken)
}

/// Does the same for the order of this reference, by its id and by its hold.
async fn wake_others(database: &Database, reference: Reference) -> Result<usize, Error> {
    let found =
        database.read("orders.find_reference", |tx| async move { resolve(tx, reference).await }.boxed()).await?;
    let reference = match found {
        Resolved::Order(order) => Reference { order_id: Some(order.id), hold_id: Some(order.hold_id) },
        Resolved::Missing | Resolved::Contradiction(_) => reference,
    };
    wake(database, &[reference]).await
}

/// Returns which of these orders, just committed in the state `left`, an event has changed or waits for. An event that
/// committed before the orders is found here, and one that commits later finds the orders itself. If nothing can be read now, a
/// worker finds the events.
pub(super) async fn list_touched(database: &Database, order_ids: &[Uuid], left: OrderStatus) -> HashSet<Uuid> {
    if order_ids.is_empty() {
        return HashSet::new();
    }
    let looked = database
        .read("orders.list_touched", |tx| async move { orders::list_touched(tx, order_ids, left).await }.boxed())
        .await;
    looked.unwrap_or_else(|error| {
        warn!(%error, "could not look for events that wait for orders; a worker will find them");
        HashSet::new()
    })
}

/// Lists the events that wait for these orders and holds and can be applied now.
async fn list_waiting_for(database: &Database, references: &[Reference]) -> Result<Vec<i64>, Error> {
    if references.is_empty() {
        return Ok(Vec::new());
    }
    database
        .read("payments.list_waiting_for", |tx| {
            async move { payment_events::list_waiting_for(tx, references).await }.boxed()
        })
        .await
}

/// Applies one waiting event. Returns whether it got its outcome here. If it cannot be applied, a worker tries it again later,
/// so that the events behind it do not wait for it.
pub(super) async fn apply_waiting(database: &Database, event_id: i64) -> bool {
    let began = Instant::now();
    let error = match settle(database, Way::Waiting { event_id, counted: true }).await {
        Ok(Some(receipt)) if receipt.status != EventStatus::Parked => {
            telemetry::webhook_woken(receipt.status.as_str(), began.elapsed());
            return true;
        }
        Ok(_) => return false,
        Err(error) => error,
    };
    warn!(event_id, %error, "a waiting payment event could not be applied");
    if matches!(error, Error::Broken(_) | Error::Contended { .. } | Error::Stale(_))
        && let Err(error) = postpone(database, event_id, &error).await
    {
        warn!(event_id, %error, "the next attempt of a payment event could not be scheduled");
    }
    false
}

async fn postpone(database: &Database, event_id: i64, failed: &Error) -> Result<(), Error> {
    let (pause, detail) = (pause_after(1, rand::random()), failed.to_string());
    let detail = &detail;
    database
        .transaction("payments.postpone", |tx| {
            async move {
                match payment_events::postpone(tx, event_id, pause).await? {
                    true => payment_event_trail::insert(tx, event_id, Action::AttemptFailed, detail).await,
                    false => Ok(()),
                }
            }
            .boxed()
        })
        .await
}

/// Answers a delivery whose key is already taken: as a copy, or with a refusal if it is a different event.
pub(super) async fn copy_of(tx: &mut Tx<'_>, event: &Event) -> Result<Receipt, Failure> {
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
