//! The limits of the units of one buyer and of what one caller holds, and those by which a batch of holds counts its jobs.

use std::collections::HashMap;

use uuid::Uuid;

use super::callers::StillDue;
use crate::db::packets::counters::LimitPass;
use crate::domain::{BuyerLimits, Owner, Refusal, counter};

/// A counter of units, and the most that it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) counter: Uuid,
    pub(super) most: i64,
    of: Of,
}

/// Which units a counter has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// Those of one buyer of the product.
    Product,
    /// Those of one buyer of all ticket types of an event.
    Event(i64),
    /// Those that one caller holds.
    Caller,
}

impl Limit {
    /// Returns the refusal of units that would pass it; the counter has `yours`.
    pub(super) fn refusal(&self, yours: i64) -> Refusal {
        match self.of {
            Of::Caller => Refusal::HeldUnitsLimit { limit: self.most, yours, is_due: false },
            Of::Product | Of::Event(_) => {
                Refusal::BuyerLimit { event_id: self.event_id(), limit: self.most, yours, is_due: false }
            }
        }
    }

    /// Returns the event whose limit it is.
    pub(super) fn event_id(&self) -> Option<i64> {
        match self.of {
            Of::Event(event_id) => Some(event_id),
            Of::Product | Of::Caller => None,
        }
    }

    /// Returns whether it is a limit of a buyer, which an operator may pass.
    pub(super) fn is_of_buyer(&self) -> bool {
        self.of != Of::Caller
    }
}

/// Returns the limits of a request for units of a product: of its buyer, by the product and by its event, and of its caller, whose
/// counter has the units that it holds.
pub(super) fn limits_of(
    product_id: i64,
    limits: BuyerLimits,
    owner: Option<&Owner>,
    (held_on, max_held): (Option<Uuid>, Option<i64>),
) -> [Option<Limit>; 3] {
    let of_product = limits.of_product.zip(owner).and_then(|(most, owner)| {
        Some(Limit { counter: counter::of_buyer(product_id, owner)?, most, of: Of::Product })
    });
    let of_event = limits.of_event.zip(owner).and_then(|((event_id, most), owner)| {
        Some(Limit { counter: counter::of_buyer_at_event(event_id, owner)?, most, of: Of::Event(event_id) })
    });
    let most = max_held.unwrap_or(i64::MAX);
    let of_caller = held_on.map(|counter| Limit { counter, most, of: Of::Caller });
    [of_product, of_event, of_caller]
}

/// The limits by which a batch counts its jobs.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// Those of its buyers.
    pub(super) of_buyer: BuyerLimits,
    /// What counters may have with which operators pass the limit: what they had when they were read, and the units of the batch.
    pub(super) raised: HashMap<Uuid, i64>,
    /// What has run out of the callers' holds and is not given back yet.
    pub(super) due: StillDue,
    /// The holds with which operators pass the limit.
    pub(super) passes: Vec<LimitPass>,
}
