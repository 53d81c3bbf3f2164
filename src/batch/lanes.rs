//! All lanes of one kind of work, and the way into them.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use super::job::{Job, Unanswered};
use super::lane;
use super::shared::{Queue, Shared};
use super::work::{JobOf, Limits, Work};
use crate::telemetry;

/// All lanes of one kind of work.
pub struct Lanes<W: Work> {
    pub(super) shared: Arc<Shared<W>>,
}

impl<W: Work> Lanes<W> {
    /// Starts without lanes. `kind` is their name in metrics.
    pub fn new(kind: &'static str, work: W, limits: Limits) -> Self {
        let (lanes, tasks) = (Mutex::default(), TaskTracker::new());
        Self { shared: Arc::new(Shared { kind, work, limits, lanes, tasks }) }
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
            Some(lane) => match lane.jobs.try_send(job) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(_)) => return Err(Unanswered::Full),
                // the lane's task panicked, so the lane ended without leaving the list
                Err(TrySendError::Closed(job)) => job,
            },
        };
        let (sender, queue) = mpsc::channel(self.shared.limits.queue);
        let accepted = sender.try_send(job);
        let taken = Arc::default();
        lanes.insert(key, Queue { jobs: sender, taken: Arc::clone(&taken) });
        self.shared.tasks.spawn(lane::drive(Arc::clone(&self.shared), key, queue, taken));
        accepted.map_err(|_| Unanswered::Full)
    }

    /// Returns the number of lanes.
    pub fn count(&self) -> usize {
        self.shared.lanes().len()
    }

    /// Returns how many jobs wait in all lanes.
    pub fn depth(&self) -> usize {
        self.shared.lanes().values().map(Queue::depth).sum()
    }

    /// Reports how many jobs wait in all lanes.
    pub fn report_depth(&self) {
        telemetry::jobs_wait(self.shared.kind, self.depth());
    }

    /// Lets every lane finish its jobs and end.
    pub async fn finish(&self) {
        self.shared.lanes().clear();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}
