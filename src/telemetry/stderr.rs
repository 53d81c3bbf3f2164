//! Standard error, written by a separate thread. A pipe that is not read blocks its writer, which must not be a thread
//! that serves requests: lines wait in a bounded queue. Those that do not fit, or that cannot be written (a file on a full
//! disk), are dropped and counted.

use std::io::{self, Write};
use std::iter;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tracing::warn;

use super::metrics::log_dropped;

/// How often the log reports dropped lines while it is read or written too slowly.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// The size of the queue in bytes; each line counts [`LINE_BYTES`] in addition to its text.
const QUEUE_BYTES: usize = 8 * 1024 * 1024;
/// The approximate memory of a queued line in addition to its text.
const LINE_BYTES: usize = 64;
/// The size of an atomic write to a pipe (`PIPE_BUF`): lines of several processes that share a pipe are not mixed.
const PIECE_BYTES: usize = 4096;
/// How long the end of the process waits for the last lines.
const LAST_FLUSH: Duration = Duration::from_secs(1);

static STDERR: OnceLock<Lines> = OnceLock::new();

/// Standard error of this process; the thread that writes it starts with the first call.
pub(super) fn stderr() -> &'static Lines {
    STDERR.get_or_init(|| Lines::written_to(io::stderr()))
}

/// When dropped, waits until the queued lines are written; a second at most.
#[derive(Debug)]
pub struct StderrGuard;

impl Drop for StderrGuard {
    fn drop(&mut self) {
        if let Some(lines) = STDERR.get() {
            lines.flush_all();
        }
    }
}

enum Message {
    Line(Box<[u8]>),
    Flush(SyncSender<()>),
}

/// The sending end of the queue.
pub(super) struct Lines {
    queue: Sender<Message>,
    load: Arc<Load>,
}

/// The bytes in the queue, and the lines that were dropped and not reported yet.
#[derive(Default)]
struct Load {
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

impl Load {
    /// Counts lines that were not written.
    fn drop_lines(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
        log_dropped(lines);
    }
}

impl Lines {
    /// Creates a queue, and a thread that writes its lines to `writer`.
    fn written_to(writer: impl Write + Send + 'static) -> Self {
        let (queue, messages) = channel();
        let load = Arc::<Load>::default();
        let lines = Self { queue, load: Arc::clone(&load) };
        std::thread::Builder::new()
            .name("stderr".to_owned())
            .spawn(move || write_all(writer, &messages, &load))
            .expect("the system can start one more thread");
        lines
    }

    /// Adds a line, with its line break, unless the queue is full.
    pub(super) fn add(&self, line: &[u8]) {
        let bytes = line.len() + LINE_BYTES;
        let waiting = self.load.bytes.fetch_add(bytes, Ordering::Relaxed);
        if waiting + bytes > QUEUE_BYTES || self.queue.send(Message::Line(line.into())).is_err() {
            self.load.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.load.drop_lines(1);
        }
    }

    /// Waits until everything that was added before is written; a second at most.
    fn flush_all(&self) {
        let (done, finished) = sync_channel(1);
        if self.queue.send(Message::Flush(done)).is_ok() {
            let _ = finished.recv_timeout(LAST_FLUSH);
        }
    }
}

impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes whole lines, short ones together.
fn write_all(mut writer: impl Write, messages: &Receiver<Message>, load: &Load) {
    let mut piece = Piece::default();
    while let Ok(first) = messages.recv() {
        for message in iter::once(first).chain(messages.try_iter()) {
            match message {
                Message::Line(line) => {
                    if piece.text.len() + line.len() > PIECE_BYTES {
                        piece.write_to(&mut writer, load);
                    }
                    piece.text.extend_from_slice(&line);
                    piece.load += line.len() + LINE_BYTES;
                    piece.lines += 1;
                }
                Message::Flush(done) => {
                    piece.write_to(&mut writer, load);
                    let _ = done.try_send(());
                }
            }
        }
        piece.write_to(&mut writer, load);
    }
}

/// Lines that are written together.
#[derive(Default)]
struct Piece {
    text: Vec<u8>,
    load: usize,
    lines: u64,
    /// Whether the last write failed, maybe in the middle of a line.
    is_cut: bool,
    /// When dropped lines were last reported.
    reported: Option<Instant>,
}

impl Piece {
    /// Writes the lines, or counts them as dropped. Reports dropped lines after a write that succeeded.
    fn write_to(&mut self, writer: &mut impl Write, load: &Load) {
        if self.lines == 0 {
            return;
        }
        let is_written = self.try_to_write(writer).is_ok();
        if !is_written {
            load.drop_lines(self.lines);
        }
        self.is_cut = !is_written;
        self.text.clear();
        self.lines = 0;
        let waiting = load.bytes.fetch_sub(self.load, Ordering::Relaxed) - self.load;
        self.load = 0;
        // this also holds while the reader stays slower than the log
        let is_due = self.reported.is_none_or(|reported| reported.elapsed() >= REPORT_EVERY);
        let has_room = waiting + PIECE_BYTES < QUEUE_BYTES;
        if is_written && (waiting == 0 || is_due && has_room) && report_dropped(load) {
            self.reported = Some(Instant::now());
        }
    }

    fn try_to_write(&self, writer: &mut impl Write) -> io::Result<()> {
        if self.is_cut {
            writer.write_all(b"\n")?;
        }
        writer.write_all(&self.text)
    }
}

/// Logs how many lines were dropped. Returns whether there were any.
fn report_dropped(load: &Load) -> bool {
    let lines = load.dropped.swap(0, Ordering::Relaxed);
    if lines > 0 {
        warn!(lines, "log lines were dropped because standard error was not read in time or could not be written");
    }
    lines > 0
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A writer whose pieces wait until the test receives them.
    struct Pipe(SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
            self.0.send(piece.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(piece.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn dropped(lines: &Lines) -> u64 {
        lines.load.dropped.load(Ordering::Relaxed)
    }

    #[test]
    fn lines_that_do_not_fit_are_dropped_and_those_before_them_are_written_in_order() {
        let (pipe, pieces) = sync_channel(0);
        let lines = Lines::written_to(Pipe(pipe));
        let (text, mut added) = ("x".repeat(1000), 0);
        while dropped(&lines) == 0 {
            lines.add(format!("{added} {text}\n").as_bytes());
            added += 1;
        }
        assert!(lines.load.bytes.load(Ordering::Relaxed) <= QUEUE_BYTES);
        assert!(added > QUEUE_BYTES / 1100);
        assert_eq!(dropped(&lines), 1, "the last one");
        let mut written = String::new();
        while written.lines().count() < added - 1 {
            let piece = pieces.recv().expect("the thread runs");
            assert!(piece.len() <= PIECE_BYTES && piece.ends_with(b"\n"), "whole lines");
            written.push_str(&String::from_utf8(piece).expect("text"));
        }
        let numbers = written.lines().map(|line| line.split(' ').next().and_then(|number| number.parse().ok()));
        assert!(numbers.eq((0..added - 1).map(Some)));
    }

    #[test]
    fn a_line_that_is_longer_than_a_piece_is_written_whole() {
        let (pipe, pieces) = sync_channel(0);
        let lines = Lines::written_to(Pipe(pipe));
        let long = [vec![b'x'; PIECE_BYTES * 3], vec![b'\n']].concat();
        for _ in 0..2 {
            lines.add(&long);
            assert_eq!(pieces.recv().expect("the thread runs"), long);
        }
    }

    #[test]
    fn a_flush_waits_for_what_was_added_and_not_for_a_full_pipe() {
        let (pipe, pieces) = sync_channel(1);
        let lines = Lines::written_to(Pipe(pipe));
        lines.add(b"first\n");
        lines.flush_all();
        assert_eq!(pieces.try_recv().expect("it was written"), b"first\n");
        for _ in 0..3 {
            lines.add(&[b'x'; PIECE_BYTES]);
        }
        lines.flush_all();
        assert!(lines.load.bytes.load(Ordering::Relaxed) > 0, "it does not wait for ever");
    }

    /// A writer on a disk with little room.
    #[derive(Clone)]
    struct Disk(Arc<Mutex<(usize, String)>>);

    impl Write for Disk {
        fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
            let (room, text) = &mut *self.0.lock().expect("no panic");
            let fits = piece.len().min(*room);
            if fits == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *room -= fits;
            text.push_str(str::from_utf8(&piece[..fits]).expect("text"));
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_reported_after_the_next_write() {
        let disk = Disk(Arc::new(Mutex::new((3, String::new()))));
        let lines = Lines::written_to(disk.clone());
        for _ in 0..10 {
            lines.add(b"dropped\n");
        }
        lines.flush_all();
        assert_eq!(dropped(&lines), 10, "each line counts, and nothing is reported that cannot be written");
        assert_eq!(lines.load.bytes.load(Ordering::Relaxed), 0, "they leave the queue");
        disk.0.lock().expect("no panic").0 = 1000;
        lines.add(b"written\n");
        lines.flush_all();
        assert_eq!(dropped(&lines), 0, "they are reported");
        assert_eq!(disk.0.lock().expect("no panic").1, "dro\nwritten\n", "a whole line follows one that was cut");
    }
}
