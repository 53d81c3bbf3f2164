//! Places: how many attempts of one endpoint are under way at the same time. An endpoint that hangs keeps its own alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of all endpoints with attempts under way.
pub(super) struct Places {
    each: usize,
    of_endpoints: Mutex<HashMap<i64, Arc<Semaphore>>>,
}

/// A place, until it is dropped.
pub(super) struct Place<'a> {
    places: &'a Places,
    endpoint_id: i64,
    semaphore: Option<Arc<Semaphore>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Places {
    /// Each endpoint has this many.
    pub(super) fn new(each: usize) -> Self {
        Self { each, of_endpoints: Mutex::default() }
    }

    /// Waits for a place of this endpoint.
    pub(super) async fn take(&self, endpoint_id: i64) -> Place<'_> {
        let semaphore = {
            let mut of_endpoints = self.of_endpoints.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(of_endpoints.entry(endpoint_id).or_insert_with(|| Arc::new(Semaphore::new(self.each))))
        };
        let mut place = Place { places: self, endpoint_id, semaphore: Some(Arc::clone(&semaphore)), permit: None };
        place.permit = semaphore.acquire_owned().await.ok();
        place
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut of_endpoints = self.places.of_endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        self.permit = None;
        self.semaphore = None;
        // the map has the last one: no attempt of this endpoint has or awaits a place
        if of_endpoints.get(&self.endpoint_id).is_some_and(|semaphore| Arc::strong_count(semaphore) == 1) {
            of_endpoints.remove(&self.endpoint_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn an_endpoint_waits_for_its_own_places_alone_and_leaves_nothing_behind() {
        let places = Places::new(2);
        let count = || places.of_endpoints.lock().expect("no panic").len();
        let (one, two) = (places.take(1).await, places.take(1).await);
        assert!(places.take(1).now_or_never().is_none(), "the third waits, and is dropped while it waits");
        let other = places.take(2).await;
        assert_eq!(count(), 2);
        drop(one);
        let three = places.take(1).now_or_never().expect("a place is free");
        assert!(places.take(1).now_or_never().is_none());
        drop((two, three, other));
        assert_eq!(count(), 0);
    }
}
