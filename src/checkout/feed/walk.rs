//! How far this instance has walked over all products.

use std::time::Duration;

use tokio::time::Instant;

/// A walk by id, page by page, and then from the beginning again.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// The last product of the page before; 0 before the first page.
    pub(super) after: i64,
    began: Option<Instant>,
}

impl Walk {
    /// Begins a page.
    pub(super) fn begin(&mut self, now: Instant) {
        self.began.get_or_insert(now);
    }

    /// Notes a page. `last`: its last product, if more may follow. Returns how long the walk took, if it is whole.
    pub(super) fn record(&mut self, now: Instant, last: Option<i64>) -> Option<Duration> {
        self.after = last.unwrap_or(0);
        match last {
            Some(_) => None,
            None => self.began.take().map(|began| now - began),
        }
    }
}
