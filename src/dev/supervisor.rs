//! A shell that ends a server together with the process that started it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use super::error::DevError;
use super::folder::Folder;
use super::limits::{KILL_LIMIT, TERM_LIMIT};
use super::signal::send_signal;

const SUPERVISOR: &str = include_str!("supervisor.sh");

/// A command under [`SUPERVISOR`]; it ends when `lifeline` closes, so also with this process.
#[derive(Debug)]
pub(super) struct Supervised {
    supervisor: Child,
    lifeline: ChildStdin,
}

impl Supervised {
    /// Starts the supervisor in a process group of its own: Ctrl-C in the terminal is for the owner, which stops the database
    /// last. It has a folder of its own for temporary files: a MariaDB server that starts removes those of every other server
    /// in the same folder. (The environment names it, because MariaDB's installer breaks on an option with a space.)
    pub(super) fn spawn(
        program: &Path,
        arguments: &[OsString],
        place: &Path,
        folder: &Folder,
    ) -> Result<Supervised, DevError> {
        let (log, temporary) = (folder.log(), folder.temporary());
        fs::create_dir_all(&temporary).map_err(DevError::file(&temporary))?;
        let output = File::options().append(true).create(true).open(&log).map_err(DevError::file(&log))?;
        let errors = output.try_clone().map_err(DevError::file(&log))?;
        let mut supervisor = Command::new("/bin/sh")
            .args(["-c", SUPERVISOR, "holdfast-database"])
            .arg(program)
            .args(arguments)
            .env("TMPDIR", temporary)
            .current_dir(place)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(DevError::file("/bin/sh"))?;
        let lifeline = supervisor.stdin.take().expect("standard input is piped");
        Ok(Supervised { supervisor, lifeline })
    }

    /// Waits for the end. May be cancelled and called again.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.supervisor.wait().await
    }

    /// Returns how it ended, if it has.
    pub(super) fn try_ended(&mut self) -> Option<ExitStatus> {
        self.supervisor.try_wait().ok().flatten()
    }

    /// Ends the server and waits for that. A supervisor that does not end in time is killed with its server.
    pub(super) async fn stop(self) {
        let Self { mut supervisor, lifeline } = self;
        let group = supervisor.id();
        drop(lifeline);
        if timeout(TERM_LIMIT + KILL_LIMIT, supervisor.wait()).await.is_err()
            && let Some(group) = group
        {
            tracing::warn!("the database server's supervisor does not end: killing both");
            send_signal("KILL", &[format!("-{group}")]).await;
        }
    }
}

/// Describes an end.
pub(super) fn describe(ended: io::Result<ExitStatus>) -> String {
    ended.map_or_else(|error| error.to_string(), |status| status.to_string())
}
