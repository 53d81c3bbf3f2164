//! Rules that need no database: ids, states and their transitions, money, signatures and refusals.

pub mod address;
pub mod buyer_token;
pub mod caller;
pub mod client_token;
pub mod counter;
pub mod details;
pub mod due_refund;
pub mod endpoint;
pub mod endpoint_refusal;
pub mod endpoint_secret;
pub mod event;
pub mod feed;
pub mod missing;
pub mod money;
pub mod origin;
pub mod outcome;
pub mod payment;
pub mod product;
pub mod public_key;
pub mod push_schedule;
pub mod push_signature;
pub mod quarantine;
pub mod refund;
pub mod refusal;
mod refusal_code;
pub mod retry;
pub mod sale;
pub mod seat;
pub mod seat_map;
pub mod seat_refusal;
pub mod seating;
pub mod signature;
pub mod status;
pub mod ticket;
pub mod ticket_code;
pub mod ticket_refusal;
pub mod token;

pub use buyer_token::{BuyerTokenError, check_buyer, verify_buyer_token};
pub use caller::{Caller, Client, Owner, Role, StorefrontMode};
pub use client_token::{ClientToken, TokenDigest};
pub use details::{Details, Metadata};
pub use endpoint::{AttemptOutcome, DisabledReason, EndpointUrl, PushPrivate, UndeliveredState};
pub use endpoint_refusal::EndpointRefusal;
pub use endpoint_secret::EndpointSecret;
pub use event::{EndState, EventDetails};
pub use feed::{Audience, FeedHolds, FeedItem, FeedType};
pub use missing::Missing;
pub use money::{Amount, Currency};
pub use origin::Origins;
pub use outcome::Outcome;
pub use payment::{Meaning, PaymentEvent, Reference, WebhookAuth, WebhookMode};
pub use product::ProductDetails;
pub use public_key::PublicKey;
pub use quarantine::{Quarantine, QuarantineReason};
pub use refusal::{Refusal, RefusedLine};
pub use sale::{BuyerLimits, ProductStatus, Sale, SaleStatus};
pub use seat_map::SeatMap;
pub use seat_refusal::SeatRefusal;
pub(crate) use status::named;
pub use status::{ChargeStatus, EventStatus, HoldStatus, Named, OrderStatus};
pub use ticket::{OrderTickets, Ticket, TicketKind, TicketStatus};
pub use ticket_code::TicketCode;
pub use ticket_refusal::TicketRefusal;
pub use token::AdminToken;

use uuid::Uuid;

/// Returns a new id for a hold or an order: a version 7 UUID (RFC 9562), so that rows made together are stored together. Its
/// 74 other bits come from a cryptographic generator and none from a counter, since any client that knows the id of a hold or
/// an order may read it.
#[expect(clippy::disallowed_methods, reason = "the time in an id only sorts it")]
pub fn mint_id() -> Uuid {
    let millis = chrono::Utc::now().timestamp_millis();
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(millis).unwrap_or(0), &rand::random()).into_uuid()
}
