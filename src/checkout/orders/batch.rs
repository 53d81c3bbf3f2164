//! Orders are batched to save commits: they do not wait for each other's rows, but each waits for a commit. One packet creates
//! all orders of a batch, or none. Reads before it find the jobs that would make it fail: those whose hold is used or expired,
//! or whose id or key is taken. When another transaction changes such a row between the reads and the packet, the batch rolls
//! back and is tried once more, reads included; jobs that fail again are tried alone, beside the batches.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{Span, warn};
use uuid::Uuid;

use crate::batch::{Done, Work};
use crate::checkout::keys::{self, Keyable, Sorted};
use crate::checkout::payments::waiting::{list_touched, wake_parked};
use crate::db::tables::holds::{self, Hold};
use crate::db::tables::idempotency_keys::{self, KeyId, Keyed, Made};
use crate::db::tables::orders::{self, Draft, Order, Terms};
use crate::db::{Database, Error, Failure, Share, Tx};
use crate::domain::{HoldStatus, OrderStatus, Refusal};

/// How often a single order is tried when a row changes after it was read.
const TRIES: u32 = 3;

/// A waiting request for an order.
pub(crate) struct OrderJob {
    /// Chosen by the client, or created on arrival.
    pub(crate) order_id: Uuid,
    /// Whether the client chose the id; then it may be another order's.
    pub(crate) chosen: bool,
    /// The hold to be ordered.
    pub(crate) hold_id: Uuid,
    /// The client's idempotency key, if it sent one.
    pub(crate) keyed: Option<Keyed>,
    /// When the request stops waiting.
    pub(crate) deadline: Instant,
    pub(crate) span: Span,
    pub(crate) answer: oneshot::Sender<Result<Ordered, Error>>,
}

/// The result of a request for an order.
pub(crate) enum Ordered {
    /// The order was created, and its key stores `pending`. `woken`: events waited for it, so its state may have changed.
    Now { placed: Box<Placed>, woken: bool },
    /// An earlier request with the same key created the order. The status is the one that the key stored after this copy was
    /// counted.
    Before(Made),
}

/// An order with its items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The order.
    pub order: Order,
    /// Its items: the rows of its hold.
    pub items: Vec<Hold>,
    /// True when an earlier request under the same key created it.
    pub replayed: bool,
}

impl OrderJob {
    fn reply(self, result: Result<Ordered, Error>) {
        let _ = self.answer.send(result);
    }
}

impl Keyable for OrderJob {
    fn keyed(&self) -> Option<&Keyed> {
        self.keyed.as_ref()
    }
}

/// The dependencies of a batch of orders.
pub(crate) struct OrderWork {
    pub(crate) database: Database,
    pub(crate) ttl_seconds: u64,
}

/// A request whose order can be created, with the rows of its hold.
type Candidate = (OrderJob, Vec<Hold>);

impl Work for OrderWork {
    type Key = ();
    type Job = OrderJob;

    async fn run(&self, (): (), jobs: Vec<OrderJob>, _supply: Option<i64>) -> Done<OrderJob> {
        let Attempt { mut again, spoiled } = self.attempt(wanted(jobs)).await;
        let Attempt { again: later, spoiled: alone } = self.attempt(spoiled).await;
        again.extend(later);
        Done { again, alone, supply: None }
    }

    /// Tries a job again until it is answered, a few times at most.
    async fn run_alone(&self, (): (), job: OrderJob) {
        let mut jobs = wanted(vec![job]);
        let work = Self { database: self.database.share(Share::LoneJobs), ..*self };
        for _ in 0..TRIES {
            let Attempt { again, spoiled } = work.attempt(jobs).await;
            jobs = spoiled.into_iter().chain(again).collect();
            if jobs.is_empty() {
                return;
            }
        }
        refuse_all(jobs, &Error::Contended { attempts: TRIES, reason: "orders/insert".to_owned() });
    }

    fn turn_away(&self, job: OrderJob) {
        job.reply(Err(Error::Overloaded));
    }

    fn bytes(&self, job: &OrderJob) -> usize {
        orders::ROW_BYTES + job.keyed.as_ref().map_or(0, idempotency_keys::row_bytes)
    }

    fn span(&self, job: &OrderJob) -> Span {
        job.span.clone()
    }

    fn may_overlap(&self, _supply: Option<i64>, _weight: i64) -> bool {
        true
    }
}

/// Drops the jobs of disconnected clients, and refuses jobs that have waited too long.
fn wanted(jobs: Vec<OrderJob>) -> Vec<OrderJob> {
    let now = Instant::now();
    let (in_time, late): (Vec<_>, Vec<_>) =
        jobs.into_iter().filter(|job| !job.answer.is_closed()).partition(|job| job.deadline > now);
    refuse_all(late, &Error::Overloaded);
    in_time
}

fn refuse_all(jobs: impl IntoIterator<Item = OrderJob>, error: &Error) {
    for job in jobs {
        job.reply(Err(error.clone()));
    }
}

/// The jobs that an attempt did not answer.
struct Attempt {
    /// Jobs that need the outcome of another job in the batch first.
    again: Vec<OrderJob>,
    /// All jobs of a batch that rolled back, because a row had changed since it was read.
    spoiled: Vec<OrderJob>,
}

impl Attempt {
    fn refused(jobs: Vec<OrderJob>, error: &Error) -> Self {
        refuse_all(jobs, error);
        Self { again: Vec::new(), spoiled: Vec::new() }
    }
}

/// The stored rows that decide which orders a batch can create, as they were read before.
#[derive(Default)]
struct Stored {
    rows: HashMap<Uuid, Vec<Hold>>,
    /// Chosen ids that are orders already, each with the hold of its order.
    taken: HashMap<Uuid, Uuid>,
}

impl Stored {
    /// Refuses jobs whose chosen id is taken.
    fn without_taken(&self, jobs: Vec<OrderJob>) -> Vec<OrderJob> {
        let mut free = Vec::with_capacity(jobs.len());
        for job in jobs {
            match self.taken.get(&job.order_id) {
                None => free.push(job),
                Some(hold_id) if *hold_id == job.hold_id => {
                    let order_id = job.order_id;
                    job.reply(Err(Refusal::HoldUsed { order_id }.into()));
                }
                Some(_) => job.reply(Err(Refusal::OrderIdTaken.into())),
            }
        }
        free
    }

    /// Refuses jobs whose hold cannot become an order.
    fn candidates(mut self, jobs: Vec<OrderJob>) -> Vec<Candidate> {
        let mut candidates = Vec::with_capacity(jobs.len());
        for job in jobs {
            let rows = self.rows.remove(&job.hold_id).unwrap_or_default();
            match refusal(&rows) {
                Some(refusal) => job.reply(Err(refusal.into())),
                None => candidates.push((job, rows)),
            }
        }
        candidates
    }
}

/// Keeps one job per hold and per order id. The others come again in the next batch, when the outcome of the first one is
/// known.
fn unique(jobs: Vec<OrderJob>, again: &mut Vec<OrderJob>) -> Vec<OrderJob> {
    let (mut holds, mut orders) = (HashSet::new(), HashSet::new());
    let (first, later): (Vec<_>, Vec<_>) =
        jobs.into_iter().partition(|job| holds.insert(job.hold_id) && orders.insert(job.order_id));
    again.extend(later);
    first
}

/// Returns why no order can be created from a hold with these rows; `None` when one can.
fn refusal(rows: &[Hold]) -> Option<Refusal> {
    let Some(row) = rows.first() else { return Some(Refusal::HoldNotFound) };
    match (row.order_id, row.status) {
        (Some(order_id), _) => Some(Refusal::HoldUsed { order_id }),
        (None, HoldStatus::Expired) => Some(Refusal::HoldExpired),
        (None, HoldStatus::Released) => Some(Refusal::HoldReleased),
        (None, HoldStatus::Active | HoldStatus::Ordered) => None,
    }
}

impl OrderWork {
    /// Tries all jobs in one transaction. Holds and orders are read before keys: so a hold that was used with the same key is
    /// seen as used only if the key is seen, too.
    async fn attempt(&self, jobs: Vec<OrderJob>) -> Attempt {
        let stored = match self.stored(&jobs).await {
            Ok(stored) => stored,
            Err(error) => return Attempt::refused(jobs, &error),
        };
        let Sorted { first, mut again, replays, reused } = match keys::sort(&self.database, jobs).await {
            Ok(sorted) => sorted,
            Err((jobs, error)) => return Attempt::refused(jobs, &error),
        };
        refuse_all(reused, &Refusal::IdempotencyKeyReuse.into());
        let first = unique(stored.without_taken(first), &mut again);
        let candidates = stored.candidates(first);
        if candidates.is_empty() && replays.is_empty() {
            return Attempt { again, spoiled: Vec::new() };
        }
        let mut spoiled = Vec::new();
        match self.place(&candidates, &replays).await {
            Ok(terms) => self.answer(candidates, replays, terms).await,
            Err(error) => {
                let jobs = candidates.into_iter().map(|(job, _)| job);
                let jobs = jobs.chain(replays.into_iter().map(|(job, _)| job));
                match error {
                    Error::Stale(_) => spoiled.extend(jobs),
                    error => refuse_all(jobs, &error),
                }
            }
        }
        Attempt { again, spoiled }
    }

    /// Reads all holds, and all orders with an id that a client chose, in one statement each.
    async fn stored(&self, jobs: &[OrderJob]) -> Result<Stored, Error> {
        if jobs.is_empty() {
            return Ok(Stored::default());
        }
        let hold_ids: Vec<Uuid> = jobs.iter().map(|job| job.hold_id).collect();
        let chosen: Vec<Uuid> = jobs.iter().filter(|job| job.chosen).map(|job| job.order_id).collect();
        let (hold_ids, chosen) = (&hold_ids, &chosen);
        self.database
            .read("holds.list_to_order", |tx| {
                async move {
                    let mut stored = Stored::default();
                    for row in holds::list_rows(tx, hold_ids).await? {
                        stored.rows.entry(row.id).or_default().push(row);
                    }
                    if !chosen.is_empty() {
                        let taken = orders::list_some(tx, chosen).await?;
                        stored.taken = taken.into_iter().map(|order| (order.id, order.hold_id)).collect();
                    }
                    Ok(stored)
                }
                .boxed()
            })
            .await
    }

    /// Creates all orders in one transaction. It also counts every copy in `replays`, so that the response to it is durable.
    async fn place(&self, candidates: &[Candidate], replays: &[(OrderJob, Made)]) -> Result<Option<Terms>, Error> {
        let mut drafts: Vec<Draft> = candidates.iter().map(|(job, rows)| draft(job, rows)).collect();
        // in order of the unique key for which two instances may contend
        drafts.sort_unstable_by_key(|draft| draft.hold_id);
        let new = candidates.iter().filter_map(|(job, _)| Some((job.keyed.as_ref()?, job.order_id)));
        let copied = replays.iter().filter_map(|(job, made)| Some((job.keyed.as_ref()?, made.resource_id)));
        let new_keys = new.clone().count();
        let keys: BTreeMap<KeyId, (&Keyed, Uuid)> =
            new.chain(copied).map(|(keyed, id)| (keyed.id, (keyed, id))).collect();
        let (drafts, keys) = (&drafts, &keys);
        self.database
            .transaction("orders.create", |tx| {
                async move {
                    if tx.after_unknown()
                        && let Some(terms) = placed_before(tx, drafts).await?
                    {
                        return Ok(Some(terms));
                    }
                    let mut statements = Vec::new();
                    if !keys.is_empty() {
                        statements.push(idempotency_keys::insert_all(keys.values().copied()));
                    }
                    if !drafts.is_empty() {
                        statements.extend(orders::place(drafts, self.ttl_seconds));
                    }
                    let mut replies = tx.packet(&statements).await?;
                    if !keys.is_empty() && replies.remove(0).affected != (2 * keys.len() - new_keys) as u64 {
                        return Err(tx.stale("idempotency_keys"));
                    }
                    if drafts.is_empty() {
                        return Ok(None);
                    }
                    orders::placed(replies, drafts).map(Some).map_err(|failure| match failure {
                        Failure::Stale(guard) => tx.stale(guard),
                        other => other,
                    })
                }
                .boxed()
            })
            .await
    }

    /// Answers all jobs. If events wait for an order, they are applied before its job is answered.
    async fn answer(&self, candidates: Vec<Candidate>, replays: Vec<(OrderJob, Made)>, terms: Option<Terms>) {
        let order_ids: Vec<Uuid> = candidates.iter().map(|(job, _)| job.order_id).collect();
        let touched = list_touched(&self.database, &order_ids, OrderStatus::Pending).await;
        for (job, rows) in candidates {
            let Some(placed) = terms.map(|terms| Box::new(placed(&job, rows, terms))) else {
                job.reply(Err(Error::Broken("a batch of orders has no terms".to_owned())));
                continue;
            };
            match touched.contains(&job.order_id) {
                true => self.answer_later(job, placed),
                false => job.reply(Ok(Ordered::Now { placed, woken: false })),
            }
        }
        self.replay(replays).await;
    }

    /// Answers copies, each with the status that its key has now. That status is final, since every copy was counted in a
    /// transaction that has committed.
    async fn replay(&self, replays: Vec<(OrderJob, Made)>) {
        if replays.is_empty() {
            return;
        }
        let keys: Vec<&Keyed> = replays.iter().filter_map(|(job, _)| job.keyed.as_ref()).collect();
        let keys = &keys;
        let counted = self
            .database
            .read("idempotency_keys.list", |tx| async move { idempotency_keys::list(tx, keys).await }.boxed())
            .await;
        for (job, made) in replays {
            let counted = match &counted {
                Ok(counted) => job.keyed.as_ref().and_then(|keyed| counted.get(&keyed.id)),
                Err(error) => {
                    job.reply(Err(error.clone()));
                    continue;
                }
            };
            // a key that was deleted in the meantime: its status as it was read before
            let made = counted.cloned().unwrap_or(made);
            job.reply(Ok(Ordered::Before(made)));
        }
    }

    /// Applies the events that wait for one order and then answers its job, in a task of its own: no other job waits for that.
    fn answer_later(&self, job: OrderJob, placed: Box<Placed>) {
        let database = self.database.share(Share::Requests);
        tokio::spawn(async move {
            if let Err(error) = wake_parked(&database, &[(job.order_id, job.hold_id)]).await {
                warn!(%error, "could not apply the events that wait for a new order; a worker will");
            }
            job.reply(Ok(Ordered::Now { placed, woken: true }));
        });
    }
}

fn draft(job: &OrderJob, rows: &[Hold]) -> Draft {
    Draft {
        order_id: job.order_id,
        hold_id: job.hold_id,
        hold_rows: rows.len(),
        total_minor: rows.iter().map(|row| row.qty * row.unit_price_minor).sum(),
        currency: rows.first().map(|row| row.currency.clone()).unwrap_or_default(),
    }
}

fn placed(job: &OrderJob, items: Vec<Hold>, terms: Terms) -> Placed {
    let Draft { order_id, hold_id, total_minor, currency, .. } = draft(job, &items);
    let order = Order {
        id: order_id,
        hold_id,
        status: OrderStatus::Pending,
        total_minor,
        currency,
        created_at: terms.created_at,
        pay_by: terms.pay_by,
        refunded_minor: 0,
        refunded_currency: None,
        restocked: false,
    };
    Placed { order, items, replayed: false }
}

/// Returns the terms of an earlier attempt if it was committed after all: then all of its orders are there, each with its hold.
async fn placed_before(tx: &mut Tx<'_>, drafts: &[Draft]) -> Result<Option<Terms>, Failure> {
    let ids: Vec<Uuid> = drafts.iter().map(|draft| draft.order_id).collect();
    if ids.is_empty() {
        return Ok(None);
    }
    let stored = orders::list_some(tx, &ids).await?;
    let ours = |order: &Order| drafts.iter().any(|draft| draft.order_id == order.id && draft.hold_id == order.hold_id);
    let (Some(order), true) = (stored.first(), stored.len() == ids.len() && stored.iter().all(ours)) else {
        return Ok(None);
    };
    idempotency_keys::wait_for_disk(tx).await?;
    Ok(Some(Terms { created_at: order.created_at, pay_by: order.pay_by }))
}
