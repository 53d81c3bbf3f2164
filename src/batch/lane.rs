//! One lane: a queue and its running batches.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{Instrument as _, error, info_span};

use super::job::{Job, Unanswered, wanted};
use super::shared::Shared;
use super::work::{Attempt, JobOf, Limits, Turn, Work};
use crate::telemetry;

/// How often a single job is tried.
const TRIES: u32 = 3;

/// The result of a batch's task; an error when it panicked.
type Returned<W> = Result<(task::Id, Done<W>), JoinError>;

/// What a batch leaves over.
struct Done<W: Work> {
    /// Jobs that come first in the next batch.
    again: Vec<JobOf<W>>,
    /// Jobs that run alone.
    alone: Vec<JobOf<W>>,
    supply: Option<i64>,
}

/// A running batch.
struct Batch {
    number: u64,
    /// How much of the lane's supply it may take.
    weight: i64,
    /// When it started.
    left: Instant,
}

/// The batch that started last.
struct Last {
    number: u64,
    /// The number of its jobs; 0 after it has returned.
    size: usize,
    /// When it started.
    left: Instant,
}

struct Lane<W: Work> {
    shared: Arc<Shared<W>>,
    key: W::Key,
    /// Jobs taken from the queue and not yet started; jobs to be run again come first.
    waiting: VecDeque<JobOf<W>>,
    /// The bytes that they add to a packet.
    waiting_bytes: usize,
    under_way: JoinSet<Done<W>>,
    /// The running batches; an entry outlives a panic of its task.
    batches: HashMap<task::Id, Batch>,
    /// Single jobs not yet started.
    singles: VecDeque<JobOf<W>>,
    singles_under_way: JoinSet<()>,
    last: Last,
    /// The supply that was left when a batch last returned.
    supply: Option<i64>,
}

/// How a job that arrives now is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// It starts at once.
    Leaves,
    /// It starts when enough jobs have gathered, or at this moment.
    Gathers { until: Instant },
    /// It stays in the queue until a batch returns, or until this moment, when a batch becomes overdue and gives up its slot.
    Rests { until: Option<Instant> },
}

impl Next {
    /// Returns the moment when the lane must check again even if nothing happens before.
    fn until(self) -> Option<Instant> {
        match self {
            Self::Leaves => None,
            Self::Gathers { until } => Some(until),
            Self::Rests { until } => until,
        }
    }

    fn rests(self) -> bool {
        matches!(self, Self::Rests { .. })
    }
}

/// Runs one lane until it has been idle for a moment, or its queue is closed and all jobs are finished.
///
/// `taken`: how many jobs it has taken from its queue and not started.
pub(super) async fn drive<W: Work>(
    shared: Arc<Shared<W>>,
    key: W::Key,
    mut queue: mpsc::Receiver<JobOf<W>>,
    taken: Arc<AtomicUsize>,
) {
    let cap = shared.limits.batch;
    let linger = shared.limits.linger;
    let mut lane = Lane::new(shared, key);
    let mut open = true;
    let mut arrived = Vec::new();
    let timer = sleep_until(Instant::now());
    tokio::pin!(timer);
    while open || !lane.is_idle() {
        while lane.waiting.len() < cap
            && let Ok(job) = queue.try_recv()
        {
            lane.take_in(job);
        }
        let next = lane.start_batches();
        lane.start_singles();
        taken.store(lane.waiting.len() + lane.singles.len(), Ordering::Relaxed);
        let until = next.until();
        if let Some(until) = until
            && timer.deadline() != until
        {
            timer.as_mut().reset(until);
        }
        let room = cap.saturating_sub(lane.waiting.len());
        tokio::select! {
            Some(returned) = lane.under_way.join_next_with_id() => lane.take_back(returned),
            Some(ended) = lane.singles_under_way.join_next() => lane.report_panic(ended),
            count = queue.recv_many(&mut arrived, room), if open && room > 0 && !next.rests() => {
                open = count > 0;
                arrived.drain(..).for_each(|job| lane.take_in(job));
            }
            () = &mut timer, if until.is_some() => {}
            () = sleep(linger), if lane.is_idle() => {
                if lane.leave(&queue) {
                    return;
                }
            }
        }
    }
}

impl<W: Work> Lane<W> {
    fn new(shared: Arc<Shared<W>>, key: W::Key) -> Self {
        let (waiting, singles) = (VecDeque::new(), VecDeque::new());
        let (under_way, singles_under_way) = (JoinSet::new(), JoinSet::new());
        Self {
            shared,
            key,
            waiting,
            under_way,
            singles,
            singles_under_way,
            waiting_bytes: 0,
            batches: HashMap::new(),
            last: Last { number: 0, size: 0, left: Instant::now() },
            supply: None,
        }
    }

    fn is_idle(&self) -> bool {
        let none_waits = self.waiting.is_empty() && self.singles.is_empty();
        none_waits && self.under_way.is_empty() && self.singles_under_way.is_empty()
    }

    fn take_in(&mut self, job: JobOf<W>) {
        self.waiting_bytes += self.shared.work.bytes(&job.request);
        self.waiting.push_back(job);
    }

    /// Returns how many waiting jobs go into the next batch: at least one.
    fn next_batch(&self) -> usize {
        let mut room = self.shared.limits.bytes;
        let fits = |job: &&JobOf<W>| {
            let left = room.checked_sub(self.shared.work.bytes(&job.request));
            room = left.unwrap_or(0);
            left.is_some()
        };
        self.waiting.iter().take(self.shared.limits.batch).take_while(fits).count().max(1)
    }

    /// Returns `Rests` while all slots are in use. An overdue batch gives up its slot.
    fn rests(&self) -> Option<Next> {
        let Limits { in_flight, late, gather, .. } = self.shared.limits;
        if self.under_way.len() < in_flight {
            return None;
        }
        let now = Instant::now();
        let late_at = self.batches.values().map(|batch| batch.left + gather);
        let (late_ones, in_time): (Vec<_>, Vec<_>) = late_at.partition(|&at| at <= now);
        if in_time.len() + late_ones.len().saturating_sub(late) < in_flight {
            return None;
        }
        Some(Next::Rests { until: in_time.into_iter().min().filter(|_| late_ones.len() < late) })
    }

    /// Starts batches as long as jobs wait and the work allows another batch. A batch that starts beside an earlier one is at
    /// least as large as that one, or full, or has gathered long enough.
    fn start_batches(&mut self) -> Next {
        loop {
            if let Some(next) = self.rests() {
                return next;
            }
            if self.waiting.is_empty() {
                return Next::Leaves;
            }
            let beside = !self.under_way.is_empty();
            let under_way: i64 = self.batches.values().map(|batch| batch.weight).sum();
            let may_overlap = |weight| !beside || self.shared.work.may_overlap(self.supply, under_way + weight);
            if !may_overlap(0) {
                return Next::Rests { until: None };
            }
            let more_fit = self.waiting_bytes <= self.shared.limits.bytes;
            let until = self.last.left + self.shared.limits.gather;
            if beside && more_fit && self.waiting.len() < self.last.size && Instant::now() < until {
                return Next::Gathers { until };
            }
            let count = self.next_batch();
            let weight: i64 = self.waiting.range(..count).map(|job| self.shared.work.weight(&job.request)).sum();
            if !may_overlap(weight) {
                return Next::Rests { until: None };
            }
            let mut jobs: Vec<_> = self.waiting.drain(..count).collect();
            self.waiting_bytes -= jobs.iter().map(|job| self.shared.work.bytes(&job.request)).sum::<usize>();
            let span = match jobs.as_slice() {
                [single] => single.span(),
                several => info_span!(parent: None, "batch", jobs = several.len()),
            };
            let (shared, key, supply) = (Arc::clone(&self.shared), self.key, self.supply);
            let (number, left) = (self.last.number + 1, Instant::now());
            telemetry::batch_starts(self.shared.kind, jobs.len(), jobs.iter_mut().filter_map(|job| job.start(left)));
            self.last = Last { number, size: jobs.len(), left };
            let run = run(shared, key, jobs, supply);
            let task = self.under_way.spawn(run.instrument(span));
            self.batches.insert(task.id(), Batch { number, weight, left });
        }
    }

    /// Starts single jobs up to their limit.
    fn start_singles(&mut self) {
        while self.singles_under_way.len() < self.shared.limits.alone
            && let Some(job) = self.singles.pop_front()
        {
            let (shared, span) = (Arc::clone(&self.shared), job.span());
            self.singles_under_way.spawn(run_alone(shared, self.key, job).instrument(span));
        }
    }

    fn report_panic(&self, ended: Result<(), JoinError>) {
        if let Err(panicked) = ended {
            error!(key = ?self.key, error = %panicked, "a single job panicked");
        }
    }

    fn take_back(&mut self, returned: Returned<W>) {
        let task_id = match &returned {
            Ok((task_id, _)) => *task_id,
            Err(panicked) => panicked.id(),
        };
        let number = self.batches.remove(&task_id).map(|batch| batch.number);
        if number == Some(self.last.number) {
            // the batches that still run are older than this one: no job gathers behind them
            self.last.size = 0;
        }
        match returned {
            Ok((_, done)) => {
                self.supply = done.supply;
                for job in done.again.into_iter().rev() {
                    self.waiting_bytes += self.shared.work.bytes(&job.request);
                    self.waiting.push_front(job);
                }
                for job in done.alone {
                    match self.singles.len() < self.shared.limits.queue {
                        true => self.singles.push_back(job),
                        false => job.fail(Unanswered::Full),
                    }
                }
            }
            Err(panicked) => {
                // The jobs were dropped, which closes their channels. The supply that the batch left is unknown.
                error!(key = ?self.key, error = %panicked, "a batch panicked");
                self.supply = None;
            }
        }
    }

    /// Removes this lane from the list, unless a job has arrived: `submit` holds the same lock while it sends a job.
    fn leave(&self, queue: &mpsc::Receiver<JobOf<W>>) -> bool {
        let mut lanes = self.shared.lanes();
        if !queue.is_empty() {
            return false;
        }
        lanes.remove(&self.key);
        true
    }
}

/// Runs one batch: tries its jobs together, and those of a spoiled batch once more.
async fn run<W: Work>(shared: Arc<Shared<W>>, key: W::Key, jobs: Vec<JobOf<W>>, supply: Option<i64>) -> Done<W> {
    let jobs = wanted(jobs);
    if jobs.is_empty() {
        return Done { again: jobs, alone: Vec::new(), supply: None };
    }
    let first = shared.work.attempt(key, jobs, Turn::First, supply).await;
    let (mut again, mut alone) = (first.again, first.alone);
    let spoiled = wanted(first.spoiled);
    if spoiled.is_empty() {
        return Done { again, alone, supply: first.supply };
    }
    let second = shared.work.attempt(key, spoiled, Turn::Second, first.supply).await;
    again.extend(second.again);
    // in order of arrival
    again.sort_by_key(Job::deadline);
    alone.extend(second.alone.into_iter().chain(second.spoiled));
    Done { again, alone, supply: second.supply }
}

/// Runs one job alone, a few times if other transactions spoil it. In the end it is answered.
async fn run_alone<W: Work>(shared: Arc<Shared<W>>, key: W::Key, job: JobOf<W>) {
    let (mut jobs, mut known) = (vec![job], None);
    for _ in 0..TRIES {
        jobs = wanted(jobs);
        if jobs.is_empty() {
            return;
        }
        let Attempt { again, spoiled, alone, supply } = shared.work.attempt(key, jobs, Turn::Alone, known).await;
        known = supply;
        jobs = again.into_iter().chain(spoiled).chain(alone).collect();
    }
    jobs.into_iter().for_each(|job| job.fail(Unanswered::Contended(TRIES)));
}
