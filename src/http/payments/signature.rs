//! The headers that sign a message.

use std::sync::LazyLock;
use std::time::Instant;

use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaParamIn, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use tracing::info;

use crate::domain::signature::{Distrust, Secrets, Standard, verify_stripe};
use crate::http::problem::Problem;
use crate::http::types::IdempotencyKey;
use crate::telemetry::Throttle;

/// A header that counts only if it is sent once: of two lines, a proxy may have used the other one.
#[derive(Debug)]
pub struct Once(Option<Vec<u8>>);

/// An `Idempotency-Key`, used only when verification is off; an invalid key is reported only then.
#[derive(Debug)]
pub struct UnsignedKey(pub Result<IdempotencyKey, Problem>);

macro_rules! header {
    ($type:ty, $schema:expr, $read:expr) => {
        impl<'a> ApiExtractor<'a> for $type {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
            const PARAM_IS_REQUIRED: bool = false;
            type ParamType = String;
            type ParamRawType = String;

            fn param_in() -> Option<MetaParamIn> {
                Some(MetaParamIn::Header)
            }

            fn param_schema_ref() -> Option<MetaSchemaRef> {
                $schema
            }

            async fn from_request(
                request: &'a Request,
                _body: &mut RequestBody,
                options: ExtractParamOptions<String>,
            ) -> poem::Result<Self> {
                let read: fn(&Request, &str) -> Self = $read;
                Ok(read(request, options.name))
            }
        }
    };
}
header!(Once, Some(MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")))), Self::read);
header!(UnsignedKey, IdempotencyKey::param_schema_ref(), Self::read);

impl UnsignedKey {
    /// Reads the header `name`, or the problem with it.
    pub fn read(request: &Request, name: &str) -> Self {
        Self(IdempotencyKey::of(request.headers(), name))
    }
}

impl Once {
    /// Reads the header `name`, if it is sent exactly once.
    pub fn read(request: &Request, name: &str) -> Self {
        let mut values = request.headers().get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Self(Some(value.as_bytes().to_vec())),
            _ => Self(None),
        }
    }

    fn get(&self) -> Result<&[u8], Distrust> {
        self.0.as_deref().ok_or(Distrust::Missing)
    }
}

/// The headers of Standard Webhooks.
#[derive(Debug)]
pub struct StandardHeaders {
    /// `webhook-id`.
    pub id: Once,
    /// `webhook-timestamp`.
    pub timestamp: Once,
    /// `webhook-signature`.
    pub signatures: Once,
}

impl StandardHeaders {
    /// Verifies the body and returns the message's id. `clocks`: seconds since 1970 by two clocks; the time of the message
    /// must be near one of them.
    ///
    /// # Errors
    /// 401 `invalid_signature`.
    pub fn verify(&self, secrets: &Secrets, body: &[u8], clocks: [i64; 2]) -> Result<&str, Problem> {
        let verified = by_either(clocks, |now| {
            let (id, timestamp, signatures) = (self.id.get()?, self.timestamp.get()?, self.signatures.get()?);
            Standard { id, timestamp, signatures }.verify(secrets, body, now)
        });
        verified.map_err(|reason| disbelieved("Webhook-Signature", reason))
    }
}

/// Verifies a body that Stripe signed. `clocks`: seconds since 1970 by two clocks; the time of the message must be near one of
/// them.
///
/// # Errors
/// 401 `invalid_signature`.
pub fn check_stripe(header: &Once, secrets: &Secrets, body: &[u8], clocks: [i64; 2]) -> Result<(), Problem> {
    let verified = by_either(clocks, |now| verify_stripe(header.get()?, secrets, body, now));
    verified.map_err(|reason| disbelieved("Stripe-Signature", reason))
}

/// Verifies by the first of two clocks, in seconds since 1970, and, if the time of the message is too far from it, by the
/// other: a wrong clock must not make the service refuse a payment. A late copy is harmless, since a message counts once.
fn by_either<T>([first, other]: [i64; 2], verify: impl Fn(i64) -> Result<T, Distrust>) -> Result<T, Distrust> {
    match verify(first) {
        Err(Distrust::TooOld | Distrust::TooNew) => verify(other),
        result => result,
    }
}

/// Bounds the log, since every client can send unsigned messages.
static REJECTED: LazyLock<Throttle> = LazyLock::new(Throttle::default);

fn disbelieved(header: &'static str, reason: Distrust) -> Problem {
    if let Some(count) = REJECTED.count(Instant::now()) {
        info!(header, %reason, count, "signatures were rejected");
    }
    Problem::unauthorized("invalid_signature", reason.to_string(), header)
}
