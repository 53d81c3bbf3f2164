//! The headers of requests that handlers read. Both ways to a handler use the same functions.

use poem::http::{HeaderMap, header};
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaParamIn, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use sha2::{Digest, Sha256};

use super::problem::Problem;
use crate::checkout::{IdempotentRequest, Operation};
use crate::domain::{Caller, Details};

/// The name of the header with an [`IdempotencyKey`].
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The most that is kept of a request's headers, in bytes.
const KEPT_BYTES: usize = 4096;

/// The key that a client chose for a request: a request with the same key and body gets the response of the first success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub Option<String>);

impl IdempotencyKey {
    /// Returns the key if it has 1 to 255 visible ASCII characters.
    pub fn check(key: &[u8]) -> Option<&str> {
        let visible = (1..=255).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
        std::str::from_utf8(key).ok().filter(|_| visible)
    }

    /// Reads the key of a request, if it has one.
    ///
    /// # Errors
    /// 400 `invalid_idempotency_key` when the key is invalid or sent more than once.
    pub fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(Self(None)),
            (Some(value), None) => {
                let key = Self::check(value.as_bytes()).ok_or_else(Self::invalid)?;
                Ok(Self(Some(key.to_owned())))
            }
            (Some(_), Some(_)) => Err(Self::invalid()),
        }
    }

    /// Creates the problem of an invalid key.
    pub fn invalid() -> Problem {
        let detail = "An idempotency key must be 1 to 255 visible ASCII characters, sent once.";
        Problem::bad_request("invalid_idempotency_key", detail)
    }

    /// Combines the key with its scope and a fingerprint of the request; `parts` are the fields of the body that each request
    /// has, `written` is what only some have.
    pub fn keyed<const N: usize>(
        self,
        caller: &Caller,
        operation: Operation,
        parts: [String; N],
        written: Option<&Details>,
    ) -> Option<IdempotentRequest> {
        let key = self.0?;
        // numbers and ids cannot contain the separator, and what is written comes with its length
        let parts: Vec<String> = parts.into_iter().chain(written.map(Details::parts).unwrap_or_default()).collect();
        let fingerprint = Sha256::digest(parts.join("|")).into();
        Some(IdempotentRequest::new(caller.key_scope(), operation, key, fingerprint))
    }

    /// Combines the key with its scope, where it is stored with what its request changes; a request without a key gets one of its own.
    pub fn identity(self, caller: &Caller) -> [u8; 32] {
        let Some(key) = self.0 else { return rand::random() };
        Sha256::digest(format!("{}\0{key}", caller.key_scope())).into()
    }

    fn schema() -> MetaSchema {
        let mut schema = MetaSchema::new("string");
        schema.min_length = Some(1);
        schema.max_length = Some(255);
        schema.pattern = Some("^[!-~]+$".to_owned());
        schema
    }
}

/// The entity tags of an `If-Match` (RFC 9110, 13.1.1), one of which the resource must have; `None` without the header, and for
/// `*`, which any resource has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfMatch(pub Option<Vec<String>>);

impl IfMatch {
    /// Reads the header of a request. Weak tags never match.
    ///
    /// # Errors
    /// 400 `invalid_if_match`.
    pub fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let detail = "`If-Match` must be `*` or a list of entity tags, such as `\"1f2e\"`.";
        let invalid = || Problem::bad_request("invalid_if_match", detail);
        let mut tags = Vec::new();
        for line in headers.get_all(header::IF_MATCH) {
            for tag in line.to_str().map_err(|_| invalid())?.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
                let quoted = tag.strip_prefix("W/").unwrap_or(tag);
                match quoted.len() >= 2 && quoted.starts_with('"') && quoted.ends_with('"') {
                    true => tags.push(tag.to_owned()),
                    false if tag == "*" => tags.push(tag.to_owned()),
                    false => return Err(invalid()),
                }
            }
        }
        match tags.as_slice() {
            [] if headers.contains_key(header::IF_MATCH) => Err(invalid()),
            [] => Ok(Self(None)),
            [any] if any == "*" => Ok(Self(None)),
            several if several.iter().any(|tag| tag == "*") => Err(invalid()),
            _ => Ok(Self(Some(tags))),
        }
    }
}

/// An `Idempotency-Key`, used only when verification is off; an invalid key is reported only then.
#[derive(Debug)]
pub struct UnsignedKey(pub Result<IdempotencyKey, Problem>);

impl UnsignedKey {
    /// Reads the key, or the problem with it.
    pub fn read(headers: &HeaderMap) -> Self {
        Self(IdempotencyKey::read(headers))
    }
}

/// A header that counts only if it is sent once: of two lines, a proxy may have used the other one.
#[derive(Debug)]
pub struct SingleHeader(pub Option<Vec<u8>>);

impl SingleHeader {
    /// Reads the header `name`.
    pub fn read(headers: &HeaderMap, name: &str) -> Self {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Self(Some(value.as_bytes().to_vec())),
            _ => Self(None),
        }
    }
}

/// Makes a type a header of an operation, with its schema and how it is read.
macro_rules! header_type {
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
                Some(MetaSchemaRef::Inline(Box::new($schema)))
            }

            async fn from_request(
                request: &'a Request,
                _body: &mut RequestBody,
                options: ExtractParamOptions<String>,
            ) -> poem::Result<Self> {
                let read: fn(&HeaderMap, &str) -> poem::Result<Self> = $read;
                read(request.headers(), options.name)
            }
        }
    };
}
header_type!(IdempotencyKey, Self::schema(), |headers, _| Ok(Self::read(headers)?));
header_type!(IfMatch, MetaSchema::new("string"), |headers, _| Ok(Self::read(headers)?));
// without bounds: a key beside a signature is not read
header_type!(UnsignedKey, MetaSchema::new("string"), |headers, _| Ok(Self::read(headers)));
header_type!(SingleHeader, MetaSchema::new("string"), |headers, name| Ok(Self::read(headers, name)));

/// The headers of a delivery that are kept, because they show its origin. Any other header may contain a signature, a key or
/// a token.
const KEPT: [&str; 11] = [
    "content-type",
    "content-length",
    "date",
    "host",
    "user-agent",
    "webhook-id",
    "webhook-timestamp",
    "x-request-id",
    "x-correlation-id",
    "traceparent",
    "tracestate",
];

/// Whether the header of this name, in lower case, is kept and shown.
pub fn is_kept(name: &str) -> bool {
    KEPT.contains(&name)
}

/// Returns the headers that are kept (see [`is_kept`]), one per line; at most 4 KiB.
pub fn kept(headers: &HeaderMap) -> String {
    let mut kept = String::new();
    for (name, value) in headers.iter().filter(|(name, _)| is_kept(name.as_str())) {
        let line = format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
        if kept.len() + line.len() <= KEPT_BYTES {
            kept.push_str(&line);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    #[test]
    fn if_match_is_any_or_a_list_of_tags() {
        let read = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::IF_MATCH, HeaderValue::from_static(line));
            }
            IfMatch::read(&headers).ok().map(|read| read.0)
        };
        assert_eq!((read(&[]), read(&["*"])), (Some(None), Some(None)));
        let tags = |tags: &[&str]| Some(Some(tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>()));
        assert_eq!(read(&["\"a\""]), tags(&["\"a\""]));
        assert_eq!(read(&["\"a\", W/\"b\"", "\"c\""]), tags(&["\"a\"", "W/\"b\"", "\"c\""]));
        for wrong in ["", "a", "\"", "\"a", "*, \"a\""] {
            assert_eq!(read(&[wrong]), None, "{wrong}");
        }
    }

    #[test]
    fn a_key_is_visible_ascii() {
        assert_eq!(IdempotencyKey::check(b"a-Z~!"), Some("a-Z~!"));
        assert_eq!(IdempotencyKey::check(&[b'k'; 255]).map(str::len), Some(255));
        for key in [&b""[..], &[b'k'; 256], b"a b", b"a\tb", b"a\x7f", "ä".as_bytes()] {
            assert_eq!(IdempotencyKey::check(key), None, "{key:?}");
        }
    }
}
