//! The table of orders. Its columns `charge_provider` and `charge_txn_id` are from before charges had a table; only older
//! versions that may still run read them, so the next version can drop them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;
use mysql_async::{Row, params};
use uuid::Uuid;

use super::{holds, owners};
use crate::db::column::{bytes, column, id, state};
use crate::db::door::Tx;
use crate::db::due::{Page, Place, Window};
use crate::db::error::Failure;
use crate::db::guard::{exactly, single};
use crate::db::literal::{Literal, ids};
use crate::db::sql;
use crate::domain::retry::PROTECTING_ATTEMPTS;
use crate::domain::{Details, Named as _, OrderStatus, OrderTickets};

/// An order, with the columns that reads and payments need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: Uuid,
    /// The hold that it was created from.
    pub hold_id: Uuid,
    /// Its state.
    pub status: OrderStatus,
    /// The total, in minor units of `currency`.
    pub total_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// When it was created, UTC.
    pub created_at: NaiveDateTime,
    /// Until when it has to be paid, UTC.
    pub pay_by: NaiveDateTime,
    /// How much of the charge that paid it was given back, in minor units of `refunded_currency`.
    pub refunded_minor: i64,
    /// The currency of `refunded_minor`; `None`: the order's.
    pub refunded_currency: Option<String>,
    /// Whether its units went back on sale with the refund.
    pub restocked: bool,
    /// What it has of ticket types.
    pub tickets: OrderTickets,
    /// The client that owns it, or whose hold it was made of; 0: an anonymous caller's.
    pub client_id: i64,
}

impl Order {
    /// Returns the order as a refund leaves it.
    #[must_use]
    pub fn after(&self, refunded: &Refunded) -> Self {
        let Refunded { status, refunded_minor, ref refunded_currency, restocked } = *refunded;
        Self { status, refunded_minor, refunded_currency: refunded_currency.clone(), restocked, ..self.clone() }
    }

    /// Returns how much of the total was given back, in minor units of the order's currency. Parts of a charge in another
    /// currency do not count until all of it was given back.
    pub fn refunded_of_total(&self) -> i64 {
        match (&self.refunded_currency, self.status) {
            (None, _) => self.refunded_minor,
            (Some(_), OrderStatus::Refunded) => self.total_minor,
            (Some(_), _) => 0,
        }
    }
}

/// An item of an order: what its hold has of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The product.
    pub product_id: i64,
    /// How many units.
    pub qty: i64,
    /// The price of one unit at the time of the hold, in minor units of the order's currency.
    pub unit_price_minor: i64,
    /// See [`holds::HoldLine::order_ttl_seconds`].
    pub order_ttl_seconds: Option<u64>,
    /// See [`holds::HoldLine::seats`].
    pub seats: Option<Arc<[String]>>,
}

impl Item {
    /// Returns the labels of its seats; `None` for other units.
    pub fn labels(&self) -> Option<&[String]> {
        holds::labels(self.seats.as_deref())
    }
}

impl From<holds::HoldLine> for Item {
    fn from(line: holds::HoldLine) -> Self {
        let holds::HoldLine { product_id, qty, unit_price_minor, order_ttl_seconds, seats, .. } = line;
        Self { product_id, qty, unit_price_minor, order_ttl_seconds, seats }
    }
}

/// An order that was not paid in time.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// The order.
    pub order_id: Uuid,
    /// Its hold.
    pub hold_id: Uuid,
    /// Its deadline, UTC.
    pub at: NaiveDateTime,
    /// How long ago that was.
    pub late: Duration,
}

impl Due {
    /// Returns its place in the index of deadlines.
    pub fn place(&self) -> Place {
        Place { at: self.at, id: self.order_id, product_id: 0 }
    }
}

fn order(row: &Row) -> Result<Order, Failure> {
    Ok(Order {
        id: id(&column::<Vec<u8>>(row, "id")?)?,
        hold_id: id(&column::<Vec<u8>>(row, "hold_id")?)?,
        status: state(&column::<String>(row, "status")?)?,
        total_minor: column(row, "total_minor")?,
        currency: column(row, "currency")?,
        created_at: column(row, "created_at")?,
        pay_by: column(row, "pay_by")?,
        refunded_minor: column(row, "refunded_minor")?,
        refunded_currency: column(row, "refunded_currency")?,
        restocked: column(row, "restocked")?,
        tickets: OrderTickets::stored(column(row, "seats")?),
        client_id: column(row, "client")?,
    })
}

/// An order with its owner, and what was written on it; `None` for the latter: an anonymous caller made it of a hold of an
/// anonymous caller and wrote nothing.
pub type WithDetails = (Order, Option<Arc<Details>>);

/// Finds one order with its owner.
pub async fn find_placed(tx: &mut Tx<'_>, order_id: Uuid) -> Result<Option<WithDetails>, Failure> {
    Ok(list_placed(tx, &[order_id]).await?.pop())
}

/// Lists these orders with their owners; missing ones are left out.
pub async fn list_placed(tx: &mut Tx<'_>, order_ids: &[Uuid]) -> Result<Vec<WithDetails>, Failure> {
    let found: Vec<Row> = tx.rows_text(&sql::orders::FindPlaced { ids: ids(order_ids) }.text()).await?;
    found.iter().map(|row| Ok((order(row)?, owners::details(row)?))).collect()
}

/// Lists what the holds of these orders have of each product, by order; in each, by product. Missing orders are left out.
pub async fn list_items(tx: &mut Tx<'_>, order_ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<Item>>, Failure> {
    let mut items: HashMap<Uuid, Vec<Item>> = HashMap::new();
    if order_ids.is_empty() {
        return Ok(items);
    }
    let found: Vec<Row> = tx.rows_text(&sql::orders::ListItems { ids: ids(order_ids) }.text()).await?;
    for row in &found {
        items.entry(id(&column::<Vec<u8>>(row, "id")?)?).or_default().push(Item {
            product_id: column(row, "product_id")?,
            qty: column(row, "qty")?,
            unit_price_minor: column(row, "unit_price_minor")?,
            order_ttl_seconds: holds::order_ttl_seconds(row)?,
            seats: holds::read_labels(row)?.map(Arc::from),
        });
    }
    for items in items.values_mut() {
        items.sort_unstable_by_key(|item| item.product_id);
    }
    Ok(items)
}

/// Finds one order.
pub async fn find(tx: &mut Tx<'_>, order_id: Uuid) -> Result<Option<Order>, Failure> {
    Ok(list_some(tx, &[order_id]).await?.pop())
}

/// Lists these orders; missing ones are left out.
pub async fn list_some(tx: &mut Tx<'_>, order_ids: &[Uuid]) -> Result<Vec<Order>, Failure> {
    tx.rows_text(&sql::orders::Find { ids: ids(order_ids) }.text()).await?.iter().map(order).collect()
}

/// Returns the read of those of these orders that are not in the state `status`, or that an event waits for; [`read_touched`]
/// reads its rows.
pub fn list_touched(order_ids: &[Uuid], status: OrderStatus) -> String {
    sql::orders::ListTouched { ids: ids(order_ids), status: Literal::name(status).into() }.text()
}

/// Reads the rows of [`list_touched`]; `None` when they are not what it reads.
pub fn read_touched(rows: Vec<Row>) -> Option<HashSet<Uuid>> {
    let touched = |row| id(&mysql_async::from_row_opt::<Vec<u8>>(row).ok()?).ok();
    rows.into_iter().map(touched).collect()
}

/// Finds the order of a hold.
pub async fn find_by_hold(tx: &mut Tx<'_>, hold_id: Uuid) -> Result<Option<Order>, Failure> {
    Ok(list_by_hold(tx, &[hold_id]).await?.pop())
}

/// Lists the orders of these holds; holds without an order are left out.
pub async fn list_by_hold(tx: &mut Tx<'_>, hold_ids: &[Uuid]) -> Result<Vec<Order>, Failure> {
    tx.rows_text(&sql::orders::FindByHold { ids: ids(hold_ids) }.text()).await?.iter().map(order).collect()
}

/// Lists whose these orders are; 0: an anonymous caller's.
pub async fn list_clients(tx: &mut Tx<'_>, order_ids: &[Uuid]) -> Result<Vec<(Uuid, i64)>, Failure> {
    let found: Vec<(Vec<u8>, i64)> = tx.rows_text(&sql::orders::ListClients { ids: ids(order_ids) }.text()).await?;
    found.into_iter().map(|(order_id, client_id)| Ok((id(&order_id)?, client_id))).collect()
}

/// Returns the statement that marks pending orders paid.
pub fn mark_all_paid(order_ids: &[Uuid]) -> String {
    sql::orders::MarkAllPaid { ids: ids(order_ids) }.text()
}

/// Marks an order paid. Returns false when it is not in the state `from` any more.
pub async fn mark_paid(tx: &mut Tx<'_>, order_id: Uuid, from: OrderStatus) -> Result<bool, Failure> {
    let params = params! { "order_id" => bytes(order_id), "from" => from.as_str() };
    single("orders/mark_paid", tx.execute(sql::orders::MARK_PAID, params).await?)
}

/// An order after a refund.
#[derive(Debug, Clone)]
pub struct Refunded {
    /// `paid` or `refunded`.
    pub status: OrderStatus,
    /// How much was given back of its charge, in minor units of `refunded_currency`.
    pub refunded_minor: i64,
    /// The currency of `refunded_minor`; `None`: the order's.
    pub refunded_currency: Option<String>,
    /// Whether its units go back on sale.
    pub restocked: bool,
}

/// Records how much of a paid order was given back. Returns false when it is not paid any more, or another part of it was
/// given back since it was read.
pub async fn refund(tx: &mut Tx<'_>, order: &Order, refunded: Refunded) -> Result<bool, Failure> {
    let params = params! {
        "order_id" => bytes(order.id),
        "status" => refunded.status.as_str(),
        "refunded_minor" => refunded.refunded_minor,
        "refunded_currency" => refunded.refunded_currency,
        "restocked" => refunded.restocked,
        "refunded_before" => order.refunded_minor,
    };
    single("orders/refund", tx.execute(sql::orders::REFUND, params).await?)
}

/// How many failed attempts the trail of one order shows at most.
const ATTEMPTS_SHOWN: u32 = 100;

/// Counts a failed attempt to pay. Returns false when the order is not pending any more, or its trail shows enough of them.
pub async fn count_failed_attempt(tx: &mut Tx<'_>, order_id: Uuid) -> Result<bool, Failure> {
    let params = params! { "order_id" => bytes(order_id), "limit" => ATTEMPTS_SHOWN };
    single("orders/count_failed_attempt", tx.execute(sql::orders::COUNT_FAILED_ATTEMPT, params).await?)
}

/// Cancels one pending order. Returns false when it is not pending any more.
pub async fn cancel(tx: &mut Tx<'_>, order_id: Uuid) -> Result<bool, Failure> {
    let affected = tx.execute_text(&sql::orders::Cancel { ids: ids(&[order_id]) }.text()).await?;
    single("orders/cancel", affected)
}

/// Cancels these pending orders, all of them or none.
///
/// # Errors
/// [`Failure::Raced`] when some of them are not pending any more.
pub async fn cancel_all(tx: &mut Tx<'_>, order_ids: &[Uuid]) -> Result<(), Failure> {
    let affected = tx.execute_text(&sql::orders::Cancel { ids: ids(order_ids) }.text()).await?;
    exactly("orders/cancel", affected, order_ids.len(), Failure::Raced)
}

/// Cancels these orders, which were not paid in time, all of them or none.
///
/// # Errors
/// [`Failure::Stale`] when some of them are not pending any more, or have more time now.
pub async fn cancel_overdue(tx: &mut Tx<'_>, order_ids: &[Uuid]) -> Result<(), Failure> {
    let affected = tx.execute_text(&sql::orders::CancelOverdue { ids: ids(order_ids) }.text()).await?;
    exactly("orders/cancel_overdue", affected, order_ids.len(), Failure::Stale)
}

/// Moves the deadline of a pending order, if it is as it was read. Returns false when it is not.
pub async fn extend(tx: &mut Tx<'_>, before: &Order, pay_by: NaiveDateTime) -> Result<bool, Failure> {
    let params = params! { "order_id" => bytes(before.id), pay_by, "pay_before" => before.pay_by };
    single("orders/extend", tx.execute(sql::orders::EXTEND, params).await?)
}

/// Locks orders whose units are out until the end of the transaction, so that none gives them back meanwhile. Runs no statement
/// when there are none.
///
/// # Errors
/// [`Failure::Raced`] when the units of one of them are not out any more.
pub async fn recount(tx: &mut Tx<'_>, order_ids: &[Uuid]) -> Result<(), Failure> {
    if order_ids.is_empty() {
        return Ok(());
    }
    let affected = tx.execute_text(&sql::orders::Recount { ids: ids(order_ids) }.text()).await?;
    exactly("orders/recount", affected, order_ids.len(), Failure::Raced)
}

/// Lists a page of orders that were not paid in time, the oldest first.
pub async fn list_due(tx: &mut Tx<'_>, window: Window) -> Result<Page<Due>, Failure> {
    type Row = (Option<Vec<u8>>, Option<Vec<u8>>, Option<NaiveDateTime>, Option<i64>);
    type Columns = (NaiveDateTime, Option<Vec<u8>>, Option<Vec<u8>>, Option<NaiveDateTime>, Option<i64>);
    let mut params = window.params();
    params.push(("protecting_attempts", PROTECTING_ATTEMPTS.into()));
    let found: Vec<Columns> = tx.rows(sql::orders::LIST_DUE, params).await?;
    let due = |row: Row| {
        let (Some(order), Some(hold), Some(at), Some(late_us)) = row else { return Ok(None) };
        let late = Duration::from_micros(u64::try_from(late_us).unwrap_or(0));
        Ok(Some(Due { order_id: id(&order)?, hold_id: id(&hold)?, at, late }))
    };
    Page::read(found.into_iter().map(|(now, order, hold, at, late)| (now, (order, hold, at, late))).collect(), due)
}

/// Returns the microseconds until the next pending order is overdue, negative when one already is; `None` when none is due
/// after `seen` and within a second.
pub async fn find_next_due(tx: &mut Tx<'_>, seen: NaiveDateTime) -> Result<Option<i64>, Failure> {
    let params = params! { seen, "protecting_attempts" => PROTECTING_ATTEMPTS };
    tx.row(sql::orders::FIND_NEXT_DUE, params).await
}
