//! The transaction door: the only way to the database. It takes a name and a closure that may run more than once,
//! bounds every wait, classifies every error, and never guesses how a lost COMMIT ended.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Error as DriverOrServer, Opts, Params, Row};
use rand::RngExt as _;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, error, warn};

use super::breaker::{Breaker, Doubt};
use super::clock::Clock;
use super::error::{Class, Error, Failure, classify, explain, label};
use super::pool::{GOODBYE, Lease, Pool};
use super::server::Trace;
use super::share::Share;
use super::trouble::Troubles;
use crate::telemetry::{self, Throttle};

/// The time that one call of the door may take, retries included: a client gets its 503 within 5 s.
const BUDGET: Duration = Duration::from_millis(4500);
/// The time that one attempt may take: longer than a lock wait, and short enough for a second one on another connection.
const ATTEMPT: Duration = Duration::from_millis(2500);
/// The time that reading a whole snapshot may take, however large the tables are.
const SNAPSHOT: Duration = Duration::from_secs(60 * 60);
/// Opens one view of all tables for all reads that follow, without row locks; [`Tx::let_go`] rolls back to the savepoint.
const OPEN_SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; \
     START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY; SAVEPOINT page";
/// How often a closure runs at most.
const ATTEMPTS: u32 = 8;
/// The first back-off is drawn from 0 to this, each further one from twice the range.
const BACKOFF_BASE: Duration = Duration::from_millis(4);
/// The largest range that a back-off is drawn from.
const BACKOFF_CAP: Duration = Duration::from_millis(250);

/// The pool and its door.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    share: Share,
    breaker: Breaker,
    troubles: Arc<Troubles>,
    /// Bounds the log of transactions that were given up.
    given_up: Arc<Throttle>,
    clock: Arc<Clock>,
}

/// A connection inside the door: inside a transaction, or for a single plain read.
///
/// `'env` is what the closure may borrow from; it only helps the compiler to see that this outlives every attempt.
pub struct Tx<'env> {
    conn: Lease,
    mode: Mode,
    begun: bool,
    /// Whether the server has answered anything.
    answered: bool,
    after_unknown: bool,
    clock: Arc<Clock>,
    environment: PhantomData<&'env ()>,
}

/// The result of one statement of a packet.
#[derive(Debug)]
pub struct Reply {
    /// Rows that it changed.
    pub affected: u64,
    /// Rows that it returned.
    pub rows: Vec<Row>,
}

/// A closure that runs inside the door, maybe several times; its future borrows the connection.
pub trait Body<'env, T>: for<'tx> FnMut(&'tx mut Tx<'env>) -> BoxFuture<'tx, Result<T, Failure>> + Send {}

impl<'env, T, F> Body<'env, T> for F where
    F: for<'tx> FnMut(&'tx mut Tx<'env>) -> BoxFuture<'tx, Result<T, Failure>> + Send
{
}

/// Whether the door opens a transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Transaction,
    PlainRead,
    Snapshot,
}

impl Mode {
    /// Returns when an attempt that begins now times out.
    fn attempt_ends(self, deadline: Instant) -> Instant {
        match self {
            Self::Transaction | Self::PlainRead => deadline.min(Instant::now() + ATTEMPT),
            Self::Snapshot => Instant::now() + SNAPSHOT,
        }
    }
}

/// Why one attempt ended without a result.
enum Ended {
    /// For good.
    Final(Error),
    /// Until an operator acts; the log says what to do.
    Unusable(Error),
    /// May be run again.
    Again(Again),
}

/// Why one attempt is to be run again.
struct Again {
    class: Class,
    /// A word for metrics.
    reason: String,
    /// The error of the server or the connection.
    detail: String,
    /// The connection had died while it was idle. The server has received nothing of the attempt.
    was_dead: bool,
    /// The log already says what an operator has to do.
    told: bool,
}

impl Tx<'_> {
    /// Runs a statement and returns how many rows it changed.
    pub async fn execute(&mut self, sql: &str, params: impl Into<Params> + Send) -> Result<u64, Failure> {
        self.begin().await?;
        let done = self.conn.exec_drop(sql, params).await;
        self.heard(done)?;
        Ok(self.conn.affected_rows())
    }

    /// Runs a query and returns its rows.
    pub async fn rows<T>(&mut self, sql: &str, params: impl Into<Params> + Send) -> Result<Vec<T>, Failure>
    where
        T: FromRow + Send + 'static,
    {
        self.begin().await?;
        let rows = self.conn.exec(sql, params).await;
        self.heard(rows)
    }

    /// Runs a query and returns its first row.
    pub async fn row<T>(&mut self, sql: &str, params: impl Into<Params> + Send) -> Result<Option<T>, Failure>
    where
        T: FromRow + Send + 'static,
    {
        self.begin().await?;
        let row = self.conn.exec_first(sql, params).await;
        self.heard(row)
    }

    /// The same as [`Tx::execute`] for text from [`super::literal`], which is different every time and therefore not
    /// worth a prepared statement.
    pub async fn execute_text(&mut self, sql: &str) -> Result<u64, Failure> {
        self.begin().await?;
        let done = self.conn.query_drop(sql).await;
        self.heard(done)?;
        Ok(self.conn.affected_rows())
    }

    /// The same as [`Tx::rows`] for text from [`super::literal`].
    pub async fn rows_text<T>(&mut self, sql: &str) -> Result<Vec<T>, Failure>
    where
        T: FromRow + Send + 'static,
    {
        self.begin().await?;
        let rows = self.conn.query(sql).await;
        self.heard(rows)
    }

    /// Runs several statements with text from [`super::literal`] in one round trip, BEGIN included when they are the first.
    /// The server stops at the first error.
    pub async fn packet(&mut self, statements: &[String]) -> Result<Vec<Reply>, Failure> {
        let begin = self.needs_begin().then_some("BEGIN");
        self.begun |= begin.is_some();
        let texts = begin.into_iter().chain(statements.iter().map(String::as_str));
        let mut result = self.conn.query_iter(texts.collect::<Vec<_>>().join(";\n")).await?;
        self.answered = true;
        let mut replies = Vec::with_capacity(statements.len());
        for position in 0..statements.len() + usize::from(begin.is_some()) {
            let affected = result.affected_rows();
            let rows = result.collect().await?;
            if position > 0 || begin.is_none() {
                replies.push(Reply { affected, rows });
            }
        }
        Ok(replies)
    }

    /// Returns the failure for rows that changed since they were read: the caller reads again. After a commit with an unknown
    /// end, that commit may be what changed them: then the closure runs again and finds its own rows.
    pub fn stale(&self, what: &'static str) -> Failure {
        if self.after_unknown { Failure::Raced(what) } else { Failure::Stale(what) }
    }

    fn needs_begin(&self) -> bool {
        self.mode != Mode::PlainRead && !self.begun
    }

    async fn begin(&mut self) -> Result<(), Failure> {
        if self.needs_begin() {
            self.begun = true;
            let snapshot = self.mode == Mode::Snapshot;
            let begun = self.conn.query_drop(if snapshot { OPEN_SNAPSHOT } else { "BEGIN" }).await;
            self.heard(begun)?;
        }
        Ok(())
    }

    fn heard<T>(&mut self, result: Result<T, DriverOrServer>) -> Result<T, Failure> {
        self.answered |= result.is_ok();
        Ok(result?)
    }

    /// Ends those of these connections that are on this one's server.
    async fn end_lost(&mut self, lost: &mut Vec<Trace>) -> Result<(), Failure> {
        while let Some(position) = lost.iter().position(|trace| trace.is_on(self.conn.server())) {
            let ended = lost[position].end_over(&mut self.conn).await;
            self.heard(ended)?;
            lost.remove(position);
        }
        Ok(())
    }

    /// Releases the tables that a snapshot has read, so that a migration, and the statements queued behind it, do not wait
    /// until the snapshot ends. Later reads still see the same snapshot.
    pub async fn let_go(&mut self) -> Result<(), Failure> {
        self.begin().await?;
        Ok(self.conn.query_drop("ROLLBACK TO SAVEPOINT page").await?)
    }

    /// Returns the key that the last insert generated.
    pub fn last_insert_id(&self) -> Option<u64> {
        self.conn.last_insert_id()
    }

    /// Returns the database's clock, as this instance knows it.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns true when an earlier attempt of this closure may have been committed: rows under its ids may be its own.
    pub fn after_unknown(&self) -> bool {
        self.after_unknown
    }
}

impl Database {
    /// Creates a door on a pool of up to `size` connections, for single requests. It opens no connection yet.
    pub fn new(options: Opts, size: usize) -> Self {
        let pool = Pool::new(options, size);
        let breaker = Breaker::new(pool.clone());
        let (troubles, given_up, clock) = Default::default();
        Self { pool, share: Share::Requests, breaker, troubles, given_up, clock }
    }

    /// Returns the same door for callers of another share of its connections.
    #[must_use]
    pub fn share(&self, share: Share) -> Self {
        Self { share, ..self.clone() }
    }

    /// Returns whether the database is available, as far as is known. While it is not, every call fails at once, and the log
    /// says so.
    pub fn is_available(&self) -> bool {
        self.breaker.is_closed()
    }

    /// Returns the server's message if it lacked space for a write in the last seconds.
    pub fn lacks_space(&self) -> Option<String> {
        self.troubles.lacks_space()
    }

    /// Returns the same door with this clock, which may have another pause after a jump.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Returns the database's clock, as this instance knows it.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Runs `body` in one transaction and commits it. `body` may run several times and must therefore do nothing
    /// outside the database; ids are generated before.
    ///
    /// # Errors
    /// [`Error::Refused`] as `body` says, rolled back; [`Error::Contended`] and [`Error::Unavailable`] when attempts or
    /// time ran out; [`Error::Broken`] for a bug.
    pub async fn transaction<'env, T>(&self, name: &'static str, body: impl Body<'env, T>) -> Result<T, Error> {
        self.run(name, Mode::Transaction, body).await
    }

    /// Runs single plain reads on one connection, outside a transaction: each sees what was committed when it began.
    ///
    /// # Errors
    /// As [`Database::transaction`].
    pub async fn read<'env, T>(&self, name: &'static str, body: impl Body<'env, T>) -> Result<T, Error> {
        self.run(name, Mode::PlainRead, body).await
    }

    /// Runs plain reads that all see the same moment: what was committed when the first of them began. It may take long;
    /// an attempt that failed is run again only while no more than the usual time has passed. Nothing is locked.
    ///
    /// # Errors
    /// As [`Database::transaction`].
    pub async fn snapshot<'env, T>(&self, name: &'static str, body: impl Body<'env, T>) -> Result<T, Error> {
        self.run(name, Mode::Snapshot, body).await
    }

    /// Closes every connection, after those in use were returned.
    pub async fn close(&self) {
        let _ = timeout(Duration::from_secs(2), self.pool.close()).await;
    }

    /// Returns how many connections exist and how many of them are in use.
    pub fn connections(&self) -> (usize, usize) {
        self.pool.connections()
    }

    /// Runs attempt after attempt, unless the database is unavailable.
    async fn run<'env, T>(&self, name: &'static str, mode: Mode, body: impl Body<'env, T>) -> Result<T, Error> {
        let mut lost = Vec::new();
        let _under_way = self.breaker.begin();
        let result = tokio::select! {
            biased;
            reason = self.breaker.opened() => {
                telemetry::transaction_given_up(name);
                Err(Error::Unavailable(reason))
            }
            result = self.run_until_done(name, mode, &mut lost, body) => result,
        };
        for trace in lost {
            self.end_later(trace);
        }
        result
    }

    /// Runs attempts until one is final. `lost`: connections that may have left something open on their servers.
    async fn run_until_done<'env, T>(
        &self,
        name: &'static str,
        mode: Mode,
        lost: &mut Vec<Trace>,
        mut body: impl Body<'env, T>,
    ) -> Result<T, Error> {
        let started = Instant::now();
        let deadline = started + BUDGET;
        let (mut attempts, mut after_unknown) = (0, false);
        loop {
            let again = match self.attempt(name, mode, deadline, lost, after_unknown, &mut body).await {
                Ok(value) => {
                    telemetry::transaction_done(name, started.elapsed());
                    return Ok(value);
                }
                Err(Ended::Final(error)) => return Err(self.report(name, error)),
                Err(Ended::Unusable(error)) => {
                    telemetry::transaction_given_up(name);
                    return Err(error);
                }
                Err(Ended::Again(again)) => again,
            };
            let Again { class, reason, detail, was_dead, told } = again;
            telemetry::transaction_retried(name, &reason);
            debug!(transaction = name, attempts, ?class, reason, detail, "transaction attempt failed");
            if was_dead && Instant::now() < deadline {
                continue;
            }
            attempts += 1;
            after_unknown |= class == Class::Unknown;
            let pause = backoff(attempts);
            if attempts == ATTEMPTS || Instant::now() + pause >= deadline {
                let error = give_up((class, detail), attempts, after_unknown);
                if told {
                    telemetry::transaction_given_up(name);
                    return Err(error);
                }
                return Err(self.report(name, error));
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Runs one attempt on one connection, which is kept only when it is known to be clean.
    async fn attempt<'env, T>(
        &self,
        name: &'static str,
        mode: Mode,
        deadline: Instant,
        lost: &mut Vec<Trace>,
        after_unknown: bool,
        body: &mut impl Body<'env, T>,
    ) -> Result<T, Ended> {
        let began = Instant::now();
        let conn = self.connection(name, mode, deadline).await?;
        let is_kept = conn.is_kept();
        let clock = Arc::clone(&self.clock);
        let mut tx = Tx { conn, mode, begun: false, answered: false, after_unknown, clock, environment: PhantomData };
        let mut before = lost.clone();
        // it counts as lost until its end is known, also when this attempt is cancelled
        lost.insert(0, tx.conn.trace());
        let mut committing = false;
        let work = async {
            let ended = tx.end_lost(&mut before).await;
            lost.truncate(1);
            lost.append(&mut before);
            ended?;
            let value = body(&mut tx).await?;
            if tx.begun {
                committing = true;
                tx.conn.query_drop("COMMIT").await?;
            }
            Ok(value)
        };
        let worked = timeout_at(mode.attempt_ends(deadline), work).await;
        let failure = match worked {
            Ok(Ok(value)) => {
                self.breaker.answered();
                lost.remove(0);
                tx.conn.keep();
                return Ok(value);
            }
            Ok(Err(failure)) => failure,
            Err(_) => {
                // a connection with an abandoned query must not be used again
                tx.conn.disconnect().await;
                self.breaker.suspect(began, Doubt::Silent);
                let class = if committing { Class::Unknown } else { Class::Reroute };
                let detail = "it did not answer in time".to_owned();
                return Err(again(class, "timeout".to_owned(), detail, false));
            }
        };
        let was_dead = is_kept && !tx.answered && is_lost(&failure);
        if is_lost(&failure) {
            self.breaker.suspect(began, Doubt::Silent);
        } else if !matches!(failure, Failure::Abandoned(_)) {
            self.breaker.answered();
        }
        let told = match &failure {
            Failure::Database(DriverOrServer::Server(error)) => self.troubles.notice(name, error),
            _ => false,
        };
        if clean_up(tx.conn, mode, is_sound(&failure, committing)).await {
            lost.remove(0);
        }
        Err(match sort(failure, committing, told) {
            Ended::Again(again) => Ended::Again(Again { was_dead, ..again }),
            ended => ended,
        })
    }

    /// Ends a lost connection when no further attempt does it: a server that does not notice the disconnect would keep the
    /// locks for hours. Waits while the database is unavailable.
    fn end_later(&self, trace: Trace) {
        let database = self.clone();
        tokio::spawn(async move {
            database.breaker.closed().await;
            if !trace.end(database.pool.options()).await {
                debug!(id = trace.id, "a lost connection could not be ended");
            }
        });
    }

    async fn connection(&self, name: &'static str, mode: Mode, deadline: Instant) -> Result<Lease, Ended> {
        let started = Instant::now();
        // a snapshot may keep its connection for an hour, so it takes no place in a bounded share
        let share = if mode == Mode::Snapshot { Share::Batches } else { self.share };
        let taken = timeout_at(deadline, self.pool.take(share)).await;
        telemetry::pool_waited(started.elapsed());
        match taken {
            Ok(Ok(conn)) => Ok(conn),
            Ok(Err(error)) => {
                // Any cause of a failed connection, a wrong password included, may be over in a moment.
                self.breaker.suspect(started, Doubt::Refused);
                let told = match &error {
                    DriverOrServer::Server(error) => self.troubles.notice(name, error),
                    _ => false,
                };
                Err(again(Class::Reroute, label(&error), explain(&error), told))
            }
            Err(_) => {
                let detail = "no connection became free in time".to_owned();
                Err(again(Class::Reroute, "pool".to_owned(), detail, false))
            }
        }
    }

    /// Logs and counts errors that the caller cannot handle.
    fn report(&self, name: &'static str, error: Error) -> Error {
        match &error {
            Error::Refused(_) | Error::Stale(_) | Error::Overloaded | Error::Unfit(_) => {}
            Error::Broken(what) => error!(transaction = name, error = what, "transaction failed"),
            Error::Unavailable(_) | Error::Contended { .. } => {
                telemetry::transaction_given_up(name);
                if let Some(count) = self.given_up.count(std::time::Instant::now()) {
                    warn!(transaction = name, %error, count, "transaction given up");
                }
            }
        }
        error
    }
}

fn again(class: Class, reason: String, detail: String, told: bool) -> Ended {
    Ended::Again(Again { class, reason, detail, was_dead: false, told })
}

/// Returns whether the connection is broken.
fn is_lost(failure: &Failure) -> bool {
    matches!(failure, Failure::Database(error) if error.is_fatal())
}

/// Returns a pause with full jitter: a random share of a range that doubles with every attempt.
fn backoff(attempt: u32) -> Duration {
    let range = BACKOFF_BASE.saturating_mul(1 << attempt.min(16)).min(BACKOFF_CAP);
    range.mul_f64(rand::rng().random::<f64>())
}

/// Returns whether the connection can be used again. It cannot when the error calls for another connection, or when the
/// response to an abandoned statement may still arrive.
fn is_sound(failure: &Failure, committing: bool) -> bool {
    match failure {
        Failure::Abandoned(_) => false,
        Failure::Database(error) => {
            !error.is_fatal() && !matches!(classify(error, committing), Class::Reroute | Class::Unknown)
        }
        _ => true,
    }
}

/// Rolls back, or closes the connection when a rollback may not work. Returns whether the connection was kept.
async fn clean_up(mut conn: Lease, mode: Mode, is_sound: bool) -> bool {
    let clean = is_sound
        && (mode == Mode::PlainRead || matches!(timeout(GOODBYE, conn.query_drop("ROLLBACK")).await, Ok(Ok(()))));
    if clean {
        conn.keep();
    } else {
        conn.disconnect().await;
    }
    clean
}

fn sort(failure: Failure, committing: bool, told: bool) -> Ended {
    match failure {
        Failure::Refused(refusal) => Ended::Final(Error::Refused(refusal)),
        Failure::Broken(what) => Ended::Final(Error::Broken(what)),
        Failure::Abandoned(why) => Ended::Final(Error::Unavailable(why.to_owned())),
        Failure::Unfit(what) => Ended::Final(Error::Unfit(what)),
        Failure::Stale(what) => Ended::Final(Error::Stale(what)),
        Failure::Raced(guard) => again(Class::Retry, guard.to_owned(), guard.to_owned(), false),
        Failure::Database(error) => match classify(&error, committing) {
            Class::Ours => Ended::Final(Error::Broken(explain(&error))),
            Class::Unusable => Ended::Unusable(Error::Unavailable(explain(&error))),
            class => again(class, label(&error), explain(&error), told),
        },
    }
}

fn give_up((class, reason): (Class, String), attempts: u32, after_unknown: bool) -> Error {
    match class {
        // it is certain that nothing was changed only if no attempt may have been committed
        Class::Retry if !after_unknown => Error::Contended { attempts, reason },
        _ => Error::Unavailable(reason),
    }
}
