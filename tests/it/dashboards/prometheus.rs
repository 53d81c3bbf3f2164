//! The rules of alerts for Prometheus, their unit tests, and the dashboard for Grafana.

use std::collections::BTreeSet;

use holdfast::telemetry::{Kind, METRICS, Row};
use serde_json::Value;

use super::{read, snake};

/// Labels that Prometheus adds.
const ADDED: [&str; 3] = ["instance", "job", "le"];

/// Returns the words of a query: letters, digits and `_`, each with what follows it.
fn words(query: &str) -> Vec<(&str, &str)> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(begin) = rest.find(is_part) {
        let from = &rest[begin..];
        let length = from.find(|letter| !is_part(letter)).unwrap_or(from.len());
        found.push((&from[..length], &from[length..]));
        rest = &from[length..];
    }
    found
}

/// Finds the metric of a series.
fn row(name: &str) -> &'static Row {
    let series = |row: &Row| -> &[&str] {
        match row.kind {
            Kind::Counter | Kind::Gauge => &[""],
            Kind::Timer | Kind::Histogram => &["_bucket", "_count", "_sum"],
        }
    };
    let is_of = |row: &&Row| name.strip_prefix(row.prometheus).is_some_and(|end| series(row).contains(&end));
    METRICS.iter().find(is_of).unwrap_or_else(|| panic!("no metric has the series {name}"))
}

/// Returns the names of the metrics of a query, and checks its labels.
fn metrics(query: &str) -> BTreeSet<&'static str> {
    let rows: Vec<&Row> =
        words(query).into_iter().filter(|(word, _)| word.starts_with("holdfast_")).map(|(name, _)| row(name)).collect();
    let labels: BTreeSet<&str> = rows.iter().flat_map(|row| row.labels.iter().copied()).chain(ADDED).collect();
    let of_selectors = words(query).into_iter().filter(|(_, rest)| rest.starts_with('=') || rest.starts_with("!="));
    let of_selectors = of_selectors.map(|(label, _)| label);
    let grouped = query.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    let grouped = grouped.flat_map(|list| list.split(',').map(str::trim));
    for label in of_selectors.chain(grouped) {
        assert!(labels.contains(label), "{label} is no label in {query}");
    }
    rows.iter().map(|row| row.prometheus).collect()
}

/// Returns the name and the query of each alert.
fn alerts() -> Vec<(String, String)> {
    let text = read("prometheus/holdfast.rules.yml");
    let rules = text.split("- alert: ").skip(1).map(|rule| {
        let (name, rest) = rule.split_once('\n').expect("a name");
        let query = rest.split("labels:").next().expect("there is a query").replace("for:", "");
        (name.to_owned(), query)
    });
    rules.collect()
}

/// Returns the queries of the dashboard and those of its variables.
fn queries(thing: &Value) -> Vec<&str> {
    match thing {
        Value::Array(list) => list.iter().flat_map(queries).collect(),
        Value::Object(fields) => {
            let own = ["expr", "query"].iter().filter_map(|name| fields.get(*name)?.as_str());
            own.chain(fields.values().flat_map(queries)).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn the_dashboard_of_grafana_shows_every_metric_and_no_other() {
    let dashboard = serde_json::from_str(&read("grafana/holdfast.json")).expect("JSON");
    let shown: BTreeSet<&str> = queries(&dashboard).into_iter().flat_map(metrics).collect();
    let missing: Vec<&str> = METRICS.iter().map(|row| row.prometheus).filter(|name| !shown.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?} are not shown");
}

#[test]
fn alerts_of_prometheus_are_about_metrics_of_the_table() {
    for (name, query) in alerts() {
        let of_holdfast = metrics(&query);
        assert!(!of_holdfast.is_empty() || query.contains("up{"), "{name}: {query}");
    }
}

#[test]
fn every_alert_has_unit_tests_a_line_in_the_documentation_and_an_alarm_of_netdata() {
    let alerts: Vec<String> = alerts().into_iter().map(|(name, _)| name).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    let tests = read("prometheus/holdfast.rules.test.yml");
    let tested: Vec<&str> = tests.lines().filter_map(|line| line.trim().strip_prefix("- name: ")).collect();
    assert_eq!(tested, alerts);

    let page = read("../docs/operations.md");
    let told: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `Holdfast")?.split('`').next()).collect();
    let names: BTreeSet<&str> = alerts.iter().filter_map(|name| name.strip_prefix("Holdfast")).collect();
    assert_eq!(told, names);

    let health = read("netdata/holdfast.health.conf");
    let alarms: BTreeSet<String> =
        health.lines().filter_map(|line| line.trim().strip_prefix("alarm: ")).map(str::to_owned).collect();
    assert_eq!(alarms, alerts.iter().map(|name| snake(name)).collect());
}
