//! A hot route and the router of the framework respond alike: two shops, one of which has no hot routes, get the same generated
//! requests.

mod requests;

use std::num::NonZeroU32;
use std::sync::Arc;

use holdfast::config::Config;
use holdfast::domain::{AdminToken, Origins};
use holdfast::http;
use holdfast::rate::{Clock as RateClock, TrustedProxies};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use uuid::Uuid;

use self::requests::{Sent, operations, particular};
use crate::signatures::now;
use crate::support::{Bare, Shop, with_policy};

/// The token of operators.
const TOKEN: &str = "an-operators-token-of-these-tests";
/// The secret of the webhook.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The path of the webhook.
const WEBHOOK: &str = "/api/payments/webhook";
/// The tables that requests of clients change.
const TABLES: [&str; 7] =
    ["holds", "orders", "order_events", "charges", "payment_events", "payment_event_deliveries", "idempotency_keys"];

/// A shop with one of the two ways.
struct Way {
    shop: Shop,
    api: Bare,
    /// A hold that several requests use.
    held: String,
}

impl Way {
    async fn new(shop: Shop, api: Bare) -> Self {
        let held = api
            .app
            .checkout
            .create_hold(holdfast::checkout::NewHold::new(1, 1, None))
            .await
            .expect("a hold")
            .hold
            .id
            .to_string();
        Self { shop, api, held }
    }

    /// Replaces the ids that a request names; those are the ids of this shop.
    async fn fill(&self, text: &str) -> String {
        let mut text = text.replace("{held}", &self.held).replace("{product_id}", "1").replace("{event_id}", "1");
        let checkout = &self.api.app.checkout;
        if text.contains("{hold_id}") || text.contains("{order_id}") {
            let hold_id =
                checkout.create_hold(holdfast::checkout::NewHold::new(1, 1, None)).await.expect("a hold").hold.id;
            if text.contains("{order_id}") {
                let order = checkout
                    .create_order(holdfast::checkout::NewOrder::new(hold_id, None, None))
                    .await
                    .expect("an order")
                    .order;
                text = text.replace("{order_id}", &order.id.to_string());
            }
            text = text.replace("{hold_id}", &hold_id.to_string());
        }
        text
    }

    /// Returns the response without the values that differ between two shops: the status, the headers, and the body.
    async fn send(&self, sent: &Sent) -> (u16, Vec<(String, String)>, String) {
        let path = self.fill(&sent.path).await;
        let body = match &sent.body {
            Some(body) => Some(self.fill(body).await),
            None => None,
        };
        let answer = self.api.raw(Sent { path, body, ..sent.clone() }.text().as_bytes()).await;
        let compared = answer.headers.iter().filter(|(name, _)| *name != "date");
        let mut headers: Vec<(String, String)> = compared
            .map(|(name, value)| match name.as_str() {
                "retry-after" => (name.to_string(), "seconds".to_owned()),
                _ => (name.to_string(), masked(value.to_str().expect("a header is text"))),
            })
            .collect();
        headers.sort();
        (answer.status, headers, masked(&answer.text))
    }

    /// Returns what requests have left in the database.
    async fn rows(&self) -> (Vec<i64>, Vec<String>) {
        let mut counts = Vec::new();
        for table in TABLES {
            counts.push(self.shop.count(&format!("SELECT COUNT(*) FROM {table}")).await);
        }
        let kept = "SELECT CONCAT(idempotency_key, ' ', headers) FROM payment_events ORDER BY id";
        (counts, self.shop.rows(kept).await)
    }
}

/// Replaces ids, times, secrets and remaining seconds.
fn masked(text: &str) -> String {
    let (mut masked, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let starts = |length: usize, is_one: fn(&str) -> bool| rest.get(..length).is_some_and(is_one);
        let length = if starts(36, |id| Uuid::try_parse(id).is_ok()) {
            masked.push_str("id");
            36
        } else if starts(27, |time| time.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(time).is_ok()) {
            masked.push_str("time");
            27
        } else if starts(50, |secret| secret.starts_with("whsec_") && !secret.contains('"')) {
            masked.push_str("secret");
            50
        } else {
            masked.push(first);
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    let (before, after) = masked.split_once("\"expires_in\":").unwrap_or((&masked, ""));
    format!("{before}{}", after.trim_start_matches(|digit: char| digit.is_ascii_digit()))
}

/// The two ways; both shops have the same products.
struct BothWays {
    hot: Way,
    framework: Way,
}

impl BothWays {
    async fn open(change: impl Fn(Config) -> Config) -> Self {
        let [first, second] = [Shop::open().await, Shop::open().await];
        for shop in [&first, &second] {
            shop.product(100_000).await;
            shop.product(1).await;
            let limited = shop.product(100).await;
            let set = "SET max_per_buyer = 4, limit_state = 'enforced'";
            shop.execute(&format!("UPDATE products {set} WHERE id = {limited}")).await;
        }
        let config = |shop: &Shop| change(Config { admin_token: AdminToken::new(TOKEN), ..shop.config() });
        // stands still: of two ways, none is admitted because it was slower
        let clock = RateClock::Manual(Arc::default());
        let hot = first.serve_routes_by(config(&first), &clock, http::routes).await;
        let framework = second.serve_routes_by(config(&second), &clock, http::framework_routes).await;
        Self { hot: Way::new(first, hot).await, framework: Way::new(second, framework).await }
    }

    /// Sends a request both ways, and returns the status of the responses, which must be alike.
    async fn compare(&self, sent: &Sent) -> u16 {
        let (hot, framework) = tokio::join!(self.hot.send(sent), self.framework.send(sent));
        assert_eq!(hot, framework, "the hot way and the framework's way differ for {sent:?}");
        hot.0
    }

    /// Sends requests both ways; all responses and what they leave in the database must be alike. Returns the statuses.
    async fn compare_all(&self, requests: &[Sent]) -> Vec<u16> {
        let mut statuses = Vec::new();
        for sent in requests {
            statuses.push(self.compare(sent).await);
        }
        assert_eq!(self.hot.rows().await, self.framework.rows().await, "both ways leave the same rows");
        statuses
    }
}

#[tokio::test]
async fn both_ways_respond_alike_to_all_operations() {
    let ways = BothWays::open(|config| config).await;
    let document: Value = serde_json::from_str(&http::document(&ways.hot.api.app)).expect("the document is JSON");
    let (mut hot_routes, mut seen) = (0, Vec::new());
    for operation in operations(&document) {
        let mut requests = operation.around();
        if let Some(hot) = operation.hot() {
            let particular = particular(hot);
            assert!(!particular.is_empty(), "{hot:?} has requests of its own");
            requests.extend(particular.into_iter().chain(operation.bodies()).chain(operation.keys()));
            hot_routes += 1;
        }
        seen.extend(ways.compare_all(&requests).await);
    }
    assert_eq!(hot_routes, 4, "each hot route is an operation of the document");
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [200, 201, 202, 204, 400, 401, 404, 405, 409, 413, 415, 422]);
    ways.hot.shop.assert_conserved().await;
}

#[tokio::test]
async fn both_ways_respond_alike_to_signed_deliveries() {
    let secrets = holdfast::domain::signature::Secrets::standard(SECRET).expect("a secret");
    let ways = BothWays::open(|config| Config { webhook_secrets: Some(secrets.clone()), ..config }).await;
    let body = json!({ "order_id": Uuid::nil(), "status": "paid", "txn_id": "signed" }).to_string();
    let signed = |id: &str, at: i64| {
        let signature = Webhook::new(SECRET).expect("a secret").sign(id, at, body.as_bytes()).expect("a signature");
        [format!("webhook-id: {id}"), format!("webhook-timestamp: {at}"), format!("Webhook-Signature: {signature}")]
    };
    let usual = Sent::new("POST", WEBHOOK, Some(&body));
    let mut requests = vec![usual.clone()];
    for (id, at) in [("one", now()), ("one", now()), ("a.b", now()), ("two", now() - 400), ("three", now() + 400)] {
        let headers = signed(id, at);
        let all = usual.with_headers(headers.each_ref().map(String::as_str));
        requests.extend([all.with_header("Idempotency-Key: a b"), all.with_body(format!("{body} "))]);
        for header in &headers {
            let others = headers.iter().filter(|other| *other != header).map(String::as_str);
            requests.extend([usual.with_headers(others), all.with_header(header)]);
        }
    }
    let statuses = ways.compare_all(&requests).await;
    assert_eq!(statuses.iter().filter(|status| **status == 202).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
}

#[tokio::test]
async fn both_ways_respond_alike_to_browsers_and_to_callers_over_a_limit() {
    let secrets = holdfast::domain::signature::Secrets::standard(SECRET).expect("a secret");
    // enough for the operations before the last ones, by their paths
    let rate = NonZeroU32::new(150);
    let ways = BothWays::open(|config| Config {
        webhook_secrets: Some(secrets.clone()),
        cors_origins: Origins::parse("https://shop.example").expect("an origin"),
        rate_reads: rate,
        rate_writes: rate,
        rate_webhooks: rate,
        rate_admin: rate,
        ..config
    })
    .await;
    let document: Value = serde_json::from_str(&http::document(&ways.hot.api.app)).expect("the document is JSON");
    let mut seen = Vec::new();
    for operation in operations(&document) {
        let mut requests = operation.around();
        for origin in ["Origin: https://shop.example", "Origin: https://other.example", "Origin: null"] {
            let preflight = operation.around().into_iter().filter(|sent| sent.method == "OPTIONS");
            requests.extend(preflight.map(|sent| sent.with_headers([origin, "Access-Control-Request-Method: GET"])));
            requests.extend(operation.around().into_iter().take(2).map(|sent| sent.with_header(origin)));
        }
        seen.extend(ways.compare_all(&requests).await);
    }
    let refused = seen.iter().filter(|status| **status == 429).count();
    assert!(refused > 100 && seen.contains(&204) && seen.contains(&201), "{refused} of {}", seen.len());
}

#[tokio::test]
async fn both_ways_count_the_units_that_a_caller_holds() {
    let ways = BothWays::open(|config| {
        let trusted_proxies = TrustedProxies::parse("127.0.0.1").expect("networks");
        let config = with_policy(config, |policy| policy.max_held_units = NonZeroU32::new(2));
        Config { trusted_proxies, ..config }
    })
    .await;
    let hold = |address: &str| {
        Sent::new("POST", "/api/holds", Some(r#"{"product_id":1,"qty":2}"#))
            .with_header(format!("X-Forwarded-For: {address}"))
    };
    let requests = ["192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"].map(hold);
    assert_eq!(ways.compare_all(&requests).await, [201, 409, 201, 201, 409]);
}
