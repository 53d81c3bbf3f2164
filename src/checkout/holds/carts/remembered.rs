//! Which carts of a batch can be had by what is remembered: then their products are not read, since the guard compares it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ledger::{self, Ledger};
use super::request::{CartRequest, Replaced, refusal_of};
use super::{Batch, CartJob, products_of};
use crate::checkout::holds::callers::list_counters;
use crate::checkout::products::known::Known;
use crate::db::error::Error;
use crate::db::packets::take_carts::{Cart, CartLine};

impl Batch<'_> {
    /// As `remembered`, if the limits allow all of the carts, too. Their counters are read, if they have any.
    pub(super) async fn remembered_within_limits(
        &mut self,
        jobs: &[CartJob],
        replaced: &Replaced,
    ) -> Result<Option<Vec<Cart>>, Error> {
        let Some(carts) = self.remembered(jobs, replaced) else { return Ok(None) };
        let requests: Vec<&CartRequest> = jobs.iter().map(|job| &job.request).collect();
        Ok(self.fit_limits(&requests, &carts, replaced).await?.then_some(carts))
    }

    /// Returns all carts with the terms that are remembered, if these and the units that were left allow all of them: then
    /// nothing is read, since the guard compares the terms.
    fn remembered(&mut self, jobs: &[CartJob], replaced: &Replaced) -> Option<Vec<Cart>> {
        if self.reads {
            return None;
        }
        // once for each product: another batch may read it again meanwhile, and all lines of a product have the same terms
        let peek = |product_id| Some((product_id, self.work.products.peek(product_id)?));
        let known: BTreeMap<i64, Known> = products_of(jobs).into_iter().map(peek).collect::<Option<_>>()?;
        let mut wanted: BTreeMap<i64, i64> = BTreeMap::new();
        let mut carts = Vec::with_capacity(jobs.len());
        for CartJob { request, .. } in jobs {
            if !request.unknown.is_empty() || refusal_of(request, replaced).is_some() {
                return None;
            }
            let mut lines = Vec::with_capacity(request.lines.len());
            for (&product_id, &qty) in &request.lines {
                let Known { terms, is_open, .. } = known.get(&product_id)?;
                let has_seats = request.seats.contains_key(&product_id);
                let is_named = !terms.sale.buyer_limits().any() || request.buyer().is_some();
                if !is_open
                    || !is_named
                    || terms.sale.is_seated() != has_seats
                    || qty > terms.sale.max_units(self.work.max_qty)
                {
                    return None;
                }
                *wanted.entry(product_id).or_insert(0) += qty;
                lines.push(CartLine { product_id, qty, terms: Arc::clone(terms), seats: None });
            }
            carts.push(self.cart(request, lines)?);
        }
        let seated = known.into_iter().filter(|(_, known)| known.terms.sale.is_seated());
        self.stocks = seated.map(|(product_id, known)| (product_id, known.stock)).collect();
        self.work.left.suffices(&wanted).then_some(carts)
    }

    /// Returns whether the limits allow all of these carts, whose terms are remembered, and then counts them.
    async fn fit_limits(
        &mut self,
        requests: &[&CartRequest],
        carts: &[Cart],
        replaced: &Replaced,
    ) -> Result<bool, Error> {
        let pairs = || requests.iter().copied().zip(carts);
        let counters = pairs().flat_map(|(request, cart)| ledger::counters_of(request, &cart.lines));
        let mut ledger = Ledger::new(list_counters(&self.database, counters).await?, self.work.max_held);
        for (request, cart) in pairs() {
            if !ledger.over(request, &cart.lines, replaced).is_empty() {
                return Ok(false);
            }
            ledger.accept(request, &cart.lines, replaced);
        }
        self.ledger = ledger;
        Ok(true)
    }
}
