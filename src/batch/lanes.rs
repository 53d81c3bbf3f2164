//! All lanes of one kind of work, and the way into them.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use super::job::{Job, Unanswered};
use super::lane;
use super::shared::Shared;
use super::work::{JobOf, Limits, Work};

/// All lanes of one kind of work.
pub struct Lanes<W: Work> {
    pub(super) shared: Arc<Shared<W>>,
}

impl<W: Work> Lanes<W> {
    /// Starts without lanes.
    pub fn new(work: W, limits: Limits) -> Self {
        let (lanes, tasks) = (Mutex::default(), TaskTracker::new());
        Self { shared: Arc::new(Shared { work, limits, lanes, tasks }) }
    }

    /// Queues a request in its lane and waits for the response, until `deadline`. A caller that stops waiting needs to do
    /// nothing: its job is dropped when its batch starts.
    ///
    /// # Errors
    /// [`Unanswered`] says why there is no response.
    pub async fn ask(&self, key: W::Key, request: W::Request, deadline: Instant) -> Result<W::Response, Unanswered> {
        let (job, answered) = Job::new(request, deadline);
        self.submit(key, job)?;
        match timeout_at(deadline, answered).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) if Instant::now() < deadline => Err(Unanswered::Dropped),
            Ok(Err(_)) | Err(_) => Err(Unanswered::Late),
        }
    }

    pub(super) fn submit(&self, key: W::Key, job: JobOf<W>) -> Result<(), Unanswered> {
        let mut lanes = self.shared.lanes();
        let job = match lanes.get(&key) {
            None => job,
            Some(lane) => match lane.try_send(job) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(_)) => return Err(Unanswered::Full),
                // the lane's task panicked, so the lane ended without leaving the list
                Err(TrySendError::Closed(job)) => job,
            },
        };
        let (sender, queue) = mpsc::channel(self.shared.limits.queue);
        let accepted = sender.try_send(job);
        lanes.insert(key, sender);
        self.shared.tasks.spawn(lane::drive(Arc::clone(&self.shared), key, queue));
        accepted.map_err(|_| Unanswered::Full)
    }

    /// Returns the number of lanes.
    pub fn count(&self) -> usize {
        self.shared.lanes().len()
    }

    /// Lets every lane finish its jobs and end.
    pub async fn finish(&self) {
        self.shared.lanes().clear();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}
