//! Reads of the counters of units, and of what holds and orders say that they should have.

use mysql_async::Params;
use uuid::Uuid;

use super::page::Page;
use crate::db::column::id;
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::sql;

/// What the holds of a page say about counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountedSum {
    /// The units that counters should have.
    pub units: i64,
    /// The same, weighed by the counters' ids.
    pub weighed: i64,
    /// How many rows should be counted and are not.
    pub uncounted: i64,
}

/// Returns whether there is a counter, or a product with a limit per buyer.
pub async fn has_limits(tx: &mut Tx<'_>) -> Result<bool, Failure> {
    Ok(tx.row::<i64>(sql::audit::FIND_LIMITS, Params::Empty).await?.is_some())
}

/// Sums up the units of a page of counters: plain, and weighed by their ids.
pub async fn sum_counters(tx: &mut Tx<'_>, page: &Page) -> Result<(i64, i64), Failure> {
    Ok(tx.row(sql::audit::SUM_COUNTERS, page.params()).await?.unwrap_or_default())
}

/// Sums up what the holds of a page say about counters.
pub async fn sum_counted(tx: &mut Tx<'_>, page: &Page) -> Result<CountedSum, Failure> {
    let found: Option<(i64, i64, i64)> = tx.row(sql::audit::SUM_COUNTED, page.params()).await?;
    let (units, weighed, uncounted) = found.unwrap_or_default();
    Ok(CountedSum { units, weighed, uncounted })
}

/// Lists the units of a page of counters.
pub async fn list_counters(tx: &mut Tx<'_>, counters: &Page) -> Result<Vec<(Uuid, i64)>, Failure> {
    pairs(tx.rows(sql::audit::LIST_COUNTERS, counters.params()).await?)
}

/// Lists the units that counters of a page should have because of a page of holds; a counter may come several times.
pub async fn list_counted(tx: &mut Tx<'_>, holds: &Page, counters: &Page) -> Result<Vec<(Uuid, i64)>, Failure> {
    let mut params = holds.params();
    params.extend(counters.params_of_counters());
    pairs(tx.rows(sql::audit::LIST_COUNTED, params).await?)
}

fn pairs(found: Vec<(Vec<u8>, i64)>) -> Result<Vec<(Uuid, i64)>, Failure> {
    found.into_iter().map(|(counter, units)| Ok((id(&counter)?, units))).collect()
}
