//! The table of due refunds: money of charges that paid orders of cancelled events, and has to be given back.

use chrono::NaiveDateTime;
use mysql_async::{Params, Row, params};
use uuid::Uuid;

use crate::db::column::{column, id, id_column};
use crate::db::door::Tx;
use crate::db::error::{Failure, raced};
use crate::db::id_range::IdRange;
use crate::db::literal::{Literal, numbers, rows};
use crate::db::sql;

/// A hold of a ticket type whose event was cancelled, with the money that paid its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    /// The hold.
    pub hold_id: Uuid,
    /// Its paid order; `None` without one.
    pub order: Option<PaidOrder>,
}

/// A paid order with units of a cancelled event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaidOrder {
    /// Its id.
    pub id: Uuid,
    /// Its total, in minor units of its currency.
    pub total_minor: i64,
    /// What its units of the event cost.
    pub own_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// The charge that paid it, and has no due refund for the event.
    pub charge: Option<PayingCharge>,
}

/// A charge that paid an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayingCharge {
    /// The event of the inbox that owns it.
    pub event_id: i64,
    /// How much was taken, in minor units of `currency`; `None`: unknown.
    pub amount_minor: Option<i64>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// How much of it was given back.
    pub refunded_minor: i64,
    /// How many due refunds it has or had.
    pub due_refunds: i64,
    /// Up to where it is due for other events, in minor units.
    pub known_minor: i64,
    /// The same without what operators gave back by other ways: refunds of the charge do not count it.
    pub until_minor: i64,
}

fn paid(row: &Row) -> Result<Paid, Failure> {
    let order_id = id_column(row, "order_id")?;
    Ok(Paid {
        hold_id: id(&column::<Vec<u8>>(row, "id")?)?,
        order: order_id.map(|id| paid_order(row, id)).transpose()?,
    })
}

fn paid_order(row: &Row, id: Uuid) -> Result<PaidOrder, Failure> {
    let is_known = column::<i64>(row, "known")? > 0;
    let charge = match column::<Option<i64>>(row, "charge_event_id")?.filter(|_| !is_known) {
        None => None,
        Some(event_id) => Some(PayingCharge {
            event_id,
            amount_minor: column(row, "amount_minor")?,
            currency: column(row, "currency")?,
            refunded_minor: column(row, "refunded_minor")?,
            due_refunds: column(row, "due_refunds")?,
            known_minor: column::<Option<i64>>(row, "known_minor")?.unwrap_or(0),
            until_minor: column::<Option<i64>>(row, "until_minor")?.unwrap_or(0),
        }),
    };
    Ok(PaidOrder {
        id,
        total_minor: column(row, "total_minor")?,
        own_minor: column::<Option<i64>>(row, "own_minor")?.unwrap_or(0),
        currency: column(row, "order_currency")?,
        charge,
    })
}

/// Lists the holds behind `after` of one of an event's ticket types whose units do not come back by themselves, with the money that
/// paid for them; at most `limit` holds, by id. A hold whose order was paid by several charges has a row for each.
pub async fn list_to_write(
    tx: &mut Tx<'_>,
    (event_id, types): (i64, &[i64]),
    (product_id, after): (i64, Uuid),
    limit: u32,
) -> Result<Vec<Paid>, Failure> {
    let statement = sql::due_refunds::ListToWrite {
        event_id: Literal::Number(event_id).into(),
        ids: numbers(types),
        product_id: Literal::Number(product_id).into(),
        after: Literal::Id(after).into(),
        limit: Literal::Count(limit.into()).into(),
    };
    tx.rows_text(&statement.text()).await?.iter().map(paid).collect()
}

/// A due refund that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDue {
    /// The event of the inbox that owns the charge.
    pub charge_event_id: i64,
    /// The order that the charge paid.
    pub order_id: Uuid,
    /// How much is due, in minor units of `currency`; `None`: all of a charge whose amount is unknown.
    pub amount_minor: Option<i64>,
    /// How much of the charge was given back once this is.
    pub until_minor: Option<i64>,
    /// ISO 4217.
    pub currency: Option<String>,
}

/// Writes due refunds for an event.
///
/// # Errors
/// [`Failure::Raced`] when another transaction has written one of them.
pub async fn insert_all(tx: &mut Tx<'_>, event_id: i64, new: &[NewDue]) -> Result<(), Failure> {
    let number = |minor: Option<i64>| minor.map_or(Literal::Null, Literal::Number);
    let row = |due| {
        let NewDue { charge_event_id, order_id, amount_minor, until_minor, currency }: &NewDue = due;
        [
            Literal::Number(*charge_event_id),
            Literal::Number(event_id),
            Literal::Id(*order_id),
            number(*amount_minor),
            number(*until_minor),
            Literal::text(currency),
        ]
    };
    let statement = sql::due_refunds::Insert { rows: rows(new.iter().map(row)) };
    tx.execute_text(&statement.text()).await.map_err(|failure| raced(failure, "PRIMARY"))?;
    Ok(())
}

/// Settles the open due refunds of a charge that its refunds have reached; `whole`: all of the charge was given back.
pub async fn settle(tx: &mut Tx<'_>, charge_event_id: i64, refunded_minor: i64, whole: bool) -> Result<(), Failure> {
    tx.execute(sql::due_refunds::SETTLE, params! { charge_event_id, refunded_minor, whole }).await?;
    Ok(())
}

/// Settles the open due refunds of a charge because an operator gave the money back. Returns how many there were.
pub async fn settle_by_hand(tx: &mut Tx<'_>, charge_event_id: i64, operator: &str) -> Result<u64, Failure> {
    tx.execute(sql::due_refunds::SETTLE_BY_HAND, params! { charge_event_id, operator }).await
}

/// A due refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRefund {
    /// The event of the inbox that owns the charge.
    pub charge_event_id: i64,
    /// The cancelled event.
    pub event_id: i64,
    /// The order that the charge paid.
    pub order_id: Uuid,
    /// How much is due, in minor units of `currency`; `None`: all of a charge whose amount is unknown.
    pub amount_minor: Option<i64>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// Since when, UTC.
    pub due_at: NaiveDateTime,
    /// When it was given back, UTC.
    pub settled_at: Option<NaiveDateTime>,
}

/// Lists the due refunds of these charges, open or settled.
pub async fn list(tx: &mut Tx<'_>, charge_event_ids: &[i64]) -> Result<Vec<DueRefund>, Failure> {
    if charge_event_ids.is_empty() {
        return Ok(Vec::new());
    }
    let due = |row: &Row| {
        Ok(DueRefund {
            charge_event_id: column(row, "charge_event_id")?,
            event_id: column(row, "event_id")?,
            order_id: id(&column::<Vec<u8>>(row, "order_id")?)?,
            amount_minor: column(row, "amount_minor")?,
            currency: column(row, "currency")?,
            due_at: column(row, "due_at")?,
            settled_at: column(row, "settled_at")?,
        })
    };
    tx.rows_text(&sql::due_refunds::List { ids: numbers(charge_event_ids) }.text()).await?.iter().map(due).collect()
}

/// Lists the charges with open due refunds in a range of the events that own them, of all cancelled events or of one.
pub async fn list_open(tx: &mut Tx<'_>, event_id: Option<i64>, range: &IdRange) -> Result<Vec<i64>, Failure> {
    let IdRange { first, last, limit, .. } = *range;
    match event_id {
        None => tx.rows(sql::due_refunds::LIST_OPEN, params! { first, last, limit }).await,
        Some(event_id) => tx.rows(sql::due_refunds::LIST_OPEN_OF_EVENT, params! { event_id, first, last, limit }).await,
    }
}

/// Counts the charges with open due refunds, of all cancelled events.
pub async fn count_open(tx: &mut Tx<'_>) -> Result<i64, Failure> {
    let count = tx.row(sql::due_refunds::COUNT_OPEN, Params::Empty).await?;
    count.ok_or_else(|| Failure::Broken("a count returned no row".to_owned()))
}
