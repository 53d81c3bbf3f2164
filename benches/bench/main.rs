//! Compares Holdfast with other ways of doing the same work: same run, same machine, same server, same schema.
//! `script/bench` builds and runs it.
//!
//! - [`strategies`]: holds of one hot product by row locks, by versions, by single units, by one guarded transaction per
//!   request, by Holdfast's batches, and by bare connections, which are the limit
//! - [`carts`]: carts of several hot products by one transaction each and by Holdfast's batches, and single holds beside them
//! - [`feed`]: from a payment to its push; flows beside an endpoint that is down, and beside readers of the feed
//! - [`http`]: the service over HTTP, beside an echo route of the same server
//! - [`lone`]: each step of a sale on an idle service, beside one guarded transaction of the same rows
//! - [`crowd`]: 15,000 buyers for 1,000 units at once
//! - [`expiry`]: 100,000 holds that expire at the same moment
//! - [`memory`]: 100,000 different products, one after the other
//! - [`neighbours`]: a hot product beside connections that send other requests
//! - [`scale`]: full tables beside empty ones; only with `--only scale`, since filling the tables takes minutes
//! - [`seats`]: 15,000 buyers for 1,000 seats at once, beside row locks; many events on sale at the same time
//! - [`shop`]: holds with an owner or metadata, lists of products, pages of orders
//! - [`stale`]: reads that begin after an acknowledged hold and must show it

mod carts;
mod connections;
mod crowd;
mod database;
mod disk;
mod expiry;
mod feed;
mod fill;
mod http;
mod lone;
mod measure;
mod memory;
mod neighbours;
mod scale;
mod seats;
mod service;
mod shop;
mod stale;
mod strategies;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the other benchmark needs more of it")]
mod support;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use holdfast::serve::asked_to_stop;

use self::database::{BUFFER_POOL, Ground};
use self::report::Bounds;
use self::support::{client, report};

/// Compares Holdfast with other ways of doing the same work.
#[derive(Parser)]
#[command(name = "script/bench", bin_name = "script/bench")]
struct Options {
    /// Run shorter and smaller, to try out the benchmark; the figures mean nothing
    #[arg(long)]
    quick: bool,
    /// Sections to run, comma-separated; all but scale by default
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Section>,
    /// Strategies to run, comma-separated (f needs e); all by default
    #[arg(long, value_delimiter = ',', default_value = "a,b,c,d,e,f,g")]
    strategies: Vec<char>,
    /// Numbers of buyers for the strategies, comma-separated; only e to g run with more than 2,000
    #[arg(long, value_delimiter = ',', default_value = "1,64,512,2000,8000")]
    buyers: Vec<usize>,
    /// Seconds for which each figure is measured, after a warm-up of a third of that [default: 3, quick: 1]
    #[arg(long)]
    seconds: Option<f64>,
    /// Number of reads that the section stale checks [default: 100000, quick: 10000]
    #[arg(long)]
    stale_checks: Option<u64>,
    /// The same as --stale-checks 1000000
    #[arg(long, conflicts_with = "stale_checks")]
    long: bool,
    /// Number of rows in the full tables of the section scale [default: 24000000, quick: 300000]
    #[arg(long)]
    rows: Option<i64>,
    /// Numbers of connections over HTTP, comma-separated
    #[arg(long, value_delimiter = ',', default_value = "1,512,2000")]
    connections: Vec<usize>,
    /// Server to measure on, mysql://user:password@host:port/, instead of a private one; its database
    /// `holdfast_bench` is dropped before and after
    #[arg(long)]
    url: Option<String>,
    /// Simulate a slow disk: each fsync of the private server takes so many milliseconds more
    #[arg(long, conflicts_with = "url")]
    fsync_ms: Option<f64>,
    /// Log filter of the service that is measured over HTTP
    #[arg(long, default_value = "warn,holdfast::serve=info")]
    log: String,
    /// Exit with 1 when a bound is missed
    #[arg(long)]
    check: bool,
    /// Passed by cargo to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    Strategies,
    Carts,
    Http,
    Feed,
    Lone,
    Crowd,
    Expiry,
    Memory,
    Neighbours,
    Seats,
    Shop,
    Stale,
    Scale,
}

/// The sizes and durations of a run.
struct Plan {
    warm_up: Duration,
    duration: Duration,
    /// Time for which each pool size of a strategy is tried.
    trial: Duration,
    strategies: Vec<char>,
    buyers: Vec<usize>,
    connections: Vec<usize>,
    crowd_rounds: usize,
    due_holds: u32,
    products: i64,
    /// Orders of which pages are read.
    orders: i64,
    stale_checks: u64,
    rows: i64,
    log: String,
}

impl Plan {
    fn new(options: &Options) -> Self {
        let (seconds, trial, stale_checks) = if options.quick { (1.0, 0.3, 10_000) } else { (3.0, 0.6, 100_000) };
        let duration = Duration::from_secs_f64(options.seconds.unwrap_or(seconds));
        Self {
            warm_up: duration / 3,
            duration,
            trial: Duration::from_secs_f64(trial),
            strategies: options.strategies.clone(),
            buyers: options.buyers.clone(),
            connections: options.connections.clone(),
            crowd_rounds: if options.quick { 2 } else { 5 },
            due_holds: if options.quick { 20_000 } else { 100_000 },
            products: if options.quick { 20_000 } else { 100_000 },
            orders: if options.quick { 20_000 } else { 1_000_000 },
            stale_checks: if options.long { 1_000_000 } else { options.stale_checks.unwrap_or(stale_checks) },
            rows: options.rows.unwrap_or(if options.quick { 300_000 } else { 24_000_000 }),
            log: options.log.clone(),
        }
    }
}

/// Runs the benchmark. A signal ends it early and also ends the processes that it started, since their values are dropped.
#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(milliseconds) = options.fsync_ms {
        disk::slow_down(milliseconds);
        println!("simulated slow disk: each fsync takes {milliseconds} ms more");
    }
    let kept = tokio::select! {
        kept = measure(&options) => kept,
        _ = asked_to_stop() => return ExitCode::FAILURE,
    };
    if options.check && !kept { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs the sections. Returns whether every bound was kept.
async fn measure(options: &Options) -> bool {
    let plan = Plan::new(options);
    let mut bounds = Bounds::default();
    if options.only != [Section::Scale] {
        measure_small(options, &plan, &mut bounds).await;
    }
    if options.only.contains(&Section::Scale) {
        scale::run(options.url.as_deref(), &plan, &mut bounds).await;
    }
    bounds.print()
}

/// Runs the sections that begin with empty tables.
async fn measure_small(options: &Options, plan: &Plan, bounds: &mut Bounds) {
    let wants = |section| options.only.is_empty() || options.only.contains(&section);
    let ground = Ground::prepare(options.url.as_deref(), BUFFER_POOL).await;
    report::settings(&ground.describe().await);
    if wants(Section::Strategies) {
        strategies::run(&ground, plan, bounds).await;
    }
    if wants(Section::Carts) {
        carts::run(&ground, plan, bounds).await;
    }
    if wants(Section::Http) {
        http::run(&ground, plan, bounds).await;
    }
    if wants(Section::Feed) {
        feed::run(&ground, plan, bounds).await;
    }
    if wants(Section::Lone) {
        lone::run(&ground, plan, bounds).await;
    }
    if wants(Section::Crowd) {
        crowd::run(&ground, plan, bounds).await;
    }
    if wants(Section::Expiry) {
        expiry::run(&ground, plan, bounds).await;
    }
    if wants(Section::Memory) {
        memory::run(&ground, plan, bounds).await;
    }
    if wants(Section::Neighbours) {
        neighbours::run(&ground, plan, bounds).await;
    }
    if wants(Section::Seats) {
        seats::run(&ground, plan, bounds).await;
    }
    if wants(Section::Shop) {
        shop::run(&ground, plan, bounds).await;
    }
    if wants(Section::Stale) {
        stale::run(&ground, plan, bounds).await;
    }
    ground.leave().await;
}
