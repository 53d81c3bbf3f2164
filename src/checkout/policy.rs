//! The rules of a shop.

use std::num::NonZeroU32;

use super::holds::outlook::WholeReads;
use crate::domain::{FeedHolds, WebhookMode};

/// The rules of a shop. All but `whole_reads` are settings; `config` has their defaults and ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long a hold lasts.
    pub hold_ttl_seconds: u64,
    /// How long an order may stay unpaid.
    pub order_ttl_seconds: u64,
    /// Until how long after it was made a hold or an order can be extended.
    pub max_hold_seconds: u64,
    /// The most units that one hold may ask for.
    pub max_qty: i64,
    /// The most units that a buyer, or an address without a client, may hold at a time; `None`: no limit.
    pub max_held_units: Option<NonZeroU32>,
    /// How long a payment event waits for its order.
    pub park_seconds: u64,
    /// Whether payment events are applied at delivery or by a worker.
    pub webhook_mode: WebhookMode,
    /// Whether the feed tells of holds.
    pub feed_holds: FeedHolds,
    /// When a refusal reads only a part of the rows that may come back.
    pub whole_reads: WholeReads,
}
