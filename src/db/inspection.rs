//! What a server says of itself, for `holdfast doctor`. It opens a connection of its own, since the door retries, and reports
//! nothing of a server that it cannot use; and it changes nothing.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use chrono::{NaiveDateTime, TimeDelta, Utc};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use tokio::time::{Instant, timeout};

use super::error::explain;
use super::{pool, sql};

/// How long a connection and each read may take.
const LIMIT: Duration = Duration::from_secs(5);
/// "Access denied … to database" and "Unknown database": the server can be used, the database cannot.
const NO_DATABASE: [u16; 2] = [1044, 1049];

/// Lists the CHECK constraints of the database that are enforced. MariaDB enforces all or none, and takes MySQL's column for a
/// comment.
const LIST_CHECKS: &str = "SELECT enforced.CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS AS enforced \
     WHERE enforced.CONSTRAINT_SCHEMA = DATABASE() AND enforced.CONSTRAINT_TYPE = 'CHECK' \
     /*!80016 AND enforced.ENFORCED = 'YES' */";

/// What was found, or why it could not be.
type Found<T> = Result<T, String>;

/// The findings about one server and one database.
#[derive(Debug)]
pub struct Findings {
    /// Why the database that the URL names cannot be used, although its server can.
    pub no_database: Option<String>,
    /// Variables of the server, by name in lower case.
    pub variables: Found<BTreeMap<String, String>>,
    /// The account of the session, `user@host`.
    pub user: Found<String>,
    /// The lines of SHOW GRANTS.
    pub grants: Found<Vec<String>>,
    /// The names of the CHECK constraints that are enforced.
    pub checks: Found<Vec<String>>,
    /// The newest applied migration; `None` for a database without any.
    pub schema: Found<Option<u32>>,
    /// How far the server's clock is ahead of this machine's.
    pub clock: Found<TimeDelta>,
}

/// Reads everything, each by itself: what fails does not keep the rest from being read.
///
/// # Errors
/// Why the server cannot be reached.
pub async fn inspect(options: &Opts) -> Found<Findings> {
    let (mut conn, no_database) = open(options).await?;
    let findings = Findings {
        variables: variables(&mut conn).await,
        user: first(&mut conn, sql::inspection::FIND_USER).await,
        grants: list(&mut conn, sql::inspection::LIST_GRANTS).await,
        checks: match &no_database {
            None => list(&mut conn, LIST_CHECKS).await,
            Some(reason) => Err(reason.clone()),
        },
        schema: match &no_database {
            None => schema(&mut conn).await,
            Some(reason) => Err(reason.clone()),
        },
        clock: clock(&mut conn).await,
        no_database,
    };
    let _ = timeout(pool::GOODBYE, conn.disconnect()).await;
    Ok(findings)
}

/// Connects, without the database if that is what the server refuses. Returns the reason with such a connection.
async fn open(options: &Opts) -> Found<(Conn, Option<String>)> {
    match connect(pool::session(options.clone()).into()).await {
        Err(mysql_async::Error::Server(error)) if NO_DATABASE.contains(&error.code) => {
            let conn = connect(pool::session(options.clone()).db_name(None::<String>).into()).await;
            Ok((conn.map_err(|error| explain(&error))?, Some(error.message)))
        }
        conn => Ok((conn.map_err(|error| explain(&error))?, None)),
    }
}

#[expect(clippy::disallowed_methods, reason = "the server may be one that the door cannot use")]
async fn connect(options: Opts) -> Result<Conn, mysql_async::Error> {
    let late = || mysql_async::Error::Io(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
    timeout(LIMIT, Conn::new(options)).await.unwrap_or_else(|_| Err(late()))
}

async fn within<T>(read: impl Future<Output = Result<T, mysql_async::Error>>) -> Found<T> {
    match timeout(LIMIT, read).await {
        Ok(read) => read.map_err(|error| explain(&error)),
        Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
    }
}

async fn list(conn: &mut Conn, statement: &str) -> Found<Vec<String>> {
    within(conn.query(statement)).await
}

async fn first(conn: &mut Conn, statement: &str) -> Found<String> {
    within(conn.query_first(statement)).await.map(Option::unwrap_or_default)
}

async fn variables(conn: &mut Conn) -> Found<BTreeMap<String, String>> {
    let rows: Vec<(String, String)> = within(conn.query(sql::inspection::LIST_VARIABLES)).await?;
    Ok(rows.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect())
}

async fn schema(conn: &mut Conn) -> Found<Option<u32>> {
    let tables: Option<u64> = within(conn.query_first(sql::schema_migrations::COUNT_TABLES)).await?;
    if tables != Some(1) {
        return Ok(None);
    }
    let latest: Option<Option<u32>> = within(conn.query_first(sql::schema_migrations::FIND_LATEST)).await?;
    Ok(latest.flatten())
}

/// Compares the clocks at the likely moment of the reading.
#[expect(clippy::disallowed_methods, reason = "this machine's clock is compared with the database's")]
async fn clock(conn: &mut Conn) -> Found<TimeDelta> {
    let asked = Instant::now();
    let shown: Option<NaiveDateTime> = within(conn.query_first(sql::inspection::FIND_TIME)).await?;
    let (took, now) = (asked.elapsed(), Utc::now().naive_utc());
    let read = now - TimeDelta::from_std(took / 2).unwrap_or_default();
    shown.map(|shown| shown - read).ok_or_else(|| "the server has no clock".to_owned())
}
