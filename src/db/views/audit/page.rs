//! The pages of a table: where each begins and ends, and which checks run on it.

use mysql_async::{Row, Value};
use uuid::Uuid;

use super::kind::Kind;
use crate::db::column::{bytes, id};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::sql;

/// The place of a row in the order of its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Of holds and orders.
    Id(Uuid),
    /// Of transitions and payment events.
    Number(i64),
    /// Of charges: the provider and the name of the charge.
    Name(Vec<u8>, Vec<u8>),
}

impl Key {
    /// Returns the next possible place; `None` after the last one.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Id(id) => id.as_u128().checked_add(1).map(|next| Self::Id(Uuid::from_u128(next))),
            Self::Number(number) => number.checked_add(1).map(Self::Number),
            Self::Name(provider, mut name) => {
                name.push(0);
                Some(Self::Name(provider, name))
            }
        }
    }

    /// Returns the parameters for this place: `first` or `last`, or a pair of them.
    fn params(&self, end: &str) -> Vec<(String, Value)> {
        match self {
            Self::Id(id) => vec![(end.to_owned(), bytes(*id))],
            Self::Number(number) => vec![(end.to_owned(), (*number).into())],
            Self::Name(provider, name) => vec![
                (format!("{end}_provider"), Value::Bytes(provider.clone())),
                (format!("{end}_name"), Value::Bytes(name.clone())),
            ],
        }
    }

    /// Reads a key of one column or of two.
    fn read_row(row: Row) -> Result<Self, Failure> {
        let mut values = row.unwrap().into_iter();
        match (values.next(), values.next()) {
            (Some(Value::Bytes(provider)), Some(Value::Bytes(name))) => Ok(Self::Name(provider, name)),
            (Some(value), None) => Self::read(value),
            other => Err(Failure::Broken(format!("a key cannot be {other:?}"))),
        }
    }

    pub(super) fn read(value: Value) -> Result<Self, Failure> {
        match value {
            Value::Bytes(bytes) => Ok(Self::Id(id(&bytes)?)),
            Value::Int(number) => Ok(Self::Number(number)),
            other => Err(Failure::Broken(format!("a key cannot be {other:?}"))),
        }
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::Id(id) => id.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Name(_, name) => String::from_utf8_lossy(&name).into_owned(),
        }
    }
}

/// A table that is audited page by page.
#[derive(Debug)]
pub struct Table {
    find_page: &'static str,
    kind_of_key: KindOfKey,
    /// Checks that run only when the sums of all tables disagree.
    pub checks: &'static [Kind],
    /// Checks that run on every page whose own sums do not rule their findings out.
    pub own_checks: &'static [Kind],
}

#[derive(Debug, Clone, Copy)]
enum KindOfKey {
    Id,
    Number,
    Name,
}

impl Table {
    /// Returns the place where it begins.
    pub fn first(&self) -> Key {
        match self.kind_of_key {
            KindOfKey::Id => Key::Id(Uuid::nil()),
            KindOfKey::Number => Key::Number(i64::MIN),
            KindOfKey::Name => Key::Name(Vec::new(), Vec::new()),
        }
    }

    /// Returns a place after its last row.
    fn end(&self) -> Key {
        match self.kind_of_key {
            KindOfKey::Id => Key::Id(Uuid::max()),
            KindOfKey::Number => Key::Number(i64::MAX),
            KindOfKey::Name => Key::Name(vec![u8::MAX; LONGEST_PROVIDER + 1], Vec::new()),
        }
    }
}

/// The width of the column `provider`.
const LONGEST_PROVIDER: usize = 64;

/// Holds; a page ends between two holds.
pub const HOLDS: Table = Table {
    find_page: sql::audit::FIND_PAGE_OF_HOLDS,
    kind_of_key: KindOfKey::Id,
    checks: &[
        Kind::HoldOrderMismatch,
        Kind::HoldReturnsWrongly,
        Kind::HoldWithoutProduct,
        Kind::HoldLinesDiffer,
        Kind::UnitsNotCounted,
    ],
    own_checks: &[Kind::HoldDeadlineTooLate],
};
/// Counters of units.
pub const COUNTERS: Table =
    Table { find_page: sql::audit::FIND_PAGE_OF_COUNTERS, kind_of_key: KindOfKey::Id, checks: &[], own_checks: &[] };
/// Orders.
pub const ORDERS: Table = Table {
    find_page: sql::audit::FIND_PAGE_OF_ORDERS,
    kind_of_key: KindOfKey::Id,
    checks: &[
        Kind::OrderWithoutHold,
        Kind::OrderTotalMismatch,
        Kind::OrderStatusUnexplained,
        Kind::TrailBroken,
        Kind::OrderPaidTwice,
        Kind::OrderWithoutCharge,
        Kind::OrderRefundMismatch,
    ],
    own_checks: &[Kind::OrderDeadlineTooLate],
};
/// Transitions of orders.
pub const TRANSITIONS: Table = Table {
    find_page: sql::audit::FIND_PAGE_OF_ORDER_EVENTS,
    kind_of_key: KindOfKey::Number,
    checks: &[Kind::TransitionNotAllowed, Kind::TransitionWithoutOrder, Kind::TransitionEventMismatch],
    own_checks: &[],
};
/// The inbox.
pub const EVENTS: Table = Table {
    find_page: sql::audit::FIND_PAGE_OF_PAYMENT_EVENTS,
    kind_of_key: KindOfKey::Number,
    checks: &[Kind::AppliedEventWithoutEffect, Kind::SuccessWithoutCharge, Kind::SuccessWithoutOrder],
    own_checks: &[Kind::EventSettledWrongly, Kind::EventNeverDue, Kind::SuccessIgnoredWrongly, Kind::SuccessDead],
};
/// Charges, by provider and name.
pub const CHARGES: Table = Table {
    find_page: sql::audit::FIND_PAGE_OF_CHARGES,
    kind_of_key: KindOfKey::Name,
    checks: &[Kind::ChargeWithoutEvent, Kind::ChargeStatusMismatch],
    own_checks: &[Kind::ChargeRefundMismatch],
};

/// Trails of products.
pub const PRODUCT_TRAIL: Table = Table {
    find_page: sql::audit::FIND_PAGE_OF_PRODUCT_TRAIL,
    kind_of_key: KindOfKey::Number,
    checks: &[],
    own_checks: &[Kind::ProductTrailBroken],
};

/// Seats; a page ends between two ticket types.
pub const SEATS: Table = Table {
    find_page: sql::audit::FIND_PAGE_OF_SEATS,
    kind_of_key: KindOfKey::Number,
    checks: &[],
    own_checks: &[Kind::SeatWithoutHold, Kind::SeatSoldWrongly],
};

/// Cancelled events.
pub const ENDINGS: Table = Table {
    find_page: sql::audit::FIND_PAGE_OF_ENDINGS,
    kind_of_key: KindOfKey::Number,
    checks: &[],
    own_checks: &[Kind::EventNotEnded],
};

/// Due refunds; a page ends between two charges.
pub const DUE_REFUNDS: Table = Table {
    find_page: sql::audit::FIND_PAGE_OF_DUE_REFUNDS,
    kind_of_key: KindOfKey::Number,
    checks: &[],
    own_checks: &[Kind::DueRefundWrong],
};

/// Charges, of which refunds may be due.
pub const PAYING_CHARGES: Table = Table {
    find_page: sql::audit::FIND_PAGE_OF_CHARGES,
    kind_of_key: KindOfKey::Name,
    checks: &[],
    own_checks: &[Kind::DueRefundMissing],
};

/// Orders, for the checks of their tickets.
pub const ORDERS_WITH_TICKETS: Table = Table {
    find_page: sql::audit::FIND_PAGE_OF_ORDERS,
    kind_of_key: KindOfKey::Id,
    checks: &[],
    own_checks: &[Kind::TicketsDiffer],
};

/// The feed.
pub const FEED: Table = Table {
    find_page: sql::audit::FIND_PAGE_OF_FEED,
    kind_of_key: KindOfKey::Number,
    checks: &[],
    own_checks: &[Kind::FeedGap],
};

/// Endpoints, with what they have not accepted.
pub const ENDPOINTS: Table = Table {
    find_page: sql::audit::FIND_PAGE_OF_ENDPOINTS,
    kind_of_key: KindOfKey::Number,
    checks: &[],
    own_checks: &[Kind::PushCursorWrong, Kind::PushFailureWrong],
};

/// Tickets, by order; a page ends between two orders.
pub const TICKETS: Table = Table {
    find_page: sql::audit::FIND_PAGE_OF_TICKETS,
    kind_of_key: KindOfKey::Id,
    checks: &[],
    own_checks: &[Kind::TicketWrong],
};

/// A range of rows of a table, in the order of its key.
#[derive(Debug, Clone)]
pub struct Page {
    first: Key,
    last: Key,
    more: bool,
}

impl Page {
    /// Returns the parameters of the statements over this page.
    pub(super) fn params(&self) -> Vec<(String, Value)> {
        let mut params = self.first.params("first");
        params.extend(self.last.params("last"));
        params
    }

    /// Returns the parameters of the statements over this page of counters, beside those of a page of holds.
    pub(super) fn params_of_counters(&self) -> Vec<(String, Value)> {
        let mut params = self.first.params("first_counter");
        params.extend(self.last.params("last_counter"));
        params
    }

    /// Returns whether a row with this id may be on the page.
    pub fn has(&self, id: Uuid) -> bool {
        match (&self.first, &self.last) {
            (Key::Id(first), Key::Id(last)) => (*first..=*last).contains(&id),
            _ => false,
        }
    }

    /// Returns where the next page begins; `None` after the last page.
    pub fn next(&self) -> Option<Key> {
        if self.more { self.last.clone().next() } else { None }
    }
}

/// Finds the page of `limit` rows, at least one, that begins at `first`. The last page may be shorter, or empty.
pub async fn find_page(tx: &mut Tx<'_>, table: &Table, first: Key, limit: u32) -> Result<Page, Failure> {
    let mut params = first.params("first");
    params.push(("offset".to_owned(), limit.saturating_sub(1).into()));
    let last = tx.row::<Row>(table.find_page, params).await?;
    let (last, more) =
        last.map_or_else(|| Ok((table.end(), false)), |row| Key::read_row(row).map(|key| (key, true)))?;
    Ok(Page { first, last, more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_key_follows_directly_and_the_last_one_has_none() {
        assert_eq!(Key::Number(1).next(), Some(Key::Number(2)));
        assert_eq!(HOLDS.first().next(), Some(Key::Id(Uuid::from_u128(1))));
        let name = |name: &[u8]| Key::Name(b"default".to_vec(), name.to_vec());
        assert_eq!(name(b"a").next(), Some(name(b"a\0")));
        assert_eq!((Key::Id(Uuid::max()).next(), Key::Number(i64::MAX).next()), (None, None));
    }
}
