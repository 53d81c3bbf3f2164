//! Stripe's objects, and what they tell of a payment.

use poem_openapi::Object;
use serde::Deserialize;
use uuid::Uuid;

use crate::domain::{Meaning, Reference};
use crate::http::json::{object, optional_object};

/// The first version of Stripe's API in which the refunded amount of a charge excludes money that was never taken
/// (<https://docs.stripe.com/changelog/basil/2025-03-31/remove-refund-from-partial-capture-and-payment-cancellation-flow>).
const RELEASES_APART: &str = "2025-03-31";

/// An event as Stripe sends it. Other fields are ignored and kept.
#[derive(Debug, Object, Deserialize)]
pub(crate) struct StripeEvent {
    /// Unique per event, `evt_…`.
    pub(super) id: String,
    /// The type, such as `checkout.session.completed`.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// The time of the event, in seconds since 1970.
    pub(super) created: Option<i64>,
    /// The version of Stripe's API that the event follows, such as `2025-03-31.basil`.
    pub(super) api_version: Option<String>,
    /// The object of the event, in an envelope.
    #[serde(deserialize_with = "object")]
    pub(super) data: StripeData,
}

/// The object of an event, in an envelope.
#[derive(Debug, Object, Deserialize)]
pub(super) struct StripeData {
    /// A Checkout Session, a PaymentIntent, a charge or a refund.
    #[serde(deserialize_with = "object")]
    pub(super) object: StripeObject,
}

/// A Checkout Session, a PaymentIntent, a charge or a refund.
#[derive(Debug, Object, Deserialize)]
pub(super) struct StripeObject {
    /// `cs_…`, `pi_…`, `ch_…` or `re_…`.
    pub(super) id: String,
    /// Of a session, a charge or a refund: its PaymentIntent, if it has one.
    pub(super) payment_intent: Option<String>,
    /// Of a PaymentIntent: its charge, if it has one.
    latest_charge: Option<String>,
    /// Of a refund: its charge.
    pub(super) charge: Option<String>,
    /// Of a PaymentIntent or a charge: the amount requested, in Stripe's minor units.
    pub(super) amount: Option<u64>,
    /// Of a PaymentIntent: the amount received.
    amount_received: Option<u64>,
    /// Of a charge: the amount captured.
    amount_captured: Option<u64>,
    /// Of a charge: the total refunded so far.
    amount_refunded: Option<u64>,
    /// Of a session: the amount requested.
    amount_total: Option<u64>,
    /// Of a charge: whether the money was taken, not only reserved.
    pub(super) captured: Option<bool>,
    /// ISO 4217 code in lower case.
    pub(super) currency: Option<String>,
    /// Of a session: `payment`, `subscription` or `setup`.
    pub(super) mode: Option<String>,
    /// Of a session: `paid`, `unpaid` or `no_payment_required`.
    pub(super) payment_status: Option<String>,
    /// Of a session: possibly the order's id. It counts if no `metadata` names an order, and once that order exists.
    client_reference_id: Option<String>,
    /// The shop's data on the object. Stripe copies the metadata of a PaymentIntent to its charge, but that of a session to no
    /// other object.
    #[serde(default, deserialize_with = "optional_object")]
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

impl StripeObject {
    /// Returns the id of the payment: that of its intent, or that of the object that stands for one.
    pub(super) fn charge_name(&self, kind: &str) -> String {
        let own = || match kind.contains("refund.") {
            true => self.charge.as_ref().unwrap_or(&self.id),
            false => &self.id,
        };
        self.payment_intent.as_ref().unwrap_or_else(own).clone()
    }

    /// Returns the ids of all objects of the payment, but not a refund's own id: no other object contains it.
    pub(super) fn objects(&self, kind: &str) -> Vec<String> {
        let own = Some(&self.id).filter(|_| !kind.contains("refund."));
        let others = [&self.payment_intent, &self.latest_charge, &self.charge];
        let mut objects: Vec<String> = own.into_iter().chain(others.into_iter().flatten()).cloned().collect();
        if objects.is_empty() {
            objects.push(self.id.clone());
        }
        objects
    }

    /// Returns the order or hold that the object names, if any, and whether that is only a hint (`client_reference_id`).
    pub(super) fn reference(&self) -> (Reference, bool) {
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
    pub(super) fn given_back(&self, api_version: Option<&str>) -> Option<u64> {
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
    pub(super) fn amount(&self, meaning: Meaning, api_version: Option<&str>) -> Option<u64> {
        match meaning {
            Meaning::Succeeded => self.amount_total.or(self.amount_received).or(self.amount_captured).or(self.amount),
            Meaning::Failed => self.amount_total.or(self.amount),
            Meaning::Refunded => self.given_back(api_version),
        }
    }
}
