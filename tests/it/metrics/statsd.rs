//! The lines that a StatsD server receives.

use std::time::Instant;

use crate::support::process::Process;
use crate::support::statsd::StatsD;
use crate::support::{Client, Shop, eventually};

async fn serve(shop: &Shop, statsd: &StatsD, style: &str) -> (Process, Client) {
    let settings = [statsd.setting(), ("HOLDFAST_STATSD_STYLE", style)];
    Process::serve(&shop.database.url, &settings).await
}

/// Waits for a line that begins and ends like this.
async fn line(statsd: &StatsD, begin: &str, end: &str) -> String {
    let is_it = |line: &String| line.starts_with(begin) && line.ends_with(end);
    let found = eventually(async || statsd.lines().iter().any(is_it)).await;
    assert!(found, "{begin}…{end} in {:#?}", statsd.lines());
    statsd.lines().into_iter().find(is_it).expect("it was found")
}

#[tokio::test]
async fn each_style_sends_counters_gauges_and_durations_with_their_labels() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    for (style, hold, refused, took, depth) in [
        (
            "plain",
            ("holdfast.holds.created:", "1|c"),
            ("holdfast.holds.refused.sold_out:", "1|c"),
            ("holdfast.http.request_ms.GET.api_products_product_id.404:", "|ms"),
            ("holdfast.inbox.depth.refund_due:", "0|g"),
        ),
        (
            "dogstatsd",
            ("holdfast.holds.created:", "1|c"),
            ("holdfast.holds.refused:", "1|c|#reason:sold_out"),
            ("holdfast.http.request_ms:", "|ms|#method:GET,route:/api/products/{product_id},status:404"),
            ("holdfast.inbox.depth:", "0|g|#state:refund_due"),
        ),
        (
            "graphite",
            ("holdfast.holds.created:", "1|c"),
            ("holdfast.holds.refused;reason=sold_out:", "1|c"),
            ("holdfast.http.request_ms;method=GET;route=/api/products/{product_id};status=404:", "|ms"),
            ("holdfast.inbox.depth;state=refund_due:", "0|g"),
        ),
    ] {
        let statsd = StatsD::start().await;
        let (process, client) = serve(&shop, &statsd, style).await;
        client.hold(product_id, 1).await;
        client.try_hold(product_id, 9).await.expect(409);
        client.get("/api/products/4711").await.expect(404);
        for (begin, end) in [hold, refused, depth] {
            line(&statsd, begin, end).await;
        }
        let took = line(&statsd, took.0, took.1).await;
        let ms = took.rsplit_once(':').and_then(|(_, rest)| rest.split('|').next());
        assert!(style == "dogstatsd" || ms.is_some_and(|ms| ms.contains('.')), "{took}: parts of a millisecond");
        process.terminate().await.expect(0);
    }
}

#[tokio::test]
async fn plain_is_the_style_of_a_service_that_names_none() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let (_process, client) = serve(&shop, &statsd, "").await;
    client.try_hold(1, 0).await.expect(422);
    line(&statsd, "holdfast.holds.refused.invalid_quantity:", "1|c").await;
    assert!(!statsd.lines().iter().any(|line| line.contains('#') || line.contains(';')), "{:#?}", statsd.lines());
}

#[tokio::test]
async fn a_busy_second_is_one_line_for_each_counter_and_a_sample_of_its_durations() {
    const HOLDS: u32 = 300;
    const MOST_SAMPLES: usize = 20;
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let product_id = shop.product(1000).await;
    let began = Instant::now();
    let (process, client) = serve(&shop, &statsd, "dogstatsd").await;
    for _ in 0..HOLDS {
        client.hold(product_id, 1).await;
    }
    process.terminate().await.expect(0);
    statsd.counted("holds.created", &[], HOLDS).await;
    let seconds = usize::try_from(began.elapsed().as_secs()).expect("few") + 2;
    let count = |begin: &str| statsd.lines().iter().filter(|line| line.starts_with(begin)).count();
    assert!((1..=seconds).contains(&count("holdfast.holds.created:")), "{seconds} s: {:#?}", statsd.lines());
    assert!((1..=seconds).contains(&count("holdfast.db.connections:")), "{seconds} s: {:#?}", statsd.lines());
    let tags = "|#method:POST,route:/api/holds,status:201";
    let durations: Vec<String> = statsd
        .lines()
        .into_iter()
        .filter(|line| line.starts_with("holdfast.http.request_ms:") && line.ends_with(tags))
        .collect();
    assert!(durations.len() <= MOST_SAMPLES * seconds, "{} lines in {seconds} s", durations.len());
    let rate = |line: &String| line.split("|@").nth(1).and_then(|rest| rest.split('|').next()?.parse::<f64>().ok());
    let seen: f64 = durations.iter().map(|line| 1.0 / rate(line).unwrap_or(1.0)).sum();
    assert!((seen - f64::from(HOLDS)).abs() < 3.0, "their rates tell how many there were: {seen}");
    let zero = statsd.lines().into_iter().find(|line| line.contains(":0|c"));
    assert_eq!(zero, None, "what did not happen has no line");
}
