//! Pushes to endpoints: a task for each endpoint whose lease this instance has, so that one that hangs delays no other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;
use uuid::Uuid;

use crate::app::App;
use crate::checkout::Error;
use crate::checkout::push::{FreeEndpoint, PushJob, PushNoted, PushRound, PushSeen};
use crate::domain::mint_id;
use crate::http::feed::FeedEventBody;
use crate::push::round::{End, Message, Target};
use crate::push::{Options, Sender};
use crate::telemetry::{self, Throttle};

/// The name in logs and metrics.
const NAME: &str = "push_events";
/// The most endpoints to which one instance pushes.
const ENDPOINTS: u32 = 256;
/// No attempt of a round begins later. With the age of the lease, two transactions and the longest attempt (15 s), a round is shorter than a
/// lease.
const ROUND: Duration = Duration::from_secs(5);
/// The age from which a lease is made longer before a round.
const RENEW: Duration = Duration::from_secs(5);
/// How long a task sleeps at most while events wait to be pushed again.
const NAP: Duration = Duration::from_secs(1);
/// How long it sleeps at most while none do. It is less than a lease.
const IDLE: Duration = Duration::from_secs(15);
/// After new events that were none of its endpoint's, a task rests so many times as long as it read them, and no longer than [`REST`].
const REST_SHARE: u32 = 8;
/// See [`REST_SHARE`].
const REST: Duration = Duration::from_millis(250);
/// The shortest pause before an event that waits.
const LEAST: Duration = Duration::from_millis(10);
/// How many events that an endpoint does not want its cursor passes before that is noted.
const PASSED: i64 = 1000;

/// What the tasks of this instance share.
pub struct Pushes {
    app: Arc<App>,
    holder: Uuid,
    stop: CancellationToken,
    sender: OnceLock<Sender>,
    running: Mutex<HashMap<i64, Arc<Task>>>,
    failures: Throttle,
    refusals: Throttle,
}

/// What reaches the task of an endpoint.
#[derive(Default)]
struct Task {
    woken: Notify,
    /// How often an operator had changed the endpoint when it was looked at last.
    changes: AtomicI64,
    /// Ends the round that is under way.
    round: Mutex<CancellationToken>,
}

impl Task {
    /// Begins a round, which ends early once this is cancelled.
    fn begin_round(&self, stop: &CancellationToken) -> CancellationToken {
        let round = stop.child_token();
        *self.round.lock().unwrap_or_else(PoisonError::into_inner) = round.clone();
        round
    }

    /// Looks at what an operator has done. `found`: the endpoint, if it is not disabled.
    fn see(&self, found: Option<&FreeEndpoint>) {
        let is_changed = found.is_none_or(|found| self.changes.swap(found.changes, Ordering::Relaxed) != found.changes);
        if is_changed {
            self.round.lock().unwrap_or_else(PoisonError::into_inner).cancel();
        }
        if is_changed || found.is_some_and(|found| found.is_replaying) {
            self.woken.notify_one();
        }
    }
}

/// How far a task is.
#[derive(Debug, Default)]
struct Progress {
    after: Option<PushSeen>,
    turn: u64,
    /// Whether the feed has grown since the last round.
    has_grown: bool,
    /// How long the last read of what is due took.
    took: Duration,
}

/// An endpoint with a task, until it is dropped.
struct Running<'a>(&'a Pushes, i64);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
        telemetry::push_waits(self.1, Duration::ZERO);
    }
}

impl Pushes {
    /// Creates what the tasks of an instance share.
    pub fn new(app: &Arc<App>, stop: &CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            app: Arc::clone(app),
            holder: mint_id(),
            stop: stop.clone(),
            sender: OnceLock::new(),
            running: Mutex::default(),
            failures: Throttle::lasting(),
            refusals: Throttle::lasting(),
        })
    }

    /// Starts a task for each endpoint that has none in any instance, and wakes those that an operator has given something to do.
    ///
    /// # Errors
    /// As every read.
    pub async fn dispatch(self: Arc<Self>, tasks: &TaskTracker) -> Result<(), Error> {
        let found = self.app.checkout.free_push_endpoints(self.holder, ENDPOINTS).await?;
        self.wake(&found);
        for endpoint in found {
            if self.stop.is_cancelled() {
                break;
            }
            if let Some(task) = self.begin(endpoint) {
                let pushes = Arc::clone(&self);
                tasks.spawn(async move { pushes.run(endpoint.id, &task).await });
            }
        }
        Ok(())
    }

    /// Wakes the tasks of endpoints that an operator has changed, or that have a replay under way.
    fn wake(&self, found: &[FreeEndpoint]) {
        let found: HashMap<i64, &FreeEndpoint> = found.iter().map(|endpoint| (endpoint.id, endpoint)).collect();
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.iter().for_each(|(endpoint_id, task)| task.see(found.get(endpoint_id).copied()));
    }

    /// Returns what reaches the task of an endpoint; `None` when it has one, or there are too many.
    fn begin(&self, endpoint: FreeEndpoint) -> Option<Arc<Task>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.contains_key(&endpoint.id) {
            return None;
        }
        if running.len() >= ENDPOINTS as usize {
            if self.refusals.count(std::time::Instant::now()).is_some() {
                warn!(
                    endpoints = ENDPOINTS,
                    "there are more endpoints than one instance pushes to: start another instance"
                );
            }
            return None;
        }
        let task = Arc::new(Task { changes: AtomicI64::new(endpoint.changes), ..Task::default() });
        running.insert(endpoint.id, Arc::clone(&task));
        Some(task)
    }

    async fn run(&self, endpoint_id: i64, task: &Task) {
        let _running = Running(self, endpoint_id);
        if let Err(error) = self.push(endpoint_id, task).await {
            telemetry::worker_failed(NAME);
            if self.app.checkout.database().is_available()
                && let Some(count) = self.failures.count(std::time::Instant::now())
            {
                warn!(worker = NAME, endpoint = endpoint_id, %error, count, "pushing to an endpoint failed; it will be retried");
            }
        }
    }

    /// Pushes to an endpoint, until this instance stops, the lease is lost, or the endpoint is disabled.
    async fn push(&self, endpoint_id: i64, task: &Task) -> Result<(), Error> {
        let checkout = &self.app.checkout;
        let mut taken = Instant::now();
        if !checkout.take_push_lease(self.holder, endpoint_id).await? {
            return Ok(());
        }
        let mut progress = Progress::default();
        while !self.stop.is_cancelled() {
            if taken.elapsed() >= RENEW {
                taken = Instant::now();
                if !checkout.take_push_lease(self.holder, endpoint_id).await? {
                    return Ok(());
                }
            }
            let Progress { after, turn, .. } = progress;
            let (began, stop) = (Instant::now(), task.begin_round(&self.stop));
            let Some(round) = checkout.begin_push_round(self.holder, endpoint_id, after, turn).await? else { break };
            progress.took = began.elapsed();
            progress.turn += 1;
            telemetry::push_waits(endpoint_id, round.oldest);
            if !self.finish(&round, &mut progress, task, &stop).await? {
                return Ok(());
            }
        }
        checkout.release_push_lease(self.holder, endpoint_id).await
    }

    /// Does a round, or waits for the next one. Returns false when the endpoint is not this instance's any more.
    async fn finish(
        &self,
        round: &PushRound,
        progress: &mut Progress,
        task: &Task,
        stop: &CancellationToken,
    ) -> Result<bool, Error> {
        let passes = round.passed() >= if round.is_replay() { 1 } else { PASSED };
        if round.is_empty() && !passes {
            progress.after = round.seen().or(progress.after);
            if !round.has_more {
                self.wait(round, progress, task).await;
            }
            return Ok(true);
        }
        let Some(ends) = self.send(round, stop).await else {
            self.pause(if stop.is_cancelled() { LEAST } else { NAP }).await;
            return Ok(true);
        };
        progress.has_grown = false;
        let endpoint_id = round.endpoint.id;
        match self.app.checkout.note_push_round(self.holder, round, &ends).await? {
            PushNoted::LeaseLost => return Ok(false),
            PushNoted::Kept { is_failing: false } => {}
            PushNoted::Kept { is_failing: true } => {
                if self.app.checkout.disable_failing_endpoint(endpoint_id).await? {
                    telemetry::endpoint_disabled();
                }
            }
        }
        Ok(true)
    }

    /// Pushes the events of a round. `None`: there is no TLS here, or nothing of it could be pushed.
    async fn send(&self, round: &PushRound, stop: &CancellationToken) -> Option<Vec<End>> {
        let message = |job: &PushJob| {
            let (id, subject) = (job.event.id(), job.event.subject());
            let body = FeedEventBody::of(job.event.clone()).filter(|_| !job.is_held)?;
            Some(Message { subject, id, body: serde_json::to_vec(&body).ok()? })
        };
        let messages: Vec<Option<Message>> = round.jobs.iter().map(message).collect();
        let sent: Vec<Message> = messages.iter().flatten().cloned().collect();
        let endpoint = &round.endpoint;
        let target = Target {
            endpoint_id: endpoint.id,
            url: &endpoint.url,
            secrets: &endpoint.secrets,
            timestamp_seconds: round.now.and_utc().timestamp(),
        };
        let mut ends = self.sender()?.send_all(&target, &sent, ROUND, stop).await.into_iter();
        let end = |(message, job): (&Option<Message>, &PushJob)| match message {
            Some(_) => ends.next().unwrap_or(End::Left),
            None if job.is_held => End::Held,
            None => End::Left,
        };
        let ends: Vec<End> = messages.iter().zip(&round.jobs).map(end).collect();
        for end in &ends {
            if let End::Tried(outcome) = end {
                telemetry::push_attempted(outcome.kind);
            }
        }
        let is_useless = !ends.is_empty() && ends.iter().all(|end| *end == End::Left);
        (!is_useless).then_some(ends)
    }

    /// Returns the sender, which reads the certificates of the machine when it is used first.
    fn sender(&self) -> Option<&Sender> {
        if self.sender.get().is_none() {
            match Sender::new(Options { time: self.app.push_time, ..Options::new(self.app.push_private) }) {
                Ok(sender) => drop(self.sender.set(sender)),
                Err(error) if self.refusals.count(std::time::Instant::now()).is_some() => {
                    warn!(%error, "there is no TLS, so that nothing is pushed");
                }
                Err(_) => {}
            }
        }
        self.sender.get()
    }

    /// Waits for new events, for one that is due, for an operator, or until the instance stops.
    async fn wait(&self, round: &PushRound, progress: &mut Progress, task: &Task) {
        // the feed grows all the time by events of others
        if std::mem::take(&mut progress.has_grown) {
            self.pause((progress.took * REST_SHARE).min(REST)).await;
        }
        let longest = round.due_in.map_or(IDLE, |due_in| due_in.clamp(LEAST, NAP));
        let grown = async {
            match round.behind {
                Some(place) => self.app.checkout.wait_for_feed(place, longest).await,
                None => {
                    sleep(longest).await;
                    false
                }
            }
        };
        tokio::select! {
            has_grown = grown => progress.has_grown = has_grown,
            () = task.woken.notified() => {}
            () = self.stop.cancelled() => {}
        }
    }

    async fn pause(&self, time: Duration) {
        tokio::select! {
            () = sleep(time) => {}
            () = self.stop.cancelled() => {}
        }
    }
}
