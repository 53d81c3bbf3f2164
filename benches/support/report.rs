//! Prints settings, tables, and the ratios with their bounds.

use std::time::Duration;

/// The bound of a figure.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

/// The ratios, in the order in which they were added.
#[derive(Default)]
pub(crate) struct Bounds(Vec<(String, f64, Target)>);

impl Bounds {
    /// Adds a ratio, unless its parts were not measured.
    pub(crate) fn add(&mut self, name: impl Into<String>, value: Option<f64>, target: Target) {
        if let Some(value) = value {
            self.0.push((name.into(), value, target));
        }
    }

    /// Prints them all and returns whether all were kept.
    pub(crate) fn print(&self) -> bool {
        heading("Ratios and bounds");
        let mut all_kept = true;
        for (name, value, target) in &self.0 {
            let (kept, wanted) = match *target {
                Target::AtLeast(bound) => (*value >= bound, format!(">= {bound}")),
                Target::AtMost(bound) => (*value <= bound, format!("<= {bound}")),
            };
            all_kept &= kept;
            println!("{name:<58} {value:>10.3}   {wanted:<9} {}", if kept { "kept" } else { "MISSED" });
        }
        all_kept
    }
}

/// Prints the settings of the run, one per line.
pub(crate) fn settings(settings: &[(&str, String)]) {
    for (name, value) in settings {
        println!("{name}: {value}");
    }
}

/// Prints the heading of a table.
pub(crate) fn heading(text: &str) {
    println!("\n{text}");
    println!("{}", "-".repeat(text.len()));
}

/// Prints one line of a table; the first column is text, the others are figures.
pub(crate) fn line(first: &str, columns: &[&str]) {
    let columns: String = columns.iter().map(|column| format!(" {column:>10}")).collect();
    println!("{first:<42}{columns}");
}

/// Formats a large number: 118,000.
pub(crate) fn whole(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a duration in a suitable unit: 12.34 ms.
pub(crate) fn short(duration: Duration) -> String {
    match duration.as_secs_f64() {
        seconds if seconds < 0.001 => format!("{:.0} us", seconds * 1e6),
        seconds if seconds < 1.0 => format!("{:.2} ms", seconds * 1e3),
        seconds => format!("{seconds:.3} s"),
    }
}
