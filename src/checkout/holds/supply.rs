//! The supply of one product: the units on sale, and those that may come back because a hold or an unpaid order runs out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::NaiveDateTime;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use tokio::time::Instant;

use super::expiry::{Pass, Seen, expire_due};
use super::outlook::Outlooks;
use super::passed_over::PassedOver;
use crate::db::door::Database;
use crate::db::due::{Place, Window};
use crate::db::error::{Error, Failure};
use crate::db::tables::holds::{self, Supply};
use crate::domain::{Refusal, Sale};

/// Maximum number of expired holds per page that are given back before a request is refused.
const DUE: u32 = 500;
/// Maximum number of these pages. The next page is read only if no row of the last one could be given back.
const PAGES: u32 = 4;
/// How many supplies of one batch are read at the same time.
const AT_ONCE: usize = 4;

/// Reads supplies, and remembers what that needs.
pub(crate) struct Supplies {
    pub(crate) passed_over: Arc<PassedOver>,
    pub(crate) outlooks: Outlooks,
    /// The place behind which a worker looks for holds that have run out.
    pub(crate) due_from: Mutex<Place>,
}

impl Supplies {
    /// Returns the place behind which holds that have run out are, except for stragglers.
    pub(super) fn due_place(&self) -> Place {
        *self.due_from.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records how far a worker has looked.
    pub(crate) fn record_due_place(&self, place: Place) {
        *self.due_from.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }

    /// Reads the supply after expired holds were given back, by this call or by another transaction. The requests want `sum`
    /// units together, and `most` units at most. `sale` has the times of the product's own holds and orders.
    pub(super) async fn find(
        &self,
        database: &Database,
        product_id: i64,
        sale: &Sale,
        (most, sum): (i64, i64),
    ) -> Result<Supply, Error> {
        let supply = self.read(database, product_id, sale, most).await?;
        if supply.available < sum
            && supply.is_due()
            && let Some(&first) = supply.returns.first()
        {
            // boxed: it is rare, and it would enlarge the future of every batch
            Box::pin(self.expire_due(database, product_id, first)).await?;
            return self.read(database, product_id, sale, most).await;
        }
        Ok(supply)
    }

    /// Does the same for several products, a few at a time; missing ones are left out.
    pub(super) async fn find_some(
        &self,
        database: &Database,
        wanted: &[(i64, Sale, (i64, i64))],
    ) -> Result<HashMap<i64, Supply>, Error> {
        let mut supplies = HashMap::with_capacity(wanted.len());
        for some in wanted.chunks(AT_ONCE) {
            let mut reads: Vec<BoxFuture<'_, _>> = Vec::with_capacity(AT_ONCE);
            for (product_id, sale, wanted) in some {
                reads.push(self.find(database, *product_id, sale, *wanted).boxed());
            }
            for ((product_id, ..), found) in some.iter().zip(join_all(reads).await) {
                match found {
                    Ok(supply) => drop(supplies.insert(*product_id, supply)),
                    Err(Error::Refused(Refusal::ProductNotFound)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(supplies)
    }

    /// Reads the available units, and those that may come back: at least `enough`, if there are as many.
    pub(crate) async fn read(
        &self,
        database: &Database,
        product_id: i64,
        sale: &Sale,
        enough: i64,
    ) -> Result<Supply, Error> {
        let (outlooks, began) = (&self.outlooks, Instant::now());
        let own: Vec<Duration> = sale.own_seconds().map(Duration::from_secs).collect();
        let within = outlooks.ranges(product_id, &own, began);
        let within = within.as_deref();
        let supply = database.read("holds.find_supply", |tx| {
            async move {
                let found = holds::find_supply(tx, product_id, enough, within).await?;
                found.ok_or(Failure::Refused(Refusal::ProductNotFound))
            }
            .boxed()
        });
        let supply = supply.await.inspect_err(|_| {
            if within.is_none() {
                outlooks.put_off(product_id, (began, began.elapsed()));
            }
        })?;
        let limit = usize::try_from(enough).unwrap_or(0);
        outlooks.record(product_id, (began, began.elapsed()), within, limit, &supply);
        Ok(supply)
    }

    /// Gives back this product's expired holds, whatever units are on sale. Returns whether some of them came back, by this call or
    /// by another transaction.
    pub(super) async fn give_back_due(&self, database: &Database, product_id: i64, sale: &Sale) -> Result<bool, Error> {
        let before = self.read(database, product_id, sale, 1).await?;
        let Some(&first) = before.returns.first().filter(|_| before.is_due()) else { return Ok(false) };
        if self.expire_due(database, product_id, first).await? {
            return Ok(true);
        }
        Ok(self.read(database, product_id, sale, 1).await?.returns.first() != Some(&first))
    }

    /// Gives back this product's expired holds; `first` is the deadline of the first row that may come back. Returns whether some
    /// of them came back.
    async fn expire_due(&self, database: &Database, product_id: i64, first: NaiveDateTime) -> Result<bool, Error> {
        let passed_over = &self.passed_over;
        let after = passed_over.place_of(product_id).into_iter().fold(Place::before(first), Place::max);
        let mut window = Window { after, age: Duration::ZERO, limit: DUE };
        for _ in 0..PAGES {
            let pass = expire_due(database, passed_over, Some(product_id), window).await?;
            match pass {
                // all rows of the page are passed over: read the next one
                Pass::Done(Seen { last: Some(last), done: 0, .. }) => window.after = last,
                Pass::Done(Seen { done, .. }) => return Ok(done > 0),
                Pass::Raced | Pass::Paused => break,
            }
        }
        Ok(false)
    }
}

/// Returns why a request for `qty` units is refused when `left` units are left for it.
pub(super) fn explain(supply: &Supply, left: i64, qty: i64) -> Refusal {
    if supply.available + supply.returning < qty {
        return Refusal::SoldOut { available_stock: left };
    }
    let wait_us = u64::try_from(supply.first_returns_in_us).unwrap_or(0);
    Refusal::AllHeld { available_stock: left, retry_after_seconds: wait_us.div_ceil(1_000_000).max(1) }
}
