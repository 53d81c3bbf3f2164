//! Checks that a read that begins after an acknowledged hold shows it, on the same instance and on another one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Plan;
use crate::client::{Client, get, hold};
use crate::database::{Ground, PLENTY};
use crate::report::{self, Bounds, Target};
use crate::service::Served;

const BUYERS: usize = 256;

/// The counters that all buyers share.
struct Checks {
    product_id: i64,
    left: AtomicI64,
    acknowledged: AtomicI64,
    stale: AtomicU64,
}

/// Runs two instances over one database; half of the buyers read from the instance that took their hold, half from the
/// other one.
pub(crate) async fn run(ground: &Ground, plan: &Plan, bounds: &mut Bounds) {
    let count = report::whole(plan.stale_checks as f64);
    report::heading(&format!("{count} reads that begin after an acknowledged hold, {BUYERS} buyers, two instances"));
    ground.clear().await;
    let instances = [Served::start(ground, plan).await, Served::start(ground, plan).await];
    let checks = Arc::new(Checks {
        product_id: ground.product(PLENTY).await,
        left: AtomicI64::new(i64::try_from(plan.stale_checks).expect("a number of checks")),
        acknowledged: AtomicI64::new(0),
        stale: AtomicU64::new(0),
    });
    let started = Instant::now();
    let mut buyers = JoinSet::new();
    for number in 0..BUYERS {
        let [bought, read] = [number % 2, number / 2 % 2].map(|place| instances[place].address);
        buyers.spawn(check(Arc::clone(&checks), bought, read));
    }
    buyers.join_all().await;
    let stale = checks.stale.load(Ordering::Relaxed);
    println!("{count} checked in {}, {stale} of them stale", report::short(started.elapsed()));
    bounds.add(format!("stale ones among {count} reads"), Some(stale as f64), Target::AtMost(0.0));
    for instance in instances {
        instance.stop().await;
    }
}

async fn check(checks: Arc<Checks>, bought: SocketAddr, read: SocketAddr) {
    let (mut buyer, mut reader) = (Client::connect(bought).await, Client::connect(read).await);
    let (hold, get) = (hold(checks.product_id), get(&format!("/api/products/{}", checks.product_id)));
    while checks.left.fetch_sub(1, Ordering::Relaxed) > 0 {
        buyer.expect(&hold, 201).await;
        // holds acknowledged before this read begins, this buyer's included
        let told = checks.acknowledged.fetch_add(1, Ordering::SeqCst) + 1;
        let shown = reader.expect(&get, 200).await.number("available_stock");
        if shown > PLENTY - told {
            checks.stale.fetch_add(1, Ordering::Relaxed);
        }
    }
}
