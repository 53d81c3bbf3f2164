//! Products whose last units are gone, or come back, by transactions of this instance. A worker looks at them soon after.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most products that are remembered: others are found by the worker that walks over all products.
const MOST: usize = 65_536;

/// The products, by id.
#[derive(Debug, Default)]
pub(super) struct Touched(Mutex<BTreeSet<i64>>);

impl Touched {
    /// Adds products, as far as there is room.
    pub(super) fn add(&self, product_ids: impl IntoIterator<Item = i64>) {
        let mut product_ids = product_ids.into_iter().peekable();
        if product_ids.peek().is_none() {
            return;
        }
        let mut touched = self.lock();
        for product_id in product_ids {
            if touched.len() < MOST {
                touched.insert(product_id);
            }
        }
    }

    /// Takes up to `limit` products.
    pub(super) fn take(&self, limit: usize) -> Vec<i64> {
        let mut touched = self.lock();
        (0..limit).map_while(|_| touched.pop_first()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_taken_once_however_often_it_was_touched_and_the_memory_is_bounded() {
        let touched = Touched::default();
        touched.add([3, 1, 3]);
        touched.add([2, 1]);
        assert_eq!(touched.take(2), [1, 2]);
        assert_eq!(touched.take(2), [3]);
        assert!(touched.take(2).is_empty());
        touched.add(0..2 * MOST as i64);
        assert_eq!(touched.take(2 * MOST).len(), MOST);
    }
}
