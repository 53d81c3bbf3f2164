//! The credentials of a request: the token in its `Authorization`, if it has one.

use poem::http::{HeaderMap, header};
use tokio::time::Instant;

use crate::app::App;
use crate::checkout::clients::registry::{NotKnown, Registry};
use crate::domain::{AdminToken, Caller, TokenDigest, verify_buyer_token};

/// The longest token, in bytes: a longer one is not looked at.
const LONGEST_BYTES: usize = 4096;

/// Why a request with an `Authorization` has no caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejected {
    /// It has no valid token.
    Wrong,
    /// Tokens cannot be checked now.
    NotKnown,
}

impl From<NotKnown> for Rejected {
    fn from(_: NotKnown) -> Self {
        Self::NotKnown
    }
}

/// Returns the caller of a request. Without `Authorization` it costs the look-up of that header, and nothing else.
pub(super) fn caller(app: &App, headers: &HeaderMap) -> Result<Caller, Rejected> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(Caller::anonymous()) };
    if values.next().is_some() {
        return Err(Rejected::Wrong);
    }
    let token = bearer(value.as_bytes()).ok_or(Rejected::Wrong)?;
    let now_seconds = app.checkout.database().clock().now().and_utc().timestamp();
    identify(token, app.admin_token.as_ref(), app.checkout.clients(), now_seconds)
}

/// Returns the token in `Bearer token`; the scheme's name may be in any case (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && token.len() <= LONGEST_BYTES).then_some(token)
}

/// Finds out what a token shows: the operators' token from the configuration, the token of a client, or a token of a buyer.
fn identify(
    token: &[u8],
    operators: Option<&AdminToken>,
    clients: &Registry,
    now_seconds: i64,
) -> Result<Caller, Rejected> {
    if operators.is_some_and(|known| known.matches(token)) {
        return Ok(Caller::operator());
    }
    let now = Instant::now();
    if let Some(digest) = TokenDigest::of(token) {
        return clients.find(&digest, now)?.map(Caller::client).ok_or(Rejected::Wrong);
    }
    // each token of a buyer has dots, and no token of a client has one
    if !token.contains(&b'.') {
        return Err(Rejected::Wrong);
    }
    let mut rejected = Rejected::Wrong;
    let find_key = |name: &str, kid: &str| {
        clients.find_key(name, kid, now).unwrap_or_else(|error| {
            rejected = error.into();
            None
        })
    };
    verify_buyer_token(token, now_seconds, find_key).map_err(|_| rejected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_follows_the_name_of_its_scheme_in_any_case() {
        for value in ["Bearer abc", "bearer  abc ", "BEARER abc"] {
            assert_eq!(bearer(value.as_bytes()), Some(&b"abc"[..]), "{value}");
        }
        for value in ["", "Bearer", "Basic abc", "Bearerabc", "abc"] {
            assert_eq!(bearer(value.as_bytes()), None, "{value}");
        }
        assert_eq!(bearer(format!("Bearer {}", "x".repeat(LONGEST_BYTES + 1)).as_bytes()), None);
    }
}
