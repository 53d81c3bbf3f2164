//! What a row of the table of metrics says, and the ways to record one. A metric is recorded under its name in Prometheus, and
//! durations in seconds; the sink of StatsD has the other names.

use std::time::Duration;

use metrics::{Key, Label, Level, Metadata, SharedString, with_recorder};

/// A metric: a row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The name of its constant.
    pub constant: &'static str,
    /// Its name in StatsD, without the prefix `holdfast.`.
    pub statsd: &'static str,
    /// Its name in Prometheus.
    pub prometheus: &'static str,
    /// What is recorded.
    pub kind: Kind,
    /// The unit of its values in StatsD.
    pub unit: Unit,
    /// Its labels, in the order in which the plain style of StatsD adds their values to the name.
    pub labels: &'static [&'static str],
    /// What it means.
    pub meaning: &'static str,
}

/// What is recorded under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// How often something happened.
    Counter,
    /// How much there is now.
    Gauge,
    /// Durations.
    Timer,
    /// Sizes.
    Histogram,
}

/// A unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things of this name.
    Count(&'static str),
    /// A duration in ms, which Prometheus gets in seconds.
    Milliseconds,
    /// A duration or an age in seconds.
    Seconds,
    /// 1 or 0.
    Flag,
}

impl Row {
    /// Returns the name in Prometheus that follows from the others: the base unit, and `_total` for a counter.
    pub fn derived_name(&self) -> String {
        let name = match self.unit {
            Unit::Milliseconds => self.statsd.strip_suffix("_ms"),
            Unit::Seconds => self.statsd.strip_suffix("_s"),
            Unit::Count(_) | Unit::Flag => None,
        };
        let unit = name.map_or("", |_| "_seconds");
        let total = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("holdfast_{}{unit}{total}", name.unwrap_or(self.statsd).replace('.', "_"))
    }
}

/// A counter with `N` labels.
pub(super) struct Counter<const N: usize> {
    pub(super) name: &'static str,
    pub(super) labels: [&'static str; N],
}

/// A gauge with `N` labels.
pub(super) struct Gauge<const N: usize> {
    pub(super) name: &'static str,
    pub(super) labels: [&'static str; N],
}

/// A timer with `N` labels.
pub(super) struct Timer<const N: usize> {
    pub(super) name: &'static str,
    pub(super) labels: [&'static str; N],
}

/// A histogram with `N` labels.
pub(super) struct Histogram<const N: usize> {
    pub(super) name: &'static str,
    pub(super) labels: [&'static str; N],
}

impl<const N: usize> Counter<N> {
    /// Counts; zero leaves no trace.
    pub(super) fn add<T: Into<SharedString>>(&self, values: [T; N], count: u64) {
        if count > 0 {
            let key = key(self.name, self.labels, values);
            with_recorder(|recorder| recorder.register_counter(&key, &METADATA).increment(count));
        }
    }
}

impl<const N: usize> Gauge<N> {
    pub(super) fn set<T: Into<SharedString>>(&self, values: [T; N], value: f64) {
        let key = key(self.name, self.labels, values);
        with_recorder(|recorder| recorder.register_gauge(&key, &METADATA).set(value));
    }
}

impl<const N: usize> Timer<N> {
    pub(super) fn record<T: Into<SharedString>>(&self, values: [T; N], took: Duration) {
        self.record_all(values, [took]);
    }

    pub(super) fn record_all<T: Into<SharedString>>(
        &self,
        values: [T; N],
        durations: impl IntoIterator<Item = Duration>,
    ) {
        let key = key(self.name, self.labels, values);
        let histogram = with_recorder(|recorder| recorder.register_histogram(&key, &METADATA));
        durations.into_iter().for_each(|took| histogram.record(took.as_secs_f64()));
    }
}

impl<const N: usize> Histogram<N> {
    pub(super) fn record<T: Into<SharedString>>(&self, values: [T; N], size: f64) {
        let key = key(self.name, self.labels, values);
        with_recorder(|recorder| recorder.register_histogram(&key, &METADATA).record(size));
    }
}

/// No labels.
pub(super) const NONE: [&str; 0] = [];

const METADATA: Metadata<'static> = Metadata::new("holdfast", Level::INFO, None);

fn key<const N: usize, T: Into<SharedString>>(name: &'static str, labels: [&'static str; N], values: [T; N]) -> Key {
    if N == 0 {
        return Key::from_static_name(name);
    }
    let labels = labels.into_iter().zip(values).map(|(label, value)| Label::new(label, value));
    Key::from_parts(name, labels.collect::<Vec<_>>())
}
