//! Packets that give committed rows of the feed their positions.

use super::exactly;
use crate::db::door::{Reply, Tx};
use crate::db::error::Failure;
use crate::db::guard;
use crate::db::literal::Literal;
use crate::db::sql;
use crate::db::tables::feed::{self, Feed};
use crate::db::tables::feed_batches::{self, New};

/// What a sequencer sees.
#[derive(Debug)]
pub struct Seen {
    /// How far the feed was, before the rows were read.
    pub feed: Feed,
    /// The last id of all rows; none: no row has a larger id than the one that was asked for.
    pub last: Option<i64>,
    /// How many rows there were from the id that was asked for up to that one.
    pub ids: i64,
    /// Rows without a position behind the id that was asked for, by id, read after the others were counted.
    pub new: Vec<New>,
}

/// Reads how far the feed is, and then rows without a position behind `low`, by id.
pub async fn look(tx: &mut Tx<'_>, low: i64, limit: u32) -> Result<Seen, Failure> {
    let low = || Literal::Number(low).into();
    let last = sql::feed_batches::FindLast { low: low() };
    let new = sql::feed_batches::ListNew { low: low(), limit: Literal::Count(limit.into()).into() };
    let [feed, last, new] = exactly(tx.packet(&[sql::feed::FIND.to_owned(), last.text(), new.text()]).await?)?;
    let (last, ids) = typed(last)?.pop().unwrap_or_default();
    Ok(Seen { feed: feed::read(feed.rows)?, last, ids, new: feed_batches::read_new(typed(new)?) })
}

/// Gives these rows the positions behind `position`.
///
/// # Errors
/// [`Failure::Changed`] when another transaction has given some since `position` was read.
pub async fn number(tx: &mut Tx<'_>, position: i64, new: &[New]) -> Result<(), Failure> {
    let items = new.iter().map(|row| row.items).sum();
    let statements = [feed::advance(position, items), feed_batches::number(position, new)];
    let [advanced, numbered] = exactly(tx.packet(&statements).await?)?;
    guard::exactly("feed/advance", advanced.affected, 1, Failure::Changed)?;
    guard::exactly("feed_batches/number", numbered.affected, new.len(), Failure::Changed)
}

fn typed<T: mysql_async::prelude::FromRow>(reply: Reply) -> Result<Vec<T>, Failure> {
    let read = |row| mysql_async::from_row_opt(row).map_err(|error| Failure::Broken(error.to_string()));
    reply.rows.into_iter().map(read).collect()
}
