//! A range of ids for one page of a list.

use chrono::NaiveDateTime;
use mysql_async::{Params, Value};

use super::literal::{Literal, Text};

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// By ascending ids.
    OldestFirst,
    /// By descending ids.
    NewestFirst,
}

/// A range of events, for one page of a list.
#[derive(Debug, Clone, Copy)]
pub struct IdRange {
    /// The smallest id.
    pub first: i64,
    /// The largest id.
    pub last: i64,
    /// Received at this time or later, UTC.
    pub received_from: Option<NaiveDateTime>,
    /// Received before this time, UTC.
    pub received_to: Option<NaiveDateTime>,
    /// How many ids at most.
    pub limit: u32,
    /// From which end of the range.
    pub direction: Direction,
}

impl IdRange {
    /// Returns the direction for `ORDER BY id {direction}`.
    pub(in crate::db) fn direction(&self) -> Text {
        Text::from(Literal::Code(match self.direction {
            Direction::OldestFirst => "ASC",
            Direction::NewestFirst => "DESC",
        }))
    }

    /// Returns the parameters of the statement: the range, and `more`.
    pub(in crate::db) fn params(&self, more: Vec<(&str, Value)>) -> Params {
        let time = |at: Option<NaiveDateTime>, open: &str| at.map_or_else(|| Value::from(open), Value::from);
        let own: Vec<(&str, Value)> = vec![
            ("first", self.first.into()),
            ("last", self.last.into()),
            ("received_from", time(self.received_from, "1000-01-01 00:00:00")),
            ("received_to", time(self.received_to, "9999-12-31 23:59:59")),
            ("limit", self.limit.into()),
        ];
        own.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value)).collect::<Vec<_>>().into()
    }
}
