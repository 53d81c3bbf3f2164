//! A job: a request in a lane, its deadline, and where its response goes.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Span;

/// Why a job has no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// Too many jobs wait already.
    Full,
    /// The deadline has passed.
    Late,
    /// Every attempt was rolled back because of other transactions; this many were made alone.
    Contended(u32),
    /// The batch panicked.
    Dropped,
}

/// One request in a lane. [`Job::answer`] sends the response. Only jobs of disconnected clients are dropped without one.
#[derive(Debug)]
pub struct Job<Q, A> {
    /// What the client asks for.
    pub request: Q,
    deadline: Instant,
    /// When it was queued, until its first batch starts.
    queued: Option<Instant>,
    /// The client's request, for the log.
    span: Span,
    reply: oneshot::Sender<Result<A, Unanswered>>,
}

/// The receiving end of a job's response.
pub(super) type Answered<A> = oneshot::Receiver<Result<A, Unanswered>>;

impl<Q, A> Job<Q, A> {
    /// Creates a job in the present span.
    pub(super) fn new(request: Q, deadline: Instant) -> (Self, Answered<A>) {
        let (reply, answered) = oneshot::channel();
        (Self { request, deadline, queued: Some(Instant::now()), span: Span::current(), reply }, answered)
    }

    /// Sends the response. The client may have disconnected: then nothing receives it.
    pub fn answer(self, response: A) {
        let _ = self.reply.send(Ok(response));
    }

    /// Returns until when the client waits. All clients wait equally long, so this tells which one came first.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Returns how long it has waited for its first batch, which starts now; `None` for a further one.
    pub(super) fn start(&mut self, now: Instant) -> Option<Duration> {
        self.queued.take().map(|queued| now.saturating_duration_since(queued))
    }

    pub(super) fn fail(self, why: Unanswered) {
        let _ = self.reply.send(Err(why));
    }

    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }
}

/// Returns the jobs whose clients still wait. Jobs past their deadlines are told so; jobs of disconnected clients are dropped.
pub(super) fn wanted<Q, A>(jobs: Vec<Job<Q, A>>) -> Vec<Job<Q, A>> {
    let now = Instant::now();
    let waited_for = jobs.into_iter().filter(|job| !job.reply.is_closed());
    let (in_time, late): (Vec<_>, Vec<_>) = waited_for.partition(|job| job.deadline > now);
    late.into_iter().for_each(|job| job.fail(Unanswered::Late));
    in_time
}
