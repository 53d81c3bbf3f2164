//! The bodies of the operators' routes about the inbox.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use poem_openapi::Object;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::checkout::payments::lists::{DueRefund, RefundLine};
use crate::checkout::payments::operators::{Action, ChargeLine, Delivered, EventFile, EventLine, EventTrailEntry};
use crate::checkout::payments::receipt::Receipt;
use crate::domain::payment::DeliveryStatus;
use crate::domain::{ChargeStatus, EventStatus, Meaning, OrderStatus, Quarantine, QuarantineReason};
use crate::http::headers;
use crate::http::values::{Cursor, Timestamp, Word};

/// The check that a quarantined event failed, or a late payment beyond the limit of its buyer.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Quarantine")]
pub struct QuarantineBody {
    /// The check that failed.
    reason: Word<QuarantineReason>,
    /// The expected value.
    expected: String,
    /// The value in the event.
    got: String,
}

impl From<Quarantine> for QuarantineBody {
    fn from(Quarantine { reason, expected, got }: Quarantine) -> Self {
        Self { reason: Word(reason), expected, got }
    }
}

/// A payment event in the inbox.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "InboxEvent", skip_serializing_if_is_none)]
pub struct EventBody {
    /// The event's id.
    event_id: i64,
    /// The route by which the event arrived.
    provider: String,
    /// The event's state.
    state: Word<EventStatus>,
    /// The meaning of the event for a payment.
    meaning: Word<Meaning>,
    /// The order that the event names.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<Uuid>,
    /// The hold that the event names.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_id: Option<Uuid>,
    /// The provider's id of the charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    txn_id: Option<String>,
    /// The decimal amount in major units, as reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    /// The currency, as reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    /// Number of deliveries.
    deliveries: i64,
    /// Number of attempts to apply the event.
    attempts: i64,
    /// When the event was first received.
    received_at: Timestamp,
    /// When the event got its outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    settled_at: Option<Timestamp>,
    /// While the event waits: when it is tried again (`received`) or given up (`parked`).
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<Timestamp>,
    /// Why the event is quarantined, or was until an operator dismissed it or refunded the money. Absent for events that an
    /// earlier version quarantined without recording it. Also why the money of a late payment is due for refund, if its units
    /// would pass the limit of their buyer (`buyer_limit`).
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantine: Option<QuarantineBody>,
}

impl From<EventLine> for EventBody {
    fn from(line: EventLine) -> Self {
        Self {
            event_id: line.id,
            provider: line.provider,
            state: Word(line.status),
            meaning: Word(line.meaning),
            order_id: line.reference.order_id,
            hold_id: line.reference.hold_id,
            txn_id: line.txn_id,
            amount: line.amount,
            currency: line.currency,
            deliveries: line.deliveries,
            attempts: line.attempts,
            received_at: Timestamp(line.received_at),
            settled_at: line.settled_at.map(Timestamp),
            due_at: line.due_at.map(Timestamp),
            quarantine: line.quarantine.map(QuarantineBody::from),
        }
    }
}

/// One page of the inbox.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "InboxPage")]
pub struct EventPage {
    /// The events.
    pub items: Vec<EventBody>,
    /// The `cursor` of the next page; null on the last page.
    pub next_cursor: Cursor,
}

/// A charge: money that was taken.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Charge", skip_serializing_if_is_none)]
pub struct ChargeBody {
    /// The success that owns the charge: the first one that got an outcome.
    event_id: i64,
    /// The state of the money.
    state: Word<ChargeStatus>,
    /// The order of the charge, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<Uuid>,
    /// The hold of the charge, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_id: Option<Uuid>,
    /// The amount taken, in minor units of `currency`; absent if no event stated it.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_minor: Option<i64>,
    /// ISO 4217 code.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    /// The amount refunded so far, in minor units.
    refunded_minor: i64,
}

impl From<ChargeLine> for ChargeBody {
    fn from(charge: ChargeLine) -> Self {
        Self {
            event_id: charge.event_id,
            state: Word(charge.status),
            order_id: charge.reference.order_id,
            hold_id: charge.reference.hold_id,
            amount_minor: charge.amount_minor,
            currency: charge.currency,
            refunded_minor: charge.refunded_minor,
        }
    }
}

/// Money that must be refunded.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "RefundDue", skip_serializing_if_is_none)]
pub struct RefundBody {
    /// The success that reported the money.
    event: EventBody,
    /// The charge, with its amount and the amount refunded so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    charge: Option<ChargeBody>,
    /// What has to be given back of the charge because events were cancelled. Without any, it is all that is left of the charge.
    due: Vec<DueRefundBody>,
}

impl From<RefundLine> for RefundBody {
    fn from(RefundLine { event, charge, due }: RefundLine) -> Self {
        let due = due.into_iter().map(DueRefundBody::from).collect();
        Self { event: event.into(), charge: charge.map(ChargeBody::from), due }
    }
}

/// Money of a charge that has to be given back because an event was cancelled.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "DueRefund", skip_serializing_if_is_none)]
pub struct DueRefundBody {
    /// The cancelled event.
    event_id: i64,
    /// The order that the charge paid.
    order_id: Uuid,
    /// How much, in minor units of `currency`; absent: all of a charge whose amount is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_due_minor: Option<i64>,
    /// The currency of the charge; absent if it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    /// Since when.
    due_at: Timestamp,
}

impl From<DueRefund> for DueRefundBody {
    fn from(due: DueRefund) -> Self {
        let DueRefund { event_id, order_id, amount_minor, currency, due_at, .. } = due;
        Self { event_id, order_id, amount_due_minor: amount_minor, currency, due_at: Timestamp(due_at) }
    }
}

/// One page of money that must be refunded, the oldest first.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "RefundPage")]
pub struct RefundPage {
    /// The money.
    pub items: Vec<RefundBody>,
    /// The `cursor` of the next page; null on the last page.
    pub next_cursor: Cursor,
}

/// A header of the request that delivered an event.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "KeptHeader")]
pub struct HeaderBody {
    /// The name in lower case.
    name: String,
    /// The value as received; bytes that are not UTF-8 are replaced.
    value: String,
}

/// An entry in the history of an event: a failed attempt, or an action of an operator.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "EventHappening", skip_serializing_if_is_none)]
pub struct EventTrailEntryBody {
    /// The kind of entry.
    action: Word<Action>,
    /// Number of attempts until then.
    attempt: i64,
    /// The error, or the operator's note.
    detail: String,
    /// The time of the entry.
    at: Timestamp,
    /// The operator who acted; absent without one, and for actions before operators had names.
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<String>,
}

impl From<EventTrailEntry> for EventTrailEntryBody {
    fn from(happening: EventTrailEntry) -> Self {
        let EventTrailEntry { action, attempt, detail, at, operator } = happening;
        Self { action: Word(action), attempt, detail, at: Timestamp(at), operator }
    }
}

/// One delivery of an event.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "InboxDelivery")]
pub struct DeliveryBody {
    /// The number of the delivery; the first is 1.
    number: i64,
    /// The status in the response.
    answer: Word<DeliveryStatus>,
    /// The time of the delivery.
    at: Timestamp,
}

impl From<Delivered> for DeliveryBody {
    fn from(Delivered { number, answer, at }: Delivered) -> Self {
        Self { number, answer: Word(answer), at: Timestamp(at) }
    }
}

/// All data of a payment event.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "InboxEventFile", skip_serializing_if_is_none)]
pub struct EventFileBody {
    /// The event as the inbox lists it.
    event: EventBody,
    /// The key that identifies the event: the sender's key, or one made of `meaning` and `txn_id`.
    idempotency_key: String,
    /// Whether the event is a refund that puts the units back on sale.
    restock: bool,
    /// Whether the amount of a refund is the total refunded so far.
    cumulative: bool,
    /// Whether an operator accepted the amount.
    accepted_amount: bool,
    /// The provider's time, as reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_timestamp: Option<String>,
    /// `webhook_source` of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// `correlation_id` of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
    /// The time of the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempted_at: Option<Timestamp>,
    /// Duration of the attempt that led to the outcome, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    processing_us: Option<i64>,
    /// The event's charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    charge: Option<ChargeBody>,
    /// Failed attempts and actions of operators, the oldest first; the last hundred.
    history: Vec<EventTrailEntryBody>,
    /// The deliveries and their responses, the oldest first: the first one and the last 99. Those to earlier versions may be
    /// missing; `event.deliveries` counts all.
    deliveries: Vec<DeliveryBody>,
    /// The headers of the first delivery that are kept: `content-type`, `content-length`, `date`, `host`, `user-agent`,
    /// `webhook-id`, `webhook-timestamp`, `x-request-id`, `x-correlation-id`, `traceparent`, `tracestate`.
    headers: Vec<HeaderBody>,
    /// The body of the first delivery, as received.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    /// The body in base64, if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

impl From<EventFile> for EventFileBody {
    fn from(EventFile { record, charge, happenings, deliveries }: EventFile) -> Self {
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").filter(|(name, _)| headers::is_kept(name))?;
            Some(HeaderBody { name: name.to_owned(), value: value.to_owned() })
        };
        let (payload, payload_base64) = match String::from_utf8(record.body) {
            Ok(text) => (Some(text), None),
            Err(error) => (None, Some(BASE64_STANDARD.encode(error.as_bytes()))),
        };
        Self {
            event: record.line.into(),
            idempotency_key: String::from_utf8_lossy(&record.idempotency_key).into_owned(),
            restock: record.restock,
            cumulative: record.cumulative,
            accepted_amount: record.accepted_amount,
            provider_timestamp: record.provider_timestamp,
            source: record.source,
            correlation_id: record.correlation_id,
            attempted_at: record.attempted_at.map(Timestamp),
            processing_us: record.processing_us,
            charge: charge.map(ChargeBody::from),
            history: happenings.into_iter().map(EventTrailEntryBody::from).collect(),
            deliveries: deliveries.into_iter().map(DeliveryBody::from).collect(),
            headers: record.headers.lines().filter_map(header).collect(),
            payload,
            payload_base64,
        }
    }
}

/// A request to mark money as refunded.
#[derive(Debug, Default, Object, Deserialize)]
#[oai(rename = "RefundDone", deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct RefundDone {
    /// For the history: how the money was refunded, and by which operator. At most 500 bytes.
    #[serde(default)]
    pub note: Option<String>,
}

/// A request to dismiss an event.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "Dismissal", deny_unknown_fields)]
#[serde(deny_unknown_fields)]
pub struct Dismissal {
    /// For the history: the reason. 1 to 500 bytes.
    pub note: String,
}

/// A request to try an event again.
#[derive(Debug, Default, Object, Deserialize)]
#[oai(rename = "Replay", deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Accept the amount that the event states, which must be positive, as the full price of its order. An accepted amount
    /// stays accepted.
    #[serde(default)]
    pub accept_amount: Option<bool>,
    /// For the history: the reason. At most 500 bytes.
    #[serde(default)]
    pub note: Option<String>,
}

/// The state of an event after its replay.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Replayed", skip_serializing_if_is_none)]
pub struct Replayed {
    /// The event's id.
    event_id: i64,
    /// The event's state; `received` if it could not be applied and will be tried again automatically.
    state: Word<EventStatus>,
    /// The state of the event's order, if the order exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_status: Option<Word<OrderStatus>>,
}

impl From<Receipt> for Replayed {
    fn from(receipt: Receipt) -> Self {
        Self { event_id: receipt.event_id, state: Word(receipt.status), order_status: receipt.order_status.map(Word) }
    }
}
