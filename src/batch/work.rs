//! What a kind of work defines, and what an attempt hands back.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

use super::job::Job;

/// One kind of batch: what its jobs ask for, and what an attempt does with them.
pub trait Work: Send + Sync + 'static {
    /// What each lane is for.
    type Key: Copy + Debug + Eq + Hash + Send + Sync + 'static;
    /// What a client asks for.
    type Request: Send + 'static;
    /// What it is answered.
    type Response: Send + 'static;

    /// Tries these jobs together, at least one. Each of them is answered, or handed back. `supply` is what the last batch of
    /// this lane reported, or the last attempt of these jobs, if there was one.
    fn attempt(
        &self,
        key: Self::Key,
        jobs: Vec<JobOf<Self>>,
        turn: Turn,
        supply: Option<i64>,
    ) -> impl Future<Output = Attempt<JobOf<Self>>> + Send;

    /// Returns how much of the lane's supply a job may take.
    fn weight(&self, _request: &Self::Request) -> i64 {
        0
    }

    /// Returns how many bytes a job adds to the largest packet of its batch.
    fn bytes(&self, _request: &Self::Request) -> usize {
        0
    }

    /// Returns whether a batch may start while others are running. `supply` is what was left when the last one returned,
    /// `weight` what the running ones and this one may take together. If some weight is refused, so is every larger one.
    fn may_overlap(&self, supply: Option<i64>, weight: i64) -> bool;
}

/// A job of this kind of work.
pub type JobOf<W> = Job<<W as Work>::Request, <W as Work>::Response>;

/// Which attempt of a job this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The first one of its batch.
    First,
    /// The second one, after the first was rolled back.
    Second,
    /// Of a single job.
    Alone,
}

/// The jobs that an attempt hands back.
#[derive(Debug)]
pub struct Attempt<Job> {
    /// Jobs that come first in the next batch, in order of arrival.
    pub again: Vec<Job>,
    /// Jobs of a batch that was rolled back because another transaction had changed something that was read for it.
    pub spoiled: Vec<Job>,
    /// Jobs that cannot run in a batch.
    pub alone: Vec<Job>,
    /// What is left of the lane's supply, if the batch knows.
    pub supply: Option<i64>,
}

impl<Job> Attempt<Job> {
    /// Reports that all jobs were answered.
    pub fn done(supply: Option<i64>) -> Self {
        Self { again: Vec::new(), spoiled: Vec::new(), alone: Vec::new(), supply }
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
    /// Batches that run at the same time.
    pub in_flight: usize,
    /// Overdue batches that free their slots, at most. A batch is overdue when it runs for longer than `gather`: then what it
    /// waits for, for example a locked row, does not concern the jobs behind it. 0 where it does.
    pub late: usize,
    /// Single jobs that run at the same time; as many may wait as in the queue.
    pub alone: usize,
    /// How long jobs gather behind a running batch at most; after this time, the batch is overdue.
    pub gather: Duration,
    /// How long an idle lane waits for another job before it is removed.
    pub linger: Duration,
}
