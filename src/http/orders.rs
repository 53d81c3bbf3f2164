//! Routes of orders and of their audit trails.

use std::sync::Arc;

use poem_openapi::param::Path;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::headers::IdempotencyKey;
use super::json::Json;
use super::problem::{Denied, denials};
use super::tags::Tags;
use super::values::{Timestamp, Word};
use crate::app::App;
use crate::checkout::HoldLine;
use crate::checkout::Operation;
use crate::checkout::Placed;
use crate::checkout::{Reason, TrailEntry};
use crate::domain::{Caller, OrderStatus};

/// A request for an order.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "CreateOrder", deny_unknown_fields, skip_serializing_if_is_none, example)]
#[serde(deny_unknown_fields)]
pub struct CreateOrder {
    /// An active hold.
    hold_id: Uuid,
    /// A random UUID as the order's id, for clients that must know it before the response arrives.
    #[serde(default)]
    order_id: Option<Uuid>,
}

impl Example for CreateOrder {
    fn example() -> Self {
        Self { hold_id: Uuid::nil(), order_id: None }
    }
}

/// A product in an order.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "OrderItem")]
pub struct ItemBody {
    /// The product's id.
    product_id: i64,
    /// Number of units.
    qty: i64,
    /// Price of one unit, in minor units of the order's currency.
    unit_price_minor: i64,
}

/// An order.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Order")]
pub struct OrderBody {
    /// The order's id.
    order_id: Uuid,
    /// The hold that the order was made from.
    hold_id: Uuid,
    /// The order's state.
    status: Word<OrderStatus>,
    /// The amount to pay, in minor units of `currency`.
    total_minor: i64,
    /// The refunded part of the payment, in minor units of `currency`. A payment in another currency, which an operator
    /// accepted, counts only once it is refunded in full: 0 until then.
    refunded_minor: i64,
    /// ISO 4217 code.
    currency: String,
    /// The deadline of the payment.
    pay_by: Timestamp,
    /// When the order was made.
    created_at: Timestamp,
    /// The products in the order.
    items: Vec<ItemBody>,
}

impl From<Placed> for OrderBody {
    fn from(placed: Placed) -> Self {
        let item = |hold: HoldLine| ItemBody {
            product_id: hold.product_id,
            qty: hold.qty,
            unit_price_minor: hold.unit_price_minor,
        };
        let order = placed.order;
        Self {
            order_id: order.id,
            hold_id: order.hold_id,
            status: Word(order.status),
            total_minor: order.total_minor,
            refunded_minor: order.refunded_of_total(),
            currency: order.currency,
            pay_by: Timestamp(order.pay_by),
            created_at: Timestamp(order.created_at),
            items: placed.items.into_iter().map(item).collect(),
        }
    }
}

/// One transition of an order.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "OrderEvent", skip_serializing_if_is_none)]
pub struct OrderEventBody {
    /// The id of the transition; ascending.
    id: i64,
    /// The state before; absent for the creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Word<OrderStatus>>,
    /// The state after.
    to: Word<OrderStatus>,
    /// The reason.
    reason: Word<Reason>,
    /// The time of the transition.
    at: Timestamp,
    /// The payment event that caused the transition.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_event_id: Option<i64>,
    /// The provider's id of the charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    txn_id: Option<String>,
    /// The decimal amount in major units, as reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    /// The currency, as reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    /// The provider's time, as reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_timestamp: Option<String>,
    /// `webhook_source` of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// `correlation_id` of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
}

impl From<TrailEntry> for OrderEventBody {
    fn from(event: TrailEntry) -> Self {
        Self {
            id: event.id,
            from: event.from.map(Word),
            to: Word(event.to),
            reason: Word(event.reason),
            at: Timestamp(event.at),
            payment_event_id: event.payment_event_id,
            txn_id: event.txn_id,
            amount: event.amount,
            currency: event.currency,
            provider_timestamp: event.provider_timestamp,
            source: event.source,
            correlation_id: event.correlation_id,
        }
    }
}

/// An order's audit trail.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "OrderEvents")]
pub struct OrderEvents {
    /// The transitions, oldest first; the first one is the creation.
    items: Vec<OrderEventBody>,
}

/// The response to a new order.
#[derive(ApiResponse)]
pub enum OrderCreated {
    /// Pay the order by `pay_by`. It is already `paid` if its payment arrived first.
    #[oai(status = 201)]
    Created(
        Json<OrderBody>,
        /// The path of the order.
        #[oai(header = "Location")]
        String,
        /// `true` if an earlier request with the same key made the order.
        #[oai(header = "Idempotent-Replayed")]
        Option<bool>,
    ),
}

denials! {
    /// The problems of `POST /api/orders`.
    CreateOrderDenials {
        400 "`malformed_json`, `unreadable_body`, `invalid_idempotency_key`",
        404 "`hold_not_found`",
        408 "`body_timeout`",
        409 "`hold_used` (with its `order_id`), `hold_expired`, `hold_released`, `order_id_taken`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`, `idempotency_key_reuse`",
    }
}
denials! {
    /// The problems of `GET /api/orders/{order_id}` and its events.
    FindOrderDenials { 400 "`invalid_id`", 404 "`order_not_found`" }
}
denials! {
    /// The problems of `POST /api/orders/{order_id}/cancel`.
    CancelOrderDenials { 400 "`invalid_id`", 404 "`order_not_found`", 409 "`order_paid`" }
}

/// The routes of orders.
pub struct Orders {
    /// The state that all routes share.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/api", tag = "Tags::Orders")]
impl Orders {
    /// Make an order from a hold
    #[oai(path = "/orders", method = "post", operation_id = "createOrder")]
    pub(super) async fn create(
        &self,
        caller: Caller,
        /// Makes retries safe: a request with the same key and body gets the response of the first success.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: Json<CreateOrder>,
    ) -> Result<OrderCreated, Denied<CreateOrderDenials>> {
        let CreateOrder { hold_id, order_id } = body.0;
        let chosen = order_id.map(|id| id.to_string()).unwrap_or_default();
        let keyed = key.keyed(&caller, Operation::Order, [hold_id.to_string(), chosen]);
        let app = Arc::clone(&self.app);
        let placed = self.app.run(async move { app.checkout.create_order(hold_id, order_id, keyed).await }).await?;
        let location = format!("/api/orders/{}", placed.order.id);
        let replayed = placed.replayed.then_some(true);
        Ok(OrderCreated::Created(Json(placed.into()), location, replayed))
    }

    /// Get an order
    #[oai(path = "/orders/:order_id", method = "get", operation_id = "getOrder")]
    async fn find(&self, order_id: Path<Uuid>) -> Result<Json<OrderBody>, Denied<FindOrderDenials>> {
        let app = Arc::clone(&self.app);
        let placed = self.app.run(async move { app.checkout.order(order_id.0).await }).await?;
        Ok(Json(placed.into()))
    }

    /// List all transitions of an order
    #[oai(path = "/orders/:order_id/events", method = "get", operation_id = "listOrderEvents")]
    async fn events(&self, order_id: Path<Uuid>) -> Result<Json<OrderEvents>, Denied<FindOrderDenials>> {
        let app = Arc::clone(&self.app);
        let events = self.app.run(async move { app.checkout.order_events(order_id.0).await }).await?;
        Ok(Json(OrderEvents { items: events.into_iter().map(OrderEventBody::from).collect() }))
    }

    /// Cancel an unpaid order
    #[oai(path = "/orders/:order_id/cancel", method = "post", operation_id = "cancelOrder")]
    async fn cancel(&self, order_id: Path<Uuid>) -> Result<Json<OrderBody>, Denied<CancelOrderDenials>> {
        let app = Arc::clone(&self.app);
        let placed = self.app.run(async move { app.checkout.cancel_order(order_id.0).await }).await?;
        Ok(Json(placed.into()))
    }
}
