//! What a payment event comes to.

use super::{EventStatus, Quarantine};

/// The outcome of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It changed its order or its charge.
    Applied,
    /// It changed nothing, correctly.
    Ignored,
    /// It failed a check and waits for an operator.
    Quarantined(Box<Quarantine>),
    /// Its money pays for no order.
    RefundDue,
    /// Its money pays for no order, for a reason that is told: the limit of its buyer, or an event that was cancelled.
    NotSold(Box<Quarantine>),
    /// Its order, or the charge of a refund, does not exist yet.
    Parked,
    /// Its order or charge did not appear in time.
    Dead,
}

impl Outcome {
    /// Returns the state in the inbox of an event with this outcome.
    pub fn event_status(&self) -> EventStatus {
        match self {
            Self::Applied => EventStatus::Applied,
            Self::Ignored => EventStatus::Ignored,
            Self::Quarantined(_) => EventStatus::Quarantined,
            Self::RefundDue | Self::NotSold(_) => EventStatus::RefundDue,
            Self::Parked => EventStatus::Parked,
            Self::Dead => EventStatus::Dead,
        }
    }
}
