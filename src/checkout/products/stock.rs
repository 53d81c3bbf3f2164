//! Changes of a product's stock by operators.

use futures_util::FutureExt as _;
use serde_json::json;

use super::changes::{own_changes, unless_made};
use super::reads::{Shown, show_or_guess};
use crate::checkout::error::Error;
use crate::checkout::state::Checkout;
use crate::db::tables::idempotency_keys::{self, IdempotentRequest, wait_for_disk};
use crate::db::tables::product_trail::{self, Author, ProductAction, ProductChange};
use crate::db::tables::products::{self, Product};
use crate::db::{Failure, Tx};
use crate::domain::Refusal;
use crate::domain::product::MOST_STOCK;

/// How a stock changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StockChange {
    /// By so many units; fewer when negative.
    Add(i64),
    /// To so many units.
    Set(i64),
}

impl StockChange {
    fn of(self, stock: i64) -> i64 {
        match self {
            Self::Add(units) => stock.saturating_add(units),
            Self::Set(stock) => stock,
        }
    }
}

impl Checkout {
    /// Changes the stock of a product. Returns the product as it is now, and whether an earlier request with the same key has
    /// changed it.
    ///
    /// # Errors
    /// [`Refusal::ProductNotFound`], [`Refusal::StockReserved`], [`Refusal::InvalidProduct`], [`Refusal::StockIsSeats`],
    /// [`Refusal::IdempotencyKeyReuse`].
    pub async fn change_stock(
        &self,
        author: &Author,
        product_id: i64,
        change: StockChange,
        keyed: Option<&IdempotentRequest>,
    ) -> Result<(Shown, bool), Error> {
        let (product, replayed) = self
            .database
            .transaction("products.change_stock", |tx| {
                async move {
                    let replayed = match is_copy(tx, author, keyed).await? {
                        Some(replayed) => {
                            wait_for_disk(tx).await?;
                            replayed
                        }
                        None => {
                            let written = write(tx, author, product_id, change, keyed).await;
                            unless_made(tx, author, written).await?;
                            false
                        }
                    };
                    let product = products::find(tx, product_id).await?;
                    Ok((product.ok_or(Failure::Refused(Refusal::ProductNotFound))?, replayed))
                }
                .boxed()
            })
            .await?;
        Ok((show_or_guess(&self.database, &self.supplies, product).await, replayed))
    }
}

/// Returns whether the change was made before: `Some(true)` by an earlier request with its key, `Some(false)` by an earlier
/// attempt of this one.
async fn is_copy(tx: &mut Tx<'_>, author: &Author, keyed: Option<&IdempotentRequest>) -> Result<Option<bool>, Failure> {
    if let Some(keyed) = keyed
        && let Some(made) = idempotency_keys::find(tx, keyed).await?
    {
        return match made.fingerprint == keyed.fingerprint {
            true => Ok(Some(made.resource_id != author.change_id)),
            false => Err(Refusal::IdempotencyKeyReuse.into()),
        };
    }
    Ok((!own_changes(tx, author).await?.is_empty()).then_some(false))
}

async fn write(
    tx: &mut Tx<'_>,
    author: &Author,
    product_id: i64,
    change: StockChange,
    keyed: Option<&IdempotentRequest>,
) -> Result<(), Failure> {
    if let Some(keyed) = keyed
        && !idempotency_keys::insert(tx, keyed, author.change_id).await?
    {
        return Err(Failure::Raced("idempotency_keys"));
    }
    let before = products::find(tx, product_id).await?.ok_or(Failure::Refused(Refusal::ProductNotFound))?;
    if before.details.sale.is_seated() {
        return Err(Refusal::StockIsSeats.into());
    }
    let after = change.of(before.stock);
    // an update to the present value would change no row
    if after == before.stock {
        return if keyed.is_some() { Ok(()) } else { wait_for_disk(tx).await };
    }
    is_possible(&before, after)?;
    if !products::change_stock(tx, product_id, before.stock, after).await? {
        return Err(Failure::Raced("products/change_stock"));
    }
    let values = |stock: i64| json!({ "stock": stock }).to_string();
    let (from, to) = (Some(values(before.stock)), values(after));
    let row = ProductChange { product_id, action: ProductAction::Stock, from, to };
    product_trail::insert_all(tx, author, &[row]).await
}

/// Refuses a stock that the product cannot have.
fn is_possible(before: &Product, after: i64) -> Result<(), Refusal> {
    let reserved = before.stock - before.available;
    if after < reserved {
        return Err(Refusal::StockReserved { reserved, available_stock: before.available });
    }
    match after <= MOST_STOCK {
        true => Ok(()),
        false => Err(Refusal::InvalidProduct { field: "stock", reason: format!("must be at most {MOST_STOCK}") }),
    }
}
