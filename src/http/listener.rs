//! The listening socket: answers leave at once, a failed accept is not the end, and nobody holds a connection by sending
//! a request byte by byte.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use poem::http::uri::Scheme;
use poem::listener::Acceptor;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;

/// Connections that may be open at once; more wait to be accepted.
const CONNECTIONS: usize = 20_000;
/// How long a client may take from the first byte of a request to its last. A read after that fails; who sends nothing at
/// all is closed for being idle.
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// How long to wait after a failed accept: out of file descriptors is the common reason, and closing takes a moment.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections for the framework, which on its own leaves Nagle's algorithm on and spins on accept errors.
pub struct Connections {
    listener: TcpListener,
    local: LocalAddr,
    places: Arc<Semaphore>,
}

impl Connections {
    /// On this socket.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn on(listener: TcpListener) -> io::Result<Self> {
        let local = LocalAddr(listener.local_addr()?.into());
        Ok(Self { listener, local, places: Arc::new(Semaphore::new(CONNECTIONS)) })
    }
}

impl Acceptor for Connections {
    type Io = Connection;

    fn local_addr(&self) -> Vec<LocalAddr> {
        vec![self.local.clone()]
    }

    async fn accept(&mut self) -> io::Result<(Connection, LocalAddr, RemoteAddr, Scheme)> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
        loop {
            match self.listener.accept().await {
                Ok((stream, remote)) => {
                    // Without it small answers wait for the acknowledgement of those before them.
                    let _ = stream.set_nodelay(true);
                    let stream = Connection { stream, asking_since: None, gone: false, _place: place };
                    return Ok((stream, self.local.clone(), RemoteAddr(remote.into()), Scheme::HTTP));
                }
                Err(error) => {
                    warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// An accepted connection.
pub struct Connection {
    stream: TcpStream,
    /// When the request began that has no answer yet.
    asking_since: Option<Instant>,
    /// The client has closed while a request had no answer yet. The framework goes on with a connection that has failed,
    /// until that fails again, and then drops the handler: a buyer who has gone leaves his queue.
    gone: bool,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            let since = *self.asking_since.get_or_insert_with(Instant::now);
            if since.elapsed() > REQUEST_TIME {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        } else if buffer.remaining() > 0 && polled.is_ready() {
            self.gone = self.asking_since.is_some();
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.asking_since = None;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.gone {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.asking_since = None;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
