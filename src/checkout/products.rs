//! What is on sale.

use super::Checkout;
use crate::db::products::{self, Product};
use crate::db::{Error, Failure};
use crate::domain::Refusal;
use futures_util::FutureExt as _;

/// One page of products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// By id.
    pub items: Vec<Product>,
    /// The id that the next page begins after; `None` on the last page.
    pub next_after: Option<i64>,
}

impl Checkout {
    /// One product, read after the question arrived.
    ///
    /// # Errors
    /// [`Refusal::ProductNotFound`].
    pub async fn product(&self, product_id: i64) -> Result<Product, Error> {
        self.database
            .read("products.find", |tx| {
                async move { products::find(tx, product_id).await?.ok_or(Failure::Refused(Refusal::ProductNotFound)) }
                    .boxed()
            })
            .await
    }

    /// Up to `limit` products with ids greater than `after`; one query whatever the limit.
    ///
    /// # Errors
    /// As every read.
    pub async fn list_products(&self, after: i64, limit: u32) -> Result<Page, Error> {
        let mut items = self
            .database
            .read("products.list", |tx| async move { products::list_page(tx, after, limit + 1).await }.boxed())
            .await?;
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next_after = items.last().filter(|_| more).map(|last| last.id);
        Ok(Page { items, next_after })
    }

    /// Makes product 1 with this name, price and stock, where there is none. Returns whether it was made.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn seed(&self, name: &str, price_minor: i64, currency: &str, stock: i64) -> Result<bool, Error> {
        self.database
            .transaction("products.seed", |tx| {
                async move { products::insert(tx, 1, name, price_minor, currency, stock).await }.boxed()
            })
            .await
    }
}
