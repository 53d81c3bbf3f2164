//! Limits log lines: a line that clients can cause to one per second, a line about a lasting state to one per 30 seconds.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The shortest time between two lines.
const PAUSE: Duration = Duration::from_secs(1);
/// The same for a lasting state.
const LASTING: Duration = Duration::from_secs(30);

/// Counts occurrences between two log lines.
#[derive(Debug)]
pub struct Throttle {
    pause: Duration,
    state: Mutex<State>,
}

impl Default for Throttle {
    fn default() -> Self {
        Self { pause: PAUSE, state: Mutex::default() }
    }
}

#[derive(Debug, Default)]
struct State {
    logged: Option<Instant>,
    since: u64,
}

impl Throttle {
    /// Creates a throttle for a lasting state: a line when it begins, and one every 30 seconds.
    pub fn lasting() -> Self {
        Self { pause: LASTING, ..Self::default() }
    }

    /// Counts one occurrence at `now`. `Some(count)` when a line is due: for this many occurrences, including this one.
    pub fn count(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.since += 1;
        if state.logged.is_some_and(|logged| now.saturating_duration_since(logged) < self.pause) {
            return None;
        }
        state.logged = Some(now);
        Some(std::mem::take(&mut state.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_once_a_second_and_counts_all_occurrences_since() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let after = |ms| throttle.count(start + Duration::from_millis(ms));
        assert_eq!([0, 1, 500, 999].map(after), [Some(1), None, None, None]);
        assert_eq!([1000, 1001, 5000].map(after), [Some(4), None, Some(2)]);
    }
}
