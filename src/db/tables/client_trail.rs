//! The trail of clients: what operators changed.

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
    /// A change of a client.
    ClientAction {
        /// It was added, with its first token.
        Added = "added",
        /// It got a new token beside the last one.
        Rotated = "rotated",
        /// It got a new token, and all others ended.
        Replaced = "replaced",
        /// The older of its two tokens ended.
        OldEnded = "old_ended",
        /// It was revoked.
        Revoked = "revoked",
        /// A key of its buyers' tokens was added.
        KeyAdded = "key_added",
        /// A key of its buyers' tokens was removed.
        KeyRemoved = "key_removed",
    }
}

/// A change, before it has a row.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// Its id, made before the transaction.
    pub id: Uuid,
    /// The operator who makes it.
    pub operator: &'a str,
    /// What it is.
    pub action: ClientAction,
    /// The role of a new client, the name of a key, or nothing.
    pub detail: &'a str,
}

/// An entry of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTrailEntry {
    /// Its id.
    pub id: i64,
    /// The change.
    pub action: ClientAction,
    /// The role of a new client, the name of a key, or nothing.
    pub detail: String,
    /// The operator who made it.
    pub operator: String,
    /// When, UTC.
    pub at: NaiveDateTime,
}

/// Writes a change of a client.
pub async fn insert(tx: &mut Tx<'_>, client_id: i64, change: &Change<'_>) -> Result<(), Failure> {
    let Change { id, operator, action, detail } = change;
    let params = params! {
        "change_id" => bytes(*id),
        client_id,
        "action" => action.as_str(),
        "detail" => detail,
        "operator" => operator,
    };
    single("client_trail/insert", tx.execute(sql::client_trail::INSERT, params).await?)?;
    Ok(())
}

/// Returns the client of a change that was made.
pub async fn find(tx: &mut Tx<'_>, change_id: Uuid) -> Result<Option<i64>, Failure> {
    tx.row(sql::client_trail::FIND, params! { "change_id" => bytes(change_id) }).await
}

/// Lists up to `limit` entries with smaller ids than `before`, the newest first.
pub async fn list(tx: &mut Tx<'_>, client_id: i64, before: i64, limit: u32) -> Result<Vec<ClientTrailEntry>, Failure> {
    let found: Vec<Row> = tx.rows(sql::client_trail::LIST, params! { client_id, before, limit }).await?;
    let entry = |row: &Row| {
        Ok(ClientTrailEntry {
            id: column(row, "id")?,
            action: state(&column::<String>(row, "action")?)?,
            detail: column(row, "detail")?,
            operator: column(row, "operator")?,
            at: column(row, "at")?,
        })
    };
    found.iter().map(entry).collect()
}
