//! Why an event is quarantined: the check that failed, and both values that it compared.

use super::payment::amount_fits;
use super::status::named;
use super::{Currency, Reference};

named! {
    /// The check that an event failed.
    QuarantineReason {
        /// The amount is not the order's total, or cannot be read.
        AmountMismatch = "amount_mismatch",
        /// The currency is not the order's.
        CurrencyMismatch = "currency_mismatch",
        /// The order and the hold that it names do not belong together.
        OrderReferenceMismatch = "order_reference_mismatch",
        /// Its charge was taken for another order.
        ChargeOfAnotherOrder = "charge_of_another_order",
        /// A refund that names no charge, of an order that has several.
        SeveralCharges = "several_charges",
        /// A refund of more than is left of its charge.
        RefundExceedsCharge = "refund_exceeds_charge",
        /// A refund in another currency than its charge.
        RefundCurrencyMismatch = "refund_currency_mismatch",
        /// A refund whose amount cannot be read in the currency of its charge.
        RefundAmountInvalid = "refund_amount_invalid",
        /// A late payment whose units would pass the limit of their buyer: its money is due for refund.
        BuyerLimit = "buyer_limit",
        /// A late payment for units of an event that was cancelled: its money is due for refund.
        EventCancelled = "event_cancelled",
    }
}

/// A failed check with both values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// The check.
    pub reason: QuarantineReason,
    /// The expected value.
    pub expected: String,
    /// The value in the event.
    pub got: String,
}

impl Quarantine {
    /// Creates a failed check with both values.
    pub fn new(reason: QuarantineReason, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self { reason, expected: expected.into(), got: got.into() }
    }

    /// Checks an event's money against its order's total; `None` when it fits.
    pub fn of_money(
        amount: Option<&str>,
        currency: Option<&str>,
        total_minor: i64,
        order_currency: &str,
    ) -> Option<Self> {
        if amount_fits(amount, currency, total_minor, order_currency) {
            return None;
        }
        let known = Currency::parse(order_currency);
        let reason = match currency {
            Some(text) if known.is_none() || Currency::parse(text) != known => QuarantineReason::CurrencyMismatch,
            _ => QuarantineReason::AmountMismatch,
        };
        let expected = money_text(Some(total_minor), Some(order_currency));
        Some(Self::new(reason, expected, stated_text(amount, currency.or(Some(order_currency)))))
    }
}

/// Formats an amount in minor units as `49.99 EUR`.
pub fn money_text(minor: Option<i64>, currency: Option<&str>) -> String {
    match (minor, currency, currency.and_then(Currency::parse)) {
        (Some(minor), Some(text), parsed) => {
            let major = parsed.as_ref().and_then(|currency| currency.major_units(minor));
            major.unwrap_or_else(|| format!("{minor} minor units of {text}"))
        }
        (None, Some(text), _) => format!("an unknown amount of {text}"),
        (Some(minor), None, _) => format!("{minor} minor units of an unknown currency"),
        (None, None, _) => "an unknown amount".to_owned(),
    }
}

/// Formats money as an event states it, with its currency in upper case if that is a code.
pub fn stated_text(amount: Option<&str>, currency: Option<&str>) -> String {
    let code = |text: &str| Currency::parse(text).map_or_else(|| text.to_owned(), |currency| currency.to_string());
    let parts = [amount.map(str::to_owned), currency.map(code)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Formats the id of an order or a hold; that of the order if both are known.
pub fn reference_text(reference: Reference) -> String {
    match (reference.order_id, reference.hold_id) {
        (Some(order_id), _) => format!("order {order_id}"),
        (None, Some(hold_id)) => format!("hold {hold_id}"),
        (None, None) => "no order".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misfit_names_the_check_and_both_values() {
        let of = |amount, currency| Quarantine::of_money(amount, currency, 4999, "EUR");
        assert_eq!(of(Some("49.99"), Some("eur")), None);
        assert_eq!(of(None, None), None);
        for (amount, currency, reason, got) in [
            (Some("49.98"), Some("eur"), QuarantineReason::AmountMismatch, "49.98 EUR"),
            (Some("49.98"), None, QuarantineReason::AmountMismatch, "49.98 EUR"),
            (Some("free"), Some("EUR"), QuarantineReason::AmountMismatch, "free EUR"),
            (Some("49.99"), Some("USD"), QuarantineReason::CurrencyMismatch, "49.99 USD"),
            (Some("49.99"), Some("US$"), QuarantineReason::CurrencyMismatch, "49.99 US$"),
            (None, Some("USD"), QuarantineReason::CurrencyMismatch, "USD"),
        ] {
            assert_eq!(of(amount, currency), Some(Quarantine::new(reason, "49.99 EUR", got)));
        }
    }

    #[test]
    fn money_is_written_in_major_units_where_its_currency_is_known() {
        assert_eq!(money_text(Some(500), Some("JPY")), "500 JPY");
        assert_eq!(money_text(Some(5), Some("KWD")), "0.005 KWD");
        assert_eq!(money_text(Some(5), Some("QQQ")), "5 minor units of QQQ");
        assert_eq!(money_text(None, Some("EUR")), "an unknown amount of EUR");
    }
}
