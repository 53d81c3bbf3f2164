//! Ends lost connections: a server that does not notice the disconnect would keep their locks for hours.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Opts};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::breaker::Breaker;
use super::pool::{GOODBYE, Lease, Pool};
use super::server::Server;

/// How many connections are opened to find the server of a lost one: a balancer may lead to another server.
const TRIES: u32 = 8;
/// How many lost connections are remembered; the oldest are forgotten first.
const REMEMBERED: usize = 1_000;
/// How long a lost connection is remembered: after that time without a statement, a server closes it itself (the default of
/// `wait_timeout`).
const LASTS: Duration = Duration::from_secs(8 * 60 * 60);
/// How many lost connections are ended over one new connection, one after the other.
const ROUND: usize = 100;
/// How long that may take.
const ROUND_LASTS: Duration = Duration::from_secs(5);
/// The pause after a round that could not end all of its connections.
const PAUSE: Duration = Duration::from_millis(500);

/// Identifies a connection that may have to be ended from another one.
#[derive(Debug, Clone)]
pub(super) struct ConnectionId {
    /// The connection's id on its server.
    id: u32,
    /// `None` when its server cannot be identified: the connection must not be ended by its id.
    server: Option<Server>,
}

impl ConnectionId {
    /// Identifies a connection of the pool.
    pub(super) fn of_lease(conn: &Lease) -> Self {
        Self { id: conn.id(), server: conn.server().cloned() }
    }

    /// Identifies any other connection.
    ///
    /// # Errors
    /// When the connection does not work.
    pub(super) async fn of(conn: &mut Conn) -> Result<Self, Error> {
        Ok(Self { id: conn.id(), server: Server::of(conn).await? })
    }

    /// Returns whether it is a connection of this server, which `KILL` may end.
    pub(super) fn is_on(&self, server: Option<&Server>) -> bool {
        self.server.as_ref().zip(server).is_some_and(|(own, server)| own.is(server))
    }

    /// Ends it over `conn`, which leads to its server. It is no error when it is closed already.
    ///
    /// # Errors
    /// When `conn` does not work.
    pub(super) async fn end_over(&self, conn: &mut Conn) -> Result<(), Error> {
        match conn.query_drop(format!("KILL {}", self.id)).await {
            Err(error @ Error::Server(_)) => debug!(id = self.id, %error, "a lost connection was already closed"),
            other => other?,
        }
        Ok(())
    }

    /// Ends it over a new connection with these options that leads to its server; tries several.
    pub(super) async fn end(self, options: &Opts) {
        if self.server.is_none() {
            return;
        }
        let mut round = vec![Lost::new(self)];
        for _ in 0..TRIES {
            let tried = timeout(ROUND_LASTS, end_round(options.clone(), &mut round)).await;
            if round.is_empty() || tried.is_err() {
                return;
            }
        }
    }
}

/// Lost connections that wait to be ended. One task ends them, in rounds, while the database is available.
#[derive(Clone)]
pub(super) struct LostConnections {
    pool: Pool,
    breaker: Breaker,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    list: VecDeque<Lost>,
    /// Whether the task runs.
    has_task: bool,
}

struct Lost {
    id: ConnectionId,
    since: Instant,
    tries: u32,
}

impl Lost {
    fn new(id: ConnectionId) -> Self {
        Self { id, since: Instant::now(), tries: 0 }
    }
}

impl LostConnections {
    /// Starts without any.
    pub(super) fn new(pool: Pool, breaker: Breaker) -> Self {
        Self { pool, breaker, waiting: Arc::default() }
    }

    /// Ends these connections soon.
    pub(super) fn add(&self, ids: impl IntoIterator<Item = ConnectionId>) {
        let mut waiting = self.waiting();
        waiting.add(ids.into_iter().map(Lost::new));
        if !waiting.list.is_empty() && !std::mem::replace(&mut waiting.has_task, true) {
            tokio::spawn(self.clone().end_all());
        }
    }

    async fn end_all(self) {
        loop {
            self.breaker.closed().await;
            let mut round = self.waiting().next_round(Instant::now());
            if round.is_empty() {
                return;
            }
            let _ = timeout(ROUND_LASTS, end_round(self.pool.options().clone(), &mut round)).await;
            if !round.is_empty() {
                debug!(lost = round.len(), "lost connections were not ended");
                self.waiting().add(round);
                sleep(PAUSE).await;
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Adds connections that can be ended by their ids.
    fn add(&mut self, lost: impl IntoIterator<Item = Lost>) {
        self.list.extend(lost.into_iter().filter(|lost| lost.id.server.is_some() && lost.tries < TRIES));
        let too_many = self.list.len().saturating_sub(REMEMBERED);
        self.list.drain(..too_many);
    }

    /// Takes the connections of the next round. Without any, the task ends.
    fn next_round(&mut self, now: Instant) -> Vec<Lost> {
        self.list.retain(|lost| now - lost.since < LASTS);
        let round: Vec<Lost> = self.list.drain(..self.list.len().min(ROUND)).collect();
        self.has_task = !round.is_empty();
        round
    }
}

/// Ends those of these connections that are on the server of a new connection, and removes them. It counts as a try if the
/// new connection can be opened: the lost ones may be what the server has too many of.
#[expect(clippy::disallowed_methods, reason = "part of the door: it must not wait for a place in the pool")]
async fn end_round(options: Opts, round: &mut Vec<Lost>) -> Result<(), Error> {
    let mut conn = Conn::new(options).await?;
    let server = Server::of(&mut conn).await?;
    round.iter_mut().for_each(|lost| lost.tries += 1);
    while let Some(place) = round.iter().position(|lost| lost.id.is_on(server.as_ref())) {
        round[place].id.end_over(&mut conn).await?;
        round.swap_remove(place);
    }
    let _ = timeout(GOODBYE, conn.disconnect()).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(id: u32, now: Instant) -> Lost {
        Lost { id: ConnectionId { id, server: Some(Server::unknown(now)) }, since: now, tries: 0 }
    }

    #[test]
    fn few_lost_connections_are_remembered_each_for_a_limited_time_and_number_of_tries() {
        let (now, mut waiting) = (Instant::now(), Waiting::default());
        waiting.add((0..REMEMBERED as u32 + 10).map(|id| lost(id, now)));
        assert_eq!((waiting.list.len(), waiting.list[0].id.id), (REMEMBERED, 10), "the oldest are forgotten");
        let nameless = ConnectionId { id: 1, server: None };
        waiting.add([Lost::new(nameless)]);
        assert_eq!(waiting.list.len(), REMEMBERED, "a connection without a known server is not added");
        let (mut rounds, mut round) = (0, waiting.next_round(now));
        while !round.is_empty() {
            assert_eq!(round.len(), ROUND);
            round.iter_mut().for_each(|lost| lost.tries += 1);
            waiting.add(round);
            rounds += 1;
            round = waiting.next_round(now);
        }
        assert_eq!(rounds, TRIES as usize * REMEMBERED / ROUND);
        waiting.add([lost(1, now)]);
        assert!(waiting.next_round(now + LASTS).is_empty(), "it is too old");
        assert!(waiting.list.is_empty());
    }
}
