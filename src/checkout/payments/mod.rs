//! Payments: an event that a provider reports is first made durable, and then applied to its order.
//!
//! A webhook and its order may arrive in any sequence, or at once. Both commit their own row first and look for the other's
//! afterwards, in a second transaction. If they looked before they commit, both could miss the other, since neither sees the
//! other's uncommitted row. If a crash prevents the second step, a worker finds the event (see [`crate::checkout::payments::sweep`]).

mod attempt;
pub(crate) mod batch;
pub mod inbox;
mod intake;
pub mod links;
pub mod lists;
pub mod operators;
pub mod receipt;
mod settlement;
pub mod sweep;
mod tickets;
pub(crate) mod waiting;
mod walks;

use tokio::time::Instant;

use self::intake::enqueue;
use self::receipt::{Delivery, Receipt, record_delivery};
use super::patience::{ask, deadline};
use super::state::Checkout;
use crate::checkout::error::Error;
use crate::domain::{EventStatus, PaymentEvent, WebhookMode};

impl Checkout {
    /// Takes in one delivery: when this returns, the event is durable, and applied if its order exists, unless that is left to
    /// a worker.
    ///
    /// # Errors
    /// [`Refusal::IdempotencyKeyReuse`] when the key stands for another event; [`Error::Overloaded`] when too many deliveries
    /// wait.
    ///
    /// [`Refusal::IdempotencyKeyReuse`]: crate::domain::Refusal::IdempotencyKeyReuse
    pub async fn receive_event(&self, event: PaymentEvent) -> Result<Receipt, Error> {
        let arrived = Instant::now();
        let delivery = Delivery { event, arrived, park_seconds: self.policy.park_seconds };
        let receipt = match self.policy.webhook_mode {
            WebhookMode::Apply => ask(&self.events, (), delivery, deadline()).await?,
            WebhookMode::Queue => enqueue(&self.database, &delivery, None).await?,
        };
        if receipt.status == EventStatus::Received {
            self.event_queued.notify_one();
        }
        record_delivery(receipt, arrived);
        Ok(receipt)
    }
}
