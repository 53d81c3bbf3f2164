//! What the feed tells of holds with tickets.

use serde_json::{Value, json};

use super::cancelled::{confirm, end_all};
use super::held::{named, row_of};
use crate::clients::OPERATOR;
use crate::feed::{number, read_all, telling};
use crate::support::{Bare, Shop};

/// Returns what is told of holds: the type, the hold, the units and the reason.
async fn heard(client: &Bare) -> Vec<Value> {
    number(&client.app).await;
    let events = read_all(client, OPERATOR, 1000).await;
    let of_holds = events.iter().filter(|event| event["type"].as_str().is_some_and(|kind| kind.starts_with("hold.")));
    of_holds
        .map(|event| {
            let data = &event["data"];
            json!([event["type"], data["hold_id"], data["items"][0]["qty"], data["reason"]])
        })
        .collect()
}

#[tokio::test]
async fn holds_of_seats_are_told_when_they_are_taken_replaced_and_ended_by_a_cancelled_event() {
    let shop = Shop::open().await;
    let client = telling(&shop).await;
    let (event_id, product_id) = row_of(&client, 6).await;
    let old = named(&client, product_id, &["A-1-1", "A-1-2"]).await.expect(201).text("hold_id");
    named(&client, product_id, &["A-1-2", "A-1-3"]).await.refused(409, "seat_taken");
    let best = json!({ "product_id": product_id, "qty": 3, "best_available": true });
    let new = client.post("/api/holds", &json!({ "items": [best], "replaces": old })).await.expect(201).text("hold_id");
    let order_id = client.order(&named(&client, product_id, &["A-1-6"]).await.expect(201).text("hold_id")).await;
    confirm(&client, event_id).await;
    end_all(&client).await;
    assert_eq!(client.order_status(&order_id).await, "cancelled");
    let heard = heard(&client).await;
    let ordered = heard[3][1].clone();
    let expected = [
        json!(["hold.created", old, 2, null]),
        json!(["hold.released", old, 2, "replaced"]),
        json!(["hold.created", new, 3, null]),
        json!(["hold.created", ordered, 1, null]),
        json!(["hold.released", new, 3, "event_cancelled"]),
    ];
    assert_eq!(heard, expected, "that of an order is not released: the order is cancelled");
}
