//! The promises of the service, each a test on a real database server.

mod admin;
mod arrival;
mod audit;
mod batch;
mod batch_faults;
mod boundary;
mod document;
mod door;
mod expiry;
mod history;
mod idempotency;
mod inbox;
mod input;
mod model;
mod neighbours;
mod orders;
mod process;
mod queue;
mod refunds;
mod schemas;
mod signatures;
mod storm;
mod stripe;
mod support;
mod telemetry;
mod webhook;
