//! Connections that the server ends, again and again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mysql_async::Row;
use mysql_async::prelude::Queryable;

use crate::support::{Shop, together};

async fn kill_some(conn: &mut mysql_async::Conn, database: &str, count: usize) -> usize {
    let rows: Vec<Row> = conn.query("SHOW PROCESSLIST").await.expect("the query runs");
    let mut ids: Vec<u64> = rows
        .iter()
        .filter(|row| row.get::<Option<String>, _>("db").flatten().as_deref() == Some(database))
        .filter_map(|row| row.get::<u64, _>("Id"))
        .filter(|id| *id != u64::from(conn.id()))
        .collect();
    use rand::seq::SliceRandom as _;
    ids.shuffle(&mut rand::rng());
    let busy: Vec<u64> =
        conn.query("SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX").await.expect("trx");
    if std::env::var("BUSY").is_ok() {
        ids.sort_by_key(|id| !busy.contains(id));
    }
    ids.truncate(count);
    for id in &ids {
        let _ = conn.query_drop(format!("KILL {id}")).await;
    }
    ids.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_kills() {
    let (shop, product_id, instance) = Shop::selling(1_000_000).await;
    let over = Arc::new(AtomicBool::new(false));
    let killer = tokio::spawn({
        let (over, mut conn, name) = (Arc::clone(&over), shop.sql().await, shop.database.name.clone());
        async move {
            let mut killed = 0;
            while !over.load(Ordering::Relaxed) {
                killed += kill_some(&mut conn, &name, 4).await;
                tokio::time::sleep(Duration::from_millis(std::env::var("EVERY").map_or(50, |v| v.parse().unwrap())))
                    .await;
            }
            killed
        }
    });
    let began = Instant::now();
    let counts = Arc::new(Mutex::new(std::collections::BTreeMap::<(String, u16), usize>::new()));
    let client = instance.client.clone();
    together((0..std::env::var("CLIENTS").map_or(16, |v| v.parse().unwrap())).map(|_| {
        let (client, counts) = (client.clone(), Arc::clone(&counts));
        async move {
            while began.elapsed() < Duration::from_secs(6) {
                let t = Instant::now();
                let held = client.try_hold(product_id, 1).await;
                *counts.lock().unwrap().entry(("hold".into(), held.status)).or_default() += 1;
                if held.status != 201 {
                    println!("hold {} {:?}", held.text, t.elapsed());
                    continue;
                }
                let t = Instant::now();
                let ordered = client.try_order(&held.text("hold_id")).await;
                *counts.lock().unwrap().entry(("order".into(), ordered.status)).or_default() += 1;
                if ordered.status != 201 {
                    println!("order {} {:?}", ordered.text, t.elapsed());
                }
            }
        }
    }))
    .await;
    over.store(true, Ordering::Relaxed);
    println!("{:?} killed {}", counts.lock().unwrap(), killer.await.unwrap());
    shop.assert_conserved().await;
}
