//! The promises of the service, each a test on a real database server.

mod arrival;
mod batch;
mod batch_faults;
mod boundary;
mod document;
mod door;
mod expiry;
mod history;
mod idempotency;
mod input;
mod neighbours;
mod orders;
mod process;
mod queue;
mod schemas;
mod storm;
mod support;
mod telemetry;
mod webhook;
