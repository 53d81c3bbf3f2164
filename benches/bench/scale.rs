//! Full tables beside empty ones: two databases on one server, measured in turns with the same service and the same
//! buyers. No request of a buyer may become slower because of earlier sales.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::Plan;
use crate::client::{Client, get, hold, post, post_with_key};
use crate::database::{Ground, PLENTY};
use crate::fill::{self, Set};
use crate::http::Flow;
use crate::measure::{Buyer, Crowd, Same, cell};
use crate::report::{self, Bounds, Target};
use crate::service::Served;

const BUFFER_POOL: &str = "--innodb-buffer-pool-size=4G";
const CONNECTIONS: usize = 256;
const PAIRS: usize = 3;
/// Holds per visit that expire one at a time.
const LONE_HOLDS: usize = 3;
/// An upper bound of the orders, or payments, per second: so many rows are prepared.
const MOST_PER_SECOND: f64 = 30_000.0;
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest time for which buyers are measured during an audit.
const AUDIT_PATIENCE: Duration = Duration::from_secs(360);

/// The unit of a figure, which decides whether less is better.
#[derive(Clone, Copy)]
enum Unit {
    PerSecond,
    Seconds,
}

/// The figures of one visit, each with its name.
type Figures = Vec<(&'static str, Unit, f64)>;

/// One of the two databases.
struct Side {
    ground: Ground,
    name: &'static str,
    /// A product with plenty of stock.
    hot: i64,
    /// A product that is sold out; in the full database, all finished orders are of this product.
    sold_out: i64,
    visits: i64,
}

impl Side {
    async fn new(ground: Ground, name: &'static str, finished: i64) -> Self {
        let (hot, sold_out) = (ground.product(PLENTY).await, ground.product(finished).await);
        Self { ground, name, hot, sold_out, visits: 0 }
    }
}

/// Fills a database and measures it beside an empty one.
pub(crate) async fn run(url: Option<&str>, plan: &Plan, bounds: &mut Bounds) {
    let empty = Ground::prepare(url, BUFFER_POOL).await;
    let orders = plan.rows / fill::ROWS_OF_AN_ORDER;
    let rows = report::whole((orders * fill::ROWS_OF_AN_ORDER) as f64);
    report::heading(&format!("{rows} rows of finished orders beside empty tables, {CONNECTIONS} connections"));
    report::settings(&empty.describe().await);
    let mut full = Side::new(empty.beside("full").await, "full", orders).await;
    let mut empty = Side::new(empty, "empty", 0).await;
    let started = Instant::now();
    fill::finished(&full.ground, full.sold_out, orders).await;
    println!("filled in {}", report::short(started.elapsed()));
    println!("length of the history list before measuring: {}", fill::settled(&full.ground).await);

    let mut figures: [Vec<Figures>; 2] = Default::default();
    for _ in 0..PAIRS {
        for (side, figures) in [&mut empty, &mut full].into_iter().zip(&mut figures) {
            figures.push(visit(side, plan).await);
        }
    }
    compare(&figures, bounds);
    audit_alone(&full.ground, bounds).await;
    audit_beside_buyers(&full, plan, bounds).await;
    full.ground.leave().await;
    empty.ground.leave().await;
}

/// Prints the medians of both sides and their ratios, and adds the bounds.
fn compare(figures: &[Vec<Figures>; 2], bounds: &mut Bounds) {
    report::line("", &["empty", "full", "full/empty"]);
    for (number, &(name, unit, _)) in figures[0][0].iter().enumerate() {
        let median = |visits: &[Figures]| {
            let mut values: Vec<f64> = visits.iter().map(|figures| figures[number].2).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let [empty, full] = [median(&figures[0]), median(&figures[1])];
        let text = |value: f64| match unit {
            Unit::PerSecond => report::whole(value),
            Unit::Seconds => report::short(Duration::from_secs_f64(value)),
        };
        report::line(name, &[&text(empty), &text(full), &format!("{:.2}", full / empty)]);
        let (name, value, target) = match unit {
            Unit::PerSecond => (format!("scale: {name}, full / empty"), full / empty, Target::AtLeast(0.9)),
            Unit::Seconds if name == READY => (format!("scale: {name}: seconds"), full, Target::AtMost(2.0)),
            Unit::Seconds => (format!("scale: {name}: seconds"), full, Target::AtMost(0.1)),
        };
        bounds.add(name, Some(value), target);
    }
}

const READY: &str = "restart to ready";

/// Measures every figure of one side once.
async fn visit(side: &mut Side, plan: &Plan) -> Figures {
    side.visits += 1;
    let ground = &side.ground;
    if side.name == "empty" {
        ground.clear().await;
    }
    let lone = lone_expiry(ground, plan).await;
    let at_most = (plan.duration + plan.warm_up).as_secs_f64() * MOST_PER_SECOND;
    let (set, each) = (Set::prepared(side.visits), at_most as i64);
    fill::waiting(ground, side.hot, set, 3 * each, each).await;
    fill::settled(ground).await;
    let started = Instant::now();
    let served = Served::start(ground, plan).await;
    let ready = ready(&served, started).await;
    let visit = Visit { ground, plan, served: &served };
    let prepared = |figure: i64, ask: Ask, status: u16| Prepared {
        set,
        first: figure * each,
        last: (figure + 1) * each,
        ask,
        status,
    };
    let figures = vec![
        ("holds", Unit::PerSecond, visit.same(hold(side.hot), 201).await),
        ("refusals", Unit::PerSecond, visit.same(hold(side.sold_out), 409).await),
        ("reads", Unit::PerSecond, visit.same(get(&format!("/api/products/{}", side.hot)), 200).await),
        ("orders", Unit::PerSecond, visit.each(prepared(0, order, 201)).await),
        ("keyed orders", Unit::PerSecond, visit.each(prepared(1, keyed_order, 201)).await),
        ("payments", Unit::PerSecond, visit.each(prepared(2, payment, 200)).await),
        ("a lone hold is back after", Unit::Seconds, lone),
        (READY, Unit::Seconds, ready),
    ];
    served.stop().await;
    let text: Vec<String> = figures.iter().map(|(name, _, value)| format!("{name} {value:.3}")).collect();
    println!("{} {}: {}", side.name, side.visits, text.join(", "));
    figures
}

struct Visit<'run> {
    ground: &'run Ground,
    plan: &'run Plan,
    served: &'run Served,
}

impl Visit<'_> {
    /// Returns how many answers per second one repeated request gets.
    async fn same(&self, request: Vec<u8>, status: u16) -> f64 {
        let buyer = |client| Same { client, request: request.clone(), status };
        let buyers: Vec<Same> = self.served.clients(CONNECTIONS).await.into_iter().map(buyer).collect();
        cell(self.ground, self.plan, buyers).await.0.per_second
    }

    /// Returns how many of the prepared requests are answered per second.
    async fn each(&self, prepared: Prepared) -> f64 {
        let (next, prepared) = (Arc::new(AtomicI64::new(prepared.first)), Arc::new(prepared));
        let buyer = |client| Each { client, next: Arc::clone(&next), prepared: Arc::clone(&prepared) };
        let buyers: Vec<Each> = self.served.clients(CONNECTIONS).await.into_iter().map(buyer).collect();
        cell(self.ground, self.plan, buyers).await.0.per_second
    }
}

/// Makes the request for row `n` of a set.
type Ask = fn(Set, i64) -> Vec<u8>;

/// Prepared rows, each for one request.
struct Prepared {
    set: Set,
    first: i64,
    last: i64,
    ask: Ask,
    status: u16,
}

/// A buyer that sends the request for the next prepared row.
struct Each {
    client: Client,
    next: Arc<AtomicI64>,
    prepared: Arc<Prepared>,
}

impl Buyer for Each {
    async fn ask(&mut self) {
        let n = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(n <= self.prepared.last, "enough rows are prepared for the whole figure");
        let request = (self.prepared.ask)(self.prepared.set, n);
        self.client.expect(&request, self.prepared.status).await;
    }
}

fn order(set: Set, n: i64) -> Vec<u8> {
    post("/api/orders", &format!(r#"{{"hold_id":"{}"}}"#, set.hold_id(n)))
}

fn keyed_order(set: Set, n: i64) -> Vec<u8> {
    let hold_id = set.hold_id(n);
    post_with_key("/api/orders", &format!(r#"{{"hold_id":"{hold_id}"}}"#), &format!("order-{hold_id}"))
}

fn payment(set: Set, n: i64) -> Vec<u8> {
    let order_id = set.order_id(n);
    let paid = format!(r#"{{"order_id":"{order_id}","status":"paid","txn_id":"{order_id}","amount":49.99}}"#);
    post("/api/payments/webhook", &paid)
}

/// Returns how long after its deadline the unit of a single hold is back on sale, in seconds; the longest of a few.
async fn lone_expiry(ground: &Ground, plan: &Plan) -> f64 {
    let served = Served::start_with(ground, plan, 1).await;
    let mut client = Client::connect(served.address).await;
    let product_id = ground.product(1).await;
    let mut longest: i64 = 0;
    for _ in 0..LONE_HOLDS {
        let hold_id = client.expect(&hold(product_id), 201).await.id("hold_id");
        let late = format!(
            "SELECT IF(available = 1, TIMESTAMPDIFF(MICROSECOND, expires_at, NOW(6)), -1)
             FROM products JOIN holds ON holds.product_id = products.id
             WHERE products.id = {product_id} AND holds.id = UNHEX(REPLACE('{hold_id}', '-', ''))"
        );
        let back = async {
            loop {
                match ground.value::<i64>(&late).await {
                    -1 => sleep(Duration::from_millis(2)).await,
                    microseconds => return microseconds,
                }
            }
        };
        let patience = i64::try_from(PATIENCE.as_micros()).unwrap_or(i64::MAX);
        longest = longest.max(timeout(PATIENCE, back).await.unwrap_or(patience));
    }
    served.stop().await;
    Duration::from_micros(longest.unsigned_abs()).as_secs_f64()
}

/// Returns how long after its start `/readyz` answers 200, in seconds.
async fn ready(served: &Served, started: Instant) -> f64 {
    let mut client = Client::connect(served.address).await;
    while client.send(&get("/readyz")).await.status != 200 && started.elapsed() < PATIENCE {
        sleep(Duration::from_millis(2)).await;
    }
    started.elapsed().as_secs_f64()
}

/// Starts `holdfast audit` as a process.
fn start_audit(ground: &Ground) -> Child {
    Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .arg("audit")
        .env_clear()
        .env("HOLDFAST_DATABASE_URL", &ground.url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the audit can be started")
}

/// Counts the rows of the five tables, one after the other, and returns how long that took.
async fn count_rows(ground: &Ground) -> Duration {
    let started = Instant::now();
    for table in ["holds", "orders", "order_events", "payment_events", "charges"] {
        let _: i64 = ground.value(&format!("SELECT COUNT(*) FROM {table}")).await;
    }
    started.elapsed()
}

/// Measures an audit without buyers, beside `COUNT(*)` of the same rows.
async fn audit_alone(ground: &Ground, bounds: &mut Bounds) {
    fill::settled(ground).await;
    let count = count_rows(ground).await;
    let started = Instant::now();
    let audit = start_audit(ground).wait_with_output();
    let (audited, beside) = tokio::join!(async { (audit.await, started.elapsed()) }, count_rows(ground));
    let (output, took) = audited;
    let output = output.expect("the audit ends");
    print!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "the audit finds nothing wrong in the full database");
    let times = |count: Duration| took.as_secs_f64() / count.as_secs_f64();
    println!(
        "COUNT(*) of the five tables: {} alone, {} beside the audit; the audit: {}, {:.1} and {:.1} times as long",
        report::short(count),
        report::short(beside),
        report::short(took),
        times(count),
        times(beside),
    );
    bounds.add("scale: audit / COUNT(*) beside it", Some(times(beside)), Target::AtMost(15.0));
}

/// Measures buyers during an audit: flows until the audit ends, holds and reads for a shorter time.
async fn audit_beside_buyers(side: &Side, plan: &Plan, bounds: &mut Bounds) {
    report::line("buyers beside an audit", &["before", "during", "ratio", "audit"]);
    let served = Served::start(&side.ground, plan).await;
    let run = Beside { side, plan, served: &served };
    let hot = side.hot;
    run.measure("flows", AUDIT_PATIENCE, |client| Flow::new(client, hot), bounds).await;
    let patience = plan.duration * 5;
    run.measure("holds", patience, |client| Same { client, request: hold(hot), status: 201 }, bounds).await;
    let read = get(&format!("/api/products/{hot}"));
    run.measure("reads", patience, |client| Same { client, request: read.clone(), status: 200 }, bounds).await;
    served.stop().await;
}

struct Beside<'run> {
    side: &'run Side,
    plan: &'run Plan,
    served: &'run Served,
}

impl Beside<'_> {
    async fn measure<B: Buyer>(
        &self,
        name: &str,
        patience: Duration,
        buyer: impl Fn(Client) -> B,
        bounds: &mut Bounds,
    ) {
        fill::settled(&self.side.ground).await;
        let clients = self.served.clients(CONNECTIONS).await;
        let crowd = Crowd::start(clients.into_iter().map(buyer));
        sleep(self.plan.warm_up).await;
        let begun = Instant::now();
        sleep(self.plan.duration * 2).await;
        let audit_begun = Instant::now();
        let mut audit = start_audit(&self.side.ground);
        let ended = timeout(patience, audit.wait()).await;
        let audit_ended = Instant::now();
        let log = crowd.stop().await;
        let _ = audit.kill().await;
        let [before, during] =
            [(begun, audit_begun), (audit_begun, audit_ended)].map(|(from, to)| log.window(from, to).per_second);
        let took = report::short(audit_ended - audit_begun);
        let took = if ended.is_ok() { took } else { format!("> {took}") };
        let ratio = format!("{:.2}", during / before);
        report::line(name, &[&report::whole(before), &report::whole(during), &ratio, &took]);
        bounds.add(format!("scale: {name} during an audit / before"), Some(during / before), Target::AtLeast(0.8));
    }
}
