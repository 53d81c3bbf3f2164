//! Tracks whether the database is available. While it is not, every call of the door fails at once and does not wait for
//! its own timeout.
//!
//! A probe decides, not a count of errors: a row lock, a slow statement or a broken connection says nothing about the
//! database. When a connection cannot be opened, is lost, or does not answer, and no other call was answered since, the
//! probe sends `SELECT 1` on a new connection. If that fails too, the database is unavailable until a probe succeeds.
//!
//! A server that refuses the probe (too many connections, access denied) is available as long as connections are open: they
//! may go on serving calls.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error as DriverOrServer, Opts};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

use super::error::{advice, explain};
use super::pool::Pool;
use crate::telemetry;

/// How long a call may be under way while no call is answered, before the probe is sent.
const SILENCE: Duration = Duration::from_millis(500);
/// How long the first probe may take.
const PROBE: Duration = Duration::from_secs(1);
/// The pauses before each try of the first probe: one connection may break by chance, or be killed like the one before it.
const PROBE_AGAIN_AFTER: [Duration; 3] = [Duration::ZERO, Duration::from_millis(20), Duration::from_millis(40)];
/// The pause between two probes while the database is unavailable.
const PROBE_EVERY: Duration = Duration::from_millis(200);
/// The shortest and the longest time that a probe may take while the database is unavailable, see [`probe_timeout`].
const PROBE_DURING_OUTAGE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// How often the log says that the database is still unavailable.
const REMIND_EVERY: Duration = Duration::from_secs(30);

/// Why the database may be unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// A connection does not answer or was lost. A server that answers the probe, even with an error, is available.
    Silent,
    /// No connection can be opened. A server that refuses the probe too counts as unavailable, unless connections are open.
    Refused,
}

/// Watches one database.
#[derive(Clone)]
pub(super) struct Breaker {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Pool,
    /// Why the database is unavailable; `None` while it is available.
    unavailable: watch::Sender<Option<Arc<str>>>,
    created: Instant,
    /// When a call was last answered, in microseconds since `created`.
    answered_us: AtomicU64,
    /// How many calls are under way, and since when there has always been one.
    under_way: AtomicUsize,
    busy_since_us: AtomicU64,
    is_watched: AtomicBool,
    probing: AtomicBool,
}

/// Why a probe failed.
struct Failed {
    reason: String,
    /// The remedy, if the server's error has one.
    advice: Option<&'static str>,
    /// The server did answer, with an error.
    is_answer: bool,
    /// It did not answer in time.
    is_silence: bool,
}

impl Breaker {
    /// Starts with the assumption that the database is available.
    pub(super) fn new(pool: Pool) -> Self {
        let shared = Shared {
            pool,
            unavailable: watch::Sender::new(None),
            created: Instant::now(),
            answered_us: AtomicU64::new(0),
            under_way: AtomicUsize::new(0),
            busy_since_us: AtomicU64::new(0),
            is_watched: AtomicBool::new(false),
            probing: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Returns whether the database is available, as far as is known.
    pub(super) fn is_closed(&self) -> bool {
        self.shared.unavailable.borrow().is_none()
    }

    /// Resolves with the reason when the database is unavailable, at once if it is already.
    pub(super) async fn opened(&self) -> String {
        let mut changes = self.shared.unavailable.subscribe();
        let reason = match changes.wait_for(Option::is_some).await {
            Ok(reason) => reason.as_deref().map(str::to_owned),
            Err(_) => None,
        };
        // the sender lives as long as `self`
        reason.unwrap_or_default()
    }

    /// Resolves when the database is available.
    pub(super) async fn closed(&self) {
        let mut changes = self.shared.unavailable.subscribe();
        let _ = changes.wait_for(Option::is_none).await;
    }

    /// Records that the database has answered a call.
    pub(super) fn answered(&self) {
        self.shared.answered();
    }

    /// Begins a call; it is under way until the result is dropped.
    pub(super) fn begin(&self) -> UnderWay<'_> {
        let shared = &self.shared;
        if shared.under_way.fetch_add(1, Ordering::Relaxed) == 0 {
            shared.busy_since_us.store(shared.now_us(), Ordering::Relaxed);
        }
        if !shared.is_watched.swap(true, Ordering::Relaxed) {
            tokio::spawn(watch(Arc::downgrade(shared)));
        }
        UnderWay(shared)
    }

    /// Sends the probe for a call that began at `since` and was not answered, unless another call was answered since.
    pub(super) fn suspect(&self, since: Instant, doubt: Doubt) {
        if !self.shared.answered_since(since) {
            probe_once(&self.shared, doubt);
        }
    }
}

/// A call that is under way.
pub(super) struct UnderWay<'breaker>(&'breaker Shared);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn now_us(&self) -> u64 {
        u64::try_from(self.created.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn answered(&self) {
        self.answered_us.fetch_max(self.now_us(), Ordering::Relaxed);
    }

    /// Returns whether calls have been under way for a while and none of them was answered.
    fn is_silent(&self) -> bool {
        let last_us = self.answered_us.load(Ordering::Relaxed).max(self.busy_since_us.load(Ordering::Relaxed));
        let silent = Duration::from_micros(self.now_us().saturating_sub(last_us));
        self.under_way.load(Ordering::Relaxed) > 0 && silent >= SILENCE
    }

    fn answered_since(&self, since: Instant) -> bool {
        let since_us = since.saturating_duration_since(self.created).as_micros();
        u128::from(self.answered_us.load(Ordering::Relaxed)) > since_us
    }
}

/// Checks whether calls are answered, for as long as the database is used: one task for all calls, since very many may wait.
async fn watch(shared: Weak<Shared>) {
    loop {
        sleep(SILENCE / 4).await;
        let Some(shared) = shared.upgrade() else { return };
        if shared.is_silent() {
            probe_once(&shared, Doubt::Silent);
        }
    }
}

/// Sends the probe, unless one is under way or the database is known to be unavailable.
fn probe_once(shared: &Arc<Shared>, doubt: Doubt) {
    if shared.unavailable.borrow().is_none() && !shared.probing.swap(true, Ordering::AcqRel) {
        tokio::spawn(decide(Arc::downgrade(shared), shared.pool.options().clone(), doubt));
    }
}

/// Sends the first probe, and when it fails, probes until one succeeds. Ends when the database is not used any more.
async fn decide(shared: Weak<Shared>, options: Opts, doubt: Doubt) {
    let began = Instant::now();
    let mut failed = None;
    for pause in PROBE_AGAIN_AFTER {
        sleep(pause).await;
        failed = probe(options.clone(), PROBE).await.err();
        // a probe that timed out is not repeated: each call waits for the result
        if failed.as_ref().is_none_or(|failed| failed.is_silence) {
            break;
        }
    }
    let Some(strong) = shared.upgrade() else { return };
    let is_unusable = doubt == Doubt::Refused && !strong.pool.has_open();
    match failed {
        Some(failed) if !strong.answered_since(began) && (is_unusable || !failed.is_answer) => {
            drop(strong);
            await_recovery(&shared, options, failed).await;
        }
        _ => strong.answered(),
    }
    if let Some(shared) = shared.upgrade() {
        shared.probing.store(false, Ordering::Release);
    }
}

/// Marks the database unavailable and probes it until it answers.
async fn await_recovery(shared: &Weak<Shared>, options: Opts, Failed { mut reason, advice, .. }: Failed) {
    let (host, port, since) = (options.ip_or_hostname().to_owned(), options.tcp_port(), Instant::now());
    let mut reminded = since;
    error!(host, port, reason, advice, "the database is not available; requests are refused until it answers");
    loop {
        match shared.upgrade() {
            None => return,
            Some(shared) => {
                let detail = format!("{host}:{port}: {reason}");
                let is_news = shared.unavailable.send_if_modified(|known| {
                    let is_news = known.as_deref() != Some(&detail);
                    *known = Some(detail.into());
                    is_news
                });
                if is_news {
                    // idle connections may be dead, and will have been idle for the whole outage
                    shared.pool.discard_all();
                    telemetry::database_available(false);
                }
            }
        }
        sleep(PROBE_EVERY).await;
        match probe(options.clone(), probe_timeout(since.elapsed())).await {
            Ok(()) => break,
            Err(failed) => reason = failed.reason,
        }
        if reminded.elapsed() >= REMIND_EVERY {
            reminded = Instant::now();
            let away_seconds = since.elapsed().as_secs();
            warn!(host, port, reason, away_seconds, "the database is still not available");
        }
    }
    if let Some(shared) = shared.upgrade() {
        shared.answered();
        shared.unavailable.send_replace(None);
        telemetry::database_available(true);
        let away_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        info!(host, port, away_ms, "the database is available again");
    }
}

/// Returns how long a probe may take when the database has been unavailable for this long. A frozen server answers the waiting
/// probe when it resumes; until then it counts every abandoned probe as a broken handshake, and after 100 of them
/// (`max_connect_errors`) it blocks this host.
fn probe_timeout(outage: Duration) -> Duration {
    let (shortest, longest) = PROBE_DURING_OUTAGE;
    (outage / 8).clamp(shortest, longest)
}

async fn probe(options: Opts, limit: Duration) -> Result<(), Failed> {
    match timeout(limit, ask(options)).await {
        Ok(answered) => answered.map_err(|error| {
            let code = match &error {
                DriverOrServer::Server(error) => Some(error.code),
                _ => None,
            };
            let (reason, advice) = (explain(&error), code.and_then(advice));
            Failed { reason, advice, is_answer: code.is_some(), is_silence: false }
        }),
        Err(_) => {
            let reason = "it does not answer".to_owned();
            Err(Failed { reason, advice: None, is_answer: false, is_silence: true })
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "part of the door: the probe must not wait for a place in the pool")]
async fn ask(options: Opts) -> Result<(), DriverOrServer> {
    let mut conn = Conn::new(options).await?;
    conn.query_drop("SELECT 1").await?;
    conn.disconnect().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_waits_longer_the_longer_the_database_is_unavailable() {
        let limit = |seconds| probe_timeout(Duration::from_secs(seconds));
        assert_eq!(limit(1), Duration::from_millis(500));
        assert_eq!(limit(16), Duration::from_secs(2));
        assert_eq!(limit(3600), Duration::from_secs(10));
    }
}
