//! The path `/`, which a browser opens first: it leads to the page of the API's document.

use poem::endpoint::make_sync;
use poem::http::{StatusCode, header};
use poem::{Endpoint, IntoResponse as _, Request, Response, Route};

/// The framework's catch-all route takes `/` too, so this one stands before what it serves.
pub(super) struct Root<E> {
    root: Route,
    others: E,
}

impl<E> Root<E> {
    /// Puts the path before `others`.
    pub(super) fn before(others: E) -> Self {
        let to_docs = make_sync(|_| StatusCode::TEMPORARY_REDIRECT.with_header(header::LOCATION, "/docs"));
        Self { root: Route::new().at("/", poem::get(to_docs)), others }
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Root<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        match request.uri().path() {
            "/" => self.root.call(request).await,
            _ => self.others.call(request).await,
        }
    }
}
