//! The requests that a whole crowd sends in the same second go to their handlers straight from the gate. The framework's
//! router serves them as well, and the document has them from there; but its layers (a router in a router, a path that is
//! parsed anew, the query of every request, three maps of extensions) cost more than the answer itself.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use poem::http::Method;
use poem::{IntoResponse, Request, Response};
use poem_openapi::param::Path;
use poem_openapi::payload::ParsePayload as _;
use poem_openapi::types::Type;
use serde::de::DeserializeOwned;

use super::echo;
use super::holds::Holds;
use super::json::{Json, Raw};
use super::orders::Orders;
use super::payments::{PaymentEvent, Payments};
use super::products::Products;
use super::signature::{Once, StandardHeaders, UnsignedKey};
use super::types::IdempotencyKey;
use crate::app::App;

/// One of those requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hot {
    CreateHold,
    CreateOrder,
    ReceivePaymentEvent,
    FindProduct(i64),
    Echo,
}

impl Hot {
    /// Its path, as the document writes it.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::CreateHold => "/api/holds",
            Self::CreateOrder => "/api/orders",
            Self::ReceivePaymentEvent => "/api/payments/webhook",
            Self::FindProduct(_) => "/api/products/{product_id}",
            Self::Echo => echo::PATH,
        }
    }
}

/// Their handlers.
pub(super) struct Handlers {
    holds: Holds,
    orders: Orders,
    payments: Payments,
    products: Products,
    echo: bool,
}

impl Handlers {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self {
            holds: Holds { app: Arc::clone(app) },
            orders: Orders { app: Arc::clone(app) },
            payments: Payments { app: Arc::clone(app) },
            products: Products { app: Arc::clone(app) },
            echo: echo::is_asked_for(),
        }
    }

    /// Whether this is one of them. Whatever is unusual about it (an id that cannot be read, `HEAD`) is the router's.
    pub(super) fn find(&self, request: &Request) -> Option<Hot> {
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/api/holds") => Some(Hot::CreateHold),
            (&Method::POST, "/api/orders") => Some(Hot::CreateOrder),
            (&Method::POST, "/api/payments/webhook") => Some(Hot::ReceivePaymentEvent),
            (&Method::GET, path) => path.strip_prefix("/api/products/")?.parse().ok().map(Hot::FindProduct),
            (&Method::POST, echo::PATH) if self.echo => Some(Hot::Echo),
            _ => None,
        }
    }

    /// A request is dropped as soon as it is understood, and what reads it is boxed apart from what waits for the answer:
    /// what a crowd that waits keeps in memory is what the next requests find gone from the caches.
    pub(super) fn answer(&self, hot: Hot, request: Request) -> BoxFuture<'_, poem::Result<Response>> {
        match hot {
            Hot::CreateHold => {
                let wish = Box::pin(wish(request));
                Box::pin(async move {
                    let (key, body) = wish.await?;
                    Ok(answered(self.holds.create(key, body).await))
                })
            }
            Hot::CreateOrder => {
                let wish = Box::pin(wish(request));
                Box::pin(async move {
                    let (key, body) = wish.await?;
                    Ok(answered(self.orders.create(key, body).await))
                })
            }
            Hot::ReceivePaymentEvent => {
                let delivery = Box::pin(delivery(request));
                Box::pin(async move {
                    let (StandardHeaders { id, timestamp, signatures }, key, body) = delivery.await?;
                    Ok(answered(self.payments.webhook(id, timestamp, signatures, key, body).await))
                })
            }
            Hot::FindProduct(product_id) => {
                Box::pin(async move { Ok(answered(self.products.find(Path(product_id)).await)) })
            }
            Hot::Echo => Box::pin(echo::answer(request)),
        }
    }
}

/// What somebody wants to hold, or to order.
async fn wish<T: Type + DeserializeOwned>(request: Request) -> poem::Result<(IdempotencyKey, Json<T>)> {
    let (request, mut body) = request.split();
    let key = IdempotencyKey::of(request.headers(), "idempotency-key")?;
    Ok((key, Json::from_request(&request, &mut body).await?))
}

/// What a payment provider reports.
async fn delivery(request: Request) -> poem::Result<(StandardHeaders, UnsignedKey, Raw<PaymentEvent>)> {
    let (request, mut body) = request.split();
    let [id, timestamp, signatures] =
        ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| Once::read(&request, name));
    let key = UnsignedKey::read(&request, "idempotency-key");
    Ok((StandardHeaders { id, timestamp, signatures }, key, Raw::from_request(&request, &mut body).await?))
}

fn answered(result: Result<impl IntoResponse, impl IntoResponse>) -> Response {
    match result {
        Ok(answer) => answer.into_response(),
        Err(denied) => denied.into_response(),
    }
}
