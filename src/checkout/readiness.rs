//! Whether this instance can serve: the schema is current, and the database takes the writes of the hot path.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tracing::{error, info, warn};

use crate::db::door::Database;
use crate::db::error::Error;
use crate::db::migrations;
use crate::db::tables::readiness;
use crate::telemetry::Throttle;

/// How long the result of a check is valid: however many load balancers ask, the database is asked once.
const FRESH: Duration = Duration::from_secs(1);

/// Why the instance cannot serve.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unready {
    /// The schema is older than this program needs.
    #[error("The schema is at version {present}, but {needed} is needed: run `holdfast migrate`.")]
    SchemaOutdated {
        /// The version that the database has; 0 for none.
        present: u32,
        /// The version that this program was built for.
        needed: u32,
    },
    /// The database is unavailable or takes no writes.
    #[error(transparent)]
    Database(#[from] Error),
}

/// The results of the last checks.
pub(crate) struct Readiness {
    database: Database,
    last: tokio::sync::Mutex<Option<(Instant, Result<(), Unready>)>>,
    is_unready: AtomicBool,
    schema_is_outdated: AtomicBool,
    /// Bounds the log lines of each state.
    unready: Throttle,
    outdated: Throttle,
}

impl Readiness {
    /// Creates the state before any check.
    pub(crate) fn new(database: Database) -> Self {
        Self {
            database,
            last: tokio::sync::Mutex::default(),
            is_unready: AtomicBool::default(),
            schema_is_outdated: AtomicBool::default(),
            unready: Throttle::lasting(),
            outdated: Throttle::lasting(),
        }
    }

    /// Checks whether requests can be served; the result is a second old at most.
    pub(crate) async fn check(&self) -> Result<(), Unready> {
        // a request that arrives during a check waits for its result
        let mut last = self.last.lock().await;
        if let Some((at, result)) = &*last
            && at.elapsed() < FRESH
        {
            return result.clone();
        }
        let result = self.check_now().await;
        *last = Some((Instant::now(), result.clone()));
        result
    }

    async fn check_now(&self) -> Result<(), Unready> {
        self.look_at_schema().await?;
        let checked = self.database.transaction("readiness.check", |tx| readiness::check(tx).boxed()).await;
        let checked = checked.and_then(|()| match self.database.lacks_space() {
            None => Ok(()),
            Some(said) => Err(Error::Unavailable(said)),
        });
        let was_unready = self.is_unready.swap(checked.is_err(), Ordering::Relaxed);
        match &checked {
            Ok(()) if was_unready => info!("the database takes writes again"),
            Ok(()) => {}
            // an outage of the database has its own line in the log
            Err(error) if self.database.is_available() && self.unready.count(Instant::now()).is_some() => {
                warn!(%error, "the database takes no writes: not ready");
            }
            Err(_) => {}
        }
        Ok(checked?)
    }

    /// Compares the schema's version with the one that this program was built for.
    pub(crate) async fn look_at_schema(&self) -> Result<(), Unready> {
        let (present, needed) = (migrations::version(&self.database).await?.unwrap_or(0), migrations::latest());
        let is_outdated = present < needed;
        let was_outdated = self.schema_is_outdated.swap(is_outdated, Ordering::Relaxed);
        if !is_outdated {
            if was_outdated {
                info!(present, "the schema is current");
            }
            return Ok(());
        }
        if self.outdated.count(Instant::now()).is_some() {
            error!(present, needed, "the schema is outdated: run `holdfast migrate`; requests are refused until then");
        }
        Err(Unready::SchemaOutdated { present, needed })
    }

    /// Returns whether the schema was too old when it was last checked. Then no request can be served.
    pub(crate) fn schema_is_outdated(&self) -> bool {
        self.schema_is_outdated.load(Ordering::Relaxed)
    }
}
