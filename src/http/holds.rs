//! Routes of holds: short reservations of units.

use std::sync::Arc;

use chrono::NaiveDateTime;
use poem_openapi::param::Path;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::headers::IdempotencyKey;
use super::json::Json;
use super::problem::{Denied, denials};
use super::tags::Tags;
use super::values::{Timestamp, Whole, Word};
use crate::app::App;
use crate::checkout::HoldLine;
use crate::checkout::Operation;
use crate::domain::{Caller, HoldStatus};

/// A request for a hold.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "CreateHold", deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct CreateHold {
    /// The product's id.
    product_id: Whole,
    /// Number of units, from 1 to the configured limit.
    qty: Whole,
}

impl Example for CreateHold {
    fn example() -> Self {
        Self { product_id: Whole(1), qty: Whole(1) }
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
}

impl From<HoldLine> for HoldBody {
    fn from(hold: HoldLine) -> Self {
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
        }
    }
}

/// Returns the whole seconds from `now` until `then`, rounded up, never negative.
fn seconds_until(then: NaiveDateTime, now: NaiveDateTime) -> i64 {
    let left = then - now;
    (left.num_seconds() + i64::from(left.subsec_nanos() > 0)).max(0)
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
    /// The problems of `POST /api/holds`.
    CreateHoldDenials {
        400 "`malformed_json`, `unreadable_body`, `invalid_idempotency_key`",
        404 "`product_not_found`",
        408 "`body_timeout`",
        409 "`all_held`: units in holds or unpaid orders may become available again, the first of them after `Retry-After`. \
             `sold_out`: not enough can. Both with `available_stock`.",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_quantity`, `invalid_body`, `idempotency_key_reuse`",
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
        /// Makes retries safe: a request with the same key and body gets the response of the first success.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: Json<CreateHold>,
    ) -> Result<HoldCreated, Denied<CreateHoldDenials>> {
        let CreateHold { product_id: Whole(product_id), qty: Whole(qty) } = body.0;
        let keyed = key.keyed(&caller, Operation::Hold, [product_id.to_string(), qty.to_string()]);
        let taken = self.app.checkout.create_hold(product_id, qty, keyed).await?;
        let location = format!("/api/holds/{}", taken.hold.id);
        Ok(HoldCreated::Created(Json(taken.hold.into()), location, taken.replayed.then_some(true)))
    }

    /// Get a hold, also after its end
    #[oai(path = "/holds/:hold_id", method = "get", operation_id = "getHold")]
    async fn find(&self, hold_id: Path<Uuid>) -> Result<Json<HoldBody>, Denied<FindHoldDenials>> {
        let app = Arc::clone(&self.app);
        let hold = self.app.run(async move { app.checkout.hold(hold_id.0).await }).await?;
        Ok(Json(hold.into()))
    }

    /// Release a hold before it expires
    #[oai(path = "/holds/:hold_id", method = "delete", operation_id = "releaseHold")]
    async fn release(&self, hold_id: Path<Uuid>) -> Result<Json<HoldBody>, Denied<ReleaseHoldDenials>> {
        let app = Arc::clone(&self.app);
        let hold = self.app.run(async move { app.checkout.release_hold(hold_id.0).await }).await?;
        Ok(Json(hold.into()))
    }
}
