//! Support for the tests: one real database server for all, a database of its own for each test, real services on loopback
//! ports, and helper functions.

pub(crate) mod api;
pub(crate) mod crowd;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod schema;
pub(crate) mod server;
pub(crate) mod shop;
pub(crate) mod statsd;

use std::future::Future;
use std::time::Duration;

use holdfast::domain::{Meaning, PaymentEvent, Reference};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

pub(crate) use api::{Answer, Client, with};
pub(crate) use shop::{Bare, Instance, Shop, binary, with_policy};

/// Returns a new id, as a client makes it.
pub(crate) fn mint() -> String {
    Uuid::now_v7().to_string()
}

/// Runs all work at the same time; returns the results in the order of the work.
pub(crate) async fn together<F>(work: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let tasks: Vec<_> = work.into_iter().map(tokio::spawn).collect();
    futures_util::future::join_all(tasks).await.into_iter().map(|joined| joined.expect("no panic")).collect()
}

/// The event by which a provider reports that an order is paid.
pub(crate) fn payment(order_id: Uuid, key: &str) -> PaymentEvent {
    PaymentEvent {
        provider: "default",
        idempotency_key: key.as_bytes().to_vec(),
        meaning: Meaning::Succeeded,
        reference: Reference { order_id: Some(order_id), hold_id: None },
        amount: None,
        currency: None,
        txn_id: Some(format!("charge {key}")),
        restock: false,
        cumulative: false,
        headers: String::new(),
        provider_timestamp: None,
        source: None,
        correlation_id: None,
        body: b"{}".to_vec(),
    }
}

/// Runs a query of one number for each row on `information_schema.INNODB_TRX`. MySQL refuses it (3854) while any connection runs a
/// statement with bytes that are no text, as other tests do.
pub(crate) async fn of_transactions(conn: &mut Conn, query: &str) -> Vec<u64> {
    loop {
        match conn.query(query).await {
            Err(mysql_async::Error::Server(error)) if error.code == 3854 => sleep(Duration::from_millis(5)).await,
            found => return found.expect("the query runs"),
        }
    }
}

/// Checks a condition again and again, until it is true or a minute has passed. Returns whether it is true.
pub(crate) async fn eventually(mut is_so: impl AsyncFnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so().await {
        if Instant::now() > deadline {
            return false;
        }
        sleep(Duration::from_millis(5)).await;
    }
    true
}
