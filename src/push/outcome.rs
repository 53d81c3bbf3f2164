//! How an attempt ended, read from a status or from an error of the client.

use std::error::Error;
use std::io;

use super::names::{NotAllowed, NotResolved};
use crate::domain::AttemptOutcome;

/// Returns what a status means.
pub(super) fn of_status(status: u16) -> AttemptOutcome {
    match status {
        200..=299 => AttemptOutcome::Delivered,
        300..=399 => AttemptOutcome::Redirected,
        _ => AttemptOutcome::Refused,
    }
}

/// Returns what an error before any status means. Its text is not kept: it may have the URL in it.
pub(super) fn of_error(error: &reqwest::Error) -> AttemptOutcome {
    if has::<NotAllowed>(error) {
        AttemptOutcome::NotAllowed
    } else if has::<NotResolved>(error) {
        AttemptOutcome::NotResolved
    } else if has::<rustls::Error>(error) {
        AttemptOutcome::NotTrusted
    } else if error.is_timeout() {
        // a connection may take as long as an attempt, so that either bound may be the first to end it
        AttemptOutcome::TimedOut
    } else if error.is_connect() {
        AttemptOutcome::NotConnected
    } else {
        AttemptOutcome::Broken
    }
}

/// Whether an error was caused by one of this type.
fn has<E: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    if error.is::<E>() {
        return true;
    }
    // the source of an error of I/O is the source of what it wraps
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let wrapped = wrapped.map(|inner| -> &(dyn Error + 'static) { inner });
    wrapped.or_else(|| error.source()).is_some_and(has::<E>)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;
    use reqwest::Client;

    use super::super::names::{Guarded, Names};
    use super::super::tls;
    use super::*;

    /// A resolver that never answers.
    struct Never;

    impl Names for Never {
        fn resolve(&self, _: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
            std::future::pending().boxed()
        }
    }

    #[tokio::test]
    async fn a_connection_that_is_not_made_in_time_has_timed_out() {
        let client = Client::builder()
            .tls_backend_preconfigured(tls(&[]).expect("TLS"))
            .no_proxy()
            .dns_resolver(Arc::new(Guarded { names: Arc::new(Never), allows: |_| true }))
            .connect_timeout(Duration::from_millis(1))
            .build()
            .expect("a client");
        let error = client.get("http://shop.test/").send().await.expect_err("no address");
        assert_eq!(of_error(&error), AttemptOutcome::TimedOut);
    }
}
