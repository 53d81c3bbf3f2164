//! The transaction door: the only way to the database. It takes a name and a closure that may run more than once,
//! bounds every wait, sorts every error, and never guesses how a lost COMMIT ended.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Opts, Params, Pool, Row};
use rand::RngExt as _;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, error, warn};

use super::clock::Clock;
use super::error::{Class, Error, Failure, classify, explain, label};
use crate::telemetry;

/// Everything that one call of the door may take, retries included: a client gets its 503 within 5 s.
const BUDGET: Duration = Duration::from_millis(4500);
/// What one attempt may take: more than a lock is waited for, and little enough for a second one on another connection.
const ATTEMPT: Duration = Duration::from_millis(2500);
/// What reading a whole snapshot may take, however large the tables are.
const SNAPSHOT: Duration = Duration::from_secs(60 * 60);
/// One view of all tables for everything that follows, without any lock on rows; the savepoint is where [`Tx::let_go`]
/// goes back to.
const OPEN_SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; \
     START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY; SAVEPOINT page";
/// How often a closure runs at most.
const ATTEMPTS: u32 = 8;
/// The first back-off is drawn from 0 to this, each further one from twice the range.
const BACKOFF_BASE: Duration = Duration::from_millis(4);
/// The largest range that a back-off is drawn from.
const BACKOFF_CAP: Duration = Duration::from_millis(250);
/// How often it is told that the database cannot be reached.
const COMPLAIN_EVERY: Duration = Duration::from_secs(1);
/// How long ending a lost connection may take.
const ENDING: Duration = Duration::from_secs(1);
/// How long saying goodbye to a connection may take.
const GOODBYE: Duration = Duration::from_millis(200);

/// The pool and its door.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    complained: Arc<Mutex<Option<Instant>>>,
    clock: Arc<Clock>,
}

/// A connection inside the door: inside a transaction, or for a single plain read.
///
/// `'env` is what the closure may borrow from; it only helps the compiler to see that this outlives every attempt.
pub struct Tx<'env> {
    conn: Conn,
    mode: Mode,
    begun: bool,
    after_unknown: bool,
    clock: Arc<Clock>,
    environment: PhantomData<&'env ()>,
}

/// What one statement of a packet came to.
#[derive(Debug)]
pub struct Reply {
    /// Rows that it changed.
    pub affected: u64,
    /// Rows that it returned.
    pub rows: Vec<Row>,
}

/// What runs inside the door: a closure that may run several times and whose future borrows the connection.
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
    /// When an attempt that begins now has taken too long.
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
    /// May be run again. `reason` is a word for metrics, `detail` what the server or the connection said.
    Again { class: Class, reason: String, detail: String },
}

impl Tx<'_> {
    /// Runs a statement and returns how many rows it changed.
    pub async fn execute(&mut self, sql: &str, params: impl Into<Params> + Send) -> Result<u64, Failure> {
        self.begin().await?;
        self.conn.exec_drop(sql, params).await?;
        Ok(self.conn.affected_rows())
    }

    /// Runs a query and returns its rows.
    pub async fn rows<T>(&mut self, sql: &str, params: impl Into<Params> + Send) -> Result<Vec<T>, Failure>
    where
        T: FromRow + Send + 'static,
    {
        self.begin().await?;
        Ok(self.conn.exec(sql, params).await?)
    }

    /// Runs a query and returns its first row.
    pub async fn row<T>(&mut self, sql: &str, params: impl Into<Params> + Send) -> Result<Option<T>, Failure>
    where
        T: FromRow + Send + 'static,
    {
        self.begin().await?;
        Ok(self.conn.exec_first(sql, params).await?)
    }

    /// The same as [`Tx::execute`] for text from [`super::literal`], which is different every time and therefore not
    /// worth a prepared statement.
    pub async fn execute_text(&mut self, sql: &str) -> Result<u64, Failure> {
        self.begin().await?;
        self.conn.query_drop(sql).await?;
        Ok(self.conn.affected_rows())
    }

    /// The same as [`Tx::rows`] for text from [`super::literal`].
    pub async fn rows_text<T>(&mut self, sql: &str) -> Result<Vec<T>, Failure>
    where
        T: FromRow + Send + 'static,
    {
        self.begin().await?;
        Ok(self.conn.query(sql).await?)
    }

    /// Runs several statements of [`super::literal`]'s text in one round trip, BEGIN included when they are the first.
    /// They stop at the first error.
    pub async fn packet(&mut self, statements: &[String]) -> Result<Vec<Reply>, Failure> {
        let begin = self.needs_begin().then_some("BEGIN");
        self.begun |= begin.is_some();
        let texts = begin.into_iter().chain(statements.iter().map(String::as_str));
        let mut result = self.conn.query_iter(texts.collect::<Vec<_>>().join(";\n")).await?;
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

    /// What was read before does not hold any more: the caller reads again. After a commit that was lost from sight it
    /// may be our own, still under way, that changed it: then this very work is run again, and finds it.
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
            self.conn.query_drop(if snapshot { OPEN_SNAPSHOT } else { "BEGIN" }).await?;
        }
        Ok(())
    }

    /// In a snapshot: lets go of the tables that were read, so that nobody who wants to change the schema, and nobody
    /// behind him, waits until the snapshot ends. What is read afterwards is still the same snapshot.
    pub async fn let_go(&mut self) -> Result<(), Failure> {
        self.begin().await?;
        Ok(self.conn.query_drop("ROLLBACK TO SAVEPOINT page").await?)
    }

    /// The key that the last insert generated.
    pub fn last_insert_id(&self) -> Option<u64> {
        self.conn.last_insert_id()
    }

    /// What is known of the database's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// True when an earlier attempt of this very closure may have been committed: what is found under our own ids may
    /// be our own work.
    pub fn after_unknown(&self) -> bool {
        self.after_unknown
    }
}

impl Database {
    /// A door on this pool.
    pub fn new(pool: Pool) -> Self {
        Self { pool, complained: Arc::default(), clock: Arc::default() }
    }

    /// The same with this clock, which may pause for another time after a jump.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// What is known of the database's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Runs `body` in one transaction and commits it. `body` may run several times and must therefore do nothing
    /// outside the database; ids are minted before.
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

    /// Closes every connection, after those in use have come back.
    pub async fn close(&self) {
        let _ = timeout(Duration::from_secs(2), self.pool.clone().disconnect()).await;
    }

    /// How many connections exist and how many of them are in use.
    pub fn connections(&self) -> (usize, usize) {
        let metrics = self.pool.metrics();
        let load = |value: &std::sync::atomic::AtomicUsize| value.load(std::sync::atomic::Ordering::Relaxed);
        (load(&metrics.connection_count), load(&metrics.connections_in_use))
    }

    async fn run<'env, T>(&self, name: &'static str, mode: Mode, body: impl Body<'env, T>) -> Result<T, Error> {
        let mut lost = None;
        let result = self.run_until_done(name, mode, &mut lost, body).await;
        if let Some(id) = lost {
            self.end_later(id);
        }
        result
    }

    /// Runs attempt after attempt. `lost` is the connection that nobody has ended yet.
    async fn run_until_done<'env, T>(
        &self,
        name: &'static str,
        mode: Mode,
        lost: &mut Option<u32>,
        mut body: impl Body<'env, T>,
    ) -> Result<T, Error> {
        let started = Instant::now();
        let deadline = started + BUDGET;
        let mut after_unknown = false;
        for attempt in 1.. {
            let ended = match self.attempt(mode, deadline, lost, after_unknown, &mut body).await {
                Ok(value) => {
                    telemetry::transaction_done(name, started.elapsed());
                    return Ok(value);
                }
                Err(Ended::Final(error)) => return Err(report(name, error)),
                Err(Ended::Again { class, reason, detail }) => {
                    telemetry::transaction_retried(name, &reason);
                    debug!(transaction = name, attempt, ?class, reason, detail, "transaction attempt failed");
                    after_unknown |= class == Class::Unknown;
                    (class, detail)
                }
            };
            let pause = backoff(attempt);
            if attempt == ATTEMPTS || Instant::now() + pause >= deadline {
                return Err(report(name, give_up(ended, attempt, after_unknown)));
            }
            tokio::time::sleep(pause).await;
        }
        unreachable!("the loop above ends by returning")
    }

    /// One attempt on one connection, which goes back to the pool only when it is known to be clean.
    async fn attempt<'env, T>(
        &self,
        mode: Mode,
        deadline: Instant,
        lost: &mut Option<u32>,
        after_unknown: bool,
        body: &mut impl Body<'env, T>,
    ) -> Result<T, Ended> {
        let conn = self.connection(deadline).await?;
        let id = conn.id();
        if let Some(ghost) = *lost
            && end_connection(conn.opts().clone(), ghost).await
        {
            *lost = None;
        }
        let mut tx =
            Tx { conn, mode, begun: false, after_unknown, clock: Arc::clone(&self.clock), environment: PhantomData };
        let mut committing = false;
        let work = async {
            let value = body(&mut tx).await?;
            if tx.begun {
                committing = true;
                tx.conn.query_drop("COMMIT").await?;
            }
            Ok(value)
        };
        let worked = timeout_at(mode.attempt_ends(deadline), work).await;
        let failure = match worked {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(failure)) => failure,
            Err(_) => {
                // A connection whose query was given up must not be asked anything again. Dropping it is not enough: the
                // pool would drain its answer and keep it, with our transaction still open.
                let class = if committing { Class::Unknown } else { Class::Reroute };
                *lost = Some(id);
                let _ = timeout(GOODBYE, tx.conn.disconnect()).await;
                let detail = "it did not answer in time".to_owned();
                return Err(Ended::Again { class, reason: "timeout".to_owned(), detail });
            }
        };
        let clean = clean_up(tx.conn, mode, &failure).await;
        if !clean {
            *lost = Some(id);
        }
        Err(sort(failure, committing))
    }

    /// Ends a connection for which no further attempt does it: a server that does not notice that we have gone would
    /// keep the locks for hours.
    fn end_later(&self, id: u32) {
        let database = self.clone();
        tokio::spawn(async move {
            let deadline = Instant::now() + BUDGET;
            let ended = timeout_at(deadline, async {
                match database.connection(deadline).await {
                    Ok(conn) => end_connection(conn.opts().clone(), id).await,
                    Err(_) => false,
                }
            });
            if !matches!(ended.await, Ok(true)) {
                debug!(id, "a lost connection could not be ended");
            }
        });
    }

    /// Whether to tell once more that the database is away: once a second, however many requests notice.
    fn complaint_is_due(&self) -> bool {
        let mut last = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|at| at.elapsed() > COMPLAIN_EVERY);
        if due {
            *last = Some(Instant::now());
        }
        due
    }

    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    async fn connection(&self, deadline: Instant) -> Result<Conn, Ended> {
        let started = Instant::now();
        let taken = timeout_at(deadline, self.pool.get_conn()).await;
        telemetry::pool_waited(started.elapsed());
        match taken {
            Ok(Ok(conn)) => Ok(conn),
            Ok(Err(error)) => {
                // Whatever keeps us from connecting, a wrong password included, may be over in a moment.
                if self.complaint_is_due() {
                    warn!(%error, "cannot connect to the database");
                }
                Err(Ended::Again { class: Class::Reroute, reason: label(&error), detail: explain(&error) })
            }
            Err(_) => {
                let detail = "no connection became free in time".to_owned();
                Err(Ended::Again { class: Class::Reroute, reason: "pool".to_owned(), detail })
            }
        }
    }
}

/// Full jitter: a random share of a range that doubles with every attempt.
fn backoff(attempt: u32) -> Duration {
    let range = BACKOFF_BASE.saturating_mul(1 << attempt.min(16)).min(BACKOFF_CAP);
    range.mul_f64(rand::rng().random::<f64>())
}

/// Rolls back, or drops the connection when that is not sure to work. Returns whether the connection was kept.
async fn clean_up(mut conn: Conn, mode: Mode, failure: &Failure) -> bool {
    // the answer of an abandoned statement may still come
    let broken =
        matches!(failure, Failure::Abandoned(_)) || matches!(failure, Failure::Database(error) if error.is_fatal());
    if !broken && mode == Mode::PlainRead {
        return true;
    }
    if !broken && matches!(timeout(GOODBYE, conn.query_drop("ROLLBACK")).await, Ok(Ok(()))) {
        return true;
    }
    let _ = timeout(GOODBYE, conn.disconnect()).await;
    false
}

/// Ends a connection that we lost sight of, so that what it left open is rolled back now and not when the server
/// notices; it is fine when it is already gone. This goes over a new connection: ids ascend, so one that is not greater
/// than the lost one tells that the server has started anew, and that the id may by now be somebody else's. Returns
/// whether it was done.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub(super) async fn end_connection(options: Opts, id: u32) -> bool {
    let ending = async {
        let mut conn = Conn::new(options).await?;
        if conn.id() > id
            && let Err(error) = conn.query_drop(format!("KILL {id}")).await
        {
            debug!(id, %error, "a lost connection was already gone");
        }
        conn.disconnect().await
    };
    matches!(timeout(ENDING, ending).await, Ok(Ok(())))
}

fn sort(failure: Failure, committing: bool) -> Ended {
    match failure {
        Failure::Refused(refusal) => Ended::Final(Error::Refused(refusal)),
        Failure::Broken(what) => Ended::Final(Error::Broken(what)),
        Failure::Abandoned(why) => Ended::Final(Error::Unavailable(why.to_owned())),
        Failure::Unfit(what) => Ended::Final(Error::Unfit(what)),
        Failure::Stale(what) => Ended::Final(Error::Stale(what)),
        Failure::Raced(guard) => {
            Ended::Again { class: Class::Retry, reason: guard.to_owned(), detail: guard.to_owned() }
        }
        Failure::Database(error) => match classify(&error, committing) {
            Class::Ours => Ended::Final(Error::Broken(explain(&error))),
            class => Ended::Again { class, reason: label(&error), detail: explain(&error) },
        },
    }
}

fn give_up((class, reason): (Class, String), attempts: u32, after_unknown: bool) -> Error {
    match class {
        // only if no attempt may have been committed can it be said that nothing was changed
        Class::Retry if !after_unknown => Error::Contended { attempts, reason },
        _ => Error::Unavailable(reason),
    }
}

/// Logs what is not the caller's business, once, and counts it.
fn report(name: &'static str, error: Error) -> Error {
    match &error {
        Error::Refused(_) | Error::Stale(_) | Error::Overloaded | Error::Unfit(_) => {}
        Error::Broken(what) => error!(transaction = name, error = what, "transaction failed"),
        Error::Unavailable(_) | Error::Contended { .. } => {
            warn!(transaction = name, %error, "transaction given up");
            telemetry::transaction_given_up(name);
        }
    }
    error
}
