//! What Prometheus reads, and who may read it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use holdfast::telemetry::{Kind, METRICS};
use serde_json::Value;

use crate::support::process::Process;
use crate::support::{Answer, Client, Shop, eventually};

pub(super) const TOKEN: &str = "an-operators-token-of-these-tests";

pub(super) async fn scrape(client: &Client) -> Answer {
    client.send(client.request("GET", "/metrics").bearer_auth(TOKEN)).await
}

async fn serve(shop: &Shop, settings: &[(&str, &str)]) -> (Process, Client) {
    let own = [("HOLDFAST_ADMIN_TOKEN", TOKEN)];
    let (process, client) = Process::serve(&shop.database.url, &[&own[..], settings].concat()).await;
    // metrics are recorded from the first time on that they are read
    scrape(&client).await.expect(200);
    (process, client)
}

/// Returns the value of a line that begins with this name and these labels.
pub(super) fn value(text: &str, series: &str) -> Option<f64> {
    let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
    lines.filter(|(name, _)| *name == series).find_map(|(_, value)| value.parse().ok())
}

#[tokio::test]
async fn an_operator_reads_the_metrics_and_no_one_else_does() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let (_process, client) = serve(&shop, &[]).await;
    client.hold(product_id, 1).await;
    client.hold(product_id, 1).await;
    let answer = scrape(&client).await.expect(200);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(value(&answer.text, "holdfast_holds_created_total"), Some(2.0), "{}", answer.text);
    client.get("/metrics").await.refused(401, "unauthorized");
    client.send(client.request("GET", "/metrics").bearer_auth("wrong")).await.refused(401, "unauthorized");
    let head = client.send(client.request("HEAD", "/metrics").bearer_auth(TOKEN)).await.expect(200);
    assert_eq!(head.text, "");
    client.send(client.request("POST", "/metrics").bearer_auth(TOKEN)).await.refused(405, "method_not_allowed");

    let (_process, shut) = Process::serve(&shop.database.url, &[]).await;
    shut.get("/metrics").await.refused(403, "admin_shut");
}

#[tokio::test]
async fn what_is_read_are_rows_of_the_table_with_their_meaning_and_in_seconds() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let (_process, client) = serve(&shop, &[]).await;
    let began = Instant::now();
    let hold_id = client.hold(product_id, 1).await;
    let took = began.elapsed().as_secs_f64();
    client.order(&hold_id).await;
    client.try_hold(product_id, 9).await.expect(409);
    let mut text = String::new();
    let is_whole = async || {
        text = scrape(&client).await.expect(200).text;
        text.contains("# TYPE holdfast_db_connections gauge")
    };
    assert!(eventually(is_whole).await, "{text}");
    let rows: BTreeMap<&str, _> = METRICS.iter().map(|row| (row.prometheus, row)).collect();
    let (mut seen, mut helps) = (0, 0);
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, meaning) = help.split_once(' ').expect("a meaning");
            assert_eq!(rows.get(name).map(|row| row.meaning), Some(meaning), "{line}");
            helps += 1;
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a kind");
            let wanted = match rows[name].kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Timer | Kind::Histogram => "histogram",
            };
            assert_eq!(kind, wanted, "{line}");
            seen += 1;
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let name = series.split('{').next().unwrap_or_default();
            let parts = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
            assert!(rows.contains_key(name) || parts.is_some_and(|name| rows.contains_key(name)), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    assert!(seen > 8 && helps == seen, "each has its meaning and its type: {text}");
    let taken = r#"{method="POST",route="/api/holds",status="201"}"#;
    assert_eq!(value(&text, &format!("holdfast_http_request_seconds_count{taken}")), Some(1.0), "{text}");
    let sum = value(&text, &format!("holdfast_http_request_seconds_sum{taken}")).expect("a sum");
    assert!(sum > 0.0 && sum <= took, "seconds, and no more than the client has seen: {sum} of {took}");
    let all = r#"{method="POST",route="/api/holds",status="201",le="+Inf"}"#;
    assert_eq!(value(&text, &format!("holdfast_http_request_seconds_bucket{all}")), Some(1.0), "{text}");
}

/// Returns the address on which a process serves metrics.
async fn metrics_address(process: &Process) -> SocketAddr {
    let mut found = None;
    let told = eventually(async || {
        let lines = process.err.all();
        let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let line = lines.into_iter().find(|line| line["message"] == "serving metrics");
        found = line.and_then(|line| line["address"].as_str()?.parse().ok());
        found.is_some()
    });
    assert!(told.await, "{}", process.err.text());
    found.expect("it was told")
}

#[tokio::test]
async fn an_address_of_their_own_serves_the_metrics_without_a_token_and_nothing_else() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let settings = [("HOLDFAST_ADMIN_TOKEN", TOKEN), ("HOLDFAST_METRICS_LISTEN", "127.0.0.1:0")];
    let (process, client) = Process::serve(&shop.database.url, &settings).await;
    client.hold(product_id, 1).await;
    let address = metrics_address(&process).await;
    let open = Client::new(address);
    let answer = open.get("/metrics").await.expect(200);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(value(&answer.text, "holdfast_holds_created_total"), Some(1.0), "{}", answer.text);
    assert_eq!(open.send(open.request("HEAD", "/metrics")).await.expect(200).text, "");
    for path in ["/", "/api/products", "/healthz", "/api/admin/refunds", "/metrics/"] {
        open.get(path).await.expect(404);
    }
    open.post("/metrics", &Value::Null).await.expect(405);
    client.get("/metrics").await.refused(401, "unauthorized");

    let taken = address.to_string();
    let settings = [
        ("HOLDFAST_DATABASE_URL", shop.database.url.as_str()),
        ("HOLDFAST_LISTEN", "127.0.0.1:0"),
        ("HOLDFAST_WEBHOOK_SECRETS", "off"),
        ("HOLDFAST_STOREFRONT", "open"),
        ("HOLDFAST_METRICS_LISTEN", &taken),
    ];
    let ended = Process::run(&["serve"], &settings).await.expect(1);
    assert!(ended.err.contains(&format!("cannot listen on {taken} for metrics")), "{}", ended.err);
    process.terminate().await.expect(0);
}

#[tokio::test]
async fn metrics_are_recorded_from_the_first_time_on_that_they_are_read() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let (_process, client) = Process::serve(&shop.database.url, &[("HOLDFAST_ADMIN_TOKEN", TOKEN)]).await;
    client.hold(product_id, 1).await;
    let created = async || value(&scrape(&client).await.expect(200).text, "holdfast_holds_created_total");
    client.get("/metrics").await.refused(401, "unauthorized");
    client.hold(product_id, 1).await;
    assert_eq!(created().await, None);
    client.hold(product_id, 1).await;
    assert_eq!(created().await, Some(1.0));
}

#[tokio::test]
async fn an_operators_scrape_is_never_over_a_limit_and_guessed_tokens_are() {
    let shop = Shop::open().await;
    let (_process, client) = serve(&shop, &[("HOLDFAST_RATE_ADMIN", "1")]).await;
    for _ in 0..5 {
        scrape(&client).await.expect(200);
    }
    client.send(client.request("GET", "/api/admin/refunds").bearer_auth(TOKEN)).await.expect(200);
    client.get("/metrics").await.refused(401, "unauthorized");
    client.get("/metrics").await.refused(429, "rate_limited");
    scrape(&client).await.expect(200);
}

#[tokio::test]
async fn lines_that_no_statsd_server_gets_are_counted_and_the_log_tells_it_once() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let (process, client) = serve(&shop, &[("HOLDFAST_STATSD", "no-such-host.invalid:8125")]).await;
    client.hold(product_id, 1).await;
    let mut dropped = None;
    let counted = async || {
        dropped = value(&scrape(&client).await.expect(200).text, "holdfast_statsd_dropped_total");
        dropped >= Some(20.0)
    };
    assert!(eventually(counted).await, "{dropped:?}");
    let log = process.terminate().await.expect(0).err;
    assert_eq!(log.lines().filter(|line| line.contains("does not resolve")).count(), 1, "{log}");
}
