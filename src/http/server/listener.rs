//! The listening socket: responses are sent without delay, accepting continues after a failure, and idle connections give
//! their places to clients that wait.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::connection::Connection;
use super::limits::Limits;
use super::places::{Place, Places};
use crate::telemetry::Throttle;

/// The pause after a failed accept. The common reason is a lack of file descriptors, and closing some takes a moment.
const PAUSE: Duration = Duration::from_millis(50);
/// One in this many places is freed at a time, which bounds the cost of the search for each new connection.
const PLACES_PER_FREED: usize = 64;

/// Accepts connections.
pub(super) struct Connections {
    listener: TcpListener,
    limits: Limits,
    places: Arc<Places>,
    free: Arc<Semaphore>,
    failed_accepts: Throttle,
    /// The connection that is accepted and has no place yet.
    waiting: Option<(TcpStream, SocketAddr)>,
}

impl Connections {
    /// Creates the connections of this socket.
    pub(super) fn on(listener: TcpListener, limits: Limits) -> Self {
        let free = Arc::new(Semaphore::new(limits.connections));
        Self { listener, limits, places: Arc::default(), free, failed_accepts: Throttle::default(), waiting: None }
    }

    /// Returns the next connection and the address of its client. A connection is accepted before a place is free for it:
    /// only an accepted connection is known to wait. A dropped call loses no connection.
    pub(super) async fn accept(&mut self) -> (Connection, SocketAddr) {
        if self.waiting.is_none() {
            self.waiting = Some(self.next().await);
        }
        let permit = self.permit().await;
        let (stream, remote) = self.waiting.take().expect("it has just been accepted");
        (Connection::new(stream, self.limits, Place::take(&self.places, permit)), remote)
    }

    async fn next(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, remote)) => {
                    // Otherwise a small response waits for the acknowledgement of the one before it.
                    let _ = stream.set_nodelay(true);
                    return (stream, remote);
                }
                Err(error) => {
                    if let Some(count) = self.failed_accepts.count(std::time::Instant::now()) {
                        warn!(%error, count, "a connection could not be accepted");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Waits for a free place, and asks idle connections to end.
    async fn permit(&self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                return permit;
            }
            self.places.ask_for((self.limits.connections / PLACES_PER_FREED).max(1), Instant::now());
            let freed = timeout(PAUSE, Arc::clone(&self.free).acquire_owned());
            if let Ok(permit) = freed.await {
                return permit.expect("it is never closed");
            }
        }
    }
}
