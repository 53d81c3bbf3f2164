//! The HTTP status of each refusal.

use poem::http::StatusCode;

use crate::domain::refusal::worst;
use crate::domain::{EndpointRefusal, Refusal, SeatRefusal, TicketRefusal};

/// Returns the status of the response to a refused request.
#[expect(clippy::too_many_lines, reason = "a table, one entry for each refusal")]
pub(super) fn status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::ProductNotFound
        | Refusal::HoldNotFound
        | Refusal::OrderNotFound
        | Refusal::EventNotFound
        | Refusal::ClientNotFound
        | Refusal::ClientKeyNotFound
        | Refusal::Missing(_) => StatusCode::NOT_FOUND,
        Refusal::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Refusal::SoldOut { .. }
        | Refusal::SaleNotStarted { .. }
        | Refusal::SaleEnded
        | Refusal::SalePaused
        | Refusal::BuyerLimit { .. }
        | Refusal::HeldUnitsLimit { .. }
        | Refusal::SkuTaken { .. }
        | Refusal::StockReserved { .. }
        | Refusal::EventCancelled
        | Refusal::AmountChanged { .. }
        | Refusal::TooManyTicketTypes { .. }
        | Refusal::TooManySeats { .. }
        | Refusal::SeatExists { .. }
        | Refusal::AllHeld { .. }
        | Refusal::HoldUsed { .. }
        | Refusal::HoldExpired
        | Refusal::HoldReleased
        | Refusal::HoldNotLarger { .. }
        | Refusal::ExtensionLimit { .. }
        | Refusal::OrderIdTaken
        | Refusal::OrderPaid
        | Refusal::OrderCancelled
        | Refusal::OrderOverdue
        | Refusal::EventNotReplayable
        | Refusal::NotRefundable
        | Refusal::ChargePaysOrder { .. }
        | Refusal::ChargeDueElsewhere { .. }
        | Refusal::SuccessNotDismissible
        | Refusal::NotDismissible
        | Refusal::AmountNotAcceptable
        | Refusal::AuditRunning
        | Refusal::ClientExists
        | Refusal::ClientRevoked
        | Refusal::ClientKeyExists
        | Refusal::TooManyClientKeys => StatusCode::CONFLICT,
        Refusal::Seats(refusal) => status_of_seats(refusal),
        Refusal::Ticket(refusal) => status_of_tickets(refusal),
        Refusal::Endpoint(refusal) => status_of_endpoints(refusal),
        Refusal::RefusedLines(lines) => worst(lines).map_or(StatusCode::CONFLICT, status),
        Refusal::InvalidQuantity { .. }
        | Refusal::BuyerRequired
        | Refusal::InvalidItems { .. }
        | Refusal::MixedCurrencies
        | Refusal::InvalidChange(_)
        | Refusal::InvalidSeconds { .. }
        | Refusal::BuyerMismatch
        | Refusal::InvalidBuyer
        | Refusal::InvalidReference
        | Refusal::InvalidMetadata
        | Refusal::IdempotencyKeyReuse
        | Refusal::InvalidProduct { .. }
        | Refusal::InvalidOrganizer { .. }
        | Refusal::InvalidEvent { .. }
        | Refusal::InvalidSeats(_)
        | Refusal::EventCurrency { .. }
        | Refusal::NotSeated
        | Refusal::StockIsSeats
        | Refusal::StockNotHere
        | Refusal::InvalidLines(_)
        | Refusal::InvalidClientName
        | Refusal::InvalidKid
        | Refusal::InvalidPublicKey
        | Refusal::NotAStorefront => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

fn status_of_tickets(refusal: &TicketRefusal) -> StatusCode {
    match refusal {
        TicketRefusal::AlreadyRedeemed { .. } | TicketRefusal::Void => StatusCode::CONFLICT,
        TicketRefusal::InvalidGate => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

fn status_of_endpoints(refusal: &EndpointRefusal) -> StatusCode {
    match refusal {
        EndpointRefusal::Deleted | EndpointRefusal::ReplayUnderWay | EndpointRefusal::NothingToReplay => {
            StatusCode::CONFLICT
        }
        EndpointRefusal::Url(_) | EndpointRefusal::UnknownType { .. } | EndpointRefusal::NotAStorefront => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
    }
}

fn status_of_seats(refusal: &SeatRefusal) -> StatusCode {
    match refusal {
        SeatRefusal::Taken { .. } | SeatRefusal::NotAdjacent => StatusCode::CONFLICT,
        SeatRefusal::Required | SeatRefusal::NotFound { .. } => StatusCode::UNPROCESSABLE_ENTITY,
    }
}
