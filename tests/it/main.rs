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
mod inbox;
mod input;
mod kills;
mod orders;
mod permutations;
mod process;
mod queue;
mod refunds;
mod storm;
mod support;
mod telemetry;
mod webhook;
