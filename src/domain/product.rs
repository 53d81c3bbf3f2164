//! Products: what they sell by, and when.

use chrono::{Datelike as _, NaiveDateTime};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::money::Currency;
use super::refusal::Refusal;
use super::status::named;
use super::ticket::{Ticket, TicketKind};

/// The most units that a product may allow in one hold.
pub const MOST_PER_HOLD: i64 = 1000;

/// The most lines of a hold.
pub const MOST_LINES: usize = 20;

named! {
    /// What an operator has decided about the sale of a product.
    ProductStatus {
        /// It is sold, within its window.
        OnSale = "on_sale",
        /// New holds are refused for now.
        Paused = "paused",
        /// New holds are refused for good, and lists leave it out.
        Retired = "retired",
    }
}

named! {
    /// What a buyer is told about the sale of a product.
    SaleStatus {
        /// Its sale has not begun.
        Upcoming = "upcoming",
        /// Units can be held.
        OnSale = "on_sale",
        /// All units that are left are in holds or unpaid orders, and may come back.
        AllHeld = "all_held",
        /// No unit is left.
        SoldOut = "sold_out",
        /// New holds are refused for now.
        Paused = "paused",
        /// Its sale is over.
        Ended = "ended",
    }
}

/// The terms of a product's sale, beside its price. A product that another program has inserted has the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sale {
    /// What an operator has decided.
    pub status: ProductStatus,
    /// When the sale begins, UTC; `None`: it has begun.
    pub starts_at: Option<NaiveDateTime>,
    /// When the sale is over, UTC; `None`: never.
    pub ends_at: Option<NaiveDateTime>,
    /// How long a hold lasts, in seconds; `None`: as the shop says.
    pub hold_ttl_seconds: Option<i64>,
    /// How long an order may stay unpaid, in seconds; `None`: as the shop says.
    pub order_ttl_seconds: Option<i64>,
    /// The most units of one hold; `None`: as the shop says.
    pub max_qty: Option<i64>,
    /// The most units of one buyer; `None`: no limit.
    pub max_per_buyer: Option<i64>,
    /// What a ticket type has of its event; `None`: the product is none.
    pub ticket: Option<Ticket>,
}

impl Default for Sale {
    fn default() -> Self {
        Self {
            status: ProductStatus::OnSale,
            starts_at: None,
            ends_at: None,
            hold_ttl_seconds: None,
            order_ttl_seconds: None,
            max_qty: None,
            max_per_buyer: None,
            ticket: None,
        }
    }
}

impl Sale {
    /// Returns whether there are no terms but the price.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Returns when the sale begins, UTC: for a ticket type not before its event's.
    pub fn opens_at(&self) -> Option<NaiveDateTime> {
        self.starts_at.max(self.ticket.and_then(|ticket| ticket.sale_starts_at))
    }

    /// Returns when the sale is over, UTC: for a ticket type not after its event's.
    pub fn closes_at(&self) -> Option<NaiveDateTime> {
        let of_event = self.ticket.and_then(|ticket| ticket.sale_ends_at);
        self.ends_at.into_iter().chain(of_event).min()
    }

    /// Returns whether its units are seats, which are not sold by their number.
    pub fn is_seated(&self) -> bool {
        self.ticket.is_some_and(|ticket| ticket.kind == TicketKind::Seated)
    }

    /// Returns why no hold can be taken at `now`, by the database's clock; `None` when one can.
    pub fn refusal(&self, now: NaiveDateTime) -> Option<Refusal> {
        match self.status {
            _ if self.ticket.is_some_and(|ticket| ticket.cancelled_at.is_some()) => return Some(Refusal::SaleEnded),
            ProductStatus::Retired => return Some(Refusal::SaleEnded),
            _ if self.closes_at().is_some_and(|end| end <= now) => return Some(Refusal::SaleEnded),
            ProductStatus::Paused => return Some(Refusal::SalePaused),
            ProductStatus::OnSale => {}
        }
        let sale_starts_at = self.opens_at().filter(|start| *start > now)?;
        let wait_us = u64::try_from((sale_starts_at - now).num_microseconds().unwrap_or(i64::MAX)).unwrap_or(0);
        Some(Refusal::SaleNotStarted { sale_starts_at, retry_after_seconds: wait_us.div_ceil(1_000_000).max(1) })
    }

    /// Returns what a buyer is told at `now`: `available` units are on sale, and others may come back if `returning`.
    pub fn told(&self, now: NaiveDateTime, available: i64, returning: bool) -> SaleStatus {
        match self.refusal(now) {
            Some(Refusal::SalePaused) => SaleStatus::Paused,
            Some(Refusal::SaleNotStarted { .. }) => SaleStatus::Upcoming,
            Some(_) => SaleStatus::Ended,
            None if available > 0 => SaleStatus::OnSale,
            None if returning => SaleStatus::AllHeld,
            None => SaleStatus::SoldOut,
        }
    }

    /// Returns how long a hold lasts, in seconds; `default` is the shop's time. A value below 1, which only another program can
    /// have written, does not count.
    pub fn hold_seconds(&self, default: u64) -> u64 {
        positive(self.hold_ttl_seconds).unwrap_or(default)
    }

    /// Returns how long an order may stay unpaid, in seconds, if the product says so.
    pub fn order_seconds(&self) -> Option<u64> {
        positive(self.order_ttl_seconds)
    }

    /// Returns the times of holds and of orders that the product says, in seconds.
    pub fn own_seconds(&self) -> impl Iterator<Item = u64> + use<> {
        [positive(self.hold_ttl_seconds), self.order_seconds()].into_iter().flatten()
    }

    /// Returns the most units of one buyer, if there is a limit.
    pub fn per_buyer(&self) -> Option<i64> {
        self.max_per_buyer.filter(|most| *most >= 1)
    }

    /// Returns the most units of one hold; `default` is the shop's limit.
    pub fn max_units(&self, default: i64) -> i64 {
        self.max_qty.filter(|most| *most >= 1).map_or(default, |most| most.min(MOST_PER_HOLD))
    }
}

fn positive(value: Option<i64>) -> Option<u64> {
    value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0)
}

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
const MOST_PER_BUYER: i64 = 1_000_000;
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
    fn a_sale_begins_at_its_start_and_is_over_at_its_end() {
        let sale = Sale { starts_at: Some(at(0)), ends_at: Some(at(10)), ..Sale::default() };
        let wait = |seconds| Refusal::SaleNotStarted { sale_starts_at: at(0), retry_after_seconds: seconds };
        assert_eq!(sale.refusal(at(-5)), Some(wait(5)));
        assert_eq!(sale.refusal(at(0) - chrono::TimeDelta::microseconds(1)), Some(wait(1)));
        assert_eq!((sale.refusal(at(0)), sale.refusal(at(9))), (None, None));
        assert_eq!(sale.refusal(at(10)), Some(Refusal::SaleEnded));
    }

    #[test]
    fn a_ticket_type_is_sold_within_the_windows_of_its_event_and_its_own() {
        let ticket = Ticket {
            event_id: Some(1),
            kind: TicketKind::Admission,
            sale_starts_at: Some(at(0)),
            sale_ends_at: Some(at(10)),
            cancelled_at: None,
        };
        let of = |starts_at: Option<i64>, ends_at: Option<i64>| {
            let (starts_at, ends_at) = (starts_at.map(at), ends_at.map(at));
            Sale { starts_at, ends_at, ticket: Some(ticket), ..Sale::default() }
        };
        for (sale, start, end) in [
            (of(None, None), 0, 10),
            (of(Some(-5), Some(20)), 0, 10),
            (of(Some(5), Some(7)), 5, 7),
            (of(Some(5), None), 5, 10),
            (of(None, Some(7)), 0, 7),
        ] {
            assert_eq!((sale.opens_at(), sale.closes_at()), (Some(at(start)), Some(at(end))));
            assert!(
                matches!(sale.refusal(at(start - 1)), Some(Refusal::SaleNotStarted { sale_starts_at, .. }) if sale_starts_at == at(start))
            );
            assert_eq!((sale.refusal(at(start)), sale.refusal(at(end - 1))), (None, None));
            assert_eq!(sale.refusal(at(end)), Some(Refusal::SaleEnded));
            let cancelled = Ticket { cancelled_at: Some(at(100)), ..ticket };
            assert_eq!(Sale { ticket: Some(cancelled), ..sale.clone() }.refusal(at(start)), Some(Refusal::SaleEnded));
            assert!(!sale.is_plain() && !sale.is_seated());
        }
        assert!(Sale { ticket: Some(Ticket { kind: TicketKind::Seated, ..ticket }), ..Sale::default() }.is_seated());
    }

    #[test]
    fn an_end_counts_more_than_a_pause_and_a_pause_more_than_a_start() {
        let sale =
            Sale { starts_at: Some(at(0)), ends_at: Some(at(10)), status: ProductStatus::Paused, ..Sale::default() };
        assert_eq!(sale.told(at(-1), 1, false), SaleStatus::Paused);
        assert_eq!(sale.told(at(10), 1, false), SaleStatus::Ended);
        let retired = Sale { status: ProductStatus::Retired, ..Sale::default() };
        assert_eq!(retired.told(at(0), 1, false), SaleStatus::Ended);
        let plain = Sale::default();
        assert_eq!(
            [(1, false), (0, true), (0, false)].map(|(units, back)| plain.told(at(0), units, back)),
            [SaleStatus::OnSale, SaleStatus::AllHeld, SaleStatus::SoldOut]
        );
    }

    #[test]
    fn values_that_no_operator_could_set_do_not_count() {
        let odd = Sale { hold_ttl_seconds: Some(0), order_ttl_seconds: Some(-1), max_qty: Some(0), ..Sale::default() };
        assert_eq!((odd.hold_seconds(120), odd.order_seconds(), odd.max_units(10)), (120, None, 10));
        let large = Sale { max_qty: Some(i64::MAX), ..Sale::default() };
        assert_eq!(large.max_units(10), MOST_PER_HOLD);
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
