//! Signals to processes.

use std::process::Stdio;

use tokio::process::Command;

/// Sends a signal by the shell's own `kill`: the standard library can only send SIGKILL, and only to a direct child.
pub(super) async fn send_signal(signal: &str, pids: &[String]) {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", r#"kill -s "$0" -- "$@""#, signal]).args(pids).stderr(Stdio::null());
    if let Err(error) = command.status().await {
        tracing::warn!(%error, signal, "a signal could not be sent");
    }
}
