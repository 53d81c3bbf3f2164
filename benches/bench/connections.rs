//! Connections for the strategies that use one per request: with the service's settings, without its transaction door.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use holdfast::db::pool;
use mysql_async::{Conn, Opts};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Opens one connection with the service's session settings; `opts` need not name a database.
#[expect(clippy::disallowed_methods, reason = "the other strategies do not use the service's transaction door")]
pub(crate) async fn connect(opts: &Opts) -> Conn {
    let connected = Conn::new(pool::session(opts.clone())).await;
    connected.unwrap_or_else(|error| panic!("the server cannot be reached: {error}"))
}

/// A few connections, lent in the order of the requests: cheaper than a general pool.
pub(crate) struct Connections {
    free: Mutex<Vec<Conn>>,
    places: Semaphore,
}

/// A borrowed connection; it returns to its [`Connections`] when dropped.
pub(crate) struct Borrowed<'all> {
    conn: Option<Conn>,
    all: &'all Connections,
    _place: SemaphorePermit<'all>,
}

impl Connections {
    /// Opens `count` connections.
    pub(crate) async fn open(opts: &Opts, count: usize) -> Self {
        let mut free = Vec::new();
        for _ in 0..count {
            free.push(connect(opts).await);
        }
        Self { free: Mutex::new(free), places: Semaphore::new(count) }
    }

    /// Waits for a free connection.
    pub(crate) async fn borrow(&self) -> Borrowed<'_> {
        let place = self.places.acquire().await.expect("the semaphore is never closed");
        let conn = self.lock().pop();
        Borrowed { conn, all: self, _place: place }
    }

    /// Closes all free connections.
    pub(crate) async fn close(&self) {
        let all = std::mem::take(&mut *self.lock());
        for conn in all {
            let _ = conn.disconnect().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Conn>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.all.lock().extend(self.conn.take());
    }
}

impl Deref for Borrowed<'_> {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        self.conn.as_ref().expect("the connection is taken only on drop")
    }
}

impl DerefMut for Borrowed<'_> {
    fn deref_mut(&mut self) -> &mut Conn {
        self.conn.as_mut().expect("the connection is taken only on drop")
    }
}
