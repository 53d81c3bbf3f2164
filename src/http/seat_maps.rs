//! The response with the map of an event's seats. A reader that has the map as it is now gets 304: the map is read for each request,
//! so that this is never said of one that has changed.

use std::io::Write as _;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use poem::http::{HeaderMap, HeaderValue, StatusCode, header};
use poem::{IntoResponse, Request, RequestBody, Response};
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaParamIn, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions, Object};
use serde::Serialize;

use super::constant::{ACCEPT_ENCODING, accepts_gzip, is_known};
use crate::domain::SeatMap;

/// A reader may keep a map, and must ask whether it has changed before each use. No cache that others share may keep it.
const REVALIDATE: HeaderValue = HeaderValue::from_static("private, no-cache");

/// The map of an event's seats.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "SeatMap")]
pub struct SeatMapBody {
    /// The event's id.
    event_id: i64,
    /// Its seated ticket types that are not retired, by id.
    ticket_types: Vec<SeatedTypeBody>,
}

/// The seats of a ticket type.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "SeatMapType")]
pub struct SeatedTypeBody {
    /// The ticket type's id.
    product_id: i64,
    /// Its sections, in the order in which they were made.
    sections: Vec<SectionBody>,
}

/// The seats of a section.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "SeatMapSection")]
pub struct SectionBody {
    /// The section.
    name: String,
    /// Its rows, in the order in which they were made.
    rows: Vec<RowBody>,
}

/// The seats of a row.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "SeatMapRow")]
pub struct RowBody {
    /// The row.
    name: String,
    /// How good it is; 1 is the best.
    rank: i64,
    /// The seats, in the order in which they are beside each other. The label of a seat is `section-row-seat`.
    seats: Vec<String>,
    /// One letter for each of them: `f` is free, `h` is in a hold or an unpaid order, `s` is sold.
    states: String,
}

/// The headers of a request for a map that say which response its reader wants.
#[derive(Debug)]
pub struct Wanted(HeaderMap);

impl<'a> ApiExtractor<'a> for Wanted {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    const PARAM_IS_REQUIRED: bool = false;
    type ParamType = String;
    type ParamRawType = String;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))))
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<String>,
    ) -> poem::Result<Self> {
        Ok(Self(request.headers().clone()))
    }
}

/// The response with a map, or with 304 if its reader has it.
#[derive(Debug)]
pub struct SeatMapResponse {
    map: Arc<SeatMap>,
    wanted: HeaderMap,
}

impl SeatMapResponse {
    /// Creates the response to a reader that wants the map so.
    pub fn new(map: Arc<SeatMap>, wanted: Wanted) -> Self {
        Self { map, wanted: wanted.0 }
    }
}

impl IntoResponse for SeatMapResponse {
    fn into_response(self) -> Response {
        let Self { map, wanted } = self;
        let tag = HeaderValue::try_from(&map.tag).expect("base64 is ASCII");
        let is_same = is_known(&wanted, &tag);
        let head = Response::builder()
            .header(header::CACHE_CONTROL, REVALIDATE)
            .header(header::VARY, ACCEPT_ENCODING)
            .header(header::ETAG, tag);
        if is_same {
            return head.status(StatusCode::NOT_MODIFIED).finish();
        }
        let head = head.header(header::CONTENT_TYPE, "application/json");
        match accepts_gzip(&wanted) {
            true => head.header(header::CONTENT_ENCODING, "gzip").body(Bytes::from_owner(Compressed::of(map))),
            false => head.body(Bytes::from_owner(Plain(map))),
        }
    }
}

/// The text of a map, which all of its responses share.
struct Plain(Arc<SeatMap>);

impl AsRef<[u8]> for Plain {
    fn as_ref(&self) -> &[u8] {
        &self.0.text
    }
}

/// The same, compressed.
struct Compressed(Arc<SeatMap>);

impl Compressed {
    fn of(map: Arc<SeatMap>) -> Self {
        map.compressed.get_or_init(|| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&map.text).expect("memory can be written to");
            encoder.finish().expect("memory can be written to")
        });
        Self(map)
    }
}

impl AsRef<[u8]> for Compressed {
    fn as_ref(&self) -> &[u8] {
        self.0.compressed.get().map(Vec::as_slice).unwrap_or_default()
    }
}

impl ApiResponse for SeatMapResponse {
    fn meta() -> MetaResponses {
        let tag = || MetaHeader {
            name: "ETag".to_owned(),
            description: Some(
                "A digest of the map: another one when a seat has changed. For `If-None-Match`.".to_owned(),
            ),
            required: true,
            deprecated: false,
            schema: String::schema_ref(),
        };
        let response = |status, description, content| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content,
            headers: vec![tag()],
        };
        let map = MetaMediaType { content_type: "application/json", schema: SeatMapBody::schema_ref() };
        let responses = vec![
            response(200, "The map.", vec![map]),
            response(304, "The map is still the one that `If-None-Match` names.", Vec::new()),
        ];
        MetaResponses { responses }
    }

    fn register(registry: &mut Registry) {
        SeatMapBody::register(registry);
    }
}
