//! What metrics say about a sale: its transitions, the units that were sold and are left, and the queues.

use serde_json::Value;

use super::prometheus::{TOKEN, scrape, value};
use crate::support::crowd::sent;
use crate::support::process::Process;
use crate::support::statsd::StatsD;
use crate::support::{Shop, eventually};

#[tokio::test]
async fn transitions_of_orders_and_sold_units_are_counted_once_each() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let (one, other) = (shop.product(50).await, shop.product(50).await);
    let (_process, client) = Process::serve(&shop.database.url, &[statsd.setting()]).await;
    let (_, paid) = client.hold_and_order(one, 3).await;
    let (_, late) = client.hold_and_order(other, 4).await;
    let (_, refunded) = client.hold_and_order(other, 2).await;
    client.post(&format!("/api/orders/{late}/cancel"), &Value::Null).await.expect(200);
    for _ in 0..2 {
        client.pay(&paid, "paid", "a").await.expect(200);
    }
    // its units were back on sale, and are sold again
    client.pay(&late, "paid", "b").await.expect(200);
    client.pay(&refunded, "paid", "c").await.expect(200);
    client.pay(&refunded, "refunded", "d").await.expect(200);
    for (transition, reason, count) in
        [("created", "none", 3), ("cancelled", "buyer_cancelled", 1), ("paid", "none", 3), ("refunded", "none", 1)]
    {
        let tags = [format!("transition:{transition}"), format!("reason:{reason}")];
        statsd.counted("orders.transitions", &tags.each_ref().map(String::as_str), count).await;
    }
    statsd.counted("units.sold", &[], 9).await;
}

#[tokio::test]
async fn the_stock_of_the_busiest_products_is_shown_and_no_more_of_them_than_are_wanted() {
    let shop = Shop::open().await;
    let (busy, quiet) = (shop.product(50).await, shop.product(50).await);
    let settings = [("HOLDFAST_ADMIN_TOKEN", TOKEN), ("HOLDFAST_STOCK_METRICS", "1")];
    let (_process, client) = Process::serve(&shop.database.url, &settings).await;
    // products are counted from the first time on that metrics are read
    scrape(&client).await.expect(200);
    for product_id in [busy, quiet, busy, busy] {
        client.hold(product_id, 2).await;
    }
    let mut text = String::new();
    let series = |product_id: i64| format!(r#"holdfast_stock_left{{product="{product_id}"}}"#);
    let is_shown = async || {
        text = scrape(&client).await.expect(200).text;
        value(&text, &series(busy)) == Some(44.0)
    };
    assert!(eventually(is_shown).await, "{text}");
    for _ in 0..9 {
        client.hold(quiet, 1).await;
    }
    let has_changed = async || {
        text = scrape(&client).await.expect(200).text;
        let left = (value(&text, &series(quiet)), value(&text, &series(busy)));
        left.0 == Some(39.0) && left.1.is_some_and(f64::is_nan)
    };
    assert!(eventually(has_changed).await, "what is not among them any more is not known: {text}");
}

#[tokio::test]
async fn lanes_tell_how_many_jobs_wait_for_how_long_and_share_a_batch() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let product_id = shop.product(50).await;
    let (_process, client) = Process::serve(&shop.database.url, &[statsd.setting()]).await;
    client.order(&client.hold(product_id, 1).await).await;
    for kind in ["kind:holds", "kind:orders"] {
        statsd.gauged("batch.queue_depth", &[kind], |jobs| jobs == 0.0).await;
        assert_eq!(statsd.told("batch.jobs", "h", &[kind], 1).await, [1.0], "{kind}");
        let waits = statsd.told("batch.wait_ms", "ms", &[kind], 1).await;
        assert!(waits.iter().all(|ms| (0.0..60_000.0).contains(ms)), "{kind}: {waits:?}");
    }
    statsd.gauged("batch.queue_depth", &["kind:redemptions"], |jobs| jobs == 0.0).await;
}

#[tokio::test]
async fn findings_of_audits_by_the_route_and_by_the_command_are_shown() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let product_id = shop.product(50).await;
    let settings = [statsd.setting(), ("HOLDFAST_ADMIN_TOKEN", TOKEN)];
    let (_process, client) = Process::serve(&shop.database.url, &settings).await;
    let audit = async || client.send(client.request("GET", "/api/admin/audit").bearer_auth(TOKEN)).await.expect(200);
    audit().await;
    statsd.gauged("audit.findings", &[], |findings| findings == 0.0).await;
    shop.execute(&format!("UPDATE products SET reserved = reserved + 1 WHERE id = {product_id}")).await;
    audit().await;
    statsd.gauged("audit.findings", &[], |findings| findings == 1.0).await;

    let own = StatsD::start().await;
    let settings = [("HOLDFAST_DATABASE_URL", shop.database.url.as_str()), own.setting()];
    Process::run(&["audit"], &settings).await.expect(1);
    own.gauged("audit.findings", &[], |findings| findings == 1.0).await;
    assert_eq!(own.lines(), ["holdfast.audit.findings:1|g"], "the command tells nothing else");
}

#[tokio::test]
async fn the_version_and_the_uptime_of_an_instance_are_shown() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let (_process, _client) = Process::serve(&shop.database.url, &[statsd.setting()]).await;
    let version = format!("version:{}", env!("CARGO_PKG_VERSION"));
    statsd.gauged("service.info", &[&version], |one| one == 1.0).await;
    statsd.gauged("service.uptime_s", &[], |seconds| seconds > 0.5).await;
}

#[tokio::test]
async fn the_database_is_read_for_metrics_only_where_these_are_read() {
    let shop = Shop::open().await;
    let product_id = shop.product(50).await;
    let (_, proxy) = shop.config_through_proxy().await;
    let (_process, client) = Process::serve(&proxy.url(&shop.database.url), &[("HOLDFAST_ADMIN_TOKEN", TOKEN)]).await;
    let sell = async |key: &str| {
        let (_, order_id) = client.hold_and_order(product_id, 1).await;
        client.pay(&order_id, "paid", key).await.expect(200);
    };
    sell("a").await;
    // other workers have had several turns since
    let looks = sent(&proxy, "feed/find");
    assert!(eventually(async || sent(&proxy, "feed/find") >= looks + 4).await);
    assert_eq!(sent(&proxy, "holds/list_units"), 0);
    scrape(&client).await.expect(200);
    sell("b").await;
    assert!(eventually(async || sent(&proxy, "holds/list_units") > 0).await);
    let is_counted = async || value(&scrape(&client).await.expect(200).text, "holdfast_units_sold_total") == Some(1.0);
    assert!(eventually(is_counted).await);
}
