//! The audit checks every invariant in one snapshot of all tables while the sale goes on.
//!
//! First it adds up each table once: how many rows match their counterparts, seen from either side. When the sums agree, every
//! row has its counterpart and nothing is wrong. When they do not, the checks read every page and name the rows that are wrong.
//!
//! It reads page by page along the primary keys, locks nothing, and keeps no more than a page, a window of products and a
//! bounded report in memory. While other clients use the server it rests after each page. It costs one connection, and the old
//! versions of rows that the database keeps meanwhile.

mod endings;
mod feed;
mod pace;
pub mod report;
mod seats;
mod sums;
mod tickets;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use self::pace::Pace;
use self::report::{Findings, LookedAt, MoneyTotals, PRODUCTS, Report, Stock};
use self::sums::Sums;
use crate::checkout::error::Error;
use crate::checkout::state::Checkout;
use crate::db::views::audit::{
    self, CHARGES, COUNTERS, CountedSum, Counters, EVENTS, Finding, HOLDS, Key, Kind, ORDERS, PRODUCT_TRAIL, Page,
    TRANSITIONS, Table, Units,
};
use crate::db::{Failure, Tx};
use crate::domain::Refusal;
use crate::telemetry;

/// Rows per statement.
const PAGE: u32 = 5000;
/// Products whose units are added up in memory at a time; all holds are read once per window.
const WINDOW: u32 = 20_000;
/// Counters that are compared in memory at a time; all holds are read once for each window.
const COUNTER_WINDOW: u32 = 50_000;

impl Checkout {
    /// Checks all tables in one snapshot; one audit at a time per instance.
    ///
    /// # Errors
    /// [`Refusal::AuditRunning`]; as every read, and when the snapshot takes longer than an hour.
    pub async fn audit(&self) -> Result<Report, Error> {
        self.audit_until(&CancellationToken::new()).await
    }

    /// Does the same until `ended` is cancelled: then the snapshot ends at once, even during a statement.
    ///
    /// # Errors
    /// As [`Checkout::audit`]; [`Error::Unavailable`] when `ended` was cancelled.
    pub async fn audit_until(&self, ended: &CancellationToken) -> Result<Report, Error> {
        let Ok(_turn) = self.auditing.try_lock() else { return Err(Refusal::AuditRunning.into()) };
        let started = Instant::now();
        let report = self.database.snapshot("audit", |tx| unless_ended(ended, look_at_everything(tx)).boxed());
        let mut report = report.await?;
        report.took = started.elapsed();
        telemetry::audited(report.count());
        match report.is_clean() {
            true => info!(took = ?report.took, "an audit found nothing wrong"),
            false => warn!(took = ?report.took, counts = ?report.counts, "an audit found something wrong"),
        }
        Ok(report)
    }
}

/// The state of a running audit.
struct Audit {
    stock: Stock,
    products: Vec<(i64, Stock)>,
    findings: Findings,
    purse: MoneyTotals,
    sums: Sums,
    pace: Pace,
}

/// Does the work, or abandons it when `ended` is cancelled.
async fn unless_ended<T>(
    ended: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        () = ended.cancelled() => Err(Failure::Abandoned("the audit was cancelled")),
        done = work => done,
    }
}

async fn look_at_everything(tx: &mut Tx<'_>) -> Result<Report, Failure> {
    let taken_at = audit::find_time(tx).await?;
    let mut audit = Audit {
        stock: Stock::default(),
        products: Vec::new(),
        findings: Findings::default(),
        purse: MoneyTotals::default(),
        sums: Sums::default(),
        pace: Pace::start(),
    };
    let (products, holds) = audit.add_up_products(tx).await?;
    // beside the products: a change of their table makes an audit that has not read them yet start again
    audit.look_at_seats(tx).await?;
    audit.look_at_endings(tx).await?;
    audit.look_at_tickets(tx).await?;
    audit.add_up_counters(tx).await?;
    let looked_at = LookedAt {
        products,
        holds,
        orders: audit.add_up_orders(tx).await?,
        transitions: audit.add_up_transitions(tx).await?,
        payment_events: audit.add_up_events(tx).await?,
        charges: audit.add_up_charges(tx).await?,
    };
    audit.look_at_trails_of_products(tx).await?;
    audit.add_up_feed(tx).await?;
    audit.look_at_endpoints(tx).await?;
    if !audit.sums.add_up() {
        audit.name_what_is_wrong(tx).await?;
    }
    let Audit { stock, products, findings, purse, .. } = audit;
    let (counts, findings) = findings.into_parts();
    Ok(Report { taken_at, took: Duration::ZERO, looked_at, stock, products, money: purse.sums(), counts, findings })
}

impl Audit {
    /// Reads the next page of a table. `first` is the key at which it begins, and is moved behind the page.
    async fn next_page(
        &mut self,
        tx: &mut Tx<'_>,
        table: &Table,
        first: &mut Option<Key>,
    ) -> Result<Option<Page>, Failure> {
        self.next_page_of(tx, table, first, PAGE).await
    }

    /// Does the same with so many rows.
    async fn next_page_of(
        &mut self,
        tx: &mut Tx<'_>,
        table: &Table,
        first: &mut Option<Key>,
        rows: u32,
    ) -> Result<Option<Page>, Failure> {
        // Releases the tables between two pages, so that a change of the schema does not have to wait.
        tx.let_go().await?;
        self.pace.rest(tx).await?;
        let Some(begin) = first.take() else { return Ok(None) };
        let page = audit::find_page(tx, table, begin, rows).await?;
        *first = page.next();
        Ok(Some(page))
    }

    /// Compares the counters of products with holds and orders. Returns how many products and rows of holds there are.
    async fn add_up_products(&mut self, tx: &mut Tx<'_>) -> Result<(i64, i64), Failure> {
        let (mut products, mut holds, mut first) = (0, 0, Some(i64::MIN));
        while let Some(begin) = first {
            let window = audit::list_products(tx, begin, WINDOW).await?;
            let last = window.last().filter(|_| window.len() == WINDOW as usize).map(|counters| counters.product_id);
            let mut units = window.iter().map(|counters| (counters.product_id, Units::default())).collect();
            holds = self.add_up_units(tx, &(begin..=last.unwrap_or(i64::MAX)), &mut units).await?;
            for counters in window {
                products += 1;
                self.compare(counters, units.get(&counters.product_id).copied().unwrap_or_default());
            }
            first = last.and_then(|last| last.checked_add(1));
        }
        Ok((products, holds))
    }

    /// Adds up the units in holds and orders of the products in this range; `units` has an entry for each product that exists.
    /// Returns how many rows of holds there are.
    async fn add_up_units(
        &mut self,
        tx: &mut Tx<'_>,
        range: &RangeInclusive<i64>,
        units: &mut HashMap<i64, Units>,
    ) -> Result<i64, Failure> {
        // Sums that do not depend on the range are added up with the first one.
        let first_range = *range.start() == i64::MIN;
        let (mut rows, mut first) = (0, Some(HOLDS.first()));
        while let Some(page) = self.next_page(tx, &HOLDS, &mut first).await? {
            let mut ahead = 0;
            for sum in audit::sum_holds(tx, &page).await? {
                ahead += sum.ahead;
                rows += sum.rows;
                match units.get_mut(&sum.product_id) {
                    Some(of_product) => of_product.held += sum.held,
                    None if range.contains(&sum.product_id) => self.sums.odd += sum.rows,
                    None => {}
                }
                if first_range {
                    self.sums.odd += sum.odd;
                    self.sums.holds += sum.ordered;
                }
            }
            if first_range {
                self.sums.odd += audit::count_uneven_holds(tx, &page).await?;
            }
            if first_range && ahead > 0 {
                self.make_own_checks(tx, &HOLDS, &page).await?;
            }
        }
        let mut first = Some(ORDERS.first());
        while let Some(page) = self.next_page(tx, &ORDERS, &mut first).await? {
            let mut ahead = 0;
            for sum in audit::sum_units(tx, &page).await? {
                ahead += sum.ahead;
                if let Some(of_product) = sum.product_id.and_then(|product_id| units.get_mut(&product_id)) {
                    of_product.add(sum.units);
                }
                if first_range {
                    self.sums.odd += sum.odd;
                    self.sums.holds -= sum.ordered;
                }
            }
            if first_range && ahead > 0 {
                self.make_own_checks(tx, &ORDERS, &page).await?;
            }
        }
        Ok(rows)
    }

    /// Makes the checks that need nothing but this page.
    async fn make_own_checks(&mut self, tx: &mut Tx<'_>, table: &Table, page: &Page) -> Result<(), Failure> {
        for &kind in table.own_checks {
            self.findings.add(audit::check(tx, kind, page).await?);
        }
        Ok(())
    }

    /// Adds up the trails of all orders. Returns how many orders there are.
    async fn add_up_orders(&mut self, tx: &mut Tx<'_>) -> Result<i64, Failure> {
        let (mut rows, mut first) = (0, Some(ORDERS.first()));
        while let Some(page) = self.next_page(tx, &ORDERS, &mut first).await? {
            let sum = audit::sum_trails(tx, &page).await?;
            rows += sum.rows;
            self.sums.odd += sum.odd + audit::count_wrong_totals(tx, &page).await?;
            self.sums.transitions -= sum.transitions;
        }
        Ok(rows)
    }

    /// Adds up the causes of all transitions. Returns how many there are.
    async fn add_up_transitions(&mut self, tx: &mut Tx<'_>) -> Result<i64, Failure> {
        let (mut rows, mut first) = (0, Some(TRANSITIONS.first()));
        while let Some(page) = self.next_page(tx, &TRANSITIONS, &mut first).await? {
            let sum = audit::sum_transitions(tx, &page).await?;
            rows += sum.rows;
            self.sums.odd += sum.odd;
            self.sums.transitions += sum.rows;
            self.sums.told += sum.told;
            self.sums.successes -= sum.paid;
            self.sums.failures -= sum.failed;
            // each paid transition has its own charge
            self.sums.charges -= sum.paid;
        }
        Ok(rows)
    }

    /// Adds up the inbox, and the money of events that have no charge yet. Returns how many events there are.
    async fn add_up_events(&mut self, tx: &mut Tx<'_>) -> Result<i64, Failure> {
        let (mut rows, mut first) = (0, Some(EVENTS.first()));
        while let Some(page) = self.next_page(tx, &EVENTS, &mut first).await? {
            let sum = audit::sum_events(tx, &page).await?;
            rows += sum.rows;
            self.sums.successes += sum.paid;
            self.sums.failures += sum.failed;
            if sum.others > 0 {
                self.look_at_other_events(tx, &page).await?;
            }
        }
        Ok(rows)
    }

    /// Checks and adds up the events of a page that are neither applied successes nor applied failures.
    async fn look_at_other_events(&mut self, tx: &mut Tx<'_>, page: &Page) -> Result<(), Failure> {
        self.make_own_checks(tx, &EVENTS, page).await?;
        self.sums.odd += audit::check_refunds(tx, page).await?.len() as i64;
        let (charges, odd) = audit::sum_due_charges(tx, page).await?;
        self.sums.charges -= charges;
        self.sums.odd += odd;
        for sum in audit::sum_waiting_successes(tx, page).await? {
            self.purse.add_waiting(sum);
        }
        Ok(())
    }

    /// Adds up the money of all charges. Returns how many there are.
    async fn add_up_charges(&mut self, tx: &mut Tx<'_>) -> Result<i64, Failure> {
        let (mut rows, mut first) = (0, Some(CHARGES.first()));
        while let Some(page) = self.next_page(tx, &CHARGES, &mut first).await? {
            let sums = audit::sum_charges(tx, &page).await?;
            if sums.iter().any(|sum| sum.odd > 0) {
                self.make_own_checks(tx, &CHARGES, &page).await?;
            }
            for sum in sums {
                rows += sum.count;
                self.sums.charges += sum.count;
                self.purse.add_charges(sum);
            }
        }
        Ok(rows)
    }

    /// Checks the pages of trails of products that create one, or have a row that cannot be right by itself.
    async fn look_at_trails_of_products(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let mut first = Some(PRODUCT_TRAIL.first());
        while let Some(page) = self.next_page(tx, &PRODUCT_TRAIL, &mut first).await? {
            if audit::sum_product_trail(tx, &page).await? != (0, 0) {
                self.make_own_checks(tx, &PRODUCT_TRAIL, &page).await?;
            }
        }
        Ok(())
    }

    /// Adds up what counters have, and what holds and orders say that they should have.
    async fn add_up_counters(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        if !audit::has_limits(tx).await? {
            return Ok(());
        }
        let mut first = Some(COUNTERS.first());
        while let Some(page) = self.next_page(tx, &COUNTERS, &mut first).await? {
            let (units, weighed) = audit::sum_counters(tx, &page).await?;
            self.sums.counted += units;
            self.sums.weighed = self.sums.weighed.wrapping_add(weighed);
        }
        let mut first = Some(HOLDS.first());
        while let Some(page) = self.next_page(tx, &HOLDS, &mut first).await? {
            let CountedSum { units, weighed, uncounted } = audit::sum_counted(tx, &page).await?;
            self.sums.counted -= units;
            self.sums.weighed = self.sums.weighed.wrapping_sub(weighed);
            self.sums.odd += uncounted;
        }
        Ok(())
    }

    /// Compares each counter with its holds and orders. Returns how many are wrong.
    async fn compare_counters(&mut self, tx: &mut Tx<'_>) -> Result<usize, Failure> {
        let (mut wrong, mut first) = (0, Some(COUNTERS.first()));
        while let Some(window) = self.next_page_of(tx, &COUNTERS, &mut first, COUNTER_WINDOW).await? {
            let counters = audit::list_counters(tx, &window).await?;
            let mut compared: HashMap<Uuid, (i64, i64)> =
                counters.into_iter().map(|(counter, units)| (counter, (units, 0))).collect();
            let mut begin = Some(HOLDS.first());
            while let Some(page) = self.next_page(tx, &HOLDS, &mut begin).await? {
                for (counter, units) in audit::list_counted(tx, &page, &window).await? {
                    compared.entry(counter).or_default().1 += units;
                }
            }
            let mut found: Vec<Finding> = compared.into_iter().filter_map(counter_finding).collect();
            found.sort_unstable_by(|one, other| one.id.cmp(&other.id));
            wrong += found.len();
            self.findings.add(found);
        }
        Ok(wrong)
    }

    /// Makes the checks of every table that are skipped while the sums agree.
    async fn name_what_is_wrong(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let mut named = match (self.sums.counted, self.sums.weighed) {
            (0, 0) => 0,
            _ => self.compare_counters(tx).await?,
        };
        if self.sums.told != 0 {
            named += self.compare_told(tx).await?;
        }
        for table in [&HOLDS, &ORDERS, &TRANSITIONS, &EVENTS, &CHARGES] {
            let mut first = Some(table.first());
            while let Some(page) = self.next_page(tx, table, &mut first).await? {
                for &kind in table.checks {
                    let found = audit::check(tx, kind, &page).await?;
                    named += found.len();
                    self.findings.add(found);
                }
            }
        }
        if named == 0 {
            let detail = format!("rows minus their counterparts: {:?}", self.sums);
            self.findings.add([Finding { kind: Kind::SumsDisagree, id: "all".to_owned(), detail }]);
        }
        Ok(())
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

fn counter_finding((counter, (units, out)): (Uuid, (i64, i64))) -> Option<Finding> {
    let detail = format!("it has {units} units, and {out} units of its holds and orders are out");
    let id = counter.simple().to_string();
    (units != out).then_some(Finding { kind: Kind::CounterWrong, id, detail })
}
