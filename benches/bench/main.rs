//! Figures of Holdfast beside those of other ways of doing the same work: same run, same machine, same server, same
//! schema. `script/bench` builds and runs it.
//!
//! - [`strategies`]: one hot product, taken by row locks, by versions, by single units, one guarded transaction each,
//!   Holdfast's batches, and bare connections as the limit
//! - [`http`]: the program itself, beside an echo that goes the same way through it
//! - [`crowd`]: 15,000 buyers for 1,000 units at once
//! - [`expiry`]: 100,000 holds that run out at the same moment
//! - [`memory`]: 100,000 different products, one after the other
//! - [`neighbours`]: a hot product beside connections that ask for something else
//! - [`scale`]: full tables beside empty ones; only when it is asked for, since filling them takes minutes
//! - [`stale`]: reads that begin after an answer, and must show it

mod connections;
mod crowd;
mod database;
mod expiry;
mod fill;
mod http;
mod measure;
mod memory;
mod neighbours;
mod scale;
mod service;
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

/// Measures Holdfast beside other ways of doing the same work.
#[derive(Parser)]
#[command(name = "script/bench", bin_name = "script/bench")]
struct Options {
    /// Shorter and smaller: to try the harness, not for figures
    #[arg(long)]
    quick: bool,
    /// Sections to run, comma-separated; all but scale by default
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Section>,
    /// Strategies to run, comma-separated (f needs e); all by default
    #[arg(long, value_delimiter = ',', default_value = "a,b,c,d,e,f")]
    strategies: Vec<char>,
    /// Numbers of buyers of the strategies, comma-separated; more than 2,000 are for e and f alone
    #[arg(long, value_delimiter = ',', default_value = "1,64,512,2000,8000")]
    buyers: Vec<usize>,
    /// How long every figure is measured, after a third of that to warm up [default: 3, quick: 1]
    #[arg(long)]
    seconds: Option<f64>,
    /// How many reads after an answer are checked [default: 100000, quick: 10000]
    #[arg(long)]
    stale_checks: Option<u64>,
    /// Check a million of them
    #[arg(long, conflicts_with = "stale_checks")]
    long: bool,
    /// How many rows the full tables of the section scale have [default: 24000000, quick: 300000]
    #[arg(long)]
    rows: Option<i64>,
    /// Numbers of connections over HTTP, comma-separated
    #[arg(long, value_delimiter = ',', default_value = "1,512,2000")]
    connections: Vec<usize>,
    /// A server to measure on, mysql://user:password@host:port/, instead of a private one; its database
    /// `holdfast_bench` is dropped before and after
    #[arg(long)]
    url: Option<String>,
    /// Log filter of the service that is measured over HTTP
    #[arg(long, default_value = "warn,holdfast::serve=info")]
    log: String,
    /// End with 1 when a bound is missed
    #[arg(long)]
    check: bool,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    Strategies,
    Http,
    Crowd,
    Expiry,
    Memory,
    Neighbours,
    Stale,
    Scale,
}

/// How much of everything.
struct Plan {
    warm_up: Duration,
    duration: Duration,
    /// How long each size of a strategy's pool is tried.
    trial: Duration,
    strategies: Vec<char>,
    buyers: Vec<usize>,
    connections: Vec<usize>,
    crowd_rounds: usize,
    due_holds: u32,
    products: i64,
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
            stale_checks: if options.long { 1_000_000 } else { options.stale_checks.unwrap_or(stale_checks) },
            rows: options.rows.unwrap_or(if options.quick { 300_000 } else { 24_000_000 }),
            log: options.log.clone(),
        }
    }
}

/// Whoever ends the run early ends the processes that it started too: they go with the values that are dropped here.
#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
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

/// The sections that begin with empty tables.
async fn measure_small(options: &Options, plan: &Plan, bounds: &mut Bounds) {
    let wants = |section| options.only.is_empty() || options.only.contains(&section);
    let ground = Ground::prepare(options.url.as_deref(), BUFFER_POOL).await;
    report::settings(&ground.describe().await);
    if wants(Section::Strategies) {
        strategies::run(&ground, plan, bounds).await;
    }
    if wants(Section::Http) {
        http::run(&ground, plan, bounds).await;
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
    if wants(Section::Stale) {
        stale::run(&ground, plan, bounds).await;
    }
    ground.leave().await;
}
