//! Holds: units spoken for, for a short time.

use futures_util::FutureExt as _;
use uuid::Uuid;

use super::{Checkout, made_before};
use crate::db::holds::{self, Hold, sum};
use crate::db::idempotency_keys::{self, Keyed};
use crate::db::{Error, Failure, Tx, products};
use crate::domain::{HoldStatus, Refusal, mint_id};
use crate::telemetry;

/// How often a buyer who was refused tries again because units came back in between.
const SECOND_CHANCES: u32 = 3;

/// A hold that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// As it was when it was taken.
    pub hold: Hold,
    /// True when an earlier request under the same key took it.
    pub replayed: bool,
}

impl Checkout {
    /// Takes a hold on `qty` units of one product.
    ///
    /// # Errors
    /// [`Refusal::InvalidQuantity`], [`Refusal::ProductNotFound`], [`Refusal::IdempotencyKeyReuse`]; when there are not
    /// enough units, [`Refusal::AllHeld`] if enough may come back, else [`Refusal::SoldOut`].
    pub async fn create_hold(&self, product_id: i64, qty: i64, keyed: Option<Keyed>) -> Result<Taken, Error> {
        let result = self.create_hold_or_explain(product_id, qty, keyed).await;
        match &result {
            Ok(Taken { replayed: false, .. }) => telemetry::hold_created(),
            Ok(Taken { replayed: true, .. }) => telemetry::replayed("hold"),
            Err(Error::Refused(refusal)) => telemetry::hold_refused(refusal.code()),
            Err(_) => {}
        }
        result
    }

    async fn create_hold_or_explain(&self, product_id: i64, qty: i64, keyed: Option<Keyed>) -> Result<Taken, Error> {
        if qty < 1 || qty > self.policy.max_qty {
            return Err(Refusal::InvalidQuantity { max: self.policy.max_qty }.into());
        }
        let hold_id = mint_id();
        let mut chances = 0;
        loop {
            match self.try_hold(hold_id, product_id, qty, keyed.as_ref()).await {
                Err(Error::Refused(Refusal::SoldOut { .. })) => {}
                other => return other,
            }
            // Nobody loses to a hold that has run out: give those units back first, then look what is left.
            let came_back = self.expire_holds_of(product_id).await? > 0;
            let refusal = self.explain_shortage(product_id, qty).await?;
            chances += 1;
            match refusal {
                Some(refusal) if !came_back || chances > SECOND_CHANCES => return Err(refusal.into()),
                None if chances > SECOND_CHANCES => return Err(Refusal::SoldOut { available_stock: 0 }.into()),
                _ => {}
            }
        }
    }

    /// One transaction: the key, the hold, and last, so that its lock is short, the hot row.
    async fn try_hold(&self, hold_id: Uuid, product_id: i64, qty: i64, keyed: Option<&Keyed>) -> Result<Taken, Error> {
        let ttl_seconds = self.policy.hold_ttl_seconds;
        self.database
            .transaction("holds.create", |tx| {
                async move {
                    if let Some(keyed) = keyed
                        && !idempotency_keys::insert(tx, keyed, hold_id).await?
                    {
                        let made = made_before(tx, keyed).await?;
                        let hold = as_taken(only(tx, made.resource_id).await?);
                        return Ok(Taken { hold, replayed: made.resource_id != hold_id });
                    }
                    if !holds::insert(tx, hold_id, product_id, qty, ttl_seconds).await? {
                        return match tx.after_unknown() {
                            true => Ok(Taken { hold: as_taken(only(tx, hold_id).await?), replayed: false }),
                            false => Err(Refusal::ProductNotFound.into()),
                        };
                    }
                    if !products::reserve(tx, product_id, qty).await? {
                        return Err(Refusal::SoldOut { available_stock: 0 }.into());
                    }
                    Ok(Taken { hold: only(tx, hold_id).await?, replayed: false })
                }
                .boxed()
            })
            .await
    }

    /// Why `qty` units cannot be had; `None` when meanwhile they can.
    async fn explain_shortage(&self, product_id: i64, qty: i64) -> Result<Option<Refusal>, Error> {
        let supply = self
            .database
            .read("holds.explain_shortage", |tx| {
                async move {
                    holds::find_supply(tx, product_id, qty).await?.ok_or(Failure::Refused(Refusal::ProductNotFound))
                }
                .boxed()
            })
            .await?;
        let available_stock = supply.available;
        if available_stock >= qty {
            return Ok(None);
        }
        if available_stock + supply.returning < qty {
            return Ok(Some(Refusal::SoldOut { available_stock }));
        }
        let wait_us = u64::try_from(supply.first_returns_in_us).unwrap_or(0);
        let retry_after_seconds = wait_us.div_ceil(1_000_000).max(1);
        Ok(Some(Refusal::AllHeld { available_stock, retry_after_seconds }))
    }

    /// A hold as it is now, also after it ended.
    ///
    /// # Errors
    /// [`Refusal::HoldNotFound`].
    pub async fn hold(&self, hold_id: Uuid) -> Result<Hold, Error> {
        self.database.read("holds.find", |tx| async move { only(tx, hold_id).await }.boxed()).await
    }

    /// Gives a hold back early. One that has ended without an order stays as it is.
    ///
    /// # Errors
    /// [`Refusal::HoldNotFound`], [`Refusal::HoldUsed`].
    pub async fn release_hold(&self, hold_id: Uuid) -> Result<Hold, Error> {
        let (hold, released) = self
            .database
            .transaction("holds.release", |tx| {
                async move {
                    let released = holds::release(tx, hold_id).await?;
                    if released {
                        let units = sum(holds::list_units(tx, &[hold_id]).await?);
                        products::give_back(tx, &units).await?;
                    }
                    let hold = only(tx, hold_id).await?;
                    match (hold.status, hold.order_id) {
                        (HoldStatus::Ordered, Some(order_id)) => Err(Refusal::HoldUsed { order_id }.into()),
                        (HoldStatus::Active, _) => Err(Failure::Raced("holds/release")),
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

/// The row of a hold that speaks for one product.
async fn only(tx: &mut Tx<'_>, hold_id: Uuid) -> Result<Hold, Failure> {
    holds::find(tx, hold_id).await?.into_iter().next().ok_or(Failure::Refused(Refusal::HoldNotFound))
}

/// What the first answer said, whatever became of the hold since.
fn as_taken(hold: Hold) -> Hold {
    Hold { status: HoldStatus::Active, order_id: None, ..hold }
}
