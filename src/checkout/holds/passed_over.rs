//! Expired rows whose units cannot be given back, because the tables were changed by hand. They are passed over for a while, so
//! that the rows behind them are processed; then they are tried again.
//!
//! The memory is bounded: for a product that is missing, or that has fewer units reserved than are due, one entry stands for
//! all rows. An entry that is lost costs one more try.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::NaiveDateTime;
use tokio::time::Instant;
use tracing::error;
use uuid::Uuid;

use super::whole::DueHold;
use crate::db::due::Place;
use crate::telemetry;

/// How long a row is passed over before it is tried again.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// How long a row is passed over that was not tried, because too many others in its set were bad.
const UNTRIED_FOR: Duration = Duration::from_secs(1);
/// Maximum number of remembered products, and of remembered rows.
const REMEMBERED: usize = 100_000;

/// Why the units of a row cannot be given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// This product does not exist; applies to all of its rows.
    Missing(i64),
    /// This product has too few units reserved; applies to its holds up to the deadline of the row.
    Unreserved(i64),
    /// Applies to the row alone.
    Row(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(product_id) => write!(formatter, "there is no product {product_id}"),
            Self::Unreserved(product_id) => write!(formatter, "product {product_id} has too few units reserved"),
            Self::Row(why) => formatter.write_str(why),
        }
    }
}

/// The rows that are passed over at present.
#[derive(Debug, Default)]
pub(crate) struct PassedOver(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    /// Products that do not exist.
    missing: HashMap<i64, Instant>,
    /// Products with too few units reserved, and the deadline up to which their holds are passed over.
    unreserved: HashMap<i64, (Instant, NaiveDateTime)>,
    /// Single holds and orders, by the ids of their places.
    rows: HashMap<(Uuid, i64), Instant>,
}

impl PassedOver {
    /// Returns the holds that may be tried: those of which no row is passed over.
    pub(crate) fn without(&self, mut due: Vec<DueHold>) -> Vec<DueHold> {
        let (memory, now) = (self.memory(), Instant::now());
        due.retain(|hold| !hold.rows().iter().any(|row| memory.passes(row.place(), now)));
        due
    }

    /// Returns whether this order is passed over.
    pub(crate) fn passes_order(&self, place: Place) -> bool {
        self.memory().passes_row(place, Instant::now())
    }

    /// Returns whether this product is remembered as missing.
    pub(crate) fn is_missing(&self, product_id: i64) -> bool {
        self.memory().is_missing(product_id, Instant::now())
    }

    /// Returns whether any product is remembered as missing.
    pub(crate) fn knows_missing(&self) -> bool {
        let (mut memory, now) = (self.memory(), Instant::now());
        memory.missing.retain(|_, until| now < *until);
        !memory.missing.is_empty()
    }

    /// Returns the place behind which the holds of a product may be tried; `None`: all of them.
    pub(crate) fn place_of(&self, product_id: i64) -> Option<Place> {
        self.memory().place_of(product_id, Instant::now())
    }

    /// Passes over the row at this place, and over all others to which the reason applies.
    pub(crate) fn pass(&self, place: Place, why: &Unfit) {
        let (mut memory, now) = (self.memory(), Instant::now());
        match why {
            Unfit::Missing(product_id) => memory.pass_missing(*product_id, now),
            Unfit::Unreserved(product_id) => memory.pass_unreserved(*product_id, place.at, now),
            Unfit::Row(_) => memory.pass_row(place, TRIED_AGAIN_AFTER, now),
        }
    }

    /// Passes over one row that was not tried, for a short time.
    pub(crate) fn leave_row(&self, place: Place) {
        self.memory().pass_row(place, UNTRIED_FOR, Instant::now());
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn passes(&self, place: Place, now: Instant) -> bool {
        let unreserved = self.place_of(place.product_id, now).is_some_and(|behind| place <= behind);
        unreserved || self.is_missing(place.product_id, now) || self.passes_row(place, now)
    }

    fn passes_row(&self, place: Place, now: Instant) -> bool {
        self.rows.get(&(place.id, place.product_id)).is_some_and(|&until| now < until)
    }

    fn is_missing(&self, product_id: i64, now: Instant) -> bool {
        self.missing.get(&product_id).is_some_and(|&until| now < until)
    }

    fn place_of(&self, product_id: i64, now: Instant) -> Option<Place> {
        self.unreserved.get(&product_id).filter(|(until, _)| now < *until).map(|&(_, up_to)| Place::behind(up_to))
    }

    fn pass_missing(&mut self, product_id: i64, now: Instant) {
        remember(&mut self.missing, product_id, now + TRIED_AGAIN_AFTER, now, |&until| until);
    }

    fn pass_unreserved(&mut self, product_id: i64, up_to: NaiveDateTime, now: Instant) {
        let entry = (now + TRIED_AGAIN_AFTER, up_to);
        remember(&mut self.unreserved, product_id, entry, now, |&(until, _)| until);
    }

    fn pass_row(&mut self, place: Place, time: Duration, now: Instant) {
        remember(&mut self.rows, (place.id, place.product_id), now + time, now, |&until| until);
    }
}

/// Adds an entry. If there is no room, removes the entries whose time is over, or else all: their rows are tried once more.
fn remember<K: Copy + Eq + Hash, V>(
    map: &mut HashMap<K, V>,
    key: K,
    value: V,
    now: Instant,
    until: impl Fn(&V) -> Instant,
) {
    if map.len() >= REMEMBERED {
        map.retain(|_, value| now < until(value));
    }
    if map.len() >= REMEMBERED {
        map.clear();
    }
    map.insert(key, value);
}

/// The bad rows of one set, for one line in the log and for the metric.
#[derive(Debug)]
pub(crate) struct Findings {
    kind: &'static str,
    rows: u64,
    first: Option<String>,
}

impl Findings {
    /// Starts without rows; `kind` is `hold` or `order`.
    pub(crate) fn of(kind: &'static str) -> Self {
        Self { kind, rows: 0, first: None }
    }

    /// Adds a row that is passed over, and why.
    pub(crate) fn add(&mut self, place: Place, why: impl FnOnce() -> String) {
        self.rows += 1;
        self.first.get_or_insert_with(|| format!("{}: {}", place.id, why()));
    }

    pub(crate) fn report(&self) {
        let Self { kind, rows, first: Some(first) } = self else { return };
        telemetry::passed_over(kind, *rows);
        error!(kind, rows, first, "the units of expired rows cannot be given back; run an audit");
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::db::tables::holds::{Due, Units};

    fn at(second: i64) -> NaiveDateTime {
        DateTime::from_timestamp(second, 0).expect("a time").naive_utc()
    }

    fn due(product_id: i64, second: i64) -> Due {
        let units = Units { hold_id: Uuid::from_u128(second.unsigned_abs().into()), product_id, qty: 1 };
        Due { units, at: at(second), late: Duration::ZERO }
    }

    fn kept(memory: &Memory, rows: &[Due], now: Instant) -> Vec<(i64, NaiveDateTime)> {
        let kept = rows.iter().filter(|due| !memory.passes(due.place(), now));
        kept.map(|due| (due.units.product_id, due.at)).collect()
    }

    #[test]
    fn rows_are_passed_over_for_a_while_and_then_tried_again() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        let rows = [due(1, 1), due(2, 2), due(2, 3), due(3, 4), due(3, 5)];
        assert_eq!(kept(&memory, &rows, now).len(), 5);
        memory.pass_missing(1, now);
        memory.pass_unreserved(2, at(2), now);
        memory.pass_row(rows[3].place(), TRIED_AGAIN_AFTER, now);
        memory.pass_row(rows[4].place(), UNTRIED_FOR, now);
        assert_eq!(kept(&memory, &rows, now), [(2, at(3))], "a row with a later deadline is tried");
        assert_eq!(memory.place_of(2, now), Some(Place::behind(at(2))));
        assert_eq!((memory.is_missing(1, now), memory.is_missing(2, now)), (true, false));
        assert_eq!(kept(&memory, &rows, now + UNTRIED_FOR), [(2, at(3)), (3, at(5))]);
        let later = now + TRIED_AGAIN_AFTER;
        assert_eq!(kept(&memory, &rows, later).len(), 5);
        assert_eq!((memory.place_of(2, later), memory.is_missing(1, later)), (None, false));
    }

    #[test]
    fn the_memory_is_bounded() {
        let (mut map, now) = (HashMap::new(), Instant::now());
        for key in 0..2 * REMEMBERED {
            remember(&mut map, key, now + TRIED_AGAIN_AFTER, now, |&until| until);
        }
        assert!(map.len() <= REMEMBERED, "{}", map.len());
        assert!(map.contains_key(&(2 * REMEMBERED - 1)), "the newest entry stays");
    }
}
