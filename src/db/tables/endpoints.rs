//! Endpoints: where events are pushed, with the secrets that sign for them.

use chrono::NaiveDateTime;
use mysql_async::{Row, params};

use crate::db::column::{column, text_column};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::guard::single;
use crate::db::sql;
use crate::domain::{AttemptOutcome, DisabledReason, EndpointSecret, FeedType, Named};

/// What an operator sets of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointTerms {
    /// Where events are pushed.
    pub url: String,
    /// The types of events that it wants; `None`: all.
    pub types: Option<Vec<FeedType>>,
    /// Whether events are pushed to it.
    pub is_enabled: bool,
}

/// An endpoint as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointRow {
    /// Its id.
    pub id: i64,
    /// What an operator sets.
    pub terms: EndpointTerms,
    /// The client whose events it gets; `None`: those of all.
    pub client_id: Option<i64>,
    /// Number of live secrets.
    pub live_secrets: i64,
    /// When it was registered, UTC.
    pub created_at: NaiveDateTime,
    /// When it was disabled, UTC.
    pub disabled_at: Option<NaiveDateTime>,
    /// Why; `None` also for a reason that only a newer version knows.
    pub disabled_reason: Option<DisabledReason>,
    /// When it was deleted, UTC.
    pub deleted_at: Option<NaiveDateTime>,
    /// When it accepted an event last, UTC.
    pub delivered_at: Option<NaiveDateTime>,
    /// The last attempt.
    pub attempt: Option<AttemptRow>,
    /// The position of the last event of the feed to which it has come.
    pub position: Option<i64>,
    /// The replay that is under way.
    pub replay: Option<ReplayRow>,
}

/// A replay that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayRow {
    /// The position of its first event.
    pub from: i64,
    /// That of its last one.
    pub to: i64,
    /// How far it is.
    pub position: i64,
}

/// The last attempt to push to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    /// When it ended, UTC.
    pub at: NaiveDateTime,
    /// How it ended; `None` for an end that only a newer version knows.
    pub outcome: Option<AttemptOutcome>,
    /// The status of the answer.
    pub status: Option<u16>,
    /// The beginning of the answer.
    pub answer: Option<String>,
}

/// An endpoint to which events are pushed.
#[derive(Debug, Clone)]
pub struct LiveEndpoint {
    /// Its id.
    pub id: i64,
    /// Its URL.
    pub url: String,
    /// The types of events that it wants; `None`: all.
    pub types: Option<Vec<FeedType>>,
    /// The client whose events it gets; `None`: those of all.
    pub client_id: Option<i64>,
    /// Its live secrets, the newest first.
    pub secrets: Vec<EndpointSecret>,
}

/// An attempt to push an event.
#[derive(Debug, Clone)]
pub struct Attempt<'a> {
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The status of the answer.
    pub status: Option<u16>,
    /// The beginning of the answer, up to 1,024 bytes.
    pub answer: &'a [u8],
}

/// Reads a list of types, without those that only a newer version knows.
fn types(row: &Row) -> Result<Option<Vec<FeedType>>, Failure> {
    let names: Option<String> = column(row, "types")?;
    Ok(names.map(|names| names.split(',').filter_map(FeedType::from_name).collect()))
}

fn written(types: Option<&[FeedType]>) -> Option<String> {
    types.map(|types| types.iter().map(|known| known.as_str()).collect::<Vec<_>>().join(","))
}

fn word<T: Named>(row: &Row, name: &str) -> Result<Option<T>, Failure> {
    Ok(column::<Option<String>>(row, name)?.and_then(|word| T::from_name(&word)))
}

fn endpoint(row: &Row) -> Result<EndpointRow, Failure> {
    let disabled_at: Option<NaiveDateTime> = column(row, "disabled_at")?;
    let attempted_at: Option<NaiveDateTime> = column(row, "attempted_at")?;
    let attempt = |at| {
        let (outcome, status) = (word(row, "attempt_outcome")?, column(row, "attempt_status")?);
        Ok::<_, Failure>(AttemptRow { at, outcome, status, answer: text_column(row, "attempt_answer")? })
    };
    let secrets: [bool; 2] = [column(row, "has_secret")?, column(row, "has_older")?];
    Ok(EndpointRow {
        id: column(row, "id")?,
        terms: EndpointTerms { url: column(row, "url")?, types: types(row)?, is_enabled: disabled_at.is_none() },
        client_id: column(row, "client_id")?,
        live_secrets: secrets.into_iter().map(i64::from).sum(),
        created_at: column(row, "created_at")?,
        disabled_at,
        disabled_reason: word(row, "disabled_reason")?,
        deleted_at: column(row, "deleted_at")?,
        delivered_at: column(row, "delivered_at")?,
        attempt: attempted_at.map(attempt).transpose()?,
        position: column(row, "cursor_position")?,
        replay: replay(row)?,
    })
}

fn replay(row: &Row) -> Result<Option<ReplayRow>, Failure> {
    let number = |name: &str| Ok::<i64, Failure>(column::<Option<i64>>(row, name)?.unwrap_or(0));
    let replay = ReplayRow {
        from: number("replay_from")? + 1,
        to: number("replay_until")?,
        position: number("replay_position")?,
    };
    Ok((replay.position < replay.to).then_some(replay))
}

fn live(row: &Row) -> Result<LiveEndpoint, Failure> {
    let secret = |name: &str| -> Result<Option<EndpointSecret>, Failure> {
        Ok(column::<Option<Vec<u8>>>(row, name)?.and_then(|bytes| EndpointSecret::stored(&bytes)))
    };
    Ok(LiveEndpoint {
        id: column(row, "id")?,
        url: column(row, "url")?,
        types: types(row)?,
        client_id: column(row, "client_id")?,
        secrets: secret("secret")?.into_iter().chain(secret("older_secret")?).collect(),
    })
}

/// Inserts an endpoint. Returns its id.
pub async fn insert(
    tx: &mut Tx<'_>,
    terms: &EndpointTerms,
    client_id: Option<i64>,
    secret: &EndpointSecret,
) -> Result<i64, Failure> {
    let params = params! {
        "url" => &terms.url,
        "types" => written(terms.types.as_deref()),
        client_id,
        "secret" => secret.bytes().as_slice(),
        "enabled" => terms.is_enabled,
    };
    tx.execute(sql::endpoints::INSERT, params).await?;
    let id = tx.last_insert_id().and_then(|id| i64::try_from(id).ok());
    id.ok_or_else(|| Failure::Broken("a new endpoint has no id".to_owned()))
}

/// Finds an endpoint.
pub async fn find(tx: &mut Tx<'_>, endpoint_id: i64) -> Result<Option<EndpointRow>, Failure> {
    let found: Option<Row> = tx.row(sql::endpoints::FIND, params! { endpoint_id }).await?;
    found.as_ref().map(endpoint).transpose()
}

/// Lists up to `limit` endpoints with greater ids than `after`, by id.
pub async fn list(tx: &mut Tx<'_>, after: i64, limit: u32) -> Result<Vec<EndpointRow>, Failure> {
    let found: Vec<Row> = tx.rows(sql::endpoints::LIST, params! { after, limit }).await?;
    found.iter().map(endpoint).collect()
}

/// Finds an endpoint with its secrets, if events are pushed to it.
pub async fn find_live(tx: &mut Tx<'_>, endpoint_id: i64) -> Result<Option<LiveEndpoint>, Failure> {
    let found: Option<Row> = tx.row(sql::endpoints::FIND_LIVE, params! { endpoint_id }).await?;
    found.as_ref().map(live).transpose()
}

/// Begins a change of an endpoint: its row is locked until the COMMIT. Returns false when the endpoint is deleted or missing.
pub async fn count_change(tx: &mut Tx<'_>, endpoint_id: i64) -> Result<bool, Failure> {
    single("endpoints/count_change", tx.execute(sql::endpoints::COUNT_CHANGE, params! { endpoint_id }).await?)
}

/// Gives an endpoint whose row this transaction has locked terms that differ from those that it has.
pub async fn change(tx: &mut Tx<'_>, endpoint_id: i64, terms: &EndpointTerms) -> Result<(), Failure> {
    let params = params! {
        endpoint_id,
        "url" => &terms.url,
        "types" => written(terms.types.as_deref()),
        "enabled" => terms.is_enabled,
    };
    locked(endpoint_id, single("endpoints/change", tx.execute(sql::endpoints::CHANGE, params).await?)?)
}

/// Gives an endpoint whose row this transaction has locked a new secret; `end_old` ends all others.
pub async fn rotate(tx: &mut Tx<'_>, endpoint_id: i64, secret: &EndpointSecret, end_old: bool) -> Result<(), Failure> {
    let params = params! { endpoint_id, end_old, "secret" => secret.bytes().as_slice() };
    locked(endpoint_id, single("endpoints/rotate", tx.execute(sql::endpoints::ROTATE, params).await?)?)
}

fn locked(endpoint_id: i64, is_changed: bool) -> Result<(), Failure> {
    match is_changed {
        true => Ok(()),
        false => Err(Failure::Broken(format!("the locked endpoint {endpoint_id} is missing"))),
    }
}

/// Ends the older of two live secrets. Returns false when there is one secret only.
pub async fn end_old(tx: &mut Tx<'_>, endpoint_id: i64) -> Result<bool, Failure> {
    single("endpoints/end_old", tx.execute(sql::endpoints::END_OLD, params! { endpoint_id }).await?)
}

/// Disables an endpoint. Returns false when it is disabled already or missing.
pub async fn disable(tx: &mut Tx<'_>, endpoint_id: i64, reason: DisabledReason) -> Result<bool, Failure> {
    let params = params! { endpoint_id, "reason" => reason.as_str() };
    single("endpoints/disable", tx.execute(sql::endpoints::DISABLE, params).await?)
}

/// Lists the endpoints of a client to which events are pushed.
pub async fn list_of_client(tx: &mut Tx<'_>, client_id: i64) -> Result<Vec<i64>, Failure> {
    tx.rows(sql::endpoints::LIST_OF_CLIENT, params! { client_id }).await
}

/// Deletes an endpoint and its secrets. Returns false when it is deleted already or missing.
pub async fn mark_deleted(tx: &mut Tx<'_>, endpoint_id: i64) -> Result<bool, Failure> {
    single("endpoints/mark_deleted", tx.execute(sql::endpoints::MARK_DELETED, params! { endpoint_id }).await?)
}

/// Notes how the last attempt ended, and whether one of those with it delivered an event. Returns false when the endpoint is missing.
pub async fn note_attempt(
    tx: &mut Tx<'_>,
    endpoint_id: i64,
    attempt: &Attempt<'_>,
    is_delivered: bool,
) -> Result<bool, Failure> {
    let Attempt { outcome, status, answer } = attempt;
    let params = params! {
        endpoint_id,
        "outcome" => outcome.as_str(),
        "status" => status,
        "answer" => answer,
        is_delivered,
    };
    single("endpoints/note_attempt", tx.execute(sql::endpoints::NOTE_ATTEMPT, params).await?)
}
