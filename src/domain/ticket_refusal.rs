//! Why a ticket does not admit, or gets no other code.

use chrono::NaiveDateTime;

/// Why a ticket does not admit, or gets no other code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketRefusal {
    /// It has admitted before.
    #[error("The ticket was redeemed before.")]
    AlreadyRedeemed {
        /// When, UTC.
        redeemed_at: NaiveDateTime,
        /// Where.
        gate: Option<String>,
    },
    /// Its payment was given back, its event was cancelled, or another ticket took its place.
    #[error("The ticket is void.")]
    Void,
    /// The name of a gate.
    #[error("`gate` must have 1 to 64 characters, none of them a control character.")]
    InvalidGate,
}

impl TicketRefusal {
    /// The stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AlreadyRedeemed { .. } => "already_redeemed",
            Self::Void => "ticket_void",
            Self::InvalidGate => "invalid_gate",
        }
    }
}

/// Checks the name of a gate.
///
/// # Errors
/// [`TicketRefusal::InvalidGate`].
pub fn check_gate(gate: &str) -> Result<(), TicketRefusal> {
    let is_name = (1..=64).contains(&gate.chars().count()) && !gate.chars().any(char::is_control);
    if is_name { Ok(()) } else { Err(TicketRefusal::InvalidGate) }
}
