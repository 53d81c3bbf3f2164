//! Routes of pushes: the attempts of an endpoint, what it has not accepted, and replays.

use std::sync::Arc;

use poem_openapi::param::{Path, Query};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::operator::Operator;
use crate::app::App;
use crate::checkout::endpoints::EndpointPage;
use crate::checkout::feed::reading::FeedEvent;
use crate::checkout::push::{PushAttempt, Replay, UndeliveredRow};
use crate::domain::{AttemptOutcome, UndeliveredState};
use crate::http::json::Json;
use crate::http::paging::{read_page, write_cursor};
use crate::http::problem::{Denied, Problem, denials};
use crate::http::tags::Tags;
use crate::http::values::{Cursor, Timestamp, Word};

/// An attempt to push an event to an endpoint.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "PushAttempt", skip_serializing_if_is_none)]
pub struct PushAttemptBody {
    /// The position of the event in the feed.
    position: i64,
    /// The id of the event, which is the `webhook-id` of the push.
    event_id: String,
    /// Which attempt of this event it was, from 1.
    attempt: i64,
    /// How it ended: `delivered` is an answer with a status 2xx.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Word<AttemptOutcome>>,
    /// The status of the answer, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// The first 1,024 bytes of the answer.
    answer: String,
    /// How long it took, in milliseconds.
    duration_ms: i64,
    /// When it was noted.
    at: Timestamp,
}

impl From<PushAttempt> for PushAttemptBody {
    fn from(attempt: PushAttempt) -> Self {
        let PushAttempt { position, event_id, attempt, outcome, status, answer, duration_ms, at, .. } = attempt;
        let (outcome, attempt) = (outcome.map(Word), attempt.into());
        Self { position, event_id, attempt, outcome, status, answer, duration_ms, at: Timestamp(at) }
    }
}

/// One page of attempts, the newest first.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "PushAttemptPage")]
pub struct PushAttemptListBody {
    /// The attempts.
    items: Vec<PushAttemptBody>,
    /// The `cursor` of the next page; null on the last page.
    next_cursor: Cursor,
}

/// An event that an endpoint has not accepted.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "UndeliveredPush", skip_serializing_if_is_none)]
pub struct UndeliveredBody {
    /// The position of the event in the feed.
    position: i64,
    /// The event's id; absent when it is gone from the feed.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    /// What happened; absent when it is gone from the feed.
    #[oai(rename = "type")]
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// The order that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<Uuid>,
    /// The hold that it is about; absent for an order, which has its hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_id: Option<Uuid>,
    /// Whether it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Word<UndeliveredState>>,
    /// How many attempts there were; 0: it was not tried yet, such as behind an earlier event of its order.
    attempts: i64,
    /// When the event happened.
    happened_at: Timestamp,
    /// When it is due to be tried again; absent: it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<Timestamp>,
}

impl From<(UndeliveredRow, Option<FeedEvent>)> for UndeliveredBody {
    fn from((row, event): (UndeliveredRow, Option<FeedEvent>)) -> Self {
        let is_waiting = row.state == Some(UndeliveredState::Waiting);
        Self {
            position: row.position,
            event_id: event.as_ref().map(FeedEvent::id),
            order_id: event.as_ref().map_or(row.order_id, |event| event.told.order_id),
            hold_id: event.as_ref().and_then(|event| event.told.hold_id),
            kind: event.map(|event| event.told.kind),
            state: row.state.map(Word),
            attempts: row.attempts.into(),
            happened_at: Timestamp(row.happened_at),
            next_attempt_at: is_waiting.then_some(Timestamp(row.next_at)),
        }
    }
}

/// One page of events that an endpoint has not accepted, in the order of the feed.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "UndeliveredPushPage")]
pub struct UndeliveredListBody {
    /// The events.
    items: Vec<UndeliveredBody>,
    /// The `cursor` of the next page; null on the last page.
    next_cursor: Cursor,
}

/// Events that are pushed again.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "ReplayPushes", deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct ReplayPushes {
    /// The position of the first event, 1 or more.
    from: i64,
    /// The position of the last one: `from` for one event. By default the last event to which the endpoint has come.
    #[serde(default)]
    to: Option<i64>,
}

/// A replay.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "PushReplay")]
pub struct ReplayBody {
    /// The position of its first event.
    from: i64,
    /// The position of its last event.
    to: i64,
}

/// The response to a replay.
#[derive(ApiResponse)]
pub enum ReplayBegun {
    /// The events are going to be pushed again.
    #[oai(status = 202)]
    Accepted(Json<ReplayBody>),
}

denials! {
    /// The problems of `GET /api/admin/endpoints/{endpoint_id}/attempts`.
    ListAttemptsDenials { 400 "`invalid_id`, `invalid_limit`, `invalid_cursor`", 404 "`endpoint_not_found`" }
}
denials! {
    /// The problems of `GET /api/admin/endpoints/{endpoint_id}/undelivered`.
    ListUndeliveredDenials { 400 "`invalid_id`, `invalid_limit`, `invalid_cursor`", 404 "`endpoint_not_found`" }
}
denials! {
    /// The problems of `POST /api/admin/endpoints/{endpoint_id}/replay`.
    ReplayDenials {
        400 "`invalid_id`, `malformed_json`, `unreadable_body`",
        404 "`endpoint_not_found`",
        408 "`body_timeout`",
        409 "`endpoint_deleted`, `nothing_to_replay`, `replay_under_way`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`",
    }
}

/// The routes of pushes.
pub struct Pushes {
    /// The state that all routes share.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/api/admin/endpoints", tag = "Tags::Operators")]
impl Pushes {
    /// List the latest attempts to push to an endpoint, the newest first
    ///
    /// Up to 200 are kept. Of many that were made at once, those that failed come first, and not all that succeeded are kept.
    #[oai(path = "/:endpoint_id/attempts", method = "get", operation_id = "listPushAttempts")]
    async fn attempts(
        &self,
        _operator: Operator,
        endpoint_id: Path<i64>,
        /// Attempts per page, 1 to 100; 20 by default.
        limit: Query<Option<u32>>,
        /// `next_cursor` of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Json<PushAttemptListBody>, Denied<ListAttemptsDenials>> {
        let list = format!("attempts {}:", endpoint_id.0);
        let (limit, before) = read_page(&list, limit.0, cursor.0.as_deref())?;
        let app = Arc::clone(&self.app);
        let read = async move { app.checkout.push_attempts(endpoint_id.0, before, limit).await };
        let EndpointPage { items, next_after } = self.app.run(read).await?;
        Ok(Json(PushAttemptListBody {
            items: items.into_iter().map(PushAttemptBody::from).collect(),
            next_cursor: Cursor(next_after.map(|number| write_cursor(&list, number))),
        }))
    }

    /// List the events that an endpoint has not accepted
    ///
    /// Those that are tried again, and those of which all attempts have failed, by position.
    #[oai(path = "/:endpoint_id/undelivered", method = "get", operation_id = "listUndeliveredPushes")]
    async fn undelivered(
        &self,
        _operator: Operator,
        endpoint_id: Path<i64>,
        /// Events per page, 1 to 100; 20 by default.
        limit: Query<Option<u32>>,
        /// `next_cursor` of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Json<UndeliveredListBody>, Denied<ListUndeliveredDenials>> {
        let list = format!("undelivered {}:", endpoint_id.0);
        let (limit, after) = read_page(&list, limit.0, cursor.0.as_deref())?;
        let app = Arc::clone(&self.app);
        let read = async move { app.checkout.undelivered_pushes(endpoint_id.0, after, limit).await };
        let EndpointPage { items, next_after } = self.app.run(read).await?;
        Ok(Json(UndeliveredListBody {
            items: items.into_iter().map(UndeliveredBody::from).collect(),
            next_cursor: Cursor(next_after.map(|position| write_cursor(&list, position))),
        }))
    }

    /// Push events to an endpoint again
    ///
    /// One event, a range, or all from a position on, as far as the endpoint wants them. New events are pushed meanwhile. The same
    /// request again, while the replay is under way, changes nothing.
    #[oai(path = "/:endpoint_id/replay", method = "post", operation_id = "replayPushes")]
    async fn replay(
        &self,
        operator: Operator,
        endpoint_id: Path<i64>,
        body: Json<ReplayPushes>,
    ) -> Result<ReplayBegun, Denied<ReplayDenials>> {
        let ReplayPushes { from, to } = body.0;
        if from < 1 || to.is_some_and(|to| to < from) {
            let detail = "`from` must be 1 or more, and `to` not less than `from`.";
            return Err(Problem::unprocessable("invalid_body", detail).into());
        }
        let app = Arc::clone(&self.app);
        let begin = async move { app.checkout.replay_pushes(&operator.name, endpoint_id.0, from, to).await };
        let Replay { from, to } = self.app.run(begin).await?;
        Ok(ReplayBegun::Accepted(Json(ReplayBody { from, to })))
    }
}
