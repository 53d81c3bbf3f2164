//! Units of products: the only place that gives units back or reserves them again.

use uuid::Uuid;

use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::tables::holds::{self, sum};
use crate::db::tables::products;

/// Puts the units of an order that was just cancelled back on sale.
pub(crate) async fn give_back_units(tx: &mut Tx<'_>, hold_id: Uuid) -> Result<(), Failure> {
    holds::settle(tx, &[hold_id]).await?;
    let units = sum(holds::list_units(tx, &[hold_id]).await?);
    products::give_back(tx, &units).await
}
