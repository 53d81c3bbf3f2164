//! Errors that an operator has to resolve: each is logged when it first occurs, and then every 30 seconds while it occurs,
//! however many requests fail with it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mysql_async::ServerError;
use tracing::error;

use super::error::{advice, is_lack_of_space};
use crate::telemetry::Throttle;

/// How long after the last failed write the server counts as out of space.
const LACK_LASTS: Duration = Duration::from_secs(5);

/// The errors that occurred so far.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    seen: Mutex<HashMap<u16, Throttle>>,
    lack_of_space: Mutex<Option<(Instant, String)>>,
}

impl Troubles {
    /// Logs an error of the server if an operator has to resolve it. Returns whether that is so.
    pub(super) fn notice(&self, doing: &'static str, error: &ServerError) -> bool {
        let Some(advice) = advice(error.code) else { return false };
        let now = Instant::now();
        if is_lack_of_space(error.code) {
            *lock(&self.lack_of_space) = Some((now, error.to_string()));
        }
        let occurrences = lock(&self.seen).entry(error.code).or_insert_with(Throttle::lasting).count(now);
        if let Some(occurrences) = occurrences {
            let (code, server) = (error.code, &error.message);
            error!(transaction = doing, code, server, occurrences, advice, "the database refuses a statement");
        }
        true
    }

    /// Returns the server's message if a write failed for lack of space in the last seconds. One write that succeeds does not
    /// show that all writes do, so only time clears it.
    pub(super) fn lacks_space(&self) -> Option<String> {
        let last = lock(&self.lack_of_space);
        last.as_ref().filter(|(at, _)| at.elapsed() < LACK_LASTS).map(|(_, message)| message.clone())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
