//! Limits on the rate of requests: which caller a request counts for, how many it may still send, and where it comes from when
//! proxies stand in between. Memory is bounded, however many callers there are.

mod counters;
mod forwarded;
mod key;
mod proxies;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};

use self::counters::Counters;
pub use self::key::Key;
pub use self::proxies::{NotNetworks, TrustedProxies};

/// The time that every limit is about, in seconds.
pub const WINDOW_SECONDS: u64 = 60;

/// The requests that share a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Requests that change nothing.
    Reads,
    /// Requests that may change something.
    Writes,
    /// Deliveries of payment events that are not verified.
    Webhooks,
    /// Requests of operators.
    Admin,
}

impl Kind {
    /// Returns its name, which is that of the policy and the label in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Webhooks => "webhooks",
            Self::Admin => "admin",
        }
    }
}

/// The limits, in requests per minute and caller. `None`: no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    /// Of [`Kind::Reads`].
    pub reads: Option<NonZeroU32>,
    /// Of [`Kind::Writes`].
    pub writes: Option<NonZeroU32>,
    /// Of [`Kind::Webhooks`].
    pub webhooks: Option<NonZeroU32>,
    /// Of [`Kind::Admin`].
    pub admin: Option<NonZeroU32>,
}

/// The clock of limits. It measures durations only.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's, since this moment.
    Machine(Instant),
    /// One that a test moves, in nanoseconds.
    Manual(Arc<AtomicU64>),
}

impl governor::clock::Clock for Clock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        match self {
            Self::Machine(started) => started.elapsed().into(),
            Self::Manual(nanoseconds) => nanoseconds.load(Ordering::Relaxed).into(),
        }
    }
}

/// The result of counting one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The limit.
    pub kind: Kind,
    /// Requests per minute.
    pub quota: NonZeroU32,
    /// Further requests that would be admitted at once.
    pub remaining: u32,
    /// Whole seconds, at least 1, after which one more is admitted.
    pub after_seconds: u64,
    /// Whether this request is admitted.
    pub is_admitted: bool,
}

/// One limit, with the counters of its callers.
#[derive(Debug)]
struct Limit {
    kind: Kind,
    quota: NonZeroU32,
    limiter: RateLimiter<Key, Counters, Clock, StateInformationMiddleware>,
}

impl Limit {
    fn new(kind: Kind, quota: NonZeroU32, clock: &Clock) -> Self {
        let limiter = RateLimiter::new(Quota::per_minute(quota), Counters::default(), clock.clone());
        Self { kind, quota, limiter }
    }

    /// Counts one request. A refused one does not count: a caller that waits as long as it is told is admitted.
    fn count(&self, key: &Key) -> Verdict {
        let Self { kind, quota, limiter } = self;
        let (remaining, wait) = match limiter.check_key(key) {
            Ok(state) => (Some(state.remaining_burst_capacity()), Duration::from_secs(WINDOW_SECONDS) / quota.get()),
            Err(until) => (None, until.wait_time_from(governor::clock::Clock::now(limiter.clock()))),
        };
        Verdict {
            kind: *kind,
            quota: *quota,
            remaining: remaining.unwrap_or(0),
            after_seconds: whole_seconds(wait),
            is_admitted: remaining.is_some(),
        }
    }
}

/// Rounds up, to at least 1.
fn whole_seconds(wait: Duration) -> u64 {
    let rounded = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    rounded.max(1)
}

/// All limits of one instance, and how it finds the address of a caller.
#[derive(Debug)]
pub struct RateLimits {
    limits: [Option<Limit>; 4],
    proxies: TrustedProxies,
    is_on: bool,
}

impl RateLimits {
    /// Creates the limits; all counters begin at zero.
    pub fn new(rates: Rates, proxies: TrustedProxies, clock: &Clock) -> Self {
        let limit = |kind, rate: Option<NonZeroU32>| rate.map(|quota| Limit::new(kind, quota, clock));
        let limits = [
            limit(Kind::Reads, rates.reads),
            limit(Kind::Writes, rates.writes),
            limit(Kind::Webhooks, rates.webhooks),
            limit(Kind::Admin, rates.admin),
        ];
        let is_on = limits.iter().any(Option::is_some);
        Self { limits, proxies, is_on }
    }

    /// Whether there is any limit.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// Whether this kind of request has a limit.
    pub fn limits(&self, kind: Kind) -> bool {
        self.limit(kind).is_some()
    }

    /// Counts one request of this caller. `None`: there is no limit.
    pub fn count(&self, kind: Kind, key: &Key) -> Option<Verdict> {
        Some(self.limit(kind)?.count(key))
    }

    /// The proxies whose headers name the address of a client.
    pub fn proxies(&self) -> &TrustedProxies {
        &self.proxies
    }

    fn limit(&self, kind: Kind) -> Option<&Limit> {
        self.limits[kind as usize].as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::domain::Caller;

    fn key(last: u8) -> Key {
        Key::new(&Caller::anonymous(), IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)))
    }

    #[test]
    fn the_last_request_within_a_limit_is_admitted_and_the_next_one_refused_until_the_time_it_is_told() {
        let time = Arc::new(AtomicU64::new(0));
        let rates = Rates { reads: NonZeroU32::new(6), ..Rates::default() };
        let limits = RateLimits::new(rates, TrustedProxies::default(), &Clock::Manual(Arc::clone(&time)));
        let count = || limits.count(Kind::Reads, &key(1)).expect("a limit");
        for remaining in (0..6).rev() {
            let verdict = count();
            assert_eq!((verdict.is_admitted, verdict.remaining, verdict.after_seconds), (true, remaining, 10));
        }
        let refused = count();
        assert_eq!((refused.is_admitted, refused.remaining, refused.after_seconds), (false, 0, 10));
        assert!(limits.count(Kind::Reads, &key(2)).expect("a limit").is_admitted, "another caller is not concerned");

        time.store(9_999_999_999, Ordering::Relaxed);
        assert_eq!((count().is_admitted, count().after_seconds), (false, 1));
        time.store(10_000_000_000, Ordering::Relaxed);
        assert!(count().is_admitted, "refused requests have not counted");
        assert!(!count().is_admitted);
        time.store(10_000_000_000 * 7, Ordering::Relaxed);
        assert_eq!(std::iter::repeat_with(count).take_while(|verdict| verdict.is_admitted).take(9).count(), 6);
    }

    #[test]
    fn a_kind_without_a_limit_counts_nothing() {
        let limits = RateLimits::new(Rates::default(), TrustedProxies::default(), &Clock::Machine(Instant::now()));
        assert!(!limits.is_on() && !limits.limits(Kind::Writes));
        assert_eq!(limits.count(Kind::Writes, &key(1)), None);
        let rates = Rates { admin: NonZeroU32::new(1), ..Rates::default() };
        let limits = RateLimits::new(rates, TrustedProxies::default(), &Clock::Machine(Instant::now()));
        assert!(limits.is_on() && !limits.limits(Kind::Writes) && limits.limits(Kind::Admin));
    }
}
