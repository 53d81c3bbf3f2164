//! The hot path's machinery: requests that arrive while a database round trip is under way travel together in the next
//! one. It knows neither HTTP nor SQL; what a batch does is a [`Work`]'s business.
//!
//! A [`Lanes`] has one lane per key (a product, a page of a list). A lane appears when its first job arrives, and goes
//! away when it has been idle for a moment, so that memory follows what is asked for and not what ever was. A lane takes
//! whatever waits, up to a cap, and runs it as one batch; while that is under way, jobs gather. A batch is as large as the
//! last one was slow, and a job that finds nothing under way never waits for company.
//!
//! Where the work allows it, a second batch leaves before the first one is back, as soon as it is as large as that: a
//! smaller one would make all that follow smaller than they need be. A lane tells its work how much supply was left when a
//! batch last came back, and starts a further one only if [`Work::may_overlap`] agrees. There is no timer, except that
//! nobody gathers long behind a batch that does not come back.
//!
//! A job that turns out not to fit in with others is handed back to be done alone. That happens beside the batches, a few
//! at a time, and takes no batch's place: a bad neighbour slows nobody but his like.
//!
//! A job is taken by exactly one batch that starts after it arrived: what a batch reads is never older than any of its
//! jobs' questions.

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

/// What a lane does with a batch.
pub trait Work: Send + Sync + 'static {
    /// What a lane is for.
    type Key: Copy + Debug + Eq + Hash + Send + Sync + 'static;
    /// One request, together with the way to answer it.
    type Job: Send + 'static;

    /// Does one batch and answers its jobs. `supply` is what the last batch of this lane reported, if there was one.
    fn run(
        &self,
        key: Self::Key,
        jobs: Vec<Self::Job>,
        supply: Option<i64>,
    ) -> impl Future<Output = Done<Self::Job>> + Send;

    /// How much of the lane's supply a job may take.
    fn weight(&self, _job: &Self::Job) -> i64 {
        0
    }

    /// How many bytes a job adds to the largest packet of its batch.
    fn bytes(&self, _job: &Self::Job) -> usize {
        0
    }

    /// Does one job that a batch handed back to be done alone.
    fn run_alone(&self, _key: Self::Key, _job: Self::Job) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Answers a job that would have to be done alone when too many of its like wait already.
    fn turn_away(&self, _job: Self::Job) {}

    /// The span of the request that a job is for: a batch of one logs under it.
    fn span(&self, _job: &Self::Job) -> Span {
        Span::none()
    }

    /// Whether a batch may start while others are under way: `supply` is what was left when one last came back,
    /// `weight` what those under way and this one may take of it together. More weight is never easier to carry.
    fn may_overlap(&self, supply: Option<i64>, weight: i64) -> bool;
}

/// How a batch ended.
#[derive(Debug)]
pub struct Done<Job> {
    /// Jobs that were not answered and come first in the next batch, in this order.
    pub again: Vec<Job>,
    /// Jobs that were not answered and cannot travel with others.
    pub alone: Vec<Job>,
    /// What is left of the lane's supply, if the batch knows.
    pub supply: Option<i64>,
}

impl<Job> Done<Job> {
    /// Everybody was answered.
    pub fn all(supply: Option<i64>) -> Self {
        Self { again: Vec::new(), alone: Vec::new(), supply }
    }
}

/// The bounds of every lane.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Jobs that may wait in one lane.
    pub queue: usize,
    /// Jobs in one batch.
    pub batch: usize,
    /// What the jobs of one batch may add to a packet, in bytes; a single job may exceed it.
    pub bytes: usize,
    /// Batches under way at the same time.
    pub in_flight: usize,
    /// Batches that are not back when jobs have gathered behind them as long as they may, and take no place any more, at most:
    /// what they wait for, a locked row for instance, does not concern the jobs behind them. 0 where it does.
    pub late: usize,
    /// Jobs that are done alone at the same time; of their like as many may wait as in the queue.
    pub alone: usize,
    /// How long jobs gather at most behind a batch, which has met trouble when it is not back by then.
    pub gather: Duration,
    /// How long a lane waits for another job before it goes away.
    pub linger: Duration,
}

/// A lane's queue is full; the job comes back.
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
    /// No lanes yet.
    pub fn new(work: W, limits: Limits) -> Self {
        let (lanes, tasks) = (Mutex::default(), TaskTracker::new());
        Self { shared: Arc::new(Shared { work, limits, lanes, tasks }) }
    }

    /// Puts a job into its lane's queue.
    ///
    /// # Errors
    /// [`Full`] when there is no place for it.
    pub fn submit(&self, key: W::Key, job: W::Job) -> Result<(), Full<W::Job>> {
        let mut lanes = self.shared.lanes();
        let job = match lanes.get(&key) {
            None => job,
            Some(lane) => match lane.try_send(job) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(job)) => return Err(Full(job)),
                // a lane that ended without leaving the list: its task panicked
                Err(TrySendError::Closed(job)) => job,
            },
        };
        let (sender, queue) = mpsc::channel(self.shared.limits.queue);
        let accepted = sender.try_send(job);
        lanes.insert(key, sender);
        self.shared.tasks.spawn(lane::drive(Arc::clone(&self.shared), key, queue));
        accepted.map_err(|error| Full(error.into_inner()))
    }

    /// How many lanes there are.
    pub fn count(&self) -> usize {
        self.shared.lanes().len()
    }

    /// Lets every lane finish what it has, and go.
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
