//! The dashboard for Graphite.

use std::collections::BTreeSet;

use holdfast::telemetry::{Kind, Row};

use super::{assert_all_shown, read, row};

/// Returns the title of each graph and its targets.
fn graphs() -> Vec<(String, Vec<String>)> {
    let state: serde_json::Value = serde_json::from_str(&read("graphite/holdfast.json")).expect("JSON");
    let graphs = state["graphs"].as_array().expect("graphs");
    let graph = |graph: &serde_json::Value| {
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        let targets = graph[1]["target"].as_array().expect("targets").iter().map(text).collect();
        (text(&graph[1]["title"]), targets)
    };
    graphs.iter().map(graph).collect()
}

/// Returns the paths of series in a target.
fn paths(target: &str) -> impl Iterator<Item = &str> {
    target.split(['(', ')', ',', ' ', '\'']).filter(|word| word.starts_with("stats."))
}

/// Returns why npm's StatsD writes no such path for this metric: `behind` are the values of labels and, but for gauges, the figure.
fn problem(row: &Row, namespace: &str, behind: &str) -> Option<String> {
    let mut nodes: Vec<&str> = behind.split('.').skip(1).collect();
    let (wanted, figures): (&str, &[&str]) = match row.kind {
        Kind::Counter => ("counters", &["rate", "count"]),
        Kind::Gauge => ("gauges", &[]),
        // as calculatedTimerMetrics of statsd.js
        Kind::Timer | Kind::Histogram => ("timers", &["count_ps", "mean", "upper", "upper_50", "upper_95", "upper_99"]),
    };
    if namespace != wanted {
        return Some(format!("is in {wanted}"));
    }
    if !figures.is_empty() && !nodes.pop().is_some_and(|figure| figures.contains(&figure)) {
        return Some(format!("has the figures {figures:?}"));
    }
    (nodes.len() != row.labels.len()).then(|| format!("has the labels {:?}", row.labels))
}

#[test]
fn graphs_of_graphite_show_each_metric_and_no_other() {
    let mut shown = BTreeSet::new();
    for (title, targets) in graphs() {
        for target in &targets {
            assert!(paths(target).next().is_some(), "{title}: {target}");
            for path in paths(target) {
                let (namespace, name) = path["stats.".len()..].split_once('.').expect("a name");
                let (row, behind) = row(name).unwrap_or_else(|| panic!("{title}: there is no metric {path}"));
                let problem = problem(row, namespace, behind);
                assert!(problem.is_none(), "{title}: {path} {}", problem.unwrap_or_default());
                shown.insert(row.statsd);
            }
        }
    }
    assert_all_shown(&shown);
}

#[test]
fn graphite_stores_a_point_for_each_flush_of_statsd() {
    let statsd = read("graphite/statsd.js");
    let flush: u32 = statsd
        .lines()
        .find_map(|line| line.trim().strip_prefix("flushInterval: ")?.split(',').next()?.parse().ok())
        .expect("an interval");
    let schemas = read("graphite/storage-schemas.conf");
    let (_, ours) = schemas.split_once("[holdfast]").expect("a schema");
    let retentions = ours.lines().find(|line| line.starts_with("retentions")).expect("retentions");
    assert_eq!(
        retentions.split_once(" = ").map(|(_, value)| value.split(':').next()),
        Some(Some(&*format!("{}s", flush / 1000)))
    );
}
