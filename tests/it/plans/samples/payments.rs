//! Samples of payment events, charges and links.

use std::ops::Range;

use chrono::NaiveDateTime;
use holdfast::db::literal::{self, Literal};
use holdfast::domain::PaymentEvent;
use holdfast::domain::retry::PROTECTING_ATTEMPTS;
use mysql_async::Value;

use super::super::fill::*;
use super::{
    At, Sample, built, bytes, event, hits, ids, listed, literal_of, new, once, page, pay, some, texts, window,
};

fn received(key: &str, number: i64) -> Sample {
    let empty = ["hold_id", "amount", "currency", "provider_timestamp", "source", "correlation_id"];
    let sample = hits(1)
        .bind("provider", "default")
        .bind("idempotency_key", key)
        .bind("fingerprint", vec![0_u8; 32])
        .bind("meaning", "succeeded")
        .bind("order_id", bytes(order(number)))
        .bind("txn_id", "new charge")
        .bind("restock", false)
        .bind("cumulative", false)
        .bind("headers", "")
        .bind("body", "{}")
        .bind("attempts", 1)
        .bind("pause_us", 1_000_000)
        .bind("park_seconds", 86_400);
    empty.into_iter().fold(sample, |sample, name| sample.bind(name, Value::NULL))
}

fn charge(event: i64) -> Sample {
    hits(1)
        .bind("event_id", event)
        .bind("order_id", bytes(order(1)))
        .bind("hold_id", bytes(hold(1)))
        .bind("status", "paid")
        .bind("amount_minor", 4999)
        .bind("currency", "EUR")
}

/// Events that wait for these orders and holds: there are none, or they are parked and ready.
fn waiting_for(rows: i64, range: &Range<i64>, sample: Sample) -> Sample {
    sample.brace("ids", ids(order, range, rows)).brace("hold_ids", ids(hold, range, rows))
}

pub(super) fn payment_events(verb: &str, at: At) -> Option<Vec<Sample>> {
    if verb.starts_with("list_ids_") {
        event_lists(verb, at)
    } else {
        event_reads(verb, at).or_else(|| event_writes(verb, at))
    }
}

fn event_lists(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let queue = |status: &str, first: i64| listed(at, &hits(rows).bind("status", status), first);
    let of = |name: &'static str, value: Value| hits(rows).bind("status", "ignored").bind(name, value);
    Some(match verb {
        "list_ids_by_state" => [
            ("parked", PARKED.start + 1_000),
            ("refund_due", REFUND_DUE.start + 1_000),
            ("quarantined", QUARANTINED.start + 500),
            ("dead", DEAD.start + 500),
            ("applied", 100_000),
        ]
        .into_iter()
        .flat_map(|(status, first)| queue(status, first))
        .collect(),
        "list_ids_by_age" => listed(at, &hits(rows), 100_000),
        "list_ids_of_order" => listed(at, &of("order_id", bytes(order(BUSY_ORDER))), IGNORED.start + 1_000),
        "list_ids_of_hold" => listed(at, &of("hold_id", bytes(hold(BUSY_ORDER))), IGNORED.end - 2_000),
        _ => return None,
    })
}

fn event_reads(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let ready = |status: &str, after: i64| {
        page(rows).bind("status", status).bind("after", after).bind("limit", rows).bind("attempts", 5)
    };
    let lines =
        |range: &Range<i64>| vec![hits(rows).brace("ids", literal::list(some(range, rows).map(Literal::Number)))];
    let names = |sample: Sample, order_id: Value, hold_id: Value| {
        let sample = sample.bind("protecting_attempts", PROTECTING_ATTEMPTS);
        sample.bind("order_id", order_id).bind("hold_id", hold_id)
    };
    let key =
        |number: i64| PaymentEvent::derived_key(holdfast::domain::Meaning::Succeeded, &format!("charge {number}"));
    Some(match verb {
        "list_generated" => vec![Sample { generated: 1, ..hits(rows).brace("last", Literal::Number(rows - 1)) }],
        "find" | "find_all" => once(at, event(&PAID)),
        "find_by_key" => once(at, hits(1).bind("provider", "default").bind("idempotency_key", key(1))),
        "find_next_due" => once(at, hits(1).bind("from", at.world.place(true).at)),
        "find_next" => once(at, hits(1).bind("id", 150_000)),
        "find_last" => once(at, hits(1)),
        "list_lines" => lines(&PAID).into_iter().chain(lines(&QUARANTINED)).collect(),
        "list_refunds" => lines(&REFUND_DUE),
        "list_holds" => [&PAID, &READY].map(|range| page(rows).brace("ids", ids(hold, range, rows))).to_vec(),
        "list_ids" => {
            let keys: Vec<Vec<u8>> = some(&PAID, rows).map(key).collect();
            let row = |key| [Literal::Bytes(b"default"), Literal::Bytes(key)];
            vec![hits(rows).brace("rows", literal::rows(keys.iter().map(|key| row(key))))]
        }
        "list_due" => window(at),
        "list_ready" => vec![
            ready("parked", i64::MIN).head(),
            ready("parked", READY.start - 1),
            ready("dead", i64::MIN),
            ready("received", RECEIVED.end),
        ],
        "list_waiting_for" => vec![
            waiting_for(rows, &CANCELLED, hits(rows / 2)),
            waiting_for(rows, &PENDING, page(2 * rows)),
            page(rows).brace("ids", ids(order, &PENDING, rows)).brace("hold_ids", Literal::Null),
            page(rows).brace("ids", Literal::Null).brace("hold_ids", ids(hold, &PENDING, rows)),
        ],
        "count_open" | "count_unmatched_successes" => once(at, hits(1)),
        "count_waiting_successes" => {
            once(at, names(hits(1), bytes(order(CANCELLED.start)), bytes(hold(CANCELLED.start))))
                .into_iter()
                .chain(once(at, names(hits(1), bytes(order(CANCELLED.start)), Value::NULL)))
                .collect()
        }
        _ => return None,
    })
}

fn event_writes(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    Some(match verb {
        "insert" | "insert_settled" => {
            let new = once(at, received("new", 1)).into_iter().chain(once(at, received(&copied_key(1), 1)));
            new.map(|sample| sample.bind("status", "unmatched")).collect()
        }
        "insert_applied" => built(rows, pay(rows)),
        "claim" => once(at, event(&RECEIVED).bind("counted", 1)),
        "lease" => once(at, event(&RECEIVED).bind("attempts", 1).bind("pause_us", 1_000_000)),
        "lease_all" | "list_leased" => {
            let ids: Vec<i64> = some(&RECEIVED, rows).collect();
            let packet = holdfast::db::tables::payment_events::lease_all(&ids, NaiveDateTime::default());
            vec![Sample { packet: packet.to_vec(), ..page(rows) }]
        }
        "mark_all_applied" => {
            let ids = literal::list(some(&RECEIVED, rows).map(Literal::Number));
            vec![hits(rows).brace("ids", ids).brace("processing_us", Literal::Count(1))]
        }
        "park" => once(at, event(&RECEIVED).bind("processing_us", 1)),
        "postpone" => once(at, event(&PARKED).bind("pause_us", 1_000_000)),
        "bury" => once(at, event(&RECEIVED).bind("attempts", 1)),
        "replay" => once(at, event(&DEAD).bind("accept_amount", true)),
        "settle" => once(at, event(&RECEIVED).bind("status", "applied").bind("processing_us", 1)),
        "mark_refunded" | "mark_refund_done" => once(at, event(&REFUND_DUE)),
        "dismiss" => once(at, event(&QUARANTINED_FAILURES)),
        "match" => once(
            at,
            event(&UNMATCHED)
                .bind("order_id", bytes(order(1)))
                .bind("hold_id", Value::NULL)
                .bind("txn_id", "charge")
                .bind("park_seconds", 86_400),
        ),
        _ => return None,
    })
}

fn copied_key(number: i64) -> String {
    format!("succeeded\u{1f}charge {number}")
}

pub(super) fn quarantines(verb: &str, at: At) -> Option<Vec<Sample>> {
    let reason = |range: &Range<i64>| {
        event(range)
            .bind("reason", "currency_mismatch")
            .bind("expected", "EUR")
            .bind("got", "USD")
            .bind("note", "a note")
    };
    Some(match verb {
        "insert" | "dismiss" => once(at, reason(&QUARANTINED)).into_iter().chain(once(at, reason(&DEAD))).collect(),
        "find_dismissal" => once(at, event(&QUARANTINED)),
        _ => return None,
    })
}

pub(super) fn deliveries(verb: &str, at: At) -> Option<Vec<Sample>> {
    let answer = |range: &Range<i64>| event(range).bind("answer", "applied");
    let null = |name: &'static str| move |sample: Sample| sample.bind(name, Value::NULL);
    Some(match verb {
        "insert" => once(at, answer(&PAID)).into_iter().chain(once(at, answer(&DEAD))).collect(),
        "correct" => once(at, answer(&PARKED)),
        "list" => once(at, hits(100).bind("event_id", BUSY_EVENT)),
        "list_ids_of_charge" => {
            let of = hits(at.rows).bind("charge", BUSY_CHARGE);
            let open = listed(at, &of, OF_BUSY_CHARGE.start + 500);
            let narrow =
                open.clone().into_iter().map(|sample| sample.bind("provider", "default").bind("status", "applied"));
            open.into_iter().map(null("provider")).map(null("status")).chain(narrow).collect()
        }
        _ => return None,
    })
}

pub(super) fn links(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    Some(match verb {
        "insert" => {
            let links = |range: Range<i64>| {
                let objects: Vec<String> = range.map(|number| format!("object {number}")).collect();
                literal::rows(objects.iter().map(|object| {
                    let [provider, object, charge] = ["default", object, "charge"].map(literal_of);
                    [provider, object, charge, Literal::Id(order(1)), Literal::Null]
                }))
            };
            vec![hits(rows).brace("rows", links(new(rows))), page(rows).brace("rows", links(some(&PAID, rows)))]
        }
        "list" => {
            let of = |sample: Sample, range: Range<i64>, word: &str| {
                sample.brace("provider", literal_of("default")).brace("ids", texts(range, word))
            };
            vec![
                of(hits(rows), some(&PAID, rows), "object"),
                of(hits(rows), some(&PAID, rows), "charge"),
                of(page(rows), new(rows), "object"),
            ]
        }
        _ => return None,
    })
}

pub(super) fn objects(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let waiting = |sample: Sample, range: Range<i64>| {
        sample.brace("provider", literal_of("default")).brace("ids", texts(range, "unmatched"))
    };
    let list = |after: i64| hits(rows).bind("after", after).bind("limit", rows);
    Some(match verb {
        "delete" => once(at, event(&UNMATCHED)),
        "list_of_event" => once(at, event(&UNMATCHED)),
        "list_page" => vec![list(i64::MIN).head(), list(UNMATCHED.start)],
        "list_waiting" => {
            vec![waiting(hits(rows.min(100)), some(&UNMATCHED, rows)), waiting(page(rows), new(rows))]
        }
        _ => return None,
    })
}

pub(super) fn payment_event_trail(verb: &str, at: At) -> Option<Vec<Sample>> {
    let busy = || hits(at.rows).bind("event_id", BUSY_EVENT).bind("limit", at.rows);
    Some(match verb {
        "insert" => once(at, event(&PAID).bind("action", "replayed").bind("detail", "a note")),
        "list" => vec![busy()],
        _ => return None,
    })
}

pub(super) fn charges(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let provider = || hits(1).bind("provider", "default");
    let named = || provider().bind("name", "charge 1");
    Some(match verb {
        "insert" => once(at, charge(READY.start)),
        "insert_all_paid" => built(rows, pay(rows)),
        "count_paid" => once(at, provider().bind("order_id", bytes(order(1)))),
        "find" => once(at, named()),
        "list_of" => once(at, provider().bind("order_id", bytes(order(1))).bind("hold_id", bytes(hold(1))))
            .into_iter()
            .chain(once(at, provider().bind("order_id", bytes(order(1))).bind("hold_id", Value::NULL)))
            .collect(),
        "refund" => once(
            at,
            named()
                .bind("refunded_minor", 4999)
                .bind("status", "refunded")
                .bind("restock", false)
                .bind("refunded_before", 0)
                .bind("status_before", "paid")
                .bind("due_refunds", 0),
        ),
        "mark_refund_done" => once(at, event(&REFUND_DUE)),
        "insert_refund_done" => once(at, charge(QUARANTINED.start)),
        _ => return None,
    })
}
