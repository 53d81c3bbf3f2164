//! Tickets as they are read, redeemed, and replaced.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;

use chrono::NaiveDateTime;
use mysql_async::{Row, params};
use uuid::Uuid;

use crate::db::column::{bytes, column, id, state, text_column};
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::guard::single;
use crate::db::literal::{self, Literal, Text, ids, list, rows};
use crate::db::sql;
use crate::domain::{Named as _, TicketCode, TicketStatus};

/// What tells a request from its repetition.
pub type TicketKey = [u8; 32];

/// A ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Which one it is.
    pub place: TicketPlace,
    /// The event.
    pub event_id: i64,
    /// The code.
    pub code: TicketCode,
    /// The label of the seat, if its unit is one.
    pub seat: Option<String>,
    /// When it was made, UTC.
    pub issued_at: NaiveDateTime,
    /// The operator that made it; `None`: the payment did.
    pub issued_by: Option<String>,
    /// The request that made it, of an operator.
    pub issue_key: Option<Vec<u8>>,
    /// When it admitted, UTC.
    pub redeemed_at: Option<NaiveDateTime>,
    /// The client that redeemed it.
    pub redeemed_by: Option<String>,
    /// The request that redeemed it.
    pub redeem_key: Option<Vec<u8>>,
    /// Where it admitted, as that client said.
    pub gate: Option<String>,
    /// When it became void, UTC.
    pub voided_at: Option<NaiveDateTime>,
    /// Whether the payment of its order is disputed.
    pub disputed: bool,
}

/// Which ticket it is, and its place in the list of its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TicketPlace {
    /// Its state.
    pub status: TicketStatus,
    /// Its order.
    pub order_id: Uuid,
    /// Its ticket type.
    pub product_id: i64,
    /// Which of the order's units of this ticket type it is of, from 1.
    pub unit: i64,
    /// Which of the tickets of this unit it is, from 1.
    pub issue: i64,
}

impl TicketPlace {
    /// Returns the place before all tickets in a state.
    pub fn before(status: TicketStatus) -> Self {
        Self { status, order_id: Uuid::nil(), product_id: i64::MIN, unit: 0, issue: 0 }
    }
}

impl fmt::Display for TicketPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, order_id, product_id, unit, issue } = self;
        write!(formatter, "{}.{}.{product_id}.{unit}.{issue}", status.as_str(), order_id.simple())
    }
}

impl FromStr for TicketPlace {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Vec<&str> = text.split('.').collect();
        let [status, order_id, product_id, unit, issue] = parts.try_into().map_err(drop)?;
        let number = |text: &str| text.parse().map_err(drop);
        Ok(Self {
            status: TicketStatus::from_name(status).ok_or(())?,
            order_id: order_id.parse().map_err(drop)?,
            product_id: number(product_id)?,
            unit: number(unit)?,
            issue: number(issue)?,
        })
    }
}

fn ticket(row: &Row) -> Result<Ticket, Failure> {
    let code = TicketCode::stored(&column::<Vec<u8>>(row, "code")?);
    Ok(Ticket {
        place: TicketPlace {
            status: state(&column::<String>(row, "status")?)?,
            order_id: id(&column::<Vec<u8>>(row, "order_id")?)?,
            product_id: column(row, "product_id")?,
            unit: column(row, "unit")?,
            issue: column(row, "issue")?,
        },
        event_id: column(row, "event_id")?,
        code: code.ok_or_else(|| Failure::Broken("a stored code has another length".to_owned()))?,
        seat: text_column(row, "seat")?,
        issued_at: column(row, "issued_at")?,
        issued_by: text_column(row, "issued_by")?,
        issue_key: column(row, "issue_key")?,
        redeemed_at: column(row, "redeemed_at")?,
        redeemed_by: text_column(row, "redeemed_by")?,
        redeem_key: column(row, "redeem_key")?,
        gate: text_column(row, "gate")?,
        voided_at: column(row, "voided_at")?,
        disputed: column(row, "disputed")?,
    })
}

/// Finds the ticket with this code.
pub async fn find(tx: &mut Tx<'_>, code: TicketCode) -> Result<Option<Ticket>, Failure> {
    let found: Vec<Row> =
        tx.rows_text(&sql::tickets::Find { code: Literal::Bytes(code.bytes()).into() }.text()).await?;
    found.first().map(ticket).transpose()
}

/// Finds the ticket that took the place of this one.
pub async fn find_next(tx: &mut Tx<'_>, place: TicketPlace) -> Result<Option<Ticket>, Failure> {
    let TicketPlace { order_id, product_id, unit, issue, .. } = place;
    let params = params! { "order_id" => bytes(order_id), product_id, unit, "issue" => issue + 1 };
    let found: Option<Row> = tx.row(sql::tickets::FIND_ISSUE, params).await?;
    found.as_ref().map(ticket).transpose()
}

/// Lists the tickets of these orders, void ones too, backwards; at most `limit`.
pub async fn list_some(tx: &mut Tx<'_>, order_ids: &[Uuid], limit: u64) -> Result<Vec<Ticket>, Failure> {
    let statement = sql::tickets::ListSome { ids: ids(order_ids), limit: Literal::Count(limit).into() };
    tx.rows_text(&statement.text()).await?.iter().map(ticket).collect()
}

/// Lists the tickets for an event in the state of a place and behind it, by their places; at most `limit`.
pub async fn list_page(
    tx: &mut Tx<'_>,
    event_id: i64,
    behind: TicketPlace,
    limit: usize,
) -> Result<Vec<Ticket>, Failure> {
    let TicketPlace { status, order_id, product_id, unit, issue } = behind;
    let status = status.as_str();
    let params = params! { event_id, status, "order_id" => bytes(order_id), product_id, unit, issue, limit };
    let found: Vec<Row> = tx.rows(sql::tickets::LIST_PAGE, params).await?;
    found.iter().map(ticket).collect()
}

/// A request to admit with a ticket.
#[derive(Debug, Clone)]
pub struct Redeem {
    /// The code of the ticket.
    pub code: TicketCode,
    /// Where.
    pub gate: Option<String>,
    /// The client.
    pub redeemed_by: String,
    /// What tells the request from its repetition.
    pub key: TicketKey,
}

impl Redeem {
    /// Returns whether this request, or one that it repeats, has redeemed this ticket.
    pub fn has_redeemed(&self, ticket: &Ticket) -> bool {
        ticket.place.status == TicketStatus::Redeemed && ticket.redeem_key.as_deref() == Some(&self.key)
    }
}

/// Returns the statement that redeems tickets, each for its request. The number of changed rows is how many were valid.
pub fn redeem_all(requests: &BTreeMap<TicketCode, &Redeem>) -> String {
    sql::tickets::Redeem {
        redeemed_by: each(requests, |request| Some(request.redeemed_by.as_bytes())),
        redeem_key: each(requests, |request| Some(&request.key)),
        gate: each(requests, |request| request.gate.as_deref().map(str::as_bytes)),
        codes: codes(requests.keys()),
    }
    .text()
}

fn each<'a>(requests: &BTreeMap<TicketCode, &'a Redeem>, value: impl Fn(&'a Redeem) -> Option<&'a [u8]>) -> Text {
    let literal = |value: Option<&'a [u8]>| value.map_or(Literal::Null, Literal::Bytes);
    literal::each(
        "code",
        requests.iter().map(|(code, &request)| (Literal::Bytes(code.bytes()), literal(value(request)))),
    )
}

fn codes<'a>(codes: impl IntoIterator<Item = &'a TicketCode>) -> Text {
    list(codes.into_iter().map(|code| Literal::Bytes(code.bytes())))
}

/// Returns the statement that lists the tickets with these codes.
pub fn list_all_by_code<'a>(some: impl IntoIterator<Item = &'a TicketCode>) -> String {
    sql::tickets::ListByCode { codes: codes(some) }.text()
}

/// Lists the tickets with these codes.
pub async fn list_by_code(tx: &mut Tx<'_>, codes: &BTreeSet<TicketCode>) -> Result<Vec<Ticket>, Failure> {
    read_rows(&tx.rows_text(&list_all_by_code(codes)).await?)
}

/// Reads the rows that the statement of [`list_all_by_code`] returns.
pub fn read_rows(rows: &[Row]) -> Result<Vec<Ticket>, Failure> {
    rows.iter().map(ticket).collect()
}

/// Reads which clients sold the tickets that the statement of [`list_all_by_code`] returns; 0: an anonymous caller's.
pub fn read_clients(rows: &[Row]) -> Result<HashMap<Uuid, i64>, Failure> {
    rows.iter().map(|row| Ok((id(&column::<Vec<u8>>(row, "order_id")?)?, column(row, "client")?))).collect()
}

/// Makes a valid ticket void for another one in its place. Returns false when it is not valid.
pub async fn replace(tx: &mut Tx<'_>, code: TicketCode) -> Result<bool, Failure> {
    single("tickets/replace", tx.execute(sql::tickets::REPLACE, params! { "code" => code.bytes() }).await?)
}

/// Writes the ticket that takes the place of `old`, which [`replace`] has made void.
pub async fn insert_again(
    tx: &mut Tx<'_>,
    old: &Ticket,
    code: TicketCode,
    (issued_by, key): (&str, &TicketKey),
) -> Result<(), Failure> {
    let TicketPlace { order_id, product_id, unit, issue, .. } = old.place;
    let row = [
        Literal::Id(order_id),
        Literal::Number(product_id),
        Literal::Number(unit),
        Literal::Number(issue + 1),
        Literal::Number(old.event_id),
        Literal::Bytes(code.bytes()),
        Literal::text(&old.seat),
        Literal::Bytes(issued_by.as_bytes()),
        Literal::Bytes(key),
    ];
    tx.execute_text(&sql::tickets::InsertAgain { rows: rows([row]) }.text()).await?;
    Ok(())
}
