//! Verification of messages: a message is accepted if it carries an HMAC-SHA256 over its raw bytes under a secret that the
//! sender shares, and if its time is within five minutes of the clock.
//!
//! Two schemes: Standard Webhooks (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>)
//! and Stripe's (<https://docs.stripe.com/webhooks#verify-manually>). Both are parsed strictly, so that no two notations of a
//! signature or a time mean the same: a request with one changed byte is rejected.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::digest::CtOutput;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::endpoint_secret::PREFIX;

/// How far the time of a message may be from the clock, both ways.
const TOLERANCE_SECONDS: u64 = 300;
/// The longest header with signatures, in bytes.
const HEADER_BYTES: usize = 4096;
/// How many signatures of one message are checked; a sender that changes its secret sends two.
const SIGNATURES: usize = 32;
/// How many secrets may be valid at once.
const SECRETS: usize = 16;

/// An HMAC-SHA256 as a sender wrote it.
type Signature = [u8; 32];

/// Why a message is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A part of the signature is missing or repeated.
    #[error("The request is not signed, or a header of its signature is sent more than once.")]
    Missing,
    /// The id of the message cannot be separated from the signed parts behind it.
    #[error("The id of the message must be 1 to 255 visible ASCII characters without a dot.")]
    Id,
    /// The time is not written as a whole number of seconds.
    #[error("The signature's time must be whole seconds since 1970, in digits and without leading zeros.")]
    Time,
    /// The message is too old: it may have been recorded and sent again.
    #[error("The signature is older than {TOLERANCE_SECONDS} seconds.")]
    TooOld,
    /// The message is from the future.
    #[error("The signature is more than {TOLERANCE_SECONDS} seconds ahead of the clock.")]
    TooNew,
    /// No signature was made over these bytes with one of the secrets.
    #[error("No signature matches the request.")]
    DoesNotFit,
}

/// Why a secret is invalid. The secret itself is never shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// It is empty.
    #[error("is empty")]
    Empty,
    /// Its prefix is missing.
    #[error("does not begin with `{PREFIX}`")]
    Prefix,
    /// The text behind the prefix is not base64.
    #[error("is not `{PREFIX}` and standard base64 with its padding")]
    Base64,
    /// It is too short to be safe, or longer than the standard allows.
    #[error("decodes to {0} bytes instead of 24 to 64")]
    Length(usize),
}

/// Why a list of secrets is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSecrets {
    /// One secret is invalid.
    #[error("secret {position} of {count} {problem}")]
    One {
        /// Its position, from 1.
        position: usize,
        /// The number of secrets in the list.
        count: usize,
        /// Why it is invalid.
        problem: BadSecret,
    },
    /// There are more than may be valid at once.
    #[error("there are {0} secrets; at most {SECRETS} are allowed")]
    TooMany(usize),
}

/// One secret, ready to be used.
#[derive(Clone)]
struct Secret(Hmac<Sha256>);

impl Secret {
    fn of_key(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("an HMAC takes a key of any length"))
    }

    /// `whsec_` and base64 of 24 to 64 bytes, as the standard has it.
    fn standard(text: &str) -> Result<Self, BadSecret> {
        if text.is_empty() {
            return Err(BadSecret::Empty);
        }
        let encoded = text.strip_prefix(PREFIX).ok_or(BadSecret::Prefix)?;
        let key = STANDARD.decode(encoded).map_err(|_| BadSecret::Base64)?;
        match key.len() {
            24..=64 => Ok(Self::of_key(&key)),
            length => Err(BadSecret::Length(length)),
        }
    }

    /// Stripe signs with the characters of its secret as they are, its `whsec_` included.
    fn stripe(text: &str) -> Result<Self, BadSecret> {
        if text.is_empty() { Err(BadSecret::Empty) } else { Ok(Self::of_key(text.as_bytes())) }
    }
}

/// The secrets that are valid at the same time, so that a sender can change its secret without an interruption.
#[derive(Clone)]
pub struct Secrets(Vec<Secret>);

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} secrets", self.0.len())
    }
}

impl Secrets {
    /// Parses secrets of Standard Webhooks, separated by commas; spaces around them are ignored.
    ///
    /// # Errors
    /// All problems of the list.
    pub fn standard(list: &str) -> Result<Self, Vec<BadSecrets>> {
        Self::read(list, Secret::standard)
    }

    /// Parses secrets of Stripe's endpoints, in the same form of list.
    ///
    /// # Errors
    /// All problems of the list.
    pub fn stripe(list: &str) -> Result<Self, Vec<BadSecrets>> {
        Self::read(list, Secret::stripe)
    }

    fn read(list: &str, read: fn(&str) -> Result<Secret, BadSecret>) -> Result<Self, Vec<BadSecrets>> {
        let count = list.split(',').count();
        let (mut secrets, mut problems) = (Vec::new(), Vec::new());
        for (index, text) in list.split(',').enumerate() {
            match read(text.trim()) {
                Ok(secret) => secrets.push(secret),
                Err(problem) => problems.push(BadSecrets::One { position: index + 1, count, problem }),
            }
        }
        if count > SECRETS {
            problems.push(BadSecrets::TooMany(count));
        }
        if problems.is_empty() { Ok(Self(secrets)) } else { Err(problems) }
    }

    /// Signs a message by Standard Webhooks with the first of the secrets.
    pub fn sign(&self, id: &str, timestamp_seconds: i64, body: &[u8]) -> Option<String> {
        let mut mac = self.0.first()?.0.clone();
        mac.update(format!("{id}.{timestamp_seconds}.").as_bytes());
        mac.update(body);
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    }

    /// Checks that one of the signatures is over the concatenated parts, under one of the secrets. The duration of the
    /// comparison does not reveal how much of a signature is right.
    fn fit(&self, parts: &[&[u8]], signatures: &[Signature]) -> Result<(), SignatureError> {
        let fits = |secret: &Secret| {
            let mut mac = secret.0.clone();
            parts.iter().for_each(|part| mac.update(part));
            let right = mac.finalize();
            signatures.iter().any(|signature| right == CtOutput::new((*signature).into()))
        };
        let known = !signatures.is_empty() && self.0.iter().any(fits);
        if known { Ok(()) } else { Err(SignatureError::DoesNotFit) }
    }
}

/// The headers of a message by Standard Webhooks.
#[derive(Debug, Clone, Copy)]
pub struct Standard<'a> {
    /// `webhook-id`: the sender's id of the message, the same for every delivery.
    pub id: &'a [u8],
    /// `webhook-timestamp`: the time of this delivery.
    pub timestamp: &'a [u8],
    /// `webhook-signature`: `v1,<base64>`, several of them separated by spaces; other versions are ignored.
    pub signatures: &'a [u8],
}

impl<'a> Standard<'a> {
    /// Verifies that the id, the time and the body are signed, and returns the id.
    ///
    /// The parts are signed with dots between them. If the id could contain a dot, the same signature would match the same
    /// bytes split elsewhere, with another id and another time.
    ///
    /// # Errors
    /// Why the message is rejected.
    pub fn verify(self, secrets: &Secrets, body: &[u8], now_seconds: i64) -> Result<&'a str, SignatureError> {
        let named = (1..=255).contains(&self.id.len());
        let plain = self.id.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'.');
        let id = std::str::from_utf8(self.id).ok().filter(|_| named && plain).ok_or(SignatureError::Id)?;
        check_time(self.timestamp, now_seconds)?;
        let listed = bounded(self.signatures)?.split(|byte| *byte == b' ').filter(|part| !part.is_empty());
        let signatures: Vec<Signature> = listed
            .filter_map(|part| part.strip_prefix(b"v1,"))
            .take(SIGNATURES)
            .filter_map(|encoded| STANDARD.decode(encoded).ok()?.try_into().ok())
            .collect();
        secrets.fit(&[self.id, b".", self.timestamp, b".", body], &signatures)?;
        Ok(id)
    }
}

/// Verifies a message by Stripe's scheme: `header` is `t=<seconds>,v1=<hex>`, with any number of signatures; other versions are
/// ignored.
///
/// # Errors
/// Why the message is rejected.
pub fn verify_stripe(header: &[u8], secrets: &Secrets, body: &[u8], now_seconds: i64) -> Result<(), SignatureError> {
    let fields = || bounded(header).map(|header| header.split(|byte| *byte == b',').map(<[u8]>::trim_ascii));
    let mut times = fields()?.filter_map(|field| field.strip_prefix(b"t="));
    let (Some(time), None) = (times.next(), times.next()) else { return Err(SignatureError::Missing) };
    check_time(time, now_seconds)?;
    let signatures: Vec<Signature> = fields()?
        .filter_map(|field| field.strip_prefix(b"v1="))
        .take(SIGNATURES)
        .filter_map(signature_of_hex)
        .collect();
    secrets.fit(&[time, b".", body], &signatures)
}

fn bounded(header: &[u8]) -> Result<&[u8], SignatureError> {
    if header.len() <= HEADER_BYTES { Ok(header) } else { Err(SignatureError::DoesNotFit) }
}

/// Checks a time in whole seconds since 1970: it must have the one valid notation and be near `now_seconds`.
fn check_time(text: &[u8], now_seconds: i64) -> Result<(), SignatureError> {
    let canonical = text.iter().all(u8::is_ascii_digit) && (text.len() == 1 || !text.starts_with(b"0"));
    let text = std::str::from_utf8(text).ok().filter(|_| canonical).ok_or(SignatureError::Time)?;
    let time: i64 = text.parse().map_err(|_| SignatureError::Time)?;
    if time.abs_diff(now_seconds) <= TOLERANCE_SECONDS {
        return Ok(());
    }
    Err(if time < now_seconds { SignatureError::TooOld } else { SignatureError::TooNew })
}

/// Parses 64 hexadecimal digits in lower case, as Stripe writes them.
fn signature_of_hex(text: &[u8]) -> Option<Signature> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    bytes.filter(|_| rest.is_empty())?.try_into().ok()
}

#[cfg(test)]
mod tests;
