//! Samples of products, holds, orders and idempotency keys.

use std::ops::Range;

use chrono::{NaiveDateTime, TimeDelta};
use holdfast::db::due::Place;
use holdfast::db::literal::{self, Literal};
use holdfast::db::tables::idempotency_keys::{self, IdempotentRequest};
use holdfast::domain::retry::PROTECTING_ATTEMPTS;
use mysql_async::Value;
use uuid::Uuid;

use super::super::fill::*;
use super::{
    At, Sample, built, bytes, event, hits, ids, key, key_ids, new, once, page, pay, place, place_each, some, take,
    take_carts, take_on_terms, window,
};

pub(super) fn products(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let numbers = || literal::list((1..=rows).map(Literal::Number));
    let made = |product_id: i64, hit: i64| {
        hits(hit)
            .bind("product_id", product_id)
            .bind("name", "name")
            .bind("price_minor", 1)
            .bind("currency", "EUR")
            .bind("stock", 1)
    };
    Some(match verb {
        "take" | "find_left" => built(1, take(rows)),
        "reserve" => once(at, hits(1).bind("product_id", BIG).bind("qty", 1).bind("max_per_buyer", Value::NULL)),
        "list" => [0, 1000].map(|after| hits(rows).bind("after", after).bind("limit", rows)).to_vec(),
        "list_some" | "list_reserved" => vec![hits(rows).brace("ids", numbers())],
        "take_on_terms" | "find_left_on_terms" => built(1, take_on_terms(rows)),
        "take_all" | "find_left_of_all" => built(rows, take_carts(rows, false)),
        // a product of several replaced holds has one row
        "give_back_replaced" => built(1, take_carts(rows, false)),
        "list_by_sku" => vec![hits(rows).brace("skus", texts_of(1..=rows))],
        "insert_all" => {
            let row = |number: i64| {
                let words = [Literal::Number(number), Literal::Word("name"), Literal::Number(1), Literal::Word("EUR")];
                let [sku, name, price, currency] = words;
                let (status, null) = (Literal::Word("on_sale"), Literal::Null);
                [
                    sku,
                    name,
                    price,
                    currency,
                    status,
                    null,
                    null,
                    null,
                    null,
                    null,
                    null,
                    null,
                    null,
                    Literal::Number(1),
                    null,
                ]
            };
            vec![hits(rows).brace("rows", literal::rows((600_000..600_000 + rows).map(row)))]
        }
        "change" => once(at, changed(1, "product 1")),
        "change_stock" => {
            once(at, hits(1).bind("product_id", 1).bind("old_stock", 10_000_000).bind("stock", 10_000_001))
        }
        "insert" => once(at, made(500_000, 1)).into_iter().chain(once(at, made(1, 0))).collect(),
        "give_back" => {
            let cases = literal::cases((1..=rows).map(|id| (Literal::Number(id), Literal::Number(1))));
            vec![hits(rows).brace("cases", cases).brace("ids", numbers())]
        }
        _ => return None,
    })
}

fn texts_of(numbers: std::ops::RangeInclusive<i64>) -> literal::Text {
    let texts: Vec<String> = numbers.map(|number| format!("sku-{number}")).collect();
    literal::list(texts.iter().map(|text| Literal::Bytes(text.as_bytes())))
}

/// Another price for a product.
fn changed(product_id: i64, name: &'static str) -> Sample {
    let null = [
        "sale_starts_at",
        "sale_ends_at",
        "hold_ttl_seconds",
        "order_ttl_seconds",
        "max_qty",
        "max_per_buyer",
        "max_hold_seconds",
    ];
    let mut sample = hits(1).brace("product_id", Literal::Number(product_id)).brace("count_begins", Literal::Null);
    for (prefix, price) in [("", 5000), ("old_", 4999)] {
        let field = |field: &str| -> &'static str { format!("{prefix}{field}").leak() };
        sample = sample.brace(field("sku"), Literal::Word("sku-1")).brace(field("name"), Literal::Word(name));
        sample =
            sample.brace(field("price_minor"), Literal::Number(price)).brace(field("currency"), Literal::Word("EUR"));
        sample = sample.brace(field("status"), Literal::Word("on_sale")).brace(field("metadata"), Literal::Null);
        sample = null.iter().fold(sample, |sample, name| sample.brace(field(name), Literal::Null));
    }
    sample
}

pub(super) fn product_trail(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    Some(match verb {
        "insert" => {
            let row = |number: i64| {
                [
                    Literal::Number(number),
                    Literal::Id(hold(600_000)),
                    Literal::Number(number),
                    Literal::Word("operator"),
                    Literal::Word("stock"),
                    Literal::Null,
                    Literal::Word("{}"),
                    Literal::Null,
                ]
            };
            vec![hits(rows).brace("rows", literal::rows((1..=rows).map(row)))]
        }
        "list" => vec![hits(rows).bind("product_id", 1).bind("before", i64::MAX).bind("limit", rows)],
        "list_of_change" => once(at, hits(1).bind("change_id", bytes(id(3000, 4)))),
        _ => return None,
    })
}

pub(super) fn holds(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    Some(match verb {
        "insert" => built(rows, take(rows)),
        "list_ids" => {
            let list = hits(rows).bind("first", bytes(Uuid::nil())).bind("limit", rows);
            vec![list.clone().bind("behind", bytes(Uuid::max())), list.bind("behind", bytes(hold(PAID.end)))]
        }
        "insert_with_order_time" => built(rows, take_on_terms(rows)),
        // one order has one time
        "mark_ordered_each" if rows == 1 => Vec::new(),
        "mark_ordered_each" => built(rows, place_each(rows)),
        "find" | "list_units" => vec![hits(rows).brace("ids", ids(hold, &PAID, rows))],
        "find_next_due" => once(at, hits(1).bind("seen", at.world.place(true).at)),
        "find_supply" => {
            // the earliest rows, wherever they are
            vec![hits(rows).bind("product_id", BIG).bind("limit", rows).head()]
        }
        "find_supply_within" => supply_within(at),
        "list_due" => window(at),
        "list_due_of_product" => {
            // overdue orders of the product that are not cancelled yet lie before its holds, and are looked through
            let orders = if at.settled { 0 } else { LATE } + (OVERDUE_ORDERS.end - OVERDUE_ORDERS.start) / 2;
            window(at).into_iter().map(|sample| sample.of_product(BIG).page(orders)).collect()
        }
        "mark_ordered" => built(rows, place(rows)),
        "release" => once(at, hits(1).bind("hold_id", bytes(hold(ACTIVE.start)))),
        "release_all" => built(rows, take_carts(rows, false)),
        "settle" => vec![hits(rows).brace("ids", ids(hold, &PENDING, rows))],
        "expire" | "list_due_lines" => vec![hits(rows).brace("ids", ids(hold, &OVERDUE_HOLDS, rows))],
        "find_limits" => once(at, hits(1).bind("hold_id", bytes(hold(ACTIVE.start)))),
        "reduce" | "delete" => once(at, changed_hold()),
        "extend" => once(at, extended(at)),
        "return_later" => {
            let later = at.world.now + TimeDelta::seconds(7_200);
            once(at, hits(1).bind("hold_id", bytes(hold(PENDING.start))).bind("returns_at", later))
        }
        "expire_overdue" => once(at, hits(1).bind("hold_id", bytes(hold(OVERDUE_HOLDS.start)))),
        _ => return None,
    })
}

/// A hold that keeps its units, and whose row is removed then.
fn changed_hold() -> Sample {
    let product_id = Literal::Number(product_of(ACTIVE.start));
    let cases = literal::cases([(product_id, Literal::Number(1))]);
    let sample = hits(1).brace("hold_id", Literal::Id(hold(ACTIVE.start))).brace("changes", Literal::Number(0));
    sample.brace("cases", cases).brace("product_ids", product_id)
}

/// When the active hold and the pending order with this number run out.
fn later_at(at: At<'_>, number: i64) -> NaiveDateTime {
    at.world.now + TimeDelta::seconds(3_600) + TimeDelta::milliseconds(number)
}

/// A later deadline of a hold.
fn extended(at: At<'_>) -> Sample {
    let before = later_at(at, ACTIVE.start);
    let sample = hits(1).bind("hold_id", bytes(hold(ACTIVE.start))).bind("changes", 0);
    sample.bind("expires_before", before).bind("expires_at", before + TimeDelta::seconds(1))
}

/// A later deadline of an order.
fn later_order(at: At<'_>) -> Sample {
    let before = later_at(at, PENDING.start);
    let sample = hits(1).bind("order_id", bytes(order(PENDING.start)));
    sample.bind("pay_before", before).bind("pay_by", before + TimeDelta::seconds(1))
}

/// The ranges that a refusal reads after a slow one: the rows that were found, those due since, and where new ones can be. When
/// there may be more rows, it reads everything behind the last row that was found.
fn supply_within(at: At<'_>) -> Vec<Sample> {
    let found: Vec<i64> = OVERDUE_ORDERS.filter(|&number| product_of(number) == BIG).take(at.rows as usize).collect();
    let point = |&number: &i64| {
        let at = at.world.overdue_at(number);
        (at, Some(at))
    };
    let front = |ttl: i64| {
        let now = at.world.now + TimeDelta::seconds(ttl);
        (now - TimeDelta::seconds(5), Some(now + TimeDelta::seconds(6)))
    };
    let points: Vec<_> = found.iter().map(point).collect();
    let complete: Vec<_> = points.iter().copied().chain([0, 120, 900].map(front)).collect();
    let last = found.last().map(|&number| (at.world.overdue_at(number), None));
    let open: Vec<_> = points.iter().take(points.len() - 1).copied().chain(last).collect();
    let sample = |ranges: Vec<_>| {
        let sample = hits(at.rows).brace("product_id", Literal::Number(BIG)).brace("limit", Literal::Number(at.rows));
        // each range is a lookup of its own
        sample.brace("ranges", literal::within("returns_at", &ranges)).page(at.rows)
    };
    vec![sample(complete), sample(open)]
}

pub(super) fn orders(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let one = |range: &Range<i64>| hits(1).bind("order_id", bytes(order(range.start)));
    Some(match verb {
        "insert" => built(rows, place(rows)),
        "find_terms" => vec![hits(1).brace("order_id", Literal::Id(order(PAID.start)))],
        "find" | "find_placed" | "list_items" => vec![hits(rows).brace("ids", ids(order, &PAID, rows))],
        "list_ids_by_age" => super::owners::places(at).into_iter().map(|list| list.bind("status", "paid")).collect(),
        "find_by_hold" => vec![hits(rows).brace("ids", ids(hold, &PAID, rows))],
        "find_next_due" => {
            let seen = hits(1).bind("seen", at.world.place(true).at);
            once(at, seen.bind("protecting_attempts", PROTECTING_ATTEMPTS))
        }
        "list_due" => window(at),
        "list_touched" => vec![
            hits(rows).brace("ids", ids(order, &PAID, rows)).brace("status", Literal::Word("pending")),
            page(rows).brace("ids", ids(order, &PENDING, rows)).brace("status", Literal::Word("pending")),
        ],
        "mark_paid" => once(at, one(&PENDING).bind("from", "pending")),
        "mark_all_paid" => built(rows, pay(rows)),
        "refund" => once(
            at,
            one(&PAID)
                .bind("status", "refunded")
                .bind("refunded_minor", 4999)
                .bind("refunded_currency", Value::NULL)
                .bind("restocked", true)
                .bind("refunded_before", 0),
        ),
        "count_failed_attempt" => once(at, one(&PENDING).bind("limit", 20)),
        "cancel" => vec![hits(rows).brace("ids", ids(order, &PENDING, rows))],
        "recount" => vec![hits(rows).brace("ids", ids(order, &PAID, rows))],
        "cancel_overdue" => vec![hits(rows).brace("ids", ids(order, &OVERDUE_ORDERS, rows))],
        "extend" => once(at, later_order(at)),
        _ => return None,
    })
}

pub(super) fn order_events(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    Some(match verb {
        "insert" => built(rows, place(rows)),
        "insert_all_paid" => built(rows, pay(rows)),
        "insert_for_payment" => once(
            at,
            event(&PAID)
                .bind("order_id", bytes(order(1)))
                .bind("from_status", "pending")
                .bind("to_status", "paid")
                .bind("reason", "payment_succeeded"),
        ),
        "list" => once(at, hits(2).bind("order_id", bytes(order(1)))),
        _ => return None,
    })
}

pub(super) fn keys(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    Some(match verb {
        "insert" => {
            let keys: Vec<(IdempotentRequest, Uuid)> = new(rows).map(|number| (key(number), order(number))).collect();
            built(rows, [idempotency_keys::insert_all(keys.iter().map(|(keyed, id)| (keyed, *id)))])
        }
        "list" => vec![hits(rows).brace("ids", key_ids(some(&KEYS, rows)))],
        "answer" => vec![hits(rows).brace("status", Literal::Word("pending")).brace("ids", key_ids(some(&KEYS, rows)))],
        "delete" => vec![hits(rows).brace("ids", key_ids(some(&KEYS, rows)))],
        "list_old" => {
            let seen = |from: NaiveDateTime| hits(rows).bind("from", from).bind("limit", rows);
            // the last row of an earlier page; after a restart of the service there is none
            let moved = if at.settled { at.world.now - TimeDelta::hours(60) } else { Place::first().at };
            let mut looks = vec![seen(moved)];
            if at.settled {
                looks.push(seen(Place::first().at).head());
            }
            looks
        }
        _ => return None,
    })
}
