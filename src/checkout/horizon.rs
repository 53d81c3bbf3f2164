//! How far a worker has read along an index of deadlines.
//!
//! An index entry of a changed row stays, marked as deleted, until no snapshot can see it any more, and reads walk over it.
//! While one client keeps a transaction open, a read that began at the oldest deadline would walk over the entries of
//! everything that was ever sold. So a pass begins at the time when the last pass began, less a slack: a row becomes due at its
//! deadline, and the transaction that wrote it ended within seconds. Rows that become due further back (another program moved
//! the deadline) are found by [`Stragglers`], which reads everything at a bounded share of the time.
//!
//! The same holds for rows that cannot be processed: they stay due and lie behind the horizon.

use std::time::Duration;

use chrono::NaiveDateTime;

use crate::db::due::{Place, Window};

/// How long a transaction may take to commit a row whose deadline passes meanwhile: longer than its time limit.
pub(crate) const SLACK: Duration = Duration::from_secs(5);

/// How far back a worker looks for rows that became due while no worker ran, if it cannot begin at the oldest deadline.
const FARTHEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// How far one worker has read. All times are the database's, UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Horizon {
    /// When the last whole pass began: every row that was due by then was processed or passed over.
    seen: Option<NaiveDateTime>,
    /// The running pass: when it began, and behind which place it goes on.
    pass: Option<(NaiveDateTime, Place)>,
    /// How far back the next pass begins, after the beginning of the index could not be read.
    back: Option<Duration>,
}

impl Horizon {
    /// Returns the place behind which the next page begins.
    pub(crate) fn place(&self) -> Place {
        match (self.pass, self.seen) {
            (Some((_, place)), _) => place,
            (None, Some(seen)) => Place::before(seen - self.back.unwrap_or(SLACK)),
            (None, None) => Place::first(),
        }
    }

    /// Records that a page was read at this time, and that all its rows were processed or passed over. `last`: its last row
    /// when more rows may follow.
    pub(crate) fn record(&mut self, read_at: NaiveDateTime, last: Option<Place>) {
        let began = self.pass.map_or(read_at, |(began, _)| began);
        match last {
            Some(place) => self.pass = Some((began, place)),
            None => {
                let back = self.back.map(|back| back * 2).filter(|&back| back < FARTHEST);
                *self = Self { seen: Some(began), pass: None, back };
            }
        }
    }

    /// Begins the pass anew, after a page could not be processed.
    pub(crate) fn restart(&mut self) {
        self.pass = None;
    }

    /// Skips a pass that takes too long to read. If it began at the oldest deadline, the worker begins near `now` instead. Each
    /// later pass then goes back twice as far, over rows that became due while no worker ran, until one takes too long.
    pub(crate) fn skip_to(&mut self, now: NaiveDateTime) {
        self.back = self.seen.is_none().then_some(SLACK);
        self.seen.get_or_insert(now);
    }

    /// Returns whether the next pass goes farther back than the last one.
    pub(crate) fn goes_back(&self) -> bool {
        self.back.is_some()
    }

    /// Returns whether no pass has been finished or skipped yet.
    pub(crate) fn is_unknown(&self) -> bool {
        self.seen.is_none()
    }

    /// Returns the time up to which every due row was processed or passed over; before the first pass, the earliest time.
    pub(crate) fn seen(&self) -> NaiveDateTime {
        self.seen.unwrap_or(Place::first().at)
    }
}

/// The positions of the walks along the indexes; `None`: at the beginning.
#[derive(Debug, Default)]
pub(crate) struct Stragglers {
    pub(crate) holds: Option<Place>,
    pub(crate) orders: Option<Place>,
    /// How long the last step took; zero when it found something to do.
    pub(crate) took: Duration,
}

impl Stragglers {
    /// Returns the page behind `after`, of rows that have been due for longer than a worker needs.
    pub(crate) fn window(after: Option<Place>, limit: u32) -> Window {
        Window { after: after.unwrap_or_else(Place::first), age: SLACK, limit }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;

    fn at(second: i64) -> NaiveDateTime {
        DateTime::from_timestamp(1_000_000 + second, 0).expect("a time").naive_utc()
    }

    fn place(second: i64) -> Place {
        Place { at: at(second), id: Uuid::from_u128(1), product_id: 1 }
    }

    #[test]
    fn a_pass_begins_when_the_last_one_began_less_the_slack() {
        let mut horizon = Horizon::default();
        assert_eq!((horizon.place(), horizon.seen()), (Place::first(), Place::first().at));
        horizon.record(at(100), None);
        assert_eq!((horizon.place(), horizon.seen()), (Place::before(at(95)), at(100)));
        horizon.record(at(101), None);
        assert_eq!((horizon.place(), horizon.seen()), (Place::before(at(96)), at(101)));
    }

    #[test]
    fn a_pass_over_several_pages_covers_the_rows_that_were_due_when_it_began() {
        let mut horizon = Horizon::default();
        horizon.record(at(100), Some(place(50)));
        assert_eq!((horizon.place(), horizon.seen()), (place(50), Place::first().at));
        horizon.record(at(103), Some(place(70)));
        assert_eq!(horizon.place(), place(70));
        horizon.record(at(106), None);
        assert_eq!((horizon.place(), horizon.seen()), (Place::before(at(95)), at(100)));
    }

    #[test]
    fn a_pass_that_fails_begins_anew() {
        let mut horizon = Horizon::default();
        horizon.record(at(100), None);
        horizon.record(at(110), Some(place(104)));
        horizon.restart();
        assert_eq!((horizon.place(), horizon.seen()), (Place::before(at(95)), at(100)));
        horizon.record(at(120), None);
        assert_eq!(horizon.seen(), at(120));
    }

    #[test]
    fn a_first_pass_that_takes_too_long_is_skipped_and_a_later_one_is_not() {
        let mut horizon = Horizon::default();
        assert!(horizon.is_unknown());
        horizon.skip_to(at(100));
        assert_eq!(horizon.place(), Place::before(at(95)));
        horizon.skip_to(at(200));
        assert_eq!(horizon.place(), Place::before(at(95)));
        assert!(!horizon.goes_back());
    }

    #[test]
    fn a_worker_that_cannot_begin_at_the_oldest_deadline_goes_back_as_far_as_it_can_read() {
        let mut horizon = Horizon::default();
        horizon.skip_to(at(100));
        for (second, back) in [(101, 10), (102, 20), (103, 40)] {
            horizon.record(at(second), None);
            assert_eq!(horizon.place(), Place::before(at(second - back)));
        }
        horizon.restart();
        assert_eq!(horizon.place(), Place::before(at(63)), "a pass that failed begins there again");
        horizon.skip_to(at(108));
        assert_eq!((horizon.place(), horizon.goes_back()), (Place::before(at(98)), false));
        horizon.record(at(110), None);
        assert_eq!(horizon.place(), Place::before(at(105)));

        let mut horizon = Horizon::default();
        horizon.skip_to(at(100));
        let passes = (0..100).take_while(|_| {
            horizon.record(at(100), None);
            horizon.goes_back()
        });
        assert!(passes.count() < 30, "it does not go back for ever");
    }
}
