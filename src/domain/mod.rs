//! What is true without a database: names of things, states and their transitions, and the reasons to say no.

pub mod money;
pub mod payment;
pub mod quarantine;
pub mod refund;
pub mod refusal;
pub mod retry;
pub mod signature;
pub mod status;
pub mod token;

pub use money::{Amount, Currency};
pub use payment::{Event, Meaning, Outcome, Reference, WebhookMode};
pub use quarantine::{Quarantine, QuarantineReason};
pub use refusal::Refusal;
pub use status::{ChargeStatus, EventStatus, HoldStatus, Named, OrderStatus};
pub use token::AdminToken;

use uuid::Uuid;

/// A fresh id for a hold or an order: a version 7 UUID (RFC 9562), so that rows made together lie together. All of its 74
/// other bits come from a cryptographic generator and none from a counter, since whoever knows an id may read what it
/// names.
pub fn mint_id() -> Uuid {
    let millis = chrono::Utc::now().timestamp_millis();
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(millis).unwrap_or(0), &rand::random()).into_uuid()
}
