//! Endpoints and their leases.

use mysql_async::{Row, params};
use uuid::Uuid;

use crate::db::column::{bytes, column};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::sql;

/// An endpoint to which an instance may push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeEndpoint {
    /// Its id.
    pub id: i64,
    /// How often an operator has changed it.
    pub changes: i64,
    /// Whether a replay is under way.
    pub is_replaying: bool,
}

/// Lists up to `limit` endpoints to which this instance may push: nothing disables them, and no other has the lease.
pub async fn list_free(tx: &mut Tx<'_>, holder: Uuid, limit: u32) -> Result<Vec<FreeEndpoint>, Failure> {
    let found: Vec<Row> = tx.rows(sql::push_cursors::LIST_FREE, params! { "holder" => bytes(holder), limit }).await?;
    let free = |row: &Row| {
        let (id, changes) = (column(row, "id")?, column(row, "changes")?);
        Ok(FreeEndpoint { id, changes, is_replaying: column(row, "is_replaying")? })
    };
    found.iter().map(free).collect()
}
