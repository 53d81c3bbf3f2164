//! The table of events.

use chrono::NaiveDateTime;
use mysql_async::{Row, params};
use uuid::Uuid;

use crate::db::column::{bytes, column};
use crate::db::door::Tx;
use crate::db::error::{Failure, raced};
use crate::db::guard::single;
use crate::db::sql;
use crate::domain::EventDetails;

/// What an event says about its ticket types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTerms {
    /// When the sale begins, UTC.
    pub sale_starts_at: Option<NaiveDateTime>,
    /// When the sale is over, UTC.
    pub sale_ends_at: Option<NaiveDateTime>,
    /// The most units of one buyer, of all ticket types together.
    pub max_per_buyer: Option<i64>,
    /// When the event was cancelled, UTC.
    pub cancelled_at: Option<NaiveDateTime>,
    /// The currency of its ticket types; `None` without any.
    pub currency: Option<String>,
    /// How many ticket types it has.
    pub ticket_types: i64,
    /// How many seats it has.
    pub seats: i64,
}

/// Creates an event. Returns its id.
///
/// # Errors
/// [`Failure::Raced`] when an earlier attempt of this change is being committed, or was.
pub async fn insert(tx: &mut Tx<'_>, event: &EventDetails, change_id: Uuid, created_by: &str) -> Result<i64, Failure> {
    let EventDetails { organizer_id, name, venue, starts_at, sale_starts_at, sale_ends_at, max_per_buyer } = event;
    let params = params! {
        organizer_id,
        name,
        venue,
        starts_at,
        sale_starts_at,
        sale_ends_at,
        max_per_buyer,
        "change_id" => bytes(change_id),
        "created_by" => created_by.as_bytes(),
    };
    tx.execute(sql::events::INSERT, params).await.map_err(|failure| raced(failure, "events_change"))?;
    let id = tx.last_insert_id().and_then(|id| i64::try_from(id).ok());
    id.ok_or_else(|| Failure::Broken("a new event has no id".to_owned()))
}

/// Finds the event that a change has made.
pub async fn find_by_change(tx: &mut Tx<'_>, change_id: Uuid) -> Result<Option<i64>, Failure> {
    tx.row(sql::events::FIND_BY_CHANGE, params! { "change_id" => bytes(change_id) }).await
}

/// Finds what an event says about its ticket types.
pub async fn find_terms(tx: &mut Tx<'_>, event_id: i64) -> Result<Option<EventTerms>, Failure> {
    let found: Option<Row> = tx.row(sql::events::FIND_TERMS, params! { event_id }).await?;
    let terms = |row: &Row| {
        Ok(EventTerms {
            sale_starts_at: column(row, "sale_starts_at")?,
            sale_ends_at: column(row, "sale_ends_at")?,
            max_per_buyer: column(row, "max_per_buyer")?,
            cancelled_at: column(row, "cancelled_at")?,
            currency: column(row, "currency")?,
            ticket_types: column(row, "ticket_types")?,
            seats: column(row, "seats")?,
        })
    };
    found.as_ref().map(terms).transpose()
}

/// Cancels an event. Returns false when there is none, or it was cancelled before.
pub async fn cancel(tx: &mut Tx<'_>, event_id: i64) -> Result<bool, Failure> {
    single("events/cancel", tx.execute(sql::events::CANCEL, params! { event_id }).await?)
}

/// Counts a new ticket type of an event in this currency. Returns false when the event takes none.
pub async fn add_ticket_type(tx: &mut Tx<'_>, event_id: i64, currency: &str, most: i64) -> Result<bool, Failure> {
    let params = params! { event_id, currency, most };
    single("events/add_ticket_type", tx.execute(sql::events::ADD_TICKET_TYPE, params).await?)
}

/// Counts new seats of an event. Returns false when the event does not take them.
pub async fn add_seats(tx: &mut Tx<'_>, event_id: i64, seats: i64, most: i64) -> Result<bool, Failure> {
    single("events/add_seats", tx.execute(sql::events::ADD_SEATS, params! { event_id, seats, most }).await?)
}
