//! The activity on a connection, which its reader, its requests and the listener share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

/// The activity on one connection.
#[derive(Debug)]
pub(super) struct Activity {
    accepted_at: Instant,
    /// Requests that have begun and have no response yet.
    under_way: AtomicUsize,
    /// When the last request got its response, in microseconds after `accepted_at`.
    idle_from_us: AtomicU64,
    /// Bytes have been read while no request was under way, and no request has begun since.
    read_while_idle: AtomicBool,
    /// The place is needed: the connection ends unless a request begins first.
    place_needed: AtomicBool,
    /// Wakes the task of the connection.
    reader: AtomicWaker,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            accepted_at: Instant::now(),
            under_way: AtomicUsize::new(0),
            idle_from_us: AtomicU64::new(0),
            read_while_idle: AtomicBool::new(false),
            place_needed: AtomicBool::new(false),
            reader: AtomicWaker::new(),
        }
    }

    /// When the connection was accepted.
    pub(super) fn accepted_at(&self) -> Instant {
        self.accepted_at
    }

    /// Records that bytes of the connection have been read.
    pub(super) fn record_read(&self) {
        if !self.is_busy() {
            self.read_while_idle.store(true, Ordering::Relaxed);
        }
    }

    /// Wakes the task of `waker` when the place is needed.
    pub(super) fn wake_when_place_needed(&self, waker: &Waker) {
        self.reader.register(waker);
    }

    /// Begins a request, which is under way until the returned value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        let read_while_idle = self.read_while_idle.load(Ordering::Relaxed);
        if read_while_idle {
            self.read_while_idle.store(false, Ordering::Relaxed);
        }
        self.place_needed.store(false, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay { activity: Arc::clone(self), pipelined: !read_while_idle }
    }

    fn end(&self) {
        let idle_from = u64::try_from(self.accepted_at.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.idle_from_us.store(idle_from, Ordering::Relaxed);
        self.under_way.fetch_sub(1, Ordering::Release);
    }

    /// Whether a request is under way.
    fn is_busy(&self) -> bool {
        self.under_way.load(Ordering::Acquire) > 0
    }

    /// Returns since when no request has been under way; `None` while one is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let since = || self.accepted_at + Duration::from_micros(self.idle_from_us.load(Ordering::Relaxed));
        (!self.is_busy()).then(since)
    }

    /// Whether any request has had its response.
    pub(super) fn has_answered(&self) -> bool {
        self.idle_from_us.load(Ordering::Relaxed) > 0
    }

    /// Ends the connection unless a request begins first.
    pub(super) fn ask_for_place(&self) {
        self.place_needed.store(true, Ordering::Relaxed);
        self.reader.wake();
    }

    /// Whether the place is needed and no request is under way.
    pub(super) fn gives_place(&self) -> bool {
        self.place_needed.load(Ordering::Relaxed) && !self.is_busy()
    }
}

/// A request that is under way until this value is dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    activity: Arc<Activity>,
    pipelined: bool,
}

impl UnderWay {
    /// Whether it was read together with an earlier request of the connection, or while that was under way.
    pub(super) fn is_pipelined(&self) -> bool {
        self.pipelined
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.activity.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_pipelined_unless_it_was_read_while_none_was_under_way() {
        let activity = Arc::new(Activity::new());
        activity.record_read();
        let first = activity.begin();
        assert!(!first.is_pipelined() && activity.idle_since().is_none());
        drop(first);
        assert!(activity.idle_since().is_some());
        assert!(activity.begin().is_pipelined(), "it was read together with the first");
        activity.record_read();
        assert!(!activity.begin().is_pipelined(), "it was read after the second had its response");
    }

    #[test]
    fn a_request_that_begins_keeps_the_place_of_its_connection() {
        let activity = Arc::new(Activity::new());
        activity.ask_for_place();
        assert!(activity.gives_place());
        let request = activity.begin();
        activity.ask_for_place();
        assert!(!activity.gives_place());
        drop(request);
        assert!(activity.gives_place());
        drop(activity.begin());
        assert!(!activity.gives_place());
    }
}
