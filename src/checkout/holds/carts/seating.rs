//! Carts with seats: the plans of their ticket types, and the packet that assigns seats in the order of arrival.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::ledger::Ledger;
use super::request::Replaced;
use super::sifting::{Aside, FreeSeats, Lost, Plans, Sifted, find_seats};
use super::{Batch, Candidate, CartJob, Refused, Replays};
use crate::checkout::holds::answers::{all, replay, still_unknown};
use crate::db::error::Error;
use crate::db::packets::counters::Counted;
use crate::db::packets::keys::Keys;
use crate::db::packets::send;
use crate::db::packets::take_carts::{Cart, CartLine, TakenCarts};
use crate::db::packets::take_seats::{Rest, TakeSeats, TakenSeats};
use crate::db::tables::holds;
use crate::db::tables::products::Terms;
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
        let Sifted { carts, candidates, mut rest, aside } = match self.sift(carts, candidates, rest, &plans).await {
            Ok(sifted) => sifted,
            Err((candidates, rest, error)) => return self.refuse(all(jobs_of(candidates), rest, replays), &error),
        };
        if !aside.carts.is_empty() {
            self.again.extend(std::mem::take(&mut rest).into_iter().map(|(_, job)| job));
        }
        if carts.is_empty() {
            self.turn_away(aside, &plans).await;
            return self.write(Vec::new(), rest, replays, replaced).await;
        }
        let rows = candidates.iter().filter_map(|candidate| Some(replaced.counted(candidate.job.request.replaces?)));
        let mut old: Vec<holds::Counted> = rows.flatten().copied().collect();
        old.sort_unstable();
        let beside = Beside { candidates: &candidates, replays: &replays, ledger: &self.ledger, replaced };
        let packet = TakeSeats { carts, plans: plans.clone(), replaced: old, rest: &beside };
        match send(&self.database, "holds.create_seats", &packet).await {
            Ok(taken) => {
                let again = self.answer_seats(candidates, rest, (taken, aside), &plans).await;
                replay(&self.database, replays).await;
                again
            }
            Err(error) => {
                let due = match error {
                    // of a cart that is alone, and would replace a hold: it is no copy of one that was taken, which has ended this hold
                    Error::Refused(_) => Box::pin(self.give_back_due(candidates.iter().map(|one| &one.cart))).await,
                    _ => Ok(false),
                };
                let jobs = all(jobs_of(candidates).into_iter().chain(aside.into_jobs()).collect(), rest, replays);
                match (error, due) {
                    (Error::Stale(_) | Error::CountersOver(_), _) | (_, Ok(true)) => jobs,
                    (_, Err(error)) | (error, Ok(false)) => self.refuse(jobs, &error),
                }
            }
        }
    }

    /// Answers the carts of a packet that was committed, and then turns those away that did not get their seats, and those that were put
    /// `aside` before. `rest` did not fit beside all of the carts: where some got nothing, it comes again. Returns the carts of which an
    /// earlier attempt of the packet has written nothing.
    async fn answer_seats(
        &mut self,
        candidates: Vec<Candidate>,
        rest: Refused,
        (taken, mut aside): (TakenSeats, Aside),
        plans: &Plans,
    ) -> Vec<CartJob> {
        let TakenSeats { taken, mut carts, mut refused } = taken;
        let mut written = match &taken {
            TakenCarts::Before(stored) => stored.iter().map(|line| line.id).collect(),
            _ => HashSet::new(),
        };
        written.extend(carts.keys().copied());
        let (got, others): (Vec<_>, Vec<_>) =
            candidates.into_iter().partition(|candidate| written.contains(&candidate.cart.hold_id));
        match others.is_empty() {
            true => rest.into_iter().for_each(|(refusal, job)| job.answer(Err(refusal.into()))),
            false => self.again.extend(rest.into_iter().map(|(_, job)| job)),
        }
        let with_seats = |Candidate { job, cart }: Candidate| {
            let cart: Cart = carts.remove(&cart.hold_id).unwrap_or(cart);
            Candidate { job, cart }
        };
        self.answer(got.into_iter().map(with_seats).collect(), taken);
        let mut unknown = Vec::new();
        for candidate in others {
            match refused.remove(&candidate.cart.hold_id) {
                Some(refusal) => aside.carts.push((refusal, candidate)),
                None => unknown.push(candidate.job),
            }
        }
        self.turn_away(aside, plans).await;
        unknown
    }

    /// Refuses carts whose seats are not free. What has run out is given back first, and then the named seats are read once more: a cart
    /// whose seats are free by now comes again, and one that wants the best seats does if some came back. Where nothing had run out
    /// before the seats were read, that read suffices.
    async fn turn_away(&mut self, aside: Aside, plans: &Plans) {
        let is_settled = |line: &CartLine| !line.terms.sale.is_seated() || self.settled.contains(&line.product_id);
        let (settled, lost): (Vec<Lost>, Vec<Lost>) =
            aside.carts.into_iter().partition(|(_, candidate)| candidate.cart.lines.iter().all(is_settled));
        let mut refused = aside.rest;
        refused.extend(settled.into_iter().map(|(refusal, candidate)| (refusal, candidate.job)));
        // boxed: it is rare, and it would enlarge the future of every batch
        let looked = match lost.is_empty() {
            true => Ok((false, FreeSeats::new())),
            false => Box::pin(self.look_again(&lost, plans)).await,
        };
        let (due, free) = match looked {
            Ok(looked) => looked,
            Err(error) => {
                let lost = lost.into_iter().map(|(_, candidate)| candidate.job);
                drop(self.refuse(lost.chain(refused.into_iter().map(|(_, job)| job)).collect(), &error));
                return;
            }
        };
        for (refusal, Candidate { job, .. }) in lost {
            let taken = taken_of(&refusal, plans);
            let is_free = |(product_id, seats): (&i64, &Vec<i64>)| {
                free.get(product_id).is_some_and(|free| seats.iter().all(|n| free.contains(n)))
            };
            match if taken.is_empty() { due } else { taken.iter().all(is_free) } {
                true => self.again.push(job),
                false => refused.push((refusal, job)),
            }
        }
        match still_unknown(&self.database, &mut self.again, refused).await {
            Ok(refused) => refused.into_iter().for_each(|(refusal, job)| job.answer(Err(refusal.into()))),
            Err((jobs, error)) => drop(self.refuse(jobs, &error)),
        }
    }

    /// Gives back what has run out of the ticket types of these carts, and then reads which seats are free of those that were not.
    /// Returns whether some came back.
    async fn look_again(&self, lost: &[Lost], plans: &Plans) -> Result<(bool, FreeSeats), Error> {
        let due = self.give_back_due(lost.iter().map(|(_, candidate)| &candidate.cart)).await?;
        let mut named: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for (product_id, seats) in lost.iter().flat_map(|(refusal, _)| taken_of(refusal, plans)) {
            named.entry(product_id).or_default().extend(seats);
        }
        Ok((due, self.find_free(named).await?))
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
    async fn plans(&self, candidates: &[Candidate]) -> Result<Plans, Error> {
        let mut plans = BTreeMap::new();
        for product_id in candidates.iter().flat_map(|candidate| candidate.job.request.seats.keys()) {
            if !plans.contains_key(product_id) {
                let stock = self.stocks.get(product_id).copied().unwrap_or(0);
                let plan = self.work.plans.get(&self.database, *product_id, stock).await?;
                if !plan.has(stock) {
                    // seats were added since the product was read
                    self.work.products.forget(*product_id);
                }
                plans.insert(*product_id, plan);
            }
        }
        Ok(plans)
    }
}

/// Returns the seats that a refused cart names and that were not free, by ticket type.
fn taken_of(refusal: &Refusal, plans: &Plans) -> BTreeMap<i64, Vec<i64>> {
    let Refusal::RefusedLines(lines) = refusal else { return BTreeMap::new() };
    let taken = |line: &RefusedLine| match (line.product_id, &line.refusal) {
        (Some(product_id), Refusal::Seats(SeatRefusal::Taken { seats })) => {
            let plan = plans.get(&product_id)?;
            Some((product_id, seats.iter().filter_map(|label| plan.find(label)).collect()))
        }
        _ => None,
    };
    lines.iter().filter_map(taken).collect()
}
