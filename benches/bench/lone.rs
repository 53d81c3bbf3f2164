//! Each step of a sale on an idle service over one connection, beside one guarded transaction of the same rows on a bare
//! connection. The transactions consist of the statements of the service's own packets, of which strategy d sends the first as
//! well: `BEGIN` and all statements in one packet, then what the feed is told, and `COMMIT`. They read nothing before, so they
//! are the least that a step can take.

use std::future::Future;
use std::time::Duration;

use chrono::NaiveDateTime;
use holdfast::checkout::{Checkout, Policy};
use holdfast::db::Database;
use holdfast::db::door::Reply;
use holdfast::db::packets::OneTrip;
use holdfast::db::packets::counters::Counted;
use holdfast::db::packets::keys::Keys;
use holdfast::db::packets::pay_orders::{PayOrders, Success};
use holdfast::db::packets::place_orders::{Draft, PlaceOrders};
use holdfast::db::packets::take_holds::TakeHolds;
use holdfast::db::tables::orders::Order;
use holdfast::db::told::Told;
use holdfast::domain::{Meaning, OrderStatus, OrderTickets, PaymentEvent, Reference, mint_id};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::time::Instant;
use uuid::Uuid;

use crate::Plan;
use crate::client::Client;
use crate::connections::connect;
use crate::database::{CURRENCY, Ground, PLENTY, PRICE_MINOR, terms};
use crate::http::{AMOUNT, Flow, payment};
use crate::report::{self, Bounds, Target};
use crate::service::Served;

const STEPS: [&str; 3] = ["hold", "order", "payment"];
/// Sales of one side before the other side has its turn.
const TURN: usize = 8;
/// Lifetime of the holds and orders of both sides.
const TTL_SECONDS: u64 = 86_400;

/// The times of the three steps of one sale.
type Steps = [Duration; STEPS.len()];

/// One of the two sides.
trait Side: Send + 'static {
    /// Sells a unit.
    fn sell(&mut self) -> impl Future<Output = Steps> + Send;
}

/// Measures both sides in turns.
pub(crate) async fn run(ground: &Ground, plan: &Plan, bounds: &mut Bounds) {
    report::heading("one step at a time over one connection, beside one guarded transaction of the same rows");
    ground.clear().await;
    let served = Served::start(ground, plan).await;
    let mut over_http = Flow::new(Client::connect(served.address).await, ground.product(PLENTY).await);
    let mut direct = Direct::open(ground).await;
    let (warm_up, duration) = (plan.warm_up, plan.duration * 2 * STEPS.len() as u32);
    let measured = tokio::spawn(async move {
        let warm = alternate(&mut over_http, &mut direct, warm_up).await;
        (warm[0].len(), alternate(&mut over_http, &mut direct, duration).await)
    });
    let (warm, sales) = measured.await.expect("both sides sell");
    served.stop().await;
    check(ground, 2 * (warm + sales[0].len())).await;
    compare(&sales, bounds);
}

/// Lets both sides sell in turns for so long. Returns the sales of each.
async fn alternate(one: &mut impl Side, other: &mut impl Side, duration: Duration) -> [Vec<Steps>; 2] {
    let mut sales = [Vec::new(), Vec::new()];
    let begin = Instant::now();
    while begin.elapsed() < duration {
        for _ in 0..TURN {
            sales[0].push(one.sell().await);
        }
        for _ in 0..TURN {
            sales[1].push(other.sell().await);
        }
    }
    sales
}

/// Prints the medians of each step and adds their ratios.
fn compare(sales: &[Vec<Steps>; 2], bounds: &mut Bounds) {
    report::line("step", &["sales", "p50", "direct p50", "ratio"]);
    let count = report::whole(sales[0].len() as f64);
    for (step, name) in STEPS.into_iter().enumerate() {
        let [over_http, direct] = [&sales[0], &sales[1]].map(|sales| {
            let mut times: Vec<Duration> = sales.iter().map(|steps| steps[step]).collect();
            times.sort_unstable();
            times[times.len() / 2]
        });
        let ratio = over_http.as_secs_f64() / direct.as_secs_f64();
        let [p50, direct] = [over_http, direct].map(report::short);
        report::line(name, &[&count, &p50, &direct, &format!("{ratio:.2}")]);
        bounds.add(format!("lone {name}'s p50 / one guarded transaction"), Some(ratio), Target::AtMost(1.25));
    }
}

/// Checks that both sides stored the same rows for each of their sales, and that an audit finds nothing wrong with them.
async fn check(ground: &Ground, sales: usize) {
    let sales = sales as i64;
    for (rows, table) in [
        (sales, "holds WHERE status = 'ordered' AND returns_at IS NULL"),
        (sales, "orders WHERE status = 'paid'"),
        (2 * sales, "order_events"),
        (2 * sales, "feed_batches"),
        (sales, "payment_events WHERE status = 'applied'"),
        (sales, "charges"),
        (0, "idempotency_keys"),
        (0, "payment_event_deliveries"),
        (0, "payment_event_trail"),
    ] {
        assert_eq!(ground.value::<i64>(&format!("SELECT COUNT(*) FROM {table}")).await, rows, "{table}");
    }
    for (columns, table) in [
        ("qty, unit_price_minor, currency", "holds"),
        ("total_minor, currency", "orders"),
        ("amount_minor, currency", "charges"),
        ("LENGTH(idempotency_key), amount, LENGTH(txn_id), headers, LENGTH(body), attempts", "payment_events"),
    ] {
        let kinds: i64 = ground.value(&format!("SELECT COUNT(DISTINCT {columns}) FROM {table}")).await;
        assert_eq!(kinds, 1, "both sides store the same in {table}");
    }
    let checkout = Checkout::new(Database::new(ground.opts.clone(), 1), Policy::default());
    let audit = checkout.audit().await.expect("an audit");
    checkout.database().close().await;
    assert!(audit.is_clean(), "{:?}", audit.findings);
}

/// Returns the times between four moments.
fn steps([begin, held, ordered, paid]: [Instant; 4]) -> Steps {
    [held - begin, ordered - held, paid - ordered]
}

impl Side for Flow {
    async fn sell(&mut self) -> Steps {
        let begin = Instant::now();
        let hold_id = self.take().await;
        let held = Instant::now();
        let order_id = self.order(&hold_id).await;
        let ordered = Instant::now();
        self.pay(&order_id).await;
        steps([begin, held, ordered, Instant::now()])
    }
}

/// One transaction for each step, on one connection.
struct Direct {
    conn: Conn,
    product_id: i64,
    /// By how much generated ids differ on this server.
    id_step: u64,
}

impl Side for Direct {
    async fn sell(&mut self) -> Steps {
        let (hold_id, order_id) = (mint_id(), mint_id());
        let begin = Instant::now();
        self.take(hold_id).await;
        let held = Instant::now();
        self.order(hold_id, order_id).await;
        let ordered = Instant::now();
        self.pay(hold_id, order_id).await;
        steps([begin, held, ordered, Instant::now()])
    }
}

impl Direct {
    async fn open(ground: &Ground) -> Self {
        let id_step = ground.value("SELECT @@auto_increment_increment").await;
        Self { conn: connect(&ground.opts).await, product_id: ground.product(PLENTY).await, id_step }
    }

    async fn take(&mut self, hold_id: Uuid) {
        let (product_id, terms, holds) = (self.product_id, &terms(), vec![(hold_id, 1)]);
        self.commit(&TakeHolds {
            product_id,
            terms,
            holds,
            owners: Vec::new(),
            counted: Counted::default(),
            ttl_seconds: TTL_SECONDS,
            keys: Keys::default(),
            is_second: false,
        })
        .await;
    }

    async fn order(&mut self, hold_id: Uuid, order_id: Uuid) {
        let currency = CURRENCY.to_owned();
        let draft = Draft {
            order_id,
            chosen: false,
            hold_id,
            hold_rows: 1,
            total_minor: PRICE_MINOR,
            currency,
            details: None,
            ttl_seconds: None,
            held: Vec::new(),
            changes: 0,
            tickets: OrderTickets::None,
        };
        self.commit(&PlaceOrders::new(vec![draft], TTL_SECONDS, Keys::default())).await;
    }

    async fn pay(&mut self, hold_id: Uuid, order_id: Uuid) {
        let (event, order) = (&event(order_id), &order(hold_id, order_id));
        let success = Success { event_id: None, event, order, tickets: &[], processing: Duration::ZERO };
        self.commit(&PayOrders { successes: vec![success], step: self.id_step }).await;
    }

    /// Sends a packet, reads its replies, and commits with what the feed is told.
    async fn commit<P: OneTrip>(&mut self, packet: &P) {
        let statements = packet.statements();
        let text = format!("BEGIN;\n{}", statements.join(";\n"));
        let mut result = self.conn.query_iter(text).await.expect("the server runs the statements");
        let mut replies = Vec::new();
        for _ in 0..=statements.len() {
            let affected = result.affected_rows();
            replies.push(Reply { affected, rows: result.collect().await.expect("the server replies") });
        }
        replies.remove(0); // to BEGIN
        let outcome = packet.read(replies).unwrap_or_else(|failure| panic!("a transaction failed: {failure:?}"));
        let mut told = Told::default();
        told.extend(packet.told(&outcome));
        let told = told.statement().map(|insert| format!("{insert};\n")).unwrap_or_default();
        self.conn.query_drop(format!("{told}COMMIT")).await.expect("the server commits");
    }
}

/// Returns the event that the service reads from a payment over HTTP.
fn event(order_id: Uuid) -> PaymentEvent {
    let txn_id = order_id.to_string();
    let body = payment(&txn_id).into_bytes();
    let headers = format!("host: localhost\ncontent-type: application/json\ncontent-length: {}\n", body.len());
    PaymentEvent {
        provider: "default",
        idempotency_key: PaymentEvent::derived_key(Meaning::Succeeded, &txn_id),
        meaning: Meaning::Succeeded,
        reference: Reference { order_id: Some(order_id), hold_id: None },
        amount: Some(AMOUNT.to_owned()),
        currency: None,
        txn_id: Some(txn_id),
        restock: false,
        cumulative: false,
        provider_timestamp: None,
        source: None,
        correlation_id: None,
        headers,
        body,
    }
}

/// Returns the order of [`Direct::order`]; the packet uses none of its times.
fn order(hold_id: Uuid, order_id: Uuid) -> Order {
    let now = NaiveDateTime::default();
    Order {
        id: order_id,
        hold_id,
        status: OrderStatus::Pending,
        total_minor: PRICE_MINOR,
        currency: CURRENCY.to_owned(),
        created_at: now,
        pay_by: now,
        refunded_minor: 0,
        refunded_currency: None,
        restocked: false,
        tickets: OrderTickets::None,
        client_id: 0,
    }
}
