//! Operators list the events that need a decision and settle them by hand. Every route requires the operators' token.

use holdfast::config::Config;
use holdfast::domain::{AdminToken, WebhookMode};
use serde_json::{Value, json};

use crate::support::process::Process;
use crate::support::proxy::Action;
use crate::support::{Answer, Instance, Shop, mint, together, with, with_policy};

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
async fn an_event_is_shown_with_everything_that_is_known_about_it() {
    let (shop, product_id, client) = open_shop().await;
    let (hold_id, order_id) = client.hold_and_order(product_id, 1).await;
    let body = json!({
        "order_id": order_id, "status": "paid", "idempotency_key": "the-key", "txn_id": "T-1", "amount": "49.99",
        "currency": "eur", "timestamp": 7, "correlation_id": "c-1", "webhook_source": "somewhere", "metadata": { "a": 1 },
    });
    let request = client.request("POST", "/api/payments/webhook").header("x-request-id", "is-kept").json(&body);
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
    assert!(headers.contains(&json!({ "name": "x-request-id", "value": "is-kept" })), "{shown}");
    let charge = json!({
        "event_id": event_id, "state": "paid", "order_id": order_id, "hold_id": hold_id, "amount_minor": 4999,
        "currency": "EUR", "refunded_minor": 0,
    });
    assert_eq!(shown["charge"], charge);
    let copy = client.report(&order_id, "paid", json!({ "txn_id": "T-1" })).await;
    assert_eq!(client.event(copy).await["charge"], charge, "the charge that the copy names");

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
    assert_eq!(client.state(late).await, "ignored", "the provider reports a refund that is known already");
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
    assert_eq!(client.state(again).await, "ignored", "a charge that was given back pays for no order");
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
async fn a_note_has_a_maximum_length_and_an_invalid_body_is_refused() {
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

#[tokio::test]
async fn a_quarantined_event_names_the_check_that_failed_and_both_values() {
    let (shop, product_id, client) = open_shop().await;
    let (_, paid) = client.hold_and_order(product_id, 1).await;
    let (other_hold, pending) = client.hold_and_order(product_id, 1).await;
    let (paid_hold, _) = (client.get(&format!("/api/orders/{paid}")).await.text("hold_id"), ());
    client.report(&paid, "paid", json!({ "txn_id": "T-1" })).await;
    client.report(&paid, "paid", json!({ "txn_id": "T-2" })).await;
    let money = |amount: &str, currency: &str| json!({ "amount": amount, "currency": currency });
    let refund = |amount: &str, currency: &str| json!({ "amount": amount, "currency": currency, "txn_id": "T-1" });
    let (one, other) = (format!("order {paid}"), format!("order {pending}"));
    let (one_hold, another_hold) = (format!("hold {paid_hold}"), format!("hold {other_hold}"));
    let cases = [
        (&pending, "paid", money("49.98", "eur"), "amount_mismatch", "49.99 EUR", "49.98 EUR"),
        (&pending, "failed", json!({ "amount": "1" }), "amount_mismatch", "49.99 EUR", "1 EUR"),
        (&pending, "paid", money("49.99", "USD"), "currency_mismatch", "49.99 EUR", "49.99 USD"),
        (&paid, "paid", json!({ "hold_id": other_hold }), "order_reference_mismatch", &one_hold, &another_hold),
        (&pending, "paid", json!({ "txn_id": "T-1" }), "charge_of_another_order", &one, &other),
        (&pending, "refunded", json!({ "txn_id": "T-1" }), "charge_of_another_order", &one, &other),
        (&paid, "refunded", json!({}), "several_charges", "one charge", "2 charges"),
        (&paid, "refunded", refund("50", "EUR"), "refund_exceeds_charge", "at most 49.99 EUR", "50 EUR"),
        (&paid, "refunded", refund("1", "USD"), "refund_currency_mismatch", "EUR", "USD"),
        (&paid, "refunded", refund("-1", "EUR"), "refund_amount_invalid", "an amount in EUR", "-1 EUR"),
    ];
    let mut expected = Vec::new();
    for (order_id, status, more, reason, known, stated) in cases {
        let event_id = client.report(order_id, status, more).await;
        let quarantine = json!({ "reason": reason, "expected": known, "got": stated });
        let shown = client.event(event_id).await["event"].clone();
        assert_eq!((&shown["state"], &shown["quarantine"]), (&json!("quarantined"), &quarantine), "{shown}");
        expected.push((event_id, quarantine));
    }
    let items = client.pages("payment-events?state=quarantined&limit=3").await.concat();
    let listed: Vec<_> =
        items.iter().map(|item| (item["event_id"].as_i64().expect("an id"), item["quarantine"].clone())).collect();
    assert_eq!(listed, expected);

    let wrong = expected[0].0;
    client.act(&format!("payment-events/{wrong}/replay"), json!({ "accept_amount": true })).await.expect(200);
    let shown = client.event(wrong).await["event"].clone();
    assert_eq!(
        (&shown["state"], &shown["quarantine"]),
        (&json!("applied"), &Value::Null),
        "an applied event has no reason"
    );
    shop.execute("DELETE FROM payment_event_quarantines").await;
    let old = client.event(expected[1].0).await["event"].clone();
    assert_eq!(
        (&old["state"], &old["quarantine"]),
        (&json!("quarantined"), &Value::Null),
        "earlier versions stored no reason"
    );
    shop.assert_conserved().await;
}

#[tokio::test]
async fn headers_that_only_earlier_versions_stored_are_not_shown() {
    let (shop, _, client) = open_shop().await;
    let event_id = client.report(&mint(), "paid", json!({})).await;
    let old = "webhook-signature: v1,secret\nx-api-key: secret\nuser-agent: a provider\nx-of-mine: secret\n";
    shop.execute(&format!("UPDATE payment_events SET headers = '{}'", old.replace('\n', "\\n"))).await;
    assert_eq!(client.event(event_id).await["headers"], json!([{ "name": "user-agent", "value": "a provider" }]));
}

/// Returns the number and the answer of each delivery of an event.
fn answers(shown: &Value) -> Vec<(i64, &str)> {
    let answer = |item: &Value| item["number"].as_i64().expect("a number");
    let items = shown["deliveries"].as_array().expect("a list");
    items.iter().map(|item| (answer(item), item["answer"].as_str().expect("a word"))).collect()
}

#[tokio::test]
async fn each_delivery_of_an_event_is_shown_with_its_answer() {
    let (shop, product_id, client) = open_shop().await;
    let (hold_id, order_id) = (client.hold(product_id, 1).await, mint());
    let early = json!({ "order_id": order_id, "status": "paid", "idempotency_key": "early", "txn_id": "T-1" });
    let event_id = client.webhook(&early).await.expect(202).body["event_id"].as_i64().expect("an id");
    client.webhook(&early).await.expect(200);
    client.try_order_as(&hold_id, &order_id).await.expect(201);
    client.webhook(&early).await.expect(200);
    let shown = client.event(event_id).await;
    assert_eq!(answers(&shown), [(1, "pending_order"), (2, "duplicate"), (3, "duplicate")]);
    assert_eq!((&shown["event"]["state"], &shown["event"]["deliveries"]), (&json!("applied"), &json!(3)));

    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    for (status, more, answer) in [
        ("paid", json!({ "amount": "1", "txn_id": "T-2" }), "quarantined"),
        ("paid", json!({ "txn_id": "T-3" }), "processed"),
        ("failed", json!({}), "ignored"),
        ("paid", json!({ "txn_id": "T-4" }), "refund_due"),
        ("refunded", json!({ "txn_id": "T-3" }), "processed"),
    ] {
        let event_id = client.report(&order_id, status, more).await;
        if answer == "refund_due" {
            client.act(&format!("refunds/{event_id}/done"), json!({})).await.expect(200);
        }
        let shown = client.event(event_id).await;
        assert_eq!(answers(&shown), [(1, answer)]);
        assert!(shown["deliveries"][0]["at"].as_str() >= shown["event"]["received_at"].as_str(), "{shown}");
    }

    shop.execute("DELETE FROM payment_event_deliveries").await;
    client.webhook(&early).await.expect(200);
    assert_eq!(answers(&client.event(event_id).await), [(4, "duplicate")], "deliveries without a row are not shown");
}

#[tokio::test]
async fn of_many_deliveries_the_first_and_the_last_are_kept() {
    let (shop, product_id, client) = open_shop().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let event = json!({ "order_id": order_id, "status": "paid", "idempotency_key": "k", "amount": "1" });
    let event_id = client.webhook(&event).await.expect(200).body["event_id"].as_i64().expect("an id");
    let copies = (0..149).map(|_| (client.client.clone(), event.clone()));
    together(copies.map(|(client, event)| async move { client.webhook(&event).await.expect(200) })).await;
    let shown = client.event(event_id).await;
    let expected: Vec<_> = std::iter::once((1, "quarantined")).chain((52..=150).map(|n| (n, "duplicate"))).collect();
    assert_eq!(answers(&shown), expected);
    assert_eq!(shown["event"]["deliveries"], 150, "all of them are counted");
    assert_eq!(shop.count("SELECT COUNT(*) FROM payment_event_deliveries").await, 100);
}

#[tokio::test]
async fn a_queued_delivery_is_shown_as_queued() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let config = Config { admin_token: AdminToken::new(TOKEN), ..shop.config() };
    let client = Instance::start(with_policy(config, |policy| policy.webhook_mode = WebhookMode::Queue)).await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let event_id = client.report(&order_id, "paid", json!({})).await;
    shop.until("SELECT COUNT(*) FROM payment_events WHERE status = 'applied'", 1).await;
    assert_eq!(answers(&client.event(event_id).await), [(1, "queued")]);
}

#[tokio::test]
async fn an_answer_that_changed_before_it_was_sent_is_shown_as_it_was_sent() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let paying = shop.serve_without_workers().await;
    let ordering = Instance::start(Config { admin_token: AdminToken::new(TOKEN), ..shop.config() }).await;
    let (hold_id, order_id) = (ordering.hold(product_id, 1).await, mint());
    let look = paying.proxy.on("-- payment_events/list_waiting_for:", Action::PauseBefore);
    let (client, order) = (paying.client.clone(), order_id.clone());
    let payment = tokio::spawn(async move { client.pay(&order, "paid", "key").await });
    look.reached().await;
    assert_eq!(ordering.try_order_as(&hold_id, &order_id).await.expect(201).text("status"), "paid");
    look.release();
    let answer = payment.await.expect("no panic").expect(200);
    assert_eq!(answer.body["status"], "processed");
    let event_id = answer.body["event_id"].as_i64().expect("an id");
    assert_eq!(answers(&ordering.event(event_id).await), [(1, "processed")]);
}

#[tokio::test]
async fn a_refund_cannot_be_marked_done_while_the_charge_pays_an_order_under_another_event() {
    let (shop, product_id, client) = open_shop().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let wrong = client.report(&order_id, "paid", json!({ "txn_id": "T-1", "amount": "49.98" })).await;
    let owner = client.report(&order_id, "paid", json!({ "txn_id": "T-1", "amount": "49.99" })).await;
    let (_, other_order) = client.hold_and_order(product_id, 1).await;
    let elsewhere = client.report(&other_order, "paid", json!({ "txn_id": "T-1" })).await;
    let part = json!({ "txn_id": "T-1", "amount": "10" });
    for _ in 0..2 {
        for event_id in [wrong, elsewhere] {
            let refused = client.act(&format!("refunds/{event_id}/done"), json!({})).await;
            refused.refused(409, "charge_pays_order");
            assert_eq!((&refused.body["owner_event_id"], &refused.body["order_id"]), (&json!(owner), &json!(order_id)));
            assert_eq!(client.state(event_id).await, "quarantined");
            assert_eq!(client.event(event_id).await["history"], json!([]));
        }
        client.report(&order_id, "refunded", part.clone()).await;
    }
    // once the whole charge is given back, every event that names it can be marked as refunded
    client.report(&order_id, "refunded", json!({ "txn_id": "T-1" })).await;
    assert_eq!(client.order_status(&order_id).await, "refunded");
    for event_id in [wrong, elsewhere] {
        client.act(&format!("refunds/{event_id}/done"), json!({})).await.expect(200);
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_charge_that_is_due_under_another_event_has_to_be_marked_refunded_there_first() {
    let (shop, product_id, client) = open_shop().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    client.report(&order_id, "paid", json!({ "txn_id": "T-1" })).await;
    let wrong = client.report(&order_id, "paid", json!({ "txn_id": "T-2", "amount": "1" })).await;
    let owner = client.report(&order_id, "paid", json!({ "txn_id": "T-2" })).await;
    assert_eq!(client.state(owner).await, "refund_due");
    let refused = client.act(&format!("refunds/{wrong}/done"), json!({})).await;
    refused.refused(409, "charge_due_elsewhere");
    assert_eq!((&refused.body["owner_event_id"], &refused.body["order_id"]), (&json!(owner), &json!(order_id)));
    for event_id in [owner, wrong] {
        client.act(&format!("refunds/{event_id}/done"), json!({})).await.expect(200);
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refund_is_refused_when_its_charge_pays_an_order_at_the_same_moment() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let config = Config { admin_token: AdminToken::new(TOKEN), ..shop.config() };
    let (client, acting) = (shop.serve().await, shop.serve_without_workers_as(config).await);
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let wrong = client.report(&order_id, "paid", json!({ "txn_id": "T-1", "amount": "1" })).await;
    let insert = acting.proxy.on("-- charges/insert_refund_done:", Action::PauseBefore);
    let request = acting.request("POST", &format!("/api/admin/refunds/{wrong}/done")).bearer_auth(TOKEN);
    let acts = acting.client.clone();
    let done = tokio::spawn(async move { acts.send(request).await });
    insert.reached().await;
    let owner = client.report(&order_id, "paid", json!({ "txn_id": "T-1" })).await;
    insert.release();
    let refused = done.await.expect("no panic");
    refused.refused(409, "charge_pays_order");
    assert_eq!(refused.body["owner_event_id"], owner);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_accepted_amount_in_another_currency_never_shows_as_the_orders_currency() {
    let (shop, product_id, client) = open_shop().await;
    let accept = async |amount: Value| {
        let (_, order_id) = client.hold_and_order(product_id, 1).await;
        let event_id = client.report(&order_id, "paid", with(&json!({ "txn_id": order_id }), amount)).await;
        client.act(&format!("payment-events/{event_id}/replay"), json!({ "accept_amount": true })).await.expect(200);
        assert_eq!(client.order_status(&order_id).await, "paid");
        (order_id, event_id)
    };
    let (order_id, event_id) = accept(json!({ "amount": "60", "currency": "usd" })).await;
    let charge = client.event(event_id).await["charge"].clone();
    assert_eq!((&charge["amount_minor"], &charge["currency"]), (&json!(6000), &json!("USD")));
    let refunded = async || client.get(&format!("/api/orders/{order_id}")).await.body["refunded_minor"].clone();
    let refund = json!({ "txn_id": order_id, "amount": "20", "currency": "USD" });
    client.report(&order_id, "refunded", refund).await;
    assert_eq!(refunded().await, 0, "a refund of 20 USD is no part of 49.99 EUR");
    let charge = client.event(event_id).await["charge"].clone();
    assert_eq!((&charge["refunded_minor"], &charge["currency"]), (&json!(2000), &json!("USD")));
    let sums = client.ask("audit").await.expect(200).body["money"].clone();
    let sums: Vec<_> =
        sums.as_array().expect("a list").iter().map(|sum| (&sum["amount_minor"], &sum["currency"])).collect();
    assert_eq!(sums, [(&json!(4000), &json!("USD")), (&json!(2000), &json!("USD"))]);
    client.report(&order_id, "refunded", json!({ "txn_id": order_id })).await;
    assert_eq!((refunded().await, client.order_status(&order_id).await), (json!(4999), "refunded".to_owned()));

    for (stated, code) in [("US$", Value::Null), ("QQQ", json!("QQQ"))] {
        let (_, event_id) = accept(json!({ "amount": "60", "currency": stated })).await;
        let charge = client.event(event_id).await["charge"].clone();
        assert_eq!(
            (&charge["state"], &charge["amount_minor"], &charge["currency"]),
            (&json!("paid"), &Value::Null, &code)
        );
    }
    // an earlier version also accepted events without an amount
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let event_id = client.report(&order_id, "paid", json!({ "currency": "USD" })).await;
    shop.execute(&format!("UPDATE payment_events SET accepted_amount = TRUE WHERE id = {event_id}")).await;
    client.act(&format!("payment-events/{event_id}/replay"), json!({})).await.expect(200);
    let charge = client.event(event_id).await["charge"].clone();
    assert_eq!((&charge["amount_minor"], &charge["currency"]), (&Value::Null, &json!("USD")));
    let money = client.ask("audit").await.expect(200).body["money"].clone();
    assert!(money.as_array().expect("a list").iter().all(|sum| sum["currency"] != "EUR"), "{money}");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn only_a_positive_amount_can_be_accepted() {
    let (shop, product_id, client) = open_shop().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let mut refused = Vec::new();
    for money in [
        json!({ "amount": "0" }),
        json!({ "amount": "-49.99" }),
        json!({ "amount": "free" }),
        json!({ "amount": "0.001" }),
        json!({ "amount": "0.001", "currency": "USD" }),
        json!({ "amount": "0", "currency": "US$" }),
        json!({ "currency": "USD" }),
    ] {
        let event_id = client.report(&order_id, "paid", with(&money, json!({ "txn_id": mint() }))).await;
        let before = client.event(event_id).await;
        let replay = format!("payment-events/{event_id}/replay");
        client.act(&replay, json!({ "accept_amount": true })).await.refused(409, "amount_not_acceptable");
        assert_eq!(client.event(event_id).await, before, "{money}");
        refused.push(event_id);
    }
    let refund = client.report(&order_id, "refunded", json!({ "hold_id": mint(), "amount": "-1" })).await;
    let replay = format!("payment-events/{refund}/replay");
    client.act(&replay, json!({ "accept_amount": true })).await.refused(409, "amount_not_acceptable");
    client
        .act("payment-events/0/replay", json!({ "accept_amount": true }))
        .await
        .refused(404, "payment_event_not_found");
    client.act(&format!("payment-events/{}/replay", refused[0]), json!({})).await.expect(200);
    assert_eq!(client.order_status(&order_id).await, "pending");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn quarantined_failures_and_refunds_are_dismissed_with_a_reason() {
    let (shop, product_id, client) = open_shop().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let failure = client.report(&order_id, "failed", json!({ "amount": "1" })).await;
    let money = client.report(&order_id, "paid", json!({ "amount": "1", "txn_id": "T-0" })).await;
    let paid = client.report(&order_id, "paid", json!({ "txn_id": "T-1" })).await;
    let refund = client.report(&order_id, "refunded", json!({ "txn_id": "T-1", "amount": "50" })).await;
    let old = client.report(&order_id, "refunded", json!({ "txn_id": "T-1", "amount": "51" })).await;
    let ignored = client.report(&order_id, "failed", json!({})).await;
    let parked = client.report(&mint(), "failed", json!({})).await;
    shop.execute(&format!("DELETE FROM payment_event_quarantines WHERE event_id = {old}")).await;
    for event_id in [failure, refund, old] {
        let dismiss = format!("payment-events/{event_id}/dismiss");
        for body in [json!({}), json!({ "note": "" }), json!({ "note": " " }), json!({ "note": "x".repeat(501) })] {
            client.act(&dismiss, body).await.refused(422, "invalid_body");
        }
        let told = together((0..4).map(|number| {
            let request = client.request("POST", &format!("/api/admin/{dismiss}")).bearer_auth(TOKEN);
            let (client, request) =
                (client.client.clone(), request.json(&json!({ "note": format!("a typo {number}") })));
            async move { client.send(request).await }
        }));
        for answer in told.await {
            assert_eq!(answer.expect(200).text("state"), "ignored");
        }
        let shown = client.event(event_id).await;
        let history = shown["history"].as_array().expect("a list");
        assert_eq!((history.len(), &history[0]["action"]), (1, &json!("dismissed")), "{shown}");
        assert!(history[0]["detail"].as_str().is_some_and(|note| note.starts_with("a typo")), "{shown}");
        assert_eq!(shown["event"]["quarantine"].is_null(), event_id == old, "the reason is still shown");
        client.act(&format!("payment-events/{event_id}/replay"), json!({})).await.refused(409, "not_replayable");
    }
    let note = json!({ "note": "a typo" });
    let refused = client.act(&format!("payment-events/{money}/dismiss"), note.clone()).await;
    assert!(refused.refused(409, "not_dismissible").text("detail").contains("money"), "{refused:?}");
    for event_id in [paid, ignored, parked] {
        client.act(&format!("payment-events/{event_id}/dismiss"), note.clone()).await.refused(409, "not_dismissible");
    }
    client.act("payment-events/0/dismiss", note.clone()).await.refused(404, "payment_event_not_found");
    assert_eq!(client.state(money).await, "quarantined");
    shop.assert_conserved().await;
}

/// Returns the ids of a list, and asserts that the page size does not change them.
async fn listed(client: &Instance, list: &str) -> Vec<i64> {
    let id = |item: &Value| item["event_id"].as_i64().or(item["event"]["event_id"].as_i64()).expect("an id");
    let all = client.pages(&format!("{list}&limit=100")).await.concat().iter().map(id).collect::<Vec<_>>();
    let one_by_one = client.pages(&format!("{list}&limit=1")).await.concat().iter().map(id).collect::<Vec<_>>();
    assert_eq!(all, one_by_one, "{list}");
    all
}

#[tokio::test]
async fn lists_are_narrowed_by_order_hold_charge_and_time() {
    let (shop, product_id, client) = open_shop().await;
    let (hold_a, a) = client.hold_and_order(product_id, 1).await;
    let (hold_b, b) = client.hold_and_order(product_id, 1).await;
    let by_hold = json!({ "hold_id": hold_a, "status": "refunded", "txn_id": "T-A", "amount": "1" });
    let e = [
        client.report(&a, "failed", json!({ "amount": "1", "txn_id": "T-F" })).await,
        client.report(&a, "paid", json!({ "txn_id": "T-A" })).await,
        client.webhook(&by_hold).await.expect(200).body["event_id"].as_i64().expect("an id"),
        client.report(&b, "paid", json!({ "txn_id": "T-A" })).await,
        client.report(&b, "paid", json!({ "txn_id": "T-B" })).await,
        client.report(&b, "paid", json!({ "txn_id": "T-B2" })).await,
        client.report(&b, "paid", json!({ "txn_id": "T-B3" })).await,
        client.report(&mint(), "paid", json!({ "txn_id": "T-P" })).await,
    ];
    for (query, expected) in [
        (format!("order_id={a}"), vec![e[2], e[1], e[0]]),
        (format!("hold_id={hold_a}"), vec![e[2], e[1], e[0]]),
        (format!("order_id={a}&state=applied"), vec![e[1], e[2]]),
        (format!("hold_id={hold_a}&state=quarantined"), vec![e[0]]),
        (format!("order_id={a}&hold_id={hold_a}"), vec![e[2], e[1], e[0]]),
        (format!("order_id={a}&hold_id={hold_b}"), vec![]),
        (format!("order_id={}", mint()), vec![]),
        ("charge=T-A".to_owned(), vec![e[3], e[2], e[1]]),
        ("charge=T-A&provider=default".to_owned(), vec![e[3], e[2], e[1]]),
        ("charge=T-A&provider=stripe".to_owned(), vec![]),
        ("charge=T-A&state=quarantined".to_owned(), vec![e[3]]),
        (format!("charge=T-A&order_id={a}"), vec![e[2], e[1]]),
        ("charge=T-F".to_owned(), vec![e[0]]),
        ("charge=T-P".to_owned(), vec![e[7]]),
        ("charge=T".to_owned(), vec![]),
    ] {
        assert_eq!(listed(&client, &format!("payment-events?{query}")).await, expected, "{query}");
    }
    shop.execute(&format!(
        "UPDATE payment_events SET received_at = '2026-01-02 00:00:00' + INTERVAL (FIELD(id, {}) - 1) HOUR",
        e.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    ))
    .await;
    let (from, to) = ("received_from=2026-01-02T02:00:00Z", "received_to=2026-01-02T06:00:00.000000Z");
    for (query, expected) in [
        (format!("{from}&{to}"), vec![e[5], e[4], e[3], e[2]]),
        (from.to_owned(), vec![e[7], e[6], e[5], e[4], e[3], e[2]]),
        (to.to_owned(), vec![e[5], e[4], e[3], e[2], e[1], e[0]]),
        (format!("state=applied&{from}&{to}"), vec![e[2], e[4]]),
        (format!("order_id={a}&{from}"), vec![e[2]]),
        (format!("charge=T-A&{from}"), vec![e[3], e[2]]),
        ("received_from=2026-01-02T01:00:00.000001Z&received_to=2026-01-02T02:00:00Z".to_owned(), vec![]),
        ("received_from=2026-01-02T04:00:00%2B02:00&received_to=2026-01-02T02:00:00.000001Z".to_owned(), vec![e[2]]),
        ("received_from=2030-01-01T00:00:00Z".to_owned(), vec![]),
    ] {
        assert_eq!(listed(&client, &format!("payment-events?{query}")).await, expected, "{query}");
    }
    for (query, expected) in [
        (format!("order_id={b}"), vec![e[5], e[6]]),
        (format!("hold_id={hold_b}"), vec![e[5], e[6]]),
        (format!("order_id={a}"), vec![]),
        ("charge=T-B3".to_owned(), vec![e[6]]),
        (to.to_owned(), vec![e[5]]),
    ] {
        assert_eq!(listed(&client, &format!("refunds?{query}")).await, expected, "{query}");
    }
}

#[tokio::test]
async fn bad_filters_are_refused_and_a_cursor_is_bound_to_its_filters() {
    let (_shop, product_id, client) = open_shop().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    for _ in 0..2 {
        client.report(&order_id, "paid", json!({ "amount": "1" })).await;
    }
    for list in ["payment-events", "refunds"] {
        for (query, code) in [
            ("order_id=1", "invalid_order_id"),
            ("order_id=", "invalid_order_id"),
            ("hold_id=x", "invalid_hold_id"),
            ("charge=", "invalid_charge"),
            ("charge=a%00b", "invalid_charge"),
            ("provider=stripe", "invalid_provider"),
            ("charge=T&provider=other", "invalid_provider"),
            ("received_from=yesterday", "invalid_time"),
            ("received_to=2026-01-01", "invalid_time"),
            ("received_from=2026-01-02T00:00:00Z&received_to=2026-01-02T00:00:00Z", "invalid_time"),
            ("received_from=0001-01-02T00:00:00Z", "invalid_time"),
        ] {
            client.ask(&format!("{list}?{query}")).await.refused(400, code);
        }
        client.ask(&format!("{list}?charge={}", "x".repeat(256))).await.refused(400, "invalid_charge");
    }
    let lists = [
        "state=quarantined".to_owned(),
        format!("state=quarantined&order_id={order_id}"),
        format!("order_id={order_id}"),
        format!("order_id={order_id}&received_to=2100-01-01T00:00:00Z"),
    ];
    for list in &lists {
        let cursor = client.ask(&format!("payment-events?{list}&limit=1")).await.expect(200).text("next_cursor");
        for other in &lists {
            let answer = client.ask(&format!("payment-events?{other}&limit=1&cursor={cursor}")).await;
            match other == list {
                true => assert_eq!(answer.expect(200).body["items"].as_array().map(Vec::len), Some(1)),
                false => drop(answer.refused(400, "invalid_cursor")),
            }
        }
    }
}
