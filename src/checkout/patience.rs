//! Waiting for the response of a batch.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::db::error::Error;

/// How long a request waits for its batch, in the queue and while the batch runs.
pub(crate) const PATIENCE: Duration = Duration::from_millis(4800);

/// Waits for the response of a batch until `deadline`. When a batch starts, it drops the jobs of requests that no longer wait.
pub(crate) async fn answer<T>(deadline: Instant, answered: oneshot::Receiver<Result<T, Error>>) -> Result<T, Error> {
    match timeout_at(deadline, answered).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::Broken("a batch ended without answering a request".to_owned())),
        Err(_) => Err(Error::Unavailable("no answer before the deadline".to_owned())),
    }
}
