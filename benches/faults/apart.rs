//! A separate runtime for clients that overload the service: in the buyers' runtime they would delay the buyers' figures.

use tokio::runtime::{Builder, EnterGuard, Runtime};

/// A runtime with one thread. Dropping the value ends its tasks.
pub(crate) struct Apart(Option<Runtime>);

impl Apart {
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self(Some(runtime.expect("a thread can be started")))
    }

    /// Makes this the runtime on which tasks are spawned, while the guard lives.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.0.as_ref().expect("the runtime is taken only on drop").enter()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
