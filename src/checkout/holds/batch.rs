//! One batch of holds of one product. [`crate::batch`] forms the batches.
//!
//! Why this is fast: the product's row is locked once per batch, from the guarded update to the commit, and each batch waits
//! for the disk once, however many requests are in it. Meanwhile the next batch gathers.
//!
//! Why this is right:
//! - The guard decides. `UPDATE … SET reserved = reserved + sum WHERE available >= sum` reserves units for every request of the
//!   batch or for none, and COMMIT is sent only after its row count was checked.
//! - The supply that a batch knows, from an earlier batch or from its own read, decides only what it tries.
//! - The guard compares the product's terms, too, so that a batch may remember them from an earlier read.
//! - Ids are created before the first attempt. If the response to COMMIT is lost, a read of these ids shows whether it took
//!   effect.
//! - No request is refused from memory. A refusal rests on a read that began after the request arrived and after expired holds
//!   were given back.
//! - Counters of buyers are in the same packet: see `counting.rs`.
//! - Requests are served in order of arrival as long as they fit; a smaller one may pass a larger one.

use std::sync::Arc;

use uuid::Uuid;

use super::answers::{self, Identified, Taken, all, answer_stored, refuse_all, replay};
use super::limits::Limits;
use super::supply::{Supplies, explain};
use crate::batch::{Attempt, Job, JobOf, Turn, Work};
use crate::checkout::keys::{self, Keyable, Sorted};
use crate::checkout::products::known::KnownProducts;
use crate::checkout::recent::Recent;
use crate::db::door::Database;
use crate::db::error::Error;
use crate::db::packets::counters::COUNTER_BYTES;
use crate::db::packets::keys::Keys;
use crate::db::packets::send;
use crate::db::packets::take_holds::{ROW_BYTES, TakeHolds, TakenHolds};
use crate::db::share::Share;
use crate::db::tables::holds::HoldLine;
use crate::db::tables::idempotency_keys::{self, IdempotentRequest};
use crate::db::tables::owners;
use crate::db::tables::products::Terms;
use crate::domain::{Details, HoldStatus, Refusal};

/// How often one attempt goes on without some of its jobs.
const APART: u32 = 3;

/// A request for a hold.
#[derive(Debug)]
pub(crate) struct HoldRequest {
    /// Created on arrival.
    pub(crate) hold_id: Uuid,
    pub(crate) qty: i64,
    /// Its owner, and what was written on it, if there is something to store.
    pub(crate) details: Option<Arc<Details>>,
    /// The client's idempotency key, if it sent one.
    pub(crate) keyed: Option<IdempotentRequest>,
    /// The counter of held units, if its caller is limited.
    pub(crate) held_on: Option<Uuid>,
    /// The name of the operator that asks for it, who may pass the limit of a buyer.
    pub(crate) operator: Option<Arc<str>>,
}

impl HoldRequest {
    /// Returns the buyer, if it names one.
    pub(super) fn buyer(&self) -> Option<&str> {
        self.details.as_deref()?.owner.buyer.as_deref()
    }
}

impl Keyable for HoldRequest {
    fn keyed(&self) -> Option<&IdempotentRequest> {
        self.keyed.as_ref()
    }
}

impl Identified for HoldRequest {
    fn hold_id(&self) -> Uuid {
        self.hold_id
    }
}

/// The dependencies of a batch of holds.
pub(crate) struct HoldWork {
    pub(crate) database: Database,
    pub(crate) ttl_seconds: u64,
    /// The most units of a hold of a product that does not say so.
    pub(crate) max_qty: i64,
    /// The most units that a caller with a counter may hold.
    pub(crate) max_held: Option<i64>,
    pub(crate) supplies: Arc<Supplies>,
    pub(crate) products: Arc<KnownProducts>,
    /// Holds that were taken alone.
    pub(crate) recent: Arc<Recent<HoldLine>>,
}

pub(super) type HoldJob = JobOf<HoldWork>;
pub(super) type Refused = answers::Refused<HoldRequest>;
pub(super) type Replays = answers::Replays<HoldRequest>;

impl Work for HoldWork {
    type Key = i64;
    type Request = HoldRequest;
    type Response = Result<Taken, Error>;

    async fn attempt(&self, product_id: i64, jobs: Vec<HoldJob>, turn: Turn, supply: Option<i64>) -> Attempt<HoldJob> {
        if turn != Turn::First {
            // another transaction may have changed the terms
            self.products.forget(product_id);
        }
        let database = self.database.share(Share::of_batch(jobs.len()));
        let Sorted { first: jobs, again, replays, reused } = match keys::sort(&database, jobs).await {
            Ok(sorted) => sorted,
            Err((jobs, error)) => return refuse_all(jobs, &error),
        };
        for job in reused {
            job.answer(Err(Refusal::IdempotencyKeyReuse.into()));
        }
        let mut batch = Batch { work: self, database, product_id, turn, again, limits: Limits::default() };
        let (jobs, replays) = match batch.admit(jobs, replays).await {
            Ok(admitted) => admitted,
            Err(ended) => return ended,
        };
        let (jobs, replays) = match batch.within_limits(jobs, replays).await {
            Ok(within) => within,
            Err(ended) => return ended,
        };
        match supply {
            Some(supply) if supply < sum(&jobs) => batch.read_first(jobs, replays).await,
            _ => batch.write(jobs, Vec::new(), replays).await,
        }
    }

    fn weight(&self, request: &HoldRequest) -> i64 {
        request.qty
    }

    fn bytes(&self, request: &HoldRequest) -> usize {
        ROW_BYTES
            + request.keyed.as_ref().map_or(0, idempotency_keys::row_bytes)
            + request.details.as_deref().map_or(0, owners::row_bytes)
            + request.held_on.map_or(0, |_| COUNTER_BYTES)
    }

    /// When units may run short, one batch runs at a time, so that requests are served in order of arrival.
    fn may_overlap(&self, supply: Option<i64>, weight: i64) -> bool {
        supply.is_some_and(|supply| supply >= weight)
    }
}

fn sum(jobs: &[HoldJob]) -> i64 {
    jobs.iter().map(|job| job.request.qty).sum()
}

/// A running attempt.
pub(super) struct Batch<'work> {
    pub(super) work: &'work HoldWork,
    pub(super) database: Database,
    pub(super) product_id: i64,
    pub(super) turn: Turn,
    /// Jobs that come first in the next batch.
    pub(super) again: Vec<HoldJob>,
    /// By which its jobs are counted.
    pub(super) limits: Limits,
}

impl Batch<'_> {
    /// Serves jobs for which the units may not suffice: reads the supply, tries the jobs that fit, and refuses the others.
    async fn read_first(mut self, jobs: Vec<HoldJob>, replays: Replays) -> Attempt<HoldJob> {
        let most = jobs.iter().map(|job| job.request.qty).max().unwrap_or(0);
        let wanted = (most, sum(&jobs));
        let own = self.work.products.peek(self.product_id).map(|known| known.terms.sale.clone()).unwrap_or_default();
        let supply = match self.work.supplies.find(&self.database, self.product_id, &own, wanted).await {
            Ok(supply) => supply,
            Err(error) => {
                self.fail(jobs, replays, &error);
                return Attempt { again: self.again, ..Attempt::done(None) };
            }
        };
        let (mut left, mut fitting, mut rest) = (supply.available, Vec::new(), Vec::new());
        for job in jobs {
            let qty = job.request.qty;
            if qty <= left {
                left -= qty;
                fitting.push(job);
            } else {
                rest.push((explain(&supply, left, qty), job));
            }
        }
        let rest = match self.explained(rest, supply.is_plain).await {
            Ok(rest) => self.still_unknown(rest).await,
            Err(failed) => Err(failed),
        };
        let rest = match rest {
            Ok(rest) => rest,
            Err((rest, error)) => {
                let others = all(fitting, Vec::new(), replays);
                return refuse_all(others.into_iter().chain(rest).chain(self.again), &error);
            }
        };
        if fitting.is_empty() && replays.is_empty() {
            for (refusal, job) in rest {
                job.answer(Err(refusal.into()));
            }
            return Attempt { again: self.again, ..Attempt::done(Some(left)) };
        }
        self.write(fitting, rest, replays).await
    }

    /// As [`answers::still_unknown`]. Jobs whose key is known by now come again in the next batch.
    pub(super) async fn still_unknown(&mut self, rest: Refused) -> Result<Refused, (Vec<HoldJob>, Error)> {
        answers::still_unknown(&self.database, &mut self.again, rest).await
    }

    /// Takes the holds of all `jobs`, and then refuses `rest`, which did not fit beside them.
    async fn write(mut self, jobs: Vec<HoldJob>, rest: Refused, replays: Replays) -> Attempt<HoldJob> {
        if jobs.is_empty() && replays.is_empty() {
            return Attempt { again: self.again, ..Attempt::done(None) };
        }
        let (turn, mut spoiled, mut left) = (self.turn, Vec::new(), None);
        let (mut jobs, mut rest, mut alone) = (jobs, rest, Vec::new());
        let mut taken = self.take(&jobs, &replays).await;
        for _ in 0..APART {
            let Some(apart) = taken.as_ref().err().and_then(|error| self.apart(error, &jobs)) else { break };
            jobs = self.put_apart(jobs, &apart, &mut rest, &mut alone);
            if jobs.is_empty() && replays.is_empty() {
                return Attempt { again: self.again, alone, ..Attempt::done(None) };
            }
            taken = self.take(&jobs, &replays).await;
        }
        match taken {
            Ok((terms, taken)) => {
                left = answer(jobs, self.product_id, &terms, taken, &self.work.recent);
                for (refusal, job) in rest {
                    job.answer(Err(refusal.into()));
                }
                replay(&self.database, replays).await;
            }
            Err(Error::Refused(Refusal::SoldOut { available_stock })) => {
                left = Some(available_stock);
                self.put_first(all(jobs, rest, replays));
            }
            // One by one, the jobs would wait for each other's commits on one row. The next batch has them all, and, since the
            // supply is unknown, no batch beside it whose keys or terms could spoil it again.
            Err(Error::Stale(_) | Error::CountersOver(_)) if turn == Turn::Second => {
                self.put_first(all(jobs, rest, replays));
            }
            Err(Error::Stale(_) | Error::CountersOver(_)) => spoiled = all(jobs, rest, replays),
            Err(Error::Abandoned(_)) if turn == Turn::First => spoiled = all(jobs, rest, replays),
            Err(error) => self.fail(all(jobs, rest, Vec::new()), replays, &error),
        }
        Attempt { again: self.again, spoiled, alone, ..Attempt::done(left) }
    }

    /// Refuses jobs. The responses to copies do not depend on a product that has been deleted or is not sold any more, so they
    /// come again.
    pub(super) fn fail(&mut self, jobs: Vec<HoldJob>, replays: Replays, error: &Error) {
        let mut jobs = jobs;
        let copies = replays.into_iter().map(|(job, _)| job);
        if matches!(error, Error::Refused(_)) {
            self.work.products.forget(self.product_id);
            self.put_first(copies.collect());
        } else {
            jobs.extend(copies);
        }
        refuse_all(jobs, error);
    }

    /// Hands jobs back, in order of arrival.
    pub(super) fn put_first(&mut self, jobs: Vec<HoldJob>) {
        self.again.extend(jobs);
        self.again.sort_by_key(Job::deadline);
    }

    /// Takes the holds of all `jobs` and counts every copy in `replays`, in one transaction. It changes a row for each of them,
    /// so that every response is durable. Returns the terms of the product.
    async fn take(&self, jobs: &[HoldJob], replays: &Replays) -> Result<(Arc<Terms>, TakenHolds), Error> {
        let terms = match jobs.is_empty() {
            true => Arc::default(),
            false => self.work.products.terms(&self.database, self.product_id).await?,
        };
        // they may be others than those by which the jobs were admitted
        let most = terms.sale.max_units(self.work.max_qty);
        if jobs.iter().any(|job| job.request.qty > most) {
            return Err(Error::Stale("products/max_qty"));
        }
        let limits = terms.sale.buyer_limits();
        if !jobs.is_empty() && limits != self.limits.of_buyer
            || limits.any() && jobs.iter().any(|job| job.request.buyer().is_none())
        {
            return Err(Error::Stale("products/max_per_buyer"));
        }
        let mut holds: Vec<(Uuid, i64)> = jobs.iter().map(|job| (job.request.hold_id, job.request.qty)).collect();
        holds.sort_unstable();
        let owner = |job: &HoldJob| Some((job.request.hold_id, Arc::clone(job.request.details.as_ref()?)));
        let mut owners: Vec<_> = jobs.iter().filter_map(owner).collect();
        owners.sort_unstable_by_key(|&(hold_id, _)| hold_id);
        let new = jobs.iter().filter_map(|job| Some((job.request.keyed.as_ref()?, job.request.hold_id)));
        let copies = replays.iter().filter_map(|(job, made)| Some((job.request.keyed.as_ref()?, made.resource_id)));
        let packet = TakeHolds {
            product_id: self.product_id,
            terms: &terms,
            holds,
            owners,
            counted: self.count(jobs),
            ttl_seconds: terms.sale.hold_seconds(self.work.ttl_seconds),
            keys: Keys::new(new, copies),
            is_second: self.turn == Turn::Second,
        };
        let taken = send(&self.database, "holds.create", &packet).await?;
        Ok((Arc::clone(&terms), taken))
    }
}

/// Answers all `jobs` with the holds that were written. Returns how many units are left, if known.
fn answer(
    jobs: Vec<HoldJob>,
    product_id: i64,
    terms: &Terms,
    taken: TakenHolds,
    recent: &Recent<HoldLine>,
) -> Option<i64> {
    match taken {
        TakenHolds::Nothing => None,
        TakenHolds::Now { available, taken_at, expires_at } => {
            let single = jobs.len() == 1;
            for job in jobs {
                let HoldRequest { hold_id, qty, held_on, ref details, .. } = job.request;
                let hold = HoldLine {
                    id: hold_id,
                    product_id,
                    qty,
                    unit_price_minor: terms.price_minor,
                    currency: terms.currency.clone(),
                    status: HoldStatus::Active,
                    expires_at,
                    order_id: None,
                    details: details.clone(),
                    server_time: taken_at,
                    order_ttl_seconds: terms.sale.order_seconds(),
                    held_on,
                    changes: 0,
                    // those of an admission have no labels
                    seats: terms.sale.ticket.map(|_| Arc::default()),
                };
                if single {
                    recent.record(hold_id, hold.clone());
                }
                job.answer(Ok(Taken { hold, others: Vec::new(), replayed: false }));
            }
            Some(available)
        }
        TakenHolds::Before(stored) => {
            answer_stored(jobs, stored);
            None
        }
    }
}
