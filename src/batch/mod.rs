//! Batching for the hot path: requests that arrive while a database round trip is in flight share the next one. This module
//! knows neither HTTP nor SQL; a [`Work`] defines what a batch does.
//!
//! A [`Lanes`] has one lane per key, such as a product or a page of a list. A lane is created with its first job and removed
//! after it has been idle for a moment, so memory follows the keys in use. A lane takes all jobs that wait, up to a cap, and
//! runs them as one batch; while the batch runs, further jobs gather. So a slower batch is followed by a larger one, and a job
//! that finds no batch running starts at once.
//!
//! If the work allows it, a second batch starts before the first one returns, as soon as it is as large as the first: a smaller
//! one would make all later batches smaller than necessary. The lane passes on how much supply was left when a batch last
//! returned, and starts another batch only if [`Work::may_overlap`] agrees. No job waits for a timer, with one exception: jobs
//! gather for a limited time behind a batch that does not return.
//!
//! A batch can hand back a job that must run alone. Single jobs run beside the batches, a few at a time, and do not use a batch
//! slot, so they delay only each other.
//!
//! A job runs only in a batch that starts after the job arrived, so what the batch reads is never older than the job's request.

mod lane;

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_util::task::TaskTracker;
use tracing::Span;

/// Defines how a lane processes its jobs.
pub trait Work: Send + Sync + 'static {
    /// Identifies a lane.
    type Key: Copy + Debug + Eq + Hash + Send + Sync + 'static;
    /// One request, together with the means to answer it.
    type Job: Send + 'static;

    /// Runs one batch and answers its jobs. `supply` is what the last returned batch of this lane reported, if any.
    fn run(
        &self,
        key: Self::Key,
        jobs: Vec<Self::Job>,
        supply: Option<i64>,
    ) -> impl Future<Output = Done<Self::Job>> + Send;

    /// Returns how much of the lane's supply a job may take.
    fn weight(&self, _job: &Self::Job) -> i64 {
        0
    }

    /// Returns how many bytes a job adds to the largest packet of its batch.
    fn bytes(&self, _job: &Self::Job) -> usize {
        0
    }

    /// Runs one job that a batch handed back to run alone.
    fn run_alone(&self, _key: Self::Key, _job: Self::Job) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Answers a job that must run alone when too many such jobs wait already.
    fn turn_away(&self, _job: Self::Job) {}

    /// Returns the span of a job's request; a batch of one job logs under it.
    fn span(&self, _job: &Self::Job) -> Span {
        Span::none()
    }

    /// Decides whether a batch may start while others run. `supply` is what was left when a batch last returned; `weight` is
    /// what the running batches and this one may take of it together. If a weight is accepted, so must be every smaller one.
    fn may_overlap(&self, supply: Option<i64>, weight: i64) -> bool;
}

/// The result of a batch.
#[derive(Debug)]
pub struct Done<Job> {
    /// Jobs that were not answered; they come first in the next batch, in this order.
    pub again: Vec<Job>,
    /// Jobs that were not answered and must run alone.
    pub alone: Vec<Job>,
    /// The supply that is left in the lane, if the batch knows it.
    pub supply: Option<i64>,
}

impl<Job> Done<Job> {
    /// Returns the result of a batch that answered all its jobs.
    pub fn all(supply: Option<i64>) -> Self {
        Self { again: Vec::new(), alone: Vec::new(), supply }
    }
}

/// The limits of every lane. Each number is a maximum.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Jobs in the queue of one lane.
    pub queue: usize,
    /// Jobs in one batch.
    pub batch: usize,
    /// Bytes that the jobs of one batch may add to a packet; a single job may exceed it.
    pub bytes: usize,
    /// Batches that run at the same time.
    pub in_flight: usize,
    /// Overdue batches that give up their slot. A batch is overdue when it has run for longer than `gather`; it waits for
    /// something, such as a locked row, that may not concern the jobs behind it. 0 where it does.
    pub late: usize,
    /// Single jobs that run at the same time; up to `queue` more may wait.
    pub alone: usize,
    /// How long jobs gather behind a batch. A batch that runs for longer is in trouble.
    pub gather: Duration,
    /// How long an idle lane waits for another job before it is removed.
    pub linger: Duration,
}

/// The lane's queue is full; holds the rejected job.
#[derive(Debug)]
pub struct Full<Job>(pub Job);

/// All lanes of one kind of work.
pub struct Lanes<W: Work> {
    shared: Arc<Shared<W>>,
}

struct Shared<W: Work> {
    work: W,
    limits: Limits,
    lanes: Mutex<HashMap<W::Key, mpsc::Sender<W::Job>>>,
    tasks: TaskTracker,
}

impl<W: Work> Lanes<W> {
    /// Starts without lanes.
    pub fn new(work: W, limits: Limits) -> Self {
        let (lanes, tasks) = (Mutex::default(), TaskTracker::new());
        Self { shared: Arc::new(Shared { work, limits, lanes, tasks }) }
    }

    /// Puts a job into its lane's queue.
    ///
    /// # Errors
    /// [`Full`] when the queue has no room.
    pub fn submit(&self, key: W::Key, job: W::Job) -> Result<(), Full<W::Job>> {
        let mut lanes = self.shared.lanes();
        let job = match lanes.get(&key) {
            None => job,
            Some(lane) => match lane.try_send(job) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(job)) => return Err(Full(job)),
                // a lane whose task panicked is still in the list
                Err(TrySendError::Closed(job)) => job,
            },
        };
        let (sender, queue) = mpsc::channel(self.shared.limits.queue);
        let accepted = sender.try_send(job);
        lanes.insert(key, sender);
        self.shared.tasks.spawn(lane::drive(Arc::clone(&self.shared), key, queue));
        accepted.map_err(|error| Full(error.into_inner()))
    }

    /// Returns the number of lanes.
    pub fn count(&self) -> usize {
        self.shared.lanes().len()
    }

    /// Closes all lanes and waits until they have finished their jobs.
    pub async fn finish(&self) {
        self.shared.lanes().clear();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl<W: Work> Shared<W> {
    fn lanes(&self) -> MutexGuard<'_, HashMap<W::Key, mpsc::Sender<W::Job>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
