//! One attempt of a transaction: takes a connection, runs the closure and COMMIT on it, and classifies how it ended.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Error as DriverOrServer, Row};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use super::breaker::{Breaker, Doubt};
use super::clock::Clock;
use super::error::{Class, Error, Failure, classify, explain, label};
use super::lost_connection::ConnectionId;
use super::pool::{GOODBYE, Lease, Pool};
use super::share::Share;
use super::sold::Sold;
use super::touched::Touched;
use super::trouble::Troubles;
use super::tx::{Body, Mode, Tx};
use crate::telemetry;

/// How long a caller waits for an open connection before it tries again to open one, after the server has refused that.
const CONNECT_AGAIN: Duration = Duration::from_millis(100);

/// Access to one database, for callers of one share of its connections.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) pool: Pool,
    pub(super) share: Share,
    pub(super) breaker: Breaker,
    pub(super) troubles: Arc<Troubles>,
    pub(super) clock: Arc<Clock>,
    /// Notified when a transaction has told the feed of something.
    pub(super) told: Arc<Notify>,
    /// Products that transactions have touched.
    pub(super) touched: Arc<Touched>,
    /// Holds whose orders transactions have marked paid.
    pub(super) sold: Sold,
    /// Whether the feed is told of holds.
    pub(super) tells_holds: bool,
}

/// The transaction that an attempt belongs to.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) mode: Mode,
    /// When the last attempt ends.
    pub(super) deadline: Instant,
    /// How many attempts there were.
    pub(super) attempts: u32,
    /// Whether an earlier attempt may have been committed.
    pub(super) after_unknown: bool,
}

/// What a transaction returned, and the rows of the read that travelled with its COMMIT.
pub(super) type Committed<T> = (T, Option<Vec<Row>>);

/// Why one attempt ended without a result.
pub(super) enum Ended {
    /// For good.
    Final(Error),
    /// Until an operator acts; the log says what to do.
    Unusable(Error),
    /// May be run again.
    Again(Again),
}

/// Why one attempt is to be run again.
pub(super) struct Again {
    pub(super) class: Class,
    /// A word for metrics.
    pub(super) reason: String,
    /// The error of the server or the connection.
    pub(super) detail: String,
    /// The connection had died while it was idle. The server has received nothing of the attempt.
    pub(super) was_dead: bool,
    /// The log already says what an operator has to do.
    pub(super) is_logged: bool,
}

impl Access {
    /// Runs one attempt on one connection, which is kept only when it is known to be clean. `lost_connections`: those of
    /// earlier attempts that may have left something open on their servers; this attempt ends them if it can.
    pub(super) async fn attempt<'env, T>(
        &self,
        call: Call,
        lost_connections: &mut Vec<ConnectionId>,
        body: &mut impl Body<'env, T>,
    ) -> Result<Committed<T>, Ended> {
        let began = Instant::now();
        let conn = self.connection(call).await?;
        let is_kept = conn.is_kept();
        let mut tx = Tx::new(conn, call.mode, call.after_unknown, Arc::clone(&self.clock));
        tx.tells_holds = self.tells_holds;
        let mut committing = false;
        let work = work(&mut tx, &mut committing, lost_connections, body);
        let ended = timeout_at(call.mode.attempt_ends(call.deadline), work).await;
        if committing {
            self.touched.add(std::mem::take(&mut tx.touched));
        }
        let failure = match ended {
            Ok(Ok(committed)) => {
                self.breaker.answered();
                lost_connections.remove(0);
                if tx.has_told {
                    self.told.notify_one();
                    if telemetry::are_recorded() {
                        self.sold.add(tx.told.report());
                    }
                }
                match tx.is_spent {
                    true => tx.conn.disconnect().await,
                    false => tx.conn.keep(),
                }
                return Ok(committed);
            }
            Ok(Err(failure)) => failure,
            Err(_) => return Err(self.timed_out(tx, began, committing).await),
        };
        committing &= !tx.is_uncommitted;
        let was_dead = is_kept && !tx.answered && is_lost(&failure);
        let is_logged = self.judge(call.name, began, &failure);
        if clean_up(tx.conn, call.mode, is_sound(&failure, committing)).await {
            lost_connections.remove(0);
        }
        Err(match sort(failure, committing, is_logged) {
            Ended::Again(again) => Ended::Again(Again { was_dead, ..again }),
            ended => ended,
        })
    }

    /// Takes a connection of the pool.
    async fn connection(&self, call: Call) -> Result<Lease, Ended> {
        let started = Instant::now();
        let taken = timeout_at(call.deadline, self.take(call)).await;
        telemetry::pool_waited(started.elapsed());
        match taken {
            Ok(Ok(conn)) => Ok(conn),
            Ok(Err((error, is_logged))) => {
                // Any cause of a failed connection, a wrong password included, may be over in a moment.
                self.breaker.suspect(started, Doubt::Refused);
                Err(again(Class::Reroute, label(&error), explain(&error), is_logged))
            }
            Err(_) => {
                let detail = "no connection became free in time".to_owned();
                Err(again(Class::Reroute, "pool".to_owned(), detail, false))
            }
        }
    }

    /// Takes a connection of the pool. While the server refuses further connections, callers take turns on the open ones.
    ///
    /// # Errors
    /// The reason why no connection can be opened, and whether the log says what an operator has to do.
    async fn take(&self, call: Call) -> Result<Lease, (DriverOrServer, bool)> {
        // a snapshot may keep its connection for an hour, so it takes no place in a bounded share
        let share = if call.mode == Mode::Snapshot { Share::Batches } else { self.share };
        loop {
            let error = match self.pool.take(share).await {
                Ok(conn) => return Ok(conn),
                Err(error) => error,
            };
            let is_logged = self.notice(call.name, &error);
            if !matches!(error, DriverOrServer::Server(_)) || !self.pool.has_open() {
                return Err((error, is_logged));
            }
            let _ = timeout(CONNECT_AGAIN, self.pool.returned()).await;
        }
    }

    /// Ends an attempt that was not answered in time.
    async fn timed_out(&self, tx: Tx<'_>, began: Instant, committing: bool) -> Ended {
        // a connection with an abandoned query must not be used again
        tx.conn.disconnect().await;
        self.breaker.suspect(began, Doubt::Silent);
        let class = if committing { Class::Unknown } else { Class::Reroute };
        again(class, "timeout".to_owned(), "it did not answer in time".to_owned(), false)
    }

    /// Concludes from a failure whether the database is available. Returns whether the log says what an operator has to do.
    fn judge(&self, name: &'static str, began: Instant, failure: &Failure) -> bool {
        if is_lost(failure) {
            self.breaker.suspect(began, Doubt::Silent);
        } else if !matches!(failure, Failure::Abandoned(_)) {
            self.breaker.answered();
        }
        matches!(failure, Failure::Database(error) if self.notice(name, error))
    }

    /// Logs an error that an operator has to resolve. Returns whether it is one.
    fn notice(&self, name: &'static str, error: &DriverOrServer) -> bool {
        matches!(error, DriverOrServer::Server(error) if self.troubles.notice(name, error))
    }
}

/// Ends the lost connections of this server, runs the closure, and commits. `committing`: set when COMMIT is sent.
async fn work<'env, T>(
    tx: &mut Tx<'env>,
    committing: &mut bool,
    lost_connections: &mut Vec<ConnectionId>,
    body: &mut impl Body<'env, T>,
) -> Result<Committed<T>, Failure> {
    let mut before = lost_connections.clone();
    // it counts as lost until its end is known, also when this attempt is cancelled
    lost_connections.insert(0, ConnectionId::of_lease(&tx.conn));
    let ended = tx.end_lost(&mut before).await;
    lost_connections.truncate(1);
    lost_connections.append(&mut before);
    ended?;
    let value = body(tx).await?;
    if !tx.has_begun() {
        return Ok((value, None));
    }
    *committing = true;
    Ok((value, tx.commit().await?))
}

fn again(class: Class, reason: String, detail: String, is_logged: bool) -> Ended {
    Ended::Again(Again { class, reason, detail, was_dead: false, is_logged })
}

/// Returns whether the connection is broken.
fn is_lost(failure: &Failure) -> bool {
    matches!(failure, Failure::Database(error) if error.is_fatal())
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

fn sort(failure: Failure, committing: bool, is_logged: bool) -> Ended {
    match failure {
        Failure::Refused(refusal) => Ended::Final(Error::Refused(refusal)),
        Failure::Broken(what) => Ended::Final(Error::Broken(what)),
        Failure::Abandoned(why) => Ended::Final(Error::Abandoned(why)),
        Failure::Unfit(what) => Ended::Final(Error::Unfit(what)),
        Failure::Stale(what) | Failure::Changed(what) => Ended::Final(Error::Stale(what)),
        Failure::OutOfStock => Ended::Final(Error::OutOfStock),
        Failure::CountersOver(over) => Ended::Final(Error::CountersOver(over)),
        Failure::OverLimit { limit, units } => Ended::Final(Error::OverLimit { limit, units }),
        Failure::Raced(guard) => again(Class::Retry, guard.to_owned(), guard.to_owned(), false),
        Failure::Database(error) => match classify(&error, committing) {
            Class::Ours => Ended::Final(Error::Broken(explain(&error))),
            Class::Unusable => Ended::Unusable(Error::Unavailable(explain(&error))),
            class => again(class, label(&error), explain(&error), is_logged),
        },
    }
}
