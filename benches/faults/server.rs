//! A database server that can be frozen, killed, started again, and given another clock.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use holdfast::dev::PrivateServer;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// Timeout for a server to end, or to answer after its start.
const PATIENCE: Duration = Duration::from_secs(60);
/// Timeout of one connection attempt.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// A private server; dropping the value ends it.
pub(crate) struct Server {
    /// Owns the folder, even after its own process was killed.
    private: PrivateServer,
    folder: PathBuf,
    /// The command line of the first process, with its port.
    command: Vec<String>,
    /// The process that replaced it.
    replacement: Option<Child>,
}

impl Server {
    /// Starts a server with its data in `folder`, with these options.
    pub(crate) async fn start(folder: &Path, options: &[&str]) -> Result<Self, String> {
        let private = PrivateServer::start(folder, options).await.map_err(|error| error.to_string())?;
        let folder = folder.canonicalize().map_err(|error| error.to_string())?;
        let mut server = Self { private, folder, command: Vec::new(), replacement: None };
        let command = std::fs::read_to_string(format!("/proc/{}/cmdline", server.pid()));
        let command = command.map_err(|error| format!("the server's command line cannot be read: {error}"))?;
        server.command = command.split_terminator('\0').map(str::to_owned).collect();
        Ok(server)
    }

    /// Returns the URL of `database` on this server.
    pub(crate) fn url(&self, database: &str) -> String {
        self.private.url(database)
    }

    /// Returns the process id.
    fn pid(&self) -> u32 {
        let file = self.data().join("server.pid");
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        text.trim().parse().expect("a process id")
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Sends a signal, by its name, to the server's process.
    pub(crate) async fn signal(&self, name: &str) {
        let sent = Command::new("/bin/sh").args(["-c", &format!("kill -s {name} {}", self.pid())]).status().await;
        assert!(sent.is_ok_and(|status| status.success()), "{name} can be sent to the database server");
    }

    /// Kills the process, as a crash would, and waits until it has ended.
    pub(crate) async fn kill(&mut self) {
        self.signal("KILL").await;
        if let Some(mut child) = self.replacement.take() {
            let _ = child.wait().await;
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.has_ended() {
            assert!(Instant::now() < deadline, "a killed process ends");
            sleep(POLL).await;
        }
    }

    /// Whether the process has ended.
    pub(crate) fn has_ended(&self) -> bool {
        !std::fs::read(format!("/proc/{}/cmdline", self.pid())).is_ok_and(|command| !command.is_empty())
    }

    /// Starts the killed server again with the same command, so on the same port, and with these environment variables.
    /// Returns once the server answers.
    pub(crate) async fn start_again(&mut self, variables: &[(&str, &str)]) {
        for name in ["server.sock", "server.sock.lock", "server.pid"] {
            let _ = std::fs::remove_file(self.data().join(name));
        }
        let log = std::fs::File::options().append(true).create(true).open(self.private.log_path());
        let log = log.expect("the log can be opened");
        let started = Command::new(&self.command[0])
            .args(&self.command[1..])
            .env("TMPDIR", self.folder.join("tmp"))
            .envs(variables.iter().copied())
            .current_dir(self.data())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log's handle can be copied"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn();
        self.replacement = Some(started.expect("the server can be started again"));
        let (url, deadline) = (self.url(""), Instant::now() + PATIENCE);
        while connect(&url).await.is_err() {
            let log = self.private.log_path();
            assert!(Instant::now() < deadline, "the server does not answer; its log is {}", log.display());
            sleep(POLL).await;
        }
    }

    /// Stops the server and removes its folder.
    pub(crate) async fn leave(self) {
        // Waits for the child meanwhile: until its parent waits, an ended process stays in the process table.
        let waited = self.replacement.map(|mut child| tokio::spawn(async move { child.wait().await }));
        self.private.stop().await;
        drop(waited);
        let removed = std::fs::remove_dir_all(&self.folder);
        removed.unwrap_or_else(|error| eprintln!("{}: {error}", self.folder.display()));
    }
}

/// Opens one connection, if the server answers in time.
#[expect(clippy::disallowed_methods, reason = "the benchmark does not use the service's transaction door")]
pub(crate) async fn connect(url: &str) -> Result<Conn, String> {
    let opts = Opts::from_url(url).map_err(|error| error.to_string())?;
    let connected = async {
        let opts = mysql_async::OptsBuilder::from_opts(opts).prefer_socket(false);
        let mut conn = Conn::new(opts).await?;
        conn.query_drop("SET time_zone = '+00:00'").await?;
        Ok::<_, mysql_async::Error>(conn)
    };
    match timeout(CONNECT_PATIENCE, connected).await {
        Ok(connected) => connected.map_err(|error| error.to_string()),
        Err(_) => Err("the server does not answer".to_owned()),
    }
}
