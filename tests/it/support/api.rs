//! A client of the HTTP API.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A client of one instance.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    address: SocketAddr,
    base: String,
}

/// A response of the API.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Answer {
    /// Returns the stable code of a problem, after checking that the problem is complete.
    #[track_caller]
    pub(crate) fn code(&self) -> &str {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        for field in ["type", "title", "detail"] {
            assert!(self.body[field].is_string(), "{field} in {self:?}");
        }
        assert_eq!(self.body["status"], self.status, "{self:?}");
        self.body["code"].as_str().expect("a problem has a code")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header is text"))
    }

    /// Returns the response, which must have this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Returns the refusal, which must have this status and code.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> &Self {
        assert_eq!((self.status, self.code()), (status, code), "{self:?}");
        self
    }

    /// Whether it repeats the response to an earlier request with the same key.
    pub(crate) fn is_replayed(&self) -> bool {
        self.header("idempotent-replayed") == "true"
    }

    /// Returns a text field of the body.
    #[track_caller]
    pub(crate) fn text(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_else(|| panic!("no {field} in {self:?}")).to_owned()
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        // without certificates: the service speaks plain HTTP
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
        let tls = tls.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let http = reqwest::Client::builder().tls_backend_preconfigured(tls).build().expect("a client");
        Self { http, address, base: format!("http://{address}") }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins any request; [`Client::send`] sends it.
    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method.parse().expect("a method"), format!("{}{path}", self.base))
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.try_send(request).await.expect("the service answers")
    }

    /// Like [`Client::send`], for a service that may not respond.
    pub(crate) async fn try_send(&self, request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { status, headers, body, text })
    }

    /// Sends bytes as they are, for requests that a proper client would not send, and reads to the end. They should ask for
    /// `Connection: close`. The service may respond before it has read everything.
    pub(crate) async fn raw(&self, request: &[u8]) -> Answer {
        let stream = TcpStream::connect(self.address).await.expect("the service listens");
        let (mut reader, mut writer) = stream.into_split();
        let mut bytes = Vec::new();
        let _ = tokio::join!(writer.write_all(request), reader.read_to_end(&mut bytes));
        let text = String::from_utf8(bytes).expect("an answer is text");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer but {text:?}"));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status line");
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.parse::<HeaderName>().expect("a name"), value.parse::<HeaderValue>().expect("a value"))
        };
        let headers = lines.map(header).collect();
        Answer { status, headers, body: serde_json::from_str(body).unwrap_or(Value::Null), text: body.to_owned() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request("POST", path).json(body)).await
    }

    /// Posts a body as it is, with this content type.
    pub(crate) async fn post_raw(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.send(self.request("POST", path).header("content-type", content_type).body(body)).await
    }

    pub(crate) async fn post_keyed(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.send(self.request("POST", path).header("idempotency-key", key).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request("DELETE", path)).await
    }

    pub(crate) async fn try_hold(&self, product_id: i64, qty: i64) -> Answer {
        self.post("/api/holds", &json!({ "product_id": product_id, "qty": qty })).await
    }

    /// Takes a hold and returns its id.
    pub(crate) async fn hold(&self, product_id: i64, qty: i64) -> String {
        self.try_hold(product_id, qty).await.expect(201).text("hold_id")
    }

    pub(crate) async fn try_order(&self, hold_id: &str) -> Answer {
        self.post("/api/orders", &json!({ "hold_id": hold_id })).await
    }

    /// Makes an order of a hold and returns its id.
    pub(crate) async fn order(&self, hold_id: &str) -> String {
        self.try_order(hold_id).await.expect(201).text("order_id")
    }

    /// Releases a hold.
    pub(crate) async fn release(&self, hold_id: &str) -> Answer {
        self.delete(&format!("/api/holds/{hold_id}")).await
    }

    /// Holds that many units and makes an order of them; returns the ids of both.
    pub(crate) async fn hold_and_order(&self, product_id: i64, qty: i64) -> (String, String) {
        let hold_id = self.hold(product_id, qty).await;
        let order_id = self.order(&hold_id).await;
        (hold_id, order_id)
    }

    /// Tries to make an order under an id that the client chooses.
    pub(crate) async fn try_order_as(&self, hold_id: &str, order_id: &str) -> Answer {
        self.post("/api/orders", &json!({ "hold_id": hold_id, "order_id": order_id })).await
    }

    /// Cancels an order.
    pub(crate) async fn cancel(&self, order_id: &str) -> Answer {
        self.send(self.request("POST", &format!("/api/orders/{order_id}/cancel"))).await
    }

    /// Returns the rows of an order's audit trail.
    pub(crate) async fn trail(&self, order_id: &str) -> Vec<Value> {
        let answer = self.get(&format!("/api/orders/{order_id}/events")).await.expect(200);
        answer.body["items"].as_array().expect("a list").clone()
    }

    /// Returns the transitions of an order, as `from>to:reason`.
    pub(crate) async fn transitions(&self, order_id: &str) -> Vec<String> {
        let word = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
        let line = |row: &Value| format!("{}>{}:{}", word(row, "from"), word(row, "to"), word(row, "reason"));
        self.trail(order_id).await.iter().map(line).collect()
    }

    /// Delivers a payment event.
    pub(crate) async fn webhook(&self, body: &Value) -> Answer {
        self.post("/api/payments/webhook", body).await
    }

    /// Delivers an event for an order under a key.
    pub(crate) async fn pay(&self, order_id: &str, status: &str, key: &str) -> Answer {
        self.webhook(&json!({ "order_id": order_id, "status": status, "idempotency_key": key })).await
    }

    pub(crate) async fn order_status(&self, order_id: &str) -> String {
        self.get(&format!("/api/orders/{order_id}")).await.expect(200).text("status")
    }

    pub(crate) async fn hold_status(&self, hold_id: &str) -> String {
        self.get(&format!("/api/holds/{hold_id}")).await.expect(200).text("status")
    }

    pub(crate) async fn available(&self, product_id: i64) -> i64 {
        let answer = self.get(&format!("/api/products/{product_id}")).await.expect(200);
        answer.body["available_stock"].as_i64().expect("a number")
    }
}

/// Returns a JSON object with some fields added, replaced, or (with `null`) removed.
pub(crate) fn with(body: &Value, changes: Value) -> Value {
    let mut changed = body.as_object().expect("an object").clone();
    for (field, value) in changes.as_object().expect("an object") {
        changed.insert(field.clone(), value.clone());
    }
    changed.retain(|_, value| !value.is_null());
    Value::Object(changed)
}
