//! The inbox of payment events.

mod waiting;

use std::time::Duration;

use chrono::NaiveDateTime;
use mysql_async::{Row, Value, params};

use crate::db::column::{bytes, column, id_column, state, text_column, us};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::guard::single;
use crate::db::sql;
use crate::domain::{EventStatus, Meaning, Named, PaymentEvent, Reference};

pub(in crate::db) use self::waiting::mark_all_applied;
pub use self::waiting::{
    Due, Open, Waiting, count_open, count_unmatched_successes, find_next_due, lease, lease_all, leased, list_due,
    list_holds, list_ready, list_waiting_for, no_success_waits, success_waits,
};

/// An event, with the columns that applying it needs.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its id in the inbox.
    pub id: i64,
    /// Its state.
    pub status: EventStatus,
    /// Its meaning.
    pub meaning: Meaning,
    /// The order or hold that it names.
    pub reference: Reference,
    /// The decimal amount, as it was written.
    pub amount: Option<String>,
    /// The currency, as it was written.
    pub currency: Option<String>,
    /// The provider's name for the charge.
    pub txn_id: Option<Vec<u8>>,
    /// The provider on whose route it arrived.
    pub provider: Vec<u8>,
    /// The digest that all deliveries of one event have.
    pub fingerprint: Vec<u8>,
    /// Whether it is a refund that puts the units back on sale.
    pub restock: bool,
    /// Whether it is a refund whose amount is everything that was given back so far.
    pub cumulative: bool,
    /// Whether an operator accepted its amount as it is.
    pub accepted_amount: bool,
    /// Whether it has waited for its order as long as an event may.
    pub overdue: bool,
    /// The database's clock when it was read, UTC.
    pub read_at: NaiveDateTime,
}

fn stored(row: &Row) -> Result<Stored, Failure> {
    Ok(Stored {
        id: column(row, "id")?,
        status: state(&column::<String>(row, "status")?)?,
        meaning: state(&column::<String>(row, "meaning")?)?,
        reference: Reference { order_id: id_column(row, "order_id")?, hold_id: id_column(row, "hold_id")? },
        amount: text_column(row, "amount")?,
        currency: text_column(row, "currency")?,
        txn_id: column(row, "txn_id")?,
        provider: column(row, "provider")?,
        fingerprint: column(row, "fingerprint")?,
        restock: column(row, "restock")?,
        cumulative: column(row, "cumulative")?,
        accepted_amount: column(row, "accepted_amount")?,
        overdue: column(row, "overdue")?,
        read_at: column(row, "read_at")?,
    })
}

/// The first state of an event in the inbox.
#[derive(Debug, Clone, Copy)]
pub struct Beginning {
    /// Attempts to apply it so far, this one included.
    pub attempts: u32,
    /// The time until a worker tries it, unless it gets its outcome in this transaction.
    pub pause: Duration,
    /// How long it waits for its order, in seconds.
    pub park_seconds: u64,
}

/// Stores an event. Returns its id for the first delivery, `None` for a copy, which is counted.
pub async fn insert(tx: &mut Tx<'_>, event: &PaymentEvent, beginning: Beginning) -> Result<Option<i64>, Failure> {
    let mut params = of_event(event, event.reference);
    params.extend([
        ("attempts", beginning.attempts.into()),
        ("pause_us", us(beginning.pause).into()),
        ("park_seconds", beginning.park_seconds.into()),
    ]);
    let affected = tx.execute(sql::payment_events::INSERT, params).await?;
    new_id(tx, affected)
}

/// Stores an event that has its outcome `status` already, for the order or hold of `reference`, which may come from elsewhere
/// than the event. Returns its id for the first delivery, `None` for a copy, which is counted.
pub async fn insert_settled(
    tx: &mut Tx<'_>,
    event: &PaymentEvent,
    reference: Reference,
    status: EventStatus,
) -> Result<Option<i64>, Failure> {
    let mut params = of_event(event, reference);
    params.push(("status", status.as_str().into()));
    let affected = tx.execute(sql::payment_events::INSERT_SETTLED, params).await?;
    new_id(tx, affected)
}

/// Returns the columns that an event fills in any state.
fn of_event(event: &PaymentEvent, reference: Reference) -> Vec<(&'static str, Value)> {
    vec![
        ("provider", event.provider.into()),
        ("idempotency_key", (&event.idempotency_key).into()),
        ("fingerprint", event.fingerprint().to_vec().into()),
        ("meaning", event.meaning.as_str().into()),
        ("order_id", reference.order_id.map(bytes).into()),
        ("hold_id", reference.hold_id.map(bytes).into()),
        ("amount", (&event.amount).into()),
        ("currency", (&event.currency).into()),
        ("txn_id", (&event.txn_id).into()),
        ("restock", event.restock.into()),
        ("cumulative", event.cumulative.into()),
        ("provider_timestamp", (&event.provider_timestamp).into()),
        ("source", (&event.source).into()),
        ("correlation_id", (&event.correlation_id).into()),
        ("headers", (&event.headers).into()),
        ("body", (&event.body).into()),
    ]
}

/// Returns the id of the row that an INSERT created; `None` when the row existed.
fn new_id(tx: &Tx<'_>, affected: u64) -> Result<Option<i64>, Failure> {
    match (affected, tx.last_insert_id()) {
        (1, Some(id)) => Ok(Some(i64::try_from(id).map_err(|error| Failure::Broken(error.to_string()))?)),
        (1, None) => Err(Failure::Broken("the INSERT returned no id".to_owned())),
        _ => Ok(None),
    }
}

/// Gives an unmatched event the order or hold of `reference` and the name of its charge: from then on it is a received
/// event that is due now, and waits for its order for up to `park_seconds`. Returns false when it is not unmatched any more.
pub async fn match_to(
    tx: &mut Tx<'_>,
    event_id: i64,
    reference: Reference,
    charge_name: &[u8],
    park_seconds: u64,
) -> Result<bool, Failure> {
    let params = params! {
        event_id,
        "order_id" => reference.order_id.map(bytes),
        "hold_id" => reference.hold_id.map(bytes),
        "txn_id" => charge_name,
        park_seconds,
    };
    single("payment_events/match", tx.execute(sql::payment_events::MATCH, params).await?)
}

/// Finds one event.
pub async fn find(tx: &mut Tx<'_>, event_id: i64) -> Result<Option<Stored>, Failure> {
    let row: Option<Row> = tx.row(sql::payment_events::FIND, params! { event_id }).await?;
    row.as_ref().map(stored).transpose()
}

/// Finds the event that was stored under this key.
pub async fn find_by_key(tx: &mut Tx<'_>, provider: &str, idempotency_key: &[u8]) -> Result<Option<Stored>, Failure> {
    let row: Option<Row> = tx.row(sql::payment_events::FIND_BY_KEY, params! { provider, idempotency_key }).await?;
    row.as_ref().map(stored).transpose()
}

/// Locks a waiting event for this transaction. Returns false when it already has its outcome. `counted`: counts the attempt,
/// which nothing else has counted.
pub async fn claim(tx: &mut Tx<'_>, event_id: i64, counted: bool) -> Result<bool, Failure> {
    let params = params! { event_id, "counted" => i64::from(counted) };
    single("payment_events/claim", tx.execute(sql::payment_events::CLAIM, params).await?)
}

/// Gives a waiting event of this transaction its outcome. `processing`: how long that took.
pub async fn settle(tx: &mut Tx<'_>, event_id: i64, status: EventStatus, processing: Duration) -> Result<(), Failure> {
    let params = params! { event_id, "status" => status.as_str(), "processing_us" => us(processing) };
    match single("payment_events/settle", tx.execute(sql::payment_events::SETTLE, params).await?)? {
        true => Ok(()),
        false => Err(Failure::Broken(format!("the payment event {event_id} already has its outcome"))),
    }
}

/// Lets an event of this transaction wait until it is given up.
pub async fn park(tx: &mut Tx<'_>, event_id: i64, processing: Duration) -> Result<(), Failure> {
    tx.execute(sql::payment_events::PARK, params! { event_id, "processing_us" => us(processing) }).await?;
    Ok(())
}

/// Marks the money of a success that was due for refund as given back. Returns false when it is not due any more.
pub async fn mark_refunded(tx: &mut Tx<'_>, event_id: i64) -> Result<bool, Failure> {
    let affected = tx.execute(sql::payment_events::MARK_REFUNDED, params! { event_id }).await?;
    single("payment_events/mark_refunded", affected)
}

/// Schedules another attempt after `pause` for a waiting event that could not be applied, and counts the failed one. Returns
/// false when it does not wait any more.
pub async fn postpone(tx: &mut Tx<'_>, event_id: i64, pause: Duration) -> Result<bool, Failure> {
    let params = params! { event_id, "pause_us" => us(pause) };
    single("payment_events/postpone", tx.execute(sql::payment_events::POSTPONE, params).await?)
}

/// Gives up a received event that was tried `attempts` times. Returns false when it is no such event.
pub async fn bury(tx: &mut Tx<'_>, event_id: i64, attempts: u32) -> Result<bool, Failure> {
    let affected = tx.execute(sql::payment_events::BURY, params! { event_id, attempts }).await?;
    single("payment_events/bury", affected)
}

/// Schedules new attempts for an event. Returns false when it is not dead, parked or quarantined.
pub async fn replay(tx: &mut Tx<'_>, event_id: i64, accept_amount: bool) -> Result<bool, Failure> {
    let affected = tx.execute(sql::payment_events::REPLAY, params! { event_id, accept_amount }).await?;
    single("payment_events/replay", affected)
}
