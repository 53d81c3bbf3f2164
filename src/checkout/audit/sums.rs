//! What the sums of an audit say.

/// Differences of counts that are taken from both sides.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Rows that do not match their counterparts.
    pub(super) odd: i64,
    /// Ordered holds, less those that orders name.
    pub(super) holds: i64,
    /// Transitions, less those found by order.
    pub(super) transitions: i64,
    /// Applied successes, less the transitions that they explain.
    pub(super) successes: i64,
    /// Applied failures, less the transitions that they explain.
    pub(super) failures: i64,
    /// Charges, less those that successes account for.
    pub(super) charges: i64,
    /// Units in counters, less those that holds and orders account for.
    pub(super) counted: i64,
    /// The same, weighed by the counters' ids.
    pub(super) weighed: i64,
    /// Transitions that were told, less those that the feed has.
    pub(super) told: i64,
}

impl Sums {
    /// Returns whether every row has its counterpart.
    pub(super) fn add_up(&self) -> bool {
        *self == Self::default()
    }
}
