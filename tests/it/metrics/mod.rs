//! Metrics: what StatsD servers receive in each style, what Prometheus reads, and the table of all metrics.

mod prometheus;
mod sale;
mod statsd;
mod table;
