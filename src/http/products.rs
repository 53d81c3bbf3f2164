//! Routes of products.

use std::sync::Arc;

use poem_openapi::param::{Path, Query};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Serialize;

use super::json::Json;
use super::paging::{read_page, write_cursor};
use super::problem::{Denied, denials};
use super::tags::Tags;
use super::values::{Cursor, JsonObject, Timestamp, Word};
use crate::app::App;
use crate::checkout::Shown;
use crate::domain::{Caller, ProductDetails, ProductStatus, SaleStatus, TicketKind};

/// The name of the list of products in cursors.
const LIST: &str = "p";

/// A product, its stock, and the terms of its sale.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Product", skip_serializing_if_is_none)]
pub struct ProductBody {
    /// The product's id.
    pub(super) id: i64,
    /// The operator's own name for it, unique.
    #[serde(skip_serializing_if = "Option::is_none")]
    sku: Option<String>,
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
    /// What an operator has decided about the sale.
    status: Word<ProductStatus>,
    /// Whether units can be held now.
    sale_status: Word<SaleStatus>,
    /// The event of a ticket type; absent: the product is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<i64>,
    /// Of a ticket type: whether its units are seats with labels (`seated`), or places without.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<Word<TicketKind>>,
    /// When the sale begins, of a ticket type not before that of its event; absent: it has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    sale_starts_at: Option<Timestamp>,
    /// When the sale is over, of a ticket type not after that of its event; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    sale_ends_at: Option<Timestamp>,
    /// With `all_held`: when the first units come back, if their buyer does not pay.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_return_at: Option<Timestamp>,
    /// How long a hold lasts, in seconds; absent: as long as the shop says.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_ttl_seconds: Option<i64>,
    /// How long an order may stay unpaid, in seconds; absent: as long as the shop says.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_ttl_seconds: Option<i64>,
    /// The most units of one hold; absent: as many as the shop says.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_qty: Option<i64>,
    /// The most units of one buyer; absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_per_buyer: Option<i64>,
    /// Until how many seconds after its creation a hold or an order can be extended; absent: as long as the shop says.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_hold_seconds: Option<i64>,
    /// Texts of the operator's, which buyers see.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<JsonObject>,
    /// The time of that read by the database's clock.
    server_time: Timestamp,
}

impl From<Shown> for ProductBody {
    fn from(Shown { product, sale_status, next_return_at }: Shown) -> Self {
        let ProductDetails { sku, name, price_minor, currency, sale, max_hold_seconds, metadata } = product.details;
        Self {
            id: product.id,
            sku,
            name,
            price_minor,
            currency,
            stock: product.stock,
            available_stock: product.available,
            status: Word(sale.status),
            sale_status: Word(sale_status),
            event_id: sale.ticket.and_then(|ticket| ticket.event_id),
            kind: sale.ticket.map(|ticket| Word(ticket.kind)),
            sale_starts_at: sale.opens_at().map(Timestamp),
            sale_ends_at: sale.closes_at().map(Timestamp),
            next_return_at: next_return_at.map(Timestamp),
            hold_ttl_seconds: sale.hold_ttl_seconds,
            order_ttl_seconds: sale.order_ttl_seconds,
            max_qty: sale.max_qty,
            max_per_buyer: sale.max_per_buyer,
            max_hold_seconds,
            metadata: metadata.as_deref().and_then(JsonObject::read),
            server_time: Timestamp(product.server_time),
        }
    }
}

/// The response with one product.
#[derive(ApiResponse)]
pub enum ProductFound {
    /// The product.
    #[oai(status = 200)]
    Found(
        Json<ProductBody>,
        /// A digest of the terms, for `If-Match`. Reads never answer 304, since the body has the stock.
        #[oai(header = "ETag")]
        String,
    ),
}

impl From<Shown> for ProductFound {
    fn from(shown: Shown) -> Self {
        let tag = shown.product.details.etag();
        Self::Found(Json(shown.into()), tag)
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
    ///
    /// As of a moment that is later than the request. Whether units can be had is decided by the hold alone.
    #[oai(path = "/products/:product_id", method = "get", operation_id = "getProduct")]
    pub(super) async fn find(
        &self,
        _caller: Caller,
        product_id: Path<i64>,
    ) -> Result<ProductFound, Denied<FindProductDenials>> {
        Ok(self.app.checkout.product(product_id.0).await?.into())
    }

    /// List all products that are not retired, page by page
    ///
    /// By id, as of one moment that is later than the request.
    #[oai(path = "/products", method = "get", operation_id = "listProducts")]
    async fn list(
        &self,
        _caller: Caller,
        /// Products per page, 1 to 100; 20 by default.
        limit: Query<Option<u32>>,
        /// `next_cursor` of the previous page.
        cursor: Query<Option<String>>,
        /// Only the product with this sku.
        sku: Query<Option<String>>,
    ) -> Result<Json<ProductPage>, Denied<ListProductsDenials>> {
        let (limit, behind) = read_page(LIST, limit.0, cursor.0.as_deref())?;
        if let Some(sku) = sku.0 {
            let app = Arc::clone(&self.app);
            let find = async move { app.checkout.product_by_sku(&sku, behind.unwrap_or(0)).await };
            let items = self.app.run(find).await?.into_iter().map(ProductBody::from).collect();
            return Ok(Json(ProductPage { items, next_cursor: Cursor(None) }));
        }
        let page = self.app.checkout.list_products(behind.unwrap_or(0), limit).await?;
        Ok(Json(ProductPage {
            items: page.items.into_iter().map(ProductBody::from).collect(),
            next_cursor: Cursor(page.next_after.map(|id| write_cursor(LIST, id))),
        }))
    }
}
