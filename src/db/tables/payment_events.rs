//! The inbox of payment events.

use std::time::Duration;

use chrono::NaiveDateTime;
use mysql_async::{Params, Row, Value, params};
use uuid::Uuid;

use crate::db::column::{bytes, column, id_column, state, text_column};
use crate::db::door::Reply;
use crate::db::door::Tx;
use crate::db::due::{Page, Window};
use crate::db::error::Failure;
use crate::db::guard::single;
use crate::db::literal::{Literal, Text, list, numbers};
use crate::db::sql;
use crate::domain::payment::Provider;
use crate::domain::retry::PROTECTING_ATTEMPTS;
use crate::domain::{Event, EventStatus, Meaning, Named, Reference};

/// An event, with the columns that applying it needs.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its id in the inbox.
    pub id: i64,
    /// Its state.
    pub status: EventStatus,
    /// Its meaning.
    pub meaning: Meaning,
    /// The order or hold that it names.
    pub reference: Reference,
    /// The decimal amount, as it was written.
    pub amount: Option<String>,
    /// The currency, as it was written.
    pub currency: Option<String>,
    /// The provider's name for the charge.
    pub txn_id: Option<Vec<u8>>,
    /// The provider on whose route it arrived.
    pub provider: Vec<u8>,
    /// The digest that all deliveries of one event have.
    pub fingerprint: Vec<u8>,
    /// Whether it is a refund that puts the units back on sale.
    pub restock: bool,
    /// Whether it is a refund whose amount is everything that was given back so far.
    pub cumulative: bool,
    /// Whether an operator accepted its amount as it is.
    pub accepted_amount: bool,
    /// Whether it has waited for its order as long as an event may.
    pub overdue: bool,
    /// The database's clock when it was read, UTC.
    pub read_at: NaiveDateTime,
}

fn stored(row: &Row) -> Result<Stored, Failure> {
    Ok(Stored {
        id: column(row, "id")?,
        status: state(&column::<String>(row, "status")?)?,
        meaning: state(&column::<String>(row, "meaning")?)?,
        reference: Reference { order_id: id_column(row, "order_id")?, hold_id: id_column(row, "hold_id")? },
        amount: text_column(row, "amount")?,
        currency: text_column(row, "currency")?,
        txn_id: column(row, "txn_id")?,
        provider: column(row, "provider")?,
        fingerprint: column(row, "fingerprint")?,
        restock: column(row, "restock")?,
        cumulative: column(row, "cumulative")?,
        accepted_amount: column(row, "accepted_amount")?,
        overdue: column(row, "overdue")?,
        read_at: column(row, "read_at")?,
    })
}

/// The first state of an event in the inbox.
#[derive(Debug, Clone, Copy)]
pub struct Beginning {
    /// Attempts to apply it so far, this one included.
    pub attempts: u32,
    /// The time until a worker tries it, unless it gets its outcome in this transaction.
    pub pause: Duration,
    /// How long it waits for its order, in seconds.
    pub park_seconds: u64,
}

/// Stores an event. Returns its id for the first delivery, `None` for a copy, which is counted.
pub async fn insert(tx: &mut Tx<'_>, event: &Event, beginning: Beginning) -> Result<Option<i64>, Failure> {
    let mut params = of_event(event, event.reference);
    params.extend([
        ("attempts", beginning.attempts.into()),
        ("pause_us", us(beginning.pause).into()),
        ("park_seconds", beginning.park_seconds.into()),
    ]);
    let affected = tx.execute(sql::payment_events::INSERT, params).await?;
    new_id(tx, affected)
}

/// Stores an event that has its outcome `status` already, for the order or hold of `reference`, which may come from elsewhere
/// than the event. Returns its id for the first delivery, `None` for a copy, which is counted.
pub async fn insert_settled(
    tx: &mut Tx<'_>,
    event: &Event,
    reference: Reference,
    status: EventStatus,
) -> Result<Option<i64>, Failure> {
    let mut params = of_event(event, reference);
    params.push(("status", status.as_str().into()));
    let affected = tx.execute(sql::payment_events::INSERT_SETTLED, params).await?;
    new_id(tx, affected)
}

/// Returns the columns that an event fills in any state.
fn of_event(event: &Event, reference: Reference) -> Vec<(&'static str, Value)> {
    vec![
        ("provider", event.provider.into()),
        ("idempotency_key", (&event.idempotency_key).into()),
        ("fingerprint", event.fingerprint().to_vec().into()),
        ("meaning", event.meaning.as_str().into()),
        ("order_id", reference.order_id.map(bytes).into()),
        ("hold_id", reference.hold_id.map(bytes).into()),
        ("amount", (&event.amount).into()),
        ("currency", (&event.currency).into()),
        ("txn_id", (&event.txn_id).into()),
        ("restock", event.restock.into()),
        ("cumulative", event.cumulative.into()),
        ("provider_timestamp", (&event.provider_timestamp).into()),
        ("source", (&event.source).into()),
        ("correlation_id", (&event.correlation_id).into()),
        ("headers", (&event.headers).into()),
        ("body", (&event.body).into()),
    ]
}

/// Returns the id of the row that an INSERT created; `None` when the row existed.
fn new_id(tx: &Tx<'_>, affected: u64) -> Result<Option<i64>, Failure> {
    match (affected, tx.last_insert_id()) {
        (1, Some(id)) => Ok(Some(i64::try_from(id).map_err(|error| Failure::Broken(error.to_string()))?)),
        (1, None) => Err(Failure::Broken("the INSERT returned no id".to_owned())),
        _ => Ok(None),
    }
}

/// Gives an unmatched event the order or hold of `reference` and the name of its charge: from then on it is a received
/// event that is due now, and waits for its order for up to `park_seconds`. Returns false when it is not unmatched any more.
pub async fn match_to(
    tx: &mut Tx<'_>,
    event_id: i64,
    reference: Reference,
    charge_name: &[u8],
    park_seconds: u64,
) -> Result<bool, Failure> {
    let params = params! {
        event_id,
        "order_id" => reference.order_id.map(bytes),
        "hold_id" => reference.hold_id.map(bytes),
        "txn_id" => charge_name,
        park_seconds,
    };
    single("payment_events/match", tx.execute(sql::payment_events::MATCH, params).await?)
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Finds one event.
pub async fn find(tx: &mut Tx<'_>, event_id: i64) -> Result<Option<Stored>, Failure> {
    let row: Option<Row> = tx.row(sql::payment_events::FIND, params! { event_id }).await?;
    row.as_ref().map(stored).transpose()
}

/// Finds the event that was stored under this key.
pub async fn find_by_key(tx: &mut Tx<'_>, provider: &str, idempotency_key: &[u8]) -> Result<Option<Stored>, Failure> {
    let row: Option<Row> = tx.row(sql::payment_events::FIND_BY_KEY, params! { provider, idempotency_key }).await?;
    row.as_ref().map(stored).transpose()
}

/// Locks a waiting event for this transaction. Returns false when it already has its outcome. `counted`: counts the attempt,
/// which nothing else has counted.
pub async fn claim(tx: &mut Tx<'_>, event_id: i64, counted: bool) -> Result<bool, Failure> {
    let params = params! { event_id, "counted" => i64::from(counted) };
    single("payment_events/claim", tx.execute(sql::payment_events::CLAIM, params).await?)
}

/// Gives a waiting event of this transaction its outcome. `processing`: how long that took.
pub async fn settle(tx: &mut Tx<'_>, event_id: i64, status: EventStatus, processing: Duration) -> Result<(), Failure> {
    let params = params! { event_id, "status" => status.as_str(), "processing_us" => us(processing) };
    match single("payment_events/settle", tx.execute(sql::payment_events::SETTLE, params).await?)? {
        true => Ok(()),
        false => Err(Failure::Broken(format!("the payment event {event_id} already has its outcome"))),
    }
}

/// Lets an event of this transaction wait until it is given up.
pub async fn park(tx: &mut Tx<'_>, event_id: i64, processing: Duration) -> Result<(), Failure> {
    tx.execute(sql::payment_events::PARK, params! { event_id, "processing_us" => us(processing) }).await?;
    Ok(())
}

/// Marks the money of a success that was due for refund as given back. Returns false when it is not due any more.
pub async fn mark_refunded(tx: &mut Tx<'_>, event_id: i64) -> Result<bool, Failure> {
    let affected = tx.execute(sql::payment_events::MARK_REFUNDED, params! { event_id }).await?;
    single("payment_events/mark_refunded", affected)
}

/// Lists events that wait for these orders and holds, in the order in which they are to be applied.
pub async fn list_waiting_for(tx: &mut Tx<'_>, references: &[Reference]) -> Result<Vec<i64>, Failure> {
    let ids = |of: fn(&Reference) -> Option<Uuid>| {
        let some = references.iter().any(|reference| of(reference).is_some());
        if some { list(references.iter().filter_map(of).map(Literal::Id)) } else { Literal::Null.into() }
    };
    let (ids, hold_ids) = (ids(|reference| reference.order_id), ids(|reference| reference.hold_id));
    tx.rows_text(&sql::payment_events::ListWaitingFor { ids, hold_ids }.text()).await
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
pub fn leased(replies: Vec<Reply>) -> Result<Vec<(i64, Option<Event>)>, Failure> {
    let [leased, listed] = <[Reply; 2]>::try_from(replies)
        .map_err(|replies| Failure::Broken(format!("{} replies to a lease of events", replies.len())))?;
    if leased.affected != listed.rows.len() as u64 {
        return Err(Failure::Raced("payment_events/lease_all"));
    }
    listed.rows.iter().map(|row| Ok((column(row, "id")?, event(row)?))).collect()
}

fn event(row: &Row) -> Result<Option<Event>, Failure> {
    let provider = String::from_utf8_lossy(&column::<Vec<u8>>(row, "provider")?).into_owned();
    let Some(provider) = Provider::from_name(&provider) else { return Ok(None) };
    Ok(Some(Event {
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

/// Schedules another attempt after `pause` for a waiting event that could not be applied, and counts the failed one. Returns
/// false when it does not wait any more.
pub async fn postpone(tx: &mut Tx<'_>, event_id: i64, pause: Duration) -> Result<bool, Failure> {
    let params = params! { event_id, "pause_us" => us(pause) };
    single("payment_events/postpone", tx.execute(sql::payment_events::POSTPONE, params).await?)
}

/// Gives up a received event that was tried `attempts` times. Returns false when it is no such event.
pub async fn bury(tx: &mut Tx<'_>, event_id: i64, attempts: u32) -> Result<bool, Failure> {
    let affected = tx.execute(sql::payment_events::BURY, params! { event_id, attempts }).await?;
    single("payment_events/bury", affected)
}

/// Schedules new attempts for an event. Returns false when it is not dead, parked or quarantined.
pub async fn replay(tx: &mut Tx<'_>, event_id: i64, accept_amount: bool) -> Result<bool, Failure> {
    let affected = tx.execute(sql::payment_events::REPLAY, params! { event_id, accept_amount }).await?;
    single("payment_events/replay", affected)
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
