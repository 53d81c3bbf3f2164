//! Telemetry for operators: metrics over a real socket, and logs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::process::{Ended, Process};
use crate::support::proxy::{Action, Rule};
use crate::support::statsd::StatsD;
use crate::support::{Client, Shop, mint};

/// Starts the binary over this shop, with its metrics sent to this server.
async fn serve(shop: &Shop, statsd: &StatsD) -> (Process, Client) {
    Process::serve(&shop.database.url, &[statsd.setting()]).await
}

#[tokio::test]
async fn every_hold_that_is_taken_or_refused_is_counted() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let product_id = shop.product(5).await;
    let (_process, client) = serve(&shop, &statsd).await;
    let keyed = json!({ "product_id": product_id, "qty": 1 });
    for _ in 0..3 {
        client.post_keyed("/api/holds", "key", &keyed).await.expect(201);
    }
    let hold_id = client.hold(product_id, 3).await;
    client.try_hold(product_id, 2).await.expect(409);
    client.try_hold(product_id, 6).await.expect(409);
    client.try_hold(product_id, 7).await.expect(409);
    client.try_hold(product_id, 0).await.expect(422);
    client.try_hold(0, 1).await.expect(404);
    client.delete(&format!("/api/holds/{hold_id}")).await.expect(200);
    client.delete(&format!("/api/holds/{hold_id}")).await.expect(200);

    statsd.counted("holds.created", &[], 2).await;
    statsd.counted("idempotency.replayed", &["operation:hold"], 2).await;
    statsd.counted("holds.refused", &["reason:all_held"], 1).await;
    statsd.counted("holds.refused", &["reason:sold_out"], 2).await;
    statsd.counted("holds.refused", &["reason:invalid_quantity"], 1).await;
    statsd.counted("holds.refused", &["reason:product_not_found"], 1).await;
    statsd.counted("holds.released", &[], 1).await;
}

#[tokio::test]
async fn successes_that_name_no_order_of_this_shop_have_their_own_gauge() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let columns = "provider, idempotency_key, fingerprint, status, meaning, body, due_at, settled_at";
    let row = |key: u32, meaning: &str| {
        format!("('stripe', '{key}', REPEAT('x', 32), 'unmatched', '{meaning}', '', NULL, NOW(6))")
    };
    let rows = [row(1, "succeeded"), row(2, "failed"), row(3, "succeeded"), row(4, "refunded")].join(", ");
    shop.execute(&format!("INSERT INTO payment_events ({columns}) VALUES {rows}")).await;
    let (_process, _client) = serve(&shop, &statsd).await;
    statsd.gauged("inbox.depth", &["state:unmatched"], |count| count == 2.0).await;
}

#[tokio::test]
async fn charges_with_open_due_refunds_of_cancelled_events_have_their_own_gauge() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let row = |charge: u32, event: u32, settled: &str| {
        format!("({charge}, {event}, REPEAT('x', 16), 100, 100, 'EUR', {settled})")
    };
    let rows = [row(1, 1, "NULL"), row(1, 2, "NULL"), row(2, 1, "NOW(6)"), row(3, 1, "NULL")].join(", ");
    let columns = "charge_event_id, event_id, order_id, amount_minor, until_minor, currency, settled_at";
    shop.execute(&format!("INSERT INTO due_refunds ({columns}) VALUES {rows}")).await;
    let (_process, _client) = serve(&shop, &statsd).await;
    statsd.gauged("refunds.due", &[], |count| count == 2.0).await;
}

#[tokio::test]
async fn every_delivery_is_counted_by_its_outcome() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let product_id = shop.product(5).await;
    let (_process, client) = serve(&shop, &statsd).await;
    let order_id = client.order(&client.hold(product_id, 1).await).await;
    let wrong = json!({ "order_id": order_id, "status": "paid", "amount": 1, "txn_id": "wrong" });
    client.webhook(&wrong).await.expect(200);
    client.pay(&order_id, "paid", "paid").await.expect(200);
    client.pay(&order_id, "paid", "paid").await.expect(200);
    client.pay(&order_id, "failed", "failed").await.expect(200);
    let hold_id = client.hold(product_id, 1).await;
    client.webhook(&json!({ "hold_id": hold_id, "status": "paid", "txn_id": "early" })).await.expect(202);
    client.order(&hold_id).await;
    let cancelled = client.order(&client.hold(product_id, 1).await).await;
    client.post(&format!("/api/orders/{cancelled}/cancel"), &Value::Null).await.expect(200);

    for outcome in ["quarantined", "processed", "duplicate", "ignored", "parked"] {
        statsd.counted("webhook.deliveries", &[&format!("outcome:{outcome}")], 1).await;
    }
    statsd.counted("webhook.woken", &["outcome:applied"], 1).await;
    statsd.counted("orders.created", &[], 3).await;
    statsd.counted("orders.cancelled", &[], 1).await;
}

#[tokio::test]
async fn gauges_show_how_many_events_are_open_and_for_how_long() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let product_id = shop.product(5).await;
    let bare = shop.serve_without_workers().await;
    let (_, order_id) = bare.hold_and_order(product_id, 1).await;
    for (order_id, key) in [(mint(), "one"), (mint(), "two")] {
        bare.pay(&order_id, "paid", key).await.expect(202);
    }
    bare.webhook(&json!({ "order_id": order_id, "status": "paid", "amount": 1, "txn_id": "T" })).await.expect(200);
    shop.execute("UPDATE payment_events SET received_at = received_at - INTERVAL 100 SECOND").await;
    let queue = ("HOLDFAST_WEBHOOK_MODE", "queue");
    let (_process, client) = Process::serve(&shop.database.url, &[statsd.setting(), queue]).await;
    for (state, depth) in [("parked", 2.0), ("quarantined", 1.0), ("received", 0.0), ("refund_due", 0.0), ("dead", 0.0)]
    {
        statsd.gauged("inbox.depth", &[&format!("state:{state}")], |value| value == depth).await;
    }
    statsd.gauged("inbox.oldest_unapplied_s", &[], |value| (100.0..200.0).contains(&value)).await;
    client.pay(&order_id, "paid", "queued").await.expect(202);
    statsd.counted("webhook.deliveries", &["outcome:queued"], 1).await;
    statsd.counted("webhook.retried", &[], 1).await;
    statsd.counted("webhook.woken", &["outcome:applied"], 1).await;
}

#[tokio::test]
async fn every_request_is_timed_by_its_route_and_never_by_an_id() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let product_id = shop.product(5).await;
    let (_process, client) = serve(&shop, &statsd).await;
    let hold_id = client.hold(product_id, 1).await;
    let order_id = client.order(&hold_id).await;
    for path in [
        format!("/api/products/{product_id}"),
        "/api/products/4711471147114711".to_owned(),
        format!("/api/holds/{hold_id}"),
        format!("/api/orders/{order_id}/events"),
        format!("/api/nothing/{order_id}?token={hold_id}"),
    ] {
        client.get(&path).await;
    }
    client.send(client.request("PUT", &format!("/api/holds/{hold_id}"))).await.expect(405);
    client.send(client.request("BREW", "/api/holds")).await.expect(405);
    for (method, route, status) in [
        ("POST", "/api/holds", 201),
        ("POST", "/api/orders", 201),
        ("GET", "/api/products/{product_id}", 200),
        ("GET", "/api/products/{product_id}", 404),
        ("GET", "/api/holds/{hold_id}", 200),
        ("GET", "/api/orders/{order_id}/events", 200),
        ("GET", "unmatched", 404),
        ("PUT", "/api/holds/{hold_id}", 405),
        ("other", "/api/holds", 405),
    ] {
        let tags = [format!("method:{method}"), format!("route:{route}"), format!("status:{status}")];
        let took = statsd.told("http.request_ms", "ms", &tags.each_ref().map(String::as_str), 1).await;
        assert!(took.iter().all(|ms| (0.0..60_000.0).contains(ms)), "{route}: {took:?}");
    }
    for line in statsd.lines() {
        for id in [&hold_id, &order_id, "4711471147114711", "BREW"] {
            assert!(!line.contains(id), "{line}");
        }
    }
}

#[tokio::test]
async fn retries_missed_guards_and_transactions_given_up_are_counted() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let product_id = shop.product(5).await;
    let (_, proxy) = shop.config_through_proxy().await;
    let (_process, client) = Process::serve(&proxy.url(&shop.database.url), &[statsd.setting()]).await;
    let hold_id = client.hold(product_id, 1).await;
    {
        let _twice = proxy.on(Rule::from("-- orders/insert").times(2), Action::DEADLOCK);
        client.order(&hold_id).await;
    }
    statsd.counted("db.retries", &["transaction:orders.create", "code:1213"], 2).await;
    client.delete(&format!("/api/holds/{hold_id}")).await.expect(409);
    statsd.counted("db.guard_missed", &["guard:holds/release"], 1).await;

    let other = client.hold(product_id, 1).await;
    {
        let _always = proxy.on(Rule::from("-- orders/insert").always(), Action::DEADLOCK);
        client.try_order(&other).await.expect(503);
    }
    statsd.counted("db.given_up", &["transaction:orders.create"], 1).await;
    assert!(!statsd.told("db.transaction_ms", "ms", &["transaction:orders.create"], 1).await.is_empty());
    statsd.told("db.pool_wait_ms", "ms", &[], 1).await;
    let connections = statsd.told("db.connections", "g", &[], 1).await;
    assert!(connections.iter().all(|count| (0.0..=16.0).contains(count)), "{connections:?}");
    statsd.told("db.connections_in_use", "g", &[], 1).await;
}

#[tokio::test]
async fn expired_holds_and_overdue_orders_are_counted_and_their_delay_is_measured() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let product_id = shop.product(5).await;
    let (_process, client) = serve(&shop, &statsd).await;
    let order_id = client.order(&client.hold(product_id, 1).await).await;
    client.hold(product_id, 1).await;
    client.hold(product_id, 1).await;
    shop.let_order_run_out(&order_id).await;
    shop.let_holds_run_out().await;
    statsd.counted("expiry.expired", &["kind:hold"], 2).await;
    statsd.counted("expiry.expired", &["kind:order"], 1).await;
    for kind in ["kind:hold", "kind:order"] {
        let late_ms = statsd.told("expiry.lag_ms", "ms", &[kind], 1).await;
        assert!(late_ms.iter().all(|ms| (0.0..5_000.0).contains(ms)), "{late_ms:?}");
    }
}

#[tokio::test]
async fn metrics_arrive_soon_and_the_last_ones_before_the_end() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let product_id = shop.product(50).await;
    let (process, client) = serve(&shop, &statsd).await;
    let began = Instant::now();
    client.hold(product_id, 1).await;
    statsd.counted("holds.created", &[], 1).await;
    println!("a metric arrived after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    for _ in 0..20 {
        client.hold(product_id, 1).await;
    }
    process.terminate().await.expect(0);
    statsd.counted("holds.created", &[], 21).await;
}

#[tokio::test]
async fn a_statsd_server_that_is_unreachable_stops_no_request() {
    let shop = Shop::open().await;
    let product_id = shop.product(50).await;
    for server in ["no-such-host.invalid:8125", "127.0.0.1:9", "[::1]:9"] {
        let (process, client) = Process::serve(&shop.database.url, &[("HOLDFAST_STATSD", server)]).await;
        for _ in 0..5 {
            client.hold(product_id, 1).await;
        }
        process.terminate().await.expect(0);
    }
    assert_eq!(shop.count("SELECT reserved FROM products").await, 15);
}

/// Returns every line that a process logged; each must be a JSON object with a time, a level and a message.
fn logged(ended: &Ended) -> Vec<Value> {
    let lines: Vec<Value> = ended
        .err
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in the line {line}")))
        .collect();
    for line in &lines {
        for field in ["timestamp", "level", "message"] {
            assert!(line[field].is_string(), "{field} in {line}");
        }
    }
    lines
}

/// Returns the messages of the lines that belong to a request.
fn messages<'a>(lines: &'a [Value], request_id: &str) -> Vec<&'a str> {
    let own = lines.iter().filter(|line| line["span"]["request_id"] == request_id);
    own.map(|line| line["message"].as_str().expect("a message")).collect()
}

#[tokio::test]
async fn every_log_line_of_a_request_has_its_id() {
    let shop = Shop::open().await;
    let (_, proxy) = shop.config_through_proxy().await;
    let (process, client) = Process::serve(&proxy.url(&shop.database.url), &[("HOLDFAST_LOG", "holdfast=debug")]).await;
    let product_id = shop.product(5).await;
    let hold_id = client.hold(product_id, 1).await;
    {
        let _always = proxy.on(Rule::from("-- orders/insert").always(), Action::DEADLOCK);
        let request = client.request("POST", "/api/orders").json(&json!({ "hold_id": hold_id }));
        client.send(request.header("x-request-id", "mine")).await.expect(503);
    }
    let lines = logged(&process.terminate().await.expect(0));
    let own = messages(&lines, "mine");
    assert!(own.iter().filter(|message| **message == "transaction attempt failed").count() > 1, "{own:?}");
    assert_eq!(own.iter().filter(|message| **message == "transaction given up").count(), 1, "{own:?}");
    assert_eq!(own.last(), Some(&"request"));
    let requests = lines.iter().filter(|line| line["message"] == "request");
    for line in requests {
        assert!(line["span"]["request_id"].is_string(), "{line}");
        assert!(line["status"].is_u64() && line["took_us"].is_u64() && line["path"].is_string(), "{line}");
    }
    let about_orders = lines.iter().filter(|line| line["transaction"] == "orders.create");
    assert!(about_orders.into_iter().all(|line| line["span"]["request_id"] == "mine"));
}

#[tokio::test]
async fn a_request_keeps_a_valid_id_that_it_sends_and_gets_one_otherwise() {
    let shop = Shop::open().await;
    let (process, client) = Process::serve(&shop.database.url, &[("HOLDFAST_LOG", "info,holdfast::http=debug")]).await;
    let ask = async |headers: &[(&str, &[u8])]| {
        let mut request = client.request("GET", "/healthz");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        client.send(request).await.expect(200).header("x-request-id").to_owned()
    };
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let parent = parent.as_bytes();
    let mut ids = Vec::new();
    for own in ["a", "Mine-1", r#"{"message":"forged"}"#, &"x".repeat(128)] {
        assert_eq!(ask(&[("x-request-id", own.as_bytes()), ("traceparent", parent)]).await, own);
        ids.push(own.to_owned());
    }
    assert_eq!(ask(&[("traceparent", parent)]).await, TRACE);
    ids.push(TRACE.to_owned());

    let long = "x".repeat(300);
    for hostile in [long.as_bytes(), b"two words", b"a\tb", b"", "é".as_bytes()] {
        let minted = ask(&[("x-request-id", hostile)]).await;
        assert!(Uuid::parse_str(&minted).is_ok(), "{hostile:?} became {minted}");
        assert_eq!(ask(&[("x-request-id", hostile), ("traceparent", parent)]).await, TRACE);
        ids.push(minted);
    }
    for no_trace in [&b"00-xyz-1-01"[..], b"nothing", b"", b"00-4bf92f3577b34da6a3ce929d0e0e473g-1-01"] {
        let minted = ask(&[("traceparent", no_trace)]).await;
        assert!(Uuid::parse_str(&minted).is_ok(), "{no_trace:?} became {minted}");
        ids.push(minted);
    }
    let lines = logged(&process.terminate().await.expect(0));
    for id in ids {
        assert_eq!(messages(&lines, &id).first(), Some(&"request"), "{id}");
    }
}

#[tokio::test]
async fn a_quarantined_event_is_logged_and_counted_by_its_reason() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let product_id = shop.product(5).await;
    let (process, client) = serve(&shop, &statsd).await;
    let order_id = client.order(&client.hold(product_id, 1).await).await;
    let wrong = |amount: &str, currency: &str| json!({ "order_id": order_id, "status": "paid", "amount": amount, "currency": currency, "idempotency_key": mint() });
    let amount = client.webhook(&wrong("49.98", "EUR")).await.expect(200);
    client.webhook(&wrong("49.97", "EUR")).await.expect(200);
    client.webhook(&wrong("49.99", "USD")).await.expect(200);
    statsd.counted("webhook.quarantined", &["reason:amount_mismatch"], 2).await;
    statsd.counted("webhook.quarantined", &["reason:currency_mismatch"], 1).await;
    let ended = process.terminate().await.expect(0);
    let lines = ended.err.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines: Vec<Value> = lines.filter(|line| line["reason"] == "amount_mismatch").collect();
    assert_eq!(lines.len(), 2, "{}", ended.err);
    for (field, value) in [
        ("level", json!("WARN")),
        ("event_id", amount.body["event_id"].clone()),
        ("expected", json!("49.99 EUR")),
        ("got", json!("49.98 EUR")),
    ] {
        assert_eq!(lines[0][field], value, "{field} in {}", lines[0]);
    }
}

#[tokio::test]
async fn failed_admin_tokens_are_counted_and_logged_without_the_token() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let token = "an-operators-token-of-these-tests";
    let settings = [statsd.setting(), ("HOLDFAST_ADMIN_TOKEN", token)];
    let (process, client) = Process::serve(&shop.database.url, &settings).await;
    for _ in 0..20 {
        let request = client.request("GET", "/api/admin/refunds").bearer_auth("a-wrong-token-of-someone");
        client.send(request).await.refused(401, "unauthorized");
    }
    client.get("/api/admin/payment-events/x").await.refused(401, "unauthorized");
    client.send(client.request("GET", "/api/admin/refunds").bearer_auth(token)).await.expect(200);
    statsd.counted("admin.refused", &["reason:wrong"], 20).await;
    statsd.counted("admin.refused", &["reason:missing"], 1).await;
    let ended = process.terminate().await.expect(0);
    assert!(!ended.err.contains("a-wrong-token-of-someone") && !ended.err.contains(token), "{}", ended.err);
    let lines = ended.err.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines: Vec<Value> = lines.filter(|line| line["peer"].is_string()).collect();
    let first = lines.first().expect("a line");
    assert_eq!((&first["level"], &first["reason"], &first["count"]), (&json!("WARN"), &json!("wrong"), &json!(1)));
    assert!(first["peer"].as_str().is_some_and(|peer| peer.contains("127.0.0.1:")), "{first}");
    assert!(lines.iter().map(|line| line["count"].as_u64().unwrap_or(0)).sum::<u64>() <= 21, "{}", ended.err);
}

#[tokio::test]
async fn rejected_signatures_do_not_flood_the_log() {
    const MESSAGES: usize = 200;
    let shop = Shop::open().await;
    let secret = ("HOLDFAST_WEBHOOK_SECRETS", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let (process, client) = Process::serve(&shop.database.url, &[secret]).await;
    let began = Instant::now();
    for _ in 0..MESSAGES {
        client.pay(&mint(), "paid", "unsigned").await.refused(401, "invalid_signature");
    }
    let seconds = began.elapsed().as_secs();
    let lines = logged(&process.terminate().await.expect(0));
    let rejected: Vec<_> = lines.iter().filter(|line| line["message"] == "signatures were rejected").collect();
    assert!((1..=seconds + 2).contains(&(rejected.len() as u64)), "{} lines in {seconds} s", rejected.len());
    assert_eq!(rejected[0]["count"], 1);
}

#[tokio::test]
async fn requests_over_a_limit_are_counted_by_kind() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let settings = [statsd.setting(), ("HOLDFAST_RATE_READS", "1"), ("HOLDFAST_RATE_ADMIN", "1")];
    let (_process, client) = Process::serve(&shop.database.url, &settings).await;
    for path in ["/api/products", "/api/admin/refunds"] {
        for _ in 0..3 {
            client.get(path).await;
        }
    }
    statsd.counted("http.rate_limited", &["kind:reads"], 2).await;
    statsd.counted("http.rate_limited", &["kind:admin"], 2).await;
}
