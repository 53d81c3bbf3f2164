//! The accept loop: each connection is served by its own task until it ends or the service stops.
//!
//! It replaces the loop of the framework, which wraps every connection in two locks, three cancellations and a boxed future
//! per request. The endpoint and everything in it are still the framework's.

mod activity;
mod connection;
mod cors;
pub mod gate;
mod limits;
mod listener;
pub(crate) mod parameters;
mod places;
pub(crate) mod rates;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use poem::http::Version;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Endpoint, Request, Response};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use self::connection::Connection;
pub use self::limits::Limits;
use self::listener::Connections;

/// The state that all connections share.
struct Server<E> {
    http: Builder<TokioExecutor>,
    endpoint: Arc<E>,
    local: LocalAddr,
}

/// Serves `endpoint` until `stop`. Requests that are under way then may take as long as `drain`; connections that are still
/// open after that are cut off.
///
/// # Errors
/// When the socket has no address.
pub async fn serve<E>(
    listener: TcpListener,
    endpoint: E,
    stop: CancellationToken,
    drain: Duration,
    limits: Limits,
) -> io::Result<()>
where
    E: Endpoint<Output = Response> + 'static,
{
    let local = LocalAddr(listener.local_addr()?.into());
    let mut http = Builder::new(TokioExecutor::new());
    // copying a small body behind its head is cheaper than sending both separately
    http.http1().writev(false);
    let server = Arc::new(Server { http, endpoint: Arc::new(endpoint), local });
    let mut connections = Connections::on(listener, limits);
    let (stopping, stopped) = watch::channel(());
    let mut served = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            (connection, remote) = connections.accept() => {
                let remote = RemoteAddr(remote.into());
                served.spawn(Arc::clone(&server).connection(connection, remote, stopped.clone()));
            }
            Some(_) = served.join_next() => {}
        }
    }
    drop((connections, stopping));
    if timeout(drain, async { while served.join_next().await.is_some() {} }).await.is_err() {
        served.shutdown().await;
    }
    Ok(())
}

impl<E: Endpoint<Output = Response> + 'static> Server<E> {
    /// Serves one connection until it ends; once the service stops, it ends after the request that is under way.
    async fn connection(self: Arc<Self>, connection: Connection, remote: RemoteAddr, mut stopped: watch::Receiver<()>) {
        let activity = Arc::clone(connection.activity());
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let under_way = activity.begin();
            // each stream of HTTP/2 is its own task
            let waits_its_turn = under_way.is_pipelined() && request.version() < Version::HTTP_2;
            let endpoint = Arc::clone(&self.endpoint);
            let request = Request::from((request, self.local.clone(), remote.clone(), Scheme::HTTP));
            async move {
                // Otherwise requests that were read together would all be served before any other task of this thread.
                if waits_its_turn {
                    yield_now().await;
                }
                let response = endpoint.call(request).await.unwrap_or_else(poem::Error::into_response);
                drop(under_way);
                Ok::<hyper::Response<_>, Infallible>(response.into())
            }
        });
        let mut http = self.http.clone();
        http.http2().max_concurrent_streams(connection.streams());
        let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(connection), service));
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            _ = stopped.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(error, "a connection failed");
        }
    }
}
