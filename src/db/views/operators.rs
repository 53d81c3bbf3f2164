//! The inbox for operators: lists, and changes by hand.

use chrono::NaiveDateTime;
use mysql_async::{Row, params};
use uuid::Uuid;

use crate::db::column::{bytes, column, id_column, state, text_column};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::guard::single;
use crate::db::id_range::IdRange;
use crate::db::literal::numbers;
use crate::db::sql;
use crate::db::tables::charges::{Charge, Money};
use crate::db::tables::payment_event_quarantines;
use crate::db::tables::payment_event_trail::Action;
use crate::domain::{EventStatus, Meaning, Named as _, Quarantine, Reference};

/// An event as a line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLine {
    /// Its id.
    pub id: i64,
    /// The provider on whose route it arrived.
    pub provider: String,
    /// Its state.
    pub status: EventStatus,
    /// Its meaning.
    pub meaning: Meaning,
    /// The order or hold that it names.
    pub reference: Reference,
    /// The provider's name for the charge.
    pub txn_id: Option<String>,
    /// The decimal amount in major units, as it was written.
    pub amount: Option<String>,
    /// The currency, as it was written.
    pub currency: Option<String>,
    /// How often it was delivered.
    pub deliveries: i64,
    /// How often it was tried.
    pub attempts: i64,
    /// When it first arrived, UTC.
    pub received_at: NaiveDateTime,
    /// When it got its outcome, UTC.
    pub settled_at: Option<NaiveDateTime>,
    /// While it waits: when it is tried again or given up, UTC.
    pub due_at: Option<NaiveDateTime>,
    /// Why it is quarantined, or was until an operator settled it.
    pub quarantine: Option<Quarantine>,
}

fn line(row: &Row) -> Result<EventLine, Failure> {
    let status = state(&column::<String>(row, "status")?)?;
    let due_at: Option<NaiveDateTime> = column(row, "due_at")?;
    Ok(EventLine {
        id: column(row, "id")?,
        provider: text_column(row, "provider")?.unwrap_or_default(),
        status,
        meaning: state(&column::<String>(row, "meaning")?)?,
        reference: Reference { order_id: id_column(row, "order_id")?, hold_id: id_column(row, "hold_id")? },
        txn_id: text_column(row, "txn_id")?,
        amount: text_column(row, "amount")?,
        currency: text_column(row, "currency")?,
        deliveries: column(row, "deliveries")?,
        attempts: column(row, "attempts")?,
        received_at: column(row, "received_at")?,
        settled_at: column(row, "settled_at")?,
        due_at: due_at.filter(|_| matches!(status, EventStatus::Received | EventStatus::Parked)),
        quarantine: payment_event_quarantines::quarantine(row)?,
    })
}

fn lines(found: &[Row]) -> Result<Vec<EventLine>, Failure> {
    found.iter().map(line).collect()
}

/// All columns of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord {
    /// Its line in the inbox.
    pub line: EventLine,
    /// The key that all deliveries of one event have.
    pub idempotency_key: Vec<u8>,
    /// Whether it is a refund that puts the units back on sale.
    pub restock: bool,
    /// Whether it is a refund whose amount is everything that was given back so far.
    pub cumulative: bool,
    /// Whether an operator accepted its amount as it is.
    pub accepted_amount: bool,
    /// The provider's time, as it was written.
    pub provider_timestamp: Option<String>,
    /// The source that it names.
    pub source: Option<String>,
    /// The caller's correlation id.
    pub correlation_id: Option<String>,
    /// The headers of its first delivery, `name: value`, a line each.
    pub headers: String,
    /// The body of its first delivery.
    pub body: Vec<u8>,
    /// When it was last tried, UTC.
    pub attempted_at: Option<NaiveDateTime>,
    /// How long the attempt took that gave it its outcome, in microseconds.
    pub processing_us: Option<i64>,
    /// When an operator dismissed it, UTC, and the note.
    pub dismissal: Option<(NaiveDateTime, String)>,
    /// The operator who dismissed it; `None` also for a dismissal before operators had names.
    pub dismissed_by: Option<String>,
}

/// Lists the ids of events of one state.
pub async fn list_ids_by_state(tx: &mut Tx<'_>, status: EventStatus, range: &IdRange) -> Result<Vec<i64>, Failure> {
    let statement = sql::payment_events::ListIdsByState { direction: range.direction() };
    tx.rows(&statement.text(), range.params(vec![("status", status.as_str().into())])).await
}

/// Lists the ids of events of all states.
pub async fn list_ids_by_age(tx: &mut Tx<'_>, range: &IdRange) -> Result<Vec<i64>, Failure> {
    let statement = sql::payment_events::ListIdsByAge { direction: range.direction() };
    tx.rows(&statement.text(), range.params(Vec::new())).await
}

/// Lists the ids of events of one state that name this order.
pub async fn list_ids_of_order(
    tx: &mut Tx<'_>,
    order_id: Uuid,
    status: EventStatus,
    range: &IdRange,
) -> Result<Vec<i64>, Failure> {
    let statement = sql::payment_events::ListIdsOfOrder { direction: range.direction() };
    let more = vec![("order_id", bytes(order_id)), ("status", status.as_str().into())];
    tx.rows(&statement.text(), range.params(more)).await
}

/// Lists the ids of events of one state that name this hold.
pub async fn list_ids_of_hold(
    tx: &mut Tx<'_>,
    hold_id: Uuid,
    status: EventStatus,
    range: &IdRange,
) -> Result<Vec<i64>, Failure> {
    let statement = sql::payment_events::ListIdsOfHold { direction: range.direction() };
    let more = vec![("hold_id", bytes(hold_id)), ("status", status.as_str().into())];
    tx.rows(&statement.text(), range.params(more)).await
}

/// Finds the first event from an id on, and when it was received, UTC.
pub async fn find_next(tx: &mut Tx<'_>, id: i64) -> Result<Option<(i64, NaiveDateTime)>, Failure> {
    tx.row(sql::payment_events::FIND_NEXT, params! { id }).await
}

/// Finds the id of the newest event; 0 in an empty inbox.
pub async fn find_last(tx: &mut Tx<'_>) -> Result<i64, Failure> {
    Ok(tx.row(sql::payment_events::FIND_LAST, ()).await?.unwrap_or(0))
}

/// Lists the lines of these events, in any order.
pub async fn list_lines(tx: &mut Tx<'_>, ids: &[i64]) -> Result<Vec<EventLine>, Failure> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    lines(&tx.rows_text::<Row>(&sql::payment_events::ListLines { ids: numbers(ids) }.text()).await?)
}

/// Finds all columns of one event.
pub async fn find_all(tx: &mut Tx<'_>, event_id: i64) -> Result<Option<EventRecord>, Failure> {
    let found: Option<Row> = tx.row(sql::payment_events::FIND_ALL, params! { event_id }).await?;
    let Some(row) = &found else { return Ok(None) };
    Ok(Some(EventRecord {
        line: line(row)?,
        idempotency_key: column(row, "idempotency_key")?,
        restock: column(row, "restock")?,
        cumulative: column(row, "cumulative")?,
        accepted_amount: column(row, "accepted_amount")?,
        provider_timestamp: text_column(row, "provider_timestamp")?,
        source: text_column(row, "source")?,
        correlation_id: text_column(row, "correlation_id")?,
        headers: text_column(row, "headers")?.unwrap_or_default(),
        body: column(row, "body")?,
        attempted_at: column(row, "attempted_at")?,
        processing_us: column(row, "processing_us")?,
        dismissal: column::<Option<NaiveDateTime>>(row, "dismissed_at")?.zip(text_column(row, "dismissal")?),
        dismissed_by: column(row, "operator")?,
    }))
}

/// The money of a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeLine {
    /// The success that owns it.
    pub event_id: i64,
    /// Its order and its hold, as far as they are known.
    pub reference: Reference,
    /// Its state.
    pub status: crate::domain::ChargeStatus,
    /// How much was taken, in minor units of `currency`; `None`: unknown.
    pub amount_minor: Option<i64>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// How much of it was given back.
    pub refunded_minor: i64,
}

impl From<Charge> for ChargeLine {
    fn from(charge: Charge) -> Self {
        let Charge { event_id, reference, status, amount_minor, currency, refunded_minor, .. } = charge;
        Self { event_id, reference, status, amount_minor, currency, refunded_minor }
    }
}

/// Lists the lines of these events, each with the charge that it owns, in any order.
pub async fn list_refunds(tx: &mut Tx<'_>, ids: &[i64]) -> Result<Vec<(EventLine, Option<ChargeLine>)>, Failure> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let found: Vec<Row> = tx.rows_text(&sql::payment_events::ListRefunds { ids: numbers(ids) }.text()).await?;
    let refund = |row: &Row| Ok((line(row)?, charge_line(row)?));
    found.iter().map(refund).collect()
}

fn charge_line(row: &Row) -> Result<Option<ChargeLine>, Failure> {
    let Some(event_id) = column::<Option<i64>>(row, "charge_event_id")? else { return Ok(None) };
    Ok(Some(ChargeLine {
        event_id,
        reference: Reference {
            order_id: id_column(row, "charge_order_id")?,
            hold_id: id_column(row, "charge_hold_id")?,
        },
        status: state(&column::<String>(row, "charge_status")?)?,
        amount_minor: column(row, "charge_amount_minor")?,
        currency: column(row, "charge_currency")?,
        refunded_minor: column(row, "charge_refunded_minor")?,
    }))
}

/// An entry in the trail of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTrailEntry {
    /// The action.
    pub action: Action,
    /// How often the event had been tried by then.
    pub attempt: i64,
    /// An error, or an operator's note.
    pub detail: String,
    /// When, UTC.
    pub at: NaiveDateTime,
    /// The operator who acted; `None` without one, and for actions before operators had names.
    pub operator: Option<String>,
}

/// Lists the last `limit` entries in the trail of an event, the oldest of them first.
pub async fn list_happenings(tx: &mut Tx<'_>, event_id: i64, limit: u32) -> Result<Vec<EventTrailEntry>, Failure> {
    let found: Vec<Row> = tx.rows(sql::payment_event_trail::LIST, params! { event_id, limit }).await?;
    let happening = |row: &Row| {
        Ok(EventTrailEntry {
            action: state(&column::<String>(row, "action")?)?,
            attempt: column(row, "attempt")?,
            detail: text_column(row, "detail")?.unwrap_or_default(),
            at: column(row, "at")?,
            operator: column(row, "operator")?,
        })
    };
    found.iter().rev().map(happening).collect()
}

/// Marks the money of a success as given back. Returns false when it is neither due for refund nor quarantined.
pub async fn mark_refund_done(tx: &mut Tx<'_>, event_id: i64) -> Result<bool, Failure> {
    single(
        "payment_events/mark_refund_done",
        tx.execute(sql::payment_events::MARK_REFUND_DONE, params! { event_id }).await?,
    )
}

/// Marks the charge of that success as given back; one that no event owns yet is recorded as given back. Returns false when
/// another event owns it: the charge stays as it is, and this transaction has its lock.
pub async fn settle_charge(tx: &mut Tx<'_>, event_id: i64, money: &Money) -> Result<bool, Failure> {
    if tx.execute(sql::charges::MARK_REFUND_DONE, params! { event_id }).await? > 0 {
        return Ok(true);
    }
    let params = params! { event_id, "amount_minor" => money.amount_minor, "currency" => &money.currency };
    single("charges/insert_refund_done", tx.execute(sql::charges::INSERT_REFUND_DONE, params).await?)
}

/// Dismisses a quarantined failure or refund. Returns false when the event is neither.
pub async fn dismiss(tx: &mut Tx<'_>, event_id: i64) -> Result<bool, Failure> {
    single("payment_events/dismiss", tx.execute(sql::payment_events::DISMISS, params! { event_id }).await?)
}
