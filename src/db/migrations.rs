//! The schema: forward only, one idempotent change per file, so that running it again, or twice at once, does no harm.

use std::future::Future;

use futures_util::FutureExt as _;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, Params, params};
use tracing::warn;

use super::door::Database;
use super::error::Error;
use super::lock_wait::{self, MigrateError, Patience, Step, Waits};
use super::lost_connection::ConnectionId;
use super::{pool, sql};

macro_rules! migrations {
    ($($version:literal $name:literal),+ $(,)?) => {
        /// Every migration: version, name, statement.
        pub const ALL: &[(u32, &str, &str)] =
            &[$(($version, $name, include_str!(concat!("../../migrations/V", $version, "__", $name, ".sql")))),+];
    };
}

migrations! {
    1 "products",
    2 "holds",
    3 "orders",
    4 "order_events",
    5 "payment_events",
    6 "idempotency_keys",
    7 "charges",
    8 "charges_of_old_events",
    9 "payment_events_retried",
    10 "orders_refunded_in_parts",
    11 "payment_event_trail",
    12 "orders_refunded_before",
    13 "holds_due_by_deadline",
    14 "idempotency_keys_id",
    15 "idempotency_keys_id_by_default",
    16 "idempotency_keys_id_of_old_rows",
    17 "idempotency_keys_by_id",
    18 "payment_events_unmatched",
    19 "payment_links",
    20 "unmatched_objects",
    21 "orders_failed_attempts",
    22 "payment_event_quarantines",
    23 "payment_event_deliveries",
    24 "orders_refunded_currency",
    25 "readiness",
    26 "hold_owners",
    27 "order_owners",
    28 "orders_by_age",
    29 "clients",
    30 "client_keys",
    31 "client_trail",
    32 "payment_event_operators",
    33 "products_terms",
    34 "products_sku",
    35 "products_by_status",
    36 "products_plain",
    37 "holds_order_time",
    38 "product_trail",
    39 "idempotency_keys_of_stock",
    40 "holds_changes",
    41 "products_max_hold_seconds",
    42 "buyer_units",
    43 "holds_counted",
    44 "products_limit_state",
    45 "products_by_limit",
    46 "orders_recounts",
    47 "product_trail_limit_passed",
    48 "organizers",
    49 "events",
    50 "products_tickets",
    51 "products_by_event",
    52 "products_plain_without_tickets",
    53 "seats",
    54 "holds_seats",
    55 "orders_seats",
    56 "tickets",
    57 "orders_disputed",
    59 "events_limit",
    60 "products_event_limit",
    61 "holds_event_counter",
    62 "event_cancellations",
    63 "due_refunds",
    64 "charges_due_refunds",
    65 "orders_client",
    66 "feed_batches",
    67 "feed",
    68 "feed_begins",
    69 "order_events_told",
    70 "endpoints",
    71 "endpoint_trail",
    72 "push_cursors",
    73 "push_cursors_begin",
    74 "push_failures",
    75 "push_attempts",
    76 "feed_products",
}

/// MySQL's and MariaDB's "Unknown database".
const UNKNOWN_DATABASE: u16 = 1049;
/// "Duplicate column name" and "Duplicate key name": the change exists already, from a run at the same time, or from one that
/// ended before it could record the migration.
const ALREADY_THERE: [u16; 2] = [1060, 1061];
/// Migrations that change a few rows of a large table at a time. Each runs again until it changes none.
const IN_PARTS: [u32; 1] = [16];

/// Brings the database that the URL names up to date, and creates it if it does not exist. Returns the versions that were
/// applied. Waits for locks as [`migrate_within`] does, up to [`lock_wait::TOTAL`], and logs the waits.
///
/// # Errors
/// As [`migrate_within`].
pub async fn migrate(options: &Opts) -> Result<Vec<u32>, MigrateError> {
    let report = |line: &str| warn!("{line}");
    migrate_within(options, &Patience { total: lock_wait::TOTAL, report: &report }, std::future::pending()).await
}

/// Does the same as [`migrate`] within the caller's limit, until `stop`: then it ends the connection on the server.
///
/// # Errors
/// Any error of the server, a lock that did not become free in time, and a stop; migrations that were applied before stay.
pub async fn migrate_within(
    options: &Opts,
    patience: &Patience<'_>,
    stop: impl Future<Output = ()>,
) -> Result<Vec<u32>, MigrateError> {
    let mut stop = std::pin::pin!(stop);
    let connecting = |source| MigrateError::Failed { step: "connecting to the database".to_owned(), source };
    let mut conn = tokio::select! {
        connected = connect(options) => connected.map_err(connecting)?,
        () = &mut stop => return Err(MigrateError::Stopped),
    };
    let id = ConnectionId::of(&mut conn).await.map_err(connecting)?;
    let applied = tokio::select! {
        applied = apply(&mut conn, patience) => applied,
        () = &mut stop => {
            id.end(&pool::session(options.clone()).into()).await;
            return Err(MigrateError::Stopped);
        }
    };
    let _ = conn.disconnect().await;
    applied
}

#[expect(clippy::disallowed_methods, reason = "the schema changes outside any transaction, before anything is served")]
async fn connect(options: &Opts) -> Result<Conn, mysql_async::Error> {
    let mut conn = match Conn::new(pool::session(options.clone())).await {
        Err(mysql_async::Error::Server(error)) if error.code == UNKNOWN_DATABASE => {
            create_database(options).await?;
            Conn::new(pool::session(options.clone())).await?
        }
        other => other?,
    };
    conn.query_drop(lock_wait::SETTING).await?;
    Ok(conn)
}

async fn apply(conn: &mut Conn, patience: &Patience<'_>) -> Result<Vec<u32>, MigrateError> {
    let mut waits = Waits::new(patience);
    let step = Step::new("the list of migrations", sql::schema_migrations::CREATE);
    waits.run(conn, &step, sql::schema_migrations::CREATE, Params::Empty).await?;
    let mut attempt = 1;
    let applied: Vec<u32> = loop {
        match conn.query(sql::schema_migrations::LIST).await {
            Ok(applied) => break applied,
            Err(error) => waits.pause(conn, &step, attempt, error).await?,
        }
        attempt += 1;
    };
    let mut versions = Vec::new();
    for &(version, name, statement) in ALL.iter().filter(|(version, ..)| !applied.contains(version)) {
        let step = Step::new(format!("migration V{version} {name}"), statement);
        match change(conn, &mut waits, &step, version, statement).await {
            Err(MigrateError::Failed { source: mysql_async::Error::Server(error), .. })
                if ALREADY_THERE.contains(&error.code) => {}
            other => other?,
        }
        waits.run(conn, &step, sql::schema_migrations::INSERT, params! { version, name }).await?;
        versions.push(version);
    }
    Ok(versions)
}

/// Runs one migration; one of [`IN_PARTS`] until it changes no row.
async fn change(
    conn: &mut Conn,
    waits: &mut Waits<'_>,
    step: &Step,
    version: u32,
    statement: &str,
) -> Result<(), MigrateError> {
    loop {
        waits.run(conn, step, statement, Params::Empty).await?;
        if !IN_PARTS.contains(&version) || conn.affected_rows() == 0 {
            return Ok(());
        }
    }
}

/// Returns the newest applied migration; `None` for a database without any.
///
/// # Errors
/// As every read.
pub async fn version(database: &Database) -> Result<Option<u32>, Error> {
    database
        .read("schema.version", |tx| {
            async move {
                match tx.row::<u64>(sql::schema_migrations::COUNT_TABLES, ()).await? {
                    Some(1) => Ok(tx.row::<Option<u32>>(sql::schema_migrations::FIND_LATEST, ()).await?.flatten()),
                    _ => Ok(None),
                }
            }
            .boxed()
        })
        .await
}

/// Returns the newest migration that this program knows.
pub const fn latest() -> u32 {
    ALL[ALL.len() - 1].0
}

/// Returns the names of all CHECK constraints that the migrations make.
pub fn checks() -> impl Iterator<Item = &'static str> {
    let words = ALL.iter().map(|(_, _, statement)| statement.split_whitespace().collect::<Vec<_>>());
    words.flat_map(|words| {
        let made = words.windows(3).filter(|words| words[0] == "CONSTRAINT" && words[2].starts_with("CHECK"));
        made.map(|words| words[1]).collect::<Vec<_>>()
    })
}

#[expect(clippy::disallowed_methods, reason = "there is no database to open a door to yet")]
async fn create_database(options: &Opts) -> Result<(), mysql_async::Error> {
    let name = options.db_name().unwrap_or_default().replace('`', "``");
    let mut conn = Conn::new(pool::session(options.clone()).db_name(None::<String>)).await?;
    conn.query_drop(format!("CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4")).await?;
    conn.disconnect().await
}
