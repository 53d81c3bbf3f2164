//! A route for the benchmark alone, as the baseline of all other requests: its request and its response have the size of a
//! hold's and take the same way through the server, but it does not use the database. It exists only if a variable is set,
//! and is not in the document.

use poem::http::header;
use poem::{Request, Response};
use poem_openapi::payload::ParsePayload as _;

use super::hold_bodies::CreateHold;
use super::json::Json;

/// The path of the route.
pub(super) const PATH: &str = "/bench/echo";
/// The variable that mounts the route, whatever its value.
const VARIABLE: &str = "BENCH_ECHO";
const LOCATION: &str = "/api/holds/00000000-0000-7000-8000-000000000000";
const ANSWER: &str = r#"{"hold_id":"00000000-0000-7000-8000-000000000000","product_id":1,"qty":1,"unit_price_minor":4999,"currency":"EUR","status":"active","expires_at":"2026-01-01T00:00:00.000000Z","expires_in":120,"items":[{"product_id":1,"qty":1,"unit_price_minor":4999}]}"#;

/// Whether the route is mounted.
pub(super) fn is_asked_for() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Parses the body and returns a constant one.
pub(super) async fn handle(request: Request) -> poem::Result<Response> {
    let (request, mut body) = request.split();
    let _ = Json::<CreateHold>::from_request(&request, &mut body).await?;
    let head = Response::builder().header(header::LOCATION, LOCATION);
    Ok(head.header(header::CONTENT_TYPE, "application/json").body(ANSWER))
}
