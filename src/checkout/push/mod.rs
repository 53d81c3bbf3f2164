//! Pushing the feed to endpoints: how far each one has it, what is due, and what became of it.
//!
//! An instance takes the lease of an endpoint, and pushes in rounds: it reads what is due, pushes it, and notes what became of it in one
//! transaction. A note counts only if the lease was not lost and no other round was noted meanwhile. Whatever was pushed and not noted is
//! pushed again.

mod replay;
mod round;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::FutureExt as _;
use uuid::Uuid;

pub use self::replay::Replay;
use self::round::{Due, Notes, Page, WAITING, find_due, jobs};
pub use self::round::{PushJob, PushRound, PushSeen};
use crate::checkout::endpoints::{EndpointPage, find};
use crate::checkout::error::Error;
use crate::checkout::feed::reading::{FeedEvent, FeedPage, FeedPlace, FeedQuery, Hearer, find_rows, join, read_page};
use crate::checkout::state::Checkout;
use crate::db::tables::endpoints::{Attempt, LiveEndpoint};
use crate::db::tables::feed::Feed;
pub use crate::db::tables::push_attempts::PushAttempt;
use crate::db::tables::push_cursors::PushCursor;
pub use crate::db::tables::push_failures::UndeliveredRow;
use crate::db::tables::{endpoints, feed, idempotency_keys, push_attempts, push_cursors, push_failures};
use crate::db::views::pushes;
pub use crate::db::views::pushes::FreeEndpoint;
use crate::db::{Failure, Tx};
use crate::domain::push_schedule::FAILING;
use crate::domain::{FeedType, Named as _};
use crate::push::round::End;

/// How long a lease lasts. A round is shorter: see `workers::push`.
pub const LEASE: Duration = Duration::from_secs(45);
/// The most new events of a round.
const PAGE: usize = 100;
/// How many attempts of an endpoint are kept.
const KEPT: i64 = 200;

/// What became of a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushNoted {
    /// It counts.
    Kept {
        /// Whether all attempts have failed for too long.
        is_failing: bool,
    },
    /// Another instance has the lease.
    LeaseLost,
}

impl Checkout {
    /// Lists up to `limit` endpoints to which this instance may push, by id.
    ///
    /// # Errors
    /// As every read.
    pub async fn free_push_endpoints(&self, holder: Uuid, limit: u32) -> Result<Vec<FreeEndpoint>, Error> {
        let read = self.pushes.read("push.list_free", |tx| pushes::list_free(tx, holder, limit).boxed());
        Ok(read.await?)
    }

    /// Takes the lease of an endpoint, or makes it longer. Returns false when another instance has it.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn take_push_lease(&self, holder: Uuid, endpoint_id: i64) -> Result<bool, Error> {
        let taken =
            self.pushes.transaction("push.take", |tx| push_cursors::take(tx, endpoint_id, holder, LEASE).boxed());
        Ok(taken.await?)
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn release_push_lease(&self, holder: Uuid, endpoint_id: i64) -> Result<(), Error> {
        let released = self.pushes.transaction("push.release", |tx| {
            async move { push_cursors::release(tx, endpoint_id, holder).await.map(drop) }.boxed()
        });
        Ok(released.await?)
    }

    /// Reads what is due for an endpoint; `None`: it is disabled, or this instance does not have its lease. `after`: what this
    /// instance has read already. `turn`: of an odd one, a replay has no share.
    ///
    /// # Errors
    /// As every read.
    pub async fn begin_push_round(
        &self,
        holder: Uuid,
        endpoint_id: i64,
        after: Option<PushSeen>,
        turn: u64,
    ) -> Result<Option<PushRound>, Error> {
        let read = self
            .pushes
            .read("push.begin", |tx| async move { begin(tx, holder, endpoint_id, after, turn).await }.boxed());
        Ok(read.await?)
    }

    /// Notes what became of the events of a round, in their order.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn note_push_round(&self, holder: Uuid, round: &PushRound, ends: &[End]) -> Result<PushNoted, Error> {
        let notes = &round.notes(ends);
        let noted =
            self.pushes.transaction("push.note", |tx| async move { note(tx, holder, round, notes).await }.boxed());
        Ok(noted.await?)
    }

    /// Lists a page of the events that an endpoint has not accepted, in the order of the feed, each as the feed tells it, unless it is
    /// gone from there. `after`: the position behind which it begins.
    ///
    /// # Errors
    /// [`Missing::Endpoint`](crate::domain::Missing::Endpoint).
    pub async fn undelivered_pushes(
        &self,
        endpoint_id: i64,
        after: Option<i64>,
        limit: u32,
    ) -> Result<EndpointPage<(UndeliveredRow, Option<FeedEvent>)>, Error> {
        let read = self.database.read("endpoints.list_undelivered", |tx| {
            async move {
                find(tx, endpoint_id).await?;
                let found = push_failures::list(tx, endpoint_id, after.unwrap_or(0), limit + 1).await?;
                let rows: BTreeSet<i64> = found.iter().map(|event| event.row_position).collect();
                let events = find_rows(tx, &rows.into_iter().collect::<Vec<_>>()).await?;
                let mut events: HashMap<i64, FeedEvent> =
                    events.into_iter().map(|event| (event.position, event)).collect();
                let found = found.into_iter().map(|row| (events.remove(&row.position), row));
                let found = found.map(|(event, row)| (row, event)).collect();
                Ok(EndpointPage::cut(found, limit, |(row, _)| row.position))
            }
            .boxed()
        });
        Ok(read.await?)
    }

    /// Lists a page of the latest attempts of an endpoint, the newest first. `before`: the number before which it begins.
    ///
    /// # Errors
    /// [`Missing::Endpoint`](crate::domain::Missing::Endpoint).
    pub async fn push_attempts(
        &self,
        endpoint_id: i64,
        before: Option<i64>,
        limit: u32,
    ) -> Result<EndpointPage<PushAttempt>, Error> {
        let read = self.database.read("endpoints.list_attempts", |tx| {
            async move {
                find(tx, endpoint_id).await?;
                let found = push_attempts::list(tx, endpoint_id, before.unwrap_or(i64::MAX), limit + 1).await?;
                Ok(EndpointPage::cut(found, limit, |attempt| attempt.number))
            }
            .boxed()
        });
        Ok(read.await?)
    }
}

async fn begin(
    tx: &mut Tx<'_>,
    holder: Uuid,
    endpoint_id: i64,
    after: Option<PushSeen>,
    turn: u64,
) -> Result<Option<PushRound>, Failure> {
    // what is up to its end happened before the endpoint is read, with the types that it wants
    let feed = feed::find(tx).await?;
    let Some(endpoint) = endpoints::find_live(tx, endpoint_id).await? else { return Ok(None) };
    // types that only a newer version knows are left to an instance of it
    if endpoint.types.as_ref().is_some_and(Vec::is_empty) {
        return Ok(None);
    }
    let Some(cursor) = push_cursors::find(tx, endpoint_id, holder, FAILING).await? else { return Ok(None) };
    if !cursor.is_held {
        return Ok(None);
    }
    let waiting = push_failures::list_waiting(tx, endpoint_id, WAITING as u32).await?;
    let due = find_due(&waiting);
    let (again, gone) = find_again(tx, &due).await?;
    let room = WAITING - waiting.len().min(WAITING);
    let read = match room {
        0 => None,
        room => Some(read_new(tx, &endpoint, &cursor, feed, after, turn, room.min(PAGE)).await?),
    };
    let (place, new) = read.unzip();
    let new_at = new.as_ref().and_then(|new| new.items.first()).map(|event| event.at);
    let oldest = waiting.iter().map(|event| event.happened_at).chain(new_at).min();
    let oldest = oldest.and_then(|at| (cursor.now - at).to_std().ok()).unwrap_or_default();
    let more_new = new.as_ref().is_some_and(|new: &FeedPage| !new.is_last);
    let behind = place.filter(|page| !page.is_replay).map(|page| page.next);
    let has_more = due.has_more || more_new || (cursor.is_replaying() && room > 0);
    let jobs = jobs(&waiting, &due, again, new);
    let Due { due_in, .. } = due;
    let (now, page) = (cursor.now, place);
    Ok(Some(PushRound { endpoint, jobs, now, has_more, due_in, behind, oldest, cursor, page, gone }))
}

/// Finds the waiting events that are due, and the positions of those that are no longer in the feed, or of a type that only a later
/// version knows.
async fn find_again(tx: &mut Tx<'_>, due: &Due) -> Result<(Vec<FeedEvent>, Vec<i64>), Failure> {
    let wanted: BTreeSet<i64> = due.now.iter().map(|event| event.position).collect();
    let rows: BTreeSet<i64> = due.now.iter().map(|event| event.row_position).collect();
    let mut events = find_rows(tx, &rows.into_iter().collect::<Vec<_>>()).await?;
    events.retain(|event| wanted.contains(&event.position) && is_known(event));
    join(tx, &mut events).await?;
    let found: BTreeSet<i64> = events.iter().map(|event| event.position).collect();
    Ok((events, wanted.difference(&found).copied().collect()))
}

/// Reads a page of new events, or of the replay that is under way.
async fn read_new(
    tx: &mut Tx<'_>,
    endpoint: &LiveEndpoint,
    cursor: &PushCursor,
    feed: Feed,
    after: Option<PushSeen>,
    turn: u64,
    limit: usize,
) -> Result<(Page, FeedPage), Failure> {
    let is_replay = cursor.is_replaying() && turn.is_multiple_of(2);
    // a cursor of an earlier epoch is that of this database, too: it is not farther than the feed, or was brought back
    let is_valid = |after: &PushSeen| {
        after.rounds == cursor.rounds && after.place.epoch == feed.epoch && after.place.position <= feed.safe
    };
    let remembered = after.filter(is_valid).map_or(0, |after| after.place.position);
    let position = match is_replay {
        true => cursor.replay_position,
        false => cursor.position.max(remembered),
    };
    let place = FeedPlace { epoch: feed.epoch, position: position.min(feed.safe) };
    let hearer = endpoint.client_id.map_or(Hearer::All, Hearer::Client);
    let types = endpoint.types.iter().flatten().map(|kind| kind.as_str()).collect();
    let query = FeedQuery { after: Some(place), types, limit };
    let Ok(mut page) = read_page(tx, feed, hearer, &query, false).await? else {
        return Err(Failure::Raced("the epoch of the feed"));
    };
    page.items.retain(is_known);
    if is_replay {
        page.items.retain(|event| event.position <= cursor.replay_until);
        page.is_last |= page.next.position >= cursor.replay_until;
        page.next.position = page.next.position.min(cursor.replay_until);
    }
    Ok((Page { is_replay, next: page.next }, page))
}

/// Whether this version can tell of an event.
fn is_known(event: &FeedEvent) -> bool {
    FeedType::from_name(&event.told.kind).is_some()
}

async fn note(tx: &mut Tx<'_>, holder: Uuid, round: &PushRound, notes: &Notes) -> Result<PushNoted, Failure> {
    let endpoint_id = round.endpoint.id;
    if let Some(last) = &notes.last {
        let attempt = Attempt { outcome: last.kind, status: last.status, answer: &last.answer };
        endpoints::note_attempt(tx, endpoint_id, &attempt, notes.to.is_delivered).await?;
    }
    if !push_cursors::move_on(tx, endpoint_id, holder, &notes.to).await? {
        let found = push_cursors::find(tx, endpoint_id, holder, FAILING).await?;
        let is_done = |found: &PushCursor| found.is_held && found.rounds == notes.to.rounds + 1;
        let done = found.filter(|found| tx.after_unknown() && is_done(found));
        idempotency_keys::wait_for_disk(tx).await?;
        return Ok(done.map_or(PushNoted::LeaseLost, |found| PushNoted::Kept { is_failing: found.is_failing }));
    }
    push_failures::delete(tx, endpoint_id, &notes.delivered).await?;
    push_failures::put(tx, endpoint_id, &notes.undelivered).await?;
    push_attempts::insert(tx, endpoint_id, round.cursor.attempts, &notes.attempts, KEPT).await?;
    let is_failing = match notes.to.is_failed && !notes.to.is_delivered {
        true => push_cursors::find(tx, endpoint_id, holder, FAILING).await?.is_some_and(|found| found.is_failing),
        false => false,
    };
    Ok(PushNoted::Kept { is_failing })
}
