//! `holdfast feed`: what an operator does about the feed at a machine that reaches the database.

use clap::Subcommand;
use holdfast::checkout::feed::epoch::NewEpoch;
use holdfast::checkout::{Checkout, Error};
use holdfast::config::DatabaseUrl;

/// What to do about the feed.
#[derive(Subcommand)]
pub(crate) enum FeedCommand {
    /// Begin a new epoch after a failover that may have lost transactions, or after a restore, also while instances serve: readers
    /// read from the beginning. Prints the old and the new epoch
    NewEpoch(DatabaseUrl),
}

impl FeedCommand {
    /// The database that it is about.
    pub(crate) fn database(&self) -> &DatabaseUrl {
        match self {
            Self::NewEpoch(database) => database,
        }
    }

    /// Runs the command, and returns what to print.
    pub(crate) async fn run(self, checkout: &Checkout) -> Result<String, Error> {
        match self {
            Self::NewEpoch(_) => checkout.begin_feed_epoch().await.map(|begun| lines(&begun)),
        }
    }
}

fn lines(NewEpoch { old, new, brought_back }: &NewEpoch) -> String {
    let mut lines = format!("the epoch of the feed was {old} and is {new}\n");
    if !brought_back.is_empty() {
        let ids: Vec<String> = brought_back.iter().map(i64::to_string).collect();
        lines += &format!("endpoints that were farther than the feed go on from its end: {}\n", ids.join(", "));
    }
    lines
}
