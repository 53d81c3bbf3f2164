//! The schema: forward only, one idempotent change per file, so that running them again, or two at once, does no harm.

use futures_util::FutureExt as _;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, params};

use super::{Database, Error, pool, sql};

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
}

/// MySQL's and MariaDB's "Unknown database".
const UNKNOWN_DATABASE: u16 = 1049;
/// "Duplicate column name" and "Duplicate key name": the change was made before, by another one at the same time, or by
/// one that ended before it could write that down.
const ALREADY_THERE: [u16; 2] = [1060, 1061];
/// Migrations that change a few rows of a large table at a time. Each runs again until it changes none.
const IN_PARTS: [u32; 1] = [16];
/// "Lock wait timeout exceeded" and "Deadlock found": a part of a migration meets a request, and runs again.
const MET_A_REQUEST: [u16; 2] = [1205, 1213];
/// How often in a row a part of a migration may meet a request.
const MEETINGS: u32 = 20;

/// Brings the database that the URL names up to date, and makes it where it does not exist. Returns the versions that
/// were applied.
///
/// # Errors
/// Whatever the server says; what was applied until then stays.
#[expect(clippy::disallowed_methods, reason = "the schema changes outside any transaction, before anything is served")]
pub async fn migrate(options: &Opts) -> Result<Vec<u32>, mysql_async::Error> {
    let mut conn = match Conn::new(pool::session(options.clone())).await {
        Err(mysql_async::Error::Server(error)) if error.code == UNKNOWN_DATABASE => {
            create_database(options).await?;
            Conn::new(pool::session(options.clone())).await?
        }
        other => other?,
    };
    conn.query_drop(sql::schema_migrations::CREATE).await?;
    let applied: Vec<u32> = conn.query(sql::schema_migrations::LIST).await?;
    let mut versions = Vec::new();
    for &(version, name, statement) in ALL.iter().filter(|(version, ..)| !applied.contains(version)) {
        match apply(&mut conn, version, statement).await {
            Err(mysql_async::Error::Server(error)) if ALREADY_THERE.contains(&error.code) => {}
            other => other?,
        }
        conn.exec_drop(sql::schema_migrations::INSERT, params! { version, name }).await?;
        versions.push(version);
    }
    conn.disconnect().await?;
    Ok(versions)
}

/// Runs one migration; one of [`IN_PARTS`] until it changes no row.
async fn apply(conn: &mut Conn, version: u32, statement: &str) -> Result<(), mysql_async::Error> {
    if !IN_PARTS.contains(&version) {
        return conn.query_drop(statement).await;
    }
    let mut met = 0;
    loop {
        match conn.query_drop(statement).await {
            Err(mysql_async::Error::Server(error)) if MET_A_REQUEST.contains(&error.code) && met < MEETINGS => met += 1,
            Err(error) => return Err(error),
            Ok(()) if conn.affected_rows() == 0 => return Ok(()),
            Ok(()) => met = 0,
        }
    }
}

/// The newest migration that was applied; `None` for a database that never saw one.
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

/// The newest migration that this program knows.
pub const fn latest() -> u32 {
    ALL[ALL.len() - 1].0
}

#[expect(clippy::disallowed_methods, reason = "there is no database to open a door to yet")]
async fn create_database(options: &Opts) -> Result<(), mysql_async::Error> {
    let name = options.db_name().unwrap_or_default().replace('`', "``");
    let mut conn = Conn::new(pool::session(options.clone()).db_name(None::<String>)).await?;
    conn.query_drop(format!("CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4")).await?;
    conn.disconnect().await
}
