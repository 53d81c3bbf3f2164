//! How long a request waits for its batch.

use std::time::Duration;

use tokio::time::Instant;

use super::error::Error;
use crate::batch::{Lanes, Work};
use crate::db::error::Error as DbError;

/// How long a request waits for its batch, in the queue and while the batch runs.
const PATIENCE: Duration = Duration::from_millis(4800);

/// Returns until when a request that arrives now waits.
pub(crate) fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

/// Asks a lane, and waits for the response until `deadline`.
pub(crate) async fn ask<W, T>(lanes: &Lanes<W>, key: W::Key, request: W::Request, deadline: Instant) -> Result<T, Error>
where
    W: Work<Response = Result<T, DbError>>,
{
    Ok(lanes.ask(key, request, deadline).await??)
}
