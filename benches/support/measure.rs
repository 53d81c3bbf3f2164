//! A closed loop: every buyer sends a request, waits for the response, and sends the next one.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::Client;

/// A client in a closed loop.
pub(crate) trait Buyer: Send + 'static {
    /// Sends one request, or one flow of requests, and waits for the expected response.
    fn ask(&mut self) -> impl Future<Output = ()> + Send;
}

/// A client that repeats one request.
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

/// One response: its time since the start and its latency, in nanoseconds.
struct Sample {
    at: u64,
    took: u64,
}

/// Number of lists for the samples. One list per buyer would touch thousands of cold cache lines, a cost that the limit with
/// its two buyers does not have; a single list would be contended.
const LISTS: usize = 16;

/// Running buyers, until [`Crowd::stop`].
pub(crate) struct Crowd {
    shared: Arc<Shared>,
    buyers: JoinSet<()>,
}

struct Shared {
    started: Instant,
    stop: AtomicBool,
    samples: [Mutex<Vec<Sample>>; LISTS],
}

/// All responses that a crowd got.
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
    /// Starts a task for each buyer.
    pub(crate) fn start<B: Buyer>(buyers: impl IntoIterator<Item = B>) -> Self {
        let samples = std::array::from_fn(|_| Mutex::default());
        let shared = Arc::new(Shared { started: Instant::now(), stop: AtomicBool::new(false), samples });
        let mut tasks = JoinSet::new();
        for (number, buyer) in buyers.into_iter().enumerate() {
            tasks.spawn(buy(buyer, number % LISTS, Arc::clone(&shared)));
        }
        Self { shared, buyers: tasks }
    }

    /// Stops the buyers and waits for their last responses.
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
    /// Returns the figures of the responses within this window.
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
