//! The use cases. One public function is one transaction, or two where both sides of a meeting commit their own row
//! first and look for the other's afterwards.
//!
//! Every transaction takes its locks in the same order: idempotency key or inbox, orders, holds, products by id.

pub mod expiry;
pub mod holds;
pub mod orders;
pub mod payments;
pub mod products;

use crate::db::idempotency_keys::{self, Keyed, Made};
use crate::db::{Database, Error, Failure, Tx, migrations};
use crate::domain::Refusal;
use futures_util::FutureExt as _;

/// What a shop decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long a hold lasts.
    pub hold_ttl_seconds: u64,
    /// How long an order may stay unpaid.
    pub order_ttl_seconds: u64,
    /// Units that one hold may ask for.
    pub max_qty: i64,
}

/// The use cases over one database.
#[derive(Clone)]
pub struct Checkout {
    database: Database,
    policy: Policy,
}

impl Checkout {
    /// Over this database, by this policy.
    pub fn new(database: Database, policy: Policy) -> Self {
        Self { database, policy }
    }

    /// The database, for those who start, watch and stop it.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Whether the database answers and its schema is at least the one that this program was built for.
    ///
    /// # Errors
    /// Why not.
    pub async fn ready(&self) -> Result<(), Error> {
        match migrations::version(&self.database).await? {
            Some(version) if version >= migrations::latest() => Ok(()),
            version => Err(Error::Unavailable(format!(
                "the schema is at version {}, this program needs {}: run `holdfast migrate`",
                version.unwrap_or(0),
                migrations::latest()
            ))),
        }
    }

    /// Forgets idempotency keys that nobody can rely on any more. Returns whether there are more.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn forget_old_keys(&self) -> Result<bool, Error> {
        const LIMIT: u32 = 500;
        let deleted = self
            .database
            .transaction("idempotency_keys.delete_old", |tx| {
                async move { idempotency_keys::delete_old(tx, LIMIT).await }.boxed()
            })
            .await?;
        Ok(deleted == u64::from(LIMIT))
    }
}

/// What was already made under a key by the very same request.
///
/// # Errors
/// [`Refusal::IdempotencyKeyReuse`] when it was made by another one.
async fn made_before(tx: &mut Tx<'_>, keyed: &Keyed) -> Result<Made, Failure> {
    let made = idempotency_keys::find(tx, keyed).await?;
    let made = made.ok_or(Failure::Raced("idempotency_keys/insert"))?;
    match made.fingerprint == keyed.fingerprint {
        true => Ok(made),
        false => Err(Refusal::IdempotencyKeyReuse.into()),
    }
}
