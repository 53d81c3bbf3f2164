//! Operators on several instances, and operators beside the sale.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::stock::change as change_stock;
use super::{PRODUCTS, TOKEN, desk, id, patch, poster, send, trail};
use crate::support::proxy::{Action, Rule};
use crate::support::{Answer, Bare, Client, Shop, together, with};

/// Starts a request of an operator.
fn start(client: &Bare, method: &'static str, path: String, body: Value) -> JoinHandle<Answer> {
    let client = client.client.clone();
    tokio::spawn(async move { send(&client, method, &path, &body).await })
}

#[tokio::test]
async fn two_upserts_of_one_sku_make_one_product() {
    let shop = Shop::open().await;
    let (one, other) = (desk(&shop).await, desk(&shop).await);
    let path = format!("{PRODUCTS}/by-sku/poster");
    // both have read that there is none
    let held = one.proxy.on("-- products/insert_all:", Action::PauseBefore);
    let first = start(&one, "PUT", path.clone(), poster());
    held.reached().await;
    let second = send(&other, "PUT", &path, &with(&poster(), json!({ "price_minor": 1 }))).await.expect(201);
    held.release();
    let first = first.await.expect("no panic").expect(200);
    assert_eq!((id(&first), &first.body["price_minor"]), (id(&second), &json!(4999)));
    assert_eq!((shop.count("SELECT COUNT(*) FROM products").await, trail(&one, id(&first)).await.len()), (1, 2));
    // a creation without an upsert is refused
    let held = one.proxy.on("-- products/insert_all:", Action::PauseBefore);
    let sku = || with(&poster(), json!({ "sku": "b" }));
    let create = start(&one, "POST", PRODUCTS.to_owned(), sku());
    held.reached().await;
    send(&other, "POST", PRODUCTS, &sku()).await.expect(201);
    held.release();
    create.await.expect("no panic").refused(409, "sku_taken");
}

#[tokio::test]
async fn a_sku_that_another_operator_takes_first_is_refused() {
    let shop = Shop::open().await;
    let (one, other) = (desk(&shop).await, desk(&shop).await);
    let (first, second) = (shop.product(1).await, shop.product(1).await);
    let held = one.proxy.on("-- products/change:", Action::PauseBefore);
    let late = start(&one, "PATCH", format!("{PRODUCTS}/{first}"), json!({ "sku": "x" }));
    held.reached().await;
    patch(&other, second, &json!({ "sku": "x" })).await.expect(200);
    held.release();
    assert_eq!(late.await.expect("no panic").refused(409, "sku_taken").body["product_id"], second);
    assert_eq!(trail(&one, first).await.len(), 0);
}

#[tokio::test]
async fn of_two_changes_with_one_tag_the_second_is_refused() {
    let shop = Shop::open().await;
    let (one, other) = (desk(&shop).await, desk(&shop).await);
    let product_id = shop.product(1).await;
    let path = format!("{PRODUCTS}/{product_id}");
    let tag = one.get(&format!("/api/products/{product_id}")).await.header("etag").to_owned();
    let change = move |client: &Client, price: i64| {
        let request = client.request("PATCH", &path).bearer_auth(TOKEN).header("if-match", &tag);
        let (client, request) = (client.clone(), request.json(&json!({ "price_minor": price })));
        async move { client.send(request).await }
    };
    // both have read the product with this tag
    let held = one.proxy.on("-- products/change:", Action::PauseBefore);
    let late = tokio::spawn(change(&one, 1));
    held.reached().await;
    change(&other, 2).await.expect(200);
    held.release();
    late.await.expect("no panic").refused(412, "precondition_failed");
    assert_eq!(shop.count("SELECT price_minor FROM products").await, 2);
    assert_eq!(trail(&one, product_id).await.len(), 1);
}

#[tokio::test]
async fn a_change_by_another_program_between_the_read_and_the_write_is_kept() {
    let shop = Shop::open().await;
    let client = desk(&shop).await;
    let product_id = shop.product(1).await;
    for (by_hand, field) in [
        ("name = 'a'", "name"),
        ("sku = 'a'", "sku"),
        ("currency = 'JPY'", "currency"),
        ("status = 'paused'", "status"),
        ("sale_starts_at = '2020-01-01'", "sale_starts_at"),
        ("sale_ends_at = '2090-01-01'", "sale_ends_at"),
        ("hold_ttl_seconds = 1", "hold_ttl_seconds"),
        ("order_ttl_seconds = 1", "order_ttl_seconds"),
        ("max_qty = 1", "max_qty"),
        ("max_per_buyer = 1", "max_per_buyer"),
        ("max_hold_seconds = 1", "max_hold_seconds"),
        ("metadata = '{\"a\": \"1\"}'", "metadata"),
    ] {
        let held = client.proxy.on("-- products/change:", Action::PauseBefore);
        let price = shop.count("SELECT price_minor FROM products").await + 1;
        let change = start(&client, "PATCH", format!("{PRODUCTS}/{product_id}"), json!({ "price_minor": price }));
        held.reached().await;
        shop.execute(&format!("UPDATE products SET {by_hand}")).await;
        held.release();
        let changed = change.await.expect("no panic").expect(200);
        assert!(!changed.body[field].is_null(), "{field}: {changed:?}");
        assert_eq!(
            (shop.count("SELECT price_minor FROM products").await, changed.body["price_minor"].as_i64()),
            (price, Some(price))
        );
        let entry = trail(&client, product_id).await.remove(0);
        assert_eq!(entry["to"], json!({ "price_minor": price }), "{field}");
    }
}

#[tokio::test]
async fn a_change_whose_commit_is_not_answered_is_made_once_and_told_as_made() {
    let shop = Shop::open().await;
    let client = desk(&shop).await;
    let lose = || client.proxy.on(Rule::exactly("COMMIT"), Action::CutAfter);
    let lost = lose();
    let made = send(&client, "POST", PRODUCTS, &with(&poster(), json!({ "sku": null }))).await.expect(201);
    drop(lost);
    assert_eq!(shop.count("SELECT COUNT(*) FROM products").await, 1);
    let tag = made.header("etag").to_owned();
    let lost = lose();
    let request = client.request("PATCH", &format!("{PRODUCTS}/{}", id(&made))).bearer_auth(TOKEN);
    let changed = client.send(request.header("if-match", tag).json(&json!({ "price_minor": 1 }))).await.expect(200);
    drop(lost);
    assert_eq!((&changed.body["price_minor"], trail(&client, id(&made)).await.len()), (&json!(1), 2));
    let lost = lose();
    send(&client, "PUT", &format!("{PRODUCTS}/by-sku/poster"), &poster()).await.expect(201);
    drop(lost);
    let lost = lose();
    let items =
        json!({ "items": [with(&poster(), json!({ "price_minor": 2 })), with(&poster(), json!({ "sku": "new" }))] });
    let put = send(&client, "POST", &format!("{PRODUCTS}/bulk"), &items).await.expect(200);
    drop(lost);
    let outcomes: Vec<_> =
        put.body["items"].as_array().into_iter().flatten().map(|item| item["outcome"].clone()).collect();
    assert_eq!(outcomes, ["changed", "created"]);
    assert_eq!(shop.count("SELECT COUNT(*) FROM products").await, 3);
    assert_eq!(shop.count("SELECT COUNT(*) FROM product_trail").await, 5);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_creation_whose_commit_is_still_under_way_is_made_once() {
    let shop = Shop::open().await;
    let client = desk(&shop).await;
    // the connection ends, and the server has not seen the COMMIT yet: the next attempt waits for its row of the trail
    let _lost = client.proxy.on(Rule::exactly("COMMIT"), Action::CutBefore);
    send(&client, "POST", PRODUCTS, &with(&poster(), json!({ "sku": null }))).await.expect(201);
    assert_eq!(shop.count("SELECT COUNT(*) FROM products").await, 1);
    assert_eq!(shop.count("SELECT COUNT(*) FROM product_trail").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_stock_and_prices_change_beside_the_sale_without_a_failed_request() {
    let shop = Shop::open().await;
    let desks = [Arc::new(desk(&shop).await), Arc::new(desk(&shop).await)];
    let item =
        |n: i64, price: i64| with(&poster(), json!({ "sku": format!("sku-{n}"), "price_minor": price, "stock": null }));
    let first: Vec<Value> = (0..20).map(|n| with(&item(n, 1), json!({ "stock": 1000 }))).collect();
    send(&desks[0], "POST", &format!("{PRODUCTS}/bulk"), &json!({ "items": first })).await.expect(200);
    let ids: Vec<i64> = shop.rows("SELECT id FROM products ORDER BY id").await;
    let work = (0..60_i64).map(|n| {
        let (desk, ids) = (Arc::clone(&desks[n as usize % 2]), ids.clone());
        // half of the lists come in the opposite order
        let mut items: Vec<Value> = (0..20).map(|place| item(place, 2 + n % 3)).collect();
        if n % 2 == 0 {
            items.reverse();
        }
        async move {
            let product_id = ids[n as usize % ids.len()];
            match n % 6 {
                0 | 1 => send(&desk, "POST", &format!("{PRODUCTS}/bulk"), &json!({ "items": items })).await.expect(200),
                2 => change_stock(&desk, product_id, &json!({ "add": 1 })).await.expect(200),
                3 => patch(&desk, product_id, &json!({ "max_qty": 1 + n % 5 })).await.expect(200),
                _ => {
                    let (_, order_id) = desk.hold_and_order(product_id, 1).await;
                    desk.pay(&order_id, "paid", &order_id).await.expect(200)
                }
            }
        }
    });
    together(work).await;
    assert_eq!(shop.count("SELECT CAST(SUM(stock) AS SIGNED) FROM products").await, 20_010);
    assert_eq!(shop.count("SELECT CAST(SUM(reserved) AS SIGNED) FROM products").await, 20);
    shop.assert_conserved().await;
}
