//! Every route of the document, for every kind of caller.

use std::collections::{BTreeMap, BTreeSet};

use holdfast::config::Config;
use holdfast::domain::{AdminToken, ClientToken, Role, StorefrontMode};
use holdfast::http;
use serde_json::{Value, json};

use super::{Added, OPERATOR, Signer, add, mistyped};
use crate::support::{Bare, Shop};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    /// Storefronts, buyers and operators; callers without a token, while the storefront is open.
    Shop,
    /// Storefronts and buyers with a token, and operators.
    Owners,
    /// Storefronts, not their buyers, and operators.
    Storefronts,
    /// Gates and operators.
    Gates,
    /// Operators.
    Operators,
    /// Every caller; credentials are ignored. Payment events are signed instead.
    All,
}

/// A row for each operation of the document.
const ROUTES: [(&str, &str, For); 64] = [
    ("GET", "/api/feed", For::Storefronts),
    ("GET", "/api/holds", For::Owners),
    ("GET", "/api/orders", For::Owners),
    ("GET", "/api/products", For::Shop),
    ("GET", "/api/products/{product_id}", For::Shop),
    ("GET", "/api/events", For::Shop),
    ("GET", "/api/events/{event_id}", For::Shop),
    ("GET", "/api/events/{event_id}/seats", For::Shop),
    ("POST", "/api/holds", For::Shop),
    ("GET", "/api/holds/{hold_id}", For::Shop),
    ("DELETE", "/api/holds/{hold_id}", For::Shop),
    ("PATCH", "/api/holds/{hold_id}", For::Shop),
    ("POST", "/api/holds/{hold_id}/extend", For::Shop),
    ("POST", "/api/orders", For::Shop),
    ("GET", "/api/orders/{order_id}", For::Shop),
    ("GET", "/api/orders/{order_id}/events", For::Shop),
    ("GET", "/api/orders/{order_id}/tickets", For::Shop),
    ("GET", "/api/buyers", For::Owners),
    ("POST", "/api/tickets/{code}/redeem", For::Gates),
    ("POST", "/api/orders/{order_id}/cancel", For::Shop),
    ("POST", "/api/orders/{order_id}/extend", For::Shop),
    ("POST", "/api/payments/webhook", For::All),
    ("POST", "/api/payments/webhook/stripe", For::All),
    ("GET", "/api/admin/payment-events", For::Operators),
    ("GET", "/api/admin/payment-events/{event_id}", For::Operators),
    ("POST", "/api/admin/payment-events/{event_id}/replay", For::Operators),
    ("POST", "/api/admin/payment-events/{event_id}/dismiss", For::Operators),
    ("GET", "/api/admin/refunds", For::Operators),
    ("POST", "/api/admin/refunds/{event_id}/done", For::Operators),
    ("GET", "/api/admin/audit", For::Operators),
    ("POST", "/api/admin/products", For::Operators),
    ("PUT", "/api/admin/products/by-sku/{sku}", For::Operators),
    ("POST", "/api/admin/products/bulk", For::Operators),
    ("PATCH", "/api/admin/products/{product_id}", For::Operators),
    ("POST", "/api/admin/products/{product_id}/stock", For::Operators),
    ("GET", "/api/admin/products/{product_id}/trail", For::Operators),
    ("POST", "/api/admin/organizers", For::Operators),
    ("POST", "/api/admin/events", For::Operators),
    ("POST", "/api/admin/events/{event_id}/ticket-types", For::Operators),
    ("POST", "/api/admin/ticket-types/{product_id}/seats", For::Operators),
    ("POST", "/api/admin/events/{event_id}/cancel", For::Operators),
    ("GET", "/api/admin/events/{event_id}/tickets", For::Operators),
    ("POST", "/api/admin/tickets/{code}/reissue", For::Operators),
    ("POST", "/api/admin/clients", For::Operators),
    ("GET", "/api/admin/clients", For::Operators),
    ("POST", "/api/admin/clients/{client_id}/rotate", For::Operators),
    ("POST", "/api/admin/clients/{client_id}/end-old", For::Operators),
    ("POST", "/api/admin/clients/{client_id}/revoke", For::Operators),
    ("POST", "/api/admin/clients/{client_id}/keys", For::Operators),
    ("DELETE", "/api/admin/clients/{client_id}/keys", For::Operators),
    ("GET", "/api/admin/clients/{client_id}/trail", For::Operators),
    ("POST", "/api/admin/endpoints", For::Operators),
    ("GET", "/api/admin/endpoints", For::Operators),
    ("GET", "/api/admin/endpoints/{endpoint_id}", For::Operators),
    ("PATCH", "/api/admin/endpoints/{endpoint_id}", For::Operators),
    ("DELETE", "/api/admin/endpoints/{endpoint_id}", For::Operators),
    ("POST", "/api/admin/endpoints/{endpoint_id}/rotate", For::Operators),
    ("POST", "/api/admin/endpoints/{endpoint_id}/end-old", For::Operators),
    ("GET", "/api/admin/endpoints/{endpoint_id}/trail", For::Operators),
    ("GET", "/api/admin/endpoints/{endpoint_id}/attempts", For::Operators),
    ("GET", "/api/admin/endpoints/{endpoint_id}/undelivered", For::Operators),
    ("POST", "/api/admin/endpoints/{endpoint_id}/replay", For::Operators),
    ("GET", "/metrics", For::Operators),
    ("GET", "/healthz", For::All),
];

/// Routes that are not asked: readiness reads the clients, and these instances decide when they are read.
const NOT_ASKED: [(&str, &str); 1] = [("GET", "/readyz")];

/// A kind of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Anonymous,
    /// Texts that are no token, and tokens that no client has.
    Wrong,
    /// Tokens of clients that were revoked, and of their buyers.
    Revoked,
    Storefront,
    Buyer,
    Provider,
    Gate,
    Admin,
    Operator,
}

impl For {
    /// Returns the status of a refusal; `None`: the request passes, whatever its result.
    fn refusal(self, kind: Kind, storefront: StorefrontMode) -> Option<u16> {
        use Kind::{Admin, Anonymous, Buyer, Gate, Operator, Provider, Revoked, Storefront, Wrong};
        match (self, kind) {
            (Self::All, _) | (_, Admin | Operator) => None,
            (_, Wrong | Revoked) => Some(401),
            (Self::Shop | Self::Owners, Storefront | Buyer) | (Self::Storefronts, Storefront) | (Self::Gates, Gate) => {
                None
            }
            (Self::Shop, Anonymous) if storefront == StorefrontMode::Open => None,
            (_, Anonymous) => Some(401),
            (Self::Shop | Self::Owners, Provider | Gate)
            | (Self::Storefronts, Buyer | Provider | Gate)
            | (Self::Gates, Storefront | Buyer | Provider)
            | (Self::Operators, Storefront | Buyer | Provider | Gate) => Some(403),
        }
    }
}

/// Makes the tokens of each kind.
async fn tokens(api: &Bare) -> BTreeMap<Kind, Vec<Option<String>>> {
    let app = &api.app;
    let client = async |name: &str, role| add(app, name, role).await;
    let (storefront, ended) = (client("shop", Role::Storefront).await, client("ended", Role::Storefront).await);
    let ended_admin = client("ended admin".replace(' ', "-").as_str(), Role::Admin).await;
    let signer = Signer::of(app, &storefront, 1, "k").await;
    let ended_signer = Signer::of(app, &ended, 2, "k").await;
    let (buyer, ended_buyer) = (signer.token(&storefront, "b"), ended_signer.token(&ended, "b"));
    for Added { id, .. } in [&ended, &ended_admin] {
        app.checkout.revoke_client("a test", *id).await.expect("it is live");
    }
    let unknown = ClientToken::mint(Role::Admin).reveal().to_owned();
    let mistyped = mistyped(&storefront.token);
    let wrong = ["", "x", "hf_admin_x", "a.b.c", &unknown, &mistyped].map(|token| Some(token.to_owned()));
    let mut kinds = BTreeMap::new();
    kinds.insert(Kind::Anonymous, vec![None]);
    kinds.insert(Kind::Wrong, wrong.to_vec());
    kinds.insert(Kind::Revoked, vec![Some(ended.token), Some(ended_admin.token), Some(ended_buyer)]);
    kinds.insert(Kind::Storefront, vec![Some(storefront.token)]);
    kinds.insert(Kind::Buyer, vec![Some(buyer)]);
    kinds.insert(Kind::Provider, vec![Some(client("provider", Role::Provider).await.token)]);
    kinds.insert(Kind::Gate, vec![Some(client("gate", Role::Gate).await.token)]);
    kinds.insert(Kind::Admin, vec![Some(client("admin", Role::Admin).await.token)]);
    kinds.insert(Kind::Operator, vec![Some(OPERATOR.to_owned())]);
    kinds
}

fn filled(path: &str) -> String {
    let id = "00000000-0000-7000-8000-000000000000";
    let path = path.replace("{product_id}", "99999").replace("{event_id}", "99999").replace("{client_id}", "99999");
    let path = path.replace("{endpoint_id}", "99999");
    path.replace("{hold_id}", id).replace("{order_id}", id).replace("{code}", "0000-0000-0000-0000-0000-0000-0000")
}

#[tokio::test]
async fn every_route_admits_exactly_the_callers_of_its_row() {
    for storefront in [StorefrontMode::Open, StorefrontMode::Token] {
        let shop = Shop::open().await;
        let config = || Config { admin_token: AdminToken::new(OPERATOR), storefront, ..shop.config() };
        let hot = shop.serve_routes(config(), http::routes).await;
        let framework = shop.serve_routes(config(), http::framework_routes).await;
        let tokens = tokens(&hot).await;
        check_document(&hot).await;
        for (method, path, access) in ROUTES {
            // no worker reads the clients here, and what was read counts for a minute
            for api in [&hot, &framework] {
                api.app.checkout.read_clients().await.expect("a database");
            }
            for (&kind, tokens) in &tokens {
                for (token, api) in tokens.iter().flat_map(|token| [(token, &hot), (token, &framework)]) {
                    let request = api.request(method, &filled(path));
                    let request = if method == "POST" { request.json(&json!({})) } else { request };
                    let answer = api.send(token.iter().fold(request, reqwest::RequestBuilder::bearer_auth)).await;
                    let expected = access.refusal(kind, storefront);
                    let refused = [401, 403].contains(&answer.status).then_some(answer.status);
                    assert_eq!(refused, expected, "{method} {path}, {storefront}, {kind:?}: {answer:?}");
                    match expected {
                        Some(401) => {
                            answer.refused(401, "unauthorized");
                            assert_eq!(answer.header("www-authenticate"), "Bearer");
                        }
                        Some(_) => drop(answer.refused(403, "forbidden")),
                        None => {}
                    }
                }
            }
        }
    }
}

/// Checks that each operation of the document has a row, and states the schemes of its row.
async fn check_document(api: &Bare) {
    let document = api.get("/openapi.json").await.expect(200).body;
    let mut operations = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let method = method.to_uppercase();
            let schemes: Vec<&str> = (operation["security"].as_array().into_iter().flatten())
                .map(|scheme| scheme.as_object().and_then(|scheme| scheme.keys().next()).map_or("", String::as_str))
                .collect();
            let row = ROUTES.iter().find(|(row_method, row_path, _)| (*row_method, *row_path) == (&method, path));
            let stated: &[&str] = match row.map(|row| row.2) {
                Some(For::Shop) => &["storefront", "buyer", "operator", ""],
                Some(For::Owners) => &["storefront", "buyer", "operator"],
                Some(For::Storefronts) => &["storefront", "operator"],
                Some(For::Gates) => &["gate", "operator"],
                Some(For::Operators) => &["operator"],
                Some(For::All) if path == "/api/payments/webhook" => &["provider", ""],
                Some(For::All) => &[],
                None => {
                    assert!(NOT_ASKED.contains(&(&method, path)), "{method} {path} has no row");
                    continue;
                }
            };
            assert_eq!(schemes, stated, "{method} {path}");
            operations.insert((method, path.clone()));
        }
    }
    assert_eq!(operations.len(), ROUTES.len(), "each row is an operation");
    let schemes = &document["components"]["securitySchemes"];
    for name in ["operator", "storefront", "buyer", "provider", "gate"] {
        assert_eq!((&schemes[name]["type"], &schemes[name]["scheme"]), (&json!("http"), &json!("bearer")), "{name}");
    }
    let page = api.get("/docs").await.expect(200).text;
    assert!(page.contains("Holdfast-Buyer"), "the page has the same document");
    assert_eq!(document["paths"]["/api/holds"]["post"]["parameters"].as_array().map(Vec::len), Some(2));
    assert_ne!(schemes["buyer"]["bearerFormat"], Value::Null);
}
