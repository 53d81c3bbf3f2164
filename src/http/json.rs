//! JSON bodies without a tree of values between: serde reads and writes our types directly, which also refuses unknown
//! and repeated fields; the types' poem-openapi schemas keep them in the document.

use std::time::Duration;

use poem::http::{HeaderMap, StatusCode, header};
use poem::{IntoResponse, Request, RequestBody, Response};
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaResponse, MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::problem::Problem;

/// What a body may be at most, in bytes.
pub const BODY_BYTES: usize = 64 * 1024;
/// What is kept of a request's headers, in bytes.
const HEADER_BYTES: usize = 4096;
/// How long a client may take to send its body.
const BODY_TIME: Duration = Duration::from_secs(10);

/// A JSON body, both ways.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// A JSON body as it came, documented as a `T`: whoever must keep the bytes reads them with [`parse`] himself.
#[derive(Debug)]
pub struct Raw<T> {
    /// The body, or why it could not be had: for whoever has nothing else to say no to.
    pub bytes: Result<Vec<u8>, Problem>,
    /// The request's headers that are kept (see [`is_kept_header`]), a line each; at most 4 KB of them.
    pub headers: String,
    documented: std::marker::PhantomData<T>,
}

/// A JSON body that may be left out altogether.
#[derive(Debug)]
pub struct OptionalJson<T>(pub Option<T>);

/// Whether a request comes without a body (RFC 9112, 6.3; over HTTP/2 what has neither length nor type).
fn has_no_body(request: &Request) -> bool {
    let headers = request.headers();
    match headers.get(header::CONTENT_LENGTH) {
        Some(length) => length.as_bytes() == b"0",
        None => !headers.contains_key(header::TRANSFER_ENCODING) && !headers.contains_key(header::CONTENT_TYPE),
    }
}

/// Reads one JSON object.
///
/// # Errors
/// 400 `malformed_json` when it is not JSON, 422 `invalid_body` when it is not the JSON that is asked for.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    // serde would read an array as the fields of a struct in their order
    if first == Some(&b'[') {
        return Err(Problem::unprocessable("invalid_body", "The body must be a JSON object."));
    }
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        Category::Data => Problem::unprocessable("invalid_body", format!("The body does not fit: {error}.")),
        Category::Io | Category::Syntax | Category::Eof => {
            Problem::bad_request("malformed_json", format!("The body is not JSON: {error}."))
        }
    })
}

async fn read(request: &Request, body: &mut RequestBody) -> Result<Vec<u8>, Problem> {
    check_content_type(request.content_type())?;
    let body = body.take().map_err(|_| Problem::internal())?;
    match tokio::time::timeout(BODY_TIME, body.into_bytes_limit(BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(poem::error::ReadBodyError::PayloadTooLarge)) => {
            let detail = format!("A body may have {BODY_BYTES} bytes at most.");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail))
        }
        Ok(Err(error)) => Err(Problem::bad_request("unreadable_body", format!("The body cannot be read: {error}."))),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "The body did not arrive in time.")),
    }
}

/// The headers of a delivery that are kept: those that tell where it came from. Every other header may carry a signature, a
/// key or a token.
const KEPT_HEADERS: [&str; 11] = [
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
pub fn is_kept_header(name: &str) -> bool {
    KEPT_HEADERS.contains(&name)
}

fn kept_headers(headers: &HeaderMap) -> String {
    let mut kept = String::new();
    for (name, value) in headers.iter().filter(|(name, _)| is_kept_header(name.as_str())) {
        let line = format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
        if kept.len() + line.len() <= HEADER_BYTES {
            kept.push_str(&line);
        }
    }
    kept
}

fn check_content_type(content_type: Option<&str>) -> Result<(), Problem> {
    // The type alone, without parameters: application/json, or any application/…+json (RFC 6839).
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.strip_prefix("application/") {
        Some(subtype) if subtype == "json" || subtype.ends_with("+json") => Ok(()),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "The body must be sent as `Content-Type: application/json`.",
        )),
    }
}

impl<T: Type> Payload for Json<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type> Payload for OptionalJson<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type> Payload for Raw<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type + DeserializeOwned> ParsePayload for Json<T> {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self(parse(&read(request, body).await?)?))
    }
}

impl<T: Type> ParsePayload for Raw<T> {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        let headers = kept_headers(request.headers());
        Ok(Self { bytes: read(request, body).await, headers, documented: std::marker::PhantomData })
    }
}

impl<T: Type + DeserializeOwned> ParsePayload for OptionalJson<T> {
    const IS_REQUIRED: bool = false;

    async fn from_request(request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self(match has_no_body(request) {
            true => None,
            false => Some(parse(&read(request, body).await?)?),
        }))
    }
}

macro_rules! extractor {
    ($payload:ty, $($bounds:tt)*) => {
        impl<'a, $($bounds)*> ApiExtractor<'a> for $payload {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
            type ParamType = ();
            type ParamRawType = ();

            fn register(registry: &mut Registry) {
                <Self as Payload>::register(registry);
            }

            fn request_meta() -> Option<MetaRequest> {
                let content = MetaMediaType {
                    content_type: <Self as Payload>::CONTENT_TYPE,
                    schema: <Self as Payload>::schema_ref(),
                };
                Some(MetaRequest { description: None, content: vec![content], required: <Self as ParsePayload>::IS_REQUIRED })
            }

            async fn from_request(
                request: &'a Request,
                body: &mut RequestBody,
                _options: ExtractParamOptions<()>,
            ) -> poem::Result<Self> {
                <Self as ParsePayload>::from_request(request, body).await
            }
        }
    };
}
extractor!(Json<T>, T: Type + DeserializeOwned);
extractor!(OptionalJson<T>, T: Type + DeserializeOwned);
extractor!(Raw<T>, T: Type);

impl<T: Serialize + Send> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => Response::builder().header(header::CONTENT_TYPE, "application/json").body(body),
            Err(_) => Problem::internal().into_response(),
        }
    }
}

impl<T: Type + Serialize> ApiResponse for Json<T> {
    fn meta() -> MetaResponses {
        let content = MetaMediaType { content_type: Self::CONTENT_TYPE, schema: Self::schema_ref() };
        let response = MetaResponse {
            description: "",
            status: Some(200),
            status_range: None,
            content: vec![content],
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}
