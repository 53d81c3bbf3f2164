//! Deadlines: workers give back the units of expired holds and unpaid orders page by page, and ask when the next row is due.
//!
//! Each worker remembers its horizon, and so passes no index entry twice. Rows that become due behind the horizons (their
//! deadline was moved by another program, or they were passed over and can be tried again) are stragglers. Looking for
//! these reads along the whole index of deadlines, and so over every entry that a snapshot keeps. A step is one page of each
//! table; the worker rests in proportion to what it took.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::holds::expiry::{LISTED, Pass, Seen, expire_due};
use super::horizon::{Horizon, Stragglers};
use super::orders::overdue::{ORDERS, cancel_due};
use super::state::Checkout;
use crate::checkout::error::Error;
use crate::db::due::{Place, Window};
use crate::db::error::Error as DbError;
use crate::db::tables::{holds, orders};
use crate::db::views::audit;

impl Checkout {
    /// Gives back a page of holds that have run out. Returns whether there may be more.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn expire_holds(&self) -> Result<bool, Error> {
        let mut horizon = self.due_holds.lock().await;
        let window = Window { after: horizon.place(), age: Duration::ZERO, limit: LISTED };
        let seen = expire_due(&self.background, &self.passed_over, None, window).await;
        let more = self.record(&mut horizon, seen).await;
        self.supplies.record_due_place(horizon.place());
        Ok(more?)
    }

    /// Returns the time, by the database's clock, until the next hold runs out that [`Checkout::expire_holds`] has not seen:
    /// zero when one already has, `None` when none does within a second. During a pause, returns the rest of the pause.
    ///
    /// # Errors
    /// As every read.
    pub async fn next_hold_due(&self) -> Result<Option<Duration>, Error> {
        if let Some(pause) = self.database.clock().paused_for() {
            return Ok(Some(pause));
        }
        let seen = self.due_holds.lock().await.seen();
        let due_in_us = self
            .background
            .read("holds.find_next_due", |tx| async move { holds::find_next_due(tx, seen).await }.boxed())
            .await?;
        Ok(due_in_us.map(from_us))
    }

    /// Does the same for unpaid orders and [`Checkout::cancel_overdue_orders`].
    ///
    /// # Errors
    /// As every read.
    pub async fn next_order_due(&self) -> Result<Option<Duration>, Error> {
        if let Some(pause) = self.database.clock().paused_for() {
            return Ok(Some(pause));
        }
        let seen = self.due_orders.lock().await.seen();
        let due_in_us = self
            .background
            .read("orders.find_next_due", |tx| async move { orders::find_next_due(tx, seen).await }.boxed())
            .await?;
        Ok(due_in_us.map(from_us))
    }

    /// Moves a worker's horizon by the result of a page. Returns whether there may be more at once.
    pub(crate) async fn record(&self, horizon: &mut Horizon, pass: Result<Pass, DbError>) -> Result<bool, DbError> {
        match pass {
            Ok(Pass::Done(Seen { read_at, last, .. })) => {
                horizon.record(read_at, last);
                Ok(last.is_some() || horizon.goes_back())
            }
            Ok(Pass::Raced) => {
                horizon.restart();
                Ok(true)
            }
            Ok(Pass::Paused) => {
                horizon.restart();
                Ok(false)
            }
            Err(error) => {
                horizon.restart();
                self.skip(horizon, &error).await?;
                Err(error)
            }
        }
    }

    /// Moves a worker's horizon after a page took too long to read. If the database is unavailable, the horizon stays.
    pub(crate) async fn skip(&self, horizon: &mut Horizon, error: &DbError) -> Result<(), DbError> {
        if (horizon.is_unknown() || horizon.goes_back()) && matches!(error, DbError::Unavailable(_)) {
            let read = self.background.read("expiry.find_time", |tx| audit::find_time(tx).boxed());
            horizon.skip_to(read.await?);
        }
        Ok(())
    }

    /// Cancels one page of orders that were not paid in time. Returns whether there may be more.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn cancel_overdue_orders(&self) -> Result<bool, Error> {
        let mut horizon = self.due_orders.lock().await;
        let window = Window { after: horizon.place(), age: Duration::ZERO, limit: ORDERS };
        let seen = cancel_due(&self.background, &self.passed_over, window).await;
        Ok(self.record(&mut horizon, seen).await?)
    }

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
        done?;
        Ok(stragglers.holds.is_some() || stragglers.orders.is_some())
    }

    /// Returns how long the last step of [`Checkout::find_stragglers`] took, also if it failed; zero when it found something to
    /// do.
    pub async fn stragglers_took(&self) -> Duration {
        self.stragglers.lock().await.took
    }

    /// Returns how many rows were processed. The rows of a worker that has not finished its first pass are left to that pass.
    async fn step_stragglers(&self, stragglers: &mut Stragglers) -> Result<usize, DbError> {
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
        let events = self.process_straggling_events().await;
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

fn from_us(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(0))
}
