//! Operators read the inbox page by page, narrowed by order, hold, charge and time.

use serde_json::{Value, json};

use super::{ids, open_shop};
use crate::support::{Instance, mint};

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
