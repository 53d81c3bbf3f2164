//! Pages of the feed.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;
use futures_util::FutureExt as _;
use serde::Deserialize;
use tokio::time::timeout;
use uuid::Uuid;

pub use super::place::FeedPlace;
use crate::checkout::error::Error;
use crate::checkout::state::Checkout;
use crate::db::tables::feed::{self, Feed};
use crate::db::tables::feed_batches::{self, Batch, Place};
use crate::db::tables::orders::{self, Order, WithDetails};
use crate::db::tables::owners;
use crate::db::{Failure, Tx};
use crate::domain::{Audience, Caller, Details};

/// How many events a read goes through at most to fill a page with those that are asked for.
const SCANNED: usize = 2000;
/// How many rows a read looks at that wants some of their events alone.
const FILTERED: usize = 200;
/// How many times a request reads at most.
const TURNS: usize = 10;

/// What a reader asks for.
#[derive(Debug, Clone)]
pub struct FeedQuery {
    /// Behind what; `None`: from the beginning.
    pub after: Option<FeedPlace>,
    /// The types; empty: all.
    pub types: BTreeSet<&'static str>,
    /// The most events.
    pub limit: usize,
}

impl FeedQuery {
    /// How many rows a read looks at.
    fn rows(&self, is_narrowed: bool) -> usize {
        let is_filtered = is_narrowed || !self.types.is_empty();
        self.limit.max(if is_filtered { FILTERED } else { 1 })
    }

    fn wants(&self, event: &FeedEvent) -> bool {
        self.types.is_empty() || self.types.contains(event.told.kind.as_str())
    }
}

/// A part of the feed.
#[derive(Debug)]
pub struct FeedPage {
    /// The events.
    pub items: Vec<FeedEvent>,
    /// Behind what to read on.
    pub next: FeedPlace,
    /// Whether the page ends because nothing more is known.
    pub is_last: bool,
}

/// An event with what is known of its order.
#[derive(Debug, Clone)]
pub struct FeedEvent {
    /// What its name begins with.
    pub batch: Uuid,
    /// Which event of those with this beginning it is, from 0.
    pub number: usize,
    /// Its position.
    pub position: i64,
    /// The position of the last event that was told with it.
    pub row: i64,
    /// When it happened, UTC.
    pub at: NaiveDateTime,
    /// What was told.
    pub told: ToldEvent,
    /// Its order.
    pub order: Option<Order>,
    /// The owner of its order or hold, and what was written on it.
    pub details: Option<Arc<Details>>,
}

/// An event as it is stored.
#[derive(Debug, Clone, Deserialize)]
pub struct ToldEvent {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The order that it is about.
    pub order_id: Option<Uuid>,
    /// The hold that it is about; none of an order.
    pub hold_id: Option<Uuid>,
    /// The units of the hold, `(product, units)`.
    pub items: Option<Vec<(i64, i64)>>,
    /// When the hold runs out, in microseconds since 1970-01-01, UTC.
    pub expires_at_us: Option<i64>,
    /// The product that it is about.
    pub product_id: Option<i64>,
    /// The endpoint that it is about.
    pub endpoint_id: Option<i64>,
    /// The provider's event that caused it, by its id in the inbox.
    pub payment_event_id: Option<i64>,
    /// The state of the order or the hold after it.
    pub status: Option<String>,
    /// Why it happened.
    pub reason: Option<String>,
    /// The amount that it is about, in minor units of `amount_currency`.
    pub amount_minor: Option<i64>,
    /// ISO 4217.
    pub amount_currency: Option<String>,
    /// How much of the order's payment was given back until then, in minor units of the order's currency.
    pub refunded_minor: Option<i64>,
    /// How many tickets it is about.
    pub tickets: Option<u64>,
}

/// Why the feed cannot be read from a place on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorReset;

impl Checkout {
    /// Reads what this caller may hear: an operator everything, a client what is its own; narrowed to a buyer, what is about that
    /// buyer's orders.
    ///
    /// # Errors
    /// As every read; [`CursorReset`] inside when the place is of another epoch.
    pub async fn read_feed(&self, caller: &Caller, query: &FeedQuery) -> Result<Result<FeedPage, CursorReset>, Error> {
        // it is never closed
        let _turn = self.feed.turns.acquire().await;
        let page = self.database.read("feed.read", |tx| async move { read(tx, caller, query).await }.boxed()).await?;
        Ok(page)
    }

    /// Waits until there may be events behind a place, or its epoch is over, for this long at most. Returns whether there may be.
    pub async fn wait_for_feed(&self, place: FeedPlace, wait: Duration) -> bool {
        let mut known = self.feed.known.subscribe();
        let is_other = |known: FeedPlace| known.epoch != place.epoch || known.position > place.position;
        let grown = known.wait_for(|known| known.is_some_and(is_other));
        timeout(wait, grown).await.is_ok()
    }

    /// Whether readers wait for events.
    pub fn feed_is_awaited(&self) -> bool {
        self.feed.known.receiver_count() > 0
    }
}

/// Whose events are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::checkout) enum Hearer {
    /// All events.
    All,
    /// Those of a client, and of products.
    Client(i64),
}

impl Hearer {
    fn of(caller: &Caller) -> Self {
        match caller.operator_name() {
            Some(_) => Self::All,
            None => Self::Client(caller.as_client().map_or(0, |client| client.id)),
        }
    }
}

async fn read(tx: &mut Tx<'_>, caller: &Caller, query: &FeedQuery) -> Result<Result<FeedPage, CursorReset>, Failure> {
    let feed = feed::find(tx).await?;
    let mut read = read_page(tx, feed, Hearer::of(caller), query, caller.buyer().is_some()).await?;
    if let Ok(page) = &mut read {
        page.items.retain(|event| caller.buyer().is_none() || event.is_seen(caller));
    }
    Ok(read)
}

/// Reads a page of the events of a hearer. `feed`: how far it is; `is_narrowed`: whether the caller drops some of its events.
pub(in crate::checkout) async fn read_page(
    tx: &mut Tx<'_>,
    feed: Feed,
    hearer: Hearer,
    query: &FeedQuery,
    is_narrowed: bool,
) -> Result<Result<FeedPage, CursorReset>, Failure> {
    let mut next = query.after.unwrap_or(FeedPlace { epoch: feed.epoch, position: 0 });
    if next.epoch != feed.epoch {
        return Ok(Err(CursorReset));
    }
    let (mut items, mut scanned, mut is_last) = (Vec::new(), 0, false);
    let rows = query.rows(is_narrowed);
    let mut turns = 0..TURNS;
    while items.len() < query.limit && scanned < SCANNED && !is_last && turns.next().is_some() {
        let places = list_places(tx, hearer, next.position, feed.safe, rows).await?;
        let wanted = cut(&places, next.position, rows);
        let batches =
            feed_batches::list_some(tx, &wanted.iter().map(|place| place.position).collect::<Vec<_>>()).await?;
        let events: Vec<Vec<FeedEvent>> = batches.iter().map(expand).collect::<Result<_, _>>()?;
        let after = next.position;
        let mut events = events.into_iter().flatten().skip_while(|event| event.position <= after);
        while items.len() < query.limit
            && let Some(event) = events.next()
        {
            scanned += 1;
            next.position = event.position;
            items.extend(query.wants(&event).then_some(event));
        }
        is_last = events.next().is_none() && wanted.len() == places.len() && places.len() < rows;
    }
    if is_last {
        next.position = next.position.max(feed.safe);
    }
    join(tx, &mut items).await?;
    Ok(Ok(FeedPage { items, next, is_last }))
}

/// Finds the events in the rows at these positions, in their order.
pub(in crate::checkout) async fn find_rows(tx: &mut Tx<'_>, positions: &[i64]) -> Result<Vec<FeedEvent>, Failure> {
    let batches = feed_batches::list_some(tx, positions).await?;
    let events: Vec<Vec<FeedEvent>> = batches.iter().map(expand).collect::<Result<_, _>>()?;
    Ok(events.into_iter().flatten().collect())
}

/// Lists the next places of the feed of a hearer, in their order.
async fn list_places(
    tx: &mut Tx<'_>,
    hearer: Hearer,
    after: i64,
    safe: i64,
    limit: usize,
) -> Result<Vec<Place>, Failure> {
    let rows = u32::try_from(limit).unwrap_or(u32::MAX);
    let own = match hearer {
        Hearer::All => return feed_batches::list_places(tx, None, after, safe, rows).await,
        Hearer::Client(client_id) => Audience::Client(client_id),
    };
    let mut places = feed_batches::list_places(tx, Some(own.stored()), after, safe, rows).await?;
    places.extend(feed_batches::list_places(tx, Some(Audience::Clients.stored()), after, safe, rows).await?);
    places.sort_unstable();
    places.truncate(limit);
    Ok(places)
}

/// Returns as many of these places as have `limit` events behind `after`.
fn cut(places: &[Place], after: i64, limit: usize) -> &[Place] {
    let mut events = 0;
    let enough = places.iter().position(|place| {
        events += place.items.min(place.position - after);
        events >= i64::try_from(limit).unwrap_or(i64::MAX)
    });
    &places[..enough.map_or(places.len(), |last| last + 1)]
}

/// Returns the events of a row.
fn expand(batch: &Batch) -> Result<Vec<FeedEvent>, Failure> {
    let broken = |error: &dyn fmt::Display| Failure::Broken(format!("a row of the feed cannot be read: {error}"));
    let told: Vec<ToldEvent> = serde_json::from_str(&batch.events).map_err(|error| broken(&error))?;
    if i64::try_from(told.len()).ok() != Some(batch.place.items) {
        return Err(broken(&format!("{} events instead of {}", told.len(), batch.place.items)));
    }
    let first = batch.place.position - batch.place.items + 1;
    let event = |(number, (position, told))| FeedEvent {
        batch: batch.batch,
        number,
        position,
        row: batch.place.position,
        at: batch.created_at,
        told,
        order: None,
        details: None,
    };
    Ok((first..).zip(told).enumerate().map(event).collect())
}

/// Adds the orders of events, and the owners of these and of holds.
pub(in crate::checkout) async fn join(tx: &mut Tx<'_>, events: &mut [FeedEvent]) -> Result<(), Failure> {
    let ids = |id: fn(&ToldEvent) -> Option<Uuid>| {
        let ids: BTreeSet<Uuid> = events.iter().filter_map(|event| id(&event.told)).collect();
        ids.into_iter().collect::<Vec<_>>()
    };
    let (order_ids, hold_ids) = (ids(|told| told.order_id), ids(|told| told.hold_id));
    let orders = if order_ids.is_empty() { Vec::new() } else { orders::list_placed(tx, &order_ids).await? };
    let orders: HashMap<Uuid, WithDetails> = orders.into_iter().map(|found| (found.0.id, found)).collect();
    let holds = owners::list_of_holds(tx, &hold_ids).await?;
    for event in events {
        if let Some((order, details)) = event.told.order_id.and_then(|order_id| orders.get(&order_id).cloned()) {
            (event.order, event.details) = (Some(order), details);
        } else if let Some(hold_id) = event.told.hold_id {
            event.details = holds.get(&hold_id).cloned();
        }
    }
    Ok(())
}

impl FeedEvent {
    /// Its order or hold: its events are told in their order.
    pub fn subject(&self) -> Option<Uuid> {
        self.told.order_id.or(self.told.hold_id)
    }

    /// Its name: the same whenever and however it is told.
    pub fn id(&self) -> String {
        format!("evt_{}_{}", self.batch.simple(), self.number)
    }

    fn is_seen(&self, caller: &Caller) -> bool {
        let is_owned = self.order.is_some() || self.told.hold_id.is_some();
        is_owned && Details::are_seen(self.details.as_deref(), caller)
    }
}
