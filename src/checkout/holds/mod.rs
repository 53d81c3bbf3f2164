//! Holds: units that are reserved for a short time.

mod admission;
pub(crate) mod answers;
pub(crate) mod batch;
mod callers;
pub(crate) mod carts;
pub mod changes;
mod counting;
pub mod expiry;
mod halves;
mod limits;
pub(crate) mod outlook;
pub(crate) mod passed_over;
pub(crate) mod supply;
pub(crate) mod whole;

use std::sync::Arc;

use futures_util::FutureExt as _;
use uuid::Uuid;

use self::answers::Taken;
use self::batch::HoldRequest;
use crate::checkout::error::Error;
use crate::checkout::hold_events::tell_ended;
use crate::checkout::patience::{ask, deadline};
use crate::checkout::state::Checkout;
use crate::checkout::units;
use crate::db::tables::holds::{self, HoldLine};
use crate::db::tables::idempotency_keys::{self, IdempotentRequest};
use crate::db::{Failure, Tx};
use crate::domain::product::MOST_PER_HOLD;
use crate::domain::{Caller, Details, FeedType, HoldStatus, Refusal, mint_id};
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
    /// The counter of held units, if the caller is limited ([`Policy::max_held_units`]).
    ///
    /// [`Policy::max_held_units`]: crate::checkout::Policy::max_held_units
    pub held_on: Option<Uuid>,
    /// The name of the operator that asks for it. An operator may pass the limit of a buyer.
    pub operator: Option<Arc<str>>,
}

impl NewHold {
    /// Returns a hold of an anonymous caller that writes nothing on it.
    pub fn new(product_id: i64, qty: i64, keyed: Option<IdempotentRequest>) -> Self {
        Self { product_id, qty, keyed, details: None, held_on: None, operator: None }
    }
}

impl Checkout {
    /// Takes a hold on units of one product.
    ///
    /// # Errors
    /// [`Refusal::InvalidQuantity`], [`Refusal::ProductNotFound`], [`Refusal::IdempotencyKeyReuse`]; when there are not enough
    /// units, [`Refusal::AllHeld`] if enough may come back, else [`Refusal::SoldOut`]; while the product is not sold,
    /// [`Refusal::SaleNotStarted`], [`Refusal::SaleEnded`] or [`Refusal::SalePaused`]; [`Refusal::BuyerRequired`] and
    /// [`Refusal::BuyerLimit`] of a product with a limit per buyer; [`Refusal::Seats`] of a seated ticket type; [`Refusal::HeldUnitsLimit`]; [`Error::Overloaded`] when too many
    /// requests wait for this product.
    pub async fn create_hold(&self, new: NewHold) -> Result<Taken, Error> {
        self.record_hold(self.queue_for_hold(new).await)
    }

    /// Returns whether there is a limit of the units that one caller may hold.
    pub fn limits_held_units(&self) -> bool {
        self.policy.max_held_units.is_some()
    }

    pub(crate) async fn queue_for_hold(&self, new: NewHold) -> Result<Taken, Error> {
        let NewHold { product_id, qty, keyed, details, held_on, operator } = new;
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
        let request = HoldRequest { hold_id: mint_id(), qty, details, keyed, held_on, operator };
        ask(&self.holds, product_id, request, deadline).await
    }

    /// Returns the lines of a hold of this caller, by product, as they are now, also after it ended.
    ///
    /// # Errors
    /// [`Refusal::HoldNotFound`].
    pub async fn hold(&self, caller: &Caller, hold_id: Uuid) -> Result<Vec<HoldLine>, Error> {
        Ok(self.database.read("holds.find", |tx| async move { lines(tx, caller, hold_id).await }.boxed()).await?)
    }

    /// Gives a hold of this caller back early, all of its lines, and returns them. A hold that has ended without an order stays as it
    /// is.
    ///
    /// # Errors
    /// [`Refusal::HoldNotFound`], [`Refusal::HoldUsed`].
    pub async fn release_hold(&self, caller: &Caller, hold_id: Uuid) -> Result<Vec<HoldLine>, Error> {
        let (lines, released) = self
            .database
            .transaction("holds.release", |tx| {
                async move {
                    let rows = holds::release(tx, hold_id).await?;
                    let released = rows > 0;
                    if released {
                        let rows = units::list_whole(tx, &[hold_id], rows).await?;
                        tell_ended(tx, FeedType::HoldReleased, None, &rows).await?;
                        units::give_back_counted(tx, &rows).await?;
                    }
                    // of another caller, all of it rolls back
                    let lines = lines(tx, caller, hold_id).await?;
                    let first = lines.first().ok_or(Failure::Refused(Refusal::HoldNotFound))?;
                    match (first.status, first.order_id) {
                        (HoldStatus::Ordered, Some(order_id)) => Err(Refusal::HoldUsed { order_id }.into()),
                        (HoldStatus::Active, _) => Err(Failure::Raced("holds/release")),
                        _ if !released => {
                            idempotency_keys::wait_for_disk(tx).await?;
                            Ok((lines, false))
                        }
                        _ => Ok((lines, released)),
                    }
                }
                .boxed()
            })
            .await?;
        if released {
            telemetry::hold_released();
        }
        Ok(lines)
    }
}

impl Checkout {
    /// Records the result of a request for a hold.
    pub(crate) fn record_hold(&self, result: Result<Taken, Error>) -> Result<Taken, Error> {
        match &result {
            Ok(Taken { replayed: false, hold, others }) => {
                telemetry::hold_created();
                if telemetry::are_recorded() {
                    self.busiest.count([hold].into_iter().chain(others).map(|line| line.product_id));
                }
            }
            Ok(Taken { replayed: true, .. }) => telemetry::replayed("hold"),
            Err(Error::Refused(refusal)) => telemetry::hold_refused(refusal.code()),
            Err(Error::Overloaded) => telemetry::hold_refused("overloaded"),
            Err(_) => {}
        }
        result
    }
}

/// Returns the lines of a hold, at least one, if this caller may see it.
async fn lines(tx: &mut Tx<'_>, caller: &Caller, hold_id: Uuid) -> Result<Vec<HoldLine>, Failure> {
    let lines = holds::find(tx, hold_id).await?;
    let is_seen = lines.first().is_some_and(|line| Details::are_seen(line.details.as_deref(), caller));
    if is_seen { Ok(lines) } else { Err(Failure::Refused(Refusal::HoldNotFound)) }
}
