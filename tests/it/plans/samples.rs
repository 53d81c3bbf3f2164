//! How every statement of `sql/` is run here: one line per statement, for 1, 2 and [`MANY`] rows.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use chrono::NaiveDateTime;
use holdfast::db::idempotency_keys::{self, Keyed, Operation};
use holdfast::db::literal::{self, Literal};
use holdfast::db::orders::{Draft, Order};
use holdfast::db::payment_batch::{self, Success};
use holdfast::db::{holds, orders};
use holdfast::domain::{Event, OrderStatus};
use mysql_async::{Params, Value};
use uuid::Uuid;

use super::fill::{self, *};
use crate::support::payment;

/// More than MySQL looks up one by one before it trusts its statistics (200), and as many as a batch.
pub(super) const MANY: i64 = 1_000;

/// What a sample depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    /// How many rows it is for.
    pub(super) rows: i64,
    /// No open row has an earlier deadline.
    pub(super) oldest_open: NaiveDateTime,
}

/// A statement's placeholders and parameters.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    /// The text as the service builds it, where a function of the service does.
    packet: Vec<String>,
    /// The first id of the batch, as `payment_events/set_generated` takes it down.
    pub(super) generated: i64,
    braces: Vec<(&'static str, String)>,
    params: Vec<(&'static str, Value)>,
    /// How many rows it returns or changes at least; a sample that misses its rows proves nothing.
    pub(super) hits: i64,
    /// How many rows it is given to look at, whether it returns them or not.
    pub(super) page: i64,
}

impl Sample {
    fn brace(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.braces.push((name, text.into()));
        self
    }

    fn bind(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.params.push((name, value.into()));
        self
    }

    /// The text to run: `statement` with its braces filled.
    pub(super) fn text(&self, name: &str, statement: &str) -> String {
        if !self.packet.is_empty() {
            let heading = format!("-- {name}: ");
            let found = self.packet.iter().find(|text| text.starts_with(&heading));
            return found.unwrap_or_else(|| panic!("{name} is not in the packet of its sample")).clone();
        }
        let fill = |text: String, (name, value): &(&str, String)| text.replace(&format!("{{{name}}}"), value);
        self.braces.iter().fold(statement.to_owned(), fill)
    }

    /// The named parameters.
    pub(super) fn params(&self, text: &str) -> Params {
        let used = self.params.iter().filter(|(name, _)| text.contains(&format!(":{name}")));
        let used: HashMap<Vec<u8>, Value> =
            used.map(|(name, value)| (name.as_bytes().to_vec(), value.clone())).collect();
        if used.is_empty() { Params::Empty } else { Params::Named(used) }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let params: Vec<String> =
            self.params.iter().map(|(name, value)| format!(":{name} = {}", value.as_sql(true))).collect();
        write!(formatter, "{} rows", self.hits.max(self.page))?;
        if params.is_empty() { Ok(()) } else { write!(formatter, ", {}", params.join(", ")) }
    }
}

/// Returns or changes this many rows at least.
fn hits(rows: i64) -> Sample {
    Sample { hits: rows, ..Sample::default() }
}

/// Is given this many rows to look at, and may return none of them.
fn page(rows: i64) -> Sample {
    Sample { page: rows, ..Sample::default() }
}

/// One of the statements that a function of the service builds.
fn built(rows: i64, packet: impl IntoIterator<Item = String>) -> Vec<Sample> {
    vec![Sample { packet: packet.into_iter().collect(), generated: NEW, ..hits(rows) }]
}

/// The same sample at every count: the statement concerns one row.
fn once(at: At, sample: Sample) -> Vec<Sample> {
    if at.rows == 1 { vec![sample] } else { Vec::new() }
}

fn ids(of: fn(i64) -> Uuid, range: &Range<i64>, rows: i64) -> String {
    literal::list(some(range, rows).map(|number| Literal::Id(of(number))))
}

fn some(range: &Range<i64>, rows: i64) -> Range<i64> {
    assert!(range.end - range.start >= rows, "{range:?} has fewer rows than {rows}");
    range.start..range.start + rows
}

fn bytes(id: Uuid) -> Value {
    Value::from(id.as_bytes().as_slice())
}

/// From this number on there are no rows.
const NEW: i64 = 500_000;

fn new(rows: i64) -> Range<i64> {
    NEW..NEW + rows
}

fn key(number: i64) -> Keyed {
    let operation = if number % 2 == 0 { Operation::Hold } else { Operation::Order };
    Keyed::new("", operation, format!("key {number}"), [0; 32])
}

fn key_rows(range: Range<i64>) -> String {
    let keys: Vec<Keyed> = range.map(key).collect();
    literal::rows(keys.iter().map(|keyed| {
        let key = Literal::Bytes(keyed.key.as_bytes());
        [Literal::Bytes(keyed.scope.as_bytes()), Literal::name(keyed.operation), key]
    }))
}

fn take(rows: i64) -> [String; 4] {
    let holds: Vec<(Uuid, i64)> = new(rows).map(|number| (hold(number), 1)).collect();
    holds::take(BIG, &holds, 120)
}

fn place(rows: i64) -> [String; 5] {
    let draft = |number: i64| Draft {
        order_id: order(number),
        hold_id: hold(number),
        hold_rows: 1,
        total_minor: 4999,
        currency: "EUR".to_owned(),
    };
    let drafts: Vec<Draft> = some(&ACTIVE, rows).map(draft).collect();
    orders::place(&drafts, 900)
}

fn pay(rows: i64) -> [String; 7] {
    let order = |number: i64| Order {
        id: order(number),
        hold_id: hold(number),
        status: OrderStatus::Pending,
        total_minor: 4999,
        currency: "EUR".to_owned(),
        created_at: NaiveDateTime::default(),
        pay_by: NaiveDateTime::default(),
        refunded_minor: 0,
        refunded_currency: None,
        restocked: false,
    };
    let pairs: Vec<(Event, Order)> = some(&PENDING, rows)
        .map(|number| (payment(fill::order(number), &format!("new {number}")), order(number)))
        .collect();
    let success = |(event, order)| Success { event, order, processing: Duration::ZERO };
    let successes: Vec<Success<'_>> = pairs.iter().map(|(event, order)| success((event, order))).collect();
    payment_batch::pay(&successes)
}

/// An event in the inbox.
fn event(range: &Range<i64>) -> Sample {
    hits(1).bind("event_id", range.start)
}

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

/// A page of rows between two keys.
fn between(rows: i64, first: impl Into<Value>, last: impl Into<Value>) -> Sample {
    page(rows).bind("first", first).bind("last", last)
}

fn ids_between(of: fn(i64) -> Uuid, rows: i64) -> Vec<Sample> {
    // finished ones, and the border between finished and open ones
    let page = |first: i64| between(rows, bytes(of(first)), bytes(of(first + rows - 1)));
    vec![page(50_001), page(CANCELLED.end - rows / 2)]
}

fn numbers_between(rows: i64) -> Vec<Sample> {
    let page = |first: i64| between(rows, first, first + rows - 1);
    vec![page(50_001), page(REFUNDED.end - rows / 2), page(REFUND_DUE.start)]
}

/// Nothing of these holds and orders has an event in the inbox, or their parked events are ready.
fn waiting_for(rows: i64, range: &Range<i64>, sample: Sample) -> Sample {
    sample.brace("ids", ids(order, range, rows)).brace("hold_ids", ids(hold, range, rows))
}

/// The samples of a statement; `None` when there are none yet.
pub(super) fn samples(name: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let (table, verb) = name.split_once('/')?;
    match table {
        "products" => products(verb, at),
        "holds" => holds_(verb, at),
        "orders" => orders_(verb, at),
        "order_events" => order_events(verb, at),
        "payment_events" => payment_events(verb, at),
        "payment_event_trail" => payment_event_trail(verb, at),
        "charges" => charges(verb, at),
        "idempotency_keys" => keys(verb, at),
        "schema_migrations" => schema_migrations(verb, at),
        "audit" => audit(verb, rows),
        _ => None,
    }
}

fn products(verb: &str, at: At) -> Option<Vec<Sample>> {
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
        "find_terms" | "reserve" => built(1, take(rows)),
        "list" => vec![hits(rows).bind("after", 0).bind("limit", rows)],
        "list_some" => vec![hits(rows).brace("ids", numbers())],
        "insert" => once(at, made(500_000, 1)).into_iter().chain(once(at, made(1, 0))).collect(),
        "give_back" => {
            let cases = literal::cases((1..=rows).map(|id| (Literal::Number(id), Literal::Number(1))));
            vec![hits(rows).brace("cases", cases).brace("ids", numbers())]
        }
        _ => return None,
    })
}

fn holds_(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    Some(match verb {
        "set_terms" => built(0, take(rows)),
        "insert" => built(rows, take(rows)),
        "find" | "list_units" => vec![hits(rows).brace("ids", ids(hold, &PAID, rows))],
        "find_next_due" => once(at, hits(1).bind("from", at.oldest_open)),
        "find_supply" => vec![hits(rows).bind("product_id", BIG).bind("limit", rows).bind("from", at.oldest_open)],
        "list_due" => vec![hits(rows).bind("limit", rows).bind("from", at.oldest_open)],
        "list_due_of_product" => {
            vec![hits(rows).bind("product_id", BIG).bind("limit", rows).bind("from", at.oldest_open)]
        }
        "mark_ordered" => built(rows, place(rows)),
        "release" => once(at, hits(1).bind("hold_id", bytes(hold(ACTIVE.start)))),
        "settle" => vec![hits(rows).brace("ids", ids(hold, &PENDING, rows))],
        "expire" => {
            let row = |number| [Literal::Id(hold(number)), Literal::Number(product_of(number))];
            vec![hits(rows).brace("rows", literal::rows(some(&OVERDUE_HOLDS, rows).map(row)))]
        }
        "expire_overdue" => once(at, hits(1).bind("hold_id", bytes(hold(OVERDUE_HOLDS.start)))),
        _ => return None,
    })
}

fn orders_(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let one = |range: &Range<i64>| hits(1).bind("order_id", bytes(order(range.start)));
    Some(match verb {
        "set_terms" => built(0, place(rows)),
        "insert" => built(rows, place(rows)),
        "find_terms" => built(1, place(rows)),
        "find" => vec![hits(rows).brace("ids", ids(order, &PAID, rows))],
        "find_by_hold" => vec![hits(rows).brace("ids", ids(hold, &PAID, rows))],
        "find_next_due" => once(at, hits(1).bind("from", at.oldest_open)),
        "list_due" => vec![hits(rows).bind("limit", rows).bind("from", at.oldest_open)],
        "list_touched" => vec![
            hits(rows).brace("ids", ids(order, &PAID, rows)).brace("status", "pending"),
            page(rows).brace("ids", ids(order, &PENDING, rows)).brace("status", "pending"),
        ],
        "mark_paid" => once(at, one(&PENDING).bind("from", "pending")),
        "mark_all_paid" => built(rows, pay(rows)),
        "refund" => once(
            at,
            one(&PAID)
                .bind("status", "refunded")
                .bind("refunded_minor", 4999)
                .bind("restocked", true)
                .bind("refunded_before", 0),
        ),
        "cancel" => vec![hits(rows).brace("ids", ids(order, &PENDING, rows))],
        _ => return None,
    })
}

fn order_events(verb: &str, at: At) -> Option<Vec<Sample>> {
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

fn payment_events(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let list = |status: &str| hits(rows).bind("status", status).bind("after", 0).bind("limit", rows);
    let names =
        |sample: Sample, order_id: Value, hold_id: Value| sample.bind("order_id", order_id).bind("hold_id", hold_id);
    let key = |number: i64| Event::derived_key(holdfast::domain::Meaning::Succeeded, &format!("charge {number}"));
    Some(match verb {
        "insert" => once(at, received("new", 1)).into_iter().chain(once(at, received(&copied_key(1), 1))).collect(),
        "insert_applied" => built(rows, pay(rows)),
        "list_generated" => vec![Sample { generated: 1, ..hits(rows).brace("last", (rows - 1).to_string()) }],
        "set_generated" => built(0, pay(rows)),
        "find" | "find_all" => once(at, event(&PAID)),
        "find_by_key" => once(at, hits(1).bind("provider", "default").bind("idempotency_key", key(1))),
        "find_next_due" => once(at, hits(1).bind("from", at.oldest_open)),
        "list_ids" => {
            let keys: Vec<Vec<u8>> = some(&PAID, rows).map(key).collect();
            let row = |key| [Literal::Bytes(b"default"), Literal::Bytes(key)];
            vec![hits(rows).brace("rows", literal::rows(keys.iter().map(|key| row(key))))]
        }
        "list_due" => vec![hits(rows).bind("limit", rows).bind("from", at.oldest_open)],
        "list_ready" => vec![hits(rows).bind("limit", rows).bind("attempts", 5)],
        "list_waiting_for" => vec![
            waiting_for(rows, &CANCELLED, hits(rows / 2)),
            waiting_for(rows, &PENDING, page(2 * rows)),
            page(rows).brace("ids", ids(order, &PENDING, rows)).brace("hold_ids", "NULL"),
            page(rows).brace("ids", "NULL").brace("hold_ids", ids(hold, &PENDING, rows)),
        ],
        "count_open" => once(at, hits(1)),
        "count_waiting_successes" => {
            once(at, names(hits(1), bytes(order(CANCELLED.start)), bytes(hold(CANCELLED.start))))
                .into_iter()
                .chain(once(at, names(hits(1), bytes(order(CANCELLED.start)), Value::NULL)))
                .collect()
        }
        "claim" => once(at, event(&RECEIVED).bind("counted", 1)),
        "lease" => once(at, event(&RECEIVED).bind("attempts", 1).bind("pause_us", 1_000_000)),
        "park" => once(at, event(&RECEIVED).bind("processing_us", 1)),
        "postpone" => once(at, event(&PARKED).bind("pause_us", 1_000_000)),
        "bury" => once(at, event(&RECEIVED).bind("attempts", 1)),
        "replay" => once(at, event(&DEAD).bind("accept_amount", true)),
        "settle" => once(at, event(&RECEIVED).bind("status", "applied").bind("processing_us", 1)),
        "mark_refunded" | "mark_refund_done" => once(at, event(&REFUND_DUE)),
        "list_by_state" => ["parked", "refund_due", "quarantined", "dead", "applied"].map(list).to_vec(),
        "list_newest" => vec![hits(rows).bind("before", i64::MAX).bind("limit", rows)],
        "list_refunds_due" => vec![hits(rows).bind("after", i64::MIN).bind("limit", rows)],
        _ => return None,
    })
}

fn copied_key(number: i64) -> String {
    format!("succeeded\u{1f}charge {number}")
}

fn payment_event_trail(verb: &str, at: At) -> Option<Vec<Sample>> {
    let busy = || hits(at.rows).bind("event_id", BUSY_EVENT).bind("limit", at.rows);
    Some(match verb {
        "insert" => once(at, event(&PAID).bind("action", "replayed").bind("detail", "a note")),
        "list" => vec![busy()],
        _ => return None,
    })
}

fn charges(verb: &str, at: At) -> Option<Vec<Sample>> {
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
                .bind("status_before", "paid"),
        ),
        "mark_refund_done" => once(at, event(&REFUND_DUE)),
        "insert_refund_done" => once(at, charge(QUARANTINED.start)),
        _ => return None,
    })
}

fn keys(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    Some(match verb {
        "insert" => {
            let keys: Vec<(Keyed, Uuid)> = new(rows).map(|number| (key(number), order(number))).collect();
            built(rows, [idempotency_keys::insert_all(keys.iter().map(|(keyed, id)| (keyed, *id)))])
        }
        "list" => {
            let keys: Vec<String> = some(&KEYS, 2 * rows).step_by(2).map(|number| format!("key {number}")).collect();
            let list = literal::list(keys.iter().map(|key| Literal::Bytes(key.as_bytes())));
            vec![hits(rows).brace("scope", "x''").brace("operation", "'order'").brace("keys", list)]
        }
        "answer" => vec![hits(rows).brace("status", "pending").brace("rows", key_rows(some(&KEYS, rows)))],
        "delete" => vec![hits(rows).brace("rows", key_rows(some(&KEYS, rows)))],
        "delete_old" => vec![hits(rows).bind("limit", rows)],
        _ => return None,
    })
}

fn schema_migrations(verb: &str, at: At) -> Option<Vec<Sample>> {
    Some(match verb {
        "create" => once(at, hits(0)),
        "insert" => once(at, hits(1).bind("version", 4711).bind("name", "name")),
        "list" | "count_tables" | "find_latest" => once(at, hits(1)),
        _ => return None,
    })
}

fn audit(verb: &str, rows: i64) -> Option<Vec<Sample>> {
    let from = |first: Value| page(rows).bind("first", first).bind("limit", rows);
    let products = |sample: Sample| sample.bind("first_product", 1).bind("last_product", ROWS);
    Some(match verb {
        "find_time" => vec![hits(1)],
        "find_page_of_holds" => vec![from(bytes(Uuid::nil())), from(bytes(hold(100_000)))],
        "find_page_of_orders" => vec![from(bytes(Uuid::nil())), from(bytes(order(100_000)))],
        "find_page_of_order_events" | "find_page_of_payment_events" | "find_page_of_charges" => {
            vec![from(i64::MIN.into()), from(100_000.into())]
        }
        "list_products" => vec![hits(rows).bind("first", i64::MIN).bind("limit", rows)],
        "hold_order_mismatch" | "hold_returns_wrongly" | "hold_without_product" => ids_between(hold, rows),
        "sum_units" => ids_between(hold, rows).into_iter().map(products).collect(),
        "order_paid_twice"
        | "order_refund_mismatch"
        | "order_status_unexplained"
        | "order_without_charge"
        | "order_without_hold"
        | "trail_broken" => ids_between(order, rows),
        "applied_event_without_effect"
        | "charge_refund_mismatch"
        | "charge_status_mismatch"
        | "charge_without_event"
        | "event_never_due"
        | "event_settled_wrongly"
        | "success_dead"
        | "success_ignored_wrongly"
        | "success_without_charge"
        | "success_without_order"
        | "sum_charges"
        | "sum_waiting_successes"
        | "transition_event_mismatch"
        | "transition_not_allowed"
        | "transition_without_order" => numbers_between(rows),
        _ => return None,
    })
}
