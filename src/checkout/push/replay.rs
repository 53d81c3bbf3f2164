//! Replays: events that an operator wants pushed again.

use futures_util::FutureExt as _;
use serde_json::json;
use uuid::Uuid;

use crate::checkout::endpoints::{begin, change, find, report};
use crate::checkout::error::Error;
use crate::checkout::state::Checkout;
use crate::db::Failure;
use crate::db::tables::endpoint_trail::{self, EndpointAction};
use crate::db::tables::{push_cursors, push_failures};
use crate::domain::push_schedule::FAILING;
use crate::domain::{EndpointRefusal, Refusal};

/// Events to push again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// The position of the first one.
    pub from: i64,
    /// That of the last one.
    pub to: i64,
}

impl Checkout {
    /// Begins to push events again: from a position on, up to another one or to the last event that the endpoint had. A replay that
    /// is under way stays as it is, and is returned if it has the same events.
    ///
    /// # Errors
    /// [`Missing::Endpoint`](crate::domain::Missing::Endpoint), [`EndpointRefusal::Deleted`], [`EndpointRefusal::NothingToReplay`],
    /// [`EndpointRefusal::ReplayUnderWay`].
    pub async fn replay_pushes(
        &self,
        operator: &str,
        endpoint_id: i64,
        from: i64,
        to: Option<i64>,
    ) -> Result<Replay, Error> {
        let change = &change(operator, EndpointAction::Replayed);
        let begun = self.database.transaction("endpoints.replay", |tx| {
            async move {
                let done = begin(tx, endpoint_id, change).await?;
                let cursor = push_cursors::find(tx, endpoint_id, Uuid::nil(), FAILING).await?;
                let cursor = cursor.ok_or_else(|| Failure::Broken("an endpoint has no cursor".to_owned()))?;
                let replay = Replay { from: from.max(1), to: to.map_or(cursor.position, |to| to.min(cursor.position)) };
                if done.is_some() {
                    return Ok((replay, find(tx, endpoint_id).await?));
                }
                if replay.from > replay.to {
                    return Err(Refusal::from(EndpointRefusal::NothingToReplay).into());
                }
                if !push_cursors::replay(tx, endpoint_id, replay.from - 1, replay.to, to.is_none()).await? {
                    // the end of one that is open is where the endpoint was
                    let has_same_end = match to {
                        Some(_) => !cursor.replay_is_open && cursor.replay_until == replay.to,
                        None => cursor.replay_is_open,
                    };
                    if !has_same_end || cursor.replay_from != replay.from - 1 {
                        return Err(Refusal::from(EndpointRefusal::ReplayUnderWay).into());
                    }
                    let under_way = Replay { to: cursor.replay_until, ..replay };
                    return Ok((under_way, find(tx, endpoint_id).await?));
                }
                push_failures::make_due_between(tx, endpoint_id, replay.from, replay.to).await?;
                let detail = json!({ "from": replay.from, "to": replay.to }).to_string();
                endpoint_trail::insert(tx, endpoint_id, change, Some(&detail)).await?;
                Ok((replay, find(tx, endpoint_id).await?))
            }
            .boxed()
        });
        let (replay, endpoint) = begun.await?;
        report(&endpoint, change);
        Ok(replay)
    }
}
