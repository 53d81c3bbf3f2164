//! When an event that an endpoint did not accept is pushed again.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// The pauses after failed attempts, in seconds.
const PAUSES: [u64; 7] = [5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR];

/// An endpoint whose attempts have all failed for so long is disabled.
pub const FAILING: Duration = Duration::from_secs(72 * HOUR);

/// Returns how long after this many failed attempts (from 1) the next one is due; `None` when there is no further one.
pub fn again_after(attempts: u32) -> Option<Duration> {
    let place = usize::try_from(attempts.saturating_sub(1)).ok()?;
    PAUSES.get(place).map(|seconds| Duration::from_secs(*seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_tried_eight_times_within_28_hours() {
        let pauses: Vec<u64> = (1..).map_while(again_after).map(|pause| pause.as_secs()).collect();
        assert_eq!(pauses, [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000]);
        assert_eq!(again_after(8), None);
        assert!(pauses.iter().sum::<u64>() < 28 * HOUR);
    }
}
