//! What a delivery is answered.

use tokio::time::Instant;

use crate::domain::payment::DeliveryStatus;
use crate::domain::{EventStatus, Named as _, OrderStatus, PaymentEvent};
use crate::telemetry;

/// The result of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The id of the event in the inbox.
    pub event_id: i64,
    /// The state of the event now.
    pub status: EventStatus,
    /// True when the event was delivered before.
    pub duplicate: bool,
    /// The state of its order, if there is one.
    pub order_status: Option<OrderStatus>,
}

impl Receipt {
    /// Returns the status in the response to the delivery.
    pub fn answer(&self) -> DeliveryStatus {
        match (self.duplicate, self.status) {
            (true, _) => DeliveryStatus::Duplicate,
            (false, EventStatus::Applied) => DeliveryStatus::Processed,
            (false, EventStatus::Ignored) => DeliveryStatus::Ignored,
            (false, EventStatus::Quarantined | EventStatus::Dead) => DeliveryStatus::Quarantined,
            (false, EventStatus::RefundDue | EventStatus::Refunded) => DeliveryStatus::RefundDue,
            (false, EventStatus::Parked) => DeliveryStatus::PendingOrder,
            (false, EventStatus::Received) => DeliveryStatus::Queued,
            (false, EventStatus::Unmatched) => DeliveryStatus::Unmatched,
        }
    }
}

/// One delivery of an event.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) event: PaymentEvent,
    pub(crate) arrived: Instant,
    /// How long the event may wait for its order, in seconds.
    pub(crate) park_seconds: u64,
}

/// Counts a delivery by its result.
pub(crate) fn record_delivery(receipt: Receipt, arrived: Instant) {
    if receipt.status != EventStatus::Received {
        telemetry::webhook_processed(arrived.elapsed());
    }
    telemetry::webhook_delivered(match (receipt.duplicate, receipt.status) {
        (true, _) => "duplicate",
        (false, EventStatus::Applied) => "processed",
        (false, EventStatus::Received) => "queued",
        (false, status) => status.as_str(),
    });
}
