//! Limits per buyer of products that were sold before: a worker counts the units that are out, page by page along the primary key
//! of holds. New holds are counted by themselves from the moment when the product has the limit: the guard that takes their units
//! compares it. So one walk finds all holds from before, since ids never change.
//!
//! Each page is one transaction: locks on its orders, marks on its holds, units on the counters, and the place up to which the
//! product is counted. A mark is set once, so that no instance counts a hold a second time, and a walk that was interrupted goes on
//! at its place. No two steps note the same place: a limit that is taken away and set again begins another walk, which no step of
//! the one before can end.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use crate::checkout::error::Error;
use crate::checkout::state::Checkout;
use crate::db::tables::holds::{self, Uncounted};
use crate::db::tables::product_trail::{self, Author, ProductAction, ProductChange};
use crate::db::tables::products::{self, LimitProgress, LimitState};
use crate::db::tables::{buyer_units, orders};
use crate::db::{Error as DbError, Failure, Tx};
use crate::domain::{HoldStatus, Named, counter};

/// Pages without a hold to count that one step passes at most.
const PAGES: u32 = 16;
/// After this time, a step notes the place that it has reached.
const STEP: Duration = Duration::from_millis(500);
/// Who writes the trail.
const ACTOR: &str = "holdfast";

/// What a step may read.
struct Bounds<'a> {
    /// Rows of holds per page.
    rows: u32,
    /// The clock by which it ends.
    now: &'a (dyn Fn() -> Instant + Sync),
}

impl Checkout {
    /// Counts a page of the units that were out when a product got its limit per buyer. Returns whether there may be more to count.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn count_limited_units(&self) -> Result<bool, Error> {
        self.count_limited_units_by(&Instant::now).await
    }

    /// Does the same by this clock.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn count_limited_units_by(&self, now: &(dyn Fn() -> Instant + Sync)) -> Result<bool, Error> {
        let found = self.background.read("products.find_uncounted", |tx| products::find_uncounted(tx).boxed()).await?;
        let Some(product_id) = found else { return Ok(false) };
        let change_id = Uuid::from_u128(rand::random());
        let bounds = &Bounds { rows: self.paces.count.rows(), now };
        let step = self
            .background
            .transaction("products.count_units", |tx| count_page(tx, product_id, change_id, bounds).boxed())
            .await;
        match &step {
            Ok(()) => self.paces.count.succeeded(bounds.rows),
            Err(DbError::Unavailable(_) | DbError::Contended { .. }) => self.paces.count.failed(bounds.rows),
            Err(_) => {}
        }
        step?;
        Ok(true)
    }
}

async fn count_page(tx: &mut Tx<'_>, product_id: i64, change_id: Uuid, bounds: &Bounds<'_>) -> Result<(), Failure> {
    let Some(before) = products::find_limit(tx, product_id).await? else { return Ok(()) };
    let has_limit = before.max_per_buyer.is_some_and(|most| most >= 1);
    match (has_limit, before.state) {
        (false, None) | (true, Some(LimitState::Enforced)) => Ok(()),
        // another program has removed the limit
        (false, Some(_)) => products::note_counted(tx, product_id, before, (None, None)).await,
        // another program has set it
        (true, None) => {
            let begins = (LimitState::Counting, Some(products::first_place()));
            move_on(tx, product_id, change_id, before, begins).await
        }
        (true, Some(LimitState::Counting)) => match count_next(tx, product_id, before, bounds).await? {
            Some(end) => {
                let place = products::next_place(before.place().unwrap_or_else(Uuid::nil), end);
                products::note_counted(tx, product_id, before, (before.state, Some(place))).await
            }
            None => move_on(tx, product_id, change_id, before, (LimitState::Enforced, None)).await,
        },
    }
}

/// Counts the next page that has a hold to count, or passes several without one. Returns where it ends; `None` behind the last row.
async fn count_next(
    tx: &mut Tx<'_>,
    product_id: i64,
    before: LimitProgress,
    bounds: &Bounds<'_>,
) -> Result<Option<Uuid>, Failure> {
    let (began, mut place) = ((bounds.now)(), before.place().unwrap_or_else(Uuid::nil));
    if before.place().is_none() && !holds::has_any(tx, product_id).await? {
        return Ok(None);
    }
    for _ in 0..PAGES {
        let end = holds::find_page_end(tx, place, bounds.rows).await?;
        let uncounted = holds::list_uncounted(tx, product_id, place, end.unwrap_or_else(Uuid::max)).await?;
        if !uncounted.is_empty() {
            count(tx, product_id, &uncounted).await?;
            return Ok(end);
        }
        match end {
            Some(end) => place = end,
            None => return Ok(None),
        }
        if (bounds.now)().duration_since(began) >= STEP {
            break;
        }
    }
    Ok(Some(place))
}

/// Counts these holds, whose units are out, and marks them.
async fn count(tx: &mut Tx<'_>, product_id: i64, uncounted: &[Uncounted]) -> Result<(), Failure> {
    let order_ids: Vec<Uuid> = uncounted.iter().filter_map(|hold| hold.order_id).collect();
    let (mut active, mut ordered, mut units) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for hold in uncounted {
        let Some(counter) = counter::of_buyer(product_id, &hold.owner) else { continue };
        let marks = if hold.order_id.is_some() { &mut ordered } else { &mut active };
        marks.insert(hold.hold_id, (counter, hold.qty));
        *units.entry(counter).or_insert(0) += hold.qty;
    }
    // an order keeps its state until the commit: what gives its units back afterwards sees the mark
    orders::recount(tx, &order_ids).await?;
    holds::mark_counted(tx, product_id, HoldStatus::Active, &active).await?;
    holds::mark_counted(tx, product_id, HoldStatus::Ordered, &ordered).await?;
    buyer_units::add(tx, &units).await
}

/// Notes the next state, and writes it into the trail of the product.
async fn move_on(
    tx: &mut Tx<'_>,
    product_id: i64,
    change_id: Uuid,
    before: LimitProgress,
    (state, place): (LimitState, Option<Uuid>),
) -> Result<(), Failure> {
    products::note_counted(tx, product_id, before, (Some(state), place)).await?;
    let values = |state: Option<LimitState>| {
        json!({ "limit_state": state.map(Named::as_str), "max_per_buyer": before.max_per_buyer }).to_string()
    };
    let author = Author { change_id, actor: ACTOR.to_owned(), reason: None };
    let (from, to) = (Some(values(before.state)), values(Some(state)));
    let change = ProductChange { product_id, action: ProductAction::Changed, from, to };
    product_trail::insert_all(tx, &author, &[change]).await
}
