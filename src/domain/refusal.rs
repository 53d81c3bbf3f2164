//! Refusals: the request is valid and cannot be fulfilled. Nothing was changed.

use chrono::NaiveDateTime;
use uuid::Uuid;

use super::endpoint_refusal::EndpointRefusal;
use super::missing::Missing;
use super::seat_refusal::SeatRefusal;
use super::ticket_refusal::TicketRefusal;

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
    /// A field of an organizer has a value that it cannot have.
    #[error("`{field}` {reason}.")]
    InvalidOrganizer {
        /// The field.
        field: &'static str,
        /// What it must be.
        reason: &'static str,
    },
    /// A field of an event has a value that it cannot have.
    #[error("`{field}` {reason}.")]
    InvalidEvent {
        /// The field.
        field: &'static str,
        /// What it must be.
        reason: &'static str,
    },
    /// Seats that cannot be made.
    #[error("{0}.")]
    InvalidSeats(String),
    /// No such organizer, event or ticket type.
    #[error("There is no {} with this {}.", .0.name(), if *.0 == Missing::Ticket { "code" } else { "id" })]
    Missing(Missing),
    /// The event was cancelled.
    #[error("This event was cancelled.")]
    EventCancelled,
    /// The money that is due with the end of an event is another sum.
    #[error("With the end of this event another sum is due for refund, `amount_due_minor`. Nothing was cancelled.")]
    AmountChanged {
        /// The sum, in minor units of the event's currency; `None`: the event has no ticket types.
        amount_due_minor: Option<i64>,
    },
    /// The event's other ticket types have another currency.
    #[error("All ticket types of an event have one currency, which is {currency} here.")]
    EventCurrency {
        /// ISO 4217.
        currency: String,
    },
    /// The event has as many ticket types as it may have.
    #[error("An event has at most {limit} ticket types.")]
    TooManyTicketTypes {
        /// The most ticket types.
        limit: i64,
    },
    /// The event would have more seats than it may have.
    #[error("An event has at most {limit} seats; this one has {yours} of them.")]
    TooManySeats {
        /// The most seats.
        limit: i64,
        /// The seats that it has.
        yours: i64,
    },
    /// Seats that exist, or that a request names twice.
    #[error(
        "{count} of these seats cannot be added: a seat with the same label exists, or the request names it twice."
    )]
    SeatExists {
        /// How many.
        count: usize,
        /// Their labels, the first ones.
        labels: Vec<String>,
    },
    /// The ticket type is sold without seats.
    #[error("This ticket type is sold without seats.")]
    NotSeated,
    /// The stock of a seated ticket type is the number of its seats.
    #[error("The stock of a seated ticket type is the number of its seats; add seats instead.")]
    StockIsSeats,
    /// The seats cannot be had.
    #[error("{0}")]
    Seats(#[from] SeatRefusal),
    /// A ticket that does not admit, or gets no other code.
    #[error(transparent)]
    Ticket(#[from] TicketRefusal),
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
    /// The product or its event has a limit per buyer, and the request names no buyer.
    #[error("This product is sold to a limit per buyer; name the buyer: `buyer`, or the header `Holdfast-Buyer`.")]
    BuyerRequired,
    /// The buyer would have more units of the product, or of all ticket types of its event, than one buyer may have.
    #[error(
        "One buyer may have {limit} units of this {}, in holds and orders; this one has {yours} of them.",
        if .event_id.is_some() { "event" } else { "product" }
    )]
    BuyerLimit {
        /// The event, if the limit is that of all of its ticket types.
        event_id: Option<i64>,
        /// The most units of one buyer.
        limit: i64,
        /// Units that the buyer has in holds and orders.
        yours: i64,
        /// Whether some of them may be in holds that have run out and are about to be given back.
        is_due: bool,
    },
    /// The caller would hold more units than one may hold.
    #[error(
        "At most {limit} units may be held at a time; {yours} are. Order or release them, or wait until they run out."
    )]
    HeldUnitsLimit {
        /// The most units in active holds.
        limit: i64,
        /// Units that are held.
        yours: i64,
        /// Whether some of them may be in holds that have run out and are about to be given back.
        is_due: bool,
    },
    /// Some lines of a hold cannot be had, at least one.
    #[error("Nothing was held. {}", worst(.0).map_or_else(String::new, ToString::to_string))]
    RefusedLines(Vec<RefusedLine>),
    /// A hold without lines, or with too many.
    #[error("`items` must have 1 to {max} lines.")]
    InvalidItems {
        /// The most lines.
        max: usize,
    },
    /// A hold of products that are sold in different currencies.
    #[error("The products of one hold must have the same currency.")]
    MixedCurrencies,
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
    /// A change would give a hold more units of a product.
    #[error("A hold only becomes smaller: it has {qty} of these units. Take another hold for more.")]
    HoldNotLarger {
        /// The product.
        product_id: i64,
        /// How many units of it the hold has; 0 when it has none.
        qty: i64,
    },
    /// A change of a hold that cannot be made whatever its units are.
    #[error("The hold cannot be changed so: {0}.")]
    InvalidChange(&'static str),
    /// An extension that is too short or too long for any hold.
    #[error("`seconds` must be a whole number from 1 to {max}.")]
    InvalidSeconds {
        /// The longest extension.
        max: i64,
    },
    /// The deadline would come later than it may.
    #[error("The deadline can be moved by {possible_seconds} more seconds at most.")]
    ExtensionLimit {
        /// The longest extension that is possible now, in whole seconds.
        possible_seconds: i64,
    },
    /// Another order has the id that the client chose.
    #[error("Another order already has this id.")]
    OrderIdTaken,
    /// A paid order can neither be cancelled nor extended.
    #[error("This order is paid and cannot be changed; only a refund reverses the payment.")]
    OrderPaid,
    /// The order was cancelled.
    #[error("This order was cancelled; its units are on sale again.")]
    OrderCancelled,
    /// The order was not paid in time, and is about to be cancelled.
    #[error("This order was not paid in time.")]
    OrderOverdue,
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
    /// An endpoint is not registered or not changed.
    #[error(transparent)]
    Endpoint(#[from] EndpointRefusal),
    /// No such payment event.
    #[error("There is no payment event with this id.")]
    EventNotFound,
    /// The event has its outcome, or a worker will try it anyway.
    #[error("Only a dead, parked or quarantined event can be replayed.")]
    EventNotReplayable,
}

impl Refusal {
    /// Returns the limit that units pass, the units that count already, and the event whose limit it is.
    pub fn passed_limit(&self) -> Option<(i64, i64, Option<i64>)> {
        match self {
            &Self::BuyerLimit { event_id, limit, yours, .. } => Some((limit, yours, event_id)),
            &Self::HeldUnitsLimit { limit, yours, .. } | &Self::TooManySeats { limit, yours } => {
                Some((limit, yours, None))
            }
            _ => None,
        }
    }

    /// Returns after how many seconds the same request may succeed, if the refusal says so.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::AllHeld { retry_after_seconds, .. } | Self::SaleNotStarted { retry_after_seconds, .. } => {
                Some(*retry_after_seconds)
            }
            Self::BuyerLimit { is_due: true, .. } | Self::HeldUnitsLimit { is_due: true, .. } => Some(1),
            // the longest time of any line, if each names one
            Self::RefusedLines(lines) => {
                let times = lines.iter().map(|line| line.refusal.retry_after_seconds());
                times.collect::<Option<Vec<u64>>>()?.into_iter().max()
            }
            _ => None,
        }
    }
}

/// A line of a hold that cannot be had, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedLine {
    /// Its product; `None` when no product has the sku.
    pub product_id: Option<i64>,
    /// The sku, if the caller named the product by it.
    pub sku: Option<String>,
    /// The units that the caller asked for.
    pub requested: i64,
    /// Units on sale at that moment, if the product was read.
    pub available_stock: Option<i64>,
    /// Why it cannot be had.
    pub refusal: Refusal,
}

/// The codes of refused lines, the worst first. Those that no time changes come before those that end by themselves, so that
/// the refusal of a hold names a time to come back only if all of its refused lines do.
const WORST_FIRST: [&str; 16] = [
    "product_not_found",
    "seats_required",
    "not_seated",
    "seat_not_found",
    "invalid_quantity",
    "buyer_required",
    "event_cancelled",
    "sale_ended",
    "sold_out",
    "seat_taken",
    "seats_not_adjacent",
    "buyer_limit",
    "held_units_limit",
    "sale_paused",
    "sale_not_started",
    "all_held",
];

/// Returns the refusal that stands for all of these lines: the worst one; of several that are equally bad, the one that ends
/// last.
pub fn worst(lines: &[RefusedLine]) -> Option<&Refusal> {
    let place = |refusal: &Refusal| WORST_FIRST.iter().position(|code| *code == refusal.code());
    let wait = |refusal: &Refusal| std::cmp::Reverse(refusal.retry_after_seconds());
    lines.iter().map(|line| &line.refusal).min_by_key(|refusal| (place(refusal), wait(refusal)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(refusal: Refusal) -> RefusedLine {
        RefusedLine { product_id: Some(1), sku: None, requested: 1, available_stock: None, refusal }
    }

    fn held(retry_after_seconds: u64) -> RefusedLine {
        line(Refusal::AllHeld { available_stock: 0, retry_after_seconds })
    }

    #[test]
    fn the_worst_line_gives_the_code_and_a_time_to_come_back_needs_one_of_every_line() {
        let later = Refusal::SaleNotStarted { sale_starts_at: NaiveDateTime::MIN, retry_after_seconds: 7 };
        let worst_first = [
            Refusal::ProductNotFound,
            Refusal::Seats(SeatRefusal::Required),
            Refusal::InvalidQuantity { max: 1 },
            Refusal::BuyerRequired,
            Refusal::EventCancelled,
            Refusal::SaleEnded,
            Refusal::SoldOut { available_stock: 0 },
            Refusal::BuyerLimit { event_id: None, limit: 1, yours: 1, is_due: false },
            Refusal::HeldUnitsLimit { limit: 1, yours: 1, is_due: false },
            Refusal::SalePaused,
            later.clone(),
        ];
        let mut lines = vec![held(3)];
        for (place, refusal) in worst_first.iter().rev().enumerate() {
            lines.insert(place / 2, line(refusal.clone()));
            assert_eq!(worst(&lines), Some(refusal));
            let all = Refusal::RefusedLines(lines.clone());
            assert_eq!((all.code(), all.retry_after_seconds()), (refusal.code(), (place == 0).then_some(7)));
        }
        let over = Refusal::BuyerLimit { event_id: None, limit: 1, yours: 1, is_due: true };
        assert_eq!(Refusal::RefusedLines(vec![held(3), line(over)]).retry_after_seconds(), Some(3));
        let times = |lines: &[RefusedLine]| Refusal::RefusedLines(lines.to_vec()).retry_after_seconds();
        assert_eq!(times(&[held(3), held(9), line(later)]), Some(9));
        assert_eq!(worst(&[held(3), held(9), held(1)]), Some(&held(9).refusal));
    }
}
