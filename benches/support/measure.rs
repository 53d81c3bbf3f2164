//! A closed loop: every buyer asks, waits for the answer, and asks again.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::Client;

/// A client in a closed loop.
pub(crate) trait Buyer: Send + 'static {
    /// Asks once and waits for the answer, which must be the expected one.
    fn ask(&mut self) -> impl Future<Output = ()> + Send;
}

/// A client that asks the same thing again and again.
pub(crate) struct Same {
    pub(crate) client: Client,
    pub(crate) request: Vec<u8>,
    pub(crate) status: u16,
}

impl Buyer for Same {
    async fn ask(&mut self) {
        self.client.expect(&self.request, self.status).await;
    }
}

/// When an answer came, since the start, and how long it took; in nanoseconds.
struct Sample {
    at: u64,
    took: u64,
}

/// How many lists the samples are written to. One per buyer would be thousands of cold cache lines, a cost that the
/// limit, which has two buyers, does not have; a single one would be fought for.
const LISTS: usize = 16;

/// Buyers who ask until they are told to stop.
pub(crate) struct Crowd {
    shared: Arc<Shared>,
    buyers: JoinSet<()>,
}

struct Shared {
    started: Instant,
    stop: AtomicBool,
    samples: [Mutex<Vec<Sample>>; LISTS],
}

/// Every answer that a crowd got.
pub(crate) struct Log {
    started: Instant,
    samples: Vec<Sample>,
}

/// The figures of a crowd within a window of time.
#[derive(Clone, Copy, Default)]
pub(crate) struct Load {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Crowd {
    /// Each buyer is a task of its own.
    pub(crate) fn start<B: Buyer>(buyers: impl IntoIterator<Item = B>) -> Self {
        let samples = std::array::from_fn(|_| Mutex::default());
        let shared = Arc::new(Shared { started: Instant::now(), stop: AtomicBool::new(false), samples });
        let mut tasks = JoinSet::new();
        for (number, buyer) in buyers.into_iter().enumerate() {
            tasks.spawn(buy(buyer, number % LISTS, Arc::clone(&shared)));
        }
        Self { shared, buyers: tasks }
    }

    /// Waits until every buyer has its last answer.
    pub(crate) async fn stop(self) -> Log {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.buyers.join_all().await;
        let take =
            |list: &Mutex<Vec<Sample>>| std::mem::take(&mut *list.lock().unwrap_or_else(PoisonError::into_inner));
        Log { started: self.shared.started, samples: self.shared.samples.iter().flat_map(take).collect() }
    }
}

async fn buy(mut buyer: impl Buyer, list: usize, shared: Arc<Shared>) {
    let mut asked = shared.started.elapsed();
    while !shared.stop.load(Ordering::Relaxed) {
        buyer.ask().await;
        let answered = shared.started.elapsed();
        let sample = Sample { at: nanos(answered), took: nanos(answered - asked) };
        shared.samples[list].lock().unwrap_or_else(PoisonError::into_inner).push(sample);
        asked = answered;
    }
}

impl Log {
    /// The answers that came within this time.
    pub(crate) fn window(&self, from: Instant, to: Instant) -> Load {
        let [begin, end] = [from, to].map(|moment| nanos(moment - self.started));
        let within = self.samples.iter().filter(|sample| (begin..end).contains(&sample.at));
        let mut took: Vec<u64> = within.map(|sample| sample.took).collect();
        took.sort_unstable();
        let quantile = |share: f64| {
            let position = (took.len() as f64 * share) as usize;
            Duration::from_nanos(took.get(position.min(took.len().saturating_sub(1))).copied().unwrap_or(0))
        };
        let per_second = took.len() as f64 / (to - from).as_secs_f64();
        Load { per_second, p50: quantile(0.5), p99: quantile(0.99) }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
