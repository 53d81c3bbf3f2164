//! The use cases. A public function is one transaction; or two, where two sides may write their rows at the same time: each
//! commits its own row first and then looks for the other's.
//!
//! Every transaction takes its locks in the same order: idempotency key or inbox, charges or links, orders, holds, products by
//! id.

pub mod audit;
mod busiest;
pub mod buyers;
pub mod carts;
pub mod clients;
pub mod deadlines;
pub mod endpoints;
pub mod error;
pub mod extension;
pub mod feed;
pub mod figures;
mod hold_events;
pub mod holds;
mod horizon;
mod issuing;
mod keys;
pub mod lists;
pub mod orders;
mod pace;
mod patience;
pub mod payments;
pub mod policy;
pub mod products;
pub mod push;
pub mod readiness;
mod recent;
pub mod state;
pub mod tickets;
mod transition;
mod units;
mod upkeep;

pub use self::carts::{Named, NewCart, NewLine, Skus};
pub use self::error::Error;
pub use self::extension::Extension;
pub use self::holds::NewHold;
pub use self::holds::answers::Taken;
pub use self::holds::changes::Kept;
pub use self::holds::outlook::WholeReads;
pub use self::orders::NewOrder;
pub use self::orders::batch::Placed;
pub use self::policy::Policy;
pub use self::products::reads::Shown;
pub use self::state::Checkout;
pub use self::tickets::cancellation::EventEnd;
pub use self::tickets::reads::EventShown;
pub use crate::db::tables::holds::HoldLine;
pub use crate::db::tables::idempotency_keys::{IdempotentRequest, Operation};
pub use crate::db::tables::order_events::{Reason, TrailEntry};
pub use crate::db::tables::orders::Item;
pub use crate::db::tables::product_trail::{Author, ProductAction, ProductTrailEntry};
pub use crate::db::tables::products::Product;
pub use crate::db::tables::tickets::{Redeem, Ticket, TicketPlace};
pub use crate::db::views::events::{EventFilter, EventPlace};
pub use crate::db::views::lists::OrderPlace;
