//! The route of the feed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use poem::http::StatusCode;
use poem_openapi::param::Query;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::access::feed_reader::FeedReader;
use super::json::Json;
use super::paging::{read_cursor, write_cursor};
use super::problem::{Denied, Problem, denials};
use super::tags::Tags;
use super::values::{JsonObject, Timestamp, Word};
use crate::app::App;
use crate::checkout::feed::reading::{FeedEvent, FeedPage, FeedPlace, FeedQuery};
use crate::domain::{Details, FeedType, Named as _};

/// The name of the feed in cursors.
const LIST: &str = "f";
/// The most events of a page.
const MOST: u32 = 1000;
/// How many events a page has unless the request says so.
const USUAL: u32 = 100;
/// The pause between two reads of one request.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest wait for an event, in seconds.
const WAIT: u32 = 30;

/// What an event is about. A field that an event does not have is absent. What stands here of an order is what never changes of it,
/// and its state right after the event.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "FeedData", skip_serializing_if_is_none)]
pub struct FeedData {
    /// The order.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<Uuid>,
    /// The hold, or that of which the order was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_id: Option<Uuid>,
    /// The units of the hold after the event; of a hold that has ended, those that went back on sale.
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<HeldUnits>>,
    /// When the hold runs out.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    /// The state of the order or hold after the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    /// Why it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The total of the order, in minor units of `currency`.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_minor: Option<i64>,
    /// ISO 4217 code.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    /// How much of the total was given back until then, in minor units of `currency`.
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded_minor: Option<i64>,
    /// The amount of the payment that the event is about, in minor units of `amount_currency`; absent: unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_minor: Option<i64>,
    /// ISO 4217 code.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_currency: Option<String>,
    /// The provider's event that caused it, as operators see it in the inbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_event_id: Option<i64>,
    /// The product.
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<i64>,
    /// The endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_id: Option<i64>,
    /// How many tickets.
    #[serde(skip_serializing_if = "Option::is_none")]
    tickets: Option<u64>,
    /// The buyer of the order or hold, as the storefront calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    buyer: Option<String>,
    /// The storefront's own name for the order or hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// What the storefront wrote on the order or hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<JsonObject>,
}

/// Units of a hold.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "HeldUnits")]
pub struct HeldUnits {
    /// The product.
    product_id: i64,
    /// How many units.
    qty: i64,
}

/// An event of the feed. A push has the same body.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "FeedEvent")]
pub struct FeedEventBody {
    /// Its name: the same whenever and however it is told.
    id: String,
    /// What happened. Types may be added; ignore those that are not known.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    kind: Word<FeedType>,
    /// When it happened.
    timestamp: Timestamp,
    /// Its position: events of one order have ascending positions in the order in which they happened.
    position: i64,
    /// What it is about.
    data: FeedData,
}

/// A part of the feed, the oldest event first.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "FeedPage")]
pub struct FeedPageBody {
    /// The events.
    items: Vec<FeedEventBody>,
    /// What to send as `after` in the next request, also when there were no events: keep it with what was made of them.
    next: String,
}

denials! {
    /// The problems of `GET /api/feed`.
    ReadFeedDenials {
        400 "`invalid_limit`, `invalid_cursor`, `invalid_types`, `invalid_wait`",
        410 "`cursor_reset`: positions begin anew since the database was restored or failed over; read from the beginning, and ignore \
             events that were seen",
    }
}

/// The route of the feed.
pub struct Feed {
    /// The state that all routes share.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/api", tag = "Tags::Feed")]
impl Feed {
    /// Read what happened
    ///
    /// Every event has its place in one order that never changes, and no event appears before one that was read. A storefront gets its
    /// own events and those of products, an operator all.
    #[oai(path = "/feed", method = "get", operation_id = "readFeed")]
    async fn read(
        &self,
        reader: FeedReader,
        /// `next` of the page before; without it, the feed is read from the beginning.
        after: Query<Option<String>>,
        /// Only events of these types, separated by commas.
        types: Query<Option<String>>,
        /// The most events, from 1 to 1000; 100 by default.
        limit: Query<Option<u32>>,
        /// How many seconds to wait for an event if there is none yet, from 0 to 30; 0 by default.
        wait: Query<Option<u32>>,
    ) -> Result<Json<FeedPageBody>, Denied<ReadFeedDenials>> {
        let limit = bounded("limit", limit.0.unwrap_or(USUAL), 1, MOST)?;
        let wait = bounded("wait", wait.0.unwrap_or(0), 0, WAIT)?;
        let after = after.0.as_deref().map(read_after).transpose()?;
        let types = types.0.as_deref().map(read_types).transpose()?.unwrap_or_default();
        let mut query = FeedQuery { after, types, limit: limit as usize };
        let (caller, until) = (reader.0, Instant::now() + Duration::from_secs(wait.into()));
        loop {
            let (app, caller, asked) = (Arc::clone(&self.app), caller.clone(), query.clone());
            let read = self.app.run(async move { app.checkout.read_feed(&caller, &asked).await });
            let page = read.await?.map_err(|_| cursor_reset())?;
            let now = Instant::now();
            if !page.items.is_empty() || now >= until || self.app.is_draining() {
                return Ok(Json(FeedPageBody::from(page)));
            }
            if page.is_last {
                tokio::select! {
                    _ = self.app.checkout.wait_for_feed(page.next, until - now) => {}
                    () = self.app.drained() => {}
                }
            }
            // events of others wake this reader, too
            sleep(PAUSE).await;
            query.after = Some(page.next);
        }
    }
}

fn bounded(name: &'static str, number: u32, least: u32, most: u32) -> Result<u32, Problem> {
    match (least..=most).contains(&number) {
        true => Ok(number),
        false => {
            let code = if name == "wait" { "invalid_wait" } else { "invalid_limit" };
            Err(Problem::bad_request(code, format!("`{name}` must be from {least} to {most}.")))
        }
    }
}

fn read_after(text: &str) -> Result<FeedPlace, Problem> {
    let detail = "`after` must be `next` of a previous page of the feed.";
    read_cursor(LIST, text).ok_or_else(|| Problem::bad_request("invalid_cursor", detail))
}

fn read_types(text: &str) -> Result<BTreeSet<&'static str>, Problem> {
    let known = |name: &str| FeedType::from_name(name).map(FeedType::as_str);
    let unknown = || {
        let names: Vec<&str> = FeedType::ALL.iter().map(|kind| kind.as_str()).collect();
        Problem::bad_request("invalid_types", format!("`types` must be some of {}.", names.join(", ")))
    };
    text.split(',').map(|name| known(name.trim()).ok_or_else(unknown)).collect()
}

fn cursor_reset() -> Problem {
    let detail =
        "Positions begin anew since the database was restored or failed over. Read the feed from the beginning.";
    Problem::new(StatusCode::GONE, "cursor_reset", detail)
}

impl From<FeedPage> for FeedPageBody {
    fn from(page: FeedPage) -> Self {
        Self {
            items: page.items.into_iter().filter_map(FeedEventBody::of).collect(),
            next: write_cursor(LIST, page.next),
        }
    }
}

impl FeedEventBody {
    /// Returns how an event is told; `None` for one of a type that only a later version knows.
    pub fn of(event: FeedEvent) -> Option<Self> {
        let kind = FeedType::from_name(&event.told.kind)?;
        let id = event.id();
        let (order, told) = (event.order, event.told);
        let details: Option<&Details> = event.details.as_deref();
        let item = |(product_id, qty)| HeldUnits { product_id, qty };
        let expires_at = told.expires_at_us.and_then(DateTime::from_timestamp_micros);
        let data = FeedData {
            order_id: told.order_id,
            hold_id: told.hold_id.or(order.as_ref().map(|order| order.hold_id)),
            items: told.items.map(|items| items.into_iter().map(item).collect()),
            expires_at: expires_at.map(|time| Timestamp(time.naive_utc())),
            status: told.status,
            reason: told.reason,
            total_minor: order.as_ref().map(|order| order.total_minor),
            currency: order.as_ref().map(|order| order.currency.clone()),
            refunded_minor: told.refunded_minor,
            amount_minor: told.amount_minor,
            amount_currency: told.amount_currency,
            payment_event_id: told.payment_event_id,
            product_id: told.product_id,
            endpoint_id: told.endpoint_id,
            tickets: told.tickets,
            buyer: details.and_then(|details| details.owner.buyer.as_deref()).map(str::to_owned),
            reference: details.and_then(|details| details.reference.clone()),
            metadata: details.and_then(Details::metadata_json).as_deref().and_then(JsonObject::read),
        };
        Some(Self { id, kind: Word(kind), timestamp: Timestamp(event.at), position: event.position, data })
    }
}
