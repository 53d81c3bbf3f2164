//! Idempotency keys of a batch: who comes first under a key, who is a copy, and who means something else.

use std::collections::HashSet;

use futures_util::FutureExt as _;

use crate::db::idempotency_keys::{self, Keyed, Made};
use crate::db::{Database, Error};

/// A request that may have a key.
pub(super) trait Keyable {
    /// Its key.
    fn keyed(&self) -> Option<&Keyed>;
}

/// The jobs of a batch, sorted by what their keys say.
pub(super) struct Sorted<Job> {
    /// To be done: without a key, or the first one under its key.
    pub(super) first: Vec<Job>,
    /// Copies of somebody in `first`: again in the next batch, when that one's outcome is known.
    pub(super) again: Vec<Job>,
    /// Copies of requests that were answered before, with what was made then.
    pub(super) replays: Vec<(Job, Made)>,
    /// Those whose key stands for another request.
    pub(super) reused: Vec<Job>,
}

/// Reads the keys that are known, in one statement, and sorts the jobs by them. On an error the jobs come back.
pub(super) async fn sort<Job: Keyable + Sync>(
    database: &Database,
    jobs: Vec<Job>,
) -> Result<Sorted<Job>, (Vec<Job>, Error)> {
    let mut sorted = Sorted { first: Vec::new(), again: Vec::new(), replays: Vec::new(), reused: Vec::new() };
    let keys: Vec<&Keyed> = jobs.iter().filter_map(Keyable::keyed).collect();
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
        let Some(keyed) = job.keyed() else {
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
