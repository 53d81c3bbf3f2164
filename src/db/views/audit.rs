//! The reads of an audit, page by page.
//!
//! Sums come first: cheap statements that count related rows from both sides. When the counts agree, nothing is wrong.
//! Otherwise checks find the wrong rows. A check is one statement over one page of a table; the check, its file and the
//! kind of its findings have the same name.

use chrono::NaiveDateTime;
use mysql_async::prelude::FromRow;
use mysql_async::{Params, Row, Value, params};
use uuid::Uuid;

use crate::db::column::{bytes, id, state};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::sql;
use crate::domain::EventStatus;
use crate::domain::status::named;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal $statement:ident),+ $(,)?) => {
        named! {
            /// The kinds of findings. The object that a finding is about stands in brackets.
            Kind {
                $($(#[$doc])* $variant = $name),+,
                /// Its stock is not the sum of its available, held, awaiting and sold units (a product).
                UnitsNotConserved = "units_not_conserved",
                /// The sums disagree, and no check finds a wrong row (all tables).
                SumsDisagree = "sums_disagree",
            }
        }

        impl Kind {
            /// Returns the check that finds this in one page; `None` for kinds that sums over all pages find.
            fn statement(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => Some(sql::audit::$statement),)+
                    Self::UnitsNotConserved | Self::SumsDisagree => None,
                }
            }
        }
    };
}

kinds! {
    /// It is ordered without an order, or has one without being ordered (a hold).
    HoldOrderMismatch = "hold_order_mismatch" HOLD_ORDER_MISMATCH,
    /// Its units would come back too early, too late, never, or although they are sold (a hold).
    HoldReturnsWrongly = "hold_returns_wrongly" HOLD_RETURNS_WRONGLY,
    /// Its creation time is in the future, from a clock that ran ahead. It keeps its units too long: release it (a hold).
    HoldDeadlineTooLate = "hold_deadline_too_late" HOLD_DEADLINE_TOO_LATE,
    /// Its product does not exist (a hold).
    HoldWithoutProduct = "hold_without_product" HOLD_WITHOUT_PRODUCT,
    /// Its hold does not exist (an order).
    OrderWithoutHold = "order_without_hold" ORDER_WITHOUT_HOLD,
    /// Its creation time is in the future, from a clock that ran ahead. It keeps its units too long: cancel it (an order).
    OrderDeadlineTooLate = "order_deadline_too_late" ORDER_DEADLINE_TOO_LATE,
    /// Its trail does not lead to its state (an order).
    OrderStatusUnexplained = "order_status_unexplained" ORDER_STATUS_UNEXPLAINED,
    /// A transition does not begin where the one before ended (an order).
    TrailBroken = "trail_broken" TRAIL_BROKEN,
    /// More than one payment paid it (an order).
    OrderPaidTwice = "order_paid_twice" ORDER_PAID_TWICE,
    /// It is paid or refunded, and has no charge in that state (an order).
    OrderWithoutCharge = "order_without_charge" ORDER_WITHOUT_CHARGE,
    /// The amounts given back of it and of its charge differ, or it was restocked too early (an order).
    OrderRefundMismatch = "order_refund_mismatch" ORDER_REFUND_MISMATCH,
    /// A transition that is not allowed (an order).
    TransitionNotAllowed = "transition_not_allowed" TRANSITION_NOT_ALLOWED,
    /// A transition whose order does not exist (the order that it names).
    TransitionWithoutOrder = "transition_without_order" TRANSITION_WITHOUT_ORDER,
    /// A transition whose payment event is missing, not applied, of another meaning or of another order (an order).
    TransitionEventMismatch = "transition_event_mismatch" TRANSITION_EVENT_MISMATCH,
    /// It has an outcome without a time of it, or the other way round (a payment event).
    EventSettledWrongly = "event_settled_wrongly" EVENT_SETTLED_WRONGLY,
    /// It waits, and no worker will ever find it (a payment event).
    EventNeverDue = "event_never_due" EVENT_NEVER_DUE,
    /// It is applied and caused no transition, or several (a payment event).
    AppliedEventWithoutEffect = "applied_event_without_effect" APPLIED_EVENT_WITHOUT_EFFECT,
    /// A success with an outcome and without a charge (a payment event).
    SuccessWithoutCharge = "success_without_charge" SUCCESS_WITHOUT_CHARGE,
    /// An applied success whose order is not paid (a payment event).
    SuccessWithoutOrder = "success_without_order" SUCCESS_WITHOUT_ORDER,
    /// An ignored success whose money no other event accounts for (a payment event).
    SuccessIgnoredWrongly = "success_ignored_wrongly" SUCCESS_IGNORED_WRONGLY,
    /// A dead success, which no worker applies any more: replay it (a payment event).
    SuccessDead = "success_dead" SUCCESS_DEAD,
    /// A charge whose event is missing or of another charge (the payment event that it names).
    ChargeWithoutEvent = "charge_without_event" CHARGE_WITHOUT_EVENT,
    /// The states of a charge and of its event disagree (a payment event).
    ChargeStatusMismatch = "charge_status_mismatch" CHARGE_STATUS_MISMATCH,
    /// More was given back than the amount of a charge, or its state does not fit the amount given back (a payment event).
    ChargeRefundMismatch = "charge_refund_mismatch" CHARGE_REFUND_MISMATCH,
}

/// A violated rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its kind.
    pub kind: Kind,
    /// The id of a product, hold, order or payment event, as the API writes it; `all` for [`Kind::SumsDisagree`].
    pub id: String,
    /// The finding in words.
    pub detail: String,
}

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

    fn read(value: Value) -> Result<Self, Failure> {
        match value {
            Value::Bytes(bytes) => Ok(Self::Id(id(&bytes)?)),
            Value::Int(number) => Ok(Self::Number(number)),
            other => Err(Failure::Broken(format!("a key cannot be {other:?}"))),
        }
    }

    fn text(self) -> String {
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
    checks: &[Kind::HoldOrderMismatch, Kind::HoldReturnsWrongly, Kind::HoldWithoutProduct],
    own_checks: &[Kind::HoldDeadlineTooLate],
};
/// Orders.
pub const ORDERS: Table = Table {
    find_page: sql::audit::FIND_PAGE_OF_ORDERS,
    kind_of_key: KindOfKey::Id,
    checks: &[
        Kind::OrderWithoutHold,
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

/// A range of rows of a table, in the order of its key.
#[derive(Debug, Clone)]
pub struct Page {
    first: Key,
    last: Key,
    more: bool,
}

impl Page {
    fn params(&self) -> Vec<(String, Value)> {
        let mut params = self.first.params("first");
        params.extend(self.last.params("last"));
        params
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

/// Finds everything of one kind in a page: at most a few findings per row.
pub async fn check(tx: &mut Tx<'_>, kind: Kind, page: &Page) -> Result<Vec<Finding>, Failure> {
    find(tx, kind, page, true).await
}

/// Finds the applied refunds of a page without an effect, or with several.
pub async fn check_refunds(tx: &mut Tx<'_>, page: &Page) -> Result<Vec<Finding>, Failure> {
    find(tx, Kind::AppliedEventWithoutEffect, page, false).await
}

async fn find(tx: &mut Tx<'_>, kind: Kind, page: &Page, all: bool) -> Result<Vec<Finding>, Failure> {
    let Some(statement) = kind.statement() else { return Ok(Vec::new()) };
    let mut params = page.params();
    params.push(("all".to_owned(), all.into()));
    let found: Vec<(Value, Vec<u8>)> = tx.rows(statement, params).await?;
    let finding = |(key, detail): (Value, Vec<u8>)| {
        Ok(Finding { kind, id: Key::read(key)?.text(), detail: String::from_utf8_lossy(&detail).into_owned() })
    };
    found.into_iter().map(finding).collect()
}

/// The counters of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// The product.
    pub product_id: i64,
    /// Units put on sale.
    pub stock: i64,
    /// Units on sale now.
    pub available: i64,
    /// Reserved units.
    pub reserved: i64,
}

/// Lists up to `limit` products from `first` on, by id.
pub async fn list_products(tx: &mut Tx<'_>, first: i64, limit: u32) -> Result<Vec<Counters>, Failure> {
    let found: Vec<(i64, i64, i64, i64)> = tx.rows(sql::audit::LIST_PRODUCTS, params! { first, limit }).await?;
    let counters = |(product_id, stock, available, reserved)| Counters { product_id, stock, available, reserved };
    Ok(found.into_iter().map(counters).collect())
}

/// Units that holds and orders reserve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Units {
    /// In active holds.
    pub held: i64,
    /// In pending orders.
    pub awaiting: i64,
    /// In paid orders, and in refunded ones whose units stayed sold.
    pub sold: i64,
}

impl Units {
    /// Adds other units.
    pub fn add(&mut self, other: Self) {
        self.held += other.held;
        self.awaiting += other.awaiting;
        self.sold += other.sold;
    }
}

/// The holds of one product in a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldSum {
    /// The product.
    pub product_id: i64,
    /// How many rows.
    pub rows: i64,
    /// How many of them are ordered.
    pub ordered: i64,
    /// The units of active ones.
    pub held: i64,
    /// How many return at another time than their own state requires.
    pub odd: i64,
    /// How many active ones have a creation time in the future.
    pub ahead: i64,
}

/// Sums up a page of holds by product, without their orders.
pub async fn sum_holds(tx: &mut Tx<'_>, page: &Page) -> Result<Vec<HoldSum>, Failure> {
    let found: Vec<(i64, i64, i64, i64, i64, i64)> = tx.rows(sql::audit::SUM_HOLDS, page.params()).await?;
    let sum = |(product_id, rows, ordered, held, odd, ahead)| HoldSum { product_id, rows, ordered, held, odd, ahead };
    Ok(found.into_iter().map(sum).collect())
}

/// The holds of one product that belong to a page of orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitSum {
    /// The product; `None` where the hold is missing.
    pub product_id: Option<i64>,
    /// How many rows of holds are ordered.
    pub ordered: i64,
    /// The units of the orders. Units of active holds are subtracted again: [`HoldSum`] has them as held.
    pub units: Units,
    /// How many rows do not fit their order.
    pub odd: i64,
    /// How many rows belong to orders with a creation time in the future.
    pub ahead: i64,
}

/// Sums up the holds of a page of orders, by product.
pub async fn sum_units(tx: &mut Tx<'_>, page: &Page) -> Result<Vec<UnitSum>, Failure> {
    type Columns = (Option<i64>, i64, i64, i64, i64, i64, i64);
    let found: Vec<Columns> = tx.rows(sql::audit::SUM_UNITS, page.params()).await?;
    let sum = |(product_id, ordered, active, awaiting, sold, odd, ahead): Columns| UnitSum {
        product_id,
        ordered,
        units: Units { held: -active, awaiting, sold },
        odd,
        ahead,
    };
    Ok(found.into_iter().map(sum).collect())
}

/// The trails of a page of orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrailSum {
    /// How many orders.
    pub rows: i64,
    /// How many transitions they have.
    pub transitions: i64,
    /// How many of the orders have a trail that does not lead to their state, or a refund that the state forbids.
    pub odd: i64,
}

/// Sums up the trails of a page of orders.
pub async fn sum_trails(tx: &mut Tx<'_>, page: &Page) -> Result<TrailSum, Failure> {
    let (rows, transitions, odd) = only(tx, sql::audit::SUM_TRAILS, page).await?;
    Ok(TrailSum { rows, transitions, odd })
}

/// The transitions of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransitionSum {
    /// How many.
    pub rows: i64,
    /// How many a success caused.
    pub paid: i64,
    /// How many a failure caused.
    pub failed: i64,
    /// How many have no cause that explains them.
    pub odd: i64,
}

/// Sums up the transitions of a page, with their events, charges and orders.
pub async fn sum_transitions(tx: &mut Tx<'_>, page: &Page) -> Result<TransitionSum, Failure> {
    let (rows, paid, failed, explained): (i64, i64, i64, i64) = only(tx, sql::audit::SUM_TRANSITIONS, page).await?;
    Ok(TransitionSum { rows, paid, failed, odd: rows - explained })
}

/// The events of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventSum {
    /// How many.
    pub rows: i64,
    /// Applied successes.
    pub paid: i64,
    /// Applied failures.
    pub failed: i64,
    /// How many are neither, or have no time of their outcome.
    pub others: i64,
}

/// Sums up the events of a page, each by itself.
pub async fn sum_events(tx: &mut Tx<'_>, page: &Page) -> Result<EventSum, Failure> {
    let (rows, paid, failed, plain): (i64, i64, i64, i64) = only(tx, sql::audit::SUM_EVENTS, page).await?;
    Ok(EventSum { rows, paid, failed, others: rows - plain })
}

/// Counts, of the successes of a page that are due for refund or refunded, those that own a charge, and those that own
/// none or one that does not match.
pub async fn sum_due_charges(tx: &mut Tx<'_>, page: &Page) -> Result<(i64, i64), Failure> {
    only(tx, sql::audit::SUM_DUE_CHARGES, page).await
}

/// Returns the only row of a statement over a page.
async fn only<T: FromRow + Send + 'static>(tx: &mut Tx<'_>, statement: &str, page: &Page) -> Result<T, Failure> {
    let row = tx.row(statement, page.params()).await?;
    row.ok_or_else(|| Failure::Broken("a sum returned no row".to_owned()))
}

/// Counts the statements that other sessions have sent to the server since it started.
pub async fn count_statements_of_others(tx: &mut Tx<'_>) -> Result<i64, Failure> {
    let mut counts = [0; 2];
    for (count, statement) in counts.iter_mut().zip([sql::audit::COUNT_STATEMENTS, sql::audit::COUNT_OWN_STATEMENTS]) {
        let row: Option<(String, String)> = tx.row(statement, Params::Empty).await?;
        *count = row.and_then(|(_, value)| value.parse::<i64>().ok()).unwrap_or(0);
    }
    Ok(counts[0] - counts[1])
}

/// Charges of one state and currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeSum {
    /// `paid`, `refund_due` or `refunded`.
    pub status: String,
    /// ISO 4217; `None` when it is unknown.
    pub currency: Option<String>,
    /// How many.
    pub count: i64,
    /// How many have no known amount.
    pub unknown: i64,
    /// The amount that was not given back, in minor units.
    pub kept_minor: i64,
    /// The amount that was given back, in minor units.
    pub refunded_minor: i64,
    /// How many are inconsistent by themselves.
    pub odd: i64,
}

/// Sums up the money of a page of charges.
pub async fn sum_charges(tx: &mut Tx<'_>, page: &Page) -> Result<Vec<ChargeSum>, Failure> {
    type Columns = (String, Option<String>, i64, i64, i64, i64, i64);
    let found: Vec<Columns> = tx.rows(sql::audit::SUM_CHARGES, page.params()).await?;
    let sum = |(status, currency, count, unknown, kept_minor, refunded_minor, odd)| ChargeSum {
        status,
        currency,
        count,
        unknown,
        kept_minor,
        refunded_minor,
        odd,
    };
    Ok(found.into_iter().map(sum).collect())
}

/// Successes without a charge, of one state and amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingSum {
    /// Their state.
    pub status: EventStatus,
    /// The decimal amount in major units, as it was written.
    pub amount: Option<String>,
    /// As it was written, or the order's.
    pub currency: Option<String>,
    /// How many.
    pub count: i64,
}

/// Sums up the money of a page of the inbox that has no charge.
pub async fn sum_waiting_successes(tx: &mut Tx<'_>, page: &Page) -> Result<Vec<WaitingSum>, Failure> {
    let found: Vec<Row> = tx.rows(sql::audit::SUM_WAITING_SUCCESSES, page.params()).await?;
    let sum = |row: Row| {
        type Columns = (String, Option<Vec<u8>>, Option<Vec<u8>>, i64);
        let (status, amount, currency, count): Columns =
            mysql_async::from_row_opt(row).map_err(|error| Failure::Broken(error.to_string()))?;
        let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(WaitingSum { status: state(&status)?, amount: text(amount), currency: text(currency), count })
    };
    found.into_iter().map(sum).collect()
}

/// Reads the database's clock, UTC.
pub async fn find_time(tx: &mut Tx<'_>) -> Result<NaiveDateTime, Failure> {
    let time = tx.row(sql::audit::FIND_TIME, Params::Empty).await?;
    time.ok_or_else(|| Failure::Broken("the database returned no time".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Named as _;

    #[test]
    fn every_check_is_named_like_its_findings_and_belongs_to_a_table() {
        let tables = [HOLDS, ORDERS, TRANSITIONS, EVENTS, CHARGES];
        for &kind in Kind::ALL {
            let Some(statement) = kind.statement() else { continue };
            assert!(statement.starts_with(&format!("-- audit/{kind}: ")), "{kind}");
            let tables =
                tables.iter().filter(|table| table.checks.iter().chain(table.own_checks).any(|&own| own == kind));
            assert_eq!(tables.count(), 1, "{kind}");
        }
    }

    #[test]
    fn the_next_key_follows_directly_and_the_last_one_has_none() {
        assert_eq!(Key::Number(1).next(), Some(Key::Number(2)));
        assert_eq!(HOLDS.first().next(), Some(Key::Id(Uuid::from_u128(1))));
        let name = |name: &[u8]| Key::Name(b"default".to_vec(), name.to_vec());
        assert_eq!(name(b"a").next(), Some(name(b"a\0")));
        assert_eq!((Key::Id(Uuid::max()).next(), Key::Number(i64::MAX).next()), (None, None));
    }
}
