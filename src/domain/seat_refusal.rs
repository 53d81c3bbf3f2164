//! Why seats cannot be held.

/// Why the seats that a line of a hold asks for cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeatRefusal {
    /// A hold of a seated ticket type by a number of units.
    #[error("The units of this product are seats: name them, or ask for the best that are available.")]
    Required,
    /// Another hold has some of the named seats.
    #[error("Some of these seats are taken.")]
    Taken {
        /// Their labels.
        seats: Vec<String>,
    },
    /// The ticket type has no seats with these labels.
    #[error("There are no such seats.")]
    NotFound {
        /// The labels.
        seats: Vec<String>,
    },
    /// There are enough free seats, but not side by side.
    #[error("There are not as many free seats beside each other; with `split`, they may be apart.")]
    NotAdjacent,
}

impl SeatRefusal {
    /// The stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Required => "seats_required",
            Self::Taken { .. } => "seat_taken",
            Self::NotFound { .. } => "seat_not_found",
            Self::NotAdjacent => "seats_not_adjacent",
        }
    }
}
