//! Waits for the lock of a migration. While a migration waits, every statement on the table queues behind it; so it waits
//! for a second, lets the queue pass during a pause, and tries again, up to a total that the caller sets.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error as DriverOrServer, Params, params};
use rand::RngExt as _;
use tokio::time::sleep;

use super::error::{Class, classify, explain};
use super::sql;

/// How long a command waits for locks in total unless an option says otherwise.
pub const TOTAL: Duration = Duration::from_secs(300);
/// The session setting of one wait: the shortest that both engines take, and shorter than the 2 s of every other
/// session, so that a statement queued behind it does not time out first. It bounds the wait, not the change: a rebuild
/// that has its lock may take hours.
pub(super) const SETTING: &str = "SET SESSION lock_wait_timeout = 1";
/// The same as a duration.
const WAIT: Duration = Duration::from_secs(1);
/// The first pause is between this and twice this; each further range is doubled.
const PAUSE_BASE: Duration = Duration::from_secs(2);
/// "Access denied; you need the privilege".
const DENIED: u16 = 1227;
/// The shortest pause of the largest range.
const PAUSE_CAP: Duration = Duration::from_secs(16);

/// Why a schema was not brought up to date. Migrations that were applied before that stay.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The server or the connection failed.
    #[error("{step}: {source}")]
    Failed {
        /// The step that failed.
        step: String,
        /// The error.
        source: DriverOrServer,
    },
    /// A lock did not become free in time.
    #[error("{step} gave up after {attempts} attempts in {waited_seconds} s: {source}; {holders}")]
    GaveUp {
        /// The step, and its table.
        step: String,
        /// How often it was tried.
        attempts: u32,
        /// How long all attempts and pauses took.
        waited_seconds: u64,
        /// The error of the last attempt.
        source: DriverOrServer,
        /// Which connections hold the lock, as far as it can be seen.
        holders: String,
    },
    /// The caller asked to stop.
    #[error("stopped before the schema was up to date; run it again at any time")]
    Stopped,
}

/// How long to wait for locks, and where failed attempts are reported.
pub struct Patience<'a> {
    /// The bound on all attempts and pauses of one call; a single attempt that gets its lock may take longer.
    pub total: Duration,
    /// Takes one line per failed attempt.
    pub report: &'a (dyn Fn(&str) + Sync),
}

/// One step of a migration, as reports name it.
pub(super) struct Step {
    name: String,
    table: String,
}

impl Step {
    pub(super) fn new(name: impl Into<String>, statement: &str) -> Self {
        Self { name: name.into(), table: table_of(statement).to_owned() }
    }
}

/// The waits of one call.
pub(super) struct Waits<'a> {
    patience: &'a Patience<'a>,
    /// How long failed attempts and pauses took until now. The work of attempts that got their lock does not count.
    waited: Duration,
}

impl<'a> Waits<'a> {
    pub(super) fn new(patience: &'a Patience<'a>) -> Self {
        Self { patience, waited: Duration::ZERO }
    }

    /// Runs one statement until it has its locks.
    pub(super) async fn run(
        &mut self,
        conn: &mut Conn,
        step: &Step,
        statement: &str,
        params: Params,
    ) -> Result<(), MigrateError> {
        let mut attempt = 1;
        while let Err(error) = execute(conn, statement, params.clone()).await {
            self.pause(conn, step, attempt, error).await?;
            attempt += 1;
        }
        Ok(())
    }

    /// Returns after a pause when the error calls for another attempt and there is time for one.
    ///
    /// # Errors
    /// Any other error, and [`MigrateError::GaveUp`].
    pub(super) async fn pause(
        &mut self,
        conn: &mut Conn,
        step: &Step,
        attempt: u32,
        error: DriverOrServer,
    ) -> Result<(), MigrateError> {
        if classify(&error, false) != Class::Retry {
            return Err(MigrateError::Failed { step: step.name.clone(), source: error });
        }
        let (table, holders) = (&step.table, find_holders(conn, &step.table).await);
        let pause = pause_after(attempt);
        self.waited += WAIT;
        if self.waited + pause >= self.patience.total {
            let (step, waited_seconds) = (format!("{} (table {table})", step.name), self.waited.as_secs());
            return Err(MigrateError::GaveUp { step, attempts: attempt, waited_seconds, source: error, holders });
        }
        let left = (self.patience.total - self.waited).as_secs();
        (self.patience.report)(&format!(
            "{} waits for table {table}: {error}; {holders}; next attempt in {:.1} s, gives up in {left} s",
            step.name,
            pause.as_secs_f64()
        ));
        self.waited += pause;
        sleep(pause).await;
        Ok(())
    }
}

async fn execute(conn: &mut Conn, statement: &str, params: Params) -> Result<(), DriverOrServer> {
    match params {
        Params::Empty => conn.query_drop(statement).await,
        params => conn.exec_drop(statement, params).await,
    }
}

/// Returns a pause in which the queue passes, with jitter: two commands that collided once do not collide again.
fn pause_after(attempt: u32) -> Duration {
    let base = PAUSE_BASE.saturating_mul(1 << (attempt - 1).min(8)).min(PAUSE_CAP);
    base.mul_f64(1.0 + rand::rng().random::<f64>())
}

/// Describes the connections that hold a table's lock. MariaDB does not show them without a plugin: there it describes the
/// oldest open transactions.
async fn find_holders(conn: &mut Conn, table: &str) -> String {
    let holders = conn.exec(sql::schema_migrations::LIST_LOCK_HOLDERS, params! { "table_name" => table }).await;
    let holders: Vec<(Vec<u8>, i64)> = holders.unwrap_or_default();
    if !holders.is_empty() {
        return format!("it is held by {}", listed(holders.iter().map(|(holder, _)| holder)));
    }
    let open: Result<Vec<Vec<u8>>, _> = conn.query(sql::schema_migrations::LIST_OPEN_TRANSACTIONS).await;
    match open {
        Ok(open) if open.is_empty() => "no open transaction can be seen any more".to_owned(),
        Ok(open) => format!("the oldest open transactions: {}", listed(open.iter())),
        Err(DriverOrServer::Server(error)) if error.code == DENIED => {
            "this user may not see which connection holds it (grant PROCESS)".to_owned()
        }
        // MySQL, while any connection runs a statement with bytes that are no text (3854)
        Err(error) => format!("the open transactions cannot be listed now: {}", explain(&error)),
    }
}

fn listed<'a>(lines: impl Iterator<Item = &'a Vec<u8>>) -> String {
    lines.map(|line| String::from_utf8_lossy(line)).collect::<Vec<_>>().join(", ")
}

/// Returns the table that a statement changes: the first name after `TABLE`, `INTO` or `UPDATE`.
fn table_of(statement: &str) -> &str {
    let code = statement.lines().filter(|line| !line.trim_start().starts_with("--"));
    let words: Vec<&str> = code.flat_map(str::split_whitespace).collect();
    let named = |start: usize| words[start..].iter().find(|word| !["IF", "NOT", "EXISTS"].contains(word));
    let places = (0..words.len()).filter(|&place| ["TABLE", "INTO", "UPDATE"].contains(&words[place]));
    // a SELECT … INTO names a variable there
    places.filter_map(|place| named(place + 1)).find(|word| !word.starts_with('@')).unwrap_or(&"?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::migrations;

    #[test]
    fn every_migration_names_the_table_that_it_waits_for() {
        for (version, _, statement) in migrations::ALL {
            let table = table_of(statement);
            assert!(statement.contains(table) && table.len() > 1, "{version}: {table}");
        }
        assert_eq!(table_of("-- a TABLE\nALTER TABLE holds\n ADD KEY"), "holds");
        assert_eq!(table_of("CREATE TABLE IF NOT EXISTS charges ("), "charges");
        assert_eq!(table_of("INSERT INTO charges (provider)"), "charges");
        assert_eq!(table_of("SELECT 1 INTO @from FROM other; UPDATE holds SET"), "holds");
    }

    #[test]
    fn a_pause_lets_the_queue_pass_and_stays_bounded() {
        for attempt in 1..100 {
            let pause = pause_after(attempt);
            assert!(pause >= PAUSE_BASE && pause <= PAUSE_CAP * 2, "{pause:?} after {attempt}");
        }
    }
}
