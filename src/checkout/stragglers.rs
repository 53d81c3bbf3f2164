//! Rows that became due behind the horizons of the workers: another program moved their deadline, or they were passed over and
//! can be tried again.
//!
//! This reads along the whole index of deadlines, and so over every entry that a snapshot keeps. A step is one page of each
//! table; the worker rests in proportion to the time that it took.

use std::time::Duration;

use tokio::time::Instant;

use super::Checkout;
use super::expiry::{LISTED, Pass, expire_due};
use super::horizon::SLACK;
use super::overdue::{ORDERS, cancel_due};
use crate::db::Error;
use crate::db::due::{Place, Window};

/// The positions of the walks along the indexes; `None`: at the beginning.
#[derive(Debug, Default)]
pub(super) struct Stragglers {
    holds: Option<Place>,
    orders: Option<Place>,
    /// How long the last step took; zero when it found something to do.
    took: Duration,
}

impl Stragglers {
    fn window(after: Option<Place>, limit: u32) -> Window {
        Window { after: after.unwrap_or_else(Place::first), age: SLACK, limit }
    }
}

impl Checkout {
    /// Processes a page of holds, orders and payment events that have been due for a while and were missed. Returns whether one
    /// of the walks goes on.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn find_stragglers(&self) -> Result<bool, Error> {
        let mut stragglers = self.stragglers.lock().await;
        let began = Instant::now();
        let done = self.step_stragglers(&mut stragglers).await;
        stragglers.took = if matches!(done, Ok(1..)) { Duration::ZERO } else { began.elapsed() };
        done.map(|_| stragglers.holds.is_some() || stragglers.orders.is_some())
    }

    /// Returns how long the last step of [`Checkout::find_stragglers`] took, also if it failed; zero when it found something to
    /// do.
    pub async fn stragglers_took(&self) -> Duration {
        self.stragglers.lock().await.took
    }

    /// Returns how many rows were processed. The rows of a worker that has not finished its first pass are left to that pass.
    async fn step_stragglers(&self, stragglers: &mut Stragglers) -> Result<usize, Error> {
        // if one walk fails, the others still process their pages
        let (mut done, mut failed) = (0, None);
        if !self.due_holds.lock().await.is_unknown() {
            let window = Stragglers::window(stragglers.holds.take(), LISTED);
            match expire_due(&self.background, &self.passed_over, None, window).await {
                Ok(seen) => (stragglers.holds, done) = moved(seen, done),
                Err(error) => failed = Some(error),
            }
        }
        if !self.due_orders.lock().await.is_unknown() {
            let window = Stragglers::window(stragglers.orders.take(), ORDERS);
            match cancel_due(&self.background, &self.passed_over, window).await {
                Ok(seen) => (stragglers.orders, done) = moved(seen, done),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let events = self.work_off_stragglers().await;
        match failed {
            Some(error) => Err(error),
            None => events.map(|events| done + events),
        }
    }
}

fn moved(pass: Pass, done: usize) -> (Option<Place>, usize) {
    match pass {
        Pass::Done(seen) => (seen.last, done + seen.done),
        Pass::Raced | Pass::Paused => (None, done),
    }
}
