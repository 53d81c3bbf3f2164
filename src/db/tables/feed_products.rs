//! What the feed told last of each product: that all of its units are gone, or that it has some again.

use mysql_async::params;
use uuid::Uuid;

use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::literal::{Literal, numbers, rows};
use crate::db::sql;

/// A product beside what was told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The product.
    pub product_id: i64,
    /// Whether all of its units are gone.
    pub is_sold_out: bool,
    /// Whether that was told last.
    pub was_sold_out: bool,
    /// Whether it is sold at all: it is not retired, and its event was not cancelled.
    pub is_sold: bool,
}

impl Told {
    /// Whether there is something to tell.
    pub fn has_changed(&self) -> bool {
        self.is_sold && self.is_sold_out != self.was_sold_out
    }
}

fn told(found: Vec<(i64, bool, bool, bool)>) -> Vec<Told> {
    let read =
        |(product_id, is_sold_out, was_sold_out, is_sold)| Told { product_id, is_sold_out, was_sold_out, is_sold };
    found.into_iter().map(read).collect()
}

/// Lists these products by id; missing ones are left out.
pub async fn list_some(tx: &mut Tx<'_>, product_ids: &[i64]) -> Result<Vec<Told>, Failure> {
    if product_ids.is_empty() {
        return Ok(Vec::new());
    }
    let statement = sql::feed_products::ListSome { ids: numbers(product_ids) };
    Ok(told(tx.rows_text(&statement.text()).await?))
}

/// Lists up to `limit` products with ids greater than `after`, by id.
pub async fn list_page(tx: &mut Tx<'_>, after: i64, limit: u32) -> Result<Vec<Told>, Failure> {
    Ok(told(tx.rows(sql::feed_products::LIST_PAGE, params! { after, limit }).await?))
}

/// Returns the statement that adds the products that have no row.
pub fn insert(product_ids: &[i64]) -> String {
    let row = |&product_id: &i64| [Literal::Number(product_id), Literal::Number(0)];
    sql::feed_products::Insert { rows: rows(product_ids.iter().map(row)) }.text()
}

/// Returns the statement that notes the state of those products that have changed.
pub fn turn(batch: Uuid, product_ids: &[i64]) -> String {
    sql::feed_products::Turn { batch: Literal::Id(batch).into(), ids: numbers(product_ids) }.text()
}

/// Returns the statement that reads which products [`turn`] has noted.
pub fn list_turned(batch: Uuid, product_ids: &[i64]) -> String {
    sql::feed_products::ListTurned { batch: Literal::Id(batch).into(), ids: numbers(product_ids) }.text()
}
