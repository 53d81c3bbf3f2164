//! What the feed tells, and to which callers.

use holdfast::domain::Role;
use serde_json::{Value, json};

use super::{assert_as_trails, assert_whole, number, page, read_all, told, types};
use crate::clients::{OPERATOR, add, managed};
use crate::support::{Answer, Bare, Shop, mint, with};

/// Sends a body with a token.
async fn post(client: &Bare, path: &str, token: &str, body: Value) -> Answer {
    client.send(client.request("POST", path).bearer_auth(token).json(&body)).await
}

/// Takes a hold with a token and makes an order of it.
async fn order(client: &Bare, token: &str, hold: Value, written: Value) -> Answer {
    let hold_id = post(client, "/api/holds", token, hold).await.expect(201).text("hold_id");
    post(client, "/api/orders", token, with(&written, json!({ "hold_id": hold_id }))).await.expect(201)
}

#[tokio::test]
async fn an_order_is_told_from_its_creation_to_its_refunds_with_what_its_shop_wrote_on_it() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = managed(&shop).await;
    let one = add(&client.app, "one", Role::Storefront).await;
    let hold = json!({ "product_id": product_id, "qty": 2, "buyer": "b-7" });
    let made = order(&client, &one.token, hold, json!({ "reference": "R-1", "metadata": { "cart": "c1" } })).await;
    let order_id = made.text("order_id");
    client.pay(&order_id, "paid", "k1").await.expect(200);
    for (key, amount) in [("k2", "10.00"), ("k3", "89.98")] {
        let part = json!({ "status": "refunded", "order_id": order_id, "idempotency_key": key, "amount": amount });
        client.webhook(&part).await.expect(200);
    }
    let events = told(&client).await;
    assert_eq!(types(&events), ["order.created", "order.paid", "order.refunded", "order.refunded"]);
    assert_whole(&events);
    assert_as_trails(&shop, &events).await;
    for event in &events {
        let data = &event["data"];
        assert_eq!(data["order_id"], order_id, "{event}");
        assert_eq!(data["hold_id"], made.body["hold_id"]);
        assert_eq!((&data["total_minor"], &data["currency"]), (&made.body["total_minor"], &made.body["currency"]));
        assert_eq!((&data["buyer"], &data["reference"]), (&json!("b-7"), &json!("R-1")));
        assert_eq!(data["metadata"], json!({ "cart": "c1" }));
        assert!(event["timestamp"].as_str().expect("a time").ends_with('Z'));
    }
    let refunded: Vec<&Value> = events.iter().map(|event| &event["data"]["refunded_minor"]).collect();
    assert_eq!(refunded, [&Value::Null, &Value::Null, &json!(1000), &json!(9998)]);
    let payment_events: Vec<&Value> = events.iter().map(|event| &event["data"]["payment_event_id"]).collect();
    assert_eq!(payment_events, [&Value::Null, &json!(1), &json!(2), &json!(3)]);
    let states: Vec<&Value> = events.iter().map(|event| &event["data"]["status"]).collect();
    assert_eq!(states, ["pending", "paid", "paid", "refunded"]);
}

#[tokio::test]
async fn an_order_that_ends_unpaid_is_told_to_its_shop_with_the_reason() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = managed(&shop).await;
    let one = add(&client.app, "one", Role::Storefront).await;
    let ordered = async || order(&client, &one.token, json!({ "product_id": product_id, "qty": 1 }), json!({})).await;
    let given_up = ordered().await.text("order_id");
    post(&client, &format!("/api/orders/{given_up}/cancel"), &one.token, json!({})).await.expect(200);
    let failed = ordered().await.text("order_id");
    client.pay(&failed, "failed", "k").await.expect(200);
    let late = ordered().await.text("order_id");
    shop.let_order_run_out(&late).await;
    while client.app.checkout.cancel_overdue_orders().await.expect("the step runs") {}
    client.pay(&late, "paid", "k2").await.expect(200);
    let events = told(&client).await;
    assert_whole(&events);
    assert_as_trails(&shop, &events).await;
    let own = read_all(&client, &one.token, 1000).await;
    assert_eq!(own, events);
    let cancelled = own.iter().filter(|event| event["type"] == "order.cancelled");
    let reasons: Vec<(&Value, &Value)> =
        cancelled.map(|event| (&event["data"]["order_id"], &event["data"]["reason"])).collect();
    let expected = [(&given_up, "buyer_cancelled"), (&failed, "payment_failed"), (&late, "payment_overdue")]
        .map(|(order_id, reason)| (json!(order_id), json!(reason)));
    assert_eq!(reasons, expected.iter().map(|(order_id, reason)| (order_id, reason)).collect::<Vec<_>>());
    assert_eq!(types(&own).last(), Some(&"order.paid"), "a late payment finds units");
}

#[tokio::test]
async fn an_order_that_an_earlier_version_made_is_told_to_the_client_that_owns_it() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = managed(&shop).await;
    let one = add(&client.app, "one", Role::Storefront).await;
    let hold = json!({ "product_id": product_id, "qty": 1 });
    let [paid, overdue] = [0, 1].map(|_| order(&client, &one.token, hold.clone(), json!({})));
    let (paid, overdue) = (paid.await.text("order_id"), overdue.await.text("order_id"));
    number(&client.app).await;
    let before = read_all(&client, &one.token, 1000).await.len();
    shop.execute("UPDATE orders SET client_id = NULL").await;
    client.pay(&paid, "paid", "k").await.expect(200);
    shop.let_order_run_out(&overdue).await;
    while client.app.checkout.cancel_overdue_orders().await.expect("the step runs") {}
    number(&client.app).await;
    let own = read_all(&client, &one.token, 1000).await;
    assert_eq!(types(&own[before..]), ["order.paid", "order.cancelled"]);
}

#[tokio::test]
async fn money_that_pays_for_no_order_is_told_to_the_shop_of_its_order_or_hold() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let client = managed(&shop).await;
    let one = add(&client.app, "one", Role::Storefront).await;
    let other = add(&client.app, "other", Role::Storefront).await;
    let hold = json!({ "product_id": product_id, "qty": 1 });
    let order_id = order(&client, &one.token, hold.clone(), json!({})).await.text("order_id");
    // the wrong amount waits for an operator; the second payment of a paid order is due
    let wrong =
        json!({ "status": "paid", "order_id": order_id, "idempotency_key": "k1", "amount": "1.00", "txn_id": "t1" });
    client.webhook(&wrong).await.expect(200);
    client.pay(&order_id, "paid", "k2").await.expect(200);
    let second = json!({ "status": "paid", "order_id": order_id, "idempotency_key": "k3", "txn_id": "t3" });
    client.webhook(&second).await.expect(200);
    number(&client.app).await;
    let own = read_all(&client, &one.token, 1000).await;
    assert_eq!(types(&own), ["order.created", "payment.quarantined", "order.paid", "payment.refund_due"]);
    assert_eq!(own[1]["data"]["reason"], "amount_mismatch");
    assert_eq!((&own[1]["data"]["amount_minor"], &own[1]["data"]["amount_currency"]), (&json!(100), &json!("EUR")));
    assert_eq!(own[3]["data"]["order_id"], order_id);
    assert!(own[3]["data"]["payment_event_id"].is_i64(), "{}", own[3]);
    assert!(read_all(&client, &other.token, 1000).await.is_empty());
    // an event that names things of two shops is told to neither of them
    let hold_id =
        post(&client, "/api/holds", &other.token, json!({ "product_id": shop.product(1).await, "qty": 1 })).await;
    let both = json!({ "status": "paid", "order_id": order_id, "hold_id": hold_id.expect(201).text("hold_id"), "idempotency_key": "k4" });
    assert_eq!(client.webhook(&both).await.text("status"), "quarantined");
    number(&client.app).await;
    assert!(read_all(&client, &other.token, 1000).await.is_empty());
    assert_eq!(read_all(&client, &one.token, 1000).await, own);
    assert_eq!(types(&told(&client).await).last(), Some(&"payment.quarantined"));
}

#[tokio::test]
async fn the_tickets_of_an_order_are_told_as_they_are_written_used_replaced_and_void() {
    let shop = Shop::open().await;
    let client = managed(&shop).await;
    let one = add(&client.app, "one", Role::Storefront).await;
    let made = async |path: &str, body: Value| post(&client, path, OPERATOR, body).await.expect(201).body["id"].clone();
    let organizer_id = made("/api/admin/organizers", json!({ "name": "City Concerts" })).await;
    let concert = json!({ "organizer_id": organizer_id, "name": "Concert", "venue": "Hall", "starts_at": "2090-05-01T18:00:00Z" });
    let event_id = made("/api/admin/events", concert).await;
    let standing =
        json!({ "name": "Standing", "kind": "admission", "price_minor": 3900, "currency": "EUR", "stock": 10 });
    let product_id = made(&format!("/api/admin/events/{event_id}/ticket-types"), standing).await;
    let order_id =
        order(&client, &one.token, json!({ "product_id": product_id, "qty": 2 }), json!({})).await.text("order_id");
    client.pay(&order_id, "paid", "k1").await.expect(200);
    let tickets = client.request("GET", &format!("/api/orders/{order_id}/tickets")).bearer_auth(&one.token);
    let tickets = client.send(tickets).await.expect(200);
    let code = |place: usize| tickets.body["items"][place]["code"].as_str().expect("a code").to_owned();
    for _ in 0..2 {
        // the second time, the ticket was used
        let redeemed = post(&client, &format!("/api/tickets/{}/redeem", code(0)), OPERATOR, json!({})).await;
        assert!([200, 409].contains(&redeemed.status), "{redeemed:?}");
    }
    post(&client, &format!("/api/admin/tickets/{}/reissue", code(1)), OPERATOR, json!({})).await.expect(201);
    client.pay(&order_id, "refunded", "k2").await.expect(200);
    number(&client.app).await;
    let own = read_all(&client, &one.token, 1000).await;
    let tickets = own.iter().filter(|event| event["type"].as_str().is_some_and(|kind| kind.starts_with("ticket.")));
    let told: Vec<(&str, &Value, &Value, &Value)> = tickets
        .map(|event| {
            assert_eq!(event["data"]["order_id"], order_id);
            let field = |name| &event["data"][name];
            (event["type"].as_str().expect("a type"), field("tickets"), field("reason"), field("product_id"))
        })
        .collect();
    let (none, one_ticket, reissued) = (Value::Null, json!(1), json!("reissued"));
    assert_eq!(
        told,
        [
            ("ticket.issued", &json!(2), &none, &none),
            ("ticket.redeemed", &none, &none, &product_id),
            ("ticket.voided", &one_ticket, &reissued, &product_id),
            ("ticket.issued", &one_ticket, &reissued, &product_id),
            ("ticket.voided", &json!(2), &none, &none),
        ]
    );
    let texts = own.iter().map(Value::to_string).collect::<String>();
    assert!(!texts.contains(&code(0)) && !texts.contains(&code(1)), "codes are not told");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_storefront_hears_of_its_own_and_of_products_and_an_operator_of_everything() {
    let shop = Shop::open().await;
    let client = managed(&shop).await;
    let one = add(&client.app, "one", Role::Storefront).await;
    let other = add(&client.app, "other", Role::Storefront).await;
    let admin = add(&client.app, "admin", Role::Admin).await;
    let product = json!({ "name": "Ring", "price_minor": 4999, "currency": "EUR", "stock": 10 });
    let product = post(&client, "/api/admin/products", OPERATOR, product).await.expect(201);
    let hold = json!({ "product_id": product.body["id"], "qty": 1, "buyer": "b" });
    let own = order(&client, &one.token, hold.clone(), json!({})).await.text("order_id");
    let others = order(&client, &other.token, hold.clone(), json!({})).await.text("order_id");
    let (_, anonymous) = client.hold_and_order(product.body["id"].as_i64().expect("an id"), 1).await;
    number(&client.app).await;
    let heard = async |token: &str| -> Vec<Value> {
        let events = read_all(&client, token, 2).await;
        events.iter().map(|event| event["data"]["order_id"].clone()).collect()
    };
    assert_eq!(heard(&one.token).await, [Value::Null, json!(own)]);
    assert_eq!(heard(&other.token).await, [Value::Null, json!(others)]);
    for token in [OPERATOR, admin.token.as_str()] {
        assert_eq!(heard(token).await, [Value::Null, json!(own), json!(others), json!(anonymous)]);
    }
    client.get("/api/feed").await.refused(401, "unauthorized");
    // narrowed to a buyer, a storefront hears of that buyer's orders alone
    for (buyer, expected) in [("b", vec![json!(own)]), ("c", vec![])] {
        let request = client.request("GET", "/api/feed").bearer_auth(&one.token).header("Holdfast-Buyer", buyer);
        let read = client.send(request).await.expect(200);
        let found: Vec<Value> = read.body["items"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|event| event["data"]["order_id"].clone())
            .collect();
        assert_eq!(found, expected, "{buyer}");
    }
}

#[tokio::test]
async fn every_page_size_and_every_filter_reads_the_same_events_in_the_same_order() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let client = managed(&shop).await;
    let one = add(&client.app, "one", Role::Storefront).await;
    for place in 0..7 {
        let hold = json!({ "product_id": product_id, "qty": 1 });
        let token = if place % 2 == 0 { one.token.as_str() } else { OPERATOR };
        let order_id = order(&client, token, hold, json!({})).await.text("order_id");
        if place % 3 == 0 {
            client.pay(&order_id, "paid", &mint()).await.expect(200);
        }
    }
    let all = told(&client).await;
    assert_eq!(all.len(), 10);
    assert_whole(&all);
    for limit in [1, 2, 3, 10, 11] {
        assert_eq!(read_all(&client, OPERATOR, limit).await, all, "{limit}");
    }
    let paid = page(&client, OPERATOR, "types=order.paid,order.refunded&limit=2").await.expect(200);
    assert_eq!(types(paid.body["items"].as_array().expect("a list")), ["order.paid", "order.paid"]);
    let rest =
        page(&client, OPERATOR, &format!("types=order.paid&limit=2&after={}", paid.text("next"))).await.expect(200);
    assert_eq!(types(rest.body["items"].as_array().expect("a list")), ["order.paid"]);
    let end = page(&client, OPERATOR, &format!("after={}", rest.text("next"))).await.expect(200);
    assert_eq!((end.body["items"].as_array().map(Vec::len), end.text("next")), (Some(0), rest.text("next")));
    for stock in 0..3 {
        let product = json!({ "name": "Ring", "price_minor": 4999, "currency": "EUR", "stock": stock });
        post(&client, "/api/admin/products", OPERATOR, product).await.expect(201);
        order(&client, &one.token, json!({ "product_id": product_id, "qty": 1 }), json!({})).await;
    }
    number(&client.app).await;
    let own = read_all(&client, &one.token, 3).await;
    assert_eq!(read_all(&client, &one.token, 1).await, own, "of the client and of products");
    let all = told(&client).await;
    let positions: Vec<&Value> = own.iter().map(|event| &event["position"]).collect();
    assert!(positions.is_sorted_by_key(|position| position.as_i64()) && own.len() < all.len(), "{positions:?}");
    assert_eq!(own.iter().filter(|event| event["type"] == "product.changed").count(), 3);
}

#[tokio::test]
async fn a_parameter_that_the_feed_cannot_read_is_refused_with_its_code() {
    let shop = Shop::open().await;
    let client = managed(&shop).await;
    for (query, code) in [
        ("limit=0", "invalid_limit"),
        ("limit=1001", "invalid_limit"),
        ("wait=31", "invalid_wait"),
        ("wait=-1", "invalid_wait"),
        ("wait=x", "invalid_wait"),
        ("after=x", "invalid_cursor"),
        ("after=", "invalid_cursor"),
        ("types=", "invalid_types"),
        ("types=order.paid,order.unknown", "invalid_types"),
        ("cursor=x", "unknown_parameter"),
    ] {
        page(&client, OPERATOR, query).await.refused(400, code);
    }
    let read = page(&client, OPERATOR, "types=order.paid%2C%20order.created").await.expect(200);
    shop.execute("UPDATE feed SET epoch = epoch + 1").await;
    let after = format!("after={}", read.text("next"));
    page(&client, OPERATOR, &after).await.refused(410, "cursor_reset");
    page(&client, OPERATOR, "").await.expect(200);
}
