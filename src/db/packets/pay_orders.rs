//! A batch of plain payments: each is the first success for a pending order.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use uuid::Uuid;

use crate::db::door::Reply;
use crate::db::door::Tx;
use crate::db::error::Failure;
use crate::db::literal::{Literal, rows};
use crate::db::sql;
use crate::db::tables::orders::Order;
use crate::db::tables::{charges, holds, order_events, orders, payment_events};
use crate::domain::{Event, EventStatus, Reference};

/// A success whose order is pending.
#[derive(Debug, Clone, Copy)]
pub struct Success<'a> {
    /// Its id, if it is in the inbox already.
    pub event_id: Option<i64>,
    /// The event.
    pub event: &'a Event,
    /// Its order.
    pub order: &'a Order,
    /// How long its processing took until now.
    pub processing: Duration,
}

impl Success<'_> {
    /// Returns its id in the inbox, which the packet itself may generate; `place`: its place in the batch.
    pub(in crate::db) fn id_at(&self, place: usize) -> Literal<'static> {
        self.event_id.map_or(Literal::Generated(place), Literal::Number)
    }
}

/// Returns the statements that store a batch of successes and pay their orders, in one packet: the inbox and its ids, the
/// charges, the orders, their trails, their holds, and the inbox rows under these ids. One success per order and per key,
/// sorted by key.
pub fn pay(successes: &[Success<'_>]) -> [String; 7] {
    let order_ids: Vec<Uuid> = successes.iter().map(|success| success.order.id).collect();
    let hold_ids: Vec<Uuid> = successes.iter().map(|success| success.order.hold_id).collect();
    let last = successes.len().saturating_sub(1);
    [
        insert_applied(successes),
        sql::payment_events::SET_GENERATED.to_owned(),
        charges::insert_all_paid(successes),
        orders::mark_all_paid(&order_ids),
        order_events::insert_all_paid(successes),
        holds::settle_all(&hold_ids),
        sql::payment_events::LIST_GENERATED.replace("{last}", &last.to_string()),
    ]
}

/// Reads the replies to [`pay`]: ids in the inbox, by key.
///
/// # Errors
/// [`Failure::Stale`] when another transaction has used an order, a key or a charge since it was read, or when the ids in the
/// inbox are not those in the other rows.
pub fn paid(replies: Vec<Reply>, successes: &[Success<'_>]) -> Result<HashMap<Vec<u8>, i64>, Failure> {
    let [inbox, _, charges, orders, trails, holds, generated] = <[Reply; 7]>::try_from(replies)
        .map_err(|replies| Failure::Broken(format!("{} replies to a batch of payments", replies.len())))?;
    let guarded = [inbox.affected, charges.affected, orders.affected];
    all_paid(guarded, trails.affected, holds.affected, successes.len() as u64)?;
    let id = |row| mysql_async::from_row_opt::<(Vec<u8>, i64)>(row).map_err(|error| Failure::Broken(error.to_string()));
    let generated: Vec<(Vec<u8>, i64)> = generated.rows.into_iter().map(id).collect::<Result<_, _>>()?;
    let keys = successes.iter().map(|success| &success.event.idempotency_key);
    if !generated.iter().map(|(key, _)| key).eq(keys) {
        return Err(Failure::Stale("payment_events/list_generated"));
    }
    Ok(generated.into_iter().collect())
}

/// Returns the statements that apply a batch of leased successes that are in the inbox, in one packet: their outcomes, the
/// charges, the orders, their trails and their holds. One success per order and per charge.
pub fn apply(successes: &[Success<'_>]) -> [String; 5] {
    let event_ids: Vec<i64> = successes.iter().filter_map(|success| success.event_id).collect();
    let order_ids: Vec<Uuid> = successes.iter().map(|success| success.order.id).collect();
    let hold_ids: Vec<Uuid> = successes.iter().map(|success| success.order.hold_id).collect();
    let processing = successes.iter().map(|success| success.processing).max().unwrap_or_default();
    [
        payment_events::mark_all_applied(&event_ids, processing),
        charges::insert_all_paid(successes),
        orders::mark_all_paid(&order_ids),
        order_events::insert_all_paid(successes),
        holds::settle_all(&hold_ids),
    ]
}

/// Reads the replies to [`apply`], of `count` successes.
///
/// # Errors
/// [`Failure::Stale`] when an event, an order or a charge changed since it was read.
pub fn applied(replies: Vec<Reply>, count: usize) -> Result<(), Failure> {
    let [inbox, charges, orders, trails, holds] = <[Reply; 5]>::try_from(replies)
        .map_err(|replies| Failure::Broken(format!("{} replies to a batch of payments", replies.len())))?;
    all_paid([inbox.affected, charges.affected, orders.affected], trails.affected, holds.affected, count as u64)
}

/// Checks that the statements of a batch of `count` successes changed as many rows as expected.
fn all_paid(guarded: [u64; 3], trails: u64, holds: u64, count: u64) -> Result<(), Failure> {
    if guarded.iter().any(|&affected| affected != count) {
        return Err(Failure::Stale("orders/mark_all_paid"));
    }
    match trails == count && holds >= count {
        true => Ok(()),
        false => Err(Failure::Broken(format!("{count} payments wrote {trails} transitions and changed {holds} holds"))),
    }
}

/// Returns the ids of exactly these events in the inbox, by key, if all of them are there.
pub async fn paid_before(tx: &mut Tx<'_>, successes: &[Success<'_>]) -> Result<Option<HashMap<Vec<u8>, i64>>, Failure> {
    let events: Vec<&Event> = successes.iter().map(|success| success.event).collect();
    let stored = list_stored(tx, &events).await?;
    let ours = |(key, _, fingerprint): &(Vec<u8>, i64, Vec<u8>)| {
        successes.iter().any(|success| {
            success.event.idempotency_key == *key && success.event.fingerprint().as_slice() == fingerprint.as_slice()
        })
    };
    let all = stored.len() == successes.len() && stored.iter().all(ours);
    Ok(all.then(|| stored.into_iter().map(|(key, id, _)| (key, id)).collect()))
}

/// Lists those of the keys of these events that are in the inbox.
pub async fn list_known(tx: &mut Tx<'_>, events: &[&Event]) -> Result<HashSet<Vec<u8>>, Failure> {
    Ok(list_stored(tx, events).await?.into_iter().map(|(key, ..)| key).collect())
}

/// Lists the inbox rows with the keys of these events: key, id, fingerprint.
async fn list_stored(tx: &mut Tx<'_>, events: &[&Event]) -> Result<Vec<(Vec<u8>, i64, Vec<u8>)>, Failure> {
    let keys = rows(events.iter().map(|event| key(event)));
    tx.rows_text(&sql::payment_events::LIST_IDS.replace("{rows}", &keys)).await
}

/// Returns how many bytes an event adds to the packet of [`pay`], at most.
pub fn row_bytes(event: &Event) -> usize {
    let texts = [
        &event.amount,
        &event.currency,
        &event.txn_id,
        &event.provider_timestamp,
        &event.source,
        &event.correlation_id,
    ];
    let texts: usize = texts.iter().filter_map(|text| text.as_ref()).map(String::len).sum();
    let key = event.idempotency_key.len();
    let name = event.txn_id.as_ref().map_or(key + 1, String::len);
    // as hex; texts are in the inbox and in the trail, provider and name in the charges
    2 * (event.body.len() + event.headers.len() + 2 * texts + 2 * event.provider.len() + key + name) + 900
}

/// Returns the key by which an event's row is found.
fn key(event: &Event) -> [Literal<'_>; 2] {
    [Literal::Bytes(event.provider.as_bytes()), Literal::Bytes(&event.idempotency_key)]
}

fn insert_applied(successes: &[Success<'_>]) -> String {
    let fingerprints: Vec<[u8; 32]> = successes.iter().map(|success| success.event.fingerprint()).collect();
    let values = successes.iter().zip(&fingerprints).map(|(success, fingerprint)| {
        let event = success.event;
        let [provider, key] = key(event);
        let id = |id: Option<Uuid>| id.map_or(Literal::Null, Literal::Id);
        let Reference { order_id, hold_id } = event.reference;
        [
            provider,
            key,
            Literal::Bytes(fingerprint),
            Literal::name(EventStatus::Applied),
            Literal::name(event.meaning),
            id(order_id),
            id(hold_id),
            Literal::text(&event.amount),
            Literal::text(&event.currency),
            Literal::text(&event.txn_id),
            Literal::text(&event.provider_timestamp),
            Literal::text(&event.source),
            Literal::text(&event.correlation_id),
            Literal::Bytes(event.headers.as_bytes()),
            Literal::Bytes(&event.body),
            Literal::Number(i64::try_from(success.processing.as_micros()).unwrap_or(i64::MAX)),
            Literal::Number(1),
            Literal::Null,
            Literal::Variable("NOW(6)"),
        ]
    });
    sql::payment_events::INSERT_APPLIED.replace("{rows}", &rows(values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Meaning, OrderStatus};

    #[test]
    fn an_event_adds_no_more_bytes_than_its_bound() {
        let long = Some("x".repeat(255));
        let event = Event {
            provider: "default",
            idempotency_key: vec![b'k'; 300],
            meaning: Meaning::Succeeded,
            reference: Reference { order_id: Some(Uuid::max()), hold_id: Some(Uuid::max()) },
            amount: Some("1".repeat(64)),
            currency: Some("EUR".to_owned()),
            txn_id: long.clone(),
            restock: false,
            cumulative: false,
            provider_timestamp: Some("t".repeat(64)),
            source: long.clone(),
            correlation_id: long,
            headers: "h".repeat(4096),
            body: vec![b'b'; 4096],
        };
        let bare = Event {
            idempotency_key: vec![b'k'],
            amount: None,
            txn_id: None,
            provider_timestamp: None,
            source: None,
            correlation_id: None,
            headers: String::new(),
            body: Vec::new(),
            ..event.clone()
        };
        let order = Order {
            id: Uuid::max(),
            hold_id: Uuid::max(),
            status: OrderStatus::Pending,
            total_minor: i64::MAX,
            currency: "EUR".to_owned(),
            created_at: chrono::NaiveDateTime::MAX,
            pay_by: chrono::NaiveDateTime::MAX,
            refunded_minor: 0,
            refunded_currency: None,
            restocked: false,
        };
        let short_key = Event { txn_id: event.txn_id.clone(), ..bare.clone() };
        for event in [event, bare, short_key] {
            let success = Success { event_id: None, event: &event, order: &order, processing: Duration::from_secs(5) };
            let bytes = |count: usize| pay(&vec![success; count]).iter().map(String::len).sum::<usize>();
            assert!(bytes(2) - bytes(1) <= row_bytes(&event), "{} {}", bytes(2) - bytes(1), row_bytes(&event));
        }
    }
}
