//! Samples of counters of units, and of what marks and counts them.

use holdfast::db::literal::{self, Literal};
use holdfast::db::packets::OneTrip as _;
use holdfast::db::packets::counters::Counted;
use holdfast::db::packets::keys::Keys;
use holdfast::db::packets::take_holds::TakeHolds;
use holdfast::db::tables::products::Terms;
use holdfast::domain::Sale;
use mysql_async::Value;
use uuid::Uuid;

use super::super::fill::*;
use super::{At, Sample, built, bytes, hits, ids, new, once, page};

/// A product that is being counted.
const COUNTED: i64 = 4;

/// Holds of as many buyers, whose counters exist.
fn take_counted(rows: i64) -> Vec<String> {
    let holds: Vec<(Uuid, i64)> = new(rows).map(|number| (hold(number), 1)).collect();
    let mut counted = Counted::default();
    for (number, &(hold_id, qty)) in (1..).zip(&holds) {
        counted.counters.add(counter(number), qty, 0);
        counted.marks.insert((hold_id, BIG), [Some(counter(number)), None, None]);
    }
    let terms = Terms { price_minor: 4999, currency: "EUR".to_owned(), sale: Sale::default() };
    let (owners, keys) = (Vec::new(), Keys::default());
    TakeHolds { product_id: BIG, terms: &terms, holds, owners, counted, ttl_seconds: 120, keys, is_second: false }
        .statements()
}

pub(super) fn buyer_units(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    Some(match verb {
        "add" => built(rows, take_counted(rows)),
        // without the statement before it, the counters are where they were: over a limit of 0
        "list_over" => built(rows, take_counted(rows)),
        "list" => vec![hits(rows).brace("ids", ids(counter, &(1..ROWS), rows))],
        _ => return None,
    })
}

pub(super) fn products(verb: &str, at: At) -> Option<Vec<Sample>> {
    Some(match verb {
        "find_limit" => once(at, hits(1).bind("product_id", BIG)),
        "find_uncounted" => once(at, hits(1)),
        "note_counted" => once(
            at,
            hits(1)
                .bind("product_id", COUNTED)
                .bind("max_per_buyer", 4)
                .bind("limit_state", "counting")
                .bind("limit_counted_to", bytes(hold(1)))
                .bind("old_limit_state", "counting")
                .bind("old_limit_counted_to", Value::NULL),
        ),
        _ => return None,
    })
}

pub(super) fn holds(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    // every second hold is one of the busy product
    let of_product: Vec<Uuid> = (1..=rows).map(|number| hold(2 * number)).collect();
    Some(match verb {
        "insert_counted" => built(rows, take_counted(rows)),
        "list_counted" => vec![hits(rows).brace("ids", ids(hold, &PAID, rows))],
        "list_to_reserve" => once(at, hits(1).bind("hold_id", bytes(hold(PAID.start)))),
        "list_uncounted" => {
            let among =
                |first: i64| hits(rows).page(2 * rows).bind("product_id", BIG).bind("after", bytes(hold(first)));
            [1, 50_001].map(|first| among(first).bind("last", bytes(hold(first + 2 * rows)))).to_vec()
        }
        "find_page_end" => [Uuid::nil(), hold(100_000)]
            .map(|after| page(rows).bind("after", bytes(after)).bind("offset", rows - 1))
            .to_vec(),
        "find_any" => [BIG, 4_000_000].map(|product_id| page(1).bind("product_id", product_id)).to_vec(),
        "mark_counted" => {
            let pairs = of_product.iter().map(|&id| (Literal::Id(id), Literal::Id(counter(1))));
            let ids = literal::list(of_product.iter().map(|&id| Literal::Id(id)));
            let units = of_product.iter().map(|&id| (Literal::Id(id), Literal::Number(1)));
            let marked = hits(rows).brace("cases", literal::cases(pairs)).brace("ids", ids);
            let marked = marked.brace("units", literal::cases(units));
            vec![marked.brace("product_id", Literal::Number(BIG)).brace("status", Literal::Word("ordered"))]
        }
        _ => return None,
    })
}

pub(super) fn audit(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let between = |of: fn(i64) -> Uuid, first: i64| {
        page(rows).bind("first", bytes(of(first))).bind("last", bytes(of(first + rows - 1)))
    };
    let holds = || [50_001, CANCELLED.end - rows / 2].map(|first| between(hold, first)).to_vec();
    Some(match verb {
        "find_limits" => once(at, hits(1)),
        "find_page_of_counters" => [Uuid::nil(), counter(100_000)]
            .map(|first| page(rows).bind("first", bytes(first)).bind("offset", rows - 1))
            .to_vec(),
        "list_counters" | "sum_counters" => [1, 50_001].map(|first| between(counter, first)).to_vec(),
        "sum_counted" | "units_not_counted" => holds(),
        "list_counted" => {
            let all = |sample: Sample| {
                sample.bind("first_counter", bytes(Uuid::nil())).bind("last_counter", bytes(Uuid::max()))
            };
            holds().into_iter().map(all).collect()
        }
        _ => return None,
    })
}
