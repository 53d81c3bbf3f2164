//! What operators see of the inbox, and what they do there by hand.

use chrono::NaiveDateTime;
use mysql_async::{Row, params};

use super::charges::{Charge, Money};
use super::payment_event_trail::Action;
use super::{Failure, Tx, column, id_column, payment_event_quarantines, single, sql, state, text_column};
use crate::domain::{EventStatus, Meaning, Quarantine, Reference};

/// A line of the inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLine {
    /// Its id.
    pub id: i64,
    /// The route that it came by.
    pub provider: String,
    /// Where it is.
    pub status: EventStatus,
    /// What happened.
    pub meaning: Meaning,
    /// To which order.
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
    /// When it came first, UTC.
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

/// Everything that is known of an event by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord {
    /// What the inbox shows of it.
    pub line: EventLine,
    /// What makes two deliveries the same event.
    pub idempotency_key: Vec<u8>,
    /// A refund that puts the units back on sale.
    pub restock: bool,
    /// A refund whose amount is everything that was given back so far.
    pub cumulative: bool,
    /// An operator accepted its amount as it is.
    pub accepted_amount: bool,
    /// The provider's time, as it was written.
    pub provider_timestamp: Option<String>,
    /// Where it says it comes from.
    pub source: Option<String>,
    /// The caller's name for the whole conversation.
    pub correlation_id: Option<String>,
    /// The headers of its first delivery, `name: value`, a line each.
    pub headers: String,
    /// The body of its first delivery.
    pub body: Vec<u8>,
    /// When it was last tried, UTC.
    pub attempted_at: Option<NaiveDateTime>,
    /// How long the attempt took that gave it its outcome.
    pub processing_us: Option<i64>,
    /// When an operator dismissed it, UTC, and the note.
    pub dismissal: Option<(NaiveDateTime, String)>,
}

/// Up to `limit` events of one state with ids greater than `after`, the oldest first.
pub async fn list_by_state(
    tx: &mut Tx<'_>,
    status: EventStatus,
    after: i64,
    limit: u32,
) -> Result<Vec<EventLine>, Failure> {
    let params = params! { "status" => crate::domain::Named::as_str(status), after, limit };
    lines(&tx.rows::<Row>(sql::payment_events::LIST_BY_STATE, params).await?)
}

/// Up to `limit` events with ids smaller than `before`, the newest first.
pub async fn list_newest(tx: &mut Tx<'_>, before: i64, limit: u32) -> Result<Vec<EventLine>, Failure> {
    lines(&tx.rows::<Row>(sql::payment_events::LIST_NEWEST, params! { before, limit }).await?)
}

/// Everything about one event.
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
    }))
}

/// The money of a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeLine {
    /// The success that owns it.
    pub event_id: i64,
    /// Its order and its hold, as far as they are known.
    pub reference: Reference,
    /// Where the money is.
    pub status: crate::domain::ChargeStatus,
    /// How much was taken, in minor units of `currency`; `None`: nobody said.
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

/// Up to `limit` events with ids greater than `after` whose money has to be given back, each with its charge.
pub async fn list_refunds_due(
    tx: &mut Tx<'_>,
    after: i64,
    limit: u32,
) -> Result<Vec<(EventLine, Option<ChargeLine>)>, Failure> {
    let found: Vec<Row> = tx.rows(sql::payment_events::LIST_REFUNDS_DUE, params! { after, limit }).await?;
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

/// Something that happened to an event, beside its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// What happened.
    pub action: Action,
    /// How often it had been tried by then.
    pub attempt: i64,
    /// An error, or an operator's note.
    pub detail: String,
    /// When, UTC.
    pub at: NaiveDateTime,
}

/// The last `limit` things that happened to an event, the oldest of them first.
pub async fn list_happenings(tx: &mut Tx<'_>, event_id: i64, limit: u32) -> Result<Vec<Happening>, Failure> {
    let found: Vec<Row> = tx.rows(sql::payment_event_trail::LIST, params! { event_id, limit }).await?;
    let happening = |row: &Row| {
        Ok(Happening {
            action: state(&column::<String>(row, "action")?)?,
            attempt: column(row, "attempt")?,
            detail: text_column(row, "detail")?.unwrap_or_default(),
            at: column(row, "at")?,
        })
    };
    found.iter().rev().map(happening).collect()
}

/// An operator gave the money of a success back. False when it is neither due for refund nor quarantined.
pub async fn mark_refund_done(tx: &mut Tx<'_>, event_id: i64) -> Result<bool, Failure> {
    single(
        "payment_events/mark_refund_done",
        tx.execute(sql::payment_events::MARK_REFUND_DONE, params! { event_id }).await?,
    )
}

/// The same for its charge; one that no event owns yet is written down as given back. False when another event owns it:
/// the charge stays as it is, and this transaction holds it.
pub async fn settle_charge(tx: &mut Tx<'_>, event_id: i64, money: &Money) -> Result<bool, Failure> {
    if tx.execute(sql::charges::MARK_REFUND_DONE, params! { event_id }).await? > 0 {
        return Ok(true);
    }
    let params = params! { event_id, "amount_minor" => money.amount_minor, "currency" => &money.currency };
    single("charges/insert_refund_done", tx.execute(sql::charges::INSERT_REFUND_DONE, params).await?)
}

/// An operator dismissed a quarantined failure or refund. False when the event is neither.
pub async fn dismiss(tx: &mut Tx<'_>, event_id: i64) -> Result<bool, Failure> {
    single("payment_events/dismiss", tx.execute(sql::payment_events::DISMISS, params! { event_id }).await?)
}
