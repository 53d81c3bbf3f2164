//! Samples of cancelled events and due refunds.

use holdfast::db::literal::{self, Literal, Text};
use uuid::Uuid;

use super::super::fill::*;
use super::{At, NEW, Sample, bytes, hits, ids, once, page};

fn numbers(first: i64, rows: i64) -> Text {
    literal::list((first..first + rows).map(Literal::Number))
}

pub(super) fn event_cancellations(verb: &str, at: At) -> Option<Vec<Sample>> {
    let of = |event_id: i64| hits(1).bind("event_id", event_id);
    Some(match verb {
        "insert" => once(at, of(ROWS).bind("cancelled_by", "operator")),
        "find" => once(at, of(1)),
        "find_open" => {
            [0, OPEN_ENDINGS.start].iter().flat_map(|&after| once(at, hits(1).bind("after", after))).collect()
        }
        "claim" => once(at, of(OPEN_ENDINGS.start).bind("steps", 0)),
        "note" => {
            let done =
                of(OPEN_ENDINGS.start).bind("stage", "refunds").bind("product_id", 1).bind("hold_id", bytes(hold(1)));
            let done = done.bind("holds_ended", 1).bind("orders_cancelled", 1).bind("refunds_due", 1);
            once(at, done.bind("amount_minor", 1))
        }
        _ => return None,
    })
}

pub(super) fn due_refunds(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let of_charge = || hits(1).bind("charge_event_id", 2);
    let in_range = |first: i64| hits(rows).bind("first", first).bind("last", i64::MAX).bind("limit", rows);
    Some(match verb {
        "list_to_write" => {
            let from = |after: Uuid| {
                let page = hits(rows).brace("event_id", Literal::Number(1)).brace("ids", Literal::Number(BIG));
                let page = page.brace("product_id", Literal::Number(BIG)).brace("after", Literal::Id(after));
                page.brace("limit", Literal::Number(rows))
            };
            vec![from(Uuid::nil()), from(hold(PAID.start + 1_000))]
        }
        "insert" => {
            let row = |number: i64| {
                let order_id = Literal::Id(order(number));
                [Literal::Number(number), Literal::Number(1), order_id, Literal::Null, Literal::Null, Literal::Null]
            };
            vec![hits(rows).brace("rows", literal::rows((NEW..NEW + rows).map(row)))]
        }
        "settle" => once(at, of_charge().bind("whole", false).bind("refunded_minor", 4999)),
        "settle_by_hand" => once(at, of_charge().bind("operator", "operator")),
        "list" => vec![hits(rows).brace("ids", numbers(1, rows))],
        "count_open" => once(at, hits(1)),
        "list_open" => vec![in_range(i64::MIN), in_range(5_000)],
        "list_open_of_event" => [i64::MIN, 5_000].map(|first| in_range(first).bind("event_id", 1)).to_vec(),
        _ => return None,
    })
}

pub(super) fn charges(verb: &str, at: At) -> Option<Vec<Sample>> {
    let first = PAID.start;
    let zero = |number| (Literal::Number(number), Literal::Number(0));
    let cases = || literal::cases((first..first + at.rows).map(zero));
    let sample = hits(at.rows).brace("ids", numbers(first, at.rows)).brace("refunded", cases()).brace("due", cases());
    (verb == "note_due").then(|| vec![sample])
}

pub(super) fn holds(verb: &str, at: At) -> Option<Vec<Sample>> {
    Some(match verb {
        "list_returning" => {
            let sample = hits(at.rows).brace("ids", Literal::Number(BIG)).brace("limit", Literal::Number(at.rows));
            vec![if at.settled { sample.head() } else { sample }]
        }
        "release_whole" => vec![hits(at.rows).brace("ids", ids(hold, &ACTIVE, at.rows))],
        _ => return None,
    })
}

pub(super) fn events(verb: &str, at: At) -> Option<Vec<Sample>> {
    Some(match verb {
        "cancel" => once(at, hits(1).bind("event_id", 1)),
        // a product has some 40 rows of holds
        "sum_sold" => {
            let sample = Sample { hits: 1, ..page(250) };
            once(at, sample.brace("currency", Literal::Word("EUR")).brace("ids", numbers(1_000, 4)))
        }
        _ => return None,
    })
}

pub(super) fn products(verb: &str, at: At) -> Option<Vec<Sample>> {
    Some(match verb {
        "list_of_event" => once(at, hits(1).bind("event_id", 1)),
        "list_beside" => once(at, hits(0).brace("ids", Literal::Number(SEATED.start))),
        "cancel" => {
            once(at, hits(1).brace("event_id", Literal::Number(2)).brace("ids", Literal::Number(SEATED.start + 1)))
        }
        _ => return None,
    })
}

pub(super) fn audit(verb: &str, at: At) -> Option<Vec<Sample>> {
    let from = |first: i64| page(at.rows).bind("first", first).bind("offset", at.rows - 1);
    let between = || page(at.rows).bind("first", 1).bind("last", at.rows);
    Some(match verb {
        "find_page_of_endings" | "find_page_of_due_refunds" => vec![from(i64::MIN), from(7)],
        "event_not_ended" | "due_refund_wrong" => vec![between()],
        "due_refund_missing" => {
            // the names of charges are in the order of their texts
            let (first, last) = ("charge 100000", format!("charge {}", 100_000 + at.rows - 1));
            let sample = page(at.rows).bind("first_provider", "default").bind("first_name", first);
            vec![sample.bind("last_provider", "default").bind("last_name", last)]
        }
        _ => return None,
    })
}
