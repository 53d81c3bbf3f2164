//! The body of an audit report.

use poem_openapi::Object;
use serde::Serialize;

use crate::checkout::audit::report::{Finding, Kind, LookedAt, Money, MoneyState, Report, Stock};
use crate::http::values::{Timestamp, Word};

/// Numbers of rows that an audit checked.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "AuditLookedAt")]
pub struct LookedAtBody {
    /// Products.
    products: i64,
    /// Holds; a hold of several products has several rows.
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

/// Units by state: `stock` is the sum of the others.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "AuditStock", skip_serializing_if_is_none)]
pub struct StockBody {
    /// The product's id; absent in the sum of all products.
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<i64>,
    /// Units put on sale.
    stock: i64,
    /// Units on sale now.
    available: i64,
    /// Units in active holds.
    held: i64,
    /// Units in orders that wait for their payment.
    awaiting: i64,
    /// Units in paid orders, and in refunded orders whose units stayed sold.
    sold: i64,
}

impl StockBody {
    fn of(product_id: Option<i64>, Stock { stock, available, held, awaiting, sold }: Stock) -> Self {
        Self { product_id, stock, available, held, awaiting, sold }
    }
}

/// The money in one state and currency.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "AuditMoney", skip_serializing_if_is_none)]
pub struct MoneyBody {
    /// The state of the money.
    state: Word<MoneyState>,
    /// ISO 4217 code; absent if no event stated it.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    /// The amount, in minor units of `currency`.
    amount_minor: i64,
    /// Number of charges, or events without one, in this state. A charge that was refunded in part counts as paid.
    count: i64,
    /// Number of those without a readable amount, which are not in `amount_minor`.
    unknown: i64,
}

impl From<Money> for MoneyBody {
    fn from(Money { state, currency, amount_minor, count, unknown }: Money) -> Self {
        Self { state: Word(state), currency, amount_minor, count, unknown }
    }
}

/// The number of findings of one kind.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "AuditCount")]
pub struct CountBody {
    /// The kind of finding.
    kind: Word<Kind>,
    /// Number of findings.
    count: i64,
}

/// An inconsistency in the data.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "AuditFinding")]
pub struct FindingBody {
    /// The kind of finding.
    kind: Word<Kind>,
    /// The id of the product, hold, order or payment event.
    id: String,
    /// The inconsistency in words.
    detail: String,
}

impl From<Finding> for FindingBody {
    fn from(Finding { kind, id, detail }: Finding) -> Self {
        Self { kind: Word(kind), id, detail }
    }
}

/// The result of an audit of one snapshot of all tables.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "AuditReport")]
pub struct ReportBody {
    /// Whether there are no findings.
    clean: bool,
    /// When the snapshot was taken, by the database's clock.
    taken_at: Timestamp,
    /// Duration of the audit, in milliseconds.
    took_ms: i64,
    /// Numbers of rows that were checked.
    looked_at: LookedAtBody,
    /// The units of all products together.
    units: StockBody,
    /// The first hundred products, by id.
    products: Vec<StockBody>,
    /// The money that was taken, by state and currency.
    money: Vec<MoneyBody>,
    /// The number of findings of each kind, without a limit.
    counts: Vec<CountBody>,
    /// The first hundred findings of each kind.
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
