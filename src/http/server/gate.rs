//! The endpoint that every request passes. It gives the request an id and a span that puts the id on every log line, measures
//! its duration, and turns every failure inside into a problem.

use std::collections::HashMap;
use std::future::{Future, ready};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, TryFutureExt as _};
use poem::http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use poem::{Endpoint, IntoResponse, PathPattern, Request, Response};
use tracing::{Instrument as _, Level, debug, enabled, error, info_span, warn};

use super::cors::Cors;
use super::parameters::Parameters;
use super::rates::{Charge, METRICS};
use crate::app::App;
use crate::domain::ticket_code::without_codes;
use crate::domain::{WebhookAuth, mint_id};
use crate::http::access::{attach, resolve};
use crate::http::hot::{Handlers, Hot};
use crate::http::problem::Problem;
use crate::telemetry;

const REQUEST_ID: &str = "x-request-id";
/// The label in metrics of a path without a route, and of a request that is refused before its route is found.
const UNMATCHED: &str = "unmatched";
const TRACE_PARENT: &str = "traceparent";
/// The default `Cache-Control`: a response is valid for one request, at one moment.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The paths of operators begin with this.
const OPERATORS: &str = "/api/admin/";

/// The name of a path in metrics, and its methods.
#[derive(Debug, Clone)]
pub struct Route {
    /// As the document writes it, `/api/products/{product_id}`.
    pub path: String,
    /// Its methods, as `Allow` lists them.
    pub allow: String,
}

/// A request on its way.
struct Passed<'gate> {
    /// The hot request, if it is one.
    hot: Option<Hot>,
    /// How it counts, if a limit is about it.
    charge: Option<Box<Charge>>,
    answering: BoxFuture<'gate, poem::Result<Response>>,
}

/// The outermost endpoint.
pub struct Gate<E> {
    app: Arc<App>,
    /// `None` sends all requests to `others`.
    hot: Option<Handlers>,
    others: E,
    /// By the framework's pattern, `/api/products/:param0`.
    routes: Arc<HashMap<String, Route>>,
    cors: Cors,
    parameters: Parameters,
}

impl<E> Gate<E> {
    /// Creates a gate in front of the hot handlers and of `others`; the keys of `routes` are the framework's patterns.
    pub(crate) fn new(
        app: Arc<App>,
        hot: Option<Handlers>,
        others: E,
        routes: HashMap<String, Route>,
        parameters: Parameters,
    ) -> Self {
        let cors = Cors::new(&app.cors_origins);
        Self { app, hot, others, routes: Arc::new(routes), cors, parameters }
    }
}

impl<E: Endpoint> Endpoint for Gate<E> {
    type Output = Response;

    /// Not an async function: its future would reserve space for the request several times over while it waits.
    fn call(&self, request: Request) -> impl Future<Output = poem::Result<Response>> + Send {
        let started = Instant::now();
        let request_id = request_id(&request);
        let method = request.method().clone();
        let path = enabled!(Level::DEBUG).then(|| without_codes(request.uri().path()));
        let span = info_span!("request", request_id);
        let origin = self.cors.find(request.headers());
        let refused = check_head(&request).map_err(|problem| closing(problem, request.version())).err();
        let refused = refused.or_else(|| self.without_schema(&method, request.uri().path()));
        let Passed { hot, charge, answering } = match refused {
            Some(response) => Passed { hot: None, charge: None, answering: ready(Ok(response)).boxed() },
            None => self.pass(request),
        };
        let passed = async move {
            let outcome = AssertUnwindSafe(answering).catch_unwind().await;
            let (mut response, pattern) = self.respond(outcome, &method);
            if let Some(charge) = charge {
                charge.finish(&self.app.rate_limits, &mut response);
            }
            self.cors.add(origin, &method, &mut response);
            if let Ok(value) = HeaderValue::try_from(request_id.as_str()) {
                response.headers_mut().insert(REQUEST_ID, value);
            }
            response.headers_mut().entry(header::CACHE_CONTROL).or_insert(NO_STORE);
            let route = match hot {
                Some(hot) => hot.path(),
                None => self.route(pattern.as_deref()),
            };
            self.record(&method, path.as_deref(), route, response.status(), started);
            Ok(response)
        };
        passed.instrument(span)
    }
}

impl<E: Endpoint> Gate<E> {
    /// Counts the request, and sends it the hot way or the framework's; both find its caller before its handler runs.
    fn pass(&self, mut request: Request) -> Passed<'_> {
        let charge = self.charge(&mut request);
        let refusal = charge.as_ref().and_then(|charge| charge.refusal());
        if let Some(refusal) = refusal.or_else(|| self.check_parameters(&mut request)) {
            return Passed { hot: None, charge, answering: ready(Ok(refusal)).boxed() };
        }
        let hot = self.hot.as_ref().and_then(|handlers| Some((handlers, handlers.find(&request)?)));
        if let Some((handlers, hot)) = hot {
            return Passed { hot: Some(hot), charge, answering: handlers.handle(hot, request) };
        }
        attach(&mut request, &self.app);
        let answering = self.others.call(request).map_ok(IntoResponse::into_response).boxed();
        Passed { hot: None, charge, answering }
    }

    /// Returns a 400 for a query parameter that the route does not have. On operators' routes, a request without a valid token is
    /// refused for that.
    fn check_parameters(&self, request: &mut Request) -> Option<Response> {
        let problem = self.parameters.check(request).err()?;
        let is_shut =
            request.uri().path().starts_with(OPERATORS) && resolve(&self.app, request).operator_name().is_none();
        (!is_shut).then(|| problem.into_response())
    }

    /// Counts a request whose caller is known, or by its address.
    fn charge(&self, request: &mut Request) -> Option<Box<Charge>> {
        let limits = &self.app.rate_limits;
        if !limits.is_on() {
            return None;
        }
        Charge::kind(limits, request)?;
        let caller = resolve(&self.app, request);
        if request.uri().path() == METRICS && caller.operator_name().is_some() {
            // a scrape must not fail because an operator is busy, nor use up the operator's limit
            return None;
        }
        let is_verified = self.app.webhook_secrets.is_some() || self.app.webhook_auth != WebhookAuth::Signature;
        Charge::begin(limits, request, &caller, is_verified)
    }

    /// Returns a 503 while the schema is outdated, if the path needs a current one.
    fn without_schema(&self, method: &Method, path: &str) -> Option<Response> {
        let is_refused = self.app.checkout.schema_is_outdated() && !needs_no_schema(path) && method != Method::OPTIONS;
        is_refused.then(|| {
            let detail = "The schema of the database is older than this service requires.";
            Problem::unavailable("schema_outdated", detail).into_response()
        })
    }

    /// Returns the response and the pattern of its route.
    fn respond(&self, outcome: Result<poem::Result<Response>, Panic>, method: &Method) -> (Response, Option<Arc<str>>) {
        match outcome {
            Ok(Ok(response)) => {
                let pattern = response.data::<PathPattern>().map(|pattern| Arc::clone(&pattern.0));
                (response, pattern)
            }
            Ok(Err(failed)) => {
                let pattern = failed.data::<PathPattern>().map(|pattern| Arc::clone(&pattern.0));
                let response = match failed.is_from_response() {
                    true => failed.into_response(),
                    false if *method == Method::OPTIONS => self.options(&failed, pattern.as_deref()),
                    false => self.problem(&failed, pattern.as_deref()).into_response(),
                };
                (response, pattern)
            }
            Err(panic) => {
                error!(panic = panic_text(&panic), "a handler panicked");
                (Problem::internal().into_response(), None)
            }
        }
    }

    /// Answers `OPTIONS`, which no handler takes: 204 with the methods of the path (RFC 9110, 9.3.7), or the problem of a path
    /// without a route.
    fn options(&self, failed: &poem::Error, pattern: Option<&str>) -> Response {
        let problem = self.problem(failed, pattern);
        let is_known = problem.status() == StatusCode::METHOD_NOT_ALLOWED;
        let mut response = problem.into_response();
        if !is_known {
            return response;
        }
        let allow = response.headers_mut().remove(header::ALLOW);
        let mut response = StatusCode::NO_CONTENT.into_response();
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        response
    }

    fn problem(&self, failed: &poem::Error, pattern: Option<&str>) -> Problem {
        let problem = Problem::from_framework(failed, self.route(pattern));
        match pattern.and_then(|pattern| self.routes.get(pattern)) {
            Some(route) if problem.status() == StatusCode::METHOD_NOT_ALLOWED => problem.allowing(route.allow.clone()),
            _ => problem,
        }
    }

    /// Returns the name in metrics of a path of this pattern.
    fn route(&self, pattern: Option<&str>) -> &str {
        pattern.and_then(|pattern| self.routes.get(pattern)).map_or(UNMATCHED, |route| &route.path)
    }

    fn record(&self, method: &Method, path: Option<&str>, route: &str, status: StatusCode, started: Instant) {
        let took = started.elapsed();
        let method = match *method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            _ => "other",
        };
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let status_code = status.as_u16();
        // a 503 is the response to a state, which has its own line in the log
        match status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
            true => warn!(method, route, path, status = status_code, took_us, "request"),
            false => debug!(method, path, status = status_code, took_us, "request"),
        }
        telemetry::request_done(method, route, status_code, took);
    }
}

/// Whether a path is served with an outdated schema too; `/readyz` reports such a schema itself.
fn needs_no_schema(path: &str) -> bool {
    matches!(path, "/" | "/healthz" | "/readyz" | "/docs" | "/openapi.json" | "/favicon.ico" | METRICS)
}

/// Headers that proxies read too. If one is repeated, a proxy may use another line than this service does, and see another
/// request, or two of them (RFC 9112, 3.2 and 11.2).
const SENT_ONCE: [HeaderName; 3] = [header::HOST, header::TRANSFER_ENCODING, header::CONTENT_TYPE];

/// Refuses a head that two parsers may read as different requests.
fn check_head(request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    if request.version() == Version::HTTP_11 && !headers.contains_key(header::HOST) {
        return Err(Problem::bad_request("host_required", "A request over HTTP/1.1 must have a `Host` header."));
    }
    // the HTTP library checks only the last coding: it reads `chunked, chunked` as `chunked`
    if headers.get(header::TRANSFER_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        let detail = "`Transfer-Encoding` must be `chunked` or left out.";
        return Err(Problem::bad_request("invalid_transfer_encoding", detail));
    }
    // as many lines as names: no header is repeated
    if headers.len() == headers.keys_len() {
        return Ok(());
    }
    match SENT_ONCE.iter().find(|name| headers.get_all(*name).iter().nth(1).is_some()) {
        Some(name) => {
            Err(Problem::bad_request("repeated_header", format!("`{name}` must not be sent more than once.")))
        }
        None => Ok(()),
    }
}

/// Closes the connection with the response: the bytes after the request cannot be trusted. (A stream of HTTP/2 ends by
/// itself.)
fn closing(problem: Problem, version: Version) -> Response {
    let mut response = problem.into_response();
    if version < Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

type Panic = Box<dyn std::any::Any + Send>;

fn panic_text(panic: &Panic) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

/// Returns the client's id for this request, its trace's id (W3C Trace Context), or a new one.
fn request_id(request: &Request) -> String {
    let given = request.header(REQUEST_ID).filter(|id| is_plain(id, 128));
    let traced = || request.header(TRACE_PARENT).and_then(|parent| parent.split('-').nth(1));
    let traced = || traced().filter(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    given.or_else(traced).map_or_else(|| mint_id().to_string(), str::to_owned)
}

fn is_plain(id: &str, most: usize) -> bool {
    (1..=most).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}
