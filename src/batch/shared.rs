//! What the lanes of one kind of work share.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::work::{JobOf, Limits, Work};

/// The sending end of a lane.
pub(super) type Queue<W> = mpsc::Sender<JobOf<W>>;

/// The work, its limits, and its lanes.
pub(super) struct Shared<W: Work> {
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
