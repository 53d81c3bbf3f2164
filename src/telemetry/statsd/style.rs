//! The lines of StatsD's protocol, and where each style writes labels.

use std::fmt::Write as _;

use crate::domain::named;
use crate::telemetry::row::{Kind, Row, Unit};

named! {
    /// How labels are written.
    StatsdStyle {
        /// Their values are parts of the name: for every server.
        Plain = "plain",
        /// As tags of DogStatsD, `|#label:value`.
        DogStatsD = "dogstatsd",
        /// As tags of Graphite, `;label=value` behind the name.
        Graphite = "graphite",
    }
}

/// The prefix of every name.
const PREFIX: &str = "holdfast.";
/// An empty value in a name.
const EMPTY: &str = "none";

/// What was recorded for a metric and its labels.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    /// The sum of a second.
    Count(u64),
    /// The last value.
    Level(f64),
    /// Some of `seen` values.
    Samples {
        /// Those that are sent.
        kept: Vec<f64>,
        /// How many there were.
        seen: u64,
    },
}

/// Writes the lines of one series. `tags` are its labels as `label:value`, separated by commas.
pub(super) fn write_lines(style: StatsdStyle, row: &Row, tags: &str, values: &Values, mut line: impl FnMut(&str)) {
    let name = name(style, row, tags);
    let behind = match (style, tags) {
        (StatsdStyle::DogStatsD, tags) if !tags.is_empty() => format!("|#{}", dog_tags(tags)),
        _ => String::new(),
    };
    match values {
        Values::Count(0) => {}
        Values::Count(count) => line(&format!("{name}:{count}|c{behind}")),
        Values::Level(level) if !level.is_finite() => {}
        Values::Level(level) => {
            // a sign makes a change of it, but for DogStatsD
            if *level < 0.0 && style != StatsdStyle::DogStatsD {
                return line(&format!("{name}:0|g\n{name}:{}|g", decimal(*level, 6)));
            }
            line(&format!("{name}:{}|g{behind}", decimal(*level, 6)));
        }
        Values::Samples { kept, seen } => {
            let kind = if style == StatsdStyle::DogStatsD && row.kind == Kind::Histogram { "h" } else { "ms" };
            let scale = if row.unit == Unit::Milliseconds { 1000.0 } else { 1.0 };
            let rate = rate(kept.len(), *seen);
            for value in kept.iter().filter(|value| value.is_finite()) {
                line(&format!("{name}:{}|{kind}{rate}{behind}", decimal(value * scale, 3)));
            }
        }
    }
}

/// Returns the share of the values that is sent, from which servers compute how many there were.
#[expect(clippy::cast_precision_loss, reason = "a rate of values in a second")]
fn rate(kept: usize, seen: u64) -> String {
    match kept as u64 == seen {
        true => String::new(),
        false => format!("|@{}", decimal(kept as f64 / seen as f64, 6)),
    }
}

/// Writes a number without an exponent, with up to so many decimals.
fn decimal(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.trim_end_matches('0').trim_end_matches('.') {
        "-0" => "0".to_owned(),
        short => short.to_owned(),
    }
}

fn name(style: StatsdStyle, row: &Row, tags: &str) -> String {
    let mut name = format!("{PREFIX}{}", row.statsd);
    for (label, value) in pairs(tags) {
        match style {
            StatsdStyle::Plain => {
                name.push('.');
                name.push_str(&part(value));
            }
            StatsdStyle::Graphite => {
                let _ = write!(name, ";{label}={}", graphite_value(value));
            }
            StatsdStyle::DogStatsD => {}
        }
    }
    name
}

fn pairs(tags: &str) -> impl Iterator<Item = (&str, &str)> {
    tags.split(',').filter_map(|tag| tag.split_once(':'))
}

/// Makes one part of a name of a value: `/api/holds/{hold_id}` becomes `api_holds_hold_id`.
fn part(value: &str) -> String {
    let words = value.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    if words.is_empty() { EMPTY.to_owned() } else { words.join("_") }
}

/// Graphite refuses empty values, `;` in them, and `~` as their first letter; StatsD reads `:`, `|`, `@` and `#` itself.
fn graphite_value(value: &str) -> String {
    let is_safe =
        |letter: char| letter.is_ascii_graphic() && !matches!(letter, ';' | '~' | ':' | '|' | '@' | '#' | ',');
    let value: String = value.chars().map(|letter| if is_safe(letter) { letter } else { '_' }).collect();
    if value.is_empty() { EMPTY.to_owned() } else { value }
}

fn dog_tags(tags: &str) -> String {
    tags.chars().map(|letter| if matches!(letter, '|' | '#' | '\n') { '_' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Named as _;
    use crate::telemetry::table::METRICS;

    fn row(name: &str) -> &'static Row {
        METRICS.iter().find(|row| row.statsd == name).expect("a row")
    }

    fn lines(style: StatsdStyle, name: &str, tags: &str, values: &Values) -> Vec<String> {
        let mut lines = Vec::new();
        write_lines(style, row(name), tags, values, |line| lines.push(line.to_owned()));
        lines
    }

    #[test]
    fn each_style_writes_labels_in_its_place() {
        let tags = "method:GET,route:/api/products/{product_id},status:200";
        let took = Values::Samples { kept: vec![0.001_234_1, 2.0], seen: 8 };
        for (style, wanted) in [
            (StatsdStyle::Plain, "holdfast.http.request_ms.GET.api_products_product_id.200:1.234|ms|@0.25"),
            (
                StatsdStyle::DogStatsD,
                "holdfast.http.request_ms:1.234|ms|@0.25|#method:GET,route:/api/products/{product_id},status:200",
            ),
            (
                StatsdStyle::Graphite,
                "holdfast.http.request_ms;method=GET;route=/api/products/{product_id};status=200:1.234|ms|@0.25",
            ),
        ] {
            assert_eq!(lines(style, "http.request_ms", tags, &took)[0], wanted);
            assert_eq!(lines(style, "holds.created", "", &Values::Count(3)), ["holdfast.holds.created:3|c"]);
        }
        let count = |style| lines(style, "db.retries", "transaction:holds.create,code:1213", &Values::Count(1));
        assert_eq!(count(StatsdStyle::Plain), ["holdfast.db.retries.holds_create.1213:1|c"]);
        assert_eq!(count(StatsdStyle::DogStatsD), ["holdfast.db.retries:1|c|#transaction:holds.create,code:1213"]);
        assert_eq!(count(StatsdStyle::Graphite), ["holdfast.db.retries;transaction=holds.create;code=1213:1|c"]);
    }

    #[test]
    fn a_gauge_below_zero_is_set_and_not_changed() {
        let level = Values::Level(-0.25);
        let set = lines(StatsdStyle::Plain, "clock.difference_s", "", &level);
        assert_eq!(set, ["holdfast.clock.difference_s:0|g\nholdfast.clock.difference_s:-0.25|g"]);
        let set = lines(StatsdStyle::DogStatsD, "clock.difference_s", "", &level);
        assert_eq!(set, ["holdfast.clock.difference_s:-0.25|g"]);
    }

    #[test]
    fn what_is_zero_or_no_number_has_no_line() {
        for style in StatsdStyle::ALL {
            for values in
                [Values::Count(0), Values::Level(f64::NAN), Values::Samples { kept: vec![f64::INFINITY], seen: 1 }]
            {
                assert!(lines(*style, "holds.created", "", &values).is_empty(), "{values:?}");
            }
            assert_eq!(lines(*style, "db.available", "", &Values::Level(0.0)), ["holdfast.db.available:0|g"]);
        }
    }

    #[test]
    fn a_value_never_ends_its_name_or_its_line() {
        let hostile = "kind:a|b;c d\n#e@~,state:";
        for style in StatsdStyle::ALL {
            let line = lines(*style, "expiry.expired", hostile, &Values::Count(1)).concat();
            assert_eq!((line.matches('|').count() <= 2, line.contains('\n')), (true, false), "{line}");
            assert!(line.contains(":1|c"), "{line}");
        }
        assert_eq!(part(""), EMPTY);
    }
}
