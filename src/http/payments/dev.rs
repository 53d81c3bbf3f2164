//! A provider that pays orders when it is asked to: for `holdfast dev` alone, so that a sale can be finished in Swagger UI.

use std::sync::Arc;

use poem_openapi::param::{Path, Query};
use poem_openapi::{Enum, Object, OpenApi};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::standard::deliver_signed;
use super::webhook::ReceiptBody;
use crate::app::App;
use crate::checkout::Error;
use crate::domain::{Caller, Refusal, mint_id};
use crate::http::json::Json;
use crate::http::orders::OrderBody;
use crate::http::problem::{Denied, Problem, denials};
use crate::http::tags::Tags;

/// What becomes of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "DevOutcome", rename_all = "snake_case")]
enum DevOutcome {
    /// It succeeds.
    Paid,
    /// It fails for good, and the order is cancelled.
    Failed,
    /// It succeeds, unless the order is paid, and is given back.
    Refunded,
    /// Its success is reported twice.
    Twice,
    /// Its success is reported before there is the order.
    Before,
    /// Its success is reported after the order was cancelled.
    Late,
}

/// What was reported, and what became of the order.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "DevPayment", skip_serializing_if_is_none)]
struct DevPaymentBody {
    /// The answers to the events, in their order.
    answers: Vec<ReceiptBody>,
    /// The order; absent if there is none yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<OrderBody>,
}

denials! {
    /// The problems of `POST /dev/pay/{order_id}`.
    DevPayDenials {
        400 "`invalid_id`, `invalid_parameter`",
        404 "`order_not_found`",
        409 "`order_paid`: a paid order cannot be paid late. `order_id_taken`: there is the order already",
    }
}

/// The route.
pub struct DevPayments {
    /// The state that all routes share.
    pub app: Arc<App>,
}

#[OpenApi(tag = "Tags::Payments")]
impl DevPayments {
    /// Pay an order, as a provider would: only dev has this
    ///
    /// Reports what a payment provider would report, signed as it would sign, and shows what became of the order. With the outcome
    /// `before`, send an id of your own, and make the order with it as `order_id` afterwards: it is paid at once. With `late`, the
    /// order is cancelled first. It needs no token, and pays any order: `dev` is for this machine alone. Where `HOLDFAST_WEBHOOK_MODE` is `queue`, the
    /// order is shown before the event is applied.
    #[oai(path = "/pay/:order_id", method = "post", operation_id = "payInDev")]
    async fn pay(
        &self,
        /// The order's id.
        order_id: Path<Uuid>,
        /// What becomes of the payment: `paid` by default.
        outcome: Query<Option<DevOutcome>>,
    ) -> Result<Json<DevPaymentBody>, Denied<DevPayDenials>> {
        let (order_id, outcome) = (order_id.0, outcome.0.unwrap_or(DevOutcome::Paid));
        let found = self.order(order_id).await?;
        match (&found, outcome) {
            (Some(_), DevOutcome::Before) => return Err(Problem::from(Refusal::OrderIdTaken).into()),
            (None, DevOutcome::Before) => {}
            (None, _) => return Err(Problem::from(Refusal::OrderNotFound).into()),
            (Some(_), DevOutcome::Late) => self.cancel(order_id).await?,
            (Some(_), _) => {}
        }
        let once = mint_id().simple().to_string();
        let success = ("paid", format!("dev-{order_id}"));
        let events = match outcome {
            DevOutcome::Paid | DevOutcome::Before | DevOutcome::Late => vec![success],
            DevOutcome::Twice => vec![success.clone(), success],
            DevOutcome::Failed => vec![("failed", format!("dev-{once}"))],
            DevOutcome::Refunded => vec![success, ("refunded", format!("dev-{order_id}-back"))],
        };
        let mut answers = Vec::with_capacity(events.len());
        for (status, id) in events {
            let event = json!({
                "order_id": order_id, "status": status, "txn_id": format!("dev-{order_id}"), "webhook_source": "dev",
            });
            answers.push(deliver_signed(&self.app, &id, event.to_string().into_bytes()).await?.into());
        }
        Ok(Json(DevPaymentBody { answers, order: self.order(order_id).await? }))
    }

    async fn order(&self, order_id: Uuid) -> Result<Option<OrderBody>, Problem> {
        let app = Arc::clone(&self.app);
        let read = self.app.run(async move { app.checkout.order(&Caller::operator(), order_id).await });
        match read.await {
            Ok(placed) => Ok(Some(placed.into())),
            Err(Error::Refused(Refusal::OrderNotFound)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn cancel(&self, order_id: Uuid) -> Result<(), Problem> {
        let app = Arc::clone(&self.app);
        let cancelled = self.app.run(async move { app.checkout.cancel_order(&Caller::operator(), order_id).await });
        Ok(cancelled.await.map(drop)?)
    }
}
