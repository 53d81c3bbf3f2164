//! Authentication: the caller of a request, resolved before the request takes the hot way or the framework's.

use std::sync::Arc;
use std::time::Instant;

use poem::http::{HeaderMap, StatusCode, header};
use poem::web::RemoteAddr;
use poem::{FromRequest, Request, RequestBody};
use tracing::warn;

use crate::app::App;
use crate::domain::{AdminToken, Caller};
use crate::http::problem::Problem;
use crate::telemetry;

/// A request has an `Authorization` header, but no valid token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InvalidToken;

/// The result of authentication, with the app whose tokens were valid.
#[derive(Clone)]
struct Authenticated {
    app: Arc<App>,
    caller: Result<Caller, InvalidToken>,
}

/// Resolves the caller; `operators` is the token of operators. A request without an `Authorization` header costs the look-up of that header, and nothing else.
pub(super) fn authenticate(operators: Option<&AdminToken>, headers: &HeaderMap) -> Result<Caller, InvalidToken> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(Caller::anonymous()) };
    let token = bearer(value.as_bytes()).filter(|_| values.next().is_none());
    let is_operator = operators.zip(token).is_some_and(|(known, given)| known.matches(given));
    if is_operator { Ok(Caller::operator()) } else { Err(InvalidToken) }
}

/// Returns the token in `Bearer token`; the scheme's name may be in any case (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Returns the caller on a route that requires no token: an invalid token is ignored there.
pub(super) fn on_public_route(caller: Result<Caller, InvalidToken>) -> Caller {
    caller.unwrap_or_else(|_| Caller::anonymous())
}

/// Attaches the result of authentication to a request for the handlers of the framework.
pub(super) fn attach(request: &mut Request, app: &Arc<App>, caller: Result<Caller, InvalidToken>) {
    request.set_data(Authenticated { app: Arc::clone(app), caller });
}

impl<'a> FromRequest<'a> for Caller {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let authenticated: &Authenticated = request.data().ok_or_else(Problem::internal)?;
        Ok(on_public_route(authenticated.caller.clone()))
    }
}

/// Admits requests with the operators' token, and counts the others. Returns the operator's name.
///
/// # Errors
/// 403 `admin_shut` when the service has no such token, or 401 `unauthorized`.
pub(crate) fn require_operator(request: &Request) -> Result<Arc<str>, Problem> {
    let authenticated: &Authenticated = request.data().ok_or_else(Problem::internal)?;
    if authenticated.app.admin_token.is_none() {
        let detail = "The operators' routes are disabled: the service was started without `HOLDFAST_ADMIN_TOKEN`.";
        return Err(Problem::new(StatusCode::FORBIDDEN, "admin_shut", detail));
    }
    let reason = match &authenticated.caller {
        Ok(caller) => match caller.operator_name() {
            Some(name) => return Ok(name.into()),
            None => "missing",
        },
        Err(InvalidToken) => "wrong",
    };
    report(&authenticated.app, reason, request.remote_addr());
    let detail = "Operators must send their token: `Authorization: Bearer …`.";
    Err(Problem::unauthorized("unauthorized", detail, "Bearer"))
}

/// Counts and logs a request without a valid token; the token itself is never logged. The peer may be a proxy.
fn report(app: &App, reason: &'static str, peer: &RemoteAddr) {
    telemetry::admin_refused(reason);
    if let Some(count) = app.admin_refusals.count(Instant::now()) {
        warn!(reason, %peer, count, "requests for operators' routes had no valid token");
    }
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    #[test]
    fn the_caller_is_an_operator_only_with_one_valid_token() {
        let token = AdminToken::new("0123456789abcdef").expect("long enough");
        let valid = "Bearer 0123456789abcdef";
        for (sent, caller) in [
            (&[][..], Ok(Caller::anonymous())),
            (&[valid], Ok(Caller::operator())),
            (&["bearer  0123456789abcdef "], Ok(Caller::operator())),
            (&[valid, valid], Err(InvalidToken)),
            (&["Bearer 0123456789abcdeF"], Err(InvalidToken)),
            (&["Basic 0123456789abcdef"], Err(InvalidToken)),
            (&["Bearer"], Err(InvalidToken)),
            (&[""], Err(InvalidToken)),
        ] {
            let mut headers = HeaderMap::new();
            for value in sent {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            assert_eq!(authenticate(Some(&token), &headers), caller, "{sent:?}");
            assert_ne!(authenticate(None, &headers), Ok(Caller::operator()), "{sent:?}");
        }
    }
}
