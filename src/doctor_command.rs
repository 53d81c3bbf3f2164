//! `holdfast doctor`: prints what is found around the service.

use clap::Args;
use holdfast::config::{Problems, Surroundings};
use holdfast::doctor::{Level, Subject, examine};

use crate::command::{Failed, print};

/// The options of the command.
#[derive(Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    surroundings: Surroundings,
    /// How many instances serve with this database, for the sum of their connections
    #[arg(long, env = "HOLDFAST_INSTANCES", value_name = "INSTANCES", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..=10_000))]
    instances: u64,
}

impl Doctor {
    /// Examines the surroundings and prints a line for each finding.
    pub(crate) async fn run(&self, problems: Problems) -> Result<(), Failed> {
        let (database, pool_size, statsd) = self.surroundings.read(problems)?;
        let report = examine(&Subject { database, pool_size, instances: self.instances, statsd }).await;
        print(&report)?;
        match report.worst() {
            Level::Ok => Ok(()),
            worst => Err(Failed::Found(worst)),
        }
    }
}
