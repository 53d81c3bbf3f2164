//! When units of a product may come back, as far as is known from the last read.
//!
//! A refusal reads the earliest rows of a product that may still come back. While a snapshot keeps the index entries of rows
//! that were sold since, a read from the beginning walks over all of them. But most new rows come back at known times: a hold one
//! hold lifetime from now, an order one order lifetime from now, by the times of the product or of the shop. So after a read, a
//! later one needs to look only at the rows that the first one found, at those that are due, and at these fronts.
//!
//! A line of a cart or of its order may come back at another time: it has the shortest time of all its products. And a deadline
//! may be moved. What this instance does of both is recorded ([`Outlooks::record_move`]) and read from then on. Of carts, orders
//! and extensions by another instance or another program nothing is known, and another instance may have other lifetimes: a
//! refusal may say "sold out" instead of "all held" until the next whole read. So this is used only for products whose whole
//! read was slow, and the whole read is repeated after [`WholeReads::every`], or ten times its own duration if that is longer. It
//! decides only between these two: the available units are always read from the product.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::NaiveDateTime;
use tokio::time::Instant;

use crate::checkout::horizon::SLACK;
use crate::db::tables::holds::Supply;

/// How many times its own duration a slow whole read serves.
const WHOLE_SHARE: u32 = 10;
/// Maximum number of remembered moves of one product; beyond, everything behind the earliest one is read.
const MOVES: usize = 100;
/// Maximum number of remembered products; others are always read whole.
const REMEMBERED: usize = 1_000;

/// How often all rows that may come back are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeReads {
    /// A whole read that takes this long is not repeated for every refusal.
    pub slow: Duration,
    /// How long a slow whole read serves at least.
    pub every: Duration,
}

impl Default for WholeReads {
    fn default() -> Self {
        Self { slow: Duration::from_millis(5), every: Duration::from_secs(1) }
    }
}

/// A range of deadlines, both ends included; `None`: no end.
pub(crate) type Range = (NaiveDateTime, Option<NaiveDateTime>);

/// How long after its creation a row comes back by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fronts {
    pub(crate) hold_ttl: Duration,
    pub(crate) order_ttl: Duration,
}

/// The result of the last read of a product.
#[derive(Debug, Clone)]
struct Outlook {
    /// When that read began, by this machine's clock and by the database's.
    began: Instant,
    read_at: NaiveDateTime,
    /// Outside these ranges, no row could come back at that time.
    ranges: Vec<Range>,
    /// When the last whole read began, and how long it took.
    whole: (Instant, Duration),
    /// The deadlines that this instance has moved since, and when it did.
    moves: Vec<(Instant, Range)>,
}

impl Outlook {
    /// Returns the ranges that may have rows now; `None` when a whole read is due. `own`: the times of the product itself.
    fn ranges(&self, now: Instant, fronts: Fronts, own: &[Duration], every: Duration) -> Option<Vec<Range>> {
        let (whole, took) = self.whole;
        if now.duration_since(whole) >= every.max(took * WHOLE_SHARE) {
            return None;
        }
        let passed = now.duration_since(self.began);
        let (from, to) = (self.read_at - SLACK, self.read_at + passed);
        let front = |ttl: Duration| (from + ttl, Some(to + ttl + SLACK));
        let new = [(from, Some(to)), front(fronts.hold_ttl), front(fronts.order_ttl)];
        let moved = self.moves.iter().map(|&(_, range)| range);
        Some(merged(self.ranges.iter().copied().chain(new).chain(own.iter().copied().map(front)).chain(moved)))
    }
}

/// Returns the ranges in which rows might come back, given that a read of the ranges `read` (or of everything) found these
/// deadlines. `complete`: it found all of them.
fn found(read: Option<&[Range]>, deadlines: &[NaiveDateTime], complete: bool) -> Vec<Range> {
    let points = deadlines.iter().map(|&at| (at, Some(at)));
    let last = deadlines.last().copied().filter(|_| !complete);
    let behind = last.into_iter().flat_map(|last| {
        let everything = [(last, None)];
        let read = read.unwrap_or(&everything).to_vec();
        let cut = move |(from, to): Range| (from.max(last), to);
        read.into_iter().filter(move |&(_, to)| to.is_none_or(|to| to >= last)).map(cut)
    });
    merged(points.chain(behind))
}

/// Sorts the ranges, and merges those that overlap or touch.
fn merged(ranges: impl IntoIterator<Item = Range>) -> Vec<Range> {
    let mut ranges: Vec<Range> = ranges.into_iter().collect();
    ranges.sort_unstable_by_key(|&(from, _)| from);
    let mut merged: Vec<Range> = Vec::with_capacity(ranges.len());
    for (from, to) in ranges {
        match merged.last_mut() {
            Some((_, end)) if end.is_none_or(|end| from <= end) => {
                *end = end.zip(to).map(|(end, to)| end.max(to));
            }
            _ => merged.push((from, to)),
        }
    }
    merged
}

/// The outlooks of all products whose whole read was slow.
#[derive(Debug)]
pub(crate) struct Outlooks {
    fronts: Fronts,
    whole_reads: WholeReads,
    products: Mutex<HashMap<i64, Outlook>>,
}

impl Outlooks {
    /// Starts without outlooks.
    pub(crate) fn new(fronts: Fronts, whole_reads: WholeReads) -> Self {
        Self { fronts, whole_reads, products: Mutex::default() }
    }

    /// Returns the ranges that a read which begins now has to cover; `None`: everything. `own`: how long after its creation a row
    /// of this product comes back by itself, if the product says so.
    pub(crate) fn ranges(&self, product_id: i64, own: &[Duration], now: Instant) -> Option<Vec<Range>> {
        self.products().get(&product_id)?.ranges(now, self.fronts, own, self.whole_reads.every)
    }

    /// Records that rows of a product come back at this time, which is none of its fronts: an extension was committed, or a cart or
    /// an order whose time is that of another product. A product that is read whole needs no record.
    pub(crate) fn record_move(&self, product_id: i64, returns_at: NaiveDateTime) {
        let mut products = self.products();
        let Some(known) = products.get_mut(&product_id) else { return };
        let earliest = known.moves.iter().map(|&(_, (from, _))| from).fold(returns_at, NaiveDateTime::min);
        let now = Instant::now();
        match known.moves.len() < MOVES {
            true => known.moves.push((now, (returns_at, Some(returns_at)))),
            false => known.moves = vec![(now, (earliest, None))],
        }
    }

    /// Records a whole read that failed: when it began, and how long it took. The known ranges serve until the next one.
    pub(crate) fn put_off(&self, product_id: i64, whole: (Instant, Duration)) {
        if let Some(known) = self.products().get_mut(&product_id) {
            known.whole = whole;
        }
    }

    /// Records a read of the ranges `read` (or of everything) for up to `limit` rows: when it began, how long it took, and what
    /// it found.
    pub(crate) fn record(
        &self,
        product_id: i64,
        (began, took): (Instant, Duration),
        read: Option<&[Range]>,
        limit: usize,
        supply: &Supply,
    ) {
        let mut products = self.products();
        let moves = products.get(&product_id).map(|known| known.moves.clone()).unwrap_or_default();
        let (whole, moves) = match (read, products.get(&product_id)) {
            (None, _) if took < self.whole_reads.slow => {
                products.remove(&product_id);
                return;
            }
            // it has seen what was moved before it began
            (None, _) => ((began, took), moves.into_iter().filter(|&(moved, _)| moved >= began).collect()),
            (Some(_), Some(known)) => (known.whole, moves),
            (Some(_), None) => return,
        };
        if products.len() >= REMEMBERED {
            products.retain(|_, known| known.ranges(began, self.fronts, &[], self.whole_reads.every).is_some());
        }
        if products.len() < REMEMBERED || products.contains_key(&product_id) {
            let ranges = found(read, &supply.returns, supply.returns.len() < limit);
            products.insert(product_id, Outlook { began, read_at: supply.read_at, ranges, whole, moves });
        }
    }

    fn products(&self) -> MutexGuard<'_, HashMap<i64, Outlook>> {
        self.products.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn at(second: i64) -> NaiveDateTime {
        DateTime::from_timestamp(1_000_000 + second, 0).expect("a time").naive_utc()
    }

    fn to(from: i64, to: i64) -> Range {
        (at(from), Some(at(to)))
    }

    fn fronts() -> Fronts {
        Fronts { hold_ttl: Duration::from_secs(120), order_ttl: Duration::from_secs(900) }
    }

    fn supply(read_at: i64, returns: &[i64]) -> Supply {
        Supply {
            read_at: at(read_at),
            returns: returns.iter().map(|&second| at(second)).collect(),
            ..Supply::default()
        }
    }

    #[test]
    fn ranges_that_touch_are_merged_and_an_open_end_includes_all_behind_it() {
        assert_eq!(merged([to(5, 6), to(1, 2), to(2, 4), to(8, 9)]), [to(1, 4), to(5, 6), to(8, 9)]);
        assert_eq!(merged([to(1, 9), to(2, 3)]), [to(1, 9)]);
        assert_eq!(merged([to(1, 2), (at(4), None), to(5, 6)]), [to(1, 2), (at(4), None)]);
    }

    #[test]
    fn a_read_that_found_all_rows_leaves_only_their_deadlines() {
        assert_eq!(found(None, &[at(3), at(3), at(7)], true), [to(3, 3), to(7, 7)]);
        assert_eq!(found(None, &[], true), []);
    }

    #[test]
    fn a_read_that_may_have_missed_rows_keeps_its_ranges_behind_the_last_one() {
        assert_eq!(found(None, &[at(3), at(7)], false), [to(3, 3), (at(7), None)]);
        let read = [to(1, 4), to(6, 8), to(10, 12)];
        assert_eq!(found(Some(&read), &[at(3), at(7)], false), [to(3, 3), to(7, 8), to(10, 12)]);
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_slow_product_is_read_in_ranges_until_its_next_whole_read() {
        let (outlooks, began) = (Outlooks::new(fronts(), WholeReads::default()), Instant::now());
        assert_eq!(outlooks.ranges(1, &[], began), None);
        outlooks.record(1, (began, 200 * MS), None, 2, &supply(0, &[50]));
        let second = began + 1000 * MS;
        let ranges = outlooks.ranges(1, &[], second).expect("the whole read serves for two seconds");
        assert_eq!(ranges, [to(-5, 1), to(50, 50), to(115, 126), to(895, 906)]);
        outlooks.record(1, (second, MS), Some(&ranges), 2, &supply(1, &[50, 120]));
        let ranges = outlooks.ranges(1, &[], began + 1999 * MS).expect("it still serves");
        assert_eq!(ranges.len(), 4);
        assert_eq!((ranges[0].0, ranges[1], ranges[2].0), (at(-4), to(50, 50), at(116)));
        assert_eq!(outlooks.ranges(1, &[], began + 2000 * MS), None);
        assert_eq!(outlooks.ranges(2, &[], began), None);
    }

    #[test]
    fn a_product_whose_whole_read_is_quick_is_always_read_whole() {
        let (outlooks, began) = (Outlooks::new(fronts(), WholeReads::default()), Instant::now());
        outlooks.record(1, (began, 200 * MS), None, 1, &supply(0, &[]));
        outlooks.record(1, (began, 4 * MS), None, 1, &supply(0, &[]));
        assert_eq!(outlooks.ranges(1, &[], began), None);
        assert!(outlooks.products().is_empty());
    }

    #[test]
    fn a_deadline_that_was_moved_is_read_until_a_whole_read_that_began_later() {
        let (outlooks, began) = (Outlooks::new(fronts(), WholeReads::default()), Instant::now());
        outlooks.record_move(1, at(500));
        outlooks.record(1, (began, 200 * MS), None, 2, &supply(0, &[50]));
        let (second, third) = (began + 1000 * MS, Instant::now() + 3000 * MS);
        let reads = |at: NaiveDateTime, now: Instant| {
            let ranges = outlooks.ranges(1, &[], now).expect("a whole read serves");
            ranges.iter().any(|&(from, to)| from <= at && to.is_none_or(|to| at <= to))
        };
        assert!(!reads(at(500), second), "the whole read would have found it");
        outlooks.record_move(1, at(500));
        assert!(reads(at(500), second));
        outlooks.record(1, (second, MS), Some(&[to(50, 50)]), 2, &supply(1, &[50]));
        assert!(reads(at(500), second), "a read in ranges may have begun before the move");
        for second in 600..600 + MOVES as i64 {
            outlooks.record_move(1, at(second));
        }
        assert!(outlooks.products()[&1].moves.len() <= MOVES);
        assert!([500, 600, 5_000].iter().all(|&moved| reads(at(moved), second)));
        outlooks.record(1, (third, 200 * MS), None, 2, &supply(3, &[50]));
        assert!(!reads(at(500), third), "the whole read has seen it");
    }

    #[test]
    fn the_memory_is_bounded() {
        let (outlooks, began) = (Outlooks::new(fronts(), WholeReads::default()), Instant::now());
        for product_id in 0..2 * REMEMBERED as i64 {
            outlooks.record(product_id, (began, 10 * MS), None, 1, &supply(0, &[]));
        }
        assert_eq!(outlooks.products().len(), REMEMBERED);
        outlooks.record(-1, (began + 1000 * MS, 10 * MS), None, 1, &supply(0, &[]));
        assert_eq!(outlooks.products().len(), 1);
    }
}
