//! The sweep finds and applies parked events that have nothing to wait for any more, because a crash kept both sides from
//! looking.
//!
//! Very many events may be parked. So a step reads one page along the index of states and keeps its place for the next step,
//! and the worker rests in proportion to the time that the page took. A walk over all events takes long, but only a bounded
//! share of the database's time.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::Checkout;
use crate::db::payment_events::{self, Due, Waiting};
use crate::db::{Error, Failure, Tx};
use crate::domain::EventStatus;
use crate::domain::retry::ATTEMPTS;

/// Maximum number of events per step.
const PAGE: usize = 1000;
/// Where a walk begins: behind no id.
const BEGINNING: i64 = i64::MIN;

/// The position of the sweep.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sweep {
    /// The state whose events it reads: parked ones first, then dead ones, which may include refunds that were given up.
    status: EventStatus,
    /// The last id that it has read.
    after: i64,
    /// How long the last page took to read.
    took: Duration,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { status: EventStatus::Parked, after: BEGINNING, took: Duration::ZERO }
    }
}

impl Sweep {
    /// Reads a page and moves behind it; if the events of one state end on the page, those of the other one follow.
    async fn read(&mut self, tx: &mut Tx<'_>) -> Result<Vec<Waiting>, Failure> {
        let mut page = Vec::new();
        loop {
            let room = PAGE - page.len();
            let limit = u32::try_from(room).unwrap_or(u32::MAX);
            let rows = payment_events::list_ready(tx, self.status, self.after, limit, ATTEMPTS).await?;
            let last = rows.last().filter(|_| rows.len() == room).map(|waiting| waiting.event_id);
            page.extend(rows);
            (self.status, self.after) = match (last, self.status) {
                (Some(last), status) => (status, last),
                (None, EventStatus::Parked) => (EventStatus::Dead, BEGINNING),
                (None, _) => (EventStatus::Parked, BEGINNING),
            };
            if last.is_some() || self.is_at_the_beginning() {
                return Ok(page);
            }
        }
    }

    fn is_at_the_beginning(&self) -> bool {
        (self.status, self.after) == (EventStatus::Parked, BEGINNING)
    }
}

impl Checkout {
    /// Reads the next page of parked events and of refunds that were given up, and applies those that have nothing to wait for
    /// any more. Returns whether the walk goes on; after its last page it begins anew.
    ///
    /// # Errors
    /// As every read.
    pub async fn sweep_parked(&self) -> Result<bool, Error> {
        let (page, more) = {
            let mut sweep = self.sweep.lock().await;
            let (from, began) = (*sweep, Instant::now());
            let read = self.background.read("payments.list_ready", |tx| {
                async move {
                    let mut sweep = from;
                    let page = sweep.read(tx).await?;
                    Ok((sweep, page))
                }
                .boxed()
            });
            let read = read.await;
            sweep.took = began.elapsed();
            let (moved, page) = read?;
            *sweep = Sweep { took: sweep.took, ..moved };
            (page, !sweep.is_at_the_beginning())
        };
        let ready = page.into_iter().filter(|waiting| waiting.ready);
        let due =
            |Waiting { event_id, meaning, .. }| Due { event_id, meaning, status: EventStatus::Parked, attempts: 0 };
        // one after the other, by age: the first success that names a charge owns it
        self.work_off_in_order(ready.map(due).collect(), 1).await;
        Ok(more)
    }

    /// Returns how long the last page of [`Checkout::sweep_parked`] took to read, also if the read failed.
    pub async fn sweep_took(&self) -> Duration {
        self.sweep.lock().await.took
    }
}
