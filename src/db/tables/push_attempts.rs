//! The latest attempts to push to each endpoint.

use chrono::NaiveDateTime;
use mysql_async::{Row, params};

use crate::db::column::{column, text_column};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::literal::{Literal, rows};
use crate::db::sql;
use crate::domain::{AttemptOutcome, Named as _};

/// An attempt to push an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAttempt {
    /// The position of the event.
    pub position: i64,
    /// Its name.
    pub event_id: String,
    /// Which attempt of this event it was, from 1.
    pub attempt: u32,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The status of the answer.
    pub status: Option<u16>,
    /// The beginning of the answer, up to 1,024 bytes.
    pub answer: Vec<u8>,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
}

/// An attempt, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushAttempt {
    /// Its number: attempts of an endpoint are counted.
    pub number: i64,
    /// The position of the event.
    pub position: i64,
    /// Its name.
    pub event_id: String,
    /// Which attempt of this event it was, from 1.
    pub attempt: u32,
    /// How it ended; `None` for an end that only a newer version knows.
    pub outcome: Option<AttemptOutcome>,
    /// The status of the answer.
    pub status: Option<u16>,
    /// The beginning of the answer.
    pub answer: String,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
    /// When it was noted, UTC.
    pub at: NaiveDateTime,
}

/// Returns the statement that stores attempts, which are numbered from `first` on.
pub fn insert_text(endpoint_id: i64, first: i64, attempts: &[NewAttempt]) -> String {
    let values = (first..).zip(attempts).map(|(number, attempt)| {
        [
            Literal::Number(endpoint_id),
            Literal::Number(number),
            Literal::Number(attempt.position),
            Literal::plain(&attempt.event_id),
            Literal::Count(attempt.attempt.into()),
            Literal::Word(attempt.outcome.as_str()),
            attempt.status.map_or(Literal::Null, |status| Literal::Count(status.into())),
            Literal::Bytes(&attempt.answer),
            Literal::Number(attempt.duration_ms),
        ]
    });
    sql::push_attempts::Insert { rows: rows(values) }.text()
}

/// Stores attempts, which are numbered from `first` on, and forgets all but the `kept` latest ones.
pub async fn insert(
    tx: &mut Tx<'_>,
    endpoint_id: i64,
    first: i64,
    attempts: &[NewAttempt],
    kept: i64,
) -> Result<(), Failure> {
    if attempts.is_empty() {
        return Ok(());
    }
    tx.execute_text(&insert_text(endpoint_id, first, attempts)).await?;
    let end = first.saturating_add(i64::try_from(attempts.len()).unwrap_or(i64::MAX));
    tx.execute(sql::push_attempts::FORGET, params! { endpoint_id, "first" => end - kept }).await?;
    Ok(())
}

/// Lists up to `limit` attempts with smaller numbers than `before`, the newest first.
pub async fn list(tx: &mut Tx<'_>, endpoint_id: i64, before: i64, limit: u32) -> Result<Vec<PushAttempt>, Failure> {
    let found: Vec<Row> = tx.rows(sql::push_attempts::LIST, params! { endpoint_id, before, limit }).await?;
    let read = |row: &Row| {
        let outcome: String = column(row, "outcome")?;
        Ok(PushAttempt {
            number: column(row, "number")?,
            position: column(row, "position")?,
            event_id: column(row, "event_id")?,
            attempt: column(row, "attempt")?,
            outcome: AttemptOutcome::from_name(&outcome),
            status: column(row, "status")?,
            answer: text_column(row, "answer")?.unwrap_or_default(),
            duration_ms: column(row, "duration_ms")?,
            at: column(row, "noted_at")?,
        })
    };
    found.iter().map(read).collect()
}
