//! Events that were not delivered: those that wait to be pushed again, and those that have failed for good.

use std::time::Duration;

use chrono::NaiveDateTime;
use mysql_async::{Row, params};
use uuid::Uuid;

use crate::db::column::{column, id_column};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::literal::{Literal, numbers, rows};
use crate::db::sql;
use crate::domain::{Named as _, UndeliveredState};

/// An event that waits to be pushed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its position.
    pub position: i64,
    /// The position of its row in the feed.
    pub row_position: i64,
    /// The order or hold that it is about.
    pub order_id: Option<Uuid>,
    /// How many attempts there were.
    pub attempts: u32,
    /// When it happened, UTC.
    pub happened_at: NaiveDateTime,
    /// How long until it is due; `None`: it is due.
    pub due_in: Option<Duration>,
}

/// An event that was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// Its position.
    pub position: i64,
    /// The position of its row in the feed.
    pub row_position: i64,
    /// The order or hold that it is about.
    pub order_id: Option<Uuid>,
    /// How many attempts there were.
    pub attempts: u32,
    /// When it happened, UTC.
    pub happened_at: NaiveDateTime,
    /// How long after now it is tried again; `None`: it has failed for good.
    pub again_in: Option<Duration>,
}

/// An event that was not delivered, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndeliveredRow {
    /// Its position.
    pub position: i64,
    /// The position of the last event that was told with it.
    pub row_position: i64,
    /// The order or hold that it is about.
    pub order_id: Option<Uuid>,
    /// Whether it is tried again; `None` for a state that only a newer version knows.
    pub state: Option<UndeliveredState>,
    /// How many attempts there were.
    pub attempts: u32,
    /// When it happened, UTC.
    pub happened_at: NaiveDateTime,
    /// When it is tried again, UTC, if it is.
    pub next_at: NaiveDateTime,
}

fn waiting(row: &Row) -> Result<Waiting, Failure> {
    let (is_due, due_us): (bool, i64) = (column(row, "is_due")?, column(row, "due_us")?);
    Ok(Waiting {
        position: column(row, "position")?,
        row_position: column(row, "row_position")?,
        order_id: id_column(row, "order_id")?,
        attempts: column(row, "attempts")?,
        happened_at: column(row, "happened_at")?,
        due_in: (!is_due).then(|| Duration::from_micros(u64::try_from(due_us).unwrap_or(0))),
    })
}

/// Lists up to `limit` events that wait to be pushed again, in the order of the feed.
pub async fn list_waiting(tx: &mut Tx<'_>, endpoint_id: i64, limit: u32) -> Result<Vec<Waiting>, Failure> {
    let found: Vec<Row> = tx.rows(sql::push_failures::LIST_WAITING, params! { endpoint_id, limit }).await?;
    found.iter().map(waiting).collect()
}

/// Lists up to `limit` events that an endpoint has not accepted, behind `after`, in the order of the feed.
pub async fn list(tx: &mut Tx<'_>, endpoint_id: i64, after: i64, limit: u32) -> Result<Vec<UndeliveredRow>, Failure> {
    let found: Vec<Row> = tx.rows(sql::push_failures::LIST, params! { endpoint_id, after, limit }).await?;
    let read = |row: &Row| {
        let state: String = column(row, "state")?;
        Ok(UndeliveredRow {
            position: column(row, "position")?,
            row_position: column(row, "row_position")?,
            order_id: id_column(row, "order_id")?,
            state: UndeliveredState::from_name(&state),
            attempts: column(row, "attempts")?,
            happened_at: column(row, "happened_at")?,
            next_at: column(row, "next_at")?,
        })
    };
    found.iter().map(read).collect()
}

/// Returns the statement that stores events that were not delivered, or what became of them.
pub fn put_text(endpoint_id: i64, undelivered: &[Undelivered]) -> String {
    let row = |event: &Undelivered| {
        let (state, seconds) = match event.again_in {
            Some(again_in) => (UndeliveredState::Waiting, again_in.as_secs()),
            None => (UndeliveredState::Failed, 0),
        };
        [
            Literal::Number(endpoint_id),
            Literal::Number(event.position),
            Literal::Number(event.row_position),
            event.order_id.map_or(Literal::Null, Literal::Id),
            Literal::Word(state.as_str()),
            Literal::Count(event.attempts.into()),
            Literal::Time(event.happened_at),
            Literal::Later("NOW(6)", seconds),
        ]
    };
    sql::push_failures::Put { rows: rows(undelivered.iter().map(row)) }.text()
}

/// Stores events that were not delivered, or what became of them.
pub async fn put(tx: &mut Tx<'_>, endpoint_id: i64, undelivered: &[Undelivered]) -> Result<(), Failure> {
    if !undelivered.is_empty() {
        tx.execute_text(&put_text(endpoint_id, undelivered)).await?;
    }
    Ok(())
}

/// Returns the statement that forgets events which do not wait any more.
pub fn delete_text(endpoint_id: i64, positions: &[i64]) -> String {
    let endpoint_id = Literal::Number(endpoint_id).into();
    sql::push_failures::Delete { endpoint_id, positions: numbers(positions) }.text()
}

/// Forgets events that do not wait any more.
pub async fn delete(tx: &mut Tx<'_>, endpoint_id: i64, positions: &[i64]) -> Result<(), Failure> {
    if !positions.is_empty() {
        tx.execute_text(&delete_text(endpoint_id, positions)).await?;
    }
    Ok(())
}

/// Returns the statement that forgets the events behind a position.
pub fn delete_behind_text(endpoint_ids: &[i64], position: i64) -> String {
    sql::push_failures::DeleteBehind { ids: numbers(endpoint_ids), position: Literal::Number(position).into() }.text()
}

/// Forgets the events behind a position.
pub async fn delete_behind(tx: &mut Tx<'_>, endpoint_ids: &[i64], position: i64) -> Result<(), Failure> {
    tx.execute_text(&delete_behind_text(endpoint_ids, position)).await?;
    Ok(())
}

/// Makes all events due that wait for this endpoint.
pub async fn make_due(tx: &mut Tx<'_>, endpoint_id: i64) -> Result<(), Failure> {
    tx.execute(sql::push_failures::MAKE_DUE, params! { endpoint_id }).await?;
    Ok(())
}

/// Makes those events due that wait for this endpoint and have these positions.
pub async fn make_due_between(tx: &mut Tx<'_>, endpoint_id: i64, first: i64, last: i64) -> Result<(), Failure> {
    tx.execute(sql::push_failures::MAKE_DUE_BETWEEN, params! { endpoint_id, first, last }).await?;
    Ok(())
}
