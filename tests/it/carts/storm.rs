//! Overlapping carts in random orders, with holds of single products beside them, on two instances: progress, no unit lost, and
//! next to no deadlock.
//!
//! `TEST_STORM_SEED` repeats the random choices of a failed run, but not how the requests interleave.

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

use super::{body, products};
use crate::support::process::Process;
use crate::support::statsd::StatsD;
use crate::support::{Client, Shop, together, with};

/// Buyers at the same time; a third of them buy single products.
const BUYERS: u64 = 48;
/// Requests of each buyer.
const STEPS: usize = 48;

/// One buyer: takes carts, and gives most of them back so that the stock lasts. Returns how many carts were taken.
async fn buy(client: Client, products: [i64; 10], seed: u64) -> usize {
    let (mut luck, mut taken, mut last) = (StdRng::seed_from_u64(seed), 0, None::<String>);
    for _ in 0..STEPS {
        let count = if seed.is_multiple_of(3) { 1 } else { luck.random_range(2..=5) };
        let mut chosen = products;
        chosen.shuffle(&mut luck);
        let lines: Vec<(i64, i64)> =
            chosen[..count].iter().map(|&product_id| (product_id, luck.random_range(1..=3))).collect();
        let replaces = if luck.random_range(0..3) == 0 { last.take() } else { None };
        let request = with(&body(&lines), json!({ "replaces": replaces }));
        let answer = client.post("/api/holds", &request).await;
        if answer.status == 201 {
            taken += usize::from(count > 1);
            let before = last.replace(answer.text("hold_id"));
            if let Some(before) = before {
                client.release(&before).await.expect(200);
            }
        } else {
            let code = answer.code();
            assert!(["all_held", "sold_out", "hold_released"].contains(&code), "{answer:?}");
        }
    }
    taken
}

#[tokio::test]
async fn overlapping_carts_in_random_orders_make_progress_and_balance() {
    let seed = std::env::var("TEST_STORM_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("TEST_STORM_SEED={seed}");
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let mut products: [i64; 10] = products(&shop, 10_000).await;
    // half of them are short
    shop.execute(&format!("UPDATE products SET stock = 60 WHERE id % 2 = {}", products[0] % 2)).await;
    products.reverse();
    let mut instances = Vec::new();
    for _ in 0..2 {
        instances.push(Process::serve(&shop.database.url, &[statsd.setting()]).await);
    }
    let buyers = (0..BUYERS).map(|buyer| {
        let client = instances[usize::try_from(buyer % 2).expect("small")].1.clone();
        buy(client, products, seed.wrapping_add(buyer))
    });
    let taken: usize = together(buyers).await.into_iter().sum();
    assert!(taken > 800, "{taken} carts");
    shop.assert_conserved().await;
    // all metrics are sent at the end
    for (process, _) in instances {
        process.terminate().await.expect(0);
    }
    let retried = |name: &str| -> f64 {
        statsd.all("db.retries", "c", &[&format!("transaction:{name}"), "code:1213"]).iter().sum()
    };
    let deadlocks: f64 =
        ["holds.create_carts", "holds.create", "holds.release", "holds.expire"].map(retried).iter().sum();
    // at most one in a thousand carts
    assert!(deadlocks <= 1.0 + taken as f64 / 1000.0, "{deadlocks} deadlocks in {taken} carts");
    shop.assert_conserved().await;
}
