//! Starts everything, and stops it in the right order.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::app::App;
use crate::config::Config;
use crate::domain::WebhookAuth;
use crate::http::server::Limits;
use crate::{http, telemetry, workers};

/// Connections that may wait to be accepted; the system may allow less.
const BACKLOG: u32 = 8192;
/// Open files beside the connections of clients and of the pool: standard streams, sockets for metrics and name lookups,
/// the runtime's own files, connections outside the pool.
const RESERVED_FILES: usize = 64;

/// How long a scrape may take to finish when the service stops.
const METRICS_DRAIN: Duration = Duration::from_secs(1);

/// How long the start waits for the check of the schema, and for the clients; the database may be unavailable.
const SCHEMA_CHECK_LIMIT: Duration = Duration::from_millis(500);

/// The limits of readers of metrics without a token: a few servers, and their operators.
const METRICS_LIMITS: Limits =
    Limits { connections: 16, streams: 64, idle: Duration::from_secs(75), request: Duration::from_secs(10) };

/// The address on which a service cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// That of the service.
    #[error(transparent)]
    Service(io::Error),
    /// That of the metrics.
    #[error(transparent)]
    Metrics(io::Error),
}

/// A running instance.
pub struct Service {
    app: Arc<App>,
    address: SocketAddr,
    config: Config,
    server: JoinHandle<io::Result<()>>,
    metrics: Option<JoinHandle<io::Result<()>>>,
    workers: TaskTracker,
    stop_server: CancellationToken,
    stop_workers: CancellationToken,
}

impl Service {
    /// Listens, and starts the workers. The database may be unavailable: `/readyz` reports that until it is not.
    ///
    /// # Errors
    /// When it cannot listen on an address.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let listener = listen(config.listen).map_err(StartError::Service)?;
        Self::start_on(listener, config).await
    }

    /// Does the same on this listener. Clients that connected before are served now.
    ///
    /// # Errors
    /// When the listener has no address, or it cannot listen on that of the metrics.
    pub async fn start_on(listener: TcpListener, config: Config) -> Result<Self, StartError> {
        let app = Arc::new(App::new(&config));
        let address = listener.local_addr().map_err(StartError::Service)?;
        let metrics = config.metrics_listen.map(listen).transpose().map_err(StartError::Metrics)?;
        if metrics.is_some() {
            telemetry::record_for_prometheus();
        }
        let _ = timeout(SCHEMA_CHECK_LIMIT, app.checkout.look_at_schema()).await;
        let _ = timeout(SCHEMA_CHECK_LIMIT, app.checkout.read_clients()).await;
        let stop_server = CancellationToken::new();
        let drain = Duration::from_secs(config.drain_seconds);
        let metrics_files = metrics.as_ref().map_or(0, |_| METRICS_LIMITS.connections + 1);
        let limits = limits(config.pool_size + metrics_files);
        let server =
            tokio::spawn(http::server::serve(listener, http::routes(&app), stop_server.clone(), drain, limits));
        let metrics = metrics.map(|listener| serve_metrics(listener, stop_server.clone()));
        let (workers, stop_workers) = (TaskTracker::new(), CancellationToken::new());
        workers::start(&app, &workers, &stop_workers);
        if config.webhook_secrets.is_none() && config.webhook_auth == WebhookAuth::Signature {
            warn!("every client can report payments: HOLDFAST_WEBHOOK_SECRETS is off");
        }
        info!(%address, "serving");
        Ok(Self { app, address, config, server, metrics, workers, stop_server, stop_workers })
    }

    /// Returns the address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The state that handlers and workers share.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Stops gracefully: makes `/readyz` fail, drains requests, stops workers between two steps, closes connections. Takes
    /// at most the configured times and three seconds.
    pub async fn stop(self) {
        info!("stopping");
        self.app.drain();
        sleep(Duration::from_secs(self.config.linger_seconds)).await;
        self.stop_server.cancel();
        self.stop_workers.cancel();
        self.workers.close();
        let deadline = Instant::now() + Duration::from_secs(self.config.drain_seconds + 1);
        until(deadline, "requests were cut off", self.server).await;
        if let Some(metrics) = self.metrics {
            until(deadline, "a scrape was cut off", metrics).await;
        }
        until(deadline, "work was left undone", self.app.finish_work()).await;
        until(deadline, "a worker did not finish its step", self.workers.wait()).await;
        self.app.checkout.close().await;
        info!("stopped");
    }
}

/// Serves metrics without a token.
fn serve_metrics(listener: TcpListener, stop: CancellationToken) -> JoinHandle<io::Result<()>> {
    if let Ok(address) = listener.local_addr() {
        info!(%address, "serving metrics");
    }
    tokio::spawn(http::server::serve(listener, http::open_metrics(), stop, METRICS_DRAIN, METRICS_LIMITS))
}

/// Returns the limits of clients. Every connection is an open file: without a bound, the connections of clients would leave
/// no files for the database. `other_files`: those of the pool, and of readers of metrics.
fn limits(other_files: usize) -> Limits {
    let wanted = Limits::default();
    let open_files = match rlimit::increase_nofile_limit(u64::MAX).or_else(|_| rlimit::Resource::NOFILE.get_soft()) {
        Ok(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        Err(error) => {
            warn!(%error, "the limit of open files is not known");
            return wanted;
        }
    };
    let connections = open_files.saturating_sub(other_files + RESERVED_FILES).clamp(1, wanted.connections);
    match connections == wanted.connections {
        true => info!(open_files, connections, "clients may open this many connections"),
        false => warn!(
            open_files,
            connections,
            wanted = wanted.connections,
            "the hard limit of open files (ulimit -Hn, LimitNOFILE) lets clients open fewer connections than it should"
        ),
    }
    Limits { connections, ..wanted }
}

/// Listens with a queue that is long enough for thousands of clients that connect in the same second.
///
/// # Errors
/// When the address cannot be listened on.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // otherwise a restart fails while connections of the last run are in TIME_WAIT
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn until(deadline: Instant, otherwise: &str, work: impl Future) {
    if timeout_at(deadline, work).await.is_err() {
        warn!("{otherwise}");
    }
}

/// Resolves when the process is asked to stop: SIGTERM, or Ctrl-C.
///
/// # Errors
/// When the signals cannot be listened to.
pub async fn asked_to_stop() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
