//! What browsers need: preflights and the headers of CORS for the pages of listed origins alone, and a document that is not
//! sent twice.

use std::io::Read as _;

use flate2::read::GzDecoder;
use holdfast::config::Config;
use holdfast::domain::Origins;
use holdfast::http;
use serde_json::{Value, json};

use crate::support::{Answer, Bare, Shop};

const LISTED: &str = "https://shop.example";
const ALSO_LISTED: &str = "http://localhost:3000";
/// Headers that only a listed origin gets.
const GRANTS: [&str; 5] = [
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
    "access-control-expose-headers",
];

/// Both ways, with these origins.
async fn both(shop: &Shop, origins: &str) -> [Bare; 2] {
    let cors_origins = match origins {
        "off" => Origins::default(),
        list => Origins::parse(list).expect("origins"),
    };
    let config = Config { cors_origins, ..shop.config() };
    [shop.serve_routes(config.clone(), http::routes).await, shop.serve_routes(config, http::framework_routes).await]
}

async fn send(api: &Bare, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = api.request(method, path);
    api.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

fn grants(answer: &Answer) -> [&str; 5] {
    GRANTS.map(|name| answer.header(name))
}

#[tokio::test]
async fn options_answers_204_with_the_methods_of_each_path_and_404_on_any_other() {
    let shop = Shop::open().await;
    for origins in ["off", LISTED] {
        for api in both(&shop, origins).await {
            let document = api.get("/openapi.json").await.expect(200).body;
            for (path, methods) in document["paths"].as_object().expect("paths") {
                let answer = send(&api, "OPTIONS", &path.replace(['{', '}'], ""), &[]).await.expect(204);
                let mut allow: Vec<String> = methods.as_object().expect("methods").keys().cloned().collect();
                allow = allow.iter().map(|method| method.to_uppercase()).chain(["OPTIONS".to_owned()]).collect();
                allow.extend(allow.contains(&"GET".to_owned()).then(|| "HEAD".to_owned()));
                allow.sort_unstable();
                assert_eq!((answer.header("allow"), answer.text.as_str()), (allow.join(", ").as_str(), ""), "{path}");
                assert_eq!(answer.header("cache-control"), "no-store");
            }
            for path in ["/", "/docs", "/openapi.json", "/favicon.ico"] {
                let answer = send(&api, "OPTIONS", path, &[]).await.expect(204);
                assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS", "{path}");
            }
            for path in ["/api/nothing", "/docs/", "/api/holds/1/2", "/API/holds"] {
                send(&api, "OPTIONS", path, &[]).await.refused(404, "not_found");
            }
        }
    }
}

#[tokio::test]
async fn a_preflight_of_a_listed_origin_is_granted_the_methods_of_the_route_and_no_other_is() {
    let shop = Shop::open().await;
    for api in both(&shop, &format!("{LISTED},{ALSO_LISTED}")).await {
        for (path, methods) in [("/api/orders/1/cancel", "OPTIONS, POST"), ("/api/products/1", "GET, HEAD, OPTIONS")] {
            for origin in [LISTED, ALSO_LISTED] {
                let asked = [("origin", origin), ("access-control-request-method", "POST")];
                let answer = send(&api, "OPTIONS", path, &asked).await.expect(204);
                let headers = "authorization, content-type, holdfast-buyer, idempotency-key, if-match, x-request-id";
                assert_eq!(grants(&answer), [origin, methods, headers, "7200", ""]);
                assert_eq!(answer.header("vary"), "Origin");
                assert_eq!(
                    answer.header("access-control-allow-credentials"),
                    "",
                    "tokens are no credentials of browsers"
                );
            }
            for other in [
                "https://other.example",
                "https://shop.example.evil.example",
                "http://shop.example",
                "https://shop.example:8443",
                "https://SHOP.example",
                "null",
                "*",
                "",
            ] {
                let asked = [("origin", other), ("access-control-request-method", "POST")];
                let answer = send(&api, "OPTIONS", path, &asked).await.expect(204);
                assert_eq!((grants(&answer), answer.header("vary")), ([""; 5], "Origin"), "{other}");
            }
        }
        let twice = [("origin", LISTED), ("origin", LISTED)];
        assert_eq!(grants(&send(&api, "OPTIONS", "/api/holds", &twice).await.expect(204)), [""; 5]);
    }
}

#[tokio::test]
async fn a_page_of_a_listed_origin_reads_every_response_whatever_its_status() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    for api in both(&shop, LISTED).await {
        let product = format!("/api/products/{product_id}");
        for (method, path, status) in [
            ("GET", product.as_str(), 200),
            ("GET", "/api/products/4711", 404),
            ("GET", "/api/nothing", 404),
            ("PUT", "/api/holds", 405),
            ("POST", "/api/holds", 415),
            ("GET", "/api/admin/refunds", 403),
            ("GET", "/healthz", 200),
        ] {
            let answer = send(&api, method, path, &[("origin", LISTED)]).await.expect(status);
            let exposed = answer.header("access-control-expose-headers");
            for name in ["retry-after", "ratelimit", "location", "x-request-id", "etag"] {
                assert!(exposed.split(", ").any(|exposed| exposed == name), "{name} in {exposed}");
            }
            assert_eq!((answer.header("access-control-allow-origin"), answer.header("vary")), (LISTED, "Origin"));
            for others in [&[][..], &[("origin", "https://other.example")]] {
                let answer = send(&api, method, path, others).await.expect(status);
                assert_eq!((grants(&answer), answer.header("vary")), ([""; 5], "Origin"), "{method} {path}");
            }
        }
        let request = api.request("POST", "/api/holds").header("origin", LISTED);
        let held = api.send(request.json(&json!({ "product_id": product_id, "qty": 1 }))).await.expect(201);
        assert_eq!(held.header("access-control-allow-origin"), LISTED);
    }
}

#[tokio::test]
async fn without_listed_origins_no_response_has_a_header_for_browsers() {
    let shop = Shop::open().await;
    for api in both(&shop, "off").await {
        for (method, path) in [("OPTIONS", "/api/holds"), ("GET", "/api/products"), ("GET", "/api/nothing")] {
            let answer = send(&api, method, path, &[("origin", LISTED)]).await;
            assert_eq!((grants(&answer), answer.header("vary")), ([""; 5], ""), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_client_that_has_the_document_or_its_page_gets_304() {
    let (_shop, _, client) = Shop::selling(1).await;
    let (_other_shop, _, other) = Shop::selling(1).await;
    for path in ["/openapi.json", "/docs"] {
        let whole = client.get(path).await.expect(200);
        let tag = whole.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.len() > 20, "{tag}");
        assert_eq!((whole.header("vary"), whole.header("cache-control")), ("Accept-Encoding", "no-cache"));
        let asked = |tag: &str| client.request("GET", path).header("if-none-match", tag);
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let answer = client.send(asked(&known)).await.expect(304);
            let headers = ["etag", "vary", "cache-control"].map(|name| answer.header(name));
            assert_eq!((answer.text.as_str(), headers), ("", [tag.as_str(), "Accept-Encoding", "no-cache"]), "{known}");
        }
        assert_eq!(client.send(asked("\"other\"")).await.expect(200).text, whole.text);
        // the compressed text has a tag of its own
        client.send(asked(&tag).header("accept-encoding", "gzip")).await.expect(200);
        let other_instance = other.send(other.request("GET", path).header("if-none-match", &tag)).await;
        other_instance.expect(304);
    }
}

#[tokio::test]
async fn the_document_and_its_page_are_compressed_for_those_that_read_gzip_and_nothing_else_is() {
    let (_shop, product_id, client) = Shop::selling(1).await;
    for path in ["/openapi.json", "/docs"] {
        let plain = client.get(path).await.expect(200);
        let request = client.request("GET", path).header("accept-encoding", "br, gzip;q=0.5");
        let response = request.send().await.expect("the service answers");
        let headers = response.headers().clone();
        assert!(headers["content-encoding"] == "gzip" && headers["vary"] == "Accept-Encoding", "{headers:?}");
        assert_eq!(headers["content-type"], plain.header("content-type"));
        assert_ne!(headers["etag"], plain.header("etag"));
        let bytes = response.bytes().await.expect("a body");
        assert!(bytes.len() * 3 < plain.text.len(), "{} of {}", bytes.len(), plain.text.len());
        let mut text = String::new();
        GzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("it is gzip");
        assert!(text == plain.text, "{path}");
        let tag = headers["etag"].to_str().expect("text");
        let again = client.request("GET", path).header("accept-encoding", "gzip").header("if-none-match", tag);
        assert_eq!(client.send(again).await.expect(304).header("content-encoding"), "");
        let refused = client.request("GET", path).header("accept-encoding", "gzip;q=0");
        assert_eq!(client.send(refused).await.expect(200).text, plain.text);
    }
    let product = client.request("GET", &format!("/api/products/{product_id}")).header("accept-encoding", "gzip");
    let product = client.send(product.header("if-none-match", "*")).await.expect(200);
    assert_eq!(["content-encoding", "vary"].map(|name| product.header(name)), [""; 2]);
}

#[tokio::test]
async fn every_401_names_a_scheme() {
    let shop = Shop::open().await;
    let config = Config {
        admin_token: holdfast::domain::AdminToken::new("an-operators-token-of-these-tests"),
        webhook_secrets: holdfast::domain::signature::Secrets::standard("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").ok(),
        stripe_secrets: holdfast::domain::signature::Secrets::stripe("whsec_of_an_endpoint").ok(),
        ..shop.config()
    };
    let api = shop.serve_without_workers_as(config).await;
    let document: Value = api.get("/openapi.json").await.expect(200).body;
    let mut refused = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let request = api.request(&method.to_uppercase(), &path.replace(['{', '}'], ""));
            let answer = api.send(request.bearer_auth("a-wrong-token-of-someone").json(&json!({}))).await;
            if answer.status == 401 {
                refused += 1;
                assert!(!answer.header("www-authenticate").is_empty(), "{method} {path}: {answer:?}");
                assert!(operation["responses"]["401"]["headers"]["WWW-Authenticate"].is_object(), "{method} {path}");
            }
        }
    }
    assert!(refused > 5, "{refused}");
}
