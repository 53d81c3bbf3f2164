//! Stripe's webhook: its own envelope, its own signature, its own way of writing amounts.

use std::sync::Arc;

use poem_openapi::OpenApi;

use super::Tags;
use super::json::Raw;
use super::payments::{Delivered, answer};
use super::problem::{Denied, Problem, denials};
use super::signature::{Once, check_stripe};
use super::stripe_event::{StripeEvent, read_event};
use crate::app::App;

denials! {
    /// Of `POST /api/payments/webhook/stripe`.
    StripeDenials {
        400 "`unreadable_body`",
        401 "`invalid_signature`",
        404 "`not_found`: no secret of Stripe's is configured",
        408 "`body_timeout`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`malformed_json`, `invalid_body`, `idempotency_key_reuse`",
    }
}

/// The route.
pub struct Stripe {
    /// What it shares with others.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/api", tag = "Tags::Payments")]
impl Stripe {
    /// Take in an event of Stripe's
    ///
    /// For a Stripe endpoint, whose secret signs each event. An event is taken in under its `id`.
    ///
    /// | type | what it comes to |
    /// | --- | --- |
    /// | `checkout.session.completed` that is `paid` or needs no payment, `checkout.session.async_payment_succeeded`, `payment_intent.succeeded` | a success |
    /// | `checkout.session.expired`, `checkout.session.async_payment_failed`, `payment_intent.canceled` | a failure: it cancels a pending order |
    /// | `payment_intent.payment_failed` | `ignored`: the order's trail shows it, the buyer may try again |
    /// | `charge.refunded` | a refund: what was given back so far |
    /// | `charge.succeeded`, `charge.captured` | a success where the charge has no PaymentIntent |
    /// | a session that is `unpaid`, a charge with a PaymentIntent, `refund.created`, `refund.updated`, `charge.refund.updated` | `ignored` and not kept: it only tells which objects belong together |
    ///
    /// Every other type is answered `ignored` and not kept.
    ///
    /// The shop writes `order_id` or `hold_id` into the metadata of the session, of its `payment_intent_data`, or of both;
    /// a session's `client_reference_id` is a second place for the order's id, and counts once there is such an order. One object that names the order is enough:
    /// the others are found by the ids that they share. Session and PaymentIntent are one charge, under the intent's id.
    ///
    /// An event that names no order or hold, or one that is not a UUID, and whose objects are not known, is `unmatched`:
    /// it is kept and listed, nothing is due for it, and it is applied when an event links one of its objects to an order.
    #[oai(path = "/payments/webhook/stripe", method = "post", operation_id = "receiveStripeEvent")]
    async fn webhook(
        &self,
        /// `t=` the time in seconds since 1970, `v1=` the HMAC-SHA256 of `t.body` in hexadecimal; several `v1` may stand.
        #[oai(name = "Stripe-Signature")]
        signature: Once,
        body: Raw<StripeEvent>,
    ) -> Result<Delivered, Denied<StripeDenials>> {
        let secrets = self.app.stripe_secrets.as_ref().ok_or_else(Problem::not_found)?;
        let bytes = body.bytes?;
        check_stripe(&signature, secrets, &bytes, self.app.checkout.clocks())?;
        let Some(report) = read_event(bytes, body.headers)? else { return Ok(Delivered::ignored()) };
        let app = Arc::clone(&self.app);
        let receipt = self.app.run(async move { app.checkout.receive_report(report).await }).await?;
        Ok(receipt.map_or_else(Delivered::ignored, answer))
    }
}
