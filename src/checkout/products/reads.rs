//! Reads of products are batched in rounds. A round starts after all its requests arrived and reads their products with one
//! statement, so its answers are as fresh as one query per request, at a fraction of the cost.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::NaiveDateTime;
use futures_util::FutureExt as _;

use crate::batch::{Attempt, JobOf, Turn, Work};
use crate::checkout::holds::supply::Supplies;
use crate::db::door::Database;
use crate::db::error::Error;
use crate::db::share::Share;
use crate::db::tables::holds::Supply;
use crate::db::tables::products::{self, Product};
use crate::domain::{Refusal, SaleStatus};

/// A product, and whether it can be held now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The product.
    pub product: Product,
    /// What a buyer is told about its sale.
    pub sale_status: SaleStatus,
    /// When all units that are left are held: when the first of them comes back by itself, UTC.
    pub next_return_at: Option<NaiveDateTime>,
}

/// One page of products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// By id.
    pub items: Vec<Shown>,
    /// The id that the next page begins after; `None` on the last page.
    pub next_after: Option<i64>,
}

/// The most products of a round of which is read what may come back, one after the other.
const MOST_SUPPLIES: usize = 32;

/// Adds to each product whether it can be held. Of a product that is sold and has all its units reserved, the first row is read
/// that may come back; beyond [`MOST_SUPPLIES`], such a product is shown as sold out.
pub(super) async fn show(
    database: &Database,
    supplies: &Supplies,
    products: impl IntoIterator<Item = Product>,
) -> Result<Vec<Shown>, Error> {
    let (mut shown, mut read) = (Vec::new(), 0);
    for mut product in products {
        let sale = &product.details.sale;
        let is_sold_out = sale.told(product.server_time, product.available, false) == SaleStatus::SoldOut;
        let is_short = is_sold_out && product.stock > product.available && read < MOST_SUPPLIES;
        read += usize::from(is_short);
        let next = match is_short {
            true => match supplies.read(database, product.id, sale, 1).await {
                Ok(Supply { available, read_at, returns, .. }) => {
                    (product.available, product.server_time) = (available, read_at);
                    returns.first().copied()
                }
                // deleted since it was read, or not to be read now: the product itself can be shown
                Err(_) => None,
            },
            false => None,
        };
        let sale_status = product.details.sale.told(product.server_time, product.available, next.is_some());
        let next_return_at = next.filter(|_| sale_status == SaleStatus::AllHeld);
        shown.push(Shown { product, sale_status, next_return_at });
    }
    Ok(shown)
}

/// Does the same for one product after a change of it, whose answer must not fail any more.
pub(in crate::checkout) async fn show_or_guess(database: &Database, supplies: &Supplies, product: Product) -> Shown {
    if let Ok(mut shown) = show(database, supplies, [product.clone()]).await
        && let Some(shown) = shown.pop()
    {
        return shown;
    }
    let sale_status = product.details.sale.told(product.server_time, product.available, false);
    Shown { product, sale_status, next_return_at: None }
}

/// Reads single products, by id.
pub(crate) struct ProductReads {
    pub(crate) database: Database,
    pub(crate) supplies: Arc<Supplies>,
}

impl Work for ProductReads {
    type Key = ();
    type Request = i64;
    type Response = Result<Shown, Error>;

    async fn attempt(&self, (): (), jobs: Vec<JobOf<Self>>, _: Turn, _: Option<i64>) -> Attempt<JobOf<Self>> {
        let ids: BTreeSet<i64> = jobs.iter().map(|job| job.request).collect();
        let ids = &ids;
        let found = self
            .database
            .read("products.list_some", |tx| async move { products::list_some(tx, ids).await }.boxed())
            .await;
        let found = match found {
            Ok(products) => show(&self.database, &self.supplies, products).await,
            Err(error) => Err(error),
        };
        let found = found.map(|all| all.into_iter().map(|shown| (shown.product.id, shown)).collect::<HashMap<_, _>>());
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
    pub(crate) supplies: Arc<Supplies>,
}

impl Work for PageReads {
    type Key = PageKey;
    type Request = ();
    type Response = Result<Page, Error>;

    async fn attempt(&self, page: PageKey, jobs: Vec<JobOf<Self>>, _: Turn, _: Option<i64>) -> Attempt<JobOf<Self>> {
        let PageKey { after, limit } = page;
        // one more row than the page shows whether there is a next one
        let database = self.database.share(Share::of_batch(jobs.len()));
        let found = database
            .read("products.list", |tx| async move { products::list(tx, after, limit + 1).await }.boxed())
            .await;
        let page = match found {
            Ok(mut items) => {
                let more = items.len() > limit as usize;
                items.truncate(limit as usize);
                let next_after = items.last().filter(|_| more).map(|last| last.id);
                show(&database, &self.supplies, items).await.map(|items| Page { items, next_after })
            }
            Err(error) => Err(error),
        };
        for job in jobs {
            job.answer(page.clone());
        }
        Attempt::done(None)
    }

    fn may_overlap(&self, _supply: Option<i64>, _weight: i64) -> bool {
        true
    }
}
