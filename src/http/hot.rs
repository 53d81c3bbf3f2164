//! Requests of the hot path, which many clients send at once, go from the gate straight to their handlers. The framework's
//! router also has these routes, and the document lists them from there. But the router's layers (a router inside a router,
//! a second parse of the path, a parse of every query, three maps of extensions) cost more than the handler itself.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use poem::http::Method;
use poem::{IntoResponse, Request, Response};
use poem_openapi::param::Path;
use poem_openapi::payload::ParsePayload as _;
use poem_openapi::types::Type;
use serde::de::DeserializeOwned;

use super::access::Admitted as _;
use super::access::taker::Taker;
use super::echo;
use super::headers::{IdempotencyKey, UnsignedKey};
use super::holds::Holds;
use super::json::{Json, Raw};
use super::orders::Orders;
use super::payments::reporter::Reporter;
use super::payments::standard::{PaymentEventBody, StandardHeaders, StandardWebhook};
use super::products::Products;
use crate::app::App;
use crate::domain::Caller;

/// A request of the hot path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hot {
    /// `POST /api/holds`.
    CreateHold,
    /// `POST /api/orders`.
    CreateOrder,
    /// `POST /api/payments/webhook`.
    ReceivePaymentEvent,
    /// `GET /api/products/{product_id}`, with the id.
    FindProduct(i64),
    /// The baseline of the benchmark.
    Echo,
}

impl Hot {
    /// Returns the hot request of this method and path, if any. The router gets unusual ones (`HEAD`, an id that cannot be
    /// parsed).
    pub fn of(method: &Method, path: &str) -> Option<Self> {
        match (method, path) {
            (&Method::POST, "/api/holds") => Some(Self::CreateHold),
            (&Method::POST, "/api/orders") => Some(Self::CreateOrder),
            (&Method::POST, "/api/payments/webhook") => Some(Self::ReceivePaymentEvent),
            (&Method::GET, path) => path.strip_prefix("/api/products/")?.parse().ok().map(Self::FindProduct),
            (&Method::POST, echo::PATH) => Some(Self::Echo),
            _ => None,
        }
    }

    /// Returns the path as the document writes it.
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

/// The handlers of the hot path.
pub struct Handlers {
    holds: Holds,
    orders: Orders,
    payments: StandardWebhook,
    products: Products,
    echo: bool,
}

impl Handlers {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self {
            holds: Holds { app: Arc::clone(app) },
            orders: Orders { app: Arc::clone(app) },
            payments: StandardWebhook { app: Arc::clone(app) },
            products: Products { app: Arc::clone(app) },
            echo: echo::is_asked_for(),
        }
    }

    /// Returns the hot request that `request` is, if any.
    pub(super) fn find(&self, request: &Request) -> Option<Hot> {
        Hot::of(request.method(), request.uri().path()).filter(|hot| *hot != Hot::Echo || self.echo)
    }

    /// Handles a hot request. Parsing and waiting are boxed separately, and the request is dropped once it is parsed, so that
    /// a waiting request keeps little memory: large futures evict the CPU's caches. The type of a handler's first parameter says
    /// who may use the route.
    pub(super) fn handle(&self, hot: Hot, request: Request) -> BoxFuture<'_, poem::Result<Response>> {
        match hot {
            Hot::CreateHold => {
                let taker = Taker::admit(&self.holds.app, &request);
                let read = Box::pin(read_create(request));
                Box::pin(async move {
                    let taker = taker?;
                    let (key, body) = read.await?;
                    Ok(respond(self.holds.create(taker, key, body).await))
                })
            }
            Hot::CreateOrder => {
                let caller = Caller::admit(&self.orders.app, &request);
                let read = Box::pin(read_create(request));
                Box::pin(async move {
                    let caller = caller?;
                    let (key, body) = read.await?;
                    Ok(respond(self.orders.create(caller, key, body).await))
                })
            }
            Hot::ReceivePaymentEvent => {
                let reporter = Reporter::admit(&self.payments.app, &request);
                let read = Box::pin(read_webhook(request));
                Box::pin(async move {
                    let (StandardHeaders { id, timestamp, signatures }, key, body) = read.await?;
                    Ok(respond(self.payments.webhook(reporter?, id, timestamp, signatures, key, body).await))
                })
            }
            Hot::FindProduct(product_id) => {
                let caller = Caller::admit(&self.products.app, &request);
                Box::pin(async move { Ok(respond(self.products.find(caller?, Path(product_id)).await)) })
            }
            Hot::Echo => Box::pin(echo::handle(request)),
        }
    }
}

/// Reads the key and the body of a request that creates a hold or an order.
async fn read_create<T: Type + DeserializeOwned>(request: Request) -> poem::Result<(IdempotencyKey, Json<T>)> {
    let (request, mut body) = request.split();
    let key = IdempotencyKey::read(request.headers())?;
    Ok((key, Json::from_request(&request, &mut body).await?))
}

/// Reads the headers and the body of a payment webhook.
async fn read_webhook(request: Request) -> poem::Result<(StandardHeaders, UnsignedKey, Raw<PaymentEventBody>)> {
    let (request, mut body) = request.split();
    let (headers, key) = (StandardHeaders::read(request.headers()), UnsignedKey::read(request.headers()));
    Ok((headers, key, Raw::from_request(&request, &mut body).await?))
}

fn respond(result: Result<impl IntoResponse, impl IntoResponse>) -> Response {
    match result {
        Ok(answer) => answer.into_response(),
        Err(denied) => denied.into_response(),
    }
}
