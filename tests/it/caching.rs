//! No cache between clients and the service may store a response of the API, whatever its status.

use std::collections::BTreeSet;

use holdfast::config::Config;
use holdfast::domain::AdminToken;
use holdfast::domain::signature::Secrets;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::support::proxy::{Action, Rule};
use crate::support::{Answer, Client, Shop, mint};

const TOKEN: &str = "an-operators-token-of-these-tests";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A client that checks `Cache-Control` of every response, and collects the statuses.
struct Checked<'client> {
    client: &'client Client,
    seen: BTreeSet<u16>,
}

impl Checked<'_> {
    async fn send(&mut self, request: RequestBuilder) -> Answer {
        let shown = format!("{request:?}");
        let answer = self.client.send(request).await;
        let told: Vec<_> = answer.headers.get_all("cache-control").iter().collect();
        assert_eq!(told, ["no-store"], "{shown}: {answer:?}");
        self.seen.insert(answer.status);
        answer
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.send(self.client.request("GET", path)).await
    }

    async fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.send(self.client.request("POST", path).json(body)).await
    }

    /// Sends requests for one operation with every kind of id, body and token, right and wrong.
    async fn send_every_kind(&mut self, method: &str, path: &str) {
        let known = path.replace("{product_id}", "4711").replace("{event_id}", "4711");
        let known = known.replace("{hold_id}", &mint()).replace("{order_id}", &mint());
        let unreadable = path.replace('{', "not-").replace('}', "");
        for path in [known.as_str(), &unreadable, &format!("{known}?limit=none"), &format!("{known}/nothing")] {
            let request = || self.client.request(method, path);
            let mut requests = vec![request(), request().bearer_auth("wrong"), request().bearer_auth(TOKEN)];
            if method == "POST" {
                let large = format!(r#"{{"note":"{}"}}"#, "x".repeat(70_000));
                let bodies = [("application/json", "{}"), ("application/json", "{"), ("application/json", &large)];
                for (content_type, body) in bodies.into_iter().chain([("text/plain", "{}")]) {
                    let request = request().bearer_auth(TOKEN).header("content-type", content_type);
                    requests.push(request.body(body.to_owned()));
                }
            }
            requests.extend(["HEAD", "OPTIONS", "PATCH"].map(|method| self.client.request(method, path)));
            for request in requests {
                self.send(request).await;
            }
        }
    }
}

#[tokio::test]
async fn no_response_of_the_api_may_be_stored() {
    let shop = Shop::open().await;
    let product_id = shop.product(3).await;
    let secrets = Secrets::stripe("whsec_of_an_endpoint").ok();
    let config = Config { admin_token: AdminToken::new(TOKEN), stripe_secrets: secrets, ..shop.config() };
    let api = shop.serve_without_workers_as(config).await;
    let mut checked = Checked { client: &api, seen: BTreeSet::new() };
    let document = api.get("/openapi.json").await.expect(200).body;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            checked.send_every_kind(&method.to_uppercase(), path).await;
        }
    }
    checked.get("/api/nothing").await.expect(404);
    checked.get("/nothing").await.expect(404);

    let product = format!("/api/products/{product_id}");
    checked.get(&product).await.expect(200);
    let hold = json!({ "product_id": product_id, "qty": 3 });
    let hold_id = checked.post("/api/holds", &hold).await.expect(201).text("hold_id");
    checked.post("/api/holds", &hold).await.refused(409, "all_held");
    let order_id = checked.post("/api/orders", &json!({ "hold_id": hold_id })).await.expect(201).text("order_id");
    let paid = |order_id: &str| json!({ "order_id": order_id, "status": "paid", "txn_id": order_id });
    checked.post("/api/payments/webhook", &paid(&order_id)).await.expect(200);
    checked.post("/api/payments/webhook", &paid(&mint())).await.expect(202);
    checked.get(&format!("/api/orders/{order_id}/events")).await.expect(200);
    for (error, status) in [(Action::DEADLOCK, 503), (Action::Error(1064, "42000", "Syntax"), 500)] {
        let _failing = api.proxy.on(Rule::from("-- products/list_some").always(), error);
        checked.get(&product).await.expect(status);
    }
    api.app.drain();
    checked.get("/readyz").await.refused(503, "draining");
    let seen: Vec<u16> = checked.seen.into_iter().collect();
    assert_eq!(seen, [200, 201, 202, 204, 400, 401, 404, 405, 409, 413, 415, 422, 500, 503]);
}

#[tokio::test]
async fn the_refusals_of_a_bad_signature_and_of_a_closed_route_may_not_be_stored_either() {
    let shop = Shop::open().await;
    let webhook_secrets = Secrets::standard(SECRET).ok();
    let api = shop.serve_without_workers_as(Config { webhook_secrets, ..shop.config() }).await;
    let mut checked = Checked { client: &api, seen: BTreeSet::new() };
    let event = json!({ "order_id": mint(), "status": "paid", "txn_id": "unsigned" });
    checked.post("/api/payments/webhook", &event).await.refused(401, "invalid_signature");
    checked.get("/api/admin/refunds").await.expect(403);
}

#[tokio::test]
async fn caches_revalidate_the_document_and_keep_the_missing_icon_for_a_day() {
    let (_shop, _, client) = Shop::selling(1).await;
    for path in ["/docs", "/openapi.json"] {
        assert_eq!(client.get(path).await.expect(200).header("cache-control"), "no-cache", "{path}");
    }
    let icon = client.get("/favicon.ico").await.expect(204);
    assert_eq!((icon.header("cache-control"), icon.text.as_str()), ("public, max-age=86400", ""));
    let posted = client.post("/favicon.ico", &json!({})).await;
    posted.refused(405, "method_not_allowed");
    assert_eq!((posted.header("allow"), posted.header("cache-control")), ("GET, HEAD, OPTIONS", "no-store"));
}
