//! What batches of holds of one product and batches of carts have in common: their responses, refusals and copies.

use std::collections::HashMap;

use futures_util::FutureExt as _;
use uuid::Uuid;

use crate::batch::{Attempt, Job};
use crate::checkout::keys::{self, Keyable, Sorted};
use crate::db::door::Database;
use crate::db::error::Error;
use crate::db::tables::holds::{self, HoldLine};
use crate::db::tables::idempotency_keys::StoredResult;
use crate::domain::{HoldStatus, Refusal};

/// A hold that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The hold as it was when it was taken; of a cart, its first line.
    pub hold: HoldLine,
    /// The other lines of a cart, by product.
    pub others: Vec<HoldLine>,
    /// True when an earlier request under the same key took it.
    pub replayed: bool,
}

impl Taken {
    /// Returns the hold with these lines, as it was when it was taken; `None` without lines.
    pub(super) fn of(lines: Vec<HoldLine>, replayed: bool) -> Option<Self> {
        let mut lines = lines.into_iter().map(as_taken);
        let hold = lines.next()?;
        Some(Self { hold, others: lines.collect(), replayed })
    }
}

/// A request whose hold has an id.
pub(super) trait Identified: Keyable + Send + Sync {
    /// Returns the id that the hold gets.
    fn hold_id(&self) -> Uuid;
}

/// A waiting request for a hold.
pub(super) type TakeJob<Q> = Job<Q, Result<Taken, Error>>;
/// Requests to be refused, and why.
pub(super) type Refused<Q> = Vec<(Refusal, TakeJob<Q>)>;
/// Copies of requests that were answered before, each with the stored result.
pub(super) type Replays<Q> = Vec<(TakeJob<Q>, StoredResult)>;

pub(super) fn refuse_all<Q>(jobs: impl IntoIterator<Item = TakeJob<Q>>, error: &Error) -> Attempt<TakeJob<Q>> {
    for job in jobs {
        job.answer(Err(error.clone()));
    }
    Attempt::done(None)
}

/// Returns all jobs of a batch of which nothing was written, in order of arrival.
pub(super) fn all<Q>(jobs: Vec<TakeJob<Q>>, rest: Refused<Q>, replays: Replays<Q>) -> Vec<TakeJob<Q>> {
    let rest = rest.into_iter().map(|(_, job)| job);
    let mut all: Vec<_> = jobs.into_iter().chain(rest).chain(replays.into_iter().map(|(job, _)| job)).collect();
    all.sort_by_key(Job::deadline);
    all
}

/// Returns the jobs that may be refused. No request may be refused because of units that an earlier request with the same
/// key has taken, so the keys are looked up once more after the supply was read. Jobs whose key is known by now join `again`.
pub(super) async fn still_unknown<Q: Identified>(
    database: &Database,
    again: &mut Vec<TakeJob<Q>>,
    rest: Refused<Q>,
) -> Result<Refused<Q>, (Vec<TakeJob<Q>>, Error)> {
    if rest.iter().all(|(_, job)| job.request.keyed().is_none()) {
        return Ok(rest);
    }
    let mut refusals: HashMap<Uuid, Refusal> =
        rest.iter().map(|(refusal, job)| (job.request.hold_id(), refusal.clone())).collect();
    let jobs = rest.into_iter().map(|(_, job)| job).collect();
    let Sorted { first, again: copies, replays, reused } = keys::sort(database, jobs).await?;
    again.extend(replays.into_iter().map(|(job, _)| job).chain(reused));
    let rest = first.into_iter().chain(copies);
    Ok(rest.filter_map(|job| Some((refusals.remove(&job.request.hold_id())?, job))).collect())
}

/// Answers all `replays` with the holds that the first requests took.
pub(super) async fn replay<Q>(database: &Database, replays: Replays<Q>) {
    if replays.is_empty() {
        return;
    }
    let ids: Vec<Uuid> = replays.iter().map(|(_, made)| made.resource_id).collect();
    let ids = &ids;
    let found = database
        .read("holds.list_replayed", |tx| async move { holds::list_rows(tx, ids).await }.boxed())
        .await
        .map(by_hold);
    for (job, made) in replays {
        let taken = match &found {
            Ok(holds) => holds.get(&made.resource_id).cloned().and_then(|lines| Taken::of(lines, true)),
            Err(error) => {
                job.answer(Err(error.clone()));
                continue;
            }
        };
        job.answer(taken.ok_or(Refusal::HoldNotFound.into()));
    }
}

/// Answers the jobs of a batch whose rows an earlier attempt had committed.
pub(super) fn answer_stored<Q: Identified>(jobs: Vec<TakeJob<Q>>, stored: Vec<HoldLine>) {
    let mut stored = by_hold(stored);
    for job in jobs {
        let taken = stored.remove(&job.request.hold_id()).and_then(|lines| Taken::of(lines, false));
        job.answer(taken.ok_or_else(|| Error::Broken("a hold of a committed batch is missing".to_owned())));
    }
}

/// Returns the lines of each hold.
pub(super) fn by_hold(lines: Vec<HoldLine>) -> HashMap<Uuid, Vec<HoldLine>> {
    let mut holds: HashMap<Uuid, Vec<HoldLine>> = HashMap::new();
    for line in lines {
        holds.entry(line.id).or_default().push(line);
    }
    holds
}

/// Returns a hold as the first response showed it, whatever has happened to it since.
fn as_taken(hold: HoldLine) -> HoldLine {
    HoldLine { status: HoldStatus::Active, order_id: None, ..hold }
}
