//! Webhooks are batched as well, since a sale brings many payments at once. The plain case, a first success for a pending
//! order, is batched; every other event is taken in alone, beside the batches. A batch that rolls back is tried once more,
//! without the events whose keys or orders are found to be taken by then; events that fail again are taken in alone, too.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tracing::Span;
use uuid::Uuid;

use super::attempt::look_again;
use super::intake::receive_alone;
use super::receipt::{Delivery, Receipt};
use super::waiting::{list_touched, wake_parked};
use crate::batch::{Done, Work};
use crate::db::packets::pay_orders::{self, Success};
use crate::db::tables::idempotency_keys;
use crate::db::tables::orders::{self, Order};
use crate::db::{Database, Error, Failure, Share};
use crate::domain::payment::amount_fits;
use crate::domain::{Event, EventStatus, Meaning, OrderStatus, Reference};

/// The largest body of a batched event, in bytes.
const SMALL: usize = 4096;

/// How long the statements of a batch may take before its COMMIT. A row that another client keeps locked delays the whole
/// batch, and a second attempt of the batch would take longer than clients wait.
const LOCKED: Duration = Duration::from_millis(1500);

/// A waiting delivery.
pub(crate) struct EventJob {
    pub(crate) delivery: Delivery,
    /// When the request stops waiting.
    pub(crate) deadline: Instant,
    pub(crate) span: Span,
    pub(crate) answer: oneshot::Sender<Result<Receipt, Error>>,
}

/// The dependencies of a batch of deliveries.
pub(crate) struct EventWork {
    pub(crate) database: Database,
}

impl Work for EventWork {
    type Key = ();
    type Job = EventJob;

    async fn run(&self, (): (), jobs: Vec<EventJob>, _supply: Option<i64>) -> Done<EventJob> {
        // A client that has disconnected was promised nothing; the provider delivers again.
        let now = Instant::now();
        let (jobs, late): (Vec<_>, Vec<_>) =
            jobs.into_iter().filter(|job| !job.answer.is_closed()).partition(|job| job.deadline > now);
        for job in late {
            self.turn_away(job);
        }
        let Attempt { mut alone, spoiled } = self.attempt(jobs).await;
        if !spoiled.is_empty() {
            let (known, unknown) = self.part_by_keys(spoiled).await;
            let second = self.attempt(unknown).await;
            alone.extend(known.into_iter().chain(second.alone).chain(second.spoiled));
        }
        Done { alone, ..Done::all(None) }
    }

    async fn run_alone(&self, (): (), job: EventJob) {
        match job.deadline > Instant::now() {
            true => self.alone(job).await,
            false => self.turn_away(job),
        }
    }

    fn turn_away(&self, job: EventJob) {
        let _ = job.answer.send(Err(Error::Overloaded));
    }

    fn bytes(&self, job: &EventJob) -> usize {
        pay_orders::row_bytes(&job.delivery.event)
    }

    fn span(&self, job: &EventJob) -> Span {
        job.span.clone()
    }

    fn may_overlap(&self, _supply: Option<i64>, _weight: i64) -> bool {
        true
    }
}

/// The events of a batch, by how they are taken in.
struct Sorted {
    /// Successes for pending orders, each with its order, sorted by key.
    plain: Vec<(EventJob, Order)>,
    /// The only success of a batch. It uses the batch's slot, so that the events behind it gather.
    lone: Option<EventJob>,
    /// Events to be taken in alone.
    others: Vec<EventJob>,
}

/// The events that an attempt did not answer.
struct Attempt {
    /// Events to be taken in alone.
    alone: Vec<EventJob>,
    /// All plain events of a batch that rolled back, because a row had changed since it was read.
    spoiled: Vec<EventJob>,
}

impl EventWork {
    async fn attempt(&self, jobs: Vec<EventJob>) -> Attempt {
        let Sorted { plain, lone, others: mut alone } = self.sort(jobs).await;
        let mut spoiled = Vec::new();
        if let Some(job) = lone {
            self.alone(job).await;
        }
        match self.pay(&plain).await {
            Ok(event_ids) => self.answer(plain, &event_ids).await,
            Err(Error::Stale(_)) => spoiled.extend(plain.into_iter().map(|(job, _)| job)),
            // after any other error, each event is taken in alone and gets its own result
            Err(_) => alone.extend(plain.into_iter().map(|(job, _)| job)),
        }
        Attempt { alone, spoiled }
    }

    /// Separates the events whose keys the inbox knows by now from the others.
    async fn part_by_keys(&self, jobs: Vec<EventJob>) -> (Vec<EventJob>, Vec<EventJob>) {
        let events: Vec<&Event> = jobs.iter().map(|job| &job.delivery.event).collect();
        let events = &events;
        let known = self
            .database
            .read("payments.list_known", |tx| async move { pay_orders::list_known(tx, events).await }.boxed())
            .await
            .unwrap_or_default();
        jobs.into_iter().partition(|job| known.contains(&job.delivery.event.idempotency_key))
    }

    async fn sort(&self, jobs: Vec<EventJob>) -> Sorted {
        let (may_be_plain, mut others): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| {
            job.delivery.event.meaning == Meaning::Succeeded && job.delivery.event.body.len() <= SMALL
        });
        if may_be_plain.len() < 2 {
            return Sorted { plain: Vec::new(), lone: may_be_plain.into_iter().next(), others };
        }
        let (mut plain, rest) = part_plain(&self.database, may_be_plain, |job| &job.delivery.event).await;
        others.extend(rest);
        plain.sort_by(|(one, _), (other, _)| {
            one.delivery.event.idempotency_key.cmp(&other.delivery.event.idempotency_key)
        });
        Sorted { plain, lone: None, others }
    }

    /// Takes in all plain events in one transaction. Returns their ids in the inbox, by key.
    async fn pay(&self, plain: &[(EventJob, Order)]) -> Result<HashMap<Vec<u8>, i64>, Error> {
        if plain.is_empty() {
            return Ok(HashMap::new());
        }
        self.database
            .transaction("payments.receive_batch", |tx| {
                async move {
                    let successes: Vec<Success<'_>> = plain.iter().map(success).collect();
                    if tx.after_unknown()
                        && let Some(event_ids) = pay_orders::paid_before(tx, &successes).await?
                    {
                        idempotency_keys::wait_for_disk(tx).await?;
                        return Ok(event_ids);
                    }
                    let replies = unless_locked(tx.packet(&pay_orders::pay(&successes))).await?;
                    pay_orders::paid(replies, &successes).map_err(|failure| match failure {
                        Failure::Stale(guard) => tx.stale(guard),
                        other => other,
                    })
                }
                .boxed()
            })
            .await
    }

    /// Answers the plain events. If other events wait for an order or have changed it, they are applied before its event is
    /// answered.
    async fn answer(&self, plain: Vec<(EventJob, Order)>, event_ids: &HashMap<Vec<u8>, i64>) {
        let paid: Vec<Uuid> = plain.iter().map(|(_, order)| order.id).collect();
        let touched = list_touched(&self.database, &paid, OrderStatus::Paid).await;
        for (job, order) in plain {
            let event_id = event_ids.get(&job.delivery.event.idempotency_key).copied();
            let receipt = event_id.map(|event_id| Receipt {
                event_id,
                status: EventStatus::Applied,
                duplicate: false,
                order_status: Some(OrderStatus::Paid),
            });
            match receipt {
                Some(receipt) if touched.contains(&order.id) => {
                    self.answer_later(job, receipt, &order);
                }
                Some(receipt) => drop(job.answer.send(Ok(receipt))),
                None => drop(job.answer.send(Err(Error::Broken("a committed event is missing".to_owned())))),
            }
        }
    }

    /// Applies the events that wait for this payment and then answers it, in a task of its own: no other event waits for that.
    fn answer_later(&self, job: EventJob, receipt: Receipt, order: &Order) {
        let (database, order) = (self.database.share(Share::Requests), (order.id, order.hold_id));
        tokio::spawn(async move {
            let _ = wake_parked(&database, &[order]).await;
            // the payment is durable, whether or not its order can be read again now
            let _ = job.answer.send(Ok(look_again(&database, receipt).await.unwrap_or(receipt)));
        });
    }

    async fn alone(&self, job: EventJob) {
        let received = receive_alone(&self.database.share(Share::LoneJobs), &job.delivery).await;
        let _ = job.answer.send(received);
    }
}

fn success((job, order): &(EventJob, Order)) -> Success<'_> {
    Success { event_id: None, event: &job.delivery.event, order, processing: job.delivery.arrived.elapsed() }
}

/// Runs the statements of a batch, or abandons the batch when a row stays locked; then each event is applied alone.
pub(crate) async fn unless_locked<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let done = timeout(LOCKED, work).await;
    done.unwrap_or(Err(Failure::Abandoned("a row of the batch stays locked")))
}

/// Separates successes for pending orders, each with its order, from all others. Of several for one order, with one key or of
/// one charge, the first counts. If the orders cannot be read, no success is plain.
pub(crate) async fn part_plain<T>(
    database: &Database,
    successes: Vec<T>,
    event_of: impl Fn(&T) -> &Event,
) -> (Vec<(T, Order)>, Vec<T>) {
    let found = find_orders(database, successes.iter().map(|success| event_of(success).reference)).await;
    let found = found.unwrap_or_default();
    let (mut plain, mut others) = (Vec::new(), Vec::new());
    let (mut keys, mut charges, mut orders) = (HashSet::new(), HashSet::new(), HashSet::new());
    for success in successes {
        let event = event_of(&success);
        let order = found.order_of(event).filter(|order| fits(event, order)).cloned();
        match order {
            Some(order)
                if orders.insert(order.id)
                    && keys.insert((event.provider, event.idempotency_key.clone()))
                    && event.txn_id.clone().is_none_or(|txn_id| charges.insert((event.provider, txn_id))) =>
            {
                plain.push((success, order));
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
    fn order_of(&self, event: &Event) -> Option<&Order> {
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
fn fits(event: &Event, order: &Order) -> bool {
    let (amount, currency) = (event.amount.as_deref(), event.currency.as_deref());
    order.status == OrderStatus::Pending && amount_fits(amount, currency, order.total_minor, &order.currency)
}
