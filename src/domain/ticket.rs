//! What a ticket type is, and what it has of its event.

use chrono::NaiveDateTime;

use super::status::named;

named! {
    /// What the units of a ticket type are.
    TicketKind {
        /// A number of places that have no names.
        Admission = "admission",
        /// Seats, each with a label.
        Seated = "seated",
    }
}

named! {
    /// The state of a ticket. It changes from one to a later one alone.
    TicketStatus {
        /// It admits, once.
        Valid = "valid",
        /// It has admitted.
        Redeemed = "redeemed",
        /// It does not admit: its payment was given back, or another ticket took its place.
        Void = "void",
    }
}

/// What an order has of ticket types. It decides whether its payment writes tickets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OrderTickets {
    /// No units of ticket types.
    #[default]
    None,
    /// Units of ticket types, none of which is a seat.
    Places,
    /// Some of its units are seats.
    Seats,
}

impl OrderTickets {
    /// Returns what a row of an order says: whether some of its units are seats, if it has units of ticket types at all.
    pub fn stored(seats: Option<bool>) -> Self {
        match seats {
            None => Self::None,
            Some(false) => Self::Places,
            Some(true) => Self::Seats,
        }
    }

    /// Returns what is stored.
    pub fn has_seats(self) -> Option<bool> {
        match self {
            Self::None => None,
            Self::Places => Some(false),
            Self::Seats => Some(true),
        }
    }
}

/// What the product of a ticket type has of its event: the window of the event's sale, which bounds its own, and the event's limit per
/// buyer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The event; `None` only if another program wrote no event.
    pub event_id: Option<i64>,
    /// What its units are.
    pub kind: TicketKind,
    /// When the event's sale begins, UTC; `None`: it has begun.
    pub sale_starts_at: Option<NaiveDateTime>,
    /// When the event's sale is over, UTC; `None`: never.
    pub sale_ends_at: Option<NaiveDateTime>,
    /// The most units of one buyer, of all ticket types of the event together; `None`: no limit.
    pub max_per_buyer: Option<i64>,
    /// When the event was cancelled, UTC.
    pub cancelled_at: Option<NaiveDateTime>,
}
