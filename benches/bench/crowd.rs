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

const BUYERS: usize = 15_000;
const UNITS: usize = 1_000;
const CONNECTIONS: usize = 2_000;

/// Measures a few crowds, each with a product of its own.
pub(crate) async fn run(ground: &Ground, plan: &Plan, bounds: &mut Bounds) {
    report::heading("15,000 buyers for 1,000 units at once, over 2,000 connections");
    let served = Served::start(ground, plan).await;
    let mut times = Vec::new();
    for round in 1..=plan.crowd_rounds {
        let product_id = ground.product(UNITS as i64).await;
        let (took, sold, refused) = storm(&served, product_id).await;
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

/// Starts all connections at the same moment. Returns the duration and the numbers of units sold and requests refused.
async fn storm(served: &Served, product_id: i64) -> (Duration, usize, usize) {
    let gate = Arc::new(Barrier::new(CONNECTIONS + 1));
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for client in served.clients(CONNECTIONS).await {
        tasks.spawn(queue(client, product_id, Arc::clone(&gate), Arc::clone(&next)));
    }
    gate.wait().await;
    let started = Instant::now();
    let answers = tasks.join_all().await;
    let sum = |part: fn(&(usize, usize)) -> usize| answers.iter().map(part).sum();
    (started.elapsed(), sum(|answers| answers.0), sum(|answers| answers.1))
}

/// Sends the requests of one buyer after the other on one connection. Returns how many were sold and how many refused.
async fn queue(mut client: Client, product_id: i64, gate: Arc<Barrier>, next: Arc<AtomicUsize>) -> (usize, usize) {
    client.expect(&get("/healthz"), 200).await;
    let request = hold(product_id);
    let (mut sold, mut refused) = (0, 0);
    gate.wait().await;
    while next.fetch_add(1, Ordering::Relaxed) < BUYERS {
        let answer = client.send(&request).await;
        match answer.status {
            201 => sold += 1,
            409 => refused += 1,
            status => panic!("{status}: {}", String::from_utf8_lossy(answer.body)),
        }
    }
    (sold, refused)
}
