//! Pages of the feed.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::NaiveDateTime;
use futures_util::FutureExt as _;
use serde::Deserialize;
use tokio::time::timeout;
use uuid::Uuid;

use crate::checkout::error::Error;
use crate::checkout::state::Checkout;
use crate::db::tables::feed;
use crate::db::tables::feed_batches::{self, Batch, Place};
use crate::db::tables::orders::{self, WithDetails};
use crate::db::{Failure, Tx};
use crate::domain::{Audience, Caller, Details};

/// How many events a read goes through at most to fill a page with those that are asked for.
const SCANNED: usize = 2000;
/// How many rows a read looks at that wants some of their events alone.
const FILTERED: usize = 200;
/// How many times a request reads at most.
const TURNS: usize = 10;

/// A place in the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedPlace {
    /// What its position belongs to.
    pub epoch: i64,
    /// The position of the last event that was read; 0: none.
    pub position: i64,
}

impl fmt::Display for FeedPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.epoch, self.position)
    }
}

impl FromStr for FeedPlace {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (epoch, position) = text.split_once('.').ok_or(())?;
        let number = |text: &str| text.parse().ok().filter(|number: &i64| *number >= 0).ok_or(());
        Ok(Self { epoch: number(epoch)?, position: number(position)? })
    }
}

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
    /// When it happened, UTC.
    pub at: NaiveDateTime,
    /// What was told.
    pub told: ToldEvent,
    /// Its order, with what was written on it.
    pub order: Option<WithDetails>,
}

/// An event as it is stored.
#[derive(Debug, Clone, Deserialize)]
pub struct ToldEvent {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The order that it is about.
    pub order_id: Option<Uuid>,
    /// The product that it is about.
    pub product_id: Option<i64>,
    /// The provider's event that caused it, by its id in the inbox.
    pub payment_event_id: Option<i64>,
    /// The state of the order after it.
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

    /// Waits until there may be events behind a place, for this long at most.
    pub async fn wait_for_feed(&self, place: FeedPlace, wait: Duration) {
        let mut known = self.feed.known.subscribe();
        let grown = known.wait_for(|known| *known > place.position);
        let _ = timeout(wait, grown).await;
    }

    /// Whether readers wait for events.
    pub fn feed_is_awaited(&self) -> bool {
        self.feed.known.receiver_count() > 0
    }
}

async fn read(tx: &mut Tx<'_>, caller: &Caller, query: &FeedQuery) -> Result<Result<FeedPage, CursorReset>, Failure> {
    let feed = feed::find(tx).await?;
    let mut next = query.after.unwrap_or(FeedPlace { epoch: feed.epoch, position: 0 });
    if next.epoch != feed.epoch {
        return Ok(Err(CursorReset));
    }
    let (mut items, mut scanned, mut is_last) = (Vec::new(), 0, false);
    let is_filtered = !query.types.is_empty() || caller.buyer().is_some();
    let rows = query.limit.max(if is_filtered { FILTERED } else { 1 });
    let mut turns = 0..TURNS;
    while items.len() < query.limit && scanned < SCANNED && !is_last && turns.next().is_some() {
        let places = list_places(tx, caller, next.position, feed.safe, rows).await?;
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
    items.retain(|event| caller.buyer().is_none() || event.is_seen(caller));
    Ok(Ok(FeedPage { items, next, is_last }))
}

/// Lists the next places of the feed of a caller, in their order.
async fn list_places(
    tx: &mut Tx<'_>,
    caller: &Caller,
    after: i64,
    safe: i64,
    limit: usize,
) -> Result<Vec<Place>, Failure> {
    let rows = u32::try_from(limit).unwrap_or(u32::MAX);
    if caller.operator_name().is_some() {
        return feed_batches::list_places(tx, None, after, safe, rows).await;
    }
    let own = Audience::Client(caller.as_client().map_or(0, |client| client.id));
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
        at: batch.created_at,
        told,
        order: None,
    };
    Ok((first..).zip(told).enumerate().map(event).collect())
}

/// Adds the orders of events.
async fn join(tx: &mut Tx<'_>, events: &mut [FeedEvent]) -> Result<(), Failure> {
    let order_ids: BTreeSet<Uuid> = events.iter().filter_map(|event| event.told.order_id).collect();
    if order_ids.is_empty() {
        return Ok(());
    }
    let found = orders::list_placed(tx, &order_ids.into_iter().collect::<Vec<_>>()).await?;
    let found: HashMap<Uuid, WithDetails> = found.into_iter().map(|found| (found.0.id, found)).collect();
    for event in events {
        event.order = event.told.order_id.and_then(|order_id| found.get(&order_id).cloned());
    }
    Ok(())
}

impl FeedEvent {
    fn is_seen(&self, caller: &Caller) -> bool {
        self.order.as_ref().is_some_and(|(_, details)| Details::are_seen(details.as_deref(), caller))
    }
}
