//! Ends lost connections: a server that does not notice the disconnect would keep their locks for hours.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Opts};
use tokio::time::timeout;
use tracing::debug;

use super::pool::{GOODBYE, Lease};
use super::server::Server;

/// How many connections are opened to find the server of a lost one.
const TRIES: u32 = 4;
/// How long ending a lost connection may take.
const ENDING: Duration = Duration::from_secs(1);

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

    /// Ends it over a new connection with these options that leads to its server; tries several, since a balancer may lead to
    /// another server. Returns whether it was ended.
    pub(super) async fn end(&self, options: &Opts) -> bool {
        if self.server.is_none() {
            return false;
        }
        for _ in 0..TRIES {
            if let Ok(Ok(true)) = timeout(ENDING, self.try_to_end(options.clone())).await {
                return true;
            }
        }
        false
    }

    #[expect(clippy::disallowed_methods, reason = "part of the door: it must not wait for a place in the pool")]
    async fn try_to_end(&self, options: Opts) -> Result<bool, Error> {
        let mut conn = Conn::new(options).await?;
        let is_there = self.is_on(Server::of(&mut conn).await?.as_ref());
        if is_there {
            self.end_over(&mut conn).await?;
        }
        let _ = timeout(GOODBYE, conn.disconnect()).await;
        Ok(is_there)
    }
}
