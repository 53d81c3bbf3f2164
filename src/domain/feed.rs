//! What the feed tells: events of orders, payments, products and tickets.

use chrono::NaiveDateTime;
use serde::Serialize;
use uuid::Uuid;

use super::status::named;
use super::{HoldStatus, Named as _, OrderStatus};

named! {
    /// The type of an event of the feed.
    FeedType {
        /// An order was made of a hold.
        OrderCreated = "order.created",
        /// The provider is working on the payment of an order.
        OrderProcessing = "order.processing",
        /// An order was paid.
        OrderPaid = "order.paid",
        /// An unpaid order ended.
        OrderCancelled = "order.cancelled",
        /// All of the payment of an order was given back, or a part of it.
        OrderRefunded = "order.refunded",
        /// An attempt to pay an order failed. The order stays pending.
        PaymentFailed = "payment.failed",
        /// A payment pays for no order and has to be given back.
        PaymentRefundDue = "payment.refund_due",
        /// A payment event failed a check and waits for an operator.
        PaymentQuarantined = "payment.quarantined",
        /// The payment of an order is disputed.
        PaymentDisputed = "payment.disputed",
        /// The details or the stock of a product were changed.
        ProductChanged = "product.changed",
        /// No unit of a product is on sale any more.
        ProductSoldOut = "product.sold_out",
        /// Units of a product that was sold out are on sale again.
        ProductAvailableAgain = "product.available_again",
        /// The tickets of an order were written.
        TicketIssued = "ticket.issued",
        /// A ticket has admitted.
        TicketRedeemed = "ticket.redeemed",
        /// Tickets do not admit any more.
        TicketVoided = "ticket.voided",
        /// Units were held.
        HoldCreated = "hold.created",
        /// A hold has more time.
        HoldExtended = "hold.extended",
        /// Units of a hold were given back, and it has the others.
        HoldReduced = "hold.reduced",
        /// A hold was given up.
        HoldReleased = "hold.released",
        /// A hold ran out.
        HoldExpired = "hold.expired",
        /// An endpoint gets no more events.
        EndpointDisabled = "endpoint.disabled",
    }
}

named! {
    /// Whether the feed tells of holds, too.
    FeedHolds {
        /// It does not.
        Off = "off",
        /// It does.
        On = "on",
    }
}

/// Who hears of an event; operators hear of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audience {
    /// The client with this id; 0: an anonymous caller, so operators alone.
    Client(i64),
    /// Every client.
    Clients,
    /// Operators alone.
    Operators,
}

impl Audience {
    /// Returns what is stored.
    pub fn stored(self) -> i64 {
        match self {
            Self::Client(client_id) => client_id,
            Self::Clients => -1,
            Self::Operators => -2,
        }
    }
}

/// An event, as its transaction knows it. Whatever can be read of the rows that it names, and never changes, is not repeated here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FeedItem {
    /// Who hears of it.
    #[serde(skip)]
    pub audience: Audience,
    /// Its type, by name.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The order that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<Uuid>,
    /// The hold that it is about; none of an order, which has its hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_id: Option<Uuid>,
    /// The units that the hold has or had, `(product, units)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<(i64, i64)>>,
    /// When the hold runs out, in microseconds since 1970-01-01, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_us: Option<i64>,
    /// The product that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<i64>,
    /// The endpoint that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_id: Option<i64>,
    /// The event of the provider that caused it, by its id in the inbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_event_id: Option<i64>,
    /// The state of the order or the hold after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    /// Why it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The amount that it is about, in minor units of `amount_currency`; none: unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_minor: Option<i64>,
    /// ISO 4217.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_currency: Option<String>,
    /// How much of the order's payment was given back until then, in minor units of the order's currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded_minor: Option<i64>,
    /// How many tickets it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    tickets: Option<u64>,
    /// The hold whose units were sold; the feed does not tell it.
    #[serde(skip)]
    sold: Option<Uuid>,
}

impl FeedItem {
    /// Creates an event that says nothing but its type.
    pub fn new(kind: FeedType, audience: Audience) -> Self {
        Self {
            audience,
            kind: kind.as_str(),
            order_id: None,
            hold_id: None,
            items: None,
            expires_at_us: None,
            product_id: None,
            endpoint_id: None,
            payment_event_id: None,
            status: None,
            reason: None,
            amount_minor: None,
            amount_currency: None,
            refunded_minor: None,
            tickets: None,
            sold: None,
        }
    }

    /// Creates an event about an order of this client (0: of an anonymous caller), and the state that the order has then.
    pub fn of_order(kind: FeedType, client_id: i64, order_id: Uuid, status: OrderStatus) -> Self {
        let item = Self::new(kind, Audience::Client(client_id)).about_order(order_id);
        Self { status: Some(status.as_str()), ..item }
    }

    /// Creates an event about a hold of this client (0: of an anonymous caller), with its state and units, `(product, units)`, after it;
    /// of a hold that has ended, the units that went back.
    pub fn of_hold(kind: FeedType, client_id: i64, hold_id: Uuid, status: HoldStatus, items: Vec<(i64, i64)>) -> Self {
        let (hold_id, items, status) = (Some(hold_id), Some(items), Some(status.as_str()));
        Self { hold_id, items, status, ..Self::new(kind, Audience::Client(client_id)) }
    }

    /// Adds when its hold runs out, UTC.
    #[must_use]
    pub fn until(self, expires_at: NaiveDateTime) -> Self {
        Self { expires_at_us: Some(expires_at.and_utc().timestamp_micros()), ..self }
    }

    /// Adds its order.
    #[must_use]
    pub fn about_order(self, order_id: Uuid) -> Self {
        Self { order_id: Some(order_id), ..self }
    }

    /// Whether it is a transition of an order, which is in the order's trail, too.
    pub fn is_transition(&self) -> bool {
        is_transition(self.kind)
    }

    /// Adds why it happened.
    #[must_use]
    pub fn because(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// Adds the payment event that caused it.
    #[must_use]
    pub fn by_payment(self, payment_event_id: i64) -> Self {
        Self { payment_event_id: Some(payment_event_id), ..self }
    }

    /// Adds the amount that it is about, as far as it is known, in minor units.
    #[must_use]
    pub fn with_amount(self, amount_minor: Option<i64>, amount_currency: Option<String>) -> Self {
        Self { amount_minor, amount_currency, ..self }
    }

    /// Adds how much was given back until then.
    #[must_use]
    pub fn with_refunded(self, refunded_minor: i64) -> Self {
        Self { refunded_minor: Some(refunded_minor), ..self }
    }

    /// Adds how many tickets it is about.
    #[must_use]
    pub fn with_tickets(self, tickets: u64) -> Self {
        Self { tickets: Some(tickets), ..self }
    }

    /// Adds the hold whose units were sold.
    #[must_use]
    pub fn with_sold(self, hold_id: Uuid) -> Self {
        Self { sold: Some(hold_id), ..self }
    }

    /// Returns the hold whose units were sold.
    pub fn sold(&self) -> Option<Uuid> {
        self.sold
    }

    /// Returns its type, by name, and why it happened.
    pub fn kind(&self) -> (&'static str, Option<&'static str>) {
        (self.kind, self.reason)
    }

    /// Adds its endpoint.
    #[must_use]
    pub fn of_endpoint(self, endpoint_id: i64) -> Self {
        Self { endpoint_id: Some(endpoint_id), ..self }
    }

    /// Adds its product.
    #[must_use]
    pub fn of_product(self, product_id: i64) -> Self {
        Self { product_id: Some(product_id), ..self }
    }
}

/// Whether events of this type are transitions of orders, which are in their trails, too.
pub fn is_transition(kind: &str) -> bool {
    kind.starts_with("order.") || kind == FeedType::PaymentFailed.as_str()
}
