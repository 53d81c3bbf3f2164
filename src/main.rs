//! The command line.

mod client_command;
mod command;
mod doctor_command;
mod feed_command;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use holdfast::app::App;
use holdfast::config::{self, Audited, Config, DatabaseUrl, Options, Problems, Settings, unknown_variables};
use holdfast::db::error::explain;
use holdfast::db::lock_wait::{self, MigrateError, Patience};
use holdfast::db::{Database, migrations};
use holdfast::dev::{Banner, DATABASE, DevOperator, PrivateServer, Signer};
use holdfast::serve::{Service, StartError, asked_to_stop, listen};
use holdfast::telemetry::{Flusher, StderrGuard};
use holdfast::{checkout, http, telemetry};
use mysql_async::Opts;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::client_command::ClientCommand;
use self::command::{Failed, complain, failed, print};
use self::doctor_command::Doctor;
use self::feed_command::FeedCommand;

/// The version, and the commit if it is known.
const VERSION: &str = env!("BUILD_VERSION");

/// Sells limited stock in a flash sale: the last unit exactly once.
#[derive(Parser)]
#[command(version = VERSION, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Try the service with a private database server, the schema, one product and one event
    Dev(Dev),
    /// Serve with an existing database; creates nothing there
    Serve(Options),
    /// Bring the schema of a database up to date; may be run again at any time. Exits with 4 when it gave up waiting for
    /// a lock
    Migrate(Migrate),
    /// Create product 1 if it does not exist
    Seed(Seed),
    /// Manage the programs that may call: their names, roles, tokens and keys
    #[command(subcommand)]
    Client(ClientCommand),
    /// Manage the feed of events
    #[command(subcommand)]
    Feed(FeedCommand),
    /// Audit all data in one snapshot, also during a sale. Exits with 0 without findings, 1 with findings, 3 when it cannot run
    Audit(Audited),
    /// Examine the database, its settings and privileges, the clocks and the StatsD server, and say what to do. Changes nothing.
    /// Exits with 0 when all is well, 1 with warnings, 2 when something fails
    Doctor(Doctor),
    /// Print the OpenAPI document
    Openapi,
    /// Print docs/errors.md: every code of an error, and what to do about it
    Errors,
}

#[derive(Args)]
struct Dev {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    product: Product,
    /// Where the private server keeps its data and its log
    #[arg(long, env = "HOLDFAST_DEV_FOLDER", value_name = "FOLDER", default_value = ".holdfast")]
    dev_folder: PathBuf,
}

#[derive(Args)]
struct Migrate {
    #[command(flatten)]
    database: DatabaseUrl,
    /// How long to wait for tables that open transactions use, 0 to 86400, in attempts of a second with pauses between
    /// them
    #[arg(long, env = "HOLDFAST_MIGRATE_WAIT_SECONDS", value_name = "SECONDS",
          default_value_t = lock_wait::TOTAL.as_secs(), value_parser = clap::value_parser!(u64).range(0..=86_400))]
    migrate_wait_seconds: u64,
}

#[derive(Args)]
struct Seed {
    #[command(flatten)]
    database: DatabaseUrl,
    #[command(flatten)]
    product: Product,
}

/// The product that is created if it does not exist.
#[derive(Args)]
struct Product {
    /// Name of product 1
    #[arg(long, env = "HOLDFAST_SEED_NAME", value_name = "NAME", default_value = "Limited edition")]
    seed_name: String,
    /// Price of one unit, in minor units
    #[arg(long, env = "HOLDFAST_SEED_PRICE_MINOR", value_name = "UNITS", default_value_t = 4999,
          value_parser = clap::value_parser!(i64).range(0..=100_000_000_000_000))]
    seed_price_minor: i64,
    /// ISO 4217 code of the currency
    #[arg(long, env = "HOLDFAST_SEED_CURRENCY", value_name = "CODE", default_value = "EUR", value_parser = currency)]
    seed_currency: String,
    /// Number of units put on sale
    #[arg(long, env = "HOLDFAST_SEED_STOCK", value_name = "UNITS", default_value_t = 100,
          value_parser = clap::value_parser!(i64).range(0..))]
    seed_stock: i64,
}

fn currency(text: &str) -> Result<String, String> {
    let currency = holdfast::domain::Currency::parse(text);
    currency.map(|currency| currency.as_str().to_owned()).ok_or_else(|| "three letters, such as EUR".to_owned())
}

#[tokio::main]
async fn main() -> ExitCode {
    let _flushed_last = StderrGuard;
    let command = Cli::parse().command;
    let Err(failed) = run(command, unknown()).await else { return ExitCode::SUCCESS };
    match &failed {
        Failed::Configuration(problems) => complain(problems),
        Failed::NoAudit(what) | Failed::GaveUp(what) | Failed::Stopped(what) | Failed::Other(what) => complain(what),
        Failed::NotClean | Failed::Found(_) | Failed::ClosedPipe => {}
    }
    ExitCode::from(failed.exit_code())
}

/// Runs a command; `problems` of the configuration were found before.
async fn run(command: Command, problems: Problems) -> Result<(), Failed> {
    match command {
        Command::Dev(dev) => run_dev(dev, problems).await,
        Command::Serve(options) => run_serve(options, problems).await,
        Command::Migrate(migrate) => run_migrate(&migrate, problems).await,
        Command::Seed(seed) => run_seed(&seed, problems).await,
        Command::Client(command) => run_client(command, problems).await,
        Command::Feed(command) => run_feed(command, problems).await,
        Command::Audit(audited) => run_audit(&audited, problems).await,
        Command::Doctor(doctor) => doctor.run(problems).await,
        Command::Openapi | Command::Errors if !problems.0.is_empty() => Err(problems.into()),
        Command::Errors => print(http::document::errors()),
        Command::Openapi => print(http::document(&Arc::new(App::new(&unused_config())))),
    }
}

/// Returns a problem for each variable of the environment that sets nothing.
fn unknown() -> Problems {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    unknown_variables(&Cli::command(), env::vars_os().map(|(name, value)| (text(name), text(value))))
}

/// Returns a configuration for the document, which depends on no setting: the state of its routes is never used.
fn unused_config() -> Config {
    let settings = Settings {
        database_url: Some("mysql://nowhere/nothing".to_owned()),
        webhook_secrets: Some("off".to_owned()),
        storefront: Some("open".to_owned()),
        ..Settings::default()
    };
    settings.read().expect("defaults are valid")
}

async fn run_serve(options: Options, mut problems: Problems) -> Result<(), Failed> {
    let config = options.texts(&mut problems).read_beside(problems)?;
    let flusher = start_telemetry(&config)?;
    let service = start_service(listen_on(&config)?, config).await?;
    let stopped = asked_to_stop().await.map_err(|error| failed("cannot listen to signals")(&error));
    stop(service).await;
    flush(flusher);
    stopped
}

/// Stops gracefully, or at once on a second signal.
async fn stop(service: Service) {
    tokio::select! {
        () = service.stop() => {}
        _ = asked_to_stop() => complain("stopped at once; requests under way were cut off"),
    }
}

fn listen_on(config: &Config) -> Result<TcpListener, Failed> {
    let cannot = |error| failed(&format!("cannot listen on {} (HOLDFAST_LISTEN)", config.listen))(&error);
    listen(config.listen).map_err(cannot)
}

async fn start_service(listener: TcpListener, config: Config) -> Result<Service, Failed> {
    let metrics = config.metrics_listen.map_or(String::new(), |address| address.to_string());
    Service::start_on(listener, config).await.map_err(|error| match error {
        StartError::Service(error) => failed("the service cannot start")(&error),
        StartError::Metrics(error) => failed(&format!("cannot listen on {metrics} for metrics"))(&error),
    })
}

async fn run_migrate(options: &Migrate, problems: Problems) -> Result<(), Failed> {
    let database = options.database.read(problems)?;
    let report = |line: &str| complain(line);
    let patience = Patience { total: Duration::from_secs(options.migrate_wait_seconds), report: &report };
    let stop = async {
        if asked_to_stop().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let versions = migrations::migrate_within(&database, &patience, stop).await.map_err(not_migrated)?;
    let latest = migrations::latest();
    match versions.as_slice() {
        [] => print(format_args!("the schema is up to date at version {latest}\n")),
        applied => print(format_args!("applied {} migrations; the schema is at version {latest}\n", applied.len())),
    }
}

fn not_migrated(error: MigrateError) -> Failed {
    let what = format!("the schema is not up to date: {}", explain(&error));
    match error {
        MigrateError::GaveUp { .. } => Failed::GaveUp(what),
        MigrateError::Stopped => Failed::Stopped(what),
        MigrateError::Failed { .. } => Failed::Other(what),
    }
}

async fn run_client(command: ClientCommand, problems: Problems) -> Result<(), Failed> {
    let database = Database::new(command.database().read(problems)?, 1);
    let checkout = checkout::Checkout::new(database, checkout::Policy::default());
    let done = command.run(&checkout).await;
    checkout.close().await;
    print(done.map_err(|error| failed("the client cannot be managed")(&error))?)
}

async fn run_feed(command: FeedCommand, problems: Problems) -> Result<(), Failed> {
    let database = Database::new(command.database().read(problems)?, 1);
    let checkout = checkout::Checkout::new(database, checkout::Policy::default());
    let done = command.run(&checkout).await;
    checkout.close().await;
    print(done.map_err(|error| failed("a new epoch cannot begin")(&error))?)
}

async fn run_seed(seed: &Seed, problems: Problems) -> Result<(), Failed> {
    let options = seed.database.read(problems)?;
    match make_product(options, &seed.product).await? {
        true => print(format_args!("product 1 was created with a stock of {}\n", seed.product.seed_stock)),
        false => print("product 1 exists already\n"),
    }
}

async fn run_audit(audited: &Audited, problems: Problems) -> Result<(), Failed> {
    let (options, statsd, style) = audited.read(problems)?;
    let database = Database::new(options, 1);
    let checkout = checkout::Checkout::new(database.clone(), checkout::Policy::default());
    let ended = CancellationToken::new();
    let report = {
        let audit = checkout.audit_until(&ended);
        tokio::pin!(audit);
        tokio::select! {
            report = &mut audit => report,
            _ = asked_to_stop() => {
                ended.cancel();
                audit.await
            }
        }
    };
    database.close().await;
    let report = report.map_err(|error| Failed::NoAudit(format!("the audit cannot run: {}", explain(&error))))?;
    // not before: metrics of this process are none of the service
    let flusher = telemetry::start_metrics(statsd.as_deref(), style);
    telemetry::audited(report.count());
    flush(flusher);
    print(format_args!("{report}\n"))?;
    if report.is_clean() { Ok(()) } else { Err(Failed::NotClean) }
}

async fn make_product(options: Opts, product: &Product) -> Result<bool, Failed> {
    let database = Database::new(options, 1);
    let policy = checkout::Policy::default();
    let Product { seed_name, seed_price_minor, seed_currency, seed_stock } = product;
    let seeded = checkout::Checkout::new(database.clone(), policy)
        .seed(seed_name, *seed_price_minor, seed_currency, *seed_stock)
        .await
        .map_err(|error| failed("product 1 cannot be created")(&error));
    database.close().await;
    seeded
}

/// Makes what `dev` sells: product 1, and an event, whose id it returns.
async fn make_samples(options: Opts, product: &Product) -> Result<i64, Failed> {
    make_product(options.clone(), product).await?;
    let checkout = checkout::Checkout::new(Database::new(options, 1), checkout::Policy::default());
    let event_id = checkout.seed_event(&product.seed_currency).await;
    checkout.close().await;
    event_id.map_err(|error| failed("the sample event cannot be created")(&error))
}

async fn run_dev(dev: Dev, mut problems: Problems) -> Result<(), Failed> {
    let mut settings = dev.options.texts(&mut problems);
    settings.use_dev_defaults();
    let (signer, operator) = (Signer::of(&mut settings), DevOperator::of(&mut settings));
    // The other settings and the port are checked before a database server is started.
    let own_url = format!("mysql://127.0.0.1/{DATABASE}");
    let ignored_url = settings.database_url.replace(own_url).is_some();
    let config = settings.read_beside(problems)?;
    let flusher = start_telemetry(&config)?;
    let listener = listen_on(&config)?;
    if ignored_url {
        tracing::warn!(
            "HOLDFAST_DATABASE_URL is ignored: `dev` has a database of its own; `serve` uses the one that is given"
        );
    }
    let mut database = PrivateServer::start(&dev.dev_folder, &[])
        .await
        .map_err(|error| failed("the private database does not start")(&error))?;
    let dev = DevService { product: dev.product, signer, operator, ignored_url };
    let served = serve_dev(&dev, listener, config, &mut database).await;
    database.stop().await;
    flush(flusher);
    served
}

/// What `dev` sells, and what its banner says.
struct DevService {
    product: Product,
    signer: Signer,
    operator: DevOperator,
    ignored_url: bool,
}

async fn serve_dev(
    dev: &DevService,
    listener: TcpListener,
    mut config: Config,
    database: &mut PrivateServer,
) -> Result<(), Failed> {
    let DevService { signer, operator, ignored_url, .. } = dev;
    config.database_url = config::database(&database.url(DATABASE))?;
    config.pays_orders = true;
    migrations::migrate(&config.database_url).await.map_err(not_migrated)?;
    let event_id = make_samples(config.database_url.clone(), &dev.product).await?;
    let (statsd, storefront, webhook_auth) = (config.statsd.clone(), config.storefront, config.webhook_auth);
    let service = start_service(listener, config).await?;
    let (address, statsd, ignored_url) = (service.address(), statsd.as_deref(), *ignored_url);
    let banner =
        Banner { address, event_id, database, ignored_url, statsd, signer, operator, storefront, webhook_auth };
    let ended = match print(banner) {
        Ok(()) => tokio::select! {
            asked = asked_to_stop() => asked.map_err(|error| failed("cannot listen to signals")(&error)),
            died = database.exited() => Err(failed("the private database ended")(&died)),
        },
        unread => unread,
    };
    stop(service).await;
    ended
}

fn start_telemetry(config: &Config) -> Result<Option<Flusher>, Failed> {
    telemetry::start_logs(&config.log).map_err(Failed::Other)?;
    if let Some(muted) = telemetry::muted_warnings(&config.log) {
        complain(format_args!("HOLDFAST_LOG=`{}` mutes warnings of {muted}: allow `warn` there", config.log));
    }
    Ok(telemetry::start_metrics(config.statsd.as_deref(), config.statsd_style))
}

fn flush(flusher: Option<Flusher>) {
    if let Some(flusher) = flusher {
        flusher.flush();
    }
}
