//! What all commands share: how they fail, their exit codes, and what they print.

use std::error::Error;
use std::fmt;
use std::io::{self, Write as _};

use holdfast::config::Problems;
use holdfast::db::error::explain;
use holdfast::doctor::Level;
use holdfast::telemetry;

/// Wrong usage or wrong configuration.
const EXIT_CONFIGURATION: u8 = 2;
/// An audit that could not run, as opposed to one with findings.
const EXIT_NO_AUDIT: u8 = 3;
/// A migration that gave up waiting for a lock. Nothing is damaged, and it may be run again.
const EXIT_GAVE_UP: u8 = 4;
/// Stopped by a signal before the work was done, as a shell reports Ctrl-C.
const EXIT_STOPPED: u8 = 130;
/// Standard output was closed by its reader, as a shell reports SIGPIPE.
const EXIT_CLOSED_PIPE: u8 = 141;

/// Why a command did not succeed.
pub(crate) enum Failed {
    /// All problems of the configuration.
    Configuration(Problems),
    /// The audit has printed its findings.
    NotClean,
    /// The doctor has printed its findings, whose worst level this is.
    Found(Level),
    /// The audit could not run, so that nothing is known.
    NoAudit(String),
    /// A lock did not become free in time.
    GaveUp(String),
    /// A signal arrived first.
    Stopped(String),
    /// The reader of standard output has closed it.
    ClosedPipe,
    /// Any other reason.
    Other(String),
}

impl Failed {
    /// Returns the exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) => EXIT_CONFIGURATION,
            Self::Found(worst) => worst.exit_code(),
            Self::NoAudit(_) => EXIT_NO_AUDIT,
            Self::GaveUp(_) => EXIT_GAVE_UP,
            Self::Stopped(_) => EXIT_STOPPED,
            Self::ClosedPipe => EXIT_CLOSED_PIPE,
            Self::NotClean | Self::Other(_) => 1,
        }
    }
}

impl From<Problems> for Failed {
    fn from(problems: Problems) -> Self {
        Self::Configuration(problems)
    }
}

/// Adds what failed to the error.
pub(crate) fn failed(what: &str) -> impl Fn(&dyn Error) -> Failed + '_ {
    move |error| Failed::Other(format!("{what}: {}", explain(error)))
}

/// Prints to standard output.
pub(crate) fn print(text: impl fmt::Display) -> Result<(), Failed> {
    let mut out = io::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failed::ClosedPipe,
        _ => failed("cannot write to standard output")(&error),
    })
}

/// Prints a line to standard error, if it still has a reader.
pub(crate) fn complain(text: impl fmt::Display) {
    telemetry::complain(format_args!("holdfast: {text}"));
}
