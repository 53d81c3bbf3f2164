//! Lists of holds and orders, the newest first: each filter by owner is a range of an index, whatever the size of the tables.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use mysql_async::{Params, Value};
use uuid::Uuid;

use crate::db::column::{bytes, id};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::sql;
use crate::domain::{Named as _, OrderStatus};

/// The first and the last time that a list can begin at: those of the database are a little further apart.
pub const BEGIN: NaiveDateTime = day(1000, 1);
/// See [`BEGIN`].
pub const END: NaiveDateTime = day(9999, 12);

const fn day(year: i32, month: u32) -> NaiveDateTime {
    NaiveDate::from_ymd_opt(year, month, 1).expect("a date").and_time(NaiveTime::MIN)
}

/// Whose holds or orders a list has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// All of this client; `None`: of anonymous callers.
    Client(Option<i64>),
    /// Those of this client for this buyer.
    Buyer(Option<i64>, String),
    /// Those of this client with this reference.
    Reference(Option<i64>, String),
}

impl Of {
    /// Returns the parameters of its statements, and those of the range.
    fn params(&self, range: Vec<(&'static str, Value)>) -> Params {
        let (client_id, text) = match self {
            Self::Client(client_id) => (client_id, None),
            Self::Buyer(client_id, buyer) => (client_id, Some(("buyer", buyer))),
            Self::Reference(client_id, reference) => (client_id, Some(("reference", reference))),
        };
        let text = text.map(|(name, text)| (name, Value::Bytes(text.clone().into_bytes())));
        let client_id = ("client_id", client_id.unwrap_or(0).into());
        Params::from(range.into_iter().chain([client_id]).chain(text).collect::<Vec<_>>())
    }
}

/// A range of holds, by their ids, which ascend with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldRange {
    /// The oldest of them.
    pub first: Uuid,
    /// The id before which they begin.
    pub behind: Uuid,
    /// The most to return.
    pub limit: u32,
}

impl HoldRange {
    fn params(self) -> Vec<(&'static str, Value)> {
        vec![("first", bytes(self.first)), ("behind", bytes(self.behind)), ("limit", self.limit.into())]
    }
}

/// The place of an order in a list: when it was created, UTC, and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderPlace {
    /// When it was created, UTC.
    pub at: NaiveDateTime,
    /// Its id.
    pub id: Uuid,
}

impl fmt::Display for OrderPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.at.and_utc().timestamp_micros(), self.id.simple())
    }
}

impl FromStr for OrderPlace {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (at, id) = text.split_once('.').ok_or(())?;
        let at = DateTime::from_timestamp_micros(at.parse().map_err(drop)?).ok_or(())?.naive_utc();
        let is_storable = (BEGIN..=END).contains(&at);
        is_storable.then_some(()).ok_or(())?;
        Ok(Self { at, id: id.parse().map_err(drop)? })
    }
}

/// A range of orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderRange {
    /// When the oldest of them was created, UTC.
    pub from: NaiveDateTime,
    /// The place before which they begin.
    pub behind: OrderPlace,
    /// The most to return.
    pub limit: u32,
}

impl OrderRange {
    fn params(self) -> Vec<(&'static str, Value)> {
        let Self { from, behind: OrderPlace { at, id }, limit } = self;
        vec![("from", from.into()), ("at", at.into()), ("id", bytes(id)), ("limit", limit.into())]
    }
}

/// Lists the clients that own holds; `None` for anonymous callers.
pub async fn list_clients_of_holds(tx: &mut Tx<'_>) -> Result<Vec<Option<i64>>, Failure> {
    Ok(named(tx.rows(sql::hold_owners::LIST_CLIENTS, ()).await?))
}

/// Lists the clients that own orders; `None` for anonymous callers.
pub async fn list_clients_of_orders(tx: &mut Tx<'_>) -> Result<Vec<Option<i64>>, Failure> {
    Ok(named(tx.rows(sql::order_owners::LIST_CLIENTS, ()).await?))
}

fn named(ids: Vec<i64>) -> Vec<Option<i64>> {
    ids.into_iter().map(|id| (id != 0).then_some(id)).collect()
}

/// Lists the ids of holds; `of`: those with an owner, else all.
pub async fn list_holds(tx: &mut Tx<'_>, of: Option<&Of>, range: HoldRange) -> Result<Vec<Uuid>, Failure> {
    let found: Vec<Vec<u8>> = match of {
        None => tx.rows(sql::holds::LIST_IDS, Params::from(range.params())).await?,
        Some(of) => {
            let statement = match of {
                Of::Client(_) => sql::hold_owners::LIST_OF_CLIENT,
                Of::Buyer(..) => sql::hold_owners::LIST_OF_BUYER,
                Of::Reference(..) => sql::hold_owners::LIST_OF_REFERENCE,
            };
            tx.rows(statement, of.params(range.params())).await?
        }
    };
    let mut ids: Vec<Uuid> = found.iter().map(|bytes| id(bytes)).collect::<Result<_, _>>()?;
    ids.dedup();
    Ok(ids)
}

/// Lists the places of the orders of an owner.
pub async fn list_orders_of(tx: &mut Tx<'_>, of: &Of, range: OrderRange) -> Result<Vec<OrderPlace>, Failure> {
    let statement = match of {
        Of::Client(_) => sql::order_owners::LIST_OF_CLIENT,
        Of::Buyer(..) => sql::order_owners::LIST_OF_BUYER,
        Of::Reference(..) => sql::order_owners::LIST_OF_REFERENCE,
    };
    places(tx.rows(statement, of.params(range.params())).await?)
}

/// Lists the places of the orders in a state, of any owner.
pub async fn list_orders_in(
    tx: &mut Tx<'_>,
    status: OrderStatus,
    range: OrderRange,
) -> Result<Vec<OrderPlace>, Failure> {
    let mut params = range.params();
    params.push(("status", status.as_str().into()));
    places(tx.rows(sql::orders::LIST_IDS_BY_AGE, Params::from(params)).await?)
}

fn places(found: Vec<(Vec<u8>, NaiveDateTime)>) -> Result<Vec<OrderPlace>, Failure> {
    found.into_iter().map(|(bytes, at)| Ok(OrderPlace { at, id: id(&bytes)? })).collect()
}
