//! Sums over the feed.

use uuid::Uuid;

use super::page::Page;
use crate::db::column::id;
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::sql;

/// A page of the feed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FeedSum {
    /// How many transitions of orders it tells.
    pub transitions: i64,
    /// How many events have positions.
    pub placed: i64,
    /// The last position; 0: none.
    pub last: i64,
    /// How many rows do not follow another one.
    pub odd: i64,
}

/// Adds up a page of the feed.
pub async fn sum_feed(tx: &mut Tx<'_>, page: &Page) -> Result<FeedSum, Failure> {
    let found: Option<(i64, i64, i64, i64)> = tx.row(sql::audit::SUM_FEED, page.params()).await?;
    let (transitions, placed, last, odd) = found.unwrap_or_default();
    Ok(FeedSum { transitions, placed, last, odd })
}

/// Lists what the rows of a page tell, as JSON.
pub async fn list_feed(tx: &mut Tx<'_>, page: &Page) -> Result<Vec<Vec<u8>>, Failure> {
    tx.rows(sql::audit::LIST_FEED, page.params()).await
}

/// Lists the orders of a page, and how many of their transitions were told.
pub async fn list_told(tx: &mut Tx<'_>, page: &Page) -> Result<Vec<(Uuid, i64)>, Failure> {
    let found: Vec<(Vec<u8>, i64)> = tx.rows(sql::audit::LIST_TOLD, page.params()).await?;
    found.into_iter().map(|(order_id, told)| Ok((id(&order_id)?, told))).collect()
}
