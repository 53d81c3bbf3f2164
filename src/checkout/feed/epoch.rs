//! A new epoch of the feed, once positions may not mean the same any more: after a failover that lost transactions, or a restore.

use futures_util::FutureExt as _;

use crate::checkout::error::Error;
use crate::checkout::state::Checkout;
use crate::db::tables::idempotency_keys::wait_for_disk;
use crate::db::tables::{feed, push_cursors, push_failures};
use crate::db::{Error as DbError, Failure, Tx};

/// How often another run may be faster.
const TURNS: u32 = 10;

/// An epoch that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEpoch {
    /// The one before.
    pub old: i64,
    /// The new one: cursors of all others are refused.
    pub new: i64,
    /// The endpoints that were farther than the feed.
    pub brought_back: Vec<i64>,
}

impl Checkout {
    /// Begins a new epoch of the feed, and has endpoints that are farther than the feed go on from its end.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn begin_feed_epoch(&self) -> Result<NewEpoch, Error> {
        let mut turns = 1..TURNS;
        loop {
            let old = self.database.read("feed.find", |tx| feed::find(tx).boxed()).await?.epoch;
            let begun = self.database.transaction("feed.begin_epoch", |tx| async move { begin(tx, old).await }.boxed());
            match begun.await {
                Err(DbError::Stale(_)) if turns.next().is_some() => {}
                begun => return Ok(begun?),
            }
        }
    }
}

async fn begin(tx: &mut Tx<'_>, old: i64) -> Result<NewEpoch, Failure> {
    let is_begun = feed::begin_epoch(tx, old).await?;
    let new = feed::find(tx).await?.epoch;
    if is_begun {
        push_cursors::void_rounds(tx).await?;
        return Ok(NewEpoch { old, new, brought_back: bring_back(tx).await? });
    }
    // the COMMIT of an earlier attempt may have begun it, or another run: it is new in both cases
    if tx.after_unknown() && new > old {
        wait_for_disk(tx).await?;
        return Ok(NewEpoch { old, new, brought_back: Vec::new() });
    }
    Err(Failure::Changed("feed/begin_epoch"))
}

/// Has endpoints go on from the end of the feed that are farther than it: positions behind it are given again, to other events.
/// Returns these endpoints.
pub(super) async fn bring_back(tx: &mut Tx<'_>) -> Result<Vec<i64>, Failure> {
    let ahead = push_cursors::list_ahead(tx).await?;
    let Some(&(_, safe)) = ahead.first() else { return Ok(Vec::new()) };
    let endpoints: Vec<i64> = ahead.into_iter().map(|(endpoint_id, _)| endpoint_id).collect();
    push_cursors::bring_back(tx, &endpoints, safe).await?;
    push_failures::delete_behind(tx, &endpoints, safe).await?;
    Ok(endpoints)
}
