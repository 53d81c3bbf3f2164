//! JSON bodies, which serde reads and writes directly, without a tree of values. serde also refuses unknown and repeated
//! fields. The types' poem-openapi schemas describe the bodies in the document.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use poem::http::{StatusCode, header};
use poem::{IntoResponse, Request, RequestBody, Response};
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaResponse, MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::error::Category;

use super::headers;
use super::problem::Problem;

/// The largest body, in bytes.
pub const BODY_BYTES: usize = 64 * 1024;
/// How long a client may take to send its body.
const BODY_TIME: Duration = Duration::from_secs(10);

/// A JSON body of a request or a response.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// The bytes of a JSON body, documented as a `T`: for handlers that keep the bytes and parse them with [`parse`].
#[derive(Debug)]
pub struct Raw<T> {
    /// The body, or the reason why it could not be read: a handler may have another problem to return first.
    pub bytes: Result<Vec<u8>, Problem>,
    /// The headers of the request that are kept; see [`headers::kept`].
    pub headers: String,
    documented: PhantomData<T>,
}

impl<T> Raw<T> {
    /// Returns bytes that this service has written itself.
    pub fn of(bytes: Vec<u8>) -> Self {
        Self { bytes: Ok(bytes), headers: "{}".to_owned(), documented: PhantomData }
    }
}

/// A JSON body that may be missing.
#[derive(Debug)]
pub struct OptionalJson<T>(pub Option<T>);

/// Whether a request has no body (RFC 9112, 6.3; over HTTP/2: it has neither a length nor a type).
fn has_no_body(request: &Request) -> bool {
    let headers = request.headers();
    match headers.get(header::CONTENT_LENGTH) {
        Some(length) => length.as_bytes() == b"0",
        None => !headers.contains_key(header::TRANSFER_ENCODING) && !headers.contains_key(header::CONTENT_TYPE),
    }
}

/// Parses one JSON object.
///
/// # Errors
/// 400 `malformed_json` when it is not JSON, 422 `invalid_body` when it is not a `T`.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let parsed: Result<FromObject<T>, _> = serde_json::from_slice(bytes);
    parsed.map(|FromObject(body)| body).map_err(|error| match error.classify() {
        Category::Data => Problem::unprocessable("invalid_body", misfit(&error)),
        Category::Io | Category::Syntax | Category::Eof => {
            Problem::bad_request("malformed_json", format!("The body is not JSON: {error}."))
        }
    })
}

/// A value that is read from a JSON object only: serde reads a struct from an array, too, with the fields in their order.
struct FromObject<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for FromObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for ObjectVisitor<T> {
            type Value = FromObject<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, fields: A) -> Result<FromObject<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(FromObject)
            }
        }
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// Deserializes a field with a struct, from an object only. Every such field names this function in `deserialize_with`.
///
/// # Errors
/// When the value is not an object, or not a `T`.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    FromObject::deserialize(deserializer).map(|FromObject(value)| value)
}

/// Does the same for a field that may be null. With `default`, it may also be missing.
///
/// # Errors
/// As [`object`].
pub fn optional_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<T>, D::Error> {
    Ok(Option::deserialize(d)?.map(|FromObject(value)| value))
}

/// Describes why a body is not of the expected type, in terms of JSON: the text of serde names Rust types.
fn misfit(error: &serde_json::Error) -> String {
    let position = format!("line {} column {}", error.line(), error.column());
    let text = error.to_string();
    let text = text.strip_suffix(&format!(" at {position}")).unwrap_or(&text);
    let expected = match text.rsplit_once(", expected ") {
        Some((found, expected)) if found.starts_with("invalid ") => expected,
        _ if text.starts_with("UUID parsing failed") => "a UUID",
        // a missing, unknown or repeated field, under its name in JSON
        _ => return format!("The body is invalid at {position}: {text}."),
    };
    let expected = match expected {
        "a formatted UUID string" => "a UUID",
        "i64" => "a whole number",
        "u64" => "a whole number that is not negative",
        other => other,
    };
    format!("The body is invalid at {position}: expected {expected}.")
}

async fn read(request: &Request, body: &mut RequestBody) -> Result<Vec<u8>, Problem> {
    read_up_to(BODY_BYTES, BODY_TIME, request, body).await
}

/// Reads a body of up to `most` bytes, within `time`.
///
/// # Errors
/// 400 `unreadable_body`, 408 `body_timeout`, 413 `body_too_large`, 415 `unsupported_media_type`.
pub(super) async fn read_up_to(
    most: usize,
    time: Duration,
    request: &Request,
    body: &mut RequestBody,
) -> Result<Vec<u8>, Problem> {
    check_content_type(request.content_type())?;
    let body = body.take().map_err(|_| Problem::internal())?;
    match tokio::time::timeout(time, body.into_bytes_limit(most)).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(poem::error::ReadBodyError::PayloadTooLarge)) => {
            let detail = format!("The body must have at most {most} bytes.");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail))
        }
        Ok(Err(error)) => Err(Problem::bad_request("unreadable_body", format!("The body cannot be read: {error}."))),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "The body did not arrive in time.")),
    }
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
        let headers = headers::kept(request.headers());
        Ok(Self { bytes: read(request, body).await, headers, documented: PhantomData })
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

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::http::hold_bodies::CreateHold;
    use crate::http::orders::CreateOrder;
    use crate::http::payments::standard::PaymentEventBody;
    use crate::http::payments::stripe::object::StripeEvent;

    fn text<T: DeserializeOwned + Debug>(body: &str) -> String {
        misfit(&serde_json::from_str::<FromObject<T>>(body).map(|FromObject(body)| body).expect_err("it is not a T"))
    }

    #[test]
    fn an_invalid_body_is_described_by_its_position_and_in_json_terms() {
        for (text, end) in [
            (text::<CreateHold>("null"), "expected an object."),
            (text::<CreateHold>("[1,1]"), "expected an object."),
            (text::<CreateOrder>("{}"), "missing field `hold_id`."),
            (
                text::<CreateHold>(r#"{"sku":1}"#),
                "unknown field `sku`, expected one of `product_id`, `qty`, `items`, `replaces`, `buyer`, `reference`, `metadata`.",
            ),
            (text::<CreateHold>(r#"{"product_id":null}"#), "expected a whole number."),
            (text::<CreateHold>(r#"{"items":[[1,1]]}"#), "expected an object."),
            (text::<CreateHold>(r#"{"items":[{"qty":1}]}"#), "a line must have either `product_id` or `sku`."),
            (
                text::<CreateHold>(r#"{"items":[{"qty":1,"sku":"a","product_id":1}]}"#),
                "a line must have either `product_id` or `sku`.",
            ),
            (text::<CreateHold>(r#"{"items":[{"sku":"a"}]}"#), "a line must have either `qty` or `seats`."),
            (
                text::<CreateHold>(r#"{"items":[{"seat":1}]}"#),
                "unknown field `seat`, expected one of `product_id`, `sku`, `qty`, `seats`, `best_available`, `split`.",
            ),
            (text::<CreateHold>(r#"{"qty":1,"qty":1}"#), "duplicate field `qty`."),
            (text::<CreateHold>(r#"{"qty":"1, expected 2"}"#), "expected a whole number."),
            (text::<CreateOrder>(r#"{"hold_id":7}"#), "expected a UUID."),
            (text::<CreateOrder>(r#"{"hold_id":"7"}"#), "expected a UUID."),
            (text::<PaymentEventBody>(r#"{"restock":"yes"}"#), "expected a boolean."),
            (text::<PaymentEventBody>(r#"{"status":[]}"#), "expected a string."),
            (text::<PaymentEventBody>(r#"{"amount":true}"#), "an amount must be a number or a string."),
            (text::<StripeEvent>(r#"{"created":1.5}"#), "expected a whole number."),
            (
                text::<StripeEvent>(r#"{"data":{"object":{"amount":-1}}}"#),
                "expected a whole number that is not negative.",
            ),
            (text::<StripeEvent>(r#"{"data":{"object":"ch_1"}}"#), "expected an object."),
            (text::<StripeEvent>(r#"{"data":[{"id":"x"}]}"#), "expected an object."),
            (text::<StripeEvent>(r#"{"data":{"object":["x"]}}"#), "expected an object."),
            (text::<StripeEvent>(r#"{"data":{"object":{"metadata":[null,null]}}}"#), "expected an object."),
        ] {
            let body = "The body is invalid at line 1 column ";
            assert!(text.starts_with(body) && text.ends_with(&format!(": {end}")), "{text} {end}");
        }
    }
}
