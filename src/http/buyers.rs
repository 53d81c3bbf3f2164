//! The route about one buyer.

use std::sync::Arc;

use poem_openapi::param::Query;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::access::TokenHolder;
use super::hold_bodies::HoldBody;
use super::issued_tickets::TicketBody;
use super::json::Json;
use super::lists::{Listed, Sent};
use super::orders::OrderBody;
use super::paging::write_cursor;
use super::problem::{Denied, denials};
use super::tags::Tags;
use super::values::{Cursor, Word};
use super::{holds, orders};
use crate::app::App;
use crate::checkout::OrderPlace;
use crate::domain::HoldStatus;

/// How many holds, orders and tickets an overview has at most.
const MOST: u32 = 50;

/// What a buyer has.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Buyer")]
pub struct BuyerBody {
    /// The buyer, as the storefront calls it.
    buyer: String,
    /// The newest active holds, at most 50.
    holds: Vec<HoldBody>,
    /// The `cursor` with which `GET /api/holds?state=active&buyer=…` goes on; null if there are no others.
    next_holds: Cursor,
    /// The newest orders, at most 50.
    orders: Vec<OrderBody>,
    /// The `cursor` with which `GET /api/orders?buyer=…` goes on; null if there are no others.
    next_orders: Cursor,
    /// The tickets of these orders, void ones too, at most 50; `GET /api/orders/{order_id}/tickets` has all of an order.
    tickets: Vec<TicketBody>,
    /// Whether these orders have more tickets.
    more_tickets: bool,
}

denials! {
    /// The problems of `GET /api/buyers`.
    FindBuyerDenials { 400 "`invalid_buyer`", 422 "`buyer_mismatch`" }
}

/// The route about one buyer.
pub struct Buyers {
    /// The state that all routes share.
    pub app: Arc<App>,
}

/// Returns the parameters of a list of what a buyer has.
fn of_buyer<Status>(buyer: &str, state: Option<Status>) -> Sent<Status> {
    Sent {
        state: state.map(Word),
        buyer: Some(buyer.to_owned()),
        reference: None,
        product_id: None,
        created_from: None,
        created_to: None,
        limit: Some(MOST),
        cursor: None,
    }
}

#[OpenApi(prefix_path = "/api", tag = "Tags::Orders")]
impl Buyers {
    /// Get what a buyer has
    ///
    /// A client gets what it has sold, an operator what all clients have. A buyer that is not known has nothing.
    #[oai(path = "/buyers", method = "get", operation_id = "getBuyer")]
    async fn find(
        &self,
        holder: TokenHolder,
        /// The buyer, as the storefront calls it.
        buyer: Query<String>,
    ) -> Result<Json<BuyerBody>, Denied<FindBuyerDenials>> {
        let (caller, buyer) = (holder.0, buyer.0);
        let of_holds: Listed<_, uuid::Uuid> = of_buyer(&buyer, Some(HoldStatus::Active)).read(holds::LIST, &caller)?;
        let of_orders: Listed<_, OrderPlace> = of_buyer(&buyer, None).read(orders::LIST, &caller)?;
        let (app, filters) = (Arc::clone(&self.app), (of_holds.filter, of_orders.filter));
        let read = async move { app.checkout.buyer(&caller, (&filters.0, &filters.1), MOST).await };
        let found = self.app.run(read).await?;
        let cursor = |name: &str, place: Option<String>| Cursor(place.map(|place| write_cursor(name, place)));
        Ok(Json(BuyerBody {
            buyer,
            holds: found.holds.items.into_iter().filter_map(HoldBody::of_lines).collect(),
            next_holds: cursor(&of_holds.name, found.holds.next.map(|place| place.to_string())),
            orders: found.orders.items.into_iter().map(OrderBody::from).collect(),
            next_orders: cursor(&of_orders.name, found.orders.next.map(|place| place.to_string())),
            tickets: found.tickets.into_iter().map(TicketBody::from).collect(),
            more_tickets: found.more_tickets,
        }))
    }
}
