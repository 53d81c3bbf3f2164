//! The end of an event with many paid orders, beside the sale of another one.

use std::time::Instant;

use serde_json::{Value, json};

use super::cancelled::{cancel, concert_with_places, dry_run, pay};
use super::{event, office, standing, ticket_type};
use crate::clients::OPERATOR;
use crate::support::{Shop, with};

/// Paid orders; `TEST_PAID_ORDERS` replaces it, for a measurement.
const ORDERS: i64 = 2_000;

/// Writes paid orders of one unit of a ticket type each, with their charges and tickets.
async fn sell(shop: &Shop, (event_id, product_id): (i64, i64), count: i64) {
    let digits =
        "SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5
                  UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9";
    let numbers = format!(
        "(SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d AS n
          FROM ({digits}) AS a, ({digits}) AS b, ({digits}) AS c, ({digits}) AS e, ({digits}) AS f) AS numbers
         WHERE n <= {count}"
    );
    let id = |kind: u32| format!("UNHEX(CONCAT('{kind:04}', LPAD(HEX(n * 7919 % 1048583), 28, '0')))");
    let (hold, order) = (id(1), id(2));
    for statement in [
        format!(
            "INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, status, expires_at, returns_at, seats)
             SELECT {hold}, {product_id}, 1, 3900, 'EUR', 'ordered', NOW(6), NULL, '' FROM {numbers}"
        ),
        format!(
            "INSERT INTO orders (id, hold_id, status, total_minor, currency, pay_by)
             SELECT {order}, {hold}, 'paid', 3900, 'EUR', NOW(6) FROM {numbers}"
        ),
        format!(
            "INSERT INTO payment_events (id, provider, idempotency_key, fingerprint, status, meaning, order_id, txn_id, body, settled_at)
             SELECT 1000000 + n, 'default', CONCAT('bulk ', n), REPEAT('f', 32), 'applied', 'succeeded', {order}, CONCAT('bulk ', n), '',
                    NOW(6) FROM {numbers}"
        ),
        format!(
            "INSERT INTO charges (provider, name, event_id, order_id, hold_id, status, amount_minor, currency)
             SELECT 'default', CONCAT('bulk ', n), 1000000 + n, {order}, {hold}, 'paid', 3900, 'EUR' FROM {numbers}"
        ),
        format!(
            "INSERT INTO tickets (order_id, product_id, unit, issue, code, event_id)
             SELECT {order}, {product_id}, 1, 1, {}, {event_id} FROM {numbers}",
            id(3)
        ),
        format!("UPDATE products SET reserved = reserved + {count} WHERE id = {product_id}"),
    ] {
        shop.execute(&statement).await;
    }
}

#[tokio::test]
async fn another_event_sells_while_many_paid_orders_end() {
    let count = std::env::var("TEST_PAID_ORDERS").ok().and_then(|text| text.parse().ok()).unwrap_or(ORDERS);
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let event_id = event(&client, json!({})).await;
    let product_id = ticket_type(&client, event_id, &with(&standing(), json!({ "stock": 100_000 }))).await;
    sell(&shop, (event_id, product_id), count).await;
    let (_, elsewhere) = concert_with_places(&client).await;
    shop.execute(&format!("UPDATE products SET stock = 1000000 WHERE id = {elsewhere}")).await;
    let began = Instant::now();
    let told = dry_run(&client, event_id).await;
    println!("the sum of {count} orders took {:?}", began.elapsed());
    assert_eq!((&told["paid_orders"], &told["amount_due_minor"]), (&json!(count), &json!(count * 3900)));
    cancel(&client, event_id, &json!({ "confirm_amount_minor": count * 3900 })).await.expect(200);
    let began = Instant::now();
    let ending = tokio::spawn({
        let app = client.app.clone();
        async move {
            let mut steps = 0;
            while app.checkout.end_events().await.expect("a worker's step") {
                steps += 1;
            }
            steps
        }
    });
    // at least one sale begins and ends beside the steps
    let mut sold = 0;
    while !ending.is_finished() || sold == 0 {
        let (_, order_id) = client.hold_and_order(elsewhere, 1).await;
        assert_eq!(pay(&client, &order_id).await.body["order_status"], json!("paid"));
        sold += 1;
    }
    let steps: i64 = ending.await.expect("no panic");
    println!("{steps} steps took {:?}; {sold} orders were sold and paid beside them", began.elapsed());
    assert!(steps >= count / 500, "a step is bounded");
    let end = dry_run(&client, event_id).await;
    assert_eq!(
        (&end["state"], &end["refunds_due"], &end["amount_due_minor"]),
        (&json!("finished"), &json!(count), &json!(count * 3900))
    );
    let written: (i64, i64) = shop
        .row("SELECT COUNT(*), COUNT(DISTINCT charge_event_id) FROM due_refunds WHERE amount_minor = 3900 AND until_minor = 3900")
        .await;
    assert_eq!(written, (count, count));
    assert_eq!(shop.count("SELECT COUNT(*) FROM tickets WHERE status = 'void'").await, count);
    assert_eq!(shop.count("SELECT COUNT(*) FROM tickets WHERE status = 'valid'").await, sold);
    // the list has all of them, page by page
    let (mut listed, mut cursor) = (0, String::new());
    loop {
        let path = format!("/api/admin/refunds?event_id={event_id}&limit=100{cursor}");
        let page = client.send(client.request("GET", &path).bearer_auth(OPERATOR)).await.expect(200).body;
        listed += page["items"].as_array().map_or(0, Vec::len) as i64;
        match &page["next_cursor"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => break,
        }
    }
    assert_eq!(listed, count);
}
