//! Netdata's `statsd.d` file and its alarms.

use std::collections::{BTreeMap, BTreeSet};

use holdfast::telemetry::{Kind, Row};

use super::{assert_all_shown, read, row};

/// A dimension of a chart.
#[derive(Debug)]
struct Dimension {
    metric: String,
    is_pattern: bool,
    /// Its name, or what the names of a pattern's dimensions begin with.
    name: String,
    value: String,
}

/// Returns the dimensions of each chart of `holdfast.conf`, without those that only keep a chart alive.
fn charts() -> BTreeMap<String, Vec<Dimension>> {
    let mut charts: BTreeMap<String, Vec<Dimension>> = BTreeMap::new();
    let mut chart = String::new();
    for line in read("netdata/holdfast.conf").lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut chart);
        } else if let Some(("dimension", words)) = line.split_once(" = ") {
            let is_pattern = words.starts_with("pattern ");
            let words: Vec<&str> = words.split_whitespace().skip(usize::from(is_pattern)).collect();
            let [metric, name, value, _, _, ..] = words[..] else { panic!("{chart}: {line}") };
            let name = name.trim_matches('\'').to_owned();
            let dimension = Dimension { metric: metric.to_owned(), is_pattern, name, value: value.to_owned() };
            charts.entry(chart.clone()).or_default().push(dimension);
        }
    }
    charts
}

/// Returns why a dimension is not what Netdata receives of this metric.
fn problem(row: &Row, labels: &str, dimension: &Dimension) -> Option<String> {
    // a star of Netdata stands for any letters, dots included
    let is_open = dimension.is_pattern && labels == ".*";
    let values = labels.matches('.').count();
    if row.labels.is_empty() && dimension.is_pattern || !is_open && values != row.labels.len() {
        return Some(format!("has the labels {:?}", row.labels));
    }
    let is_of_durations = matches!(dimension.value.as_str(), "median" | "percentile" | "average" | "max" | "sum");
    let fits = match row.kind {
        Kind::Timer | Kind::Histogram => is_of_durations,
        Kind::Gauge => matches!(dimension.value.as_str(), "last" | "events"),
        Kind::Counter => dimension.value == "last",
    };
    (!fits).then(|| format!("is a {:?}", row.kind))
}

#[test]
fn charts_of_netdata_show_each_metric_and_no_other() {
    let charts = charts();
    assert!(charts.len() > 30, "{:?}", charts.keys());
    let mut shown = BTreeSet::new();
    for (chart, dimensions) in &charts {
        for dimension in dimensions {
            let (row, labels) =
                row(&dimension.metric).unwrap_or_else(|| panic!("{chart}: there is no metric {}", dimension.metric));
            let problem = problem(row, labels, dimension);
            assert!(problem.is_none(), "{chart}: {} {}", dimension.metric, problem.unwrap_or_default());
            shown.insert(row.statsd);
        }
    }
    assert_all_shown(&shown);
}

#[test]
fn alarms_of_netdata_read_charts_and_dimensions_that_are_there() {
    let charts = charts();
    let text = read("netdata/holdfast.health.conf");
    let alarms: Vec<BTreeMap<&str, &str>> = text
        .split("alarm: ")
        .skip(1)
        .map(|alarm| {
            let lines = alarm.lines().skip(1).filter_map(|line| line.trim().split_once(": "));
            lines.chain([("alarm", alarm.lines().next().unwrap_or_default())]).collect()
        })
        .collect();
    let names: BTreeSet<&str> = alarms.iter().map(|alarm| alarm["alarm"]).collect();
    assert!(names.len() == alarms.len() && names.len() > 15, "{names:?}");
    for alarm in &alarms {
        let name = alarm["alarm"];
        assert!(name.starts_with("holdfast_"), "{name}");
        let chart = alarm["on"].strip_prefix("holdfast.").expect("a chart of ours");
        let dimensions = charts.get(chart).unwrap_or_else(|| panic!("{name}: there is no chart {chart}"));
        let (_, read) = alarm["lookup"].rsplit_once(" of ").expect("dimensions");
        for pattern in read.split(',') {
            let wanted = pattern.trim_start_matches('!').trim_end_matches('*');
            let is_there = dimensions.iter().any(|dimension| dimension.name == wanted);
            assert!(is_there || pattern == "*", "{name}: {chart} has no dimension {pattern}");
        }
        // what another alarm has found is read by the names of its chart and itself
        if let Some((_, other)) = alarm.get("calc").and_then(|calc| calc.split_once("${holdfast.")) {
            let (chart, other) = other.split_once('}').and_then(|(path, _)| path.split_once('.')).expect("an alarm");
            let on = format!("holdfast.{chart}");
            assert!(alarms.iter().any(|alarm| alarm["alarm"] == other && alarm["on"] == on), "{name}: {chart}.{other}");
        }
    }
}
