//! How much of a charge is due for refund when an event is cancelled.

/// What an event's units are in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// What they cost, in minor units of the order's currency.
    pub own_minor: i64,
    /// What the order costs.
    pub total_minor: i64,
    /// Whether the charge is in the order's currency. An operator may have accepted another one.
    pub in_currency_of_order: bool,
}

/// Returns how much of a charge of `taken_minor` is due, of which `before_minor` was given back or is due for other events: all that is
/// left if the order has nothing but units of the event, else what these cost at most. In another currency than the order's, it is
/// the same share of the charge, rounded up.
pub fn due(share: Share, taken_minor: i64, before_minor: i64) -> i64 {
    let left = taken_minor.saturating_sub(before_minor).max(0);
    let Share { own_minor, total_minor, in_currency_of_order } = share;
    match (own_minor >= total_minor, in_currency_of_order) {
        (true, _) => left,
        (false, true) => left.min(own_minor.max(0)),
        (false, false) => {
            let (own, total) = (i128::from(own_minor.max(0)), i128::from(total_minor));
            let part = (own * i128::from(taken_minor) + total - 1) / total;
            left.min(i64::try_from(part).unwrap_or(i64::MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_the_events_part_of_what_is_left() {
        let of = |own_minor, in_currency_of_order| Share { own_minor, total_minor: 100, in_currency_of_order };
        for (share, taken, before, expected) in [
            (of(100, true), 100, 0, 100),
            (of(100, true), 100, 40, 60),
            // another amount was accepted
            (of(100, true), 120, 0, 120),
            (of(100, true), 80, 90, 0),
            (of(30, true), 100, 0, 30),
            (of(30, true), 100, 80, 20),
            (of(30, true), 100, 100, 0),
            (of(0, true), 100, 0, 0),
            (of(33, false), 1000, 0, 330),
            (of(33, false), 101, 0, 34),
            (of(33, false), 101, 100, 1),
            (of(100, false), 999, 9, 990),
        ] {
            assert_eq!(due(share, taken, before), expected, "{share:?} {taken} {before}");
        }
        assert_eq!(due(Share { own_minor: 0, total_minor: 0, in_currency_of_order: true }, 0, 0), 0);
        let large = Share { own_minor: i64::MAX - 1, total_minor: i64::MAX, in_currency_of_order: false };
        assert_eq!(due(large, i64::MAX, 0), i64::MAX - 1);
    }
}
