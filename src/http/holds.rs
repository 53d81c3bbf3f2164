//! Routes of holds: short reservations of units.

use std::sync::Arc;

use poem_openapi::param::{Path, Query};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Serialize;
use uuid::Uuid;

use super::access::TokenHolder;
use super::access::taker::{Taker, held_counter};
use super::headers::IdempotencyKey;
use super::hold_bodies::{Asked, ChangeHold, CreateHold, HoldBody};
use super::json::Json;
use super::lists::{Listed, Sent};
use super::paging::write_cursor;
use super::problem::{Denied, Problem, denials};
use super::tags::Tags;
use super::values::{Cursor, Word};
use crate::app::App;
use crate::checkout::{Error, IdempotentRequest, NewCart, NewHold, NewLine, Operation, Skus, Taken};
use crate::domain::{Caller, Details, HoldStatus};

/// The name of the list of holds in cursors.
pub(super) const LIST: &str = "h";

/// Combines a key with the fingerprint of lines. One product without a hold to replace is the same request in both forms.
fn keyed(
    key: IdempotencyKey,
    caller: &Caller,
    lines: &[NewLine],
    replaces: Option<Uuid>,
    written: Option<&Details>,
) -> Option<IdempotentRequest> {
    match NewLine::single(lines).filter(|_| replaces.is_none()) {
        Some((product_id, qty)) => {
            key.keyed(caller, Operation::Hold, [product_id.to_string(), qty.to_string()], written)
        }
        None => key.keyed(caller, Operation::Hold, [NewLine::text_of(lines, replaces)], written),
    }
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
        404 "`product_not_found`; `hold_not_found`: there is no hold of this caller and buyer to replace",
        408 "`body_timeout`",
        409 "`all_held`: units in holds or unpaid orders may become available again, the first of them after `Retry-After`. \
             `sold_out`: not enough can. Both with `available_stock`. `sale_not_started`: with `sale_starts_at` and \
             `Retry-After`. `sale_ended`, `sale_paused`. With `items` in the request, the code is that of the worst line, and \
             `items` has each line that cannot be had. `hold_used` (with its `order_id`), `hold_expired`, `hold_released`: the \
             hold to replace is not active any more. `buyer_limit`: one buyer may have no more units of this product; \
             `held_units_limit`: one caller may hold no more units at a time. Both with `limit` and `yours`, and with `Retry-After` \
             while holds that have run out are being given back. `seat_taken`: some of the named seats are not free. \
             `seats_not_adjacent`: with `split: false`, not as many are free beside each other.",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_quantity`, `invalid_items`, `mixed_currencies`, `invalid_body`, `invalid_buyer`, `buyer_mismatch`, \
             `buyer_required`, `invalid_reference`, `invalid_metadata`, `idempotency_key_reuse`; `seats_required`: the units of \
             a seated ticket type are seats, which a line names or asks for with `best_available`; `seat_not_found`, `not_seated`; \
             `invalid_seats`: a seat is named twice, or lines of one ticket type ask for seats in different ways",
    }
}
denials! {
    /// The problems of `GET /api/holds/{hold_id}`.
    FindHoldDenials { 400 "`invalid_id`", 404 "`hold_not_found`" }
}
denials! {
    /// The problems of `PATCH /api/holds/{hold_id}`.
    ChangeHoldDenials {
        400 "`invalid_id`, `malformed_json`, `unreadable_body`",
        404 "`hold_not_found`",
        408 "`body_timeout`",
        409 "`hold_not_larger`: it has fewer units of `product_id`, `qty` of them. `hold_used` (with its `order_id`), \
             `hold_expired`, `hold_released`.",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`; `invalid_change`: no unit would be left, a product is named twice, `qty` stands for several products, \
             or some seats of a ticket type would be left: keep all of them or none",
    }
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
    /// Hold units of one product or several for a short time
    ///
    /// All of the units are reserved, or none, and never more than there are. The hold ends by itself at `expires_at`. With an
    /// `Idempotency-Key`, the request can be repeated until it has an answer.
    #[oai(path = "/holds", method = "post", operation_id = "createHold")]
    pub(super) async fn create(
        &self,
        taker: Taker,
        /// Makes retries safe: a request with the same key and body gets the response of the first success. A key is kept for 48
        /// hours at least; after that, it may count as a new one.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: Json<CreateHold>,
    ) -> Result<HoldCreated, Denied<CreateHoldDenials>> {
        let mut body = body.0;
        let asked = body.take_asked()?;
        let CreateHold { buyer, reference, metadata, .. } = body;
        let Taker { caller, address } = &taker;
        let details = Details::of_hold(caller, buyer, reference, metadata).map_err(Error::from)?;
        let held_on = address.and_then(|address| held_counter(caller, details.as_deref(), address));
        let operator = caller.operator_name().map(Arc::from);
        let checkout = &self.app.checkout;
        let Taken { hold, others, replayed } = match asked {
            Asked::One { product_id, qty } => {
                let parts = [product_id.to_string(), qty.to_string()];
                let keyed = key.keyed(caller, Operation::Hold, parts, details.as_deref());
                checkout.create_hold(NewHold { product_id, qty, keyed, details, held_on, operator }).await?
            }
            Asked::Cart { lines, replaces } => {
                let keyed = keyed(key, caller, &lines, replaces, details.as_deref());
                // boxed: they would enlarge the future of every hold
                let skus = Box::pin(self.skus(&lines)).await?;
                let cart = NewCart { lines, skus, replaces, keyed, details, held_on, operator };
                Box::pin(checkout.create_cart(cart)).await?
            }
        };
        let location = format!("/api/holds/{}", hold.id);
        Ok(HoldCreated::Created(Json(HoldBody::of(hold, &others)), location, replayed.then_some(true)))
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
            items: page.items.into_iter().filter_map(HoldBody::of_lines).collect(),
            next_cursor: Cursor(page.next.map(|place| write_cursor(&name, place))),
        }))
    }

    /// Get a hold, also after its end
    ///
    /// As it is now, also after it ended.
    #[oai(path = "/holds/:hold_id", method = "get", operation_id = "getHold")]
    async fn find(&self, caller: Caller, hold_id: Path<Uuid>) -> Result<Json<HoldBody>, Denied<FindHoldDenials>> {
        let app = Arc::clone(&self.app);
        let lines = self.app.run(async move { app.checkout.hold(&caller, hold_id.0).await }).await?;
        Ok(Json(HoldBody::of_lines(lines).ok_or_else(Problem::internal)?))
    }

    /// Keep fewer units of a hold
    ///
    /// The others are back on sale at once. A hold never gets more units. The same request again changes nothing.
    #[oai(path = "/holds/:hold_id", method = "patch", operation_id = "changeHold")]
    async fn change(
        &self,
        caller: Caller,
        hold_id: Path<Uuid>,
        body: Json<ChangeHold>,
    ) -> Result<Json<HoldBody>, Denied<ChangeHoldDenials>> {
        let (app, kept) = (Arc::clone(&self.app), body.0.read()?);
        let lines = self.app.run(async move { app.checkout.reduce_hold(&caller, hold_id.0, &kept).await }).await?;
        Ok(Json(HoldBody::of_lines(lines).ok_or_else(Problem::internal)?))
    }

    /// Release a hold before it expires
    ///
    /// Its units are on sale again at once, and exactly once. A hold that has ended stays as it is.
    #[oai(path = "/holds/:hold_id", method = "delete", operation_id = "releaseHold")]
    async fn release(&self, caller: Caller, hold_id: Path<Uuid>) -> Result<Json<HoldBody>, Denied<ReleaseHoldDenials>> {
        let app = Arc::clone(&self.app);
        let lines = self.app.run(async move { app.checkout.release_hold(&caller, hold_id.0).await }).await?;
        Ok(Json(HoldBody::of_lines(lines).ok_or_else(Problem::internal)?))
    }
}

impl Holds {
    /// Finds the products that lines name by their skus.
    async fn skus(&self, lines: &[NewLine]) -> Result<Skus, Error> {
        if !NewLine::any_sku(lines) {
            return Ok(Skus::default());
        }
        let (app, lines) = (Arc::clone(&self.app), lines.to_vec());
        self.app.run(async move { app.checkout.find_skus(&lines).await }).await
    }
}
