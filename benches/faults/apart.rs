//! A runtime for clients that ask for too much: in one with the buyers, their number would delay what buyers measure.

use tokio::runtime::{Builder, EnterGuard, Runtime};

/// One thread of its own. What is spawned on it ends with this value.
pub(crate) struct Apart(Option<Runtime>);

impl Apart {
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self(Some(runtime.expect("a thread can be started")))
    }

    /// As long as the guard lives, tasks are spawned there.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.0.as_ref().expect("it is there until it is dropped").enter()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
