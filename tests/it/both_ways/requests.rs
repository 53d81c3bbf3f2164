//! The requests, generated from the document.

use holdfast::http::hot::Hot;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{TOKEN, WEBHOOK};
use crate::support::with;

/// Every method that a route could take for its own.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// A request as it is sent. `{hold_id}` and `{order_id}` stand for a new hold and a new order of the shop, `{held}` for the
/// same hold each time.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<String>,
    /// `None` sends no length either.
    pub(super) body: Option<String>,
}

impl Sent {
    /// Sends `body` as JSON.
    pub(super) fn new(method: &str, path: &str, body: Option<&str>) -> Self {
        let json = body.map(|_| "Content-Type: application/json".to_owned());
        let body = body.map(str::to_owned);
        Self { method: method.to_owned(), path: path.to_owned(), headers: json.into_iter().collect(), body }
    }

    pub(super) fn with_header(&self, header: impl Into<String>) -> Self {
        let headers = self.headers.iter().cloned().chain([header.into()]).collect();
        Self { headers, ..self.clone() }
    }

    pub(super) fn with_headers<'text>(&self, headers: impl IntoIterator<Item = &'text str>) -> Self {
        headers.into_iter().fold(self.clone(), |sent, header| sent.with_header(header))
    }

    pub(super) fn with_body(&self, body: impl Into<String>) -> Self {
        Self { body: Some(body.into()), ..self.clone() }
    }

    /// Returns the bytes of the request, which asks for the end of the connection.
    pub(super) fn text(&self) -> String {
        let Self { method, path, headers, body } = self;
        let host = "Host: shop\r\nConnection: close\r\nX-Request-Id: both-ways";
        let mut text = format!("{method} {path} HTTP/1.1\r\n{host}\r\n");
        headers.iter().for_each(|header| text.push_str(&format!("{header}\r\n")));
        let body = body.as_deref();
        let is_chunked = headers.iter().any(|header| header.starts_with("Transfer-Encoding"));
        if let Some(body) = body.filter(|_| !is_chunked) {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        format!("{text}\r\n{}", body.unwrap_or_default())
    }
}

/// An operation of the document: its method, its path, and the schema of its body.
pub(super) struct Operation {
    method: String,
    path: String,
    body: Option<Value>,
}

/// Returns all operations of the document.
pub(super) fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
            let name = schema.and_then(|schema| schema.rsplit('/').next());
            let body = name.map(|name| document["components"]["schemas"][name].clone());
            operations.push(Operation { method: method.to_uppercase(), path: path.clone(), body });
        }
    }
    // its report contains the time that it took
    operations.retain(|operation| operation.path != "/api/admin/audit");
    operations
}

impl Operation {
    /// Returns the hot route of the operation, if it is one.
    pub(super) fn hot(&self) -> Option<Hot> {
        let method: Method = self.method.parse().expect("a method");
        Hot::of(&method, &self.path.replace("{product_id}", "1"))
    }

    /// Returns a request with the example of the document, its ids replaced by existing ones.
    fn example(&self) -> Sent {
        let body = self.body.as_ref().map(|schema| match &schema["example"] {
            Value::Null => json!({}),
            // the example has seats, which these products have not
            _ if self.path == "/api/holds" => json!({ "product_id": 1, "qty": 1 }),
            example => example.clone(),
        });
        let body = body.map(|body| body.to_string().replace(&Uuid::nil().to_string(), "{hold_id}"));
        let body = body.map(|body| match self.path.as_str() {
            WEBHOOK => body.replace("{hold_id}", "{order_id}"),
            _ => body,
        });
        Sent::new(&self.method, &self.path, body.as_deref())
    }

    /// Returns requests with unusual methods, paths and tokens.
    pub(super) fn around(&self) -> Vec<Sent> {
        let (usual, path) = (self.example(), self.path.as_str());
        let mut all = vec![usual.clone()];
        all.extend(METHODS.map(|method| Sent { method: method.to_owned(), ..usual.clone() }));
        let encoded = path.replacen("api", "%61pi", 1).replace("products/", "produc%74s/");
        let paths = ["?", "?a=b&limit=1", "/", "//", "/%20", ";a", "%2f", "%00"].map(|end| format!("{path}{end}"));
        let others = [encoded, path.to_uppercase(), format!("/{path}"), format!("http://shop{path}")];
        all.extend(paths.into_iter().chain(others).map(|path| Sent { path, ..usual.clone() }));
        for token in [format!("Bearer {TOKEN}"), "Bearer wrong".to_owned(), format!("Basic {TOKEN}"), String::new()] {
            let token = format!("Authorization: {token}");
            all.push(usual.with_header(&token));
            all.push(usual.with_header(&token).with_header(&token));
        }
        all
    }

    /// Returns requests with unusual bodies.
    pub(super) fn bodies(&self) -> Vec<Sent> {
        let (Some(schema), usual) = (&self.body, self.example()) else { return Vec::new() };
        let text = usual.body.clone().unwrap_or_default();
        let body: Value = serde_json::from_str(&text).expect("JSON");
        let mut bodies =
            vec![String::new(), "{".to_owned(), "[]".to_owned(), format!("[{text}]"), format!("{text}{text}")];
        bodies.push(with(&body, json!({ "unknown": 1 })).to_string());
        bodies.push(format!("{text}{}", " ".repeat(64 * 1024)));
        for field in schema["properties"].as_object().expect("properties").keys() {
            bodies.push(with(&body, json!({ field: null })).to_string());
            bodies.push(text.replacen('{', &format!("{{\"{field}\":null,"), 1));
            for value in [json!("x"), json!(1), json!(-1), json!(1.5), json!(true), json!([]), json!({}), json!("")] {
                bodies.push(with(&body, json!({ field: value })).to_string());
            }
        }
        let mut all: Vec<Sent> = bodies.into_iter().map(|body| usual.with_body(body)).collect();
        all.push(Sent { body: None, ..usual.clone() });
        all.push(Sent { headers: Vec::new(), ..usual.clone() });
        let types = ["text/plain", "application/json; charset=utf-8", "application/problem+json", ""];
        let typed = types.map(|kind| Sent { headers: vec![format!("Content-Type: {kind}")], ..usual.clone() });
        all.extend(typed);
        all.push(usual.with_header("Content-Type: application/json"));
        all.push(usual.with_header("Transfer-Encoding: chunked").with_body("2\r\n{}\r\n0\r\n\r\n"));
        all
    }

    /// Returns requests with idempotency keys, valid and invalid ones.
    pub(super) fn keys(&self) -> Vec<Sent> {
        let usual = self.example();
        let keys = ["key", "key", "", "a b", "k\u{e9}y", &"k".repeat(255), &"k".repeat(256)];
        let mut all: Vec<Sent> = keys.iter().map(|key| usual.with_header(format!("Idempotency-Key: {key}"))).collect();
        all.push(usual.with_headers(["Idempotency-Key: one", "idempotency-key: two"]));
        // of two mistakes, both ways report the same one
        for key in ["IDEMPOTENCY-KEY: other", "Idempotency-Key: a b"] {
            let keyed = usual.with_header(key);
            all.extend(["{}", "{", &" ".repeat(70_000)].map(|body| keyed.with_body(body)));
            all.push(Sent { headers: vec![key.to_owned()], ..keyed });
        }
        all
    }
}

/// Returns requests that a hot route treats in its own way; a new hot route must list some.
pub(super) fn particular(hot: Hot) -> Vec<Sent> {
    match hot {
        Hot::CreateHold => holds(),
        Hot::CreateOrder => orders(),
        Hot::ReceivePaymentEvent => events(),
        Hot::FindProduct(_) => products(),
        // the framework has no such route, and the service has it only for the benchmark
        Hot::Echo => Vec::new(),
    }
}

fn post(path: &str, body: &str) -> Sent {
    Sent::new("POST", path, Some(body))
}

fn holds() -> Vec<Sent> {
    let last = r#"{"product_id":2,"qty":1}"#;
    let keyed = post("/api/holds", last).with_header("Idempotency-Key: last");
    let token = keyed.with_header(format!("Authorization: Bearer {TOKEN}"));
    let unknown = r#"{"product_id":4711,"qty":1}"#;
    let bodies = [last, unknown, r#"{"product_id":1,"qty":11}"#, r#"{"product_id":2,"qty":2}"#];
    let others = bodies.map(|body| post("/api/holds", body));
    // the third product has a limit per buyer
    let limited = [r#"{"product_id":3,"qty":1}"#, r#"{"product_id":3,"qty":5,"buyer":"b"}"#];
    let limited = limited.map(|body| post("/api/holds", body));
    let here = limited[0].with_headers(["Holdfast-Buyer: b", "X-Forwarded-For: 192.0.2.1"]);
    let others = others.into_iter().chain(limited).chain([here]);
    let all = [keyed.clone(), keyed.clone(), token, keyed.with_body(unknown)].into_iter().chain(others);
    all.chain(carts()).collect()
}

/// Returns requests for several products, and for holds in the place of others.
fn carts() -> Vec<Sent> {
    let both = r#"{"items":[{"product_id":1,"qty":1},{"product_id":2,"qty":1}]}"#;
    let lines = |line: &str| format!(r#"{{"items":[{line}]}}"#);
    let line = r#"{"product_id":1,"qty":1}"#;
    let mut bodies = vec![
        both.to_owned(),
        lines(line),
        lines(&[line; 2].join(",")),
        lines(""),
        lines(&[line; 20].join(",")),
        lines(&[line; 21].join(",")),
        lines(r#"{"product_id":1,"qty":11},{"product_id":3,"qty":1}"#),
        lines(r#"{"sku":"none","qty":1}"#),
        lines(r#"{"sku":"none","product_id":1,"qty":1}"#),
        lines(r#"{"product_id":1,"qty":0}"#),
        lines(r#"[1,1]"#),
        lines(r#"{"product_id":1,"qty":1,"unknown":1}"#),
        r#"{"items":[],"product_id":1,"qty":1}"#.to_owned(),
        r#"{"items":null}"#.to_owned(),
        "{}".to_owned(),
    ];
    for replaces in ["{hold_id}", "{held}", "01900000-0000-7000-8000-000000000000", "none"] {
        bodies.push(both.replacen('{', &format!(r#"{{"replaces":"{replaces}","#), 1));
        bodies.push(format!(r#"{{"replaces":"{replaces}","product_id":1,"qty":1}}"#));
    }
    let all = bodies.iter().map(|body| post("/api/holds", body));
    let keyed = post("/api/holds", both).with_header("Idempotency-Key: cart");
    all.chain([keyed.clone(), keyed.clone(), keyed.with_body(lines(line))]).collect()
}

fn orders() -> Vec<Sent> {
    let first = post("/api/orders", r#"{"hold_id":"{held}"}"#);
    let keyed = first.with_header("Idempotency-Key: held");
    let token = keyed.with_header("Authorization: Bearer wrong");
    let named = r#"{"hold_id":"{hold_id}","order_id":"{held}"}"#;
    vec![keyed.clone(), keyed.clone(), token, keyed.with_body(named), first.clone(), first.with_body(named)]
}

fn events() -> Vec<Sent> {
    let early = format!(r#"{{"order_id":"{}","status":"paid","txn_id":"early"}}"#, Uuid::nil());
    let events = [
        early.as_str(),
        r#"{"order_id":"{order_id}","status":"paid","txn_id":"a"}"#,
        r#"{"order_id":"{order_id}","status":"paid","txn_id":"b","amount":1}"#,
        r#"{"hold_id":"{hold_id}","status":"failed","txn_id":"c"}"#,
        r#"{"order_id":"{order_id}","status":"lost"}"#,
        r#"{"status":"paid","txn_id":"d"}"#,
        r#"{"order_id":"{order_id}","status":"paid","idempotency_key":"other"}"#,
    ];
    let kept = ["User-Agent: a provider", "webhook-id: e", "X-Correlation-Id: f", "Cookie: g"];
    let events = events.map(|event| post(WEBHOOK, event).with_headers(kept));
    let keyed = events.each_ref().map(|event| event.with_header("Idempotency-Key: e"));
    events.into_iter().chain(keyed).collect()
}

fn products() -> Vec<Sent> {
    let ids = ["0", "-1", "+1", "01", "1.0", "%31", "3", "one", "9223372036854775807", "9223372036854775808", ""];
    ids.map(|id| Sent::new("GET", &format!("/api/products/{id}"), None)).to_vec()
}
