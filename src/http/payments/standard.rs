//! The canonical webhook, signed by Standard Webhooks.

use std::sync::Arc;

use poem::http::HeaderMap;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use serde::Deserialize;
use uuid::Uuid;

use super::reporter::Reporter;
use super::signature::{sent, verify_by_either};
use super::webhook::{Message, NAME_BYTES, ProviderDelivery, WebhookResponse, bounded, receive, unreadable};
use crate::app::App;
use crate::domain::payment::Provider;
use crate::domain::signature::{Secrets, Standard};
use crate::domain::{Meaning, Named as _, PaymentEvent, Reference};
use crate::http::headers::{IdempotencyKey, SingleHeader, UnsignedKey};
use crate::http::json::{Raw, parse};
use crate::http::problem::{Denied, Problem, denials};
use crate::http::tags::Tags;
use crate::http::values::{AmountText, Verbatim};

/// The longest amount or timestamp in an event, in bytes.
const TEXT_BYTES: usize = 64;

/// One payment event. Other fields, such as `metadata`, are ignored and kept.
#[derive(Debug, Default, Object, Deserialize)]
#[oai(rename = "PaymentEvent", skip_serializing_if_is_none, example)]
pub struct PaymentEventBody {
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

impl Example for PaymentEventBody {
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

denials! {
    /// The problems of `POST /api/payments/webhook`.
    StandardDenials {
        400 "`idempotency_key_required`, `invalid_idempotency_key`, `unreadable_body`",
        401 "`invalid_signature`, `unauthorized`",
        403 "`forbidden`: the token is not one of a provider",
        408 "`body_timeout`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`malformed_json`, `invalid_body`, `unknown_status`, `order_reference_required`, \
             `order_reference_mismatch`, `idempotency_key_mismatch`, `idempotency_key_reuse`",
    }
}

/// The route of the webhook.
pub struct StandardWebhook {
    /// The state that all routes share.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/api", tag = "Tags::Payments")]
impl StandardWebhook {
    /// Report a payment event
    ///
    /// An event may be sent any number of times, in any order, and before its order exists: it takes effect once. Every 2xx
    /// means that the event is on disk.
    ///
    /// Requests are signed as [Standard Webhooks](https://www.standardwebhooks.com) define it, over the bytes of the body: one
    /// of the `v1` signatures must match one of the service's secrets, and be at most five minutes old. The event's key is then
    /// `idempotency_key` or else `webhook-id`, which are signed; the header `Idempotency-Key` is ignored. If verification is
    /// off, the `webhook-` headers are ignored.
    ///
    /// Where `HOLDFAST_WEBHOOK_AUTH` is `token`, a request has the token of a client with the role `provider` instead, and with
    /// `both` also. With `either`, one that has no `webhook-signature` must have the token.
    #[oai(path = "/payments/webhook", method = "post", operation_id = "receivePaymentEvent")]
    pub(crate) async fn webhook(
        &self,
        reporter: Reporter,
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
        body: Raw<PaymentEventBody>,
    ) -> Result<WebhookResponse, Denied<StandardDenials>> {
        let headers = StandardHeaders { id, timestamp, signatures };
        let delivery = StandardDelivery { reporter, secrets: self.app.webhook_secrets.as_ref(), headers, key };
        Ok(receive(&self.app, delivery, body).await?)
    }
}

/// Signs an event as its provider would, with a secret of this service, and receives it; `id` is its name.
///
/// # Errors
/// As every delivery.
pub(super) async fn deliver_signed(app: &Arc<App>, id: &str, body: Vec<u8>) -> Result<WebhookResponse, Problem> {
    let secrets = app.webhook_secrets.as_ref();
    let [now, _] = app.checkout.clocks();
    let signature = secrets.and_then(|secrets| secrets.sign(id, now, &body)).unwrap_or_default();
    let header = |text: &str| SingleHeader(Some(text.as_bytes().to_vec()));
    let headers =
        StandardHeaders { id: header(id), timestamp: header(&now.to_string()), signatures: header(&signature) };
    let key = UnsignedKey(Ok(IdempotencyKey(Some(id.to_owned()))));
    let delivery = StandardDelivery { reporter: Reporter::Signature, secrets, headers, key };
    receive(app, delivery, Raw::<PaymentEventBody>::of(body)).await
}

/// The headers of Standard Webhooks.
#[derive(Debug)]
pub struct StandardHeaders {
    /// `webhook-id`.
    pub id: SingleHeader,
    /// `webhook-timestamp`.
    pub timestamp: SingleHeader,
    /// `webhook-signature`.
    pub signatures: SingleHeader,
}

impl StandardHeaders {
    /// Reads the headers of a request.
    pub fn read(headers: &HeaderMap) -> Self {
        let read = |name| SingleHeader::read(headers, name);
        Self { id: read("webhook-id"), timestamp: read("webhook-timestamp"), signatures: read("webhook-signature") }
    }
}

/// A delivery to the canonical webhook.
struct StandardDelivery<'app> {
    reporter: Reporter,
    /// `None` accepts unsigned events.
    secrets: Option<&'app Secrets>,
    headers: StandardHeaders,
    key: UnsignedKey,
}

impl ProviderDelivery for StandardDelivery<'_> {
    const PROVIDER: Provider = Provider::Default;
    type Verified = OuterKey;

    fn verify(self, body: &[u8], clocks: [i64; 2]) -> Result<OuterKey, Problem> {
        match self.reporter {
            Reporter::Signature => {}
            Reporter::Token(token) => {
                token?;
                return Ok(OuterKey::Unsigned(self.key.0?));
            }
            Reporter::Both(token) => token?,
        }
        let Some(secrets) = self.secrets else { return Ok(OuterKey::Unsigned(self.key.0?)) };
        let StandardHeaders { id, timestamp, signatures } = &self.headers;
        let id = verify_by_either(clocks, "Webhook-Signature", |now| {
            let (id, timestamp, signatures) = (sent(id)?, sent(timestamp)?, sent(signatures)?);
            Standard { id, timestamp, signatures }.verify(secrets, body, now)
        });
        Ok(OuterKey::Signed(id?.to_owned()))
    }

    fn read(key: OuterKey, body: Vec<u8>, headers: String) -> Result<Message, Problem> {
        read_event(key, body, headers).map(Message::Event)
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
fn read_event(outer_key: OuterKey, bytes: Vec<u8>, headers: String) -> Result<PaymentEvent, Problem> {
    let body: PaymentEventBody = parse(&bytes).map_err(unreadable)?;
    let meaning = Meaning::of_word(&body.status).ok_or_else(|| {
        Problem::unprocessable(
            "unknown_status",
            "`status` must be `success`, `succeeded`, `paid`, `failure`, `failed`, `cancelled` or `refunded`.",
        )
    })?;
    let idempotency_key = event_key(outer_key, &body, meaning)?;
    Ok(PaymentEvent {
        provider: StandardDelivery::PROVIDER.as_str(),
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

fn event_key(outer: OuterKey, body: &PaymentEventBody, meaning: Meaning) -> Result<Vec<u8>, Problem> {
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
        (None, None, Some(txn_id)) if !txn_id.is_empty() => Ok(PaymentEvent::derived_key(meaning, txn_id)),
        (None, None, _) => {
            let detail =
                "An event must have the header `Idempotency-Key`, or `idempotency_key` or `txn_id` in its body.";
            Err(Problem::bad_request("idempotency_key_required", detail))
        }
    }
}

fn reference(body: &PaymentEventBody) -> Result<Reference, Problem> {
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
