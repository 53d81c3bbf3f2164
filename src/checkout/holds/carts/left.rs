//! What batches of carts left of their products. It decides only whether the products are read before the next packet: a
//! product that is sold out would otherwise cost a packet that rolls back.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

/// How many products are remembered, the most recent ones.
const PRODUCTS: NonZeroUsize = NonZeroUsize::new(4096).expect("it is not zero");

/// Units that were on sale when they were last read, by product.
#[derive(Debug)]
pub(crate) struct Left(Mutex<LruCache<i64, i64>>);

impl Default for Left {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(PRODUCTS)))
    }
}

impl Left {
    /// Remembers units that were just read.
    pub(super) fn record(&self, left: impl IntoIterator<Item = (i64, i64)>) {
        let mut known = self.lock();
        for (product_id, units) in left {
            known.put(product_id, units);
        }
    }

    /// Returns whether no product is known to have fewer units than these.
    pub(super) fn suffices(&self, wanted: &BTreeMap<i64, i64>) -> bool {
        let mut known = self.lock();
        wanted.iter().all(|(product_id, units)| known.get(product_id).is_none_or(|left| left >= units))
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<i64, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
