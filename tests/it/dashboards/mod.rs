//! The dashboards in dashboards/: each metric that they name is one of the table, in the form in which its style writes it, and each
//! metric of the table is shown. Each format has a module that reads it.

mod graphite;
mod netdata;
mod prometheus;

use std::collections::BTreeSet;
use std::path::Path;

use holdfast::telemetry::{METRICS, Row};

/// Metrics that dashboards leave out: others that are shown say more.
const UNSHOWN: &[&str] = &[
    "orders.created",       // orders.transitions counts these, too
    "orders.cancelled",     // as well
    "idempotency.replayed", // harmless
    "events.ended",         // follows from what an operator did
    "feed.walk_s",          // feed.lag_s is what buyers notice
    "push.disabled",        // push.oldest_undelivered_s stays high
    "clock.jumps",          // expiry.paused is what follows
    "service.info",         // of no use as a line
];

/// Reads a file of dashboards/.
fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Finds the metric that a name in StatsD's plain style begins with, and what follows it: the values of its labels, with their dots.
fn row(name: &str) -> Option<(&'static Row, &str)> {
    let name = name.strip_prefix("holdfast.")?;
    METRICS.iter().find_map(|row| {
        let rest = name.strip_prefix(row.statsd)?;
        (rest.is_empty() || rest.starts_with('.')).then_some((row, rest))
    })
}

/// Fails when a metric of the table is not among those that a dashboard shows.
fn assert_all_shown(shown: &BTreeSet<&str>) {
    for row in METRICS {
        let is_shown = shown.contains(row.statsd);
        assert!(is_shown || UNSHOWN.contains(&row.statsd), "{} is not shown", row.statsd);
    }
}

/// Writes a name in CamelCase as Netdata's alarms have it: `HoldfastInboxAge` is `holdfast_inbox_age`.
fn snake(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push('_');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}
