//! The command line and the environment, read once.
//!
//! `table.rs` lists every setting of the service: its name, its default, its range and what it does. The options of the
//! command line, [`Settings`], [`Config`] and the table in docs/operations.md follow from that list.

mod problems;
mod setting;
mod table;
#[cfg(test)]
mod tests;
mod unknown;
mod values;

use clap::Args;
use mysql_async::Opts;

pub use self::problems::Problems;
pub use self::setting::{Setting, Unset};
use self::table::HOLDFAST_DATABASE_URL;
pub use self::table::{ALL, Config, Settings};
pub use self::unknown::unknown_variables;
pub use self::values::OFF;

/// The database, for commands without other settings.
#[derive(Debug, Clone, Default, Args)]
pub struct DatabaseUrl {
    /// The URL, as written.
    #[arg(long, env = HOLDFAST_DATABASE_URL.variable, value_name = HOLDFAST_DATABASE_URL.value_name,
          hide_env_values = HOLDFAST_DATABASE_URL.secret, help = HOLDFAST_DATABASE_URL.help())]
    pub database_url: Option<String>,
}

impl DatabaseUrl {
    /// Parses the URL.
    ///
    /// # Errors
    /// The problem of the URL.
    pub fn read(&self) -> Result<Opts, Problems> {
        let mut problems = Problems::default();
        problems.read(&HOLDFAST_DATABASE_URL, self.database_url.as_deref(), values::database).ok_or(problems)
    }
}
