//! Shares of the pool: batches of the hot path get connections, however many other callers wait for one. In a pool of fewer
//! than eight connections, they wait for a few others at most.
//!
//! A caller of a bounded share waits in the queue of its share, in order of arrival, before it waits for the pool. So a flood
//! of requests that each need a statement of their own queues in its share, and not in front of the batches.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The use of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Batches of several jobs: the whole pool.
    Batches,
    /// Batches of one job, in which very many lanes take turns, and jobs that are done alone: three eighths.
    LoneJobs,
    /// Requests outside batches: a quarter.
    Requests,
    /// Workers that give units back or apply payments: a quarter.
    Workers,
    /// Rounds of pushes, of which there may be hundreds at a time: an eighth.
    Pushes,
    /// Checks of readiness, schema and clock: one connection.
    Checks,
}

impl Share {
    /// Returns the share of a batch with this many jobs.
    pub fn of_batch(jobs: usize) -> Self {
        if jobs > 1 { Self::Batches } else { Self::LoneJobs }
    }
}

/// The places of the bounded shares.
#[derive(Debug)]
pub(super) struct Shares {
    lone_jobs: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    pushes: Arc<Semaphore>,
    checks: Arc<Semaphore>,
}

impl Shares {
    /// Divides a pool of `size` connections. Checks have one place, pushes at least one, each other bounded share at least two.
    pub(super) fn of(size: usize) -> Self {
        let places = |eighths: usize| Arc::new(Semaphore::new((size * eighths / 8).max(2)));
        let pushes = Arc::new(Semaphore::new((size / 8).max(1)));
        Self {
            lone_jobs: places(3),
            requests: places(2),
            workers: places(2),
            pushes,
            checks: Arc::new(Semaphore::new(1)),
        }
    }

    /// Waits for a place, which is kept until the permit is dropped; `None` where none is needed.
    pub(super) async fn enter(&self, share: Share) -> Option<OwnedSemaphorePermit> {
        let places = match share {
            Share::Batches => return None,
            Share::LoneJobs => &self.lone_jobs,
            Share::Requests => &self.requests,
            Share::Workers => &self.workers,
            Share::Pushes => &self.pushes,
            Share::Checks => &self.checks,
        };
        Arc::clone(places).acquire_owned().await.ok()
    }
}
