//! One file per table: its rows, and the statements on it.

pub mod buyer_units;
pub mod charges;
pub mod client_keys;
pub mod client_trail;
pub mod clients;
pub mod due_refunds;
pub mod event_cancellations;
pub mod events;
pub mod holds;
pub mod idempotency_keys;
pub mod order_events;
pub mod orders;
pub mod organizers;
pub mod owners;
pub mod payment_event_deliveries;
pub mod payment_event_operators;
pub mod payment_event_quarantines;
pub mod payment_event_trail;
pub mod payment_events;
pub mod payment_links;
pub mod product_trail;
pub mod products;
pub mod readiness;
pub mod seats;
pub mod tickets;
