//! The headers that sign a message.

use std::sync::LazyLock;
use std::time::Instant;

use poem::http::HeaderMap;
use tracing::info;

use crate::domain::signature::{Secrets, SignatureError, Standard, verify_stripe};
use crate::http::headers::SingleHeader;
use crate::http::problem::Problem;
use crate::telemetry::Throttle;

/// The headers of Standard Webhooks.
#[derive(Debug)]
pub struct StandardHeaders {
    /// `webhook-id`.
    pub id: SingleHeader,
    /// `webhook-timestamp`.
    pub timestamp: SingleHeader,
    /// `webhook-signature`.
    pub signatures: SingleHeader,
}

impl StandardHeaders {
    /// Reads the headers of a request.
    pub fn read(headers: &HeaderMap) -> Self {
        let read = |name| SingleHeader::read(headers, name);
        Self { id: read("webhook-id"), timestamp: read("webhook-timestamp"), signatures: read("webhook-signature") }
    }

    /// Verifies the body and returns the message's id. `clocks`: seconds since 1970 by two clocks; the time of the message
    /// must be near one of them.
    ///
    /// # Errors
    /// 401 `invalid_signature`.
    pub fn verify(&self, secrets: &Secrets, body: &[u8], clocks: [i64; 2]) -> Result<&str, Problem> {
        let verified = by_either(clocks, |now| {
            let (id, timestamp, signatures) = (sent(&self.id)?, sent(&self.timestamp)?, sent(&self.signatures)?);
            Standard { id, timestamp, signatures }.verify(secrets, body, now)
        });
        verified.map_err(|reason| reject("Webhook-Signature", reason))
    }
}

/// Verifies a body that Stripe signed. `clocks`: seconds since 1970 by two clocks; the time of the message must be near one of
/// them.
///
/// # Errors
/// 401 `invalid_signature`.
pub fn check_stripe(header: &SingleHeader, secrets: &Secrets, body: &[u8], clocks: [i64; 2]) -> Result<(), Problem> {
    let verified = by_either(clocks, |now| verify_stripe(sent(header)?, secrets, body, now));
    verified.map_err(|reason| reject("Stripe-Signature", reason))
}

fn sent(header: &SingleHeader) -> Result<&[u8], SignatureError> {
    header.0.as_deref().ok_or(SignatureError::Missing)
}

/// Verifies by the first of two clocks, in seconds since 1970, and, if the time of the message is too far from it, by the
/// other: a wrong clock must not make the service refuse a payment. A late copy is harmless, since a message counts once.
fn by_either<T>(
    [first, other]: [i64; 2],
    verify: impl Fn(i64) -> Result<T, SignatureError>,
) -> Result<T, SignatureError> {
    match verify(first) {
        Err(SignatureError::TooOld | SignatureError::TooNew) => verify(other),
        result => result,
    }
}

/// Bounds the log, since every client can send unsigned messages.
static REJECTED: LazyLock<Throttle> = LazyLock::new(Throttle::default);

fn reject(header: &'static str, reason: SignatureError) -> Problem {
    if let Some(count) = REJECTED.count(Instant::now()) {
        info!(header, %reason, count, "signatures were rejected");
    }
    Problem::unauthorized("invalid_signature", reason.to_string(), header)
}
