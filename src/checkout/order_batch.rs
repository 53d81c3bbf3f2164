//! Orders travel in batches too, for the sake of the disk: nobody waits for another's row, but everybody waits for a
//! commit. One packet makes all orders of a batch, or none. What spoils a batch is mostly seen by a read before it; what
//! is not (an id that is taken, a hold that runs out in between) is found by trying each order alone.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{Instrument as _, Span, warn};
use uuid::Uuid;

use super::keys::{self, Keyable, Sorted};
use super::orders::Placed;
use super::payments::wake_parked;
use crate::batch::{Done, Work};
use crate::db::holds::{self, Hold};
use crate::db::idempotency_keys::{self, Keyed, Made};
use crate::db::orders::{self, Draft, Order, Terms};
use crate::db::{Database, Error, Failure, Tx};
use crate::domain::{HoldStatus, OrderStatus, Refusal};

/// How often an order alone is tried when what was read changed in between.
const TRIES: u32 = 3;

/// One buyer who waits.
pub(super) struct OrderJob {
    /// Chosen by the client, or minted on arrival.
    pub(super) order_id: Uuid,
    /// What he holds.
    pub(super) hold_id: Uuid,
    /// The client's own name for the request.
    pub(super) keyed: Option<Keyed>,
    /// When the answer is not wanted any more.
    pub(super) deadline: Instant,
    /// The request's, for the log.
    pub(super) span: Span,
    /// Where the answer goes.
    pub(super) answer: oneshot::Sender<Result<Ordered, Error>>,
}

/// What became of one order.
pub(super) enum Ordered {
    /// It was made. `woken`: events had waited for some order of the batch, so its state may be another by now.
    Now { placed: Box<Placed>, woken: bool },
    /// An earlier request under the same key made this one.
    Before(Made),
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

/// What a batch of orders needs.
pub(super) struct OrderWork {
    pub(super) database: Database,
    pub(super) ttl_seconds: u64,
}

/// An order that may be made, with the rows of its hold.
type Candidate = (OrderJob, Vec<Hold>);

impl Work for OrderWork {
    type Key = ();
    type Job = OrderJob;

    async fn run(&self, (): (), jobs: Vec<OrderJob>, _supply: Option<i64>) -> Done<OrderJob> {
        let now = Instant::now();
        let (jobs, late): (Vec<_>, Vec<_>) =
            jobs.into_iter().filter(|job| !job.answer.is_closed()).partition(|job| job.deadline > now);
        refuse_all(late, &Error::Overloaded);
        let Attempt { again, spoiled } = self.attempt(jobs).await;
        join_all(spoiled.into_iter().map(|job| {
            let span = job.span.clone();
            self.alone(job).instrument(span)
        }))
        .await;
        Done { again, supply: None }
    }

    fn span(&self, job: &OrderJob) -> Span {
        job.span.clone()
    }

    fn may_overlap(&self, _supply: Option<i64>, _weight: i64) -> bool {
        true
    }
}

fn refuse_all(jobs: impl IntoIterator<Item = OrderJob>, error: &Error) {
    for job in jobs {
        job.reply(Err(error.clone()));
    }
}

/// What an attempt left over.
struct Attempt {
    /// Whoever has to see first what becomes of another one in the batch.
    again: Vec<OrderJob>,
    /// Nobody in the batch was served, since what was read of somebody does not hold any more.
    spoiled: Vec<OrderJob>,
}

impl Attempt {
    fn refused(jobs: Vec<OrderJob>, error: &Error) -> Self {
        refuse_all(jobs, error);
        Self { again: Vec::new(), spoiled: Vec::new() }
    }
}

/// Refuses those of whose holds no order can be made.
fn classify(jobs: Vec<OrderJob>, mut rows: HashMap<Uuid, Vec<Hold>>) -> Vec<Candidate> {
    let mut candidates = Vec::with_capacity(jobs.len());
    for job in jobs {
        let rows = rows.remove(&job.hold_id).unwrap_or_default();
        match refusal(&rows) {
            Some(refusal) => job.reply(Err(refusal.into())),
            None => candidates.push((job, rows)),
        }
    }
    candidates
}

/// Leaves one order per hold and per id in the batch; the others come again, when it is known what became of that.
fn unique(jobs: Vec<OrderJob>, again: &mut Vec<OrderJob>) -> Vec<OrderJob> {
    let (mut holds, mut orders) = (HashSet::new(), HashSet::new());
    let (first, later): (Vec<_>, Vec<_>) =
        jobs.into_iter().partition(|job| holds.insert(job.hold_id) && orders.insert(job.order_id));
    again.extend(later);
    first
}

/// Why no order can be made of a hold with these rows; `None` when one can.
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
    /// Tries all of them in one transaction. Holds are read before keys: a hold that was used under the same key is seen
    /// as used only when the key is seen, too.
    async fn attempt(&self, jobs: Vec<OrderJob>) -> Attempt {
        let rows = match self.rows_of(&jobs).await {
            Ok(rows) => rows,
            Err(error) => return Attempt::refused(jobs, &error),
        };
        let Sorted { first, mut again, replays, reused } = match keys::sort(&self.database, jobs).await {
            Ok(sorted) => sorted,
            Err((jobs, error)) => return Attempt::refused(jobs, &error),
        };
        refuse_all(reused, &Refusal::IdempotencyKeyReuse.into());
        let candidates = classify(unique(first, &mut again), rows);
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

    /// The rows of all holds, in one statement.
    async fn rows_of(&self, jobs: &[OrderJob]) -> Result<HashMap<Uuid, Vec<Hold>>, Error> {
        let mut rows: HashMap<Uuid, Vec<Hold>> = HashMap::new();
        if jobs.is_empty() {
            return Ok(rows);
        }
        let hold_ids: Vec<Uuid> = jobs.iter().map(|job| job.hold_id).collect();
        let hold_ids = &hold_ids;
        let found = self
            .database
            .read("holds.list_to_order", |tx| async move { holds::list_rows(tx, hold_ids).await }.boxed())
            .await?;
        for row in found {
            rows.entry(row.id).or_default().push(row);
        }
        Ok(rows)
    }

    /// One transaction for all of them; every copy in `replays` is counted in it, so that its answer is durable.
    async fn place(&self, candidates: &[Candidate], replays: &[(OrderJob, Made)]) -> Result<Option<Terms>, Error> {
        let mut drafts: Vec<Draft> = candidates.iter().map(|(job, rows)| draft(job, rows)).collect();
        // by the unique key that two instances may contend for
        drafts.sort_unstable_by_key(|draft| draft.hold_id);
        let new = candidates.iter().filter_map(|(job, _)| Some((job.keyed.as_ref()?, job.order_id)));
        let copied = replays.iter().filter_map(|(job, made)| Some((job.keyed.as_ref()?, made.resource_id)));
        let new_keys = new.clone().count();
        let keys: BTreeMap<&str, (&Keyed, Uuid)> =
            new.chain(copied).map(|(keyed, id)| (keyed.key.as_str(), (keyed, id))).collect();
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

    /// Lets events that came before these orders take effect, and tells everybody what was made.
    async fn answer(&self, candidates: Vec<Candidate>, replays: Vec<(OrderJob, Made)>, terms: Option<Terms>) {
        // The orders are committed; an event that committed its own row before that is seen now, one that did it later
        // sees them.
        let made: Vec<(Uuid, Uuid)> = candidates.iter().map(|(job, _)| (job.order_id, job.hold_id)).collect();
        let woken = wake_parked(&self.database, &made).await.unwrap_or_else(|error| {
            warn!(%error, "could not look for events that wait for new orders; a worker will find them");
            0
        });
        for (job, rows) in candidates {
            let placed = terms.map(|terms| Box::new(placed(&job, rows, terms)));
            let ordered = placed.map(|placed| Ordered::Now { placed, woken: woken > 0 });
            job.reply(ordered.ok_or_else(|| Error::Broken("a batch of orders has no terms".to_owned())));
        }
        for (job, made) in replays {
            job.reply(Ok(Ordered::Before(made)));
        }
    }

    /// The same for one order that may have spoiled a batch: whatever is wrong with it is found out here.
    async fn alone(&self, job: OrderJob) {
        let mut jobs = vec![job];
        for _ in 0..TRIES {
            let Attempt { again, spoiled } = self.attempt(jobs).await;
            jobs = spoiled.into_iter().chain(again).collect();
            if jobs.is_empty() {
                return;
            }
            if let Some(error) = self.spoiler(&jobs).await {
                return refuse_all(jobs, &error);
            }
        }
        refuse_all(jobs, &Error::Contended { attempts: TRIES, reason: "orders/insert".to_owned() });
    }

    /// What a read of the holds does not show: another order has the id, or the key was taken in between.
    async fn spoiler(&self, jobs: &[OrderJob]) -> Option<Error> {
        let order_ids: Vec<Uuid> = jobs.iter().map(|job| job.order_id).collect();
        let order_ids = &order_ids;
        let taken = self
            .database
            .read("orders.list_taken", |tx| async move { orders::list_some(tx, order_ids).await }.boxed())
            .await;
        match taken {
            Ok(orders) => {
                let hold_ids: Vec<Uuid> = jobs.iter().map(|job| job.hold_id).collect();
                let other = orders.iter().any(|order| !hold_ids.contains(&order.hold_id));
                other.then_some(Refusal::OrderIdTaken.into())
            }
            Err(error) => Some(error),
        }
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
        charge_provider: None,
        charge_txn_id: None,
        refunded_minor: 0,
        restocked: false,
    };
    Placed { order, items, replayed: false }
}

/// Whether an earlier attempt was committed after all: then all of its orders are there, each from its hold.
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
