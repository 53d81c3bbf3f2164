//! The public keys of clients, with which the tokens of their buyers are verified.

use chrono::NaiveDateTime;
use mysql_async::{Row, params};

use crate::db::column::column;
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::guard::single;
use crate::db::literal::numbers;
use crate::db::sql;
use crate::domain::PublicKey;

/// A key of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// The client.
    pub client_id: i64,
    /// The client's name for the key.
    pub kid: String,
    /// The key.
    pub public_key: PublicKey,
    /// When it was added, UTC.
    pub added_at: NaiveDateTime,
}

fn key(bytes: &[u8]) -> Result<PublicKey, Failure> {
    PublicKey::stored(bytes).ok_or_else(|| Failure::Broken("a stored key does not have 32 bytes".to_owned()))
}

/// Inserts a key of a client whose row this transaction has locked. Returns false when the client has `most` keys.
pub async fn insert(
    tx: &mut Tx<'_>,
    client_id: i64,
    kid: &str,
    public_key: &PublicKey,
    most: u32,
) -> Result<bool, Failure> {
    let hex: String = public_key.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let params = params! { client_id, kid, most, "public_key" => hex };
    single("client_keys/insert", tx.execute(sql::client_keys::INSERT, params).await?)
}

/// Finds a key of a client.
pub async fn find(tx: &mut Tx<'_>, client_id: i64, kid: &str) -> Result<Option<PublicKey>, Failure> {
    let found: Option<Vec<u8>> = tx.row(sql::client_keys::FIND, params! { client_id, kid }).await?;
    found.as_deref().map(key).transpose()
}

/// Lists the keys of these clients, by client and name.
pub async fn list(tx: &mut Tx<'_>, client_ids: &[i64]) -> Result<Vec<KeyRow>, Failure> {
    if client_ids.is_empty() {
        return Ok(Vec::new());
    }
    let found: Vec<Row> = tx.rows_text(&sql::client_keys::List { ids: numbers(client_ids) }.text()).await?;
    let row = |row: &Row| {
        Ok(KeyRow {
            client_id: column(row, "client_id")?,
            kid: column(row, "kid")?,
            public_key: key(&column::<Vec<u8>>(row, "public_key")?)?,
            added_at: column(row, "added_at")?,
        })
    };
    found.iter().map(row).collect()
}

/// Deletes a key of a client. Returns false when there is none of this name.
pub async fn delete(tx: &mut Tx<'_>, client_id: i64, kid: &str) -> Result<bool, Failure> {
    single("client_keys/delete", tx.execute(sql::client_keys::DELETE, params! { client_id, kid }).await?)
}
