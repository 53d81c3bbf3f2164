//! What single jobs have just committed. The next step of the same sale, when it is a single job as well, begins with it instead
//! of a read. Its transaction decides as ever: when the row has changed since, the job is tried again with a read.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;
use uuid::Uuid;

/// How many are remembered, the most recent ones.
const COUNT: NonZeroUsize = NonZeroUsize::new(1024).expect("it is not zero");

/// Rows, each by its id. Batches neither add to them nor use them: a remembered row that has changed would spoil the jobs beside
/// it.
#[derive(Debug)]
pub(crate) struct Recent<T>(Mutex<LruCache<Uuid, T>>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(COUNT)))
    }
}

impl<T> Recent<T> {
    /// Remembers a row that was just committed.
    pub(crate) fn record(&self, id: Uuid, row: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(id, row);
    }

    /// Takes a row, so that it is used once.
    pub(crate) fn take(&self, id: Uuid) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop(&id)
    }
}
