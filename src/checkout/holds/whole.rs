//! Rows that have run out, hold by hold: a hold ends as a whole, whatever page or batch its rows are in.

use std::time::Duration;

use uuid::Uuid;

use crate::db::due::{Page, Place};
use crate::db::tables::holds::Due;

/// A hold that has run out, with all of its rows.
#[derive(Debug, Clone)]
pub(crate) struct DueHold {
    /// At least one; they share their deadline.
    rows: Vec<Due>,
}

impl DueHold {
    /// Groups rows by their holds. Rows of one hold must stand together.
    pub(crate) fn group(rows: &[Due]) -> Vec<Self> {
        rows.chunk_by(|one, next| one.units.hold_id == next.units.hold_id)
            .map(|rows| Self { rows: rows.to_vec() })
            .collect()
    }

    /// Returns its id.
    pub(crate) fn id(&self) -> Uuid {
        self.first().units.hold_id
    }

    /// Returns its rows, by product.
    pub(crate) fn rows(&self) -> &[Due] {
        &self.rows
    }

    /// Returns the place of its first row, which stands for the hold.
    pub(crate) fn place(&self) -> Place {
        self.first().place()
    }

    /// Returns how long ago it ran out.
    pub(crate) fn late(&self) -> Duration {
        self.first().late
    }

    /// Returns the product of its first row.
    pub(crate) fn product_id(&self) -> i64 {
        self.first().units.product_id
    }

    fn first(&self) -> &Due {
        self.rows.first().expect("a hold has a row")
    }
}

/// Returns the whole holds of a page along the index of deadlines, where the rows of one hold stand together, and the place
/// behind which the next page begins, if there may be one. The last hold of a full page may have more rows on the next one, so
/// it is left to that page, unless it is the only one.
pub(crate) fn whole_holds(page: &Page<Due>, limit: u32) -> (Vec<DueHold>, Option<Place>) {
    let rows = &page.rows;
    if rows.len() < limit as usize {
        return (DueHold::group(rows), None);
    }
    let last = rows.last().map(|row| row.units.hold_id);
    let complete = rows.iter().take_while(|row| Some(row.units.hold_id) != last).count();
    let rows = if complete == 0 { &rows[..] } else { &rows[..complete] };
    (DueHold::group(rows), rows.last().map(Due::place))
}

/// Divides holds, or their orders, into batches of at most `most` rows, or of one that has more. `rows`: how many rows one has.
pub(crate) fn batches<T>(holds: Vec<T>, most: usize, rows: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut batches, mut sum) = (Vec::<Vec<T>>::new(), 0);
    for hold in holds {
        let own = rows(&hold);
        sum += own;
        match batches.last_mut() {
            Some(batch) if sum <= most => batch.push(hold),
            _ => {
                sum = own;
                batches.push(vec![hold]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::db::tables::holds::Units;

    /// Returns the rows of holds with these numbers of rows.
    fn rows(sizes: &[i64]) -> Vec<Due> {
        let at = DateTime::from_timestamp(1, 0).expect("a time").naive_utc();
        let row = |hold: usize, product_id: i64| {
            let units = Units { hold_id: Uuid::from_u128(hold as u128), product_id, qty: 1 };
            Due { units, at, late: Duration::ZERO }
        };
        let hold = |(hold, &size): (usize, &i64)| (1..=size).map(move |product_id| row(hold, product_id));
        sizes.iter().enumerate().flat_map(hold).collect()
    }

    fn sizes(holds: &[DueHold]) -> Vec<usize> {
        holds.iter().map(|hold| hold.rows().len()).collect()
    }

    #[test]
    fn the_last_hold_of_a_full_page_is_left_to_the_next_one() {
        let page = |sizes: &[i64]| Page { read_at: DateTime::UNIX_EPOCH.naive_utc(), rows: rows(sizes) };
        let seen = |page: &Page<Due>, limit: u32| {
            let (holds, next) = whole_holds(page, limit);
            (sizes(&holds), next.map(|place| (place.id.as_u128(), place.product_id)))
        };
        assert_eq!(seen(&page(&[1, 20, 3]), 25), (vec![1, 20, 3], None), "the page is not full");
        assert_eq!(seen(&page(&[1, 20, 3]), 24), (vec![1, 20], Some((1, 20))));
        assert_eq!(seen(&page(&[1, 1, 1]), 3), (vec![1, 1], Some((1, 1))));
        assert_eq!(seen(&page(&[20]), 20), (vec![20], Some((0, 20))), "a hold that fills a page is not left for ever");
        assert_eq!(seen(&page(&[]), 3), (vec![], None));
    }

    #[test]
    fn a_batch_ends_between_two_holds() {
        let batched = |hold_sizes: &[i64], most: usize| {
            let batches = batches(DueHold::group(&rows(hold_sizes)), most, |hold| hold.rows().len());
            batches.iter().map(|batch| sizes(batch)).collect::<Vec<_>>()
        };
        assert_eq!(batched(&[3, 3, 3, 1], 7), [vec![3, 3], vec![3, 1]]);
        assert_eq!(batched(&[1, 1, 1], 2), [vec![1, 1], vec![1]]);
        assert_eq!(batched(&[9, 1, 9], 5), [vec![9], vec![1], vec![9]]);
        assert_eq!(batched(&[], 5), Vec::<Vec<usize>>::new());
    }
}
