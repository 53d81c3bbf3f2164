//! Routes for operators about events: organizers, events, ticket types and seats.

use std::sync::Arc;

use poem_openapi::param::Path;
use poem_openapi::{ApiResponse, OpenApi};

use super::cancellation_bodies::{CancelEvent, EventEndBody};
use super::operator::Operator;
use super::products::{author, parts};
use super::ticket_bodies::{
    EventDraft, OrganizerDraft, SeatsBody, SeatsDraft, TicketTypeDraft, text_of_event, text_of_rows, text_of_type,
};
use crate::app::App;
use crate::checkout::Operation;
use crate::http::headers::IdempotencyKey;
use crate::http::json::Json;
use crate::http::large::LargeJson;
use crate::http::problem::{Denied, denials};
use crate::http::products::ProductBody;
use crate::http::tags::Tags;
use crate::http::tickets::{EventBody, OrganizerBody};

/// The response to a new organizer.
#[derive(ApiResponse)]
pub enum OrganizerCreated {
    /// The organizer is new.
    #[oai(status = 201)]
    Created(
        Json<OrganizerBody>,
        /// `true` if an earlier request with the same key created it.
        #[oai(header = "Idempotent-Replayed")]
        Option<bool>,
    ),
}

/// The response to a new event.
#[derive(ApiResponse)]
pub enum EventCreated {
    /// The event is new.
    #[oai(status = 201)]
    Created(
        Json<EventBody>,
        /// The path of the event.
        #[oai(header = "Location")]
        String,
        /// `true` if an earlier request with the same key created it.
        #[oai(header = "Idempotent-Replayed")]
        Option<bool>,
    ),
}

/// The response to a new ticket type.
#[derive(ApiResponse)]
pub enum TicketTypeCreated {
    /// The ticket type is new.
    #[oai(status = 201)]
    Created(
        Json<ProductBody>,
        /// The path of the ticket type as a product.
        #[oai(header = "Location")]
        String,
        /// A digest of the terms, for `If-Match`.
        #[oai(header = "ETag")]
        String,
        /// `true` if an earlier request with the same key created it.
        #[oai(header = "Idempotent-Replayed")]
        Option<bool>,
    ),
}

/// The response to new seats.
#[derive(ApiResponse)]
pub enum SeatsCreated {
    /// The seats are new.
    #[oai(status = 201)]
    Created(
        Json<SeatsBody>,
        /// `true` if an earlier request with the same key added them.
        #[oai(header = "Idempotent-Replayed")]
        Option<bool>,
    ),
}

denials! {
    /// The problems of `POST /api/admin/organizers`.
    CreateOrganizerDenials {
        400 "`invalid_idempotency_key`, `malformed_json`, `unreadable_body`",
        401 "`unauthorized`",
        403 "`admin_shut`: there is neither `HOLDFAST_ADMIN_TOKEN` nor a client with the role `admin`",
        408 "`body_timeout`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`, `invalid_organizer`, `idempotency_key_reuse`",
    }
}
denials! {
    /// The problems of `POST /api/admin/events`.
    CreateEventDenials {
        400 "`invalid_idempotency_key`, `malformed_json`, `unreadable_body`",
        401 "`unauthorized`",
        403 "`admin_shut`: there is neither `HOLDFAST_ADMIN_TOKEN` nor a client with the role `admin`",
        404 "`organizer_not_found`",
        408 "`body_timeout`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`, `invalid_event`, `idempotency_key_reuse`",
    }
}
denials! {
    /// The problems of `POST /api/admin/events/{event_id}/ticket-types`.
    CreateTicketTypeDenials {
        400 "`invalid_id`, `invalid_idempotency_key`, `malformed_json`, `unreadable_body`",
        401 "`unauthorized`",
        403 "`admin_shut`: there is neither `HOLDFAST_ADMIN_TOKEN` nor a client with the role `admin`",
        404 "`event_not_found`",
        408 "`body_timeout`",
        409 "`sku_taken`, with the `product_id` that has it; `event_cancelled`; `too_many_ticket_types`, with the `limit`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`, `invalid_product`, `idempotency_key_reuse`; `event_currency`: the other ticket types of the event have \
             another currency",
    }
}
denials! {
    /// The problems of `POST /api/admin/ticket-types/{product_id}/seats`.
    AddSeatsDenials {
        400 "`invalid_id`, `invalid_idempotency_key`, `malformed_json`, `unreadable_body`",
        401 "`unauthorized`",
        403 "`admin_shut`: there is neither `HOLDFAST_ADMIN_TOKEN` nor a client with the role `admin`",
        404 "`ticket_type_not_found`; `event_not_found`: its event was removed",
        408 "`body_timeout`",
        409 "`seat_exists`: a seat with this label exists, or the request names it twice; `seats` has the labels. \
             `event_cancelled`. `too_many_seats`, with the `limit` of the event and its seats, `yours`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`, `invalid_seats`, `idempotency_key_reuse`; `not_seated`: the ticket type is sold without seats",
    }
}

denials! {
    /// The problems of `POST /api/admin/events/{event_id}/cancel`.
    CancelEventDenials {
        400 "`invalid_id`, `malformed_json`, `unreadable_body`",
        401 "`unauthorized`",
        403 "`admin_shut`: there is neither `HOLDFAST_ADMIN_TOKEN` nor a client with the role `admin`",
        404 "`event_not_found`",
        408 "`body_timeout`",
        409 "`amount_changed`: another sum is due, `amount_due_minor`; nothing was cancelled",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`",
    }
}

/// The operators' routes about events.
pub struct AdminTickets {
    /// The state that all routes share.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/api/admin", tag = "Tags::Operators")]
impl AdminTickets {
    /// Create an organizer
    ///
    /// Names need not be unique: without a key, the same request again creates another organizer.
    #[oai(path = "/organizers", method = "post", operation_id = "createOrganizer")]
    async fn create_organizer(
        &self,
        operator: Operator,
        /// Makes retries safe: a request with the same key and body is applied once.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: Json<OrganizerDraft>,
    ) -> Result<OrganizerCreated, Denied<CreateOrganizerDenials>> {
        let name = body.0.name;
        let keyed = key.keyed(&operator.caller, Operation::Organizer, [name.clone()], None);
        let (app, author) = (Arc::clone(&self.app), author(&operator, None));
        let create = async move { app.checkout.create_organizer(&author, &name, keyed.as_ref()).await };
        let created = self.app.run(create).await?;
        let organizer = OrganizerBody { id: created.made.id, name: created.made.name };
        Ok(OrganizerCreated::Created(Json(organizer), created.replayed.then_some(true)))
    }

    /// Create an event
    ///
    /// Without a key, the same request again creates another event.
    #[oai(path = "/events", method = "post", operation_id = "createEvent")]
    async fn create_event(
        &self,
        operator: Operator,
        /// Makes retries safe: a request with the same key and body is applied once.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: Json<EventDraft>,
    ) -> Result<EventCreated, Denied<CreateEventDenials>> {
        let event = body.0.read()?;
        let keyed = key.keyed(&operator.caller, Operation::Event, [text_of_event(&event)], None);
        let (app, author) = (Arc::clone(&self.app), author(&operator, None));
        let create = async move {
            let created = app.checkout.create_event(&author, &event, keyed.as_ref()).await?;
            Ok((app.checkout.event(created.made).await?, created.replayed))
        };
        let (shown, replayed) = self.app.run(create).await?;
        let location = format!("/api/events/{}", shown.event.id);
        Ok(EventCreated::Created(Json(shown.into()), location, replayed.then_some(true)))
    }

    /// Create a ticket type of an event
    ///
    /// It is a product, which `PATCH /api/admin/products/{product_id}` changes. Without a key and a `sku`, the same request again
    /// creates another ticket type.
    #[oai(path = "/events/:event_id/ticket-types", method = "post", operation_id = "createTicketType")]
    async fn create_ticket_type(
        &self,
        operator: Operator,
        event_id: Path<i64>,
        /// Makes retries safe: a request with the same key and body is applied once.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: Json<TicketTypeDraft>,
    ) -> Result<TicketTypeCreated, Denied<CreateTicketTypeDenials>> {
        let (kind, draft) = body.0.read()?;
        let parts_of_key = [event_id.0.to_string(), text_of_type(kind, &draft)];
        let keyed = key.keyed(&operator.caller, Operation::TicketType, parts_of_key, None);
        let (app, author) = (Arc::clone(&self.app), author(&operator, None));
        let of_event = (event_id.0, kind);
        let create = async move { app.checkout.create_ticket_type(&author, of_event, &draft, keyed.as_ref()).await };
        let created = self.app.run(create).await?;
        let (body, location, tag) = parts(created.made);
        Ok(TicketTypeCreated::Created(body, location, tag, created.replayed.then_some(true)))
    }

    /// Add up to 50,000 seats to a seated ticket type, all of them or none
    ///
    /// The body may have 8 MiB. The stock of the ticket type grows with its seats. Without a key, the same request again is 409
    /// `seat_exists`, and adds nothing.
    #[oai(path = "/ticket-types/:product_id/seats", method = "post", operation_id = "addSeats")]
    async fn add_seats(
        &self,
        operator: Operator,
        product_id: Path<i64>,
        /// Makes retries safe: a request with the same key and body is applied once.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: LargeJson<SeatsDraft>,
    ) -> Result<SeatsCreated, Denied<AddSeatsDenials>> {
        let (app, author, caller) = (Arc::clone(&self.app), author(&operator, None), operator.caller.clone());
        let (product_id, sections) = (product_id.0, body.body);
        let add = async move {
            let rows = sections.read()?;
            let text = if key.0.is_some() { text_of_rows(&rows) } else { String::new() };
            let keyed = key.keyed(&caller, Operation::Seats, [product_id.to_string(), text], None);
            app.checkout.add_seats(&author, product_id, &rows, keyed.as_ref()).await
        };
        let added = self.app.run(add).await?;
        let body = SeatsBody { product_id, seats: added.made.seats, stock: added.made.stock };
        Ok(SeatsCreated::Created(Json(body), added.replayed.then_some(true)))
    }

    /// Cancel an event, or see what that costs
    ///
    /// With `dry_run`, nothing changes: the answer has what would end, and `amount_due_minor`, the money that would have to be given
    /// back. Without it, `confirm_amount_minor` must repeat that sum. Pause the ticket types first, so that it stays the same. From
    /// then on, no units of the event are held or sold. A worker ends its holds and unpaid orders, and writes a due refund for each
    /// charge, which `GET /api/admin/refunds` lists. The same request again, with any sum, is answered with how far that is.
    #[oai(path = "/events/:event_id/cancel", method = "post", operation_id = "cancelEvent")]
    async fn cancel_event(
        &self,
        operator: Operator,
        event_id: Path<i64>,
        body: Json<CancelEvent>,
    ) -> Result<Json<EventEndBody>, Denied<CancelEventDenials>> {
        let (app, author, event_id) = (Arc::clone(&self.app), author(&operator, None), event_id.0);
        let (dry_run, amount_minor) = (body.0.dry_run, body.0.confirm_amount_minor);
        // a sum of many orders may take longer than other use cases; a cancellation goes on in its task
        let end = match dry_run {
            true => self.app.run_to_its_end(async move { app.checkout.end_of_event(event_id).await }).await,
            false => {
                self.app.run(async move { app.checkout.cancel_event(&author, event_id, amount_minor).await }).await
            }
        };
        Ok(Json(end?.into()))
    }
}
