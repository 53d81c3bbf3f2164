//! Stripe's webhook, which has its own envelope, signature and notation of amounts.

mod event;
pub(crate) mod object;

use std::sync::Arc;

use poem_openapi::OpenApi;

use self::event::read_report;
use self::object::StripeEvent;
use super::signature::{sent, verify_by_either};
use super::webhook::{Message, ProviderDelivery, WebhookResponse, receive};
use crate::app::App;
use crate::domain::payment::Provider;
use crate::domain::signature::{Secrets, verify_stripe};
use crate::http::headers::SingleHeader;
use crate::http::json::Raw;
use crate::http::problem::{Denied, Problem, denials};
use crate::http::tags::Tags;

denials! {
    /// The problems of `POST /api/payments/webhook/stripe`.
    StripeDenials {
        400 "`unreadable_body`",
        401 "`invalid_signature`",
        404 "`not_found`: no Stripe secret is configured",
        408 "`body_timeout`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`malformed_json`, `invalid_body`, `idempotency_key_reuse`",
    }
}

/// The route of the webhook.
pub struct StripeWebhook {
    /// The state that all routes share.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/api", tag = "Tags::Payments")]
impl StripeWebhook {
    /// Receive a Stripe event
    ///
    /// For a Stripe endpoint, whose secret signs each event. The `id` of an event is its key.
    ///
    /// | type | result |
    /// | --- | --- |
    /// | `checkout.session.completed` that is `paid` or requires no payment, `checkout.session.async_payment_succeeded`, `payment_intent.succeeded` | a success |
    /// | `checkout.session.expired`, `checkout.session.async_payment_failed`, `payment_intent.canceled` | a failure: it cancels a pending order |
    /// | `payment_intent.payment_failed` | `ignored`, but shown in the order's trail: the buyer may try again |
    /// | `charge.refunded` | a refund; its amount is the total refunded so far |
    /// | `charge.succeeded`, `charge.captured` | a success if the charge has no PaymentIntent |
    /// | a session that is `unpaid`, a charge with a PaymentIntent, `refund.created`, `refund.updated`, `charge.refund.updated` | `ignored` and not kept: it only links objects |
    ///
    /// Every other type is `ignored` and not kept.
    ///
    /// The shop writes `order_id` or `hold_id` into the metadata of the session, of its `payment_intent_data`, or of both. A
    /// session's `client_reference_id` may contain the order's id too, and counts once that order exists. One object that names
    /// the order is enough: the others are found by the ids that they share. A session and its PaymentIntent are one charge,
    /// under the intent's id.
    ///
    /// An event is `unmatched` if it names no order or hold by a UUID and its objects are not known. It is kept and listed, no
    /// refund is due for it, and it is applied when an event links one of its objects to an order.
    #[oai(path = "/payments/webhook/stripe", method = "post", operation_id = "receiveStripeEvent")]
    async fn webhook(
        &self,
        /// `t=` the time in seconds since 1970, `v1=` the HMAC-SHA256 of `t.body` in hexadecimal; several `v1` are allowed.
        #[oai(name = "Stripe-Signature")]
        signature: SingleHeader,
        body: Raw<StripeEvent>,
    ) -> Result<WebhookResponse, Denied<StripeDenials>> {
        let secrets = self.app.stripe_secrets.as_ref().ok_or_else(Problem::not_found)?;
        Ok(receive(&self.app, StripeDelivery { secrets, signature }, body).await?)
    }
}

/// A delivery to Stripe's webhook.
struct StripeDelivery<'app> {
    secrets: &'app Secrets,
    signature: SingleHeader,
}

impl ProviderDelivery for StripeDelivery<'_> {
    const PROVIDER: Provider = Provider::Stripe;
    type Verified = ();

    fn verify(self, body: &[u8], clocks: [i64; 2]) -> Result<(), Problem> {
        let verify = |now| verify_stripe(sent(&self.signature)?, self.secrets, body, now);
        verify_by_either(clocks, "Stripe-Signature", verify)
    }

    fn read((): (), body: Vec<u8>, headers: String) -> Result<Message, Problem> {
        Ok(read_report(Self::PROVIDER, body, headers)?.map_or(Message::Other, Message::Report))
    }
}
