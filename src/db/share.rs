//! Shares of the pool: batches of the hot path find connections, however many other callers wait for one. In a pool of less than
//! eight connections they wait for the turn of a few others at most.
//!
//! A caller of a bounded share waits in a queue of its own, in order of arrival, before it asks the pool. So a flood of
//! requests that each need a statement of their own waits for itself, and not in front of the batches.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a connection is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Batches of several jobs: the whole pool.
    Batches,
    /// Batches of one job, in which very many lanes take turns, and jobs that are done alone: three eighths.
    LoneJobs,
    /// Requests that do not travel in batches: a quarter.
    Requests,
    /// Workers that give units back or apply payments: a quarter.
    Workers,
    /// Checks of readiness, schema and clock: one connection.
    Checks,
}

impl Share {
    /// Of a batch of so many jobs.
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
    checks: Arc<Semaphore>,
}

impl Shares {
    /// Of a pool of `size` connections. Each of these shares has two places at least.
    pub(super) fn of(size: usize) -> Self {
        let places = |eighths: usize| Arc::new(Semaphore::new((size * eighths / 8).max(2)));
        Self { lone_jobs: places(3), requests: places(2), workers: places(2), checks: Arc::new(Semaphore::new(1)) }
    }

    /// Waits for a place, which is kept until the permit is dropped; `None` where none is needed.
    pub(super) async fn enter(&self, share: Share) -> Option<OwnedSemaphorePermit> {
        let places = match share {
            Share::Batches => return None,
            Share::LoneJobs => &self.lone_jobs,
            Share::Requests => &self.requests,
            Share::Workers => &self.workers,
            Share::Checks => &self.checks,
        };
        Arc::clone(places).acquire_owned().await.ok()
    }
}
