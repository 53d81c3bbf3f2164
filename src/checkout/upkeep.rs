//! Work beside requests: reading the clocks, checking readiness, deleting old idempotency keys.

use chrono::Utc;
use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::readiness::Unready;
use super::state::Checkout;
use crate::checkout::error::Error;
use crate::db::Error as DbError;
use crate::db::tables::idempotency_keys;
use crate::db::views::audit;

impl Checkout {
    /// Reads the database's clock, and reports how far this machine's differs.
    ///
    /// # Errors
    /// As every read.
    pub async fn read_clock(&self) -> Result<(), Error> {
        let read = self.checks.read("clock.find_time", |tx| {
            async move {
                let asked = Instant::now();
                let shown = audit::find_time(tx).await?;
                tx.clock().read(shown, asked);
                Ok(())
            }
            .boxed()
        });
        Ok(read.await?)
    }

    /// Returns the seconds since 1970 by the database's clock, as far as it is known, and by this machine's.
    #[expect(clippy::disallowed_methods, reason = "shows the difference of both clocks")]
    pub fn clocks(&self) -> [i64; 2] {
        [self.database.clock().now().and_utc().timestamp(), Utc::now().timestamp()]
    }

    /// Describes a jump of the database's clock and its difference from this machine's, for operators; `None` without either.
    pub fn clock_detail(&self) -> Option<String> {
        let clock = self.database.clock();
        let paused = clock.paused_for().map(|left| {
            format!("The database's clock has jumped: nothing runs out for another {} s.", left.as_secs() + 1)
        });
        let differs = clock.difference().map(|ahead| {
            let seconds = ahead.as_seconds_f64();
            let side = if seconds < 0.0 { "behind" } else { "ahead of" };
            format!("The database's clock is {:.1} s {side} this machine's.", seconds.abs())
        });
        let told: Vec<String> = paused.into_iter().chain(differs).collect();
        (!told.is_empty()).then(|| told.join(" "))
    }

    /// Deletes idempotency keys that no client can rely on any more, except while the database's clock has jumped. Returns
    /// whether there are more.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn forget_old_keys(&self) -> Result<bool, Error> {
        const LIMIT: u32 = 500;
        let mut forgotten = self.keys_forgotten.lock().await;
        let from = *forgotten;
        let (found, last) = self
            .database
            .transaction("idempotency_keys.delete_old", |tx| {
                async move {
                    let asked = Instant::now();
                    let shown = audit::find_time(tx).await?;
                    if !tx.clock().admits(shown, asked) {
                        return Ok((0, None));
                    }
                    idempotency_keys::delete_old(tx, from, LIMIT).await
                }
                .boxed()
            })
            .await?;
        *forgotten = last.unwrap_or(from);
        Ok(found == LIMIT as usize)
    }

    /// Checks whether requests can be served; the result is a second old at most.
    ///
    /// # Errors
    /// The reason why they cannot.
    pub async fn readiness(&self) -> Result<(), Unready> {
        self.readiness.check().await?;
        if !self.clients.is_known(Instant::now()) {
            let read = self.clients.read().await;
            read.map_err(|reason| DbError::Unavailable(format!("the clients cannot be read: {reason}")))?;
        }
        Ok(())
    }

    /// Compares the schema's version with the one that this program needs.
    ///
    /// # Errors
    /// [`Unready::SchemaOutdated`], and as every read.
    pub async fn look_at_schema(&self) -> Result<(), Unready> {
        self.readiness.look_at_schema().await
    }

    /// Returns whether the schema was outdated at the last check. No request can be served then.
    pub fn schema_is_outdated(&self) -> bool {
        self.readiness.schema_is_outdated()
    }
}
