//! The map of an event's seats, as its readers get it: compact JSON, and a tag that changes when a seat does.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::seat::seat_of;

/// A seat, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapSeat {
    /// The number of its row among the rows of its type.
    pub row_n: i64,
    /// Its place in the row.
    pub place: i64,
    /// How good the row is.
    pub rank: i64,
    /// Its section.
    pub section: String,
    /// Its row.
    pub row: String,
    /// Its label.
    pub label: String,
    /// Whether it is free, held or sold.
    pub state: SeatState,
}

/// Whether a seat can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeatState {
    /// It can be held.
    Free,
    /// A hold or an unpaid order has it.
    Held,
    /// A paid order has it.
    Sold,
}

impl SeatState {
    /// Returns the letter that stands for it.
    pub fn letter(self) -> char {
        match self {
            Self::Free => 'f',
            Self::Held => 'h',
            Self::Sold => 's',
        }
    }
}

/// The map of an event.
#[derive(Debug)]
pub struct SeatMap {
    /// JSON.
    pub text: Vec<u8>,
    /// A weak entity tag (RFC 9110, 8.8.3): a digest of the text.
    pub tag: String,
    /// The same text, compressed for the first reader that wants it so.
    pub compressed: OnceLock<Vec<u8>>,
}

#[derive(Serialize)]
struct Map<'a> {
    event_id: i64,
    ticket_types: Vec<Type<'a>>,
}

#[derive(Serialize)]
struct Type<'a> {
    product_id: i64,
    sections: Vec<Section<'a>>,
}

#[derive(Serialize)]
struct Section<'a> {
    name: &'a str,
    rows: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    rank: i64,
    seats: Vec<&'a str>,
    states: String,
}

impl SeatMap {
    /// Writes the map of an event: its seated ticket types, each with its seats in any order.
    pub fn write(event_id: i64, types: &mut [(i64, Vec<MapSeat>)]) -> Self {
        for (_, seats) in types.iter_mut() {
            seats.sort_by_key(|seat| (seat.row_n, seat.place));
        }
        let types = types.iter().map(|(product_id, seats)| Type { product_id: *product_id, sections: sections(seats) });
        let map = Map { event_id, ticket_types: types.collect() };
        // numbers and texts: this does not fail
        let text = serde_json::to_vec(&map).unwrap_or_default();
        let digest = BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(&text)[..16]);
        Self { text, tag: format!("W/\"{digest}\""), compressed: OnceLock::new() }
    }
}

/// Groups sorted seats by their rows, and the rows by their sections, in the order in which they were made.
fn sections(seats: &[MapSeat]) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for row in seats.chunk_by(|one, next| one.row_n == next.row_n) {
        let Some(first) = row.first() else { continue };
        let row = Row {
            name: &first.row,
            rank: first.rank,
            seats: row.iter().map(|seat| seat_of(&seat.label)).collect(),
            states: row.iter().map(|seat| seat.state.letter()).collect(),
        };
        match sections.iter_mut().find(|section| section.name == first.section) {
            Some(section) => section.rows.push(row),
            None => sections.push(Section { name: &first.section, rows: vec![row] }),
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(row_n: i64, place: i64, label: &str, state: SeatState) -> MapSeat {
        let parts: Vec<&str> = label.split('-').collect();
        let (section, row) = (parts[0].to_owned(), parts[1].to_owned());
        MapSeat { row_n, place, rank: row_n, section, row, label: label.to_owned(), state }
    }

    #[test]
    fn a_map_has_its_seats_in_their_rows_and_the_rows_in_their_sections() {
        let seats = vec![
            seat(2, 1, "B-1-1", SeatState::Sold),
            seat(1, 2, "A-1-2a", SeatState::Held),
            seat(1, 1, "A-1-1", SeatState::Free),
            seat(3, 1, "A-2-\"", SeatState::Free),
        ];
        let text = |types: &mut [(i64, Vec<MapSeat>)]| {
            String::from_utf8(SeatMap::write(7, types).text).expect("JSON is UTF-8")
        };
        assert_eq!(
            text(&mut [(8, seats), (9, Vec::new())]),
            concat!(
                r#"{"event_id":7,"ticket_types":[{"product_id":8,"sections":[{"name":"A","rows":["#,
                r#"{"name":"1","rank":1,"seats":["1","2a"],"states":"fh"},{"name":"2","rank":3,"seats":["\""],"states":"f"}]},"#,
                r#"{"name":"B","rows":[{"name":"1","rank":2,"seats":["1"],"states":"s"}]}]},{"product_id":9,"sections":[]}]}"#,
            )
        );
    }

    #[test]
    fn the_tag_is_that_of_the_text_and_changes_with_a_seat() {
        let map = |state| SeatMap::write(1, &mut [(2, vec![seat(1, 1, "A-1-1", state)])]);
        let tags = [SeatState::Free, SeatState::Held, SeatState::Sold].map(|state| map(state).tag);
        assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
        assert_eq!(map(SeatState::Held).tag, tags[1]);
        assert!(tags[0].starts_with("W/\"") && tags[0].ends_with('"'));
    }

    #[test]
    fn twenty_thousand_seats_are_far_below_their_bound() {
        let seats =
            (0..20_000).map(|n| seat(n / 30, n % 30, &format!("Block 7-{}-{}", n / 30, n % 30), SeatState::Free));
        let text = SeatMap::write(1, &mut [(2, seats.collect())]).text;
        assert!(text.len() <= 200_000, "{} bytes", text.len());
    }
}
