//! The limits on what clients may use.

use std::time::Duration;

/// The limits on what clients may use, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections that may be open at once. When all are and others wait, those that have been idle longest are closed.
    pub connections: usize,
    /// Requests that the connections of HTTP/2 share. Each may have this many under way, divided by the connections that are
    /// open when it is accepted; at least 16 and at most 100. So hundreds of connections cannot fill a queue of 20,000.
    pub streams: usize,
    /// A connection without activity for this time is closed. On HTTP/2 only requests count as activity.
    pub idle: Duration,
    /// The time limit of an HTTP/1 request from its first byte to its last.
    pub request: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 20_000, streams: 4096, idle: Duration::from_secs(75), request: Duration::from_secs(30) }
    }
}
