//! A batch of plain payments: each the first success for an order that waits for it.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use super::door::Reply;
use super::literal::{Literal, cases, rows};
use super::{Failure, Tx, charges, holds, orders, sql};
use crate::domain::{Event, EventStatus, Reference};

/// A success whose order waits for it.
#[derive(Debug, Clone, Copy)]
pub struct Success<'a> {
    /// The event.
    pub event: &'a Event,
    /// Its order.
    pub order_id: Uuid,
    /// That order's hold.
    pub hold_id: Uuid,
    /// How long it took until now.
    pub processing: Duration,
}

/// The statements that take in a batch of successes and pay their orders, in one packet: the inbox, the charges, the
/// orders, their trails, their holds, the ids in the inbox. One per order and per key, sorted by key.
pub fn pay(successes: &[Success<'_>]) -> [String; 6] {
    let keys = rows(successes.iter().map(|success| key(success.event)));
    let inbox_rows: Vec<String> = successes.iter().map(|success| inbox_row(success)).collect();
    let inbox = sql::payment_events::INSERT_APPLIED.replace("{rows}", &inbox_rows.join(", "));
    let paid_by: Vec<_> = successes
        .iter()
        .map(|success| (success.order_id, success.event.provider, success.event.txn_id.as_deref()))
        .collect();
    let orders = cases(successes.iter().map(|success| (key(success.event)[1], Literal::Id(success.order_id))));
    let hold_ids: Vec<Uuid> = successes.iter().map(|success| success.hold_id).collect();
    [
        inbox,
        charges::insert_all_paid(successes),
        orders::mark_all_paid(&paid_by),
        sql::order_events::INSERT_ALL_PAID.replace("{orders}", &orders).replace("{rows}", &keys),
        holds::settle_all(&hold_ids),
        sql::payment_events::LIST_IDS.replace("{rows}", &keys),
    ]
}

/// Reads the replies to [`pay`]: ids in the inbox, by key.
///
/// # Errors
/// [`Failure::Stale`] when an order, a key or a charge was somebody else's since it was read.
pub fn paid(replies: Vec<Reply>, count: usize) -> Result<HashMap<Vec<u8>, i64>, Failure> {
    let [inbox, charges, orders, trails, holds, ids] = <[Reply; 6]>::try_from(replies)
        .map_err(|replies| Failure::Broken(format!("{} replies to a batch of payments", replies.len())))?;
    let count = count as u64;
    if [inbox, charges, orders].iter().any(|reply| reply.affected != count) {
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

/// How many bytes an event adds to the packet of [`pay`], at most.
pub fn row_bytes(event: &Event) -> usize {
    let texts = [
        &event.amount,
        &event.currency,
        &event.txn_id,
        &event.provider_timestamp,
        &event.source,
        &event.correlation_id,
        &event.txn_id,
    ];
    let texts: usize = texts.iter().filter_map(|text| text.as_ref()).map(String::len).sum();
    // as hex; the key is in six places, the ids in ten
    2 * (event.body.len() + event.headers.len() + texts + 6 * (event.provider.len() + event.idempotency_key.len()))
        + 900
}

/// What an event's row is found by.
pub(super) fn key(event: &Event) -> [Literal<'_>; 2] {
    [Literal::Bytes(event.provider.as_bytes()), Literal::Bytes(&event.idempotency_key)]
}

fn inbox_row(success: &Success<'_>) -> String {
    let event = success.event;
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
        "({provider}, {key}, {}, {status}, {meaning}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, 1, NULL, NOW(6))",
        Literal::Bytes(&fingerprint),
        id(order_id),
        id(hold_id),
        text(&event.amount),
        text(&event.currency),
        text(&event.txn_id),
        text(&event.provider_timestamp),
        text(&event.source),
        text(&event.correlation_id),
        Literal::Bytes(event.headers.as_bytes()),
        Literal::Bytes(&event.body),
        success.processing.as_micros(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Meaning;

    #[test]
    fn an_event_adds_no_more_bytes_than_it_is_counted_for() {
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
        for event in [event, bare] {
            let (order_id, hold_id) = (Uuid::max(), Uuid::max());
            let success = Success { event: &event, order_id, hold_id, processing: Duration::from_secs(5) };
            let bytes = |count: usize| pay(&vec![success; count]).iter().map(String::len).sum::<usize>();
            assert!(bytes(2) - bytes(1) <= row_bytes(&event), "{} {}", bytes(2) - bytes(1), row_bytes(&event));
        }
    }
}
