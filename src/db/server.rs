//! Identifies the server of a connection, so that no connection is ended on another server: behind a balancer, after a
//! failover or after a restart, the same connection id belongs to another client.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row};
use tokio::time::Instant;

/// Reads the connection's id as the server itself knows it, the server's name, and its uptime. MySQL and MariaDB each
/// take the other one's variable for a comment.
const IDENTIFY_WITH_ID: &str = "SELECT CONNECTION_ID(), CONCAT_WS('/', @@hostname, @@port, @@server_id \
     /*!50700 , @@server_uuid */ /*M!101100 , @@server_uid */); SHOW GLOBAL STATUS LIKE 'Uptime'";
/// The same without an identity that the server generated itself.
const IDENTIFY: &str = "SELECT CONNECTION_ID(), CONCAT_WS('/', @@hostname, @@port, @@server_id); \
     SHOW GLOBAL STATUS LIKE 'Uptime'";
/// By how much two readings of one server's uptime may differ: whole seconds, and the time that the reading takes.
const TOLERANCE: Duration = Duration::from_secs(2);

/// One run of one server.
#[derive(Debug, Clone)]
pub(super) struct Server {
    name: Arc<[u8]>,
    /// Its uptime at `asked`, in whole seconds.
    uptime: Duration,
    asked: Instant,
}

impl Server {
    /// Identifies the server of a connection. `None` when the server does not answer the query, or when a proxy in between
    /// numbers connections itself: the known id means nothing to the server then.
    ///
    /// # Errors
    /// When the connection does not work.
    pub(super) async fn of(conn: &mut Conn) -> Result<Option<Self>, Error> {
        let asked = match ask(conn, IDENTIFY_WITH_ID).await {
            // MariaDB has that variable since 10.11.9, 11.1.6, 11.2.5 and 11.4.3
            Err(Error::Server(_)) => ask(conn, IDENTIFY).await,
            asked => asked,
        };
        match asked {
            Ok(Some((id, name, uptime))) if id == u64::from(conn.id()) => {
                let uptime = Duration::from_secs(uptime);
                Ok(Some(Self { name: name.into(), uptime, asked: Instant::now() }))
            }
            Ok(_) | Err(Error::Server(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A server of which nothing is known.
    #[cfg(test)]
    pub(super) fn unknown(asked: Instant) -> Self {
        Self { name: Arc::default(), uptime: Duration::ZERO, asked }
    }

    /// Returns whether both are the same server, not restarted in between: its uptime has grown by the time that has passed.
    pub(super) fn is(&self, other: &Self) -> bool {
        let (earlier, later) = if self.asked <= other.asked { (self, other) } else { (other, self) };
        let expected = earlier.uptime + (later.asked - earlier.asked);
        earlier.name == later.name && later.uptime.abs_diff(expected) <= TOLERANCE
    }
}

async fn ask(conn: &mut Conn, question: &str) -> Result<Option<(u64, Vec<u8>, u64)>, Error> {
    let mut result = conn.query_iter(question).await?;
    let identity: Vec<Row> = result.collect().await?;
    let uptime: Vec<Row> = result.collect().await?;
    let id_and_name = identity.first().and_then(|row| Some((row.get(0)?, row.get(1)?)));
    let uptime = uptime.first().and_then(|row| row.get(1));
    Ok(id_and_name.zip(uptime).map(|((id, name), uptime)| (id, name, uptime)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_server_and_a_restarted_one_are_recognised() {
        let asked = Instant::now();
        let server = |name: &str, uptime: u64, after: u64| Server {
            name: name.as_bytes().into(),
            uptime: Duration::from_secs(uptime),
            asked: asked + Duration::from_secs(after),
        };
        let first = server("a", 100, 0);
        for same in [server("a", 100, 0), server("a", 160, 60), server("a", 161, 60), server("a", 159, 61)] {
            assert!(first.is(&same) && same.is(&first), "{same:?}");
        }
        for other in [server("b", 160, 60), server("a", 3, 60), server("a", 100, 60), server("a", 200, 60)] {
            assert!(!first.is(&other) && !other.is(&first), "{other:?}");
        }
    }
}
