//! The promises of the service, each a test on a real database server.

mod boundary;
mod document;
mod door;
mod expiry;
mod input;
mod process;
mod support;
mod telemetry;
