//! Routes that extend holds and orders.

use std::sync::Arc;

use poem_openapi::param::Path;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Deserialize;
use uuid::Uuid;

use super::headers::IdempotencyKey;
use super::hold_bodies::HoldBody;
use super::json::Json;
use super::orders::OrderBody;
use super::problem::{Denied, Problem, denials};
use super::tags::Tags;
use super::values::Whole;
use crate::app::App;
use crate::checkout::{Error, Extension, IdempotentRequest, Operation};
use crate::domain::Caller;

/// More time for a hold or an order.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "Extend", deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct Extend {
    /// By how many seconds the present deadline moves.
    seconds: Whole,
}

impl Example for Extend {
    fn example() -> Self {
        Self { seconds: Whole(60) }
    }
}

impl Extend {
    /// Reads an extension of the hold or the order with this id.
    fn read(self, caller: &Caller, key: IdempotencyKey, kind: &str, id: Uuid) -> Result<Extension, Error> {
        let Whole(seconds) = self.seconds;
        let parts = [kind.to_owned(), id.to_string(), seconds.to_string()];
        let keyed: Option<IdempotentRequest> = key.keyed(caller, Operation::Extend, parts, None);
        Ok(Extension::new(seconds, keyed)?)
    }
}

/// The response to an extension of a hold.
#[derive(ApiResponse)]
pub enum HoldExtended {
    /// The hold as it is now.
    #[oai(status = 200)]
    Extended(
        Json<HoldBody>,
        /// `true` if an earlier request with the same key moved the deadline.
        #[oai(header = "Idempotent-Replayed")]
        Option<bool>,
    ),
}

/// The response to an extension of an order.
#[derive(ApiResponse)]
pub enum OrderExtended {
    /// The order as it is now.
    #[oai(status = 200)]
    Extended(
        Json<OrderBody>,
        /// `true` if an earlier request with the same key moved the deadline.
        #[oai(header = "Idempotent-Replayed")]
        Option<bool>,
    ),
}

denials! {
    /// The problems of `POST /api/holds/{hold_id}/extend`.
    ExtendHoldDenials {
        400 "`invalid_id`, `invalid_idempotency_key`, `malformed_json`, `unreadable_body`",
        404 "`hold_not_found`",
        408 "`body_timeout`",
        409 "`extension_limit`: the deadline cannot be moved so far, only by `possible_seconds`; nothing was changed. `hold_used` \
             (with its `order_id`), `hold_expired`, `hold_released`.",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`, `invalid_seconds`, `idempotency_key_reuse`",
    }
}
denials! {
    /// The problems of `POST /api/orders/{order_id}/extend`.
    ExtendOrderDenials {
        400 "`invalid_id`, `invalid_idempotency_key`, `malformed_json`, `unreadable_body`",
        404 "`order_not_found`",
        408 "`body_timeout`",
        409 "`extension_limit`: the deadline cannot be moved so far, only by `possible_seconds`; nothing was changed. \
             `order_paid`, `order_cancelled`; `order_overdue`: it is about to be cancelled.",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`, `invalid_seconds`, `idempotency_key_reuse`",
    }
}

/// The routes that extend holds and orders.
pub struct Extensions {
    /// The state that all routes share.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/api")]
impl Extensions {
    /// Extend a hold before it expires
    ///
    /// Its deadline moves by `seconds`, at most to a time after its creation that the shop or its products set.
    #[oai(path = "/holds/:hold_id/extend", method = "post", operation_id = "extendHold", tag = "Tags::Holds")]
    async fn extend_hold(
        &self,
        caller: Caller,
        hold_id: Path<Uuid>,
        /// Makes retries safe: a request with the same key and body moves the deadline once.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: Json<Extend>,
    ) -> Result<HoldExtended, Denied<ExtendHoldDenials>> {
        let (app, extension) = (Arc::clone(&self.app), body.0.read(&caller, key, "hold", hold_id.0)?);
        let extend = async move { app.checkout.extend_hold(&caller, hold_id.0, &extension).await };
        let (lines, replayed) = self.app.run(extend).await?;
        let body = HoldBody::of_lines(lines).ok_or_else(Problem::internal)?;
        Ok(HoldExtended::Extended(Json(body), replayed.then_some(true)))
    }

    /// Extend an unpaid order
    ///
    /// Its deadline moves by `seconds`, at most to a time after its creation that the shop or its products set.
    #[oai(path = "/orders/:order_id/extend", method = "post", operation_id = "extendOrder", tag = "Tags::Orders")]
    async fn extend_order(
        &self,
        caller: Caller,
        order_id: Path<Uuid>,
        /// Makes retries safe: a request with the same key and body moves the deadline once.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: Json<Extend>,
    ) -> Result<OrderExtended, Denied<ExtendOrderDenials>> {
        let (app, extension) = (Arc::clone(&self.app), body.0.read(&caller, key, "order", order_id.0)?);
        let extend = async move { app.checkout.extend_order(&caller, order_id.0, &extension).await };
        let placed = self.app.run(extend).await?;
        let replayed = placed.replayed.then_some(true);
        Ok(OrderExtended::Extended(Json(placed.into()), replayed))
    }
}
