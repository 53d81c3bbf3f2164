//! The rows of the trail of products: what was created, and what has changed.

use serde_json::{Map, Value};

use crate::db::tables::product_trail::{ProductAction, ProductChange};
use crate::domain::ProductDetails;

fn text(fields: Map<String, Value>) -> String {
    Value::Object(fields).to_string()
}

/// Returns the row of a new product, with `more` fields.
pub(in crate::checkout) fn created(
    product_id: i64,
    details: &ProductDetails,
    stock: i64,
    more: impl IntoIterator<Item = (&'static str, Value)>,
) -> ProductChange {
    let mut fields = details.fields();
    fields.insert("stock".to_owned(), stock.into());
    fields.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    ProductChange { product_id, action: ProductAction::Created, from: None, to: text(fields) }
}

/// Returns the row of a change of details; `None` when no field differs.
pub(super) fn changed(product_id: i64, before: &ProductDetails, after: &ProductDetails) -> Option<ProductChange> {
    if before == after {
        return None;
    }
    // metadata that another program wrote may differ in its text alone
    let (from, to) = after.changes(Some(before));
    let row =
        |from, to| ProductChange { product_id, action: ProductAction::Changed, from: Some(text(from)), to: text(to) };
    (!to.is_empty()).then(|| row(from, to))
}
