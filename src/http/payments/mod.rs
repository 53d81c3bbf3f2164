//! Payment webhooks: a file for each provider, with its route, its signature and the format of its events.

pub mod dev;
pub mod reporter;
mod signature;
pub mod standard;
pub mod stripe;
pub mod webhook;
