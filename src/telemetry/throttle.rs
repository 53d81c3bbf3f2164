//! A log line that clients can cause is written once a second at most.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the next line waits after the last one.
const PAUSE: Duration = Duration::from_secs(1);

/// Counts occurrences between two log lines.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    logged: Option<Instant>,
    since: u64,
}

impl Throttle {
    /// Counts one occurrence at `now`. `Some(count)` when a line is due: for so many occurrences, this one included.
    pub fn count(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.since += 1;
        if state.logged.is_some_and(|logged| now.saturating_duration_since(logged) < PAUSE) {
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
