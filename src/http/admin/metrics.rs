//! The metrics, as Prometheus reads them.

use std::sync::Arc;

use poem::http::header;
use poem::{IntoResponse, Response};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type as _;
use poem_openapi::{ApiResponse, OpenApi};

use super::operator::Operator;
use crate::app::App;
use crate::http::problem::{Denied, denials};
use crate::http::tags::Tags;
use crate::telemetry;

/// The content type of Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

denials! {
    /// The problems of `GET /metrics`.
    MetricsDenials {
        401 "`unauthorized`",
        403 "`admin_shut`: there is neither `HOLDFAST_ADMIN_TOKEN` nor a client with the role `admin`",
    }
}

/// The route of the metrics.
pub struct Metrics {
    /// The state that all routes share.
    pub app: Arc<App>,
}

#[OpenApi(tag = "Tags::Operators")]
impl Metrics {
    /// Read the metrics of this instance, as Prometheus does
    ///
    /// In Prometheus' text format 0.0.4. Each instance has its own numbers, since it was read for the first time; with `HOLDFAST_METRICS_LISTEN`, since it was started. A metric
    /// that was never recorded is left out.
    #[oai(path = "/metrics", method = "get", operation_id = "getMetrics")]
    async fn metrics(&self, _operator: Operator) -> Result<MetricsText, Denied<MetricsDenials>> {
        Ok(read().await)
    }
}

/// Reads the metrics.
pub(in crate::http) async fn read() -> MetricsText {
    MetricsText(telemetry::scrape().await)
}

/// The metrics as text.
#[derive(Debug)]
pub(in crate::http) struct MetricsText(String);

impl IntoResponse for MetricsText {
    fn into_response(self) -> Response {
        Response::builder().header(header::CONTENT_TYPE, TEXT_FORMAT).body(self.0)
    }
}

impl ApiResponse for MetricsText {
    fn meta() -> MetaResponses {
        let text = MetaMediaType { content_type: TEXT_FORMAT, schema: String::schema_ref() };
        let response = MetaResponse {
            description: "The metrics.",
            status: Some(200),
            status_range: None,
            content: vec![text],
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(_registry: &mut Registry) {}
}
