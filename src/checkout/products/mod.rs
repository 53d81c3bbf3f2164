//! Products on sale.

pub(crate) mod reads;

use tokio::sync::oneshot;
use tokio::time::Instant;

use self::reads::{Page, ReadJob, Round};
use crate::checkout::patience::{PATIENCE, answer};
use crate::checkout::state::Checkout;
use crate::db::Error;
use crate::db::tables::products::{self, Product};
use futures_util::FutureExt as _;

impl Checkout {
    /// Returns one product, read after the request arrived.
    ///
    /// # Errors
    /// [`Refusal::ProductNotFound`].
    ///
    /// [`Refusal::ProductNotFound`]: crate::domain::Refusal::ProductNotFound
    pub async fn product(&self, product_id: i64) -> Result<Product, Error> {
        self.product_until(Instant::now() + PATIENCE, product_id).await
    }

    /// Does the same, waiting until `deadline`.
    pub(crate) async fn product_until(&self, deadline: Instant, product_id: i64) -> Result<Product, Error> {
        let (sender, answered) = oneshot::channel();
        let job = ReadJob::Product(product_id, sender);
        self.reads.submit(Round::Products, job).map_err(|_| Error::Overloaded)?;
        answer(deadline, answered).await
    }

    /// Returns up to `limit` products with ids greater than `after`; one query whatever the limit.
    ///
    /// # Errors
    /// As every read.
    pub async fn list_products(&self, after: i64, limit: u32) -> Result<Page, Error> {
        let (sender, answered) = oneshot::channel();
        let round = Round::Page { after, limit };
        self.reads.submit(round, ReadJob::Page(sender)).map_err(|_| Error::Overloaded)?;
        answer(Instant::now() + PATIENCE, answered).await
    }

    /// Creates product 1 with this name, price (in minor units) and stock, if it does not exist. Returns whether it was
    /// created.
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
