//! What clients already asked for under an `Idempotency-Key`.

use std::collections::HashMap;

use mysql_async::params;
use uuid::Uuid;

use super::literal::{self, Literal, rows};
use super::{Failure, Tx, id, sql, state};
use crate::domain::status::named;
use crate::domain::{Named, OrderStatus};

named! {
    /// What is asked for; each has keys of its own.
    Operation {
        /// `POST /api/holds`.
        Hold = "hold",
        /// `POST /api/orders`.
        Order = "order",
    }
}

/// One key with the request that it stands for.
#[derive(Debug, Clone)]
pub struct Keyed {
    /// Whose key it is; anonymous callers share one scope.
    pub scope: &'static str,
    /// What is asked for.
    pub operation: Operation,
    /// The key.
    pub key: String,
    /// A digest of the request's body.
    pub fingerprint: [u8; 32],
}

/// What was made under a key.
#[derive(Debug, Clone)]
pub struct Made {
    /// A digest of the body that made it.
    pub fingerprint: Vec<u8>,
    /// The hold or order.
    pub resource_id: Uuid,
    /// The status that the first answer told, once it was given.
    pub answered_status: Option<OrderStatus>,
}

/// The statement that takes keys, each for its hold or order. It changes one row per new key and counts two per key that
/// was taken before. They must be sorted by key. A key that is being taken in another transaction makes it wait for that.
pub fn insert_all<'a>(keys: impl IntoIterator<Item = (&'a Keyed, Uuid)>) -> String {
    let row = |(keyed, resource_id): (&'a Keyed, Uuid)| {
        let [scope, operation, key] = name(keyed);
        [scope, operation, key, Literal::Bytes(&keyed.fingerprint), Literal::Id(resource_id)]
    };
    sql::idempotency_keys::INSERT.replace("{rows}", &rows(keys.into_iter().map(row)))
}

/// What a key adds to the statement of [`insert_all`] at most, in bytes: it is written as hex.
pub fn row_bytes(keyed: &Keyed) -> usize {
    2 * (keyed.scope.len() + keyed.key.len() + keyed.fingerprint.len()) + 80
}

/// Takes one key for `resource_id`. False when it was taken before.
pub async fn insert(tx: &mut Tx<'_>, keyed: &Keyed, resource_id: Uuid) -> Result<bool, Failure> {
    Ok(tx.execute_text(&insert_all([(keyed, resource_id)])).await? == 1)
}

/// What was made under these keys, all of one scope and operation, by key.
pub async fn list(tx: &mut Tx<'_>, keys: &[&Keyed]) -> Result<HashMap<Vec<u8>, Made>, Failure> {
    let Some(&first) = keys.first() else { return Ok(HashMap::new()) };
    let [scope, operation, _] = name(first);
    let statement = sql::idempotency_keys::LIST
        .replace("{scope}", &scope.to_string())
        .replace("{operation}", &operation.to_string())
        .replace("{keys}", &literal::list(keys.iter().map(|keyed| name(keyed)[2])));
    type Columns = (Vec<u8>, Vec<u8>, Vec<u8>, Option<String>);
    let found: Vec<Columns> = tx.rows_text(&statement).await?;
    let made = |(key, fingerprint, resource, answered): Columns| {
        let answered_status = answered.as_deref().map(state).transpose()?;
        Ok((key, Made { fingerprint, resource_id: id(&resource)?, answered_status }))
    };
    found.into_iter().map(made).collect()
}

/// What was made under this key.
pub async fn find(tx: &mut Tx<'_>, keyed: &Keyed) -> Result<Option<Made>, Failure> {
    Ok(list(tx, &[keyed]).await?.remove(keyed.key.as_bytes()))
}

/// What a key's row is found by.
fn name(keyed: &Keyed) -> [Literal<'_>; 3] {
    let scope = Literal::Bytes(keyed.scope.as_bytes());
    [scope, Literal::name(keyed.operation), Literal::Bytes(keyed.key.as_bytes())]
}

/// Writes down what the first answers tell, where none was given yet. Returns for how many keys.
pub async fn answer<'a>(
    tx: &mut Tx<'_>,
    keys: impl IntoIterator<Item = &'a Keyed>,
    status: OrderStatus,
) -> Result<u64, Failure> {
    let statement = sql::idempotency_keys::ANSWER.replace("{status}", status.as_str());
    tx.execute_text(&statement.replace("{rows}", &rows(keys.into_iter().map(name)))).await
}

/// Makes the commit of a transaction that changed nothing wait for the disk, by a row that comes and goes: what was found
/// done must be as durable as if it were done now, and MariaDB without a binary log shows a committed row earlier.
pub async fn wait_for_disk(tx: &mut Tx<'_>) -> Result<(), Failure> {
    let key = Uuid::from_bytes(rand::random());
    let mark = Keyed { scope: "wait for disk", operation: Operation::Hold, key: key.to_string(), fingerprint: [0; 32] };
    let delete = sql::idempotency_keys::DELETE.replace("{rows}", &rows([name(&mark)]));
    tx.packet(&[insert_all([(&mark, key)]), delete]).await?;
    Ok(())
}

/// Forgets up to `limit` keys that are older than two days. Returns how many.
pub async fn delete_old(tx: &mut Tx<'_>, limit: u32) -> Result<u64, Failure> {
    tx.execute(sql::idempotency_keys::DELETE_OLD, params! { limit }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_adds_no_more_bytes_than_it_is_counted_for() {
        let key = |key: String| Keyed { scope: "scope", operation: Operation::Order, key, fingerprint: [255; 32] };
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
