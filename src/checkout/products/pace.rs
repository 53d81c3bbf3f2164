//! How many rows a step of a count of units reads at a time.

use std::sync::atomic::{AtomicU32, Ordering};

/// Rows of holds per page at most. A page locks the rows that it counts, and the product, until its commit.
const MOST: u32 = 2_000;
/// Rows of holds per page at least.
const LEAST: u32 = 50;

/// The size of a page, which follows from how the last steps ended.
#[derive(Debug)]
pub(crate) struct CountPace(AtomicU32);

impl Default for CountPace {
    fn default() -> Self {
        Self(AtomicU32::new(MOST))
    }
}

impl CountPace {
    /// Returns the number of rows per page.
    pub(crate) fn rows(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Records that a step with pages of so many rows was committed.
    pub(super) fn succeeded(&self, rows: u32) {
        self.0.store((rows * 2).min(MOST), Ordering::Relaxed);
    }

    /// Records that a step with pages of so many rows could not be ended in time.
    pub(super) fn failed(&self, rows: u32) {
        self.0.store((rows / 2).max(LEAST), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_becomes_smaller_after_each_step_that_fails_and_larger_again() {
        let pace = CountPace::default();
        let step = |ended: fn(&CountPace, u32)| {
            ended(&pace, pace.rows());
            pace.rows()
        };
        assert_eq!([(); 7].map(|()| step(CountPace::failed)), [1000, 500, 250, 125, 62, 50, 50]);
        assert_eq!([(); 7].map(|()| step(CountPace::succeeded)), [100, 200, 400, 800, 1600, 2000, 2000]);
    }
}
