//! Limits on the rate of requests: who counts as one caller, what counts, and what a caller is told. Each limit is tried both
//! ways, with hot routes and without. The tests move the clock of the limits.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use holdfast::app::App;
use holdfast::config::Config;
use holdfast::domain::AdminToken;
use holdfast::domain::signature::Secrets;
use holdfast::http;
use holdfast::rate::{Clock, TrustedProxies};
use poem::{Endpoint, Response};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::signatures::now;
use crate::support::{Answer, Bare, Shop, mint};

const TOKEN: &str = "an-operators-token-of-these-tests";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const WEBHOOK: &str = "/api/payments/webhook";
const STRIPE: &str = "/api/payments/webhook/stripe";

/// A shop with one product and a service that counts.
struct Limited {
    shop: Shop,
    api: Bare,
    /// In nanoseconds.
    time: Arc<AtomicU64>,
}

impl Limited {
    async fn open<E>(change: impl FnOnce(Config) -> Config, routes: impl Fn(&Arc<App>) -> E) -> Self
    where
        E: Endpoint<Output = Response> + 'static,
    {
        let (shop, time) = (Shop::open().await, Arc::new(AtomicU64::new(0)));
        shop.product(100).await;
        let config = change(Config { admin_token: AdminToken::new(TOKEN), ..shop.config() });
        let api = shop.serve_routes_by(config, &Clock::Manual(Arc::clone(&time)), routes).await;
        Self { shop, api, time }
    }

    /// The two ways.
    async fn both(change: impl Fn(Config) -> Config) -> [Self; 2] {
        [Self::open(&change, http::routes).await, Self::open(&change, http::framework_routes).await]
    }

    fn pass(&self, seconds: u64) {
        self.time.fetch_add(seconds * 1_000_000_000, Ordering::Relaxed);
    }

    /// Reads the product with these headers.
    async fn read(&self, headers: &[(&str, &str)]) -> Answer {
        let request = self.api.request("GET", "/api/products/1");
        self.api.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }
}

/// The number, which is not zero.
fn rate(number: u32) -> Option<NonZeroU32> {
    Some(NonZeroU32::new(number).expect("not zero"))
}

/// Returns what a response says about the limit.
fn told(answer: &Answer) -> [&str; 3] {
    ["ratelimit-policy", "ratelimit", "retry-after"].map(|name| answer.header(name))
}

#[tokio::test]
async fn the_last_request_within_a_limit_is_served_and_the_next_one_refused_with_when_to_come_back() {
    let change = |config| Config { rate_reads: rate(2), rate_writes: rate(3), rate_admin: rate(1), ..config };
    for limited in Limited::both(change).await {
        let api = &limited.api;
        assert_eq!(told(&limited.read(&[]).await.expect(200)), [r#""reads";q=2;w=60"#, r#""reads";r=1;t=30"#, ""]);
        assert_eq!(told(&api.get("/api/products/4711").await.expect(404))[1], r#""reads";r=0;t=30"#);
        let refused = limited.read(&[]).await;
        refused.refused(429, "rate_limited");
        assert_eq!(told(&refused), [r#""reads";q=2;w=60"#, r#""reads";r=0;t=30"#, "30"]);
        assert_eq!(refused.header("cache-control"), "no-store");

        // writes and operators' requests have counters of their own, valid or not
        for remaining in [2, 1] {
            let held = api.try_hold(1, 1).await.expect(201);
            assert_eq!(told(&held)[1], format!(r#""writes";r={remaining};t=20"#));
        }
        api.try_hold(1, 0).await.refused(422, "invalid_quantity");
        api.try_hold(1, 1).await.refused(429, "rate_limited");
        assert_eq!(limited.shop.reserved(1).await, 2, "a refused request changes nothing");
        let refunds = |token: &str| api.send(api.request("GET", "/api/admin/refunds").bearer_auth(token));
        let wrong = refunds("a-wrong-token-of-someone").await;
        assert_eq!((wrong.status, told(&wrong)[1]), (401, r#""admin";r=0;t=60"#));
        refunds("another-wrong-token").await.refused(429, "rate_limited");
        // requests with wrong tokens from the same address cannot keep the operator out
        refunds(TOKEN).await.expect(200);
        refunds(TOKEN).await.refused(429, "rate_limited");

        limited.pass(29);
        limited.read(&[]).await.refused(429, "rate_limited");
        limited.pass(1);
        limited.read(&[]).await.expect(200);
        assert_eq!(limited.read(&[]).await.header("retry-after"), "30");
        limited.pass(30);
        refunds(TOKEN).await.expect(200);
    }
}

#[tokio::test]
async fn without_a_limit_nothing_is_counted_and_no_header_is_added() {
    for limited in Limited::both(|config| Config { rate_writes: rate(1), ..config }).await {
        for _ in 0..20 {
            assert_eq!(told(&limited.read(&[]).await.expect(200)), [""; 3]);
        }
        assert_eq!(told(&limited.api.get("/api/admin/refunds").await.expect(401)), [""; 3]);
        assert_eq!(told(&limited.api.try_hold(1, 1).await.expect(201))[1], r#""writes";r=0;t=60"#);
    }
}

#[tokio::test]
async fn health_the_document_and_preflights_have_no_limit() {
    let one = rate(1);
    let change = |config| Config { rate_reads: one, rate_writes: one, rate_admin: one, rate_webhooks: one, ..config };
    let limited = Limited::open(change, http::routes).await;
    for _ in 0..3 {
        for path in ["/healthz", "/readyz", "/docs", "/openapi.json"] {
            assert_eq!(told(&limited.api.get(path).await.expect(200)), [""; 3]);
        }
        let preflight = limited.api.send(limited.api.request("OPTIONS", "/api/holds")).await.expect(204);
        assert_eq!(told(&preflight), [""; 3]);
    }
    limited.read(&[]).await.expect(200);
}

#[tokio::test]
async fn headers_name_the_client_only_if_a_trusted_proxy_sends_them() {
    let proxies = |list: &str| TrustedProxies::parse(list).expect("networks");
    let untrusted = Limited::both(|config| Config { rate_reads: rate(1), ..config }).await;
    let elsewhere = |config| Config { rate_reads: rate(1), trusted_proxies: proxies("10.0.0.0/8"), ..config };
    for limited in untrusted.into_iter().chain(Limited::both(elsewhere).await) {
        limited.read(&[]).await.expect(200);
        for forged in [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.2")] {
            limited.read(&[forged]).await.refused(429, "rate_limited");
        }
    }
    let trusted =
        |config| Config { rate_reads: rate(1), trusted_proxies: proxies("127.0.0.0/8, 10.0.0.0/8"), ..config };
    for limited in Limited::both(trusted).await {
        for (headers, status) in [
            (&[("x-forwarded-for", "192.0.2.1")][..], 200),
            (&[("x-forwarded-for", "192.0.2.1")], 429),
            (&[("x-forwarded-for", "6.6.6.6, 192.0.2.1")], 429),
            (&[("x-forwarded-for", "nonsense, 192.0.2.1, 10.0.0.1")], 429),
            (&[("x-forwarded-for", "192.0.2.2")], 200),
            (&[("forwarded", "for=192.0.2.2;proto=https")], 429),
            (&[("forwarded", "for=\"[2001:db8:0:1::1]:4711\"")], 200),
            // the same network of 64 bits, and another one
            (&[("x-forwarded-for", "2001:db8:0:1:ffff::2")], 429),
            (&[("x-forwarded-for", "2001:db8:0:2::1")], 200),
            // the peer: a malformed header, two that differ, none
            (&[("forwarded", "for=\"192.0.2.3")], 200),
            (&[("x-forwarded-for", "192.0.2.4, unknown")], 429),
            (&[("forwarded", "for=192.0.2.5"), ("x-forwarded-for", "192.0.2.6")], 429),
            (&[], 429),
        ] {
            assert_eq!(limited.read(headers).await.status, status, "{headers:?}");
        }
    }
}

/// A delivery whose signature is valid.
async fn genuine(limited: &Limited, id: &str) -> Answer {
    let body = json!({ "order_id": mint(), "status": "paid", "txn_id": id }).to_string();
    let signature = Webhook::new(SECRET).expect("a secret").sign(id, now(), body.as_bytes()).expect("a signature");
    let request = limited.api.request("POST", WEBHOOK).header("content-type", "application/json");
    let request = request.header("webhook-id", id).header("webhook-timestamp", now()).body(body);
    limited.api.send(request.header("webhook-signature", signature)).await
}

/// Deliveries that cannot be verified: without a signature, with a wrong one, with a token, with a body of the wrong type.
async fn forge(limited: &Limited, kind: usize) -> Answer {
    let body: Value = json!({ "order_id": mint(), "status": "paid", "txn_id": "forged" });
    let request = |path| limited.api.request("POST", path);
    let signed = |path| request(path).header("webhook-id", "f").header("webhook-signature", "v1,Zm9yZ2Vk");
    let forged = match kind % 6 {
        0 => request(WEBHOOK).json(&body),
        1 => signed(WEBHOOK).header("webhook-timestamp", now()).json(&body),
        2 => request(WEBHOOK).bearer_auth("a-wrong-token-of-someone").json(&body),
        3 => request(STRIPE).json(&body),
        4 => request(STRIPE).header("stripe-signature", format!("t={},v1=00", now())).json(&body),
        _ => signed(WEBHOOK).header("content-type", "text/plain").body("x"),
    };
    limited.api.send(forged).await
}

#[tokio::test]
async fn a_verified_delivery_is_never_refused_during_a_flood_of_forged_ones_from_its_own_address() {
    let (standard, stripe) = (Secrets::standard(SECRET).ok(), Secrets::stripe("whsec_of_an_endpoint").ok());
    let change = |config| Config {
        rate_webhooks: rate(6),
        webhook_secrets: standard.clone(),
        stripe_secrets: stripe.clone(),
        ..config
    };
    for limited in Limited::both(change).await {
        for kind in 0..6 {
            let forged = forge(&limited, kind).await;
            let status = if kind == 5 { 415 } else { 401 };
            let left = format!(r#""webhooks";r={};t=10"#, 5 - kind);
            assert_eq!((forged.status, told(&forged)[1]), (status, left.as_str()), "kind {kind}: each counts once");
        }
        for kind in 0..60 {
            let forged = forge(&limited, kind).await;
            forged.refused(429, "rate_limited");
            assert_eq!(told(&forged), [r#""webhooks";q=6;w=60"#, r#""webhooks";r=0;t=10"#, "10"], "kind {kind}");
            if kind % 5 == 0 {
                let answer = genuine(&limited, &format!("event-{kind}")).await.expect(202);
                assert_eq!(told(&answer), [""; 3], "verified deliveries do not count");
            }
        }
        assert_eq!(limited.shop.count("SELECT COUNT(*) FROM payment_events").await, 12);
        // refused before its body is asked for, which never arrives
        let head = format!("POST {WEBHOOK} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: 60000\r\n");
        let head = format!("{head}Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n");
        limited.api.raw(head.as_bytes()).await.refused(429, "rate_limited");
        limited.pass(10);
        forge(&limited, 0).await.refused(401, "invalid_signature");
        forge(&limited, 1).await.refused(429, "rate_limited");
    }
}

#[tokio::test]
async fn deliveries_do_not_count_while_verification_is_off() {
    for limited in Limited::both(|config| Config { rate_webhooks: rate(1), ..config }).await {
        for number in 0..5 {
            let answer = limited.api.pay(&mint(), "paid", &format!("event-{number}")).await.expect(202);
            assert_eq!(told(&answer), [""; 3]);
        }
    }
}
