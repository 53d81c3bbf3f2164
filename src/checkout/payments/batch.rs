//! Webhooks are batched as well, since a sale brings many payments at once. The plain case, a first success for a pending
//! order, is batched; every other event is taken in alone, beside the batches. The second attempt of a batch is made without
//! the events whose keys the inbox has by then.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use tracing::warn;
use uuid::Uuid;

use super::attempt::reload_receipt;
use super::intake::receive_alone;
use super::receipt::{Delivery, Receipt};
use super::tickets::{Drawn, Plain, draw_tickets};
use super::waiting::{apply_waiting_for, touched};
use crate::batch::{Attempt, JobOf, Turn, Work};
use crate::checkout::recent::Recent;
use crate::db::door::Database;
use crate::db::error::Error;
use crate::db::packets::pay_orders::{self, ID_STEP, PayOrders, Success};
use crate::db::packets::send_and_look;
use crate::db::share::Share;
use crate::db::tables::orders::{self, Order};
use crate::domain::payment::amount_fits;
use crate::domain::{EventStatus, Meaning, OrderStatus, PaymentEvent, Reference};

/// The largest body of a batched event, in bytes.
const SMALL: usize = 4096;

/// The dependencies of a batch of deliveries.
pub(crate) struct EventWork {
    database: Database,
    /// Orders that were made alone.
    recent_orders: Arc<Recent<Order>>,
    /// By how much generated ids differ on this server, as far as a batch has found out.
    id_step: AtomicU64,
}

type EventJob = JobOf<EventWork>;

impl Work for EventWork {
    type Key = ();
    type Request = Delivery;
    type Response = Result<Receipt, Error>;

    async fn attempt(&self, (): (), jobs: Vec<EventJob>, turn: Turn, _supply: Option<i64>) -> Attempt<EventJob> {
        match turn {
            Turn::First => {
                let recent = self.take_recent_order(&jobs);
                self.pay_plain(jobs, Vec::new(), recent).await
            }
            Turn::Second => {
                let (known, unknown) = self.part_by_keys(jobs).await;
                self.pay_plain(unknown, known, None).await
            }
            Turn::Alone => {
                for job in jobs {
                    let received = receive_alone(&self.database.share(Share::LoneJobs), &job.request).await;
                    job.answer(received);
                }
                Attempt::done(None)
            }
        }
    }

    fn bytes(&self, delivery: &Delivery) -> usize {
        pay_orders::row_bytes(&delivery.event)
    }

    fn may_overlap(&self, _supply: Option<i64>, _weight: i64) -> bool {
        true
    }
}

impl EventWork {
    /// Creates the work over this database.
    pub(crate) fn new(database: Database, recent_orders: Arc<Recent<Order>>) -> Self {
        Self { database, recent_orders, id_step: AtomicU64::new(1) }
    }

    /// Returns the order of a single success, if it was made alone as well.
    fn take_recent_order(&self, jobs: &[EventJob]) -> Option<Order> {
        match jobs {
            [single] if single.request.event.meaning == Meaning::Succeeded => {
                self.recent_orders.take(single.request.event.reference.order_id?)
            }
            _ => None,
        }
    }

    /// Takes in the plain events together; the others join `alone`. `known`: their order, if it need not be read.
    async fn pay_plain(
        &self,
        jobs: Vec<EventJob>,
        mut alone: Vec<EventJob>,
        known: Option<Order>,
    ) -> Attempt<EventJob> {
        let database = self.database.share(Share::of_batch(jobs.len()));
        let (may_be_plain, others): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| {
            let event = &job.request.event;
            event.meaning == Meaning::Succeeded && event.body.len() <= SMALL
        });
        alone.extend(others);
        let (plain, rest) = match known {
            Some(order) => part(&Found::of_one(order), may_be_plain, |job| &job.request.event),
            None => part_plain(&database, may_be_plain, |job| &job.request.event).await,
        };
        alone.extend(rest);
        let Drawn { mut plain, later: again, alone: rest } = draw_tickets(&database, plain).await;
        alone.extend(rest);
        plain.sort_by(|one, other| {
            one.success.request.event.idempotency_key.cmp(&other.success.request.event.idempotency_key)
        });
        let mut spoiled = Vec::new();
        match self.pay(&database, &plain).await {
            Ok((event_ids, touched)) => answer(&database, plain, &event_ids, &touched),
            Err(Error::Stale(what)) => {
                spoiled.extend(plain.into_iter().map(|paid| paid.success));
                if what == ID_STEP {
                    self.read_id_step(&database).await;
                }
            }
            // after any other error, each event is taken in alone and gets its own result
            Err(_) => alone.extend(plain.into_iter().map(|paid| paid.success)),
        }
        Attempt { again, alone, spoiled, ..Attempt::done(None) }
    }

    /// Separates the events whose keys the inbox knows by now from the others.
    async fn part_by_keys(&self, jobs: Vec<EventJob>) -> (Vec<EventJob>, Vec<EventJob>) {
        let events: Vec<&PaymentEvent> = jobs.iter().map(|job| &job.request.event).collect();
        let events = &events;
        let known = self
            .database
            .read("payments.list_known", |tx| async move { pay_orders::list_known(tx, events).await }.boxed())
            .await
            .unwrap_or_default();
        jobs.into_iter().partition(|job| known.contains(&job.request.event.idempotency_key))
    }

    /// Takes in all plain events in one transaction. Returns their ids in the inbox, by key, and the orders that other events
    /// have changed or wait for.
    async fn pay(
        &self,
        database: &Database,
        plain: &[Plain<EventJob>],
    ) -> Result<(HashMap<Vec<u8>, i64>, HashSet<Uuid>), Error> {
        if plain.is_empty() {
            return Ok(Default::default());
        }
        let successes = plain.iter().map(success).collect();
        let packet = PayOrders { successes, step: self.id_step.load(Ordering::Relaxed) };
        let (event_ids, read) = send_and_look(database, "payments.receive_batch", &packet).await?;
        Ok((event_ids, touched(read)))
    }

    /// Reads the step of generated ids, after a batch has met another one than it expected.
    async fn read_id_step(&self, database: &Database) {
        let step = database.read("payments.find_id_step", |tx| pay_orders::find_id_step(tx).boxed()).await;
        match step {
            Ok(step) => self.id_step.store(step, Ordering::Relaxed),
            Err(error) => warn!(%error, "the step of generated ids could not be read"),
        }
    }
}

/// Answers the plain events. If other events wait for an order or have changed it, they are applied before its event is
/// answered.
fn answer(
    database: &Database,
    plain: Vec<Plain<EventJob>>,
    event_ids: &HashMap<Vec<u8>, i64>,
    touched: &HashSet<Uuid>,
) {
    for Plain { success: job, order, .. } in plain {
        let Some(&event_id) = event_ids.get(&job.request.event.idempotency_key) else {
            job.answer(Err(Error::Broken("a committed event is missing".to_owned())));
            continue;
        };
        let (status, order_status) = (EventStatus::Applied, Some(OrderStatus::Paid));
        let receipt = Receipt { event_id, status, duplicate: false, order_status };
        match touched.contains(&order.id) {
            true => answer_later(database, job, receipt, &order),
            false => job.answer(Ok(receipt)),
        }
    }
}

/// Applies the events that wait for this payment and then answers it, in a task of its own: no other event waits for that.
fn answer_later(database: &Database, job: EventJob, receipt: Receipt, order: &Order) {
    let (database, order) = (database.share(Share::Requests), (order.id, order.hold_id));
    tokio::spawn(async move {
        let _ = apply_waiting_for(&database, &[order]).await;
        // the payment is durable, whether or not its order can be read again now
        job.answer(Ok(reload_receipt(&database, receipt).await.unwrap_or(receipt)));
    });
}

fn success(Plain { success, order, tickets }: &Plain<EventJob>) -> Success<'_> {
    let Delivery { event, arrived, .. } = &success.request;
    Success { event_id: None, event, order, tickets, processing: arrived.elapsed() }
}

/// Reads the orders of these successes, and parts them as [`part`] does. If the orders cannot be read, no success is plain.
pub(crate) async fn part_plain<T>(
    database: &Database,
    successes: Vec<T>,
    event_of: impl Fn(&T) -> &PaymentEvent,
) -> (Vec<Plain<T>>, Vec<T>) {
    let found = find_orders(database, successes.iter().map(|success| event_of(success).reference)).await;
    part(&found.unwrap_or_default(), successes, event_of)
}

/// Separates successes for pending orders, each with its order, from all others. Of several for one order, with one key or of
/// one charge, the first counts.
fn part<T>(found: &Found, successes: Vec<T>, event_of: impl Fn(&T) -> &PaymentEvent) -> (Vec<Plain<T>>, Vec<T>) {
    let (mut plain, mut others) = (Vec::new(), Vec::new());
    let (mut keys, mut charges, mut orders) = (HashSet::new(), HashSet::new(), HashSet::new());
    for success in successes {
        let event = event_of(&success);
        let order = found.order_of(event).filter(|order| fits(event, order)).cloned();
        match order {
            Some(order)
                if orders.insert(order.id)
                    && keys.insert(event.idempotency_key.clone())
                    && event.txn_id.clone().is_none_or(|txn_id| charges.insert((event.provider, txn_id))) =>
            {
                plain.push(Plain { success, order, tickets: Vec::new() });
            }
            _ => others.push(success),
        }
    }
    (plain, others)
}

async fn find_orders(database: &Database, references: impl Iterator<Item = Reference>) -> Result<Found, Error> {
    let (mut order_ids, mut hold_ids) = (Vec::new(), Vec::new());
    for reference in references {
        match reference {
            Reference { order_id: Some(order_id), .. } => order_ids.push(order_id),
            Reference { order_id: None, hold_id } => hold_ids.extend(hold_id),
        }
    }
    if order_ids.is_empty() && hold_ids.is_empty() {
        return Ok(Found::default());
    }
    let (order_ids, hold_ids) = (&order_ids, &hold_ids);
    database
        .read("payments.list_orders", |tx| {
            async move {
                let mut found = Found::default();
                if !order_ids.is_empty() {
                    let orders = orders::list_some(tx, order_ids).await?;
                    found.by_id.extend(orders.into_iter().map(|order| (order.id, order)));
                }
                if !hold_ids.is_empty() {
                    let orders = orders::list_by_hold(tx, hold_ids).await?;
                    found.by_hold.extend(orders.into_iter().map(|order| (order.hold_id, order)));
                }
                Ok(found)
            }
            .boxed()
        })
        .await
}

/// The orders of a batch, by the ids with which events name them.
#[derive(Default)]
struct Found {
    by_id: HashMap<Uuid, Order>,
    by_hold: HashMap<Uuid, Order>,
}

impl Found {
    fn of_one(order: Order) -> Self {
        Self { by_id: HashMap::from([(order.id, order)]), ..Self::default() }
    }

    fn order_of(&self, event: &PaymentEvent) -> Option<&Order> {
        match (event.reference.order_id, event.reference.hold_id) {
            (Some(order_id), hold_id) => {
                self.by_id.get(&order_id).filter(|order| hold_id.is_none_or(|hold_id| hold_id == order.hold_id))
            }
            (None, Some(hold_id)) => self.by_hold.get(&hold_id),
            (None, None) => None,
        }
    }
}

/// Returns whether this success is one that its pending order waits for, as far as a read shows; the guard decides.
fn fits(event: &PaymentEvent, order: &Order) -> bool {
    let (amount, currency) = (event.amount.as_deref(), event.currency.as_deref());
    order.status == OrderStatus::Pending && amount_fits(amount, currency, order.total_minor, &order.currency)
}
