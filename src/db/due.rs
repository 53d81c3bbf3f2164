//! Reads rows with a deadline in pages along the index of deadlines, from a place on.

use std::time::Duration;

use chrono::{NaiveDate, NaiveDateTime};
use mysql_async::Value;
use uuid::Uuid;

use crate::db::column::bytes;
use crate::db::error::Failure;

/// A place in an index of deadlines. Rows of one batch share a deadline, so their ids are a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The deadline, UTC.
    pub at: NaiveDateTime,
    /// The hold or the order.
    pub id: Uuid,
    /// The product of a hold; 0 for an order.
    pub product_id: i64,
}

impl Place {
    /// Returns the place before every row.
    pub fn first() -> Self {
        Self::before(NaiveDate::from_ymd_opt(1000, 1, 1).unwrap_or_default().into())
    }

    /// Returns the place before the rows with this deadline.
    pub fn before(at: NaiveDateTime) -> Self {
        Self { at, id: Uuid::nil(), product_id: i64::MIN }
    }

    /// Returns the place after the rows with this deadline.
    pub fn behind(at: NaiveDateTime) -> Self {
        Self { at, id: Uuid::max(), product_id: i64::MAX }
    }
}

/// The due rows to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Only rows after this place.
    pub after: Place,
    /// Only rows that have been due for this long.
    pub age: Duration,
    /// At most this many rows.
    pub limit: u32,
}

impl Window {
    /// Returns the parameters of the statement that reads these rows.
    pub(super) fn params(self) -> Vec<(&'static str, Value)> {
        let Self { after: Place { at, id, product_id }, age, limit } = self;
        vec![
            ("from", at.into()),
            ("id", bytes(id)),
            ("product_id", product_id.into()),
            ("age", age.as_secs().into()),
            ("limit", limit.into()),
        ]
    }
}

/// A page of due rows.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The database's clock when it was read, UTC.
    pub read_at: NaiveDateTime,
    /// The rows, the oldest first.
    pub rows: Vec<T>,
}

impl<T> Page<T> {
    /// Separates the clock from the rows: each row has it, and a row of NULLs has it when nothing is due.
    pub(super) fn read<Columns>(
        found: Vec<(NaiveDateTime, Columns)>,
        row: impl Fn(Columns) -> Result<Option<T>, Failure>,
    ) -> Result<Self, Failure> {
        let no_clock = || Failure::Broken("due rows have no clock".to_owned());
        let read_at = found.first().map(|&(read_at, _)| read_at).ok_or_else(no_clock)?;
        let rows = found.into_iter().filter_map(|(_, columns)| row(columns).transpose());
        Ok(Self { read_at, rows: rows.collect::<Result<_, _>>()? })
    }
}
