//! What is true without a database: names of things, states and their transitions, and the reasons to say no.

pub mod money;
pub mod payment;
pub mod refusal;
pub mod status;

pub use money::{Amount, Currency};
pub use payment::{Event, Meaning, Outcome, Reference};
pub use refusal::Refusal;
pub use status::{EventStatus, HoldStatus, Named, OrderStatus};

use uuid::Uuid;

/// A fresh id for a hold or an order: a version 7 UUID, so that rows made together lie together, with 74 random bits
/// from the operating system's generator, since whoever knows an id may read what it names.
pub fn mint_id() -> Uuid {
    Uuid::now_v7()
}
