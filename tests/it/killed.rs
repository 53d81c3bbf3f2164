//! Connections that an operator or a tool kills on the server, again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use crate::support::{Instance, Shop, eventually, of_transactions, together};

/// Kills up to `count` connections to this database, first those with an open transaction. Returns how many.
async fn kill(conn: &mut Conn, database: &str, count: usize) -> usize {
    let busy = of_transactions(conn, "SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX").await;
    let rows: Vec<Row> = conn.query("SHOW PROCESSLIST").await.expect("the query runs");
    let in_database =
        rows.iter().filter(|row| row.get::<Option<String>, _>("db").flatten().as_deref() == Some(database));
    let mut ids: Vec<u64> = in_database.filter_map(|row| row.get("Id")).collect();
    ids.retain(|id| *id != u64::from(conn.id()));
    ids.sort_by_key(|id| !busy.contains(id));
    ids.truncate(count);
    for id in &ids {
        // the connection may have ended meanwhile
        let _ = conn.query_drop(format!("KILL {id}")).await;
    }
    ids.len()
}

const CLIENTS: usize = 16;
const ORDERS: usize = 12;

async fn buy(instance: &Instance, product_id: i64, done: &Arc<AtomicUsize>) {
    let client = instance.client.clone();
    let buyers = (0..CLIENTS).map(|_| {
        let (client, done) = (client.clone(), Arc::clone(done));
        async move {
            for _ in 0..ORDERS {
                let hold_id = client.hold(product_id, 1).await;
                client.order(&hold_id).await;
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    together(buyers).await;
}

#[tokio::test]
async fn orders_are_made_while_connections_are_killed_all_the_time() {
    let (shop, product_id, instance) = Shop::selling(1000).await;
    let done = Arc::new(AtomicUsize::new(0));
    let mut conn = shop.sql().await;
    // four connections are killed after every four orders
    let killing = async {
        let mut killed = 0;
        for orders in (4..CLIENTS * ORDERS).step_by(4) {
            assert!(eventually(async || done.load(Ordering::Relaxed) >= orders).await, "no order is made any more");
            killed += kill(&mut conn, &shop.database.name, 4).await;
        }
        killed
    };
    let (killed, ()) = tokio::join!(killing, buy(&instance, product_id, &done));
    assert!(killed > 20, "{killed} connections were killed");
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders").await, (CLIENTS * ORDERS) as i64);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn killing_more_idle_connections_than_a_request_has_attempts_fails_no_request() {
    let shop = Shop::open().await;
    let product_id = shop.product(1000).await;
    let mut config = shop.config();
    config.pool_size = 40;
    let instance = Instance::start(config).await;
    let mut conn = shop.sql().await;
    for _ in 0..3 {
        // requests that share no batch, each with a connection of its own
        together((0..40).map(|n| {
            let client = instance.client.clone();
            async move { client.get(&format!("/api/holds/{}", uuid::Uuid::from_u128(n))).await.expect(404) }
        }))
        .await;
        let killed = kill(&mut conn, &shop.database.name, usize::MAX).await;
        assert!(killed > 8, "{killed} connections were killed");
        instance.hold(product_id, 1).await;
    }
    shop.assert_conserved().await;
}
