//! What a payment event must show: a signature, the token of a provider, either or both.

use holdfast::config::Config;
use holdfast::domain::signature::Secrets;
use holdfast::domain::{Role, WebhookAuth};
use holdfast::http;
use serde_json::json;
use standardwebhooks::Webhook;

use super::{Signer, add};
use crate::signatures::now;
use crate::support::{Shop, mint};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// How a delivery is signed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Signature {
    None,
    Wrong,
    Valid,
}

#[tokio::test]
async fn an_event_counts_only_with_what_its_sender_must_show() {
    use Signature::{None as Unsigned, Valid, Wrong};
    const UNSIGNED: (u16, &str) = (401, "invalid_signature");
    const UNAUTHORIZED: (u16, &str) = (401, "unauthorized");
    const FORBIDDEN: (u16, &str) = (403, "forbidden");
    const TAKEN: (u16, &str) = (202, "");
    // per mode: without a token, with a wrong one, a storefront's, a buyer's, and a provider's
    let expected = |auth: WebhookAuth, signature: Signature| match (auth, signature) {
        (WebhookAuth::Signature, Valid) | (WebhookAuth::Either, Valid) => [TAKEN; 5],
        (WebhookAuth::Signature, _) | (WebhookAuth::Either, Wrong) => [UNSIGNED; 5],
        (WebhookAuth::Token, _) | (WebhookAuth::Either, Unsigned) | (WebhookAuth::Both, Valid) => {
            [UNAUTHORIZED, UNAUTHORIZED, FORBIDDEN, FORBIDDEN, TAKEN]
        }
        (WebhookAuth::Both, _) => [UNAUTHORIZED, UNAUTHORIZED, FORBIDDEN, FORBIDDEN, UNSIGNED],
    };
    let shop = Shop::open().await;
    for webhook_auth in [WebhookAuth::Signature, WebhookAuth::Token, WebhookAuth::Either, WebhookAuth::Both] {
        let config = || Config { webhook_auth, webhook_secrets: Secrets::standard(SECRET).ok(), ..shop.config() };
        let hot = shop.serve_routes(config(), http::routes).await;
        let framework = shop.serve_routes(config(), http::framework_routes).await;
        let name = |role: &str| format!("{role}-{webhook_auth}");
        let storefront = add(&hot.app, &name("storefront"), Role::Storefront).await;
        let buyer = Signer::of(&hot.app, &storefront, 1, "k").await.token(&storefront, "b");
        let provider = add(&hot.app, &name("provider"), Role::Provider).await;
        framework.app.checkout.read_clients().await.expect("a database");
        let tokens = [None, Some("wrong"), Some(&*storefront.token), Some(&*buyer), Some(&*provider.token)];
        for signature in [Unsigned, Wrong, Valid] {
            for (token, (status, code)) in tokens.into_iter().zip(expected(webhook_auth, signature)) {
                for api in [&hot, &framework] {
                    let body = json!({ "order_id": mint(), "status": "paid", "txn_id": mint() }).to_string();
                    let request =
                        api.request("POST", "/api/payments/webhook").header("content-type", "application/json");
                    let request = token.iter().fold(request, reqwest::RequestBuilder::bearer_auth);
                    let (id, at) = (mint(), now());
                    let signed =
                        Webhook::new(SECRET).expect("a secret").sign(&id, at, body.as_bytes()).expect("it signs");
                    let request = match signature {
                        Unsigned => request,
                        Wrong => request.header("webhook-signature", "v1,AAAA"),
                        Valid => request.header("webhook-signature", signed),
                    };
                    let request = request.header("webhook-id", id).header("webhook-timestamp", at.to_string());
                    let answer = api.send(request.body(body)).await;
                    let shown = (answer.status, answer.body["code"].as_str().unwrap_or_default());
                    assert_eq!(shown, (status, code), "{webhook_auth} {signature:?} {token:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_providers_token_reports_payments_and_nothing_else() {
    let (shop, product_id, _) = Shop::selling(5).await;
    let config = Config { webhook_auth: WebhookAuth::Token, ..shop.config() };
    let api = shop.serve_without_workers_as(config).await;
    let provider = add(&api.app, "provider", Role::Provider).await;
    let (_, order_id) = api.hold_and_order(product_id, 1).await;
    let paid = json!({ "order_id": order_id, "status": "paid", "idempotency_key": "e1" });
    super::post(&api, "/api/payments/webhook", &provider.token, paid.clone()).await.expect(200);
    let again = super::post(&api, "/api/payments/webhook", &provider.token, paid.clone()).await.expect(200);
    assert_eq!(again.text("status"), "duplicate");
    api.webhook(&paid).await.refused(401, "unauthorized");
    assert_eq!(api.order_status(&order_id).await, "paid");
    super::ask(&api, "GET", "/api/products", &provider.token).await.refused(403, "forbidden");
    shop.assert_conserved().await;
}
