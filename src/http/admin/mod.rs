//! Routes for operators, behind their tokens.

pub mod bodies;
pub mod cancellation_bodies;
pub mod clients;
pub mod endpoint_bodies;
pub mod endpoints;
pub mod issued_tickets;
pub mod metrics;
pub mod operator;
pub mod product_bodies;
pub mod products;
pub mod pushes;
pub mod report;
pub mod ticket_bodies;
pub mod tickets;

use std::sync::Arc;
use std::time::Duration;

use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::bodies::{
    Dismissal, EventBody, EventFileBody, EventPage, RefundBody, RefundDone, RefundPage, Replay, Replayed,
};
use self::operator::Operator;
use self::report::ReportBody;
use super::json::{Json, OptionalJson};
use super::paging::{filtered, read_page, read_time, write_cursor};
use super::problem::{Denied, Problem, denials};
use super::tags::Tags;
use super::values::{Cursor, Word};
use crate::app::App;
use crate::checkout::payments::lists::{EventFilter, Place};
use crate::domain::payment::Provider;
use crate::domain::{EventStatus, Named as _};

/// The longest note of an operator, in bytes.
const NOTE_BYTES: usize = 500;
/// The longest id of a charge, in bytes.
const CHARGE_BYTES: usize = 255;

denials! {
    /// The problems of the operators' lists.
    ListEventsDenials {
        400 "`invalid_limit`, `invalid_cursor`, `invalid_state`, `invalid_order_id`, `invalid_hold_id`, `invalid_charge`, \
             `invalid_provider`, `invalid_time`, `invalid_event_id`",
        401 "`unauthorized`",
        403 "`admin_shut`: there is neither `HOLDFAST_ADMIN_TOKEN` nor a client with the role `admin`",
    }
}
denials! {
    /// The problems of `GET /api/admin/payment-events/{event_id}`.
    FindEventDenials {
        400 "`invalid_id`",
        401 "`unauthorized`",
        403 "`admin_shut`: there is neither `HOLDFAST_ADMIN_TOKEN` nor a client with the role `admin`",
        404 "`payment_event_not_found`",
    }
}
denials! {
    /// The problems of operators' actions on an event.
    ActOnEventDenials {
        400 "`invalid_id`, `malformed_json`, `unreadable_body`",
        401 "`unauthorized`",
        403 "`admin_shut`: there is neither `HOLDFAST_ADMIN_TOKEN` nor a client with the role `admin`",
        404 "`payment_event_not_found`",
        408 "`body_timeout`",
        409 "`not_replayable`, `not_refundable`, `not_dismissible`: the event's state does not allow it; \
             `amount_not_acceptable`: the event states no positive amount; `charge_pays_order`, \
             `charge_due_elsewhere`: another event, `owner_event_id`, owns its charge",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`",
    }
}
denials! {
    /// The problems of `GET /api/admin/audit`.
    AuditDenials {
        401 "`unauthorized`",
        403 "`admin_shut`: there is neither `HOLDFAST_ADMIN_TOKEN` nor a client with the role `admin`",
        409 "`audit_running`: this instance runs one audit at a time",
    }
}

/// The time limit of an audit in a request: a connection that is idle for longer is closed.
const AUDIT_TIME: Duration = Duration::from_secs(60);

/// The routes of operators.
pub struct Admin {
    /// The state that all routes share.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/api/admin", tag = "Tags::Operators")]
impl Admin {
    /// List the payment events in the inbox
    ///
    /// With `state`, the oldest event is first, since it has waited longest; without `state`, the newest. All filters apply
    /// together. With several filters, a page before the last one may have fewer events than `limit`, or none.
    #[expect(clippy::too_many_arguments, reason = "one per filter, as the document shows them")]
    #[oai(path = "/payment-events", method = "get", operation_id = "listPaymentEvents")]
    async fn list_events(
        &self,
        _operator: Operator,
        /// Only events in this state.
        state: Query<Option<Word<EventStatus>>>,
        /// Only events that name this order or its hold.
        order_id: Query<Option<Uuid>>,
        /// Only events that name this hold or its order.
        hold_id: Query<Option<Uuid>>,
        /// Only events that name this charge (`txn_id`). Of events from earlier versions, only the one that owns it.
        charge: Query<Option<String>>,
        /// With `charge`: only events of this provider.
        provider: Query<Option<Word<Provider>>>,
        /// Only events first received at this time or later (RFC 3339).
        received_from: Query<Option<String>>,
        /// Only events first received before this time (RFC 3339).
        received_to: Query<Option<String>>,
        /// Events per page, 1 to 100; 20 by default.
        limit: Query<Option<u32>>,
        /// `next_cursor` of the previous page, for the same filters.
        cursor: Query<Option<String>>,
    ) -> Result<Json<EventPage>, Denied<ListEventsDenials>> {
        let (times, status) = ((received_from.0, received_to.0), state.0.map(|word| word.0));
        let filter = read_filter((order_id.0, hold_id.0), (charge.0, provider.0), times)?;
        let filter = EventFilter { status, ..filter };
        let list = cursor_list(status.map_or("all", EventStatus::as_str), &filter);
        let (limit, behind) = read_page(&list, limit.0, cursor.0.as_deref())?;
        let app = Arc::clone(&self.app);
        let place = Place { behind, limit };
        let page = self.app.run(async move { app.checkout.list_payment_events(&filter, place).await }).await?;
        Ok(Json(EventPage {
            items: page.items.into_iter().map(EventBody::from).collect(),
            next_cursor: Cursor(page.next_after.map(|id| write_cursor(&list, id))),
        }))
    }

    /// Get all data of a payment event
    ///
    /// What the provider sent, with its headers, and what became of it.
    #[oai(path = "/payment-events/:event_id", method = "get", operation_id = "getPaymentEvent")]
    async fn find_event(
        &self,
        _operator: Operator,
        event_id: Path<i64>,
    ) -> Result<Json<EventFileBody>, Denied<FindEventDenials>> {
        let app = Arc::clone(&self.app);
        let file = self.app.run(async move { app.checkout.payment_event(event_id.0).await }).await?;
        Ok(Json(file.into()))
    }

    /// Try a dead, parked or quarantined event again, now
    ///
    /// The event is applied as if it came now. Whatever has become of its order since counts; an event is applied once.
    #[oai(path = "/payment-events/:event_id/replay", method = "post", operation_id = "replayPaymentEvent")]
    async fn replay(
        &self,
        operator: Operator,
        event_id: Path<i64>,
        body: OptionalJson<Replay>,
    ) -> Result<Json<Replayed>, Denied<ActOnEventDenials>> {
        let Replay { accept_amount, note } = body.0.unwrap_or_default();
        let (accept_amount, note) = (accept_amount.unwrap_or(false), bounded_note(note)?);
        let app = Arc::clone(&self.app);
        let replay = async move { app.checkout.replay_event(&operator.name, event_id.0, accept_amount, &note).await };
        Ok(Json(self.app.run(replay).await?.into()))
    }

    /// Dismiss a quarantined failure or refund
    ///
    /// The event becomes `ignored` and changes nothing; the note stays in its history. A quarantined success stands for money
    /// and cannot be dismissed. A repeated request gets the same response, and the first note stays.
    #[oai(path = "/payment-events/:event_id/dismiss", method = "post", operation_id = "dismissPaymentEvent")]
    async fn dismiss(
        &self,
        operator: Operator,
        event_id: Path<i64>,
        body: Json<Dismissal>,
    ) -> Result<Json<EventBody>, Denied<ActOnEventDenials>> {
        let note = bounded_note(Some(body.0.note))?;
        if note.trim().is_empty() {
            return Err(Problem::unprocessable("invalid_body", "`note` must give the reason of the dismissal.").into());
        }
        let app = Arc::clone(&self.app);
        let line =
            self.app.run(async move { app.checkout.dismiss_event(&operator.name, event_id.0, &note).await }).await?;
        Ok(Json(line.into()))
    }

    /// List the money that must be refunded, the oldest first
    ///
    /// Charges that pay for nothing, and what is `due` of charges for events that were cancelled. The other filters are those of the
    /// inbox.
    #[expect(clippy::too_many_arguments, reason = "one per filter, as the document shows them")]
    #[oai(path = "/refunds", method = "get", operation_id = "listRefunds")]
    async fn list_refunds(
        &self,
        _operator: Operator,
        /// Only events that name this order or its hold.
        order_id: Query<Option<Uuid>>,
        /// Only events that name this hold or its order.
        hold_id: Query<Option<Uuid>>,
        /// Only events that name this charge (`txn_id`). Of events from earlier versions, only the one that owns it.
        charge: Query<Option<String>>,
        /// With `charge`: only events of this provider.
        provider: Query<Option<Word<Provider>>>,
        /// Only events first received at this time or later (RFC 3339).
        received_from: Query<Option<String>>,
        /// Only events first received before this time (RFC 3339).
        received_to: Query<Option<String>>,
        /// Only money that is due because this event was cancelled.
        event_id: Query<Option<i64>>,
        /// Events per page, 1 to 100; 20 by default.
        limit: Query<Option<u32>>,
        /// `next_cursor` of the previous page, for the same filters.
        cursor: Query<Option<String>>,
    ) -> Result<Json<RefundPage>, Denied<ListEventsDenials>> {
        let times = (received_from.0, received_to.0);
        let filter = read_filter((order_id.0, hold_id.0), (charge.0, provider.0), times)?;
        let filter = EventFilter { cancelled_event_id: event_id.0, ..filter };
        let list = cursor_list("refunds", &filter);
        let (limit, behind) = read_page(&list, limit.0, cursor.0.as_deref())?;
        let app = Arc::clone(&self.app);
        let place = Place { behind, limit };
        let page = self.app.run(async move { app.checkout.list_refunds_due(&filter, place).await }).await?;
        Ok(Json(RefundPage {
            items: page.items.into_iter().map(RefundBody::from).collect(),
            next_cursor: Cursor(page.next_after.map(|id| write_cursor(&list, id))),
        }))
    }

    /// Mark money as refunded by hand
    ///
    /// For a success that is `refund_due`, or whose charge has due refunds because events were cancelled, or one that is `quarantined` and was refunded instead of being replayed. A repeated
    /// request gets the same response. It is refused while another event owns the charge and the charge is not refunded.
    #[oai(path = "/refunds/:event_id/done", method = "post", operation_id = "markRefundDone")]
    async fn refund_done(
        &self,
        operator: Operator,
        event_id: Path<i64>,
        body: OptionalJson<RefundDone>,
    ) -> Result<Json<EventBody>, Denied<ActOnEventDenials>> {
        let note = bounded_note(body.0.unwrap_or_default().note)?;
        let app = Arc::clone(&self.app);
        let line =
            self.app.run(async move { app.checkout.refund_done(&operator.name, event_id.0, &note).await }).await?;
        Ok(Json(line.into()))
    }

    /// Audit all data in one snapshot, also during a sale
    ///
    /// The audit compares units of products with holds and orders, trails with states, and payment events with charges and
    /// orders. It locks nothing. The response comes when it is done, within a minute; after that it is 503 `audit_too_long`:
    /// run `holdfast audit` instead.
    #[oai(path = "/audit", method = "get", operation_id = "audit")]
    async fn audit(&self, _operator: Operator) -> Result<Json<ReportBody>, Denied<AuditDenials>> {
        let app = Arc::clone(&self.app);
        // dropping this handler ends the audit: the time is over, or the client has disconnected
        let ended = CancellationToken::new();
        let _ends_audit = ended.clone().drop_guard();
        let audit = async move { app.checkout.audit_until(&ended).await };
        let audited = timeout(AUDIT_TIME, self.app.run_to_its_end(audit));
        let too_long = "The tables are too large for an audit in a request; run `holdfast audit` instead.";
        let report = audited.await.map_err(|_| Problem::unavailable("audit_too_long", too_long))??;
        Ok(Json(report.into()))
    }
}

fn bounded_note(note: Option<String>) -> Result<String, Problem> {
    bounded_text("note", NOTE_BYTES, note.unwrap_or_default())
}

/// Refuses a text of more than `most` bytes.
fn bounded_text(field: &str, most: usize, text: String) -> Result<String, Problem> {
    match text.len() <= most {
        true => Ok(text),
        false => Err(Problem::unprocessable("invalid_body", format!("`{field}` must have at most {most} bytes."))),
    }
}

/// Parses the filters of a list, except its state.
fn read_filter(
    (order_id, hold_id): (Option<Uuid>, Option<Uuid>),
    (charge, provider): (Option<String>, Option<Word<Provider>>),
    (received_from, received_to): (Option<String>, Option<String>),
) -> Result<EventFilter, Problem> {
    let is_name = |name: &String| (1..=CHARGE_BYTES).contains(&name.len()) && !name.contains(char::is_control);
    if !charge.as_ref().is_none_or(is_name) {
        let detail = format!("`charge` must have 1 to {CHARGE_BYTES} bytes and no control characters.");
        return Err(Problem::bad_request("invalid_charge", detail));
    }
    if provider.is_some() && charge.is_none() {
        return Err(Problem::bad_request("invalid_provider", "`provider` is allowed only together with `charge`."));
    }
    let received_from = received_from.as_deref().map(|text| read_time("received_from", text)).transpose()?;
    let received_to = received_to.as_deref().map(|text| read_time("received_to", text)).transpose()?;
    if received_from.zip(received_to).is_some_and(|(from, to)| from >= to) {
        return Err(Problem::bad_request("invalid_time", "`received_from` must be before `received_to`."));
    }
    let provider = provider.map(|word| word.0);
    Ok(EventFilter { order_id, hold_id, charge, provider, received_from, received_to, ..EventFilter::default() })
}

/// Returns the name of the list that a cursor is bound to, with a digest of the filters, if there are any.
fn cursor_list(list: &str, filter: &EventFilter) -> String {
    if *filter == (EventFilter { status: filter.status, ..EventFilter::default() }) {
        return format!("{list}:");
    }
    filtered(list, filter)
}
