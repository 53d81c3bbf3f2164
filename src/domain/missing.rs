//! What a request names and does not exist.

/// What a request names that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// An organizer.
    Organizer,
    /// An event of an organizer.
    Event,
    /// A ticket type of an event.
    TicketType,
    /// A ticket.
    Ticket,
    /// An endpoint of a shop.
    Endpoint,
}

impl Missing {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Organizer => "organizer",
            Self::Event => "event",
            Self::TicketType => "ticket type",
            Self::Ticket => "ticket",
            Self::Endpoint => "endpoint",
        }
    }

    /// The stable name of its absence.
    pub fn code(self) -> &'static str {
        match self {
            Self::Organizer => "organizer_not_found",
            Self::Event => "event_not_found",
            Self::TicketType => "ticket_type_not_found",
            Self::Ticket => "ticket_not_found",
            Self::Endpoint => "endpoint_not_found",
        }
    }
}
