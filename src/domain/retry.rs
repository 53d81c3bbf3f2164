//! The pauses after which an event that could not be applied is tried again.

use std::time::Duration;

/// The pauses after the first failed attempts.
const FIRST_PAUSES: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(120),
];
/// The pause after every further one.
const PAUSE: Duration = Duration::from_secs(600);
/// The number of further attempts: a day of them.
const FURTHER: u32 = 144;
/// A pause varies by this share of itself in both directions.
const JITTER: f64 = 0.2;

/// The number of attempts; an event is not tried again after all have failed.
pub const ATTEMPTS: u32 = FIRST_PAUSES.len() as u32 + FURTHER + 1;

/// While fewer attempts to apply a success have begun, it protects its order: the order does not run out and is not cancelled
/// before the success.
pub const PROTECTING_ATTEMPTS: u32 = 5;

/// Returns how long after the `attempt`-th attempt (from 1; 0: none yet) the next one is due. `chance`, from 0 to 1, spreads
/// events that failed together.
pub fn pause_after(attempt: u32, chance: f64) -> Duration {
    let Some(position) = attempt.checked_sub(1) else { return Duration::ZERO };
    let pause = FIRST_PAUSES.get(position as usize).copied().unwrap_or(PAUSE);
    pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_after_5_10_30_60_and_120_seconds_and_then_every_10_minutes_for_a_day() {
        let pauses: Vec<u64> = (1..ATTEMPTS).map(|attempt| pause_after(attempt, 0.5).as_secs()).collect();
        assert_eq!(pauses[..7], [5, 10, 30, 60, 120, 600, 600]);
        let day: u64 = pauses[5..].iter().sum();
        assert_eq!(day, 24 * 60 * 60);
    }

    #[test]
    fn events_that_failed_together_are_retried_at_different_times() {
        assert_eq!(pause_after(0, 1.0), Duration::ZERO);
        assert_eq!(pause_after(1, 0.0), Duration::from_secs(4));
        assert_eq!(pause_after(1, 1.0), Duration::from_secs(6));
        assert_eq!(pause_after(u32::MAX, 0.0), Duration::from_secs(480));
    }
}
