//! What the lanes of one kind of work share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::work::{JobOf, Limits, Work};

/// The sending end of a lane.
pub(super) struct Queue<W: Work> {
    pub(super) jobs: mpsc::Sender<JobOf<W>>,
    /// How many jobs the lane has taken from it, and not started.
    pub(super) taken: Arc<AtomicUsize>,
}

impl<W: Work> Queue<W> {
    /// Returns how many jobs wait.
    pub(super) fn depth(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity() + self.taken.load(Ordering::Relaxed)
    }
}

/// The work, its limits, and its lanes.
pub(super) struct Shared<W: Work> {
    /// A word for metrics.
    pub(super) kind: &'static str,
    pub(super) work: W,
    pub(super) limits: Limits,
    pub(super) lanes: Mutex<HashMap<W::Key, Queue<W>>>,
    pub(super) tasks: TaskTracker,
}

impl<W: Work> Shared<W> {
    /// Locks the list of lanes.
    pub(super) fn lanes(&self) -> MutexGuard<'_, HashMap<W::Key, Queue<W>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
