//! 15,000 buyers for 1,000 units at once: every request is answered, and every unit is sold once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Plan;
use crate::client::{Client, get, hold};
use crate::database::Ground;
use crate::report::{self, Bounds, Target};
use crate::service::Served;

/// Buyers at once.
pub(crate) const BUYERS: usize = 15_000;
/// What is sold to them.
pub(crate) const UNITS: usize = 1_000;
/// Connections that they share.
pub(crate) const CONNECTIONS: usize = 2_000;

/// How a crowd was answered.
pub(crate) struct Storm {
    /// Until the last answer.
    pub(crate) took: Duration,
    pub(crate) sold: usize,
    pub(crate) refused: usize,
    /// Of all answers.
    pub(crate) p99: Duration,
}

/// Measures a few crowds, each with a product of its own.
pub(crate) async fn run(ground: &Ground, plan: &Plan, bounds: &mut Bounds) {
    report::heading("15,000 buyers for 1,000 units at once, over 2,000 connections");
    let served = Served::start(ground, plan).await;
    let mut times = Vec::new();
    for round in 1..=plan.crowd_rounds {
        let product_id = ground.product(UNITS as i64).await;
        let request = hold(product_id);
        let Storm { took, sold, refused, .. } = storm(&served, move |_| request.clone()).await;
        println!("round {round}: {sold} sold, {refused} refused, all answered in {}", report::short(took));
        assert_eq!((sold, sold + refused), (UNITS, BUYERS), "every request is answered and every unit is sold once");
        let stored = "SELECT CAST(SUM(qty) AS SIGNED) FROM holds WHERE product_id";
        let reserved = ground.value::<i64>(&format!("SELECT reserved FROM products WHERE id = {product_id}")).await;
        let held = ground.value::<i64>(&format!("{stored} = {product_id}")).await;
        assert_eq!((reserved, held), (UNITS as i64, UNITS as i64), "the stored holds are the acknowledged holds");
        times.push(took);
    }
    served.stop().await;
    times.sort_unstable();
    let median = times[times.len() / 2].as_secs_f64();
    bounds.add("15,000 buyers for 1,000 units: median seconds", Some(median), Target::AtMost(1.0));
}

/// Starts all connections at the same moment; `request` returns what a buyer sends, by its number.
pub(crate) async fn storm(served: &Served, request: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static) -> Storm {
    let request = Arc::new(request);
    let mut queues = Vec::with_capacity(CONNECTIONS);
    for mut client in served.clients(CONNECTIONS).await {
        client.expect(&get("/healthz"), 200).await;
        queues.push(Connected { client, request: Arc::clone(&request) });
    }
    rush(queues).await
}

/// Serves one buyer after the other.
pub(crate) trait Queue: Send + 'static {
    /// Returns whether something was sold to the buyer with this number.
    fn serve(&mut self, buyer: usize) -> impl Future<Output = bool> + Send;
}

/// A connection.
struct Connected<R> {
    client: Client,
    request: Arc<R>,
}

impl<R: Fn(usize) -> Vec<u8> + Send + Sync + 'static> Queue for Connected<R> {
    async fn serve(&mut self, buyer: usize) -> bool {
        let answer = self.client.send(&(self.request)(buyer)).await;
        match answer.status {
            201 => true,
            409 => false,
            status => panic!("{status}: {}", String::from_utf8_lossy(answer.body)),
        }
    }
}

/// Serves all buyers in these queues, which start at the same moment.
pub(crate) async fn rush(queues: Vec<impl Queue>) -> Storm {
    let gate = Arc::new(Barrier::new(queues.len() + 1));
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for queue in queues {
        tasks.spawn(serve(queue, Arc::clone(&gate), Arc::clone(&next)));
    }
    gate.wait().await;
    let started = Instant::now();
    let answers: Vec<(bool, Duration)> = tasks.join_all().await.into_iter().flatten().collect();
    let took = started.elapsed();
    let sold = answers.iter().filter(|(sold, _)| *sold).count();
    assert_eq!(answers.len(), BUYERS, "every request is answered");
    let mut waits: Vec<Duration> = answers.iter().map(|(_, wait)| *wait).collect();
    waits.sort_unstable();
    Storm { took, sold, refused: answers.len() - sold, p99: waits[waits.len() * 99 / 100] }
}

/// Serves buyers while there are some. Returns for each whether something was sold, and how long it took.
async fn serve(mut queue: impl Queue, gate: Arc<Barrier>, next: Arc<AtomicUsize>) -> Vec<(bool, Duration)> {
    let mut answers = Vec::new();
    gate.wait().await;
    loop {
        let buyer = next.fetch_add(1, Ordering::Relaxed);
        if buyer >= BUYERS {
            return answers;
        }
        let asked = Instant::now();
        answers.push((queue.serve(buyer).await, asked.elapsed()));
    }
}
