//! The feed: a row has what one transaction told one audience. Rows are written with the COMMIT of that transaction
//! ([`Tx::tell`]), and get their positions afterwards.

use std::time::Duration;

use chrono::NaiveDateTime;
use mysql_async::{Row, params};
use uuid::Uuid;

use crate::db::column::{column, id};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::literal::{Literal, cases, numbers};
use crate::db::sql;

/// A row that has no position yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct New {
    /// Its id, which ascends with the commits of transactions that wait for each other.
    pub id: i64,
    /// How many events it has.
    pub items: i64,
    /// How long ago it was written.
    pub waited: Duration,
}

/// Where a row of the feed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The position of its last event.
    pub position: i64,
    /// How many events it has; their positions follow each other.
    pub items: i64,
}

/// A row of the feed.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Where it is.
    pub place: Place,
    /// When its events happened, UTC.
    pub created_at: NaiveDateTime,
    /// What the names of its events begin with.
    pub batch: Uuid,
    /// Its events, as a list in JSON.
    pub events: String,
}

/// Reads the rows of `feed_batches/list_new`.
pub fn read_new(rows: Vec<(i64, i64, i64)>) -> Vec<New> {
    let waited = |us| Duration::from_micros(u64::try_from(us).unwrap_or(0));
    rows.into_iter().map(|(id, items, us)| New { id, items, waited: waited(us) }).collect()
}

/// Finds the last row that is older than so many seconds.
pub async fn find_settled(tx: &mut Tx<'_>, seconds: u64) -> Result<Option<i64>, Failure> {
    tx.row(sql::feed_batches::FIND_SETTLED, params! { seconds }).await
}

/// Lists committed rows without a position, however old, by id.
pub async fn list_stragglers(tx: &mut Tx<'_>, limit: u32) -> Result<Vec<New>, Failure> {
    Ok(read_new(tx.rows(sql::feed_batches::LIST_STRAGGLERS, params! { limit }).await?))
}

/// Returns the statement that gives rows the positions behind `position`, in their order.
pub fn number(position: i64, rows: &[New]) -> String {
    let mut last = position;
    let places: Vec<(Literal<'_>, Literal<'_>)> = rows
        .iter()
        .map(|row| {
            last += row.items;
            (Literal::Number(row.id), Literal::Number(last))
        })
        .collect();
    let row_ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    sql::feed_batches::Number { cases: cases(places), ids: numbers(&row_ids) }.text()
}

/// Lists the places of the rows that have events behind `after` and none behind `safe`, in their order: of all audiences, or of this
/// one. The first of them may have earlier events, too.
pub async fn list_places(
    tx: &mut Tx<'_>,
    audience: Option<i64>,
    after: i64,
    safe: i64,
    limit: u32,
) -> Result<Vec<Place>, Failure> {
    let found: Vec<(i64, i64)> = match audience {
        None => tx.rows(sql::feed_batches::LIST_PLACES, params! { after, safe, limit }).await?,
        Some(client_id) => {
            let params = params! { client_id, after, safe, limit };
            tx.rows(sql::feed_batches::LIST_PLACES_OF_CLIENT, params).await?
        }
    };
    Ok(found.into_iter().map(|(position, items)| Place { position, items }).collect())
}

/// Lists the rows at these positions, in their order.
pub async fn list_some(tx: &mut Tx<'_>, positions: &[i64]) -> Result<Vec<Batch>, Failure> {
    if positions.is_empty() {
        return Ok(Vec::new());
    }
    let statement = sql::feed_batches::ListSome { positions: numbers(positions) };
    tx.rows_text(&statement.text()).await?.iter().map(batch).collect()
}

fn batch(row: &Row) -> Result<Batch, Failure> {
    let events: Vec<u8> = column(row, "events")?;
    Ok(Batch {
        place: Place { position: column(row, "position")?, items: column(row, "items")? },
        created_at: column(row, "created_at")?,
        batch: id(&column::<Vec<u8>>(row, "batch")?)?,
        events: String::from_utf8(events).map_err(|error| Failure::Broken(error.to_string()))?,
    })
}
