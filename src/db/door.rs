//! The transaction door: the only way to the database. It takes a name and a closure that may run more than once,
//! bounds every wait, classifies every error, and never guesses how a lost COMMIT ended.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::Opts;
use rand::RngExt as _;
use tokio::time::{Instant, timeout};
use tracing::{debug, error, warn};

use super::attempt::{Access, Again, Call, Committed, Ended};
use super::breaker::Breaker;
use super::clock::Clock;
use super::error::{Class, Error};
use super::lone::Lone;
use super::lost_connection::{ConnectionId, LostConnections};
use super::pool::Pool;
use super::share::Share;
use super::sold::Sold;
use super::tx::{Body, Mode};
use crate::telemetry::{self, Throttle};

pub use super::tx::{Reply, Tx};

/// The time that one call of the door may take, retries included: a client gets its 503 within 5 s.
const BUDGET: Duration = Duration::from_millis(4500);
/// How often a closure runs at most.
const ATTEMPTS: u32 = 8;
/// The first back-off is drawn from 0 to this, each further one from twice the range.
const BACKOFF_BASE: Duration = Duration::from_millis(4);
/// The largest range that a back-off is drawn from.
const BACKOFF_CAP: Duration = Duration::from_millis(250);

/// The pool and its door.
#[derive(Clone)]
pub struct Database {
    access: Access,
    /// Connections that no further attempt ends.
    lost_connections: LostConnections,
    /// Bounds the log of transactions that were given up.
    given_up: Arc<Throttle>,
}

impl Database {
    /// Creates a door on a pool of up to `size` connections, for single requests. It opens no connection yet.
    pub fn new(options: Opts, size: usize) -> Self {
        let pool = Pool::new(options, size);
        let breaker = Breaker::new(pool.clone());
        let lost_connections = LostConnections::new(pool.clone(), breaker.clone());
        let (troubles, given_up, clock, told, touched, sold) = Default::default();
        let tells_holds = false;
        let share = Share::Requests;
        let access = Access { pool, share, breaker, troubles, clock, told, touched, sold, tells_holds };
        Self { access, lost_connections, given_up }
    }

    /// Returns the same door for callers of another share of its connections.
    #[must_use]
    pub fn share(&self, share: Share) -> Self {
        Self { access: Access { share, ..self.access.clone() }, ..self.clone() }
    }

    /// Returns whether the database is available, as far as is known. While it is not, every call fails at once, and the log
    /// says so.
    pub fn is_available(&self) -> bool {
        self.access.breaker.is_closed()
    }

    /// Returns the server's message if it lacked space for a write in the last seconds.
    pub fn lacks_space(&self) -> Option<String> {
        self.access.troubles.lacks_space()
    }

    /// Returns the same door, whose transactions tell the feed of holds, or do not.
    #[must_use]
    pub fn telling_holds(self, tells_holds: bool) -> Self {
        Self { access: Access { tells_holds, ..self.access }, ..self }
    }

    /// Returns the same door with this clock, which may have another pause after a jump.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { access: Access { clock: Arc::new(clock), ..self.access }, ..self }
    }

    /// Returns a connection of its own beside the pool.
    pub fn lone(&self) -> Lone {
        Lone::new(self.access.pool.options().clone(), Arc::clone(&self.access.clock))
    }

    /// Waits until a transaction of this instance has told the feed of something.
    pub async fn told(&self) {
        self.access.told.notified().await;
    }

    /// Takes up to `limit` products that transactions of this instance have touched ([`Tx::touch`]), by id.
    pub fn take_touched(&self, limit: usize) -> Vec<i64> {
        self.access.touched.take(limit)
    }

    /// Puts products back among those that were touched.
    pub fn touch(&self, product_ids: impl IntoIterator<Item = i64>) {
        self.access.touched.add(product_ids);
    }

    /// Returns the holds whose orders were paid by transactions of this instance.
    pub fn sold(&self) -> &Sold {
        &self.access.sold
    }

    /// Returns the database's clock, as this instance knows it.
    pub fn clock(&self) -> &Clock {
        &self.access.clock
    }

    /// Runs `body` in one transaction and commits it. `body` may run several times and must therefore do nothing
    /// outside the database; ids are generated before.
    ///
    /// # Errors
    /// [`Error::Refused`] as `body` says, rolled back; [`Error::Contended`] and [`Error::Unavailable`] when attempts or
    /// time ran out; [`Error::Broken`] for a bug.
    pub async fn transaction<'env, T>(&self, name: &'static str, body: impl Body<'env, T>) -> Result<T, Error> {
        Ok(self.run(name, Mode::Transaction, body).await?.0)
    }

    /// As [`Database::transaction`], with the rows of the read that [`Tx::look_after_commit`] sends with the COMMIT; `None` when
    /// the server could not run it.
    ///
    /// # Errors
    /// As [`Database::transaction`].
    pub async fn transaction_and_look<'env, T>(
        &self,
        name: &'static str,
        body: impl Body<'env, T>,
    ) -> Result<Committed<T>, Error> {
        self.run(name, Mode::Transaction, body).await
    }

    /// Runs single plain reads on one connection, outside a transaction: each sees what was committed when it began.
    ///
    /// # Errors
    /// As [`Database::transaction`].
    pub async fn read<'env, T>(&self, name: &'static str, body: impl Body<'env, T>) -> Result<T, Error> {
        Ok(self.run(name, Mode::PlainRead, body).await?.0)
    }

    /// Runs plain reads that all see the same moment: what was committed when the first of them began. It may take long;
    /// an attempt that failed is run again only while no more than the usual time has passed. Nothing is locked.
    ///
    /// # Errors
    /// As [`Database::transaction`].
    pub async fn snapshot<'env, T>(&self, name: &'static str, body: impl Body<'env, T>) -> Result<T, Error> {
        Ok(self.run(name, Mode::Snapshot, body).await?.0)
    }

    /// Closes every connection, after those in use were returned.
    pub async fn close(&self) {
        let _ = timeout(Duration::from_secs(2), self.access.pool.close()).await;
    }

    /// Returns how many connections exist and how many of them are in use.
    pub fn connections(&self) -> (usize, usize) {
        self.access.pool.connections()
    }

    /// Runs attempt after attempt, unless the database is unavailable.
    async fn run<'env, T>(
        &self,
        name: &'static str,
        mode: Mode,
        body: impl Body<'env, T>,
    ) -> Result<Committed<T>, Error> {
        let mut lost_connections = Vec::new();
        let _under_way = self.access.breaker.begin();
        let result = tokio::select! {
            biased;
            reason = self.access.breaker.opened() => {
                telemetry::transaction_given_up(name);
                Err(Error::Unavailable(reason))
            }
            result = self.run_until_done(name, mode, &mut lost_connections, body) => result,
        };
        if !lost_connections.is_empty() {
            self.lost_connections.add(lost_connections);
        }
        result
    }

    /// Runs attempts until one is final. `lost_connections`: those that may have left something open on their servers.
    async fn run_until_done<'env, T>(
        &self,
        name: &'static str,
        mode: Mode,
        lost_connections: &mut Vec<ConnectionId>,
        mut body: impl Body<'env, T>,
    ) -> Result<Committed<T>, Error> {
        let started = Instant::now();
        let mut call = Call { name, mode, deadline: started + BUDGET, attempts: 0, after_unknown: false };
        loop {
            match self.access.attempt(call, lost_connections, &mut body).await {
                Ok(committed) => {
                    telemetry::transaction_done(name, started.elapsed());
                    return Ok(committed);
                }
                Err(Ended::Final(error)) => return Err(self.report(name, error)),
                Err(Ended::Unusable(error)) => {
                    telemetry::transaction_given_up(name);
                    return Err(error);
                }
                Err(Ended::Again(again)) => {
                    if let Some(pause) = self.count(&mut call, again)? {
                        tokio::time::sleep(pause).await;
                    }
                }
            }
        }
    }

    /// Counts an attempt that is to be run again. Returns for how long to wait first.
    ///
    /// # Errors
    /// When it was the last attempt.
    fn count(&self, call: &mut Call, again: Again) -> Result<Option<Duration>, Error> {
        let Again { class, reason, detail, was_dead, is_logged } = again;
        let (name, attempts) = (call.name, call.attempts);
        telemetry::transaction_retried(name, &reason);
        debug!(transaction = name, attempts, ?class, reason, detail, "transaction attempt failed");
        if was_dead && Instant::now() < call.deadline {
            return Ok(None);
        }
        call.attempts += 1;
        call.after_unknown |= class == Class::Unknown;
        let pause = backoff(call.attempts);
        if call.attempts < ATTEMPTS && Instant::now() + pause < call.deadline {
            return Ok(Some(pause));
        }
        let error = give_up((class, detail), call);
        if is_logged {
            telemetry::transaction_given_up(name);
            return Err(error);
        }
        Err(self.report(name, error))
    }

    /// Logs and counts errors that the caller cannot handle.
    fn report(&self, name: &'static str, error: Error) -> Error {
        match &error {
            Error::Refused(_)
            | Error::Stale(_)
            | Error::CountersOver(_)
            | Error::OutOfStock
            | Error::OverLimit { .. }
            | Error::Unfit(_) => {}
            Error::Broken(what) => error!(transaction = name, error = what, "transaction failed"),
            Error::Unavailable(_) | Error::Abandoned(_) | Error::Contended { .. } => {
                telemetry::transaction_given_up(name);
                if let Some(count) = self.given_up.count(std::time::Instant::now()) {
                    warn!(transaction = name, %error, count, "transaction given up");
                }
            }
        }
        error
    }
}

/// Returns a pause with full jitter: a random share of a range that doubles with every attempt.
fn backoff(attempt: u32) -> Duration {
    let range = BACKOFF_BASE.saturating_mul(1 << attempt.min(16)).min(BACKOFF_CAP);
    range.mul_f64(rand::rng().random::<f64>())
}

fn give_up((class, reason): (Class, String), call: &Call) -> Error {
    match class {
        // it is certain that nothing was changed only if no attempt may have been committed
        Class::Retry if !call.after_unknown => Error::Contended { attempts: call.attempts, reason },
        _ => Error::Unavailable(reason),
    }
}
