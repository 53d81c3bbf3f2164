//! The trail of endpoints: what operators changed, and when a worker disabled one.

use chrono::NaiveDateTime;
use mysql_async::{Row, params};
use uuid::Uuid;

use crate::db::column::{bytes, column, state};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::guard::single;
use crate::db::sql;
use crate::domain::Named as _;
use crate::domain::status::named;

named! {
    /// A change of an endpoint.
    EndpointAction {
        /// It was registered, with its first secret.
        Added = "added",
        /// Its URL, its types of events, or whether it is enabled.
        Changed = "changed",
        /// It got a new secret beside the last one.
        Rotated = "rotated",
        /// It got a new secret, and all others ended.
        Replaced = "replaced",
        /// The older of its two secrets ended.
        OldEnded = "old_ended",
        /// It was disabled, since it had failed for too long.
        Disabled = "disabled",
        /// Events are pushed to it again.
        Replayed = "replayed",
        /// It was deleted.
        Deleted = "deleted",
    }
}

/// A change, before it has a row.
#[derive(Debug, Clone)]
pub struct EndpointChange<'a> {
    /// Its id, made before the transaction.
    pub id: Uuid,
    /// Who makes it.
    pub operator: &'a str,
    /// What it is.
    pub action: EndpointAction,
}

/// An entry of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointTrailEntry {
    /// Its id.
    pub id: i64,
    /// The change.
    pub action: EndpointAction,
    /// The new values, as JSON.
    pub detail: Option<String>,
    /// Who made it.
    pub operator: String,
    /// When, UTC.
    pub at: NaiveDateTime,
}

/// Writes a change of an endpoint; `detail` is JSON with the new values.
pub async fn insert(
    tx: &mut Tx<'_>,
    endpoint_id: i64,
    change: &EndpointChange<'_>,
    detail: Option<&str>,
) -> Result<(), Failure> {
    let EndpointChange { id, operator, action } = change;
    let params = params! {
        "change_id" => bytes(*id),
        endpoint_id,
        "action" => action.as_str(),
        detail,
        "operator" => operator,
    };
    single("endpoint_trail/insert", tx.execute(sql::endpoint_trail::INSERT, params).await?)?;
    Ok(())
}

/// Returns the endpoint of a change that was made.
pub async fn find(tx: &mut Tx<'_>, change_id: Uuid) -> Result<Option<i64>, Failure> {
    tx.row(sql::endpoint_trail::FIND, params! { "change_id" => bytes(change_id) }).await
}

/// Lists up to `limit` entries with smaller ids than `before`, the newest first.
pub async fn list(
    tx: &mut Tx<'_>,
    endpoint_id: i64,
    before: i64,
    limit: u32,
) -> Result<Vec<EndpointTrailEntry>, Failure> {
    let found: Vec<Row> = tx.rows(sql::endpoint_trail::LIST, params! { endpoint_id, before, limit }).await?;
    let entry = |row: &Row| {
        Ok(EndpointTrailEntry {
            id: column(row, "id")?,
            action: state(&column::<String>(row, "action")?)?,
            detail: column(row, "detail")?,
            operator: column(row, "operator")?,
            at: column(row, "at")?,
        })
    };
    found.iter().map(entry).collect()
}
