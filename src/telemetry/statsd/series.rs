//! What was recorded since the last packets: one entry for each metric and label set, so that memory and packets are bounded however
//! much is recorded.

use std::collections::HashMap;

use super::style::{StatsdStyle, Values, write_lines};
use crate::telemetry::row::Row;
use crate::telemetry::table::{METRICS, STATSD_DROPPED};

/// The most series of one second; those beyond are dropped.
pub(super) const MOST_SERIES: usize = 4096;
/// The most values that are sent of a timer or a histogram in one second.
pub(super) const MOST_SAMPLES: usize = 20;

/// The series of this second.
#[derive(Debug)]
pub(super) struct Series {
    /// By the line without its value.
    entries: HashMap<Box<str>, Values>,
    /// The key of the line that is being added; kept for its memory.
    key: String,
    random: u64,
}

impl Default for Series {
    fn default() -> Self {
        Self { entries: HashMap::new(), key: String::new(), random: 0x9e37_79b9_7f4a_7c15 }
    }
}

impl Series {
    /// Adds a line of the exporter, `name:value|kind|#tags`. Returns false if it was dropped.
    pub(super) fn add(&mut self, line: &str) -> bool {
        let Some((name, rest)) = line.split_once(':') else { return false };
        let Some((value, behind)) = rest.split_once('|') else { return false };
        self.key.clear();
        self.key.push_str(name);
        self.key.push('|');
        self.key.push_str(behind);
        let kind = behind.split('|').next().unwrap_or_default();
        if let Some(values) = self.entries.get_mut(self.key.as_str()) {
            return values.add(value, &mut self.random);
        }
        // how many were dropped always has room
        if self.entries.len() >= MOST_SERIES && name != STATSD_DROPPED.name {
            return false;
        }
        let mut values = match kind {
            "c" => Values::Count(0),
            "g" => Values::Level(0.0),
            _ => Values::Samples { kept: Vec::new(), seen: 0 },
        };
        let is_added = values.add(value, &mut self.random);
        if is_added {
            self.entries.insert(self.key.as_str().into(), values);
        }
        is_added
    }

    /// Takes everything.
    pub(super) fn take(&mut self) -> HashMap<Box<str>, Values> {
        std::mem::take(&mut self.entries)
    }
}

impl Values {
    /// Adds a value. Of many samples, each has the same chance to be kept (reservoir sampling, Vitter's algorithm R).
    fn add(&mut self, value: &str, random: &mut u64) -> bool {
        match self {
            Self::Count(sum) => value.parse().map(|count: u64| *sum = sum.saturating_add(count)).is_ok(),
            Self::Level(level) => value.parse().map(|value| *level = value).is_ok(),
            Self::Samples { kept, seen } => {
                let Ok(value) = value.parse() else { return false };
                *seen += 1;
                if kept.len() < MOST_SAMPLES {
                    kept.push(value);
                } else if let Some(place) = usize::try_from(next(random) % *seen).ok().and_then(|at| kept.get_mut(at)) {
                    *place = value;
                }
                true
            }
        }
    }
}

/// Returns the next number of an xorshift generator: a sample needs no better one.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

/// Returns the lines of these series, sorted.
pub(super) fn lines(style: StatsdStyle, series: &HashMap<Box<str>, Values>) -> Vec<String> {
    let mut keys: Vec<&str> = series.keys().map(|key| &**key).collect();
    keys.sort_unstable();
    let mut lines = Vec::new();
    for key in keys {
        let (name, behind) = key.split_once('|').unwrap_or((key, ""));
        let tags = behind.split_once("|#").map_or("", |(_, tags)| tags);
        if let Some(row) = row(name) {
            write_lines(style, row, tags, &series[key], |line| lines.push(line.to_owned()));
        }
    }
    lines
}

/// Finds a row by its name in Prometheus, under which it is recorded.
fn row(name: &str) -> Option<&'static Row> {
    METRICS.iter().find(|row| row.prometheus == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(series: &mut Series) -> Vec<String> {
        lines(StatsdStyle::DogStatsD, &series.take())
    }

    #[test]
    fn counters_and_gauges_have_one_line_for_each_label_set_and_none_when_nothing_was_recorded() {
        let mut series = Series::default();
        for reason in ["a", "b", "a"] {
            assert!(series.add(&format!("holdfast_holds_refused_total:2|c|#reason:{reason}")));
        }
        assert!(series.add("holdfast_holds_created_total:0|c"));
        for level in ["1", "7.5", "3"] {
            assert!(series.add(&format!("holdfast_db_connections:{level}|g")));
        }
        assert_eq!(
            told(&mut series),
            [
                "holdfast.db.connections:3|g",
                "holdfast.holds.refused:4|c|#reason:a",
                "holdfast.holds.refused:2|c|#reason:b",
            ]
        );
        assert!(told(&mut series).is_empty());
    }

    #[test]
    fn of_many_durations_a_bounded_sample_is_sent_with_its_rate() {
        let mut series = Series::default();
        for ms in 0..1000 {
            assert!(series.add(&format!("holdfast_db_pool_wait_seconds:{}|h", f64::from(ms) / 1000.0)));
        }
        let lines = told(&mut series);
        assert_eq!(lines.len(), MOST_SAMPLES);
        let mean = lines.iter().map(|line| {
            let (value, rate) =
                line.strip_prefix("holdfast.db.pool_wait_ms:").expect("its name").split_once('|').expect("a kind");
            assert_eq!(rate, "ms|@0.02");
            value.parse::<f64>().expect("a number")
        });
        let mean = mean.sum::<f64>() / MOST_SAMPLES as f64;
        assert!((200.0..800.0).contains(&mean), "samples of all of them, not of the first or the last: {mean}");
    }

    #[test]
    fn series_beyond_the_bound_are_dropped_and_those_before_go_on() {
        let mut series = Series::default();
        let line = |transaction: usize| format!("holdfast_db_given_up_total:1|c|#transaction:{transaction}");
        assert!((0..MOST_SERIES).all(|number| series.add(&line(number))));
        assert!(!series.add(&line(MOST_SERIES)));
        assert!(series.add(&format!("{}:7|c", STATSD_DROPPED.name)), "how many were dropped has room");
        assert!(series.add(&line(0)));
        assert_eq!(series.take().len(), MOST_SERIES + 1);
        assert!(series.add(&line(MOST_SERIES)), "the next second has room");
        for unreadable in ["", "name", "name:x|c", "name:1", "name:|g"] {
            assert!(!series.add(unreadable), "{unreadable}");
        }
    }
}
