//! What the benchmarks share: a client, a closed loop, the service as a process of its own, and tables of figures.

pub(crate) mod client;
pub(crate) mod measure;
pub(crate) mod report;
pub(crate) mod service;
