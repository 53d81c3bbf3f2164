//! Routes of products.

use std::sync::Arc;

use poem_openapi::param::{Path, Query};
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::json::Json;
use super::paging::{read_page, write_cursor};
use super::problem::{Denied, denials};
use super::tags::Tags;
use super::values::{Cursor, Timestamp};
use crate::app::App;
use crate::checkout::Product;
use crate::domain::Caller;

/// The name of the list of products in cursors.
const LIST: &str = "p";

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
    FindProductDenials { 400 "`invalid_id`", 404 "`product_not_found`" }
}
denials! {
    /// The problems of `GET /api/products`.
    ListProductsDenials { 400 "`invalid_limit`, `invalid_cursor`" }
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
    pub(super) async fn find(
        &self,
        _caller: Caller,
        product_id: Path<i64>,
    ) -> Result<Json<ProductBody>, Denied<FindProductDenials>> {
        let product = self.app.checkout.product(product_id.0).await?;
        Ok(Json(product.into()))
    }

    /// List all products, page by page
    #[oai(path = "/products", method = "get", operation_id = "listProducts")]
    async fn list(
        &self,
        _caller: Caller,
        /// Products per page, 1 to 100; 20 by default.
        limit: Query<Option<u32>>,
        /// `next_cursor` of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Json<ProductPage>, Denied<ListProductsDenials>> {
        let (limit, behind) = read_page(LIST, limit.0, cursor.0.as_deref())?;
        let page = self.app.checkout.list_products(behind.unwrap_or(0), limit).await?;
        Ok(Json(ProductPage {
            items: page.items.into_iter().map(ProductBody::from).collect(),
            next_cursor: Cursor(page.next_after.map(|id| write_cursor(LIST, id))),
        }))
    }
}
