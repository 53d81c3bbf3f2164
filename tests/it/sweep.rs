//! The sweep of parked events when very many are parked.

use std::sync::Arc;

use holdfast::app::App;
use holdfast::db::sql;
use mysql_async::params;
use mysql_async::prelude::Queryable;
use uuid::Uuid;

use crate::support::Shop;

/// The most events that one step reads.
const PAGE: usize = 1000;

/// Writes many events of this state: successes without an order, one in ten a refund without a charge.
async fn fill(shop: &Shop, status: &str, count: usize) {
    let mut conn = shop.sql().await;
    let digits =
        "(SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5
                   UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
    let settled = if status == "dead" { "NOW(6), NULL" } else { "NULL, NOW(6) + INTERVAL 1 DAY" };
    let insert = format!(
        "INSERT INTO payment_events (provider, idempotency_key, fingerprint, status, meaning, order_id, hold_id, txn_id, body,
                                     settled_at, due_at)
         SELECT 'default', CONCAT('{status} ', n), UNHEX(REPEAT('00', 32)), '{status}',
                IF(MOD(n, 10) = 0, 'refunded', 'succeeded'), UNHEX(LEFT(SHA2(n, 256), 32)),
                IF(MOD(n, 2) = 0, UNHEX(RIGHT(SHA2(n, 256), 32)), NULL), IF(MOD(n, 20) = 0, NULL, CONCAT('T', n)), '{{}}', {settled}
         FROM (SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n + 100000 * f.n AS n
               FROM {digits} AS a, {digits} AS b, {digits} AS c, {digits} AS d, {digits} AS e, {digits} AS f) AS numbers
         WHERE n < {count}"
    );
    for statement in ["SET time_zone = '+00:00'", &insert, "ANALYZE TABLE payment_events"] {
        conn.query_drop(statement).await.expect("the statement runs");
    }
}

/// Inserts a success that is parked although its order exists.
async fn leave_parked(shop: &Shop, order_id: Uuid) {
    let order_id = order_id.simple();
    shop.execute(&format!(
        "INSERT INTO payment_events (provider, idempotency_key, fingerprint, status, meaning, order_id, txn_id, body, due_at)
         VALUES ('default', 'left', UNHEX(REPEAT('00', 32)), 'parked', 'succeeded', x'{order_id}', 'left', '{{}}',
                 UTC_TIMESTAMP(6) + INTERVAL 1 DAY)"
    ))
    .await;
}

async fn order(shop: &Shop, app: &App) -> Uuid {
    let product_id = shop.product(5).await;
    let hold = app
        .checkout
        .create_hold(holdfast::checkout::NewHold::new(product_id, 1, None))
        .await
        .expect("enough units")
        .hold;
    app.checkout
        .create_order(holdfast::checkout::NewOrder::new(hold.id, None, None))
        .await
        .expect("an active hold")
        .order
        .id
}

/// Runs one whole walk of the sweep; returns the number of its steps.
async fn walk(app: &Arc<App>) -> usize {
    let mut steps = 1;
    while app.checkout.sweep_parked().await.expect("the step runs") {
        steps += 1;
    }
    steps
}

/// Returns how many rows the statement of one step reads.
async fn reads(shop: &Shop, status: &str, after: i64) -> i64 {
    let mut conn = shop.sql().await;
    let params = params! { "status" => status, "after" => after, "limit" => PAGE, "attempts" => 9 };
    conn.query_drop("FLUSH STATUS").await.expect("the statement runs");
    let rows: Vec<(i64, String, bool)> =
        conn.exec(sql::payment_events::LIST_READY, params).await.expect("the statement runs");
    assert_eq!(rows.len(), PAGE);
    let status: Vec<(String, i64)> =
        conn.query("SHOW SESSION STATUS LIKE 'Handler_read%'").await.expect("the statement runs");
    status.iter().filter(|(name, _)| name != "Handler_read_rnd_deleted").map(|(_, count)| count).sum()
}

#[tokio::test]
async fn a_success_that_was_left_behind_very_many_parked_events_is_applied_in_one_walk_of_pages() {
    let shop = Shop::open().await;
    let app = shop.app();
    let order_id = order(&shop, &app).await;
    fill(&shop, "parked", 250_000).await;
    leave_parked(&shop, order_id).await;
    assert_eq!(walk(&app).await, 251);
    let status = app
        .checkout
        .order(&holdfast::domain::Caller::operator(), order_id)
        .await
        .expect("the order exists")
        .order
        .status;
    assert_eq!(status.to_string(), "paid");
    assert_eq!(shop.count("SELECT COUNT(*) FROM payment_events WHERE status = 'parked'").await, 250_000);
    for after in [0, 125_000, 240_000] {
        let reads = reads(&shop, "parked", after).await;
        assert!(reads <= 100 + 4 * PAGE as i64, "{reads} rows are read behind {after}");
    }
    assert_eq!(walk(&app).await, 251, "the next walk begins at the first page");
}

#[tokio::test]
async fn a_refund_that_was_given_up_behind_very_many_others_is_applied_when_its_charge_exists() {
    let shop = Shop::open().await;
    let app = shop.app();
    let order_id = order(&shop, &app).await;
    fill(&shop, "dead", 4500).await;
    app.checkout.receive_event(crate::support::payment(order_id, "paid")).await.expect("the event is accepted");
    let order = order_id.simple();
    shop.execute(&format!(
        "INSERT INTO payment_events (provider, idempotency_key, fingerprint, status, meaning, order_id, txn_id, body, settled_at,
                                     due_at)
         VALUES ('default', 'refund', UNHEX(REPEAT('00', 32)), 'dead', 'refunded', x'{order}', 'charge paid', '{{}}', NOW(6), NULL)"
    ))
    .await;
    fill(&shop, "parked", 2500).await;
    assert_eq!(walk(&app).await, 8, "one page may have the end of one state and the beginning of the other");
    let status = app
        .checkout
        .order(&holdfast::domain::Caller::operator(), order_id)
        .await
        .expect("the order exists")
        .order
        .status;
    assert_eq!(status.to_string(), "refunded");
}
