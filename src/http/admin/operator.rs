//! Authentication of operators: their routes require the token that the service was started with. It is checked before
//! any other part of a request.

use std::sync::Arc;
use std::time::Instant;

use poem::http::{StatusCode, header};
use poem::web::RemoteAddr;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use tracing::warn;

use crate::app::App;
use crate::http::problem::Problem;
use crate::telemetry;

/// The name of this security scheme in the document.
const SCHEME: &str = "operator";
/// The prefix of the operators' routes.
const PREFIX: &str = "/api/admin/";

/// Proof that a request carries the admin token.
#[derive(Debug)]
pub struct Operator;

/// Attaches the app, which holds the token, to requests for the operators' routes. Without it every token is refused.
pub fn introduce(mut request: Request, app: &Arc<App>) -> Request {
    if request.uri().path().starts_with(PREFIX) {
        request.set_data(Arc::clone(app));
    }
    request
}

fn admit(request: &Request) -> Result<Operator, Problem> {
    let app = request.data::<Arc<App>>();
    let (app, token) = app.and_then(|app| Some((app, app.admin_token.as_ref()?))).ok_or_else(|| {
        let detail = "The operators' routes are disabled: the service was started without `HOLDFAST_ADMIN_TOKEN`.";
        Problem::new(StatusCode::FORBIDDEN, "admin_shut", detail)
    })?;
    let mut shown = request.headers().get_all(header::AUTHORIZATION).iter().peekable();
    let reason = if shown.peek().is_some() { "wrong" } else { "missing" };
    let known = match (shown.next().and_then(|value| bearer(value.as_bytes())), shown.next()) {
        (Some(given), None) => token.is(given),
        _ => false,
    };
    if !known {
        report(app, reason, request.remote_addr());
    }
    let detail = "Operators must send their token: `Authorization: Bearer …`.";
    known.then_some(Operator).ok_or_else(|| Problem::unauthorized("unauthorized", detail, "Bearer"))
}

/// Counts and logs a request without a valid token; the token itself is never logged. The peer may be a proxy.
fn report(app: &App, reason: &'static str, peer: &RemoteAddr) {
    telemetry::admin_refused(reason);
    if let Some(count) = app.admin_refusals.count(Instant::now()) {
        warn!(reason, %peer, count, "requests for operators' routes had no valid token");
    }
}

/// Returns the token in `Bearer token`; the scheme's name may be in any case (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

impl<'a> ApiExtractor<'a> for Operator {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let scheme = MetaSecurityScheme {
            ty: "http",
            description: Some("The service's `HOLDFAST_ADMIN_TOKEN`."),
            name: None,
            key_in: None,
            scheme: Some("bearer"),
            bearer_format: None,
            flows: None,
            openid_connect_url: None,
        };
        registry.create_security_scheme(SCHEME, scheme);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(admit(request)?)
    }
}
