//! What operators are shown of the inbox.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use poem_openapi::Object;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::checkout::operators::{Action, ChargeLine, Delivered, EventFile, EventLine, Happening};
use crate::checkout::payments::Receipt;
use crate::domain::payment::DeliveryStatus;
use crate::domain::{ChargeStatus, EventStatus, Meaning, OrderStatus, Quarantine, QuarantineReason};
use crate::http::json::is_kept_header;
use crate::http::types::{Cursor, Timestamp, Word};

/// The check that a quarantined event failed.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Quarantine")]
pub struct QuarantineBody {
    /// The check.
    reason: Word<QuarantineReason>,
    /// The value that is known here.
    expected: String,
    /// The value that the event states.
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
    /// Its id.
    event_id: i64,
    /// The route that it came by.
    provider: String,
    /// Where it is.
    state: Word<EventStatus>,
    /// What happened.
    meaning: Word<Meaning>,
    /// The order that it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<Uuid>,
    /// The hold that it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_id: Option<Uuid>,
    /// The provider's name for the charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    txn_id: Option<String>,
    /// The decimal amount in major units, as it was reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    /// The currency, as it was reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    /// How often it was delivered.
    deliveries: i64,
    /// How often it was tried.
    attempts: i64,
    /// When it came first.
    received_at: Timestamp,
    /// When it got its outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    settled_at: Option<Timestamp>,
    /// While it waits: when it is tried again (`received`) or given up (`parked`).
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<Timestamp>,
    /// Why it is quarantined, or was until an operator dismissed it or gave the money back. Not there for events that were
    /// quarantined by a version that did not keep it.
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
    /// What to ask the next page with; null on the last one.
    pub next_cursor: Cursor,
}

/// Money that was taken.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Charge", skip_serializing_if_is_none)]
pub struct ChargeBody {
    /// The success that owns it: the first that spoke of it.
    event_id: i64,
    /// Where the money is.
    state: Word<ChargeStatus>,
    /// Its order, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<Uuid>,
    /// Its hold, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_id: Option<Uuid>,
    /// How much was taken, in minor units of `currency`; not there when nobody said.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_minor: Option<i64>,
    /// ISO 4217.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    /// How much of it was given back, in minor units.
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

/// Money that has to be given back.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "RefundDue", skip_serializing_if_is_none)]
pub struct RefundBody {
    /// The success that brought it.
    event: EventBody,
    /// How much it is, and how much of it was given back already.
    #[serde(skip_serializing_if = "Option::is_none")]
    charge: Option<ChargeBody>,
}

impl From<(EventLine, Option<ChargeLine>)> for RefundBody {
    fn from((event, charge): (EventLine, Option<ChargeLine>)) -> Self {
        Self { event: event.into(), charge: charge.map(ChargeBody::from) }
    }
}

/// One page of what has to be given back, the oldest first.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "RefundPage")]
pub struct RefundPage {
    /// The money.
    pub items: Vec<RefundBody>,
    /// What to ask the next page with; null on the last one.
    pub next_cursor: Cursor,
}

/// A header of the request that delivered an event.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "KeptHeader")]
pub struct HeaderBody {
    /// In lower case.
    name: String,
    /// As it came, as far as it is text.
    value: String,
}

/// Something that happened to an event, beside its outcome.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "EventHappening")]
pub struct HappeningBody {
    /// What happened.
    action: Word<Action>,
    /// How often it had been tried by then.
    attempt: i64,
    /// The error, or the operator's note.
    detail: String,
    /// When.
    at: Timestamp,
}

impl From<Happening> for HappeningBody {
    fn from(happening: Happening) -> Self {
        let Happening { action, attempt, detail, at } = happening;
        Self { action: Word(action), attempt, detail, at: Timestamp(at) }
    }
}

/// One delivery of an event.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "InboxDelivery")]
pub struct DeliveryBody {
    /// Which delivery it was; the first is 1.
    number: i64,
    /// What it was answered.
    answer: Word<DeliveryStatus>,
    /// When.
    at: Timestamp,
}

impl From<Delivered> for DeliveryBody {
    fn from(Delivered { number, answer, at }: Delivered) -> Self {
        Self { number, answer: Word(answer), at: Timestamp(at) }
    }
}

/// Everything that is known of a payment event.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "InboxEventFile", skip_serializing_if_is_none)]
pub struct EventFileBody {
    /// What the inbox shows of it.
    event: EventBody,
    /// What makes two deliveries the same event: the sender's key, or one that is made of `meaning` and `txn_id`.
    idempotency_key: String,
    /// A refund that puts the units back on sale.
    restock: bool,
    /// A refund whose amount is everything that was given back so far.
    cumulative: bool,
    /// An operator accepted its amount as it is.
    accepted_amount: bool,
    /// The provider's time, as it was reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_timestamp: Option<String>,
    /// `webhook_source` of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// `correlation_id` of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
    /// When it was last tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempted_at: Option<Timestamp>,
    /// How long the attempt took that gave it its outcome, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    processing_us: Option<i64>,
    /// The charge that it speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    charge: Option<ChargeBody>,
    /// Attempts that failed, and what operators did, the oldest first; the last hundred.
    history: Vec<HappeningBody>,
    /// What its deliveries were answered, the oldest first: the first one and the last 99. Those of earlier versions may be
    /// missing; `event.deliveries` counts all.
    deliveries: Vec<DeliveryBody>,
    /// The headers of its first delivery, as far as they are kept: `content-type`, `content-length`, `date`, `host`,
    /// `user-agent`, `webhook-id`, `webhook-timestamp`, `x-request-id`, `x-correlation-id`, `traceparent`, `tracestate`.
    headers: Vec<HeaderBody>,
    /// The body of its first delivery, as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    /// The same in base64, where it is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

impl From<EventFile> for EventFileBody {
    fn from(EventFile { record, charge, happenings, deliveries }: EventFile) -> Self {
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").filter(|(name, _)| is_kept_header(name))?;
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
            history: happenings.into_iter().map(HappeningBody::from).collect(),
            deliveries: deliveries.into_iter().map(DeliveryBody::from).collect(),
            headers: record.headers.lines().filter_map(header).collect(),
            payload,
            payload_base64,
        }
    }
}

/// Why an operator says that money was given back.
#[derive(Debug, Default, Object, Deserialize)]
#[oai(rename = "RefundDone", deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct RefundDone {
    /// For the trail: how, by whom. At most 500 bytes.
    #[serde(default)]
    pub note: Option<String>,
}

/// Why an operator dismisses an event.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "Dismissal", deny_unknown_fields)]
#[serde(deny_unknown_fields)]
pub struct Dismissal {
    /// For the history: why. 1 to 500 bytes.
    pub note: String,
}

/// How an event is to be tried anew.
#[derive(Debug, Default, Object, Deserialize)]
#[oai(rename = "Replay", deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Whatever it says was taken counts as what its order costs; it must be a positive amount. What was accepted once stays
    /// accepted.
    #[serde(default)]
    pub accept_amount: Option<bool>,
    /// For the trail: why. At most 500 bytes.
    #[serde(default)]
    pub note: Option<String>,
}

/// Where a replayed event is now.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Replayed", skip_serializing_if_is_none)]
pub struct Replayed {
    /// The event.
    event_id: i64,
    /// Where it is; `received` when it could not be applied: it is tried again by itself.
    state: Word<EventStatus>,
    /// Its order's state, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_status: Option<Word<OrderStatus>>,
}

impl From<Receipt> for Replayed {
    fn from(receipt: Receipt) -> Self {
        Self { event_id: receipt.event_id, state: Word(receipt.status), order_status: receipt.order_status.map(Word) }
    }
}
