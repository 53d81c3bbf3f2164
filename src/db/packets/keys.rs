//! The idempotency keys of a packet: new ones, and those of copies, whose responses must be as durable.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::db::door::Reply;
use crate::db::error::Failure;
use crate::db::tables::idempotency_keys::{IdempotentRequest, KeyId, insert_all};

/// The keys that a packet writes.
#[derive(Debug, Default)]
pub struct Keys<'a> {
    rows: BTreeMap<KeyId, (&'a IdempotentRequest, Uuid)>,
    new: usize,
}

impl<'a> Keys<'a> {
    /// Collects new keys and those of copies, each with the hold or order it stands for.
    pub fn new(
        new: impl IntoIterator<Item = (&'a IdempotentRequest, Uuid)>,
        copies: impl IntoIterator<Item = (&'a IdempotentRequest, Uuid)>,
    ) -> Self {
        let row = |(keyed, id): (&'a IdempotentRequest, Uuid)| (keyed.id, (keyed, id));
        let mut rows: BTreeMap<_, _> = new.into_iter().map(row).collect();
        let new = rows.len();
        rows.extend(copies.into_iter().map(row));
        Self { rows, new }
    }

    /// Returns the statement, unless there are no keys.
    pub(super) fn statement(&self) -> Option<String> {
        (!self.rows.is_empty()).then(|| insert_all(self.rows.values().copied()))
    }

    /// Takes the reply to the statement off `replies`.
    ///
    /// # Errors
    /// [`Failure::Stale`] when another transaction has taken a new key, or deleted the key of a copy.
    pub(super) fn read(&self, replies: &mut Vec<Reply>) -> Result<(), Failure> {
        // a row counts once when it is new, and twice when it was there
        let expected = 2 * self.rows.len() - self.new;
        if !self.rows.is_empty() && replies.remove(0).affected != expected as u64 {
            return Err(Failure::Stale("idempotency_keys"));
        }
        Ok(())
    }
}
