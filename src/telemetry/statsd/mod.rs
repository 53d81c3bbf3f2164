//! The sink behind metrics-exporter-statsd. The exporter writes each value as a line; the sink adds it to the series of its metric and
//! labels in memory, and a separate thread sends one line for each series once a second, in the configured style. (The exporter's own
//! sink sends each line, only when its buffer is full, knows only DogStatsD's tags, and fails to start when the server's name does not
//! resolve; its timers are whole milliseconds.)

mod sender;
mod series;
mod style;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cadence::MetricSink;
use metrics_exporter_statsd::{StatsdBuilder, StatsdRecorder};

use self::sender::Sender;
use self::series::{Series, lines};
pub use self::style::StatsdStyle;
use super::metrics::statsd_dropped;

/// How often lines are sent.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// How long the end of the process waits for the last metrics.
const LAST_FLUSH: Duration = Duration::from_secs(1);

/// What was recorded, and how much of it was dropped.
#[derive(Debug, Default)]
struct Recorded {
    series: Mutex<Series>,
    dropped: AtomicU64,
}

impl Recorded {
    fn series(&self) -> MutexGuard<'_, Series> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Sink(Arc<Recorded>);

impl MetricSink for Sink {
    fn emit(&self, line: &str) -> io::Result<usize> {
        if !self.0.series().add(line) {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }
}

/// Sends the collected metrics on demand.
#[derive(Debug, Clone)]
pub struct Flusher {
    requests: SyncSender<SyncSender<()>>,
}

impl Flusher {
    /// Sends everything that was recorded before this call; waits a second at most.
    pub fn flush(&self) {
        let (done, finished) = sync_channel(1);
        if self.requests.try_send(done).is_ok() {
            let _ = finished.recv_timeout(LAST_FLUSH);
        }
    }
}

/// Creates a recorder, and starts the thread that sends what it records.
pub(super) fn start(server: &str, style: StatsdStyle) -> (StatsdRecorder, Flusher) {
    let recorded = Arc::<Recorded>::default();
    let sink = Sink(Arc::clone(&recorded));
    let recorder = StatsdBuilder::from("", 0).with_sink(sink).build(None).expect("a sink of our own is valid");
    let (requests, requested) = sync_channel(1);
    let sender = Sender::new(server);
    std::thread::Builder::new()
        .name("statsd".to_owned())
        .spawn(move || send_all(style, sender, &requested, &recorded))
        .expect("the system can start one more thread");
    (recorder, Flusher { requests })
}

fn send_all(style: StatsdStyle, mut sender: Sender, requested: &Receiver<SyncSender<()>>, recorded: &Recorded) {
    let mut next_flush = Instant::now() + FLUSH_EVERY;
    loop {
        let waiter = match requested.recv_timeout(next_flush.saturating_duration_since(Instant::now())) {
            Ok(waiter) => Some(waiter),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        // recorded as all others, so that it is among what is sent now
        statsd_dropped(recorded.dropped.swap(0, Ordering::Relaxed));
        let series = recorded.series().take();
        let lost = sender.send(&lines(style, &series));
        recorded.dropped.fetch_add(lost, Ordering::Relaxed);
        if let Some(waiter) = waiter {
            let _ = waiter.try_send(());
        }
        next_flush = Instant::now() + FLUSH_EVERY;
    }
}

#[cfg(test)]
mod tests {
    use super::series::MOST_SERIES;
    use super::*;

    #[test]
    fn what_the_sink_has_no_room_for_is_counted_and_nothing_waits() {
        let recorded = Arc::<Recorded>::default();
        let sink = Sink(Arc::clone(&recorded));
        for number in 0..MOST_SERIES + 7 {
            sink.emit(&format!("holdfast_db_given_up_total:1|c|#transaction:{number}")).expect("emitting never fails");
        }
        assert_eq!(recorded.dropped.load(Ordering::Relaxed), 7);
        assert_eq!(recorded.series().take().len(), MOST_SERIES);
    }
}
