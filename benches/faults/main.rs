//! Plays faults against `holdfast serve` and proves that nothing acknowledged is lost: faults of its neighbours, its machine,
//! its database and its clocks. `script/faults` builds and runs it; docs/faults.md explains the table.
//!
//! - [`crowds`]: clients that ask for too much, or for nothing
//! - [`network`]: a database server that is away, frozen or late
//! - [`writes`]: a database server that answers and cannot write
//! - [`clocks`]: a service or a database server whose clock is wrong
//!
//! [`play`] is what they have in common, [`journal`] the ledger.

mod apart;
mod clients;
mod clocks;
mod crowds;
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

/// Plays faults against the service while it sells, with a ledger of everything that it acknowledged.
#[derive(Parser)]
#[command(name = "script/faults", bin_name = "script/faults")]
struct Options {
    /// Each fault for a second or two and no judgement of times and rates: whether anything is lost
    #[arg(long)]
    quick: bool,
    /// Faults to play, comma-separated; all by default
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Fault>,
    /// How long a fault lasts; one that the service must find out first lasts three times as long [default: 4, quick: 1.5]
    #[arg(long)]
    seconds: Option<f64>,
    /// A server to play on, mysql://user:password@host:port/, instead of a private one; its database and its user
    /// `holdfast_faults` are dropped before and after, and faults of the server's process are skipped
    #[arg(long)]
    url: Option<String>,
    /// Another build of holdfast to play against, to compare two of them
    #[arg(long, default_value = env!("CARGO_BIN_EXE_holdfast"), hide_default_value = true)]
    program: String,
    /// Log filter of the service
    #[arg(long, default_value = "off,holdfast::serve=info")]
    log: String,
    /// End with 1 when a bound is missed, too
    #[arg(long)]
    check: bool,
    /// Passed by cargo to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Fault {
    /// 512 connections that ask for holds of unknown products
    UnknownProducts,
    /// 512 connections that ask for unknown holds
    UnknownHolds,
    /// 300 HTTP/2 connections with 200 streams each on the hot product
    Overload,
    /// 32 connections that pipeline GET /healthz
    Pipelining,
    /// A log that nothing reads
    UnreadLog,
    /// 1,200 idle clients, and a soft limit of 1,024 open files
    IdleCrowd,
    /// The same with a hard limit
    IdleCrowdHard,
    /// No packet between service and database arrives
    BlackHole,
    /// The database server's process is stopped, and goes on
    Frozen,
    /// The database server's process is killed, and starts again
    Gone,
    /// Every packet between service and database is 100 to 200 ms late
    Slow,
    /// Four connections to the database are killed every 50 ms
    Killed,
    /// A client of the database holds the hot product's row
    RowLock,
    /// The database server is set to read_only
    ReadOnly,
    /// The service's user may only read
    LostPrivileges,
    /// A client of the database has locked the table of holds
    TableLock,
    /// The table of holds is not there
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

/// How much of everything.
pub(crate) struct Plan {
    /// How long buyers sell before a fault.
    before: Duration,
    /// How long a fault lasts.
    fault: Duration,
    /// How long one lasts that the service must find out first.
    long_fault: Duration,
    /// How long the service may take to sell again.
    recovery: Duration,
    /// HTTP/2 connections, and streams of each, of the overload.
    flood: (usize, usize),
    /// Requests that a service with an unread log must answer.
    logged: usize,
    program: String,
    log: String,
}

/// Why a fault cannot be played here.
pub(crate) struct Skipped(String);

impl Skipped {
    /// The fault is one of the server's process or of its settings, and the server was named.
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

/// An early end of the run ends the processes that it started, too: they go with the values that are dropped here.
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

/// Where a private server has its data.
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
