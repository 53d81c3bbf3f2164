//! Reads of products are batched in rounds. A round starts after all its requests arrived and reads their products with one
//! statement, so its answers are as fresh as one query per request, at a fraction of the cost.

use std::collections::{BTreeSet, HashMap};

use futures_util::FutureExt as _;

use crate::batch::{Attempt, JobOf, Turn, Work};
use crate::db::door::Database;
use crate::db::error::Error;
use crate::db::share::Share;
use crate::db::tables::products::{self, Product};
use crate::domain::Refusal;

/// One page of products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// By id.
    pub items: Vec<Product>,
    /// The id that the next page begins after; `None` on the last page.
    pub next_after: Option<i64>,
}

/// Reads single products, by id.
pub(crate) struct ProductReads {
    pub(crate) database: Database,
}

impl Work for ProductReads {
    type Key = ();
    type Request = i64;
    type Response = Result<Product, Error>;

    async fn attempt(&self, (): (), jobs: Vec<JobOf<Self>>, _: Turn, _: Option<i64>) -> Attempt<JobOf<Self>> {
        let ids: BTreeSet<i64> = jobs.iter().map(|job| job.request).collect();
        let ids = &ids;
        let found = self
            .database
            .read("products.list_some", |tx| async move { products::list_some(tx, ids).await }.boxed())
            .await
            .map(|products| products.into_iter().map(|product| (product.id, product)).collect::<HashMap<_, _>>());
        for job in jobs {
            let product = match &found {
                Ok(products) => products.get(&job.request).cloned().ok_or(Refusal::ProductNotFound.into()),
                Err(error) => Err(error.clone()),
            };
            job.answer(product);
        }
        Attempt::done(None)
    }

    fn may_overlap(&self, _supply: Option<i64>, _weight: i64) -> bool {
        true
    }
}

/// Which page of the list a round reads: up to `limit` products with ids greater than `after`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PageKey {
    pub(crate) after: i64,
    pub(crate) limit: u32,
}

/// Reads pages of the list; each page has rounds of its own.
pub(crate) struct PageReads {
    pub(crate) database: Database,
}

impl Work for PageReads {
    type Key = PageKey;
    type Request = ();
    type Response = Result<Page, Error>;

    async fn attempt(&self, page: PageKey, jobs: Vec<JobOf<Self>>, _: Turn, _: Option<i64>) -> Attempt<JobOf<Self>> {
        let PageKey { after, limit } = page;
        // one more row than the page shows whether there is a next one
        let found = self
            .database
            .share(Share::of_batch(jobs.len()))
            .read("products.list", |tx| async move { products::list(tx, after, limit + 1).await }.boxed())
            .await;
        let page = found.map(|mut items| {
            let more = items.len() > limit as usize;
            items.truncate(limit as usize);
            let next_after = items.last().filter(|_| more).map(|last| last.id);
            Page { items, next_after }
        });
        for job in jobs {
            job.answer(page.clone());
        }
        Attempt::done(None)
    }

    fn may_overlap(&self, _supply: Option<i64>, _weight: i64) -> bool {
        true
    }
}
