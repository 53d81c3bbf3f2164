//! Events that payment providers report, and their meaning for an order.

use std::borrow::Cow;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::status::named;
use super::{Amount, Currency};

named! {
    /// The meaning of an event.
    Meaning {
        /// Money was taken.
        Succeeded = "succeeded",
        /// No money will be taken.
        Failed = "failed",
        /// Money was refunded.
        Refunded = "refunded",
    }
}

impl Meaning {
    /// Returns the meaning of a provider's word; `None` for an unknown word.
    pub fn of_word(word: &str) -> Option<Self> {
        match word {
            "success" | "succeeded" | "paid" => Some(Self::Succeeded),
            "failure" | "failed" | "cancelled" => Some(Self::Failed),
            "refunded" => Some(Self::Refunded),
            _ => None,
        }
    }
}

named! {
    /// When deliveries are applied.
    WebhookMode {
        /// Before the response.
        Apply = "apply",
        /// By a worker, right after the response.
        Queue = "queue",
    }
}

named! {
    /// What a delivery to the canonical webhook must show.
    WebhookAuth {
        /// A valid signature.
        Signature = "signature",
        /// The token of a provider.
        Token = "token",
        /// A valid signature if it has one, otherwise the token of a provider.
        Either = "either",
        /// A valid signature and the token of a provider.
        Both = "both",
    }
}

named! {
    /// The result of a delivery.
    DeliveryStatus {
        /// It changed its order.
        Processed = "processed",
        /// The service has received the same event before.
        Duplicate = "duplicate",
        /// It changed nothing, correctly.
        Ignored = "ignored",
        /// It failed a check and waits for an operator.
        Quarantined = "quarantined",
        /// Its money pays for no order.
        RefundDue = "refund_due",
        /// It waits for its order, or a refund for the success of its charge.
        PendingOrder = "pending_order",
        /// A worker will apply it.
        Queued = "queued",
        /// It names no order or hold of this shop, and waits for an event that links it to one.
        Unmatched = "unmatched",
    }
}

named! {
    /// The route by which an event arrived.
    Provider {
        /// The canonical webhook.
        Default = "default",
        /// Stripe's webhook.
        Stripe = "stripe",
    }
}

/// The order of an event: by the order's id, by its hold's, or by both, which must then belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// The order's id.
    pub order_id: Option<Uuid>,
    /// The id of the hold that the order was made from.
    pub hold_id: Option<Uuid>,
}

impl Reference {
    /// Whether it names an order or a hold.
    pub fn is_some(&self) -> bool {
        self.order_id.is_some() || self.hold_id.is_some()
    }
}

/// One event as a provider reported it.
#[derive(Debug, Clone)]
pub struct PaymentEvent {
    /// The route by which it arrived; never a field of the body.
    pub provider: &'static str,
    /// Unique per provider: the provider's own key, or [`PaymentEvent::derived_key`].
    pub idempotency_key: Vec<u8>,
    /// The meaning of the event.
    pub meaning: Meaning,
    /// The order of the event.
    pub reference: Reference,
    /// The decimal amount in major units, as it was written.
    pub amount: Option<String>,
    /// The currency, as it was written.
    pub currency: Option<String>,
    /// The provider's id of the charge.
    pub txn_id: Option<String>,
    /// Whether a refund puts the units back on sale.
    pub restock: bool,
    /// Whether the amount of a refund is the total refunded so far, as Stripe reports it.
    pub cumulative: bool,
    /// The provider's time, as it was written.
    pub provider_timestamp: Option<String>,
    /// The source that the event states.
    pub source: Option<String>,
    /// The client's id for a chain of requests.
    pub correlation_id: Option<String>,
    /// The kept headers of the request, one per line.
    pub headers: String,
    /// The body as received.
    pub body: Vec<u8>,
}

impl PaymentEvent {
    /// Returns the key of an event that has none of its own: its transaction together with its meaning. The separator is not
    /// a visible character, so that no key from outside can be equal.
    pub fn derived_key(meaning: Meaning, txn_id: &str) -> Vec<u8> {
        format!("{meaning}\u{1f}{txn_id}").into_bytes()
    }

    /// Returns the id of the charge among its provider's: `txn_id`, or a substitute for a missing one.
    pub fn charge_name<'a>(txn_id: Option<&'a [u8]>, idempotency_key: &[u8]) -> Cow<'a, [u8]> {
        match txn_id {
            Some(txn_id) => Cow::Borrowed(txn_id),
            None => Cow::Owned([b"\x1f", idempotency_key].concat()),
        }
    }

    /// Returns a digest of the fields that two deliveries of one event share: meaning, order, amount, currency and
    /// transaction. A retry may differ in all others.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        let mut part = |text: Option<String>| match text {
            Some(text) => {
                digest.update([1]);
                digest.update((text.len() as u64).to_be_bytes());
                digest.update(text);
            }
            None => digest.update([0]),
        };
        part(Some(self.meaning.to_string()));
        part(self.reference.order_id.map(|id| id.to_string()));
        part(self.reference.hold_id.map(|id| id.to_string()));
        part(self.amount.as_deref().map(|text| match Amount::parse(text) {
            Some(amount) => amount.to_string(),
            None => text.to_owned(),
        }));
        part(self.currency.as_deref().map(str::to_ascii_uppercase));
        part(self.txn_id.clone());
        digest.finalize().into()
    }
}

/// Whether the money of an event is an order's total. A missing currency means the order's; a missing amount is not
/// checked.
pub fn amount_fits(amount: Option<&str>, currency: Option<&str>, total_minor: i64, order_currency: &str) -> bool {
    let Some(order_currency) = Currency::parse(order_currency) else {
        return false;
    };
    let same_currency = currency.is_none_or(|text| Currency::parse(text).as_ref() == Some(&order_currency));
    let same_amount = amount.is_none_or(|text| {
        Amount::parse(text).and_then(|amount| amount.minor_units(&order_currency)) == Some(total_minor)
    });
    same_currency && same_amount
}

/// Whether an event states a positive amount: a decimal greater than zero that its currency can express, if that currency is
/// known.
pub fn is_positive(amount: Option<&str>, currency: Option<&str>) -> bool {
    let Some(amount) = amount.and_then(Amount::parse) else { return false };
    match currency.and_then(Currency::parse) {
        Some(currency) if currency.is_known() => amount.minor_units(&currency).is_some_and(|minor| minor > 0),
        _ => amount.is_positive(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> PaymentEvent {
        PaymentEvent {
            provider: "default",
            idempotency_key: b"k".to_vec(),
            meaning: Meaning::Succeeded,
            reference: Reference { order_id: Some(Uuid::nil()), hold_id: None },
            amount: Some("100".into()),
            currency: Some("EUR".into()),
            txn_id: Some("t".into()),
            restock: false,
            cumulative: false,
            provider_timestamp: None,
            source: None,
            correlation_id: None,
            headers: String::new(),
            body: Vec::new(),
        }
    }

    #[test]
    fn a_copy_may_differ_in_fields_that_do_not_identify_the_event() {
        let copy = PaymentEvent {
            amount: Some("1e2".into()),
            currency: Some("eur".into()),
            provider_timestamp: Some("now".into()),
            source: Some("elsewhere".into()),
            correlation_id: Some("c".into()),
            body: b"{}".to_vec(),
            ..event()
        };
        assert_eq!(copy.fingerprint(), event().fingerprint());
    }

    #[test]
    fn every_identifying_field_changes_the_fingerprint() {
        let others = [
            PaymentEvent { meaning: Meaning::Failed, ..event() },
            PaymentEvent { reference: Reference { order_id: Some(Uuid::max()), hold_id: None }, ..event() },
            PaymentEvent { reference: Reference { order_id: None, hold_id: Some(Uuid::nil()) }, ..event() },
            PaymentEvent { amount: Some("100.01".into()), ..event() },
            PaymentEvent { amount: None, ..event() },
            PaymentEvent { currency: Some("USD".into()), ..event() },
            PaymentEvent { txn_id: Some("T".into()), ..event() },
            PaymentEvent { txn_id: None, ..event() },
        ];
        for other in others {
            assert_ne!(other.fingerprint(), event().fingerprint(), "{other:?}");
        }
    }

    #[test]
    fn a_missing_amount_is_not_checked_and_a_wrong_one_does_not_fit() {
        assert!(amount_fits(None, None, 4999, "EUR"));
        assert!(amount_fits(Some("49.99"), Some("eur"), 4999, "EUR"));
        for (amount, currency) in [("49.98", "EUR"), ("49.99", "USD"), ("4999", "EUR"), ("free", "EUR"), ("49.99", "")]
        {
            assert!(!amount_fits(Some(amount), Some(currency), 4999, "EUR"), "{amount} {currency}");
        }
    }
}
