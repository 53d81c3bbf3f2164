//! Extensions: a later deadline of a hold or of a pending order. Whatever was seen of the deadline before is compared with it
//! once more where it counts: by the workers that end what has run out, and by orders.

use std::time::Duration;

use chrono::NaiveDateTime;
use uuid::Uuid;

use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::tables::holds::HoldLimit;
use crate::db::tables::idempotency_keys::{self, IdempotentRequest, Operation};
use crate::domain::product::LONGEST_EXTENSION;
use crate::domain::{Refusal, mint_id};

/// The scope of the keys of extensions whose clients sent none. No caller has it.
const WITHOUT_KEY: &str = "extensions without a key";

/// More time for a hold or an order.
#[derive(Debug, Clone)]
pub struct Extension {
    seconds: u64,
    /// An extension is not repeatable by itself: a transaction that runs again after a COMMIT without an answer finds by its key
    /// that it is done. So each has a key, if not its client's then one of its own.
    key: IdempotentRequest,
    change_id: Uuid,
}

impl Extension {
    /// Returns an extension by so many seconds; `keyed`: the client's key, if it sent one.
    ///
    /// # Errors
    /// [`Refusal::InvalidSeconds`].
    pub fn new(seconds: i64, keyed: Option<IdempotentRequest>) -> Result<Self, Refusal> {
        let valid = (1..=LONGEST_EXTENSION).contains(&seconds).then_some(seconds);
        let seconds = valid.and_then(|seconds| u64::try_from(seconds).ok());
        let seconds = seconds.ok_or(Refusal::InvalidSeconds { max: LONGEST_EXTENSION })?;
        let change_id = mint_id();
        let own = || IdempotentRequest::new(WITHOUT_KEY.to_owned(), Operation::Extend, change_id.to_string(), [0; 32]);
        Ok(Self { seconds, key: keyed.unwrap_or_else(own), change_id })
    }

    /// Stores the key. Returns `None` when the extension has to be made; else it was made before: `Some(true)` by an earlier
    /// request with the key, `Some(false)` by an earlier attempt of this one. A copy waits here until the first request has
    /// committed, so that it is never refused for what that one did, and it is counted, so that its response is durable.
    ///
    /// # Errors
    /// [`Refusal::IdempotencyKeyReuse`].
    pub(crate) async fn begin(&self, tx: &mut Tx<'_>) -> Result<Option<bool>, Failure> {
        if idempotency_keys::insert(tx, &self.key, self.change_id).await? {
            return Ok(None);
        }
        let made = idempotency_keys::find(tx, &self.key).await?.ok_or(Failure::Raced("idempotency_keys"))?;
        match made.fingerprint == self.key.fingerprint {
            true => Ok(Some(made.resource_id != self.change_id)),
            false => Err(Refusal::IdempotencyKeyReuse.into()),
        }
    }

    /// Returns the later deadline of what was created at `created_at`, by the limits of its products and the shop's limit.
    ///
    /// # Errors
    /// [`Refusal::ExtensionLimit`].
    pub(crate) fn moved(
        &self,
        before: NaiveDateTime,
        created_at: NaiveDateTime,
        limits: &[HoldLimit],
        shop_seconds: u64,
    ) -> Result<NaiveDateTime, Refusal> {
        let most = limits.iter().map(|limit| limit.most_seconds.unwrap_or(shop_seconds)).min().unwrap_or(shop_seconds);
        let possible = (created_at + Duration::from_secs(most) - before).num_seconds().max(0);
        match i64::try_from(self.seconds).is_ok_and(|seconds| seconds <= possible) {
            true => Ok(before + Duration::from_secs(self.seconds)),
            false => Err(Refusal::ExtensionLimit { possible_seconds: possible }),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;

    fn at(second: i64) -> NaiveDateTime {
        DateTime::from_timestamp(1_000_000 + second, 0).expect("a time").naive_utc()
    }

    fn limits(most: &[Option<u64>]) -> Vec<HoldLimit> {
        most.iter().map(|&most_seconds| HoldLimit { created_at: at(0), most_seconds, server_time: at(0) }).collect()
    }

    #[test]
    fn an_extension_has_1_second_or_more_and_is_bounded() {
        for seconds in [i64::MIN, -1, 0, LONGEST_EXTENSION + 1, i64::MAX] {
            let refused = Extension::new(seconds, None).expect_err("out of range");
            assert_eq!(refused, Refusal::InvalidSeconds { max: LONGEST_EXTENSION });
        }
        for seconds in [1, LONGEST_EXTENSION] {
            assert!(Extension::new(seconds, None).is_ok());
        }
    }

    #[test]
    fn a_deadline_moves_up_to_the_smallest_limit_of_its_products_and_not_a_microsecond_beyond() {
        let moved = |seconds: i64, before: NaiveDateTime, most: &[Option<u64>]| {
            Extension::new(seconds, None).expect("in range").moved(before, at(0), &limits(most), 3600)
        };
        let refused = |possible_seconds| Err(Refusal::ExtensionLimit { possible_seconds });
        assert_eq!(moved(3480, at(120), &[None]), Ok(at(3600)));
        assert_eq!(moved(3481, at(120), &[None]), refused(3480));
        assert_eq!(moved(3480, at(120) + TimeDelta::microseconds(1), &[None]), refused(3479));
        assert_eq!(moved(181, at(120), &[None, Some(300), Some(7200)]), refused(180));
        assert_eq!(moved(180, at(120), &[None, Some(300), Some(7200)]), Ok(at(300)));
        assert_eq!(moved(7080, at(120), &[Some(7200)]), Ok(at(7200)), "a product may allow more than the shop");
        assert_eq!(moved(1, at(120), &[Some(60)]), refused(0));
        assert_eq!(moved(3480, at(120), &[]), Ok(at(3600)), "products that are missing have the shop's limit");
    }
}
