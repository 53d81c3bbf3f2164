//! Routes of events: what is sold for them, and the maps of their seats.

use std::sync::Arc;

use poem_openapi::param::{Path, Query};
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::json::Json;
use super::paging::{filtered, read_page, read_time, write_cursor};
use super::problem::{Denied, Problem, denials};
use super::products::ProductBody;
use super::seat_maps::{SeatMapResponse, Wanted};
use super::tags::Tags;
use super::values::{Cursor, Timestamp, Word};
use crate::app::App;
use crate::checkout::{EventFilter, EventShown};
use crate::domain::{Caller, SaleStatus};

/// The name of the list of events in cursors.
const LIST: &str = "e";

/// Who holds an event.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Organizer")]
pub struct OrganizerBody {
    /// The organizer's id.
    pub(super) id: i64,
    /// The organizer's name.
    pub(super) name: String,
}

/// An event and what is sold for it.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Event", skip_serializing_if_is_none)]
pub struct EventBody {
    /// The event's id.
    id: i64,
    /// Who holds it.
    organizer: OrganizerBody,
    /// Its name.
    name: String,
    /// Where it is.
    venue: String,
    /// When it begins.
    starts_at: Timestamp,
    /// Whether tickets can be held now: the best of what is said of its ticket types.
    sale_status: Word<SaleStatus>,
    /// When the sale of its ticket types begins; absent: at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    sale_starts_at: Option<Timestamp>,
    /// When the sale of its ticket types is over; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    sale_ends_at: Option<Timestamp>,
    /// The most tickets of one buyer, of all ticket types together; absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_per_buyer: Option<i64>,
    /// When it was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled_at: Option<Timestamp>,
    /// Its ticket types that are not retired, by id. Each is a product.
    ticket_types: Vec<ProductBody>,
    /// The time of the read by the database's clock.
    server_time: Timestamp,
}

impl From<EventShown> for EventBody {
    fn from(EventShown { event, types, sale_status }: EventShown) -> Self {
        let details = event.details;
        Self {
            id: event.id,
            organizer: OrganizerBody { id: details.organizer_id, name: event.organizer },
            name: details.name,
            venue: details.venue,
            starts_at: Timestamp(details.starts_at),
            sale_status: Word(sale_status),
            sale_starts_at: details.sale_starts_at.map(Timestamp),
            sale_ends_at: details.sale_ends_at.map(Timestamp),
            max_per_buyer: details.max_per_buyer,
            cancelled_at: event.cancelled_at.map(Timestamp),
            ticket_types: types.into_iter().map(ProductBody::from).collect(),
            server_time: Timestamp(event.server_time),
        }
    }
}

/// One page of events, by their start.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "EventPage")]
pub struct EventPage {
    /// The events.
    items: Vec<EventBody>,
    /// The `cursor` of the next page; null on the last page.
    next_cursor: Cursor,
}

denials! {
    /// The problems of `GET /api/events`.
    ListEventsDenials { 400 "`invalid_limit`, `invalid_cursor`, `invalid_organizer_id`, `invalid_time`" }
}
denials! {
    /// The problems of `GET /api/events/{event_id}`.
    FindEventDenials { 400 "`invalid_id`", 404 "`event_not_found`" }
}

/// The routes of events.
pub struct Tickets {
    /// The state that all routes share.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/api", tag = "Tags::Events")]
impl Tickets {
    /// List events by their start, page by page
    ///
    /// Events that are over are listed, too: `starts_from` leaves them out.
    #[oai(path = "/events", method = "get", operation_id = "listEvents")]
    async fn list(
        &self,
        _caller: Caller,
        /// Only events of this organizer.
        organizer_id: Query<Option<i64>>,
        /// Only events that begin at this time or later (RFC 3339).
        starts_from: Query<Option<String>>,
        /// Only events that begin before this time (RFC 3339).
        starts_to: Query<Option<String>>,
        /// Events per page, 1 to 100; 20 by default.
        limit: Query<Option<u32>>,
        /// `next_cursor` of the previous page, for the same filters.
        cursor: Query<Option<String>>,
    ) -> Result<Json<EventPage>, Denied<ListEventsDenials>> {
        let time = |name, text: Option<String>| text.map(|text| read_time(name, &text)).transpose();
        let filter = EventFilter {
            organizer_id: organizer_id.0,
            starts_from: time("starts_from", starts_from.0)?,
            starts_to: time("starts_to", starts_to.0)?,
        };
        if filter.starts_from.zip(filter.starts_to).is_some_and(|(from, to)| from >= to) {
            return Err(Problem::bad_request("invalid_time", "`starts_from` must be before `starts_to`.").into());
        }
        let list = filtered(LIST, &filter);
        let (limit, behind) = read_page(&list, limit.0, cursor.0.as_deref())?;
        let app = Arc::clone(&self.app);
        let page = self.app.run(async move { app.checkout.list_events(&filter, behind, limit).await }).await?;
        Ok(Json(EventPage {
            items: page.items.into_iter().map(EventBody::from).collect(),
            next_cursor: Cursor(page.next.map(|place| write_cursor(&list, place))),
        }))
    }

    /// Get an event with its ticket types
    ///
    /// With its ticket types and what is left of each, as of one moment that is later than the request.
    #[oai(path = "/events/:event_id", method = "get", operation_id = "getEvent")]
    async fn find(&self, _caller: Caller, event_id: Path<i64>) -> Result<Json<EventBody>, Denied<FindEventDenials>> {
        Ok(Json(self.app.checkout.event(event_id.0).await?.into()))
    }

    /// Get the map of an event's seats
    ///
    /// It has no prices: the event has them. A reader that sends the tag of the map that it has gets 304 until a seat changes. The
    /// map is read after the request arrived, and is compressed for readers that accept gzip.
    #[oai(path = "/events/:event_id/seats", method = "get", operation_id = "getSeats")]
    async fn seats(
        &self,
        _caller: Caller,
        event_id: Path<i64>,
        /// `ETag` of the map as it was read before.
        #[oai(name = "If-None-Match")]
        wanted: Wanted,
    ) -> Result<SeatMapResponse, Denied<FindEventDenials>> {
        Ok(SeatMapResponse::new(self.app.checkout.seat_map(event_id.0).await?, wanted))
    }
}
