//! The reads of an audit, page by page.
//!
//! Sums come first: cheap statements that count related rows from both sides. When the counts agree, nothing is wrong.
//! Otherwise checks find the wrong rows. A check is one statement over one page of a table; the check, its file and the
//! kind of its findings have the same name.

mod counters;
mod feed;
mod kind;
mod page;
mod seats;
mod sums;

use chrono::NaiveDateTime;
use mysql_async::{Params, Value};

use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::sql;

pub use self::counters::{CountedSum, has_limits, list_counted, list_counters, sum_counted, sum_counters};
pub use self::feed::{FeedSum, list_feed, list_told, sum_feed};
pub use self::kind::Kind;
pub use self::page::{
    CHARGES, COUNTERS, DUE_REFUNDS, ENDINGS, ENDPOINTS, EVENTS, FEED, HOLDS, Key, ORDERS, ORDERS_WITH_TICKETS,
    PAYING_CHARGES, PRODUCT_TRAIL, Page, SEATS, TICKETS, TRANSITIONS, Table, find_page,
};
pub use self::seats::{SeatSum, has_ticket_types, sum_seats};
pub use self::sums::{
    ChargeSum, Counters, EventSum, HoldSum, TrailSum, TransitionSum, UnitSum, Units, WaitingSum, count_uneven_holds,
    count_wrong_totals, list_products, sum_charges, sum_due_charges, sum_events, sum_holds, sum_product_trail,
    sum_trails, sum_transitions, sum_units, sum_waiting_successes,
};

/// A violated rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its kind.
    pub kind: Kind,
    /// The id of a product, hold, order or payment event, as the API writes it; `all` for [`Kind::SumsDisagree`].
    pub id: String,
    /// The finding in words.
    pub detail: String,
}

/// Finds everything of one kind in a page: at most a few findings per row.
pub async fn check(tx: &mut Tx<'_>, kind: Kind, page: &Page) -> Result<Vec<Finding>, Failure> {
    find(tx, kind, page, true).await
}

/// Finds the applied refunds of a page without an effect, or with several.
pub async fn check_refunds(tx: &mut Tx<'_>, page: &Page) -> Result<Vec<Finding>, Failure> {
    find(tx, Kind::AppliedEventWithoutEffect, page, false).await
}

async fn find(tx: &mut Tx<'_>, kind: Kind, page: &Page, all: bool) -> Result<Vec<Finding>, Failure> {
    let Some(statement) = kind.statement() else { return Ok(Vec::new()) };
    let mut params = page.params();
    params.push(("all".to_owned(), all.into()));
    let found: Vec<(Value, Vec<u8>)> = tx.rows(statement, params).await?;
    let finding = |(key, detail): (Value, Vec<u8>)| {
        Ok(Finding { kind, id: Key::read(key)?.text(), detail: String::from_utf8_lossy(&detail).into_owned() })
    };
    found.into_iter().map(finding).collect()
}

/// Returns whether any event was cancelled.
pub async fn has_endings(tx: &mut Tx<'_>) -> Result<bool, Failure> {
    let params = Params::from(vec![("first", Value::from(i64::MIN)), ("offset", Value::from(0))]);
    Ok(tx.row::<i64>(sql::audit::FIND_PAGE_OF_ENDINGS, params).await?.is_some())
}

/// Counts the statements that other sessions have sent to the server since it started.
pub async fn count_statements_of_others(tx: &mut Tx<'_>) -> Result<i64, Failure> {
    let mut counts = [0; 2];
    for (count, statement) in counts.iter_mut().zip([sql::audit::COUNT_STATEMENTS, sql::audit::COUNT_OWN_STATEMENTS]) {
        let row: Option<(String, String)> = tx.row(statement, Params::Empty).await?;
        *count = row.and_then(|(_, value)| value.parse::<i64>().ok()).unwrap_or(0);
    }
    Ok(counts[0] - counts[1])
}

/// Reads the database's clock, UTC.
pub async fn find_time(tx: &mut Tx<'_>) -> Result<NaiveDateTime, Failure> {
    let time = tx.row(sql::audit::FIND_TIME, Params::Empty).await?;
    time.ok_or_else(|| Failure::Broken("the database returned no time".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Named as _;

    #[test]
    fn every_check_is_named_like_its_findings_and_belongs_to_a_table() {
        let tables = [HOLDS, ORDERS, TRANSITIONS, EVENTS, CHARGES, PRODUCT_TRAIL, SEATS, ORDERS_WITH_TICKETS, TICKETS];
        let tables = tables.iter().chain([&ENDINGS, &DUE_REFUNDS, &PAYING_CHARGES, &FEED, &ENDPOINTS]);
        for &kind in Kind::ALL {
            let Some(statement) = kind.statement() else { continue };
            assert!(statement.starts_with(&format!("-- audit/{kind}: ")), "{kind}");
            let tables =
                tables.clone().filter(|table| table.checks.iter().chain(table.own_checks).any(|&own| own == kind));
            assert_eq!(tables.count(), 1, "{kind}");
        }
    }
}
