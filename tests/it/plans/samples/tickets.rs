//! Samples of organizers, events, ticket types and seats.

use holdfast::db::literal::{self, Literal};
use holdfast::domain::{Sale, Ticket, TicketKind};
use mysql_async::Value;

use super::super::fill::*;
use super::{At, Sample, built, bytes, hits, once, take_carts_with, take_for};

/// The terms of a ticket type.
fn of_event(product_id: i64) -> Sale {
    let ticket = Ticket {
        event_id: Some(product_id - SEATED.start + 1),
        kind: TicketKind::Admission,
        sale_starts_at: None,
        sale_ends_at: None,
        cancelled_at: None,
    };
    Sale { ticket: Some(ticket), ..Sale::default() }
}

pub(super) fn products(verb: &str, at: At) -> Option<Vec<Sample>> {
    let (rows, first) = (at.rows, ADMISSIONS.start);
    Some(match verb {
        "take_ticket" => built(1, take_for(first, rows, of_event(first))),
        // the products of the other carts have smaller ids
        "take_all_tickets" => built(rows, take_carts_with(rows, Some((first, of_event(first))))),
        "insert_ticket_type" => {
            let row = |number: i64| {
                let mut row = [Literal::Null; 19];
                let words = [Literal::Number(number), Literal::Word("name"), Literal::Number(1), Literal::Word("EUR")];
                row[..4].copy_from_slice(&words);
                (row[4], row[13]) = (Literal::Word("on_sale"), Literal::Number(1));
                (row[15], row[16]) = (Literal::Number(1), Literal::Word("seated"));
                row
            };
            vec![hits(rows).brace("rows", literal::rows((700_000..700_000 + rows).map(row)))]
        }
        "add_seats" => once(at, hits(1).bind("product_id", SEATED.start).bind("event_id", 1).bind("seats", 1)),
        _ => return None,
    })
}

pub(super) fn organizers(verb: &str, at: At) -> Option<Vec<Sample>> {
    Some(match verb {
        "find" => once(at, hits(1).bind("organizer_id", 1)),
        "find_by_change" => once(at, hits(1).bind("change_id", bytes(id(1, 8)))),
        _ => return None,
    })
}

pub(super) fn events(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let listed = || {
        let page = |from: &str, event_id: i64| {
            let page = hits(rows).bind("at", from).bind("id", event_id).bind("to", "9999-12-01").bind("limit", rows);
            page.bind("organizer_id", 1)
        };
        // from the first event on, and behind one in the middle
        let middle = (at.world.now + chrono::TimeDelta::milliseconds(5_000)).format("%F %T%.6f").to_string();
        vec![page("1000-01-01", i64::MIN), page(&middle, 5_000)]
    };
    let numbers = |first: i64| literal::list((first..first + rows).map(Literal::Number));
    Some(match verb {
        "find_by_change" => once(at, hits(1).bind("change_id", bytes(id(1, 9)))),
        "find_terms" => once(at, hits(1).bind("event_id", 1)),
        "add_ticket_type" => once(at, hits(1).bind("event_id", 1).bind("currency", "EUR").bind("most", 50)),
        "add_seats" => once(at, hits(1).bind("event_id", 1).bind("seats", 1).bind("most", 100_000)),
        // events with a ticket type each, the last of which has no unit left, and events without
        "list_some" => [ALL_HELD.1 - rows + 1, 100_000].map(|first| hits(rows).brace("ids", numbers(first))).to_vec(),
        "list_page" | "list_page_of_organizer" => listed(),
        _ => return None,
    })
}

pub(super) fn seats(verb: &str, at: At) -> Option<Vec<Sample>> {
    Some(match verb {
        "list" => once(at, hits(SEATS).bind("product_id", SEATED.start)),
        "list_map" => [(1, SEATS), (SEATED.end, 1)]
            .iter()
            .flat_map(|&(event_id, hit)| once(at, hits(hit).bind("event_id", Value::from(event_id))))
            .collect(),
        _ => return None,
    })
}
