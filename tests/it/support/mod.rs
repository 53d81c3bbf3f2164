//! What the tests stand on: one real database server for all, a database of its own for each test, real services on
//! loopback ports, and helper verbs.

pub(crate) mod api;
pub(crate) mod proxy;
pub(crate) mod server;
pub(crate) mod shop;

pub(crate) use api::{Answer, Client};
pub(crate) use shop::Shop;
