//! Products on sale.

pub mod changes;
pub(crate) mod known;
pub mod limits;
pub(crate) mod reads;
pub(crate) mod records;
pub mod stock;

use std::collections::BTreeSet;

use futures_util::FutureExt as _;
use tokio::time::Instant;

use self::reads::{Page, PageKey, Shown, show};
use crate::checkout::error::Error;
use crate::checkout::patience::{ask, deadline};
use crate::checkout::state::Checkout;
use crate::db::tables::products::{self, Product};
use crate::domain::ProductStatus;

impl Checkout {
    /// Returns one product, read after the request arrived.
    ///
    /// # Errors
    /// [`Refusal::ProductNotFound`].
    ///
    /// [`Refusal::ProductNotFound`]: crate::domain::Refusal::ProductNotFound
    pub async fn product(&self, product_id: i64) -> Result<Shown, Error> {
        self.product_until(deadline(), product_id).await
    }

    /// Does the same, waiting until `deadline`.
    pub(crate) async fn product_until(&self, deadline: Instant, product_id: i64) -> Result<Shown, Error> {
        ask(&self.product_reads, (), product_id, deadline).await
    }

    /// Returns up to `limit` products with ids greater than `after`; one query whatever the limit.
    ///
    /// # Errors
    /// As every read.
    pub async fn list_products(&self, after: i64, limit: u32) -> Result<Page, Error> {
        ask(&self.page_reads, PageKey { after, limit }, (), deadline()).await
    }

    /// Returns the product with this sku, unless it is retired or its id is not greater than `after`.
    ///
    /// # Errors
    /// As every read.
    pub async fn product_by_sku(&self, sku: &str, after: i64) -> Result<Option<Shown>, Error> {
        let skus = &BTreeSet::from([sku]);
        let found = self
            .database
            .read("products.list_by_sku", |tx| async move { products::list_by_sku(tx, skus).await }.boxed())
            .await?;
        let is_listed = |product: &Product| product.id > after && product.details.sale.status != ProductStatus::Retired;
        Ok(show(&self.database, &self.supplies, found.into_iter().filter(is_listed)).await?.pop())
    }

    /// Creates product 1 with this name, price (in minor units) and stock, if it does not exist. Returns whether it was
    /// created.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn seed(&self, name: &str, price_minor: i64, currency: &str, stock: i64) -> Result<bool, Error> {
        Ok(self
            .database
            .transaction("products.seed", |tx| {
                async move { products::insert(tx, 1, name, price_minor, currency, stock).await }.boxed()
            })
            .await?)
    }
}
