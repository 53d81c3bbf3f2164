//! Every response fits the OpenAPI document. The bodies are written by serde and described by poem-openapi, and hot routes
//! bypass the framework's router: only these tests keep the code and the document together.

use std::num::NonZeroU32;

use holdfast::config::Config;
use holdfast::domain::AdminToken;
use serde_json::{Value, json};

use crate::support::schema::Document;
use crate::support::{Answer, Client, Shop, mint, with};

/// A client that checks every response against the document.
struct Checked<'shop> {
    client: &'shop Client,
    document: Document,
}

impl Checked<'_> {
    /// Sends a request to `path`, in which `{}` stands for `id`; `name` is the name of that parameter in the document.
    async fn send(&self, method: &str, path: &str, (name, id): (&str, &str), body: Option<Value>) -> Answer {
        let request = self.client.request(method, &path.replace("{}", id));
        let answer = self.client.send(body.into_iter().fold(request, |request, body| request.json(&body))).await;
        self.document.check(method, &path.replace("{}", &format!("{{{name}}}")), &answer);
        answer
    }

    async fn get(&self, path: &str, name: &str, id: &str) -> Answer {
        self.send("GET", path, (name, id), None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, ("", ""), Some(body)).await
    }

    async fn hold(&self, product_id: i64, qty: i64) -> Answer {
        self.post("/api/holds", json!({ "product_id": product_id, "qty": qty })).await
    }
}

async fn checked(client: &Client) -> Checked<'_> {
    let document = Document::read(&client.get("/openapi.json").await.expect(200).text);
    Checked { client, document }
}

#[tokio::test]
async fn responses_to_buyers_fit_the_document() {
    let (shop, product_id, client) = Shop::selling(5).await;
    let api = checked(&client).await;
    let product = "/api/products/{}";
    api.get(product, "product_id", &product_id.to_string()).await.expect(200);
    api.get(product, "product_id", "4711").await.expect(404);
    api.get(product, "product_id", "no-number").await.expect(400);
    let cursor = shop.product(1).await;
    let first = api.get("/api/products", "", "").await.expect(200);
    assert_eq!((first.body["items"].as_array().map(Vec::len), cursor > product_id), (Some(2), true));

    let hold_id = api.hold(product_id, 5).await.expect(201).text("hold_id");
    api.hold(product_id, 1).await.refused(409, "all_held");
    api.hold(product_id, 9).await.refused(409, "sold_out");
    api.hold(product_id, 0).await.refused(422, "invalid_quantity");
    api.hold(4711, 1).await.refused(404, "product_not_found");
    api.post("/api/holds", json!(1)).await.expect(422);
    api.get("/api/holds/{}", "hold_id", &hold_id).await.expect(200);
    api.get("/api/holds/{}", "hold_id", &mint()).await.expect(404);

    let order_id = api.post("/api/orders", json!({ "hold_id": hold_id })).await.expect(201).text("order_id");
    api.post("/api/orders", json!({ "hold_id": hold_id })).await.refused(409, "hold_used");
    api.get("/api/holds/{}", "hold_id", &hold_id).await.expect(200);
    api.send("DELETE", "/api/holds/{}", ("hold_id", &hold_id), None).await.refused(409, "hold_used");
    api.get("/api/orders/{}", "order_id", &order_id).await.expect(200);
    api.send("POST", "/api/orders/{}/cancel", ("order_id", &order_id), None).await.expect(200);
    api.get("/api/orders/{}/events", "order_id", &order_id).await.expect(200);
    api.get("/api/orders/{}/events", "order_id", &mint()).await.expect(404);

    let longer = json!({ "seconds": 60 });
    let cancelled = api.send("POST", "/api/orders/{}/extend", ("order_id", &order_id), Some(longer.clone())).await;
    cancelled.refused(409, "order_cancelled");
    let other = api.hold(product_id, 3).await.expect(201).text("hold_id");
    let (hold, extend) = (("hold_id", other.as_str()), "/api/holds/{}/extend");
    for (body, status) in [(json!({ "qty": 1 }), 200), (json!({ "qty": 2 }), 409), (json!({ "qty": 0 }), 422)] {
        api.send("PATCH", "/api/holds/{}", hold, Some(body)).await.expect(status);
    }
    for (body, status) in [(longer.clone(), 200), (json!({ "seconds": 9_999 }), 409), (json!({ "seconds": 0 }), 422)] {
        api.send("POST", extend, hold, Some(body)).await.expect(status);
    }
    let ordered = api.hold(product_id, 1).await.expect(201).text("hold_id");
    let order_id = api.post("/api/orders", json!({ "hold_id": ordered })).await.expect(201).text("order_id");
    for (body, status) in [(longer, 200), (json!({ "seconds": 9_999 }), 409), (json!({ "seconds": 0 }), 422)] {
        api.send("POST", "/api/orders/{}/extend", ("order_id", &order_id), Some(body)).await.expect(status);
    }
    api.send("DELETE", "/api/holds/{}", ("hold_id", &other), None).await.expect(200);
    for path in ["/healthz", "/readyz"] {
        api.get(path, "", "").await.expect(200);
    }
}

#[tokio::test]
async fn responses_to_providers_fit_the_document() {
    let (_shop, product_id, client) = Shop::selling(5).await;
    let api = checked(&client).await;
    let webhook = "/api/payments/webhook";
    let order_id = client.order(&client.hold(product_id, 1).await).await;
    let paid = json!({ "order_id": order_id, "status": "paid", "txn_id": "charge", "amount": 49.99 });
    for _ in 0..2 {
        api.post(webhook, paid.clone()).await.expect(200);
    }
    api.post(webhook, json!({ "order_id": mint(), "status": "paid", "txn_id": "early" })).await.expect(202);
    api.post(webhook, json!({ "order_id": order_id, "status": "lost", "txn_id": "?" })).await.expect(422);
    api.post(webhook, json!({ "order_id": order_id, "status": "paid" })).await.expect(400);
    api.get("/api/orders/{}/events", "order_id", &order_id).await.expect(200);
}

#[tokio::test]
async fn responses_to_callers_over_their_limit_fit_the_document() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let one = NonZeroU32::new(1);
    let config = Config { rate_reads: one, rate_writes: one, rate_admin: one, ..shop.config() };
    let client = shop.serve_without_workers_as(config).await;
    let api = checked(&client).await;
    let product = "/api/products/{}";
    api.get(product, "product_id", &product_id.to_string()).await.expect(200);
    api.get(product, "product_id", &product_id.to_string()).await.refused(429, "rate_limited");
    api.hold(product_id, 1).await.expect(201);
    api.hold(product_id, 1).await.refused(429, "rate_limited");
    api.get("/api/admin/refunds", "", "").await.expect(403);
    api.get("/api/admin/refunds", "", "").await.refused(429, "rate_limited");
}

#[tokio::test]
async fn responses_about_products_fit_the_document() {
    const TOKEN: &str = "an-operators-token-of-these-tests";
    let shop = Shop::open().await;
    let client = shop.serve_without_workers_as(Config { admin_token: AdminToken::new(TOKEN), ..shop.config() }).await;
    let document = Document::read(&client.get("/openapi.json").await.expect(200).text);
    let send = async |method: &str, path: &str, place: &str, body: Option<Value>| {
        let request = client.request(method, &path.replace("{}", place)).bearer_auth(TOKEN);
        let answer = client.send(body.into_iter().fold(request, |request, body| request.json(&body))).await;
        let name = if path.contains("by-sku") { "{sku}" } else { "{product_id}" };
        document.check(method, &path.replace("{}", name), &answer);
        answer
    };
    let admin = "/api/admin/products";
    let product = json!({
        "sku": "poster", "name": "Poster", "price_minor": 1, "currency": "EUR", "stock": 2, "metadata": { "a": "b" },
        "sale_ends_at": "2090-01-01T00:00:00Z", "hold_ttl_seconds": 9, "order_ttl_seconds": 9, "max_qty": 9,
    });
    let made = send("POST", admin, "", Some(product.clone())).await.expect(201);
    let id = made.body["id"].to_string();
    send("POST", admin, "", Some(product.clone())).await.refused(409, "sku_taken");
    send("POST", admin, "", Some(json!({}))).await.refused(422, "invalid_body");
    let (by_sku, one) = (format!("{admin}/by-sku/{{}}"), format!("{admin}/{{}}"));
    send("PUT", &by_sku, "poster", Some(product.clone())).await.expect(200);
    send("PUT", &by_sku, "other", Some(with(&product, json!({ "sku": null })))).await.expect(201);
    send("PUT", &by_sku, "poster", Some(with(&product, json!({ "stock": 3 })))).await.refused(422, "stock_not_here");
    let bulk = format!("{admin}/bulk");
    send("POST", &bulk, "", Some(json!({ "items": [product] }))).await.expect(200);
    send("POST", &bulk, "", Some(json!({ "items": [product, product] }))).await.refused(422, "invalid_lines");
    send("PATCH", &one, &id, Some(json!({ "price_minor": 2 }))).await.expect(200);
    send("PATCH", &one, &id, Some(json!({ "sku": "other" }))).await.refused(409, "sku_taken");
    send("PATCH", &one, "4711", Some(json!({}))).await.refused(404, "product_not_found");
    send("PATCH", &one, &id, Some(json!({ "max_qty": 0 }))).await.refused(422, "invalid_product");
    let request = client.request("PATCH", &format!("{admin}/{id}")).bearer_auth(TOKEN).header("if-match", "\"old\"");
    let stale = client.send(request.json(&json!({}))).await;
    document.check("PATCH", &one.replace("{}", "{product_id}"), &stale);
    stale.refused(412, "precondition_failed");
    client.hold(made.body["id"].as_i64().expect("an id"), 2).await;
    let stock = format!("{admin}/{{}}/stock");
    send("POST", &stock, &id, Some(json!({ "set": 1 }))).await.refused(409, "stock_reserved");
    send("GET", "/api/products/{}", &id, None).await.expect(200);
    send("GET", "/api/products/{}", &id, None).await.text("next_return_at");
    send("POST", &stock, &id, Some(json!({ "add": 1, "reason": "found" }))).await.expect(200);
    send("GET", &format!("{admin}/{{}}/trail"), &id, None).await.expect(200);
    send("GET", &format!("{admin}/{{}}/trail"), "4711", None).await.refused(404, "product_not_found");
    for (terms, code) in [
        ("status = 'paused'", "sale_paused"),
        ("status = 'retired'", "sale_ended"),
        ("status = 'on_sale', sale_starts_at = '2089-01-01'", "sale_not_started"),
    ] {
        shop.execute(&format!("UPDATE products SET {terms}")).await;
        let hold = json!({ "product_id": made.body["id"], "qty": 1 });
        send("POST", "/api/holds", "", Some(hold)).await.refused(409, code);
        send("GET", "/api/products", "", None).await.expect(200);
    }
}

#[tokio::test]
async fn responses_about_events_fit_the_document() {
    const TOKEN: &str = "an-operators-token-of-these-tests";
    let shop = Shop::open().await;
    let client = shop.serve_without_workers_as(Config { admin_token: AdminToken::new(TOKEN), ..shop.config() }).await;
    let document = Document::read(&client.get("/openapi.json").await.expect(200).text);
    let send = async |method: &str, path: &str, name: &str, place: &str, body: Option<Value>| {
        let request = client.request(method, &path.replace("{}", place)).bearer_auth(TOKEN);
        let answer = client.send(body.into_iter().fold(request, |request, body| request.json(&body))).await;
        document.check(method, &path.replace("{}", &format!("{{{name}}}")), &answer);
        answer
    };
    let (organizers, events) = ("/api/admin/organizers", "/api/admin/events");
    let organizer = send("POST", organizers, "", "", Some(json!({ "name": "City Concerts" }))).await.expect(201);
    send("POST", organizers, "", "", Some(json!({ "name": "" }))).await.refused(422, "invalid_organizer");
    let event = json!({
        "organizer_id": organizer.body["id"], "name": "Concert", "venue": "Hall", "starts_at": "2090-01-01T00:00:00Z",
        "sale_starts_at": "2020-01-01T00:00:00Z", "sale_ends_at": "2089-01-01T00:00:00Z",
    });
    let made = send("POST", events, "", "", Some(event.clone())).await.expect(201).body["id"].to_string();
    send("POST", events, "", "", Some(with(&event, json!({ "venue": "" })))).await.refused(422, "invalid_event");
    let missing = with(&event, json!({ "organizer_id": 4711 }));
    send("POST", events, "", "", Some(missing)).await.refused(404, "organizer_not_found");
    let types = "/api/admin/events/{}/ticket-types";
    let seated = json!({ "name": "Stalls", "kind": "seated", "price_minor": 1, "currency": "EUR" });
    let admission = with(&seated, json!({ "kind": "admission", "stock": 1 }));
    send("POST", types, "event_id", &made, Some(admission)).await.expect(201);
    let product = send("POST", types, "event_id", &made, Some(seated.clone())).await.expect(201).body["id"].to_string();
    let francs = with(&seated, json!({ "currency": "CHF" }));
    send("POST", types, "event_id", &made, Some(francs)).await.refused(422, "event_currency");
    send("POST", types, "event_id", "4711", Some(seated)).await.refused(404, "event_not_found");
    let seats = "/api/admin/ticket-types/{}/seats";
    let row = json!({ "name": "1", "seats": 2, "rank": 1 });
    let body = json!({ "sections": [{ "name": "A", "rows": [row] }] });
    send("POST", seats, "product_id", &product, Some(body.clone())).await.expect(201);
    send("POST", seats, "product_id", &product, Some(body.clone())).await.refused(409, "seat_exists");
    send("POST", seats, "product_id", &product, Some(json!({ "sections": [] }))).await.refused(422, "invalid_seats");
    send("POST", seats, "product_id", "4711", Some(body)).await.refused(404, "ticket_type_not_found");
    shop.execute("UPDATE events SET cancelled_at = NOW(6)").await;
    send("GET", "/api/events", "", "", None).await.expect(200);
    for path in ["/api/events/{}", "/api/events/{}/seats"] {
        send("GET", path, "event_id", &made, None).await.expect(200);
        send("GET", path, "event_id", "4711", None).await.refused(404, "event_not_found");
    }
    let hold = json!({ "product_id": product.parse::<i64>().expect("an id"), "qty": 1 });
    send("POST", "/api/holds", "", "", Some(hold)).await.refused(422, "seats_required");
}

#[tokio::test]
async fn responses_about_endpoints_fit_the_document() {
    const TOKEN: &str = "an-operators-token-of-these-tests";
    let shop = Shop::open().await;
    let client = shop.serve_without_workers_as(Config { admin_token: AdminToken::new(TOKEN), ..shop.config() }).await;
    let document = Document::read(&client.get("/openapi.json").await.expect(200).text);
    let send = async |method: &str, path: &str, place: &str, body: Option<Value>| {
        let request = client.request(method, &path.replace("{}", place)).bearer_auth(TOKEN);
        let answer = client.send(body.into_iter().fold(request, |request, body| request.json(&body))).await;
        document.check(method, &path.replace("{}", "{endpoint_id}"), &answer);
        answer
    };
    let (all, one) = ("/api/admin/endpoints", "/api/admin/endpoints/{}");
    let body = json!({ "url": "https://shop.example/", "types": ["order.paid"] });
    let id = send("POST", all, "", Some(body.clone())).await.expect(201).body["id"].to_string();
    send("POST", all, "", Some(with(&body, json!({ "client_id": 4711 })))).await.refused(404, "client_not_found");
    let local = with(&body, json!({ "url": "http://localhost" }));
    send("POST", all, "", Some(local)).await.refused(422, "endpoint_url_not_allowed");
    send("POST", all, "", Some(with(&body, json!({ "types": ["x"] })))).await.refused(422, "unknown_event_type");
    let attempted =
        "attempted_at = UTC_TIMESTAMP(6), attempt_outcome = 'refused', attempt_status = 500, attempt_answer = 'no'";
    shop.execute(&format!("UPDATE endpoints SET delivered_at = UTC_TIMESTAMP(6), {attempted}")).await;
    send("GET", all, "", None).await.expect(200);
    send("GET", one, &id, None).await.expect(200);
    send("GET", one, "4711", None).await.refused(404, "endpoint_not_found");
    send("PATCH", one, &id, Some(json!({ "enabled": false }))).await.expect(200);
    send("PATCH", one, &id, Some(json!({ "url": null }))).await.refused(422, "invalid_body");
    send("POST", &format!("{one}/rotate"), &id, Some(json!({ "end_old": false }))).await.expect(200);
    send("POST", &format!("{one}/end-old"), &id, None).await.expect(200);
    client.app.checkout.replay_pushes("a test", 1, 1, None).await.expect_err("there are no events");
    shop.execute("UPDATE push_cursors SET position = 9").await;
    let (replay, attempts) = (&format!("{one}/replay"), &format!("{one}/attempts"));
    send("POST", replay, &id, Some(json!({ "from": 2 }))).await.expect(202);
    send("POST", replay, &id, Some(json!({ "from": 3 }))).await.refused(409, "replay_under_way");
    send("POST", replay, &id, Some(json!({ "from": 0 }))).await.refused(422, "invalid_body");
    send("POST", replay, "4711", Some(json!({ "from": 1 }))).await.refused(404, "endpoint_not_found");
    let attempt = "INSERT INTO push_attempts (endpoint_id, number, position, event_id, attempt, outcome, status, answer, duration_ms)";
    shop.execute(&format!("{attempt} VALUES (1, 0, 1, 'evt_1', 1, 'refused', 503, 'no', 5), (1, 1, 2, 'evt_2', 1, 'timed_out', NULL, '', 15000)")).await;
    send("GET", attempts, &id, None).await.expect(200);
    send("GET", attempts, "4711", None).await.refused(404, "endpoint_not_found");
    let undelivered = &format!("{one}/undelivered");
    let failure = "INSERT INTO push_failures (endpoint_id, position, row_position, order_id, state, attempts, happened_at, next_at)";
    let now = "UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)";
    let rows = format!("(1, 3, 3, x'{}', 'waiting', 1, {now}), (1, 4, 4, NULL, 'failed', 8, {now})", "07".repeat(16));
    shop.execute(&format!("{failure} VALUES {rows}")).await;
    send("GET", undelivered, &id, None).await.expect(200);
    send("GET", undelivered, "4711", None).await.refused(404, "endpoint_not_found");
    send("DELETE", one, &id, None).await.expect(200);
    send("POST", replay, &id, Some(json!({ "from": 1 }))).await.refused(409, "endpoint_deleted");
    for (method, rest) in [("PATCH", ""), ("POST", "/rotate"), ("POST", "/end-old")] {
        let answer = send(method, &format!("{one}{rest}"), &id, (rest != "/end-old").then(|| json!({}))).await;
        answer.refused(409, "endpoint_deleted");
    }
    send("GET", &format!("{one}/trail"), &id, None).await.expect(200);
    send("GET", &format!("{one}/trail"), "4711", None).await.refused(404, "endpoint_not_found");
}
