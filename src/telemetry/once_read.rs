//! A recorder that passes on what is recorded once metrics are read.

use std::sync::atomic::{AtomicBool, Ordering};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit as ExporterUnit};
use metrics_exporter_prometheus::PrometheusRecorder;

/// Whether metrics are read, or are to be.
static IS_READ: AtomicBool = AtomicBool::new(false);
/// Whether there is a StatsD server.
static IS_SENT: AtomicBool = AtomicBool::new(false);

/// A recorder that records nothing before metrics are read.
pub(super) struct OnceRead(pub(super) PrometheusRecorder);

impl Recorder for OnceRead {
    fn describe_counter(&self, name: KeyName, unit: Option<ExporterUnit>, meaning: SharedString) {
        self.0.describe_counter(name, unit, meaning);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<ExporterUnit>, meaning: SharedString) {
        self.0.describe_gauge(name, unit, meaning);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<ExporterUnit>, meaning: SharedString) {
        self.0.describe_histogram(name, unit, meaning);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        if is_read() { self.0.register_counter(key, metadata) } else { Counter::noop() }
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        if is_read() { self.0.register_gauge(key, metadata) } else { Gauge::noop() }
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        if is_read() { self.0.register_histogram(key, metadata) } else { Histogram::noop() }
    }
}

fn is_read() -> bool {
    IS_READ.load(Ordering::Relaxed)
}

/// Whether metrics go anywhere: those that cost more than a number are recorded only then.
pub fn are_recorded() -> bool {
    is_read() || IS_SENT.load(Ordering::Relaxed)
}

/// Notes that metrics are sent.
pub(super) fn send() {
    IS_SENT.store(true, Ordering::Relaxed);
}

/// Records from now on.
pub fn begin() {
    IS_READ.store(true, Ordering::Relaxed);
}
