//! Whether this instance can serve: the schema is current, and the database takes the writes of the hot path.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tracing::{error, info, warn};

use super::Checkout;
use crate::db::{Error, migrations, readiness};
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
#[derive(Debug)]
pub(super) struct Readiness {
    last: tokio::sync::Mutex<Option<(Instant, Result<(), Unready>)>>,
    is_unready: AtomicBool,
    schema_is_outdated: AtomicBool,
    /// Bounds the log lines of each state.
    unready: Throttle,
    outdated: Throttle,
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            last: tokio::sync::Mutex::default(),
            is_unready: AtomicBool::default(),
            schema_is_outdated: AtomicBool::default(),
            unready: Throttle::lasting(),
            outdated: Throttle::lasting(),
        }
    }
}

impl Checkout {
    /// Checks whether requests can be served; the result is a second old at most.
    ///
    /// # Errors
    /// The reason why they cannot.
    pub async fn readiness(&self) -> Result<(), Unready> {
        // a request that arrives during a check waits for its result
        let mut last = self.readiness.last.lock().await;
        if let Some((at, result)) = &*last
            && at.elapsed() < FRESH
        {
            return result.clone();
        }
        let result = self.check_readiness().await;
        *last = Some((Instant::now(), result.clone()));
        result
    }

    async fn check_readiness(&self) -> Result<(), Unready> {
        self.look_at_schema().await?;
        let checked = self.checks.transaction("readiness.check", |tx| readiness::check(tx).boxed()).await;
        let checked = checked.and_then(|()| match self.database.lacks_space() {
            None => Ok(()),
            Some(said) => Err(Error::Unavailable(said)),
        });
        let state = &self.readiness;
        let was_unready = state.is_unready.swap(checked.is_err(), Ordering::Relaxed);
        match &checked {
            Ok(()) if was_unready => info!("the database takes writes again"),
            Ok(()) => {}
            // an outage of the database has its own line in the log
            Err(error) if self.database.is_available() && state.unready.count(Instant::now()).is_some() => {
                warn!(%error, "the database takes no writes: not ready");
            }
            Err(_) => {}
        }
        Ok(checked?)
    }

    /// Compares the schema's version with the one that this program was built for.
    ///
    /// # Errors
    /// [`Unready::SchemaOutdated`], and as every read.
    pub async fn look_at_schema(&self) -> Result<(), Unready> {
        let (present, needed) = (migrations::version(&self.checks).await?.unwrap_or(0), migrations::latest());
        let state = &self.readiness;
        let is_outdated = present < needed;
        let was_outdated = state.schema_is_outdated.swap(is_outdated, Ordering::Relaxed);
        if !is_outdated {
            if was_outdated {
                info!(present, "the schema is current");
            }
            return Ok(());
        }
        if state.outdated.count(Instant::now()).is_some() {
            error!(present, needed, "the schema is outdated: run `holdfast migrate`; requests are refused until then");
        }
        Err(Unready::SchemaOutdated { present, needed })
    }

    /// Returns whether the schema was too old when it was last checked. Then no request can be served.
    pub fn schema_is_outdated(&self) -> bool {
        self.readiness.schema_is_outdated.load(Ordering::Relaxed)
    }
}
