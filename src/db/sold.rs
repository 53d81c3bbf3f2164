//! Holds whose orders this instance has marked paid. A worker counts their units soon after: the payment itself does not read them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// The most holds that are remembered; the units of others are not counted.
const MOST: usize = 262_144;

/// The holds, in the order of their payments.
#[derive(Debug, Clone, Default)]
pub struct Sold(Arc<Mutex<VecDeque<Uuid>>>);

impl Sold {
    /// Adds holds, as far as there is room.
    pub fn add(&self, hold_ids: impl IntoIterator<Item = Uuid>) {
        let mut hold_ids = hold_ids.into_iter().peekable();
        if hold_ids.peek().is_none() {
            return;
        }
        let mut sold = self.lock();
        let room = MOST.saturating_sub(sold.len());
        sold.extend(hold_ids.take(room));
    }

    /// Takes up to `limit` holds.
    pub fn take(&self, limit: usize) -> Vec<Uuid> {
        let mut sold = self.lock();
        let count = limit.min(sold.len());
        sold.drain(..count).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Uuid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hold_is_taken_once_and_the_memory_is_bounded() {
        let sold = Sold::default();
        let id = |number: usize| Uuid::from_u128(number as u128);
        sold.add([id(2), id(1)]);
        assert_eq!((sold.take(1), sold.take(9)), (vec![id(2)], vec![id(1)]));
        sold.add((0..MOST + 5).map(id));
        sold.add([id(7)]);
        assert_eq!(sold.take(2 * MOST).len(), MOST);
    }
}
