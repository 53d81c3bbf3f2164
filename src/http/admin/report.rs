//! What operators are shown of an audit.

use poem_openapi::Object;
use serde::Serialize;

use crate::checkout::audit_report::{Finding, Kind, LookedAt, Money, MoneyState, Report, Stock};
use crate::http::types::{Timestamp, Word};

/// How many rows an audit looked at.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "AuditLookedAt")]
pub struct LookedAtBody {
    /// Products.
    products: i64,
    /// Holds; one of several products has several rows.
    holds: i64,
    /// Orders.
    orders: i64,
    /// Transitions of orders.
    transitions: i64,
    /// Payment events.
    payment_events: i64,
    /// Charges.
    charges: i64,
}

impl From<LookedAt> for LookedAtBody {
    fn from(looked_at: LookedAt) -> Self {
        let LookedAt { products, holds, orders, transitions, payment_events, charges } = looked_at;
        Self { products, holds, orders, transitions, payment_events, charges }
    }
}

/// Where units are: `stock` is the sum of the others.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "AuditStock", skip_serializing_if_is_none)]
pub struct StockBody {
    /// The product; not there in a sum over all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<i64>,
    /// Put on sale.
    stock: i64,
    /// On sale now.
    available: i64,
    /// In active holds.
    held: i64,
    /// In orders that wait for their payment.
    awaiting: i64,
    /// In paid orders, and in refunded ones whose units stayed sold.
    sold: i64,
}

impl StockBody {
    fn of(product_id: Option<i64>, Stock { stock, available, held, awaiting, sold }: Stock) -> Self {
        Self { product_id, stock, available, held, awaiting, sold }
    }
}

/// The money of one state and currency.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "AuditMoney", skip_serializing_if_is_none)]
pub struct MoneyBody {
    /// Where it is.
    state: Word<MoneyState>,
    /// ISO 4217; not there when nobody said.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    /// How much, in minor units of `currency`.
    amount_minor: i64,
    /// How many charges, or events without one, are in this state. A charge that was refunded in part counts as paid.
    count: i64,
    /// Of how many of them nobody said an amount that can be read: they are not in `amount_minor`.
    unknown: i64,
}

impl From<Money> for MoneyBody {
    fn from(Money { state, currency, amount_minor, count, unknown }: Money) -> Self {
        Self { state: Word(state), currency, amount_minor, count, unknown }
    }
}

/// How many findings of one kind there are.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "AuditCount")]
pub struct CountBody {
    /// The kind.
    kind: Word<Kind>,
    /// How many.
    count: i64,
}

/// Something that does not hold.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "AuditFinding")]
pub struct FindingBody {
    /// What it is.
    kind: Word<Kind>,
    /// At what: the id of a product, hold, order or payment event.
    id: String,
    /// What was found there, in words.
    detail: String,
}

impl From<Finding> for FindingBody {
    fn from(Finding { kind, id, detail }: Finding) -> Self {
        Self { kind: Word(kind), id, detail }
    }
}

/// What an audit found in one snapshot of all tables.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "AuditReport")]
pub struct ReportBody {
    /// Whether nothing was found.
    clean: bool,
    /// When the snapshot was taken, by the database's clock.
    taken_at: Timestamp,
    /// How long it took to look at everything.
    took_ms: i64,
    /// How many rows that were.
    looked_at: LookedAtBody,
    /// The units of all products together.
    units: StockBody,
    /// The first hundred products, by id.
    products: Vec<StockBody>,
    /// Where the money is that was taken, by state and currency.
    money: Vec<MoneyBody>,
    /// How many findings of each kind there are, none left out.
    counts: Vec<CountBody>,
    /// The first hundred of each kind.
    findings: Vec<FindingBody>,
}

impl From<Report> for ReportBody {
    fn from(report: Report) -> Self {
        Self {
            clean: report.is_clean(),
            taken_at: Timestamp(report.taken_at),
            took_ms: i64::try_from(report.took.as_millis()).unwrap_or(i64::MAX),
            looked_at: report.looked_at.into(),
            units: StockBody::of(None, report.stock),
            products: report.products.into_iter().map(|(id, stock)| StockBody::of(Some(id), stock)).collect(),
            money: report.money.into_iter().map(MoneyBody::from).collect(),
            counts: report.counts.into_iter().map(|(kind, count)| CountBody { kind: Word(kind), count }).collect(),
            findings: report.findings.into_iter().map(FindingBody::from).collect(),
        }
    }
}
