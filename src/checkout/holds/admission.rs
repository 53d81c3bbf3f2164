//! Which requests of a batch the terms of the product allow. What is remembered only decides whether the product is read: no
//! request is refused from memory.

use super::answers::{all, refuse_all};
use super::batch::{Batch, HoldJob, Refused, Replays};
use crate::batch::Attempt;
use crate::checkout::products::known::Known;
use crate::db::error::Error;
use crate::domain::{Refusal, SeatRefusal};

impl Batch<'_> {
    /// Returns the jobs that the terms of the product allow, and the copies. When what is remembered allows all jobs, nothing is
    /// read: the guard compares the terms. Otherwise the product is read, and that read refuses what it does not allow.
    pub(super) async fn admit(
        &mut self,
        jobs: Vec<HoldJob>,
        replays: Replays,
    ) -> Result<(Vec<HoldJob>, Replays), Attempt<HoldJob>> {
        let max_qty = self.work.max_qty;
        let known = self.work.products.peek(self.product_id);
        let allows = |known: Known| {
            let most = known.terms.sale.max_units(max_qty);
            let is_named = |job: &HoldJob| !known.terms.sale.buyer_limits().any() || job.request.buyer().is_some();
            known.is_open
                && !known.terms.sale.is_seated()
                && jobs.iter().all(|job| job.request.qty <= most && is_named(job))
        };
        if jobs.is_empty() || known.is_some_and(allows) {
            return Ok((jobs, replays));
        }
        let product = match self.work.products.read(&self.database, self.product_id).await {
            Ok(product) => product,
            Err(error) => {
                self.fail(jobs, replays, &error);
                return Err(Attempt { again: std::mem::take(&mut self.again), ..Attempt::done(None) });
            }
        };
        let terms = self.work.products.record(&product);
        let (closed, max) = (terms.sale.refusal(product.server_time), terms.sale.max_units(max_qty));
        let (is_limited, is_seated) = (terms.sale.buyer_limits().any(), terms.sale.is_seated());
        let (mut admitted, mut refused) = (Vec::new(), Vec::new());
        for job in jobs {
            match &closed {
                _ if is_seated => refused.push((Refusal::Seats(SeatRefusal::Required), job)),
                Some(refusal) => refused.push((refusal.clone(), job)),
                None if job.request.qty > max => refused.push((Refusal::InvalidQuantity { max }, job)),
                None if is_limited && job.request.buyer().is_none() => refused.push((Refusal::BuyerRequired, job)),
                None => admitted.push(job),
            }
        }
        match self.still_unknown(refused).await {
            Ok(refused) => {
                for (refusal, job) in refused {
                    job.answer(Err(refusal.into()));
                }
                Ok((admitted, replays))
            }
            Err((refused, error)) => {
                let others = all(admitted, Vec::new(), replays).into_iter().chain(refused);
                Err(refuse_all(others.chain(std::mem::take(&mut self.again)), &error))
            }
        }
    }

    /// Returns the jobs for which there are not enough units, refused because the product is not sold if that is so. Only a
    /// product with terms is read.
    pub(super) async fn explained(&self, rest: Refused, is_plain: bool) -> Result<Refused, (Vec<HoldJob>, Error)> {
        if rest.is_empty() || is_plain {
            return Ok(rest);
        }
        let product = match self.work.products.read(&self.database, self.product_id).await {
            Ok(product) => product,
            Err(error) => return Err((rest.into_iter().map(|(_, job)| job).collect(), error)),
        };
        let closed = self.work.products.record(&product).sale.refusal(product.server_time);
        Ok(rest.into_iter().map(|(refusal, job)| (closed.clone().unwrap_or(refusal), job)).collect())
    }
}
