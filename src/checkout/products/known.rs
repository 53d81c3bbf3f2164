//! The products that exist, with their terms as they were last read. A hold of a known product needs no read; the guard of its
//! transaction compares the terms.

use std::collections::BTreeSet;
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
pub(crate) struct KnownProducts(Mutex<LruCache<i64, Arc<Terms>>>);

impl Default for KnownProducts {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(PRODUCTS)))
    }
}

impl KnownProducts {
    /// Returns whether a product is remembered.
    pub(crate) fn contains(&self, product_id: i64) -> bool {
        self.lock().get(&product_id).is_some()
    }

    /// Remembers a product that was just read.
    pub(crate) fn record(&self, product: &Product) -> Arc<Terms> {
        let terms = Arc::new(product.terms());
        self.lock().put(product.id, Arc::clone(&terms));
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
        if let Some(terms) = self.lock().get(&product_id) {
            return Ok(Arc::clone(terms));
        }
        let ids = &BTreeSet::from([product_id]);
        let product = database.read("products.find_terms", |tx| {
            async move { products::list_some(tx, ids).await?.pop().ok_or(Failure::Refused(Refusal::ProductNotFound)) }
                .boxed()
        });
        Ok(self.record(&product.await?))
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<i64, Arc<Terms>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
