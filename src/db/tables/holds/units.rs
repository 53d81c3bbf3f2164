//! The units of one row of a hold.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::db::column::id;
use crate::db::error::Failure;

/// The units of one row of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Units {
    /// The hold.
    pub hold_id: Uuid,
    /// The product.
    pub product_id: i64,
    /// How many.
    pub qty: i64,
}

/// Sums up units by product, in the order of the products' ids.
pub fn sum(units: impl IntoIterator<Item = Units>) -> BTreeMap<i64, i64> {
    let mut sums = BTreeMap::new();
    for row in units {
        *sums.entry(row.product_id).or_insert(0) += row.qty;
    }
    sums
}

pub(super) fn units((hold, product_id, qty): (Vec<u8>, i64, i64)) -> Result<Units, Failure> {
    Ok(Units { hold_id: id(&hold)?, product_id, qty })
}
