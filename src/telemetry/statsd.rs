//! The sink behind metrics-exporter-statsd: lines are collected in datagrams, which a separate thread sends at least every
//! second. (The exporter's own sink sends only when its buffer is full, and fails to start when the server's name does not
//! resolve.) Emitting a metric only appends to a buffer in memory.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cadence::MetricSink;
use metrics_exporter_statsd::StatsdBuilder;
use tracing::{info, warn};

/// The prefix of every name.
const PREFIX: &str = "holdfast";
/// The longest time that a metric waits in the buffer.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// The payload of one Ethernet frame.
const DATAGRAM_BYTES: usize = 1432;
/// How many full datagrams may wait; more are dropped.
const QUEUE: usize = 4096;
/// How often the server's name is looked up again.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// How long the end of the process waits for the last metrics.
const LAST_FLUSH: Duration = Duration::from_secs(1);

/// Whether a StatsD server is configured.
static ON: AtomicBool = AtomicBool::new(false);

/// Whether a StatsD server is configured.
pub(super) fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

enum Message {
    Datagram(Vec<u8>),
    Flush(SyncSender<()>),
}

/// The buffer that metrics are appended to.
struct Sink {
    buffer: Arc<Mutex<Vec<u8>>>,
    queue: SyncSender<Message>,
}

impl MetricSink for Sink {
    fn emit(&self, line: &str) -> io::Result<usize> {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if !buffer.is_empty() && buffer.len() + 1 + line.len() > DATAGRAM_BYTES {
            let full = std::mem::replace(&mut *buffer, Vec::with_capacity(DATAGRAM_BYTES));
            // A full queue means that the server is slow or does not resolve: only its metrics are lost.
            let _ = self.queue.try_send(Message::Datagram(full));
        }
        if !buffer.is_empty() {
            buffer.push(b'\n');
        }
        buffer.extend_from_slice(line.as_bytes());
        Ok(line.len())
    }
}

/// Sends the collected metrics on demand.
#[derive(Debug, Clone)]
pub struct Flusher {
    queue: SyncSender<Message>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Message")
    }
}

impl Flusher {
    /// Sends everything that was emitted before this call; waits a second at most.
    pub fn flush(&self) {
        let (done, finished) = sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = finished.recv_timeout(LAST_FLUSH);
        }
    }
}

/// Installs the recorder of this process and starts the sending thread.
pub(super) fn start(server: &str) -> Flusher {
    let (queue, messages) = sync_channel(QUEUE);
    let buffer = Arc::new(Mutex::new(Vec::with_capacity(DATAGRAM_BYTES)));
    let sink = Sink { buffer: Arc::clone(&buffer), queue: queue.clone() };
    let recorder = StatsdBuilder::from("", 0).with_sink(sink).build(Some(PREFIX)).expect("a sink of our own is valid");
    if metrics::set_global_recorder(recorder).is_err() {
        warn!("metrics already have a recorder in this process; this one is not used");
    }
    ON.store(true, Ordering::Relaxed);
    let sender = Sender { server: server.to_owned(), target: None, resolved_at: None };
    std::thread::Builder::new()
        .name("statsd".to_owned())
        .spawn(move || send_all(sender, &messages, &buffer))
        .expect("the system can start one more thread");
    Flusher { queue }
}

fn send_all(mut sender: Sender, messages: &Receiver<Message>, buffer: &Mutex<Vec<u8>>) {
    let mut next_flush = Instant::now() + FLUSH_EVERY;
    loop {
        let waiter = match messages.recv_timeout(next_flush.saturating_duration_since(Instant::now())) {
            Ok(Message::Datagram(datagram)) => {
                sender.send(&datagram);
                continue;
            }
            Ok(Message::Flush(waiter)) => Some(waiter),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let rest = std::mem::take(&mut *buffer.lock().unwrap_or_else(PoisonError::into_inner));
        if !rest.is_empty() {
            sender.send(&rest);
        }
        if let Some(waiter) = waiter {
            let _ = waiter.try_send(());
        }
        next_flush = Instant::now() + FLUSH_EVERY;
    }
}

/// The socket and its target, which is resolved again from time to time.
struct Sender {
    server: String,
    target: Option<(UdpSocket, SocketAddr)>,
    resolved_at: Option<Instant>,
}

impl Sender {
    fn send(&mut self, datagram: &[u8]) {
        if self.resolved_at.is_none_or(|at| at.elapsed() > RESOLVE_EVERY) {
            self.resolve();
        }
        if let Some((socket, address)) = &self.target {
            let _ = socket.send_to(datagram, address);
        }
    }

    fn resolve(&mut self) {
        let first = self.resolved_at.is_none();
        match open(&self.server) {
            Ok((socket, address)) => {
                if self.target.as_ref().is_none_or(|(_, before)| *before != address) {
                    info!(server = self.server, %address, "metrics go to StatsD");
                }
                self.target = Some((socket, address));
            }
            Err(error) if first || self.target.is_some() => {
                warn!(server = self.server, %error, "the StatsD server does not resolve; metrics are dropped");
                self.target = None;
            }
            Err(_) => {}
        }
        self.resolved_at = Some(Instant::now());
    }
}

fn open(server: &str) -> io::Result<(UdpSocket, SocketAddr)> {
    let address = server
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
    let local = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(local)?;
    // A datagram that does not fit into the socket's buffer is dropped; the thread does not wait.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink() -> (Sink, Receiver<Message>) {
        let (queue, messages) = sync_channel(1);
        (Sink { buffer: Arc::default(), queue }, messages)
    }

    #[test]
    fn a_full_queue_drops_metrics_and_never_waits() {
        let (sink, messages) = sink();
        let line = "x".repeat(DATAGRAM_BYTES / 2);
        for _ in 0..100 {
            sink.emit(&line).expect("emitting never fails");
        }
        assert!(matches!(messages.try_recv(), Ok(Message::Datagram(_))));
        assert!(messages.try_recv().is_err(), "only one datagram fits into this queue");
    }

    #[test]
    fn lines_share_datagrams_that_fit_into_a_frame() {
        let (sink, messages) = sink();
        while messages
            .try_recv()
            .map(|message| match message {
                Message::Datagram(bytes) => {
                    assert!(bytes.len() <= DATAGRAM_BYTES && bytes.len() > DATAGRAM_BYTES - 20, "{}", bytes.len());
                    assert!(!bytes.starts_with(b"\n") && !bytes.ends_with(b"\n"));
                }
                Message::Flush(_) => unreachable!("this test does not flush"),
            })
            .is_err()
        {
            sink.emit("holdfast.a:1|c").expect("emitting never fails");
        }
    }
}
