//! What a payment provider reports, and what that means for an order.

use std::borrow::Cow;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::status::named;
use super::{Amount, Currency, EventStatus, Quarantine};

named! {
    /// What a provider says happened.
    Meaning {
        /// Money was taken.
        Succeeded = "succeeded",
        /// No money will come.
        Failed = "failed",
        /// Money was given back.
        Refunded = "refunded",
    }
}

impl Meaning {
    /// The meaning of a provider's word; `None` for a word that is not known.
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
        /// Before they are answered.
        Apply = "apply",
        /// By a worker, right after they were answered.
        Queue = "queue",
    }
}

named! {
    /// What became of a delivery.
    DeliveryStatus {
        /// It changed its order.
        Processed = "processed",
        /// An earlier delivery of the same event was taken in.
        Duplicate = "duplicate",
        /// It changed nothing, and rightly so.
        Ignored = "ignored",
        /// It failed a check and waits for an operator.
        Quarantined = "quarantined",
        /// It took money that pays for nothing.
        RefundDue = "refund_due",
        /// It waits for its order, or a refund for the success of its charge.
        PendingOrder = "pending_order",
        /// A worker applies it.
        Queued = "queued",
        /// It names no order or hold of this shop, and waits for an event that links it to one.
        Unmatched = "unmatched",
    }
}

named! {
    /// The route that an event came by.
    Provider {
        /// The canonical webhook.
        Default = "default",
        /// Stripe's webhook.
        Stripe = "stripe",
    }
}

/// Which order an event speaks of: by the order's id, by its hold's, or by both, which must then belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// The order's id.
    pub order_id: Option<Uuid>,
    /// The id of the hold that the order was made from.
    pub hold_id: Option<Uuid>,
}

impl Reference {
    /// Whether it names anything.
    pub fn is_some(&self) -> bool {
        self.order_id.is_some() || self.hold_id.is_some()
    }
}

/// One event as a provider reported it.
#[derive(Debug, Clone)]
pub struct Event {
    /// The route that it came by; never a field of the body.
    pub provider: &'static str,
    /// Unique per provider: the provider's own key, or [`Event::derived_key`].
    pub idempotency_key: Vec<u8>,
    /// What happened.
    pub meaning: Meaning,
    /// To which order.
    pub reference: Reference,
    /// The decimal amount in major units, as it was written.
    pub amount: Option<String>,
    /// The currency, as it was written.
    pub currency: Option<String>,
    /// The provider's name for the charge.
    pub txn_id: Option<String>,
    /// A refund that puts the units back on sale.
    pub restock: bool,
    /// A refund whose amount is everything that was given back so far, as Stripe reports it.
    pub cumulative: bool,
    /// The provider's time, as it was written.
    pub provider_timestamp: Option<String>,
    /// Where the event says it comes from.
    pub source: Option<String>,
    /// The caller's name for the whole conversation.
    pub correlation_id: Option<String>,
    /// The request's headers that are kept, a line each.
    pub headers: String,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Event {
    /// The key of an event that has none of its own: its transaction together with its meaning. The separator is not a
    /// visible character, so no key given by others can be equal.
    pub fn derived_key(meaning: Meaning, txn_id: &str) -> Vec<u8> {
        format!("{meaning}\u{1f}{txn_id}").into_bytes()
    }

    /// What the charge is called in its provider's charges: `txn_id`, or what stands for a missing one.
    pub fn charge_name<'a>(txn_id: Option<&'a [u8]>, idempotency_key: &[u8]) -> Cow<'a, [u8]> {
        match txn_id {
            Some(txn_id) => Cow::Borrowed(txn_id),
            None => Cow::Owned([b"\x1f", idempotency_key].concat()),
        }
    }

    /// A digest of what makes two deliveries the same event: meaning, order, amount, currency and transaction. A retry
    /// may differ in everything else.
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

/// Whether the money that an event speaks of is an order's total. No currency means the order's; no amount is not
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

/// Whether an event states a positive amount: a decimal greater than zero, and one that its currency can express where that
/// is known.
pub fn is_positive(amount: Option<&str>, currency: Option<&str>) -> bool {
    let Some(amount) = amount.and_then(Amount::parse) else { return false };
    match currency.and_then(Currency::parse) {
        Some(currency) if currency.is_known() => amount.minor_units(&currency).is_some_and(|minor| minor > 0),
        _ => amount.is_positive(),
    }
}

/// What an event comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It changed its order, or the charge that it speaks of.
    Applied,
    /// It changed nothing, and rightly so.
    Ignored,
    /// It failed a check and waits for an operator.
    Quarantined(Box<Quarantine>),
    /// It took money that pays for nothing.
    RefundDue,
    /// Its order does not exist yet, or a refund's charge.
    Parked,
    /// It waited in vain.
    Dead,
}

impl Outcome {
    /// The state that an event of this outcome has in the inbox.
    pub fn event_status(&self) -> EventStatus {
        match self {
            Self::Applied => EventStatus::Applied,
            Self::Ignored => EventStatus::Ignored,
            Self::Quarantined(_) => EventStatus::Quarantined,
            Self::RefundDue => EventStatus::RefundDue,
            Self::Parked => EventStatus::Parked,
            Self::Dead => EventStatus::Dead,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
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
    fn a_copy_may_differ_in_what_does_not_matter() {
        let copy = Event {
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
    fn whatever_matters_changes_the_fingerprint() {
        let others = [
            Event { meaning: Meaning::Failed, ..event() },
            Event { reference: Reference { order_id: Some(Uuid::max()), hold_id: None }, ..event() },
            Event { reference: Reference { order_id: None, hold_id: Some(Uuid::nil()) }, ..event() },
            Event { amount: Some("100.01".into()), ..event() },
            Event { amount: None, ..event() },
            Event { currency: Some("USD".into()), ..event() },
            Event { txn_id: Some("T".into()), ..event() },
            Event { txn_id: None, ..event() },
        ];
        for other in others {
            assert_ne!(other.fingerprint(), event().fingerprint(), "{other:?}");
        }
    }

    #[test]
    fn no_amount_is_not_checked_and_a_wrong_one_does_not_fit() {
        assert!(amount_fits(None, None, 4999, "EUR"));
        assert!(amount_fits(Some("49.99"), Some("eur"), 4999, "EUR"));
        for (amount, currency) in [("49.98", "EUR"), ("49.99", "USD"), ("4999", "EUR"), ("free", "EUR"), ("49.99", "")]
        {
            assert!(!amount_fits(Some(amount), Some(currency), 4999, "EUR"), "{amount} {currency}");
        }
    }
}
