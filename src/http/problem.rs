//! Error responses as `application/problem+json` (RFC 9457) with a stable `code`. Refusals and errors become responses only
//! here.

use std::marker::PhantomData;

use poem::http::{HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object};
use serde::Serialize;
use uuid::Uuid;

use super::problem_lines::{ItemProblem, LineProblem};
use super::status::status;
use super::values::{ProblemTitle, ProblemUri, Text, Timestamp};
use crate::checkout::Error;
use crate::domain::refusal::worst;
use crate::domain::{Refusal, TicketRefusal};

const CONTENT_TYPE: &str = "application/problem+json";

/// The `Retry-After` of a 503.
const RETRY_AFTER_SECONDS: u64 = 1;

/// An error response (RFC 9457). Program against `code`; the other texts may change.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "Problem", skip_serializing_if_is_none)]
struct ProblemBody {
    /// A URI that names the kind of problem.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    kind: ProblemUri,
    /// The kind of problem in words.
    title: ProblemTitle,
    /// The HTTP status.
    status: u16,
    /// The reason why this request failed.
    detail: String,
    /// The stable name of the kind of problem.
    code: Text,
    /// With `sold_out`, `all_held` and `stock_reserved`: units on sale at that moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    available_stock: Option<i64>,
    /// With `buyer_limit` and `held_units_limit`: the most units. With `too_many_seats` and `too_many_ticket_types`: the most of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<i64>,
    /// With `buyer_limit` and `held_units_limit`: the units that count towards it now. With `too_many_seats`: the event's seats.
    #[serde(skip_serializing_if = "Option::is_none")]
    yours: Option<i64>,
    /// With `sale_not_started`: when the sale begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    sale_starts_at: Option<Timestamp>,
    /// With `buyer_limit`: the event, if the limit is that of all of its ticket types.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<i64>,
    /// With `sku_taken`: the product that has the sku. With `hold_not_larger`: the product of which there would be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<i64>,
    /// With `hold_not_larger`: how many units of the product the hold has.
    #[serde(skip_serializing_if = "Option::is_none")]
    qty: Option<i64>,
    /// With `extension_limit`: the longest extension that is possible now, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    possible_seconds: Option<i64>,
    /// With `stock_reserved`: the smallest possible stock.
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved_stock: Option<i64>,
    /// With `amount_changed`: the sum that is due, in minor units of the event's currency; absent without ticket types.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_due_minor: Option<i64>,
    /// With refusals of a hold that was sent with `items`: each line that cannot be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<ItemProblem>>,
    /// With `invalid_lines`: each line that cannot be applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<Vec<LineProblem>>,
    /// With `seat_exists`: the labels of seats that exist or that are named twice, up to 100 of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    seats: Option<Vec<String>>,
    /// With `already_redeemed`: when.
    #[serde(skip_serializing_if = "Option::is_none")]
    redeemed_at: Option<Timestamp>,
    /// With `already_redeemed`: where, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<String>,
    /// With `hold_used`: the order that the hold became. With `charge_pays_order`: the order that the charge paid; with
    /// `charge_due_elsewhere`: its order, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<Uuid>,
    /// With `charge_pays_order` and `charge_due_elsewhere`: the payment event that owns the charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_event_id: Option<i64>,
}

/// An error response: its body and its headers.
#[derive(Debug, Clone)]
pub struct Problem {
    body: Box<ProblemBody>,
    retry_after_seconds: Option<u64>,
    allow: Option<String>,
    challenge: Option<&'static str>,
}

impl Problem {
    /// Creates a problem with this status and code.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let body = ProblemBody {
            kind: ProblemUri(code),
            title: ProblemTitle(code),
            status: status.as_u16(),
            detail: detail.into(),
            code: Text(code),
            available_stock: None,
            limit: None,
            yours: None,
            event_id: None,
            sale_starts_at: None,
            product_id: None,
            qty: None,
            possible_seconds: None,
            reserved_stock: None,
            amount_due_minor: None,
            items: None,
            lines: None,
            seats: None,
            redeemed_at: None,
            gate: None,
            order_id: None,
            owner_event_id: None,
        };
        Self { body: Box::new(body), retry_after_seconds: None, allow: None, challenge: None }
    }

    /// Creates a 400: the request cannot be parsed, or a parameter is invalid.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// Creates a 422: the request can be parsed, but its content is invalid.
    pub fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// Creates a 401. `challenge` becomes its `WWW-Authenticate`, which every 401 must have (RFC 9110, 15.5.2).
    pub fn unauthorized(code: &'static str, detail: impl Into<String>, challenge: &'static str) -> Self {
        let mut problem = Self::new(StatusCode::UNAUTHORIZED, code, detail);
        problem.challenge = Some(challenge);
        problem
    }

    /// Creates a 404 for a path without a route.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "No resource has this path.")
    }

    /// Creates a 503 with `Retry-After`: the same request may be sent again.
    pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        problem.retry_after_seconds = Some(RETRY_AFTER_SECONDS);
        problem
    }

    /// Creates a 429 with `Retry-After`: the caller has sent too many requests, and this one was not processed.
    pub fn rate_limited(retry_after_seconds: u64) -> Self {
        let detail = "Too many requests. This one was not processed, and nothing was changed; see `Retry-After`.";
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail);
        problem.retry_after_seconds = Some(retry_after_seconds);
        problem
    }

    /// Creates a 500, which stands for a bug. The log has the cause, under the request's id.
    pub fn internal() -> Self {
        let detail = "Internal error; the cause is in the service's log under this request's id.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail)
    }

    /// Converts an error of the framework: an unknown path, a wrong method, a parameter that cannot be parsed. `route` is the
    /// path of the route, such as `/api/holds/{hold_id}`.
    pub fn from_framework(error: &poem::Error, route: &str) -> Self {
        use poem::error::{MethodNotAllowedError, NotFoundError};
        use poem_openapi::error::{ParseParamError, ParsePathError};
        if error.is::<NotFoundError>() {
            return Self::not_found();
        }
        if error.is::<MethodNotAllowedError>() {
            let detail = "Method not allowed; see `Allow`.";
            return Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
        }
        // the framework's text contains its internal name of the parameter and Rust's reason: neither helps a client
        if error.is::<ParsePathError>() || error.is::<poem::error::ParsePathError>() {
            return Self::invalid_id(route);
        }
        if let Some(ParseParamError { name, .. }) = error.downcast_ref() {
            let code = match *name {
                "limit" => "invalid_limit",
                "cursor" => "invalid_cursor",
                "state" => "invalid_state",
                "status" => "invalid_status",
                "order_id" => "invalid_order_id",
                "hold_id" => "invalid_hold_id",
                "charge" => "invalid_charge",
                "provider" => "invalid_provider",
                "wait" => "invalid_wait",
                "buyer" => "invalid_buyer",
                "reference" => "invalid_reference",
                "product_id" => "invalid_product_id",
                "organizer_id" => "invalid_organizer_id",
                "event_id" => "invalid_event_id",
                "received_from" | "received_to" | "created_from" | "created_to" | "starts_from" | "starts_to" => {
                    "invalid_time"
                }
                _ => "invalid_parameter",
            };
            return Self::bad_request(code, format!("`{name}` has an invalid value."));
        }
        match error.status() {
            status if status.is_server_error() => Self::internal(),
            status => Self::new(status, "bad_request", error.to_string()),
        }
    }

    /// Creates the problem of an invalid id in the path of a route.
    fn invalid_id(route: &str) -> Self {
        let name = route.split(['{', '}']).nth(1).unwrap_or("id");
        let kind = match name {
            "product_id" | "event_id" | "client_id" | "endpoint_id" => "a whole number",
            _ => "a UUID",
        };
        Self::bad_request("invalid_id", format!("`{name}` must be {kind}."))
    }

    /// Adds `Allow` with the methods of the path (RFC 9110, 15.5.6).
    pub fn allowing(mut self, methods: String) -> Self {
        self.allow = Some(methods);
        self
    }

    /// Replaces the HTTP status.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.body.status = status.as_u16();
        self
    }

    /// The stable name of its kind.
    pub fn code(&self) -> &'static str {
        self.body.code.0
    }

    /// Returns its body.
    pub fn as_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.body).unwrap_or_default()
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let mut problem = Self::new(status(&refusal), refusal.code(), refusal.to_string());
        problem.retry_after_seconds = refusal.retry_after_seconds();
        let first = match &refusal {
            Refusal::RefusedLines(lines) => worst(lines),
            refusal => Some(refusal),
        };
        if let Some((limit, yours, event_id)) = first.and_then(Refusal::passed_limit) {
            (problem.body.limit, problem.body.yours, problem.body.event_id) = (Some(limit), Some(yours), event_id);
        }
        match refusal {
            Refusal::SoldOut { available_stock } | Refusal::AllHeld { available_stock, .. } => {
                problem.body.available_stock = Some(available_stock);
            }
            Refusal::SaleNotStarted { sale_starts_at, .. } => {
                problem.body.sale_starts_at = Some(Timestamp(sale_starts_at));
            }
            Refusal::RefusedLines(lines) => {
                if let Some(Refusal::SaleNotStarted { sale_starts_at, .. }) = worst(&lines) {
                    problem.body.sale_starts_at = Some(Timestamp(*sale_starts_at));
                }
                problem.body.items = Some(lines.into_iter().map(ItemProblem::from).collect());
            }
            Refusal::TooManyTicketTypes { limit } => problem.body.limit = Some(limit),
            Refusal::SeatExists { labels, .. } => problem.body.seats = Some(labels),
            Refusal::Ticket(TicketRefusal::AlreadyRedeemed { redeemed_at, gate }) => {
                (problem.body.redeemed_at, problem.body.gate) = (Some(Timestamp(redeemed_at)), gate);
            }
            Refusal::SkuTaken { product_id } => problem.body.product_id = Some(product_id),
            Refusal::HoldNotLarger { product_id, qty } => {
                problem.body.product_id = Some(product_id);
                problem.body.qty = Some(qty);
            }
            Refusal::ExtensionLimit { possible_seconds } => problem.body.possible_seconds = Some(possible_seconds),
            Refusal::StockReserved { reserved, available_stock } => {
                problem.body.reserved_stock = Some(reserved);
                problem.body.available_stock = Some(available_stock);
            }
            Refusal::AmountChanged { amount_due_minor } => problem.body.amount_due_minor = amount_due_minor,
            Refusal::InvalidLines(lines) => {
                problem.body.lines = Some(lines.into_iter().map(LineProblem::from).collect());
            }
            Refusal::HoldUsed { order_id } => problem.body.order_id = Some(order_id),
            Refusal::ChargePaysOrder { owner_event_id, order_id }
            | Refusal::ChargeDueElsewhere { owner_event_id, order_id } => {
                problem.body.owner_event_id = Some(owner_event_id);
                problem.body.order_id = order_id;
            }
            _ => {}
        }
        problem
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => refusal.into(),
            Error::Unavailable(_) => Self::unavailable(
                "database_unavailable",
                "The database is not available. Send the same request again; with an `Idempotency-Key` this is safe.",
            ),
            Error::Overloaded => Self::unavailable(
                "overloaded",
                "Too many requests are waiting. This request was not processed, and nothing was changed.",
            ),
            Error::Contended { .. } => Self::unavailable(
                "contention",
                "Too many other requests changed the same rows at the same time. This request changed nothing.",
            ),
            Error::Broken(_) => Self::internal(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.body).expect("a problem is plain data");
        let mut response =
            Response::builder().status(self.status()).header(header::CONTENT_TYPE, CONTENT_TYPE).body(body);
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = self.allow.and_then(|methods| HeaderValue::try_from(methods).ok()) {
            response.headers_mut().insert(header::ALLOW, methods);
        }
        if let Some(challenge) = self.challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

impl From<Problem> for poem::Error {
    fn from(problem: Problem) -> Self {
        Self::from_response(problem.into_response())
    }
}

/// The problems that one operation may return, by status, as the document lists them.
pub trait Denials: Send + Sync + 'static {
    /// One entry per status: the status, and the codes in Markdown.
    const LIST: &'static [(u16, &'static str)];
}

/// A problem that an operation returns; the document lists the statuses in `S`.
#[derive(Debug)]
pub struct Denied<S>(Problem, PhantomData<S>);

impl<S, P: Into<Problem>> From<P> for Denied<S> {
    fn from(problem: P) -> Self {
        Self(problem.into(), PhantomData)
    }
}

impl<S: Send> IntoResponse for Denied<S> {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl<S> From<Denied<S>> for poem::Error {
    fn from(denied: Denied<S>) -> Self {
        denied.0.into()
    }
}

impl<S: Denials> ApiResponse for Denied<S> {
    fn meta() -> MetaResponses {
        let response = |&(status, description): &(u16, &'static str)| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType { content_type: CONTENT_TYPE, schema: ProblemBody::schema_ref() }],
            headers: match status {
                401 => {
                    vec![meta_header(
                        "WWW-Authenticate",
                        "The authentication scheme, or the header that must hold a valid signature.",
                        String::schema_ref(),
                    )]
                }
                429 => limit_headers(),
                _ if description.contains("`Retry-After`") => {
                    vec![meta_header("Retry-After", "Seconds to wait before the next attempt.", u64::schema_ref())]
                }
                _ => Vec::new(),
            },
        };
        MetaResponses { responses: S::LIST.iter().map(response).collect() }
    }

    fn register(registry: &mut Registry) {
        ProblemBody::register(registry);
    }
}

/// Returns the headers of a response to a caller that is over its limit.
fn limit_headers() -> Vec<MetaHeader> {
    vec![
        meta_header("Retry-After", "Seconds to wait before the next attempt.", u64::schema_ref()),
        meta_header("RateLimit-Policy", "The limit: its name, `q` requests in `w` seconds.", String::schema_ref()),
        meta_header(
            "RateLimit",
            "The name of the limit, `r` requests that are left, and `t` seconds until there is one more.",
            String::schema_ref(),
        ),
    ]
}

fn meta_header(name: &str, description: &str, schema: MetaSchemaRef) -> MetaHeader {
    MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: false,
        deprecated: false,
        schema,
    }
}

/// Declares the problems of an operation, one line per status.
macro_rules! denials {
    ($(#[$doc:meta])* $name:ident { $($status:literal $description:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl $crate::http::problem::Denials for $name {
            const LIST: &'static [(u16, &'static str)] = &[
                $(($status, $description),)+
                (429, "`rate_limited`; with `Retry-After`. The service may limit the requests of a caller."),
                (500, "`internal_error`"),
                (503, "`database_unavailable`, `schema_outdated`, `contention`, `overloaded`; with `Retry-After`. The same request may be sent again."),
            ];
        }
    };
}
pub(crate) use denials;
