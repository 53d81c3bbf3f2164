//! The table of charges: money that was taken, one row per charge.

use std::collections::BTreeMap;

use mysql_async::{Row, params};
use uuid::Uuid;

use crate::db::column::{bytes, column, id_column, state};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::guard::{exactly, single};
use crate::db::literal::{Literal, cases, numbers};
use crate::db::sql;
use crate::domain::{ChargeStatus, Named as _, Reference};

/// A charge, with the columns that refunds need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The provider on whose route its success arrived.
    pub provider: Vec<u8>,
    /// The provider's name for it, or a substitute for a missing one.
    pub name: Vec<u8>,
    /// The success that owns it.
    pub event_id: i64,
    /// Its order and its hold, as far as they are known.
    pub reference: Reference,
    /// Its state.
    pub status: ChargeStatus,
    /// How much was taken, in minor units of `currency`; `None`: unknown.
    pub amount_minor: Option<i64>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// How much of it was given back.
    pub refunded_minor: i64,
    /// Whether a refund requested that its units go back on sale.
    pub restock: bool,
    /// How many due refunds it has or had.
    pub due_refunds: i64,
}

fn charge(row: &Row) -> Result<Charge, Failure> {
    Ok(Charge {
        provider: column(row, "provider")?,
        name: column(row, "name")?,
        event_id: column(row, "event_id")?,
        reference: Reference { order_id: id_column(row, "order_id")?, hold_id: id_column(row, "hold_id")? },
        status: state(&column::<String>(row, "status")?)?,
        amount_minor: column(row, "amount_minor")?,
        currency: column(row, "currency")?,
        refunded_minor: column(row, "refunded_minor")?,
        restock: column(row, "restock")?,
        due_refunds: column(row, "due_refunds")?,
    })
}

/// The amount of an event, in minor units of `currency`, as far as it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// The amount.
    pub amount_minor: Option<i64>,
    /// ISO 4217.
    pub currency: Option<String>,
}

/// Records the charge of a success. Returns false when an earlier event owns it.
pub async fn insert(
    tx: &mut Tx<'_>,
    event_id: i64,
    of: Reference,
    status: ChargeStatus,
    money: &Money,
) -> Result<bool, Failure> {
    let params = params! {
        event_id,
        "order_id" => of.order_id.map(bytes),
        "hold_id" => of.hold_id.map(bytes),
        "status" => status.as_str(),
        "amount_minor" => money.amount_minor,
        "currency" => &money.currency,
    };
    single("charges/insert", tx.execute(sql::charges::INSERT, params).await?)
}

/// Returns whether a charge of that provider paid the order.
pub async fn paid(tx: &mut Tx<'_>, provider: &[u8], order_id: Uuid) -> Result<bool, Failure> {
    let params = params! { provider, "order_id" => bytes(order_id) };
    Ok(tx.row::<i64>(sql::charges::COUNT_PAID, params).await? != Some(0))
}

/// Finds the charge with that name.
pub async fn find(tx: &mut Tx<'_>, provider: &[u8], name: &[u8]) -> Result<Option<Charge>, Failure> {
    let row: Option<Row> = tx.row(sql::charges::FIND, params! { provider, name }).await?;
    row.as_ref().map(charge).transpose()
}

/// Lists the charges of an order or of a hold.
pub async fn list_of(tx: &mut Tx<'_>, provider: &[u8], of: Reference) -> Result<Vec<Charge>, Failure> {
    let params = params! { provider, "order_id" => of.order_id.map(bytes), "hold_id" => of.hold_id.map(bytes) };
    let found: Vec<Row> = tx.rows(sql::charges::LIST_OF, params).await?;
    found.iter().map(charge).collect()
}

/// A charge after a refund.
#[derive(Debug, Clone, Copy)]
pub struct Refunded {
    /// Its new state.
    pub status: ChargeStatus,
    /// How much was given back so far, in minor units.
    pub refunded_minor: i64,
    /// Whether its units go back on sale.
    pub restock: bool,
}

/// Counts a due refund of each of these charges: by the events that own them, with how much of each was given back, and how many due
/// refunds it had or has.
///
/// # Errors
/// [`Failure::Raced`] when one of them has changed.
pub async fn note_due(tx: &mut Tx<'_>, read: &BTreeMap<i64, (i64, i64)>) -> Result<(), Failure> {
    let event_ids: Vec<i64> = read.keys().copied().collect();
    let refunded = read.iter().map(|(&id, &(minor, _))| (Literal::Number(id), Literal::Number(minor)));
    let due = read.iter().map(|(&id, &(_, count))| (Literal::Number(id), Literal::Number(count)));
    let statement = sql::charges::NoteDue { ids: numbers(&event_ids), refunded: cases(refunded), due: cases(due) };
    let affected = tx.execute_text(&statement.text()).await?;
    exactly("charges/note_due", affected, read.len(), Failure::Raced)
}

/// Records how much of a charge was given back. Returns false when that changed since it was read.
pub async fn refund(tx: &mut Tx<'_>, charge: &Charge, refunded: Refunded) -> Result<bool, Failure> {
    let params = params! {
        "provider" => &charge.provider,
        "name" => &charge.name,
        "status" => refunded.status.as_str(),
        "refunded_minor" => refunded.refunded_minor,
        "restock" => refunded.restock,
        "refunded_before" => charge.refunded_minor,
        "status_before" => charge.status.as_str(),
        "due_refunds" => charge.due_refunds,
    };
    single("charges/refund", tx.execute(sql::charges::REFUND, params).await?)
}
