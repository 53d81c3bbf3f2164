//! The database's clock, as this instance knows it.
//!
//! It decides every deadline, and whether a webhook is recent. A worker reads it every few seconds; in between, this
//! machine's monotonic clock continues it. A reading is from some moment between request and response, so a slow response is
//! no jump.
//!
//! A clock that jumps (a failover to a server with another clock) would let everything run out at once, or nothing. So nothing
//! runs out for a while after a jump. The first reading that shows the jump begins the pause, the worker's or that of a page of
//! rows that are due by the new time, before any of these rows is changed.
//!
//! Several servers behind one address may answer in turn, each with its own clock. A clock that was read lately is known: its
//! return begins no further pause. Rows run out by the slowest of the clocks that were read within the pause.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{NaiveDateTime, TimeDelta, Utc};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::telemetry::{self, Throttle};

/// A clock that is this far from where it should be has jumped.
const JUMP: TimeDelta = TimeDelta::seconds(5);
/// How far the database's clock and this machine's may differ before the log reports it.
const DIFFERENCE: TimeDelta = TimeDelta::seconds(1);
/// How long nothing runs out after a jump, unless configured.
const PAUSE: Duration = Duration::from_secs(60);
/// How long a clock is known after its last reading, and at least as long as the pause.
const KNOWN: Duration = Duration::from_secs(60);
/// How many clocks are known at most.
const CLOCKS: usize = 8;

/// The clock of one database.
#[derive(Debug)]
pub struct Clock {
    pause: Duration,
    known: Mutex<Known>,
    /// Bound the log lines about jumps that follow a jump, and about clocks that return.
    jumps: Throttle,
    turns: Throttle,
}

#[derive(Debug, Default)]
struct Known {
    /// The clocks that were read lately, that of the last reading first.
    clocks: Vec<Reading>,
    /// When rows may run out again.
    paused_until: Option<Instant>,
    /// When the clock last jumped.
    jumped: Option<Instant>,
    /// When a known clock last returned: servers with different clocks answer in turn.
    returned: Option<Instant>,
    /// How far this machine's clock was behind the database's when the log last reported that they differ.
    differs: Option<TimeDelta>,
}

/// When a reading was requested and answered.
type Moments = (Instant, Instant);

/// The time that a clock showed, UTC, and the local moment of that.
#[derive(Debug, Clone, Copy)]
struct Reading {
    shown: NaiveDateTime,
    at: Instant,
    /// Until when the clock was the database's, as far as is known.
    last: Instant,
}

impl Reading {
    /// Returns the time that the clock shows at another moment.
    fn at(self, moment: Instant) -> NaiveDateTime {
        self.shown + signed(moment, self.at)
    }

    /// Returns how far another reading, requested and answered at these moments, is from the expected time; positive: ahead.
    fn jump_to(self, shown: NaiveDateTime, (asked, answered): Moments) -> TimeDelta {
        let (earliest, latest) = (self.at(asked), self.at(answered));
        if shown < earliest {
            shown - earliest
        } else if shown > latest {
            shown - latest
        } else {
            TimeDelta::zero()
        }
    }

    /// Returns whether the clock is so far behind another one that the difference is a jump.
    fn is_behind(self, other: Self) -> bool {
        self.at(other.at) < other.shown - JUMP
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(PAUSE)
    }
}

/// Returns the time of this machine, UTC.
#[expect(
    clippy::disallowed_methods,
    reason = "stands in for the database's clock before it is read, and is compared with it"
)]
fn local_now() -> NaiveDateTime {
    Utc::now().naive_utc()
}

impl Clock {
    /// Creates a clock without a reading. `pause`: how long nothing runs out after a jump; zero: no pause.
    pub fn new(pause: Duration) -> Self {
        Self { pause, known: Mutex::default(), jumps: Throttle::lasting(), turns: Throttle::lasting() }
    }

    /// Returns the time that the clock shows now, UTC; before the first reading, this machine's time.
    pub fn now(&self) -> NaiveDateTime {
        let reading = self.known().clocks.first().copied();
        reading.map_or_else(local_now, |reading| reading.at(Instant::now()))
    }

    /// Stores a reading that was requested at `asked` and answered just now, and compares it with this machine's clock.
    pub fn read(&self, shown: NaiveDateTime, asked: Instant) {
        let answered = Instant::now();
        let middle = middle(asked, answered);
        let local = local_now() - signed(answered, middle);
        let mut known = self.known();
        self.meet(&mut known, shown, (asked, answered));
        if let Some(last) = known.clocks.first_mut().filter(|last| asked >= last.at) {
            (last.shown, last.at) = (shown, middle);
        }
        telemetry::clock_read(shown - local, known.left(answered, self.pause).is_some());
        let takes_turns = known.returned.is_some_and(|returned| answered - returned <= self.memory());
        if signed(answered, asked) <= DIFFERENCE && !takes_turns {
            known.compare(shown - local);
        }
    }

    /// Returns whether rows may run out by a time that the database showed between `asked` and now. False during a pause, and
    /// when this time begins one or is that of a clock that is not the slowest.
    pub fn admits(&self, shown: NaiveDateTime, asked: Instant) -> bool {
        self.admits_at(shown, (asked, Instant::now()))
    }

    fn admits_at(&self, shown: NaiveDateTime, moments: Moments) -> bool {
        if self.pause.is_zero() {
            return true;
        }
        let mut known = self.known();
        let reading = self.meet(&mut known, shown, moments);
        !known.is_paused(moments.1) && known.slower_until(reading, self.pause).is_none_or(|until| until <= moments.1)
    }

    /// Returns for how much longer nothing may run out; `None` without a pause.
    pub fn paused_for(&self) -> Option<Duration> {
        self.known().left(Instant::now(), self.pause)
    }

    /// Returns how far this machine's clock is behind the database's when they differ by more than a second; negative: ahead.
    pub fn difference(&self) -> Option<TimeDelta> {
        self.known().differs
    }

    /// Finds the clock of a reading, and begins a pause if it is unknown. The database's clock goes on from the reading unless it
    /// was requested before the last one. Returns the clock.
    fn meet(&self, known: &mut Known, shown: NaiveDateTime, (asked, answered): Moments) -> Reading {
        let new = Reading { shown, at: middle(asked, answered), last: answered };
        known.forget(answered, self.memory());
        let Some(&last) = known.clocks.first() else {
            known.clocks.push(new);
            return new;
        };
        let (jump, found) = (last.jump_to(shown, (asked, answered)), known.find(shown, (asked, answered)));
        let clock = found.map_or(new, |place| known.clocks[place]);
        let is_newer = asked >= last.at;
        if is_newer {
            known.go_on(found, new);
        }
        match found {
            Some(0) => {}
            Some(_) if is_newer => self.begin_turns(known, jump, answered),
            None if is_newer || !known.is_paused(answered) => self.begin_pause(known, jump, answered),
            Some(_) | None => {}
        }
        clock
    }

    /// Begins a pause after a jump. The log has each first jump, and then a line every 30 seconds.
    fn begin_pause(&self, known: &mut Known, jump: TimeDelta, now: Instant) {
        telemetry::clock_jumped();
        let is_first = known.jumped.is_none_or(|jumped| now - jumped > self.memory());
        known.jumped = Some(now);
        known.paused_until = Some(now + self.pause);
        let (seconds, pause_seconds) = (jump.as_seconds_f64(), self.pause.as_secs());
        if !is_first && self.jumps.count(now.into_std()).is_none() {
            return;
        }
        if self.pause.is_zero() {
            warn!(seconds, "the database's clock has jumped; holds and orders run out by its new time");
            return;
        }
        warn!(
            seconds,
            pause_seconds, "the database's clock has jumped; holds and orders run out again after the pause"
        );
    }

    /// Records that a known clock has returned: servers with different clocks answer in turn.
    fn begin_turns(&self, known: &mut Known, jump: TimeDelta, now: Instant) {
        telemetry::clock_jumped();
        known.returned = Some(now);
        if let Some(jumps) = self.turns.count(now.into_std()) {
            let seconds = jump.as_seconds_f64();
            warn!(seconds, jumps, "database servers with different clocks answer in turn; set their clocks right");
        }
    }

    /// Returns how long a clock is known after its last reading.
    fn memory(&self) -> Duration {
        self.pause.max(KNOWN)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    /// Returns for how much longer nothing may run out by the clock of the last reading.
    fn left(&self, now: Instant, pause: Duration) -> Option<Duration> {
        let last = self.clocks.first().copied();
        let until = self.paused_until.max(last.and_then(|last| self.slower_until(last, pause)))?;
        let left = until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Returns until when a slower clock goes before this one.
    fn slower_until(&self, clock: Reading, pause: Duration) -> Option<Instant> {
        self.clocks.iter().filter(|other| other.is_behind(clock)).map(|other| other.last + pause).max()
    }

    /// Removes the clocks that were not read for so long, except that of the last reading.
    fn forget(&mut self, now: Instant, memory: Duration) {
        let mut is_last = true;
        self.clocks.retain(|clock| std::mem::take(&mut is_last) || now - clock.last <= memory);
    }

    /// Returns the place of the clock that fits a reading best, unless the reading shows a jump.
    fn find(&self, shown: NaiveDateTime, moments: Moments) -> Option<usize> {
        let jumps = self.clocks.iter().map(|clock| clock.jump_to(shown, moments).abs()).enumerate();
        jumps.filter(|&(_, jump)| jump <= JUMP).min_by_key(|&(_, jump)| jump).map(|(place, _)| place)
    }

    /// Makes the clock that was `found`, or a new one, the last.
    fn go_on(&mut self, found: Option<usize>, new: Reading) {
        // the last one was the database's clock until now, as far as is known
        self.clocks[0].last = new.last;
        if found != Some(0) {
            found.map(|place| self.clocks.remove(place));
            self.clocks.insert(0, new);
            self.clocks.truncate(CLOCKS);
        }
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
mod tests;
