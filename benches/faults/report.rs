//! Prints the table, the bounds, and the failures of a run.

use std::time::Duration;

use crate::play::Outcome;
use crate::support::report::{self, Bounds, Target};

/// Number of losses per fault that are shown.
const SHOWN: usize = 5;

/// The bounds and the failures of a run.
pub(crate) struct Report {
    bounds: Bounds,
    /// Whether times and rates are checked.
    timed: bool,
    failures: Vec<String>,
}

impl Report {
    /// Prints the head of the table. A run that is not `timed` ignores bounds on times and rates.
    pub(crate) fn new(timed: bool) -> Self {
        report::heading("Faults");
        let columns = [
            "attempted",
            "acked",
            "refused",
            "unknown",
            "p50",
            "p99",
            "max 503",
            "recovered",
            "ledger",
            "audit",
            "readyz",
        ];
        report::line("", &columns);
        Self { bounds: Bounds::default(), timed, failures: Vec::new() }
    }

    /// Prints the line of a fault, and records what was lost and what the audit found.
    pub(crate) fn row(&mut self, outcome: &Outcome, wrong: &[String], audit: &Option<String>) {
        let sales = outcome.during.sales();
        let time = |time: Option<Duration>| time.map_or("-".to_owned(), report::short);
        let count = |count: usize| report::whole(count as f64);
        let readyz = outcome.during.of(crate::journal::Kind::Readyz).statuses();
        let columns = [
            count(sales.count()),
            count(sales.acknowledged().count()),
            count(sales.refused().count()),
            count(sales.unknown().count()),
            time(sales.quantile(0.5)),
            time(sales.quantile(0.99)),
            time(sales.status(503).quantile(1.0)),
            outcome.recovered.map_or("never".to_owned(), report::short),
            if wrong.is_empty() { "kept".to_owned() } else { format!("{} LOST", wrong.len()) },
            if audit.is_none() { "clean" } else { "FOUND" }.to_owned(),
            readyz,
        ];
        report::line(&outcome.name, &columns.each_ref().map(String::as_str));
        let name = &outcome.name;
        self.failures.extend(wrong.iter().take(SHOWN).map(|what| format!("{name}: {what}")));
        self.failures.extend(audit.iter().map(|found| format!("{name}: the audit ended with {found}")));
        if outcome.recovered.is_none() {
            self.failures.push(format!("{name}: no hold was acknowledged after the fault"));
        }
    }

    /// Prints the line of a fault that cannot be played here.
    pub(crate) fn skipped(&self, name: &str, reason: &str) {
        report::line(name, &[&format!("skipped: {reason}")]);
    }

    /// Prints a note below the last line.
    pub(crate) fn note(&self, text: &str) {
        println!("    {text}");
    }

    /// Adds a bound that every run must keep.
    pub(crate) fn bound(&mut self, name: String, value: f64, target: Target) {
        self.bounds.add(name, Some(value), target);
    }

    /// Adds a bound on a time or a rate, unless the run is short.
    pub(crate) fn timed(&mut self, name: String, value: Option<f64>, target: Target) {
        if self.timed {
            self.bounds.add(name, value, target);
        }
    }

    /// Prints the bounds and what was lost. Returns whether nothing was lost, and whether every bound was kept.
    pub(crate) fn print(&self) -> (bool, bool) {
        let kept = self.bounds.print();
        if !self.failures.is_empty() {
            report::heading("Failures");
            self.failures.iter().for_each(|failure| println!("{failure}"));
        }
        (self.failures.is_empty(), kept)
    }
}
