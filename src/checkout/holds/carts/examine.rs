//! Which carts of a batch can be had: a read of all their products, and of what may come back of those that are short. Every
//! refusal rests on it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::ledger::{Ledger, counters};
use super::request::{CartRequest, Replaced, refusal_of};
use super::{Batch, Candidate, CartJob, Refused, products_of};
use crate::checkout::holds::answers::still_unknown;
use crate::checkout::holds::callers::{Caller, StillDue, give_back_due, list_counters};
use crate::checkout::holds::supply::explain;
use crate::db::error::Error;
use crate::db::packets::take_carts::CartLine;
use crate::db::tables::holds::Supply;
use crate::db::tables::products::{Product, Terms};
use crate::domain::{Owner, Refusal, RefusedLine, SeatRefusal};

/// Whether a cart can be had.
enum Verdict {
    Fits(Vec<CartLine>),
    /// It would pass a limit beside earlier carts of the batch, which may still fail.
    Later,
    Refused(Refusal),
}

/// What was read for a batch.
struct Facts {
    products: Products,
    /// The supplies of the products that have too few units for all carts.
    supplies: HashMap<i64, Supply>,
    /// Units that no cart before has taken, by product.
    left: BTreeMap<i64, i64>,
    /// The shop's limit of units.
    max_qty: i64,
    /// The counters of the carts.
    ledger: Ledger,
    /// What has run out of the callers' holds and is not given back yet.
    due: StillDue,
}

impl Batch<'_> {
    /// Returns the carts that can be had together, in order of arrival, and those to be refused.
    ///
    /// # Errors
    /// An error of a read, with all jobs.
    pub(super) async fn examine(
        &mut self,
        jobs: Vec<CartJob>,
        replaced: &Replaced,
    ) -> Result<(Vec<Candidate>, Refused), (Vec<CartJob>, Error)> {
        let mut facts = match self.read_facts(&jobs, replaced).await {
            Ok(facts) => facts,
            Err(error) => return Err((jobs, error)),
        };
        let (mut candidates, mut refused) = (Vec::new(), Vec::new());
        for job in jobs {
            match facts.judge(&job.request, replaced) {
                Verdict::Fits(lines) => match self.cart(&job.request, lines) {
                    Some(cart) => candidates.push(Candidate { job, cart }),
                    None => refused.push((Refusal::MixedCurrencies, job)),
                },
                Verdict::Later => self.again.push(job),
                Verdict::Refused(refusal) => refused.push((refusal, job)),
            }
        }
        self.stocks = facts.products.iter().map(|(&product_id, (product, _))| (product_id, product.stock)).collect();
        let settled = facts.supplies.iter().filter(|(_, supply)| !supply.is_due());
        self.settled = settled.map(|(&product_id, _)| product_id).collect();
        self.ledger = facts.ledger;
        self.work.left.record(facts.left);
        match still_unknown(&self.database, &mut self.again, refused).await {
            Ok(refused) => Ok((candidates, refused)),
            Err((refused, error)) => {
                let others = candidates.into_iter().map(|candidate| candidate.job);
                Err((others.chain(refused).collect(), error))
            }
        }
    }

    async fn read_facts(&self, jobs: &[CartJob], replaced: &Replaced) -> Result<Facts, Error> {
        let work = self.work;
        let mut products = work.products.read_some(&self.database, &products_of(jobs)).await?;
        let mut wanted: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        // a line that its product does not allow reads nothing more
        let lines = jobs.iter().flat_map(|job| job.request.lines.iter().map(|(&id, &qty)| (&job.request, id, qty)));
        for (request, product_id, qty) in lines {
            if allowed(request, products.get(&product_id), qty, work.max_qty).is_ok() {
                let (most, sum) = wanted.entry(product_id).or_insert((0, 0));
                (*most, *sum) = (qty.max(*most), *sum + qty);
            }
        }
        let counters = || jobs.iter().flat_map(|job| counters_of(&job.request, &products));
        let mut ledger = Ledger::new(list_counters(&self.database, counters()).await?, work.max_held);
        let over = |job: &CartJob| ledger.over(&job.request, &lines_of(&job.request, &products), replaced);
        let limited: BTreeSet<i64> = jobs.iter().flat_map(|job| over(job).into_keys()).collect();
        // all units on sale would not be enough, so what has run out is given back
        for (product_id, (_, sum)) in &mut wanted {
            if limited.contains(product_id) {
                *sum = i64::MAX;
            }
        }
        let short = wanted.into_iter().filter_map(|(product_id, wanted)| {
            let (product, _) = products.get(&product_id)?;
            (product.available < wanted.1).then_some((product_id, product.details.sale.clone(), wanted))
        });
        let short: Vec<_> = short.collect();
        let supplies = work.supplies.find_some(&self.database, &short).await?;
        let mut due = StillDue::default();
        if !limited.is_empty() {
            ledger = Ledger::new(list_counters(&self.database, counters()).await?, work.max_held);
            let callers = over_callers(&ledger, jobs, &products, replaced);
            if !callers.is_empty() {
                due = give_back_due(&self.database, &work.supplies, &callers).await?;
                ledger = Ledger::new(list_counters(&self.database, counters()).await?, work.max_held);
            }
        }
        // one that was deleted between the two reads
        products.retain(|product_id, _| {
            supplies.contains_key(product_id) || short.iter().all(|(short, ..)| short != product_id)
        });
        let available = |(&product_id, (product, _)): (&i64, &(Product, _))| {
            (product_id, supplies.get(&product_id).map_or(product.available, |supply| supply.available))
        };
        let left = products.iter().map(available).collect();
        Ok(Facts { products, supplies, left, max_qty: work.max_qty, ledger, due })
    }
}

/// Products as they were read, with their terms.
type Products = BTreeMap<i64, (Product, Arc<Terms>)>;

/// Returns the lines of a request whose products there are.
fn lines_of(request: &CartRequest, products: &Products) -> Vec<CartLine> {
    let line = |(&product_id, &qty): (&i64, &i64)| {
        Some(CartLine { product_id, qty, terms: Arc::clone(&products.get(&product_id)?.1), seats: None })
    };
    request.lines.iter().filter_map(line).collect()
}

/// Returns the callers that the counters would refuse.
fn over_callers(ledger: &Ledger, jobs: &[CartJob], products: &Products, replaced: &Replaced) -> HashSet<Caller> {
    let mut callers = HashSet::new();
    for CartJob { request, .. } in jobs {
        let over = ledger.over_alone(request, &lines_of(request, products), replaced);
        callers.extend(over.values().map(|refusal| Caller::of(refusal, owner(request))));
    }
    callers
}

fn owner(request: &CartRequest) -> Option<&Owner> {
    request.details.as_deref().map(|details| &details.owner)
}

/// Returns the counters of a request.
fn counters_of(request: &CartRequest, products: &Products) -> Vec<Uuid> {
    let own = |product_id: &i64| Some(counters(request, *product_id, &products.get(product_id)?.1));
    request.lines.keys().filter_map(own).flatten().collect()
}

/// Returns the terms of a product as it was read if they allow a line with so many units; else why they do not.
fn allowed<'a>(
    request: &CartRequest,
    product: Option<&'a (Product, Arc<Terms>)>,
    qty: i64,
    max_qty: i64,
) -> Result<&'a Arc<Terms>, Refusal> {
    let Some((product, terms)) = product else { return Err(Refusal::ProductNotFound) };
    match (terms.sale.is_seated(), request.seats.contains_key(&product.id)) {
        (true, false) => return Err(Refusal::Seats(SeatRefusal::Required)),
        (false, true) => return Err(Refusal::NotSeated),
        _ => {}
    }
    if let Some(refusal) = terms.sale.refusal(product.server_time) {
        return Err(refusal);
    }
    let max = terms.sale.max_units(max_qty);
    if qty > max {
        return Err(Refusal::InvalidQuantity { max });
    }
    match terms.sale.buyer_limits().any() && request.buyer().is_none() {
        true => Err(Refusal::BuyerRequired),
        false => Ok(terms),
    }
}

impl Facts {
    /// Returns the lines of a cart, whose units the next carts cannot have, or why it is refused.
    fn judge(&mut self, request: &CartRequest, replaced: &Replaced) -> Verdict {
        if let Some(refusal) = refusal_of(request, replaced) {
            return Verdict::Refused(refusal);
        }
        let mut currencies =
            request.lines.keys().filter_map(|product_id| Some(&self.products.get(product_id)?.1.currency));
        let first = currencies.next();
        if currencies.any(|currency| Some(currency) != first) {
            return Verdict::Refused(Refusal::MixedCurrencies);
        }
        let own = request.replaces.and_then(|hold_id| replaced.get(&hold_id)).map(Vec::as_slice).unwrap_or_default();
        let back: BTreeMap<i64, i64> = own.iter().map(|line| (line.product_id, line.qty)).collect();
        let (mut lines, mut refused) = (Vec::new(), request.unknown.clone());
        for (&product_id, &qty) in &request.lines {
            let left = self.left.get(&product_id).map(|left| left + back.get(&product_id).unwrap_or(&0));
            match self.line(request, (product_id, qty), left.unwrap_or(0)) {
                Ok(line) => lines.push(line),
                Err(refusal) => refused.push(RefusedLine {
                    product_id: Some(product_id),
                    sku: None,
                    requested: qty,
                    available_stock: left,
                    refusal,
                }),
            }
        }
        let over = self.ledger.over(request, &lines, replaced);
        let over_alone = self.ledger.over_alone(request, &lines, replaced);
        if !over.is_empty() {
            refused.extend(over_alone.into_iter().map(|(product_id, refusal)| RefusedLine {
                product_id: Some(product_id),
                sku: None,
                requested: request.lines.get(&product_id).copied().unwrap_or(0),
                available_stock: self.left.get(&product_id).map(|left| left + back.get(&product_id).unwrap_or(&0)),
                refusal: self.due.told(refusal, owner(request)),
            }));
            if refused.is_empty() {
                return Verdict::Later;
            }
        }
        if !refused.is_empty() {
            refused.sort_by_key(|line| (line.product_id.is_none(), line.product_id));
            return Verdict::Refused(Refusal::RefusedLines(refused));
        }
        self.take(request, &back);
        self.ledger.accept(request, &lines, replaced);
        Verdict::Fits(lines)
    }

    /// Counts the units of a cart as taken, and those of the hold that it replaces as given back.
    fn take(&mut self, request: &CartRequest, back: &BTreeMap<i64, i64>) {
        for (product_id, units) in back {
            self.left.entry(*product_id).and_modify(|left| *left += units);
        }
        for (product_id, qty) in &request.lines {
            self.left.entry(*product_id).and_modify(|left| *left -= qty);
        }
    }

    /// Returns a line, or why it cannot be had when `left` units are left for it.
    fn line(&self, request: &CartRequest, (product_id, qty): (i64, i64), left: i64) -> Result<CartLine, Refusal> {
        let terms = allowed(request, self.products.get(&product_id), qty, self.max_qty)?;
        match self.supplies.get(&product_id) {
            Some(supply) if qty > left => Err(explain(supply, left, qty)),
            _ => Ok(CartLine { product_id, qty, terms: Arc::clone(terms), seats: None }),
        }
    }
}
