//! Samples of organizers, events, ticket types and seats.

use std::sync::Arc;

use holdfast::db::literal::{self, Literal};
use holdfast::db::packets::OneTrip as _;
use holdfast::db::packets::counters::Counted;
use holdfast::db::packets::keys::Keys;
use holdfast::db::packets::place_orders::Draft;
use holdfast::db::packets::take_carts::{Cart, CartLine, TakeCarts};
use holdfast::db::tables::products::Terms;
use holdfast::db::tables::tickets::Redeem;
use holdfast::db::tables::{seats, tickets};
use holdfast::domain::{OrderTickets, Sale, Ticket, TicketCode, TicketKind};
use mysql_async::Value;
use uuid::Uuid;

use super::super::fill::*;
use super::{
    At, NEW, Sample, built, bytes, draft, hits, ids, once, page, place_all, some, take_carts, take_carts_with, take_for,
};

/// The terms of a ticket type.
fn of_event(product_id: i64) -> Sale {
    let ticket = Ticket {
        event_id: Some(product_id - SEATED.start + 1),
        kind: TicketKind::Admission,
        sale_starts_at: None,
        sale_ends_at: None,
        max_per_buyer: None,
        cancelled_at: None,
    };
    Sale { ticket: Some(ticket), ..Sale::default() }
}

pub(super) fn products(verb: &str, at: At) -> Option<Vec<Sample>> {
    let (rows, first) = (at.rows, ADMISSIONS.start);
    Some(match verb {
        "take_ticket" => built(1, take_for(first, rows, of_event(first))),
        "take_all_on_terms" => {
            // the products of the other carts have smaller ids
            let of_tickets = take_carts_with(rows, Some((first, of_event(first))));
            [take_carts(rows, true), of_tickets].into_iter().flat_map(|packet| built(rows, packet)).collect()
        }
        "insert_ticket_type" => {
            let row = |number: i64| {
                let mut row = [Literal::Null; 20];
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

pub(super) fn holds(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let line = |place: i64| CartLine {
        product_id: SEATED.start,
        qty: 1,
        terms: Arc::new(Terms { price_minor: 4999, currency: "EUR".to_owned(), sale: of_event(SEATED.start) }),
        seats: Some(Arc::from([label(place)])),
    };
    let cart =
        |place: i64| Cart { hold_id: hold(NEW + place), replaces: None, lines: vec![line(place)], ttl_seconds: 120 };
    let packet = || TakeCarts {
        carts: (0..rows).map(cart).collect(),
        owners: Vec::new(),
        replaced: Vec::new(),
        counted: Counted::default(),
        keys: Keys::default(),
    };
    (verb == "insert_with_seats").then(|| built(rows, packet().statements()))
}

pub(super) fn orders(verb: &str, at: At) -> Option<Vec<Sample>> {
    let drafts = || some(&ACTIVE, at.rows).map(|number| Draft { tickets: OrderTickets::Seats, ..draft(number) });
    match verb {
        "insert_with_seats" => Some(built(at.rows, place_all(drafts()))),
        "list_clients" => {
            Some([&PAID, &PENDING].map(|range| hits(at.rows).brace("ids", ids(order, range, at.rows))).to_vec())
        }
        _ => None,
    }
}

/// Returns the label of a seat, by its number.
fn label(n: i64) -> String {
    format!("A-{}-{}", 1 + (n - 1) / 50, 1 + n % 50)
}

pub(super) fn audit(verb: &str, at: At) -> Option<Vec<Sample>> {
    let first = SEATED.start;
    Some(match verb {
        "find_page_of_seats" => {
            let from = |first: i64| page(at.rows).bind("first", first).bind("offset", at.rows - 1);
            vec![from(i64::MIN), from(first + 7)]
        }
        "find_tickets" => vec![hits(1)],
        "find_page_of_tickets" => {
            let from = |first: Uuid| page(at.rows).bind("first", bytes(first)).bind("offset", at.rows - 1);
            vec![from(Uuid::nil()), from(order(100_000))]
        }
        "tickets_differ" | "ticket_wrong" => {
            let between = |first: i64| {
                let page = page(at.rows).bind("first", bytes(order(first)));
                page.bind("last", bytes(order(first + at.rows - 1)))
            };
            vec![between(50_001), between(CANCELLED.end - at.rows / 2)]
        }
        // one ticket type, as a page has it
        "sum_seats" | "seat_without_hold" | "seat_sold_wrongly" => {
            once(at, page(SEATS).bind("first", first).bind("last", first))
        }
        _ => return None,
    })
}

/// Returns the codes of tickets that are valid.
fn valid(rows: i64) -> Vec<TicketCode> {
    let code = |number| TicketCode::stored(id(number, 5).as_bytes()).expect("16 bytes");
    some(&PAID, rows).map(code).collect()
}

/// A redemption at a gate of its own.
fn redeem(code: TicketCode) -> Redeem {
    Redeem { code, gate: Some(code.reveal()), redeemed_by: "gate".to_owned(), key: [code.bytes()[15]; 32] }
}

pub(super) fn issued(verb: &str, at: At) -> Option<Vec<Sample>> {
    let (rows, product_id) = (at.rows, SEATED.start);
    let code = || id(50_000, 5);
    let literal = || Literal::Id(code());
    let listed = |place: Uuid| {
        let place = hits(rows).bind("order_id", bytes(place)).bind("product_id", product_id).bind("unit", 1);
        place.bind("issue", 1).bind("event_id", 1).bind("status", "valid").bind("limit", rows)
    };
    Some(match verb {
        "list_units" => vec![page(rows).brace("ids", ids(hold, &PAID, rows))],
        "void" => built(rows, [tickets::void_all(&some(&PAID, rows).map(order).collect::<Vec<_>>(), None)]),
        "void_of_event" => {
            let orders: Vec<Uuid> = some(&PAID, 2 * rows).map(order).collect();
            built(rows, [tickets::void_all(&orders, Some(1))])
        }
        "redeem" => {
            let requests: Vec<Redeem> = valid(rows).into_iter().map(redeem).collect();
            built(rows, [tickets::redeem_all(&requests.iter().map(|request| (request.code, request)).collect())])
        }
        "replace" => once(at, hits(1).bind("code", bytes(code()))),
        "find" => once(at, hits(1).brace("code", literal())),
        "list_by_code" => built(rows, [tickets::list_all_by_code(&valid(rows))]),
        "find_issue" => once(at, Sample { hits: 1, ..listed(order(50_000)) }),
        "list_some" => vec![hits(rows).brace("ids", ids(order, &PAID, rows)).brace("limit", Literal::Number(rows))],
        // the first page, and one from the middle on
        "list_page" => vec![listed(Uuid::nil()), listed(order(PAID.end / 2))],
        _ => return None,
    })
}

pub(super) fn seats(verb: &str, at: At) -> Option<Vec<Sample>> {
    let (rows, first) = (at.rows, SEATED.start);
    let free = || (1..=rows).map(|place| 2 * place);
    let held = || (1..=rows).map(|place| hold(2 * place - 1)).collect::<Vec<_>>();
    Some(match verb {
        "list_free" => {
            // the best ones, and all
            let all = once(at, Sample { packet: vec![seats::list_free(first, u64::MAX)], ..hits(SEATS / 2) });
            built(rows, [seats::list_free(first, rows.unsigned_abs())]).into_iter().chain(all).collect()
        }
        "list_free_some" => built(rows, [seats::list_free_some(first, &free().collect::<Vec<_>>())]),
        "take" => built(rows, [seats::take(first, &free().map(|n| (n, hold(NEW + n))).collect())]),
        "take_again" => {
            let labels: Vec<String> = free().map(label).collect();
            let labels = literal::list(labels.iter().map(|label| Literal::Bytes(label.as_bytes())));
            let sample = hits(rows).brace("product_id", Literal::Number(first)).brace("labels", labels);
            vec![sample.brace("hold_id", Literal::Id(hold(NEW)))]
        }
        "give_back" => built(rows, [seats::give_back_all(first, &held())]),
        "mark_sold" => built(rows, [seats::mark_sold_all(&held())]),
        "list" => once(at, hits(SEATS).bind("product_id", SEATED.start)),
        "list_map" => [(1, SEATS), (SEATED.end, 1)]
            .iter()
            .flat_map(|&(event_id, hit)| once(at, hits(hit).bind("event_id", Value::from(event_id))))
            .collect(),
        _ => return None,
    })
}
