//! A connection outside the pool, for reads that must not wait for a place in it: they are needed most when it is full.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mysql_async::Opts;
use tokio::time::timeout;

use super::clock::Clock;
use super::error::{Failure, explain};
use super::pool::Pool;
use super::share::Share;
use super::tx::{Body, Mode, Tx};

/// How many reads a connection serves: after a failover, an old one may lead to a server that does not change any more.
const READS: u32 = 5;

/// One connection, opened when it is first needed. It is no part of the breaker: a read fails when its own connection does.
pub struct Lone {
    pool: Pool,
    clock: Arc<Clock>,
    reads: AtomicU32,
}

impl Lone {
    /// Creates the connection's place; it opens nothing yet.
    pub(super) fn new(options: Opts, clock: Arc<Clock>) -> Self {
        Self { pool: Pool::new(options, 1), clock, reads: AtomicU32::new(0) }
    }

    /// Runs single plain reads within the limit. A connection that the server has closed since the last read is replaced once.
    ///
    /// # Errors
    /// Why the read failed; there is nothing to clean up.
    pub async fn read<'env, T>(&self, limit: Duration, mut body: impl Body<'env, T>) -> Result<T, String> {
        if self.reads.fetch_add(1, Ordering::Relaxed) % READS == READS - 1 {
            self.pool.discard_all();
        }
        let tried = async {
            match self.try_read(&mut body).await {
                Err((true, _)) => self.try_read(&mut body).await,
                done => done,
            }
        };
        match timeout(limit, tried).await {
            Ok(done) => done.map_err(|(_, reason)| reason),
            Err(_) => Err("the database does not answer".to_owned()),
        }
    }

    /// Returns with an error also whether the connection was used before: the server may have closed it.
    async fn try_read<'env, T>(&self, body: &mut impl Body<'env, T>) -> Result<T, (bool, String)> {
        let conn = self.pool.take(Share::Batches).await.map_err(|error| (false, explain(&error)))?;
        let was_kept = conn.is_kept();
        let mut tx = Tx::new(conn, Mode::PlainRead, false, Arc::clone(&self.clock));
        // a connection that failed is dropped, which closes it
        let value = body(&mut tx).await.map_err(|failure| (was_kept, describe(failure)))?;
        tx.conn.keep();
        Ok(value)
    }

    /// Closes the connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn describe(failure: Failure) -> String {
    match failure {
        Failure::Database(error) => explain(&error),
        other => format!("{other:?}"),
    }
}
