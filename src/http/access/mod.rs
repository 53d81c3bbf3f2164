//! Who may use a route. A handler states it with the type of its first parameter: [`Caller`], [`TokenHolder`] or `Operator`. Such a
//! value exists only if `Admitted::admit` has made it from a request, so that both ways to a handler use the same function.

pub mod buyer;
pub mod credentials;
pub mod feed_reader;
pub mod redeemer;
pub mod schemes;
pub mod taker;

use std::sync::Arc;
use std::time::Instant;

use poem::http::StatusCode;
use poem::web::RemoteAddr;
use poem::{Request, RequestBody};
use poem_openapi::registry::Registry;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use tracing::warn;

use self::credentials::{Rejected, caller};
use super::problem::Problem;
use crate::app::App;
use crate::domain::{Caller, Role, StorefrontMode};
use crate::telemetry;

/// Proof that a request may use a route.
pub(crate) trait Admitted: Sized {
    /// Makes it from the credentials of a request.
    ///
    /// # Errors
    /// 401 `unauthorized`, 403 `forbidden`, 503 while tokens cannot be checked, and the problems of `Holdfast-Buyer`.
    fn admit(app: &App, request: &Request) -> Result<Self, Problem>;
}

/// Who may use a route, besides operators, who may use each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Storefronts and their buyers; callers without a token too, while the storefront is open.
    Shop,
    /// Storefronts and their buyers, with a token.
    TokenHolder,
    /// Storefronts, not their buyers.
    Storefront,
    /// Payment providers.
    Provider,
    /// Gates.
    Gate,
    /// Operators alone.
    Operator,
}

impl Access {
    fn admits(self, caller: &Caller, storefront: StorefrontMode) -> bool {
        match (self, caller.role()) {
            (_, Some(Role::Admin)) => true,
            (Self::Shop | Self::TokenHolder | Self::Storefront, Some(Role::Storefront)) => true,
            (Self::Provider, Some(Role::Provider)) => true,
            (Self::Gate, Some(Role::Gate)) => true,
            (Self::TokenHolder, None) => !caller.is_anonymous(),
            (Self::Shop, None) => !caller.is_anonymous() || storefront == StorefrontMode::Open,
            _ => false,
        }
    }

    /// Returns what a request without a sufficient token must send.
    fn demand(self) -> &'static str {
        match self {
            Self::Shop | Self::TokenHolder | Self::Storefront => {
                "Send the token of a storefront: `Authorization: Bearer …`."
            }
            Self::Provider => "Send the token of a provider: `Authorization: Bearer …`.",
            Self::Gate => "Send the token of a gate: `Authorization: Bearer …`.",
            Self::Operator => "Operators must send their token: `Authorization: Bearer …`.",
        }
    }
}

/// The caller of a request, found before its route.
#[derive(Clone)]
struct Resolved(Result<Caller, Rejected>);

/// Finds the caller of a request before its route, with its buyer, and remembers what its token has shown. Without a valid token, it
/// is anonymous.
pub(super) fn resolve(app: &App, request: &mut Request) -> Caller {
    let known = request.data().map(|Resolved(caller)| caller.clone());
    let found = known.unwrap_or_else(|| caller(app, request.headers()));
    request.set_data(Resolved(found.clone()));
    let caller = found.unwrap_or(Caller::anonymous());
    buyer::narrow(caller.clone(), request.headers()).unwrap_or(caller)
}

/// Returns the caller, if it may use routes of this access.
///
/// # Errors
/// 401 `unauthorized`, 403 `forbidden`, 403 `admin_shut` while there is no operator at all, 503 while tokens cannot be checked.
pub(crate) fn require(access: Access, app: &App, request: &Request) -> Result<Caller, Problem> {
    let known = request.data().map(|Resolved(caller)| caller.clone());
    let caller = known.unwrap_or_else(|| caller(app, request.headers()));
    if let Ok(caller) = &caller
        && access.admits(caller, app.storefront)
    {
        return Ok(caller.clone());
    }
    if caller == Err(Rejected::NotKnown) {
        let detail =
            "Tokens cannot be checked: the database was not available for too long. Send the same request again.";
        return Err(Problem::unavailable("database_unavailable", detail));
    }
    if access == Access::Operator && app.admin_token.is_none() && !app.checkout.clients().has_admin() {
        let detail = "The operators' routes are disabled: the service was started without `HOLDFAST_ADMIN_TOKEN`, and no client \
                      has the role `admin`.";
        return Err(Problem::new(StatusCode::FORBIDDEN, "admin_shut", detail));
    }
    let reason = match &caller {
        Err(_) => "wrong",
        Ok(caller) if caller.is_anonymous() => "missing",
        Ok(_) => "forbidden",
    };
    report(app, access, reason, request.remote_addr());
    Err(match reason {
        "forbidden" => {
            Problem::new(StatusCode::FORBIDDEN, "forbidden", "The token is valid, but may not use this route.")
        }
        _ => Problem::unauthorized("unauthorized", access.demand(), "Bearer"),
    })
}

/// Counts and logs a request without a sufficient token; the token itself is never logged. The peer may be a proxy.
fn report(app: &App, access: Access, reason: &'static str, peer: &RemoteAddr) {
    let count = match access {
        Access::Operator => {
            telemetry::admin_refused(reason);
            app.admin_refusals.count(Instant::now())
        }
        _ => {
            telemetry::caller_refused(reason);
            app.refusals.count(Instant::now())
        }
    };
    if let Some(count) = count {
        warn!(?access, reason, %peer, count, "requests had no sufficient token");
    }
}

impl Admitted for Caller {
    fn admit(app: &App, request: &Request) -> Result<Self, Problem> {
        buyer::narrow(require(Access::Shop, app, request)?, request.headers())
    }
}

/// A storefront, one of its buyers, or an operator: not a caller without a token.
#[derive(Debug)]
pub struct TokenHolder(pub Caller);

impl Admitted for TokenHolder {
    fn admit(app: &App, request: &Request) -> Result<Self, Problem> {
        buyer::narrow(require(Access::TokenHolder, app, request)?, request.headers()).map(Self)
    }
}

/// Attaches the app to a request for [`from_framework`].
pub(super) fn attach(request: &mut Request, app: &Arc<App>) {
    request.set_data(Arc::clone(app));
}

/// Does [`Admitted::admit`] for a request that takes the framework's way.
pub(crate) fn from_framework<T: Admitted>(request: &Request) -> poem::Result<T> {
    let app: &Arc<App> = request.data().ok_or_else(Problem::internal)?;
    Ok(T::admit(app, request)?)
}

/// Makes a type a security requirement of operations, with its schemes in the document. With `or nothing`, a request may also have
/// no credentials.
macro_rules! requirement {
    ($type:ty, [$($scheme:expr),+], $or_nothing:literal) => {
        impl<'a> ApiExtractor<'a> for $type {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
            type ParamType = ();
            type ParamRawType = ();

            fn register(registry: &mut Registry) {
                $($crate::http::access::schemes::register(registry, $scheme);)+
            }

            fn security_schemes() -> Vec<&'static str> {
                vec![$($scheme),+]
            }

            fn has_security_fallback() -> bool {
                $or_nothing
            }

            async fn from_request(
                request: &'a Request,
                _body: &mut RequestBody,
                _options: ExtractParamOptions<()>,
            ) -> poem::Result<Self> {
                $crate::http::access::from_framework(request)
            }
        }
    };
}
pub(crate) use requirement;
requirement!(Caller, [schemes::STOREFRONT, schemes::BUYER, schemes::OPERATOR], true);
requirement!(TokenHolder, [schemes::STOREFRONT, schemes::BUYER, schemes::OPERATOR], false);
