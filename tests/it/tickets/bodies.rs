//! Every field is checked, and what is refused writes nothing.

use serde_json::{Value, json};

use super::{add_seats, concert, event, hall, office, organizer, row, send, stalls, standing, ticket_type, try_type};
use crate::support::{Shop, with};

/// Asserts that a request is refused because of a field.
#[track_caller]
fn refused(answer: &crate::support::Answer, code: &str, field: &str) {
    assert!(answer.refused(422, code).text("detail").starts_with(&format!("`{field}`")), "{field}: {answer:?}");
}

#[tokio::test]
async fn organizers_and_events_that_cannot_be_are_refused() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let organizer_id = organizer(&client).await;
    let long = "x".repeat(256);
    for wrong in ["", " ", "a\nb", long.as_str()] {
        let organizers = send(&client, "/api/admin/organizers", &json!({ "name": wrong })).await;
        refused(&organizers, "invalid_organizer", "name");
        for field in ["name", "venue"] {
            let body = with(&concert(organizer_id), json!({ field: wrong }));
            refused(&send(&client, "/api/admin/events", &body).await, "invalid_event", field);
        }
    }
    for (field, wrong) in [
        ("starts_at", json!("tomorrow")),
        ("starts_at", json!("1969-12-31T23:59:59Z")),
        ("sale_starts_at", json!("2030-01-01")),
        ("sale_starts_at", json!("9999-01-01T00:00:00Z")),
        ("sale_ends_at", json!("2030-01-01T00:00:00")),
        ("sale_ends_at", json!("9999-01-01T00:00:00Z")),
    ] {
        let body = with(&concert(organizer_id), json!({ field: wrong }));
        refused(&send(&client, "/api/admin/events", &body).await, "invalid_event", field);
    }
    let window = json!({ "sale_starts_at": "2030-01-01T00:00:00Z", "sale_ends_at": "2030-01-01T00:00:00Z" });
    refused(
        &send(&client, "/api/admin/events", &with(&concert(organizer_id), window)).await,
        "invalid_event",
        "sale_ends_at",
    );
    send(&client, "/api/admin/events", &concert(organizer_id + 1)).await.refused(404, "organizer_not_found");
    for (path, body) in [("organizers", json!({ "name": "a" })), ("events", concert(organizer_id))] {
        let path = format!("/api/admin/{path}");
        let fields: Vec<String> = body.as_object().expect("an object").keys().cloned().collect();
        for field in fields {
            send(&client, &path, &with(&body, json!({ field.as_str(): null }))).await.refused(422, "invalid_body");
            send(&client, &path, &with(&body, json!({ field: [] }))).await.refused(422, "invalid_body");
        }
        send(&client, &path, &with(&body, json!({ "max_per_person": 4 }))).await.refused(422, "invalid_body");
        client.post(&path, &body).await.refused(401, "unauthorized");
    }
    let longest = "ä".repeat(255);
    send(&client, "/api/admin/organizers", &json!({ "name": longest })).await.expect(201);
    assert_eq!(shop.count("SELECT COUNT(*) FROM events").await, 0);
    assert_eq!(shop.count("SELECT COUNT(*) FROM organizers").await, 2);
}

#[tokio::test]
async fn ticket_types_that_cannot_be_are_refused() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let event_id = event(&client, json!({})).await;
    for (field, wrong) in [
        ("sku", json!("a b")),
        ("name", json!("")),
        ("price_minor", json!(-1)),
        ("currency", json!("XYZ")),
        ("stock", json!(-1)),
        ("stock", json!(null)),
        ("stock", json!(1_000_000_000_001_i64)),
        ("sale_starts_at", json!("tomorrow")),
        ("hold_ttl_seconds", json!(0)),
        ("order_ttl_seconds", json!(0)),
        ("max_qty", json!(1001)),
        ("max_per_buyer", json!(0)),
        ("max_hold_seconds", json!(0)),
        ("metadata", json!({ "": "v" })),
    ] {
        refused(
            &try_type(&client, event_id, &with(&standing(), json!({ field: wrong }))).await,
            "invalid_product",
            field,
        );
    }
    refused(&try_type(&client, event_id, &with(&stalls(), json!({ "stock": 0 }))).await, "invalid_product", "stock");
    for wrong in [json!({ "kind": "box" }), json!({ "kind": null }), json!({ "seats": 3 }), json!({ "name": 1 })] {
        try_type(&client, event_id, &with(&standing(), wrong)).await.refused(422, "invalid_body");
    }
    try_type(&client, event_id + 1, &standing()).await.refused(404, "event_not_found");
    send(&client, "/api/admin/events/x/ticket-types", &standing()).await.refused(400, "invalid_id");
    assert_eq!(shop.count("SELECT COUNT(*) + (SELECT SUM(ticket_types) FROM events) FROM products").await, 0);
    // the first one says the currency
    let product_id = ticket_type(&client, event_id, &with(&standing(), json!({ "sku": "s" }))).await;
    let other = try_type(&client, event_id, &with(&stalls(), json!({ "currency": "CHF" }))).await;
    assert!(other.refused(422, "event_currency").text("detail").contains("EUR"));
    let taken = try_type(&client, event_id, &with(&standing(), json!({ "sku": "s" }))).await;
    assert_eq!(taken.refused(409, "sku_taken").body["product_id"], product_id);
    shop.execute("UPDATE events SET ticket_types = 50").await;
    assert_eq!(try_type(&client, event_id, &stalls()).await.refused(409, "too_many_ticket_types").body["limit"], 50);
    shop.execute("UPDATE events SET ticket_types = 49").await;
    ticket_type(&client, event_id, &stalls()).await;
    shop.execute("UPDATE events SET ticket_types = 1, cancelled_at = NOW(6)").await;
    try_type(&client, event_id, &stalls()).await.refused(409, "event_cancelled");
    assert_eq!(shop.count("SELECT COUNT(*) FROM products").await, 2);
}

#[tokio::test]
async fn a_ticket_type_keeps_its_event_its_kind_and_its_currency() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let event_id = event(&client, json!({ "sale_ends_at": "2080-01-01T00:00:00Z" })).await;
    let product_id = ticket_type(&client, event_id, &with(&standing(), json!({ "sku": "s" }))).await;
    let change = async |method: &str, path: &str, body: Value| {
        client.send(client.request(method, path).bearer_auth(crate::clients::OPERATOR).json(&body)).await
    };
    let path = format!("/api/admin/products/{product_id}");
    let changed = change("PATCH", &path, json!({ "price_minor": 1, "max_qty": 2 })).await.expect(200);
    refused(&change("PATCH", &path, json!({ "currency": "CHF" })).await, "invalid_product", "currency");
    change("PATCH", &path, json!({ "kind": "seated" })).await.refused(422, "invalid_body");
    let draft = json!({ "name": "Other", "price_minor": 2, "currency": "EUR" });
    let put = change("PUT", "/api/admin/products/by-sku/s", draft.clone()).await.expect(200);
    let line = with(&draft, json!({ "sku": "s", "price_minor": 3 }));
    change("POST", "/api/admin/products/bulk", json!({ "items": [line.clone()] })).await.expect(200);
    let other = with(&line, json!({ "currency": "CHF" }));
    change("POST", "/api/admin/products/bulk", json!({ "items": [other] })).await.refused(422, "invalid_lines");
    let last = client.get(&format!("/api/products/{product_id}")).await.expect(200);
    for body in [&changed.body, &put.body, &last.body] {
        assert_eq!((&body["event_id"], &body["kind"]), (&json!(event_id), &json!("admission")));
        assert_eq!(body["sale_ends_at"], "2080-01-01T00:00:00.000000Z");
    }
    assert_eq!(last.body["price_minor"], 3);
}

#[tokio::test]
async fn seats_that_cannot_be_are_refused_and_none_is_made() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = hall(&client).await;
    let long = "x".repeat(21);
    for part in ["", " 1", "1 ", "1-2", "a\nb", long.as_str()] {
        for body in [row(part, "1", json!(1)), row("A", part, json!(1)), row("A", "1", json!(["1", part]))] {
            add_seats(&client, product_id, &body).await.refused(422, "invalid_seats");
        }
    }
    let rank =
        |rank: i64| json!({ "sections": [{ "name": "A", "rows": [{ "name": "1", "seats": 1, "rank": rank }] }] });
    for body in [
        row("A", "1", json!(0)),
        row("A", "1", json!(-1)),
        row("A", "1", json!(50_001)),
        row("A", "1", json!([])),
        rank(0),
        rank(1_000_001),
        json!({ "sections": [] }),
        json!({ "sections": [{ "name": "A", "rows": [] }] }),
    ] {
        add_seats(&client, product_id, &body).await.refused(422, "invalid_seats");
    }
    for body in [
        json!({}),
        json!({ "sections": [{ "name": "A" }] }),
        row("A", "1", json!("1")),
        row("A", "1", json!(1.5)),
        row("A", "1", json!([1])),
        row("A", "1", json!(null)),
        json!({ "sections": [{ "name": "A", "rows": [{ "name": "1", "seats": 1 }] }] }),
        with(&row("A", "1", json!(1)), json!({ "more": 1 })),
    ] {
        add_seats(&client, product_id, &body).await.refused(422, "invalid_body");
    }
    let admission = ticket_type(&client, event_id, &standing()).await;
    add_seats(&client, admission, &row("A", "1", json!(1))).await.refused(422, "not_seated");
    let plain = shop.product(1).await;
    for missing in [plain, 4711] {
        add_seats(&client, missing, &row("A", "1", json!(1))).await.refused(404, "ticket_type_not_found");
    }
    send(&client, "/api/admin/ticket-types/x/seats", &row("A", "1", json!(1))).await.refused(400, "invalid_id");
    assert_eq!(shop.count("SELECT COUNT(*) + (SELECT SUM(seats) FROM events) FROM seats").await, 0);
    shop.execute("UPDATE events SET cancelled_at = NOW(6)").await;
    add_seats(&client, product_id, &row("A", "1", json!(1))).await.refused(409, "event_cancelled");
}
