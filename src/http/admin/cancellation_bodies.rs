//! The bodies of the route that cancels an event.

use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::{Deserialize, Serialize};

use crate::checkout::EventEnd;
use crate::domain::EndState;
use crate::http::values::{Timestamp, Word};

/// How an event is to be cancelled.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "CancelEvent", deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct CancelEvent {
    /// Whether nothing is to be changed: the answer has what there is to end, and the sum.
    #[serde(default)]
    #[oai(default)]
    pub(super) dry_run: bool,
    /// The sum that is due, as a dry run has told it; left out for an event without ticket types.
    pub(super) confirm_amount_minor: Option<i64>,
}

impl Example for CancelEvent {
    fn example() -> Self {
        Self { dry_run: true, confirm_amount_minor: None }
    }
}

/// What ends with an event, and how far its end is.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "EventEnd", skip_serializing_if_is_none)]
pub struct EventEndBody {
    /// The event's id.
    event_id: i64,
    /// How far the end of the event is.
    state: Word<EndState>,
    /// While the event goes on: its active holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    active_holds: Option<i64>,
    /// While the event goes on: orders with its units that are not paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_orders: Option<i64>,
    /// While the event goes on: paid orders with its units.
    #[serde(skip_serializing_if = "Option::is_none")]
    paid_orders: Option<i64>,
    /// The money that has to be given back: while the event goes on, what it would be; afterwards, the due refunds that are
    /// written. In minor units of `currency`; absent without ticket types.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_due_minor: Option<i64>,
    /// The currency of the event; absent without ticket types.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    /// When the event was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled_at: Option<Timestamp>,
    /// The operator who cancelled it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled_by: Option<String>,
    /// Since then: active holds that were ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    holds_ended: Option<i64>,
    /// Since then: unpaid orders that were cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    orders_cancelled: Option<i64>,
    /// Since then: due refunds that were written, whether they are given back by now or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    refunds_due: Option<i64>,
    /// When all of it had ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Timestamp>,
}

impl From<EventEnd> for EventEndBody {
    fn from(end: EventEnd) -> Self {
        let (amount_due_minor, sold, written) = (end.amount_due_minor(), end.sold, end.cancellation.as_ref());
        let state = match written {
            None => EndState::NotCancelled,
            Some(written) if written.finished_at.is_some() => EndState::Finished,
            Some(_) => EndState::Running,
        };
        Self {
            event_id: end.event_id,
            state: Word(state),
            active_holds: sold.map(|sold| sold.holds),
            pending_orders: sold.map(|sold| sold.pending),
            paid_orders: sold.map(|sold| sold.paid),
            amount_due_minor,
            currency: end.currency,
            cancelled_at: written.map(|written| Timestamp(written.cancelled_at)),
            cancelled_by: written.map(|written| written.cancelled_by.clone()),
            holds_ended: written.map(|written| written.holds_ended),
            orders_cancelled: written.map(|written| written.orders_cancelled),
            refunds_due: written.map(|written| written.refunds_due),
            finished_at: written.and_then(|written| written.finished_at).map(Timestamp),
        }
    }
}
