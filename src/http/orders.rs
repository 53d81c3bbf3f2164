//! Routes of orders and of their audit trails.

use std::sync::Arc;

use poem_openapi::param::{Path, Query};
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::access::TokenHolder;
use super::headers::IdempotencyKey;
use super::hold_bodies::written;
use super::json::Json;
use super::lists::{Listed, Sent};
use super::paging::write_cursor;
use super::problem::{Denied, denials};
use super::tags::Tags;
use super::values::{Cursor, Timestamp, Word};
use crate::app::App;
use crate::checkout::{Error, Item, NewOrder, Operation, Placed, Reason, TrailEntry};
use crate::domain::{Caller, Details, Metadata, OrderStatus, Owner};

/// The name of the list of orders in cursors.
pub(super) const LIST: &str = "o";

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
    /// The caller's own name for the order, not unique: 1 to 128 visible ASCII characters.
    #[serde(default)]
    reference: Option<String>,
    /// Texts that are kept and returned: at most 20, keys of up to 40 characters, values of up to 500, 2048 bytes of JSON together
    /// with `reference`.
    #[serde(default)]
    metadata: Option<Metadata>,
}

impl Example for CreateOrder {
    fn example() -> Self {
        Self { hold_id: Uuid::nil(), order_id: None, reference: None, metadata: None }
    }
}

/// A product in an order.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "OrderItem", skip_serializing_if_is_none)]
pub struct ItemBody {
    /// The product's id.
    product_id: i64,
    /// Number of units.
    qty: i64,
    /// Price of one unit, in minor units of the order's currency.
    unit_price_minor: i64,
    /// The labels of its seats, if its units are seats. After their units went back on sale, those that it had.
    #[serde(skip_serializing_if = "Option::is_none")]
    seats: Option<Vec<String>>,
}

/// An order.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Order", skip_serializing_if_is_none)]
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
    /// The buyer of the hold, as the caller named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    buyer: Option<String>,
    /// The caller's own name for the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// What the caller wrote on the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
}

impl From<Placed> for OrderBody {
    fn from(placed: Placed) -> Self {
        let item = |item: Item| ItemBody {
            product_id: item.product_id,
            qty: item.qty,
            unit_price_minor: item.unit_price_minor,
            seats: item.labels().map(<[String]>::to_vec),
        };
        let (buyer, reference, metadata) = written(placed.details.as_deref());
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
            buyer,
            reference,
            metadata,
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

/// One page of orders, the newest first.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "OrderPage")]
pub struct OrderPage {
    /// The orders.
    items: Vec<OrderBody>,
    /// The `cursor` of the next page; null on the last page.
    next_cursor: Cursor,
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
    /// The problems of `GET /api/orders`.
    ListOrdersDenials {
        400 "`invalid_limit`, `invalid_cursor`, `invalid_state`, `invalid_buyer`, `invalid_reference`, `invalid_product_id`, \
             `invalid_time`",
        422 "`buyer_mismatch`",
    }
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
        422 "`invalid_body`, `invalid_reference`, `invalid_metadata`, `idempotency_key_reuse`",
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
    ///
    /// A hold becomes one order, however often this is asked. Its units stay reserved until `pay_by`. A payment that came
    /// before its order settles it at once.
    #[oai(path = "/orders", method = "post", operation_id = "createOrder")]
    pub(super) async fn create(
        &self,
        caller: Caller,
        /// Makes retries safe: a request with the same key and body gets the response of the first success. A key is kept for 48
        /// hours at least; after that, it may count as a new one.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: Json<CreateOrder>,
    ) -> Result<OrderCreated, Denied<CreateOrderDenials>> {
        let CreateOrder { hold_id, order_id, reference, metadata } = body.0;
        // the buyer is that of the hold; here it makes the key of one buyer another request than that of another
        let owner = Owner { client_id: None, buyer: caller.buyer().cloned() };
        let written = Details::of(owner, reference, metadata).map_err(Error::from)?;
        let chosen = order_id.map(|id| id.to_string()).unwrap_or_default();
        let keyed = key.keyed(&caller, Operation::Order, [hold_id.to_string(), chosen], written.as_deref());
        let app = Arc::clone(&self.app);
        let new = NewOrder { hold_id, order_id, keyed, caller, written };
        let placed = self.app.run(async move { app.checkout.create_order(new).await }).await?;
        let location = format!("/api/orders/{}", placed.order.id);
        let replayed = placed.replayed.then_some(true);
        Ok(OrderCreated::Created(Json(placed.into()), location, replayed))
    }

    /// List orders, the newest first
    ///
    /// A client gets its own, an operator all. All filters apply together. With `state` or `product_id`, a page before the last one
    /// may have fewer orders than `limit`, or none.
    #[expect(clippy::too_many_arguments, reason = "one per filter, as the document shows them")]
    #[oai(path = "/orders", method = "get", operation_id = "listOrders")]
    async fn list(
        &self,
        holder: TokenHolder,
        /// Only orders in this state.
        state: Query<Option<Word<OrderStatus>>>,
        /// Only orders of this buyer.
        buyer: Query<Option<String>>,
        /// Only orders with this reference.
        reference: Query<Option<String>>,
        /// Only orders of this product.
        product_id: Query<Option<i64>>,
        /// Only orders created at this time or later (RFC 3339).
        created_from: Query<Option<String>>,
        /// Only orders created before this time (RFC 3339).
        created_to: Query<Option<String>>,
        /// Orders per page, 1 to 100; 20 by default.
        limit: Query<Option<u32>>,
        /// `next_cursor` of the previous page, for the same filters.
        cursor: Query<Option<String>>,
    ) -> Result<Json<OrderPage>, Denied<ListOrdersDenials>> {
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
        let list = async move { app.checkout.list_orders(&caller, &filter, behind, limit).await };
        let page = self.app.run(list).await?;
        Ok(Json(OrderPage {
            items: page.items.into_iter().map(OrderBody::from).collect(),
            next_cursor: Cursor(page.next.map(|place| write_cursor(&name, place))),
        }))
    }

    /// Get an order
    ///
    /// As it is now. A paid order stays paid until its payment is given back.
    #[oai(path = "/orders/:order_id", method = "get", operation_id = "getOrder")]
    async fn find(&self, caller: Caller, order_id: Path<Uuid>) -> Result<Json<OrderBody>, Denied<FindOrderDenials>> {
        let app = Arc::clone(&self.app);
        let placed = self.app.run(async move { app.checkout.order(&caller, order_id.0).await }).await?;
        Ok(Json(placed.into()))
    }

    /// List all transitions of an order
    ///
    /// Each change of the state, in its order, with the payment event that caused it. A trail is never changed.
    #[oai(path = "/orders/:order_id/events", method = "get", operation_id = "listOrderEvents")]
    async fn events(
        &self,
        caller: Caller,
        order_id: Path<Uuid>,
    ) -> Result<Json<OrderEvents>, Denied<FindOrderDenials>> {
        let app = Arc::clone(&self.app);
        let events = self.app.run(async move { app.checkout.order_events(&caller, order_id.0).await }).await?;
        Ok(Json(OrderEvents { items: events.into_iter().map(OrderEventBody::from).collect() }))
    }

    /// Cancel an unpaid order
    ///
    /// Its units are on sale again at once, and exactly once. A paid order cannot be cancelled; a payment that comes later is
    /// given back, or pays it if there are units.
    #[oai(path = "/orders/:order_id/cancel", method = "post", operation_id = "cancelOrder")]
    async fn cancel(
        &self,
        caller: Caller,
        order_id: Path<Uuid>,
    ) -> Result<Json<OrderBody>, Denied<CancelOrderDenials>> {
        let app = Arc::clone(&self.app);
        let placed = self.app.run(async move { app.checkout.cancel_order(&caller, order_id.0).await }).await?;
        Ok(Json(placed.into()))
    }
}
