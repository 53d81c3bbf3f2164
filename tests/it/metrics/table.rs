//! The table of all metrics, the code that records them, and the document that is printed from it.
//!
//! `TEST_WRITE=1` writes the document.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use holdfast::telemetry::{Kind, METRICS, Row, Unit};

const BEGIN: &str = "<!-- metrics: printed from src/telemetry/table.rs by tests/it/metrics/table.rs -->\n";
const END: &str = "<!-- end of metrics -->\n";

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn line(row: &Row) -> String {
    let kind = match row.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Timer => "durations",
        Kind::Histogram => "sizes",
    };
    let unit = match row.unit {
        Unit::Count(things) => things,
        Unit::Milliseconds => "ms; Prometheus: s",
        Unit::Seconds => "s",
        Unit::Flag => "1 or 0",
    };
    let labels: Vec<String> = row.labels.iter().map(|label| format!("`{label}`")).collect();
    let Row { statsd, prometheus, meaning, .. } = row;
    format!("| `{statsd}` | `{prometheus}` | {kind} | {unit} | {} | {meaning} |\n", labels.join(", "))
}

#[test]
fn the_document_of_metrics_equals_the_table_in_the_code() {
    let path = place("docs/metrics.md");
    let text = std::fs::read_to_string(&path).expect("a file");
    let (before, rest) = text.split_once(BEGIN).expect("the table begins");
    let (_, after) = rest.split_once(END).expect("the table ends");
    let rows: String = METRICS.iter().map(line).collect();
    let head = "| StatsD, after `holdfast.` | Prometheus | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- | --- |\n";
    let wanted = format!("{before}{BEGIN}\n{head}{rows}\n{END}{after}");
    if std::env::var_os("TEST_WRITE").is_some() {
        std::fs::write(&path, &wanted).expect("the file can be written");
    }
    let found = std::fs::read_to_string(&path).expect("a file");
    assert_eq!(found, wanted, "run this test with TEST_WRITE=1 and look at the difference");
}

#[test]
fn names_in_prometheus_follow_from_those_in_statsd_and_their_units() {
    for row in METRICS {
        assert_eq!(row.prometheus, row.derived_name(), "{}", row.constant);
    }
}

#[test]
fn no_name_is_the_beginning_of_another_one() {
    // in the plain style, values of labels follow the name
    for row in METRICS {
        let inside = METRICS.iter().find(|other| other.statsd.starts_with(&format!("{}.", row.statsd)));
        assert!(inside.is_none(), "{}: {inside:?}", row.statsd);
    }
    let names: BTreeSet<&str> = METRICS.iter().flat_map(|row| [row.statsd, row.prometheus]).collect();
    assert_eq!(names.len(), 2 * METRICS.len(), "each name stands once");
}

/// Returns the files of the source, with their texts, without tests and comments.
fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&entry).expect("a file");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let lines: String =
                code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
            found.push((entry, lines));
        }
    }
}

#[test]
fn every_row_of_the_table_is_recorded_and_nothing_is_recorded_beside_it() {
    let mut files = Vec::new();
    sources(&place("src"), &mut files);
    let code = |name: &str| &files.iter().find(|(path, _)| *path == place(name)).expect("a file").1;
    let recording = code("src/telemetry/metrics.rs");
    let words: BTreeSet<&str> =
        recording.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').collect();
    for row in METRICS {
        assert!(words.contains(row.constant), "{} is a row that src/telemetry/metrics.rs never records", row.constant);
    }
    // only the types of the table's constants reach the recorder, so that a name outside the table cannot be recorded
    for (path, code) in &files {
        let ways = [
            "counter!(",
            "gauge!(",
            "histogram!(",
            "with_recorder(",
            "register_counter(",
            "register_gauge(",
            "register_histogram(",
        ];
        // the second passes on what the first records
        let own = [place("src/telemetry/row.rs"), place("src/telemetry/once_read.rs")];
        let found = ways.into_iter().find(|way| code.contains(way));
        assert!(found.is_none() || own.contains(path), "{} records a metric with {found:?}", path.display());
    }
    // each function that records one has a caller
    let functions = recording.split(") fn ").skip(1).filter_map(|text| text.split(['(', '<']).next());
    for function in functions {
        let own = place("src/telemetry/metrics.rs");
        let is_called = files.iter().any(|(path, code)| *path != own && code.contains(&format!("{function}(")))
            || files.iter().any(|(path, code)| *path != own && code.contains(&format!("telemetry::{function}")));
        assert!(is_called, "nothing calls {function}");
    }
}
