//! Invalid input gets a clear error and changes nothing.

mod products;

use std::collections::BTreeSet;

use holdfast::config::Config;
use holdfast::domain::AdminToken;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::shop::Instance;
use crate::support::{Answer, Client, Shop};

const TOKEN: &str = "an-operators-token-of-these-tests";

/// Asserts a problem with this status and code, and a request id.
#[track_caller]
fn assert_problem(answer: &Answer, status: u16, code: &str, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert_eq!(answer.code(), code, "{what}: {answer:?}");
    assert!(!answer.header("x-request-id").is_empty(), "{what}: {answer:?}");
}

/// Asserts that only `products` has rows and that no unit is reserved.
async fn assert_nothing_changed(shop: &Shop) {
    for table in ["holds", "orders", "order_events", "payment_events", "idempotency_keys"] {
        assert_eq!(shop.count(&format!("SELECT COUNT(*) FROM {table}")).await, 0, "{table}");
    }
    assert_eq!(shop.count("SELECT CAST(SUM(reserved) AS SIGNED) FROM products").await, 0);
}

/// Sends every body as JSON, and compares the problem.
async fn refuse_all(client: &Client, path: &str, cases: &[(&str, u16, &str)]) {
    for &(body, status, code) in cases {
        let answer = client.post_raw(path, "application/json", body.to_owned()).await;
        assert_problem(&answer, status, code, body);
    }
}

#[tokio::test]
async fn an_invalid_quantity_is_refused() {
    let (shop, product_id, client) = Shop::selling(100).await;
    let of_no_sense = [
        ("0", "invalid_quantity"),
        ("-1", "invalid_quantity"),
        ("11", "invalid_quantity"),
        ("2147483648", "invalid_quantity"),
        ("4294967297", "invalid_quantity"),
        ("9223372036854775807", "invalid_quantity"),
        ("9223372036854775808", "invalid_quantity"),
        ("-9223372036854775808", "invalid_quantity"),
        ("18446744073709551616", "invalid_body"),
        ("18446744073709551617", "invalid_body"),
        ("1e30", "invalid_body"),
        ("1e0", "invalid_body"),
        ("1.0", "invalid_body"),
        ("1.5", "invalid_body"),
        ("\"1\"", "invalid_body"),
        ("\"\"", "invalid_body"),
        ("null", "invalid_body"),
        ("true", "invalid_body"),
        ("[1]", "invalid_body"),
        ("{}", "invalid_body"),
    ];
    for (qty, code) in of_no_sense {
        let body = format!(r#"{{"product_id":{product_id},"qty":{qty}}}"#);
        refuse_all(&client, "/api/holds", &[(&body, 422, code)]).await;
    }
    for qty in ["01", "+1", "0x1", "1e400", "NaN", "1,", ""] {
        let body = format!(r#"{{"product_id":{product_id},"qty":{qty}}}"#);
        refuse_all(&client, "/api/holds", &[(&body, 400, "malformed_json")]).await;
    }
    assert_nothing_changed(&shop).await;
}

#[tokio::test]
async fn a_body_with_missing_unknown_or_repeated_fields_is_refused() {
    let (shop, _, client) = Shop::selling(100).await;
    refuse_all(
        &client,
        "/api/holds",
        &[
            (r"{}", 422, "invalid_body"),
            (r#"{"product_id":1}"#, 422, "invalid_body"),
            (r#"{"qty":1}"#, 422, "invalid_body"),
            (r#"{"product_id":1,"qty":1,"price_minor":1}"#, 422, "invalid_body"),
            (r#"{"product_id":1,"qty":1,"":1}"#, 422, "invalid_body"),
            (r#"{"product_id":1,"Qty":1}"#, 422, "invalid_body"),
            (r#"{"product_id":1,"qty":1,"qty":1}"#, 422, "invalid_body"),
            (r#"{"product_id":1,"product_id":1,"qty":1}"#, 422, "invalid_body"),
            (r#"{"product_id":1,"qty":1,"\u0071ty":2}"#, 422, "invalid_body"),
        ],
    )
    .await;
    let id = Uuid::now_v7();
    let twice = format!(r#"{{"hold_id":"{id}","hold_id":"{id}"}}"#);
    let unknown = format!(r#"{{"hold_id":"{id}","total_minor":1}}"#);
    refuse_all(&client, "/api/orders", &[(&twice, 422, "invalid_body"), (&unknown, 422, "invalid_body")]).await;
    assert_nothing_changed(&shop).await;
}

#[tokio::test]
async fn an_unknown_product_is_not_found_and_an_invalid_product_id_is_refused() {
    let (shop, _, client) = Shop::selling(100).await;
    for id in ["0", "-1", "999999", "9223372036854775807", "-9223372036854775808"] {
        let body = format!(r#"{{"product_id":{id},"qty":1}}"#);
        refuse_all(&client, "/api/holds", &[(&body, 404, "product_not_found")]).await;
        let read = client.get(&format!("/api/products/{id}")).await;
        assert_problem(&read, 404, "product_not_found", id);
    }
    for id in ["\"1\"", "null", "1.5", "true", "\"1 OR 1=1\""] {
        let body = format!(r#"{{"product_id":{id},"qty":1}}"#);
        refuse_all(&client, "/api/holds", &[(&body, 422, "invalid_body")]).await;
    }
    for id in ["one", "1.5", "1e3", "9223372036854775808", "%27", "1%20OR%201=1", "%00", "1%0A", "0x1", "%F0%9F%92%B8"]
    {
        let read = client.get(&format!("/api/products/{id}")).await;
        assert_problem(&read, 400, "invalid_id", id);
    }
    assert_nothing_changed(&shop).await;
}

#[tokio::test]
async fn an_invalid_id_and_an_unknown_id_get_different_errors() {
    let (shop, _, client) = Shop::selling(100).await;
    let nothing = Uuid::now_v7().to_string();
    let nil = Uuid::nil().to_string();
    let cases = [
        (nothing.as_str(), 404, "not_found"),
        (&nil, 404, "not_found"),
        ("1", 400, "invalid_id"),
        ("00000000-0000-0000-0000-00000000000g", 400, "invalid_id"),
        ("00000000-0000-0000-0000-0000000000000", 400, "invalid_id"),
        ("%00", 400, "invalid_id"),
        ("'--", 400, "invalid_id"),
    ];
    for (id, status, code) in cases {
        let code = |what: &str| if code == "not_found" { format!("{what}_not_found") } else { code.to_owned() };
        for (method, path, what) in [
            ("GET", format!("/api/holds/{id}"), "hold"),
            ("DELETE", format!("/api/holds/{id}"), "hold"),
            ("GET", format!("/api/orders/{id}"), "order"),
            ("GET", format!("/api/orders/{id}/events"), "order"),
            ("POST", format!("/api/orders/{id}/cancel"), "order"),
        ] {
            let answer = client.send(client.request(method, &path)).await;
            assert_problem(&answer, status, &code(what), &path);
        }
    }
    for (body, status, code) in [
        (json!({ "hold_id": nothing }), 404, "hold_not_found"),
        (json!({ "hold_id": nothing, "order_id": nil }), 404, "hold_not_found"),
        (json!({ "hold_id": "1" }), 422, "invalid_body"),
        (json!({ "hold_id": 1 }), 422, "invalid_body"),
        (json!({ "hold_id": null }), 422, "invalid_body"),
        (json!({ "hold_id": nothing, "order_id": "mine" }), 422, "invalid_body"),
    ] {
        assert_problem(&client.post("/api/orders", &body).await, status, code, &body.to_string());
    }
    assert_nothing_changed(&shop).await;
}

#[tokio::test]
async fn an_invalid_id_in_a_path_is_named_with_its_type() {
    let shop = Shop::open().await;
    let client = Instance::start(Config { admin_token: AdminToken::new(TOKEN), ..shop.config() }).await;
    let document = client.get("/openapi.json").await.expect(200).body;
    let mut named = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            // a sku and the code of a ticket may be any text
            let is_id = |parameter: &&Value| {
                parameter["in"] == "path" && !["sku", "code"].iter().any(|name| parameter["name"] == *name)
            };
            for parameter in parameters.filter(is_id) {
                let name = parameter["name"].as_str().expect("a name");
                let kind = if parameter["schema"]["format"] == "uuid" { "a UUID" } else { "a whole number" };
                let path = path.replace(&format!("{{{name}}}"), "none");
                let request = client.request(&method.to_uppercase(), &path).bearer_auth(TOKEN);
                let answer = client.send(request).await;
                assert_problem(&answer, 400, "invalid_id", &path);
                assert_eq!(answer.text("detail"), format!("`{name}` must be {kind}."));
                named.insert(name.to_owned());
            }
        }
    }
    assert_eq!(
        named.into_iter().collect::<Vec<_>>(),
        ["client_id", "endpoint_id", "event_id", "hold_id", "order_id", "product_id"]
    );
}

#[tokio::test]
async fn a_body_that_is_not_a_json_object_is_refused() {
    let (shop, product_id, client) = Shop::selling(100).await;
    let nested = |depth| format!(r#"{{"product_id":1,"qty":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let cases = [
        (String::new(), 400, "malformed_json"),
        (" \n".to_owned(), 400, "malformed_json"),
        ("{".to_owned(), 400, "malformed_json"),
        (format!(r#"{{"product_id":{product_id},"qty":1"#), 400, "malformed_json"),
        (format!(r#"{{"product_id":{product_id},"qty":1}} 1"#), 400, "malformed_json"),
        (format!(r#"{{"product_id":{product_id},"qty":1}}{{}}"#), 400, "malformed_json"),
        (format!(r#"{{'product_id':{product_id},'qty':1}}"#), 400, "malformed_json"),
        (format!("product_id={product_id}&qty=1"), 400, "malformed_json"),
        (format!("[{product_id},1]"), 422, "invalid_body"),
        (format!(r#"[{{"product_id":{product_id},"qty":1}}]"#), 422, "invalid_body"),
        ("null".to_owned(), 422, "invalid_body"),
        ("1".to_owned(), 422, "invalid_body"),
        ("\"{}\"".to_owned(), 422, "invalid_body"),
        ("[".repeat(60_000), 422, "invalid_body"),
        (r#"{"a":"#.repeat(12_000), 422, "invalid_body"),
    ];
    for (body, status, code) in &cases {
        refuse_all(&client, "/api/holds", &[(body, *status, code)]).await;
    }
    let deep = client.post_raw("/api/holds", "application/json", nested(30_000)).await;
    assert!([400, 422].contains(&deep.status) && !deep.code().is_empty(), "{deep:?}");
    for bytes in [&b"{\"\xff\":1}"[..], b"{\"product_id\":\"\xc3\x28\"}", b"\xef\xbb\xbf{}", b"\0"] {
        let answer = client.post_raw("/api/holds", "application/json", bytes).await;
        assert!([400, 422].contains(&answer.status) && !answer.code().is_empty(), "{bytes:?}: {answer:?}");
    }
    assert_nothing_changed(&shop).await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read() {
    let (shop, product_id, client) = Shop::selling(100).await;
    let padded = |bytes: usize| {
        let body = format!(r#"{{"product_id":{product_id},"qty":1"#);
        format!("{body}{}}}", " ".repeat(bytes - body.len() - 1))
    };
    for body in [padded(64 * 1024 + 1), padded(10 << 20), "[".repeat(100_000)] {
        for path in ["/api/holds", "/api/orders", "/api/payments/webhook"] {
            let head =
                format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n");
            let sized = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
            assert_problem(&client.raw(sized.as_bytes()).await, 413, "body_too_large", path);
            let chunk = format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
            assert_problem(&client.raw(chunk.as_bytes()).await, 413, "body_too_large", path);
        }
    }
    assert_nothing_changed(&shop).await;
    client.post_raw("/api/holds", "application/json", padded(64 * 1024)).await.expect(201);
}

#[tokio::test]
async fn a_body_with_a_content_type_other_than_json_is_refused() {
    let (shop, product_id, client) = Shop::selling(100).await;
    let body = json!({ "product_id": product_id, "qty": 1 }).to_string();
    for path in ["/api/holds", "/api/orders", "/api/payments/webhook"] {
        for content_type in
            ["text/plain", "application/x-www-form-urlencoded", "text/json", "application/jsonp", "json", ""]
        {
            let answer = client.post_raw(path, content_type, body.clone()).await;
            assert_problem(&answer, 415, "unsupported_media_type", content_type);
        }
        let unnamed = client.send(client.request("POST", path).body(body.clone())).await;
        assert_problem(&unnamed, 415, "unsupported_media_type", "no content type");
    }
    assert_nothing_changed(&shop).await;
    for content_type in ["application/json;charset=utf-8", "Application/JSON", "application/vnd.shop+json"] {
        client.post_raw("/api/holds", content_type, body.clone()).await.expect(201);
    }
}

#[tokio::test]
async fn an_invalid_idempotency_key_is_refused() {
    let (shop, product_id, client) = Shop::selling(100).await;
    let hold = json!({ "product_id": product_id, "qty": 1 }).to_string();
    let order = json!({ "hold_id": Uuid::now_v7() }).to_string();
    let event = json!({ "order_id": Uuid::now_v7(), "status": "paid" }).to_string();
    let send = async |path: &str, keys: &[&[u8]], body: &str| {
        let mut request =
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n")
                .into_bytes();
        for key in keys {
            request.extend([b"Idempotency-Key: ", *key, b"\r\n"].concat());
        }
        request.extend(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
        client.raw(&request).await
    };
    let long = [b'k'; 256];
    let bad: [&[&[u8]]; 8] = [
        &[b""],
        &[&long],
        &[b"a b"],
        &[b"a\tb"],
        &[b"k\xe9y"],
        &["schlüssel".as_bytes()],
        &[b"a", b"a"],
        &[b"a", b"b"],
    ];
    for (path, body) in [("/api/holds", &hold), ("/api/orders", &order), ("/api/payments/webhook", &event)] {
        for keys in bad {
            let answer = send(path, keys, body).await;
            assert_problem(&answer, 400, "invalid_idempotency_key", &format!("{path} {keys:?}"));
        }
        // Bytes that no header may contain are refused before a route is chosen.
        for key in [&b"a\x01b"[..], b"a\x7fb", b"a\0b"] {
            assert_eq!(send(path, &[key], body).await.status, 400, "{path} {key:?}");
        }
    }
    assert_nothing_changed(&shop).await;
    assert_eq!(send("/api/holds", &[&long[1..]], &hold).await.status, 201, "255 are allowed");
}

#[tokio::test]
async fn an_invalid_webhook_is_refused() {
    let (shop, _, client) = Shop::selling(100).await;
    let id = Uuid::now_v7();
    let with = |rest: &str| format!(r#"{{"idempotency_key":"k","order_id":"{id}"{rest}}}"#);
    let long = "x".repeat(256);
    let cases = [
        (with(r#","status":"paid""#).replace('}', ""), 422, "malformed_json"),
        (String::new(), 422, "malformed_json"),
        ("[]".to_owned(), 422, "invalid_body"),
        (with(""), 422, "invalid_body"),
        (with(r#","status":null"#), 422, "invalid_body"),
        (with(r#","status":"PAID""#), 422, "unknown_status"),
        (with(r#","status":"""#), 422, "unknown_status"),
        (with(r#","status":"paid","status":"failed""#), 422, "invalid_body"),
        (with(r#","status":"paid","amount":true"#), 422, "invalid_body"),
        (with(r#","status":"paid","restock":"yes""#), 422, "invalid_body"),
        (with(&format!(r#","status":"paid","txn_id":"{long}""#)), 422, "invalid_body"),
        (with(&format!(r#","status":"paid","order_uuid":"{}""#, Uuid::nil())), 422, "order_reference_mismatch"),
        (r#"{"idempotency_key":"k","status":"paid"}"#.to_owned(), 422, "order_reference_required"),
        (r#"{"idempotency_key":"k","status":"paid","order_id":"1"}"#.to_owned(), 422, "invalid_body"),
        (format!(r#"{{"status":"paid","order_id":"{id}"}}"#), 400, "idempotency_key_required"),
        (format!(r#"{{"status":"paid","order_id":"{id}","txn_id":""}}"#), 400, "idempotency_key_required"),
        (format!(r#"{{"status":"paid","order_id":"{id}","idempotency_key":""}}"#), 400, "invalid_idempotency_key"),
        (format!(r#"{{"status":"paid","order_id":"{id}","idempotency_key":"a b"}}"#), 400, "invalid_idempotency_key"),
    ];
    for (body, status, code) in &cases {
        refuse_all(&client, "/api/payments/webhook", &[(body, *status, code)]).await;
    }
    let body = json!({ "order_id": id, "status": "paid", "idempotency_key": "one" });
    let answer = client.post_keyed("/api/payments/webhook", "other", &body).await;
    assert_problem(&answer, 422, "idempotency_key_mismatch", "two keys");
    assert_nothing_changed(&shop).await;
}

#[tokio::test]
async fn an_unknown_path_gets_404_and_an_unknown_method_405() {
    let (shop, product_id, client) = Shop::selling(100).await;
    for path in
        ["/api", "/api/", "/api/nothing", "/api/holds/1/2", "/api/products/1/", "/API/products", "//", "/%2e%2e/etc"]
    {
        for method in ["GET", "POST", "DELETE"] {
            let answer = client.send(client.request(method, path)).await;
            assert_problem(&answer, 404, "not_found", path);
        }
    }
    let product = format!("/api/products/{product_id}");
    let id = Uuid::now_v7();
    for (method, path, allow) in [
        ("PUT", "/api/holds", "GET, HEAD, OPTIONS, POST"),
        ("DELETE", "/api/holds", "GET, HEAD, OPTIONS, POST"),
        ("PATCH", "/api/orders", "GET, HEAD, OPTIONS, POST"),
        ("GET", "/api/payments/webhook", "OPTIONS, POST"),
        ("DELETE", &product, "GET, HEAD, OPTIONS"),
        ("BREW", "/api/products", "GET, HEAD, OPTIONS"),
        ("PUT", &format!("/api/holds/{id}"), "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("GET", &format!("/api/orders/{id}/cancel"), "OPTIONS, POST"),
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
        ("POST", "/docs", "GET, HEAD, OPTIONS"),
        ("POST", "/", "GET, HEAD, OPTIONS"),
        ("DELETE", "/openapi.json", "GET, HEAD, OPTIONS"),
    ] {
        let answer = client.send(client.request(method, path)).await;
        assert_problem(&answer, 405, "method_not_allowed", path);
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
    assert_nothing_changed(&shop).await;
}
