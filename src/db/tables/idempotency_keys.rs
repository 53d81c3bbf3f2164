//! The table of idempotency keys: requests with an `Idempotency-Key`, and their results.

use std::collections::HashMap;

use chrono::NaiveDateTime;
use mysql_async::params;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::db::column::{id, state};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::literal::{self, Literal, Text, rows};
use crate::db::sql;
use crate::domain::status::named;
use crate::domain::{Named, OrderStatus};

named! {
    /// The operation of a request; each has its own keys.
    Operation {
        /// `POST /api/holds`.
        Hold = "hold",
        /// `POST /api/orders`.
        Order = "order",
        /// `POST /api/admin/products/{product_id}/stock`.
        Stock = "stock",
        /// `POST /api/holds/{hold_id}/extend` and `POST /api/orders/{order_id}/extend`.
        Extend = "extend",
        /// `POST /api/admin/organizers`.
        Organizer = "organizer",
        /// `POST /api/admin/events`.
        Event = "event",
        /// `POST /api/admin/events/{event_id}/ticket-types`.
        TicketType = "ticket_type",
        /// `POST /api/admin/ticket-types/{product_id}/seats`.
        Seats = "seats",
    }
}

/// The id of a key, in memory and in its table: SHA-256 over scope, operation and key, with a zero byte between them. None of
/// the three contains one: the scope is text of this program, the key is visible ASCII.
pub type KeyId = [u8; 32];

/// One key and its request.
#[derive(Debug, Clone)]
pub struct IdempotentRequest {
    /// The id of the key.
    pub id: KeyId,
    /// The scope of the caller; anonymous callers share one.
    pub scope: String,
    /// The operation.
    pub operation: Operation,
    /// The key.
    pub key: String,
    /// A digest of the request's body.
    pub fingerprint: [u8; 32],
}

impl IdempotentRequest {
    /// Creates a key of this scope for this operation, with a digest of the request's body.
    pub fn new(scope: String, operation: Operation, key: String, fingerprint: [u8; 32]) -> Self {
        let parts = [scope.as_bytes(), operation.as_str().as_bytes(), key.as_bytes()];
        Self { id: Sha256::digest(parts.join(&0)).into(), scope, operation, key, fingerprint }
    }
}

/// The result of the first request with a key.
#[derive(Debug, Clone)]
pub struct StoredResult {
    /// A digest of that request's body.
    pub fingerprint: Vec<u8>,
    /// The hold, the order, or the id of the extension or of an operator's change.
    pub resource_id: Uuid,
    /// The status in the first response to an order. `None` for holds, and for orders of an earlier version of this program
    /// that have no response yet.
    pub answered_status: Option<OrderStatus>,
}

/// Returns the word under which an operation is stored. The column has one word for all changes by operators; the id of a key tells
/// them apart.
fn stored(operation: Operation) -> Operation {
    match operation {
        Operation::Organizer | Operation::Event | Operation::TicketType | Operation::Seats => Operation::Stock,
        other => other,
    }
}

/// Returns the statement that stores keys, each with its hold or order; the first response to an order has `pending` unless
/// [`answer`] changes that. It has one affected row per new key and two per existing key. The keys must be sorted by id. It
/// waits for another transaction that is storing one of them.
pub fn insert_all<'a>(keys: impl IntoIterator<Item = (&'a IdempotentRequest, Uuid)>) -> String {
    let row = |(keyed, resource_id): (&'a IdempotentRequest, Uuid)| {
        let answered = match keyed.operation {
            Operation::Order => Literal::name(OrderStatus::Pending),
            _ => Literal::Null,
        };
        [
            Literal::Bytes(&keyed.id),
            Literal::Bytes(keyed.scope.as_bytes()),
            Literal::name(stored(keyed.operation)),
            Literal::Bytes(keyed.key.as_bytes()),
            Literal::Bytes(&keyed.fingerprint),
            Literal::Id(resource_id),
            answered,
        ]
    };
    sql::idempotency_keys::Insert { rows: rows(keys.into_iter().map(row)) }.text()
}

/// Returns how many bytes a key adds to the statement of [`insert_all`], at most: it is written as hex.
pub fn row_bytes(keyed: &IdempotentRequest) -> usize {
    2 * (keyed.id.len() + keyed.scope.len() + keyed.key.len() + keyed.fingerprint.len()) + 96
}

/// Lists the results of the first requests with these keys.
pub async fn list(tx: &mut Tx<'_>, keys: &[&IdempotentRequest]) -> Result<HashMap<KeyId, StoredResult>, Failure> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    type Columns = (Vec<u8>, Vec<u8>, Vec<u8>, Option<String>);
    let found: Vec<Columns> = tx.rows_text(&sql::idempotency_keys::List { ids: ids(keys) }.text()).await?;
    let made = |(key_id, fingerprint, resource, answered): Columns| {
        let key_id = KeyId::try_from(key_id).map_err(|_| Failure::Broken("a key's id is not 32 bytes".to_owned()))?;
        let answered_status = answered.as_deref().map(state).transpose()?;
        Ok((key_id, StoredResult { fingerprint, resource_id: id(&resource)?, answered_status }))
    };
    found.into_iter().map(made).collect()
}

/// Finds the result of the first request with this key.
pub async fn find(tx: &mut Tx<'_>, keyed: &IdempotentRequest) -> Result<Option<StoredResult>, Failure> {
    Ok(list(tx, &[keyed]).await?.remove(&keyed.id))
}

/// Stores the status in the first response to a key. Returns false when this status is stored already, or another one that
/// the response to a copy may have had.
pub async fn answer(tx: &mut Tx<'_>, keyed: &IdempotentRequest, status: OrderStatus) -> Result<bool, Failure> {
    let statement = sql::idempotency_keys::Answer { status: Literal::name(status).into(), ids: ids(&[keyed]) };
    // not a missed guard: most often the request is a copy
    Ok(tx.execute_text(&statement.text()).await? == 1)
}

fn ids(keys: &[&IdempotentRequest]) -> Text {
    let mut ids: Vec<&KeyId> = keys.iter().map(|keyed| &keyed.id).collect();
    ids.sort_unstable();
    literal::list(ids.into_iter().map(|id| Literal::Bytes(id)))
}

/// Stores a key with the id of what its request makes. Returns false when the key exists.
pub async fn insert(tx: &mut Tx<'_>, keyed: &IdempotentRequest, resource_id: Uuid) -> Result<bool, Failure> {
    Ok(tx.execute_text(&insert_all([(keyed, resource_id)])).await? == 1)
}

/// Makes the commit of a transaction without changes wait for the disk, by a row that it inserts and deletes: a result that
/// was found must be as durable as a new one, and MariaDB without a binary log shows a committed row before it is on disk.
pub async fn wait_for_disk(tx: &mut Tx<'_>) -> Result<(), Failure> {
    let key = Uuid::from_bytes(rand::random());
    let mark = IdempotentRequest::new("wait for disk".to_owned(), Operation::Hold, key.to_string(), [0; 32]);
    tx.packet(&[insert_all([(&mark, key)]), sql::idempotency_keys::Delete { ids: ids(&[&mark]) }.text()]).await?;
    Ok(())
}

/// Deletes up to `limit` keys that are older than two days, of those that were stored at `from` or later. Returns how many it
/// found, and when the last of them was stored, UTC. Another instance may delete the same ones.
pub async fn delete_old(
    tx: &mut Tx<'_>,
    from: NaiveDateTime,
    limit: u32,
) -> Result<(usize, Option<NaiveDateTime>), Failure> {
    let found: Vec<(Vec<u8>, NaiveDateTime)> =
        tx.rows(sql::idempotency_keys::LIST_OLD, params! { from, limit }).await?;
    if !found.is_empty() {
        let mut ids: Vec<&[u8]> = found.iter().map(|(id, _)| id.as_slice()).collect();
        ids.sort_unstable();
        let ids = literal::list(ids.into_iter().map(Literal::Bytes));
        tx.execute_text(&sql::idempotency_keys::Delete { ids }.text()).await?;
    }
    Ok((found.len(), found.last().map(|&(_, taken_at)| taken_at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_adds_no_more_bytes_than_its_bound() {
        let key = |key: String| IdempotentRequest::new("scope".to_owned(), Operation::Order, key, [255; 32]);
        for keyed in [key(String::new()), key("k".repeat(255))] {
            let length = |count: usize| insert_all(vec![(&keyed, Uuid::max()); count]).len();
            assert!(
                length(101) - length(1) <= 100 * row_bytes(&keyed),
                "{} bytes each",
                (length(101) - length(1)) / 100
            );
        }
    }
}
