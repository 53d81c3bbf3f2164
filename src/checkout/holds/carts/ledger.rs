//! What the limits of buyers and of callers allow to the carts of a batch, line by line, and what the batch adds to the counters. A
//! hold that a cart replaces gives its units back first: they are available to the cart, also to a caller that is over a limit which
//! was lowered.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::request::{CartRequest, Replaced};
use crate::checkout::holds::limits::{Limit, limits_of};
use crate::db::packets::counters::{Counted, LimitPass};
use crate::db::packets::take_carts::{Cart, CartLine};
use crate::db::tables::products::Terms;
use crate::domain::Refusal;

/// The counters of a batch of carts.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Their units as they were read.
    read: HashMap<Uuid, i64>,
    /// The same with the units of the carts that were accepted.
    running: HashMap<Uuid, i64>,
    /// The counters with which operators pass a limit.
    raised: HashSet<Uuid>,
    passes: Vec<LimitPass>,
    /// The most units that a caller may hold.
    max_held: Option<i64>,
}

/// Returns the limits of a line of a request; a caller may hold `max_held` units.
fn limits(request: &CartRequest, product_id: i64, terms: &Terms, max_held: Option<i64>) -> [Option<Limit>; 3] {
    let owner = request.details.as_deref().map(|details| &details.owner);
    limits_of(product_id, terms.sale.buyer_limits(), owner, (request.held_on, max_held))
}

/// Returns the counters of a line of a request.
pub(super) fn counters(request: &CartRequest, product_id: i64, terms: &Terms) -> impl Iterator<Item = Uuid> + use<> {
    limits(request, product_id, terms, None).into_iter().flatten().map(|limit| limit.counter)
}

/// Returns the counters of the lines of a cart.
pub(super) fn counters_of<'a>(request: &'a CartRequest, lines: &'a [CartLine]) -> impl Iterator<Item = Uuid> + 'a {
    lines.iter().flat_map(|line| counters(request, line.product_id, &line.terms))
}

/// Returns the units that each counter gets back from the hold that a request replaces.
fn back(request: &CartRequest, replaced: &Replaced) -> BTreeMap<Uuid, i64> {
    let mut back = BTreeMap::new();
    for row in request.replaces.map(|hold_id| replaced.counted(hold_id)).unwrap_or_default() {
        for counter in row.counters.into_iter().flatten() {
            *back.entry(counter).or_insert(0) += row.units.qty;
        }
    }
    back
}

impl Ledger {
    pub(super) fn new(read: HashMap<Uuid, i64>, max_held: Option<i64>) -> Self {
        Self { running: read.clone(), read, max_held, ..Self::default() }
    }

    /// Returns the lines that pass a limit beside the carts that were accepted, and why, by product; none if the cart fits.
    pub(super) fn over(
        &self,
        request: &CartRequest,
        lines: &[CartLine],
        replaced: &Replaced,
    ) -> BTreeMap<i64, Refusal> {
        over(&self.running, self.max_held, request, lines, replaced)
    }

    /// Does the same as if no cart of the batch was accepted.
    pub(super) fn over_alone(
        &self,
        request: &CartRequest,
        lines: &[CartLine],
        replaced: &Replaced,
    ) -> BTreeMap<i64, Refusal> {
        over(&self.read, self.max_held, request, lines, replaced)
    }

    /// Counts the units of a cart, and those of the hold that it replaces. Notes the limits that an operator passes.
    pub(super) fn accept(&mut self, request: &CartRequest, lines: &[CartLine], replaced: &Replaced) {
        let back = back(request, replaced);
        for (&counter, units) in &back {
            *self.running.entry(counter).or_insert(0) -= units;
        }
        let (mut place, mut added) = (0, HashMap::new());
        for line in lines {
            for limit in limits(request, line.product_id, &line.terms, self.max_held).into_iter().flatten() {
                let yours = self.running.entry(limit.counter).or_insert(0);
                let added = added.entry(limit.counter).or_insert(0);
                *added += line.qty;
                if limit.is_of_buyer() && *yours + line.qty > limit.most && adds(&back, limit.counter, *added) {
                    self.raised.insert(limit.counter);
                    self.passes.push(LimitPass {
                        hold_id: request.hold_id,
                        product_id: line.product_id,
                        event_id: limit.event_id(),
                        place,
                        operator: request.operator.as_deref().unwrap_or_default().to_owned(),
                        buyer: request.buyer().unwrap_or_default().to_owned(),
                        limit: limit.most,
                        units: (*yours, *yours + line.qty),
                    });
                    place += 1;
                }
                *yours += line.qty;
            }
        }
    }

    /// Returns what these carts add to the counters, less what the holds that they replace give back.
    pub(super) fn count<'a>(
        &self,
        carts: impl IntoIterator<Item = (&'a CartRequest, &'a Cart)>,
        replaced: &Replaced,
    ) -> Counted {
        let mut counted = Counted { passes: self.passes.clone(), ..Counted::default() };
        for (request, cart) in carts {
            for (counter, units) in back(request, replaced) {
                counted.counters.take_off(counter, units);
            }
            for line in &cart.lines {
                let limits = limits(request, line.product_id, &line.terms, self.max_held);
                for Limit { counter, most, .. } in limits.into_iter().flatten() {
                    counted.counters.add(counter, line.qty, self.most(counter, most));
                }
                if limits.iter().any(Option::is_some) {
                    let marks = limits.map(|limit| limit.map(|limit| limit.counter));
                    counted.marks.insert((cart.hold_id, line.product_id), marks);
                }
            }
        }
        counted.passes.retain(|pass| counted.marks.contains_key(&(pass.hold_id, pass.product_id)));
        counted
    }

    /// Returns the most units that a counter with this limit may have behind the packet: where an operator passes the limit, what
    /// was read and what the carts add, and else no more than was read.
    fn most(&self, counter: Uuid, limit: i64) -> i64 {
        let units = if self.raised.contains(&counter) { &self.running } else { &self.read };
        units.get(&counter).copied().unwrap_or(0).max(limit)
    }
}

/// Returns whether a hold of so many units on a counter adds to what the hold that it replaces gives back.
fn adds(back: &BTreeMap<Uuid, i64>, counter: Uuid, units: i64) -> bool {
    units > back.get(&counter).copied().unwrap_or(0)
}

fn over(
    units: &HashMap<Uuid, i64>,
    max_held: Option<i64>,
    request: &CartRequest,
    lines: &[CartLine],
    replaced: &Replaced,
) -> BTreeMap<i64, Refusal> {
    let back = back(request, replaced);
    let yours = |counter: Uuid| units.get(&counter).copied().unwrap_or(0) - back.get(&counter).copied().unwrap_or(0);
    let (mut refused, mut added) = (BTreeMap::new(), HashMap::new());
    for line in lines {
        for limit in limits(request, line.product_id, &line.terms, max_held).into_iter().flatten() {
            let (yours, added) = (yours(limit.counter), added.entry(limit.counter).or_insert(0));
            *added += line.qty;
            let passes = limit.is_of_buyer() && request.operator.is_some();
            if !passes && yours + *added > limit.most && adds(&back, limit.counter, *added) {
                refused.entry(line.product_id).or_insert_with(|| limit.refusal(yours));
            }
        }
    }
    refused
}
