//! Events that wait: to be applied, for an order, or for an operator.

use std::time::Duration;

use chrono::NaiveDateTime;
use mysql_async::{Params, Row, params};
use uuid::Uuid;

use crate::db::column::{bytes, column, id_column, state, text_column, us};
use crate::db::door::{Reply, Tx};
use crate::db::due::{Page, Window};
use crate::db::error::Failure;
use crate::db::guard::single;
use crate::db::literal::{Literal, Text, ids, list, numbers};
use crate::db::sql;
use crate::domain::payment::Provider;
use crate::domain::retry::PROTECTING_ATTEMPTS;
use crate::domain::{EventStatus, Meaning, Named, PaymentEvent, Reference};

/// Lists events that wait for these orders and holds, in the order in which they are to be applied.
pub async fn list_waiting_for(tx: &mut Tx<'_>, references: &[Reference]) -> Result<Vec<i64>, Failure> {
    let ids = |of: fn(&Reference) -> Option<Uuid>| {
        let some = references.iter().any(|reference| of(reference).is_some());
        if some { list(references.iter().filter_map(of).map(Literal::Id)) } else { Literal::Null.into() }
    };
    let (ids, hold_ids) = (ids(|reference| reference.order_id), ids(|reference| reference.hold_id));
    tx.rows_text(&sql::payment_events::ListWaitingFor { ids, hold_ids }.text()).await
}

/// Returns the read of those of these holds that events without a final outcome name; its rows are ids, as those of
/// [`orders::list_touched`](super::super::orders::list_touched).
pub fn list_holds(hold_ids: &[Uuid]) -> String {
    sql::payment_events::ListHolds { ids: ids(hold_ids) }.text()
}

/// Fails with [`Failure::Stale`] while a payment of this order waits to be applied: successes go first, and a caller that wants
/// to cancel the order applies them before it tries again.
pub async fn no_success_waits(tx: &mut Tx<'_>, order_id: Uuid, hold_id: Uuid) -> Result<(), Failure> {
    match success_waits(tx, Reference { order_id: Some(order_id), hold_id: Some(hold_id) }).await? {
        false => Ok(()),
        true => Err(Failure::Stale("payment_events/count_waiting_successes")),
    }
}

/// Returns whether a payment of this order or hold waits to be applied.
pub async fn success_waits(tx: &mut Tx<'_>, of: Reference) -> Result<bool, Failure> {
    let params = params! {
        "order_id" => of.order_id.map(bytes),
        "hold_id" => of.hold_id.map(bytes),
        "protecting_attempts" => PROTECTING_ATTEMPTS,
    };
    Ok(tx.row::<i64>(sql::payment_events::COUNT_WAITING_SUCCESSES, params).await? != Some(0))
}

/// An event that waits, or was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Its id in the inbox.
    pub event_id: i64,
    /// Its meaning.
    pub meaning: Meaning,
    /// Whether it can be applied now.
    pub ready: bool,
}

/// Lists up to `limit` events that are `parked` or `dead`, with ids greater than `after`, by id. Of dead ones, only refunds
/// that were tried less than `attempts` times are ready.
pub async fn list_ready(
    tx: &mut Tx<'_>,
    status: EventStatus,
    after: i64,
    limit: u32,
    attempts: u32,
) -> Result<Vec<Waiting>, Failure> {
    let params = params! { "status" => status.as_str(), after, limit, attempts };
    let found: Vec<(i64, String, bool)> = tx.rows(sql::payment_events::LIST_READY, params).await?;
    let waiting =
        |(event_id, meaning, ready): (i64, String, bool)| Ok(Waiting { event_id, meaning: state(&meaning)?, ready });
    found.into_iter().map(waiting).collect()
}

/// An event that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Its id in the inbox.
    pub event_id: i64,
    /// Its meaning.
    pub meaning: Meaning,
    /// `received`: to be tried again; `parked`: to be given up.
    pub status: EventStatus,
    /// Attempts so far.
    pub attempts: u32,
}

impl Due {
    /// Returns whether it is a success without an attempt so far.
    pub fn is_new_success(&self) -> bool {
        self.meaning == Meaning::Succeeded && self.status == EventStatus::Received && self.attempts == 0
    }
}

/// Lists a page of received events that are due and a page of parked ones, the longest due first; the place of an event is its
/// deadline alone.
pub async fn list_due(tx: &mut Tx<'_>, window: Window) -> Result<Page<Due>, Failure> {
    type Row = (Option<i64>, Option<String>, Option<String>, Option<u32>);
    type Columns = (NaiveDateTime, Option<i64>, Option<String>, Option<String>, Option<u32>);
    let found: Vec<Columns> = tx.rows(sql::payment_events::LIST_DUE, window.params()).await?;
    let due = |row: Row| {
        let (Some(event_id), Some(meaning), Some(status), Some(attempts)) = row else { return Ok(None) };
        Ok(Some(Due { event_id, meaning: state(&meaning)?, status: state(&status)?, attempts }))
    };
    let rows = found.into_iter().map(|(now, id, meaning, status, attempts)| (now, (id, meaning, status, attempts)));
    Page::read(rows.collect(), due)
}

/// Returns the microseconds until the next event is due, negative when one already is; `None` when none is due after `from`
/// and within a second.
pub async fn find_next_due(tx: &mut Tx<'_>, from: NaiveDateTime) -> Result<Option<i64>, Failure> {
    let row: Option<Option<i64>> = tx.row(sql::payment_events::FIND_NEXT_DUE, params! { from }).await?;
    Ok(row.flatten())
}

/// Leases a received event for one attempt, which is counted; the next one is due after `pause`. Returns false when another
/// worker was first.
pub async fn lease(tx: &mut Tx<'_>, event_id: i64, attempts: u32, pause: Duration) -> Result<bool, Failure> {
    let params = params! { event_id, attempts, "pause_us" => us(pause) };
    single("payment_events/lease", tx.execute(sql::payment_events::LEASE, params).await?)
}

/// Returns the statements that lease these received events, which have no attempt yet, for one attempt, which is counted; the
/// next one is due at `due_at`, UTC. [`leased`] reads the replies.
pub fn lease_all(event_ids: &[i64], due_at: NaiveDateTime) -> [String; 2] {
    let (due_at, ids) = (Text::from(Literal::Time(due_at)), numbers(event_ids));
    let lease = sql::payment_events::LeaseAll { due_at: due_at.clone(), ids: ids.clone() };
    [lease.text(), sql::payment_events::ListLeased { ids, due_at }.text()]
}

/// Reads the replies to [`lease_all`]: the events that this worker has leased, by id, without headers and body; `None` for an
/// event of a provider that this version does not know.
///
/// # Errors
/// [`Failure::Raced`] when another worker has leased some of them in the same microsecond.
pub fn leased(replies: Vec<Reply>) -> Result<Vec<(i64, Option<PaymentEvent>)>, Failure> {
    let [leased, listed] = <[Reply; 2]>::try_from(replies)
        .map_err(|replies| Failure::Broken(format!("{} replies to a lease of events", replies.len())))?;
    if leased.affected != listed.rows.len() as u64 {
        return Err(Failure::Raced("payment_events/lease_all"));
    }
    listed.rows.iter().map(|row| Ok((column(row, "id")?, event(row)?))).collect()
}

fn event(row: &Row) -> Result<Option<PaymentEvent>, Failure> {
    let provider = String::from_utf8_lossy(&column::<Vec<u8>>(row, "provider")?).into_owned();
    let Some(provider) = Provider::from_name(&provider) else { return Ok(None) };
    Ok(Some(PaymentEvent {
        provider: provider.as_str(),
        idempotency_key: column(row, "idempotency_key")?,
        meaning: state(&column::<String>(row, "meaning")?)?,
        reference: Reference { order_id: id_column(row, "order_id")?, hold_id: id_column(row, "hold_id")? },
        amount: text_column(row, "amount")?,
        currency: text_column(row, "currency")?,
        txn_id: text_column(row, "txn_id")?,
        restock: column(row, "restock")?,
        cumulative: column(row, "cumulative")?,
        provider_timestamp: text_column(row, "provider_timestamp")?,
        source: text_column(row, "source")?,
        correlation_id: text_column(row, "correlation_id")?,
        headers: String::new(),
        body: Vec::new(),
    }))
}

/// Returns the statement that marks leased successes applied, in one transaction with what they change. `processing`: how
/// long that took.
pub(in crate::db) fn mark_all_applied(event_ids: &[i64], processing: Duration) -> String {
    let processing_us = Literal::Count(us(processing)).into();
    sql::payment_events::MarkAllApplied { processing_us, ids: numbers(event_ids) }.text()
}

/// Counts the successes that name no order or hold of this shop, as far as is known.
pub async fn count_unmatched_successes(tx: &mut Tx<'_>) -> Result<i64, Failure> {
    let count = tx.row(sql::payment_events::COUNT_UNMATCHED_SUCCESSES, Params::Empty).await?;
    count.ok_or_else(|| Failure::Broken("a count returned no row".to_owned()))
}

/// The events in one of the states in which a worker or an operator has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// The state.
    pub status: EventStatus,
    /// How many.
    pub count: i64,
    /// For how long the oldest one has been in the inbox.
    pub oldest: Duration,
}

/// Counts the open events by state; a state without events is missing.
pub async fn count_open(tx: &mut Tx<'_>) -> Result<Vec<Open>, Failure> {
    let found: Vec<(String, i64, i64)> = tx.rows(sql::payment_events::COUNT_OPEN, Params::Empty).await?;
    let open = |(status, count, oldest_us): (String, i64, i64)| {
        let oldest = Duration::from_micros(u64::try_from(oldest_us).unwrap_or(0));
        Ok(Open { status: state(&status)?, count, oldest })
    };
    found.into_iter().map(open).collect()
}
