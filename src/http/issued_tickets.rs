//! Routes of tickets: those of an order, and their redemption.

use std::sync::Arc;

use poem_openapi::param::Path;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::access::redeemer::Redeemer;
use super::headers::IdempotencyKey;
use super::json::Json;
use super::problem::{Denied, Problem, denials};
use super::tags::Tags;
use super::values::{Timestamp, Word};
use crate::app::App;
use crate::checkout::{Error, Redeem, Ticket};
use crate::domain::{Caller, Missing, Refusal, TicketCode, TicketStatus};

/// A ticket. Its code admits: keep it from everyone but its buyer.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Ticket", skip_serializing_if_is_none)]
pub struct TicketBody {
    /// The code: 28 digits of Crockford's base 32, the last two of which are check digits, in groups of four.
    code: String,
    /// The state.
    status: Word<TicketStatus>,
    /// The order.
    order_id: Uuid,
    /// The event.
    event_id: i64,
    /// The ticket type.
    product_id: i64,
    /// Which of the order's units of this ticket type it is for, from 1.
    unit: i64,
    /// Which of the tickets for this unit it is, from 1: all but the last one are void.
    issue: i64,
    /// The label of the seat, if its unit is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    seat: Option<String>,
    /// When it was made.
    issued_at: Timestamp,
    /// When it was redeemed.
    #[serde(skip_serializing_if = "Option::is_none")]
    redeemed_at: Option<Timestamp>,
    /// Where it was redeemed, if the request said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<String>,
    /// When it became void.
    #[serde(skip_serializing_if = "Option::is_none")]
    voided_at: Option<Timestamp>,
    /// Whether the payment of its order is disputed. It admits nevertheless.
    disputed: bool,
}

impl From<Ticket> for TicketBody {
    fn from(ticket: Ticket) -> Self {
        let place = ticket.place;
        Self {
            code: ticket.code.reveal(),
            status: Word(place.status),
            order_id: place.order_id,
            event_id: ticket.event_id,
            product_id: place.product_id,
            unit: place.unit,
            issue: place.issue,
            seat: ticket.seat,
            issued_at: Timestamp(ticket.issued_at),
            redeemed_at: ticket.redeemed_at.map(Timestamp),
            gate: ticket.gate,
            voided_at: ticket.voided_at.map(Timestamp),
            disputed: ticket.disputed,
        }
    }
}

/// The tickets of an order.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Tickets")]
pub struct TicketsBody {
    /// By ticket type, unit and issue.
    items: Vec<TicketBody>,
}

/// Where a ticket is redeemed.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "Redeem", deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct RedeemTicket {
    /// The caller's own name for the place, 1 to 64 characters: what it says is told when the ticket comes again.
    gate: Option<String>,
}

impl Example for RedeemTicket {
    fn example() -> Self {
        Self { gate: Some("north".to_owned()) }
    }
}

/// The response to a redemption.
#[derive(ApiResponse)]
pub enum TicketRedeemed {
    /// The ticket admits now, and never again.
    #[oai(status = 200)]
    Redeemed(
        Json<TicketBody>,
        /// `true` if an earlier request with the same key redeemed it.
        #[oai(header = "Idempotent-Replayed")]
        Option<bool>,
    ),
}

denials! {
    /// The problems of `GET /api/orders/{order_id}/tickets`.
    OrderTicketsDenials { 400 "`invalid_id`", 404 "`order_not_found`" }
}
denials! {
    /// The problems of `POST /api/tickets/{code}/redeem`.
    RedeemTicketDenials {
        400 "`invalid_idempotency_key`, `malformed_json`, `unreadable_body`",
        401 "`unauthorized`",
        403 "`forbidden`",
        404 "`ticket_not_found`",
        408 "`body_timeout`",
        409 "`already_redeemed`, with `redeemed_at` and `gate`; `ticket_void`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`, `invalid_gate`; `idempotency_key_reuse`: the first request with the key was for another `gate`",
    }
}

/// Reads a code in a path. No text that was sent is part of the problem.
///
/// # Errors
/// 404 `ticket_not_found`: the check digits show that no ticket has it.
pub(super) fn read_code(text: &str) -> Result<TicketCode, Problem> {
    TicketCode::parse(text).ok_or_else(|| Error::from(Refusal::Missing(Missing::Ticket)).into())
}

/// The routes of tickets.
pub struct IssuedTickets {
    /// The state that all routes share.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/api")]
impl IssuedTickets {
    /// List the tickets of an order
    ///
    /// Each paid unit of a ticket type has one ticket that is not void, unless all of the payment was given back. An order that is not
    /// paid has none.
    #[oai(path = "/orders/:order_id/tickets", method = "get", operation_id = "listOrderTickets", tag = "Tags::Orders")]
    async fn of_order(
        &self,
        caller: Caller,
        order_id: Path<Uuid>,
    ) -> Result<Json<TicketsBody>, Denied<OrderTicketsDenials>> {
        let app = Arc::clone(&self.app);
        let tickets = self.app.run(async move { app.checkout.order_tickets(&caller, order_id.0).await }).await?;
        Ok(Json(TicketsBody { items: tickets.into_iter().map(TicketBody::from).collect() }))
    }

    /// Redeem a ticket
    ///
    /// It admits once. The letters of the code may be of either case, and its hyphens may be missing.
    #[oai(path = "/tickets/:code/redeem", method = "post", operation_id = "redeemTicket", tag = "Tags::Gate")]
    async fn redeem(
        &self,
        redeemer: Redeemer,
        code: Path<String>,
        /// Makes retries safe: the same request for the same ticket with the same key gets the response of the first one, whenever it
        /// is sent.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: Json<RedeemTicket>,
    ) -> Result<TicketRedeemed, Denied<RedeemTicketDenials>> {
        let request = Redeem {
            code: read_code(&code.0)?,
            gate: body.0.gate,
            redeemed_by: redeemer.name,
            key: key.identity(&redeemer.caller),
        };
        let redeemed = self.app.checkout.redeem_ticket(request).await?;
        Ok(TicketRedeemed::Redeemed(Json(redeemed.made.into()), redeemed.replayed.then_some(true)))
    }
}
