//! The inbox of payment events.

use std::collections::HashMap;

use mysql_async::params;
use uuid::Uuid;

use super::door::Reply;
use super::literal::{Literal, cases, list, rows};
use super::{Failure, Tx, bytes, holds, id, orders, single, sql, state};
use crate::domain::{Event, EventStatus, Meaning, Named, Reference};

/// What applying an event needs to know of it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its id in the inbox.
    pub id: i64,
    /// Where it is.
    pub status: EventStatus,
    /// What happened.
    pub meaning: Meaning,
    /// To which order.
    pub reference: Reference,
    /// The decimal amount, as it was written.
    pub amount: Option<String>,
    /// The currency, as it was written.
    pub currency: Option<String>,
    /// The provider's name for the charge.
    pub txn_id: Option<Vec<u8>>,
    /// The route that it came by.
    pub provider: Vec<u8>,
    /// What makes two deliveries the same event.
    pub fingerprint: Vec<u8>,
    /// A refund that puts the units back on sale.
    pub restock: bool,
}

type Columns = (
    i64,
    String,
    String,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Vec<u8>,
    Vec<u8>,
    bool,
);

fn stored(columns: Columns) -> Result<Stored, Failure> {
    let (event_id, status, meaning, order, hold, amount, currency, txn_id, provider, fingerprint, restock) = columns;
    let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Stored {
        id: event_id,
        status: state(&status)?,
        meaning: state(&meaning)?,
        reference: Reference {
            order_id: order.as_deref().map(id).transpose()?,
            hold_id: hold.as_deref().map(id).transpose()?,
        },
        amount: text(amount),
        currency: text(currency),
        txn_id,
        provider,
        fingerprint,
        restock,
    })
}

/// Takes an event in. `Some(id)` for the first delivery, `None` for a copy, which is counted.
pub async fn insert(tx: &mut Tx<'_>, event: &Event) -> Result<Option<i64>, Failure> {
    let params = params! {
        "provider" => event.provider,
        "idempotency_key" => &event.idempotency_key,
        "fingerprint" => event.fingerprint().to_vec(),
        "meaning" => event.meaning.as_str(),
        "order_id" => event.reference.order_id.map(bytes),
        "hold_id" => event.reference.hold_id.map(bytes),
        "amount" => &event.amount,
        "currency" => &event.currency,
        "txn_id" => &event.txn_id,
        "restock" => event.restock,
        "provider_timestamp" => &event.provider_timestamp,
        "source" => &event.source,
        "correlation_id" => &event.correlation_id,
        "body" => &event.body,
    };
    let affected = tx.execute(sql::payment_events::INSERT, params).await?;
    match (affected, tx.last_insert_id()) {
        (1, Some(id)) => Ok(Some(i64::try_from(id).map_err(|error| Failure::Broken(error.to_string()))?)),
        (1, None) => Err(Failure::Broken("the inbox gave no id".to_owned())),
        _ => Ok(None),
    }
}

/// A success whose order waits for it.
#[derive(Debug, Clone, Copy)]
pub struct Success<'a> {
    /// The event.
    pub event: &'a Event,
    /// Its order.
    pub order_id: Uuid,
    /// That order's hold.
    pub hold_id: Uuid,
}

/// The statements that take in a batch of successes and pay their orders, in one packet: the inbox, the orders, their
/// trails, their holds, the ids in the inbox. One per order and per key, sorted by key.
pub fn pay(successes: &[Success<'_>]) -> [String; 5] {
    let keys = rows(successes.iter().map(|success| key(success.event)));
    let inbox_rows: Vec<String> = successes.iter().map(|success| inbox_row(success.event)).collect();
    let inbox = sql::payment_events::INSERT_APPLIED.replace("{rows}", &inbox_rows.join(", "));
    let charges: Vec<_> = successes
        .iter()
        .map(|success| (success.order_id, success.event.provider, success.event.txn_id.as_deref()))
        .collect();
    let orders = cases(successes.iter().map(|success| (key(success.event)[1], Literal::Id(success.order_id))));
    let hold_ids: Vec<Uuid> = successes.iter().map(|success| success.hold_id).collect();
    [
        inbox,
        orders::mark_all_paid(&charges),
        sql::order_events::INSERT_ALL_PAID.replace("{orders}", &orders).replace("{rows}", &keys),
        holds::settle_all(&hold_ids),
        sql::payment_events::LIST_IDS.replace("{rows}", &keys),
    ]
}

/// Reads the replies to [`pay`]: ids in the inbox, by key.
///
/// # Errors
/// [`Failure::Stale`] when an order or a key was somebody else's since it was read.
pub fn paid(replies: Vec<Reply>, count: usize) -> Result<HashMap<Vec<u8>, i64>, Failure> {
    let [inbox, orders, trails, holds, ids] = <[Reply; 5]>::try_from(replies)
        .map_err(|replies| Failure::Broken(format!("{} replies to a batch of payments", replies.len())))?;
    let count = count as u64;
    if inbox.affected != count || orders.affected != count {
        return Err(Failure::Stale("orders/mark_all_paid"));
    }
    if trails.affected != count || holds.affected < count {
        return Err(Failure::Broken(format!("{} trails and {} holds", trails.affected, holds.affected)));
    }
    let id = |row| match mysql_async::from_row_opt::<(Vec<u8>, i64, Vec<u8>)>(row) {
        Ok((key, id, _)) => Ok((key, id)),
        Err(error) => Err(Failure::Broken(error.to_string())),
    };
    ids.rows.into_iter().map(id).collect()
}

/// The ids of these very events in the inbox, by key, if all of them are there.
pub async fn paid_before(tx: &mut Tx<'_>, successes: &[Success<'_>]) -> Result<Option<HashMap<Vec<u8>, i64>>, Failure> {
    let keys = rows(successes.iter().map(|success| key(success.event)));
    let stored: Vec<(Vec<u8>, i64, Vec<u8>)> =
        tx.rows_text(&sql::payment_events::LIST_IDS.replace("{rows}", &keys)).await?;
    let ours = |(key, _, fingerprint): &(Vec<u8>, i64, Vec<u8>)| {
        successes.iter().any(|success| {
            success.event.idempotency_key == *key && success.event.fingerprint().as_slice() == fingerprint.as_slice()
        })
    };
    let all = stored.len() == successes.len() && stored.iter().all(ours);
    Ok(all.then(|| stored.into_iter().map(|(key, id, _)| (key, id)).collect()))
}

/// What an event's row is found by.
fn key(event: &Event) -> [Literal<'_>; 2] {
    [Literal::Bytes(event.provider.as_bytes()), Literal::Bytes(&event.idempotency_key)]
}

fn inbox_row(event: &Event) -> String {
    let text = |text: &'_ Option<String>| match text {
        Some(text) => Literal::Bytes(text.as_bytes()).to_string(),
        None => Literal::Null.to_string(),
    };
    let fingerprint = event.fingerprint();
    let [provider, key] = key(event);
    let id = |id: Option<Uuid>| id.map_or(Literal::Null, Literal::Id);
    let (status, meaning) = (Literal::name(EventStatus::Applied), Literal::name(event.meaning));
    let Reference { order_id, hold_id } = event.reference;
    format!(
        "({provider}, {key}, {}, {status}, {meaning}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, NOW(6))",
        Literal::Bytes(&fingerprint),
        id(order_id),
        id(hold_id),
        text(&event.amount),
        text(&event.currency),
        text(&event.txn_id),
        i64::from(event.restock),
        text(&event.provider_timestamp),
        text(&event.source),
        text(&event.correlation_id),
        Literal::Bytes(&event.body),
    )
}

/// One event.
pub async fn find(tx: &mut Tx<'_>, event_id: i64) -> Result<Option<Stored>, Failure> {
    tx.row(sql::payment_events::FIND, params! { event_id }).await?.map(stored).transpose()
}

/// The event that came under this key.
pub async fn find_by_key(tx: &mut Tx<'_>, provider: &str, idempotency_key: &[u8]) -> Result<Option<Stored>, Failure> {
    tx.row(sql::payment_events::FIND_BY_KEY, params! { provider, idempotency_key }).await?.map(stored).transpose()
}

/// Takes a waiting event for this transaction. False when it already has its outcome.
pub async fn claim(tx: &mut Tx<'_>, event_id: i64) -> Result<bool, Failure> {
    let affected = tx.execute(sql::payment_events::CLAIM, params! { event_id }).await?;
    single("payment_events/claim", affected)
}

/// Gives a waiting event of this transaction its outcome.
pub async fn settle(tx: &mut Tx<'_>, event_id: i64, status: EventStatus) -> Result<(), Failure> {
    let affected = tx.execute(sql::payment_events::SETTLE, params! { event_id, "status" => status.as_str() }).await?;
    match single("payment_events/settle", affected)? {
        true => Ok(()),
        false => Err(Failure::Broken(format!("the payment event {event_id} got its outcome from somebody else"))),
    }
}

/// Events that wait for these orders (each with its hold), in the order in which they are to be applied.
pub async fn list_parked_for(tx: &mut Tx<'_>, orders: &[(Uuid, Uuid)]) -> Result<Vec<i64>, Failure> {
    let order_ids = list(orders.iter().map(|&(order_id, _)| Literal::Id(order_id)));
    let hold_ids = list(orders.iter().map(|&(_, hold_id)| Literal::Id(hold_id)));
    let statement = sql::payment_events::LIST_PARKED_FOR.replace("{ids}", &order_ids);
    tx.rows_text(&statement.replace("{hold_ids}", &hold_ids)).await
}

/// Says [`Failure::Stale`] while a payment that came before this order has not been applied yet: successes go first, and
/// whoever wants to cancel the order wakes them before he tries again.
pub async fn no_success_waits(tx: &mut Tx<'_>, order_id: Uuid, hold_id: Uuid) -> Result<(), Failure> {
    let params = params! { "order_id" => bytes(order_id), "hold_id" => bytes(hold_id) };
    match tx.row::<i64>(sql::payment_events::COUNT_PARKED_SUCCESSES, params).await? {
        Some(0) => Ok(()),
        _ => Err(Failure::Stale("payment_events/count_parked_successes")),
    }
}

/// Up to `limit` events that wait although their order exists.
pub async fn list_parked_with_order(tx: &mut Tx<'_>, limit: u32) -> Result<Vec<i64>, Failure> {
    tx.rows(sql::payment_events::LIST_PARKED_WITH_ORDER, params! { limit }).await
}
