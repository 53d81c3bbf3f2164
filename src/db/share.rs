//! Shares of the pool: batches of the hot path always find connections, however many other callers wait for one.
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
    /// Batches of one job, in which very many lanes take turns: three eighths.
    LoneJobs,
    /// Requests that do not travel in batches: three eighths.
    Requests,
    /// Workers that give units back: an eighth.
    Workers,
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
}

impl Shares {
    /// Of a pool of `size` connections. Each share has one place at least.
    pub(super) fn of(size: usize) -> Self {
        let places = |eighths: usize| Arc::new(Semaphore::new((size * eighths / 8).max(1)));
        Self { lone_jobs: places(3), requests: places(3), workers: places(1) }
    }

    /// Waits for a place, which is kept until the permit is dropped; `None` where none is needed.
    pub(super) async fn enter(&self, share: Share) -> Option<OwnedSemaphorePermit> {
        let places = match share {
            Share::Batches => return None,
            Share::LoneJobs => &self.lone_jobs,
            Share::Requests => &self.requests,
            Share::Workers => &self.workers,
        };
        Arc::clone(places).acquire_owned().await.ok()
    }
}
