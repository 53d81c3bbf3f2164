//! What this instance knows of the feed.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::Instant;

use super::place::FeedPlace;
use super::walk::Walk;
use crate::db::packets::number_feed::Seen;
use crate::db::tables::feed::Feed;

/// The most rows that get their positions in one transaction.
pub(crate) const ROWS: u32 = 1000;
/// How long ago a row was written at least for no transaction to be under way that wrote a row before it.
pub(crate) const SETTLED: Duration = Duration::from_secs(60);
/// How far apart reads are at most for the time between them to count: while the database stands still, a transaction may last longer.
const GAP: Duration = Duration::from_secs(5);
/// The time between two ids that are remembered.
const MARK_EVERY: Duration = Duration::from_secs(1);
/// How long positions may be given and not be known to be on disk: their sequencer has ended.
const UNSAFE: Duration = Duration::from_secs(1);
/// How many readers read at a time: an event wakes all that wait, and these must not take the connections of buyers.
const READERS: usize = 6;

/// How far the feed is, as far as this instance knows.
pub(crate) struct FeedState {
    pub(super) sequencer: Mutex<Sequencer>,
    /// The last position of which readers know that they may read it, with its epoch; it wakes those that wait for more.
    pub(super) known: watch::Sender<Option<FeedPlace>>,
    /// A turn to read.
    pub(super) turns: Semaphore,
    /// How far the walk over all products is.
    pub(super) walk: Mutex<Walk>,
}

impl Default for FeedState {
    fn default() -> Self {
        Self {
            sequencer: Mutex::default(),
            known: watch::Sender::default(),
            turns: Semaphore::new(READERS),
            walk: Mutex::default(),
        }
    }
}

impl FeedState {
    /// Records how far the feed is.
    pub(super) fn record(&self, feed: Feed) {
        let place = FeedPlace { epoch: feed.epoch, position: feed.safe };
        self.known.send_if_modified(|known| known.replace(place) != Some(place));
    }
}

/// How far the sequencer of this instance is.
#[derive(Debug)]
pub(crate) struct Sequencer {
    /// All rows up to this id are known, and have positions; none before the first read.
    pub(super) low: Option<i64>,
    /// Whether the feed is not the one that was known, and its endpoints do not know that yet.
    pub(super) is_other: bool,
    /// How far the feed was at the last read.
    known: Option<Feed>,
    /// Last ids of all rows, and when they were read.
    marks: VecDeque<(Instant, i64)>,
    /// When the last read was.
    read_at: Instant,
    /// When rows are looked for again whatever their ids.
    pub(super) stragglers_at: Instant,
    /// The last position that was not known to be on disk, and since when.
    unsafe_since: Option<(i64, Instant)>,
}

impl Default for Sequencer {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            low: None,
            is_other: false,
            known: None,
            marks: VecDeque::new(),
            read_at: now,
            stragglers_at: now,
            unsafe_since: None,
        }
    }
}

impl Sequencer {
    /// Moves on after a read behind `low` that began at `now`, all of whose rows have positions.
    pub(super) fn advance(&mut self, now: Instant, low: i64, seen: &Seen) {
        if now - self.read_at > GAP {
            self.marks.clear();
        }
        self.read_at = now;
        let Some(last) = seen.last else { return };
        // rows that appeared behind the count are in the list: those up to `last` are all known
        let is_whole = seen.new.len() < ROWS as usize;
        if is_whole && seen.ids == last - low {
            self.low = Some(last);
            self.marks.clear();
            return;
        }
        // beyond a list that is full, rows may have no position
        let reached = seen.new.last().filter(|_| !is_whole).map_or(last, |row| row.id);
        if self.marks.back().is_none_or(|(at, _)| now - *at >= MARK_EVERY) {
            self.marks.push_back((now, reached));
        }
        while let Some((_, id)) = self.marks.pop_front_if(|(at, _)| now - *at >= SETTLED) {
            self.low = Some(id);
        }
    }

    /// Returns whether the feed is not the one that was known, since its server lost rows or another one took its place. What is known of
    /// its ids is forgotten then.
    pub(super) fn has_lost(&mut self, feed: Feed) -> bool {
        let is_other = self.known.is_some_and(|known| feed.epoch != known.epoch || feed.position < known.position);
        self.known = Some(feed);
        if is_other {
            self.low = None;
            self.is_other = true;
            self.marks.clear();
        }
        is_other
    }

    /// Notes the last position that this instance has given.
    pub(super) fn gave(&mut self, position: i64) {
        if let Some(known) = &mut self.known {
            known.position = position;
        }
    }

    /// Returns whether positions were given so long ago that their sequencer must have ended before it said that they are on disk.
    pub(super) fn is_left(&mut self, now: Instant, feed: Feed) -> bool {
        if feed.safe >= feed.position {
            self.unsafe_since = None;
            return false;
        }
        match self.unsafe_since {
            Some((position, since)) if feed.safe < position => now - since >= UNSAFE,
            _ => {
                self.unsafe_since = Some((feed.position, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;
    use crate::db::tables::feed_batches::New;

    /// A row of the feed: the `number`th event of an order.
    #[derive(Debug, Clone, Copy)]
    struct Row {
        id: i64,
        order: usize,
        number: usize,
        written_at: Instant,
        committed: bool,
        position: Option<i64>,
    }

    /// What a sequencer has done of its step.
    #[derive(Debug)]
    enum Step {
        Rests,
        /// It has read how far the feed is.
        Found(Instant, i64),
        /// And counted the rows behind `low`.
        Counted(Instant, i64, i64, Option<i64>, i64),
        /// And read the rows without a position.
        Listed(Instant, i64, Seen),
        /// And given them positions up to this one.
        Numbered(i64),
    }

    /// The database, two sequencers and a reader.
    struct World {
        random: StdRng,
        now: Instant,
        rows: Vec<Row>,
        next_id: i64,
        id_step: i64,
        feed: Feed,
        sequencers: [(Sequencer, Step); 2],
        /// How many events each order has, and whether the last one is committed.
        orders: Vec<(usize, bool)>,
        read: Vec<(usize, usize)>,
        read_to: i64,
    }

    impl World {
        fn new(seed: u64) -> Self {
            let mut random = StdRng::seed_from_u64(seed);
            let id_step = if random.random_ratio(1, 3) { 3 } else { 1 };
            Self {
                random,
                now: Instant::now(),
                rows: Vec::new(),
                next_id: 1,
                id_step,
                feed: Feed { epoch: 1, position: 0, safe: 0 },
                sequencers: [0, 1].map(|_| (Sequencer::default(), Step::Rests)),
                orders: vec![(0, true); 4],
                read: Vec::new(),
                read_to: 0,
            }
        }

        /// A transaction of an order whose last one has committed writes its row.
        fn write(&mut self) {
            let order = self.random.random_range(0..self.orders.len());
            if let (number, true) = self.orders[order] {
                self.orders[order] = (number + 1, false);
                let (id, written_at) = (self.next_id, self.now);
                self.next_id += self.id_step;
                self.rows.push(Row { id, order, number, written_at, committed: false, position: None });
            }
        }

        /// A transaction commits, or is rolled back: its id is not used again, and its order begins anew.
        fn end(&mut self, place: usize) {
            let row = self.rows[place];
            if self.random.random_ratio(1, 6) {
                self.rows.remove(place);
                self.orders[row.order] = (row.number, true);
            } else {
                self.rows[place].committed = true;
                self.orders[row.order].1 = true;
            }
        }

        fn end_some(&mut self) {
            let open: Vec<usize> = (0..self.rows.len()).filter(|&place| !self.rows[place].committed).collect();
            if !open.is_empty() {
                let place = self.random.random_range(0..open.len());
                self.end(open[place]);
            }
        }

        /// Time passes; no transaction lasts as long as it takes a row to count as settled.
        fn pass(&mut self) {
            let steps = [10, 900, 4_000, 20_000];
            self.now += Duration::from_millis(steps[self.random.random_range(0..steps.len())]);
            while let Some(place) =
                self.rows.iter().position(|row| !row.committed && self.now - row.written_at > SETTLED / 2)
            {
                self.end(place);
            }
        }

        fn committed(&self) -> impl Iterator<Item = &Row> {
            self.rows.iter().filter(|row| row.committed)
        }

        fn new_rows(&self, from: impl Fn(i64) -> bool) -> Vec<New> {
            let new = self.committed().filter(|row| row.position.is_none() && from(row.id));
            let mut new: Vec<New> = new.map(|row| New { id: row.id, items: 1, waited: Duration::ZERO }).collect();
            new.sort_unstable_by_key(|row| row.id);
            new
        }

        /// Where a sequencer begins, as its statements find it.
        fn begin(&self) -> i64 {
            let settled = self.committed().filter(|row| self.now - row.written_at > SETTLED).map(|row| row.id).max();
            let first = self.new_rows(|_| true).first().map(|row| row.id - 1);
            let settled = settled.unwrap_or(0);
            first.map_or(settled, |first| first.min(settled))
        }

        /// A sequencer runs its next statement.
        fn sequence(&mut self, which: usize) {
            let step = std::mem::replace(&mut self.sequencers[which].1, Step::Rests);
            let now = self.now;
            self.sequencers[which].1 = match step {
                Step::Rests => Step::Found(now, self.feed.position),
                Step::Found(began, position) => {
                    let begin = self.begin();
                    let low = *self.sequencers[which].0.low.get_or_insert(begin);
                    let ids: Vec<i64> = self.committed().map(|row| row.id).filter(|&id| id > low).collect();
                    Step::Counted(began, position, low, ids.iter().copied().max(), ids.len() as i64)
                }
                Step::Counted(began, position, low, last, ids) => {
                    let mut new = self.new_rows(|id| id > low);
                    new.truncate(ROWS as usize);
                    if now >= self.sequencers[which].0.stragglers_at {
                        new.splice(..0, self.new_rows(|id| id <= low));
                        self.sequencers[which].0.stragglers_at = now + SETTLED;
                    }
                    let feed = Feed { position, ..self.feed };
                    Step::Listed(began, low, Seen { feed, last, ids, new })
                }
                Step::Listed(began, low, seen) => {
                    let is_current = seen.feed.position == self.feed.position;
                    if !seen.new.is_empty() && !is_current {
                        return;
                    }
                    for new in &seen.new {
                        let row = self.rows.iter_mut().find(|row| row.id == new.id).expect("it was committed");
                        assert_eq!(row.position, None, "the counter guards the rows");
                        self.feed.position += 1;
                        row.position = Some(self.feed.position);
                    }
                    self.sequencers[which].0.advance(began, low, &seen);
                    if seen.new.is_empty() { Step::Rests } else { Step::Numbered(self.feed.position) }
                }
                Step::Numbered(position) => {
                    self.feed.safe = self.feed.safe.max(position);
                    Step::Rests
                }
            };
        }

        fn read(&mut self) {
            let (after, safe) = (self.read_to, self.feed.safe);
            let positions = self.committed().filter_map(|row| Some((row.position?, (row.order, row.number))));
            let found: BTreeMap<i64, (usize, usize)> =
                positions.filter(|(at, _)| (after + 1..=safe).contains(at)).collect();
            assert!(found.keys().copied().eq(after + 1..=safe), "a gap behind {after}: {found:?}");
            self.read.extend(found.into_values());
            self.read_to = safe;
        }

        fn step(&mut self) {
            match self.random.random_range(0..20) {
                0..4 => self.write(),
                4..8 => self.end_some(),
                8..16 => {
                    let which = self.random.random_range(0..2);
                    self.sequence(which);
                }
                16 => {
                    // an instance ends, and another one begins
                    let which = self.random.random_range(0..2);
                    self.sequencers[which] = (Sequencer::default(), Step::Rests);
                }
                17 => self.pass(),
                _ => self.read(),
            }
        }
    }

    #[test]
    fn whatever_the_schedule_positions_have_no_gap_and_keep_the_order_of_each_orders_events() {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        for schedule in 0..10_000 {
            let mut world = World::new(seed.wrapping_add(schedule));
            (0..150).for_each(|_| world.step());
            while world.rows.iter().any(|row| !row.committed) {
                world.end_some();
            }
            while world.rows.iter().any(|row| row.position.is_none()) || world.feed.safe < world.feed.position {
                world.now += STEP;
                world.sequence(0);
                if world.feed.safe < world.feed.position && world.new_rows(|_| true).is_empty() {
                    world.feed.safe = world.feed.position;
                }
            }
            world.read();
            assert_eq!(world.read.len(), world.rows.len(), "schedule {schedule}");
            for order in 0..world.orders.len() {
                let numbers = world.read.iter().filter(|(of, _)| *of == order).map(|(_, number)| *number);
                assert!(numbers.eq(0..world.orders[order].0), "schedule {schedule}: {:?}", world.read);
            }
        }
    }

    /// How much time passes between two statements at the end of a schedule.
    const STEP: Duration = Duration::from_secs(1);
}
