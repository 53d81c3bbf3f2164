//! Connections to the database: session settings, options that a URL cannot change, and the pool.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mysql_async::{Conn, Opts, OptsBuilder, UrlError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::server::Server;
use super::share::{Share, Shares};

/// The settings of every session. READ COMMITTED, because every guard is one statement and gaps need no locks; strict mode,
/// because a truncated value is a bug; UTC, because every time is; a short lock wait, for rows and for tables, because the
/// door retries; room for the trail of an order in one text, which MySQL cuts at 1,024 bytes. On Galera, a read first waits
/// for everything that the cluster has committed. MariaDB turns an IN list of 1,000 values into a derived table, whose plan
/// may read a whole table; a threshold of 0 keeps the list a range. MySQL takes both for comments.
const SESSION: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION time_zone = '+00:00', \
     sql_mode = 'STRICT_ALL_TABLES,ONLY_FULL_GROUP_BY,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', \
     innodb_lock_wait_timeout = 2, lock_wait_timeout = 2, group_concat_max_len = 1048576, autocommit = 1 \
     /*M!, wsrep_sync_wait = 1, in_predicate_conversion_threshold = 0 */",
];

/// How long a ROLLBACK or the closing of a connection may take.
pub(super) const GOODBYE: Duration = Duration::from_millis(200);

/// Reads a database URL, `mysql://user:password@host:port/database?…`.
///
/// # Errors
/// When it is not such a URL or names no database.
pub fn options(url: &str) -> Result<Opts, String> {
    let options = Opts::from_url(url).map_err(|error: UrlError| error.to_string())?;
    match options.db_name() {
        Some(name) if !name.is_empty() => Ok(options),
        _ => Err("it names no database: mysql://user:password@host:port/database".to_owned()),
    }
}

/// Returns the options of every connection, in the pool or outside it. The socket that the server reports is not used: the
/// path of a server on another machine could lead to a different server on this one.
pub fn session(options: Opts) -> OptsBuilder {
    let names_socket = options.socket().is_some();
    OptsBuilder::from_opts(options)
        .setup(SESSION.map(str::to_owned).to_vec())
        // affected rows must mean changed rows
        .client_found_rows(false)
        .prefer_socket(names_socket)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(Duration::from_secs(30)))
        .stmt_cache_size(128)
}

/// A limited number of connections to the database, opened when first needed and kept.
///
/// The pool of the driver does not suit the door: a connection here knows its server, is kept only when its user says that
/// it is clean, however its use ended, and can be discarded while it is idle.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: Opts,
    size: usize,
    shares: Shares,
    places: Arc<Semaphore>,
    idle: Mutex<Idle>,
    /// Each open connection has a copy.
    open: Arc<()>,
    /// Notified when a connection is returned.
    returned: Notify,
}

#[derive(Debug, Default)]
struct Idle {
    /// How often all connections were discarded. A connection that was taken before that is not kept.
    generation: u64,
    connections: Vec<Connection>,
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// Creates a pool of up to `size` connections; it opens none yet.
    pub(super) fn new(options: Opts, size: usize) -> Self {
        let options = session(options).into();
        let (shares, places) = (Shares::of(size), Arc::new(Semaphore::new(size)));
        let (idle, open, returned) = Default::default();
        Self { shared: Arc::new(Shared { options, size, shares, places, idle, open, returned }) }
    }

    /// Returns the options of every connection.
    pub(super) fn options(&self) -> &Opts {
        &self.shared.options
    }

    /// Waits for a place in the share and then in the pool, each in order of arrival, and takes the connection that was used
    /// last, or opens one.
    ///
    /// # Errors
    /// When there is no idle connection and none can be opened.
    pub(super) async fn take(&self, share: Share) -> Result<Lease, mysql_async::Error> {
        let shared = Arc::clone(&self.shared);
        let part = shared.shares.enter(share).await;
        let place = Arc::clone(&shared.places).acquire_owned().await;
        let place = place.map_err(|_| mysql_async::DriverError::PoolDisconnected)?;
        let (generation, kept) = {
            let mut idle = shared.idle();
            (idle.generation, idle.connections.pop())
        };
        let is_kept = kept.is_some();
        let connection = match kept {
            Some(connection) => connection,
            None => Connection::open(&shared).await?,
        };
        Ok(Lease { connection: Some(connection), generation, is_kept, shared, _places: (place, part) })
    }

    /// Returns whether connections are open, which may serve further callers.
    pub(super) fn has_open(&self) -> bool {
        Arc::strong_count(&self.shared.open) > 1
    }

    /// Waits until a connection is returned, unless one was returned before and not waited for.
    pub(super) async fn returned(&self) {
        self.shared.returned.notified().await;
    }

    /// Discards every connection, those in use when they are returned: they lead to a server that was unavailable.
    pub(super) fn discard_all(&self) {
        let discarded = {
            let mut idle = self.shared.idle();
            idle.generation += 1;
            std::mem::take(&mut idle.connections)
        };
        drop(discarded);
    }

    /// Returns how many connections exist, those that are being opened included, and how many of them are in use.
    pub(super) fn connections(&self) -> (usize, usize) {
        let in_use = self.shared.size - self.shared.places.available_permits().min(self.shared.size);
        (self.shared.idle().connections.len() + in_use, in_use)
    }

    /// Closes every connection, after those in use were returned; none can be taken any more.
    pub(super) async fn close(&self) {
        let all = u32::try_from(self.shared.size).unwrap_or(u32::MAX);
        let _all = self.shared.places.acquire_many(all).await;
        self.shared.places.close();
        let connections = std::mem::take(&mut self.shared.idle().connections);
        for connection in connections {
            let _ = timeout(GOODBYE, connection.conn.disconnect()).await;
        }
    }
}

/// A connection in use. Dropping it closes it, because its state is unknown then.
#[derive(Debug)]
pub(super) struct Lease {
    /// `Some` until the lease ends.
    connection: Option<Connection>,
    generation: u64,
    is_kept: bool,
    shared: Arc<Shared>,
    /// In the pool, and in a bounded share.
    _places: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
}

impl Lease {
    /// Returns whether it was used before: the server may have closed it since.
    pub(super) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Returns the server that it leads to.
    pub(super) fn server(&self) -> Option<&Server> {
        self.connection.as_ref().and_then(|connection| connection.server.as_ref())
    }

    /// Returns it to the pool: no transaction is open on it, and no response of its server is outstanding.
    pub(super) fn keep(mut self) {
        let mut idle = self.shared.idle();
        if idle.generation == self.generation {
            idle.connections.extend(self.connection.take());
            self.shared.returned.notify_one();
        }
    }

    /// Closes it; the server may not answer any more.
    pub(super) async fn disconnect(mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = timeout(GOODBYE, connection.conn.disconnect()).await;
        }
    }
}

impl Deref for Lease {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.connection.as_ref().expect("a lease has its connection until it ends").conn
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.connection.as_mut().expect("a lease has its connection until it ends").conn
    }
}

/// A connection, and the server that it leads to, if that is known.
#[derive(Debug)]
struct Connection {
    conn: Conn,
    server: Option<Server>,
    _open: Arc<()>,
}

impl Connection {
    #[expect(clippy::disallowed_methods, reason = "this is the pool")]
    async fn open(shared: &Shared) -> Result<Self, mysql_async::Error> {
        let mut conn = Conn::new(shared.options.clone()).await?;
        let server = Server::of(&mut conn).await?;
        Ok(Self { conn, server, _open: Arc::clone(&shared.open) })
    }
}
