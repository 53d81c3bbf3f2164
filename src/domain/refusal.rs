//! Refusals: the request is valid and cannot be fulfilled. Nothing was changed.

use chrono::NaiveDateTime;
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
    /// Not enough units, even if all that can come back did.
    #[error("Not enough units are left, even with those in holds and unpaid orders.")]
    SoldOut {
        /// Units on sale at that moment.
        available_stock: i64,
    },
    /// Not enough units now, but enough of them are in holds or unpaid orders.
    #[error("Not enough units are on sale now; those in holds or unpaid orders may become available again.")]
    AllHeld {
        /// Units on sale at that moment.
        available_stock: i64,
        /// Whole seconds until the first of the held units becomes available by expiry; at least 1.
        retry_after_seconds: u64,
    },
    /// The sale of the product has not begun.
    #[error("The sale of this product has not begun.")]
    SaleNotStarted {
        /// When it begins, UTC.
        sale_starts_at: NaiveDateTime,
        /// Whole seconds until then; at least 1.
        retry_after_seconds: u64,
    },
    /// The sale of the product is over.
    #[error("The sale of this product is over.")]
    SaleEnded,
    /// The sale of the product is paused.
    #[error("The sale of this product is paused.")]
    SalePaused,
    /// A field of a product has a value that it cannot have.
    #[error("`{field}` {reason}.")]
    InvalidProduct {
        /// The field.
        field: &'static str,
        /// What it must be.
        reason: String,
    },
    /// Another product has the sku.
    #[error("Another product has this sku.")]
    SkuTaken {
        /// That product.
        product_id: i64,
    },
    /// An update names another stock than the product has.
    #[error("The stock of a product is changed by `POST /api/admin/products/{{product_id}}/stock` alone.")]
    StockNotHere,
    /// Fewer units than are reserved.
    #[error("The stock cannot be less than the {reserved} units that are in holds and orders or sold.")]
    StockReserved {
        /// The smallest possible stock.
        reserved: i64,
        /// The most units that can be taken off.
        available_stock: i64,
    },
    /// The product is not the one that `If-Match` names.
    #[error("The product has changed since its `ETag` was read.")]
    PreconditionFailed,
    /// Some lines of a list cannot be fulfilled.
    #[error("{} of the lines cannot be applied; nothing was changed.", .0.len())]
    InvalidLines(Vec<(usize, Refusal)>),
    /// A quantity outside 1 to the limit.
    #[error("The quantity must be a whole number from 1 to {max}.")]
    InvalidQuantity {
        /// The most units that one hold may have.
        max: i64,
    },
    /// The buyer in the body is not the one that the caller is narrowed to.
    #[error("`buyer` differs from the buyer in `Holdfast-Buyer` or in the token.")]
    BuyerMismatch,
    /// A buyer's name of the wrong form.
    #[error("`buyer` must have 1 to 128 visible ASCII characters.")]
    InvalidBuyer,
    /// A reference of the wrong form.
    #[error("`reference` must have 1 to 128 visible ASCII characters.")]
    InvalidReference,
    /// Metadata out of its bounds.
    #[error(
        "`metadata` must be an object of at most 20 texts: keys of 1 to 40 characters, values of at most 500, and at most \
         2048 bytes of JSON together with the reference."
    )]
    InvalidMetadata,
    /// The hold already became an order.
    #[error("This hold has already become an order.")]
    HoldUsed {
        /// That order.
        order_id: Uuid,
    },
    /// The hold expired.
    #[error("This hold has expired; its units are on sale again.")]
    HoldExpired,
    /// The hold was released.
    #[error("This hold was released.")]
    HoldReleased,
    /// Another order has the id that the client chose.
    #[error("Another order already has this id.")]
    OrderIdTaken,
    /// A paid order cannot be cancelled.
    #[error("This order is paid and cannot be cancelled; only a refund reverses the payment.")]
    OrderPaid,
    /// The event has no money that may be marked as refunded.
    #[error("This payment event has no money that is due for refund or quarantined.")]
    NotRefundable,
    /// The charge of the event paid an order, and another event owns it.
    #[error(
        "The charge of this event pays an order under another event (`owner_event_id`): its money was not refunded."
    )]
    ChargePaysOrder {
        /// The event that owns the charge.
        owner_event_id: i64,
        /// The order that it paid.
        order_id: Option<Uuid>,
    },
    /// The charge of the event is due for refund, and another event owns it.
    #[error(
        "The charge of this event is due for refund under another event (`owner_event_id`): mark that one as refunded."
    )]
    ChargeDueElsewhere {
        /// The event that owns the charge.
        owner_event_id: i64,
        /// The order that it names.
        order_id: Option<Uuid>,
    },
    /// A success cannot be dismissed.
    #[error(
        "This event stands for money and cannot be dismissed: replay it, or refund the money and mark it as refunded."
    )]
    SuccessNotDismissible,
    /// The event is not a quarantined failure or refund.
    #[error("Only a quarantined failure or refund can be dismissed.")]
    NotDismissible,
    /// The event states no positive amount that could be accepted.
    #[error("This event states no positive amount that could be accepted.")]
    AmountNotAcceptable,
    /// An audit is under way on this instance.
    #[error("An audit is under way; this instance runs one at a time.")]
    AuditRunning,
    /// The same idempotency key came with another request.
    #[error("This idempotency key was already used with a different request.")]
    IdempotencyKeyReuse,
    /// Another client has the name.
    #[error("A client has or had this name.")]
    ClientExists,
    /// No such client.
    #[error("There is no such client.")]
    ClientNotFound,
    /// The client was revoked.
    #[error("This client was revoked; add another one.")]
    ClientRevoked,
    /// A name that no client can have.
    #[error("The name must be 1 to 64 visible ASCII characters, and neither `operator` nor `command-line`.")]
    InvalidClientName,
    /// A name that no key can have.
    #[error("`kid` must be 1 to 64 visible ASCII characters.")]
    InvalidKid,
    /// A text that is no public key.
    #[error("`public_key` must be an Ed25519 public key: PEM, or the base64 of its DER file or its 32 bytes.")]
    InvalidPublicKey,
    /// Only storefronts have buyers.
    #[error("Only a storefront signs tokens for buyers.")]
    NotAStorefront,
    /// The client has another key with this name.
    #[error("The client has another key with this `kid`.")]
    ClientKeyExists,
    /// The client has as many keys as it may have.
    #[error("A client has at most four keys; remove one first.")]
    TooManyClientKeys,
    /// No such key.
    #[error("The client has no key with this `kid`.")]
    ClientKeyNotFound,
    /// No such payment event.
    #[error("There is no payment event with this id.")]
    EventNotFound,
    /// The event has its outcome, or a worker will try it anyway.
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
            Self::SaleNotStarted { .. } => "sale_not_started",
            Self::SaleEnded => "sale_ended",
            Self::SalePaused => "sale_paused",
            Self::InvalidProduct { .. } => "invalid_product",
            Self::SkuTaken { .. } => "sku_taken",
            Self::StockNotHere => "stock_not_here",
            Self::StockReserved { .. } => "stock_reserved",
            Self::PreconditionFailed => "precondition_failed",
            Self::InvalidLines(_) => "invalid_lines",
            Self::InvalidQuantity { .. } => "invalid_quantity",
            Self::BuyerMismatch => "buyer_mismatch",
            Self::InvalidBuyer => "invalid_buyer",
            Self::InvalidReference => "invalid_reference",
            Self::InvalidMetadata => "invalid_metadata",
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
            Self::ClientExists => "client_exists",
            Self::ClientNotFound => "client_not_found",
            Self::ClientRevoked => "client_revoked",
            Self::InvalidClientName => "invalid_client_name",
            Self::InvalidKid => "invalid_kid",
            Self::InvalidPublicKey => "invalid_public_key",
            Self::NotAStorefront => "not_a_storefront",
            Self::ClientKeyExists => "client_key_exists",
            Self::TooManyClientKeys => "too_many_client_keys",
            Self::ClientKeyNotFound => "client_key_not_found",
            Self::EventNotFound => "payment_event_not_found",
            Self::EventNotReplayable => "not_replayable",
        }
    }
}
