//! The listening socket: answers leave at once, a failed accept is not the end, and nobody holds a connection by sending
//! nothing, or a request byte by byte.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};
use tracing::warn;

/// Connections that may be open at once; more wait to be accepted.
const CONNECTIONS: usize = 20_000;
/// A connection on which nothing happens for so long is closed.
const IDLE: Duration = Duration::from_secs(75);
/// How long a client may take from the first byte of a request to its last. A read after that fails; who sends nothing at
/// all is closed for being idle.
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// How long to wait after a failed accept: out of file descriptors is the common reason, and closing takes a moment.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections.
pub(super) struct Connections {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Connections {
    /// On this socket.
    pub(super) fn on(listener: TcpListener) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(CONNECTIONS)) }
    }

    /// The next one, and where it comes from. Nothing is lost when nobody waits for it any more.
    pub(super) async fn accept(&self) -> (Connection, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("it is never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, remote)) => {
                    // Without it small answers wait for the acknowledgement of those before them.
                    let _ = stream.set_nodelay(true);
                    return (Connection::new(stream, place), remote);
                }
                Err(error) => {
                    warn!(%error, "a connection could not be accepted");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// An accepted connection.
pub(super) struct Connection {
    stream: TcpStream,
    /// When the request began that has no answer yet.
    asking_since: Option<Instant>,
    /// It speaks HTTP/2: what it sends need not be a request, and need not be answered. `None`: it has said nothing yet.
    multiplexed: Option<bool>,
    /// When a byte was last read or written.
    active_at: Instant,
    /// Ends when the connection may have been idle for too long, and is set anew only then, not by every request.
    nap: Pin<Box<Sleep>>,
    /// The client has closed while a request had no answer yet. The HTTP library goes on with a connection that has
    /// failed, until that fails again, and then drops the handler: a buyer who has gone leaves his queue.
    gone: bool,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit) -> Self {
        let (active_at, nap) = (Instant::now(), Box::pin(sleep(IDLE)));
        Self { stream, asking_since: None, multiplexed: None, active_at, nap, gone: false, _place: place }
    }

    /// Ready when nothing has happened for too long.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.nap.as_mut().poll(context));
            let until = self.active_at + IDLE;
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            self.nap.as_mut().reset(until);
        }
    }

    /// What came of writing; nobody waits for ever for a client that does not read.
    fn written<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.asking_since = None;
        if polled.is_pending() {
            return self.poll_idle(context).map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        self.active_at = Instant::now();
        polled
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if polled.is_pending() {
            ready!(self.poll_idle(context));
            // a client that asks for nothing sees the end; one that has not finished asking has failed
            return Poll::Ready(self.asking_since.map_or(Ok(()), |_| Err(io::ErrorKind::TimedOut.into())));
        }
        if buffer.filled().len() > before {
            let now = Instant::now();
            self.active_at = now;
            let first = &buffer.filled()[before..];
            let multiplexed = *self.multiplexed.get_or_insert_with(|| first.starts_with(b"PRI "));
            let since = *self.asking_since.get_or_insert(now);
            if now - since > REQUEST_TIME && !multiplexed {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        } else if buffer.remaining() > 0 {
            self.gone = self.asking_since.is_some();
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(polled, context)
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
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
