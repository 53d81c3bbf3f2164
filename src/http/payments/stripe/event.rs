//! Stripe's events, and their meaning here.
//!
//! One payment is spread over several of Stripe's objects, and an event shows one of them as it was at that time: a
//! Checkout Session (`cs_…`), its PaymentIntent (`pi_…`), the intent's charge (`ch_…`), the charge's refunds. The money is
//! counted once, under the id of the intent; a session or a charge without an intent has its own id.
//! Source: <https://docs.stripe.com/api/events/types>.

use serde::Deserialize;

use super::object::{StripeData, StripeEvent, StripeObject};
use crate::checkout::payments::links::{Effect, Report};
use crate::domain::money::major_units;
use crate::domain::payment::Provider;
use crate::domain::{Meaning, Named as _, PaymentEvent};
use crate::http::headers::IdempotencyKey;
use crate::http::json::parse;
use crate::http::payments::webhook::{NAME_BYTES, bounded, unreadable};
use crate::http::problem::Problem;

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

/// Parses one event; `None` for a type that is not about a payment.
pub(super) fn read_report(provider: Provider, bytes: Vec<u8>, headers: String) -> Result<Option<Report>, Problem> {
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
    let event = PaymentEvent {
        provider: provider.as_str(),
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
    use uuid::Uuid;

    use super::*;

    fn read(kind: &str, object: &str) -> Option<Report> {
        let body = format!(r#"{{"id":"evt_1","type":"{kind}","created":-1,"data":{{"object":{object}}}}}"#);
        let report = read_report(Provider::Stripe, body.clone().into_bytes(), String::new()).expect("an event")?;
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
            let report =
                read_report(Provider::Stripe, body.into_bytes(), String::new()).expect("an event").expect("it is read");
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
