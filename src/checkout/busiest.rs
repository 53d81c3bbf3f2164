//! The products of which this instance has taken most holds in the last minutes, in bounded memory.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The most products that are counted. While there are more, new ones are not.
const MOST: usize = 10_000;
/// After this time, all counts are halved: what was busy before counts less and less.
const HALVED_EVERY: Duration = Duration::from_secs(60);

/// The holds of each product.
#[derive(Debug, Default)]
pub(crate) struct Busiest(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    holds: HashMap<i64, u64>,
    halved: Option<Instant>,
    /// The products that were reported last.
    shown: BTreeSet<i64>,
}

/// The products to report.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The busiest ones.
    pub(crate) products: BTreeSet<i64>,
    /// Those that are not among them any more.
    pub(crate) gone: Vec<i64>,
}

impl Busiest {
    /// Counts a hold of these products.
    pub(crate) fn count(&self, product_ids: impl Iterator<Item = i64>) {
        let mut counts = self.lock();
        for product_id in product_ids {
            if let Some(holds) = counts.holds.get_mut(&product_id) {
                *holds += 2;
            } else if counts.holds.len() < MOST {
                counts.holds.insert(product_id, 2);
            }
        }
    }

    /// Returns up to `most` products, those with most holds.
    pub(crate) fn find(&self, most: usize, now: Instant) -> Shown {
        let mut counts = self.lock();
        if counts.halved.is_none_or(|halved| now.saturating_duration_since(halved) >= HALVED_EVERY) {
            if counts.halved.is_some() {
                counts.holds.values_mut().for_each(|holds| *holds /= 2);
                counts.holds.retain(|_, holds| *holds > 0);
            }
            counts.halved = Some(now);
        }
        let mut all: Vec<(u64, i64)> = counts.holds.iter().map(|(&product_id, &holds)| (holds, -product_id)).collect();
        // requests do not wait while it is sorted
        drop(counts);
        all.sort_unstable_by(|one, other| other.cmp(one));
        let products: BTreeSet<i64> = all.into_iter().take(most).map(|(_, product_id)| -product_id).collect();
        let shown = std::mem::replace(&mut self.lock().shown, products.clone());
        Shown { gone: shown.difference(&products).copied().collect(), products }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_products_with_most_holds_are_shown_and_those_that_were_shown_before_are_named() {
        let (busiest, now) = (Busiest::default(), Instant::now());
        busiest.count([1, 2, 2, 3, 3, 3].into_iter());
        assert_eq!(busiest.find(2, now), Shown { products: [2, 3].into(), gone: vec![] });
        busiest.count([1, 1, 1].into_iter());
        assert_eq!(busiest.find(2, now), Shown { products: [1, 3].into(), gone: vec![2] });
        assert_eq!(busiest.find(0, now), Shown { products: [].into(), gone: vec![1, 3] });
    }

    #[test]
    fn what_was_busy_is_forgotten_in_time_and_the_memory_is_bounded() {
        let (busiest, now) = (Busiest::default(), Instant::now());
        busiest.count((0..2 * MOST as i64).chain([5]));
        assert_eq!(busiest.find(1, now).products, [5].into());
        assert_eq!(busiest.lock().holds.len(), MOST);
        for minutes in 1..=3 {
            busiest.find(1, now + HALVED_EVERY * minutes);
        }
        assert!(busiest.lock().holds.is_empty());
    }
}
