//! Sorts the jobs of a batch by their idempotency keys: first requests, copies, and requests that reuse a key.

use std::collections::HashSet;

use futures_util::FutureExt as _;

use crate::batch::Job;
use crate::db::door::Database;
use crate::db::error::Error;
use crate::db::tables::idempotency_keys::{self, IdempotentRequest, StoredResult};

/// A request that may have a key.
pub(crate) trait Keyable {
    fn keyed(&self) -> Option<&IdempotentRequest>;
}

/// The jobs of a batch, sorted by their keys.
pub(crate) struct Sorted<Job> {
    /// Jobs to run: without a key, or the first one with its key.
    pub(crate) first: Vec<Job>,
    /// Copies of a job in `first`: they run in the next batch, when the outcome of that job is known.
    pub(crate) again: Vec<Job>,
    /// Copies of requests that were answered before, each with the stored result.
    pub(crate) replays: Vec<(Job, StoredResult)>,
    /// Jobs whose key belongs to a different request.
    pub(crate) reused: Vec<Job>,
}

/// Reads the stored keys in one statement and sorts the jobs by them. On an error, gives the jobs back.
pub(crate) async fn sort<Q: Keyable + Sync, A: Send>(
    database: &Database,
    jobs: Vec<Job<Q, A>>,
) -> Result<Sorted<Job<Q, A>>, (Vec<Job<Q, A>>, Error)> {
    let mut sorted = Sorted { first: Vec::new(), again: Vec::new(), replays: Vec::new(), reused: Vec::new() };
    let keys: Vec<&IdempotentRequest> = jobs.iter().filter_map(|job| job.request.keyed()).collect();
    if keys.is_empty() {
        sorted.first = jobs;
        return Ok(sorted);
    }
    let keys = &keys;
    let known = database
        .read("idempotency_keys.list", |tx| async move { idempotency_keys::list(tx, keys).await }.boxed())
        .await;
    let known = match known {
        Ok(known) => known,
        Err(error) => return Err((jobs, error)),
    };
    let mut seen = HashSet::new();
    for job in jobs {
        let Some(keyed) = job.request.keyed() else {
            sorted.first.push(job);
            continue;
        };
        match known.get(&keyed.id) {
            Some(made) if made.fingerprint == keyed.fingerprint => sorted.replays.push((job, made.clone())),
            Some(_) => sorted.reused.push(job),
            None if seen.insert(keyed.id) => sorted.first.push(job),
            None => sorted.again.push(job),
        }
    }
    Ok(sorted)
}
