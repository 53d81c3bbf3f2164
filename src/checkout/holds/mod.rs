//! Holds: units that are reserved for a short time.

mod admission;
pub(crate) mod batch;
pub mod expiry;
mod halves;
pub(crate) mod outlook;
pub(crate) mod passed_over;
pub(crate) mod supply;

use std::sync::Arc;

use futures_util::FutureExt as _;
use uuid::Uuid;

use self::batch::{HoldRequest, Taken};
use crate::checkout::error::Error;
use crate::checkout::patience::{ask, deadline};
use crate::checkout::state::Checkout;
use crate::checkout::units;
use crate::db::tables::holds::{self, HoldLine};
use crate::db::tables::idempotency_keys::{self, IdempotentRequest};
use crate::db::{Failure, Tx};
use crate::domain::product::MOST_PER_HOLD;
use crate::domain::{Caller, Details, HoldStatus, Refusal, mint_id};
use crate::telemetry;

/// A hold to take.
#[derive(Debug, Clone)]
pub struct NewHold {
    /// The product.
    pub product_id: i64,
    /// How many units.
    pub qty: i64,
    /// The client's idempotency key, if it sent one.
    pub keyed: Option<IdempotentRequest>,
    /// Its owner, and what is written on it, if there is something to store.
    pub details: Option<Arc<Details>>,
}

impl NewHold {
    /// Returns a hold of an anonymous caller that writes nothing on it.
    pub fn new(product_id: i64, qty: i64, keyed: Option<IdempotentRequest>) -> Self {
        Self { product_id, qty, keyed, details: None }
    }
}

impl Checkout {
    /// Takes a hold on units of one product.
    ///
    /// # Errors
    /// [`Refusal::InvalidQuantity`], [`Refusal::ProductNotFound`], [`Refusal::IdempotencyKeyReuse`]; when there are not enough
    /// units, [`Refusal::AllHeld`] if enough may come back, else [`Refusal::SoldOut`]; while the product is not sold,
    /// [`Refusal::SaleNotStarted`], [`Refusal::SaleEnded`] or [`Refusal::SalePaused`]; [`Error::Overloaded`] when too many
    /// requests wait for this product.
    pub async fn create_hold(&self, new: NewHold) -> Result<Taken, Error> {
        let result = self.queue_for_hold(new).await;
        match &result {
            Ok(Taken { replayed: false, .. }) => telemetry::hold_created(),
            Ok(Taken { replayed: true, .. }) => telemetry::replayed("hold"),
            Err(Error::Refused(refusal)) => telemetry::hold_refused(refusal.code()),
            Err(Error::Overloaded) => telemetry::hold_refused("overloaded"),
            Err(_) => {}
        }
        result
    }

    async fn queue_for_hold(&self, NewHold { product_id, qty, keyed, details }: NewHold) -> Result<Taken, Error> {
        let known = self.known_products.peek(product_id);
        if !(1..=MOST_PER_HOLD).contains(&qty) {
            let max = known.map_or(self.policy.max_qty, |known| known.terms.sale.max_units(self.policy.max_qty));
            return Err(Refusal::InvalidQuantity { max }.into());
        }
        let deadline = deadline();
        // An id that no product has costs a share of a read round, and not a lane and a transaction of its own. A request with
        // a key must not be refused before its key is looked up, which its batch does.
        if keyed.is_none() && known.is_none() {
            self.known_products.record(&self.product_until(deadline, product_id).await?.product);
        }
        ask(&self.holds, product_id, HoldRequest { hold_id: mint_id(), qty, details, keyed }, deadline).await
    }

    /// Returns a hold of this caller as it is now, also after it ended.
    ///
    /// # Errors
    /// [`Refusal::HoldNotFound`].
    pub async fn hold(&self, caller: &Caller, hold_id: Uuid) -> Result<HoldLine, Error> {
        Ok(self.database.read("holds.find", |tx| async move { only(tx, caller, hold_id).await }.boxed()).await?)
    }

    /// Gives a hold of this caller back early. A hold that has ended without an order stays as it is.
    ///
    /// # Errors
    /// [`Refusal::HoldNotFound`], [`Refusal::HoldUsed`].
    pub async fn release_hold(&self, caller: &Caller, hold_id: Uuid) -> Result<HoldLine, Error> {
        let (hold, released) = self
            .database
            .transaction("holds.release", |tx| {
                async move {
                    let released = holds::release(tx, hold_id).await?;
                    if released {
                        units::give_back(tx, &[hold_id]).await?;
                    }
                    // of another caller, all of it rolls back
                    let hold = only(tx, caller, hold_id).await?;
                    match (hold.status, hold.order_id) {
                        (HoldStatus::Ordered, Some(order_id)) => Err(Refusal::HoldUsed { order_id }.into()),
                        (HoldStatus::Active, _) => Err(Failure::Raced("holds/release")),
                        _ if !released => {
                            idempotency_keys::wait_for_disk(tx).await?;
                            Ok((hold, false))
                        }
                        _ => Ok((hold, released)),
                    }
                }
                .boxed()
            })
            .await?;
        if released {
            telemetry::hold_released();
        }
        Ok(hold)
    }
}

/// Returns the row of a hold of one product, if this caller may see it.
async fn only(tx: &mut Tx<'_>, caller: &Caller, hold_id: Uuid) -> Result<HoldLine, Failure> {
    let hold = holds::find(tx, hold_id).await?.into_iter().next();
    hold.filter(|hold| Details::are_seen(hold.details.as_deref(), caller))
        .ok_or(Failure::Refused(Refusal::HoldNotFound))
}
