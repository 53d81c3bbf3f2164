//! Stripe's webhook: its own envelope, its own signature, its own way of writing amounts.

use std::sync::Arc;

use poem_openapi::{Object, OpenApi};
use serde::Deserialize;
use tracing::warn;
use uuid::Uuid;

use super::Tags;
use super::json::{Raw, parse};
use super::payments::{Delivered, NAME_BYTES, answer, bounded, unreadable};
use super::problem::{Denied, Problem, denials};
use super::signature::{Once, check_stripe};
use super::types::IdempotencyKey;
use crate::app::App;
use crate::domain::money::major_units;
use crate::domain::{Event, Meaning, Reference};

/// The provider is the route that an event comes by.
const PROVIDER: &str = "stripe";

/// The currencies of which Stripe counts whole units (<https://docs.stripe.com/currencies#zero-decimal>). MGA is among
/// them, of which ISO 4217 has two decimals. UGX is not: it is a special case like ISK.
const WHOLE: [&str; 15] =
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"];
/// The currencies of which Stripe counts thousandths (<https://docs.stripe.com/currencies#three-decimal>).
const THOUSANDTHS: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];

/// How many decimals an amount has where Stripe counts it. All other currencies have two, also ISK and UGX, whose
/// fractions are always zero (<https://docs.stripe.com/currencies#special-cases>).
fn decimals(currency: &str) -> usize {
    let currency = currency.to_ascii_uppercase();
    match currency.as_str() {
        code if WHOLE.contains(&code) => 0,
        code if THOUSANDTHS.contains(&code) => 3,
        _ => 2,
    }
}

/// What is read first: an event of another type may be made of anything.
#[derive(Debug, Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
}

/// An event as Stripe sends it. Other fields are ignored and kept.
#[derive(Debug, Object, Deserialize)]
pub struct StripeEvent {
    /// Unique per event, `evt_…`.
    id: String,
    /// `payment_intent.succeeded`, `payment_intent.payment_failed`, `charge.refunded`; others are ignored.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    kind: String,
    /// When it happened, in seconds since 1970.
    created: Option<i64>,
    /// What it happened to.
    data: StripeData,
}

/// What an event happened to.
#[derive(Debug, Object, Deserialize)]
pub struct StripeData {
    /// The PaymentIntent or the charge.
    object: StripeObject,
}

/// A PaymentIntent or a charge.
#[derive(Debug, Object, Deserialize)]
pub struct StripeObject {
    /// `pi_…` or `ch_…`.
    id: String,
    /// Of a charge: its PaymentIntent.
    payment_intent: Option<String>,
    /// In Stripe's minor units.
    amount: Option<u64>,
    /// Of a PaymentIntent: what came in.
    amount_received: Option<u64>,
    /// Of a charge: everything that was given back so far.
    amount_refunded: Option<u64>,
    /// ISO 4217 in lower case.
    currency: Option<String>,
    /// What the shop wrote on the PaymentIntent; Stripe copies it to its charge.
    metadata: Option<StripeMetadata>,
}

/// What the shop wrote on the PaymentIntent: one of them, or both.
#[derive(Debug, Default, Object, Deserialize)]
pub struct StripeMetadata {
    /// The order.
    order_id: Option<Uuid>,
    /// The hold that the order was, or will be, made from.
    hold_id: Option<Uuid>,
}

denials! {
    /// Of `POST /api/payments/webhook/stripe`.
    StripeDenials {
        400 "`unreadable_body`",
        401 "`invalid_signature`",
        404 "`not_found`: no secret of Stripe's is configured",
        408 "`body_timeout`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`malformed_json`, `invalid_body`, `order_reference_required`, `idempotency_key_reuse`",
    }
}

/// The route.
pub struct Stripe {
    /// What it shares with others.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/api", tag = "Tags::Payments")]
impl Stripe {
    /// Take in an event of Stripe's
    ///
    /// For a Stripe endpoint, whose secret signs each event. The shop writes `order_id` or `hold_id` into the metadata of
    /// its PaymentIntent. An event of the types `payment_intent.succeeded`, `payment_intent.payment_failed` and
    /// `charge.refunded` is taken in as by the other webhook, under its `id`.
    ///
    /// Every other type is answered `ignored` and not kept: it settles no order, and Stripe would send it again for days
    /// if it were refused. One of these three that names no order is refused instead: it may be about money for one of our
    /// orders whose name the shop forgot, so it stays in sight as a failed delivery, and in the log. A shop that shares a
    /// Stripe account with others needs an account of its own, or has their events fail here.
    #[oai(path = "/payments/webhook/stripe", method = "post", operation_id = "receiveStripeEvent")]
    async fn webhook(
        &self,
        /// `t=` the time in seconds since 1970, `v1=` the HMAC-SHA256 of `t.body` in hexadecimal; several `v1` may stand.
        #[oai(name = "Stripe-Signature")]
        signature: Once,
        body: Raw<StripeEvent>,
    ) -> Result<Delivered, Denied<StripeDenials>> {
        let secrets = self.app.stripe_secrets.as_ref().ok_or_else(Problem::not_found)?;
        let bytes = body.bytes?;
        check_stripe(&signature, secrets, &bytes)?;
        let Some(event) = read_event(bytes, body.headers)? else { return Ok(Delivered::ignored()) };
        let app = Arc::clone(&self.app);
        let receipt = self.app.run(async move { app.checkout.receive_event(event).await }).await?;
        Ok(answer(receipt))
    }
}

fn meaning(kind: &str) -> Option<Meaning> {
    match kind {
        "payment_intent.succeeded" => Some(Meaning::Succeeded),
        "payment_intent.payment_failed" => Some(Meaning::Failed),
        "charge.refunded" => Some(Meaning::Refunded),
        _ => None,
    }
}

/// Reads one event; `None` for a type that changes no order.
fn read_event(bytes: Vec<u8>, headers: String) -> Result<Option<Event>, Problem> {
    let Envelope { kind } = parse(&bytes).map_err(unreadable)?;
    let Some(meaning) = meaning(&kind) else { return Ok(None) };
    let StripeEvent { id, created, data: StripeData { object }, .. } = parse(&bytes).map_err(unreadable)?;
    let incomplete = |what: &str| Problem::unprocessable("invalid_body", format!("A `{kind}` needs `{what}`."));
    IdempotencyKey::check(id.as_bytes()).ok_or_else(|| incomplete("id"))?;
    let amount = match meaning {
        Meaning::Succeeded => object.amount_received.or(object.amount),
        Meaning::Failed => object.amount,
        Meaning::Refunded => object.amount_refunded,
    };
    let amount = amount.ok_or_else(|| incomplete("amount"))?;
    let currency = bounded("currency", object.currency, 8)?.ok_or_else(|| incomplete("currency"))?;
    let charge = object.payment_intent.filter(|_| meaning == Meaning::Refunded).unwrap_or(object.id);
    let metadata = object.metadata.unwrap_or_default();
    if metadata.order_id.is_none() && metadata.hold_id.is_none() {
        warn!(event = id, kind, charge, "an event of Stripe's names no order");
        let detail = "The PaymentIntent must have `order_id` or `hold_id` in its metadata.";
        return Err(Problem::unprocessable("order_reference_required", detail));
    }
    Ok(Some(Event {
        provider: PROVIDER,
        idempotency_key: id.into_bytes(),
        meaning,
        reference: Reference { order_id: metadata.order_id, hold_id: metadata.hold_id },
        amount: Some(major_units(amount, decimals(&currency))),
        currency: Some(currency),
        txn_id: bounded("id", Some(charge), NAME_BYTES)?,
        restock: false,
        cumulative: meaning == Meaning::Refunded,
        provider_timestamp: created.map(|seconds| seconds.to_string()),
        source: None,
        correlation_id: None,
        headers,
        body: bytes,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refund_tells_a_sum() {
        for (kind, cumulative) in
            [("payment_intent.succeeded", false), ("payment_intent.payment_failed", false), ("charge.refunded", true)]
        {
            let object = r#"{"id":"x","payment_intent":"pi_1","amount":1,"amount_refunded":1,"currency":"eur",
                "metadata":{"hold_id":"00000000-0000-0000-0000-000000000000"}}"#;
            let body = format!(r#"{{"id":"evt_1","type":"{kind}","created":-1,"data":{{"object":{object}}}}}"#);
            let event =
                read_event(body.clone().into_bytes(), String::new()).expect("an event").expect("one that counts");
            assert_eq!((event.cumulative, event.restock, event.body), (cumulative, false, body.into_bytes()), "{kind}");
            assert_eq!(event.txn_id.as_deref(), Some(if cumulative { "pi_1" } else { "x" }), "{kind}");
        }
    }

    #[test]
    fn amounts_are_counted_as_stripe_counts_them() {
        for (amount, currency, text) in [
            (4999, "eur", "49.99"),
            (5, "usd", "0.05"),
            (0, "usd", "0.00"),
            (500, "jpy", "500"),
            (500, "mga", "500"),
            (500, "isk", "5.00"),
            (500, "ugx", "5.00"),
            (1000, "huf", "10.00"),
            (5120, "kwd", "5.120"),
            (7, "tnd", "0.007"),
            (100, "qqq", "1.00"),
            (u64::MAX, "eur", "184467440737095516.15"),
            (u64::MAX, "krw", "18446744073709551615"),
        ] {
            assert_eq!(major_units(amount, decimals(currency)), text, "{amount} {currency}");
        }
    }
}
