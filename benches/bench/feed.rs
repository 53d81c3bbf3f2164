//! The feed and pushes: how long after a payment its event arrives, on an idle service and beside 2,000 flows per second; flows
//! beside an endpoint that is down and for which 1,000,000 events wait; flows beside readers of the feed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::Plan;
use crate::client::{Client, get, post, with_token};
use crate::database::{Ground, PLENTY};
use crate::http::Flow;
use crate::measure::{Buyer, Crowd, Load, cell};
use crate::report::{self, Bounds, Target};
use crate::service::Served;

const OPERATOR: &str = "the-operators-token-of-a-benchmark";
const ENDPOINTS: &str = "/api/admin/endpoints";
/// Sales on an idle service, one after another.
const SALES: usize = 100;
/// Flows per second of the paced buyers.
const RATE: usize = 2_000;
const PACED: usize = 64;
const CONNECTIONS: usize = 512;
/// Events that wait for an endpoint that is down.
const WAITING: usize = 1_000_000;
/// Events of a row of the feed.
const ROW: usize = 100;
const PAIRS: usize = 3;
/// Readers of the feed.
const READERS: usize = 64;

/// When each paid order was acknowledged, and when its event arrived.
#[derive(Default)]
struct Times {
    paid: Mutex<HashMap<String, Instant>>,
    heard: Mutex<HashMap<String, Instant>>,
}

impl Times {
    fn note(of: &Mutex<HashMap<String, Instant>>, order_id: String) {
        of.lock().unwrap_or_else(PoisonError::into_inner).entry(order_id).or_insert_with(Instant::now);
    }

    /// Returns the median and the 99th percentile of the times from a payment to its event, and how many events are missing.
    fn take(&self) -> (Duration, Duration, usize) {
        let take = |of: &Mutex<HashMap<String, Instant>>| {
            std::mem::take(&mut *of.lock().unwrap_or_else(PoisonError::into_inner))
        };
        let (paid, heard) = (take(&self.paid), take(&self.heard));
        let took =
            |(order_id, paid): (&String, &Instant)| heard.get(order_id).map(|at| at.saturating_duration_since(*paid));
        let mut took: Vec<Duration> = paid.iter().filter_map(took).collect();
        took.sort_unstable();
        let quantile = |share: usize| took.get(took.len() * share / 100).copied().unwrap_or_default();
        (quantile(50), quantile(99), paid.len() - took.len())
    }
}

/// Measures each of them.
pub(crate) async fn run(ground: &Ground, plan: &Plan, bounds: &mut Bounds) {
    report::heading("The feed, and pushes");
    ground.clear().await;
    let served = Served::start_pushing(ground, plan, OPERATOR).await;
    let product_id = ground.product(PLENTY).await;
    let mut operator = Client::connect(served.address).await;
    let times = Arc::new(Times::default());
    let receiver = receive(&times).await;
    let endpoint = add(&mut operator, receiver, r#"["order.paid"]"#).await;
    idle(&served, product_id, &times, bounds).await;
    paced(&served, plan, product_id, &times, bounds).await;
    set(&mut operator, endpoint, false).await;
    beside_readers(ground, plan, &served, product_id, bounds).await;
    beside_a_dead_endpoint(ground, plan, &served, product_id, bounds).await;
    served.stop().await;
}

/// Registers an endpoint. Returns its id.
async fn add(operator: &mut Client, address: SocketAddr, types: &str) -> i64 {
    let body = format!(r#"{{"url":"http://{address}/","types":{types}}}"#);
    operator.expect(&with_token(&post(ENDPOINTS, &body), OPERATOR), 201).await.number("id")
}

async fn set(operator: &mut Client, endpoint: i64, enabled: bool) {
    let patch = post(&format!("{ENDPOINTS}/{endpoint}"), &format!(r#"{{"enabled":{enabled}}}"#));
    let patch = [b"PATCH", &patch[4..]].concat();
    operator.expect(&with_token(&patch, OPERATOR), 200).await;
}

/// Starts a receiver that accepts every event and notes when it arrived.
async fn receive(times: &Arc<Times>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("an address");
    let times = Arc::clone(times);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&times)));
        }
    });
    address
}

async fn answer(mut stream: TcpStream, times: Arc<Times>) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let complete = text.find("\r\n\r\n").and_then(|head| {
            let length = text[..head].lines().find_map(|line| line.strip_prefix("content-length: "))?;
            let end = head + 4 + length.parse::<usize>().ok()?;
            (bytes.len() >= end).then_some((head, end))
        });
        let Some((head, end)) = complete else {
            match stream.read_buf(&mut bytes).await {
                Ok(1..) => continue,
                _ => return,
            }
        };
        if let Some((_, rest)) = text[head..end].split_once(r#""order_id":""#) {
            Times::note(&times.heard, rest[..36].to_owned());
        }
        bytes.drain(..end);
        if stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.is_err() {
            return;
        }
    }
}

/// A buyer that begins a flow at the earliest a fixed time after the last one, and notes when it has paid.
struct Paced {
    flow: Flow,
    next: Instant,
    pause: Duration,
    times: Arc<Times>,
}

impl Buyer for Paced {
    async fn ask(&mut self) {
        tokio::time::sleep_until(self.next).await;
        self.next += self.pause;
        let hold_id = self.flow.take().await;
        let order_id = self.flow.order(&hold_id).await;
        self.flow.pay(&order_id).await;
        Times::note(&self.times.paid, order_id);
    }
}

/// Sells one unit after another on an idle service.
async fn idle(served: &Served, product_id: i64, times: &Arc<Times>, bounds: &mut Bounds) {
    let flow = Flow::new(Client::connect(served.address).await, product_id);
    let pause = Duration::from_millis(50);
    let mut buyer = Paced { flow, next: Instant::now(), pause, times: Arc::clone(times) };
    for _ in 0..SALES {
        buyer.ask().await;
    }
    sleep(Duration::from_secs(2)).await;
    let (p50, p99, missing) = times.take();
    println!(
        "idle: payment to push p50 {}, p99 {}, {missing} of {SALES} missing",
        report::short(p50),
        report::short(p99)
    );
    bounds.add("feed: idle, payment to push, p50 in s", Some(p50.as_secs_f64()), Target::AtMost(0.05));
}

/// Sells 2,000 units per second.
async fn paced(served: &Served, plan: &Plan, product_id: i64, times: &Arc<Times>, bounds: &mut Bounds) {
    let pause = Duration::from_secs(1) * PACED as u32 / RATE as u32;
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for (n, client) in served.clients(PACED).await.into_iter().enumerate() {
        let next = begin + pause * n as u32 / PACED as u32;
        let mut buyer = Paced { flow: Flow::new(client, product_id), next, pause, times: Arc::clone(times) };
        let until = begin + plan.duration * 3;
        tasks.spawn(async move {
            let mut flows = 0;
            while Instant::now() < until {
                buyer.ask().await;
                flows += 1;
            }
            flows
        });
    }
    let flows: usize = tasks.join_all().await.into_iter().sum();
    let rate = flows as f64 / begin.elapsed().as_secs_f64();
    sleep(Duration::from_secs(5)).await;
    let (p50, p99, missing) = times.take();
    let [median, slow] = [p50, p99].map(report::short);
    let rate = report::whole(rate);
    println!("{rate} flows/s: payment to push p50 {median}, p99 {slow}, {missing} of {flows} missing");
    bounds.add("feed: 2,000 flows/s, payment to push, p50 in s", Some(p50.as_secs_f64()), Target::AtMost(1.0));
}

/// A reader that reads the feed page by page, from its beginning again when it is at its end.
struct Reader {
    client: Client,
    after: String,
}

impl Buyer for Reader {
    async fn ask(&mut self) {
        let page = with_token(&get(&format!("/api/feed?limit={ROW}{}", self.after)), OPERATOR);
        let answer = self.client.expect(&page, 200).await;
        let is_empty = answer.body.starts_with(br#"{"items":[]"#);
        self.after = if is_empty { String::new() } else { format!("&after={}", answer.text("next")) };
    }
}

/// Flows and readers beside each other: each flow tells two events.
async fn beside_readers(ground: &Ground, plan: &Plan, served: &Served, product_id: i64, bounds: &mut Bounds) {
    let alone = flow(ground, plan, served, product_id).await;
    let reader = |client| Reader { client, after: String::new() };
    let readers = Crowd::start(served.clients(READERS).await.into_iter().map(reader));
    let from = Instant::now();
    let flows = flow(ground, plan, served, product_id).await;
    let to = Instant::now();
    let pages = readers.stop().await.window(from, to);
    let [lone, beside, read] = [alone, flows, pages].map(|load| report::whole(load.per_second));
    println!(
        "{beside} flows/s ({lone} without readers) beside {READERS} readers: {read} pages of {ROW} events per second"
    );
    let events = pages.per_second * ROW as f64 / flows.per_second;
    bounds.add("feed: events read / flows", Some(events), Target::AtLeast(10.0));
}

/// Flows while 1,000,000 events wait for an endpoint that is down, and while it is disabled.
async fn beside_a_dead_endpoint(ground: &Ground, plan: &Plan, served: &Served, product_id: i64, bounds: &mut Bounds) {
    let mut operator = Client::connect(served.address).await;
    // nothing listens at a port that was free a moment ago
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let endpoint = add(&mut operator, address, "[]").await;
    sleep(Duration::from_secs(1)).await;
    let before = served.resident_bytes();
    wait_for_events(ground).await;
    let mut ratios = Vec::with_capacity(PAIRS);
    for _ in 0..PAIRS {
        set(&mut operator, endpoint, true).await;
        let beside = flow(ground, plan, served, product_id).await;
        set(&mut operator, endpoint, false).await;
        let without = flow(ground, plan, served, product_id).await;
        let [enabled, disabled] = [beside, without].map(|load| report::whole(load.per_second));
        println!("{enabled} flows/s beside the endpoint that is down, {disabled} without");
        ratios.push(beside.per_second / without.per_second);
    }
    ratios.sort_unstable_by(f64::total_cmp);
    bounds.add("feed: flows beside a dead endpoint / without", Some(ratios[PAIRS / 2]), Target::AtLeast(0.95));
    let grown = before.zip(served.resident_bytes()).map(|(before, after)| (after - before) / 1e6);
    bounds.add("feed: 1,000,000 waiting events, resident MB more", grown, Target::AtMost(20.0));
}

/// Tells 1,000,000 events, and waits until they have their positions.
async fn wait_for_events(ground: &Ground) {
    let event = r#"{"type":"product.changed","product_id":1}"#;
    let events = format!("[{}]", vec![event; ROW].join(","));
    let row = format!("(-1, {ROW}, 0, RANDOM_BYTES(16), '{events}')");
    let rows = vec![row; ROW].join(",");
    for _ in 0..WAITING / (ROW * ROW) {
        let columns = "client_id, items, transitions, batch, events";
        ground.execute(&format!("INSERT INTO feed_batches ({columns}) VALUES {rows}")).await;
    }
    while ground.value::<i64>("SELECT COUNT(*) FROM feed_batches WHERE position IS NULL").await > 0 {
        sleep(Duration::from_millis(100)).await;
    }
}

async fn flow(ground: &Ground, plan: &Plan, served: &Served, product_id: i64) -> Load {
    ground.clear().await;
    let buyers = served.clients(CONNECTIONS).await.into_iter().map(|client| Flow::new(client, product_id));
    cell(ground, plan, buyers).await.0
}
