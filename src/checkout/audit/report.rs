//! The report of an audit; its size is bounded.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use chrono::{NaiveDateTime, SecondsFormat};

use crate::db::views::audit::{ChargeSum, WaitingSum};
pub use crate::db::views::audit::{Finding, Kind};
use crate::domain::status::named;
use crate::domain::{Amount, Currency, EventStatus, Named as _};

/// Maximum number of findings of one kind in a report; all are counted.
pub const FINDINGS: usize = 100;
/// Maximum number of products that a report lists; all are in the sums.
pub const PRODUCTS: usize = 100;

/// The result of an audit of one snapshot.
#[derive(Debug, Clone)]
pub struct Report {
    /// When the snapshot was taken, by the database's clock, UTC.
    pub taken_at: NaiveDateTime,
    /// How long the audit took.
    pub took: Duration,
    /// How many rows it looked at.
    pub looked_at: LookedAt,
    /// The units of all products together.
    pub stock: Stock,
    /// The first [`PRODUCTS`] products, by id.
    pub products: Vec<(i64, Stock)>,
    /// The money by state and currency.
    pub money: Vec<Money>,
    /// The number of all findings of each kind.
    pub counts: Vec<(Kind, i64)>,
    /// The first [`FINDINGS`] findings of each kind.
    pub findings: Vec<Finding>,
}

/// How many rows of each table an audit looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LookedAt {
    /// Products.
    pub products: i64,
    /// Rows of holds; a hold of several products has several.
    pub holds: i64,
    /// Orders.
    pub orders: i64,
    /// Transitions of orders.
    pub transitions: i64,
    /// Payment events.
    pub payment_events: i64,
    /// Charges.
    pub charges: i64,
}

/// Where units are; `stock` is the sum of the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stock {
    /// Put on sale.
    pub stock: i64,
    /// On sale now.
    pub available: i64,
    /// In active holds.
    pub held: i64,
    /// In orders that wait for payment.
    pub awaiting: i64,
    /// In paid orders, and in refunded ones whose units stayed sold.
    pub sold: i64,
}

impl Stock {
    pub(crate) fn add(&mut self, other: Self) {
        self.stock = self.stock.saturating_add(other.stock);
        self.available = self.available.saturating_add(other.available);
        self.held = self.held.saturating_add(other.held);
        self.awaiting = self.awaiting.saturating_add(other.awaiting);
        self.sold = self.sold.saturating_add(other.sold);
    }
}

named! {
    /// The state of money that was taken.
    MoneyState {
        /// It pays for an order.
        Paid = "paid",
        /// It has to be given back.
        RefundDue = "refund_due",
        /// It was given back.
        Refunded = "refunded",
        /// Its event does not fit its order and waits for an operator.
        Quarantined = "quarantined",
        /// Its event waits for its order.
        Parked = "parked",
        /// Its event is not applied yet.
        Received = "received",
        /// Its event was given up.
        Dead = "dead",
        /// Its event names no order of this shop; as far as is known, the money belongs to another shop.
        Unmatched = "unmatched",
    }
}

/// The money of one state and currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// Its state.
    pub state: MoneyState,
    /// ISO 4217; `None` when it is not known.
    pub currency: Option<String>,
    /// The amount, in minor units of `currency`.
    pub amount_minor: i64,
    /// The number of charges, or of events without one, in this state. A charge that was refunded in part counts as paid.
    pub count: i64,
    /// The number of those without a readable amount; they are not in `amount_minor`.
    pub unknown: i64,
}

impl Report {
    /// Returns whether the audit found nothing.
    pub fn is_clean(&self) -> bool {
        self.counts.is_empty()
    }

    /// Returns the number of findings.
    pub fn count(&self) -> i64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }
}

/// Collects findings.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    counts: HashMap<Kind, i64>,
    told: Vec<Finding>,
}

impl Findings {
    pub(crate) fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            let count = self.counts.entry(finding.kind).or_default();
            *count += 1;
            if usize::try_from(*count).is_ok_and(|count| count <= FINDINGS) {
                self.told.push(finding);
            }
        }
    }

    /// Returns the count of each kind, and the first findings of each.
    pub(crate) fn into_parts(self) -> (Vec<(Kind, i64)>, Vec<Finding>) {
        let count = |&kind: &Kind| Some((kind, *self.counts.get(&kind)?));
        (Kind::ALL.iter().filter_map(count).collect(), self.told)
    }
}

/// Collects sums of money.
#[derive(Debug, Default)]
pub(crate) struct MoneyTotals(HashMap<(MoneyState, Option<String>), (i64, i64, i64)>);

impl MoneyTotals {
    fn add(&mut self, state: MoneyState, currency: Option<String>, (amount_minor, count, unknown): (i64, i64, i64)) {
        let sum = self.0.entry((state, currency)).or_default();
        *sum = (sum.0.saturating_add(amount_minor), sum.1 + count, sum.2 + unknown);
    }

    /// Adds charges. A charge that was given back in part is in two states.
    pub(crate) fn add_charges(&mut self, sum: ChargeSum) {
        let state = MoneyState::from_name(&sum.status).unwrap_or(MoneyState::Dead);
        if state != MoneyState::Refunded && sum.refunded_minor != 0 {
            self.add(MoneyState::Refunded, sum.currency.clone(), (sum.refunded_minor, 0, 0));
        }
        let amount_minor = if state == MoneyState::Refunded { sum.refunded_minor } else { sum.kept_minor };
        self.add(state, sum.currency, (amount_minor, sum.count, sum.unknown));
    }

    pub(crate) fn add_waiting(&mut self, sum: WaitingSum) {
        let state = match sum.status {
            EventStatus::Quarantined => MoneyState::Quarantined,
            EventStatus::Parked => MoneyState::Parked,
            EventStatus::Received => MoneyState::Received,
            EventStatus::Unmatched => MoneyState::Unmatched,
            _ => MoneyState::Dead,
        };
        let currency = sum.currency.as_deref().and_then(Currency::parse);
        let amount = sum.amount.as_deref().and_then(Amount::parse);
        let minor = currency.as_ref().and_then(|currency| amount?.minor_units(currency));
        let unknown = if minor.is_some() { 0 } else { sum.count };
        let total = minor.unwrap_or(0).saturating_mul(sum.count);
        self.add(state, currency.map(|currency| currency.to_string()), (total, sum.count, unknown));
    }

    /// Returns the sums, by state and currency.
    pub(crate) fn sums(self) -> Vec<Money> {
        let money = |((state, currency), (amount_minor, count, unknown))| Money {
            state,
            currency,
            amount_minor,
            count,
            unknown,
        };
        let mut sums: Vec<Money> = self.0.into_iter().map(money).collect();
        let place = |state: MoneyState| MoneyState::ALL.iter().position(|&other| other == state);
        sums.sort_by(|one, other| (place(one.state), &one.currency).cmp(&(place(other.state), &other.currency)));
        sums
    }
}

impl fmt::Display for Stock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stock, available, held, awaiting, sold } = self;
        write!(formatter, "stock {stock} = {available} available + {held} held + {awaiting} awaiting + {sold} sold")
    }
}

impl fmt::Display for LookedAt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { products, holds, orders, transitions, payment_events, charges } = self;
        write!(
            formatter,
            "{products} products, {holds} holds, {orders} orders with {transitions} transitions, {payment_events} payment \
             events, {charges} charges"
        )
    }
}

impl fmt::Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let currency = self.currency.as_deref().unwrap_or("(no currency)");
        write!(formatter, "{:<12}{} {currency} minor units in {}", self.state.as_str(), self.amount_minor, self.count)?;
        match self.unknown {
            0 => Ok(()),
            unknown => write!(formatter, ", and {unknown} of them of unknown amount"),
        }
    }
}

/// Prints the report for people: each finding is a line of its own.
impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken_at = self.taken_at.and_utc().to_rfc3339_opts(SecondsFormat::Micros, true);
        writeln!(formatter, "snapshot    {taken_at}, read in {:.1} s", self.took.as_secs_f64())?;
        writeln!(formatter, "looked at   {}", self.looked_at)?;
        writeln!(formatter, "units       {}", self.stock)?;
        for (product_id, stock) in &self.products {
            writeln!(formatter, "  product {product_id}: {stock}")?;
        }
        if usize::try_from(self.looked_at.products).is_ok_and(|count| count > self.products.len()) {
            writeln!(formatter, "  and {} more", self.looked_at.products - self.products.len() as i64)?;
        }
        for money in &self.money {
            writeln!(formatter, "{money}")?;
        }
        for (kind, count) in &self.counts {
            writeln!(formatter, "{kind}: {count}")?;
            for finding in self.findings.iter().filter(|finding| finding.kind == *kind) {
                writeln!(formatter, "  {}: {}", finding.id, finding.detail)?;
            }
        }
        write!(formatter, "{}", if self.is_clean() { "clean" } else { "NOT CLEAN" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_findings_are_bounded_and_counted_ones_are_not() {
        let mut findings = Findings::default();
        let finding = |id: usize| Finding { kind: Kind::SuccessDead, id: id.to_string(), detail: String::new() };
        findings.add((0..FINDINGS + 50).map(finding));
        findings.add([Finding { kind: Kind::TrailBroken, ..finding(0) }]);
        let (counts, told) = findings.into_parts();
        assert_eq!(counts, [(Kind::TrailBroken, 1), (Kind::SuccessDead, 150)]);
        assert_eq!(told.len(), FINDINGS + 1);
    }

    #[test]
    fn money_is_added_up_by_state_and_currency() {
        let mut purse = MoneyTotals::default();
        let charges = |status: &str, kept_minor, refunded_minor| ChargeSum {
            status: status.to_owned(),
            currency: Some("EUR".to_owned()),
            count: 2,
            unknown: 0,
            kept_minor,
            refunded_minor,
            odd: 0,
        };
        purse.add_charges(charges("paid", 700, 300));
        purse.add_charges(charges("refunded", 0, 500));
        for (amount, currency) in [(Some("1.5"), Some("eur")), (None, Some("EUR")), (Some("x"), Some("!"))] {
            let [amount, currency] = [amount, currency].map(|text| text.map(str::to_owned));
            purse.add_waiting(WaitingSum { status: EventStatus::Parked, amount, currency, count: 3 });
        }
        let told: Vec<String> = purse.sums().iter().map(Money::to_string).collect();
        assert_eq!(
            told,
            [
                "paid        700 EUR minor units in 2",
                "refunded    800 EUR minor units in 2",
                "parked      0 (no currency) minor units in 3, and 3 of them of unknown amount",
                "parked      450 EUR minor units in 6, and 3 of them of unknown amount",
            ]
        );
    }
}
