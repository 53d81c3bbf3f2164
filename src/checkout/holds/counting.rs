//! Which requests of a batch the limits of their buyers allow, and what the batch adds to the counters. The counters are read
//! before the packet, and the packet finds which have grown since: then their jobs come again in the next batch, and the others go
//! on at once. Products without a limit, and callers that are not limited, have no counters and cost nothing.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::answers::{all, refuse_all};
use super::batch::{Batch, HoldJob, Refused, Replays};
use super::callers::{Caller, give_back_due, list_counters};
use super::limits::{Limit, limits_of};
use crate::batch::{Attempt, Turn};
use crate::db::error::Error;
use crate::db::packets::counters::{Counted, LimitPass};
use crate::domain::{Owner, Refusal};

/// What the counters allow.
#[derive(Default)]
struct Sorted {
    fitting: Vec<HoldJob>,
    /// Jobs that do not fit beside earlier ones of the batch, which may still fail.
    later: Vec<HoldJob>,
    refused: Refused,
}

/// The jobs that a batch goes on without.
pub(super) enum Apart {
    /// Those of these counters, which have grown since they were read: the next batch reads them again.
    Over(Vec<Uuid>),
    /// Those with counters, one of which another transaction keeps locked: each runs alone.
    Locked,
}

fn owner(job: &HoldJob) -> Option<&Owner> {
    job.request.details.as_deref().map(|details| &details.owner)
}

impl Batch<'_> {
    /// Returns the jobs that fit the limits of their buyers, and the copies. Expired holds are given back before a job is refused.
    pub(super) async fn within_limits(
        &mut self,
        jobs: Vec<HoldJob>,
        replays: Replays,
    ) -> Result<(Vec<HoldJob>, Replays), Attempt<HoldJob>> {
        let known = self.work.products.peek(self.product_id);
        self.limits.of_buyer = known.map(|known| known.terms.sale.buyer_limits()).unwrap_or_default();
        let units = match self.read_counters(&jobs).await {
            Ok(units) => units,
            Err(error) => {
                self.fail(jobs, replays, &error);
                return Err(Attempt { again: std::mem::take(&mut self.again), ..Attempt::done(None) });
            }
        };
        if units.is_empty() && self.counts_none(&jobs) {
            return Ok((jobs, replays));
        }
        let Sorted { fitting, later, refused } = self.sort_by_limits(jobs, units);
        self.again.extend(later);
        match self.still_unknown(refused).await {
            Ok(refused) => {
                for (refusal, job) in refused {
                    job.answer(Err(refusal.into()));
                }
                Ok((fitting, replays))
            }
            Err((refused, error)) => {
                let others = all(fitting, Vec::new(), replays).into_iter().chain(refused);
                Err(refuse_all(others.chain(std::mem::take(&mut self.again)), &error))
            }
        }
    }

    fn counts_none(&self, jobs: &[HoldJob]) -> bool {
        jobs.iter().all(|job| self.counters(job).next().is_none())
    }

    /// Returns the limits of a job.
    fn limits_of(&self, job: &HoldJob) -> [Option<Limit>; 3] {
        let of_caller = (job.request.held_on, self.work.max_held);
        limits_of(self.product_id, self.limits.of_buyer, owner(job), of_caller)
    }

    /// Returns the counters of a job.
    fn counters(&self, job: &HoldJob) -> impl Iterator<Item = Uuid> + use<> {
        self.limits_of(job).into_iter().flatten().map(|limit| limit.counter)
    }

    /// Reads the counters. If a job would be refused, it reads them once more after it has read the limit and given expired holds
    /// of the product back, and again after those of the callers.
    async fn read_counters(&mut self, jobs: &[HoldJob]) -> Result<HashMap<Uuid, i64>, Error> {
        let units = self.list_counters(jobs).await?;
        if jobs.iter().all(|job| self.passed(job, &units).next().is_none()) {
            return Ok(units);
        }
        let product = self.work.products.read(&self.database, self.product_id).await?;
        let terms = self.work.products.record(&product);
        self.limits.of_buyer = terms.sale.buyer_limits();
        // all units on sale would not be enough, so what has run out is given back
        Box::pin(self.work.supplies.find(&self.database, self.product_id, &terms.sale, (1, i64::MAX))).await?;
        let units = self.list_counters(jobs).await?;
        let refused = jobs.iter().filter_map(|job| Some(Caller::of(&self.over(job, &units)?, owner(job))));
        let callers: HashSet<Caller> = refused.collect();
        if callers.is_empty() {
            return Ok(units);
        }
        self.limits.due = Box::pin(give_back_due(&self.database, &self.work.supplies, &callers)).await?;
        self.list_counters(jobs).await
    }

    async fn list_counters(&self, jobs: &[HoldJob]) -> Result<HashMap<Uuid, i64>, Error> {
        list_counters(&self.database, jobs.iter().flat_map(|job| self.counters(job))).await
    }

    /// Returns the limits that a job passes beside these units, each with the units of its counter.
    fn passed(&self, job: &HoldJob, units: &HashMap<Uuid, i64>) -> impl Iterator<Item = (Limit, i64)> {
        let qty = job.request.qty;
        self.limits_of(job).into_iter().flatten().filter_map(move |limit| {
            let yours = units.get(&limit.counter).copied().unwrap_or(0);
            (yours + qty > limit.most).then_some((limit, yours))
        })
    }

    /// Returns why a job does not fit beside these units. Operators pass the limits of buyers.
    fn over(&self, job: &HoldJob, units: &HashMap<Uuid, i64>) -> Option<Refusal> {
        let passes = |limit: &Limit| limit.is_of_buyer() && job.request.operator.is_some();
        self.passed(job, units).find(|(limit, _)| !passes(limit)).map(|(limit, yours)| limit.refusal(yours))
    }

    /// Sorts jobs by what the counters allow, which have these units, in order of arrival.
    fn sort_by_limits(&mut self, jobs: Vec<HoldJob>, units: HashMap<Uuid, i64>) -> Sorted {
        let (mut sorted, mut running) = (Sorted::default(), units.clone());
        for job in jobs {
            if let Some(refusal) = self.over(&job, &units) {
                sorted.refused.push((self.limits.due.told(refusal, owner(&job)), job));
                continue;
            }
            if self.over(&job, &running).is_some() {
                sorted.later.push(job);
                continue;
            }
            let passed: Vec<(Limit, i64)> = self.passed(&job, &running).collect();
            for (place, (limit, yours)) in (0..).zip(passed) {
                self.pass(&job, place, limit, yours);
            }
            for counter in self.counters(&job) {
                *running.entry(counter).or_insert(0) += job.request.qty;
            }
            sorted.fitting.push(job);
        }
        for (counter, most) in &mut self.limits.raised {
            *most = running.get(counter).copied().unwrap_or(*most);
        }
        sorted
    }

    /// Notes that an operator passes a limit for a buyer, who has `yours`.
    fn pass(&mut self, job: &HoldJob, place: i64, limit: Limit, yours: i64) {
        self.limits.raised.insert(limit.counter, yours);
        self.limits.passes.push(LimitPass {
            hold_id: job.request.hold_id,
            product_id: self.product_id,
            event_id: limit.event_id(),
            place,
            operator: job.request.operator.as_deref().unwrap_or_default().to_owned(),
            buyer: job.request.buyer().unwrap_or_default().to_owned(),
            limit: limit.most,
            units: (yours, yours + job.request.qty),
        });
    }

    /// Returns which of these jobs the batch goes on without after this error of its packet; `None` if it cannot go on.
    pub(super) fn apart(&self, error: &Error, jobs: &[HoldJob]) -> Option<Apart> {
        let mut counters = jobs.iter().flat_map(|job| self.counters(job));
        match error {
            Error::CountersOver(over) if counters.any(|counter| over.contains(&counter)) => {
                Some(Apart::Over(over.clone()))
            }
            // the first time it may be no more than a slow commit of another batch
            Error::Abandoned(_) if self.turn == Turn::Second && jobs.len() > 1 && counters.next().is_some() => {
                Some(Apart::Locked)
            }
            _ => None,
        }
    }

    /// Puts jobs apart, and returns the others: what was read for them still holds. `rest` did not fit beside all of them, so it
    /// comes again.
    pub(super) fn put_apart(
        &mut self,
        jobs: Vec<HoldJob>,
        apart: &Apart,
        rest: &mut Refused,
        alone: &mut Vec<HoldJob>,
    ) -> Vec<HoldJob> {
        let stays = |job: &HoldJob| {
            let mut counters = self.counters(job);
            match apart {
                Apart::Over(over) => !counters.any(|counter| over.contains(&counter)),
                Apart::Locked => counters.next().is_none(),
            }
        };
        let (others, put): (Vec<_>, Vec<_>) = jobs.into_iter().partition(stays);
        match apart {
            Apart::Over(_) => self.put_first(all(put, std::mem::take(rest), Vec::new())),
            Apart::Locked => {
                alone.extend(put);
                self.put_first(all(Vec::new(), std::mem::take(rest), Vec::new()));
            }
        }
        others
    }

    /// Returns what these jobs add to the counters.
    pub(super) fn count(&self, jobs: &[HoldJob]) -> Counted {
        let mut counting = Counted { passes: self.limits.passes.clone(), ..Counted::default() };
        for job in jobs {
            let limits = self.limits_of(job);
            for Limit { counter, most, .. } in limits.into_iter().flatten() {
                let most = self.limits.raised.get(&counter).copied().unwrap_or(most);
                counting.counters.add(counter, job.request.qty, most);
            }
            if limits.iter().any(Option::is_some) {
                let marks = limits.map(|limit| limit.map(|limit| limit.counter));
                counting.marks.insert((job.request.hold_id, self.product_id), marks);
            }
        }
        counting.passes.retain(|pass| counting.marks.contains_key(&(pass.hold_id, pass.product_id)));
        counting
    }
}
