//! The limits by which a batch of holds counts its jobs.

use std::collections::HashMap;

use uuid::Uuid;

use super::callers::StillDue;
use crate::db::packets::counters::LimitPass;

/// The limits by which a batch counts its jobs.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// The most units of one buyer, as the product says.
    pub(super) per_buyer: Option<i64>,
    /// What counters may have with which operators pass the limit: what they had when they were read, and the units of the batch.
    pub(super) raised: HashMap<Uuid, i64>,
    /// What has run out of the callers' holds and is not given back yet.
    pub(super) due: StillDue,
    /// The holds with which operators pass the limit.
    pub(super) passes: Vec<LimitPass>,
}
