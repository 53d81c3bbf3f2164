//! Many requests at the same time on two instances: no buyer is ever over the limit, and no counter drifts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::{LIMIT, counted, limited, take};
use crate::support::process::Process;
use crate::support::statsd::StatsD;
use crate::support::{Client, Shop, mint, together};

/// Takes a hold for a buyer and ends it in one of the possible ways; returns whether there was one.
async fn live(client: &Client, product_id: i64, buyer: &str, turn: usize) -> bool {
    let held = take(client, product_id, 1, buyer).await;
    if held.status != 201 {
        held.refused(409, "buyer_limit");
        return false;
    }
    let hold_id = held.text("hold_id");
    if turn.is_multiple_of(5) {
        client.release(&hold_id).await.expect(200);
        return true;
    }
    let order_id = client.order(&hold_id).await;
    let event = async |status: &str, restock: bool| {
        let event = json!({ "order_id": order_id, "status": status, "idempotency_key": mint(), "restock": restock });
        client.webhook(&event).await.expect(200);
    };
    match turn % 5 {
        1 => drop(client.cancel(&order_id).await.expect(200)),
        2 => event("failed", false).await,
        3 => {
            event("paid", false).await;
            event("refunded", true).await;
        }
        _ => {
            // a late payment, which may be due for refund instead
            client.cancel(&order_id).await.expect(200);
            event("paid", false).await;
            event("refunded", true).await;
        }
    }
    true
}

#[tokio::test]
async fn five_hundred_requests_of_one_buyer_on_two_instances_never_pass_the_limit_and_leave_no_drift() {
    let shop = Arc::new(Shop::open().await);
    let product_id = limited(&shop, 1_000).await;
    let (one, other) = (shop.serve().await, shop.serve().await);
    let over = Arc::new(AtomicBool::new(false));
    let ended = Arc::new(AtomicBool::new(false));
    let watch = {
        let (shop, over, ended) = (Arc::clone(&shop), Arc::clone(&over), Arc::clone(&ended));
        tokio::spawn(async move {
            let out = format!(
                "SELECT CAST(COALESCE(SUM(holds.qty), 0) AS SIGNED) FROM holds LEFT JOIN orders ON orders.hold_id = holds.id
                 WHERE holds.product_id = {product_id} AND (holds.status = 'active' OR orders.status IN ('pending', 'paid'))"
            );
            while !ended.load(Ordering::Relaxed) {
                if shop.count(&out).await > LIMIT {
                    over.store(true, Ordering::Relaxed);
                }
            }
        })
    };
    let requests = (0..500).map(|turn| {
        let client = [&one, &other][turn % 2].client.clone();
        async move { live(&client, product_id, "b", turn).await }
    });
    let served = together(requests).await.into_iter().filter(|served| *served).count();
    ended.store(true, Ordering::Relaxed);
    watch.await.expect("no panic");
    assert!(served >= usize::try_from(LIMIT).expect("a number"), "{served}");
    assert!(!over.load(Ordering::Relaxed), "the buyer had more than {LIMIT} units at a time");
    assert_eq!((counted(&shop, product_id, "b").await, shop.reserved(product_id).await), (0, 0));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn many_buyers_of_one_limited_product_on_two_instances_cause_no_deadlock() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let product_id = limited(&shop, 100_000).await;
    let (_one, first) = Process::serve(&shop.database.url, &[statsd.setting()]).await;
    let (_other, second) = Process::serve(&shop.database.url, &[statsd.setting()]).await;
    let requests = (0..20_usize).map(|task| {
        let client = [&first, &second][task % 2].clone();
        async move {
            for turn in 0..8 {
                live(&client, product_id, &format!("b{}", (task * 7 + turn * 3) % 40), task + turn).await;
            }
        }
    });
    together(requests).await;
    // metrics are sent every second: what a later request counts comes behind all that was counted before
    for client in [&first, &second] {
        client.get("/api/holds/4711").await;
    }
    statsd.told("http.request_ms", "ms", &["method:GET", "route:/api/holds/{hold_id}", "status:400"], 2).await;
    let deadlocks: Vec<String> =
        statsd.lines().into_iter().filter(|line| line.contains("db.retries") && line.contains("1213")).collect();
    assert!(deadlocks.is_empty(), "{deadlocks:?}");
    assert_eq!(shop.reserved(product_id).await, 0);
    assert_eq!(shop.count("SELECT COUNT(id) FROM buyer_units WHERE units <> 0").await, 0);
    shop.assert_conserved().await;
}
