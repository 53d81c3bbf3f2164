//! How long steps may take.

use std::time::Duration;

/// How long a start may take until the server answers, a crash recovery included.
pub(super) const READY_LIMIT: Duration = Duration::from_secs(60);
/// The pause between two looks.
pub(super) const POLL: Duration = Duration::from_millis(50);
/// How many ports are tried when another process takes the chosen one before the server does.
pub(super) const PORT_ATTEMPTS: u32 = 5;
/// How long a server may take to end after SIGTERM before it is killed; `supervisor.sh` has the same limit.
pub(super) const TERM_LIMIT: Duration = Duration::from_secs(30);
/// How long a process may take to end after SIGKILL.
pub(super) const KILL_LIMIT: Duration = Duration::from_secs(10);
