//! Packets for plain payments: each is the first success for a pending order. One packet stores new events, the other applies
//! events that are in the inbox.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::{BOUND, OneTrip, Packet, exactly, one_trip};
use crate::db::door::{Reply, Tx};
use crate::db::error::Failure;
use crate::db::literal::{Literal, rows};
use crate::db::sql;
use crate::db::tables::order_events::{Reason, TOLD};
use crate::db::tables::orders::Order;
use crate::db::tables::tickets::{self, NewTicket};
use crate::db::tables::{holds, orders, payment_events, seats};
use crate::domain::{
    ChargeStatus, EventStatus, FeedItem, FeedType, OrderStatus, OrderTickets, PaymentEvent, Reference,
};

/// A success whose order is pending.
#[derive(Debug, Clone, Copy)]
pub struct Success<'a> {
    /// Its id, if it is in the inbox already.
    pub event_id: Option<i64>,
    /// The event.
    pub event: &'a PaymentEvent,
    /// Its order.
    pub order: &'a Order,
    /// The tickets that the order gets.
    pub tickets: &'a [NewTicket],
    /// How long its processing took until now.
    pub processing: Duration,
}

impl Success<'_> {
    /// Returns its id in the inbox, which the packet itself may generate; `place`: its place in the batch.
    fn id_at(&self, place: usize, step: u64) -> Literal<'static> {
        self.event_id.map_or(Literal::Generated { place: place as u64, step }, Literal::Number)
    }
}

/// Stores a batch of successes and pays their orders.
#[derive(Debug)]
pub struct PayOrders<'a> {
    /// One per order and per key, sorted by key.
    pub successes: Vec<Success<'a>>,
    /// By how much the ids that one INSERT generates differ. It is checked before the commit.
    pub step: u64,
}

impl OneTrip for PayOrders<'_> {
    /// The ids are read directly behind the INSERT that generates them: `LAST_INSERT_ID()` is theirs until the trails get ids.
    fn statements(&self) -> Vec<String> {
        let last = (self.successes.len().saturating_sub(1) as u64) * self.step;
        let mut statements = vec![
            insert_applied(&self.successes),
            sql::payment_events::ListGenerated { last: Literal::Count(last).into() }.text(),
        ];
        statements.extend(pay(&self.successes, self.step));
        statements
    }

    /// Reads the replies.
    ///
    /// # Errors
    /// [`Failure::Stale`] when another transaction has used an order, a key or a charge since it was read;
    /// [`Failure::Changed`] by [`ID_STEP`] when the ids in the inbox are not those in the other rows.
    fn read(&self, replies: Vec<Reply>) -> Result<Self::Outcome, Failure> {
        let [inbox, generated, paid @ ..] = exactly::<6>(without_units(replies, &self.successes)?)?;
        all_changed(inbox.affected, paid, self.successes.len())?;
        let id = |row| mysql_async::from_row_opt(row).map_err(|error| Failure::Broken(error.to_string()));
        let mut generated: Vec<(Vec<u8>, i64)> = generated.rows.into_iter().map(id).collect::<Result<_, _>>()?;
        let (first, step) = (generated.first().map_or(0, |(_, id)| *id), self.step.cast_signed());
        // other servers of a cluster may have used the ids in between
        generated.retain(|(_, id)| (id - first) % step == 0);
        let keys = self.successes.iter().map(|success| &success.event.idempotency_key);
        if !generated.iter().map(|(key, _)| key).eq(keys) {
            return Err(Failure::Changed(ID_STEP));
        }
        Ok(generated.into_iter().collect())
    }

    fn told(&self, event_ids: &Self::Outcome) -> Vec<FeedItem> {
        told(&self.successes, |success| event_ids.get(&success.event.idempotency_key).copied())
    }
}

impl Packet for PayOrders<'_> {
    /// The ids in the inbox, by key.
    type Outcome = HashMap<Vec<u8>, i64>;

    /// A single payment holds up no other one.
    fn bound(&self) -> Option<Duration> {
        (self.successes.len() > 1).then_some(BOUND)
    }

    fn exchange<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Self::Outcome, Failure>> {
        one_trip(self, tx).boxed()
    }

    fn list_touched(&self, _known: bool) -> Option<String> {
        Some(list_touched(&self.successes))
    }

    /// Finds exactly these events in the inbox, all of them.
    fn find_own<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Option<Self::Outcome>, Failure>> {
        async move {
            let events: Vec<&PaymentEvent> = self.successes.iter().map(|success| success.event).collect();
            let stored = list_stored(tx, &events).await?;
            let fingerprints: HashMap<&[u8], [u8; 32]> =
                events.iter().map(|event| (event.idempotency_key.as_slice(), event.fingerprint())).collect();
            let ours = |(key, _, fingerprint): &(Vec<u8>, i64, Vec<u8>)| {
                fingerprints.get(key.as_slice()).is_some_and(|own| own.as_slice() == fingerprint.as_slice())
            };
            let all = stored.len() == events.len() && stored.iter().all(ours);
            Ok(all.then(|| stored.into_iter().map(|(key, id, _)| (key, id)).collect()))
        }
        .boxed()
    }
}

/// What [`PayOrders`] is stale by when the generated ids ascend by another step.
pub const ID_STEP: &str = "payment_events/list_generated";

/// Reads by how much the ids that one INSERT generates differ.
pub async fn find_id_step(tx: &mut Tx<'_>) -> Result<u64, Failure> {
    let found: Option<(String, u64)> = tx.row(sql::payment_events::FIND_ID_STEP, ()).await?;
    Ok(found.map_or(1, |(_, step)| step.max(1)))
}

/// Applies a batch of leased successes that are in the inbox.
#[derive(Debug)]
pub struct ApplyPayments<'a> {
    /// One per order and per charge, each with its id.
    pub successes: Vec<Success<'a>>,
}

impl OneTrip for ApplyPayments<'_> {
    fn statements(&self) -> Vec<String> {
        let event_ids: Vec<i64> = self.successes.iter().filter_map(|success| success.event_id).collect();
        let processing = self.successes.iter().map(|success| success.processing).max().unwrap_or_default();
        let mut statements = vec![payment_events::mark_all_applied(&event_ids, processing)];
        statements.extend(pay(&self.successes, 1));
        statements
    }

    /// Reads the replies.
    ///
    /// # Errors
    /// [`Failure::Stale`] when an event, an order or a charge changed since it was read.
    fn read(&self, replies: Vec<Reply>) -> Result<(), Failure> {
        let [inbox, paid @ ..] = exactly::<5>(without_units(replies, &self.successes)?)?;
        all_changed(inbox.affected, paid, self.successes.len())
    }

    fn told(&self, (): &()) -> Vec<FeedItem> {
        told(&self.successes, |success| success.event_id)
    }
}

impl Packet for ApplyPayments<'_> {
    type Outcome = ();

    fn bound(&self) -> Option<Duration> {
        Some(BOUND)
    }

    fn exchange<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Self::Outcome, Failure>> {
        one_trip(self, tx).boxed()
    }

    fn list_touched(&self, _known: bool) -> Option<String> {
        Some(list_touched(&self.successes))
    }

    /// Finds all events applied, by this worker, which has leased them, or by a request that applied what waits for its order.
    fn find_own<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Option<()>, Failure>> {
        async move {
            for event_id in self.successes.iter().filter_map(|success| success.event_id) {
                let stored = payment_events::find(tx, event_id).await?;
                if stored.is_none_or(|stored| stored.status != EventStatus::Applied) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        }
        .boxed()
    }
}

/// Returns the statements that pay the orders: charges, orders, trails, holds, and tickets and seats if there are some.
fn pay(successes: &[Success<'_>], step: u64) -> Vec<String> {
    let order_ids: Vec<Uuid> = successes.iter().map(|success| success.order.id).collect();
    let hold_ids: Vec<Uuid> = successes.iter().map(|success| success.order.hold_id).collect();
    let mut statements = vec![
        insert_charges(successes, step),
        orders::mark_all_paid(&order_ids),
        insert_trails(successes, step),
        holds::settle_all(&hold_ids),
    ];
    if tickets(successes).next().is_some() {
        statements.push(tickets::insert_some(tickets(successes)));
    }
    let with_seats: Vec<Uuid> = with_seats(successes).collect();
    if !with_seats.is_empty() {
        statements.push(seats::mark_sold_all(&with_seats));
    }
    statements
}

/// Returns what the feed is told of these payments.
fn told(successes: &[Success<'_>], event_id: impl Fn(&Success<'_>) -> Option<i64>) -> Vec<FeedItem> {
    let items = successes.iter().flat_map(|success| {
        let Success { order, tickets, .. } = success;
        let item = |kind| FeedItem::of_order(kind, order.client_id, order.id, OrderStatus::Paid);
        let paid = item(FeedType::OrderPaid).with_sold(order.hold_id);
        let paid = match event_id(success) {
            Some(event_id) => paid.by_payment(event_id),
            None => paid,
        };
        let issued = item(FeedType::TicketIssued).with_tickets(tickets.len() as u64);
        [paid].into_iter().chain((!tickets.is_empty()).then_some(issued))
    });
    items.collect()
}

/// Returns the tickets of all orders.
fn tickets<'a>(successes: &[Success<'a>]) -> impl Iterator<Item = &'a NewTicket> {
    successes.iter().flat_map(|success| success.tickets)
}

/// Returns the holds of the orders with seats.
fn with_seats(successes: &[Success<'_>]) -> impl Iterator<Item = Uuid> {
    let with_seats = successes.iter().filter(|success| success.order.tickets == OrderTickets::Seats);
    with_seats.map(|success| success.order.hold_id)
}

/// Takes the replies about seats and tickets off, if there are any: each hold had at least one seat, and every ticket is new.
fn without_units(mut replies: Vec<Reply>, successes: &[Success<'_>]) -> Result<Vec<Reply>, Failure> {
    let (holds, count) = (with_seats(successes).count() as u64, tickets(successes).count() as u64);
    if holds > 0 && replies.pop().is_none_or(|sold| sold.affected < holds) {
        return Err(Failure::Broken(format!("the seats of {holds} paid orders were not marked sold")));
    }
    if count > 0 && replies.pop().is_none_or(|written| written.affected != count) {
        return Err(Failure::Broken(format!("{count} tickets were not written")));
    }
    Ok(replies)
}

/// Returns the read of the orders of these successes that other events have changed or wait for.
fn list_touched(successes: &[Success<'_>]) -> String {
    let order_ids: Vec<Uuid> = successes.iter().map(|success| success.order.id).collect();
    orders::list_touched(&order_ids, OrderStatus::Paid)
}

/// Checks that the statements of a batch of `count` successes changed as many rows as expected.
fn all_changed(inbox: u64, [charges, orders, trails, holds]: [Reply; 4], count: usize) -> Result<(), Failure> {
    let count = count as u64;
    if [inbox, charges.affected, orders.affected].iter().any(|&affected| affected != count) {
        return Err(Failure::Stale("orders/mark_all_paid"));
    }
    let (trails, holds) = (trails.affected, holds.affected);
    match trails == count && holds >= count {
        true => Ok(()),
        false => Err(Failure::Broken(format!("{count} payments wrote {trails} transitions and changed {holds} holds"))),
    }
}

/// Lists those of the keys of these events that are in the inbox.
pub async fn list_known(tx: &mut Tx<'_>, events: &[&PaymentEvent]) -> Result<HashSet<Vec<u8>>, Failure> {
    Ok(list_stored(tx, events).await?.into_iter().map(|(key, ..)| key).collect())
}

/// Lists the inbox rows with the keys of these events: key, id, fingerprint.
async fn list_stored(tx: &mut Tx<'_>, events: &[&PaymentEvent]) -> Result<Vec<(Vec<u8>, i64, Vec<u8>)>, Failure> {
    let keys = rows(events.iter().map(|event| key(event)));
    tx.rows_text(&sql::payment_events::ListIds { rows: keys }.text()).await
}

/// What the tickets of a packet add to it at most, in bytes: beside the events of a batch, it stays below 1 MB.
pub const TICKET_BYTES: usize = 256 * 1024;

/// Returns how many bytes an event adds to the packet of [`PayOrders`], at most, without the tickets of its order.
pub fn row_bytes(event: &PaymentEvent) -> usize {
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
fn key(event: &PaymentEvent) -> [Literal<'_>; 2] {
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
            Literal::Code("NOW(6)"),
        ]
    });
    sql::payment_events::InsertApplied { rows: rows(values) }.text()
}

/// Returns the statement that records the charges of a batch of payments.
fn insert_charges<'a>(successes: &[Success<'a>], step: u64) -> String {
    let name = |Success { event, .. }: &Success<'a>| -> Cow<'a, [u8]> {
        PaymentEvent::charge_name(event.txn_id.as_deref().map(str::as_bytes), &event.idempotency_key)
    };
    let names: Vec<Cow<'_, [u8]>> = successes.iter().map(name).collect();
    let values = successes.iter().zip(&names).enumerate().map(|(place, (success, name))| {
        let Success { event, order, .. } = success;
        [
            Literal::Bytes(event.provider.as_bytes()),
            Literal::Bytes(name),
            success.id_at(place, step),
            Literal::Id(order.id),
            Literal::Id(order.hold_id),
            Literal::name(ChargeStatus::Paid),
            Literal::Number(order.total_minor),
            Literal::Bytes(order.currency.as_bytes()),
        ]
    });
    sql::charges::InsertAllPaid { rows: rows(values) }.text()
}

/// Returns the statement that writes the transitions of a batch of payments.
fn insert_trails(successes: &[Success<'_>], step: u64) -> String {
    let values = successes.iter().enumerate().map(|(place, success)| {
        let Success { event, order, .. } = success;
        [
            Literal::Id(order.id),
            Literal::name(OrderStatus::Pending),
            Literal::name(OrderStatus::Paid),
            Literal::name(Reason::PaymentSucceeded),
            success.id_at(place, step),
            Literal::text(&event.txn_id),
            Literal::text(&event.amount),
            Literal::text(&event.currency),
            Literal::text(&event.provider_timestamp),
            Literal::text(&event.source),
            Literal::text(&event.correlation_id),
            TOLD,
        ]
    });
    sql::order_events::InsertAllPaid { rows: rows(values) }.text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Meaning;

    #[test]
    fn an_event_adds_no_more_bytes_than_its_bound() {
        let long = Some("x".repeat(255));
        let event = PaymentEvent {
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
        let bare = PaymentEvent {
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
            tickets: OrderTickets::None,
            client_id: 0,
        };
        let short_key = PaymentEvent { txn_id: event.txn_id.clone(), ..bare.clone() };
        for event in [event, bare, short_key] {
            let processing = Duration::from_secs(5);
            let success = Success { event_id: None, event: &event, order: &order, tickets: &[], processing };
            let bytes = |count: usize| {
                let packet = PayOrders { successes: vec![success; count], step: 1 };
                packet.statements().iter().map(String::len).sum::<usize>()
            };
            assert!(bytes(2) - bytes(1) <= row_bytes(&event), "{} {}", bytes(2) - bytes(1), row_bytes(&event));
        }
    }
}
