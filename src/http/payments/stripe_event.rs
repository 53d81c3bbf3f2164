//! Stripe's events, and their meaning here.
//!
//! One payment is spread over several of Stripe's objects, and an event shows one of them as it was at that time: a
//! Checkout Session (`cs_…`), its PaymentIntent (`pi_…`), the intent's charge (`ch_…`), the charge's refunds. The money is
//! counted once, under the id of the intent; a session or a charge without an intent has its own id.
//! Source: <https://docs.stripe.com/api/events/types>.

use poem_openapi::Object;
use serde::Deserialize;
use uuid::Uuid;

use super::{NAME_BYTES, bounded, unreadable};
use crate::checkout::payments::links::{Effect, Report};
use crate::domain::money::major_units;
use crate::domain::{Event, Meaning, Reference};
use crate::http::headers::IdempotencyKey;
use crate::http::json::parse;
use crate::http::problem::Problem;

/// The provider of an event is the route by which it arrives.
const PROVIDER: &str = "stripe";

/// The currencies that Stripe counts in whole units (<https://docs.stripe.com/currencies#zero-decimal>). MGA is one of them,
/// although ISO 4217 gives it two decimals. UGX is not: it is a special case like ISK.
const WHOLE: [&str; 15] =
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"];
/// The currencies that Stripe counts in thousandths (<https://docs.stripe.com/currencies#three-decimal>).
const THOUSANDTHS: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];

/// Returns how many decimals Stripe's amounts in a currency have. Currencies that are not listed above have two, also ISK and
/// UGX, whose fractions are always zero (<https://docs.stripe.com/currencies#special-cases>).
fn decimals(currency: &str) -> usize {
    let currency = currency.to_ascii_uppercase();
    match currency.as_str() {
        code if WHOLE.contains(&code) => 0,
        code if THOUSANDTHS.contains(&code) => 3,
        _ => 2,
    }
}

/// The part that is parsed first: an event of a type that is not read may have any other fields.
#[derive(Debug, Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
}

/// An event as Stripe sends it. Other fields are ignored and kept.
#[derive(Debug, Object, Deserialize)]
pub(crate) struct StripeEvent {
    /// Unique per event, `evt_…`.
    id: String,
    /// The type, such as `checkout.session.completed`.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    kind: String,
    /// The time of the event, in seconds since 1970.
    created: Option<i64>,
    /// The version of Stripe's API that the event follows, such as `2025-03-31.basil`.
    api_version: Option<String>,
    /// The object of the event, in an envelope.
    data: StripeData,
}

/// The object of an event, in an envelope.
#[derive(Debug, Object, Deserialize)]
pub(super) struct StripeData {
    /// A Checkout Session, a PaymentIntent, a charge or a refund.
    object: StripeObject,
}

/// A Checkout Session, a PaymentIntent, a charge or a refund.
#[derive(Debug, Object, Deserialize)]
pub(super) struct StripeObject {
    /// `cs_…`, `pi_…`, `ch_…` or `re_…`.
    id: String,
    /// Of a session, a charge or a refund: its PaymentIntent, if it has one.
    payment_intent: Option<String>,
    /// Of a PaymentIntent: its charge, if it has one.
    latest_charge: Option<String>,
    /// Of a refund: its charge.
    charge: Option<String>,
    /// Of a PaymentIntent or a charge: the amount requested, in Stripe's minor units.
    amount: Option<u64>,
    /// Of a PaymentIntent: the amount received.
    amount_received: Option<u64>,
    /// Of a charge: the amount captured.
    amount_captured: Option<u64>,
    /// Of a charge: the total refunded so far.
    amount_refunded: Option<u64>,
    /// Of a session: the amount requested.
    amount_total: Option<u64>,
    /// Of a charge: whether the money was taken, not only reserved.
    captured: Option<bool>,
    /// ISO 4217 code in lower case.
    currency: Option<String>,
    /// Of a session: `payment`, `subscription` or `setup`.
    mode: Option<String>,
    /// Of a session: `paid`, `unpaid` or `no_payment_required`.
    payment_status: Option<String>,
    /// Of a session: possibly the order's id. It counts if no `metadata` names an order, and once that order exists.
    client_reference_id: Option<String>,
    /// The shop's data on the object. Stripe copies the metadata of a PaymentIntent to its charge, but that of a session to no
    /// other object.
    metadata: Option<StripeMetadata>,
}

/// The shop's data on an object: one of the ids, or both. A text that is not a UUID counts as missing.
#[derive(Debug, Default, Object, Deserialize)]
pub(super) struct StripeMetadata {
    /// The order's id.
    order_id: Option<String>,
    /// The hold that the order was, or will be, made from.
    hold_id: Option<String>,
}

/// The first version of Stripe's API in which the refunded amount of a charge excludes money that was never taken
/// (<https://docs.stripe.com/changelog/basil/2025-03-31/remove-refund-from-partial-capture-and-payment-cancellation-flow>).
const RELEASES_APART: &str = "2025-03-31";

/// The types that are read; see [`reading`].
const TYPES: [&str; 13] = [
    "payment_intent.succeeded",
    "payment_intent.canceled",
    "payment_intent.payment_failed",
    "checkout.session.completed",
    "checkout.session.expired",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "charge.succeeded",
    "charge.captured",
    "charge.refunded",
    "charge.refund.updated",
    "refund.created",
    "refund.updated",
];

/// The statement of an event about its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Money was taken, will not be taken, or was refunded.
    Settles(Meaning),
    /// One attempt to pay failed.
    AttemptFailed,
    /// The event only links objects.
    Links,
}

/// Returns the statement of an event of this type; `None` if it is not about a payment.
///
/// An intent reports the money of its charge, and a charge reports the total of its refunds. Reading the same money from the
/// charge or from the refund would count it twice.
fn reading(kind: &str, object: &StripeObject, api_version: Option<&str>) -> Option<Reading> {
    use Meaning::{Failed, Refunded, Succeeded};
    use Reading::{AttemptFailed, Links, Settles};
    // a session of this mode stores a card for later, without a payment
    if object.mode.as_deref() == Some("setup") {
        return None;
    }
    Some(match kind {
        "payment_intent.succeeded" | "checkout.session.async_payment_succeeded" => Settles(Succeeded),
        "payment_intent.canceled" | "checkout.session.expired" | "checkout.session.async_payment_failed" => {
            Settles(Failed)
        }
        "payment_intent.payment_failed" => AttemptFailed,
        "checkout.session.completed" => match object.payment_status.as_deref() {
            Some("paid" | "no_payment_required") => Settles(Succeeded),
            _ => Links,
        },
        "charge.succeeded" | "charge.captured" => match (&object.payment_intent, object.captured) {
            (Some(_), _) | (None, Some(false)) => Links,
            (None, _) => Settles(Succeeded),
        },
        // money that was reserved and not taken is released, not refunded
        "charge.refunded" if object.given_back(api_version) == Some(0) => Links,
        "charge.refunded" => Settles(Refunded),
        "refund.created" | "refund.updated" | "charge.refund.updated" => Links,
        _ => return None,
    })
}

impl Reading {
    fn effect(self) -> Effect {
        match self {
            Self::Settles(_) => Effect::Settles,
            Self::AttemptFailed => Effect::AttemptFailed,
            Self::Links => Effect::Links,
        }
    }

    /// Returns the meaning that the event is stored with.
    fn meaning(self) -> Meaning {
        match self {
            Self::Settles(meaning) => meaning,
            Self::AttemptFailed | Self::Links => Meaning::Failed,
        }
    }
}

impl StripeObject {
    /// Returns the id of the payment: that of its intent, or that of the object that stands for one.
    fn charge_name(&self, kind: &str) -> String {
        let own = || match kind.contains("refund.") {
            true => self.charge.as_ref().unwrap_or(&self.id),
            false => &self.id,
        };
        self.payment_intent.as_ref().unwrap_or_else(own).clone()
    }

    /// Returns the ids of all objects of the payment, but not a refund's own id: no other object contains it.
    fn objects(&self, kind: &str) -> Vec<String> {
        let own = Some(&self.id).filter(|_| !kind.contains("refund."));
        let others = [&self.payment_intent, &self.latest_charge, &self.charge];
        let mut objects: Vec<String> = own.into_iter().chain(others.into_iter().flatten()).cloned().collect();
        if objects.is_empty() {
            objects.push(self.id.clone());
        }
        objects
    }

    /// Returns the order or hold that the object names, if any, and whether that is only a hint (`client_reference_id`).
    fn reference(&self) -> (Reference, bool) {
        let id = |text: &Option<String>| Uuid::parse_str(text.as_deref()?).ok();
        let metadata = self.metadata.as_ref();
        let order_id = metadata.and_then(|metadata| id(&metadata.order_id));
        let hold_id = metadata.and_then(|metadata| id(&metadata.hold_id));
        let named = Reference { order_id, hold_id };
        if named.is_some() {
            return (named, false);
        }
        let order_id = id(&self.client_reference_id);
        (Reference { order_id, hold_id: None }, order_id.is_some())
    }

    /// Returns how much of the taken money was refunded so far, in Stripe's minor units. Before [`RELEASES_APART`],
    /// `amount_refunded` also includes money that was reserved and released, but never taken.
    fn given_back(&self, api_version: Option<&str>) -> Option<u64> {
        let refunded = self.amount_refunded?;
        let taken = if self.captured == Some(false) { Some(0) } else { self.amount_captured };
        let Some(taken) = taken else { return Some(refunded) };
        let released = match api_version {
            Some(version) if version >= RELEASES_APART => 0,
            _ => self.amount.unwrap_or(taken).saturating_sub(taken),
        };
        Some(refunded.saturating_sub(released).min(taken))
    }

    /// Returns the amount of money, in Stripe's minor units.
    fn amount(&self, meaning: Meaning, api_version: Option<&str>) -> Option<u64> {
        match meaning {
            Meaning::Succeeded => self.amount_total.or(self.amount_received).or(self.amount_captured).or(self.amount),
            Meaning::Failed => self.amount_total.or(self.amount),
            Meaning::Refunded => self.given_back(api_version),
        }
    }
}

/// Parses one event; `None` for a type that is not about a payment.
pub(super) fn read_event(bytes: Vec<u8>, headers: String) -> Result<Option<Report>, Problem> {
    let Envelope { kind } = parse(&bytes).map_err(unreadable)?;
    if !TYPES.contains(&kind.as_str()) {
        return Ok(None);
    }
    let StripeEvent { id, created, api_version, data: StripeData { object }, .. } =
        parse(&bytes).map_err(unreadable)?;
    let api_version = api_version.as_deref();
    let Some(reading) = reading(&kind, &object, api_version) else { return Ok(None) };
    let incomplete =
        |what: &str| Problem::unprocessable("invalid_body", format!("An event of type `{kind}` must have `{what}`."));
    IdempotencyKey::check(id.as_bytes()).ok_or_else(|| incomplete("id"))?;
    let meaning = reading.meaning();
    let (charge, objects) = (object.charge_name(&kind), object.objects(&kind));
    for id in objects.iter().chain([&charge]) {
        bounded("id", Some(id.clone()), NAME_BYTES)?;
    }
    let ((reference, hint), amount) = (object.reference(), object.amount(meaning, api_version));
    let currency = bounded("currency", object.currency, 8)?;
    if matches!(reading, Reading::Settles(Meaning::Succeeded | Meaning::Refunded)) {
        amount.ok_or_else(|| incomplete("amount"))?;
        currency.as_ref().ok_or_else(|| incomplete("currency"))?;
    }
    let event = Event {
        provider: PROVIDER,
        idempotency_key: id.into_bytes(),
        meaning,
        reference,
        amount: amount.zip(currency.as_deref()).map(|(amount, currency)| major_units(amount, decimals(currency))),
        currency,
        txn_id: Some(charge),
        restock: false,
        cumulative: meaning == Meaning::Refunded,
        provider_timestamp: created.map(|seconds| seconds.to_string()),
        source: None,
        correlation_id: None,
        headers,
        body: bytes,
    };
    Ok(Some(Report { event, hint, effect: reading.effect(), objects }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, object: &str) -> Option<Report> {
        let body = format!(r#"{{"id":"evt_1","type":"{kind}","created":-1,"data":{{"object":{object}}}}}"#);
        let report = read_event(body.clone().into_bytes(), String::new()).expect("an event")?;
        assert_eq!(report.event.body, body.into_bytes());
        Some(report)
    }

    /// Each type with its statement about an object that has all fields.
    #[test]
    fn every_type_has_one_meaning_and_names_the_payment_by_its_intent() {
        let object = r#"{"id":"x","payment_intent":"pi_1","charge":"ch_1","amount":1,"amount_refunded":1,"currency":"eur",
            "payment_status":"paid","metadata":{"hold_id":"00000000-0000-0000-0000-000000000000"}}"#;
        use Meaning::{Failed, Refunded, Succeeded};
        let expected = [
            (Effect::Settles, Succeeded),
            (Effect::Settles, Failed),
            (Effect::AttemptFailed, Failed),
            (Effect::Settles, Succeeded),
            (Effect::Settles, Failed),
            (Effect::Settles, Succeeded),
            (Effect::Settles, Failed),
            (Effect::Links, Failed),
            (Effect::Links, Failed),
            (Effect::Settles, Refunded),
            (Effect::Links, Failed),
            (Effect::Links, Failed),
            (Effect::Links, Failed),
        ];
        for (kind, (effect, meaning)) in TYPES.into_iter().zip(expected) {
            let report = read(kind, object).expect("it is read");
            assert_eq!((report.effect, report.event.meaning), (effect, meaning), "{kind}");
            assert_eq!(report.event.txn_id.as_deref(), Some("pi_1"), "{kind}");
            assert_eq!(report.event.cumulative, meaning == Refunded, "only a refund reports a total: {kind}");
            assert!(report.event.reference.hold_id.is_some() && !report.event.restock, "{kind}");
        }
        for kind in ["payment_intent.created", "charge.failed", "charge.dispute.created", "refund.failed", ""] {
            assert!(read(kind, "null").is_none(), "{kind}");
        }
    }

    #[test]
    fn a_session_is_paid_when_it_says_so_and_a_charge_when_it_is_captured() {
        let completed = |status: &str, mode: &str| {
            let object = format!(
                r#"{{"id":"cs_1","mode":"{mode}","payment_status":"{status}","amount_total":5,"currency":"eur"}}"#
            );
            read("checkout.session.completed", &object).map(|report| report.effect)
        };
        assert_eq!(completed("paid", "payment"), Some(Effect::Settles));
        assert_eq!(completed("no_payment_required", "payment"), Some(Effect::Settles));
        assert_eq!(completed("unpaid", "payment"), Some(Effect::Links));
        assert_eq!(completed("no_payment_required", "setup"), None);
        for (captured, effect) in [("true", Effect::Settles), ("false", Effect::Links), ("null", Effect::Settles)] {
            let object = format!(r#"{{"id":"ch_1","amount":9,"captured":{captured},"currency":"eur"}}"#);
            let report = read("charge.succeeded", &object).expect("it is read");
            assert_eq!((report.effect, report.event.txn_id.as_deref()), (effect, Some("ch_1")), "{captured}");
        }
    }

    #[test]
    fn money_that_was_reserved_and_never_taken_does_not_count_as_refunded() {
        let refunded = |version: &str, captured: &str, amounts: [&str; 3]| {
            let [all, taken, back] = amounts;
            let object = format!(
                r#"{{"id":"ch_1","payment_intent":"pi_1","currency":"eur","captured":{captured},"amount":{all},
                    "amount_captured":{taken},"amount_refunded":{back}}}"#
            );
            let body = format!(
                r#"{{"id":"evt_1","type":"charge.refunded","api_version":{version},"data":{{"object":{object}}}}}"#
            );
            let report = read_event(body.into_bytes(), String::new()).expect("an event").expect("it is read");
            (report.effect == Effect::Settles).then(|| report.event.amount.expect("an amount"))
        };
        let [before, since] = [r#""2024-12-18.acacia""#, r#""2025-03-31.basil""#];
        for (version, captured, amounts, given_back) in [
            (before, "true", ["100", "100", "100"], Some("1.00")),
            (before, "true", ["100", "100", "30"], Some("0.30")),
            (before, "true", ["100", "60", "40"], None),
            (before, "true", ["100", "60", "50"], Some("0.10")),
            (before, "true", ["100", "60", "100"], Some("0.60")),
            (before, "false", ["100", "null", "100"], None),
            (before, "false", ["100", "0", "100"], None),
            (since, "true", ["100", "60", "40"], Some("0.40")),
            (since, "true", ["100", "60", "60"], Some("0.60")),
            (since, "true", ["100", "60", "70"], Some("0.60")),
            (since, "false", ["100", "0", "0"], None),
            ("null", "true", ["100", "60", "40"], None),
            ("null", "true", ["100", "null", "40"], Some("0.40")),
        ] {
            let found = refunded(version, captured, amounts);
            assert_eq!(found.as_deref(), given_back, "{version} {captured} {amounts:?}");
        }
    }

    #[test]
    fn an_order_is_named_by_metadata_or_by_the_client_reference_and_only_as_a_uuid() {
        let [order, other] = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let reference = |metadata: &str, client: &str| {
            let object = format!(r#"{{"id":"cs_1","metadata":{metadata},"client_reference_id":{client}}}"#);
            let report = read("checkout.session.expired", &object).expect("it is read");
            (report.event.reference.order_id, report.event.reference.hold_id, report.hint)
        };
        let named = |name: &str, id: &str| format!(r#"{{"{name}":"{id}"}}"#);
        let client = format!(r#""{other}""#);
        assert_eq!(reference(&named("order_id", &order.to_string()), "null"), (Some(order), None, false));
        assert_eq!(reference(&named("order_id", &order.to_string()), &client), (Some(order), None, false));
        assert_eq!(reference(&named("order_id", "A-1001"), &client), (Some(other), None, true));
        assert_eq!(reference(&named("hold_id", &order.to_string()), &client), (None, Some(order), false));
        assert_eq!(reference("null", &client), (Some(other), None, true));
        assert_eq!(reference("{}", r#""cart 7""#), (None, None, false));
        assert_eq!(reference(&named("order_id", "A-1001"), "null"), (None, None, false));
    }

    #[test]
    fn the_objects_of_a_payment_are_all_that_an_event_names() {
        let objects = |kind: &str, object: &str| read(kind, object).expect("it is read").objects;
        let session = r#"{"id":"cs_1","payment_intent":"pi_1","payment_status":"unpaid"}"#;
        assert_eq!(objects("checkout.session.completed", session), ["cs_1", "pi_1"]);
        let intent = r#"{"id":"pi_1","latest_charge":"ch_1","amount":1,"currency":"eur"}"#;
        assert_eq!(objects("payment_intent.succeeded", intent), ["pi_1", "ch_1"]);
        let refund = r#"{"id":"re_1","charge":"ch_1","payment_intent":null}"#;
        assert_eq!(objects("refund.updated", refund), ["ch_1"]);
        assert_eq!(read("refund.updated", refund).and_then(|report| report.event.txn_id).as_deref(), Some("ch_1"));
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
