//! An accepted connection: the limits on the time of its requests, and on how long it may be idle.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::activity::Activity;
use super::limits::Limits;
use super::places::Place;

/// The first bytes of every HTTP/2 connection (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The bounds of the requests that one connection of HTTP/2 may have under way.
const FEWEST_STREAMS: u32 = 16;
const MOST_STREAMS: u32 = 100;

/// The protocol of a connection, as far as its first bytes show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// This many bytes of the preface of HTTP/2 have been read, and nothing else.
    Preface(usize),
    Http1,
    Http2,
}

impl Protocol {
    fn after(self, bytes: &[u8]) -> Self {
        let Self::Preface(known) = self else { return self };
        let rest = &HTTP2_PREFACE[known..];
        if bytes.starts_with(rest) {
            Self::Http2
        } else if rest.starts_with(bytes) {
            Self::Preface(known + bytes.len())
        } else {
            Self::Http1
        }
    }
}

/// An accepted connection.
pub(super) struct Connection {
    stream: TcpStream,
    limits: Limits,
    activity: Arc<Activity>,
    protocol: Protocol,
    /// When the HTTP/1 request that has no response yet began.
    asking_since: Option<Instant>,
    /// When a byte was last written, or read as HTTP/1. Bytes of HTTP/2 do not count when read: they may be a PING.
    active_at: Instant,
    /// Ends when the connection may have been idle for too long. It is reset only then, not by every request.
    nap: Pin<Box<Sleep>>,
    /// The client has closed the connection before a request had its response. The HTTP library continues until the connection
    /// fails once more, and then drops the handler, so that the request leaves its queue.
    gone: bool,
    place: Place,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, limits: Limits, place: Place) -> Self {
        let activity = Arc::clone(place.activity());
        let (active_at, nap) = (activity.accepted_at(), Box::pin(sleep(limits.idle)));
        let protocol = Protocol::Preface(0);
        Self { stream, limits, activity, protocol, asking_since: None, active_at, nap, gone: false, place }
    }

    /// Returns its activity.
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Returns how many requests of HTTP/2 it may have under way: fewer, the more connections are open. A client holds further
    /// requests back, which costs the server nothing; refused requests would be sent again.
    pub(super) fn streams(&self) -> u32 {
        let share = self.limits.streams / self.place.taken();
        u32::try_from(share).unwrap_or(u32::MAX).clamp(FEWEST_STREAMS, MOST_STREAMS)
    }

    /// Returns when a connection that reads nothing has been idle for too long. Of HTTP/2 only requests count: other frames
    /// would keep an unused connection open.
    fn idle_until(&self) -> Instant {
        let since = match self.protocol {
            Protocol::Http2 => self.activity.idle_since().unwrap_or_else(Instant::now),
            Protocol::Http1 | Protocol::Preface(_) => self.active_at,
        };
        since + self.limits.idle
    }

    /// Becomes ready when nothing could be read for too long, or when the place is needed.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.activity.wake_when_place_needed(context.waker());
        if self.activity.gives_place() {
            return Poll::Ready(());
        }
        loop {
            ready!(self.nap.as_mut().poll(context));
            let until = self.idle_until();
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            self.nap.as_mut().reset(until);
        }
    }

    /// Becomes ready when the client has read nothing for too long, or when the place is needed.
    fn poll_unread(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.activity.wake_when_place_needed(context.waker());
        let until = self.active_at + self.limits.idle;
        if self.activity.gives_place() || until <= Instant::now() {
            return Poll::Ready(());
        }
        if until < self.nap.deadline() || self.nap.is_elapsed() {
            self.nap.as_mut().reset(until);
        }
        self.nap.as_mut().poll(context)
    }

    /// Handles the result of a write; the wait for a client that does not read is bounded.
    fn written<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.asking_since = None;
        if polled.is_pending() {
            ready!(self.poll_unread(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.active_at = Instant::now();
        polled
    }

    /// Records that `bytes` were read; fails if the client is too slow.
    fn received(&mut self, bytes: &[u8]) -> io::Result<()> {
        let now = Instant::now();
        self.protocol = self.protocol.after(bytes);
        self.activity.record_read();
        let is_late = match self.protocol {
            // checked here too: a client that sends without a pause leaves no chance to `poll_idle`
            Protocol::Http2 => self.activity.idle_since().is_some_and(|since| now - since > self.limits.idle),
            Protocol::Http1 | Protocol::Preface(_) => {
                self.active_at = now;
                now - *self.asking_since.get_or_insert(now) > self.limits.request
            }
        };
        if is_late { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
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
            // without a request this is the normal end; an incomplete request is an error
            return Poll::Ready(self.asking_since.map_or(Ok(()), |_| Err(io::ErrorKind::TimedOut.into())));
        }
        if buffer.filled().len() > before {
            self.received(&buffer.filled()[before..])?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_is_known_however_its_first_bytes_are_cut() {
        let read = |parts: &[&[u8]]| parts.iter().fold(Protocol::Preface(0), |known, part| known.after(part));
        for cut in 1..24 {
            let (begin, rest) = HTTP2_PREFACE.split_at(cut);
            assert_eq!(read(&[begin]), Protocol::Preface(cut));
            assert_eq!(read(&[begin, &[rest, b"more"].concat()]), Protocol::Http2);
            assert_eq!(read(&[begin, b"?"]), Protocol::Http1);
        }
        assert_eq!(read(&[b"GET / HTTP/1.1", HTTP2_PREFACE]), Protocol::Http1);
    }
}
