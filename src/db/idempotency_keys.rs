//! What clients already asked for under an `Idempotency-Key`.

use mysql_async::params;
use uuid::Uuid;

use super::{Failure, Tx, bytes, id, single, sql, state};
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

/// Takes the key for `resource_id`. False when it was taken before, or is being taken in another transaction that then
/// commits: this statement waits for that. The repetition is counted, so that the answer to it is durable too.
pub async fn insert(tx: &mut Tx<'_>, keyed: &Keyed, resource_id: Uuid) -> Result<bool, Failure> {
    let params = params! {
        "scope" => keyed.scope,
        "operation" => keyed.operation.as_str(),
        "idempotency_key" => &keyed.key,
        "fingerprint" => keyed.fingerprint.to_vec(),
        "resource_id" => bytes(resource_id),
    };
    Ok(tx.execute(sql::idempotency_keys::INSERT, params).await? == 1)
}

/// What was made under this key.
pub async fn find(tx: &mut Tx<'_>, keyed: &Keyed) -> Result<Option<Made>, Failure> {
    let params = params! {
        "scope" => keyed.scope,
        "operation" => keyed.operation.as_str(),
        "idempotency_key" => &keyed.key,
    };
    let row: Option<(Vec<u8>, Vec<u8>, Option<String>)> = tx.row(sql::idempotency_keys::FIND, params).await?;
    let made = |(fingerprint, resource, answered): (Vec<u8>, Vec<u8>, Option<String>)| {
        let answered_status = answered.as_deref().map(state).transpose()?;
        Ok(Made { fingerprint, resource_id: id(&resource)?, answered_status })
    };
    row.map(made).transpose()
}

/// Writes down what the first answer tells. False when one was already given.
pub async fn answer(tx: &mut Tx<'_>, keyed: &Keyed, status: OrderStatus) -> Result<bool, Failure> {
    let params = params! {
        "scope" => keyed.scope,
        "operation" => keyed.operation.as_str(),
        "idempotency_key" => &keyed.key,
        "status" => status.as_str(),
    };
    single("idempotency_keys/answer", tx.execute(sql::idempotency_keys::ANSWER, params).await?)
}

/// Forgets up to `limit` keys that are older than two days. Returns how many.
pub async fn delete_old(tx: &mut Tx<'_>, limit: u32) -> Result<u64, Failure> {
    tx.execute(sql::idempotency_keys::DELETE_OLD, params! { limit }).await
}
