//! The answers to deliveries of events.

use chrono::NaiveDateTime;
use mysql_async::{Row, Value, params};

use crate::db::column::{column, text_column};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::id_range::IdRange;
use crate::db::sql;
use crate::domain::payment::{DeliveryStatus, Provider};
use crate::domain::{EventStatus, Named as _};

/// One delivery of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// Which delivery it was; the first is 1.
    pub number: i64,
    /// The answer to it.
    pub answer: DeliveryStatus,
    /// When it arrived, UTC.
    pub at: NaiveDateTime,
}

/// Writes the answer to the delivery of this transaction.
pub async fn insert(tx: &mut Tx<'_>, event_id: i64, answer: DeliveryStatus) -> Result<(), Failure> {
    let params = params! { event_id, "answer" => answer.as_str() };
    match tx.execute(sql::payment_event_deliveries::INSERT, params).await? {
        0 => Err(Failure::Broken(format!("the payment event {event_id} is missing"))),
        _ => Ok(()),
    }
}

/// Replaces the answer to a first delivery that was to wait for its order, and was applied before the response.
pub async fn correct(tx: &mut Tx<'_>, event_id: i64, answer: DeliveryStatus) -> Result<(), Failure> {
    let params = params! { event_id, "answer" => answer.as_str() };
    tx.execute(sql::payment_event_deliveries::CORRECT, params).await?;
    Ok(())
}

/// Lists events that name a charge, except its owner; of one provider and of one state where these are given.
pub async fn list_ids_of_charge(
    tx: &mut Tx<'_>,
    (charge, provider, status): (&str, Option<Provider>, Option<EventStatus>),
    range: &IdRange,
) -> Result<Vec<i64>, Failure> {
    let word = |word: Option<&'static str>| word.map_or(Value::NULL, Value::from);
    let more = vec![
        ("charge", Value::from(charge)),
        ("provider", word(provider.map(Provider::as_str))),
        ("status", word(status.map(EventStatus::as_str))),
    ];
    let statement = sql::payment_event_deliveries::ListIdsOfCharge { direction: range.direction() };
    tx.rows(&statement.text(), range.params(more)).await
}

/// Lists the deliveries of an event that have a row, the oldest first. Skips answers that only a newer version knows.
pub async fn list(tx: &mut Tx<'_>, event_id: i64) -> Result<Vec<Delivered>, Failure> {
    let found: Vec<Row> = tx.rows(sql::payment_event_deliveries::LIST, params! { event_id }).await?;
    let mut deliveries = Vec::with_capacity(found.len());
    for row in &found {
        let answer = text_column(row, "answer")?.and_then(|answer| DeliveryStatus::from_name(&answer));
        if let Some(answer) = answer {
            deliveries.push(Delivered { number: column(row, "delivery")?, answer, at: column(row, "at")? });
        }
    }
    deliveries.sort_unstable_by_key(|delivered| delivered.number);
    Ok(deliveries)
}
