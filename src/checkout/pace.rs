//! How many rows a step of background work takes at a time: a count of units, or the end of an event.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

/// How much smaller than at its largest a page becomes at most.
const SMALLEST: u32 = 40;

/// The size of a page, which follows from how the last steps ended.
#[derive(Debug)]
pub(crate) struct Pace {
    rows: AtomicU32,
    most: u32,
}

impl Pace {
    /// Begins with pages of this size, the largest.
    pub(crate) fn of(most: u32) -> Self {
        Self { rows: AtomicU32::new(most), most }
    }

    /// Returns the number of rows per page.
    pub(crate) fn rows(&self) -> u32 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Records that a step with pages of so many rows was committed.
    pub(crate) fn succeeded(&self, rows: u32) {
        self.rows.store((rows * 2).min(self.most), Ordering::Relaxed);
    }

    /// Records that a step with pages of so many rows could not be ended in time.
    pub(crate) fn failed(&self, rows: u32) {
        self.rows.store((rows / 2).max(self.most / SMALLEST).max(1), Ordering::Relaxed);
    }
}

/// Rows of holds per page of a count of units at most. A page locks the rows that it counts, and the product, until its commit.
const COUNTED: u32 = 2_000;
/// Rows of holds that one step ends at most: it locks their products until its commit.
const ENDED: u32 = 200;
/// Holds for which one step writes due refunds at most: it locks their charges.
const REFUNDED: u32 = 500;

/// The sizes of the steps of this instance.
#[derive(Debug)]
pub(crate) struct Paces {
    /// Rows of holds per page of a count of units.
    pub(crate) count: Pace,
    /// Rows of holds that a step ends with an event.
    pub(crate) holds: Pace,
    /// Holds for which a step writes due refunds.
    pub(crate) refunds: Pace,
    /// The event that the last step has ended: the next one is for another, so that one that cannot be ended holds up no other.
    pub(crate) last_event: AtomicI64,
}

impl Default for Paces {
    fn default() -> Self {
        Self {
            count: Pace::of(COUNTED),
            holds: Pace::of(ENDED),
            refunds: Pace::of(REFUNDED),
            last_event: AtomicI64::new(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_becomes_smaller_after_each_step_that_fails_and_larger_again() {
        let pace = Pace::of(2_000);
        let step = |ended: fn(&Pace, u32)| {
            ended(&pace, pace.rows());
            pace.rows()
        };
        assert_eq!([(); 7].map(|()| step(Pace::failed)), [1000, 500, 250, 125, 62, 50, 50]);
        assert_eq!([(); 7].map(|()| step(Pace::succeeded)), [100, 200, 400, 800, 1600, 2000, 2000]);
    }
}
