//! The server: start, address, stop.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use tokio::time::{Instant, sleep, timeout};

use super::engine::{Engine, search_path};
use super::error::DevError;
use super::folder::{Folder, remove};
use super::limits::{POLL, PORT_ATTEMPTS, READY_LIMIT};
use super::supervisor::{Supervised, describe};

/// A private database server. Dropping it shuts the server down too, but only [`PrivateServer::stop`] waits for the
/// end.
#[derive(Debug)]
pub struct PrivateServer {
    running: Supervised,
    engine: Engine,
    port: u16,
    folder: Folder,
    log_start: u64,
}

impl PrivateServer {
    /// Starts a server with its data in `folder`, which is created and initialised where needed, and returns once it
    /// answers. `extra` are options of the server, after (and so above) those given here.
    ///
    /// # Errors
    ///
    /// Every [`DevError`] but `Died`; those about the server quote what it logged.
    pub async fn start(folder: &Path, extra: &[&str]) -> Result<PrivateServer, DevError> {
        let folder = Folder::claim(folder)?;
        folder.end_predecessors().await?;
        let engine = Engine::choose(&folder, &search_path()).await?;
        if !folder.data().exists() {
            engine.initialise(&folder).await?;
        }
        let mut attempts = 1;
        let launched = loop {
            match launch(&folder, &engine, extra).await {
                Err(DevError::PortTaken { port }) if attempts < PORT_ATTEMPTS => {
                    tracing::warn!(port, "another process took the port; trying another port");
                    attempts += 1;
                }
                outcome => break outcome?,
            }
        };
        let (running, port, log_start) = launched;
        Ok(PrivateServer { running, engine, port, folder, log_start })
    }

    /// Returns the URL of `database`, which need not exist, on this server.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{database}", self.port)
    }

    /// Returns the engine's name and version, such as `MariaDB 10.11.6`.
    #[must_use]
    pub fn engine(&self) -> String {
        self.engine.name()
    }

    /// Returns the file to which the server logs.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.folder.log()
    }

    /// Waits until the server ends unexpectedly, and returns the reason. May be cancelled and called again.
    pub async fn exited(&mut self) -> DevError {
        let reason = describe(self.running.ended().await);
        DevError::Died { engine: self.engine(), reason, log: self.folder.log_since(self.log_start) }
    }

    /// Shuts the server down cleanly and waits for its end; a server that ignores SIGTERM is killed.
    pub async fn stop(self) {
        self.running.stop().await;
        // If the supervisor was killed before its server, the server still runs.
        match self.folder.end_predecessors().await {
            Ok(()) => tracing::info!(engine = self.engine.name(), "database server stopped"),
            Err(error) => tracing::error!(%error, "database server not stopped"),
        }
    }
}

/// Starts the server on a free port and waits until it answers. Also returns where in the log this start begins.
async fn launch(folder: &Folder, engine: &Engine, extra: &[&str]) -> Result<(Supervised, u16, u64), DevError> {
    // Left by a killed server; MySQL trusts a stale pid file when another process has the same id by now.
    for name in ["server.sock", "server.sock.lock", "server.pid"] {
        remove(&folder.data().join(name))?;
    }
    fs::create_dir_all(folder.files()).map_err(DevError::file(folder.files()))?;
    let port = free_port().map_err(DevError::file("127.0.0.1:0"))?;
    let log_start = folder.log_length();
    let mut arguments = engine.server_arguments(folder, port);
    arguments.extend(extra.iter().map(OsString::from));
    let mut running = Supervised::spawn(engine.program(), &arguments, &folder.data(), folder)?;
    let Err(reason) = until_ready(&mut running, port, &folder.data()).await else {
        tracing::info!(engine = engine.name(), port, folder = %folder.path().display(), "database server ready");
        return Ok((running, port, log_start));
    };
    let log = folder.log_since(log_start);
    if log.contains("Address already in use") {
        return Err(DevError::PortTaken { port });
    }
    Err(DevError::Start { engine: engine.name(), reason, log })
}

/// Waits until the server answers. Otherwise returns the problem.
async fn until_ready(running: &mut Supervised, port: u16, data: &Path) -> Result<(), String> {
    let deadline = Instant::now() + READY_LIMIT;
    loop {
        if let Some(status) = running.try_ended() {
            return Err(status.to_string());
        }
        match probe(port, data).await {
            Ok(()) => return Ok(()),
            Err(reason) if Instant::now() >= deadline => return Err(format!("no answer in {READY_LIMIT:?}: {reason}")),
            Err(_) => sleep(POLL).await,
        }
    }
}

/// Returns a port that is free now; another process may still take it before the server does.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Checks that the server on `port` answers a query and serves `data`: another server may have taken the port first.
/// Otherwise returns the problem.
#[expect(clippy::disallowed_methods, reason = "identifies the server before there is a database to connect to")]
async fn probe(port: u16, data: &Path) -> Result<(), String> {
    // The server names a socket relative to its data folder, of no use to a client.
    let options = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(port).user(Some("root"));
    let question = async {
        let mut connection = Conn::new(options.prefer_socket(false)).await?;
        let served: Option<String> = connection.query_first("SELECT @@datadir").await?;
        connection.disconnect().await?;
        Ok::<_, mysql_async::Error>(served.unwrap_or_default())
    };
    match timeout(Duration::from_secs(5), question).await {
        Ok(Ok(served)) if Path::new(&served) == data => Ok(()),
        Ok(Ok(served)) => Err(format!("another server answers, which serves {served}")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it accepts connections but does not answer".to_owned()),
    }
}
