//! Plays faults against `holdfast serve` and checks that no acknowledged request is lost: faults of other clients, the
//! machine, the database and the clocks. `script/faults` builds and runs it; docs/faults.md explains the table.
//!
//! - [`crowds`]: clients that send too many requests, or none
//! - [`network`]: a database server that is unreachable, frozen or slow
//! - [`writes`]: a database server that answers and cannot write
//! - [`clocks`]: a service or a database server whose clock is wrong
//!
//! All of them use [`play`], which runs one fault, [`journal`], which has the ledger, and [`feed`], a reader of the feed.

mod apart;
mod clients;
mod clocks;
mod crowds;
mod feed;
mod flood;
mod ground;
mod journal;
mod network;
mod play;
mod proxy;
mod report;
mod server;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the other benchmark needs more of it")]
mod support;
mod writes;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use holdfast::serve::asked_to_stop;

use self::ground::Ground;
use self::report::Report;
use self::server::Server;

/// Plays faults against the service while it sells, and checks that no acknowledged request is lost.
#[derive(Parser)]
#[command(name = "script/faults", bin_name = "script/faults")]
struct Options {
    /// Play each fault for a second or two, and do not check times and rates
    #[arg(long)]
    quick: bool,
    /// Faults to play, comma-separated; all by default
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Fault>,
    /// Seconds that a fault lasts; faults that the service must detect first last three times as long [default: 4, quick: 1.5]
    #[arg(long)]
    seconds: Option<f64>,
    /// Server to play on, mysql://user:password@host:port/, instead of a private one; its database and its user
    /// `holdfast_faults` are dropped before and after, and faults of the server's process and settings are skipped
    #[arg(long)]
    url: Option<String>,
    /// Another build of holdfast to play against, to compare two builds
    #[arg(long, default_value = env!("CARGO_BIN_EXE_holdfast"), hide_default_value = true)]
    program: String,
    /// Log filter of the service
    #[arg(long, default_value = "off,holdfast::serve=info")]
    log: String,
    /// Also exit with 1 when a bound is missed
    #[arg(long)]
    check: bool,
    /// Passed by cargo to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Fault {
    /// 512 connections take holds of unknown products
    UnknownProducts,
    /// 512 connections read unknown holds
    UnknownHolds,
    /// 300 HTTP/2 connections with 200 streams each take holds of the hot product
    Overload,
    /// 32 connections pipeline GET /healthz
    Pipelining,
    /// The service's log is not read
    UnreadLog,
    /// 1,200 clients connect and send nothing; the soft limit of open files is 1,024
    IdleCrowd,
    /// The same with a hard limit of 1,024
    IdleCrowdHard,
    /// All packets between service and database are lost
    BlackHole,
    /// The database server's process is stopped and continued
    Frozen,
    /// The database server's process is killed and started again
    Gone,
    /// Every packet between service and database is 100 to 200 ms late
    Slow,
    /// Four connections to the database are killed every 50 ms
    Killed,
    /// A client of the database holds the hot product's row
    RowLock,
    /// The database server is set to `read_only`
    ReadOnly,
    /// The service's user may only read
    LostPrivileges,
    /// A client of the database locks the table of holds
    TableLock,
    /// The table of holds is missing
    MissingTable,
    /// The disk of the database is full
    FullDisk,
    /// The service's clock is ten minutes fast
    ServiceClock,
    /// The database's clock jumps an hour ahead
    ClockJump,
}

impl Fault {
    fn name(self) -> String {
        self.to_possible_value().expect("every fault has a name").get_name().to_owned()
    }
}

/// The sizes and durations of a run.
pub(crate) struct Plan {
    /// Time for which buyers buy before a fault.
    before: Duration,
    /// Duration of a fault.
    fault: Duration,
    /// Duration of a fault that the service must detect first.
    long_fault: Duration,
    /// The longest time until the service must sell again.
    recovery: Duration,
    /// HTTP/2 connections, and streams per connection, of the overload.
    flood: (usize, usize),
    /// Number of requests in the fault `unread-log`.
    logged: usize,
    program: String,
    log: String,
}

/// The reason why a fault cannot be played here.
pub(crate) struct Skipped(String);

impl Skipped {
    /// The fault needs the server's process or its settings, and `--url` names the server.
    pub(crate) fn named_server() -> Self {
        Self("only on a private server".to_owned())
    }
}

impl Plan {
    fn new(options: &Options) -> Self {
        let fault = options.seconds.unwrap_or(if options.quick { 1.5 } else { 4.0 });
        let seconds = Duration::from_secs_f64;
        Self {
            before: seconds(if options.quick { 0.5 } else { 2.0 }),
            fault: seconds(fault),
            long_fault: seconds(if options.quick { fault } else { fault * 3.0 }),
            recovery: seconds(if options.quick { 10.0 } else { 30.0 }),
            flood: if options.quick { (20, 100) } else { (300, 200) },
            logged: if options.quick { 2_000 } else { 10_000 },
            program: options.program.clone(),
            log: options.log.clone(),
        }
    }
}

/// Runs the faults. A signal ends the run early and also ends the processes that it started, since their values are dropped.
#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let (safe, kept) = tokio::select! {
        found = play(&options) => found,
        _ = asked_to_stop() => return ExitCode::FAILURE,
    };
    if !safe || (options.check && !kept) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Plays the faults. Returns whether nothing was lost, and whether every bound was kept.
async fn play(options: &Options) -> (bool, bool) {
    let plan = Plan::new(options);
    let mut ground = match &options.url {
        Some(url) => Ground::named(url).await,
        None => {
            let server = Server::start(&folder("faults-database"), &[]).await;
            Ground::private(server.unwrap_or_else(|error| panic!("the private server does not start: {error}"))).await
        }
    };
    support::report::settings(&ground.describe().await);
    let mut report = Report::new(!options.quick);
    for &fault in Fault::value_variants() {
        let wanted = options.only.is_empty() || options.only.contains(&fault);
        if wanted && let Err(Skipped(reason)) = fault.play(&mut ground, &plan, &mut report).await {
            report.skipped(&fault.name(), &reason);
        }
    }
    ground.leave().await;
    report.print()
}

/// Returns the folder for the data of a private server.
fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

impl Fault {
    async fn play(self, ground: &mut Ground, plan: &Plan, report: &mut Report) -> Result<(), Skipped> {
        let name = &self.name();
        match self {
            Self::UnknownProducts => crowds::unknown_products(name, ground, plan, report).await,
            Self::UnknownHolds => crowds::unknown_holds(name, ground, plan, report).await,
            Self::Overload => crowds::overload(name, ground, plan, report).await,
            Self::Pipelining => crowds::pipelining(name, ground, plan, report).await,
            Self::UnreadLog => crowds::unread_log(name, ground, plan, report).await,
            Self::IdleCrowd => crowds::idle_crowd(name, ground, plan, report, "ulimit -Sn 1024").await,
            Self::IdleCrowdHard => crowds::idle_crowd(name, ground, plan, report, "ulimit -n 1024").await,
            Self::BlackHole => network::black_hole(name, ground, plan, report).await,
            Self::Frozen => return network::frozen(name, ground, plan, report).await,
            Self::Gone => return network::gone(name, ground, plan, report).await,
            Self::Slow => network::slow(name, ground, plan, report).await,
            Self::Killed => network::killed(name, ground, plan, report).await,
            Self::RowLock => network::row_lock(name, ground, plan, report).await,
            Self::ReadOnly => return writes::read_only(name, ground, plan, report).await,
            Self::LostPrivileges => writes::lost_privileges(name, ground, plan, report).await,
            Self::TableLock => writes::table_lock(name, ground, plan, report).await,
            Self::MissingTable => writes::missing_table(name, ground, plan, report).await,
            Self::FullDisk => return writes::full_disk(name, ground, plan, report).await,
            Self::ServiceClock => return clocks::service_clock(name, ground, plan, report).await,
            Self::ClockJump => return clocks::clock_jump(name, ground, plan, report).await,
        }
        Ok(())
    }
}
