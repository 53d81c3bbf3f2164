//! Products over the API of operators: created, changed, and told to buyers.

mod bulk;
mod races;
mod sale;
mod shown;
mod stock;

use holdfast::config::Config;
use holdfast::domain::AdminToken;
use serde_json::{Value, json};

use crate::support::{Answer, Bare, Client, Shop, with};

const TOKEN: &str = "an-operators-token-of-these-tests";
const PRODUCTS: &str = "/api/admin/products";

/// An instance without workers whose operators have a token.
async fn desk(shop: &Shop) -> Bare {
    shop.serve_without_workers_as(Config { admin_token: AdminToken::new(TOKEN), ..shop.config() }).await
}

/// Sends a request of an operator.
async fn send(client: &Client, method: &str, path: &str, body: &Value) -> Answer {
    client.send(client.request(method, path).bearer_auth(TOKEN).json(body)).await
}

/// Changes a product.
async fn patch(client: &Client, product_id: i64, body: &Value) -> Answer {
    send(client, "PATCH", &format!("{PRODUCTS}/{product_id}"), body).await
}

fn id(answer: &Answer) -> i64 {
    answer.body["id"].as_i64().unwrap_or_else(|| panic!("no id in {answer:?}"))
}

fn poster() -> Value {
    json!({ "sku": "poster", "name": "Poster", "price_minor": 4999, "currency": "EUR", "stock": 5 })
}

/// Returns the trail of a product, the newest first.
async fn trail(client: &Client, product_id: i64) -> Vec<Value> {
    let request = client.request("GET", &format!("{PRODUCTS}/{product_id}/trail")).bearer_auth(TOKEN);
    let answer = client.send(request).await.expect(200);
    answer.body["items"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_product_is_created_with_its_terms_and_sold_by_them() {
    let shop = Shop::open().await;
    let client = desk(&shop).await;
    let terms = json!({
        "sale_starts_at": "2020-01-02T03:04:05.123456+01:00", "sale_ends_at": "2090-01-01T00:00:00Z",
        "hold_ttl_seconds": 30, "order_ttl_seconds": 60, "max_qty": 12, "max_per_buyer": 20, "max_hold_seconds": 7200,
        "metadata": { "image": "https://example.com/1.png" }, "status": "on_sale", "stock": 20,
    });
    let made = send(&client, "POST", PRODUCTS, &with(&poster(), terms.clone())).await.expect(201);
    let path = format!("/api/products/{}", id(&made));
    assert_eq!(made.header("location"), path);
    let seen = client.get(&path).await.expect(200);
    assert_eq!((seen.header("etag"), seen.header("etag").len()), (made.header("etag"), 26));
    let told = with(&poster(), with(&terms, json!({ "sale_starts_at": "2020-01-02T02:04:05.123456Z" })));
    let told = with(&told, json!({ "sale_ends_at": "2090-01-01T00:00:00.000000Z", "sale_status": "on_sale" }));
    for (field, value) in told.as_object().expect("an object") {
        assert_eq!(&seen.body[field], value, "{field}");
    }
    let hold = json!({ "product_id": id(&made), "qty": 12, "buyer": "b" });
    client.post("/api/holds", &hold).await.expect(201);
    client.try_hold(id(&made), 13).await.refused(422, "invalid_quantity");
    let [created] = trail(&client, id(&made)).await.try_into().expect("one entry");
    assert_eq!((&created["action"], &created["actor"]), (&json!("created"), &json!("operator")));
    assert_eq!((&created["to"]["stock"], &created["from"]), (&json!(20), &Value::Null));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_product_that_cannot_be_is_refused_and_nothing_is_written() {
    let shop = Shop::open().await;
    let client = desk(&shop).await;
    let other = id(&send(&client, "POST", PRODUCTS, &poster()).await.expect(201));
    let taken = send(&client, "POST", PRODUCTS, &poster()).await;
    assert_eq!(taken.refused(409, "sku_taken").body["product_id"], other);
    let long = "x".repeat(501);
    let many: serde_json::Map<String, Value> = (0..21).map(|n| (n.to_string(), json!(""))).collect();
    for (field, wrong) in [
        ("sku", json!("a b")),
        ("name", json!("")),
        ("price_minor", json!(-1)),
        ("price_minor", json!(100_000_000_000_001_i64)),
        ("currency", json!("XYZ")),
        ("stock", json!(-1)),
        ("stock", json!(1_000_000_000_001_i64)),
        ("sale_starts_at", json!("tomorrow")),
        ("hold_ttl_seconds", json!(0)),
        ("order_ttl_seconds", json!(2_592_001)),
        ("max_qty", json!(1001)),
        ("max_per_buyer", json!(-1)),
        ("max_hold_seconds", json!(0)),
        ("metadata", json!({ "k": long })),
        ("metadata", json!({ "": "v" })),
        ("metadata", many.into()),
    ] {
        let answer = send(&client, "POST", PRODUCTS, &with(&poster(), json!({ "sku": "other", field: wrong }))).await;
        assert!(answer.refused(422, "invalid_product").text("detail").starts_with(&format!("`{field}`")), "{answer:?}");
    }
    let window =
        json!({ "sku": "x", "sale_starts_at": "2030-01-01T00:00:00Z", "sale_ends_at": "2030-01-01T00:00:00Z" });
    send(&client, "POST", PRODUCTS, &with(&poster(), window)).await.refused(422, "invalid_product");
    let no_stock = with(&poster(), json!({ "sku": "x", "stock": null }));
    send(&client, "POST", PRODUCTS, &no_stock).await.refused(422, "invalid_product");
    for wrong in [json!({ "price": 1 }), json!({ "status": "sold" }), json!({ "max_qty": "1" })] {
        send(&client, "POST", PRODUCTS, &with(&poster(), wrong)).await.refused(422, "invalid_body");
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM products").await, 1);
    assert_eq!(shop.count("SELECT COUNT(*) FROM product_trail").await, 1);
}

#[tokio::test]
async fn the_same_put_again_writes_nothing_and_another_one_only_what_differs() {
    let shop = Shop::open().await;
    let client = desk(&shop).await;
    let path = format!("{PRODUCTS}/by-sku/poster");
    let put = async |changes: Value| send(&client, "PUT", &path, &with(&poster(), changes)).await;
    let made = put(json!({ "metadata": { "b": "2", "a": "1" } })).await.expect(201);
    let again = put(json!({ "metadata": { "a": "1", "b": "2" } })).await.expect(200);
    assert_eq!(again.header("etag"), made.header("etag"));
    put(json!({ "metadata": { "a": "1", "b": "2" }, "stock": null })).await.expect(200);
    assert_eq!((trail(&client, id(&made)).await.len(), id(&again)), (1, id(&made)));
    put(json!({ "stock": 6 })).await.refused(422, "stock_not_here");
    put(json!({ "sku": "other" })).await.refused(422, "invalid_product");
    let changed = put(json!({ "price_minor": 5999 })).await.expect(200);
    assert_ne!(changed.header("etag"), made.header("etag"));
    let [changed, _] = trail(&client, id(&made)).await.try_into().expect("two entries");
    assert_eq!(changed["from"], json!({ "price_minor": 4999, "metadata": { "a": "1", "b": "2" } }));
    assert_eq!(changed["to"], json!({ "price_minor": 5999, "metadata": null }));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_patch_changes_its_fields_alone_and_null_removes_one() {
    let shop = Shop::open().await;
    let client = desk(&shop).await;
    let texts = json!({ "max_qty": 3, "metadata": { "a": "1", "b": "2" } });
    let product_id = id(&send(&client, "POST", PRODUCTS, &with(&poster(), texts)).await.expect(201));
    let request = client.request("PATCH", &format!("{PRODUCTS}/{product_id}")).bearer_auth(TOKEN);
    let request = request.header("content-type", "application/merge-patch+json");
    let body = json!({ "price_minor": 1, "max_qty": null, "metadata": { "a": null, "c": "3" }, "stock": 5 });
    let changed = client.send(request.body(body.to_string())).await.expect(200);
    assert_eq!((&changed.body["price_minor"], &changed.body["max_qty"]), (&json!(1), &Value::Null));
    assert_eq!((&changed.body["metadata"], &changed.body["sku"]), (&json!({ "b": "2", "c": "3" }), &json!("poster")));
    let rows = trail(&client, product_id).await.len();
    patch(&client, product_id, &json!({ "price_minor": 1 })).await.expect(200);
    patch(&client, product_id, &json!({ "stock": 6 })).await.refused(422, "stock_not_here");
    for wrong in [json!({ "name": null }), json!({ "color": "red" }), json!({ "price_minor": "1" }), json!([])] {
        patch(&client, product_id, &wrong).await.refused(422, "invalid_body");
    }
    patch(&client, product_id, &json!({ "currency": "?" })).await.refused(422, "invalid_product");
    patch(&client, 4711, &json!({})).await.refused(404, "product_not_found");
    let other = id(&send(&client, "POST", PRODUCTS, &with(&poster(), json!({ "sku": "b" }))).await.expect(201));
    assert_eq!(
        patch(&client, other, &json!({ "sku": "poster" })).await.refused(409, "sku_taken").body["product_id"],
        product_id
    );
    assert_eq!((trail(&client, product_id).await.len(), rows), (2, 2));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn what_another_program_wrote_stays_while_other_fields_change() {
    let shop = Shop::open().await;
    let client = desk(&shop).await;
    let product_id = shop.product(5).await;
    let odd =
        "name = '', currency = 'QQQ', hold_ttl_seconds = -1, order_ttl_seconds = -1, max_qty = -1, metadata = '[1]'";
    shop.execute(&format!("UPDATE products SET {odd}")).await;
    let hold = client.try_hold(product_id, 10).await;
    hold.refused(409, "sold_out");
    let order = client.order(&client.hold(product_id, 1).await).await;
    assert_eq!(client.order_status(&order).await, "pending");
    let seen = client.get(&format!("/api/products/{product_id}")).await.expect(200);
    let changed = patch(&client, product_id, &json!({ "price_minor": 1, "metadata": { "a": "1" } })).await.expect(200);
    assert_ne!(seen.header("etag"), changed.header("etag"));
    patch(&client, product_id, &json!({ "name": "" })).await.expect(200);
    patch(&client, product_id, &json!({ "name": " " })).await.refused(422, "invalid_product");
}

#[tokio::test]
async fn a_change_with_if_match_needs_the_tag_that_the_product_has_now() {
    let shop = Shop::open().await;
    let client = desk(&shop).await;
    let product_id = id(&send(&client, "POST", PRODUCTS, &poster()).await.expect(201));
    let seen = async || client.get(&format!("/api/products/{product_id}")).await.header("etag").to_owned();
    let change = async |tags: &str, price: i64| {
        let request = client.request("PATCH", &format!("{PRODUCTS}/{product_id}")).bearer_auth(TOKEN);
        client.send(request.header("if-match", tags).json(&json!({ "price_minor": price }))).await
    };
    let first = seen().await;
    client.hold(product_id, 1).await;
    assert_eq!(seen().await, first, "stock is not a term");
    change(&format!("\"other\", {first}"), 1).await.expect(200);
    change(&first, 2).await.refused(412, "precondition_failed");
    let second = seen().await;
    shop.execute("UPDATE products SET price_minor = 3").await;
    change(&second, 4).await.refused(412, "precondition_failed");
    change(&format!("W/{}", seen().await), 4).await.refused(412, "precondition_failed");
    change("*", 5).await.expect(200);
    change("5", 6).await.refused(400, "invalid_if_match");
    assert_eq!(shop.count("SELECT price_minor FROM products").await, 5);
}

#[tokio::test]
async fn only_operators_may_use_these_routes() {
    let shop = Shop::open().await;
    let client = desk(&shop).await;
    let product_id = shop.product(1).await;
    for (method, path) in [
        ("POST", PRODUCTS.to_owned()),
        ("PUT", format!("{PRODUCTS}/by-sku/poster")),
        ("POST", format!("{PRODUCTS}/bulk")),
        ("PATCH", format!("{PRODUCTS}/{product_id}")),
        ("POST", format!("{PRODUCTS}/{product_id}/stock")),
        ("GET", format!("{PRODUCTS}/{product_id}/trail?wrong=1")),
    ] {
        let request = client.request(method, &path).json(&json!({ "set": 0 }));
        client.send(request.try_clone().expect("a small body")).await.refused(401, "unauthorized");
        client.send(request.bearer_auth("wrong")).await.refused(401, "unauthorized");
    }
    assert_eq!(shop.count("SELECT stock FROM products").await, 1);
}

#[tokio::test]
async fn a_trail_is_read_page_by_page_the_newest_first() {
    let shop = Shop::open().await;
    let client = desk(&shop).await;
    let product_id = id(&send(&client, "POST", PRODUCTS, &poster()).await.expect(201));
    for price in 1..=4 {
        patch(&client, product_id, &json!({ "price_minor": price })).await.expect(200);
    }
    let path = format!("{PRODUCTS}/{product_id}/trail");
    let page =
        async |query: &str| client.send(client.request("GET", &format!("{path}?{query}")).bearer_auth(TOKEN)).await;
    let prices = |answer: &Answer| -> Vec<Value> {
        answer.body["items"].as_array().into_iter().flatten().map(|item| item["to"]["price_minor"].clone()).collect()
    };
    let first = page("limit=2").await.expect(200);
    let second = page(&format!("limit=3&cursor={}", first.text("next_cursor"))).await.expect(200);
    assert_eq!((prices(&first), prices(&second)), (vec![json!(4), json!(3)], vec![json!(2), json!(1), json!(4999)]));
    assert_eq!(second.body["next_cursor"], Value::Null);
    page("cursor=x").await.refused(400, "invalid_cursor");
    let none = client.request("GET", &format!("{PRODUCTS}/4711/trail")).bearer_auth(TOKEN);
    client.send(none).await.refused(404, "product_not_found");
}
