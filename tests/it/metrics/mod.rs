//! Metrics: what StatsD servers receive in each style, and the table of all metrics.

mod statsd;
mod table;
