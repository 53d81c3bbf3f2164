//! Many different products, each read and held once: each product's queue is removed after use, so memory must not grow
//! with the number of products that were ever requested.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Plan;
use crate::client::{Client, get, hold};
use crate::database::Ground;
use crate::report::{self, Bounds, Target};
use crate::service::Served;

const CONNECTIONS: usize = 512;
/// The first pass is one tenth: it loads the memory that does not depend on the number of products.
const FIRST: i64 = 10;
/// Longer than an idle queue lives.
const LINGER: Duration = Duration::from_secs(1);

pub(crate) async fn run(ground: &Ground, plan: &Plan, bounds: &mut Bounds) {
    let count = report::whole(plan.products as f64);
    report::heading(&format!("{count} different products, each read and held once, over {CONNECTIONS} connections"));
    ground.clear().await;
    let first = ground.products(plan.products + plan.products / FIRST, 1).await;
    let served = Served::start(ground, plan).await;
    let mut clients = served.clients(CONNECTIONS).await;
    let middle = first + plan.products / FIRST;
    let mut resident = Vec::new();
    for (from, to) in [(first, middle), (middle, middle + plan.products)] {
        clients = ask_for_all(clients, from, to).await;
        sleep(LINGER).await;
        resident.push(served.resident_bytes());
        let megabytes = resident.last().copied().flatten().map_or("?".to_owned(), |bytes| report::whole(bytes / 1e6));
        println!("after {} products: {megabytes} MB resident", report::whole((to - from) as f64));
    }
    served.stop().await;
    let ratio = resident[0].zip(resident[1]).map(|(before, after)| after / before);
    bounds.add(format!("memory after {count} products / after a tenth"), ratio, Target::AtMost(1.3));
}

/// Reads and holds every product once; each connection takes the next one. Returns the connections.
async fn ask_for_all(clients: Vec<Client>, from: i64, to: i64) -> Vec<Client> {
    let next = Arc::new(AtomicI64::new(from));
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let next = Arc::clone(&next);
        tasks.spawn(async move {
            loop {
                let product_id = next.fetch_add(1, Ordering::Relaxed);
                if product_id >= to {
                    return client;
                }
                client.expect(&get(&format!("/api/products/{product_id}")), 200).await;
                client.expect(&hold(product_id), 201).await;
            }
        });
    }
    tasks.join_all().await
}
