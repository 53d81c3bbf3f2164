//! What the tests stand on: one real database server for all, a database of its own for each test, real services on
//! loopback ports, and helper verbs.

pub(crate) mod api;
pub(crate) mod proxy;
pub(crate) mod server;
pub(crate) mod shop;

pub(crate) use api::{Answer, Client};
pub(crate) use shop::Shop;

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Looks again and again until something is so, or until nobody would wait for it any longer. Returns whether it is.
pub(crate) async fn eventually(mut is_so: impl AsyncFnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so().await {
        if Instant::now() > deadline {
            return false;
        }
        sleep(Duration::from_millis(5)).await;
    }
    true
}
