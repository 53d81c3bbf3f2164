//! The table of what happened to products: one row per change, in the transaction that makes it.

use chrono::NaiveDateTime;
use mysql_async::{Row, params};
use uuid::Uuid;

use crate::db::column::{bytes, column, state, text_column};
use crate::db::door::Tx;
use crate::db::error::{Failure, raced};
use crate::db::literal::{Literal, rows};
use crate::db::sql;
use crate::db::tables::products;
use crate::domain::status::named;
use crate::domain::{Audience, FeedItem, FeedType, Named as _};

named! {
    /// What happened to a product.
    ProductAction {
        /// It was created.
        Created = "created",
        /// An operator changed its details.
        Changed = "changed",
        /// An operator changed its stock.
        Stock = "stock",
        /// An operator took units for a buyer beyond the limit.
        LimitPassed = "limit_passed",
    }
}

/// A change of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductChange {
    /// The product.
    pub product_id: i64,
    /// What happened.
    pub action: ProductAction,
    /// The fields that changed, with their values before, as a JSON object; `None` for a new product.
    pub from: Option<String>,
    /// The same fields with their new values.
    pub to: String,
}

/// Who makes changes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The id of the request; its changes share it.
    pub change_id: Uuid,
    /// The operator's name.
    pub actor: String,
    /// The operator's reason, if one was given.
    pub reason: Option<String>,
}

/// A row of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductTrailEntry {
    /// Its place.
    pub id: i64,
    /// When it happened, UTC.
    pub at: NaiveDateTime,
    /// The operator's name.
    pub actor: String,
    /// What happened.
    pub action: ProductAction,
    /// The fields that changed, with their values before, as a JSON object; `None` for a new product.
    pub from: Option<String>,
    /// The same fields with their new values.
    pub to: String,
    /// The operator's reason, if one was given.
    pub reason: Option<String>,
}

/// Adds changes to the trails of their products.
///
/// # Errors
/// [`Failure::Raced`] when an earlier attempt of this change is being committed, or was.
pub async fn insert_all(tx: &mut Tx<'_>, author: &Author, changes: &[ProductChange]) -> Result<(), Failure> {
    let numbered: Vec<(i64, &ProductChange)> = (0..).zip(changes).collect();
    let statements = numbered.chunks(products::ROWS).map(|changes| insert(author, changes)).collect();
    products::in_parts(tx, statements).await.map_err(|failure| raced(failure, "product_trail_change"))?;
    tx.touch(changes.iter().map(|change| change.product_id));
    tx.tell(changes.iter().filter(|change| change.action != ProductAction::LimitPassed).map(|change| {
        let changed = FeedItem::new(FeedType::ProductChanged, Audience::Clients).of_product(change.product_id);
        changed.because(change.action.as_str())
    }));
    Ok(())
}

/// Returns the statement that adds changes to the trails of their products, each with its place in the request.
pub fn insert<'a>(author: &'a Author, changes: &[(i64, &'a ProductChange)]) -> String {
    let row = |&(place, change): &(i64, &'a ProductChange)| -> [Literal<'a>; 8] {
        [
            Literal::Number(change.product_id),
            Literal::Id(author.change_id),
            Literal::Number(place),
            Literal::Bytes(author.actor.as_bytes()),
            Literal::name(change.action),
            Literal::text(&change.from),
            Literal::Bytes(change.to.as_bytes()),
            Literal::text(&author.reason),
        ]
    };
    sql::product_trail::Insert { rows: rows(changes.iter().map(row)) }.text()
}

/// Lists up to `limit` rows of a product's trail from before the place `before`, the newest first.
pub async fn list(
    tx: &mut Tx<'_>,
    product_id: i64,
    before: i64,
    limit: u32,
) -> Result<Vec<ProductTrailEntry>, Failure> {
    let found: Vec<Row> = tx.rows(sql::product_trail::LIST, params! { product_id, before, limit }).await?;
    let entry = |row: &Row| {
        Ok(ProductTrailEntry {
            id: column(row, "id")?,
            at: column(row, "at")?,
            actor: text_column(row, "actor")?.unwrap_or_default(),
            action: state(&column::<String>(row, "action")?)?,
            from: text_column(row, "from_values")?,
            to: text_column(row, "to_values")?.unwrap_or_default(),
            reason: text_column(row, "reason")?,
        })
    };
    found.iter().map(entry).collect()
}

/// Lists the products that an earlier attempt of this change has changed, and how.
pub async fn list_of_change(tx: &mut Tx<'_>, change_id: Uuid) -> Result<Vec<(i64, ProductAction)>, Failure> {
    let params = params! { "change_id" => bytes(change_id) };
    let found: Vec<(i64, String)> = tx.rows(sql::product_trail::LIST_OF_CHANGE, params).await?;
    found.into_iter().map(|(product_id, action)| Ok((product_id, state(&action)?))).collect()
}
