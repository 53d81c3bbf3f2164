//! Products: what they sell by, and when.

use chrono::{Datelike as _, NaiveDateTime};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::money::Currency;
use super::refusal::Refusal;
pub use super::sale::MOST_PER_HOLD;
use super::sale::Sale;

/// The most lines of a hold.
pub const MOST_LINES: usize = 20;

/// Everything that an operator says about a product, except its stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductDetails {
    /// The operator's own name for it, unique.
    pub sku: Option<String>,
    /// Its name.
    pub name: String,
    /// The price of one unit, in minor units of `currency`.
    pub price_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// The terms of its sale.
    pub sale: Sale,
    /// Until how many seconds after its creation a hold or an order can be extended; `None`: as the shop says. No hold is taken
    /// by it.
    pub max_hold_seconds: Option<i64>,
    /// A JSON object that the service keeps and returns.
    pub metadata: Option<String>,
}

impl ProductDetails {
    /// Returns the fields by their names in the API; those without a value are left out.
    pub fn fields(&self) -> Map<String, Value> {
        let Sale { status, starts_at, ends_at, hold_ttl_seconds, order_ttl_seconds, max_qty, max_per_buyer, ticket: _ } =
            &self.sale;
        let metadata =
            self.metadata.as_ref().map(|text| serde_json::from_str(text).unwrap_or_else(|_| text.clone().into()));
        let fields: [(&str, Option<Value>); 13] = [
            ("sku", self.sku.clone().map(Value::from)),
            ("name", Some(self.name.clone().into())),
            ("price_minor", Some(self.price_minor.into())),
            ("currency", Some(self.currency.clone().into())),
            ("status", Some(super::Named::as_str(*status).into())),
            ("sale_starts_at", starts_at.map(written)),
            ("sale_ends_at", ends_at.map(written)),
            ("hold_ttl_seconds", hold_ttl_seconds.map(Value::from)),
            ("order_ttl_seconds", order_ttl_seconds.map(Value::from)),
            ("max_qty", max_qty.map(Value::from)),
            ("max_per_buyer", max_per_buyer.map(Value::from)),
            ("max_hold_seconds", self.max_hold_seconds.map(Value::from)),
            ("metadata", metadata),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }

    /// Returns the entity tag (RFC 9110, 8.8.3): a digest of all fields, so that a change by another program counts.
    pub fn etag(&self) -> String {
        let digest = Sha256::digest(Value::Object(self.fields()).to_string());
        let hex = digest.iter().take(12).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        format!("\"{hex}\"")
    }

    /// Returns the fields that differ from `before`, each with its value before and now; without `before`, all fields.
    pub fn changes(&self, before: Option<&Self>) -> (Map<String, Value>, Map<String, Value>) {
        let (mut old, mut new) = (before.map(Self::fields).unwrap_or_default(), self.fields());
        let same: Vec<String> =
            new.iter().filter(|(name, value)| old.get(*name) == Some(value)).map(|(name, _)| name.clone()).collect();
        for name in same {
            old.remove(&name);
            new.remove(&name);
        }
        let (olds, news): (Vec<_>, Vec<_>) = (old.keys().cloned().collect(), new.keys().cloned().collect());
        for name in news {
            old.entry(name).or_insert(Value::Null);
        }
        for name in olds {
            new.entry(name).or_insert(Value::Null);
        }
        (old, new)
    }
}

/// The most units that a product may have.
pub const MOST_STOCK: i64 = 1_000_000_000_000;
/// The highest price, in minor units: the total of an order stays a whole number of 64 bits.
const MOST_PRICE: i64 = 100_000_000_000_000;
/// The longest time of a hold, in seconds.
const LONGEST_HOLD: i64 = 86_400;
/// The longest time of an unpaid order, in seconds.
const LONGEST_ORDER: i64 = 2_592_000;
/// The longest time until which a hold or an order can be extended, and the longest extension, in seconds.
pub const LONGEST_EXTENSION: i64 = 2_592_000;
/// The highest limit per buyer.
pub(super) const MOST_PER_BUYER: i64 = 1_000_000;
/// The longest name, in characters.
pub(super) const NAME_CHARS: usize = 255;

impl ProductDetails {
    /// Checks every field that differs from `before`: what another program wrote may stay as it is. A ticket type keeps its
    /// currency, which is that of all types of its event.
    ///
    /// # Errors
    /// [`Refusal::InvalidProduct`] with the first field whose value is not allowed.
    pub fn check(&self, before: Option<&Self>) -> Result<(), Refusal> {
        let sale = &self.sale;
        let up_to = |value: Option<i64>, most: i64| value.is_none_or(|value| (1..=most).contains(&value));
        let in_years = |time: Option<NaiveDateTime>| time.is_none_or(|time| (1970..=9998).contains(&time.year()));
        let is_ordered = sale.starts_at.zip(sale.ends_at).is_none_or(|(start, end)| start < end);
        let is_known =
            Currency::parse(&self.currency).is_some_and(|code| code.is_known() && code.as_str() == self.currency);
        let checks: [(&'static str, bool, String); 11] = [
            ("sku", self.sku.as_deref().is_none_or(is_sku), "must be 1 to 64 visible ASCII characters".to_owned()),
            ("name", is_name(&self.name), format!("must have 1 to {NAME_CHARS} characters, and no control characters")),
            ("price_minor", (0..=MOST_PRICE).contains(&self.price_minor), format!("must be from 0 to {MOST_PRICE}")),
            ("currency", is_known, "must be an ISO 4217 code with a known number of decimals".to_owned()),
            ("sale_starts_at", in_years(sale.starts_at), "must be in the years 1970 to 9998".to_owned()),
            ("sale_ends_at", in_years(sale.ends_at) && is_ordered, "must be after `sale_starts_at`".to_owned()),
            ("hold_ttl_seconds", up_to(sale.hold_ttl_seconds, LONGEST_HOLD), range(LONGEST_HOLD)),
            ("order_ttl_seconds", up_to(sale.order_ttl_seconds, LONGEST_ORDER), range(LONGEST_ORDER)),
            ("max_qty", up_to(sale.max_qty, MOST_PER_HOLD), range(MOST_PER_HOLD)),
            ("max_per_buyer", up_to(sale.max_per_buyer, MOST_PER_BUYER), range(MOST_PER_BUYER)),
            ("max_hold_seconds", up_to(self.max_hold_seconds, LONGEST_EXTENSION), range(LONGEST_EXTENSION)),
        ];
        if before.is_some_and(|before| before.sale.ticket.is_some() && before.currency != self.currency) {
            let reason = "is that of all ticket types of the event, and cannot be changed".to_owned();
            return Err(Refusal::InvalidProduct { field: "currency", reason });
        }
        let is_touched = |field: &str| before.is_none_or(|before| self.differs(before, field));
        match checks.into_iter().find(|(field, is_allowed, _)| !is_allowed && is_touched(field)) {
            Some((field, _, reason)) => Err(Refusal::InvalidProduct { field, reason }),
            None => Ok(()),
        }
    }
}

impl ProductDetails {
    /// Returns whether the value of a field that [`ProductDetails::check`] checks is another one than before.
    fn differs(&self, before: &Self, field: &str) -> bool {
        let (new, old) = (&self.sale, &before.sale);
        match field {
            "sku" => self.sku != before.sku,
            "name" => self.name != before.name,
            "price_minor" => self.price_minor != before.price_minor,
            "currency" => self.currency != before.currency,
            "sale_starts_at" => new.starts_at != old.starts_at,
            "sale_ends_at" => (new.starts_at, new.ends_at) != (old.starts_at, old.ends_at),
            "hold_ttl_seconds" => new.hold_ttl_seconds != old.hold_ttl_seconds,
            "order_ttl_seconds" => new.order_ttl_seconds != old.order_ttl_seconds,
            "max_qty" => new.max_qty != old.max_qty,
            "max_hold_seconds" => self.max_hold_seconds != before.max_hold_seconds,
            _ => new.max_per_buyer != old.max_per_buyer,
        }
    }
}

/// Returns whether a text may be a sku.
fn is_sku(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Returns whether a text may be a name.
pub(super) fn is_name(text: &str) -> bool {
    let is_short = (1..=NAME_CHARS).contains(&text.chars().count());
    is_short && !text.trim().is_empty() && !text.contains(char::is_control)
}

fn range(most: i64) -> String {
    format!("must be a whole number from 1 to {most}")
}

/// Returns a time as JSON: RFC 3339, UTC, microseconds.
fn written(time: NaiveDateTime) -> Value {
    time.and_utc().to_rfc3339_opts(chrono::SecondsFormat::Micros, true).into()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn at(second: i64) -> NaiveDateTime {
        DateTime::from_timestamp(1_000_000 + second, 0).expect("a time").naive_utc()
    }

    fn details() -> ProductDetails {
        ProductDetails {
            sku: None,
            name: "A thing".to_owned(),
            price_minor: 1,
            currency: "EUR".to_owned(),
            sale: Sale::default(),
            max_hold_seconds: None,
            metadata: None,
        }
    }

    #[test]
    fn every_field_is_checked_at_its_bounds_unless_it_stays_as_it_was() {
        type Change = fn(&mut ProductDetails);
        let bad: [(&str, Change); 15] = [
            ("max_hold_seconds", |it| it.max_hold_seconds = Some(LONGEST_EXTENSION + 1)),
            ("sku", |it| it.sku = Some(String::new())),
            ("sku", |it| it.sku = Some("s".repeat(65))),
            ("sku", |it| it.sku = Some("a b".to_owned())),
            ("name", |it| it.name = " ".to_owned()),
            ("name", |it| it.name = "n".repeat(256)),
            ("price_minor", |it| it.price_minor = -1),
            ("price_minor", |it| it.price_minor = MOST_PRICE + 1),
            ("currency", |it| it.currency = "QQQ".to_owned()),
            ("currency", |it| it.currency = "eur".to_owned()),
            ("sale_ends_at", |it| (it.sale.starts_at, it.sale.ends_at) = (Some(at(1)), Some(at(1)))),
            ("hold_ttl_seconds", |it| it.sale.hold_ttl_seconds = Some(86_401)),
            ("order_ttl_seconds", |it| it.sale.order_ttl_seconds = Some(0)),
            ("max_qty", |it| it.sale.max_qty = Some(1001)),
            ("max_per_buyer", |it| it.sale.max_per_buyer = Some(0)),
        ];
        for (field, change) in bad {
            let mut wrong = details();
            change(&mut wrong);
            let refused = wrong.check(None).expect_err(field);
            assert!(matches!(refused, Refusal::InvalidProduct { field: named, .. } if named == field), "{refused:?}");
            assert_eq!((wrong.check(Some(&wrong)), details().check(None)), (Ok(()), Ok(())));
        }
        let mut good = details();
        (good.price_minor, good.sale.max_qty, good.sale.hold_ttl_seconds) = (MOST_PRICE, Some(1000), Some(86_400));
        good.sku = Some("s".repeat(64));
        assert_eq!(good.check(None), Ok(()));
    }

    #[test]
    fn a_change_names_only_the_fields_that_differ_and_changes_the_tag() {
        let (before, mut after) = (details(), details());
        after.sku = Some("thing".to_owned());
        after.price_minor = 2;
        let (old, new) = after.changes(Some(&before));
        assert_eq!(Value::Object(old), serde_json::json!({ "sku": null, "price_minor": 1 }));
        assert_eq!(Value::Object(new), serde_json::json!({ "sku": "thing", "price_minor": 2 }));
        assert_eq!(Value::Object(before.changes(Some(&after)).1), serde_json::json!({ "sku": null, "price_minor": 1 }));
        assert_ne!(before.etag(), after.etag());
    }
}
