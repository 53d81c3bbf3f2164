//! The audit: whether everything that must hold does, proven in one snapshot of all tables while the sale goes on.
//!
//! It reads page by page along the primary keys, locks nothing, and keeps no more than a page, a window of products and a
//! bounded report in memory. What it costs: one connection, and old versions of rows that the database keeps meanwhile.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Checkout;
use super::audit_report::{Findings, LookedAt, PRODUCTS, Purse, Report, Stock};
use crate::db::audit::{
    self, CHARGES, Counters, EVENTS, Finding, HOLDS, Key, Kind, ORDERS, Page, TRANSITIONS, Table, Units,
};
use crate::db::{Error, Failure, Tx};
use crate::domain::Refusal;

/// Rows that one statement looks at.
const PAGE: u32 = 5000;
/// Products whose units are summed up in memory at a time; all holds are read once per so many products.
const WINDOW: u32 = 20_000;

impl Checkout {
    /// Looks at everything, in one snapshot; one at a time per instance.
    ///
    /// # Errors
    /// [`Refusal::AuditRunning`]; as every read, and when the snapshot takes longer than an hour.
    pub async fn audit(&self) -> Result<Report, Error> {
        self.audit_until(&CancellationToken::new()).await
    }

    /// The same until `ended`: then the snapshot ends at once, also in the middle of a statement.
    ///
    /// # Errors
    /// As [`Checkout::audit`]; [`Error::Unavailable`] when it was ended.
    pub async fn audit_until(&self, ended: &CancellationToken) -> Result<Report, Error> {
        let Ok(_turn) = self.auditing.try_lock() else { return Err(Refusal::AuditRunning.into()) };
        let started = Instant::now();
        let report = self.database.snapshot("audit", |tx| unless_ended(ended, look_at_everything(tx)).boxed());
        let mut report = report.await?;
        report.took = started.elapsed();
        match report.is_clean() {
            true => info!(took = ?report.took, "an audit found nothing wrong"),
            false => warn!(took = ?report.took, counts = ?report.counts, "an audit found something wrong"),
        }
        Ok(report)
    }
}

/// What an audit knows so far.
#[derive(Default)]
struct Audit {
    stock: Stock,
    products: Vec<(i64, Stock)>,
    findings: Findings,
    purse: Purse,
}

/// Does the work, or abandons it when `ended` is.
async fn unless_ended<T>(
    ended: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        () = ended.cancelled() => Err(Failure::Abandoned("the audit was ended")),
        done = work => done,
    }
}

async fn look_at_everything(tx: &mut Tx<'_>) -> Result<Report, Failure> {
    let taken_at = audit::find_time(tx).await?;
    let mut audit = Audit::default();
    let looked_at = LookedAt {
        products: audit.look_at_products(tx).await?,
        holds: audit.look_at(tx, &HOLDS).await?,
        orders: audit.look_at(tx, &ORDERS).await?,
        transitions: audit.look_at(tx, &TRANSITIONS).await?,
        payment_events: audit.look_at(tx, &EVENTS).await?,
        charges: audit.look_at(tx, &CHARGES).await?,
    };
    audit.count_money(tx).await?;
    let Audit { stock, products, findings, purse } = audit;
    let (counts, findings) = findings.into_parts();
    Ok(Report { taken_at, took: Duration::ZERO, looked_at, stock, products, money: purse.sums(), counts, findings })
}

/// The next page of a table; `first` is where it begins, and moves on behind it.
async fn next_page(tx: &mut Tx<'_>, table: &Table, first: &mut Option<Key>) -> Result<Option<Page>, Failure> {
    // Between two pages nobody has to wait for us who wants to change the schema.
    tx.let_go().await?;
    let Some(begin) = *first else { return Ok(None) };
    let page = audit::find_page(tx, table, begin, PAGE).await?;
    *first = page.and_then(|page| page.last.next());
    Ok(page)
}

impl Audit {
    /// Makes all checks of one table. Returns how many rows it has.
    async fn look_at(&mut self, tx: &mut Tx<'_>, table: &Table) -> Result<i64, Failure> {
        let (mut rows, mut first) = (0, Some(table.first));
        while let Some(page) = next_page(tx, table, &mut first).await? {
            rows += page.rows;
            for &kind in table.checks {
                self.findings.add(audit::check(tx, kind, page).await?);
            }
        }
        Ok(rows)
    }

    /// The money that charges show, and what was reported and has no charge yet.
    async fn count_money(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let mut first = Some(CHARGES.first);
        while let Some(page) = next_page(tx, &CHARGES, &mut first).await? {
            for sum in audit::sum_charges(tx, page).await? {
                self.purse.add_charges(sum);
            }
        }
        let mut first = Some(EVENTS.first);
        while let Some(page) = next_page(tx, &EVENTS, &mut first).await? {
            for sum in audit::sum_waiting_successes(tx, page).await? {
                self.purse.add_waiting(sum);
            }
        }
        Ok(())
    }

    /// Compares what products say with what holds and orders say. Returns how many products there are.
    async fn look_at_products(&mut self, tx: &mut Tx<'_>) -> Result<i64, Failure> {
        let (mut rows, mut first) = (0, i64::MIN);
        loop {
            let window = audit::list_products(tx, first, WINDOW).await?;
            let (Some(&begin), Some(&end)) = (window.first(), window.last()) else { return Ok(rows) };
            let units = units_of(tx, begin.product_id, end.product_id).await?;
            for counters in window {
                rows += 1;
                self.compare(counters, units.get(&counters.product_id).copied().unwrap_or_default());
            }
            let Some(next) = end.product_id.checked_add(1) else { return Ok(rows) };
            first = next;
        }
    }

    fn compare(&mut self, counters: Counters, units: Units) {
        let Counters { product_id, stock, available, reserved } = counters;
        let Units { held, awaiting, sold } = units;
        let seen = Stock { stock, available, held, awaiting, sold };
        self.stock.add(seen);
        if self.products.len() < PRODUCTS {
            self.products.push((product_id, seen));
        }
        let spoken_for = held + awaiting + sold;
        if reserved != spoken_for || stock != available + spoken_for || available < 0 || reserved < 0 {
            let detail = format!("reserved {reserved}: {seen}");
            self.findings.add([Finding { kind: Kind::UnitsNotConserved, id: product_id.to_string(), detail }]);
        }
    }
}

/// What all holds speak for, by product; of the products from `begin` to `end`.
async fn units_of(tx: &mut Tx<'_>, begin: i64, end: i64) -> Result<HashMap<i64, Units>, Failure> {
    let mut units: HashMap<i64, Units> = HashMap::new();
    let mut first = Some(HOLDS.first);
    while let Some(page) = next_page(tx, &HOLDS, &mut first).await? {
        for (product_id, of_page) in audit::sum_units(tx, page, begin, end).await? {
            let sum = units.entry(product_id).or_default();
            sum.held += of_page.held;
            sum.awaiting += of_page.awaiting;
            sum.sold += of_page.sold;
        }
    }
    Ok(units)
}
