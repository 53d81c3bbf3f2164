//! The samples with which every statement of `sql/` runs: one line per statement, for 1, 2 and [`MANY`] rows.

mod audit;
mod checkout;
mod clients;
mod ending;
mod endpoints;
mod feed;
mod limits;
mod owners;
mod payments;
mod tickets;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;
use holdfast::db::due::Place;
use holdfast::db::literal::{self, Literal, Text};
use holdfast::db::packets::OneTrip as _;
use holdfast::db::packets::counters::Counted;
use holdfast::db::packets::keys::Keys;
use holdfast::db::packets::pay_orders::{PayOrders, Success};
use holdfast::db::packets::place_orders::{Draft, PlaceOrders};
use holdfast::db::packets::take_carts::{Cart, CartLine, TakeCarts};
use holdfast::db::packets::take_holds::TakeHolds;
use holdfast::db::tables::holds::{self, Units};
use holdfast::db::tables::idempotency_keys::{IdempotentRequest, KeyId, Operation};
use holdfast::db::tables::orders::Order;
use holdfast::db::tables::products::Terms;
use holdfast::domain::retry::PROTECTING_ATTEMPTS;
use holdfast::domain::{Details, OrderStatus, OrderTickets, Owner, PaymentEvent, Sale};
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

fn key(number: i64) -> IdempotentRequest {
    let operation = if number % 2 == 0 { Operation::Hold } else { Operation::Order };
    IdempotentRequest::new(String::new(), operation, format!("key {number}"), [0; 32])
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
    take_for(BIG, rows, Sale::default())
}

/// The same for a product whose orders have a time of their own.
fn take_on_terms(rows: i64) -> Vec<String> {
    let sale = Sale { order_ttl_seconds: Some(60), ..Sale::default() };
    take_for(TIMED, rows, sale)
}

/// A product with terms of its own.
const TIMED: i64 = 3;

fn take_for(product_id: i64, rows: i64, sale: Sale) -> Vec<String> {
    let holds: Vec<(Uuid, i64)> = new(rows).map(|number| (hold(number), 1)).collect();
    let terms = Terms { price_minor: 4999, currency: "EUR".to_owned(), sale };
    let owners = holds.iter().map(|&(hold_id, _)| (hold_id, details())).collect();
    TakeHolds {
        product_id,
        terms: &terms,
        holds,
        owners,
        counted: Counted::default(),
        ttl_seconds: 120,
        keys: Keys::default(),
        is_second: false,
    }
    .statements()
}

/// Returns the packet of so many carts, each of its own product; `timed`: the first is a product with terms of its own.
fn take_carts(rows: i64, timed: bool) -> Vec<String> {
    let timed = timed.then(|| (TIMED, Sale { order_ttl_seconds: Some(60), ..Sale::default() }));
    take_carts_with(rows, timed)
}

/// The same with this product in the first cart.
fn take_carts_with(rows: i64, first: Option<(i64, Sale)>) -> Vec<String> {
    let line = |place: i64| {
        let first = first.clone().filter(|_| place == 0);
        let (product_id, sale) = first.unwrap_or_else(|| (PLAIN + place, Sale::default()));
        let terms = Arc::new(Terms { price_minor: 4999, currency: "EUR".to_owned(), sale });
        CartLine { product_id, qty: 1, terms, seats: None }
    };
    let cart =
        |place: i64| Cart { hold_id: hold(NEW + place), replaces: None, lines: vec![line(place)], ttl_seconds: 120 };
    let units = |number: i64| Units { hold_id: hold(number), product_id: product_of(number), qty: 1 };
    let old = |number: i64| holds::Counted { units: units(number), counters: [None; 3], has_seats: false };
    let packet = TakeCarts {
        carts: (0..rows).map(cart).collect(),
        owners: Vec::new(),
        replaced: some(&ACTIVE, rows).map(old).collect(),
        counted: Counted::default(),
        keys: Keys::default(),
    };
    packet.statements()
}

/// From this product on, none has terms but its price.
const PLAIN: i64 = 100_001;

/// Returns the owner of the holds and orders in samples.
fn details() -> Arc<Details> {
    let owner = Owner { client_id: Some(1), buyer: Some("buyer".into()) };
    Arc::new(Details { owner, reference: Some("reference".to_owned()), ..Details::default() })
}

fn place(rows: i64) -> Vec<String> {
    place_with(rows, |_| None)
}

/// The same with two times.
fn place_each(rows: i64) -> Vec<String> {
    place_with(rows, |number| (number != ACTIVE.start).then_some(60))
}

fn place_with(rows: i64, seconds: impl Fn(i64) -> Option<u64>) -> Vec<String> {
    place_all(some(&ACTIVE, rows).map(|number| Draft { ttl_seconds: seconds(number), ..draft(number) }))
}

fn place_all(drafts: impl Iterator<Item = Draft>) -> Vec<String> {
    PlaceOrders::new(drafts.collect(), 900, Keys::default()).statements()
}

fn draft(number: i64) -> Draft {
    Draft {
        order_id: order(number),
        chosen: true,
        hold_id: hold(number),
        hold_rows: 1,
        total_minor: 4999,
        currency: "EUR".to_owned(),
        details: Some(details()),
        ttl_seconds: None,
        held: Vec::new(),
        changes: 0,
        tickets: OrderTickets::None,
    }
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
        tickets: OrderTickets::None,
        client_id: 0,
    };
    let pairs: Vec<(PaymentEvent, Order)> = some(&PENDING, rows)
        .map(|number| (payment(fill::order(number), &format!("new {number}")), order(number)))
        .collect();
    let success = |(event, order)| Success { event_id: None, event, order, tickets: &[], processing: Duration::ZERO };
    let successes = pairs.iter().map(|(event, order)| success((event, order))).collect();
    PayOrders { successes, step: 1 }.statements()
}

/// An event in the inbox.
fn event(range: &Range<i64>) -> Sample {
    hits(1).bind("event_id", range.start)
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

/// Returns the samples of a statement; `None` when there are none yet.
pub(super) fn samples(name: &str, at: At) -> Option<Vec<Sample>> {
    let rows = at.rows;
    let (table, verb) = name.split_once('/')?;
    match table {
        "products" => checkout::products(verb, at)
            .or_else(|| limits::products(verb, at))
            .or_else(|| tickets::products(verb, at))
            .or_else(|| ending::products(verb, at)),
        "organizers" => tickets::organizers(verb, at),
        "events" => tickets::events(verb, at).or_else(|| ending::events(verb, at)),
        "event_cancellations" => ending::event_cancellations(verb, at),
        "due_refunds" => ending::due_refunds(verb, at),
        "seats" => tickets::seats(verb, at),
        "tickets" => tickets::issued(verb, at),
        "buyer_units" => limits::buyer_units(verb, at),
        "product_trail" => checkout::product_trail(verb, at),
        "holds" => checkout::holds(verb, at)
            .or_else(|| limits::holds(verb, at))
            .or_else(|| tickets::holds(verb, at))
            .or_else(|| ending::holds(verb, at)),
        "orders" => checkout::orders(verb, at).or_else(|| tickets::orders(verb, at)),
        "feed_batches" => feed::feed_batches(verb, at),
        "feed_products" => feed::feed_products(verb, at),
        "feed" => feed::feed(verb, at),
        "hold_owners" => owners::of_holds(verb, at),
        "order_owners" => owners::of_orders(verb, at),
        "order_events" => checkout::order_events(verb, at),
        "payment_events" => payments::payment_events(verb, at),
        "clients" => clients::clients(verb, at),
        "client_keys" => clients::client_keys(verb, at),
        "client_trail" => clients::client_trail(verb, at),
        "endpoints" => endpoints::endpoints(verb, at),
        "endpoint_trail" => endpoints::endpoint_trail(verb, at),
        "push_cursors" => endpoints::push_cursors(verb, at),
        "push_failures" => endpoints::push_failures(verb, at),
        "push_attempts" => endpoints::push_attempts(verb, at),
        "payment_event_operators" => clients::payment_event_operators(verb, at),
        "payment_event_trail" => payments::payment_event_trail(verb, at),
        "charges" => payments::charges(verb, at).or_else(|| ending::charges(verb, at)),
        "idempotency_keys" => checkout::keys(verb, at),
        "schema_migrations" => schema_migrations(verb, at),
        "payment_event_quarantines" => payments::quarantines(verb, at),
        "payment_event_deliveries" => payments::deliveries(verb, at),
        "payment_links" => payments::links(verb, at),
        "unmatched_objects" => payments::objects(verb, at),
        "audit" => audit::audit(verb, rows)
            .or_else(|| limits::audit(verb, at))
            .or_else(|| tickets::audit(verb, at))
            .or_else(|| ending::audit(verb, at)),
        "readiness" => Some(once(at, hits(0).brace("row", Literal::Number(1)))),
        _ => None,
    }
}

fn schema_migrations(verb: &str, at: At) -> Option<Vec<Sample>> {
    Some(match verb {
        "create" => once(at, hits(0)),
        "insert" => once(at, hits(1).bind("version", 4711).bind("name", "name")),
        "list" | "count_tables" | "find_latest" => once(at, hits(1)),
        _ => return None,
    })
}
