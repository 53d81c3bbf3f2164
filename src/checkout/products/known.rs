//! The products that exist, with their terms as they were last read. A hold of a known product needs no read; the guard of its
//! transaction compares the terms.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use lru::LruCache;

use crate::db::door::Database;
use crate::db::error::{Error, Failure};
use crate::db::tables::products::{self, Product, Terms};
use crate::domain::Refusal;

/// How many products are remembered, the most recent ones.
const PRODUCTS: NonZeroUsize = NonZeroUsize::new(65_536).expect("it is not zero");

/// Products with their terms.
#[derive(Debug)]
pub(crate) struct KnownProducts(Mutex<LruCache<i64, Known>>);

/// A product as it was last read.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) terms: Arc<Terms>,
    /// Whether its sale was on.
    pub(crate) is_open: bool,
    /// The units that were put on sale; of a seated ticket type, its seats.
    pub(crate) stock: i64,
}

impl Default for KnownProducts {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(PRODUCTS)))
    }
}

impl KnownProducts {
    /// Returns what is remembered of a product.
    pub(crate) fn peek(&self, product_id: i64) -> Option<Known> {
        self.lock().get(&product_id).cloned()
    }

    /// Remembers a product that was just read.
    pub(crate) fn record(&self, product: &Product) -> Arc<Terms> {
        let terms = Arc::new(product.terms());
        let is_open = terms.sale.refusal(product.server_time).is_none();
        self.lock().put(product.id, Known { terms: Arc::clone(&terms), is_open, stock: product.stock });
        terms
    }

    /// Makes the next caller read the product again.
    pub(crate) fn forget(&self, product_id: i64) {
        self.lock().pop(&product_id);
    }

    /// Returns the terms of a product; reads them unless they are remembered.
    ///
    /// # Errors
    /// [`Refusal::ProductNotFound`].
    pub(crate) async fn terms(&self, database: &Database, product_id: i64) -> Result<Arc<Terms>, Error> {
        match self.peek(product_id) {
            Some(known) => Ok(known.terms),
            None => Ok(self.record(&self.read(database, product_id).await?)),
        }
    }

    /// Reads a product.
    ///
    /// # Errors
    /// [`Refusal::ProductNotFound`].
    pub(crate) async fn read(&self, database: &Database, product_id: i64) -> Result<Product, Error> {
        let product = database.read("products.find_terms", |tx| {
            async move { products::find(tx, product_id).await?.ok_or(Failure::Refused(Refusal::ProductNotFound)) }
                .boxed()
        });
        product.await
    }

    /// Reads several products, by id, and remembers them; missing ones are left out.
    pub(crate) async fn read_some(
        &self,
        database: &Database,
        product_ids: &BTreeSet<i64>,
    ) -> Result<BTreeMap<i64, (Product, Arc<Terms>)>, Error> {
        if product_ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let found = database
            .read("products.list_terms", |tx| async move { products::list_some(tx, product_ids).await }.boxed());
        product_ids.iter().for_each(|&product_id| self.forget(product_id));
        let known = |product: Product| {
            let terms = self.record(&product);
            (product.id, (product, terms))
        };
        Ok(found.await?.into_iter().map(known).collect())
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<i64, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
