//! A connection inside the door: inside a transaction, or for plain reads.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Error as DriverOrServer, Params, Row};
use tokio::time::{Instant, timeout};

use super::clock::Clock;
use super::error::Failure;
use super::lost_connection::ConnectionId;
use super::pool::Lease;
use super::told::Told;
use crate::domain::FeedItem;

/// The time that one attempt may take: longer than a lock wait, and short enough for a second one on another connection.
const ATTEMPT: Duration = Duration::from_millis(2500);
/// The time that the read behind a COMMIT may take.
const LOOK: Duration = Duration::from_millis(1500);
/// The time that reading a whole snapshot may take, however large the tables are.
const SNAPSHOT: Duration = Duration::from_secs(60 * 60);
/// Opens one view of all tables for all reads that follow, without row locks; [`Tx::let_go`] rolls back to the savepoint.
const OPEN_SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; \
     START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY; SAVEPOINT page";

/// A connection inside the door: inside a transaction, or for a single plain read.
///
/// `'env` is what the closure may borrow from; it only helps the compiler to see that this outlives every attempt.
pub struct Tx<'env> {
    pub(super) conn: Lease,
    mode: Mode,
    begun: bool,
    /// Whether the server has answered anything.
    pub(super) answered: bool,
    after_unknown: bool,
    /// A read that travels with the COMMIT.
    look: Option<String>,
    /// What is written with the COMMIT.
    pub(super) told: Told,
    /// Whether the feed is told of holds.
    pub(super) tells_holds: bool,
    /// Products whose units change.
    pub(super) touched: Vec<i64>,
    /// Whether the server refused what was sent with the COMMIT before it: nothing is committed then.
    pub(super) is_uncommitted: bool,
    /// Whether something was written for the feed, and committed.
    pub(super) has_told: bool,
    /// Whether a response may still arrive on the connection: it must not be used again.
    pub(super) is_spent: bool,
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
pub(super) enum Mode {
    Transaction,
    PlainRead,
    Snapshot,
}

impl Mode {
    /// Returns when an attempt that begins now times out.
    pub(super) fn attempt_ends(self, deadline: Instant) -> Instant {
        match self {
            Self::Transaction | Self::PlainRead => deadline.min(Instant::now() + ATTEMPT),
            Self::Snapshot => Instant::now() + SNAPSHOT,
        }
    }
}

impl Tx<'_> {
    /// Puts a connection inside the door; nothing is sent yet.
    pub(super) fn new(conn: Lease, mode: Mode, after_unknown: bool, clock: Arc<Clock>) -> Self {
        Self {
            tells_holds: false,
            conn,
            mode,
            begun: false,
            answered: false,
            after_unknown,
            look: None,
            told: Told::default(),
            touched: Vec::new(),
            is_uncommitted: false,
            has_told: false,
            is_spent: false,
            clock,
            environment: PhantomData,
        }
    }

    /// Runs a statement and returns how many rows it changed.
    pub async fn execute(&mut self, sql: &str, params: impl Into<Params> + Send) -> Result<u64, Failure> {
        self.begin().await?;
        let done = self.conn.exec_drop(sql, params).await;
        self.record(done)?;
        Ok(self.conn.affected_rows())
    }

    /// Runs a query and returns its rows.
    pub async fn rows<T>(&mut self, sql: &str, params: impl Into<Params> + Send) -> Result<Vec<T>, Failure>
    where
        T: FromRow + Send + 'static,
    {
        self.begin().await?;
        let rows = self.conn.exec(sql, params).await;
        self.record(rows)
    }

    /// Runs a query and returns its first row.
    pub async fn row<T>(&mut self, sql: &str, params: impl Into<Params> + Send) -> Result<Option<T>, Failure>
    where
        T: FromRow + Send + 'static,
    {
        self.begin().await?;
        let row = self.conn.exec_first(sql, params).await;
        self.record(row)
    }

    /// The same as [`Tx::execute`] for text from [`super::literal`], which is different every time and therefore not
    /// worth a prepared statement.
    pub async fn execute_text(&mut self, sql: &str) -> Result<u64, Failure> {
        self.begin().await?;
        let done = self.conn.query_drop(sql).await;
        self.record(done)?;
        Ok(self.conn.affected_rows())
    }

    /// The same as [`Tx::rows`] for text from [`super::literal`].
    pub async fn rows_text<T>(&mut self, sql: &str) -> Result<Vec<T>, Failure>
    where
        T: FromRow + Send + 'static,
    {
        self.begin().await?;
        let rows = self.conn.query(sql).await;
        self.record(rows)
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
            self.record(begun)?;
        }
        Ok(())
    }

    /// Records whether the server has answered.
    fn record<T>(&mut self, result: Result<T, DriverOrServer>) -> Result<T, Failure> {
        self.answered |= result.is_ok();
        Ok(result?)
    }

    /// Ends those of these connections that are on this one's server, and removes them.
    pub(super) async fn end_lost(&mut self, lost_connections: &mut Vec<ConnectionId>) -> Result<(), Failure> {
        while let Some(position) = lost_connections.iter().position(|id| id.is_on(self.conn.server())) {
            let ended = lost_connections[position].end_over(&mut self.conn).await;
            self.record(ended)?;
            lost_connections.remove(position);
        }
        Ok(())
    }

    /// Returns whether there is anything to commit.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Sends this read with the COMMIT, in one round trip: it sees what is committed by then.
    pub fn look_after_commit(&mut self, statement: String) {
        self.look = Some(statement);
    }

    /// Tells the feed of these events: they are written by the last statement before the COMMIT, in the same round trip. Rows that
    /// are written earlier would be in another order than the transactions that wrote them.
    pub fn tell(&mut self, items: impl IntoIterator<Item = FeedItem>) {
        self.told.extend(items);
    }

    /// Returns whether the feed is to be told of holds.
    pub fn tells_holds(&self) -> bool {
        self.tells_holds
    }

    /// Notes products whose last units are gone, or come back, so that this instance looks at them after the COMMIT.
    pub fn touch(&mut self, product_ids: impl IntoIterator<Item = i64>) {
        self.touched.extend(product_ids);
    }

    /// Commits the transaction. Returns the rows of the read that travels with the COMMIT; `None` without one, and when the
    /// server could not run it.
    pub(super) async fn commit(&mut self) -> Result<Option<Vec<Row>>, Failure> {
        let (told, look) = (self.told.statement(), self.look.take());
        let statements = [told.as_deref(), Some("COMMIT"), look.as_deref()];
        let text = statements.into_iter().flatten().collect::<Vec<_>>().join(";\n");
        let mut result = match self.conn.query_iter(text).await {
            Ok(result) => result,
            Err(error) => {
                self.is_uncommitted = told.is_some() && matches!(error, DriverOrServer::Server(_));
                return Err(error.into());
            }
        };
        if told.is_some() {
            result.collect::<Row>().await?;
            if result.columns().is_none() {
                // the driver has read an error of the COMMIT, and returns it with the next result
                result.collect::<Row>().await?;
                return Err(Failure::Broken("a COMMIT has no answer".to_owned()));
            }
            self.has_told = true;
        }
        if look.is_none() {
            result.drop_result().await?;
            return Ok(None);
        }
        // the COMMIT has taken effect: whatever fails from here on is the read
        let read = timeout(LOOK, async {
            result.collect::<Row>().await?;
            result.collect().await
        });
        match read.await {
            Ok(Ok(rows)) => Ok(Some(rows)),
            Ok(Err(DriverOrServer::Server(_))) => Ok(None),
            Ok(Err(_)) | Err(_) => {
                self.is_spent = true;
                Ok(None)
            }
        }
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
