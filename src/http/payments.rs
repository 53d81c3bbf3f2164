//! The payment webhook.

use std::sync::Arc;

use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Tags;
use super::json::{Json, Raw, parse};
use super::problem::{Denied, Problem, denials};
use super::signature::{Once, StandardHeaders, UnsignedKey};
use super::types::{Amount, IdempotencyKey, Verbatim, Word};
use crate::app::App;
use crate::checkout::payments::Receipt;
use crate::domain::payment::DeliveryStatus;
use crate::domain::{Event, EventStatus, Meaning, OrderStatus, Reference};

/// The provider is the route that an event comes by.
const PROVIDER: &str = "default";
/// Names given by others, in bytes.
pub(super) const NAME_BYTES: usize = 255;
/// An amount or a timestamp as it was written, in bytes.
const TEXT_BYTES: usize = 64;

/// One payment event. Other fields, such as `metadata`, are ignored and kept.
#[derive(Debug, Default, Object, Deserialize)]
#[oai(rename = "PaymentEvent", skip_serializing_if_is_none, example)]
pub struct PaymentEvent {
    /// Unique per event; or the header `webhook-id`. Where verification is off: or the header `Idempotency-Key`; or
    /// `txn_id`, which then counts together with `status`.
    idempotency_key: Option<String>,
    /// The order.
    order_id: Option<Uuid>,
    /// The same as `order_id`.
    order_uuid: Option<Uuid>,
    /// Or the hold that the order was, or will be, made from.
    hold_id: Option<Uuid>,
    /// `success`, `succeeded`, `paid`; `failure`, `failed`, `cancelled`; `refunded`.
    status: String,
    /// Decimal, in major units, as a number or a string. Not checked where it is not given.
    amount: Option<Amount>,
    /// ISO 4217 in any case; the order's where it is not given.
    currency: Option<String>,
    /// The provider's time, in any form.
    timestamp: Option<Verbatim>,
    /// The provider's name for the charge.
    txn_id: Option<String>,
    /// A refund that puts the units back on sale.
    restock: Option<bool>,
    /// Where the event comes from, for the audit trail.
    webhook_source: Option<String>,
    /// The caller's name for the whole conversation, for the audit trail.
    correlation_id: Option<String>,
}

impl Example for PaymentEvent {
    fn example() -> Self {
        Self {
            order_id: Some(Uuid::nil()),
            status: "paid".to_owned(),
            amount: Some(Amount("49.99".to_owned())),
            currency: Some("EUR".to_owned()),
            txn_id: Some("charge-1".to_owned()),
            ..Self::default()
        }
    }
}

/// What became of a delivery.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "PaymentReceipt", skip_serializing_if_is_none)]
pub struct ReceiptBody {
    /// What became of it.
    status: Word<DeliveryStatus>,
    /// Its order's state, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_status: Option<Word<OrderStatus>>,
    /// The event in the inbox; none where a provider told something that is not about a payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<i64>,
    /// With `duplicate`: where the event is.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_status: Option<Word<EventStatus>>,
}

/// The event is durable.
#[derive(ApiResponse)]
pub enum Delivered {
    /// It has its outcome, or had it before.
    #[oai(status = 200)]
    Settled(Json<ReceiptBody>),
    /// It waits, for its order to be made, for the success of its charge (a refund), or for a worker, and takes effect then.
    #[oai(status = 202)]
    Waiting(Json<ReceiptBody>),
}

impl Delivered {
    /// Nothing was reported that concerns an order, and nothing was kept.
    pub(super) fn ignored() -> Self {
        let status = Word(DeliveryStatus::Ignored);
        Self::Settled(Json(ReceiptBody { status, order_status: None, event_id: None, event_status: None }))
    }
}

denials! {
    /// Of `POST /api/payments/webhook`.
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

/// The routes.
pub struct Payments {
    /// What they share.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/api", tag = "Tags::Payments")]
impl Payments {
    /// Report what happened to a payment
    ///
    /// May be sent any number of times, in any order, before its order exists: it takes effect once. Every 2xx means
    /// that the event is on disk.
    ///
    /// Signed as [Standard Webhooks](https://www.standardwebhooks.com) are, over the bytes of the body: `v1` signatures,
    /// at most five minutes old, of which one must fit one of the service's secrets. The event's key is then
    /// `idempotency_key` or else `webhook-id`, which are signed; the header `Idempotency-Key` does not count. Where
    /// verification is off, the `webhook-` headers do not count.
    #[oai(path = "/payments/webhook", method = "post", operation_id = "receivePaymentEvent")]
    pub(super) async fn webhook(
        &self,
        /// The sender's name for the event, the same however often it is sent.
        #[oai(name = "webhook-id")]
        id: Once,
        /// When it was sent this time, in seconds since 1970.
        #[oai(name = "webhook-timestamp")]
        timestamp: Once,
        /// `v1,` and the base64 of the HMAC-SHA256 of `webhook-id.webhook-timestamp.body`; several with spaces between.
        #[oai(name = "webhook-signature")]
        signatures: Once,
        /// Where verification is off: unique per event; or `idempotency_key` in the body.
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

/// What a request calls its event outside of its body.
enum OuterKey {
    /// Its `webhook-id`, which counts where the body has no key.
    Signed(String),
    /// Its `Idempotency-Key`, which must not contradict the body.
    Unsigned(IdempotencyKey),
}

/// Reads one canonical event.
fn read_event(outer_key: OuterKey, bytes: Vec<u8>, headers: String) -> Result<Event, Problem> {
    let body: PaymentEvent = parse(&bytes).map_err(unreadable)?;
    let meaning = Meaning::of_word(&body.status)
        .ok_or_else(|| Problem::unprocessable("unknown_status", "`status` is not a word that is known here."))?;
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

/// Providers retry on 400 as well as on 422; a body that nobody can read is answered with the same status as one that
/// does not fit.
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
            let detail = "An event needs the header `Idempotency-Key`, or `idempotency_key` or `txn_id` in its body.";
            Err(Problem::bad_request("idempotency_key_required", detail))
        }
    }
}

fn reference(body: &PaymentEvent) -> Result<Reference, Problem> {
    let order_id = match (body.order_id, body.order_uuid) {
        (Some(one), Some(other)) if one != other => {
            let detail = "`order_id` and `order_uuid` name two orders.";
            return Err(Problem::unprocessable("order_reference_mismatch", detail));
        }
        (one, other) => one.or(other),
    };
    if order_id.is_none() && body.hold_id.is_none() {
        let detail = "An event must name its `order_id` or its `hold_id`.";
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
