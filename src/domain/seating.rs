//! Which seats a request gets: the ones that it names, or the best that are available.
//!
//! Best available, in this order: adjacent seats of one row, the best row, a block that leaves no single free seat beside it, the
//! block nearest to the middle of its row, the lower places. A request that may be split and finds no such block gets the largest
//! blocks that there are, each by the same rules. Seats of one row that have different ranks count as seats of different rows.

use std::collections::{BTreeMap, HashMap};

/// The rank of a row, and its number among the rows of its ticket type.
type RowKey = (i64, i64);

/// A seat of a ticket type and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedSeat {
    /// Its number among the seats of its type.
    pub n: i64,
    /// `section-row-seat`.
    pub label: String,
    /// How good it is; 1 is the best.
    pub rank: i64,
    /// The number of its row.
    pub row: i64,
    /// Its place in the row: two seats whose places differ by one are beside each other.
    pub place: i64,
}

/// The seats that a line of a hold asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeatWish {
    /// These, by their labels, each once.
    Named(Vec<String>),
    /// The best that are available.
    Best {
        /// Whether they may be in several blocks.
        split: bool,
    },
}

/// All seats of a ticket type. Seats are added and never changed.
#[derive(Debug, Default)]
pub struct SeatPlan {
    seats: HashMap<i64, PlannedSeat>,
    by_label: HashMap<String, i64>,
    /// The first and the last place of each row.
    ends: HashMap<RowKey, (i64, i64)>,
    /// How many seats the longest row has.
    longest_row: usize,
}

/// The free seats of a ticket type, of which requests take some in the order of their arrival.
#[derive(Debug)]
pub struct FreeSeats {
    /// The best first.
    rows: Vec<Row>,
    /// The row of each seat.
    row_of: HashMap<i64, usize>,
}

#[derive(Debug)]
struct Row {
    key: RowKey,
    /// Free seats: their places and numbers, by place.
    seats: Vec<(i64, i64)>,
    /// The first and the last place of the row, of all of its seats.
    ends: (i64, i64),
    /// The number of seats in its longest block of adjacent free ones.
    longest: usize,
}

impl SeatPlan {
    /// Creates the plan of these seats.
    pub fn new(seats: impl IntoIterator<Item = PlannedSeat>) -> Self {
        let (mut plan, mut lengths) = (Self::default(), HashMap::<RowKey, usize>::new());
        for seat in seats {
            *lengths.entry((seat.rank, seat.row)).or_default() += 1;
            let (first, last) = plan.ends.entry((seat.rank, seat.row)).or_insert((seat.place, seat.place));
            (*first, *last) = ((*first).min(seat.place), (*last).max(seat.place));
            plan.by_label.insert(seat.label.clone(), seat.n);
            plan.seats.insert(seat.n, seat);
        }
        plan.longest_row = lengths.into_values().max().unwrap_or(0);
        plan
    }

    /// Returns how many seats there are.
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Returns whether there are so many seats.
    pub fn has(&self, seats: i64) -> bool {
        i64::try_from(self.len()) == Ok(seats)
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// Returns how many seats the longest row has.
    pub fn longest_row(&self) -> usize {
        self.longest_row
    }

    /// Returns the number of the seat with this label.
    pub fn find(&self, label: &str) -> Option<i64> {
        self.by_label.get(label).copied()
    }

    /// Returns the label of a seat.
    pub fn label(&self, n: i64) -> Option<&str> {
        Some(&self.seats.get(&n)?.label)
    }

    /// Arranges the seats that are free; `None` when the plan does not know one of them.
    pub fn arrange(&self, free: &[i64]) -> Option<FreeSeats> {
        let mut by_row: BTreeMap<RowKey, Vec<(i64, i64)>> = BTreeMap::new();
        for n in free {
            let seat = self.seats.get(n)?;
            by_row.entry((seat.rank, seat.row)).or_default().push((seat.place, seat.n));
        }
        let (mut rows, mut row_of) = (Vec::with_capacity(by_row.len()), HashMap::with_capacity(free.len()));
        for (key, seats) in by_row {
            row_of.extend(seats.iter().map(|&(_, n)| (n, rows.len())));
            rows.push(Row::new(key, seats, *self.ends.get(&key)?));
        }
        Some(FreeSeats { rows, row_of })
    }

    /// Returns the row of a seat.
    fn row(&self, n: i64) -> Option<RowKey> {
        self.seats.get(&n).map(|seat| (seat.rank, seat.row))
    }

    /// Takes the seats of the last row off a list that may not have all of its seats. Leaves a seat in it that the plan does not know:
    /// it may be of any row.
    pub fn whole_rows(&self, mut free: Vec<i64>) -> Vec<i64> {
        let Some(last) = free.last().and_then(|n| self.row(*n)) else { return free };
        while free.last().is_some_and(|n| self.row(*n) == Some(last)) {
            free.pop();
        }
        free
    }
}

impl Row {
    fn new(key: RowKey, mut seats: Vec<(i64, i64)>, ends: (i64, i64)) -> Self {
        seats.sort_unstable();
        let mut row = Self { key, seats, ends, longest: 0 };
        row.measure();
        row
    }

    /// Returns the blocks of adjacent free seats: the index of their first seat, and their length.
    fn blocks(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut first = 0;
        std::iter::from_fn(move || {
            let rest = self.seats.get(first..).filter(|rest| !rest.is_empty())?;
            let length = 1 + rest.windows(2).take_while(|pair| pair[1].0 == pair[0].0 + 1).count();
            let block = (first, length);
            first += length;
            Some(block)
        })
    }

    fn measure(&mut self) {
        self.longest = self.blocks().map(|(_, length)| length).max().unwrap_or(0);
    }

    /// Returns the index of the first of `count` adjacent free seats, the best ones of this row.
    fn best(&self, count: usize) -> Option<usize> {
        let badness = |from: usize, before: usize, behind: usize| {
            let alone = usize::from(before == 1) + usize::from(behind == 1);
            let (place, last) = (self.seats[from].0, self.seats[from + count - 1].0);
            // twice the distance between the middle of the block and that of the row
            let off = (place + last - self.ends.0 - self.ends.1).abs();
            (alone, off, place)
        };
        let choices = self.blocks().filter(|&(_, length)| length >= count).flat_map(|(start, length)| {
            (0..=length - count).map(move |before| (start + before, before, length - count - before))
        });
        choices.min_by_key(|&(from, before, behind)| badness(from, before, behind)).map(|(from, ..)| from)
    }
}

impl FreeSeats {
    /// Takes these seats, all of them or none.
    ///
    /// # Errors
    /// Those that are not free.
    pub fn take(&mut self, wanted: &[i64]) -> Result<(), Vec<i64>> {
        let taken: Vec<i64> = wanted.iter().copied().filter(|n| !self.is_free(*n)).collect();
        if !taken.is_empty() {
            return Err(taken);
        }
        self.remove(wanted);
        Ok(())
    }

    /// Takes the best seats that are available; `None` when there are too few of them, or, unless `split`, no adjacent ones.
    pub fn take_best(&mut self, count: usize, split: bool) -> Option<Vec<i64>> {
        if count > self.row_of.len() {
            return None;
        }
        let mut found: Vec<i64> = Vec::with_capacity(count);
        while found.len() < count {
            let rest = count - found.len();
            let size = rest.min(self.rows.iter().map(|row| row.longest).max()?);
            if size < rest && !split {
                return None;
            }
            let row = self.rows.iter().find(|row| row.longest >= size)?;
            let block: Vec<i64> = row.seats.get(row.best(size)?..)?.iter().take(size).map(|&(_, n)| n).collect();
            self.remove(&block);
            found.extend(block);
        }
        Some(found)
    }

    /// Makes seats free again that were just taken.
    pub fn give_back(&mut self, plan: &SeatPlan, seats: &[i64]) {
        for n in seats {
            let Some(seat) = plan.seats.get(n) else { continue };
            let place = self.rows.iter().position(|row| row.key == (seat.rank, seat.row));
            let Some((place, row)) = place.and_then(|place| Some((place, self.rows.get_mut(place)?))) else { continue };
            row.seats.push((seat.place, seat.n));
            row.seats.sort_unstable();
            row.measure();
            self.row_of.insert(seat.n, place);
        }
    }

    fn is_free(&self, n: i64) -> bool {
        self.row_of.contains_key(&n)
    }

    fn remove(&mut self, seats: &[i64]) {
        for n in seats {
            if let Some(row) = self.row_of.remove(n).and_then(|row| self.rows.get_mut(row)) {
                row.seats.retain(|(_, seat)| seat != n);
                row.measure();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    #[derive(Debug, Clone, Copy)]
    struct Seat {
        n: i64,
        row: i64,
        rank: i64,
        place: i64,
        free: bool,
    }

    fn arrange(seats: &[Seat]) -> (SeatPlan, FreeSeats) {
        let planned = |&Seat { n, row, rank, place, .. }: &Seat| {
            let label = format!("A-{row}-{place}");
            PlannedSeat { n, label, rank, row, place }
        };
        let plan = SeatPlan::new(seats.iter().map(planned));
        let free: Vec<i64> = seats.iter().filter(|seat| seat.free).map(|seat| seat.n).collect();
        let free = plan.arrange(&free).expect("the plan has all seats");
        (plan, free)
    }

    /// Makes rows from pictures: `.` is free, `x` is not, a blank is an aisle. The first is the best row.
    fn seats(rows: &[&str]) -> Vec<Seat> {
        let mut seats = Vec::new();
        for (row, picture) in (1..).zip(rows) {
            for (place, letter) in (0..).zip(picture.chars()).filter(|&(_, letter)| letter != ' ') {
                let n = seats.len() as i64;
                seats.push(Seat { n, row, rank: row, place, free: letter == '.' });
            }
        }
        seats
    }

    /// Draws what a request of best seats takes: with `o`.
    fn taken(rows: &[&str], count: usize, split: bool) -> Option<Vec<String>> {
        let seats = seats(rows);
        let found = arrange(&seats).1.take_best(count, split)?;
        let mut pictures: Vec<Vec<char>> = rows.iter().map(|row| row.chars().collect()).collect();
        for seat in seats.iter().filter(|seat| found.contains(&seat.n)) {
            pictures[seat.row as usize - 1][seat.place as usize] = 'o';
        }
        Some(pictures.into_iter().map(String::from_iter).collect())
    }

    #[test]
    fn the_best_seats_are_adjacent_in_the_best_row_that_has_them() {
        assert_eq!(taken(&[".x.x.", "....."], 2, false), Some(vec![".x.x.".into(), "oo...".into()]));
        assert_eq!(taken(&[".....", "....."], 1, false), Some(vec!["..o..".into(), ".....".into()]));
        assert_eq!(taken(&[".. ..", "....."], 3, false), Some(vec![".. ..".into(), "ooo..".into()]));
        assert_eq!(taken(&["..x..", "x.x.x"], 3, false), None);
    }

    #[test]
    fn a_block_leaves_no_single_seat_alone_where_another_in_its_row_does_not() {
        // the middle would leave one seat on each side
        assert_eq!(taken(&["...."], 2, false), Some(vec!["oo..".into()]));
        assert_eq!(taken(&["......."], 2, false), Some(vec!["..oo...".into()]));
        // every block leaves a single seat
        assert_eq!(taken(&["..."], 2, false), Some(vec!["oo.".into()]));
        // a seat that is alone already is the best single one
        assert_eq!(taken(&["x.x.."], 1, false), Some(vec!["xox..".into()]));
    }

    #[test]
    fn a_request_that_may_be_split_gets_the_largest_blocks() {
        assert_eq!(taken(&["..x..", "x.x.x"], 3, true), Some(vec!["ooxo.".into(), "x.x.x".into()]));
        assert_eq!(taken(&["..x.x", "....x"], 5, true), Some(vec!["..xox".into(), "oooox".into()]));
        assert_eq!(taken(&[".x.", "x.x"], 3, true), Some(vec!["oxo".into(), "xox".into()]));
        assert_eq!(taken(&[".x.", "x.x"], 4, true), None);
    }

    #[test]
    fn named_seats_are_taken_all_or_none() {
        let (plan, mut free) = arrange(&seats(&["..x."]));
        assert_eq!(free.take(&[0, 2, 9]), Err(vec![2, 9]));
        assert_eq!(free.take(&[0, 3]), Ok(()));
        assert_eq!(free.take(&[0]), Err(vec![0]));
        assert_eq!((plan.find("A-1-3"), plan.find("A-1-4"), plan.label(3)), (Some(3), None, Some("A-1-3")));
    }

    #[test]
    fn a_list_that_was_cut_off_has_whole_rows_only() {
        let (plan, _) = arrange(&seats(&["...", "..."]));
        assert_eq!(plan.whole_rows(vec![0, 1, 2, 3, 4]), [0, 1, 2]);
        assert!(plan.whole_rows(vec![0, 1]).is_empty());
        assert_eq!(plan.whole_rows(vec![0, 1, 6]), [0, 1, 6]);
        assert!(plan.whole_rows(vec![0, 6, 1]).contains(&6));
        assert!(plan.arrange(&[0, 6]).is_none(), "a seat that the plan does not have");
    }

    /// Finds the best block by looking at every set of adjacent free seats.
    fn reference(seats: &[Seat], count: usize) -> Option<Vec<i64>> {
        let rows: BTreeSet<(i64, i64)> = seats.iter().map(|seat| (seat.rank, seat.row)).collect();
        let mut best = None;
        for key in rows {
            let of_row = || seats.iter().filter(|seat| (seat.rank, seat.row) == key);
            let find = |place: i64| of_row().find(|seat| seat.place == place);
            let free = |place: i64| find(place).is_some_and(|seat| seat.free);
            let (first, last) = (of_row().map(|seat| seat.place).min(), of_row().map(|seat| seat.place).max());
            for from in of_row().map(|seat| seat.place) {
                let to = from + count as i64;
                if !(from..to).all(free) {
                    continue;
                }
                let left_alone = u8::from(free(from - 1) && !free(from - 2)) + u8::from(free(to) && !free(to + 1));
                let off = ((from + to - 1) - (first.unwrap_or(0) + last.unwrap_or(0))).abs();
                let block: Vec<i64> = (from..to).filter_map(find).map(|seat| seat.n).collect();
                let candidate = ((key, left_alone, off, from), block);
                if best.as_ref().is_none_or(|best| candidate < *best) {
                    best = Some(candidate);
                }
            }
        }
        best.map(|(_, block)| block)
    }

    fn reference_split(seats: &[Seat], count: usize) -> Option<Vec<i64>> {
        let mut seats = seats.to_vec();
        let mut found = Vec::new();
        while found.len() < count {
            let block = (1..=count - found.len()).rev().find_map(|size| reference(&seats, size))?;
            seats.iter_mut().filter(|seat| block.contains(&seat.n)).for_each(|seat| seat.free = false);
            found.extend(block);
        }
        Some(found)
    }

    #[test]
    fn many_requests_in_random_halls_get_what_a_slow_search_finds() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut counts = [0; 3];
        for _ in 0..120 {
            let mut seats = Vec::new();
            for row in 0..rng.random_range(1..6) {
                let rank = rng.random_range(1..4);
                let mut place = rng.random_range(0..3);
                for _ in 0..rng.random_range(1..14) {
                    let rank = if rng.random_bool(0.05) { rank + 1 } else { rank };
                    seats.push(Seat { n: seats.len() as i64, row, rank, place, free: rng.random_bool(0.7) });
                    place += if rng.random_bool(0.1) { 2 } else { 1 };
                }
            }
            let mut hall = arrange(&seats).1;
            for _ in 0..12 {
                let (count, split) = (rng.random_range(1..6), rng.random_bool(0.3));
                let found = hall.take_best(count, split);
                let expected = if split { reference_split(&seats, count) } else { reference(&seats, count) };
                assert_eq!(found, expected, "{count} {split} {seats:?}");
                counts[if found.is_none() { 0 } else { 1 + usize::from(split) }] += 1;
                let found = found.unwrap_or_default();
                seats.iter_mut().filter(|seat| found.contains(&seat.n)).for_each(|seat| seat.free = false);
            }
        }
        assert!(counts.iter().all(|&count| count > 60), "{counts:?}");
    }
}
