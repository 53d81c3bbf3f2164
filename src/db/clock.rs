//! The database's clock, as this instance knows it.
//!
//! It decides every deadline, and whether a webhook is recent. A worker reads it every few seconds; in between, this
//! machine's monotonic clock continues it. A reading is from some moment between request and response, so a slow response is
//! no jump.
//!
//! A clock that jumps (a failover to a server with another clock) would let everything run out at once, or nothing. So nothing
//! runs out for a while after a jump. The first reading that shows the jump begins the pause, the worker's or that of a page of
//! rows that are due by the new time, before any of these rows is changed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{NaiveDateTime, TimeDelta, Utc};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::telemetry;

/// A clock that is this far from where it should be has jumped.
const JUMP: TimeDelta = TimeDelta::seconds(5);
/// How far the database's clock and this machine's may differ before the log reports it.
const DIFFERENCE: TimeDelta = TimeDelta::seconds(1);
/// How long nothing runs out after a jump, unless configured.
const PAUSE: Duration = Duration::from_secs(60);

/// The clock of one database.
#[derive(Debug)]
pub struct Clock {
    pause: Duration,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The last reading.
    reading: Option<Reading>,
    /// When rows may run out again.
    paused_until: Option<Instant>,
    /// How far this machine's clock was behind the database's when the log last reported that they differ.
    differs: Option<TimeDelta>,
}

/// The time that the clock showed, UTC, and the local moment of that.
#[derive(Debug, Clone, Copy)]
struct Reading {
    shown: NaiveDateTime,
    at: Instant,
}

impl Reading {
    /// Returns the time that the clock shows at another moment.
    fn at(self, moment: Instant) -> NaiveDateTime {
        self.shown + signed(moment, self.at)
    }

    /// Returns how far another reading, requested and answered at these moments, is from the expected time; positive: ahead.
    fn jump_to(self, shown: NaiveDateTime, (asked, answered): (Instant, Instant)) -> TimeDelta {
        let (earliest, latest) = (self.at(asked), self.at(answered));
        if shown < earliest {
            shown - earliest
        } else if shown > latest {
            shown - latest
        } else {
            TimeDelta::zero()
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(PAUSE)
    }
}

impl Clock {
    /// Creates a clock without a reading. `pause`: how long nothing runs out after a jump; zero: no pause.
    pub fn new(pause: Duration) -> Self {
        Self { pause, known: Mutex::default() }
    }

    /// Returns the time that the clock shows now, UTC; before the first reading, this machine's time.
    pub fn now(&self) -> NaiveDateTime {
        let reading = self.known().reading;
        reading.map_or_else(|| Utc::now().naive_utc(), |reading| reading.at(Instant::now()))
    }

    /// Stores a reading that was requested at `asked` and answered just now, and compares it with this machine's clock.
    pub fn read(&self, shown: NaiveDateTime, asked: Instant) {
        let answered = Instant::now();
        let middle = middle(asked, answered);
        let local = Utc::now().naive_utc() - signed(answered, middle);
        let mut known = self.known();
        self.meet(&mut known, shown, (asked, answered));
        if known.reading.is_none_or(|reading| asked >= reading.at) {
            known.reading = Some(Reading { shown, at: middle });
        }
        telemetry::clock_read(shown - local, known.is_paused(answered));
        // a slow response does not show whether the clocks differ
        if signed(answered, asked) <= DIFFERENCE {
            known.compare(shown - local);
        }
    }

    /// Returns whether rows may run out by a time that the database showed between `asked` and now. False during a pause, and
    /// when this time begins one.
    pub fn admits(&self, shown: NaiveDateTime, asked: Instant) -> bool {
        if self.pause.is_zero() {
            return true;
        }
        let answered = Instant::now();
        let mut known = self.known();
        self.meet(&mut known, shown, (asked, answered));
        !known.is_paused(answered)
    }

    /// Returns for how much longer nothing may run out; `None` without a pause.
    pub fn paused_for(&self) -> Option<Duration> {
        let left = self.known().paused_until?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Returns how far this machine's clock is behind the database's when they differ by more than a second; negative: ahead.
    pub fn difference(&self) -> Option<TimeDelta> {
        self.known().differs
    }

    /// Begins a pause when a reading shows a jump. The clock goes on from it unless it was requested before the last reading.
    fn meet(&self, known: &mut Known, shown: NaiveDateTime, (asked, answered): (Instant, Instant)) {
        let now = Reading { shown, at: middle(asked, answered) };
        let Some(reading) = known.reading else {
            known.reading = Some(now);
            return;
        };
        let jump = reading.jump_to(shown, (asked, answered));
        if jump.abs() <= JUMP {
            return;
        }
        let newer = asked >= reading.at;
        if newer {
            known.reading = Some(now);
        }
        if newer || !known.is_paused(answered) {
            telemetry::clock_jumped();
            let (seconds, pause_seconds) = (jump.as_seconds_f64(), self.pause.as_secs());
            warn!(
                seconds,
                pause_seconds, "the database's clock has jumped; holds and orders run out again after the pause"
            );
            known.paused_until = Some(answered + self.pause);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    /// Logs when the two clocks begin to differ, when the difference changes by a second, and when they agree again.
    fn compare(&mut self, difference: TimeDelta) {
        let differs = difference.abs() > DIFFERENCE;
        let seconds = difference.as_seconds_f64();
        match self.differs {
            None if differs => warn!(seconds, "the database's clock and the clock of this machine differ"),
            Some(logged) if differs && (logged - difference).abs() > DIFFERENCE => {
                warn!(seconds, "the database's clock and the clock of this machine now differ by another amount");
            }
            Some(_) if differs => return,
            Some(_) => info!(seconds, "the database's clock and the clock of this machine agree again"),
            None => {}
        }
        self.differs = differs.then_some(difference);
    }
}

/// Returns the likely moment of a reading.
fn middle(asked: Instant, answered: Instant) -> Instant {
    asked + answered.duration_since(asked) / 2
}

/// Returns how long one moment is after another.
fn signed(moment: Instant, other: Instant) -> TimeDelta {
    let delta = |duration: Duration| TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
    match moment.checked_duration_since(other) {
        Some(after) => delta(after),
        None => -delta(other.duration_since(moment)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(second: i64) -> NaiveDateTime {
        chrono::DateTime::from_timestamp(1_000_000 + second, 0).expect("a time").naive_utc()
    }

    #[test]
    fn a_reading_from_any_moment_between_request_and_response_is_no_jump() {
        let at = Instant::now();
        let after = |seconds| at + Duration::from_secs(seconds);
        let reading = Reading { shown: shown(0), at };
        for (second, asked, answered, jump) in [(10, 10, 10, 0), (10, 7, 12, 0), (17, 10, 10, 7), (2, 10, 14, -8)] {
            let found = reading.jump_to(shown(second), (after(asked), after(answered)));
            assert_eq!(found, TimeDelta::seconds(jump), "{second} between {asked} and {answered}");
        }
        let before = Reading { shown: shown(10), at: after(10) };
        assert_eq!(before.jump_to(shown(0), (at, at)), TimeDelta::zero(), "a page may be older than the last reading");
    }

    #[test]
    fn nothing_runs_out_after_a_jump_in_either_direction_until_the_pause_is_over() {
        for jump in [-3600, -6, 6, 3600] {
            let clock = Clock::default();
            assert!(clock.admits(shown(0), Instant::now()), "the first reading is no jump");
            assert!(clock.admits(shown(4), Instant::now()), "a small difference is no jump");
            assert!(!clock.admits(shown(jump), Instant::now()), "{jump}");
            assert!(!clock.admits(shown(jump), Instant::now()), "nor is the next page with that time admitted");
            let left = clock.paused_for().expect("a pause");
            assert!(left > PAUSE / 2 && left <= PAUSE, "{left:?}");
            let now = clock.now() - shown(jump);
            assert!(now.abs() < TimeDelta::seconds(5), "the clock goes on from there: {now}");
            clock.known().paused_until = Some(Instant::now());
            assert!(clock.admits(shown(jump), Instant::now()));
        }
    }

    #[test]
    fn a_page_requested_before_the_jump_is_not_admitted_and_is_no_second_jump() {
        let (clock, before) = (Clock::default(), Instant::now());
        clock.read(shown(0), before);
        let asked = Instant::now();
        clock.read(shown(3600), Instant::now());
        assert!(!clock.admits(shown(0), asked), "it is not admitted");
        let now = clock.now() - shown(3600);
        assert!(now.abs() < TimeDelta::seconds(5), "the clock goes on from the last reading: {now}");
    }

    #[test]
    fn without_a_pause_a_jump_stops_nothing() {
        let clock = Clock::new(Duration::ZERO);
        assert!(
            [0, 3600, 0].map(|second| clock.admits(shown(second), Instant::now())).iter().all(|&admitted| admitted)
        );
        clock.read(shown(0), Instant::now());
        clock.read(shown(3600), Instant::now());
        assert_eq!(clock.paused_for(), None);
    }

    #[test]
    fn a_difference_of_the_clocks_is_reported_until_they_agree_again() {
        let clock = Clock::default();
        let local = || Utc::now().naive_utc();
        clock.read(local(), Instant::now());
        assert_eq!(clock.difference(), None);
        clock.read(local() + TimeDelta::seconds(3), Instant::now());
        let difference = clock.difference().expect("they differ");
        assert!((difference - TimeDelta::seconds(3)).abs() < TimeDelta::seconds(1), "{difference}");
        clock.read(local(), Instant::now());
        assert_eq!(clock.difference(), None);
    }
}
