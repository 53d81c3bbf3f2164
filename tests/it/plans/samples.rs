//! The samples with which every statement of `sql/` runs: one line per statement, for 1, 2 and [`MANY`] rows.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use chrono::{NaiveDateTime, TimeDelta};
use holdfast::db::due::Place;
use holdfast::db::literal::{self, Literal, Text};
use holdfast::db::packets::Packet as _;
use holdfast::db::packets::keys::Keys;
use holdfast::db::packets::pay_orders::{PayOrders, Success};
use holdfast::db::packets::place_orders::{Draft, PlaceOrders};
use holdfast::db::packets::take_holds::TakeHolds;
use holdfast::db::tables::idempotency_keys::{self, KeyId, Keyed, Operation};
use holdfast::db::tables::orders::Order;
use holdfast::db::tables::products::Terms;
use holdfast::domain::retry::PROTECTING_ATTEMPTS;
use holdfast::domain::{Event, OrderStatus};
use mysql_async::{Params, Value};
use uuid::Uuid;

use super::fill::{self, *};
use crate::support::payment;

/// More rows than MySQL looks up one by one before it uses its statistics (200), and as many as a batch has.
pub(super) const MANY: i64 = 1_000;

/// The conditions of a sample.
#[derive(Clone, Copy)]
pub(super) struct At<'world> {
    /// Number of rows that the sample is for.
    pub(super) rows: i64,
    /// Whether the late rows are settled.
    pub(super) settled: bool,
    /// The tables.
    pub(super) world: &'world World,
}

/// A statement's placeholders and parameters.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    /// The statements as the service builds them, if a function of the service does.
    packet: Vec<String>,
    /// The first id of the batch, which `LAST_INSERT_ID()` returns.
    pub(super) generated: i64,
    braces: Vec<(&'static str, Text)>,
    params: Vec<(&'static str, Value)>,
    /// The fewest rows that the statement returns or changes; a sample that misses its rows proves nothing.
    pub(super) hits: i64,
    /// Number of rows that the statement is given to look at, whether it returns them or not.
    pub(super) page: i64,
    /// Whether it begins at the head of an index, where entries are delete-marked in the second stage.
    pub(super) head: bool,
}

impl Sample {
    fn brace(mut self, name: &'static str, value: impl Into<Text>) -> Self {
        self.braces.push((name, value.into()));
        self
    }

    fn bind(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.params.push((name, value.into()));
        self
    }

    fn of_product(mut self, product_id: i64) -> Self {
        self.params.retain(|(name, _)| *name != "product_id");
        self.bind("product_id", product_id)
    }

    fn head(self) -> Self {
        Self { head: true, ..self }
    }

    fn page(self, page: i64) -> Self {
        Self { page, ..self }
    }

    /// Returns the text to run: `statement` with its braces filled.
    pub(super) fn text(&self, name: &str, statement: &str) -> String {
        if !self.packet.is_empty() {
            let heading = format!("-- {name}: ");
            let found = self.packet.iter().find(|text| text.starts_with(&heading));
            return found.unwrap_or_else(|| panic!("{name} is not in the packet of its sample")).clone();
        }
        let fill =
            |text: String, (name, value): &(&str, Text)| text.replace(&format!("{{{name}}}"), &value.to_string());
        self.braces.iter().fold(statement.to_owned(), fill)
    }

    /// Returns the named parameters.
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
        write!(formatter, "{} rows{}", self.hits.max(self.page), if self.head { ", from the head" } else { "" })?;
        if params.is_empty() { Ok(()) } else { write!(formatter, ", {}", params.join(", ")) }
    }
}

/// A sample that returns or changes at least this many rows.
fn hits(rows: i64) -> Sample {
    Sample { hits: rows, ..Sample::default() }
}

/// A sample that is given this many rows to look at, and may return none of them.
fn page(rows: i64) -> Sample {
    Sample { page: rows, ..Sample::default() }
}

/// The sample of a statement that a function of the service builds.
fn built(rows: i64, packet: impl IntoIterator<Item = String>) -> Vec<Sample> {
    vec![Sample { packet: packet.into_iter().collect(), generated: NEW, ..hits(rows) }]
}

/// The sample of a statement that concerns one row: it has none for more rows.
fn once(at: At, sample: Sample) -> Vec<Sample> {
    if at.rows == 1 { vec![sample] } else { Vec::new() }
}

fn ids(of: fn(i64) -> Uuid, range: &Range<i64>, rows: i64) -> Text {
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
const NEW: i64 = 600_000;

fn new(rows: i64) -> Range<i64> {
    NEW..NEW + rows
}

fn key(number: i64) -> Keyed {
    let operation = if number % 2 == 0 { Operation::Hold } else { Operation::Order };
    Keyed::new("", operation, format!("key {number}"), [0; 32])
}

fn key_ids(range: Range<i64>) -> Text {
    let mut keys: Vec<KeyId> = range.map(|number| key(number).id).collect();
    keys.sort_unstable();
    literal::list(keys.iter().map(|id| Literal::Bytes(id)))
}

/// Samples from the place that the service has reached and, in the second stage, from the head of the index, too.
fn from_place(at: At<'_>, look: impl Fn(Place) -> Sample) -> Vec<Sample> {
    let mut looks = vec![look(at.world.place(at.settled))];
    if at.settled {
        looks.push(look(Place::first()).head());
    }
    looks
}

/// A page of due rows.
fn window(at: At<'_>) -> Vec<Sample> {
    from_place(at, |Place { at: from, id, product_id }| {
        let sample = hits(at.rows).bind("from", from).bind("id", bytes(id)).bind("product_id", product_id);
        sample.bind("age", 5).bind("limit", at.rows).bind("protecting_attempts", PROTECTING_ATTEMPTS)
    })
}

fn literal_of(text: &str) -> Literal<'_> {
    Literal::Bytes(text.as_bytes())
}

fn texts(range: Range<i64>, word: &str) -> Text {
    let mut texts: Vec<String> = range.map(|number| format!("{word} {number}")).collect();
    texts.sort_unstable();
    literal::list(texts.iter().map(|text| Literal::Bytes(text.as_bytes())))
}

fn take(rows: i64) -> Vec<String> {
    let holds: Vec<(Uuid, i64)> = new(rows).map(|number| (hold(number), 1)).collect();
    let terms = Terms { price_minor: 4999, currency: "EUR".to_owned() };
    TakeHolds { product_id: BIG, terms: &terms, holds, ttl_seconds: 120, keys: Keys::default() }.statements()
}

fn place(rows: i64) -> Vec<String> {
    let draft = |number: i64| Draft {
        order_id: order(number),
        hold_id: hold(number),
        hold_rows: 1,
        total_minor: 4999,
        currency: "EUR".to_owned(),
    };
    let drafts: Vec<Draft> = some(&ACTIVE, rows).map(draft).collect();
    PlaceOrders::new(drafts, 900, Keys::default()).statements()
}

fn pay(rows: i64) -> Vec<String> {
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
    let success = |(event, order)| Success { event_id: None, event, order, processing: Duration::ZERO };
    let successes = pairs.iter().map(|(event, order)| success((event, order))).collect();
    PayOrders { successes, step: 1 }.statements()
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

/// A page of charges, which lie in the order of their names.
fn charges_between(rows: i64) -> Vec<Sample> {
    let page = |page: Sample, [first, last]: [String; 2], provider: &str| {
        page.bind("first_provider", "default")
            .bind("first_name", first)
            .bind("last_provider", provider)
            .bind("last_name", last)
    };
    let name = |number: i64| format!("charge {number}");
    let some = |first: i64| page(self::page(rows), [name(first), name(first + rows - 1)], "default");
    let rest = page(self::page(11), [name(9999), String::new()], &"\u{7f}".repeat(64));
    let first_page =
        page(self::page(rows), [String::new(), name(100_000 + rows)], "default").bind("first_provider", "");
    let mut pages = vec![some(150_001), some(REFUND_DUE.start)];
    if rows == 1 {
        pages.push(rest);
    }
    if rows == MANY {
        pages.push(first_page);
    }
    pages
}

/// A page of rows between two keys.
fn between(rows: i64, first: impl Into<Value>, last: impl Into<Value>) -> Sample {
    page(rows).bind("first", first).bind("last", last)
}

fn ids_between(of: fn(i64) -> Uuid, rows: i64) -> Vec<Sample> {
    // finished rows, and the border between finished and open rows
    let page = |first: i64| between(rows, bytes(of(first)), bytes(of(first + rows - 1)));
    vec![page(50_001), page(CANCELLED.end - rows / 2)]
}

fn numbers_between(rows: i64) -> Vec<Sample> {
    let page = |first: i64| between(rows, first, first + rows - 1).bind("all", true);
    vec![page(50_001), page(REFUNDED.end - rows / 2), page(REFUND_DUE.start), page(UNMATCHED.start)]
}

/// Lists for operators: from the head of an index, and of a time span, with ids from a second before it to a second after it.
fn listed(at: At<'_>, sample: &Sample, first_time: i64) -> Vec<Sample> {
    let Sample { hits, .. } = *sample;
    let range = |first: i64, last: i64, [from, to]: [Value; 2]| {
        let sample = sample.clone().bind("first", first).bind("last", last).bind("limit", at.rows);
        sample.bind("received_from", from).bind("received_to", to)
    };
    let always = ["1000-01-01 00:00:00", "9999-12-31 23:59:59"].map(Value::from);
    let time = [first_time, first_time + hits].map(|number| at.world.received_at(number).into());
    let near = range(first_time - 1_000, first_time + hits + 1_000, time).page(1_000);
    let both = [range(i64::MIN, i64::MAX, always).head(), near];
    let direction =
        |direction: &'static str| both.clone().map(|sample| sample.brace("direction", Literal::Code(direction)));
    ["ASC", "DESC"].map(direction).into_iter().flatten().collect()
}

/// Events that wait for these orders and holds: there are none, or they are parked and ready.
fn waiting_for(rows: i64, range: &Range<i64>, sample: Sample) -> Sample {
    sample.brace("ids", ids(order, range, rows)).brace("hold_ids", ids(hold, range, rows))
}

/// Returns the samples of a statement; `None` when there are none yet.
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
        "payment_event_quarantines" => quarantines(verb, at),
        "payment_event_deliveries" => deliveries(verb, at),
        "payment_links" => links(verb, at),
        "unmatched_objects" => objects(verb, at),
        "audit" => audit(verb, rows),
        "readiness" => Some(once(at, hits(0).brace("row", Literal::Number(1)))),
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
        "take" | "find_left" => built(1, take(rows)),
        "reserve" => once(at, hits(1).bind("product_id", BIG).bind("qty", 1)),
        "list" => vec![hits(rows).bind("after", 0).bind("limit", rows)],
        "list_some" | "list_reserved" => vec![hits(rows).brace("ids", numbers())],
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
        "insert" => built(rows, take(rows)),
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
        "settle" => vec![hits(rows).brace("ids", ids(hold, &PENDING, rows))],
        "expire" => {
            let ids = ids(hold, &OVERDUE_HOLDS, rows);
            let row = |number| [Literal::Id(hold(number)), Literal::Number(product_of(number))];
            vec![hits(rows).brace("ids", ids).brace("rows", literal::rows(some(&OVERDUE_HOLDS, rows).map(row)))]
        }
        "expire_overdue" => once(at, hits(1).bind("hold_id", bytes(hold(OVERDUE_HOLDS.start)))),
        _ => return None,
    })
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

fn orders_(verb: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let one = |range: &Range<i64>| hits(1).bind("order_id", bytes(order(range.start)));
    Some(match verb {
        "insert" => built(rows, place(rows)),
        "find_terms" => vec![hits(1).brace("order_id", Literal::Id(order(PAID.start)))],
        "find" => vec![hits(rows).brace("ids", ids(order, &PAID, rows))],
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
    let queue = |status: &str, first: i64| listed(at, &hits(rows).bind("status", status), first);
    let ready = |status: &str, after: i64| {
        page(rows).bind("status", status).bind("after", after).bind("limit", rows).bind("attempts", 5)
    };
    let lines =
        |range: &Range<i64>| vec![hits(rows).brace("ids", literal::list(some(range, rows).map(Literal::Number)))];
    let names = |sample: Sample, order_id: Value, hold_id: Value| {
        let sample = sample.bind("protecting_attempts", PROTECTING_ATTEMPTS);
        sample.bind("order_id", order_id).bind("hold_id", hold_id)
    };
    let key = |number: i64| Event::derived_key(holdfast::domain::Meaning::Succeeded, &format!("charge {number}"));
    Some(match verb {
        "insert" | "insert_settled" => {
            let new = once(at, received("new", 1)).into_iter().chain(once(at, received(&copied_key(1), 1)));
            new.map(|sample| sample.bind("status", "unmatched")).collect()
        }
        "insert_applied" => built(rows, pay(rows)),
        "list_generated" => vec![Sample { generated: 1, ..hits(rows).brace("last", Literal::Number(rows - 1)) }],
        "find" | "find_all" => once(at, event(&PAID)),
        "find_by_key" => once(at, hits(1).bind("provider", "default").bind("idempotency_key", key(1))),
        "find_next_due" => once(at, hits(1).bind("from", at.world.place(true).at)),
        "find_next" => once(at, hits(1).bind("id", 150_000)),
        "find_last" => once(at, hits(1)),
        "list_lines" => lines(&PAID).into_iter().chain(lines(&QUARANTINED)).collect(),
        "list_refunds" => lines(&REFUND_DUE),
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
        "list_ids_of_order" => {
            let of = |name: &'static str, value: Value| hits(rows).bind("status", "ignored").bind(name, value);
            listed(at, &of("order_id", bytes(order(BUSY_ORDER))), IGNORED.start + 1_000)
        }
        "list_ids_of_hold" => {
            let of = |name: &'static str, value: Value| hits(rows).bind("status", "ignored").bind(name, value);
            listed(at, &of("hold_id", bytes(hold(BUSY_ORDER))), IGNORED.end - 2_000)
        }
        _ => return None,
    })
}

fn copied_key(number: i64) -> String {
    format!("succeeded\u{1f}charge {number}")
}

fn quarantines(verb: &str, at: At) -> Option<Vec<Sample>> {
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

fn deliveries(verb: &str, at: At) -> Option<Vec<Sample>> {
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

fn links(verb: &str, at: At) -> Option<Vec<Sample>> {
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

fn objects(verb: &str, at: At) -> Option<Vec<Sample>> {
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

fn schema_migrations(verb: &str, at: At) -> Option<Vec<Sample>> {
    Some(match verb {
        "create" => once(at, hits(0)),
        "insert" => once(at, hits(1).bind("version", 4711).bind("name", "name")),
        "list" | "count_tables" | "find_latest" => once(at, hits(1)),
        _ => return None,
    })
}

fn audit(verb: &str, rows: i64) -> Option<Vec<Sample>> {
    let from = |first: Value| page(rows).bind("first", first).bind("offset", rows - 1).bind("limit", rows);
    let from_name = |provider: &str, name: &str| {
        page(rows).bind("first_provider", provider).bind("first_name", name).bind("offset", rows - 1)
    };
    Some(match verb {
        "find_time" => vec![hits(1)],
        "find_page_of_holds" => vec![from(bytes(Uuid::nil())), from(bytes(hold(100_000)))],
        "find_page_of_orders" => vec![from(bytes(Uuid::nil())), from(bytes(order(100_000)))],
        "find_page_of_charges" => vec![from_name("", ""), from_name("default", "charge 150001")],
        "find_page_of_order_events" | "find_page_of_payment_events" => {
            vec![from(i64::MIN.into()), from(100_000.into())]
        }
        "list_products" => vec![hits(rows).bind("first", i64::MIN).bind("limit", rows)],
        "count_statements" | "count_own_statements" => vec![hits(1)],
        "hold_deadline_too_late"
        | "hold_order_mismatch"
        | "hold_returns_wrongly"
        | "hold_without_product"
        | "sum_holds" => ids_between(hold, rows),
        "order_paid_twice"
        | "order_refund_mismatch"
        | "order_status_unexplained"
        | "order_without_charge"
        | "order_without_hold"
        | "order_deadline_too_late"
        | "sum_trails"
        | "sum_units"
        | "trail_broken" => ids_between(order, rows),
        "charge_refund_mismatch" | "charge_status_mismatch" | "charge_without_event" | "sum_charges" => {
            charges_between(rows)
        }
        "applied_event_without_effect"
        | "event_never_due"
        | "event_settled_wrongly"
        | "success_dead"
        | "success_ignored_wrongly"
        | "success_without_charge"
        | "success_without_order"
        | "sum_due_charges"
        | "sum_events"
        | "sum_transitions"
        | "sum_waiting_successes"
        | "transition_event_mismatch"
        | "transition_not_allowed"
        | "transition_without_order" => numbers_between(rows),
        _ => return None,
    })
}
