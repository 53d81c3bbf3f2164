//! Events over the API: organizers, ticket types, seats, and the maps of these.

mod audited;
mod bodies;
mod cancelled;
mod documented;
mod ended;
mod ended_damage;
mod ended_large;
mod ended_races;
mod event_limit;
mod held;
mod held_told;
mod issued;
mod keys;
mod large;
mod listed;
mod maps;
mod races;
mod redeemed;
mod redemptions;
mod reissued;
mod returned;
mod rush;
mod seat_batches;
mod seat_damage;
mod seat_faults;
mod seats;
mod sold;
mod ticket_faults;

use holdfast::config::Config;
use holdfast::domain::AdminToken;
use serde_json::{Value, json};

use crate::clients::OPERATOR;
use crate::support::{Answer, Bare, Client, Shop, with};

/// An instance without workers whose operators have a token.
async fn office(shop: &Shop) -> Bare {
    shop.serve_without_workers_as(Config { admin_token: AdminToken::new(OPERATOR), ..shop.config() }).await
}

/// Sends a request of an operator.
async fn send(client: &Client, path: &str, body: &Value) -> Answer {
    client.send(client.request("POST", path).bearer_auth(OPERATOR).json(body)).await
}

/// Sends a request of an operator with a key.
async fn keyed(client: &Client, path: &str, key: &str, body: &Value) -> Answer {
    let request = client.request("POST", path).bearer_auth(OPERATOR).header("idempotency-key", key);
    client.send(request.json(body)).await
}

/// Returns the id in an answer.
#[track_caller]
fn id(answer: &Answer) -> i64 {
    answer.body["id"].as_i64().unwrap_or_else(|| panic!("no id in {answer:?}"))
}

async fn organizer(client: &Client) -> i64 {
    id(&send(client, "/api/admin/organizers", &json!({ "name": "City Concerts" })).await.expect(201))
}

fn concert(organizer_id: i64) -> Value {
    json!({ "organizer_id": organizer_id, "name": "Concert", "venue": "Hall", "starts_at": "2090-05-01T18:00:00Z" })
}

/// Creates an organizer and an event with these changes; returns the event's id.
async fn event(client: &Client, changes: Value) -> i64 {
    let body = with(&concert(organizer(client).await), changes);
    id(&send(client, "/api/admin/events", &body).await.expect(201))
}

fn standing() -> Value {
    json!({ "name": "Standing", "kind": "admission", "price_minor": 3900, "currency": "EUR", "stock": 10 })
}

fn stalls() -> Value {
    json!({ "name": "Stalls", "kind": "seated", "price_minor": 5900, "currency": "EUR" })
}

async fn try_type(client: &Client, event_id: i64, body: &Value) -> Answer {
    send(client, &format!("/api/admin/events/{event_id}/ticket-types"), body).await
}

/// Creates a ticket type; returns its id.
async fn ticket_type(client: &Client, event_id: i64, body: &Value) -> i64 {
    id(&try_type(client, event_id, body).await.expect(201))
}

/// Creates an event with a seated ticket type; returns their ids.
async fn hall(client: &Client) -> (i64, i64) {
    let event_id = event(client, json!({})).await;
    (event_id, ticket_type(client, event_id, &stalls()).await)
}

/// One row of one section.
fn row(section: &str, name: &str, seats: Value) -> Value {
    json!({ "sections": [{ "name": section, "rows": [{ "name": name, "seats": seats, "rank": 1 }] }] })
}

async fn add_seats(client: &Client, product_id: i64, body: &Value) -> Answer {
    send(client, &format!("/api/admin/ticket-types/{product_id}/seats"), body).await
}

/// Returns the stock of a ticket type, which must be the number of its seats and that of its event.
async fn seated(shop: &Shop, product_id: i64) -> i64 {
    let (stock, seats, of_event): (i64, i64, i64) = shop
        .row(&format!(
            "SELECT products.stock, (SELECT COUNT(*) FROM seats WHERE product_id = products.id), events.seats
             FROM products JOIN events ON events.id = products.event_id WHERE products.id = {product_id}"
        ))
        .await;
    assert_eq!((seats, of_event), (stock, stock));
    stock
}

/// Returns the map of an event, as text by rows: `A-1 1f 2h`.
async fn map(client: &Client, event_id: i64) -> Vec<String> {
    let map = client.get(&format!("/api/events/{event_id}/seats")).await.expect(200);
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let mut lines = Vec::new();
    for section in list(&map.body["ticket_types"]).iter().flat_map(|one_type| list(&one_type["sections"])) {
        for row in list(&section["rows"]) {
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let mut line = format!("{}-{}", text(&section["name"]), text(&row["name"]));
            for (seat, state) in list(&row["seats"]).iter().zip(text(&row["states"]).chars()) {
                line.push_str(&format!(" {}{state}", text(seat)));
            }
            lines.push(line);
        }
    }
    lines
}

#[tokio::test]
async fn an_event_is_shown_with_its_organizer_its_times_and_its_ticket_types() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let organizer_id = organizer(&client).await;
    let times = json!({ "sale_starts_at": "2020-01-02T03:04:05.123456+01:00", "sale_ends_at": "2090-05-01T00:00:00Z" });
    let made = send(&client, "/api/admin/events", &with(&concert(organizer_id), times)).await.expect(201);
    let path = format!("/api/events/{}", id(&made));
    assert_eq!((made.header("location"), &made.body["sale_status"]), (path.as_str(), &json!("sold_out")));
    let first = try_type(&client, id(&made), &with(&standing(), json!({ "sku": "s", "max_qty": 6 }))).await.expect(201);
    assert_eq!(first.header("location"), format!("/api/products/{}", id(&first)));
    let second = ticket_type(&client, id(&made), &stalls()).await;
    let shown = client.get(&path).await.expect(200).body;
    let told = json!({
        "id": id(&made), "organizer": { "id": organizer_id, "name": "City Concerts" }, "name": "Concert", "venue": "Hall",
        "starts_at": "2090-05-01T18:00:00.000000Z", "sale_starts_at": "2020-01-02T02:04:05.123456Z",
        "sale_ends_at": "2090-05-01T00:00:00.000000Z", "sale_status": "on_sale",
    });
    for (field, value) in told.as_object().expect("an object") {
        assert_eq!(&shown[field], value, "{field}");
    }
    let [one, other] = shown["ticket_types"].as_array().expect("a list").as_slice() else { panic!("{shown}") };
    let fields = json!({
        "id": id(&first), "event_id": id(&made), "kind": "admission", "price_minor": 3900, "currency": "EUR", "stock": 10,
        "available_stock": 10, "sale_status": "on_sale", "sku": "s", "max_qty": 6, "name": "Standing",
        "sale_starts_at": "2020-01-02T02:04:05.123456Z", "sale_ends_at": "2090-05-01T00:00:00.000000Z",
    });
    for (field, value) in fields.as_object().expect("an object") {
        assert_eq!(&one[field], value, "{field}");
    }
    // the same as a product, but for the time of the read
    let product = client.get(&format!("/api/products/{}", id(&first))).await.expect(200);
    assert_eq!(
        (with(one, json!({ "server_time": 1 })), product.header("etag")),
        (with(&product.body, json!({ "server_time": 1 })), first.header("etag"))
    );
    assert_eq!((&other["id"], &other["kind"], &other["stock"]), (&json!(second), &json!("seated"), &json!(0)));
    client.get("/api/events/4711").await.refused(404, "event_not_found");
    client.get("/api/events/x").await.refused(400, "invalid_id");
}

#[tokio::test]
async fn who_made_an_organizer_an_event_and_a_ticket_type_is_on_record() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, product_id) = hall(&client).await;
    let by = "SELECT (SELECT COUNT(*) FROM organizers WHERE created_by = 'operator')
                   + (SELECT COUNT(*) FROM events WHERE created_by = 'operator')";
    assert_eq!(shop.count(by).await, 2);
    add_seats(&client, product_id, &row("A", "1", json!(2))).await.expect(201);
    let path = format!("/api/admin/products/{product_id}/trail");
    let trail = client.send(client.request("GET", &path).bearer_auth(OPERATOR)).await.expect(200).body;
    let entry = |n: usize| (&trail["items"][n]["action"], &trail["items"][n]["from"], &trail["items"][n]["to"]);
    assert_eq!(entry(0), (&json!("stock"), &json!({ "stock": 0 }), &json!({ "stock": 2 })));
    assert_eq!((entry(1).0, entry(1).1), (&json!("created"), &Value::Null));
    assert_eq!((&entry(1).2["kind"], &entry(1).2["stock"]), (&json!("seated"), &json!(0)));
    shop.assert_conserved().await;
}
