//! The payment webhook.

pub mod signature;
pub mod stripe;
pub mod stripe_event;

use std::sync::Arc;

use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::signature::StandardHeaders;
use super::headers::{IdempotencyKey, SingleHeader, UnsignedKey};
use super::json::{Json, Raw, parse};
use super::problem::{Denied, Problem, denials};
use super::tags::Tags;
use super::values::{AmountText, Verbatim, Word};
use crate::app::App;
use crate::checkout::payments::receipt::Receipt;
use crate::domain::payment::DeliveryStatus;
use crate::domain::{Event, EventStatus, Meaning, OrderStatus, Reference};

/// The provider of an event is the route by which it arrives.
const PROVIDER: &str = "default";
/// The longest id or name in an event, in bytes.
pub(super) const NAME_BYTES: usize = 255;
/// The longest amount or timestamp in an event, in bytes.
const TEXT_BYTES: usize = 64;

/// One payment event. Other fields, such as `metadata`, are ignored and kept.
#[derive(Debug, Default, Object, Deserialize)]
#[oai(rename = "PaymentEvent", skip_serializing_if_is_none, example)]
pub struct PaymentEvent {
    /// Unique per event. If missing, the header `webhook-id` is the key; if verification is off, the header
    /// `Idempotency-Key` is, or else `txn_id` together with `status`.
    idempotency_key: Option<String>,
    /// The order's id.
    order_id: Option<Uuid>,
    /// Another name for `order_id`.
    order_uuid: Option<Uuid>,
    /// Instead of `order_id`: the hold that the order was, or will be, made from.
    hold_id: Option<Uuid>,
    /// `success`, `succeeded`, `paid`; `failure`, `failed`, `cancelled`; `refunded`.
    status: String,
    /// Decimal, in major units, as a number or a string. Not checked if missing.
    amount: Option<AmountText>,
    /// ISO 4217 code in upper or lower case; the order's currency by default.
    currency: Option<String>,
    /// The provider's time, in any form.
    timestamp: Option<Verbatim>,
    /// The provider's id of the charge.
    txn_id: Option<String>,
    /// With a refund: whether it puts the units back on sale.
    restock: Option<bool>,
    /// The source of the event, for the audit trail.
    webhook_source: Option<String>,
    /// The client's id for a chain of requests, for the audit trail.
    correlation_id: Option<String>,
}

impl Example for PaymentEvent {
    fn example() -> Self {
        Self {
            order_id: Some(Uuid::nil()),
            status: "paid".to_owned(),
            amount: Some(AmountText("49.99".to_owned())),
            currency: Some("EUR".to_owned()),
            txn_id: Some("charge-1".to_owned()),
            ..Self::default()
        }
    }
}

/// The result of a delivery.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "PaymentReceipt", skip_serializing_if_is_none)]
pub struct ReceiptBody {
    /// The result.
    status: Word<DeliveryStatus>,
    /// The state of the event's order, if the order exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_status: Option<Word<OrderStatus>>,
    /// The event's id in the inbox; absent if the message is not about a payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<i64>,
    /// With `duplicate`: the state of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_status: Option<Word<EventStatus>>,
}

/// A response to a delivery. An event that is kept is on disk by then.
#[derive(ApiResponse)]
pub enum Delivered {
    /// The event has its outcome, from this delivery or an earlier one.
    #[oai(status = 200)]
    Settled(Json<ReceiptBody>),
    /// The event waits for its order, for the success of its charge (a refund), or for a worker, and takes effect then.
    #[oai(status = 202)]
    Waiting(Json<ReceiptBody>),
}

impl Delivered {
    /// The response to a message that concerns no order and is not kept.
    pub(super) fn ignored() -> Self {
        let status = Word(DeliveryStatus::Ignored);
        Self::Settled(Json(ReceiptBody { status, order_status: None, event_id: None, event_status: None }))
    }
}

denials! {
    /// The problems of `POST /api/payments/webhook`.
    WebhookDenials {
        400 "`idempotency_key_required`, `invalid_idempotency_key`, `unreadable_body`",
        401 "`invalid_signature`",
        408 "`body_timeout`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`malformed_json`, `invalid_body`, `unknown_status`, `order_reference_required`, \
             `order_reference_mismatch`, `idempotency_key_mismatch`, `idempotency_key_reuse`",
    }
}

/// The route of the webhook.
pub struct Payments {
    /// The state that all routes share.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/api", tag = "Tags::Payments")]
impl Payments {
    /// Report a payment event
    ///
    /// An event may be sent any number of times, in any order, and before its order exists: it takes effect once. Every 2xx
    /// means that the event is on disk.
    ///
    /// Requests are signed as [Standard Webhooks](https://www.standardwebhooks.com) define it, over the bytes of the body: one
    /// of the `v1` signatures must match one of the service's secrets, and be at most five minutes old. The event's key is then
    /// `idempotency_key` or else `webhook-id`, which are signed; the header `Idempotency-Key` is ignored. If verification is
    /// off, the `webhook-` headers are ignored.
    #[oai(path = "/payments/webhook", method = "post", operation_id = "receivePaymentEvent")]
    pub(super) async fn webhook(
        &self,
        /// The sender's id of the event, the same for every delivery.
        #[oai(name = "webhook-id")]
        id: SingleHeader,
        /// The time of this delivery, in seconds since 1970.
        #[oai(name = "webhook-timestamp")]
        timestamp: SingleHeader,
        /// `v1,` and the base64 of the HMAC-SHA256 of `webhook-id.webhook-timestamp.body`; spaces separate several.
        #[oai(name = "webhook-signature")]
        signatures: SingleHeader,
        /// If verification is off: unique per event, unless the body has an `idempotency_key`.
        #[oai(name = "Idempotency-Key")]
        key: UnsignedKey,
        body: Raw<PaymentEvent>,
    ) -> Result<Delivered, Denied<WebhookDenials>> {
        let bytes = body.bytes?;
        let headers = StandardHeaders { id, timestamp, signatures };
        let key = match &self.app.webhook_secrets {
            Some(secrets) => OuterKey::Signed(headers.verify(secrets, &bytes, self.app.checkout.clocks())?.to_owned()),
            None => OuterKey::Unsigned(key.0?),
        };
        let event = read_event(key, bytes, body.headers)?;
        let app = Arc::clone(&self.app);
        let receipt = self.app.run(async move { app.checkout.receive_event(event).await }).await?;
        Ok(answer(receipt))
    }
}

pub(super) fn answer(receipt: Receipt) -> Delivered {
    let status = receipt.answer();
    let body = Json(ReceiptBody {
        status: Word(status),
        order_status: receipt.order_status.map(Word),
        event_id: Some(receipt.event_id),
        event_status: receipt.duplicate.then_some(Word(receipt.status)),
    });
    match status {
        DeliveryStatus::PendingOrder | DeliveryStatus::Queued => Delivered::Waiting(body),
        _ => Delivered::Settled(body),
    }
}

/// The key of an event outside of the body.
enum OuterKey {
    /// The `webhook-id`, used if the body has no key.
    Signed(String),
    /// The `Idempotency-Key`, which must not differ from the key in the body.
    Unsigned(IdempotencyKey),
}

/// Parses an event in the canonical format.
fn read_event(outer_key: OuterKey, bytes: Vec<u8>, headers: String) -> Result<Event, Problem> {
    let body: PaymentEvent = parse(&bytes).map_err(unreadable)?;
    let meaning = Meaning::of_word(&body.status).ok_or_else(|| {
        Problem::unprocessable(
            "unknown_status",
            "`status` must be `success`, `succeeded`, `paid`, `failure`, `failed`, `cancelled` or `refunded`.",
        )
    })?;
    let idempotency_key = event_key(outer_key, &body, meaning)?;
    Ok(Event {
        provider: PROVIDER,
        idempotency_key,
        meaning,
        reference: reference(&body)?,
        amount: bounded("amount", body.amount.map(|amount| amount.0), TEXT_BYTES)?,
        currency: bounded("currency", body.currency, 8)?,
        txn_id: bounded("txn_id", body.txn_id, NAME_BYTES)?,
        restock: body.restock.unwrap_or(false),
        cumulative: false,
        provider_timestamp: bounded("timestamp", body.timestamp.map(|text| text.0), TEXT_BYTES)?,
        source: bounded("webhook_source", body.webhook_source, NAME_BYTES)?,
        correlation_id: bounded("correlation_id", body.correlation_id, NAME_BYTES)?,
        headers,
        body: bytes,
    })
}

/// Makes the problem of a body that is not JSON a 422, like that of any other invalid body: providers retry on 400 as well as
/// on 422.
pub(super) fn unreadable(problem: Problem) -> Problem {
    problem.with_status(poem::http::StatusCode::UNPROCESSABLE_ENTITY)
}

fn event_key(outer: OuterKey, body: &PaymentEvent, meaning: Meaning) -> Result<Vec<u8>, Problem> {
    let in_body = match &body.idempotency_key {
        Some(key) => Some(IdempotencyKey::check(key.as_bytes()).ok_or_else(IdempotencyKey::invalid)?),
        None => None,
    };
    let header = match outer {
        OuterKey::Signed(id) => return Ok(in_body.unwrap_or(&id).as_bytes().to_vec()),
        OuterKey::Unsigned(IdempotencyKey(header)) => header,
    };
    match (header.as_deref(), in_body, body.txn_id.as_deref()) {
        (Some(header), Some(body), _) if header != body => {
            let detail = "The idempotency keys in the header and in the body differ.";
            Err(Problem::unprocessable("idempotency_key_mismatch", detail))
        }
        (Some(key), _, _) | (None, Some(key), _) => Ok(key.as_bytes().to_vec()),
        (None, None, Some(txn_id)) if !txn_id.is_empty() => Ok(Event::derived_key(meaning, txn_id)),
        (None, None, _) => {
            let detail =
                "An event must have the header `Idempotency-Key`, or `idempotency_key` or `txn_id` in its body.";
            Err(Problem::bad_request("idempotency_key_required", detail))
        }
    }
}

fn reference(body: &PaymentEvent) -> Result<Reference, Problem> {
    let order_id = match (body.order_id, body.order_uuid) {
        (Some(one), Some(other)) if one != other => {
            let detail = "`order_id` and `order_uuid` must be equal.";
            return Err(Problem::unprocessable("order_reference_mismatch", detail));
        }
        (one, other) => one.or(other),
    };
    if order_id.is_none() && body.hold_id.is_none() {
        let detail = "An event must have an `order_id` or a `hold_id`.";
        return Err(Problem::unprocessable("order_reference_required", detail));
    }
    Ok(Reference { order_id, hold_id: body.hold_id })
}

pub(super) fn bounded(field: &str, text: Option<String>, limit: usize) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.is_empty() || text.len() > limit || text.contains(char::is_control) => {
            let detail = format!("`{field}` must have 1 to {limit} bytes and no control characters.");
            Err(Problem::unprocessable("invalid_body", detail))
        }
        text => Ok(text),
    }
}
