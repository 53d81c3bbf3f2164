//! HTTP: one file per resource, problem+json for every error, and the generated OpenAPI document.

pub mod access;
pub mod admin;
pub mod buyers;
mod constant;
pub mod document;
mod echo;
pub mod extensions;
pub mod feed;
pub mod headers;
pub mod health;
pub mod hold_bodies;
pub mod holds;
pub mod hot;
pub mod issued_tickets;
pub mod json;
pub mod large;
pub mod lists;
pub mod orders;
pub mod paging;
pub mod payments;
pub mod problem;
mod problem_lines;
pub mod products;
mod root;
pub mod seat_maps;
pub mod server;
mod status;
mod tags;
pub mod tickets;
pub mod values;

use std::collections::HashMap;
use std::sync::Arc;

use poem::endpoint::{make, make_sync};
use poem::http::{StatusCode, header};
use poem::{Endpoint, EndpointExt as _, IntoEndpoint as _, IntoResponse as _, Response, Route};
use poem_openapi::OpenApiService;
use serde_json::Value;

use self::constant::Constant;
use crate::app::App;

/// Lists the types with the routes; each has the app as its field. In two groups: the framework takes 16 types at most.
macro_rules! apis {
    ($($($part:ident)::+),+ $(,)?; $($($other:ident)::+),+ $(,)?) => {
        type Apis = (($($($part)::+,)+), ($($($other)::+,)+));

        fn apis(app: &Arc<App>) -> Apis {
            (($($($part)::+ { app: Arc::clone(app) },)+), ($($($other)::+ { app: Arc::clone(app) },)+))
        }
    };
}
apis! {
    products::Products,
    tickets::Tickets,
    holds::Holds,
    orders::Orders,
    extensions::Extensions,
    issued_tickets::IssuedTickets,
    buyers::Buyers,
    feed::Feed,
    payments::standard::StandardWebhook,
    payments::stripe::StripeWebhook,
    health::Health;
    admin::Admin,
    admin::clients::Clients,
    admin::endpoints::Endpoints,
    admin::pushes::Pushes,
    admin::products::AdminProducts,
    admin::tickets::AdminTickets,
    admin::issued_tickets::AdminIssuedTickets,
    admin::metrics::Metrics,
}

fn service(app: &Arc<App>) -> OpenApiService<Apis, ()> {
    OpenApiService::new(apis(app), "Holdfast", env!("CARGO_PKG_VERSION")).description(
        "Flash-sale checkout: never oversold, also when thousands buy in the same second.\n\nA sale has four requests: **read a product, \
         take a hold, make an order of it, and let the payment provider's webhook settle it**. Each group below says what to send \
         first.\n\nMoney is in integer minor units with an ISO 4217 code; times are RFC 3339 in UTC. Every error is \
         `application/problem+json` with a stable `code`. A request over HTTP/1.1 without `Host` gets 400 \
         `host_required`. A request that repeats `Host`, `Content-Type` or `Transfer-Encoding` gets 400 `repeated_header`. A \
         request whose `Transfer-Encoding` lists several codings, `chunked` last, gets 400 `invalid_transfer_encoding`. Caches \
         must not store responses (`Cache-Control: no-store`), but maps of seats, which they revalidate. A query parameter that a read under `/api` does not have is 400 \
         `unknown_parameter`.",
    )
}

/// Returns the OpenAPI document as indented JSON with a line break at its end.
pub fn document(app: &Arc<App>) -> String {
    let mut text = serde_json::to_string_pretty(&completed(app).0).expect("a value is JSON");
    text.push('\n');
    text
}

/// Where the routes of `holdfast dev` are.
const DEV: &str = "/dev";

/// Returns what the framework writes, with the route of `holdfast dev` where it is served.
fn generated(app: &Arc<App>) -> Value {
    let read = |spec: String| serde_json::from_str::<Value>(&spec).expect("the framework writes JSON");
    let mut document = read(service(app).spec());
    if app.pays_orders {
        document::add(&mut document, &read(dev_service(app).spec()), DEV);
    }
    document
}

fn dev_service(app: &Arc<App>) -> OpenApiService<payments::dev::DevPayments, ()> {
    OpenApiService::new(payments::dev::DevPayments { app: Arc::clone(app) }, "Holdfast", "")
}

/// Returns the document, and what was to be added to it and found nothing to belong to: a mistake.
pub fn completed(app: &Arc<App>) -> (Value, Vec<String>) {
    let mut value = generated(app);
    access::schemes::complete(&mut value);
    server::parameters::describe(&mut value);
    let lost = document::complete(&mut value);
    (value, lost)
}

/// Returns the endpoint that serves all routes.
pub fn routes(app: &Arc<App>) -> impl Endpoint<Output = Response> + use<> {
    routes_with(app, Some(hot::Handlers::new(app)))
}

/// Returns the endpoint that serves all routes by the router of the framework, for tests that compare both ways.
pub fn framework_routes(app: &Arc<App>) -> impl Endpoint<Output = Response> + use<> {
    routes_with(app, None)
}

fn routes_with(app: &Arc<App>, hot: Option<hot::Handlers>) -> impl Endpoint<Output = Response> + use<> {
    let service = service(app);
    let document = document(app);
    let parsed: Value = serde_json::from_str(&document).expect("the document is JSON");
    let (routes, parameters) = (patterns(&parsed), server::parameters::Parameters::of(&parsed));
    // the framework's page has the framework's document in it
    let page = service.swagger_ui_html().replace(&service.spec(), &document);
    let page = Constant::new("text/html; charset=utf-8", page);
    let document = Constant::new("application/json", document);
    let no_icon = make_sync(|_| StatusCode::NO_CONTENT.with_header(header::CACHE_CONTROL, "public, max-age=86400"));
    let route = Route::new()
        .at("/docs", poem::get(make_sync(move |request| page.respond(&request))))
        .at("/openapi.json", poem::get(make_sync(move |request| document.respond(&request))))
        // browsers request it together with /docs
        .at("/favicon.ico", poem::get(no_icon))
        .nest("/", root::Root::before(service.into_endpoint()));
    let route = if app.pays_orders { route.nest(DEV, dev_service(app)) } else { route };
    server::gate::Gate::new(Arc::clone(app), hot, route, routes, parameters)
}

/// Returns the endpoint that serves the metrics alone, without a token.
pub fn open_metrics() -> impl Endpoint<Output = Response> {
    Route::new().at(server::rates::METRICS, poem::get(make(|_| admin::metrics::read()))).map_to_response()
}

/// Maps the framework's patterns to routes: `/api/holds/{hold_id}` in the document has the pattern `/api/holds/:param0`.
fn patterns(document: &Value) -> HashMap<String, server::gate::Route> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let own =
        ["/", "/docs", "/openapi.json", "/favicon.ico"].map(|path| (path.to_owned(), "GET, HEAD, OPTIONS".to_owned()));
    paths
        .map(|(path, methods)| (path.clone(), allowed(methods)))
        .chain(own)
        .map(|(path, allow)| (pattern(&path), server::gate::Route { path, allow }))
        .collect()
}

fn allowed(methods: &Value) -> String {
    let mut names: Vec<String> =
        methods.as_object().into_iter().flatten().map(|(name, _)| name.to_uppercase()).collect();
    names.push("OPTIONS".to_owned());
    if names.iter().any(|name| name == "GET") {
        names.push("HEAD".to_owned());
    }
    names.sort_unstable();
    names.join(", ")
}

fn pattern(path: &str) -> String {
    let mut parameters = 0;
    let segment = |part: &str| match part.starts_with('{') {
        true => {
            parameters += 1;
            format!(":param{}", parameters - 1)
        }
        false => part.to_owned(),
    };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}
