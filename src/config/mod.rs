//! The command line and the environment, read once.
//!
//! `table.rs` lists every setting of the service: its name, its default, its range and what it does. The options of the
//! command line, [`Settings`], [`Config`] and the table in docs/operations.md follow from that list.

mod problems;
mod secret;
mod setting;
mod table;
#[cfg(test)]
mod tests;
mod unknown;
mod values;

use clap::Args;
use mysql_async::Opts;

use crate::telemetry::StatsdStyle;

pub use self::problems::Problems;
pub use self::setting::{Setting, Unset};
pub use self::table::{ALL, Config, Options, Settings};
use self::table::{HOLDFAST_DATABASE_URL, HOLDFAST_POOL_SIZE, HOLDFAST_STATSD, HOLDFAST_STATSD_STYLE};
pub use self::unknown::unknown_variables;
pub use self::values::OFF;

/// The database, for commands without other settings: the file with its URL.
#[derive(Debug, Clone, Default, Args)]
pub struct DatabaseUrl {
    #[arg(long = HOLDFAST_DATABASE_URL.option(), env = HOLDFAST_DATABASE_URL.option_variable(),
          value_name = HOLDFAST_DATABASE_URL.option_value(), help = HOLDFAST_DATABASE_URL.help())]
    database_url_file: Option<String>,
}

impl DatabaseUrl {
    /// Reads the URL, from its variable or its file. `problems` were found before.
    ///
    /// # Errors
    /// All problems.
    pub fn read(&self, mut problems: Problems) -> Result<Opts, Problems> {
        let url = problems.text(&HOLDFAST_DATABASE_URL, self.database_url_file.as_deref());
        parse_database(url.as_deref(), problems)
    }
}

/// What surrounds the service, for `holdfast doctor`.
#[derive(Debug, Clone, Default, Args)]
pub struct Surroundings {
    #[command(flatten)]
    database: DatabaseUrl,
    #[arg(long = HOLDFAST_POOL_SIZE.option(), env = HOLDFAST_POOL_SIZE.variable, value_name = HOLDFAST_POOL_SIZE.value_name,
          help = HOLDFAST_POOL_SIZE.help())]
    pool_size: Option<String>,
    #[arg(long = HOLDFAST_STATSD.option(), env = HOLDFAST_STATSD.variable, value_name = HOLDFAST_STATSD.value_name,
          help = HOLDFAST_STATSD.help())]
    statsd: Option<String>,
}

impl Surroundings {
    /// Parses the URL of the database, the size of the pool, and the address of the StatsD server. `problems` were found before.
    ///
    /// # Errors
    /// All problems.
    pub fn read(&self, mut problems: Problems) -> Result<(Opts, usize, Option<String>), Problems> {
        let pool_size = problems.read(&HOLDFAST_POOL_SIZE, self.pool_size.as_deref(), values::number);
        let statsd = problems.read(&HOLDFAST_STATSD, self.statsd.as_deref(), values::statsd);
        let database = self.database.read(problems.clone())?;
        pool_size.zip(statsd).map(|(pool_size, statsd)| (database, pool_size, statsd)).ok_or(problems)
    }
}

/// What `holdfast audit` reads, and where it reports.
#[derive(Debug, Clone, Default, Args)]
pub struct Audited {
    #[command(flatten)]
    database: DatabaseUrl,
    #[arg(long = HOLDFAST_STATSD.option(), env = HOLDFAST_STATSD.variable, value_name = HOLDFAST_STATSD.value_name,
          help = HOLDFAST_STATSD.help())]
    statsd: Option<String>,
    #[arg(long = HOLDFAST_STATSD_STYLE.option(), env = HOLDFAST_STATSD_STYLE.variable,
          value_name = HOLDFAST_STATSD_STYLE.value_name, help = HOLDFAST_STATSD_STYLE.help())]
    statsd_style: Option<String>,
}

impl Audited {
    /// Parses the URL of the database, and the address of the StatsD server with its style. `problems` were found before.
    ///
    /// # Errors
    /// All problems.
    pub fn read(&self, mut problems: Problems) -> Result<(Opts, Option<String>, StatsdStyle), Problems> {
        let statsd = problems.read(&HOLDFAST_STATSD, self.statsd.as_deref(), values::statsd);
        let style = problems.read(&HOLDFAST_STATSD_STYLE, self.statsd_style.as_deref(), values::statsd_style);
        let database = self.database.read(problems.clone())?;
        statsd.zip(style).map(|(statsd, style)| (database, statsd, style)).ok_or(problems)
    }
}

/// Parses the URL of a database.
///
/// # Errors
/// The problem of the URL.
pub fn database(url: &str) -> Result<Opts, Problems> {
    parse_database(Some(url), Problems::default())
}

fn parse_database(url: Option<&str>, mut problems: Problems) -> Result<Opts, Problems> {
    match problems.read(&HOLDFAST_DATABASE_URL, url, values::database) {
        Some(options) if problems.0.is_empty() => Ok(options),
        _ => Err(problems),
    }
}
