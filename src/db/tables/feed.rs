//! The counter of the feed: one row.

use mysql_async::{Row, params};

use crate::db::column::column;
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::guard::single;
use crate::db::literal::Literal;
use crate::db::sql;

/// How far the feed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feed {
    /// What positions belong to: a position of another epoch says nothing.
    pub epoch: i64,
    /// The last position that was given.
    pub position: i64,
    /// The last position that is on disk: up to it, the feed does not change any more.
    pub safe: i64,
}

/// Finds how far the feed is.
pub async fn find(tx: &mut Tx<'_>) -> Result<Feed, Failure> {
    let found: Vec<Row> = tx.rows_text(sql::feed::FIND).await?;
    read(found)
}

/// Reads the row of `feed/find`.
pub fn read(rows: Vec<Row>) -> Result<Feed, Failure> {
    let row =
        rows.into_iter().next().ok_or_else(|| Failure::Broken("the counter of the feed is missing".to_owned()))?;
    Ok(Feed { epoch: column(&row, "epoch")?, position: column(&row, "position")?, safe: column(&row, "safe")? })
}

/// Returns the statement that takes the next positions for this many events; it changes no row when another transaction has taken some
/// since `position` was read.
pub fn advance(position: i64, items: i64) -> String {
    let (position, items) = (Literal::Number(position).into(), Literal::Number(items).into());
    sql::feed::Advance { items, position }.text()
}

/// Begins a new epoch, unless it is not this one any more. Returns false then.
pub async fn begin_epoch(tx: &mut Tx<'_>, epoch: i64) -> Result<bool, Failure> {
    single("feed/begin_epoch", tx.execute(sql::feed::BEGIN_EPOCH, params! { epoch }).await?)
}

/// Says that positions up to this one are on disk, unless that was known.
pub async fn secure(tx: &mut Tx<'_>, position: i64) -> Result<(), Failure> {
    tx.execute(sql::feed::SECURE, params! { position }).await?;
    Ok(())
}
