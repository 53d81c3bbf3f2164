//! Pages of other origins (the CORS protocol of the Fetch standard): which may call the service, and what they may read.
//!
//! Tokens travel in `Authorization`, which scripts set, never in cookies: credentials of browsers are not allowed.

use poem::Response;
use poem::http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::domain::Origins;

/// The headers that a page may send.
const ALLOWED_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, holdfast-buyer, idempotency-key, if-match, x-request-id");
/// The headers of responses that a page may read.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "etag, idempotent-replayed, location, ratelimit, ratelimit-policy, retry-after, www-authenticate, x-request-id",
);
/// How long a browser may remember the answer to a preflight, in seconds. Chromium remembers none for longer.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const ORIGIN: HeaderValue = HeaderValue::from_static("Origin");

/// The origins whose pages may call the service.
pub(super) struct Cors(Vec<HeaderValue>);

/// What a request says of its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// No origin may call the service: its responses do not depend on one.
    Off,
    /// It has none, or one that is not listed.
    Other,
    /// The one at this place in the list.
    Listed(usize),
}

impl Cors {
    pub(super) fn new(origins: &Origins) -> Self {
        let value = |origin: &String| HeaderValue::try_from(origin).expect("an origin is visible ASCII");
        Self(origins.as_slice().iter().map(value).collect())
    }

    /// Looks the origin of a request up.
    pub(super) fn find(&self, headers: &HeaderMap) -> Origin {
        if self.0.is_empty() {
            return Origin::Off;
        }
        let mut sent = headers.get_all(header::ORIGIN).iter();
        let place = match (sent.next(), sent.next()) {
            (Some(origin), None) => self.0.iter().position(|listed| listed == origin),
            _ => None,
        };
        place.map_or(Origin::Other, Origin::Listed)
    }

    /// Adds what a browser asks for; `method` is that of the request. Caches learn that the response depends on the origin.
    pub(super) fn add(&self, origin: Origin, method: &Method, response: &mut Response) {
        if origin == Origin::Off {
            return;
        }
        let is_preflight = *method == Method::OPTIONS && response.status() == StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.append(header::VARY, ORIGIN);
        let Origin::Listed(place) = origin else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.0[place].clone());
        if !is_preflight {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
            return;
        }
        if let Some(methods) = headers.get(header::ALLOW).cloned() {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }
}
