//! Routes for operators about tickets: the door list of an event, and other codes.

use std::sync::Arc;

use poem_openapi::param::{Path, Query};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Serialize;

use super::operator::Operator;
use crate::app::App;
use crate::domain::TicketStatus;
use crate::http::headers::IdempotencyKey;
use crate::http::issued_tickets::{TicketBody, read_code};
use crate::http::json::Json;
use crate::http::paging::{filtered, read_page, write_cursor};
use crate::http::problem::{Denied, denials};
use crate::http::tags::Tags;
use crate::http::values::{Cursor, Word};

/// The name of the door list in cursors.
const LIST: &str = "t";

/// One page of the tickets for an event.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "TicketPage")]
pub struct TicketPage {
    /// The tickets: the valid ones, the redeemed ones, the void ones, each by order, ticket type and unit.
    items: Vec<TicketBody>,
    /// The `cursor` of the next page; null on the last page.
    next_cursor: Cursor,
}

/// The response to a request for another code.
#[derive(ApiResponse)]
pub enum TicketReissued {
    /// The ticket with the new code.
    #[oai(status = 201)]
    Created(
        Json<TicketBody>,
        /// `true` if an earlier request with the same key made it.
        #[oai(header = "Idempotent-Replayed")]
        Option<bool>,
    ),
}

denials! {
    /// The problems of `GET /api/admin/events/{event_id}/tickets`.
    ListTicketsDenials {
        400 "`invalid_id`, `invalid_limit`, `invalid_cursor`, `invalid_status`",
        401 "`unauthorized`",
        403 "`admin_shut`: there is neither `HOLDFAST_ADMIN_TOKEN` nor a client with the role `admin`",
        404 "`event_not_found`",
    }
}
denials! {
    /// The problems of `POST /api/admin/tickets/{code}/reissue`.
    ReissueTicketDenials {
        400 "`invalid_idempotency_key`",
        401 "`unauthorized`",
        403 "`admin_shut`: there is neither `HOLDFAST_ADMIN_TOKEN` nor a client with the role `admin`",
        404 "`ticket_not_found`",
        409 "`already_redeemed`, with `redeemed_at` and `gate`; `ticket_void`",
    }
}

/// The operators' routes about tickets.
pub struct AdminIssuedTickets {
    /// The state that all routes share.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/api/admin", tag = "Tags::Operators")]
impl AdminIssuedTickets {
    /// List the tickets for an event, page by page
    ///
    /// A ticket that changes its state meanwhile may be listed in both, and is never left out.
    #[oai(path = "/events/:event_id/tickets", method = "get", operation_id = "listEventTickets")]
    async fn list(
        &self,
        _operator: Operator,
        event_id: Path<i64>,
        /// Only tickets in this state.
        status: Query<Option<Word<TicketStatus>>>,
        /// Tickets per page, 1 to 100; 20 by default.
        limit: Query<Option<u32>>,
        /// `next_cursor` of the previous page, for the same event and state.
        cursor: Query<Option<String>>,
    ) -> Result<Json<TicketPage>, Denied<ListTicketsDenials>> {
        let (event_id, status) = (event_id.0, status.0.map(|word| word.0));
        let name = filtered(LIST, (event_id, status));
        let (limit, behind) = read_page(&name, limit.0, cursor.0.as_deref())?;
        let app = Arc::clone(&self.app);
        let list = async move { app.checkout.event_tickets(event_id, status, behind, limit).await };
        let page = self.app.run(list).await?;
        Ok(Json(TicketPage {
            items: page.items.into_iter().map(TicketBody::from).collect(),
            next_cursor: Cursor(page.next.map(|place| write_cursor(&name, place))),
        }))
    }

    /// Give a valid ticket another code
    ///
    /// The old code is void from then on. Without a key, the same request again is 409 `ticket_void`: the tickets of the order have the
    /// new code.
    #[oai(path = "/tickets/:code/reissue", method = "post", operation_id = "reissueTicket")]
    async fn reissue(
        &self,
        operator: Operator,
        code: Path<String>,
        /// Makes retries safe: the same request for the same code with the same key gets the response of the first one, whenever it is
        /// sent.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
    ) -> Result<TicketReissued, Denied<ReissueTicketDenials>> {
        let (app, code, key) = (Arc::clone(&self.app), read_code(&code.0)?, key.identity(&operator.caller));
        let reissue = async move { app.checkout.reissue_ticket(&operator.name, code, &key).await };
        let reissued = self.app.run(reissue).await?;
        Ok(TicketReissued::Created(Json(reissued.made.into()), reissued.replayed.then_some(true)))
    }
}
