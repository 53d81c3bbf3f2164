//! Holds of seats: named ones or the best that are available, with the units of their ticket type, given back with them once.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{add_seats, event, map, office, row, stalls, standing, ticket_type};
use crate::support::crowd::sent;
use crate::support::{Answer, Client, Shop};

/// An event with one row of so many seats; returns its id and that of the ticket type.
pub(super) async fn row_of(client: &Client, seats: i64) -> (i64, i64) {
    let event_id = event(client, json!({})).await;
    let product_id = ticket_type(client, event_id, &stalls()).await;
    add_seats(client, product_id, &row("A", "1", json!(seats))).await.expect(201);
    (event_id, product_id)
}

pub(super) async fn hold(client: &Client, items: Value) -> Answer {
    client.post("/api/holds", &json!({ "items": items })).await
}

pub(super) async fn named(client: &Client, product_id: i64, seats: &[&str]) -> Answer {
    hold(client, json!([{ "product_id": product_id, "seats": seats }])).await
}

pub(super) async fn best(client: &Client, product_id: i64, qty: i64, split: bool) -> Answer {
    hold(client, json!([{ "product_id": product_id, "qty": qty, "best_available": true, "split": split }])).await
}

#[track_caller]
pub(super) fn seats(answer: &Answer) -> Vec<String> {
    let seats = answer.body["items"][0]["seats"].as_array().unwrap_or_else(|| panic!("no seats in {answer:?}"));
    seats.iter().map(|seat| seat.as_str().expect("a label").to_owned()).collect()
}

/// Checks that the units reserved of a seated type are its seats that are not free.
pub(super) async fn agrees(shop: &Shop, product_id: i64) -> i64 {
    let (reserved, taken): (i64, i64) = shop
        .row(&format!(
            "SELECT reserved, (SELECT COUNT(*) FROM seats WHERE product_id = products.id AND hold_id IS NOT NULL)
             FROM products WHERE id = {product_id}"
        ))
        .await;
    assert_eq!(reserved, taken);
    taken
}

#[tokio::test]
async fn named_seats_are_held_all_or_none_and_a_refusal_names_those_that_are_taken() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = row_of(&client, 5).await;
    let first = named(&client, product_id, &["A-1-2", "A-1-4"]).await.expect(201);
    assert_eq!((seats(&first), &first.body["items"][0]["qty"]), (vec!["A-1-2".into(), "A-1-4".into()], &json!(2)));
    let refused = named(&client, product_id, &["A-1-3", "A-1-4"]).await;
    let items = &refused.refused(409, "seat_taken").body["items"];
    assert_eq!((&items[0]["seats"], &items[0]["code"]), (&json!(["A-1-4"]), &json!("seat_taken")));
    let unknown = named(&client, product_id, &["A-1-3", "A-9-9"]).await;
    assert_eq!(unknown.refused(422, "seat_not_found").body["items"][0]["seats"], json!(["A-9-9"]));
    assert_eq!(map(&client, event_id).await, ["A-1 1f 2h 3f 4h 5f"]);
    assert_eq!(agrees(&shop, product_id).await, 2);
    // a seat that is added later is found
    add_seats(&client, product_id, &row("A", "1", json!(["6"]))).await.expect(201);
    named(&client, product_id, &["A-1-6"]).await.expect(201);
    assert_eq!(agrees(&shop, product_id).await, 3);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_best_seats_are_beside_each_other_unless_they_may_be_apart() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = row_of(&client, 7).await;
    assert_eq!(seats(&best(&client, product_id, 3, false).await.expect(201)), ["A-1-3", "A-1-4", "A-1-5"]);
    best(&client, product_id, 3, false).await.refused(409, "seats_not_adjacent");
    assert_eq!(seats(&best(&client, product_id, 3, true).await.expect(201)), ["A-1-1", "A-1-2", "A-1-6"]);
    best(&client, product_id, 2, true).await.refused(409, "all_held");
    assert_eq!(map(&client, event_id).await, ["A-1 1h 2h 3h 4h 5h 6h 7f"]);
    assert_eq!(agrees(&shop, product_id).await, 6);
}

#[tokio::test]
async fn seats_go_with_their_hold_through_its_order_and_back() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = row_of(&client, 4).await;
    let held = named(&client, product_id, &["A-1-1"]).await.expect(201);
    let released = named(&client, product_id, &["A-1-2"]).await.expect(201);
    let read = client.get(&format!("/api/holds/{}", released.text("hold_id"))).await.expect(200);
    assert_eq!(seats(&read), ["A-1-2"]);
    client.delete(&format!("/api/holds/{}", released.text("hold_id"))).await.expect(200);
    assert_eq!(map(&client, event_id).await, ["A-1 1h 2f 3f 4f"]);
    let order = client.post("/api/orders", &json!({ "hold_id": held.text("hold_id") })).await.expect(201);
    assert_eq!(seats(&order), ["A-1-1"]);
    assert_eq!(map(&client, event_id).await, ["A-1 1h 2f 3f 4f"]);
    client.pay(&order.text("order_id"), "succeeded", "a").await.expect(200);
    assert_eq!(map(&client, event_id).await, ["A-1 1s 2f 3f 4f"]);
    assert_eq!(agrees(&shop, product_id).await, 1);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_cart_mixes_seats_places_and_units_all_or_none() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = row_of(&client, 3).await;
    let admission = ticket_type(&client, event_id, &standing()).await;
    let plain = shop.product(5).await;
    let cart = |seat: &str, qty: i64| {
        json!([
            { "product_id": product_id, "seats": [seat] },
            { "product_id": admission, "qty": 2 },
            { "product_id": plain, "qty": qty },
        ])
    };
    shop.execute(&format!("UPDATE products SET currency = 'EUR' WHERE id = {plain}")).await;
    let held = hold(&client, cart("A-1-1", 2)).await.expect(201);
    assert_eq!(held.body["items"].as_array().map(Vec::len), Some(3));
    hold(&client, cart("A-1-1", 1)).await.refused(409, "seat_taken");
    hold(&client, cart("A-1-2", 4)).await.refused(409, "all_held");
    assert_eq!(
        [shop.reserved(product_id).await, shop.reserved(admission).await, shop.reserved(plain).await],
        [1, 2, 2]
    );
    // a hold that is replaced gives its seats back first, and keeps them if the new one cannot be had
    let replace = |seats: &[&str], hold_id: &str| json!({ "items": [{ "product_id": product_id, "seats": seats }], "replaces": hold_id });
    let hold_id = held.text("hold_id");
    let other = named(&client, product_id, &["A-1-3"]).await.expect(201);
    client.post("/api/holds", &replace(&["A-1-1", "A-1-3"], &hold_id)).await.refused(409, "seat_taken");
    assert_eq!(map(&client, event_id).await, ["A-1 1h 2f 3h"]);
    let larger = client.post("/api/holds", &replace(&["A-1-1", "A-1-2"], &hold_id)).await.expect(201);
    assert_eq!(seats(&larger), ["A-1-1", "A-1-2"]);
    assert_eq!(
        [shop.reserved(product_id).await, shop.reserved(admission).await, shop.reserved(plain).await],
        [3, 0, 0]
    );
    client.delete(&format!("/api/holds/{}", other.text("hold_id"))).await.expect(200);
    assert_eq!((agrees(&shop, product_id).await, map(&client, event_id).await), (2, vec!["A-1 1h 2h 3f".to_owned()]));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn adjacent_seats_far_behind_many_single_ones_are_found_before_a_request_is_split() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let event_id = event(&client, json!({})).await;
    let product_id = ticket_type(&client, event_id, &stalls()).await;
    // more single seats than are read at first where the best ones are wanted
    let rows: Vec<Value> =
        (1..=301).map(|n| json!({ "name": n.to_string(), "seats": if n > 300 { 2 } else { 1 }, "rank": n })).collect();
    let hall = json!({ "sections": [{ "name": "A", "rows": rows }] });
    add_seats(&client, product_id, &hall).await.expect(201);
    assert_eq!(seats(&best(&client, product_id, 2, true).await.expect(201)), ["A-301-1", "A-301-2"]);
    assert_eq!(seats(&best(&client, product_id, 2, true).await.expect(201)), ["A-1-1", "A-2-1"]);
    assert_eq!(agrees(&shop, product_id).await, 4);
}

#[tokio::test]
async fn requests_of_one_seat_fill_the_best_rows_with_one_read_of_what_is_free() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let event_id = event(&client, json!({})).await;
    let product_id = ticket_type(&client, event_id, &stalls()).await;
    let rows: Vec<Value> = (1..=6).map(|n| json!({ "name": n.to_string(), "seats": 4, "rank": n })).collect();
    add_seats(&client, product_id, &json!({ "sections": [{ "name": "A", "rows": rows }] })).await.expect(201);
    let one = async || seats(&best(&client, product_id, 1, true).await.expect(201)).remove(0);
    client.proxy.clear();
    let mut filled = Vec::new();
    for _ in 0..10 {
        filled.push(one().await);
    }
    assert_eq!(sent(&client.proxy, "seats/list_free"), 10);
    filled.extend(join_all((0..14).map(|_| one())).await);
    let row_of = |seat: &String| seat.split('-').nth(1).and_then(|row| row.parse::<usize>().ok()).expect("a label");
    assert!(filled.iter().take(10).map(row_of).eq([1, 1, 1, 1, 2, 2, 2, 2, 3, 3]), "{filled:?}");
    filled.sort_unstable();
    filled.dedup();
    let (reads, writes) = (sent(&client.proxy, "seats/list_free"), sent(&client.proxy, "seats/take"));
    assert_eq!((filled.len(), reads), (24, writes), "{writes} batches");
    best(&client, product_id, 1, true).await.expect(409);
    assert_eq!(agrees(&shop, product_id).await, 24);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn seats_of_a_known_hall_are_held_without_a_read_before_and_seats_that_are_added_are_found_at_once() {
    let shop = Shop::open().await;
    let (client, operator) = (office(&shop).await, office(&shop).await);
    let event_id = event(&client, json!({})).await;
    let product_id = ticket_type(&client, event_id, &stalls()).await;
    let row = |rank: i64, seats: i64| json!({ "sections": [{ "name": "A", "rows": [{ "name": rank.to_string(), "seats": seats, "rank": rank }] }] });
    add_seats(&operator, product_id, &row(9, 20)).await.expect(201);
    let one = async || seats(&best(&client, product_id, 1, false).await.expect(201)).remove(0);
    one().await;
    client.proxy.clear();
    assert!(one().await.starts_with("A-9-"));
    assert_eq!(sent(&client.proxy, "products/list_some"), 0, "{:#?}", client.proxy.statements());
    // better ones through another instance; some are named before the best ones are wanted
    for rank in (1..9).rev() {
        add_seats(&operator, product_id, &row(rank, 2)).await.expect(201);
        if rank % 2 == 0 {
            named(&client, product_id, &[&format!("A-{rank}-2")]).await.expect(201);
        }
        assert_eq!(one().await, format!("A-{rank}-1"));
    }
    assert_eq!(agrees(&shop, product_id).await, 2 + 8 + 4);
    shop.assert_conserved().await;
}
