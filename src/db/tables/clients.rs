//! Clients: programs that call, with the digests of their tokens.

use chrono::NaiveDateTime;
use mysql_async::{Row, params};

use crate::db::column::{column, state};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::guard::single;
use crate::db::sql;
use crate::domain::{Named as _, PublicKey, Role, TokenDigest};

/// A client as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRow {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether an older token is live beside the last one.
    pub has_older: bool,
    /// When it was added, UTC.
    pub created_at: NaiveDateTime,
    /// When it was revoked, UTC.
    pub revoked_at: Option<NaiveDateTime>,
}

fn client(row: &Row) -> Result<ClientRow, Failure> {
    Ok(ClientRow {
        id: column(row, "id")?,
        name: column(row, "name")?,
        role: state(&column::<String>(row, "role")?)?,
        has_older: column(row, "has_older")?,
        created_at: column(row, "created_at")?,
        revoked_at: column(row, "revoked_at")?,
    })
}

/// A live client, with one of its keys: a client with several keys has several rows.
#[derive(Debug, Clone)]
pub struct LiveRow {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// What it may do; `None` for a role that only a newer version knows.
    pub role: Option<Role>,
    /// The digests of its tokens. One that is no digest is left out.
    pub digests: Vec<TokenDigest>,
    /// A key of its buyers' tokens. One that is no key is left out.
    pub key: Option<(String, PublicKey)>,
}

/// Inserts a client. Returns false when the name is taken.
pub async fn insert(tx: &mut Tx<'_>, name: &str, role: Role, token: &TokenDigest) -> Result<bool, Failure> {
    let params = params! { name, "role" => role.as_str(), "token_digest" => token.bytes().as_slice() };
    single("clients/insert", tx.execute(sql::clients::INSERT, params).await?)
}

/// Finds a client.
pub async fn find(tx: &mut Tx<'_>, client_id: i64) -> Result<Option<ClientRow>, Failure> {
    let found: Option<Row> = tx.row(sql::clients::FIND, params! { client_id }).await?;
    found.as_ref().map(client).transpose()
}

/// Finds the id of the client with this name.
pub async fn find_id(tx: &mut Tx<'_>, name: &str) -> Result<Option<i64>, Failure> {
    tx.row(sql::clients::FIND_ID, params! { name }).await
}

/// Lists up to `limit` clients with greater ids than `after`, by id.
pub async fn list(tx: &mut Tx<'_>, after: i64, limit: u32) -> Result<Vec<ClientRow>, Failure> {
    let found: Vec<Row> = tx.rows(sql::clients::LIST, params! { after, limit }).await?;
    found.iter().map(client).collect()
}

/// Lists the live clients with their keys, `limit` rows at most, by id.
pub async fn list_live(tx: &mut Tx<'_>, limit: usize) -> Result<Vec<LiveRow>, Failure> {
    let found: Vec<Row> = tx.rows(sql::clients::LIST_LIVE, params! { limit }).await?;
    let digest = |row: &Row, name: &str| -> Result<Option<TokenDigest>, Failure> {
        Ok(column::<Option<Vec<u8>>>(row, name)?.and_then(|bytes| TokenDigest::stored(&bytes)))
    };
    let live = |row: &Row| {
        let (kid, key): (Option<String>, Option<Vec<u8>>) = (column(row, "kid")?, column(row, "public_key")?);
        Ok(LiveRow {
            id: column(row, "id")?,
            name: column(row, "name")?,
            role: Role::from_name(&column::<String>(row, "role")?),
            digests: digest(row, "token_digest")?.into_iter().chain(digest(row, "older_digest")?).collect(),
            key: kid.zip(key.and_then(|bytes| PublicKey::stored(&bytes))),
        })
    };
    found.iter().map(live).collect()
}

/// Begins a change of a live client: its row is locked until the COMMIT. Returns false when the client is revoked or missing.
pub async fn count_change(tx: &mut Tx<'_>, client_id: i64) -> Result<bool, Failure> {
    single("clients/count_change", tx.execute(sql::clients::COUNT_CHANGE, params! { client_id }).await?)
}

/// Gives a client whose row this transaction has locked a new token; `end_old` ends all others.
pub async fn rotate(tx: &mut Tx<'_>, client_id: i64, token: &TokenDigest, end_old: bool) -> Result<(), Failure> {
    let params = params! { client_id, end_old, "token_digest" => token.bytes().as_slice() };
    match single("clients/rotate", tx.execute(sql::clients::ROTATE, params).await?)? {
        true => Ok(()),
        false => Err(Failure::Broken(format!("the locked client {client_id} is missing"))),
    }
}

/// Ends the older of two live tokens. Returns false when there is one token only.
pub async fn end_old(tx: &mut Tx<'_>, client_id: i64) -> Result<bool, Failure> {
    single("clients/end_old", tx.execute(sql::clients::END_OLD, params! { client_id }).await?)
}

/// Revokes a client. Returns false when it is revoked already or missing.
pub async fn revoke(tx: &mut Tx<'_>, client_id: i64) -> Result<bool, Failure> {
    single("clients/revoke", tx.execute(sql::clients::REVOKE, params! { client_id }).await?)
}
