//! Limits on the rate of requests: which limit is about a request, when it counts, and what the client is told.
//!
//! The headers are those of draft-ietf-httpapi-ratelimit-headers-10. A policy has the name of its kind.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use poem::{IntoResponse as _, Request, Response};

use crate::domain::Caller;
use crate::http::problem::Problem;
use crate::rate::{Key, Kind, RateLimits, Verdict, WINDOW_SECONDS};
use crate::telemetry;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const FORWARDED: &str = "forwarded";
const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The path of the metrics.
pub(in crate::http) const METRICS: &str = "/metrics";

/// The webhooks, each with the header of its signature: without it and without a token, a delivery cannot be verified.
const WEBHOOKS: [(&str, &str); 2] =
    [("/api/payments/webhook", "webhook-signature"), ("/api/payments/webhook/stripe", "stripe-signature")];

/// How a request counts.
#[derive(Debug)]
pub(super) enum Charge {
    /// It has been counted.
    Counted(Verdict),
    /// It counts once it turns out to be a delivery that cannot be verified. Until then nothing is known of it: a genuine
    /// delivery may come from the same address as a flood of forged ones, such as that of a proxy.
    IfUnverified(Key),
}

impl Charge {
    /// Returns the limit that is about a request, if there is one.
    pub(super) fn kind(limits: &RateLimits, request: &Request) -> Option<Kind> {
        kind(request.method(), request.uri().path()).filter(|kind| limits.limits(*kind))
    }

    /// Counts a request, if a limit is about it. `webhooks_are_verified`: a delivery without any credentials is known to fail,
    /// and counts at once. Boxed, since a request keeps it while it waits.
    pub(super) fn begin(
        limits: &RateLimits,
        request: &Request,
        caller: &Caller,
        webhooks_are_verified: bool,
    ) -> Option<Box<Self>> {
        let kind = Self::kind(limits, request)?;
        let key = Key::new(caller, address(limits, request));
        let is_open = kind == Kind::Webhooks && !(webhooks_are_verified && has_no_credentials(request));
        Some(Box::new(match is_open {
            true => Self::IfUnverified(key),
            false => Self::Counted(limits.count(kind, &key)?),
        }))
    }

    /// Returns the response to a request that is over its limit. The handler does not see it.
    pub(super) fn refusal(&self) -> Option<Response> {
        match self {
            Self::Counted(verdict) if !verdict.is_admitted => Some(refuse(verdict)),
            _ => None,
        }
    }

    /// Counts what its response shows to be unverified, and adds the headers of the limit.
    pub(super) fn finish(self, limits: &RateLimits, response: &mut Response) {
        let verdict = match self {
            Self::Counted(verdict) => verdict,
            Self::IfUnverified(_) if !is_unverified(response.status()) => return,
            Self::IfUnverified(key) => match limits.count(Kind::Webhooks, &key) {
                Some(verdict) if !verdict.is_admitted => {
                    *response = refuse(&verdict);
                    verdict
                }
                Some(verdict) => verdict,
                None => return,
            },
        };
        add_headers(&verdict, response.headers_mut());
    }
}

/// Returns the limit that is about a request. Health and the document have none, and a preflight is answered without work.
fn kind(method: &Method, path: &str) -> Option<Kind> {
    match (method, path) {
        (_, "/" | "/healthz" | "/readyz" | "/docs" | "/openapi.json" | "/favicon.ico") | (&Method::OPTIONS, _) => None,
        // of metrics, those that have no operator's token: otherwise tokens could be guessed here
        (_, path) if path.starts_with("/api/admin/") || path == METRICS => Some(Kind::Admin),
        // of a provider that is not in the list, too: its deliveries must not count as writes
        (&Method::POST, path) if path.starts_with("/api/payments/webhook") => Some(Kind::Webhooks),
        (&Method::GET | &Method::HEAD, _) => Some(Kind::Reads),
        _ => Some(Kind::Writes),
    }
}

/// Whether a delivery has neither a signature nor a token.
fn has_no_credentials(request: &Request) -> bool {
    let signature = WEBHOOKS.iter().find(|(path, _)| *path == request.uri().path());
    let has = |name: &str| request.headers().contains_key(name);
    signature.is_some_and(|(_, signature)| !has(signature)) && !has(header::AUTHORIZATION.as_str())
}

/// Whether this is the response to a delivery that was not verified: its signature or token is wrong, no provider has this route, or
/// its body was refused before.
fn is_unverified(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
    )
}

/// Returns the address of the client.
pub(in crate::http) fn address(limits: &RateLimits, request: &Request) -> IpAddr {
    let peer = request.remote_addr().as_socket_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), SocketAddr::ip);
    let lines = |name: &str| request.headers().get_all(name).into_iter().map(HeaderValue::as_bytes);
    limits.proxies().client(peer, lines(FORWARDED), lines(X_FORWARDED_FOR))
}

fn refuse(verdict: &Verdict) -> Response {
    telemetry::rate_limited(verdict.kind.as_str());
    Problem::rate_limited(verdict.after_seconds).into_response()
}

fn add_headers(verdict: &Verdict, headers: &mut HeaderMap) {
    let Verdict { kind, quota, remaining, after_seconds, .. } = verdict;
    let name = kind.as_str();
    let policy = format!("\"{name}\";q={quota};w={WINDOW_SECONDS}");
    for (header, text) in [(POLICY, policy), (LIMIT, format!("\"{name}\";r={remaining};t={after_seconds}"))] {
        headers.insert(header, HeaderValue::try_from(text).expect("a name and numbers"));
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::domain::{Client, Role};
    use crate::rate::{Clock, Rates, TrustedProxies};

    #[test]
    fn two_buyers_of_one_client_behind_one_address_each_have_the_whole_limit() {
        let rates = Rates { writes: NonZeroU32::new(1), ..Rates::default() };
        let limits = RateLimits::new(rates, TrustedProxies::default(), &Clock::Machine(Instant::now()));
        let client = Caller::client(Arc::new(Client { id: 1, name: "shop".to_owned(), role: Role::Storefront }));
        let buyer = |name: &str| client.clone().for_buyer(name.into());
        let anonymous = |name: &str| Caller::anonymous().for_buyer(name.into());
        let request = Request::builder().method(Method::POST).uri_str("/api/holds").finish();
        for (caller, is_refused) in [
            (buyer("a"), false),
            (buyer("b"), false),
            (buyer("a"), true),
            (buyer("b"), true),
            (client.clone(), false),
            (anonymous("a"), false),
            // everyone can name a buyer
            (anonymous("b"), true),
        ] {
            let charge = Charge::begin(&limits, &request, &caller, true).expect("a limit");
            assert_eq!(charge.refusal().is_some(), is_refused, "{caller:?}");
        }
    }

    #[test]
    fn every_route_has_its_kind_of_limit() {
        for (method, path, wanted) in [
            ("GET", "/api/products/1", Some(Kind::Reads)),
            ("HEAD", "/api/products", Some(Kind::Reads)),
            ("GET", "/nothing", Some(Kind::Reads)),
            ("POST", "/api/holds", Some(Kind::Writes)),
            ("DELETE", "/api/holds/1", Some(Kind::Writes)),
            ("BREW", "/api/holds", Some(Kind::Writes)),
            ("POST", "/api/payments/webhook", Some(Kind::Webhooks)),
            ("POST", "/api/payments/webhook/stripe", Some(Kind::Webhooks)),
            ("GET", "/api/payments/webhook", Some(Kind::Reads)),
            ("POST", "/api/payments/webhook/another", Some(Kind::Webhooks)),
            ("GET", "/api/admin/refunds", Some(Kind::Admin)),
            ("POST", "/api/admin/products", Some(Kind::Admin)),
            ("GET", "/metrics", Some(Kind::Admin)),
            ("OPTIONS", "/api/holds", None),
            ("GET", "/healthz", None),
            ("GET", "/readyz", None),
            ("GET", "/docs", None),
            ("GET", "/openapi.json", None),
        ] {
            assert_eq!(kind(&method.parse().expect("a method"), path), wanted, "{method} {path}");
        }
    }
}
