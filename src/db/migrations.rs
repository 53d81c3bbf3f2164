//! The schema: forward only, one idempotent change per file, so that running them again, or two at once, does no harm.

use futures_util::FutureExt as _;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, params};

use super::{Database, Error};

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
}

const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
  version    INT          NOT NULL,
  name       VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  applied_at DATETIME(6)  NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (version)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci";

/// MySQL's and MariaDB's "Unknown database".
const UNKNOWN_DATABASE: u16 = 1049;

/// Brings the database that the URL names up to date, and makes it where it does not exist. Returns the versions that
/// were applied.
///
/// # Errors
/// Whatever the server says; what was applied until then stays.
#[expect(clippy::disallowed_methods, reason = "the schema changes outside any transaction, before anything is served")]
pub async fn migrate(options: &Opts) -> Result<Vec<u32>, mysql_async::Error> {
    let mut conn = match Conn::new(options.clone()).await {
        Err(mysql_async::Error::Server(error)) if error.code == UNKNOWN_DATABASE => {
            create_database(options).await?;
            Conn::new(options.clone()).await?
        }
        other => other?,
    };
    conn.query_drop(CREATE_TABLE).await?;
    let applied: Vec<u32> = conn.query("SELECT version FROM schema_migrations").await?;
    let mut versions = Vec::new();
    for &(version, name, statement) in ALL.iter().filter(|(version, ..)| !applied.contains(version)) {
        conn.query_drop(statement).await?;
        let insert = "INSERT INTO schema_migrations (version, name) VALUES (:version, :name)
                      ON DUPLICATE KEY UPDATE version = VALUES(version)";
        conn.exec_drop(insert, params! { version, name }).await?;
        versions.push(version);
    }
    conn.disconnect().await?;
    Ok(versions)
}

/// The newest migration that was applied; `None` for a database that never saw one.
///
/// # Errors
/// As every read.
pub async fn version(database: &Database) -> Result<Option<u32>, Error> {
    let exists = "SELECT COUNT(*) FROM information_schema.tables
                  WHERE table_schema = DATABASE() AND table_name = 'schema_migrations'";
    let newest = "SELECT MAX(version) FROM schema_migrations";
    database
        .read("schema.version", |tx| {
            async move {
                match tx.row::<u64>(exists, ()).await? {
                    Some(1) => Ok(tx.row::<Option<u32>>(newest, ()).await?.flatten()),
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
    let mut conn = Conn::new(OptsBuilder::from_opts(options.clone()).db_name(None::<String>)).await?;
    conn.query_drop(format!("CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4")).await?;
    conn.disconnect().await
}
