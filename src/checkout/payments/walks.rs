//! Walks over the inbox for events that a crash has kept from being applied.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::sweep::Sweep;
use crate::checkout::error::Error;
use crate::checkout::state::Checkout;
use crate::db::tables::payment_events::{Due, Waiting};
use crate::domain::EventStatus;

impl Checkout {
    /// Reads the next page of parked events and of refunds that were given up, and applies those that have nothing to wait for
    /// any more. Returns whether the walk goes on; after its last page it begins anew.
    ///
    /// # Errors
    /// As every read.
    pub async fn sweep_parked(&self) -> Result<bool, Error> {
        let (page, more) = {
            let mut sweep = self.sweep.lock().await;
            let (from, began) = (*sweep, Instant::now());
            let read = self.background.read("payments.list_ready", |tx| {
                async move {
                    let mut sweep = from;
                    let page = sweep.read(tx).await?;
                    Ok((sweep, page))
                }
                .boxed()
            });
            let read = read.await;
            sweep.took = began.elapsed();
            let (moved, page) = read?;
            *sweep = Sweep { took: sweep.took, ..moved };
            (page, !sweep.is_at_the_beginning())
        };
        let ready = page.into_iter().filter(|waiting| waiting.ready);
        let due =
            |Waiting { event_id, meaning, .. }| Due { event_id, meaning, status: EventStatus::Parked, attempts: 0 };
        // one after the other, by age: the first success that names a charge owns it
        self.process_in_order(ready.map(due).collect(), 1).await;
        Ok(more)
    }

    /// Returns how long the last page of [`Checkout::sweep_parked`] took to read, also if the read failed.
    pub async fn sweep_took(&self) -> Duration {
        self.sweep.lock().await.took
    }
}
