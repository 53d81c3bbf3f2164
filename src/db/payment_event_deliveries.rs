//! What deliveries were answered.

use chrono::NaiveDateTime;
use mysql_async::{Row, Value, params};

use super::operators::IdRange;
use super::{Failure, Tx, column, sql, text_column};
use crate::domain::payment::{DeliveryStatus, Provider};
use crate::domain::{EventStatus, Named as _};

/// One delivery of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// Which delivery it was; the first is 1.
    pub number: i64,
    /// What it was answered.
    pub answer: DeliveryStatus,
    /// When, UTC.
    pub at: NaiveDateTime,
}

/// Writes what the delivery of this transaction is answered.
pub async fn insert(tx: &mut Tx<'_>, event_id: i64, answer: DeliveryStatus) -> Result<(), Failure> {
    let params = params! { event_id, "answer" => answer.as_str() };
    match tx.execute(sql::payment_event_deliveries::INSERT, params).await? {
        0 => Err(Failure::Broken(format!("the payment event {event_id} is missing"))),
        _ => Ok(()),
    }
}

/// Replaces the answer of a first delivery that was to wait for its order, and was applied before it was answered.
pub async fn correct(tx: &mut Tx<'_>, event_id: i64, answer: DeliveryStatus) -> Result<(), Failure> {
    let params = params! { event_id, "answer" => answer.as_str() };
    tx.execute(sql::payment_event_deliveries::CORRECT, params).await?;
    Ok(())
}

/// Events that name a charge, of one provider and of one state where they are given; those that own it are not among them.
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
    let (statement, params) = range.apply(sql::payment_event_deliveries::LIST_IDS_OF_CHARGE, more);
    tx.rows(&statement, params).await
}

/// The deliveries of an event that have a row, the oldest first. An answer that only a newer program knows is left out.
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
