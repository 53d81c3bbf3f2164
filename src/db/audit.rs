//! What an audit reads. Every check is one statement over one page of a table, and is named like the kind of its findings
//! and like its file.

use chrono::NaiveDateTime;
use mysql_async::{Params, Row, Value, params};
use uuid::Uuid;

use super::{Failure, Tx, bytes, id, sql, state};
use crate::domain::EventStatus;
use crate::domain::status::named;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal $statement:ident),+ $(,)?) => {
        named! {
            /// What an audit can find. What it is found at is told in brackets.
            Kind {
                $($(#[$doc])* $variant = $name),+,
                /// Its stock is not what is available, held, awaiting payment and sold (a product).
                UnitsNotConserved = "units_not_conserved",
            }
        }

        impl Kind {
            /// The check that finds this in one page; none for what is summed up over all pages.
            fn statement(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => Some(sql::audit::$statement),)+
                    Self::UnitsNotConserved => None,
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
    /// Its product does not exist (a hold).
    HoldWithoutProduct = "hold_without_product" HOLD_WITHOUT_PRODUCT,
    /// Its hold does not exist (an order).
    OrderWithoutHold = "order_without_hold" ORDER_WITHOUT_HOLD,
    /// Its trail does not lead to its state (an order).
    OrderStatusUnexplained = "order_status_unexplained" ORDER_STATUS_UNEXPLAINED,
    /// A transition does not begin where the one before ended (an order).
    TrailBroken = "trail_broken" TRAIL_BROKEN,
    /// More than one payment paid it (an order).
    OrderPaidTwice = "order_paid_twice" ORDER_PAID_TWICE,
    /// It is paid or refunded, and the charge that says so is missing (an order).
    OrderWithoutCharge = "order_without_charge" ORDER_WITHOUT_CHARGE,
    /// What was given back of it is not what was given back of its charge, or it was restocked too early (an order).
    OrderRefundMismatch = "order_refund_mismatch" ORDER_REFUND_MISMATCH,
    /// A transition that no order may take (an order).
    TransitionNotAllowed = "transition_not_allowed" TRANSITION_NOT_ALLOWED,
    /// A transition of no order (the order that it names).
    TransitionWithoutOrder = "transition_without_order" TRANSITION_WITHOUT_ORDER,
    /// A transition whose payment event is missing, not applied, of another meaning or of another order (an order).
    TransitionEventMismatch = "transition_event_mismatch" TRANSITION_EVENT_MISMATCH,
    /// It has an outcome and no time of it, or the other way round (a payment event).
    EventSettledWrongly = "event_settled_wrongly" EVENT_SETTLED_WRONGLY,
    /// It waits, and nobody will ever look at it (a payment event).
    EventNeverDue = "event_never_due" EVENT_NEVER_DUE,
    /// It is applied, and no transition is due to it, or several are (a payment event).
    AppliedEventWithoutEffect = "applied_event_without_effect" APPLIED_EVENT_WITHOUT_EFFECT,
    /// Money with an outcome that no charge shows (a payment event).
    SuccessWithoutCharge = "success_without_charge" SUCCESS_WITHOUT_CHARGE,
    /// Money that is applied to an order that is not paid (a payment event).
    SuccessWithoutOrder = "success_without_order" SUCCESS_WITHOUT_ORDER,
    /// Money that is ignored although nothing else accounts for it (a payment event).
    SuccessIgnoredWrongly = "success_ignored_wrongly" SUCCESS_IGNORED_WRONGLY,
    /// Money that nobody looks at any more: replay it (a payment event).
    SuccessDead = "success_dead" SUCCESS_DEAD,
    /// A charge whose event is missing or of another charge (the payment event that it names).
    ChargeWithoutEvent = "charge_without_event" CHARGE_WITHOUT_EVENT,
    /// A charge and its event tell different outcomes (a payment event).
    ChargeStatusMismatch = "charge_status_mismatch" CHARGE_STATUS_MISMATCH,
    /// More was given back of a charge than it was, or its state does not fit what was given back (a payment event).
    ChargeRefundMismatch = "charge_refund_mismatch" CHARGE_REFUND_MISMATCH,
}

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// At what: the id of a product, hold, order or payment event, as the API writes it.
    pub id: String,
    /// What was found there, in words.
    pub detail: String,
}

/// The place of a row in the order of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Of holds and orders.
    Id(Uuid),
    /// Of everything else.
    Number(i64),
}

impl Key {
    /// The place behind this one; `None` behind the last one that there can be.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Id(id) => id.as_u128().checked_add(1).map(|next| Self::Id(Uuid::from_u128(next))),
            Self::Number(number) => number.checked_add(1).map(Self::Number),
        }
    }

    fn value(self) -> Value {
        match self {
            Self::Id(id) => bytes(id),
            Self::Number(number) => number.into(),
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
        }
    }
}

/// A table that is looked at page by page.
#[derive(Debug)]
pub struct Table {
    find_page: &'static str,
    /// Where it begins.
    pub first: Key,
    /// What is looked for in every page.
    pub checks: &'static [Kind],
}

const FIRST_ID: Key = Key::Id(Uuid::nil());
const FIRST_NUMBER: Key = Key::Number(i64::MIN);

/// Holds; a page ends between two holds.
pub const HOLDS: Table = Table {
    find_page: sql::audit::FIND_PAGE_OF_HOLDS,
    first: FIRST_ID,
    checks: &[Kind::HoldOrderMismatch, Kind::HoldReturnsWrongly, Kind::HoldWithoutProduct],
};
/// Orders.
pub const ORDERS: Table = Table {
    find_page: sql::audit::FIND_PAGE_OF_ORDERS,
    first: FIRST_ID,
    checks: &[
        Kind::OrderWithoutHold,
        Kind::OrderStatusUnexplained,
        Kind::TrailBroken,
        Kind::OrderPaidTwice,
        Kind::OrderWithoutCharge,
        Kind::OrderRefundMismatch,
    ],
};
/// Transitions of orders.
pub const TRANSITIONS: Table = Table {
    find_page: sql::audit::FIND_PAGE_OF_ORDER_EVENTS,
    first: FIRST_NUMBER,
    checks: &[Kind::TransitionNotAllowed, Kind::TransitionWithoutOrder, Kind::TransitionEventMismatch],
};
/// The inbox.
pub const EVENTS: Table = Table {
    find_page: sql::audit::FIND_PAGE_OF_PAYMENT_EVENTS,
    first: FIRST_NUMBER,
    checks: &[
        Kind::EventSettledWrongly,
        Kind::EventNeverDue,
        Kind::AppliedEventWithoutEffect,
        Kind::SuccessWithoutCharge,
        Kind::SuccessWithoutOrder,
        Kind::SuccessIgnoredWrongly,
        Kind::SuccessDead,
    ],
};
/// Charges, by the events that own them.
pub const CHARGES: Table = Table {
    find_page: sql::audit::FIND_PAGE_OF_CHARGES,
    first: FIRST_NUMBER,
    checks: &[Kind::ChargeWithoutEvent, Kind::ChargeStatusMismatch, Kind::ChargeRefundMismatch],
};

/// Some rows of a table that lie together.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    first: Key,
    /// The last of them.
    pub last: Key,
    /// How many there are.
    pub rows: i64,
}

impl Page {
    fn params(self) -> Vec<(String, Value)> {
        vec![("first".to_owned(), self.first.value()), ("last".to_owned(), self.last.value())]
    }
}

/// The page that begins at `first`; `None` when nothing is left there.
pub async fn find_page(tx: &mut Tx<'_>, table: &Table, first: Key, limit: u32) -> Result<Option<Page>, Failure> {
    let params = params! { "first" => first.value(), limit };
    match tx.row::<(i64, Value)>(table.find_page, params).await? {
        None | Some((0, _)) => Ok(None),
        Some((rows, last)) => Ok(Some(Page { first, last: Key::read(last)?, rows })),
    }
}

/// Everything of one kind in a page: at most a few findings per row.
pub async fn check(tx: &mut Tx<'_>, kind: Kind, page: Page) -> Result<Vec<Finding>, Failure> {
    let Some(statement) = kind.statement() else { return Ok(Vec::new()) };
    let found: Vec<(Value, Vec<u8>)> = tx.rows(statement, page.params()).await?;
    let finding = |(key, detail): (Value, Vec<u8>)| {
        Ok(Finding { kind, id: Key::read(key)?.text(), detail: String::from_utf8_lossy(&detail).into_owned() })
    };
    found.into_iter().map(finding).collect()
}

/// A product's own counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// The product.
    pub product_id: i64,
    /// Units put on sale.
    pub stock: i64,
    /// Units on sale now.
    pub available: i64,
    /// Units spoken for.
    pub reserved: i64,
}

/// Up to `limit` products from `first` on, by id.
pub async fn list_products(tx: &mut Tx<'_>, first: i64, limit: u32) -> Result<Vec<Counters>, Failure> {
    let found: Vec<(i64, i64, i64, i64)> = tx.rows(sql::audit::LIST_PRODUCTS, params! { first, limit }).await?;
    let counters = |(product_id, stock, available, reserved)| Counters { product_id, stock, available, reserved };
    Ok(found.into_iter().map(counters).collect())
}

/// Units that holds and orders speak for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Units {
    /// In active holds.
    pub held: i64,
    /// In orders that wait for their payment.
    pub awaiting: i64,
    /// In paid orders, and in refunded ones whose units stayed sold.
    pub sold: i64,
}

/// What a page of holds speaks for, by product; of the products from `first` to `last`.
pub async fn sum_units(tx: &mut Tx<'_>, page: Page, first: i64, last: i64) -> Result<Vec<(i64, Units)>, Failure> {
    let mut params = page.params();
    params.extend([("first_product".to_owned(), first.into()), ("last_product".to_owned(), last.into())]);
    let found: Vec<(i64, i64, i64, i64)> = tx.rows(sql::audit::SUM_UNITS, params).await?;
    Ok(found.into_iter().map(|(product, held, awaiting, sold)| (product, Units { held, awaiting, sold })).collect())
}

/// Charges of one state and currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeSum {
    /// `paid`, `refund_due` or `refunded`.
    pub status: String,
    /// ISO 4217; `None` when nobody said.
    pub currency: Option<String>,
    /// How many.
    pub count: i64,
    /// Of how many nobody said the amount.
    pub unknown: i64,
    /// What is not given back, in minor units.
    pub kept_minor: i64,
    /// What is, likewise.
    pub refunded_minor: i64,
}

/// The money of a page of charges.
pub async fn sum_charges(tx: &mut Tx<'_>, page: Page) -> Result<Vec<ChargeSum>, Failure> {
    type Columns = (String, Option<String>, i64, i64, i64, i64);
    let found: Vec<Columns> = tx.rows(sql::audit::SUM_CHARGES, page.params()).await?;
    let sum = |(status, currency, count, unknown, kept_minor, refunded_minor)| ChargeSum {
        status,
        currency,
        count,
        unknown,
        kept_minor,
        refunded_minor,
    };
    Ok(found.into_iter().map(sum).collect())
}

/// Successes without a charge that tell the same amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingSum {
    /// Where they wait.
    pub status: EventStatus,
    /// The decimal amount in major units, as it was written.
    pub amount: Option<String>,
    /// As it was written, or the order's.
    pub currency: Option<String>,
    /// How many.
    pub count: i64,
}

/// The money of a page of the inbox that has no charge.
pub async fn sum_waiting_successes(tx: &mut Tx<'_>, page: Page) -> Result<Vec<WaitingSum>, Failure> {
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

/// The database's clock, UTC.
pub async fn find_time(tx: &mut Tx<'_>) -> Result<NaiveDateTime, Failure> {
    let time = tx.row(sql::audit::FIND_TIME, Params::Empty).await?;
    time.ok_or_else(|| Failure::Broken("the database has no clock".to_owned()))
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
            let tables = tables.iter().filter(|table| table.checks.contains(&kind));
            assert_eq!(tables.count(), 1, "{kind}");
        }
    }

    #[test]
    fn the_next_key_is_the_one_behind_and_the_last_one_has_none() {
        assert_eq!(Key::Number(1).next(), Some(Key::Number(2)));
        assert_eq!(FIRST_ID.next(), Some(Key::Id(Uuid::from_u128(1))));
        assert_eq!((Key::Id(Uuid::max()).next(), Key::Number(i64::MAX).next()), (None, None));
    }
}
