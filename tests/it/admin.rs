//! Operators: they see everything that waits for somebody, and settle it by hand, behind their token.

use holdfast::config::Config;
use holdfast::domain::AdminToken;
use serde_json::{Value, json};

use crate::support::process::Process;
use crate::support::proxy::Action;
use crate::support::{Answer, Instance, Shop, mint, together, with};

const TOKEN: &str = "an-operators-token-of-these-tests";

/// A shop with one product, and an instance whose operators' routes are open.
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

    /// Reports something about an order under a fresh key; returns the event's id.
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

    /// Every page of a list, from the first to the last.
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

/// Every route of operators, with a request that the parser of its parameters would refuse.
const ROUTES: [(&str, &str); 9] = [
    ("GET", "payment-events"),
    ("GET", "payment-events?limit=none"),
    ("GET", "payment-events/1"),
    ("GET", "payment-events/one"),
    ("POST", "payment-events/1/replay"),
    ("GET", "refunds"),
    ("POST", "refunds/1/done"),
    ("POST", "refunds/one/done"),
    ("GET", "audit"),
];

#[tokio::test]
async fn without_a_token_of_its_own_a_service_has_no_operators() {
    let (_shop, _, client) = Shop::selling(1).await;
    for (method, path) in ROUTES {
        let request = || client.request(method, &format!("/api/admin/{path}"));
        client.send(request()).await.refused(403, "admin_shut");
        client.send(request().bearer_auth("")).await.refused(403, "admin_shut");
        client.send(request().bearer_auth(TOKEN)).await.refused(403, "admin_shut");
    }
}

#[tokio::test]
async fn who_does_not_show_the_token_learns_nothing_and_does_nothing() {
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
async fn the_document_asks_for_the_token_where_it_is_needed() {
    let (_shop, _, client) = Shop::selling(1).await;
    let document = client.get("/openapi.json").await.expect(200).body;
    assert_eq!(document["components"]["securitySchemes"]["operator"]["scheme"], "bearer");
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let asks = operation["security"] == json!([{ "operator": [] }]);
            assert_eq!(asks, path.starts_with("/api/admin/"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_inbox_is_read_page_by_page() {
    let (_shop, product_id, client) = open_shop().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let mut parked = Vec::new();
    let mut all = Vec::new();
    for number in 0..5 {
        parked.push(client.report(&mint(), "paid", json!({ "txn_id": number.to_string() })).await);
        all.push(parked[number]);
        all.push(client.report(&order_id, "failed", json!({ "amount": "1" })).await);
    }
    for limit in [1, 2, 3, 5, 100] {
        let pages = client.pages(&format!("payment-events?state=parked&limit={limit}")).await;
        assert_eq!(pages.len(), 5_usize.div_ceil(limit));
        assert_eq!(ids(&pages.concat()), parked, "the oldest first, {limit} at a time");
        let newest: Vec<i64> = all.iter().rev().copied().collect();
        assert_eq!(ids(&client.pages(&format!("payment-events?limit={limit}")).await.concat()), newest);
    }
    let item = &client.pages("payment-events?state=parked").await[0][0];
    assert_eq!(
        (&item["state"], &item["meaning"], &item["txn_id"]),
        (&json!("parked"), &json!("succeeded"), &json!("0"))
    );
    assert!(item["due_at"].is_string() && item["settled_at"].is_null(), "{item}");
    assert_eq!(client.pages("payment-events?state=dead").await, [Vec::<Value>::new()]);

    let cursor = client.ask("payment-events?state=parked&limit=1").await.expect(200).text("next_cursor");
    for (query, code) in [
        (format!("state=quarantined&cursor={cursor}"), "invalid_cursor"),
        (format!("cursor={cursor}"), "invalid_cursor"),
        ("cursor=".to_owned(), "invalid_cursor"),
        ("state=".to_owned(), "invalid_state"),
        ("state=Parked".to_owned(), "invalid_state"),
        ("limit=0".to_owned(), "invalid_limit"),
        ("limit=101".to_owned(), "invalid_limit"),
    ] {
        client.ask(&format!("payment-events?{query}")).await.refused(400, code);
    }
    client.ask(&format!("refunds?cursor={cursor}")).await.refused(400, "invalid_cursor");
}

#[tokio::test]
async fn an_event_is_shown_with_everything_that_is_known_of_it() {
    let (shop, product_id, client) = open_shop().await;
    let (hold_id, order_id) = client.hold_and_order(product_id, 1).await;
    let body = json!({
        "order_id": order_id, "status": "paid", "idempotency_key": "the-key", "txn_id": "T-1", "amount": "49.99",
        "currency": "eur", "timestamp": 7, "correlation_id": "c-1", "webhook_source": "somewhere", "metadata": { "a": 1 },
    });
    let request = client.request("POST", "/api/payments/webhook").header("x-of-mine", "is kept").json(&body);
    let event_id = client.send(request).await.expect(200).body["event_id"].as_i64().expect("an id");
    let shown = client.event(event_id).await;
    assert_eq!(serde_json::from_str::<Value>(shown["payload"].as_str().expect("text")).expect("JSON"), body);
    for (field, value) in [
        ("idempotency_key", json!("the-key")),
        ("provider_timestamp", json!("7")),
        ("correlation_id", json!("c-1")),
        ("source", json!("somewhere")),
        ("accepted_amount", json!(false)),
        ("history", json!([])),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    assert!(shown["processing_us"].as_i64().is_some_and(|us| us > 0), "{shown}");
    let headers = shown["headers"].as_array().expect("a list");
    assert!(headers.contains(&json!({ "name": "x-of-mine", "value": "is kept" })), "{shown}");
    let charge = json!({
        "event_id": event_id, "state": "paid", "order_id": order_id, "hold_id": hold_id, "amount_minor": 4999,
        "currency": "EUR", "refunded_minor": 0,
    });
    assert_eq!(shown["charge"], charge);
    let copy = client.report(&order_id, "paid", json!({ "txn_id": "T-1" })).await;
    assert_eq!(client.event(copy).await["charge"], charge, "the charge that it speaks of");

    shop.execute(&format!("UPDATE payment_events SET body = x'ff00', txn_id = NULL WHERE id = {copy}")).await;
    let shown = client.event(copy).await;
    assert_eq!((&shown["payload_base64"], &shown["payload"]), (&json!("/wA="), &Value::Null));
    client.ask("payment-events/0").await.refused(404, "payment_event_not_found");
    client.ask("payment-events/x").await.refused(400, "invalid_id");
}

#[tokio::test]
async fn money_that_was_given_back_by_hand_is_marked_once() {
    let (shop, product_id, client) = open_shop().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let paid = client.report(&order_id, "paid", json!({ "txn_id": "T-1" })).await;
    let due = client.report(&order_id, "paid", json!({ "txn_id": "T-2", "amount": "49.99" })).await;
    let other = client.report(&order_id, "paid", json!({ "txn_id": "T-3", "amount": "49.99" })).await;
    client.report(&order_id, "refunded", json!({ "txn_id": "T-2", "amount": "9.99" })).await;
    let refunds = client.pages("refunds?limit=1").await.concat();
    let found: Vec<_> = refunds.iter().map(|refund| refund["event"]["event_id"].as_i64()).collect();
    assert_eq!(found, [Some(due), Some(other)]);
    let charge = &refunds[0]["charge"];
    assert_eq!((&charge["amount_minor"], &charge["refunded_minor"]), (&json!(4999), &json!(999)));

    let done = format!("refunds/{due}/done");
    let told = together((0..8).map(|_| {
        let (client, done) = (client.client.clone(), done.clone());
        async move {
            let body = json!({ "note": "by bank transfer" });
            client.send(client.request("POST", &format!("/api/admin/{done}")).bearer_auth(TOKEN).json(&body)).await
        }
    }));
    for answer in told.await {
        assert_eq!(answer.expect(200).text("state"), "refunded");
    }
    let shown = client.event(due).await;
    let history = shown["history"].as_array().expect("a list");
    assert_eq!(history.len(), 1, "{shown}");
    assert_eq!((&history[0]["action"], &history[0]["detail"]), (&json!("refund_done"), &json!("by bank transfer")));
    assert_eq!((&shown["charge"]["state"], &shown["charge"]["refunded_minor"]), (&json!("refunded"), &json!(4999)));
    assert_eq!(client.pages("refunds?limit=20").await.concat().len(), 1);

    let late = client.report(&order_id, "refunded", json!({ "txn_id": "T-2" })).await;
    assert_eq!(client.state(late).await, "ignored", "the provider tells what is known");
    assert_eq!(client.order_status(&order_id).await, "paid");
    for settled in [paid, late] {
        client.act(&format!("refunds/{settled}/done"), json!({})).await.refused(409, "not_refundable");
    }
    client.act("refunds/0/done", json!({})).await.refused(404, "payment_event_not_found");
    client.act(&format!("payment-events/{due}/replay"), json!({})).await.refused(409, "not_replayable");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn quarantined_money_may_be_given_back_instead() {
    let (shop, product_id, client) = open_shop().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let wrong =
        client.report(&order_id, "paid", json!({ "txn_id": "T-1", "amount": "49.98", "currency": "EUR" })).await;
    let refund = client.report(&order_id, "refunded", json!({ "amount": "-1" })).await;
    assert_eq!(client.state(wrong).await, "quarantined");
    let request = client.request("POST", &format!("/api/admin/refunds/{wrong}/done")).bearer_auth(TOKEN);
    assert_eq!(client.send(request).await.expect(200).text("state"), "refunded", "no body is needed");
    let shown = client.event(wrong).await;
    assert_eq!((&shown["charge"]["amount_minor"], &shown["charge"]["state"]), (&json!(4998), &json!("refunded")));
    let again = client.report(&order_id, "paid", json!({ "txn_id": "T-1", "amount": "49.99" })).await;
    assert_eq!(client.state(again).await, "ignored", "what was given back pays for nothing");
    assert_eq!(client.order_status(&order_id).await, "pending");
    client.act(&format!("refunds/{refund}/done"), json!({})).await.refused(409, "not_refundable");
    shop.assert_conserved().await;

    let unnamed = client.report(&order_id, "paid", json!({ "amount": "1" })).await;
    client.act(&format!("refunds/{unnamed}/done"), json!({})).await.expect(200);
    shop.assert_conserved().await;
    let report = client.ask("audit").await.expect(200).body;
    assert_eq!(report["clean"], true, "{report}");
}

#[tokio::test]
async fn a_note_is_bounded_and_a_body_is_understood_or_refused() {
    let (_shop, product_id, client) = open_shop().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let event_id = client.report(&order_id, "paid", json!({ "amount": "1" })).await;
    for path in [format!("refunds/{event_id}/done"), format!("payment-events/{event_id}/replay")] {
        for body in [json!({ "note": "x".repeat(501) }), json!({ "by": "me" }), json!({ "note": 1 }), json!([])] {
            client.act(&path, body).await.refused(422, "invalid_body");
        }
        let request = || client.request("POST", &format!("/api/admin/{path}")).bearer_auth(TOKEN);
        client.send(request().body("{}")).await.refused(415, "unsupported_media_type");
        let json = request().header("content-type", "application/json");
        client.send(json.body("{")).await.refused(400, "malformed_json");
    }
    assert_eq!(client.state(event_id).await, "quarantined");
}

#[tokio::test]
async fn a_replayed_event_takes_effect_as_the_operator_decides() {
    let (shop, product_id, client) = open_shop().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let wrong = client.report(&order_id, "paid", json!({ "txn_id": "T-1", "amount": "49.98" })).await;
    let replay = format!("payment-events/{wrong}/replay");
    let as_it_was = client.act(&replay, json!({ "note": "once more" })).await.expect(200).body;
    assert_eq!(as_it_was, json!({ "event_id": wrong, "state": "quarantined", "order_status": "pending" }));
    let accepted = client.act(&replay, json!({ "accept_amount": true, "note": "a cent is a cent" })).await.expect(200);
    assert_eq!(accepted.body, json!({ "event_id": wrong, "state": "applied", "order_status": "paid" }));
    client.act(&replay, json!({})).await.refused(409, "not_replayable");
    let shown = client.event(wrong).await;
    assert_eq!(shown["accepted_amount"], true);
    let history: Vec<_> = shown["history"].as_array().expect("a list").iter().map(|row| &row["action"]).collect();
    assert_eq!(history, ["replayed", "replayed"]);

    let parked = client.report(&mint(), "paid", json!({ "txn_id": "T-2" })).await;
    let waits = client.act(&format!("payment-events/{parked}/replay"), json!({})).await.expect(200).body;
    assert_eq!(waits, json!({ "event_id": parked, "state": "parked" }));
    client.act("payment-events/0/replay", json!({})).await.refused(404, "payment_event_not_found");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_audit_can_be_asked_for_and_one_runs_at_a_time() {
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
