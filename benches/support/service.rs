//! The service as a process.

use std::future::pending;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::client::Client;

/// A running `holdfast serve`; dropping the value ends it.
pub(crate) struct Served {
    process: Child,
    pub(crate) address: SocketAddr,
    unread: CancellationToken,
}

impl Served {
    /// Starts the service on a free port, with these settings and no other ones.
    pub(crate) async fn start_on(database_url: &str, log: &str, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.arg("serve").env_clear();
        Self::spawn(&mut command, database_url, log, settings).await
    }

    /// The same with a command that executes `holdfast serve`.
    pub(crate) async fn spawn(command: &mut Command, database_url: &str, log: &str, settings: &[(&str, &str)]) -> Self {
        let mut process = command
            .env("HOLDFAST_DATABASE_URL", database_url)
            .env("HOLDFAST_LISTEN", "127.0.0.1:0")
            .env("HOLDFAST_LOG", log)
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the service can be started");
        let errors = process.stderr.take().expect("standard error is piped");
        let mut lines = BufReader::new(errors).lines();
        let mut told = Vec::new();
        let address = timeout(Duration::from_secs(10), address(&mut lines, &mut told)).await.ok().flatten();
        let address = address.unwrap_or_else(|| {
            let told = told.join("\n");
            panic!("the service did not log its address (the log filter must include holdfast::serve=info):\n{told}")
        });
        let unread = CancellationToken::new();
        tokio::spawn(drain(lines, unread.clone()));
        Self { process, address, unread }
    }

    /// Stops reading the service's log; the pipe stays open.
    pub(crate) fn leave_log_unread(&self) {
        self.unread.cancel();
    }

    /// Opens `count` kept connections to the service.
    pub(crate) async fn clients(&self, count: usize) -> Vec<Client> {
        Client::connect_all(self.address, count).await
    }

    /// Returns the resident memory in bytes, if the system has `/proc`.
    pub(crate) fn resident_bytes(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse::<f64>().ok().map(|kilobytes| kilobytes * 1024.0)
    }

    pub(crate) async fn stop(mut self) {
        self.process.kill().await.expect("the service can be ended");
    }
}

/// Reads the log up to the line with the service's address, and collects the lines before it in `told`.
async fn address(lines: &mut Lines<BufReader<ChildStderr>>, told: &mut Vec<String>) -> Option<SocketAddr> {
    while let Some(line) = lines.next_line().await.expect("the log can be read") {
        let address = line.split_once("\"address\":\"").and_then(|(_, rest)| rest.split_once('"'));
        match address.and_then(|(address, _)| address.parse().ok()) {
            Some(address) => return Some(address),
            None => told.push(line),
        }
    }
    None
}

/// Reads the log until `unread` and prints its warnings and errors.
async fn drain(mut lines: Lines<BufReader<ChildStderr>>, unread: CancellationToken) {
    loop {
        let line = tokio::select! {
            biased;
            () = unread.cancelled() => pending().await,
            line = lines.next_line() => line,
        };
        let Ok(Some(line)) = line else { return };
        if !line.contains("\"INFO\"") && !line.contains("\"DEBUG\"") {
            eprintln!("{line}");
        }
    }
}
