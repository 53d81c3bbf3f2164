//! Gives committed events their positions.
//!
//! A row is written by the last statement before its COMMIT, so that of two transactions, one of which waited for the other, the rows
//! have ascending ids, and a read that finds the later row finds the earlier one. So the rows of one read get their positions by id.
//!
//! They are looked for behind an id up to which all rows are known: since there are as many as ids, or because a row with a larger
//! id is older than any transaction. A row that appears before it all the same gets its position some seconds later.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::epoch::bring_back;
use super::progress::{ROWS, SETTLED};
use crate::checkout::error::Error;
use crate::checkout::state::Checkout;
use crate::db::packets::number_feed::{self, Seen};
use crate::db::tables::feed;
use crate::db::tables::feed_batches::{self, New};
use crate::db::tables::idempotency_keys::wait_for_disk;
use crate::db::tables::push_cursors;
use crate::db::{Database, Error as DbError};
use crate::telemetry;

/// How often rows are looked for whatever their ids.
const STRAGGLERS_EVERY: Duration = Duration::from_secs(10);
/// The same in proportion to the time that it took the last time.
const STRAGGLERS_SHARE: u32 = 10;

impl Checkout {
    /// Gives committed events their positions. Returns whether there may be more.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn number_feed(&self) -> Result<bool, Error> {
        let mut sequencer = self.feed.sequencer.lock().await;
        let low = match sequencer.low {
            Some(low) => low,
            None => {
                let low = begin(&self.background, sequencer.is_other).await?;
                sequencer.is_other = false;
                *sequencer.low.insert(low)
            }
        };
        let now = Instant::now();
        let mut seen = look(&self.background, low).await?;
        if sequencer.has_lost(seen.feed) {
            return Ok(true);
        }
        if now >= sequencer.stragglers_at {
            let stragglers = list_stragglers(&self.background).await?;
            let pause = STRAGGLERS_EVERY.max(now.elapsed() * STRAGGLERS_SHARE);
            sequencer.stragglers_at = Instant::now() + pause;
            seen.new.splice(..0, stragglers.into_iter().filter(|row| row.id <= low));
        }
        let waited = seen.new.iter().map(|row| row.waited).max();
        telemetry::feed_waits(waited.unwrap_or_default());
        if seen.new.is_empty() {
            sequencer.advance(now, low, &seen);
            self.feed.record(seen.feed);
            let is_left = sequencer.is_left(now, seen.feed);
            if is_left {
                sync(&self.background).await?;
                secure(&self.background, seen.feed.position).await?;
            }
            return Ok(is_left);
        }
        let Some(position) = number(&self.background, &seen).await? else { return Ok(true) };
        sequencer.advance(now, low, &seen);
        sequencer.gave(position);
        secure(&self.background, position).await?;
        telemetry::feed_told(position - seen.feed.position);
        self.feed.record(feed::Feed { position, safe: position, ..seen.feed });
        Ok(seen.new.len() >= ROWS as usize)
    }

    /// Waits until this instance has told the feed of something.
    pub async fn feed_told(&self) {
        self.database.told().await;
    }
}

/// Finds the id behind which rows may have no position, or may still appear. `is_other`: the feed is not the one that was known.
async fn begin(database: &Database, is_other: bool) -> Result<i64, DbError> {
    let read = database.transaction("feed.begin", |tx| {
        async move {
            // before a position is given again that an endpoint has passed, or is about to pass
            if is_other {
                push_cursors::void_rounds(tx).await?;
            }
            bring_back(tx).await?;
            let settled = feed_batches::find_settled(tx, SETTLED.as_secs()).await?.unwrap_or(0);
            let first = feed_batches::list_stragglers(tx, 1).await?.first().map(|row| row.id - 1);
            Ok(first.map_or(settled, |first| first.min(settled)))
        }
        .boxed()
    });
    read.await
}

async fn look(database: &Database, low: i64) -> Result<Seen, DbError> {
    database.read("feed.look", move |tx| async move { number_feed::look(tx, low, ROWS).await }.boxed()).await
}

async fn list_stragglers(database: &Database) -> Result<Vec<New>, DbError> {
    let read = database
        .read("feed.list_stragglers", |tx| async move { feed_batches::list_stragglers(tx, ROWS).await }.boxed());
    read.await
}

/// Gives rows their positions. Returns the last one, once it is on disk; `None` when another sequencer was faster, or may have been.
async fn number(database: &Database, seen: &Seen) -> Result<Option<i64>, DbError> {
    let (before, new) = (seen.feed.position, &seen.new);
    let numbered =
        database.transaction("feed.number", |tx| async move { number_feed::number(tx, before, new).await }.boxed());
    match numbered.await {
        Ok(()) => Ok(Some(before + new.iter().map(|row| row.items).sum::<i64>())),
        Err(DbError::Stale(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn secure(database: &Database, position: i64) -> Result<(), DbError> {
    database.transaction("feed.secure", |tx| async move { feed::secure(tx, position).await }.boxed()).await
}

/// Waits until everything is on disk that could be read before.
async fn sync(database: &Database) -> Result<(), DbError> {
    database.transaction("feed.sync", |tx| async move { wait_for_disk(tx).await }.boxed()).await
}
