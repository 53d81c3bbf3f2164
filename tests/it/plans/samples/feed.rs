//! Samples of the feed.

use std::time::Duration;

use holdfast::db::literal::{self, Literal};
use holdfast::db::packets::tell_products;
use holdfast::db::tables::feed as counter;
use holdfast::db::tables::feed_batches::{self, New};
use uuid::Uuid;

use super::super::fill::*;
use super::{At, NEW, Sample, hits, once, page, some};

/// The last position.
const SAFE: i64 = 2 * (LATE_TOLD.start - 1);

pub(super) fn feed_batches(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let behind =
        |after: i64| hits(rows).bind("client_id", 1).bind("after", after).bind("safe", SAFE).bind("limit", rows);
    Some(match verb {
        "insert" => {
            let row = |number: i64| {
                let (one, batch) = (Literal::Number(1), Literal::Bytes(b"0123456789abcdef"));
                [Literal::Number(number), one, one, batch, Literal::Word("[]")]
            };
            vec![hits(rows).brace("rows", literal::rows((1..=rows).map(row)))]
        }
        "find_last" => vec![page(rows).brace("low", Literal::Number(TOLD.end - 1 - rows))],
        "list_new" => {
            let low = Literal::Number(TOLD.end - 1 - rows);
            vec![hits(rows).brace("low", low).brace("limit", Literal::Number(rows))]
        }
        "find_settled" => once(at, hits(1).bind("seconds", 60)),
        "list_stragglers" => vec![hits(rows).bind("limit", rows).head()],
        "number" => {
            let new: Vec<New> =
                (TOLD.end - rows..TOLD.end).map(|id| New { id, items: 2, waited: Duration::ZERO }).collect();
            built(rows, feed_batches::number(NEW, &new))
        }
        "list_places" | "list_places_of_client" => vec![behind(0), behind(SAFE / 2)],
        "list_some" => {
            let position = |number: i64| Literal::Number(2 * (TOLD.start + 10 * number));
            vec![hits(rows).brace("positions", literal::list((1..=rows).map(position)))]
        }
        _ => return None,
    })
}

fn built(rows: i64, statement: String) -> Vec<Sample> {
    super::built(rows, [statement])
}

pub(super) fn feed_products(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let told = || some(&TOLD_PRODUCTS, rows).collect::<Vec<i64>>();
    Some(match verb {
        "list_some" => vec![hits(rows).brace("ids", literal::numbers(&told()))],
        "list_page" => vec![hits(rows).bind("after", TOLD_PRODUCTS.start).bind("limit", rows)],
        "insert" => vec![
            hits(rows).brace("rows", literal::rows(super::new(rows).map(|number| [number, 0].map(Literal::Number)))),
        ],
        "turn" => super::built(rows, tell_products::statements(Uuid::nil(), &told())),
        "list_turned" => super::built(rows, tell_products::statements(TELLING, &told())),
        _ => return None,
    })
}

pub(super) fn feed(verb: &str, at: At) -> Option<Vec<Sample>> {
    Some(match verb {
        "find" => once(at, hits(1)),
        "advance" if at.rows == 1 => built(1, counter::advance(0, 1)),
        "advance" => Vec::new(),
        "begin_epoch" => once(at, hits(1).bind("epoch", 1)),
        "secure" => once(at, page(1).bind("position", 1)),
        _ => return None,
    })
}
