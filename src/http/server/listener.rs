//! The listening socket: responses are sent without delay, accepting continues after a failure, and idle connections give
//! their places to clients that wait.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::Limits;
use super::connection::{Activity, Connection};
use crate::telemetry::Throttle;

/// The pause after a failed accept. The common reason is a lack of file descriptors, and closing some takes a moment.
const PAUSE: Duration = Duration::from_millis(50);
/// A connection keeps its place for this long after each request, even when clients wait: closing it between two requests of
/// an active client would only make that client connect again.
const PLACE_TIME: Duration = Duration::from_millis(250);
/// The same before the first request, which most clients send as soon as they are connected.
const FIRST_PLACE_TIME: Duration = Duration::from_millis(50);
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

/// The connections that are open, by their number.
#[derive(Debug, Default)]
struct Places(Mutex<(u64, HashMap<u64, Arc<Activity>>)>);

impl Places {
    fn lock(&self) -> MutexGuard<'_, (u64, HashMap<u64, Arc<Activity>>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks at most `count` connections, those that have been idle longest, to end.
    fn ask_for(&self, count: usize, now: Instant) {
        let open = self.lock();
        let idle = open.1.values().filter_map(|activity| Some((activity.idle_since()?, activity)));
        let is_over = |since: Instant, activity: &Activity| {
            let place_time = if activity.has_answered() { PLACE_TIME } else { FIRST_PLACE_TIME };
            now.saturating_duration_since(since) >= place_time
        };
        let mut idle: Vec<_> = idle.filter(|(since, activity)| is_over(*since, activity)).collect();
        let count = count.min(idle.len());
        if count < idle.len() {
            idle.select_nth_unstable_by_key(count, |(since, _)| *since);
        }
        idle[..count].iter().for_each(|(_, activity)| activity.ask_for_place());
    }
}

/// The place of one connection, free again once this value is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    activity: Arc<Activity>,
    /// How many places were taken when this one was, including it.
    taken: usize,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn take(places: &Arc<Places>, permit: OwnedSemaphorePermit) -> Self {
        let activity = Arc::new(Activity::new());
        let mut open = places.lock();
        let number = open.0;
        open.0 += 1;
        open.1.insert(number, Arc::clone(&activity));
        let taken = open.1.len();
        drop(open);
        Self { places: Arc::clone(places), number, activity, taken, _permit: permit }
    }

    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().1.remove(&self.number);
    }
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
