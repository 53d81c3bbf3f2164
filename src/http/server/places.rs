//! The places of the connections that are open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::activity::Activity;

/// A connection keeps its place for this long after each request, even when clients wait: closing it between two requests of
/// an active client would only make that client connect again.
const PLACE_TIME: Duration = Duration::from_millis(250);
/// The same before the first request, which most clients send as soon as they are connected.
const FIRST_PLACE_TIME: Duration = Duration::from_millis(50);

/// The connections that are open, by their number.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<(u64, HashMap<u64, Arc<Activity>>)>);

impl Places {
    fn lock(&self) -> MutexGuard<'_, (u64, HashMap<u64, Arc<Activity>>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks at most `count` connections, those that have been idle longest, to end.
    pub(super) fn ask_for(&self, count: usize, now: Instant) {
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
    /// Takes a place for a new connection.
    pub(super) fn take(places: &Arc<Places>, permit: OwnedSemaphorePermit) -> Self {
        let activity = Arc::new(Activity::new());
        let mut open = places.lock();
        let number = open.0;
        open.0 += 1;
        open.1.insert(number, Arc::clone(&activity));
        let taken = open.1.len();
        drop(open);
        Self { places: Arc::clone(places), number, activity, taken, _permit: permit }
    }

    /// How many places were taken when this one was, including it.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// The activity on its connection.
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().1.remove(&self.number);
    }
}
