//! The webhook of any provider: verify a delivery, read it, and take it in.

use std::sync::Arc;

use poem_openapi::{ApiResponse, Object};
use serde::Serialize;

use crate::app::App;
use crate::checkout::payments::links::Report;
use crate::checkout::payments::receipt::Receipt;
use crate::domain::payment::{DeliveryStatus, Provider};
use crate::domain::{EventStatus, OrderStatus, PaymentEvent};
use crate::http::json::{Json, Raw};
use crate::http::problem::Problem;
use crate::http::values::Word;

/// The longest id or name in an event, in bytes.
pub(super) const NAME_BYTES: usize = 255;

/// A delivery of one provider, before its body is read. Another provider is another file with a route and one of these.
pub(super) trait ProviderDelivery {
    /// The provider of its events: the route by which they arrive, never a field of the body.
    const PROVIDER: Provider;
    /// The result of the verification that [`ProviderDelivery::read`] needs.
    type Verified;

    /// Verifies the body. `clocks`: seconds since 1970 by two clocks; the time of the delivery must be near one of them.
    ///
    /// # Errors
    /// 401 `invalid_signature`, or the problem of a header.
    fn verify(self, body: &[u8], clocks: [i64; 2]) -> Result<Self::Verified, Problem>;

    /// Reads a verified body; `headers` are those that are kept.
    ///
    /// # Errors
    /// Problems of the body.
    fn read(verified: Self::Verified, body: Vec<u8>, headers: String) -> Result<Message, Problem>;
}

/// The content of a delivery.
pub(super) enum Message {
    /// An event that names its order or hold.
    Event(PaymentEvent),
    /// A report about one of several objects of a payment.
    Report(Report),
    /// A message that concerns no payment.
    Other,
}

/// Verifies and reads a delivery, and returns once its event is on disk.
pub(super) async fn receive<D: ProviderDelivery, T>(
    app: &Arc<App>,
    delivery: D,
    body: Raw<T>,
) -> Result<WebhookResponse, Problem> {
    let bytes = body.bytes?;
    let verified = delivery.verify(&bytes, app.checkout.clocks())?;
    let message = D::read(verified, bytes, body.headers)?;
    let own = Arc::clone(app);
    let receipt = match message {
        Message::Event(event) => Some(app.run(async move { own.checkout.receive_event(event).await }).await?),
        Message::Report(report) => app.run(async move { own.checkout.receive_report(report).await }).await?,
        Message::Other => None,
    };
    Ok(receipt.map_or_else(WebhookResponse::ignored, WebhookResponse::new))
}

/// The result of a delivery.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "PaymentReceipt", skip_serializing_if_is_none)]
pub struct ReceiptBody {
    /// The result.
    status: Word<DeliveryStatus>,
    /// The state of the event's order, if the order exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_status: Option<Word<OrderStatus>>,
    /// The event's id in the inbox; absent if the message is not about a payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<i64>,
    /// With `duplicate`: the state of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_status: Option<Word<EventStatus>>,
}

/// A response to a delivery. An event that is kept is on disk by then.
#[derive(ApiResponse)]
pub enum WebhookResponse {
    /// The event has its outcome, from this delivery or an earlier one.
    #[oai(status = 200)]
    Settled(Json<ReceiptBody>),
    /// The event waits for its order, for the success of its charge (a refund), or for a worker, and takes effect then.
    #[oai(status = 202)]
    Waiting(Json<ReceiptBody>),
}

impl From<WebhookResponse> for ReceiptBody {
    fn from(response: WebhookResponse) -> Self {
        match response {
            WebhookResponse::Settled(Json(body)) | WebhookResponse::Waiting(Json(body)) => body,
        }
    }
}

impl WebhookResponse {
    fn new(receipt: Receipt) -> Self {
        let status = receipt.answer();
        let body = Json(ReceiptBody {
            status: Word(status),
            order_status: receipt.order_status.map(Word),
            event_id: Some(receipt.event_id),
            event_status: receipt.duplicate.then_some(Word(receipt.status)),
        });
        match status {
            DeliveryStatus::PendingOrder | DeliveryStatus::Queued => Self::Waiting(body),
            _ => Self::Settled(body),
        }
    }

    /// The response to a message that concerns no order and is not kept.
    fn ignored() -> Self {
        let status = Word(DeliveryStatus::Ignored);
        Self::Settled(Json(ReceiptBody { status, order_status: None, event_id: None, event_status: None }))
    }
}

/// Makes the problem of a body that is not JSON a 422, like that of any other invalid body: providers retry on 400 as well as
/// on 422.
pub(super) fn unreadable(problem: Problem) -> Problem {
    problem.with_status(poem::http::StatusCode::UNPROCESSABLE_ENTITY)
}

/// Returns the text of a field, which must have 1 to `limit` bytes and no control characters.
///
/// # Errors
/// 422 `invalid_body`.
pub(super) fn bounded(field: &str, text: Option<String>, limit: usize) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.is_empty() || text.len() > limit || text.contains(char::is_control) => {
            let detail = format!("`{field}` must have 1 to {limit} bytes and no control characters.");
            Err(Problem::unprocessable("invalid_body", detail))
        }
        text => Ok(text),
    }
}
