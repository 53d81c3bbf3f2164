//! Orders are batched to save commits: they do not wait for each other's rows, but each waits for a commit. One packet creates
//! all orders of a batch, or none. Reads before it find the jobs that would make it fail: those whose hold is used or expired,
//! or whose id or key is taken. When another transaction changes such a row between the reads and the packet, the batch rolls
//! back and is tried once more, reads included; jobs that fail again are tried alone, beside the batches.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::FutureExt as _;
use tracing::warn;
use uuid::Uuid;

use crate::batch::{Attempt, JobOf, Turn, Work};
use crate::checkout::holds::supply::Supplies;
use crate::checkout::keys::{self, Keyable, Sorted};
use crate::checkout::payments::waiting::{apply_waiting_for, touched};
use crate::checkout::recent::Recent;
use crate::db::door::Database;
use crate::db::error::Error;
use crate::db::packets::keys::Keys;
use crate::db::packets::place_orders::{Draft, HELD_BYTES, PlaceOrders, PlacedAt, ROW_BYTES};
use crate::db::packets::send_and_look;
use crate::db::share::Share;
use crate::db::tables::holds::{self, HoldLine};
use crate::db::tables::idempotency_keys::{self, IdempotentRequest, StoredResult};
use crate::db::tables::orders::{self, Item, Order};
use crate::db::tables::owners;
use crate::domain::{Caller, Details, OrderStatus, OrderTickets, Refusal};

/// A request for an order.
#[derive(Debug)]
pub(crate) struct OrderRequest {
    /// Chosen by the client, or created on arrival.
    pub(crate) order_id: Uuid,
    /// Whether the client chose the id; then it may be another order's.
    pub(crate) chosen: bool,
    /// The hold to be ordered.
    pub(crate) hold_id: Uuid,
    /// The caller: the hold must be its own.
    pub(crate) caller: Caller,
    /// What is written on the order, if anything; its owner is that of the hold.
    pub(crate) written: Option<Arc<Details>>,
    /// The client's idempotency key, if it sent one.
    pub(crate) keyed: Option<IdempotentRequest>,
}

/// The result of a request for an order.
pub(crate) enum Ordered {
    /// The order was created, and its key stores `pending`. `changed`: events waited for it, so its state may have changed.
    Now { placed: Box<Placed>, changed: bool },
    /// An earlier request with the same key created the order. The status is the one that the key stored after this copy was
    /// counted.
    Before(StoredResult),
}

/// An order with its items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The order.
    pub order: Order,
    /// Its owner, and what was written on it; `None`: it is an anonymous caller's, who wrote nothing.
    pub details: Option<Arc<Details>>,
    /// Its items: the rows of its hold.
    pub items: Vec<Item>,
    /// True when an earlier request under the same key created it.
    pub replayed: bool,
}

impl Keyable for OrderRequest {
    fn keyed(&self) -> Option<&IdempotentRequest> {
        self.keyed.as_ref()
    }
}

/// The dependencies of a batch of orders.
pub(crate) struct OrderWork {
    pub(crate) database: Database,
    pub(crate) ttl_seconds: u64,
    /// Holds that were taken alone.
    pub(crate) recent_holds: Arc<Recent<HoldLine>>,
    /// Orders that were made alone.
    pub(crate) recent: Arc<Recent<Order>>,
    /// Whether this instance limits the units that one caller holds.
    pub(crate) counts_held: bool,
    /// What is known about units that may come back.
    pub(crate) supplies: Arc<Supplies>,
}

type OrderJob = JobOf<OrderWork>;
/// A request whose order can be created, with the rows of its hold.
type Candidate = (OrderJob, Vec<HoldLine>);

impl Work for OrderWork {
    type Key = ();
    type Request = OrderRequest;
    type Response = Result<Ordered, Error>;

    /// Tries all jobs in one transaction. Holds and orders are read before keys, so that a hold that an earlier request with
    /// the same key has used is never reported as used: the key is found as well.
    async fn attempt(&self, (): (), jobs: Vec<OrderJob>, turn: Turn, _supply: Option<i64>) -> Attempt<OrderJob> {
        let database = match turn {
            Turn::First | Turn::Second => self.database.clone(),
            Turn::Alone => self.database.share(Share::LoneJobs),
        };
        let recent = match jobs.as_slice() {
            [single] if turn == Turn::First => self.recent_holds.take(single.request.hold_id),
            _ => None,
        };
        let stored = match recent {
            Some(hold) => Ok(Stored::of_one(hold)),
            None => Stored::read(&database, &jobs).await,
        };
        let stored = match stored {
            Ok(stored) => stored,
            Err(error) => return refuse_all(jobs, &error),
        };
        let Sorted { first, mut again, replays, reused } = match keys::sort(&database, jobs).await {
            Ok(sorted) => sorted,
            Err((jobs, error)) => return refuse_all(jobs, &error),
        };
        refuse_all(reused, &Refusal::IdempotencyKeyReuse.into());
        let first = unique(stored.without_taken(stored.without_foreign(first)), &mut again);
        let candidates = stored.candidates(first);
        if candidates.is_empty() && replays.is_empty() {
            return Attempt { again, ..Attempt::done(None) };
        }
        let mut spoiled = Vec::new();
        match self.place(&database, &candidates, &replays).await {
            Ok((placed_at, touched)) => self.answer(&database, candidates, replays, placed_at, &touched).await,
            Err(error) => {
                let jobs = candidates.into_iter().map(|(job, _)| job);
                let jobs = jobs.chain(replays.into_iter().map(|(job, _)| job));
                match error {
                    Error::Stale(_) => spoiled.extend(jobs),
                    error => drop(refuse_all(jobs, &error)),
                }
            }
        }
        Attempt { again, spoiled, ..Attempt::done(None) }
    }

    fn bytes(&self, request: &OrderRequest) -> usize {
        // a hold is not read yet: where held units are limited, it may be marked
        ROW_BYTES
            + if self.counts_held { HELD_BYTES } else { 0 }
            + request.keyed.as_ref().map_or(0, idempotency_keys::row_bytes)
            + request.written.as_deref().map_or(0, owners::row_bytes)
    }

    fn may_overlap(&self, _supply: Option<i64>, _weight: i64) -> bool {
        true
    }
}

impl OrderWork {
    /// Makes all orders in one transaction; every copy in `replays` is counted in it, so that its response is durable. Returns
    /// the orders, or holds of orders, that an event has changed or waits for.
    async fn place(
        &self,
        database: &Database,
        candidates: &[Candidate],
        replays: &[(OrderJob, StoredResult)],
    ) -> Result<(Option<PlacedAt>, HashSet<Uuid>), Error> {
        let drafts = candidates.iter().map(|(job, rows)| draft(&job.request, rows)).collect();
        let new = candidates.iter().filter_map(|(job, _)| Some((job.request.keyed.as_ref()?, job.request.order_id)));
        let copies = replays.iter().filter_map(|(job, made)| Some((job.request.keyed.as_ref()?, made.resource_id)));
        let packet = PlaceOrders::new(drafts, self.ttl_seconds, Keys::new(new, copies));
        let (placed_at, read) = send_and_look(database, "orders.create", &packet).await?;
        Ok((placed_at, if candidates.is_empty() { HashSet::new() } else { touched(read) }))
    }

    /// Answers all jobs. If events wait for an order, they are applied before its job is answered.
    async fn answer(
        &self,
        database: &Database,
        candidates: Vec<Candidate>,
        replays: Vec<(OrderJob, StoredResult)>,
        placed_at: Option<PlacedAt>,
        touched: &HashSet<Uuid>,
    ) {
        let single = candidates.len() == 1;
        for (job, rows) in candidates {
            let Some(placed) = placed_at.map(|placed_at| Box::new(placed(&job.request, rows, placed_at))) else {
                job.answer(Err(Error::Broken("a batch of orders has no terms".to_owned())));
                continue;
            };
            self.record_moves(&placed);
            match [job.request.order_id, job.request.hold_id].iter().any(|id| touched.contains(id)) {
                true => answer_later(database, job, placed),
                false => {
                    if single {
                        self.recent.record(placed.order.id, placed.order.clone());
                    }
                    job.answer(Ok(Ordered::Now { placed, changed: false }));
                }
            }
        }
        replay(database, replays).await;
    }

    /// Records the deadline of an order for the items whose own time is another one.
    fn record_moves(&self, placed: &Placed) {
        let seconds = placed.items.iter().filter_map(|item| item.order_ttl_seconds).min();
        if seconds.is_none_or(|seconds| seconds == self.ttl_seconds) {
            return;
        }
        for item in placed.items.iter().filter(|item| item.order_ttl_seconds != seconds) {
            self.supplies.outlooks.record_move(item.product_id, placed.order.pay_by);
        }
    }
}

fn refuse_all(jobs: impl IntoIterator<Item = OrderJob>, error: &Error) -> Attempt<OrderJob> {
    for job in jobs {
        job.answer(Err(error.clone()));
    }
    Attempt::done(None)
}

/// The stored rows that decide which orders a batch can create, as they were read before.
#[derive(Default)]
struct Stored {
    rows: HashMap<Uuid, Vec<HoldLine>>,
    /// Chosen ids that are orders already, each with the hold of its order.
    taken: HashMap<Uuid, Uuid>,
}

impl Stored {
    /// Returns what a read of a hold of one row returned. The transaction finds a taken id.
    fn of_one(hold: HoldLine) -> Self {
        Self { rows: HashMap::from([(hold.id, vec![hold])]), taken: HashMap::new() }
    }

    /// Reads all holds, and all orders with an id that a client chose, in one statement each.
    async fn read(database: &Database, jobs: &[OrderJob]) -> Result<Self, Error> {
        if jobs.is_empty() {
            return Ok(Self::default());
        }
        let hold_ids: Vec<Uuid> = jobs.iter().map(|job| job.request.hold_id).collect();
        let chosen: Vec<Uuid> = jobs.iter().filter(|job| job.request.chosen).map(|job| job.request.order_id).collect();
        let (hold_ids, chosen) = (&hold_ids, &chosen);
        database
            .read("holds.list_to_order", |tx| {
                async move {
                    let mut stored = Self::default();
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

    /// Refuses jobs whose hold is another caller's: they must not learn that it exists.
    fn without_foreign(&self, jobs: Vec<OrderJob>) -> Vec<OrderJob> {
        let is_foreign = |job: &OrderJob| {
            let row = self.rows.get(&job.request.hold_id).and_then(|rows| rows.first());
            row.is_some_and(|row| !Details::are_seen(row.details.as_deref(), &job.request.caller))
        };
        let (foreign, own): (Vec<_>, Vec<_>) = jobs.into_iter().partition(is_foreign);
        refuse_all(foreign, &Refusal::HoldNotFound.into());
        own
    }

    /// Refuses jobs whose chosen id is taken.
    fn without_taken(&self, jobs: Vec<OrderJob>) -> Vec<OrderJob> {
        let mut free = Vec::with_capacity(jobs.len());
        for job in jobs {
            match self.taken.get(&job.request.order_id) {
                None => free.push(job),
                Some(hold_id) if *hold_id == job.request.hold_id => {
                    let order_id = job.request.order_id;
                    job.answer(Err(Refusal::HoldUsed { order_id }.into()));
                }
                Some(_) => job.answer(Err(Refusal::OrderIdTaken.into())),
            }
        }
        free
    }

    /// Refuses jobs whose hold cannot become an order.
    fn candidates(mut self, jobs: Vec<OrderJob>) -> Vec<Candidate> {
        let mut candidates = Vec::with_capacity(jobs.len());
        for job in jobs {
            let rows = self.rows.remove(&job.request.hold_id).unwrap_or_default();
            match rows.first().map_or(Some(Refusal::HoldNotFound), HoldLine::ended) {
                Some(refusal) => job.answer(Err(refusal.into())),
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
        jobs.into_iter().partition(|job| holds.insert(job.request.hold_id) && orders.insert(job.request.order_id));
    again.extend(later);
    first
}

/// Answers copies, each with the status that its key has now. That status is final, since every copy was counted in a
/// transaction that has committed.
async fn replay(database: &Database, replays: Vec<(OrderJob, StoredResult)>) {
    if replays.is_empty() {
        return;
    }
    let keys: Vec<&IdempotentRequest> = replays.iter().filter_map(|(job, _)| job.request.keyed.as_ref()).collect();
    let keys = &keys;
    let counted = database
        .read("idempotency_keys.list", |tx| async move { idempotency_keys::list(tx, keys).await }.boxed())
        .await;
    for (job, made) in replays {
        let counted = match &counted {
            Ok(counted) => job.request.keyed.as_ref().and_then(|keyed| counted.get(&keyed.id)),
            Err(error) => {
                job.answer(Err(error.clone()));
                continue;
            }
        };
        // a key that was deleted in the meantime: its status as it was read before
        let made = counted.cloned().unwrap_or(made);
        job.answer(Ok(Ordered::Before(made)));
    }
}

/// Applies the events that wait for one order and then answers its job, in a task of its own: no other job waits for that.
fn answer_later(database: &Database, job: OrderJob, placed: Box<Placed>) {
    let database = database.share(Share::Requests);
    tokio::spawn(async move {
        if let Err(error) = apply_waiting_for(&database, &[(job.request.order_id, job.request.hold_id)]).await {
            warn!(%error, "could not apply the events that wait for a new order; a worker will");
        }
        job.answer(Ok(Ordered::Now { placed, changed: true }));
    });
}

/// Returns the owner of an order, which is that of its hold, and what was written on it; `None` when there is nothing to store.
fn details(request: &OrderRequest, rows: &[HoldLine]) -> Option<Arc<Details>> {
    let of_hold = rows.first().and_then(|row| row.details.as_ref());
    let owner = of_hold.map(|details| details.owner.clone()).unwrap_or_default();
    let written = request.written.as_deref().cloned().unwrap_or_default();
    let details = Details { owner, ..written };
    (details != Details::default()).then(|| Arc::new(details))
}

fn draft(request: &OrderRequest, rows: &[HoldLine]) -> Draft {
    Draft {
        order_id: request.order_id,
        chosen: request.chosen,
        hold_id: request.hold_id,
        hold_rows: rows.len(),
        total_minor: rows.iter().map(|row| row.qty * row.unit_price_minor).sum(),
        currency: rows.first().map(|row| row.currency.clone()).unwrap_or_default(),
        details: details(request, rows),
        ttl_seconds: rows.iter().filter_map(|row| row.order_ttl_seconds).min(),
        held: rows.iter().filter_map(|row| Some((row.held_on?, row.qty))).collect(),
        changes: rows.first().map_or(0, |row| row.changes),
        tickets: tickets(rows),
    }
}

fn tickets(rows: &[HoldLine]) -> OrderTickets {
    match rows.iter().any(|row| row.labels().is_some()) {
        true => OrderTickets::Seats,
        false if rows.iter().any(|row| row.seats.is_some()) => OrderTickets::Places,
        false => OrderTickets::None,
    }
}

fn placed(request: &OrderRequest, rows: Vec<HoldLine>, placed_at: PlacedAt) -> Placed {
    let draft = draft(request, &rows);
    let client_id = draft.client_id();
    let Draft { order_id, hold_id, total_minor, currency, details, ttl_seconds, tickets, .. } = draft;
    let order = Order {
        id: order_id,
        hold_id,
        status: OrderStatus::Pending,
        total_minor,
        currency,
        created_at: placed_at.created_at,
        pay_by: placed_at.pay_by(ttl_seconds),
        refunded_minor: 0,
        refunded_currency: None,
        restocked: false,
        tickets,
        client_id,
    };
    Placed { order, details, items: rows.into_iter().map(Item::from).collect(), replayed: false }
}
