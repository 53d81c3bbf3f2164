//! Every route for operators requires their token. They read and settle the events that need a decision, and request an audit.

mod decisions;
mod lists;
mod shown;

use holdfast::config::Config;
use holdfast::domain::AdminToken;
use serde_json::{Value, json};

use crate::support::process::Process;
use crate::support::proxy::Action;
use crate::support::{Answer, Instance, Shop, mint, with};

const TOKEN: &str = "an-operators-token-of-these-tests";

/// Opens a shop with one product, and starts an instance with the operators' routes enabled.
async fn open_shop() -> (Shop, i64, Instance) {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let instance = Instance::start(Config { admin_token: AdminToken::new(TOKEN), ..shop.config() }).await;
    (shop, product_id, instance)
}

impl Instance {
    async fn ask(&self, path: &str) -> Answer {
        self.send(self.request("GET", &format!("/api/admin/{path}")).bearer_auth(TOKEN)).await
    }

    async fn act(&self, path: &str, body: Value) -> Answer {
        self.send(self.request("POST", &format!("/api/admin/{path}")).bearer_auth(TOKEN).json(&body)).await
    }

    /// Delivers an event about an order under a new key; returns the event's id.
    async fn report(&self, order_id: &str, status: &str, more: Value) -> i64 {
        let event = json!({ "order_id": order_id, "status": status, "idempotency_key": mint() });
        self.webhook(&with(&event, more)).await.body["event_id"].as_i64().expect("an id")
    }

    async fn state(&self, event_id: i64) -> String {
        self.event(event_id).await["event"]["state"].as_str().expect("a state").to_owned()
    }

    async fn event(&self, event_id: i64) -> Value {
        self.ask(&format!("payment-events/{event_id}")).await.expect(200).body
    }

    async fn pages(&self, list: &str) -> Vec<Vec<Value>> {
        let (mut pages, mut path) = (Vec::new(), list.to_owned());
        loop {
            let page = self.ask(&path).await.expect(200).body;
            pages.push(page["items"].as_array().expect("items").clone());
            match &page["next_cursor"] {
                Value::String(cursor) => path = format!("{list}&cursor={cursor}"),
                end => break assert_eq!(end, &Value::Null),
            }
        }
        pages
    }
}

fn ids(items: &[Value]) -> Vec<i64> {
    items.iter().map(|item| item["event_id"].as_i64().expect("an id")).collect()
}

/// Every route for operators; some are listed again with parameters that do not parse.
const ROUTES: [(&str, &str); 10] = [
    ("GET", "payment-events"),
    ("GET", "payment-events?limit=none"),
    ("GET", "payment-events/1"),
    ("GET", "payment-events/one"),
    ("POST", "payment-events/1/replay"),
    ("POST", "payment-events/1/dismiss"),
    ("GET", "refunds"),
    ("POST", "refunds/1/done"),
    ("POST", "refunds/one/done"),
    ("GET", "audit"),
];

#[tokio::test]
async fn without_a_configured_token_every_route_for_operators_is_closed() {
    let (_shop, _, client) = Shop::selling(1).await;
    for (method, path) in ROUTES {
        let request = || client.request(method, &format!("/api/admin/{path}"));
        client.send(request()).await.refused(403, "admin_shut");
        client.send(request().bearer_auth("")).await.refused(403, "admin_shut");
        client.send(request().bearer_auth(TOKEN)).await.refused(403, "admin_shut");
    }
}

#[tokio::test]
async fn a_request_without_the_right_token_reads_nothing_and_changes_nothing() {
    let (shop, _, client) = open_shop().await;
    let wrong = [
        vec![],
        vec![String::new()],
        vec![TOKEN.to_owned()],
        vec!["Bearer".to_owned()],
        vec!["Bearer ".to_owned()],
        vec![format!("Basic {TOKEN}")],
        vec![format!("Bearer {}", &TOKEN[1..])],
        vec![format!("Bearer {TOKEN}x")],
        vec![format!("Bearer {}", TOKEN.to_uppercase())],
        vec![format!("Bearer {TOKEN}"), format!("Bearer {TOKEN}")],
    ];
    for (method, path) in ROUTES {
        for headers in &wrong {
            let request = client.request(method, &format!("/api/admin/{path}"));
            let request = headers.iter().fold(request, |request, header| request.header("authorization", header));
            let answer = client.send(request).await;
            answer.refused(401, "unauthorized");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    let ways_around = ["/api//admin/audit", "//api/admin/audit", "/api/%61dmin/audit", "/api/admin/../admin/audit"];
    for path in ways_around {
        let raw = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = client.raw(raw.as_bytes()).await;
        assert!([401, 403, 404].contains(&answer.status), "{path}: {answer:?}");
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM payment_event_trail").await, 0);
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let request = client.request("GET", "/api/admin/refunds").header("authorization", format!("{scheme} {TOKEN}"));
        client.send(request).await.expect(200);
    }
}

#[tokio::test]
async fn the_token_is_never_shown() {
    let shop = Shop::open().await;
    let settings = [("HOLDFAST_ADMIN_TOKEN", TOKEN), ("HOLDFAST_LOG", "trace")];
    let (process, client) = Process::serve(&shop.database.url, &settings).await;
    for token in [TOKEN, "another-token-that-is-wrong"] {
        client.send(client.request("GET", "/api/admin/audit").bearer_auth(token)).await;
    }
    let ended = process.terminate().await.expect(0);
    let help = Process::run(&["serve", "--help"], &settings).await.expect(0);
    let short = Process::run(&["serve"], &[("HOLDFAST_ADMIN_TOKEN", "fifteen-letters")]).await.expect(2);
    assert!(short.err.contains("HOLDFAST_ADMIN_TOKEN"), "{}", short.err);
    for text in [ended.out, ended.err, help.out, help.err, short.err] {
        for token in [TOKEN, "another-token-that-is-wrong", "fifteen-letters"] {
            assert!(!text.contains(token), "{text}");
        }
    }
}

#[tokio::test]
async fn the_document_requires_the_token_on_the_routes_for_operators_only() {
    let (_shop, _, client) = Shop::selling(1).await;
    let document = client.get("/openapi.json").await.expect(200).body;
    assert_eq!(document["components"]["securitySchemes"]["operator"]["scheme"], "bearer");
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let asks = operation["security"] == json!([{ "operator": [] }]);
            assert_eq!(asks, path.starts_with("/api/admin/") || path == "/metrics", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn an_operator_can_request_an_audit_and_only_one_runs_at_a_time() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let (config, proxy) = shop.config_through_proxy().await;
    let client = Instance::start(Config { admin_token: AdminToken::new(TOKEN), ..config }).await;
    client.hold_and_order(product_id, 2).await;
    let report = client.ask("audit").await.expect(200).body;
    assert_eq!((&report["clean"], &report["findings"]), (&json!(true), &json!([])));
    let units = json!({ "product_id": product_id, "stock": 10, "available": 8, "held": 0, "awaiting": 2, "sold": 0 });
    assert_eq!(report["products"], json!([units]));
    assert_eq!(report["looked_at"]["orders"], 1);

    shop.execute("UPDATE products SET reserved = 3").await;
    let paused = proxy.on("-- audit/sum_trails:", Action::PauseBefore);
    let under_way = tokio::spawn({
        let client = client.client.clone();
        async move { client.send(client.request("GET", "/api/admin/audit").bearer_auth(TOKEN)).await }
    });
    paused.reached().await;
    client.ask("audit").await.refused(409, "audit_running");
    paused.release();
    let report = under_way.await.expect("no panic").expect(200).body;
    let detail = "reserved 3: stock 10 = 7 available + 0 held + 2 awaiting + 0 sold";
    assert_eq!(
        (&report["clean"], &report["findings"]),
        (&json!(false), &json!([{ "kind": "units_not_conserved", "id": product_id.to_string(), "detail": detail }]))
    );
    assert_eq!(report["counts"], json!([{ "kind": "units_not_conserved", "count": 1 }]));
}
