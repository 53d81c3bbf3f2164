//! Which carts of a batch name seats that are not free, before a transaction tries to take any.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures_util::FutureExt as _;

use super::request::CartRequest;
use super::{Batch, Candidate, CartJob, Refused};
use crate::db::error::Error;
use crate::db::packets::seat_cart::{SeatCart, Wanted, line_of, named, taken_lines};
use crate::db::tables::seats;
use crate::domain::seating::{SeatPlan, SeatWish};
use crate::domain::{Refusal, RefusedLine, SeatRefusal};

/// The plans of ticket types.
pub(super) type Plans = BTreeMap<i64, Arc<SeatPlan>>;
/// The seats that are free of those that were asked for, by ticket type.
pub(super) type FreeSeats = BTreeMap<i64, HashSet<i64>>;
/// A cart that did not get its seats, and why.
pub(super) type Lost = (Refusal, Candidate);
/// The seats that a request wants, by ticket type.
type WantedSeats = BTreeMap<i64, Wanted>;

/// A batch of carts, after a read of the seats that they name.
pub(super) struct Sifted {
    /// The carts whose seats are free, as far as they are named.
    pub(super) carts: Vec<SeatCart>,
    /// The same carts.
    pub(super) candidates: Vec<Candidate>,
    /// The requests that did not fit beside all carts, without those in `aside`.
    pub(super) rest: Refused,
    pub(super) aside: Aside,
}

/// Carts and requests whose named seats are not free.
#[derive(Default)]
pub(super) struct Aside {
    pub(super) carts: Vec<Lost>,
    /// Requests that did not fit beside the carts of the batch, and need not come again for that.
    pub(super) rest: Refused,
}

impl Aside {
    pub(super) fn into_jobs(self) -> impl Iterator<Item = CartJob> {
        let carts = self.carts.into_iter().map(|(_, candidate)| candidate.job);
        carts.chain(self.rest.into_iter().map(|(_, job)| job))
    }
}

impl Batch<'_> {
    /// Puts carts aside that name seats which are not free, by a read without locks: they need no transaction that takes their units
    /// and puts them back. So are requests that did not fit beside these carts: else each batch at the end of a sale would refuse no
    /// more of them than there are units. A cart that is alone goes without this read.
    pub(super) async fn sift(
        &self,
        carts: Vec<SeatCart>,
        candidates: Vec<Candidate>,
        rest: Refused,
        plans: &Plans,
    ) -> Result<Sifted, (Vec<Candidate>, Refused, Error)> {
        let short: Vec<Option<WantedSeats>> = rest.iter().map(|(why, job)| self.short(why, job, plans)).collect();
        let mut seats: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        let wanted = carts.iter().map(|cart| &cart.wanted).chain(short.iter().flatten());
        for (product_id, numbers) in wanted.filter_map(named).flatten() {
            seats.entry(product_id).or_default().extend(numbers);
        }
        if seats.is_empty() || carts.len() < 2 && short.iter().all(Option::is_none) {
            return Ok(Sifted { carts, candidates, rest, aside: Aside::default() });
        }
        let free = match self.find_free(seats).await {
            Ok(free) => free,
            Err(error) => return Err((candidates, rest, error)),
        };
        let taken = |wanted: &WantedSeats| Some(taken_lines(wanted, &free, plans)).filter(|lines| !lines.is_empty());
        let mut sifted =
            Sifted { carts: Vec::new(), candidates: Vec::new(), rest: Refused::new(), aside: Aside::default() };
        for (cart, candidate) in carts.into_iter().zip(candidates) {
            if let Some(lines) = taken(&cart.wanted) {
                sifted.aside.carts.push((Refusal::RefusedLines(lines), candidate));
            } else {
                sifted.carts.push(cart);
                sifted.candidates.push(candidate);
            }
        }
        for ((refusal, job), wanted) in rest.into_iter().zip(&short) {
            match wanted.as_ref().and_then(taken) {
                Some(lines) => sifted.aside.rest.push((Refusal::RefusedLines(lines), job)),
                None => sifted.rest.push((refusal, job)),
            }
        }
        Ok(sifted)
    }

    /// Returns the seats of a request that names all of them and did not fit for lack of units alone, if nothing of their ticket types
    /// had run out.
    fn short(&self, refusal: &Refusal, job: &CartJob, plans: &Plans) -> Option<WantedSeats> {
        let Refusal::RefusedLines(lines) = refusal else { return None };
        let lacks_units =
            |line: &RefusedLine| matches!(line.refusal, Refusal::SoldOut { .. } | Refusal::AllHeld { .. });
        let CartRequest { lines: all, seats, .. } = &job.request;
        let is_seated =
            all.keys().all(|product_id| seats.contains_key(product_id) && self.settled.contains(product_id));
        if !is_seated || !lines.iter().all(lacks_units) {
            return None;
        }
        wanted_seats(&job.request, plans).ok()
    }

    /// Reads which of these seats are free.
    pub(super) async fn find_free(&self, mut named: BTreeMap<i64, Vec<i64>>) -> Result<FreeSeats, Error> {
        if named.is_empty() {
            return Ok(FreeSeats::new());
        }
        for seats in named.values_mut() {
            seats.sort_unstable();
            seats.dedup();
        }
        let named = &named;
        let read = self.database.read("seats.find_free", |tx| {
            async move {
                let mut free = FreeSeats::new();
                for (&product_id, numbers) in named {
                    free.insert(product_id, seats::find_free(tx, product_id, numbers).await?);
                }
                Ok(free)
            }
            .boxed()
        });
        read.await
    }
}

/// Finds the seats that carts name. Those that name others are refused.
pub(super) fn find_seats(
    candidates: Vec<Candidate>,
    plans: &Plans,
    refused: &mut Refused,
) -> (Vec<SeatCart>, Vec<Candidate>) {
    let (mut carts, mut found) = (Vec::new(), Vec::new());
    for Candidate { job, cart } in candidates {
        match wanted_seats(&job.request, plans) {
            Ok(wanted) => {
                carts.push(SeatCart { cart: cart.clone(), wanted });
                found.push(Candidate { job, cart });
            }
            Err(lines) => refused.push((Refusal::RefusedLines(lines), job)),
        }
    }
    (carts, found)
}

/// Returns the seats that a request wants.
///
/// # Errors
/// The lines that name seats which their ticket types do not have.
fn wanted_seats(request: &CartRequest, plans: &Plans) -> Result<WantedSeats, Vec<RefusedLine>> {
    let (mut wanted, mut lines) = (BTreeMap::new(), Vec::new());
    for (product_id, wish) in &request.seats {
        match plans.get(product_id).map_or(Err(Vec::new()), |plan| numbers(wish, plan)) {
            Ok(seats) => drop(wanted.insert(*product_id, seats)),
            Err(seats) => {
                let requested = request.lines.get(product_id).copied().unwrap_or(0);
                lines.push(line_of(*product_id, requested, Refusal::Seats(SeatRefusal::NotFound { seats })));
            }
        }
    }
    if lines.is_empty() { Ok(wanted) } else { Err(lines) }
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
