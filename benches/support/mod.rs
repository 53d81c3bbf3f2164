//! Shared by both benchmarks: an HTTP client, a closed loop, the service as a process, and tables of figures.

pub(crate) mod client;
pub(crate) mod measure;
pub(crate) mod report;
pub(crate) mod service;
