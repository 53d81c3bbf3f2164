//! Logs and metrics. `table.rs` names all metrics and says what they mean; no other part of the service names one.
//!
//! Labels are words from closed sets (routes, transactions, error codes, reasons), never text from clients.

mod metrics;
mod muted;
mod once_read;
mod prometheus;
mod row;
mod statsd;
mod stderr;
mod table;
mod throttle;

pub use self::metrics::audited;
pub(crate) use self::metrics::*;
pub use muted::muted_warnings;
pub use once_read::{are_recorded, begin as record_for_prometheus};
pub use prometheus::{forget_old, scrape, sum_up};
pub use row::{Kind, Row, Unit};
pub use statsd::{Flusher, StatsdStyle};
pub use stderr::StderrGuard;
pub use table::METRICS;
pub use throttle::Throttle;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::panic::PanicHookInfo;

use metrics_util::layers::FanoutBuilder;
use tracing::{Level, enabled, error, warn};
use tracing_subscriber::EnvFilter;

/// Sends every log line, also those of panics, to standard error as one JSON object, filtered by `filter`. No thread waits
/// until standard error is read: up to 8 MiB of lines are queued, further ones are dropped and counted.
///
/// # Errors
/// When tracing-subscriber's `EnvFilter` cannot parse `filter`.
pub fn start_logs(filter: &str) -> Result<(), String> {
    let filter = log_filter(filter)?;
    // A second start (two services in one test process) keeps the first.
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(stderr::stderr)
        // reporting a failed write on the standard error that just failed would panic
        .log_internal_errors(false)
        .with_env_filter(filter)
        .try_init();
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Logs a panic. The default hook would write it to standard error itself, which can block.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let text = panic.payload_as_str().unwrap_or("no text");
    if !enabled!(Level::ERROR) {
        // a panic is reported even if the filter excludes errors
        complain(format_args!("{panic}"));
    }
    let location = panic.location().map(tracing::field::display);
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(backtrace));
    let thread = std::thread::current();
    error!(panic = text, location, thread = thread.name(), backtrace, "a thread panicked");
}

/// Writes a line to standard error, behind the queued log lines.
pub fn complain(line: impl fmt::Display) {
    stderr::stderr().add(format!("{line}\n").as_bytes());
}

/// Parses a log filter.
///
/// # Errors
/// The reason why it is invalid.
pub fn log_filter(filter: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(filter).map_err(|error| error.to_string())
}

/// Records metrics for Prometheus and, if there is one, for a StatsD server, `host:port`, from now to the end of the process. If that
/// server is unreachable, slow or does not resolve, only its metrics are lost.
pub fn start_metrics(server: Option<&str>, style: StatsdStyle) -> Option<Flusher> {
    let prometheus = prometheus::recorder();
    let (is_set, flusher) = match server.map(|server| statsd::start(server, style)) {
        None => (::metrics::set_global_recorder(prometheus).is_ok(), None),
        Some((statsd, flusher)) => {
            once_read::send();
            let both = FanoutBuilder::default().add_recorder(prometheus).add_recorder(statsd).build();
            (::metrics::set_global_recorder(both).is_ok(), Some(flusher))
        }
    };
    if !is_set {
        warn!("metrics already have a recorder in this process; this one is not used");
    }
    flusher
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// The logs and the hook are global to a process, so this test runs in a process of its own.
    #[test]
    #[ignore = "is run by the next test"]
    fn panics() {
        let _flushed_last = super::StderrGuard;
        super::start_logs(&std::env::var("FILTER").expect("a filter")).expect("a filter");
        let panicking = std::thread::Builder::new().name("worker".to_owned()).spawn(|| panic!("{} went wrong", "this"));
        panicking.expect("a thread").join().expect_err("it panics");
    }

    /// Returns the text on standard error of a panic under this filter.
    fn panic_under(filter: &str) -> String {
        let tests = std::env::current_exe().expect("this program");
        let mut command = Command::new(tests);
        command.args(["--exact", "telemetry::tests::panics", "--ignored"]);
        let output = command.env("FILTER", filter).env_remove("RUST_BACKTRACE").output().expect("it runs");
        String::from_utf8(output.stderr).expect("text")
    }

    #[test]
    fn a_panic_is_a_log_line() {
        let error = panic_under("info");
        let line: serde_json::Value =
            serde_json::from_str(error.trim()).unwrap_or_else(|_| panic!("one line: {error}"));
        let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        assert_eq!((field("level"), field("panic")), ("ERROR".to_owned(), "this went wrong".to_owned()));
        assert!(field("location").starts_with("src/telemetry/mod.rs:") && field("thread") == "worker", "{line}");
    }

    #[test]
    fn a_panic_is_reported_when_the_log_is_off() {
        let error = panic_under("off");
        assert!(error.starts_with("panicked at src/telemetry/mod.rs:") && error.contains("this went wrong"), "{error}");
    }
}
