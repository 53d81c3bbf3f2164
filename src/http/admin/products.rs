//! Routes for operators about products: what is sold, by which terms, and how many units of it.

use std::sync::Arc;

use poem_openapi::param::{Path, Query};
use poem_openapi::{ApiResponse, OpenApi};

use super::operator::Operator;
use super::product_bodies::{
    LineBody, LinesBody, ProductDraft, ProductDrafts, ProductPatch, StockBody, TrailEntryBody, TrailPage, check_patch,
    patched,
};
use super::{NOTE_BYTES, bounded_text};
use crate::app::App;
use crate::checkout::products::stock::StockChange;
use crate::checkout::{Author, Operation, Product, Shown};
use crate::domain::mint_id;
use crate::http::headers::{IdempotencyKey, IfMatch};
use crate::http::json::Json;
use crate::http::large::{LargeJson, MergePatch};
use crate::http::paging::{read_page, write_cursor};
use crate::http::problem::{Denied, Problem, denials};
use crate::http::products::{ProductBody, ProductFound};
use crate::http::tags::Tags;
use crate::http::values::{Cursor, Whole};

/// The most products of one list.
const MOST_LINES: usize = 1000;

/// The response to a new product.
#[derive(ApiResponse)]
pub enum ProductCreated {
    /// The product is new.
    #[oai(status = 201)]
    Created(
        Json<ProductBody>,
        /// The path of the product.
        #[oai(header = "Location")]
        String,
        /// A digest of the terms, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

/// The response to a product that was put.
#[derive(ApiResponse)]
pub enum ProductPut {
    /// The product existed; it is as requested now.
    #[oai(status = 200)]
    Found(
        Json<ProductBody>,
        /// A digest of the terms, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
    /// The product is new.
    #[oai(status = 201)]
    Created(
        Json<ProductBody>,
        /// The path of the product.
        #[oai(header = "Location")]
        String,
        /// A digest of the terms, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

/// The response to a change of stock.
#[derive(ApiResponse)]
pub enum StockChanged {
    /// The product as it is now.
    #[oai(status = 200)]
    Changed(
        Json<ProductBody>,
        /// `true` if an earlier request with the same key made the change.
        #[oai(header = "Idempotent-Replayed")]
        Option<bool>,
    ),
}

denials! {
    /// The problems of `POST /api/admin/products`.
    CreateProductDenials {
        400 "`malformed_json`, `unreadable_body`",
        401 "`unauthorized`",
        403 "`admin_shut`: there is neither `HOLDFAST_ADMIN_TOKEN` nor a client with the role `admin`",
        408 "`body_timeout`",
        409 "`sku_taken`, with the `product_id` that has it",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`, `invalid_product`",
    }
}
denials! {
    /// The problems of `PUT /api/admin/products/by-sku/{sku}`.
    PutProductDenials {
        400 "`malformed_json`, `unreadable_body`",
        401 "`unauthorized`",
        403 "`admin_shut`: there is neither `HOLDFAST_ADMIN_TOKEN` nor a client with the role `admin`",
        408 "`body_timeout`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`, `invalid_product`; `stock_not_here`: the product has another stock",
    }
}
denials! {
    /// The problems of `POST /api/admin/products/bulk`.
    PutProductsDenials {
        400 "`malformed_json`, `unreadable_body`",
        401 "`unauthorized`",
        403 "`admin_shut`: there is neither `HOLDFAST_ADMIN_TOKEN` nor a client with the role `admin`",
        408 "`body_timeout`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`; `invalid_lines`, with the code of each line in `lines`",
    }
}
denials! {
    /// The problems of `PATCH /api/admin/products/{product_id}`.
    ChangeProductDenials {
        400 "`invalid_id`, `invalid_if_match`, `malformed_json`, `unreadable_body`",
        401 "`unauthorized`",
        403 "`admin_shut`: there is neither `HOLDFAST_ADMIN_TOKEN` nor a client with the role `admin`",
        404 "`product_not_found`",
        408 "`body_timeout`",
        409 "`sku_taken`, with the `product_id` that has it",
        412 "`precondition_failed`: the product has none of the tags in `If-Match`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`, `invalid_product`; `stock_not_here`: the product has another stock",
    }
}
denials! {
    /// The problems of `POST /api/admin/products/{product_id}/stock`.
    ChangeStockDenials {
        400 "`invalid_id`, `invalid_idempotency_key`, `malformed_json`, `unreadable_body`",
        401 "`unauthorized`",
        403 "`admin_shut`: there is neither `HOLDFAST_ADMIN_TOKEN` nor a client with the role `admin`",
        404 "`product_not_found`",
        408 "`body_timeout`",
        409 "`stock_reserved`: more units are in holds and orders or sold. With `reserved_stock`, the smallest possible stock, \
             and `available_stock`, the most units that can be taken off.",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`, `invalid_product`, `idempotency_key_reuse`; `stock_is_seats`: add seats to this ticket type instead",
    }
}
denials! {
    /// The problems of `GET /api/admin/products/{product_id}/trail`.
    TrailDenials {
        400 "`invalid_id`, `invalid_limit`, `invalid_cursor`",
        401 "`unauthorized`",
        403 "`admin_shut`: there is neither `HOLDFAST_ADMIN_TOKEN` nor a client with the role `admin`",
        404 "`product_not_found`",
    }
}

/// The operators' routes about products.
pub struct AdminProducts {
    /// The state that all routes share.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/api/admin/products", tag = "Tags::Operators")]
impl AdminProducts {
    /// Create a product
    ///
    /// It is on sale at once unless its `status` or its window says otherwise. Its stock is changed by a route of its own.
    #[oai(path = "/", method = "post", operation_id = "createProduct")]
    async fn create(
        &self,
        operator: Operator,
        body: Json<ProductDraft>,
    ) -> Result<ProductCreated, Denied<CreateProductDenials>> {
        let draft = body.0.read()?;
        let (app, author) = (Arc::clone(&self.app), author(&operator, None));
        let shown = self.app.run(async move { app.checkout.create_product(&author, &draft).await }).await?;
        let (body, location, tag) = parts(shown);
        Ok(ProductCreated::Created(body, location, tag))
    }

    /// Create a product, or make the one with this sku equal to the body
    ///
    /// The same body again changes nothing. `stock` counts at creation alone.
    #[oai(path = "/by-sku/:sku", method = "put", operation_id = "putProduct")]
    async fn put(
        &self,
        operator: Operator,
        sku: Path<String>,
        body: Json<ProductDraft>,
    ) -> Result<ProductPut, Denied<PutProductDenials>> {
        let draft = body.0.with_sku(&sku.0)?.read()?;
        let (app, author) = (Arc::clone(&self.app), author(&operator, None));
        let put = async move { app.checkout.put_product(&author, draft).await };
        let (shown, is_new) = self.app.run(put).await?;
        let (body, location, tag) = parts(shown);
        Ok(match is_new {
            true => ProductPut::Created(body, location, tag),
            false => ProductPut::Found(body, tag),
        })
    }

    /// Create or update up to 1,000 products by sku, all of them or none
    ///
    /// The body may have 8 MiB. Products that are as requested stay untouched.
    #[oai(path = "/bulk", method = "post", operation_id = "putProducts")]
    async fn put_all(
        &self,
        operator: Operator,
        body: LargeJson<ProductDrafts>,
    ) -> Result<Json<LinesBody>, Denied<PutProductsDenials>> {
        let items = body.body.items;
        if items.len() > MOST_LINES {
            let detail = format!("`items` must have at most {MOST_LINES} products.");
            return Err(Problem::unprocessable("invalid_body", detail).into());
        }
        let (app, author) = (Arc::clone(&self.app), author(&operator, None));
        let put = async move {
            let drafts: Vec<_> = items.into_iter().map(ProductDraft::read).collect();
            app.checkout.put_products(&author, &drafts).await
        };
        let lines = self.app.run(put).await?;
        Ok(Json(LinesBody { items: lines.into_iter().map(LineBody::from).collect() }))
    }

    /// Change a product by a JSON Merge Patch
    ///
    /// With `If-Match`, only if the product still has one of these tags. New terms apply to new holds alone.
    #[oai(path = "/:product_id", method = "patch", operation_id = "changeProduct")]
    async fn change(
        &self,
        operator: Operator,
        product_id: Path<i64>,
        /// `ETag` of the product as it was read.
        #[oai(name = "If-Match")]
        if_match: IfMatch,
        body: MergePatch<ProductPatch>,
    ) -> Result<ProductFound, Denied<ChangeProductDenials>> {
        let patch = body.patch;
        check_patch(&patch)
            .map_err(|error| Problem::unprocessable("invalid_body", format!("The patch is invalid: {error}.")))?;
        let (app, author) = (Arc::clone(&self.app), author(&operator, None));
        let change = async move {
            let change = |product: &Product| patched(product, &patch);
            app.checkout.change_product(&author, product_id.0, if_match.0.as_deref(), &change).await
        };
        Ok(self.app.run(change).await?.into())
    }

    /// Change the stock of a product
    ///
    /// It never becomes less than the units that are in holds and orders or sold.
    #[oai(path = "/:product_id/stock", method = "post", operation_id = "changeStock")]
    async fn change_stock(
        &self,
        operator: Operator,
        product_id: Path<i64>,
        /// Makes retries safe: a request with the same key and body is applied once.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: Json<StockBody>,
    ) -> Result<StockChanged, Denied<ChangeStockDenials>> {
        let (change, word, units) = match body.0 {
            StockBody { add: Some(Whole(units)), set: None, .. } => (StockChange::Add(units), "add", units),
            StockBody { add: None, set: Some(Whole(stock)), .. } => (StockChange::Set(stock), "set", stock),
            _ => return Err(Problem::unprocessable("invalid_body", "Give either `add` or `set`.").into()),
        };
        let reason = body.0.reason.map(|reason| bounded_text("reason", NOTE_BYTES, reason)).transpose()?;
        let given = reason.clone().unwrap_or_default();
        let parts = [product_id.0.to_string(), word.to_owned(), units.to_string(), given];
        let keyed = key.keyed(&operator.caller, Operation::Stock, parts, None);
        let (app, author) = (Arc::clone(&self.app), author(&operator, reason));
        let changed = async move { app.checkout.change_stock(&author, product_id.0, change, keyed.as_ref()).await };
        let (shown, replayed) = self.app.run(changed).await?;
        Ok(StockChanged::Changed(Json(shown.into()), replayed.then_some(true)))
    }

    /// List what operators did with a product, the newest first
    ///
    /// Changes that another program makes in the database have no entry.
    #[oai(path = "/:product_id/trail", method = "get", operation_id = "listProductTrail")]
    async fn trail(
        &self,
        _operator: Operator,
        product_id: Path<i64>,
        /// Entries per page, 1 to 100; 20 by default.
        limit: Query<Option<u32>>,
        /// `next_cursor` of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Json<TrailPage>, Denied<TrailDenials>> {
        let list = format!("product-trail-{}:", product_id.0);
        let (limit, behind) = read_page(&list, limit.0, cursor.0.as_deref())?;
        let (app, before) = (Arc::clone(&self.app), behind.unwrap_or(i64::MAX));
        let read = async move { app.checkout.product_trail(product_id.0, before, limit + 1).await };
        let mut entries = self.app.run(read).await?;
        let more = entries.len() > limit as usize;
        entries.truncate(limit as usize);
        let next = entries.last().filter(|_| more).map(|last| write_cursor(&list, last.id));
        let items = entries.into_iter().map(TrailEntryBody::from).collect();
        Ok(Json(TrailPage { items, next_cursor: Cursor(next) }))
    }
}

/// Returns the author of a change, with a new id for it.
pub(super) fn author(operator: &Operator, reason: Option<String>) -> Author {
    Author { change_id: mint_id(), actor: operator.name.to_string(), reason }
}

/// Returns the body, the path and the tag of a product.
pub(super) fn parts(shown: Shown) -> (Json<ProductBody>, String, String) {
    let (location, tag) = (format!("/api/products/{}", shown.product.id), shown.product.details.etag());
    (Json(shown.into()), location, tag)
}
