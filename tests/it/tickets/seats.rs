//! Seats are added all or none, and the stock of their ticket type is their number.

use serde_json::{Value, json};

use super::{add_seats, hall, map, office, row, seated, send, stalls, ticket_type};
use crate::support::Shop;

#[tokio::test]
async fn seats_have_labels_places_and_ranks_and_are_the_stock() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = hall(&client).await;
    let body = json!({ "sections": [
        { "name": "A", "rows": [{ "name": "1", "seats": 3, "rank": 2 }, { "name": "2", "seats": ["1", "2a", "x"], "rank": 1 }] },
        { "name": "Loge 1", "rows": [{ "name": "Ä", "seats": 1, "rank": 1_000_000 }] },
    ] });
    let added = add_seats(&client, product_id, &body).await.expect(201);
    assert_eq!(added.body, json!({ "product_id": product_id, "seats": 7, "stock": 7 }));
    assert_eq!(map(&client, event_id).await, ["A-1 1f 2f 3f", "A-2 1f 2af xf", "Loge 1-Ä 1f"]);
    type Columns = (i64, String, i64, i64, i64);
    let rows: Vec<Columns> = shop
        .rows("SELECT n, CONVERT(label USING utf8mb4), row_n, place, row_rank FROM seats ORDER BY product_id, n")
        .await;
    let [.., fifth, _, last] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((fifth, last), (&(5, "A-2-2a".to_owned(), 2, 2, 1), &(7, "Loge 1-Ä-1".to_owned(), 3, 1, 1_000_000)));
    // a row goes on, and so does a section
    add_seats(&client, product_id, &row("A", "1", json!(["4", "5"]))).await.expect(201);
    let added = add_seats(&client, product_id, &row("A", "3", json!(1))).await.expect(201);
    assert_eq!(added.body, json!({ "product_id": product_id, "seats": 1, "stock": 10 }));
    let lines = ["A-1 1f 2f 3f 4f 5f", "A-2 1f 2af xf", "A-3 1f", "Loge 1-Ä 1f"];
    assert_eq!(map(&client, event_id).await, lines);
    assert_eq!((seated(&shop, product_id).await, client.available(product_id).await), (10, 10));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_label_twice_is_refused_by_name_and_nothing_is_added() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = hall(&client).await;
    let twice = add_seats(&client, product_id, &row("A", "1", json!(["1", "2", "1"]))).await;
    assert_eq!(twice.refused(409, "seat_exists").body["seats"], json!(["A-1-1"]));
    add_seats(&client, product_id, &row("A", "1", json!(3))).await.expect(201);
    let again = add_seats(&client, product_id, &row("A", "1", json!(["4", "3", "2"]))).await;
    assert_eq!(again.refused(409, "seat_exists").body["seats"], json!(["A-1-3", "A-1-2"]));
    let many = add_seats(&client, product_id, &row("B", "1", json!(150))).await.expect(201);
    assert_eq!(many.body["stock"], 153);
    let again = add_seats(&client, product_id, &row("B", "1", json!(150))).await;
    assert_eq!(again.refused(409, "seat_exists").body["seats"].as_array().map(Vec::len), Some(100));
    assert!(again.text("detail").starts_with("150 "), "{again:?}");
    // case counts, and another ticket type has labels of its own
    add_seats(&client, product_id, &row("a", "1", json!(3))).await.expect(201);
    let other = ticket_type(&client, event_id, &stalls()).await;
    add_seats(&client, other, &row("A", "1", json!(3))).await.expect(201);
    let counts = format!("SELECT COUNT(*) FROM seats WHERE product_id = {product_id}");
    assert_eq!((shop.count(&counts).await, client.available(product_id).await), (156, 156));
    assert_eq!(client.available(other).await, 3);
}

#[tokio::test]
async fn an_event_has_no_more_seats_than_it_may_have() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, product_id) = hall(&client).await;
    shop.execute("UPDATE events SET seats = 99998").await;
    let over = add_seats(&client, product_id, &row("A", "1", json!(3))).await;
    let told = &over.refused(409, "too_many_seats").body;
    assert_eq!((&told["limit"], &told["yours"]), (&json!(100_000), &json!(99_998)));
    add_seats(&client, product_id, &row("A", "1", json!(2))).await.expect(201);
    assert_eq!(client.available(product_id).await, 2);
}

#[tokio::test]
async fn the_stock_of_a_seated_ticket_type_is_changed_by_seats_alone() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, product_id) = hall(&client).await;
    add_seats(&client, product_id, &row("A", "1", json!(2))).await.expect(201);
    for change in [json!({ "add": 1 }), json!({ "set": 1 }), json!({ "set": 2 }), json!({ "add": -2 })] {
        let path = format!("/api/admin/products/{product_id}/stock");
        send(&client, &path, &change).await.refused(422, "stock_is_seats");
    }
    let path = format!("/api/admin/products/{product_id}");
    let patch = client.request("PATCH", &path).bearer_auth(crate::clients::OPERATOR).json(&json!({ "stock": 3 }));
    client.send(patch).await.refused(422, "stock_not_here");
    assert_eq!(seated(&shop, product_id).await, 2);
    let body: Value = client.get(&format!("/api/products/{product_id}")).await.expect(200).body;
    assert_eq!(body["sale_status"], "on_sale");
}
