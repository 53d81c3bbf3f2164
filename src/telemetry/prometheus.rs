//! Metrics for Prometheus: sums since the start of the process, in memory, and their text.
//!
//! Recording adds to an atomic number, or appends to a list of durations that the upkeep sums up every few seconds. A scrape reads these numbers on
//! a thread for blocking work, one scrape at a time: requests never wait for it.
//!
//! Nothing is recorded before metrics are read for the first time, or are to be read: recording takes a few microseconds of a request.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{KeyName, Recorder as _, Unit as ExporterUnit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use metrics_util::MetricKindMask;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::once_read::{OnceRead, begin};
use super::row::{Kind, Row};
use super::table::METRICS;

/// The upper bounds of buckets of durations, in seconds.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0, 300.0];
/// The upper bounds of buckets of sizes.
const SIZES: [f64; 12] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0];
/// A gauge that was not set for this time is forgotten: its product or endpoint is of no concern any more.
const GAUGES_LAST: Duration = Duration::from_secs(3600);

/// The recorder of this process, once metrics are started.
static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
/// One scrape at a time.
static SCRAPES: Semaphore = Semaphore::const_new(1);

/// Creates the recorder, with the meanings of all metrics.
pub(super) fn recorder() -> OnceRead {
    let mut builder = PrometheusBuilder::new().idle_timeout(MetricKindMask::GAUGE, Some(GAUGES_LAST));
    for row in METRICS {
        builder = with_buckets(builder, row);
    }
    let recorder = builder.build_recorder();
    METRICS.iter().for_each(|row| describe(&recorder, row));
    // a second start (two services in one test process) keeps the first
    let _ = HANDLE.set(recorder.handle());
    OnceRead(recorder)
}

fn with_buckets(builder: PrometheusBuilder, row: &Row) -> PrometheusBuilder {
    let buckets: &[f64] = match row.kind {
        Kind::Counter | Kind::Gauge => return builder,
        Kind::Timer => &SECONDS,
        Kind::Histogram => &SIZES,
    };
    let name = Matcher::Full(row.prometheus.to_owned());
    builder.set_buckets_for_metric(name, buckets).expect("there are buckets")
}

fn describe(recorder: &PrometheusRecorder, row: &Row) {
    let (name, none) = (KeyName::from_const_str(row.prometheus), None::<ExporterUnit>);
    match row.kind {
        Kind::Counter => recorder.describe_counter(name, none, row.meaning.into()),
        Kind::Gauge => recorder.describe_gauge(name, none, row.meaning.into()),
        Kind::Timer | Kind::Histogram => recorder.describe_histogram(name, none, row.meaning.into()),
    }
}

/// Returns all metrics in Prometheus' text format 0.0.4; nothing if this process did not start metrics. They are recorded from the first
/// time on.
pub async fn scrape() -> String {
    begin();
    render().await
}

async fn render() -> String {
    let Some(handle) = HANDLE.get() else { return String::new() };
    let turn = SCRAPES.acquire().await;
    // the turn ends with the work, also when the reader has gone meanwhile
    let text = spawn_blocking(move || {
        let text = handle.render();
        drop(turn);
        text
    });
    text.await.unwrap_or_default()
}

/// Sums up the durations that were recorded since the last time.
pub async fn sum_up() {
    if let Some(handle) = HANDLE.get() {
        let _ = spawn_blocking(|| handle.run_upkeep()).await;
    }
}

/// Forgets gauges that were not set for long, whether metrics are read or not.
pub async fn forget_old() {
    // the exporter forgets them while it writes the others
    drop(render().await);
}
