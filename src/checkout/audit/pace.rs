//! How fast an audit goes.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::db::views::audit;
use crate::db::{Failure, Tx};

/// How often the audit checks how busy other clients keep the server. An audit that ends sooner never rests.
const LOOK_AROUND: Duration = Duration::from_millis(250);
/// Statements of other clients per second above which the server counts as busy.
const BUSY: f64 = 100.0;
/// How long the audit rests on a busy server, as a multiple of the time that the last page took.
const REST: f64 = 3.0;

/// Limits how much an audit burdens a server that others use.
pub(super) struct Pace {
    /// When the current page began.
    page_begun: Instant,
    /// When the server was last asked, and how many statements other clients had sent by then.
    asked: (Instant, Option<i64>),
    busy: bool,
}

impl Pace {
    /// Begins the first page.
    pub(super) fn start() -> Self {
        let now = Instant::now();
        Self { page_begun: now, asked: (now, None), busy: false }
    }

    /// Rests between two pages if the server is busy.
    pub(super) async fn rest(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let worked = self.page_begun.elapsed();
        let (asked_at, before) = self.asked;
        if asked_at.elapsed() >= LOOK_AROUND {
            let others = audit::count_statements_of_others(tx).await?;
            let since = asked_at.elapsed().as_secs_f64();
            self.busy = before.is_some_and(|before| (others - before) as f64 > BUSY * since);
            self.asked = (Instant::now(), Some(others));
        }
        if self.busy {
            sleep(worked.mul_f64(REST)).await;
        }
        self.page_begun = Instant::now();
        Ok(())
    }
}
