//! What the tests stand on: one real database server for all, a database of its own for each test, real services on
//! loopback ports, and helper verbs.

pub(crate) mod api;
pub(crate) mod proxy;
pub(crate) mod server;
pub(crate) mod shop;

use std::future::Future;

pub(crate) use api::{Answer, Client, with};
pub(crate) use shop::{Bare, Shop, binary};

/// An id as a client mints it.
pub(crate) fn mint() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// Runs all of them at the same time; returns what came of each, in their order.
pub(crate) async fn together<F>(work: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let tasks: Vec<_> = work.into_iter().map(tokio::spawn).collect();
    futures_util::future::join_all(tasks).await.into_iter().map(|joined| joined.expect("no panic")).collect()
}
