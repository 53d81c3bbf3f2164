//! One batch of holds of one product. [`crate::batch`] forms the batches.
//!
//! Why this is fast: the product's row is locked once per batch, from the guarded update to the commit, and each batch waits
//! for the disk once, however many requests are in it. Meanwhile the next batch gathers.
//!
//! Why this is right:
//! - The guard decides. `UPDATE … SET reserved = reserved + sum WHERE available >= sum` reserves units for every request of the
//!   batch or for none, and COMMIT is sent only after its row count was checked.
//! - The supply that a batch knows, from an earlier batch or from its own read, decides only what it tries.
//! - Ids are created before the first attempt. If the response to COMMIT is lost, a read of these ids shows whether it took
//!   effect.
//! - No request is refused from memory. A refusal rests on a read that began after the request arrived and after expired holds
//!   were given back.
//! - Requests are served in order of arrival as long as they fit; a smaller one may pass a larger one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;
use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Span;
use uuid::Uuid;

use super::expiry::{Pass, Seen, expire_due};
use super::outlook::Outlooks;
use super::passed_over::PassedOver;
use crate::batch::{Done, Work};
use crate::checkout::keys::{self, Keyable, Sorted};
use crate::db::due::{Place, Window};
use crate::db::tables::holds::{self, Hold, Supply, Terms};
use crate::db::tables::idempotency_keys::{self, KeyId, Keyed, Made};
use crate::db::{Database, Error, Failure, Share, Tx};
use crate::domain::{HoldStatus, Refusal};

/// A waiting request for a hold.
pub(crate) struct HoldJob {
    /// Created on arrival.
    pub(crate) hold_id: Uuid,
    pub(crate) qty: i64,
    /// The client's idempotency key, if it sent one.
    pub(crate) keyed: Option<Keyed>,
    /// When the request stops waiting.
    pub(crate) deadline: Instant,
    pub(crate) span: Span,
    pub(crate) answer: oneshot::Sender<Result<Taken, Error>>,
}

/// A hold that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The hold as it was when it was taken.
    pub hold: Hold,
    /// True when an earlier request under the same key took it.
    pub replayed: bool,
}

impl HoldJob {
    fn reply(self, result: Result<Taken, Error>) {
        // The client may have disconnected; its hold then simply expires.
        let _ = self.answer.send(result);
    }
}

impl Keyable for HoldJob {
    fn keyed(&self) -> Option<&Keyed> {
        self.keyed.as_ref()
    }
}

/// The dependencies of a batch of holds.
pub(crate) struct HoldWork {
    pub(crate) database: Database,
    pub(crate) ttl_seconds: u64,
    pub(crate) passed_over: Arc<PassedOver>,
    pub(crate) outlooks: Outlooks,
}

/// The rows that one transaction wrote.
enum Written {
    Now(Terms),
    /// By an earlier attempt, whose COMMIT got no response.
    Before(Vec<Hold>),
}

/// Maximum number of expired holds per page that are given back before a request is refused.
const DUE: u32 = 500;
/// Maximum number of these pages. The next page is read only if no row of the last one could be given back.
const PAGES: u32 = 4;

/// Requests to be refused, and why.
type Refused = Vec<(Refusal, HoldJob)>;
/// Copies of requests that were answered before, each with the stored result.
type Replays = Vec<(HoldJob, Made)>;

impl Work for HoldWork {
    type Key = i64;
    type Job = HoldJob;

    async fn run(&self, product_id: i64, jobs: Vec<HoldJob>, supply: Option<i64>) -> Done<HoldJob> {
        let jobs = wanted(jobs);
        let database = self.database.share(Share::of_batch(jobs.len()));
        let Sorted { first: jobs, again, replays, reused } = match keys::sort(&database, jobs).await {
            Ok(sorted) => sorted,
            Err((jobs, error)) => return refuse_all(jobs, &error),
        };
        for job in reused {
            job.reply(Err(Refusal::IdempotencyKeyReuse.into()));
        }
        let batch = Batch { work: self, database, product_id, again };
        let sum: i64 = jobs.iter().map(|job| job.qty).sum();
        match supply {
            Some(supply) if supply < sum => batch.look_first(jobs, replays).await,
            _ => batch.write(jobs, Vec::new(), replays).await,
        }
    }

    fn weight(&self, job: &HoldJob) -> i64 {
        job.qty
    }

    fn bytes(&self, job: &HoldJob) -> usize {
        holds::ROW_BYTES + job.keyed.as_ref().map_or(0, idempotency_keys::row_bytes)
    }

    fn span(&self, job: &HoldJob) -> Span {
        job.span.clone()
    }

    /// When units may run short, one batch runs at a time, so that requests are served in order of arrival.
    fn may_overlap(&self, supply: Option<i64>, weight: i64) -> bool {
        supply.is_some_and(|supply| supply >= weight)
    }
}

/// Drops the jobs of disconnected clients, and refuses jobs that have waited too long.
fn wanted(jobs: Vec<HoldJob>) -> Vec<HoldJob> {
    let now = Instant::now();
    let (in_time, late): (Vec<_>, Vec<_>) =
        jobs.into_iter().filter(|job| !job.answer.is_closed()).partition(|job| job.deadline > now);
    for job in late {
        job.reply(Err(Error::Overloaded));
    }
    in_time
}

fn refuse_all(jobs: Vec<HoldJob>, error: &Error) -> Done<HoldJob> {
    for job in jobs {
        job.reply(Err(error.clone()));
    }
    Done::all(None)
}

/// Returns the holds of an earlier attempt if it was committed after all: then all of its rows are there.
async fn stored_before(tx: &mut Tx<'_>, rows: &[(Uuid, i64)]) -> Result<Option<Vec<Hold>>, Failure> {
    let ids: Vec<Uuid> = rows.iter().map(|&(id, _)| id).collect();
    if ids.is_empty() {
        return Ok(None);
    }
    let stored = holds::list_rows(tx, &ids).await?;
    if stored.is_empty() {
        return Ok(None);
    }
    idempotency_keys::wait_for_disk(tx).await?;
    Ok(Some(stored))
}

/// A running batch.
struct Batch<'work> {
    work: &'work HoldWork,
    database: Database,
    product_id: i64,
    /// Jobs that come first in the next batch.
    again: Vec<HoldJob>,
}

impl Batch<'_> {
    /// Takes the holds of all `jobs` and counts every copy in `replays`, in one transaction. It changes a row for each of them,
    /// so that every response is durable.
    async fn take(&self, jobs: &[HoldJob], replays: &Replays) -> Result<Option<Written>, Error> {
        let mut rows: Vec<(Uuid, i64)> = jobs.iter().map(|job| (job.hold_id, job.qty)).collect();
        rows.sort_unstable();
        let keyed = jobs.iter().filter_map(|job| job.keyed.as_ref().map(|keyed| (keyed, job.hold_id)));
        let copied = replays.iter().filter_map(|(job, made)| job.keyed.as_ref().map(|keyed| (keyed, made.resource_id)));
        let keys: BTreeMap<KeyId, (&Keyed, Uuid)> =
            keyed.chain(copied).map(|(keyed, id)| (keyed.id, (keyed, id))).collect();
        let new_keys = jobs.iter().filter(|job| job.keyed.is_some()).count();
        let (rows, keys) = (&rows, &keys);
        self.database
            .transaction("holds.create", |tx| {
                async move {
                    if tx.after_unknown()
                        && let Some(stored) = stored_before(tx, rows).await?
                    {
                        return Ok(Some(Written::Before(stored)));
                    }
                    let mut statements = Vec::new();
                    if !keys.is_empty() {
                        statements.push(idempotency_keys::insert_all(keys.values().copied()));
                    }
                    if !rows.is_empty() {
                        statements.extend(holds::take(self.product_id, rows, self.work.ttl_seconds));
                    }
                    let mut replies = tx.packet(&statements).await?;
                    if !keys.is_empty() && replies.remove(0).affected != (2 * keys.len() - new_keys) as u64 {
                        return Err(tx.stale("idempotency_keys"));
                    }
                    match rows.is_empty() {
                        true => Ok(None),
                        false => Ok(Some(Written::Now(holds::taken(replies, rows, tx.after_unknown())?))),
                    }
                }
                .boxed()
            })
            .await
    }

    /// Reads the available units, and those that may come back.
    async fn find_supply(&self, enough: i64) -> Result<Supply, Error> {
        let (product_id, outlooks, began) = (self.product_id, &self.work.outlooks, Instant::now());
        let within = outlooks.ranges(product_id, began);
        let within = within.as_deref();
        let supply = self.database.read("holds.find_supply", |tx| {
            async move {
                let found = holds::find_supply(tx, product_id, enough, within).await?;
                found.ok_or(Failure::Refused(Refusal::ProductNotFound))
            }
            .boxed()
        });
        let supply = supply.await.inspect_err(|_| {
            if within.is_none() {
                outlooks.put_off(product_id, (began, began.elapsed()));
            }
        })?;
        let limit = usize::try_from(enough).unwrap_or(0);
        outlooks.record(product_id, (began, began.elapsed()), within, limit, &supply);
        Ok(supply)
    }
    /// Serves jobs for which the units may not suffice: reads the supply, tries the jobs that fit, and refuses the others.
    async fn look_first(mut self, jobs: Vec<HoldJob>, replays: Replays) -> Done<HoldJob> {
        let most = jobs.iter().map(|job| job.qty).max().unwrap_or(0);
        let sum: i64 = jobs.iter().map(|job| job.qty).sum();
        let supply = match self.supply(most, sum).await {
            Ok(supply) => supply,
            Err(error) => {
                let replays = replays.into_iter().map(|(job, _)| job);
                return refuse_all(jobs.into_iter().chain(replays).chain(self.again).collect(), &error);
            }
        };
        let (mut left, mut fitting, mut rest) = (supply.available, Vec::new(), Vec::new());
        for job in jobs {
            if job.qty <= left {
                left -= job.qty;
                fitting.push(job);
            } else {
                rest.push((explain(&supply, left, job.qty), job));
            }
        }
        let rest = match self.still_unknown(rest).await {
            Ok(rest) => rest,
            Err((rest, error)) => {
                let replays = replays.into_iter().map(|(job, _)| job);
                return refuse_all(fitting.into_iter().chain(rest).chain(replays).chain(self.again).collect(), &error);
            }
        };
        if fitting.is_empty() && replays.is_empty() {
            for (refusal, job) in rest {
                job.reply(Err(refusal.into()));
            }
            return Done { again: self.again, ..Done::all(Some(left)) };
        }
        self.write(fitting, rest, replays).await
    }

    /// Returns the jobs that may be refused. No request may be refused because of units that an earlier request with the same
    /// key has taken, so the keys are looked up once more after the supply was read. Jobs whose key is known by now come again
    /// in the next batch.
    async fn still_unknown(&mut self, rest: Refused) -> Result<Refused, (Vec<HoldJob>, Error)> {
        if rest.iter().all(|(_, job)| job.keyed.is_none()) {
            return Ok(rest);
        }
        let mut refusals: HashMap<Uuid, Refusal> =
            rest.iter().map(|(refusal, job)| (job.hold_id, refusal.clone())).collect();
        let jobs = rest.into_iter().map(|(_, job)| job).collect();
        let Sorted { first, again, replays, reused } = keys::sort(&self.database, jobs).await?;
        let known = replays.into_iter().map(|(job, _)| job).chain(reused);
        self.again.extend(known);
        let rest = first.into_iter().chain(again);
        Ok(rest.filter_map(|job| Some((refusals.remove(&job.hold_id)?, job))).collect())
    }

    /// Reads the supply after expired holds were given back, by this batch or by another transaction.
    async fn supply(&self, most: i64, sum: i64) -> Result<Supply, Error> {
        let supply = self.find_supply(most).await?;
        let due = supply.returning > 0 && supply.first_returns_in_us <= 0;
        if supply.available < sum
            && due
            && let Some(&first) = supply.returns.first()
        {
            // boxed: it is rare, and it would enlarge the future of every batch
            Box::pin(self.expire_due(first)).await?;
            return self.find_supply(most).await;
        }
        Ok(supply)
    }

    /// Gives back this product's expired holds; `first` is the deadline of the first row that may come back.
    async fn expire_due(&self, first: NaiveDateTime) -> Result<(), Error> {
        let (database, passed_over) = (&self.database, &self.work.passed_over);
        let after = passed_over.place_of(self.product_id).into_iter().fold(Place::before(first), Place::max);
        let mut window = Window { after, age: Duration::ZERO, limit: DUE };
        for _ in 0..PAGES {
            let pass = expire_due(database, passed_over, Some(self.product_id), window).await?;
            match pass {
                // all rows of the page are passed over: read the next one
                Pass::Done(Seen { last: Some(last), done: 0, .. }) => window.after = last,
                _ => break,
            }
        }
        Ok(())
    }

    /// Takes the holds of all `jobs`, and then refuses `rest`, which did not fit beside them.
    async fn write(mut self, jobs: Vec<HoldJob>, rest: Refused, replays: Replays) -> Done<HoldJob> {
        if jobs.is_empty() && replays.is_empty() {
            return Done { again: self.again, ..Done::all(None) };
        }
        let written = self.take(&jobs, &replays).await;
        let left = match written {
            Ok(written) => {
                let left = answer(jobs, written.as_ref(), self.product_id);
                for (refusal, job) in rest {
                    job.reply(Err(refusal.into()));
                }
                replay(&self.database, replays).await;
                left
            }
            Err(Error::Refused(Refusal::SoldOut { available_stock })) => {
                self.start_over(jobs, rest, replays);
                Some(available_stock)
            }
            Err(Error::Stale(_)) => {
                self.start_over(jobs, rest, replays);
                None
            }
            Err(error) => {
                let others = rest.into_iter().map(|(_, job)| job).chain(replays.into_iter().map(|(job, _)| job));
                refuse_all(jobs.into_iter().chain(others).collect(), &error);
                None
            }
        };
        Done { again: self.again, ..Done::all(left) }
    }

    /// Puts all jobs first into the next batch, in order of arrival, after nothing was written.
    fn start_over(&mut self, jobs: Vec<HoldJob>, rest: Refused, replays: Replays) {
        let again = std::mem::take(&mut self.again);
        let rest = rest.into_iter().map(|(_, job)| job);
        let replays = replays.into_iter().map(|(job, _)| job);
        self.again = jobs.into_iter().chain(rest).chain(replays).chain(again).collect();
        // all jobs wait equally long, so the deadlines give the order of arrival
        self.again.sort_by_key(|job| job.deadline);
    }
}

/// Returns why a request for `qty` units is refused when `left` units are left for it.
fn explain(supply: &Supply, left: i64, qty: i64) -> Refusal {
    if supply.available + supply.returning < qty {
        return Refusal::SoldOut { available_stock: left };
    }
    let wait_us = u64::try_from(supply.first_returns_in_us).unwrap_or(0);
    Refusal::AllHeld { available_stock: left, retry_after_seconds: wait_us.div_ceil(1_000_000).max(1) }
}

/// Answers all `jobs` with the holds that were written. Returns how many units are left, if known.
fn answer(jobs: Vec<HoldJob>, written: Option<&Written>, product_id: i64) -> Option<i64> {
    match written {
        None => None,
        Some(Written::Now(terms)) => {
            for job in jobs {
                let hold = hold(&job, product_id, terms);
                job.reply(Ok(Taken { hold, replayed: false }));
            }
            Some(terms.available)
        }
        Some(Written::Before(stored)) => {
            let stored: HashMap<Uuid, &Hold> = stored.iter().map(|hold| (hold.id, hold)).collect();
            for job in jobs {
                let found = stored.get(&job.hold_id).map(|&hold| as_taken(hold.clone()));
                let found = found.ok_or_else(|| Error::Broken("a hold of a committed batch is missing".to_owned()));
                job.reply(found.map(|hold| Taken { hold, replayed: false }));
            }
            None
        }
    }
}

fn hold(job: &HoldJob, product_id: i64, terms: &Terms) -> Hold {
    Hold {
        id: job.hold_id,
        product_id,
        qty: job.qty,
        unit_price_minor: terms.unit_price_minor,
        currency: terms.currency.clone(),
        status: HoldStatus::Active,
        expires_at: terms.expires_at,
        order_id: None,
        server_time: terms.server_time,
    }
}

/// Answers all `replays` with the holds that the first requests took.
async fn replay(database: &Database, replays: Replays) {
    if replays.is_empty() {
        return;
    }
    let ids: Vec<Uuid> = replays.iter().map(|(_, made)| made.resource_id).collect();
    let ids = &ids;
    let found = database
        .read("holds.list_replayed", |tx| async move { holds::list_rows(tx, ids).await }.boxed())
        .await
        .map(|rows| rows.into_iter().map(|hold| (hold.id, hold)).collect::<HashMap<_, _>>());
    for (job, made) in replays {
        let hold = match &found {
            Ok(rows) => rows.get(&made.resource_id).cloned().ok_or(Refusal::HoldNotFound.into()),
            Err(error) => Err(error.clone()),
        };
        job.reply(hold.map(|hold| Taken { hold: as_taken(hold), replayed: true }));
    }
}

/// Returns a hold as the first response showed it, whatever has happened to it since.
fn as_taken(hold: Hold) -> Hold {
    Hold { status: HoldStatus::Active, order_id: None, ..hold }
}

#[cfg(test)]
mod tests;
