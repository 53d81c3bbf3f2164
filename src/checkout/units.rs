//! Units that go back on sale, and those that a late payment reserves again: the only caller of these statements on products.
//! New holds reserve their units in the packet that takes them.

use uuid::Uuid;

use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::tables::holds::{self, Units, sum};
use crate::db::tables::products;

/// Puts the units of these holds back on sale. The caller has just ended the holds or their orders, by a guarded statement in
/// the same transaction, so that this happens once.
pub(crate) async fn give_back(tx: &mut Tx<'_>, hold_ids: &[Uuid]) -> Result<(), Failure> {
    let units = holds::list_units(tx, hold_ids).await?;
    give_back_rows(tx, units).await
}

/// Does the same for holds of which the guarded statement has changed `marked` rows: all of their rows, since a hold ends as a
/// whole. The rows are read after that statement, because until then another transaction may take units from an active hold.
///
/// # Errors
/// [`Failure::Broken`] when the holds have other rows, too.
pub(crate) async fn give_back_whole(tx: &mut Tx<'_>, hold_ids: &[Uuid], marked: u64) -> Result<(), Failure> {
    let units = holds::list_units(tx, hold_ids).await?;
    if units.len() as u64 != marked {
        return Err(Failure::Broken(format!(
            "{marked} rows of {} were marked for the holds {hold_ids:?}",
            units.len()
        )));
    }
    give_back_rows(tx, units).await
}

/// Puts the units of these rows of holds back on sale.
pub(crate) async fn give_back_rows(tx: &mut Tx<'_>, rows: impl IntoIterator<Item = Units>) -> Result<(), Failure> {
    products::give_back(tx, &sum(rows)).await
}

/// Reserves the units of a hold again, all of them.
///
/// # Errors
/// [`Failure::OutOfStock`] when there are not enough.
pub(crate) async fn reserve(tx: &mut Tx<'_>, hold_id: Uuid) -> Result<(), Failure> {
    for (product_id, qty) in sum(holds::list_units(tx, &[hold_id]).await?) {
        if !products::reserve(tx, product_id, qty).await? {
            return Err(Failure::OutOfStock);
        }
    }
    Ok(())
}
