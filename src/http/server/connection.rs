//! An accepted connection: its socket, and the state that its reader, its requests and the listener share.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::Limits;
use super::listener::Place;

/// The first bytes of every HTTP/2 connection (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The bounds of the requests that one connection of HTTP/2 may have under way.
const FEWEST_STREAMS: u32 = 16;
const MOST_STREAMS: u32 = 100;

/// The activity on one connection.
#[derive(Debug)]
pub(super) struct Activity {
    accepted_at: Instant,
    /// Requests that have begun and have no response yet.
    under_way: AtomicUsize,
    /// When the last request got its response, in microseconds after `accepted_at`.
    idle_from_us: AtomicU64,
    /// Bytes have been read while no request was under way, and no request has begun since.
    read_while_idle: AtomicBool,
    /// The place is needed: the connection ends unless a request begins first.
    place_needed: AtomicBool,
    /// Wakes the task of the connection.
    reader: AtomicWaker,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            accepted_at: Instant::now(),
            under_way: AtomicUsize::new(0),
            idle_from_us: AtomicU64::new(0),
            read_while_idle: AtomicBool::new(false),
            place_needed: AtomicBool::new(false),
            reader: AtomicWaker::new(),
        }
    }

    /// Begins a request, which is under way until the returned value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        let read_while_idle = self.read_while_idle.load(Ordering::Relaxed);
        if read_while_idle {
            self.read_while_idle.store(false, Ordering::Relaxed);
        }
        self.place_needed.store(false, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay { activity: Arc::clone(self), pipelined: !read_while_idle }
    }

    fn end(&self) {
        let idle_from = u64::try_from(self.accepted_at.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.idle_from_us.store(idle_from, Ordering::Relaxed);
        self.under_way.fetch_sub(1, Ordering::Release);
    }

    /// Whether a request is under way.
    fn is_busy(&self) -> bool {
        self.under_way.load(Ordering::Acquire) > 0
    }

    /// Returns since when no request has been under way; `None` while one is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let since = || self.accepted_at + Duration::from_micros(self.idle_from_us.load(Ordering::Relaxed));
        (!self.is_busy()).then(since)
    }

    /// Whether any request has had its response.
    pub(super) fn has_answered(&self) -> bool {
        self.idle_from_us.load(Ordering::Relaxed) > 0
    }

    /// Ends the connection unless a request begins first.
    pub(super) fn ask_for_place(&self) {
        self.place_needed.store(true, Ordering::Relaxed);
        self.reader.wake();
    }

    fn gives_place(&self) -> bool {
        self.place_needed.load(Ordering::Relaxed) && !self.is_busy()
    }
}

/// A request that is under way until this value is dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    activity: Arc<Activity>,
    pipelined: bool,
}

impl UnderWay {
    /// Whether it was read together with an earlier request of the connection, or while that was under way.
    pub(super) fn is_pipelined(&self) -> bool {
        self.pipelined
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.activity.end();
    }
}

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
        let (active_at, nap) = (activity.accepted_at, Box::pin(sleep(limits.idle)));
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
        self.activity.reader.register(context.waker());
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
        self.activity.reader.register(context.waker());
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
        if !self.activity.is_busy() {
            self.activity.read_while_idle.store(true, Ordering::Relaxed);
        }
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
    fn a_request_is_pipelined_unless_it_was_read_while_none_was_under_way() {
        let activity = Arc::new(Activity::new());
        let read = || activity.read_while_idle.store(true, Ordering::Relaxed);
        read();
        let first = activity.begin();
        assert!(!first.is_pipelined() && activity.idle_since().is_none());
        drop(first);
        assert!(activity.idle_since().is_some());
        assert!(activity.begin().is_pipelined(), "it was read together with the first");
        read();
        assert!(!activity.begin().is_pipelined(), "it was read after the second had its response");
    }

    #[test]
    fn a_request_that_begins_keeps_the_place_of_its_connection() {
        let activity = Arc::new(Activity::new());
        activity.ask_for_place();
        assert!(activity.gives_place());
        let request = activity.begin();
        activity.ask_for_place();
        assert!(!activity.gives_place());
        drop(request);
        assert!(activity.gives_place());
        drop(activity.begin());
        assert!(!activity.gives_place());
    }

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
