//! The table of organizers.

use mysql_async::params;
use uuid::Uuid;

use crate::db::column::bytes;
use crate::db::door::Tx;
use crate::db::error::{Failure, raced};
use crate::db::sql;

/// Who holds events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organizer {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
}

/// Creates an organizer. Returns its id.
///
/// # Errors
/// [`Failure::Raced`] when an earlier attempt of this change is being committed, or was.
pub async fn insert(tx: &mut Tx<'_>, name: &str, change_id: Uuid, created_by: &str) -> Result<i64, Failure> {
    let params = params! { name, "change_id" => bytes(change_id), "created_by" => created_by.as_bytes() };
    tx.execute(sql::organizers::INSERT, params).await.map_err(|failure| raced(failure, "organizers_change"))?;
    let id = tx.last_insert_id().and_then(|id| i64::try_from(id).ok());
    id.ok_or_else(|| Failure::Broken("a new organizer has no id".to_owned()))
}

/// Returns whether there is an organizer with this id.
pub async fn exists(tx: &mut Tx<'_>, organizer_id: i64) -> Result<bool, Failure> {
    Ok(tx.row::<(i64, String)>(sql::organizers::FIND, params! { organizer_id }).await?.is_some())
}

/// Finds the organizer that a change has made.
pub async fn find_by_change(tx: &mut Tx<'_>, change_id: Uuid) -> Result<Option<Organizer>, Failure> {
    let params = params! { "change_id" => bytes(change_id) };
    let found: Option<(i64, String)> = tx.row(sql::organizers::FIND_BY_CHANGE, params).await?;
    Ok(found.map(|(id, name)| Organizer { id, name }))
}
