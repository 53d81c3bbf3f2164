//! Batched reads of products. A round (one batch) starts after the last of its requests arrived and reads all their products in
//! one statement. So its responses are as fresh as with a query per request, at a fraction of the cost.

use std::collections::{BTreeSet, HashMap};

use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use crate::batch::{Done, Work};
use crate::db::tables::products::{self, Product};
use crate::db::{Database, Error, Share};
use crate::domain::Refusal;

/// One page of products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The products, by id.
    pub items: Vec<Product>,
    /// The id that the next page begins after; `None` on the last page.
    pub next_after: Option<i64>,
}

/// The subject of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Round {
    /// Single products, for all requests that name one.
    Products,
    /// One page of the list: up to `limit` products with ids greater than `after`.
    Page { after: i64, limit: u32 },
}

/// A waiting request.
pub(crate) enum ReadJob {
    /// For one product.
    Product(i64, oneshot::Sender<Result<Product, Error>>),
    /// For the page of the round.
    Page(oneshot::Sender<Result<Page, Error>>),
}

/// The dependencies of a round.
pub(crate) struct ReadWork {
    pub(crate) database: Database,
}

impl Work for ReadWork {
    type Key = Round;
    type Job = ReadJob;

    async fn run(&self, round: Round, jobs: Vec<ReadJob>, _supply: Option<i64>) -> Done<ReadJob> {
        match round {
            Round::Products => self.read_products(jobs).await,
            Round::Page { after, limit } => self.read_page(after, limit, jobs).await,
        }
        Done::all(None)
    }

    fn may_overlap(&self, _supply: Option<i64>, _weight: i64) -> bool {
        true
    }
}

impl ReadWork {
    async fn read_products(&self, jobs: Vec<ReadJob>) {
        let mut askers = Vec::with_capacity(jobs.len());
        for job in jobs {
            if let ReadJob::Product(product_id, answer) = job
                && !answer.is_closed()
            {
                askers.push((product_id, answer));
            }
        }
        let ids: BTreeSet<i64> = askers.iter().map(|(product_id, _)| *product_id).collect();
        if ids.is_empty() {
            return;
        }
        let ids = &ids;
        let found = self
            .database
            .read("products.list_some", |tx| async move { products::list_some(tx, ids).await }.boxed())
            .await
            .map(|products| products.into_iter().map(|product| (product.id, product)).collect::<HashMap<_, _>>());
        for (product_id, answer) in askers {
            let product = match &found {
                Ok(products) => products.get(&product_id).cloned().ok_or(Refusal::ProductNotFound.into()),
                Err(error) => Err(error.clone()),
            };
            let _ = answer.send(product);
        }
    }

    async fn read_page(&self, after: i64, limit: u32, jobs: Vec<ReadJob>) {
        let is_waited_for = |job: &ReadJob| matches!(job, ReadJob::Page(answer) if !answer.is_closed());
        let jobs: Vec<ReadJob> = jobs.into_iter().filter(is_waited_for).collect();
        if jobs.is_empty() {
            return;
        }
        // one row more than the page has tells whether there is a next page; each page has a round of its own, often for one
        // job
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
            if let ReadJob::Page(answer) = job {
                let _ = answer.send(page.clone());
            }
        }
    }
}
