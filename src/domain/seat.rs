//! Seats of ticket types, and their labels.

use std::collections::HashSet;

use super::refusal::Refusal;

/// The most seats of one request.
pub const MOST_NEW_SEATS: usize = 50_000;
/// The longest part of a label, in characters.
const PART_CHARS: usize = 20;
/// The worst rank of a row.
pub const WORST_RANK: i64 = 1_000_000;
/// The most labels that a refusal names.
const NAMED_LABELS: usize = 100;

/// A row of seats as an operator wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRow {
    /// The name of its section.
    pub section: String,
    /// Its name.
    pub name: String,
    /// How good it is among the rows of its ticket type: 1 is the best.
    pub rank: i64,
    /// The names of its seats, in the order in which they are beside each other.
    pub seats: Vec<String>,
}

/// Returns the label of a seat.
pub fn label(section: &str, row: &str, seat: &str) -> String {
    format!("{section}-{row}-{seat}")
}

/// Returns the name of the seat with this label.
pub fn seat_of(label: &str) -> &str {
    label.rsplit('-').next().unwrap_or(label)
}

/// Checks the rows of a request, and that no label is named twice.
///
/// # Errors
/// [`Refusal::InvalidSeats`]; [`Refusal::SeatExists`].
pub fn check_rows(rows: &[NewRow]) -> Result<(), Refusal> {
    let count: usize = rows.iter().map(|row| row.seats.len()).sum();
    if !(1..=MOST_NEW_SEATS).contains(&count) {
        return Err(Refusal::InvalidSeats(format!(
            "One request has 1 to {MOST_NEW_SEATS} seats; this one has {count}"
        )));
    }
    let (mut seen, mut twice) = (HashSet::with_capacity(count), Vec::new());
    for row in rows {
        let NewRow { section, name, rank, seats } = row;
        let place = format!("row `{}` of section `{}`", shown(name), shown(section));
        let wrong = |what: &str, part: &str| {
            Refusal::InvalidSeats(format!(
                "In {place}, the {what} `{}` must have 1 to {PART_CHARS} characters, without `-`, control characters, and \
                 white space at its ends",
                shown(part)
            ))
        };
        for (what, part) in [("section", section), ("row", name)] {
            is_part(part).then_some(()).ok_or_else(|| wrong(what, part))?;
        }
        if !(1..=WORST_RANK).contains(rank) {
            return Err(Refusal::InvalidSeats(format!("In {place}, `rank` must be from 1 to {WORST_RANK}")));
        }
        if seats.is_empty() {
            return Err(Refusal::InvalidSeats(format!("There is no seat in {place}")));
        }
        for seat in seats {
            is_part(seat).then_some(()).ok_or_else(|| wrong("seat", seat))?;
            if !seen.insert((section.as_str(), name.as_str(), seat.as_str())) {
                twice.push(label(section, name, seat));
            }
        }
    }
    match twice.is_empty() {
        true => Ok(()),
        false => Err(seat_exists(twice)),
    }
}

/// Returns the refusal of seats that exist, or that are named twice.
pub fn seat_exists(mut labels: Vec<String>) -> Refusal {
    let count = labels.len();
    labels.truncate(NAMED_LABELS);
    Refusal::SeatExists { count, labels }
}

/// Returns whether a text may be a part of a label.
fn is_part(text: &str) -> bool {
    (1..=PART_CHARS).contains(&text.chars().count())
        && text.trim() == text
        && !text.contains(|char: char| char == '-' || char.is_control())
}

/// Returns the beginning of a text, as messages show it.
fn shown(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(2 * PART_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seats: &[&str]) -> NewRow {
        let seats = seats.iter().map(|&seat| seat.to_owned()).collect();
        NewRow { section: "A".to_owned(), name: "12".to_owned(), rank: 1, seats }
    }

    #[test]
    fn a_label_has_three_parts_that_can_be_told_apart() {
        assert_eq!((label("A", "12", "7"), seat_of("A-12-7")), ("A-12-7".to_owned(), "7"));
        let long = "x".repeat(20);
        for fine in ["1", "2a", "Loge 3", "Ä", long.as_str()] {
            assert_eq!(check_rows(&[row(&[fine])]), Ok(()), "{fine}");
        }
        let too_long = "x".repeat(21);
        for wrong in ["", " 1", "1 ", "1-2", "a\nb", "\u{7f}", "-", too_long.as_str()] {
            assert!(matches!(check_rows(&[row(&[wrong])]), Err(Refusal::InvalidSeats(_))), "{wrong:?}");
            let (section, name) = (wrong.to_owned(), wrong.to_owned());
            for row in [NewRow { section, ..row(&["1"]) }, NewRow { name, ..row(&["1"]) }] {
                assert!(matches!(check_rows(&[row]), Err(Refusal::InvalidSeats(_))), "{wrong:?}");
            }
        }
    }

    #[test]
    fn rows_have_seats_a_rank_and_no_label_twice() {
        let named = |labels: &[&str]| seat_exists(labels.iter().map(|&label| label.to_owned()).collect());
        assert_eq!(check_rows(&[row(&["1", "2", "1"]), row(&["2"])]), Err(named(&["A-12-1", "A-12-2"])));
        for rank in [0, -1, WORST_RANK + 1] {
            let wrong = NewRow { rank, ..row(&["1"]) };
            assert!(matches!(check_rows(&[wrong]), Err(Refusal::InvalidSeats(_))), "{rank}");
        }
        for rows in [&[][..], &[row(&[])], &[row(&["1"]), row(&[])]] {
            assert!(matches!(check_rows(rows), Err(Refusal::InvalidSeats(_))), "{rows:?}");
        }
        let many = |count: usize| NewRow { seats: (0..count).map(|n| n.to_string()).collect(), ..row(&[]) };
        assert_eq!(check_rows(&[many(MOST_NEW_SEATS)]), Ok(()));
        assert!(matches!(check_rows(&[many(MOST_NEW_SEATS + 1)]), Err(Refusal::InvalidSeats(_))));
        assert!(
            matches!(seat_exists(vec![String::new(); 101]), Refusal::SeatExists { count: 101, labels } if labels.len() == 100)
        );
    }
}
