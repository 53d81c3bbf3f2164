//! The business "no": what was asked for is understood and cannot be had. Nothing was changed.

use uuid::Uuid;

/// Why a request is refused. [`Refusal::code`] is the stable name that clients program against.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such product.
    #[error("There is no product with this id.")]
    ProductNotFound,
    /// No such hold.
    #[error("There is no hold with this id.")]
    HoldNotFound,
    /// No such order.
    #[error("There is no order with this id.")]
    OrderNotFound,
    /// Not enough units, and none that could still come back.
    #[error("Not enough units are left, and none are held that could come back.")]
    SoldOut {
        /// Units on sale at that moment.
        available_stock: i64,
    },
    /// Not enough units now, but enough of them are in holds or unpaid orders.
    #[error("All units are held at the moment; some may come back.")]
    AllHeld {
        /// Units on sale at that moment.
        available_stock: i64,
        /// When the earliest of the held units comes back by itself, in whole seconds, at least 1.
        retry_after_seconds: u64,
    },
    /// A quantity outside 1 to the limit.
    #[error("The quantity must be a whole number from 1 to {max}.")]
    InvalidQuantity {
        /// The most units that one hold may ask for.
        max: i64,
    },
    /// The hold already became an order.
    #[error("This hold has already become an order.")]
    HoldUsed {
        /// That order.
        order_id: Uuid,
    },
    /// The hold ran out.
    #[error("This hold has run out; its units are on sale again.")]
    HoldExpired,
    /// The hold was given back.
    #[error("This hold was given back.")]
    HoldReleased,
    /// Another order has the id that the client chose.
    #[error("Another order already has this id.")]
    OrderIdTaken,
    /// A paid order cannot be given up.
    #[error("This order is paid; only a refund undoes that.")]
    OrderPaid,
    /// The event is not about money that waits to be given back.
    #[error("This payment event took no money that is due for refund or quarantined.")]
    NotRefundable,
    /// The charge of the event paid an order, and another event owns it.
    #[error(
        "The charge of this event pays an order under another event (`owner_event_id`): its money was not given back."
    )]
    ChargePaysOrder {
        /// The event that owns the charge.
        owner_event_id: i64,
        /// The order that it paid.
        order_id: Option<Uuid>,
    },
    /// The charge of the event is due for refund, and another event owns it.
    #[error("The charge of this event is due for refund under another event (`owner_event_id`): mark that one.")]
    ChargeDueElsewhere {
        /// The event that owns the charge.
        owner_event_id: i64,
        /// The order that it names.
        order_id: Option<Uuid>,
    },
    /// A success is never dismissed.
    #[error(
        "This event took money, which cannot be dismissed: replay it, or give the money back and mark that as done."
    )]
    SuccessNotDismissible,
    /// The event is not a quarantined failure or refund.
    #[error("Only a quarantined failure or refund can be dismissed.")]
    NotDismissible,
    /// The event states no positive amount that could be accepted.
    #[error("This event states no positive amount that could be accepted.")]
    AmountNotAcceptable,
    /// An audit is under way on this instance.
    #[error("An audit is under way; this instance does one at a time.")]
    AuditRunning,
    /// The same idempotency key came with another request.
    #[error("This idempotency key was already used with a different request.")]
    IdempotencyKeyReuse,
    /// No such payment event.
    #[error("There is no payment event with this id.")]
    EventNotFound,
    /// A payment event that has its outcome, or that a worker is going to try anyway.
    #[error("Only a dead, parked or quarantined event can be replayed.")]
    EventNotReplayable,
}

impl Refusal {
    /// The stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ProductNotFound => "product_not_found",
            Self::HoldNotFound => "hold_not_found",
            Self::OrderNotFound => "order_not_found",
            Self::SoldOut { .. } => "sold_out",
            Self::AllHeld { .. } => "all_held",
            Self::InvalidQuantity { .. } => "invalid_quantity",
            Self::HoldUsed { .. } => "hold_used",
            Self::HoldExpired => "hold_expired",
            Self::HoldReleased => "hold_released",
            Self::OrderIdTaken => "order_id_taken",
            Self::OrderPaid => "order_paid",
            Self::NotRefundable => "not_refundable",
            Self::ChargePaysOrder { .. } => "charge_pays_order",
            Self::ChargeDueElsewhere { .. } => "charge_due_elsewhere",
            Self::SuccessNotDismissible | Self::NotDismissible => "not_dismissible",
            Self::AmountNotAcceptable => "amount_not_acceptable",
            Self::AuditRunning => "audit_running",
            Self::IdempotencyKeyReuse => "idempotency_key_reuse",
            Self::EventNotFound => "payment_event_not_found",
            Self::EventNotReplayable => "not_replayable",
        }
    }
}
