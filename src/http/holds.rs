//! Routes of holds: short reservations of units.

use std::sync::Arc;

use chrono::NaiveDateTime;
use poem_openapi::param::{Path, Query};
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::access::TokenHolder;
use super::headers::IdempotencyKey;
use super::json::Json;
use super::lists::{Listed, Sent};
use super::paging::write_cursor;
use super::problem::{Denied, denials};
use super::tags::Tags;
use super::values::{Cursor, Timestamp, Whole, Word};
use crate::app::App;
use crate::checkout::{Error, HoldLine, NewHold, Operation};
use crate::domain::{Caller, Details, HoldStatus, Metadata};

/// The name of the list of holds in cursors.
const LIST: &str = "h";

/// A request for a hold.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "CreateHold", deny_unknown_fields, skip_serializing_if_is_none, example)]
#[serde(deny_unknown_fields)]
pub struct CreateHold {
    /// The product's id.
    product_id: Whole,
    /// Number of units, from 1 to the configured limit.
    qty: Whole,
    /// The buyer as the caller names it: 1 to 128 visible ASCII characters.
    #[serde(default)]
    buyer: Option<String>,
    /// The caller's own name for the hold, not unique: 1 to 128 visible ASCII characters.
    #[serde(default)]
    reference: Option<String>,
    /// Texts that are kept and returned: at most 20, keys of up to 40 characters, values of up to 500, 2048 bytes of JSON together
    /// with `reference`.
    #[serde(default)]
    metadata: Option<Metadata>,
}

impl Example for CreateHold {
    fn example() -> Self {
        Self { product_id: Whole(1), qty: Whole(1), buyer: None, reference: None, metadata: None }
    }
}

/// A hold: units that are reserved for a short time.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Hold", skip_serializing_if_is_none)]
pub struct HoldBody {
    /// The hold's id.
    hold_id: Uuid,
    /// The product's id.
    product_id: i64,
    /// Number of units.
    qty: i64,
    /// Price of one unit, in minor units of `currency`; later changes of the price do not affect it.
    unit_price_minor: i64,
    /// ISO 4217 code.
    currency: String,
    /// The hold's state.
    status: Word<HoldStatus>,
    /// When an active hold expires.
    expires_at: Timestamp,
    /// Seconds until `expires_at` by the database's clock, rounded up; 0 after it.
    expires_in: i64,
    /// The order that was made from the hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<Uuid>,
    /// The buyer, as the caller named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    buyer: Option<String>,
    /// The caller's own name for the hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// What the caller wrote on the hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
}

impl From<HoldLine> for HoldBody {
    fn from(hold: HoldLine) -> Self {
        let (buyer, reference, metadata) = written(hold.details.as_deref());
        Self {
            hold_id: hold.id,
            product_id: hold.product_id,
            qty: hold.qty,
            unit_price_minor: hold.unit_price_minor,
            currency: hold.currency,
            status: Word(hold.status),
            expires_at: Timestamp(hold.expires_at),
            expires_in: seconds_until(hold.expires_at, hold.server_time),
            order_id: hold.order_id,
            buyer,
            reference,
            metadata,
        }
    }
}

/// Returns the buyer, the reference and the metadata of a hold or an order, as its body shows them.
pub(super) fn written(details: Option<&Details>) -> (Option<String>, Option<String>, Option<Metadata>) {
    let Some(details) = details else { return (None, None, None) };
    let buyer = details.owner.buyer.as_deref().map(str::to_owned);
    let metadata = (!details.metadata.is_empty()).then(|| details.metadata.clone());
    (buyer, details.reference.clone(), metadata)
}

/// Returns the whole seconds from `now` until `then`, rounded up, never negative.
fn seconds_until(then: NaiveDateTime, now: NaiveDateTime) -> i64 {
    let left = then - now;
    (left.num_seconds() + i64::from(left.subsec_nanos() > 0)).max(0)
}

/// One page of holds, the newest first.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "HoldPage")]
pub struct HoldPage {
    /// The holds.
    items: Vec<HoldBody>,
    /// The `cursor` of the next page; null on the last page.
    next_cursor: Cursor,
}

/// The response to a new hold.
#[derive(ApiResponse)]
pub enum HoldCreated {
    /// The units are reserved until `expires_at`.
    #[oai(status = 201)]
    Created(
        Json<HoldBody>,
        /// The path of the hold.
        #[oai(header = "Location")]
        String,
        /// `true` if an earlier request with the same key created the hold.
        #[oai(header = "Idempotent-Replayed")]
        Option<bool>,
    ),
}

denials! {
    /// The problems of `GET /api/holds`.
    ListHoldsDenials {
        400 "`invalid_limit`, `invalid_cursor`, `invalid_state`, `invalid_buyer`, `invalid_reference`, `invalid_product_id`, \
             `invalid_time`",
        422 "`buyer_mismatch`",
    }
}
denials! {
    /// The problems of `POST /api/holds`.
    CreateHoldDenials {
        400 "`malformed_json`, `unreadable_body`, `invalid_idempotency_key`",
        404 "`product_not_found`",
        408 "`body_timeout`",
        409 "`all_held`: units in holds or unpaid orders may become available again, the first of them after `Retry-After`. \
             `sold_out`: not enough can. Both with `available_stock`. `sale_not_started`: with `sale_starts_at` and \
             `Retry-After`. `sale_ended`, `sale_paused`.",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_quantity`, `invalid_body`, `invalid_buyer`, `buyer_mismatch`, `invalid_reference`, `invalid_metadata`, \
             `idempotency_key_reuse`",
    }
}
denials! {
    /// The problems of `GET /api/holds/{hold_id}`.
    FindHoldDenials { 400 "`invalid_id`", 404 "`hold_not_found`" }
}
denials! {
    /// The problems of `DELETE /api/holds/{hold_id}`.
    ReleaseHoldDenials { 400 "`invalid_id`", 404 "`hold_not_found`", 409 "`hold_used`, with its `order_id`" }
}

/// The routes of holds.
pub struct Holds {
    /// The state that all routes share.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/api", tag = "Tags::Holds")]
impl Holds {
    /// Hold units of a product for a short time
    #[oai(path = "/holds", method = "post", operation_id = "createHold")]
    pub(super) async fn create(
        &self,
        caller: Caller,
        /// Makes retries safe: a request with the same key and body gets the response of the first success. A key is kept for 48
        /// hours at least; after that, it may count as a new one.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: Json<CreateHold>,
    ) -> Result<HoldCreated, Denied<CreateHoldDenials>> {
        let CreateHold { product_id: Whole(product_id), qty: Whole(qty), buyer, reference, metadata } = body.0;
        let details = Details::of_hold(&caller, buyer, reference, metadata).map_err(Error::from)?;
        let parts = [product_id.to_string(), qty.to_string()];
        let keyed = key.keyed(&caller, Operation::Hold, parts, details.as_deref());
        let taken = self.app.checkout.create_hold(NewHold { product_id, qty, keyed, details }).await?;
        let location = format!("/api/holds/{}", taken.hold.id);
        Ok(HoldCreated::Created(Json(taken.hold.into()), location, taken.replayed.then_some(true)))
    }

    /// List holds, the newest first
    ///
    /// A client gets its own, an operator all. All filters apply together. With `state` or `product_id`, a page before the last one
    /// may have fewer holds than `limit`, or none. The age of a hold is the time in its id.
    #[expect(clippy::too_many_arguments, reason = "one per filter, as the document shows them")]
    #[oai(path = "/holds", method = "get", operation_id = "listHolds")]
    async fn list(
        &self,
        holder: TokenHolder,
        /// Only holds in this state.
        state: Query<Option<Word<HoldStatus>>>,
        /// Only holds of this buyer.
        buyer: Query<Option<String>>,
        /// Only holds with this reference.
        reference: Query<Option<String>>,
        /// Only holds of this product.
        product_id: Query<Option<i64>>,
        /// Only holds created at this time or later (RFC 3339).
        created_from: Query<Option<String>>,
        /// Only holds created before this time (RFC 3339).
        created_to: Query<Option<String>>,
        /// Holds per page, 1 to 100; 20 by default.
        limit: Query<Option<u32>>,
        /// `next_cursor` of the previous page, for the same filters.
        cursor: Query<Option<String>>,
    ) -> Result<Json<HoldPage>, Denied<ListHoldsDenials>> {
        let sent = Sent {
            state: state.0,
            buyer: buyer.0,
            reference: reference.0,
            product_id: product_id.0,
            created_from: created_from.0,
            created_to: created_to.0,
            limit: limit.0,
            cursor: cursor.0,
        };
        let caller = holder.0;
        let Listed { name, filter, limit, behind } = sent.read(LIST, &caller)?;
        let app = Arc::clone(&self.app);
        let list = async move { app.checkout.list_holds(&caller, &filter, behind, limit).await };
        let page = self.app.run(list).await?;
        Ok(Json(HoldPage {
            items: page.items.into_iter().filter_map(|lines| lines.into_iter().next()).map(HoldBody::from).collect(),
            next_cursor: Cursor(page.next.map(|place| write_cursor(&name, place))),
        }))
    }

    /// Get a hold, also after its end
    #[oai(path = "/holds/:hold_id", method = "get", operation_id = "getHold")]
    async fn find(&self, caller: Caller, hold_id: Path<Uuid>) -> Result<Json<HoldBody>, Denied<FindHoldDenials>> {
        let app = Arc::clone(&self.app);
        let hold = self.app.run(async move { app.checkout.hold(&caller, hold_id.0).await }).await?;
        Ok(Json(hold.into()))
    }

    /// Release a hold before it expires
    #[oai(path = "/holds/:hold_id", method = "delete", operation_id = "releaseHold")]
    async fn release(&self, caller: Caller, hold_id: Path<Uuid>) -> Result<Json<HoldBody>, Denied<ReleaseHoldDenials>> {
        let app = Arc::clone(&self.app);
        let hold = self.app.run(async move { app.checkout.release_hold(&caller, hold_id.0).await }).await?;
        Ok(Json(hold.into()))
    }
}
