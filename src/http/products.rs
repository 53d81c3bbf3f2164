//! Routes of products.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use poem_openapi::param::{Path, Query};
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::Tags;
use super::json::Json;
use super::problem::{Denied, Problem, denials};
use super::types::{Cursor, Timestamp};
use crate::app::App;
use crate::checkout::Product;

/// A product and its stock.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Product")]
pub struct ProductBody {
    /// The product's id.
    id: i64,
    /// The product's name.
    name: String,
    /// Price of one unit, in minor units of `currency`.
    price_minor: i64,
    /// ISO 4217 code.
    currency: String,
    /// Units put on sale.
    stock: i64,
    /// Units on sale now: neither held, nor in an order, nor sold. Read after this request arrived.
    available_stock: i64,
    /// The time of that read by the database's clock.
    server_time: Timestamp,
}

impl From<Product> for ProductBody {
    fn from(product: Product) -> Self {
        Self {
            id: product.id,
            name: product.name,
            price_minor: product.price_minor,
            currency: product.currency,
            stock: product.stock,
            available_stock: product.available,
            server_time: Timestamp(product.server_time),
        }
    }
}

/// One page of products, by id.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ProductPage")]
pub struct ProductPage {
    /// The products.
    items: Vec<ProductBody>,
    /// The `cursor` of the next page; null on the last page.
    next_cursor: Cursor,
}

denials! {
    /// The problems of `GET /api/products/{product_id}`.
    FindDenials { 400 "`invalid_id`", 404 "`product_not_found`" }
}
denials! {
    /// The problems of `GET /api/products`.
    ListDenials { 400 "`invalid_limit`, `invalid_cursor`" }
}

/// The routes of products.
pub struct Products {
    /// The state that all routes share.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/api", tag = "Tags::Products")]
impl Products {
    /// Get a product and its stock
    #[oai(path = "/products/:product_id", method = "get", operation_id = "getProduct")]
    pub(super) async fn find(&self, product_id: Path<i64>) -> Result<Json<ProductBody>, Denied<FindDenials>> {
        let product = self.app.checkout.product(product_id.0).await?;
        Ok(Json(product.into()))
    }

    /// List all products, page by page
    #[oai(path = "/products", method = "get", operation_id = "listProducts")]
    async fn list(
        &self,
        /// Products per page, 1 to 100; 20 by default.
        limit: Query<Option<u32>>,
        /// `next_cursor` of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Json<ProductPage>, Denied<ListDenials>> {
        let limit = limit.0.unwrap_or(20);
        if !(1..=100).contains(&limit) {
            return Err(Problem::bad_request("invalid_limit", "`limit` must be from 1 to 100.").into());
        }
        let after = match &cursor.0 {
            Some(cursor) => read_cursor(cursor).ok_or_else(|| {
                Problem::bad_request("invalid_cursor", "`cursor` must be the `next_cursor` of a previous page.")
            })?,
            None => 0,
        };
        let page = self.app.checkout.list_products(after, limit).await?;
        Ok(Json(ProductPage {
            items: page.items.into_iter().map(ProductBody::from).collect(),
            next_cursor: Cursor(page.next_after.map(write_cursor)),
        }))
    }
}

fn write_cursor(after: i64) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("p{after}"))
}

fn read_cursor(cursor: &str) -> Option<i64> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let after = std::str::from_utf8(&bytes).ok()?.strip_prefix('p')?.parse().ok()?;
    (write_cursor(after) == cursor).then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cursor_that_was_issued_is_accepted() {
        for after in [1, 42, i64::MAX] {
            assert_eq!(read_cursor(&write_cursor(after)), Some(after));
        }
        for cursor in ["", "1", "p1", "cDE=", "cC0", "cCsx", "cDAx", "////", "ä"] {
            assert_eq!(read_cursor(cursor), None, "{cursor}");
        }
    }
}
