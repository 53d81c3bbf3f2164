//! The real binary, as a process of its own.

use std::io::PipeWriter;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Client, eventually};

/// Time limit for a process to end.
const END_LIMIT: Duration = Duration::from_secs(60);

/// The lines that a process has written so far.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn gather(&self, from: impl AsyncRead + Send + Unpin + 'static) -> JoinHandle<()> {
        let lines = self.clone();
        tokio::spawn(async move {
            let mut reader = BufReader::new(from).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                lines.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        })
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn text(&self) -> String {
        self.all().join("\n")
    }
}

/// A running `holdfast`; it is killed with this value.
pub(crate) struct Process {
    child: Child,
    readers: Vec<JoinHandle<()>>,
    pub(crate) out: Lines,
    pub(crate) err: Lines,
}

/// How a process ended, and everything that it wrote.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// Checks that the exit code is this one.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self:?}");
        self
    }
}

fn command_in(folder: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    command_from(Command::new(env!("CARGO_BIN_EXE_holdfast")), folder, arguments, settings)
}

fn command_from(mut command: Command, folder: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let inherited = std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("HOLDFAST_"));
    for name in inherited {
        command.env_remove(name);
    }
    command.args(arguments).envs(settings.iter().copied()).current_dir(folder).kill_on_drop(true);
    command.stdin(Stdio::null());
    command
}

/// A pipe whose reader is closed.
fn closed_pipe() -> PipeWriter {
    std::io::pipe().expect("a pipe can be made").1
}

impl Process {
    /// Runs a command to its end with a closed standard output and, unless `reads_errors`, a closed standard error.
    pub(crate) async fn run_unread(
        folder: &Path,
        arguments: &[&str],
        settings: &[(&str, &str)],
        reads_errors: bool,
    ) -> Ended {
        let mut command = command_in(folder, arguments, settings);
        command.stdout(closed_pipe()).stderr(Stdio::piped());
        if !reads_errors {
            command.stderr(closed_pipe());
        }
        let child = command.spawn().expect("the binary can be started");
        let output = timeout(END_LIMIT, child.wait_with_output()).await.expect("it ends").expect("its status is known");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ended { status: output.status, out: text(output.stdout), err: text(output.stderr) }
    }

    /// Starts `holdfast` with these arguments and settings and no other ones, in this folder.
    pub(crate) fn start_in(folder: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        Self::of(command_in(folder, arguments, settings))
    }

    fn of(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary can be started");
        let (out, err) = (Lines::default(), Lines::default());
        let readers = vec![
            out.gather(child.stdout.take().expect("standard output is piped")),
            err.gather(child.stderr.take().expect("standard error is piped")),
        ];
        Self { child, readers, out, err }
    }

    /// Starts `holdfast serve` over this database, with a log that has no reader; returns once it listens.
    pub(crate) async fn serve_unlogged(database_url: &str, settings: &[(&str, &str)]) -> (Self, Client) {
        Self::serve_logging_to(closed_pipe(), database_url, settings).await
    }

    /// Like [`Process::serve_unlogged`], with this pipe as the log.
    pub(crate) async fn serve_logging_to(
        log: PipeWriter,
        database_url: &str,
        settings: &[(&str, &str)],
    ) -> (Self, Client) {
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let address = free.local_addr().expect("an address");
        drop(free);
        let listen = address.to_string();
        let own = [
            ("HOLDFAST_DATABASE_URL", database_url),
            ("HOLDFAST_LISTEN", &listen),
            ("HOLDFAST_WEBHOOK_SECRETS", "off"),
            ("HOLDFAST_STOREFRONT", "open"),
            ("HOLDFAST_STATSD_STYLE", "dogstatsd"),
        ];
        let mut command = command_in(Path::new(env!("CARGO_TARGET_TMPDIR")), &["serve"], &[&own, settings].concat());
        let child = command.stderr(log).spawn().expect("the binary can be started");
        let listens = async || TcpStream::connect(address).is_ok();
        assert!(eventually(listens).await, "it listens");
        (Self { child, readers: Vec::new(), out: Lines::default(), err: Lines::default() }, Client::new(address))
    }

    /// Like [`Process::start_in`], where the folder does not matter.
    pub(crate) fn start(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        Self::start_in(Path::new(env!("CARGO_TARGET_TMPDIR")), arguments, settings)
    }

    /// Runs a command to its end.
    pub(crate) async fn run(arguments: &[&str], settings: &[(&str, &str)]) -> Ended {
        Self::start(arguments, settings).ended().await
    }

    /// Starts `holdfast serve` on a free port over this database; returns once it listens.
    pub(crate) async fn serve(database_url: &str, settings: &[(&str, &str)]) -> (Self, Client) {
        let program = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        Self::serve_from(program, database_url, settings).await
    }

    /// Like [`Process::serve`], within the limit that the shell's `ulimit` sets with these arguments.
    pub(crate) async fn serve_within(limit: &str, database_url: &str) -> (Self, Client) {
        let mut shell = Command::new("/bin/sh");
        let script = format!(r#"ulimit {limit} && exec "$0" "$@""#);
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_holdfast")]);
        Self::serve_from(shell, database_url, &[]).await
    }

    async fn serve_from(program: Command, database_url: &str, settings: &[(&str, &str)]) -> (Self, Client) {
        let own = [
            ("HOLDFAST_DATABASE_URL", database_url),
            ("HOLDFAST_LISTEN", "127.0.0.1:0"),
            ("HOLDFAST_WEBHOOK_SECRETS", "off"),
            ("HOLDFAST_STOREFRONT", "open"),
            ("HOLDFAST_STATSD_STYLE", "dogstatsd"),
        ];
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let mut process = Self::of(command_from(program, folder, &["serve"], &[&own, settings].concat()));
        let address = process.address().await;
        (process, Client::new(address))
    }

    /// Waits until the process logs its address, and returns it.
    pub(crate) async fn address(&mut self) -> SocketAddr {
        let mut address = None;
        let told = eventually(async || {
            let lines = self.err.all();
            let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let serving = lines.into_iter().find(|line| line["message"] == "serving");
            address = serving.and_then(|line| line["address"].as_str()?.parse().ok());
            address.is_some() || self.child.try_wait().is_ok_and(|ended| ended.is_some())
        });
        let told = told.await;
        address
            .unwrap_or_else(|| panic!("the process does not serve ({told}):\n{}\n{}", self.out.text(), self.err.text()))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it has not been waited for")
    }

    /// Sends a signal, by its name.
    pub(crate) async fn signal(&self, name: &str) {
        let sent = Command::new("/bin/sh").args(["-c", &format!("kill -s {name} {}", self.id())]).status().await;
        assert!(sent.is_ok_and(|status| status.success()), "{name} can be sent");
    }

    /// Waits for the process to end.
    pub(crate) async fn ended(mut self) -> Ended {
        let status = timeout(END_LIMIT, self.child.wait()).await;
        let status =
            status.unwrap_or_else(|_| panic!("the process does not end:\n{}\n{}", self.out.text(), self.err.text()));
        for reader in self.readers.drain(..) {
            // A child process that outlives it would keep the pipe open.
            let _ = timeout(Duration::from_secs(5), reader).await;
        }
        Ended { status: status.expect("its status is known"), out: self.out.text(), err: self.err.text() }
    }

    /// Kills the process, as a crash would end it.
    pub(crate) async fn kill(self) {
        self.signal("KILL").await;
        self.ended().await;
    }

    /// Asks the process to stop and waits for it to end.
    pub(crate) async fn terminate(self) -> Ended {
        self.signal("TERM").await;
        self.ended().await
    }
}
