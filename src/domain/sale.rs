//! The sale of a product: when units can be held, and what a buyer is told about it.

use chrono::NaiveDateTime;

use super::refusal::Refusal;
use super::status::named;
use super::ticket::{Ticket, TicketKind};

/// The most units that a product may allow in one hold.
pub const MOST_PER_HOLD: i64 = 1000;

named! {
    /// What an operator has decided about the sale of a product.
    ProductStatus {
        /// It is sold, within its window.
        OnSale = "on_sale",
        /// New holds are refused for now.
        Paused = "paused",
        /// New holds are refused for good, and lists leave it out.
        Retired = "retired",
    }
}

named! {
    /// What a buyer is told about the sale of a product.
    SaleStatus {
        /// Its sale has not begun.
        Upcoming = "upcoming",
        /// Units can be held.
        OnSale = "on_sale",
        /// All units that are left are in holds or unpaid orders, and may come back.
        AllHeld = "all_held",
        /// No unit is left.
        SoldOut = "sold_out",
        /// New holds are refused for now.
        Paused = "paused",
        /// Its sale is over.
        Ended = "ended",
        /// Its event was cancelled.
        Cancelled = "cancelled",
    }
}

/// The terms of a product's sale, beside its price. A product that another program has inserted has the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sale {
    /// What an operator has decided.
    pub status: ProductStatus,
    /// When the sale begins, UTC; `None`: it has begun.
    pub starts_at: Option<NaiveDateTime>,
    /// When the sale is over, UTC; `None`: never.
    pub ends_at: Option<NaiveDateTime>,
    /// How long a hold lasts, in seconds; `None`: as the shop says.
    pub hold_ttl_seconds: Option<i64>,
    /// How long an order may stay unpaid, in seconds; `None`: as the shop says.
    pub order_ttl_seconds: Option<i64>,
    /// The most units of one hold; `None`: as the shop says.
    pub max_qty: Option<i64>,
    /// The most units of one buyer; `None`: no limit.
    pub max_per_buyer: Option<i64>,
    /// What a ticket type has of its event; `None`: the product is none.
    pub ticket: Option<Ticket>,
}

/// The limits of the units of one buyer of a product.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BuyerLimits {
    /// The most of the product.
    pub of_product: Option<i64>,
    /// The event, and the most of all of its ticket types together.
    pub of_event: Option<(i64, i64)>,
}

impl BuyerLimits {
    /// Returns whether there is a limit, so that a hold needs a buyer.
    pub fn any(&self) -> bool {
        self.of_product.is_some() || self.of_event.is_some()
    }
}

impl Default for Sale {
    fn default() -> Self {
        Self {
            status: ProductStatus::OnSale,
            starts_at: None,
            ends_at: None,
            hold_ttl_seconds: None,
            order_ttl_seconds: None,
            max_qty: None,
            max_per_buyer: None,
            ticket: None,
        }
    }
}

impl Sale {
    /// Returns whether there are no terms but the price.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Returns when the sale begins, UTC: for a ticket type not before its event's.
    pub fn opens_at(&self) -> Option<NaiveDateTime> {
        self.starts_at.max(self.ticket.and_then(|ticket| ticket.sale_starts_at))
    }

    /// Returns when the sale is over, UTC: for a ticket type not after its event's.
    pub fn closes_at(&self) -> Option<NaiveDateTime> {
        let of_event = self.ticket.and_then(|ticket| ticket.sale_ends_at);
        self.ends_at.into_iter().chain(of_event).min()
    }

    /// Returns whether its units are seats, which are not sold by their number.
    pub fn is_seated(&self) -> bool {
        self.ticket.is_some_and(|ticket| ticket.kind == TicketKind::Seated)
    }

    /// Returns why no hold can be taken at `now`, by the database's clock; `None` when one can.
    pub fn refusal(&self, now: NaiveDateTime) -> Option<Refusal> {
        match self.status {
            _ if self.ticket.is_some_and(|ticket| ticket.cancelled_at.is_some()) => {
                return Some(Refusal::EventCancelled);
            }
            ProductStatus::Retired => return Some(Refusal::SaleEnded),
            _ if self.closes_at().is_some_and(|end| end <= now) => return Some(Refusal::SaleEnded),
            ProductStatus::Paused => return Some(Refusal::SalePaused),
            ProductStatus::OnSale => {}
        }
        let sale_starts_at = self.opens_at().filter(|start| *start > now)?;
        let wait_us = u64::try_from((sale_starts_at - now).num_microseconds().unwrap_or(i64::MAX)).unwrap_or(0);
        Some(Refusal::SaleNotStarted { sale_starts_at, retry_after_seconds: wait_us.div_ceil(1_000_000).max(1) })
    }

    /// Returns what a buyer is told at `now`: `available` units are on sale, and others may come back if `returning`.
    pub fn told(&self, now: NaiveDateTime, available: i64, returning: bool) -> SaleStatus {
        match self.refusal(now) {
            Some(Refusal::SalePaused) => SaleStatus::Paused,
            Some(Refusal::SaleNotStarted { .. }) => SaleStatus::Upcoming,
            Some(Refusal::EventCancelled) => SaleStatus::Cancelled,
            Some(_) => SaleStatus::Ended,
            None if available > 0 => SaleStatus::OnSale,
            None if returning => SaleStatus::AllHeld,
            None => SaleStatus::SoldOut,
        }
    }

    /// Returns how long a hold lasts, in seconds; `default` is the shop's time. A value below 1, which only another program can
    /// have written, does not count.
    pub fn hold_seconds(&self, default: u64) -> u64 {
        positive(self.hold_ttl_seconds).unwrap_or(default)
    }

    /// Returns how long an order may stay unpaid, in seconds, if the product says so.
    pub fn order_seconds(&self) -> Option<u64> {
        positive(self.order_ttl_seconds)
    }

    /// Returns the times of holds and of orders that the product says, in seconds.
    pub fn own_seconds(&self) -> impl Iterator<Item = u64> + use<> {
        [positive(self.hold_ttl_seconds), self.order_seconds()].into_iter().flatten()
    }

    /// Returns the most units of one buyer of this product, if there is a limit.
    pub fn per_buyer(&self) -> Option<i64> {
        limit(self.max_per_buyer)
    }

    /// Returns the limits of the units of one buyer.
    pub fn buyer_limits(&self) -> BuyerLimits {
        let of_event = self.ticket.and_then(|ticket| Some((ticket.event_id?, limit(ticket.max_per_buyer)?)));
        BuyerLimits { of_product: self.per_buyer(), of_event }
    }

    /// Returns the most units of one hold; `default` is the shop's limit.
    pub fn max_units(&self, default: i64) -> i64 {
        self.max_qty.filter(|most| *most >= 1).map_or(default, |most| most.min(MOST_PER_HOLD))
    }
}

/// Returns a limit per buyer. A value below 1, which only another program can have written, does not count.
pub fn limit(most: Option<i64>) -> Option<i64> {
    most.filter(|most| *most >= 1)
}

fn positive(value: Option<i64>) -> Option<u64> {
    value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn at(second: i64) -> NaiveDateTime {
        DateTime::from_timestamp(1_000_000 + second, 0).expect("a time").naive_utc()
    }

    #[test]
    fn a_sale_begins_at_its_start_and_is_over_at_its_end() {
        let sale = Sale { starts_at: Some(at(0)), ends_at: Some(at(10)), ..Sale::default() };
        let wait = |seconds| Refusal::SaleNotStarted { sale_starts_at: at(0), retry_after_seconds: seconds };
        assert_eq!(sale.refusal(at(-5)), Some(wait(5)));
        assert_eq!(sale.refusal(at(0) - chrono::TimeDelta::microseconds(1)), Some(wait(1)));
        assert_eq!((sale.refusal(at(0)), sale.refusal(at(9))), (None, None));
        assert_eq!(sale.refusal(at(10)), Some(Refusal::SaleEnded));
    }

    #[test]
    fn a_ticket_type_is_sold_within_the_windows_of_its_event_and_its_own() {
        let ticket = Ticket {
            event_id: Some(1),
            kind: TicketKind::Admission,
            sale_starts_at: Some(at(0)),
            sale_ends_at: Some(at(10)),
            max_per_buyer: None,
            cancelled_at: None,
        };
        let of = |starts_at: Option<i64>, ends_at: Option<i64>| {
            let (starts_at, ends_at) = (starts_at.map(at), ends_at.map(at));
            Sale { starts_at, ends_at, ticket: Some(ticket), ..Sale::default() }
        };
        for (sale, start, end) in [
            (of(None, None), 0, 10),
            (of(Some(-5), Some(20)), 0, 10),
            (of(Some(5), Some(7)), 5, 7),
            (of(Some(5), None), 5, 10),
            (of(None, Some(7)), 0, 7),
        ] {
            assert_eq!((sale.opens_at(), sale.closes_at()), (Some(at(start)), Some(at(end))));
            assert!(
                matches!(sale.refusal(at(start - 1)), Some(Refusal::SaleNotStarted { sale_starts_at, .. }) if sale_starts_at == at(start))
            );
            assert_eq!((sale.refusal(at(start)), sale.refusal(at(end - 1))), (None, None));
            assert_eq!(sale.refusal(at(end)), Some(Refusal::SaleEnded));
            let cancelled = Ticket { cancelled_at: Some(at(100)), ..ticket };
            let cancelled = Sale { ticket: Some(cancelled), ..sale.clone() };
            for now in [start - 1, start, end] {
                assert_eq!(cancelled.refusal(at(now)), Some(Refusal::EventCancelled));
                assert_eq!(cancelled.told(at(now), 1, true), SaleStatus::Cancelled);
            }
            assert!(!sale.is_plain() && !sale.is_seated());
        }
        assert!(Sale { ticket: Some(Ticket { kind: TicketKind::Seated, ..ticket }), ..Sale::default() }.is_seated());
    }

    #[test]
    fn an_end_counts_more_than_a_pause_and_a_pause_more_than_a_start() {
        let sale =
            Sale { starts_at: Some(at(0)), ends_at: Some(at(10)), status: ProductStatus::Paused, ..Sale::default() };
        assert_eq!(sale.told(at(-1), 1, false), SaleStatus::Paused);
        assert_eq!(sale.told(at(10), 1, false), SaleStatus::Ended);
        let retired = Sale { status: ProductStatus::Retired, ..Sale::default() };
        assert_eq!(retired.told(at(0), 1, false), SaleStatus::Ended);
        let plain = Sale::default();
        assert_eq!(
            [(1, false), (0, true), (0, false)].map(|(units, back)| plain.told(at(0), units, back)),
            [SaleStatus::OnSale, SaleStatus::AllHeld, SaleStatus::SoldOut]
        );
    }

    #[test]
    fn values_that_no_operator_could_set_do_not_count() {
        let odd = Sale { hold_ttl_seconds: Some(0), order_ttl_seconds: Some(-1), max_qty: Some(0), ..Sale::default() };
        assert_eq!((odd.hold_seconds(120), odd.order_seconds(), odd.max_units(10)), (120, None, 10));
        let large = Sale { max_qty: Some(i64::MAX), ..Sale::default() };
        assert_eq!(large.max_units(10), MOST_PER_HOLD);
    }
}
