//! Payments of a sale come in a crowd as well. The plain case, a first success for an order that waits for it, travels in
//! batches; every other event is taken in alone, beside the batches. A batch that somebody spoiled is tried once more, without
//! those whose keys or orders are found to be taken by then; whom that does not serve is taken in alone, too.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tracing::Span;
use uuid::Uuid;

use super::payments::{Delivery, Receipt, list_touched, look_again, receive_alone, wake_parked};
use crate::batch::{Done, Work};
use crate::db::orders::{self, Order};
use crate::db::payment_batch::{self, Success};
use crate::db::{Database, Error, Failure, Share, idempotency_keys};
use crate::domain::payment::amount_fits;
use crate::domain::{Event, EventStatus, Meaning, OrderStatus, Reference};

/// A body up to this size, in bytes, may travel with others.
const SMALL: usize = 4096;

/// How long the statements of a batch may take before its COMMIT. A row that another client keeps locked would keep all of the
/// batch waiting, and longer than a client waits for its answer if the batch were tried again.
const LOCKED: Duration = Duration::from_millis(1500);

/// One delivery that waits.
pub(super) struct EventJob {
    /// What was delivered.
    pub(super) delivery: Delivery,
    /// When the answer is not wanted any more.
    pub(super) deadline: Instant,
    /// The request's, for the log.
    pub(super) span: Span,
    /// Where the answer goes.
    pub(super) answer: oneshot::Sender<Result<Receipt, Error>>,
}

/// What a batch of deliveries needs.
pub(super) struct EventWork {
    pub(super) database: Database,
}

impl Work for EventWork {
    type Key = ();
    type Job = EventJob;

    async fn run(&self, (): (), jobs: Vec<EventJob>, _supply: Option<i64>) -> Done<EventJob> {
        // Nothing was promised to whoever has gone; the provider delivers again.
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
        payment_batch::row_bytes(&job.delivery.event)
    }

    fn span(&self, job: &EventJob) -> Span {
        job.span.clone()
    }

    fn may_overlap(&self, _supply: Option<i64>, _weight: i64) -> bool {
        true
    }
}

/// Who travels how.
struct Sorted {
    /// Successes that their orders wait for, each with its order, sorted by key.
    plain: Vec<(EventJob, Order)>,
    /// A success that has no company. It keeps the place of its batch, so that those behind it find company.
    lone: Option<EventJob>,
    /// Whatever has to be taken in alone.
    others: Vec<EventJob>,
}

/// What an attempt left over.
struct Attempt {
    /// Who has to be taken in alone.
    alone: Vec<EventJob>,
    /// Plain ones of whom nobody was served, since what was read of somebody does not hold any more.
    spoiled: Vec<EventJob>,
}

impl EventWork {
    /// Takes the plain ones in together.
    async fn attempt(&self, jobs: Vec<EventJob>) -> Attempt {
        let Sorted { plain, lone, others: mut alone } = self.sort(jobs).await;
        let mut spoiled = Vec::new();
        if let Some(job) = lone {
            self.alone(job).await;
        }
        match self.pay(&plain).await {
            Ok(event_ids) => self.answer(plain, &event_ids).await,
            Err(Error::Stale(_)) => spoiled.extend(plain.into_iter().map(|(job, _)| job)),
            // the database does not answer, or worse: alone, everybody finds out
            Err(_) => alone.extend(plain.into_iter().map(|(job, _)| job)),
        }
        Attempt { alone, spoiled }
    }

    /// Tells those whose keys the inbox knows by now from the others.
    async fn part_by_keys(&self, jobs: Vec<EventJob>) -> (Vec<EventJob>, Vec<EventJob>) {
        let events: Vec<&Event> = jobs.iter().map(|job| &job.delivery.event).collect();
        let events = &events;
        let known = self
            .database
            .read("payments.list_known", |tx| async move { payment_batch::list_known(tx, events).await }.boxed())
            .await
            .unwrap_or_default();
        jobs.into_iter().partition(|job| known.contains(&job.delivery.event.idempotency_key))
    }

    /// Tells the plain ones from the others.
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

    /// One transaction for all of them. Returns their ids in the inbox, by key.
    async fn pay(&self, plain: &[(EventJob, Order)]) -> Result<HashMap<Vec<u8>, i64>, Error> {
        if plain.is_empty() {
            return Ok(HashMap::new());
        }
        self.database
            .transaction("payments.receive_batch", |tx| {
                async move {
                    let successes: Vec<Success<'_>> = plain.iter().map(success).collect();
                    if tx.after_unknown()
                        && let Some(event_ids) = payment_batch::paid_before(tx, &successes).await?
                    {
                        idempotency_keys::wait_for_disk(tx).await?;
                        return Ok(event_ids);
                    }
                    let replies = unless_locked(tx.packet(&payment_batch::pay(&successes))).await?;
                    payment_batch::paid(replies, &successes).map_err(|failure| match failure {
                        Failure::Stale(guard) => tx.stale(guard),
                        other => other,
                    })
                }
                .boxed()
            })
            .await
    }

    /// Tells everybody; those whose orders were touched by other events, after these took effect.
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
                None => drop(job.answer.send(Err(Error::Broken("the inbox has lost an event".to_owned())))),
            }
        }
    }

    /// What waits for this payment takes effect before it is answered; nobody else waits for that.
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

/// Does what a batch needs its rows for, unless one of them stays locked: then it is given up, and each is done alone.
pub(super) async fn unless_locked<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let done = timeout(LOCKED, work).await;
    done.unwrap_or(Err(Failure::Abandoned("a row of the batch stays locked")))
}

/// Parts successes that their orders wait for, each with its order, from all others. Of several for one order, under one key or
/// of one charge, the first counts. Where the orders cannot be read, none is plain.
pub(super) async fn part_plain<T>(
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

/// Orders of a batch, by what events name them.
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

/// Whether this success is the plain one that its order waits for, as far as a read tells; the guard decides.
fn fits(event: &Event, order: &Order) -> bool {
    let (amount, currency) = (event.amount.as_deref(), event.currency.as_deref());
    order.status == OrderStatus::Pending && amount_fits(amount, currency, order.total_minor, &order.currency)
}
