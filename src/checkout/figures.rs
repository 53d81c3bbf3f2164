//! Figures of the sale for metrics that need a read: workers make it, and no request waits for it.

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::busiest::Shown;
use super::error::Error;
use super::state::Checkout;
use crate::db::tables::{holds, products};
use crate::telemetry;

/// The most holds of one read.
const PAGE: usize = 500;

impl Checkout {
    /// Reads and reports how many units are left of the busiest products, `most` of them.
    ///
    /// # Errors
    /// As every read.
    pub async fn report_stock(&self, most: usize) -> Result<(), Error> {
        if !telemetry::are_recorded() {
            return Ok(());
        }
        let Shown { products: product_ids, gone } = self.busiest.find(most, Instant::now());
        gone.into_iter().for_each(|product_id| telemetry::stock_left(product_id, None));
        if product_ids.is_empty() {
            return Ok(());
        }
        let ids = &product_ids;
        let found = self
            .background
            .read("metrics.list_products", move |tx| async move { products::list_some(tx, ids).await }.boxed());
        for product in found.await? {
            telemetry::stock_left(product.id, Some(product.available));
        }
        Ok(())
    }

    /// Reads and counts the units of orders that this instance has marked paid since the last step, of some of them. Returns whether there
    /// may be more.
    ///
    /// # Errors
    /// As every read; the next step counts the same ones.
    pub async fn count_sold(&self) -> Result<bool, Error> {
        let hold_ids = self.database.sold().take(PAGE);
        if hold_ids.is_empty() {
            return Ok(false);
        }
        let ids = hold_ids.as_slice();
        let found = self
            .background
            .read("metrics.list_units", move |tx| async move { holds::list_units(tx, ids).await }.boxed());
        match found.await {
            Ok(units) => telemetry::units_sold(units.iter().map(|units| units.qty.unsigned_abs()).sum()),
            Err(error) => {
                self.database.sold().add(hold_ids);
                return Err(error.into());
            }
        }
        Ok(hold_ids.len() == PAGE)
    }
}
