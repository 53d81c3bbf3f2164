//! How far each endpoint has the feed, and the lease of the instance that pushes to it.

use std::time::Duration;

use chrono::NaiveDateTime;
use mysql_async::{Row, params};
use uuid::Uuid;

use crate::db::column::{bytes, column};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::guard::single;
use crate::db::literal::{Literal, numbers};
use crate::db::sql;
use crate::db::tables::feed::Feed;

/// How far an endpoint has the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushCursor {
    /// What its positions belong to.
    pub epoch: i64,
    /// All events up to this one were delivered, are not wanted, or have failed and are stored.
    pub position: i64,
    /// How far a replay is.
    pub replay_position: i64,
    /// Where it ends.
    pub replay_until: i64,
    /// Behind which position it began.
    pub replay_from: i64,
    /// Whether its end was not given.
    pub replay_is_open: bool,
    /// How many rounds were noted.
    pub rounds: i64,
    /// How many attempts were noted.
    pub attempts: i64,
    /// Whether the instance that asks had the lease last.
    pub is_held: bool,
    /// Whether all attempts have failed for as long as was asked.
    pub is_failing: bool,
    /// The time of the read, UTC.
    pub now: NaiveDateTime,
}

impl PushCursor {
    /// Whether a replay is under way.
    pub fn is_replaying(&self) -> bool {
        self.replay_position < self.replay_until
    }
}

/// What a round of pushes has done to a cursor.
#[derive(Debug, Clone)]
pub struct Move {
    /// What the position belongs to.
    pub epoch: i64,
    /// How far the endpoint has the feed.
    pub position: i64,
    /// How far the replay is; `None`: the round was none of a replay.
    pub replay_position: Option<i64>,
    /// How many attempts it notes.
    pub attempts: i64,
    /// Whether an event was delivered.
    pub is_delivered: bool,
    /// Whether an attempt has failed.
    pub is_failed: bool,
    /// The number of rounds that were noted before.
    pub rounds: i64,
}

/// Inserts the cursor of a new endpoint, at the end of the feed.
pub async fn insert(tx: &mut Tx<'_>, endpoint_id: i64, Feed { epoch, safe, .. }: Feed) -> Result<(), Failure> {
    tx.execute(sql::push_cursors::INSERT, params! { endpoint_id, epoch, "position" => safe }).await?;
    Ok(())
}

/// Finds how far an endpoint has the feed. `failing`: how long all attempts have to fail.
pub async fn find(
    tx: &mut Tx<'_>,
    endpoint_id: i64,
    holder: Uuid,
    failing: Duration,
) -> Result<Option<PushCursor>, Failure> {
    let params = params! { endpoint_id, "holder" => bytes(holder), "seconds" => failing.as_secs() };
    let found: Option<Row> = tx.row(sql::push_cursors::FIND, params).await?;
    let read = |row: Row| {
        Ok::<_, Failure>(PushCursor {
            epoch: column(&row, "epoch")?,
            position: column(&row, "position")?,
            replay_position: column(&row, "replay_position")?,
            replay_until: column(&row, "replay_until")?,
            replay_from: column(&row, "replay_from")?,
            replay_is_open: column(&row, "replay_is_open")?,
            rounds: column(&row, "rounds")?,
            attempts: column(&row, "attempts")?,
            is_held: column(&row, "is_held")?,
            is_failing: column(&row, "is_failing")?,
            now: column(&row, "now")?,
        })
    };
    found.map(read).transpose()
}

/// Takes the lease of an endpoint for this long, also again. Returns false when another instance has it.
pub async fn take(tx: &mut Tx<'_>, endpoint_id: i64, holder: Uuid, lease: Duration) -> Result<bool, Failure> {
    let params = params! { endpoint_id, "holder" => bytes(holder), "seconds" => lease.as_secs() };
    single("push_cursors/take", tx.execute(sql::push_cursors::TAKE, params).await?)
}

/// Gives a lease back. Returns false when another instance has taken it.
pub async fn release(tx: &mut Tx<'_>, endpoint_id: i64, holder: Uuid) -> Result<bool, Failure> {
    let params = params! { endpoint_id, "holder" => bytes(holder) };
    single("push_cursors/release", tx.execute(sql::push_cursors::RELEASE, params).await?)
}

/// Notes a round. Returns false when the lease was lost, or another round was noted.
pub async fn move_on(tx: &mut Tx<'_>, endpoint_id: i64, holder: Uuid, to: &Move) -> Result<bool, Failure> {
    let params = params! {
        endpoint_id,
        "holder" => bytes(holder),
        "epoch" => to.epoch,
        "position" => to.position,
        "is_replay" => to.replay_position.is_some(),
        "replay_position" => to.replay_position.unwrap_or(0),
        "attempts" => to.attempts,
        "is_delivered" => to.is_delivered,
        "is_failed" => to.is_failed,
        "rounds" => to.rounds,
    };
    single("push_cursors/move_on", tx.execute(sql::push_cursors::MOVE_ON, params).await?)
}

/// Begins a replay of the events behind `position` and up to `until`; `is_open`: that end was not given. Returns false when one is under
/// way.
pub async fn replay(
    tx: &mut Tx<'_>,
    endpoint_id: i64,
    position: i64,
    until: i64,
    is_open: bool,
) -> Result<bool, Failure> {
    let params = params! { endpoint_id, position, until, is_open };
    single("push_cursors/replay", tx.execute(sql::push_cursors::REPLAY, params).await?)
}

/// Makes all rounds void that are under way, and what instances remember of earlier ones.
pub async fn void_rounds(tx: &mut Tx<'_>) -> Result<(), Failure> {
    tx.execute(sql::push_cursors::VOID_ROUNDS, ()).await?;
    Ok(())
}

/// Lists the endpoints that are farther than the feed, by id, each with the last safe position of the feed.
pub async fn list_ahead(tx: &mut Tx<'_>) -> Result<Vec<(i64, i64)>, Failure> {
    tx.rows(sql::push_cursors::LIST_AHEAD, ()).await
}

/// Returns the statement that has endpoints go on from this position that are farther.
pub fn bring_back_text(endpoint_ids: &[i64], position: i64) -> String {
    sql::push_cursors::BringBack { position: Literal::Number(position).into(), ids: numbers(endpoint_ids) }.text()
}

/// Has endpoints go on from this position that are farther.
pub async fn bring_back(tx: &mut Tx<'_>, endpoint_ids: &[i64], position: i64) -> Result<(), Failure> {
    tx.execute_text(&bring_back_text(endpoint_ids, position)).await?;
    Ok(())
}

/// Forgets since when all attempts have failed.
pub async fn begin_anew(tx: &mut Tx<'_>, endpoint_id: i64) -> Result<(), Failure> {
    tx.execute(sql::push_cursors::BEGIN_ANEW, params! { endpoint_id }).await?;
    Ok(())
}
