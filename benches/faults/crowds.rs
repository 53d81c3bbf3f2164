//! Clients that send too many requests, no requests, or pipelined requests; and a log that is not read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::Plan;
use crate::apart::Apart;
use crate::clients::{Agent, Link};
use crate::flood::Flood;
use crate::ground::Ground;
use crate::journal::{Journal, Kind, Window};
use crate::play::{Outcome, Play, Start};
use crate::report::Report;
use crate::support::client::{get, hold};
use crate::support::measure::{Buyer, Crowd};
use crate::support::report::{Target, short};

/// Connections beside the buyers.
const NEIGHBOURS: usize = 512;
/// No product has an id above this.
const NO_PRODUCT: i64 = 1 << 40;
/// Connections that pipeline `GET /healthz`, and, for the control, connections that do not pipeline.
const PIPELINES: usize = 32;
const UNPIPELINED: usize = 256;
/// Requests that a pipeline writes at once.
const DEPTH: usize = 64;
/// Connections, and streams per connection, with which the best rate is measured.
const MODERATE: (usize, usize) = (16, 64);
/// Clients that connect and send nothing, and the timeout of their connection attempts.
const IDLE: usize = 1_200;
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
/// Clients of a service whose log is not read.
const LOGGED_CLIENTS: usize = 16;

/// A client that repeats the same kind of request, each time with another id, and accepts any response.
struct Asker {
    link: Link,
    request: fn() -> Vec<u8>,
}

impl Buyer for Asker {
    async fn ask(&mut self) {
        self.link.ask(Kind::Newcomer, &(self.request)()).await;
    }
}

/// Starts `count` of these clients. Their responses are recorded in a separate journal.
fn askers(apart: &Apart, address: SocketAddr, count: usize, request: fn() -> Vec<u8>) -> Crowd {
    let (journal, _guard) = (Arc::new(Journal::default()), apart.enter());
    Crowd::start((0..count).map(|_| Asker { link: Link::new(address, &journal), request }))
}

fn healthz() -> Vec<u8> {
    get("/healthz")
}

pub(crate) async fn unknown_products(name: &str, ground: &Ground, plan: &Plan, report: &mut Report) {
    neighbours(name, ground, plan, report, || hold(NO_PRODUCT + i64::from(rand::random::<u32>()))).await;
}

pub(crate) async fn unknown_holds(name: &str, ground: &Ground, plan: &Plan, report: &mut Report) {
    neighbours(name, ground, plan, report, || get(&format!("/api/holds/{}", Uuid::now_v7()))).await;
}

/// Compares the hot product's holds beside these requests with those beside as many connections that send `GET /healthz`.
async fn neighbours(name: &str, ground: &Ground, plan: &Plan, report: &mut Report, request: fn() -> Vec<u8>) {
    let mut play = Play::open(name, ground, plan, Start::directly(ground)).await;
    let control = beside(&play, plan, NEIGHBOURS, healthz).await;
    play.begin();
    let during = beside(&play, plan, NEIGHBOURS, request).await;
    play.end();
    let readyz = play.finish(ground, report).await.during.of(Kind::Readyz);
    let rate = during.acknowledged().per_second() / control.acknowledged().per_second();
    let p99 = ratio(during.quantile(0.99), control.quantile(0.99));
    report.note(&format!(
        "holds of the hot product beside the control: rate × {rate:.2}, p99 × {:.2}",
        p99.unwrap_or(0.0)
    ));
    report.timed(format!("{name}: rate / control"), Some(rate), Target::AtLeast(0.5));
    report.timed(format!("{name}: p99 / control"), p99, Target::AtMost(3.0));
    let ready = readyz.status(200).count() as f64 / readyz.count().max(1) as f64;
    report.bound(format!("{name}: share of readyz's answers that are 200"), ready, Target::AtLeast(1.0));
}

/// Measures the hot product's buyers beside `count` clients that send these requests.
async fn beside(play: &Play, plan: &Plan, count: usize, request: fn() -> Vec<u8>) -> Window {
    let apart = Apart::new();
    let crowd = askers(&apart, play.served.address, count, request);
    sleep(plan.fault / 4).await;
    let from = Instant::now();
    sleep(plan.fault).await;
    let window = play.journal.window(from, Instant::now()).of(Kind::Hot);
    crowd.stop().await;
    window
}

fn ratio(time: Option<Duration>, other: Option<Duration>) -> Option<f64> {
    Some(time?.as_secs_f64() / other?.as_secs_f64())
}

pub(crate) async fn overload(name: &str, ground: &Ground, plan: &Plan, report: &mut Report) {
    let mut play = Play::open(name, ground, plan, Start::directly(ground)).await;
    let moderate = Flood::start(play.served.address, MODERATE, play.hot, &play.journal);
    sleep(plan.fault / 4).await;
    let from = Instant::now();
    sleep(plan.fault).await;
    let best = play.journal.window(from, Instant::now());
    drop(moderate);
    sleep(plan.before).await;
    let idle = play.journal.window(Instant::now() - plan.before / 2, Instant::now());
    let flood = Flood::start(play.served.address, plan.flood, play.hot, &play.journal);
    sleep(plan.fault / 4).await;
    play.begin();
    sleep(plan.long_fault).await;
    play.end();
    drop(flood);
    let outcome = play.finish(ground, report).await;
    keeps_its_rate(&outcome, [&best, &idle], report);
}

/// Adds the bounds for a service in a flood: it sells as fast as at its best rate, and other requests are as fast as beside that
/// rate. The load before the flood is only a note: at the best rate, both cores are busy already.
fn keeps_its_rate(outcome: &Outcome, [best, idle]: [&Window; 2], report: &mut Report) {
    let (name, during) = (&outcome.name, &outcome.during);
    let sold = |window: &Window| {
        window.of(Kind::Hot).acknowledged().per_second() + window.of(Kind::Flood).acknowledged().per_second()
    };
    let shed = during.sales().status(503).quantile(0.99);
    let median = |window: &Window, kind| window.of(kind).quantile(0.5);
    let beside =
        |control: &Window| [Kind::Other, Kind::Healthz].map(|kind| ratio(median(during, kind), median(control, kind)));
    let ([other, health], before) = (beside(best), beside(idle));
    let before = before.map(|ratio| ratio.map_or("-".to_owned(), |ratio| format!("× {ratio:.1}")));
    report.note(&format!(
        "holds/s: best {:.0}, in the flood {:.0}; p99 of 503: {}; p50 / in the idle moment before: another product {}, healthz {}",
        sold(best),
        sold(during),
        shed.map_or("-".to_owned(), short),
        before[0],
        before[1]
    ));
    report.timed(format!("{name}: goodput / best rate"), Some(sold(during) / sold(best)), Target::AtLeast(0.8));
    let shed = shed.map(|shed| shed.as_secs_f64());
    report.timed(format!("{name}: p99 of 503 answers, seconds"), shed, Target::AtMost(0.1));
    report.timed(format!("{name}: another product's p50 / at best rate"), other, Target::AtMost(2.0));
    report.timed(format!("{name}: healthz's p50 / at best rate"), health, Target::AtMost(2.0));
}

pub(crate) async fn pipelining(name: &str, ground: &Ground, plan: &Plan, report: &mut Report) {
    let mut play = Play::open(name, ground, plan, Start::directly(ground)).await;
    let control = beside(&play, plan, UNPIPELINED, healthz).await.quantile(0.99);
    let apart = Apart::new();
    {
        let _guard = apart.enter();
        for _ in 0..PIPELINES {
            tokio::spawn(pipeline(play.served.address));
        }
    }
    sleep(plan.fault / 4).await;
    play.begin();
    sleep(plan.fault).await;
    play.end();
    drop(apart);
    let outcome = play.finish(ground, report).await;
    let pipelined = outcome.during.of(Kind::Hot).quantile(0.99);
    let time = |time: Option<Duration>| time.map_or("-".to_owned(), short);
    report.note(&format!(
        "p99 of holds beside {UNPIPELINED} unpipelined connections {}, beside pipelines {}",
        time(control),
        time(pipelined)
    ));
    report.timed(format!("{name}: p99 / beside unpipelined"), ratio(pipelined, control), Target::AtMost(2.0));
}

/// Writes one request after the other without waiting for the responses, which it discards.
async fn pipeline(address: SocketAddr) {
    let requests = healthz().repeat(DEPTH);
    while let Ok(stream) = TcpStream::connect(address).await {
        let (mut from, mut to) = stream.into_split();
        let write = async { while to.write_all(&requests).await.is_ok() {} };
        let read = async {
            let mut buffer = vec![0; 64 * 1024];
            while from.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        };
        tokio::select! {
            () = write => {}
            () = read => {}
        }
    }
}

pub(crate) async fn unread_log(name: &str, ground: &Ground, plan: &Plan, report: &mut Report) {
    let settings = [("HOLDFAST_LOG", "info,holdfast::http=debug")];
    let start = Start { settings: &settings, ..Start::directly(ground) };
    let mut play = Play::open(name, ground, plan, start).await;
    play.served.leave_log_unread();
    play.begin();
    let mut clients = JoinSet::new();
    for _ in 0..LOGGED_CLIENTS {
        let (mut link, count) = (play.link(), plan.logged / LOGGED_CLIENTS);
        clients.spawn(async move {
            for _ in 0..count {
                link.ask(Kind::Logged, &healthz()).await;
            }
        });
    }
    let all = async { while clients.join_next().await.is_some() {} };
    let _ = timeout(plan.recovery, all).await;
    play.end();
    let outcome = play.finish(ground, report).await;
    let (wanted, answered) =
        (plan.logged / LOGGED_CLIENTS * LOGGED_CLIENTS, outcome.during.of(Kind::Logged).status(200));
    report.note(&format!("{} of {wanted} requests were answered", answered.count()));
    let share = answered.count() as f64 / wanted as f64;
    report.bound(format!("{name}: share of requests that are answered"), share, Target::AtLeast(1.0));
}

pub(crate) async fn idle_crowd(name: &str, ground: &Ground, plan: &Plan, report: &mut Report, limit: &str) {
    let mut play = Play::open(name, ground, plan, Start { shell: limit, ..Start::directly(ground) }).await;
    play.begin();
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        if let Ok(Ok(stream)) = timeout(CONNECT_PATIENCE, TcpStream::connect(play.served.address)).await {
            idle.push(stream);
        }
    }
    let (address, journal) = (play.served.address, Arc::clone(&play.journal));
    let newcomers = Crowd::start([Agent::Newcomer { address, journal }]);
    play.last(plan.long_fault, |window| window.of(Kind::Newcomer).count() > 0).await;
    let answered = play.so_far().of(Kind::Newcomer).status(200).count();
    let connections = ground.connections().await.len();
    let count = idle.len();
    drop(idle);
    play.end();
    newcomers.stop().await;
    let outcome = play.finish(ground, report).await;
    let newcomers = outcome.during.of(Kind::Newcomer);
    let longest = newcomers.quantile(1.0);
    report.note(&format!(
        "{count} idle clients; new connections {}, the slowest in {}; {connections} connections to the database",
        newcomers.statuses(),
        longest.map_or("-".to_owned(), short)
    ));
    let longest = longest.map(|longest| longest.as_secs_f64());
    report.timed(format!("{name}: longest answer on a new connection, s"), longest, Target::AtMost(1.0));
    report.bound(format!("{name}: answers on new connections"), answered as f64, Target::AtLeast(1.0));
}
