//! The counters of one limit: a fixed number of them, for the callers that asked last.
//!
//! The store that governor offers keeps every key until all are searched for old ones: 10,000,000 addresses would fill the
//! memory. Here the counter that was not used for longest makes room. A caller that goes on asking keeps its counter. One that
//! lost it, because more than 131,072 others asked since, begins with a full quota: it is never refused for what others do.

use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;
use lru::LruCache;

use super::key::Key;

/// Parts with a lock of their own.
const SHARDS: usize = 16;
/// Counters of a part. All parts together take about 13 MB when they are full.
const PER_SHARD: NonZeroUsize = NonZeroUsize::new(8192).expect("it is not zero");

/// Counters by caller, each the time until which its requests are spread.
#[derive(Debug)]
pub(super) struct Counters {
    shards: [Mutex<LruCache<Key, Nanos>>; SHARDS],
    /// With a secret of its own, so that clients cannot choose addresses that share a part.
    hasher: RandomState,
}

impl Default for Counters {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| Mutex::new(LruCache::new(PER_SHARD)));
        Self { shards, hasher: RandomState::new() }
    }
}

impl StateStore for Counters {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let hash = self.hasher.hash_one(key);
        let shard = usize::try_from(hash % SHARDS as u64).expect("fewer than 16");
        let mut counters = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        // a refused caller has been looked up, too: it keeps its counter
        let (result, next) = decide(counters.get(key).copied())?;
        counters.put(*key, next);
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::num::NonZeroU32;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    use governor::middleware::NoOpMiddleware;
    use governor::{Quota, RateLimiter};

    use super::*;
    use crate::domain::Caller;
    use crate::rate::Clock;

    #[test]
    fn millions_of_addresses_take_a_fixed_number_of_counters_and_free_no_caller_that_goes_on_asking() {
        type Limiter = RateLimiter<Key, Counters, Clock, NoOpMiddleware<Nanos>>;
        let clock = Clock::Manual(Arc::new(AtomicU64::new(0)));
        let limiter: Limiter = RateLimiter::new(Quota::per_minute(NonZeroU32::MIN), Counters::default(), clock);
        let key = |number: u32| Key::new(&Caller::anonymous(), IpAddr::V4(Ipv4Addr::from_bits(number)));
        let insistent = key(u32::MAX);
        assert!(limiter.check_key(&insistent).is_ok());
        for number in 0..2_000_000 {
            assert!(limiter.check_key(&key(number)).is_ok(), "each address is new");
            if number % 10_000 == 0 {
                assert!(limiter.check_key(&insistent).is_err(), "after {number} others");
            }
        }
        assert!(limiter.check_key(&key(0)).is_ok(), "it was forgotten");
        let counters = limiter.into_state_store();
        let kept: usize = counters.shards.iter().map(|shard| shard.lock().expect("no panic").len()).sum();
        assert_eq!(kept, SHARDS * PER_SHARD.get());
    }
}
