//! Ticket types are held within the windows of their event and their own; seated ones not by a number.

use serde_json::{Value, json};

use super::{add_seats, event, hall, office, row, stalls, standing, ticket_type};
use crate::support::proxy::Action;
use crate::support::{Client, Shop, with};

async fn cart(client: &Client, products: &[i64]) -> crate::support::Answer {
    let items: Vec<Value> = products.iter().map(|id| json!({ "product_id": id, "qty": 1 })).collect();
    client.post("/api/holds", &json!({ "items": items })).await
}

#[tokio::test]
async fn an_admission_is_held_ordered_and_paid_as_any_product() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let event_id = event(&client, json!({})).await;
    let product_id = ticket_type(&client, event_id, &standing()).await;
    let plain = shop.product(5).await;
    let (_, order_id) = client.hold_and_order(product_id, 2).await;
    client.pay(&order_id, "paid", "key").await.expect(200);
    let hold = cart(&client, &[product_id, plain]).await.expect(201);
    let order_id = client.order(&hold.text("hold_id")).await;
    client.cancel(&order_id).await.expect(200);
    client.release(&client.hold(product_id, 1).await).await.expect(200);
    assert_eq!((client.available(product_id).await, client.available(plain).await), (8, 5));
    client.try_hold(product_id, 9).await.refused(409, "sold_out");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_of_a_seated_ticket_type_needs_seats() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = hall(&client).await;
    let admission = ticket_type(&client, event_id, &standing()).await;
    client.try_hold(product_id, 1).await.refused(422, "seats_required");
    add_seats(&client, product_id, &row("A", "1", json!(2))).await.expect(201);
    // read for the first time, remembered, with a key, and in a cart
    for _ in 0..2 {
        client.try_hold(product_id, 1).await.refused(422, "seats_required");
        let body = json!({ "product_id": product_id, "qty": 1 });
        client.post_keyed("/api/holds", "key", &body).await.refused(422, "seats_required");
        let refused = cart(&client, &[product_id, admission]).await;
        let lines = &refused.refused(422, "seats_required").body["items"];
        assert_eq!(
            lines,
            &json!([{ "product_id": product_id, "requested": 1, "available_stock": 2, "code": "seats_required" }])
        );
        cart(&client, &[product_id]).await.refused(422, "seats_required");
    }
    // it is refused for that whether its sale is on or not
    shop.execute(&format!("UPDATE products SET status = 'paused' WHERE id = {product_id}")).await;
    client.try_hold(product_id, 1).await.refused(422, "seats_required");
    assert_eq!(shop.count("SELECT SUM(reserved) FROM products").await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_outside_the_window_of_the_event_is_refused() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let later = event(&client, json!({ "sale_starts_at": "2080-01-01T00:00:00Z" })).await;
    let over = event(&client, json!({ "sale_ends_at": "2020-01-01T00:00:00Z" })).await;
    let (later, over) = (ticket_type(&client, later, &standing()).await, ticket_type(&client, over, &standing()).await);
    let early = client.try_hold(later, 1).await;
    assert_eq!(early.refused(409, "sale_not_started").body["sale_starts_at"], "2080-01-01T00:00:00.000000Z");
    assert!(!early.header("retry-after").is_empty());
    client.try_hold(over, 1).await.refused(409, "sale_ended");
    cart(&client, &[later, over]).await.refused(409, "sale_ended");
    let told = async |id: i64| client.get(&format!("/api/products/{id}")).await.expect(200).text("sale_status");
    assert_eq!((told(later).await, told(over).await), ("upcoming".to_owned(), "ended".to_owned()));
    // its own window does not open that of the event
    let path = format!("/api/admin/products/{over}");
    let own = json!({ "sale_ends_at": "2090-01-01T00:00:00Z" });
    client.send(client.request("PATCH", &path).bearer_auth(crate::clients::OPERATOR).json(&own)).await.expect(200);
    client.try_hold(over, 1).await.refused(409, "sale_ended");
    shop.assert_conserved().await;
}

/// Changes of a ticket type by another program, with what a hold is answered then.
const CHANGES: [(&str, Option<(u16, &str)>); 6] = [
    ("event_sale_starts_at = '2080-01-01'", Some((409, "sale_not_started"))),
    ("event_sale_ends_at = '2020-01-01'", Some((409, "sale_ended"))),
    ("cancelled_at = NOW(6)", Some((409, "event_cancelled"))),
    ("kind = 'seated'", Some((422, "seats_required"))),
    ("event_sale_starts_at = '2020-01-01', event_sale_ends_at = '2080-01-01'", None),
    ("kind = NULL, event_id = NULL", None),
];

#[tokio::test]
async fn what_an_instance_remembers_of_a_ticket_type_sells_nothing_once_it_has_changed() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let event_id = event(&client, json!({})).await;
    for in_cart in [false, true] {
        for (change, expected) in CHANGES {
            let product_id = ticket_type(&client, event_id, &standing()).await;
            let plain = shop.product(100).await;
            let ids = [product_id, plain];
            let products = if in_cart { &ids[..] } else { &ids[..1] };
            // from now on, the instance knows them
            cart(&client, products).await.expect(201);
            shop.execute(&format!("UPDATE products SET {change} WHERE id = {product_id}")).await;
            let answer = cart(&client, products).await;
            match expected {
                Some((status, code)) => drop(answer.refused(status, code)),
                None => drop(answer.expect(201)),
            }
        }
    }
    // and a plain product that becomes a ticket type
    for (change, status, code) in [
        ("kind = 'seated'", 422, "seats_required"),
        ("kind = 'admission', cancelled_at = NOW(6)", 409, "event_cancelled"),
    ] {
        for terms in ["max_qty = NULL", "max_qty = 10"] {
            let product_id = shop.product(10).await;
            shop.execute(&format!("UPDATE products SET {terms} WHERE id = {product_id}")).await;
            client.hold(product_id, 1).await;
            shop.execute(&format!("UPDATE products SET {change} WHERE id = {product_id}")).await;
            client.try_hold(product_id, 1).await.refused(status, code);
            cart(&client, &[product_id, shop.product(1).await]).await.refused(status, code);
        }
    }
    // they have units, and no seats
    shop.execute("UPDATE products SET kind = 'admission' WHERE kind = 'seated'").await;
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_sale_that_ends_between_the_look_and_the_guard_sells_nothing() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let event_id = event(&client, json!({})).await;
    let product_id = ticket_type(&client, event_id, &with(&standing(), json!({ "max_qty": 5 }))).await;
    client.hold(product_id, 1).await;
    let held = client.proxy.on("-- holds/insert_with_seats:", Action::PauseBefore);
    let (late, ()) = tokio::join!(client.try_hold(product_id, 1), async {
        held.reached().await;
        shop.execute("UPDATE products SET event_sale_ends_at = NOW(6)").await;
        held.release();
    });
    late.refused(409, "sale_ended");
    assert_eq!(shop.count("SELECT SUM(reserved) FROM products").await, 1);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_ticket_type_with_a_limit_counts_the_tickets_of_a_buyer() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let event_id = event(&client, json!({})).await;
    let product_id = ticket_type(&client, event_id, &with(&standing(), json!({ "max_per_buyer": 2 }))).await;
    client.try_hold(product_id, 1).await.refused(422, "buyer_required");
    let take = |qty: i64| json!({ "product_id": product_id, "qty": qty, "buyer": "b" });
    client.post("/api/holds", &take(2)).await.expect(201);
    client.post("/api/holds", &take(1)).await.refused(409, "buyer_limit");
    assert_eq!(shop.count("SELECT COUNT(*) FROM products WHERE limit_state = 'enforced'").await, 1);
    ticket_type(&client, event_id, &stalls()).await;
    shop.assert_conserved().await;
}
