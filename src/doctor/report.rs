//! The lines of the report, and the worst of them.

use std::fmt;

/// How a finding is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Something to look at; a sale goes on.
    Warn,
    /// A sale does not work, or a promise does not hold.
    Fail,
}

impl Level {
    /// Returns the exit code of a report whose worst line has this level.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warn => 1,
            Self::Fail => 2,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One finding.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) level: Level,
    subject: &'static str,
    found: String,
    /// What to do.
    advice: String,
}

impl Line {
    pub(super) fn ok(subject: &'static str, found: impl Into<String>) -> Self {
        Self { level: Level::Ok, subject, found: found.into(), advice: String::new() }
    }

    pub(super) fn warn(subject: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Warn, subject, found: found.into(), advice: advice.into() }
    }

    pub(super) fn fail(subject: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Fail, subject, found: found.into(), advice: advice.into() }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, subject, found, advice } = self;
        write!(formatter, "{:<4}  {subject:<11}  {found}", level.word())?;
        if advice.is_empty() { Ok(()) } else { write!(formatter, " -> {advice}") }
    }
}

/// All findings.
#[derive(Debug)]
pub struct Report(Vec<Line>);

impl Report {
    pub(super) fn new(lines: Vec<Line>) -> Self {
        Self(lines)
    }

    /// Returns the worst level of all lines.
    pub fn worst(&self) -> Level {
        self.0.iter().map(|line| line.level).max().unwrap_or(Level::Ok)
    }
}

impl fmt::Display for Report {
    /// Writes one line for each finding.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(formatter, "{line}"))
    }
}
