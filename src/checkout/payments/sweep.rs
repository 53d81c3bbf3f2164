//! The sweep finds and applies parked events that have nothing to wait for any more, because a crash kept both sides from
//! looking.
//!
//! Very many events may be parked. So a step reads one page along the index of states and keeps its place for the next step,
//! and the worker rests in proportion to the time that the page took. A walk over all events takes long, but only a bounded
//! share of the database's time.

use std::time::Duration;

use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::tables::payment_events::{self, Waiting};
use crate::domain::EventStatus;
use crate::domain::retry::ATTEMPTS;

/// Maximum number of events per step.
const PAGE: usize = 1000;
/// Where a walk begins: behind no id.
const BEGINNING: i64 = i64::MIN;

/// The position of the sweep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sweep {
    /// The state whose events it reads: parked ones first, then dead ones, which may include refunds that were given up.
    pub(super) status: EventStatus,
    /// The last id that it has read.
    pub(super) after: i64,
    /// How long the last page took to read.
    pub(super) took: Duration,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { status: EventStatus::Parked, after: BEGINNING, took: Duration::ZERO }
    }
}

impl Sweep {
    /// Reads a page and moves behind it; if the events of one state end on the page, those of the other one follow.
    pub(super) async fn read(&mut self, tx: &mut Tx<'_>) -> Result<Vec<Waiting>, Failure> {
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

    pub(super) fn is_at_the_beginning(&self) -> bool {
        (self.status, self.after) == (EventStatus::Parked, BEGINNING)
    }
}
