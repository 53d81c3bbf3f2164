//! The bodies of the routes of endpoints.

use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::checkout::endpoints::{
    AttemptRow, EndpointAction, EndpointPatch, EndpointRow, EndpointTrailEntry, NewEndpoint, ReplayRow,
};
use crate::domain::endpoint::read_types;
use crate::domain::{
    AttemptOutcome, DisabledReason, EndpointRefusal, EndpointSecret, EndpointUrl, FeedType, PushPrivate, Refusal,
};
use crate::http::problem::Problem;
use crate::http::values::{Cursor, JsonObject, Timestamp, Word};

/// A request to register an endpoint.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "CreateEndpoint", deny_unknown_fields, skip_serializing_if_is_none, example)]
#[serde(deny_unknown_fields)]
pub struct CreateEndpoint {
    /// Where events are pushed: an `https` URL of at most 2000 bytes without a user and a fragment, whose host is on the internet.
    url: String,
    /// The types of events that it gets, such as `order.paid`; left out or empty: all.
    types: Option<Vec<String>>,
    /// The storefront whose events it gets; left out: the events of all clients.
    client_id: Option<i64>,
    /// Whether events are pushed to it; `true` by default.
    enabled: Option<bool>,
}

impl Example for CreateEndpoint {
    fn example() -> Self {
        let types = ["order.paid", "order.cancelled", "order.refunded"];
        Self {
            url: "https://shop.example/holdfast".to_owned(),
            types: Some(types.map(str::to_owned).to_vec()),
            client_id: None,
            enabled: None,
        }
    }
}

impl CreateEndpoint {
    /// Judges the URL and the types.
    ///
    /// # Errors
    /// [`EndpointRefusal`].
    pub(super) fn read(self, private: PushPrivate) -> Result<NewEndpoint, Refusal> {
        Ok(NewEndpoint {
            url: read_url(&self.url, private)?,
            types: read_types(self.types.as_deref())?,
            client_id: self.client_id,
            is_enabled: self.enabled.unwrap_or(true),
        })
    }
}

fn read_url(url: &str, private: PushPrivate) -> Result<EndpointUrl, EndpointRefusal> {
    EndpointUrl::parse(url, private).map_err(EndpointRefusal::Url)
}

/// A change of an endpoint, as a JSON Merge Patch.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "EndpointPatch", deny_unknown_fields, skip_serializing_if_is_none, example)]
#[serde(deny_unknown_fields)]
pub struct EndpointPatchBody {
    /// Where events are pushed from now on.
    url: Option<String>,
    /// The types of events that it gets from now on; null or empty: all.
    types: Option<Vec<String>>,
    /// Whether events are pushed to it. `true` also enables an endpoint that was disabled because it failed.
    enabled: Option<bool>,
}

impl Example for EndpointPatchBody {
    fn example() -> Self {
        Self { url: None, types: Some(vec!["order.paid".to_owned()]), enabled: Some(true) }
    }
}

/// Reads a patch. Of the fields, `types` alone can be removed.
///
/// # Errors
/// 422 `invalid_body`, and the problems of the URL and of the types.
pub(super) fn read_patch(patch: Map<String, Value>, private: PushPrivate) -> Result<EndpointPatch, Problem> {
    if let Some(field) = ["url", "enabled"].into_iter().find(|field| patch.get(*field).is_some_and(Value::is_null)) {
        return Err(Problem::unprocessable("invalid_body", format!("`{field}` must not be null.")));
    }
    let has_types = patch.contains_key("types");
    let body: EndpointPatchBody = serde_json::from_value(patch.into())
        .map_err(|error| Problem::unprocessable("invalid_body", format!("The patch is invalid: {error}.")))?;
    let read = || -> Result<EndpointPatch, EndpointRefusal> {
        let types = read_types(body.types.as_deref())?;
        Ok(EndpointPatch {
            url: body.url.as_deref().map(|url| read_url(url, private)).transpose()?,
            types: has_types.then_some(types),
            is_enabled: body.enabled,
        })
    };
    read().map_err(|refusal| Refusal::from(refusal).into())
}

/// A request for a new secret.
#[derive(Debug, Default, Object, Deserialize)]
#[oai(rename = "RotateEndpoint", deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct RotateEndpoint {
    /// End all other secrets at once. By default the last one stays live beside the new one.
    #[serde(default)]
    pub(super) end_old: Option<bool>,
}

/// The last attempt to push an event to an endpoint.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "EndpointAttempt", skip_serializing_if_is_none)]
pub struct AttemptBody {
    /// When it ended.
    at: Timestamp,
    /// How it ended: `delivered` is an answer with a status 2xx.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Word<AttemptOutcome>>,
    /// The status of the answer, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// The first 1,024 bytes of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
}

impl From<AttemptRow> for AttemptBody {
    fn from(AttemptRow { at, outcome, status, answer }: AttemptRow) -> Self {
        Self { at: Timestamp(at), outcome: outcome.map(Word), status, answer }
    }
}

/// A replay that is under way.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "EndpointReplay")]
pub struct EndpointReplayBody {
    /// The position of its first event.
    from: i64,
    /// The position of its last event.
    to: i64,
    /// The position up to which it has pushed, or has found nothing to push.
    position: i64,
}

impl From<ReplayRow> for EndpointReplayBody {
    fn from(ReplayRow { from, to, position }: ReplayRow) -> Self {
        Self { from, to, position }
    }
}

/// Where events are pushed.
#[derive(Object, Serialize)]
#[oai(rename = "Endpoint", skip_serializing_if_is_none)]
pub struct EndpointBody {
    /// The endpoint's id.
    id: i64,
    /// Its URL.
    url: String,
    /// The types of events that it gets; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    types: Option<Vec<Word<FeedType>>>,
    /// The storefront whose events it gets; absent: the events of all clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<i64>,
    /// Whether events are pushed to it.
    enabled: bool,
    /// Number of live secrets. Each push is signed with all of them.
    live_secrets: i64,
    /// When it was registered.
    created_at: Timestamp,
    /// When it was disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_at: Option<Timestamp>,
    /// Why it is disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_reason: Option<Word<DisabledReason>>,
    /// When it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Timestamp>,
    /// The position of the last event of the feed to which it has come: what is behind it waits. It is written about once in 1,000
    /// events if it wants none of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<i64>,
    /// The replay that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<EndpointReplayBody>,
    /// When it accepted an event last.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered_at: Option<Timestamp>,
    /// The last attempt, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_attempt: Option<AttemptBody>,
    /// Its new secret, in this response alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl From<EndpointRow> for EndpointBody {
    fn from(row: EndpointRow) -> Self {
        Self {
            id: row.id,
            url: row.terms.url,
            types: row.terms.types.map(|types| types.into_iter().map(Word).collect()),
            client_id: row.client_id,
            enabled: row.terms.is_enabled,
            live_secrets: row.live_secrets,
            created_at: Timestamp(row.created_at),
            disabled_at: row.disabled_at.map(Timestamp),
            disabled_reason: row.disabled_reason.map(Word),
            deleted_at: row.deleted_at.map(Timestamp),
            position: row.position,
            replay: row.replay.map(EndpointReplayBody::from),
            delivered_at: row.delivered_at.map(Timestamp),
            last_attempt: row.attempt.map(AttemptBody::from),
            secret: None,
        }
    }
}

impl From<(EndpointRow, EndpointSecret)> for EndpointBody {
    fn from((row, secret): (EndpointRow, EndpointSecret)) -> Self {
        Self { secret: Some(secret.reveal()), ..row.into() }
    }
}

/// One page of endpoints, by id.
#[derive(Object, Serialize)]
#[oai(rename = "EndpointPage")]
pub struct EndpointListBody {
    /// The endpoints.
    pub(super) items: Vec<EndpointBody>,
    /// The `cursor` of the next page; null on the last page.
    pub(super) next_cursor: Cursor,
}

/// A change of an endpoint.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "EndpointChange", skip_serializing_if_is_none)]
pub struct EndpointChangeBody {
    /// The change.
    action: Word<EndpointAction>,
    /// The new values, of a registration and of a change by a patch.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<JsonObject>,
    /// The operator who made it, or `push worker`.
    operator: String,
    /// The time of the change.
    at: Timestamp,
}

impl From<EndpointTrailEntry> for EndpointChangeBody {
    fn from(EndpointTrailEntry { action, detail, operator, at, .. }: EndpointTrailEntry) -> Self {
        let detail = detail.as_deref().and_then(JsonObject::read);
        Self { action: Word(action), detail, operator, at: Timestamp(at) }
    }
}

/// One page of the changes of an endpoint, the newest first.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "EndpointChangePage")]
pub struct EndpointTrailBody {
    /// The changes.
    pub(super) items: Vec<EndpointChangeBody>,
    /// The `cursor` of the next page; null on the last page.
    pub(super) next_cursor: Cursor,
}
