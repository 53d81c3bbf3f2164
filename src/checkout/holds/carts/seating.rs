//! Carts with seats: the plans of their ticket types, and the packet that assigns seats in the order of arrival.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::ledger::Ledger;
use super::request::Replaced;
use super::{Batch, Candidate, CartJob, Refused, Replays};
use crate::checkout::holds::answers::{all, replay, still_unknown};
use crate::db::error::Error;
use crate::db::packets::counters::Counted;
use crate::db::packets::keys::Keys;
use crate::db::packets::send;
use crate::db::packets::take_carts::{Cart, TakenCarts};
use crate::db::packets::take_seats::{Rest, SeatCart, TakeSeats, TakenSeats, Wanted};
use crate::db::tables::holds;
use crate::db::tables::products::Terms;
use crate::domain::seating::{SeatPlan, SeatWish};
use crate::domain::{Details, Refusal, RefusedLine, SeatRefusal};

/// What the carts of a batch write beside their lines.
struct Beside<'a> {
    candidates: &'a [Candidate],
    replays: &'a Replays,
    ledger: &'a Ledger,
    replaced: &'a Replaced,
}

impl<'a> Beside<'a> {
    fn of(&self, holds: &HashSet<Uuid>) -> impl Iterator<Item = &'a Candidate> {
        let candidates: &'a [Candidate] = self.candidates;
        candidates.iter().filter(move |candidate| holds.contains(&candidate.cart.hold_id))
    }
}

impl Rest for Beside<'_> {
    fn counted(&self, holds: &HashSet<Uuid>) -> Counted {
        let pairs = self.of(holds).map(|candidate| (&candidate.job.request, &candidate.cart));
        self.ledger.count(pairs.collect::<Vec<_>>(), self.replaced)
    }

    fn keys(&self, holds: &HashSet<Uuid>) -> Keys<'_> {
        let mut new = Vec::new();
        for Candidate { job, cart } in self.of(holds) {
            new.extend(job.request.keyed.as_ref().map(|keyed| (keyed, cart.hold_id)));
        }
        let copies =
            self.replays.iter().filter_map(|(job, made)| Some((job.request.keyed.as_ref()?, made.resource_id)));
        Keys::new(new, copies)
    }

    fn owners(&self, holds: &HashSet<Uuid>) -> Vec<(Uuid, Arc<Details>)> {
        let owner =
            |candidate: &Candidate| Some((candidate.cart.hold_id, Arc::clone(candidate.job.request.details.as_ref()?)));
        let mut owners: Vec<_> = self.of(holds).filter_map(owner).collect();
        owners.sort_unstable_by_key(|&(hold_id, _)| hold_id);
        owners
    }
}

impl Batch<'_> {
    /// Puts carts with seats that replace a hold apart: if their seats cannot be had, all that was done for them is rolled back.
    pub(super) fn alone_if_replacing(&mut self, jobs: Vec<CartJob>) -> Vec<CartJob> {
        if jobs.len() == 1 {
            return jobs;
        }
        let is_plain = |job: &CartJob| job.request.replaces.is_none() || job.request.seats.is_empty();
        let (together, alone): (Vec<_>, Vec<_>) = jobs.into_iter().partition(is_plain);
        self.alone.extend(alone);
        together
    }

    /// Takes all carts that get their seats, and refuses the others and `rest`. Returns all jobs when another transaction was
    /// faster.
    pub(super) async fn write_seats(
        &mut self,
        candidates: Vec<Candidate>,
        mut rest: Refused,
        replays: Replays,
        replaced: &Replaced,
    ) -> Vec<CartJob> {
        let jobs_of = |candidates: Vec<Candidate>| candidates.into_iter().map(|candidate| candidate.job).collect();
        let plans = match self.plans(&candidates).await {
            Ok(plans) => plans,
            Err(error) => return self.refuse(all(jobs_of(candidates), rest, replays), &error),
        };
        let mut unknown = Refused::new();
        let (carts, candidates) = find_seats(candidates, &plans, &mut unknown);
        if !unknown.is_empty() {
            // it did not fit beside these, which take nothing
            self.again.extend(std::mem::take(&mut rest).into_iter().map(|(_, job)| job));
        }
        unknown.into_iter().for_each(|(refusal, job)| job.answer(Err(refusal.into())));
        if carts.is_empty() {
            return self.write(Vec::new(), rest, replays, replaced).await;
        }
        let rows = candidates.iter().filter_map(|candidate| Some(replaced.counted(candidate.job.request.replaces?)));
        let mut old: Vec<holds::Counted> = rows.flatten().copied().collect();
        old.sort_unstable();
        let beside = Beside { candidates: &candidates, replays: &replays, ledger: &self.ledger, replaced };
        let packet = TakeSeats { carts, plans, replaced: old, rest: &beside };
        match send(&self.database, "holds.create_seats", &packet).await {
            Ok(taken) => {
                let again = self.answer_seats(candidates, rest, taken).await;
                replay(&self.database, replays).await;
                again
            }
            Err(error) => {
                let due = match error {
                    // of a cart that is alone, and would replace a hold: it is no copy of one that was taken, which has ended this hold
                    Error::Refused(_) => Box::pin(self.give_back_due(candidates.iter().map(|one| &one.cart))).await,
                    _ => Ok(false),
                };
                let jobs = all(jobs_of(candidates), rest, replays);
                match (error, due) {
                    (Error::Stale(_) | Error::CountersOver(_), _) | (_, Ok(true)) => jobs,
                    (_, Err(error)) | (error, Ok(false)) => self.refuse(jobs, &error),
                }
            }
        }
    }

    /// Answers the carts of a packet that was committed. `rest` did not fit beside all of them: where some were refused, it comes
    /// again. Returns the carts of which an earlier attempt of the packet has written nothing.
    async fn answer_seats(&mut self, candidates: Vec<Candidate>, rest: Refused, taken: TakenSeats) -> Vec<CartJob> {
        let TakenSeats { taken, mut carts, mut refused } = taken;
        let mut written = match &taken {
            TakenCarts::Before(stored) => stored.iter().map(|line| line.id).collect(),
            _ => HashSet::new(),
        };
        written.extend(carts.keys().copied());
        match refused.is_empty() {
            true => rest.into_iter().for_each(|(refusal, job)| job.answer(Err(refusal.into()))),
            false => self.again.extend(rest.into_iter().map(|(_, job)| job)),
        }
        let (got, others): (Vec<_>, Vec<_>) =
            candidates.into_iter().partition(|candidate| written.contains(&candidate.cart.hold_id));
        let with_seats = |Candidate { job, cart }: Candidate| {
            let cart: Cart = carts.remove(&cart.hold_id).unwrap_or(cart);
            Candidate { job, cart }
        };
        self.answer(got.into_iter().map(with_seats).collect(), taken);
        let due = match refused.is_empty() {
            true => Ok(false),
            // boxed: it is rare, and it would enlarge the future of every batch
            false => Box::pin(self.give_back_due(others.iter().map(|candidate| &candidate.cart))).await,
        };
        let (mut lost, mut unknown) = (Vec::new(), Vec::new());
        for Candidate { job, cart } in others {
            match refused.remove(&cart.hold_id) {
                // what has run out is free by now, perhaps some of the seats that it wants
                Some(_) if matches!(due, Ok(true)) => self.again.push(job),
                Some(refusal) => lost.push((refusal, job)),
                None => unknown.push(job),
            }
        }
        if let Err(error) = due {
            drop(self.refuse(lost.into_iter().map(|(_, job)| job).collect(), &error));
            return unknown;
        }
        match still_unknown(&self.database, &mut self.again, lost).await {
            Ok(lost) => lost.into_iter().for_each(|(refusal, job)| job.answer(Err(refusal.into()))),
            Err((jobs, error)) => drop(self.refuse(jobs, &error)),
        }
        unknown
    }

    /// Gives back the seats of holds that have run out, of the ticket types whose seats these carts did not get. Returns whether
    /// some came back.
    async fn give_back_due(&self, carts: impl Iterator<Item = &Cart>) -> Result<bool, Error> {
        let seated = carts.flat_map(|cart| &cart.lines).filter(|line| line.terms.sale.is_seated());
        let types: BTreeMap<i64, &Arc<Terms>> = seated.map(|line| (line.product_id, &line.terms)).collect();
        let mut came_back = false;
        for (product_id, terms) in types {
            came_back |= self.work.supplies.give_back_due(&self.database, product_id, &terms.sale).await?;
        }
        Ok(came_back)
    }

    /// Reads the plans of the ticket types whose seats these carts want.
    async fn plans(&self, candidates: &[Candidate]) -> Result<BTreeMap<i64, Arc<SeatPlan>>, Error> {
        let mut plans = BTreeMap::new();
        for product_id in candidates.iter().flat_map(|candidate| candidate.job.request.seats.keys()) {
            if !plans.contains_key(product_id) {
                let stock = self.stocks.get(product_id).copied().unwrap_or(0);
                let plan = self.work.plans.get(&self.database, *product_id, stock).await?;
                plans.insert(*product_id, plan);
            }
        }
        Ok(plans)
    }
}

/// Finds the seats that carts name. Those that name others are refused.
fn find_seats(
    candidates: Vec<Candidate>,
    plans: &BTreeMap<i64, Arc<SeatPlan>>,
    refused: &mut Refused,
) -> (Vec<SeatCart>, Vec<Candidate>) {
    let (mut carts, mut found) = (Vec::new(), Vec::new());
    for Candidate { job, cart } in candidates {
        let (mut wanted, mut lines) = (BTreeMap::new(), Vec::new());
        for (product_id, wish) in &job.request.seats {
            match plans.get(product_id).map_or(Err(Vec::new()), |plan| numbers(wish, plan)) {
                Ok(seats) => drop(wanted.insert(*product_id, seats)),
                Err(seats) => lines.push(RefusedLine {
                    product_id: Some(*product_id),
                    sku: None,
                    requested: job.request.lines.get(product_id).copied().unwrap_or(0),
                    available_stock: None,
                    refusal: Refusal::Seats(SeatRefusal::NotFound { seats }),
                }),
            }
        }
        match lines.is_empty() {
            true => {
                carts.push(SeatCart { cart: cart.clone(), wanted });
                found.push(Candidate { job, cart });
            }
            false => refused.push((Refusal::RefusedLines(lines), job)),
        }
    }
    (carts, found)
}

/// Returns the numbers of the seats that a line names; labels that the plan does not have, if there are some.
fn numbers(wish: &SeatWish, plan: &SeatPlan) -> Result<Wanted, Vec<String>> {
    let labels = match wish {
        SeatWish::Best { split } => return Ok(Wanted::Best { split: *split }),
        SeatWish::Named(labels) => labels,
    };
    let unknown: Vec<String> = labels.iter().filter(|label| plan.find(label).is_none()).cloned().collect();
    match unknown.is_empty() {
        true => Ok(Wanted::Named(labels.iter().filter_map(|label| plan.find(label)).collect())),
        false => Err(unknown),
    }
}
