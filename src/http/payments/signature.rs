//! Verification of deliveries that are signed.

use std::sync::LazyLock;
use std::time::Instant;

use tracing::info;

use crate::domain::signature::SignatureError;
use crate::http::headers::SingleHeader;
use crate::http::problem::Problem;
use crate::telemetry::Throttle;

/// Returns the value of a header that is part of a signature.
pub(super) fn sent(header: &SingleHeader) -> Result<&[u8], SignatureError> {
    header.0.as_deref().ok_or(SignatureError::Missing)
}

/// Verifies by the first of two clocks, in seconds since 1970, and, if the time of the message is too far from it, by the
/// other: a wrong clock must not make the service refuse a payment. A late copy is harmless, since a message counts once.
///
/// # Errors
/// 401 `invalid_signature`, with the header of the signature as its challenge.
pub(super) fn verify_by_either<T>(
    [first, other]: [i64; 2],
    header: &'static str,
    verify: impl Fn(i64) -> Result<T, SignatureError>,
) -> Result<T, Problem> {
    let verified = match verify(first) {
        Err(SignatureError::TooOld | SignatureError::TooNew) => verify(other),
        verified => verified,
    };
    verified.map_err(|reason| reject(header, reason))
}

/// Bounds the log, since every client can send unsigned messages.
static REJECTED: LazyLock<Throttle> = LazyLock::new(Throttle::default);

fn reject(header: &'static str, reason: SignatureError) -> Problem {
    if let Some(count) = REJECTED.count(Instant::now()) {
        info!(header, %reason, count, "signatures were rejected");
    }
    Problem::unauthorized("invalid_signature", reason.to_string(), header)
}
