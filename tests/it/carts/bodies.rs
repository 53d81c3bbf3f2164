//! What a request for a hold may ask for, and how a hold with several lines is shown.

use holdfast::config::Config;
use holdfast::domain::AdminToken;
use serde_json::{Value, json};

use super::{body, cart, items, products, refused, reserved, take};
use crate::support::{Bare, Shop, binary, with};

/// Returns the names of the statements that were sent, and how many round trips they took.
fn sent(client: &Bare) -> (Vec<String>, usize) {
    let statements = client.proxy.statements();
    let names = statements.iter().flat_map(|text| text.split("-- ").skip(1));
    let names = names.filter_map(|text| text.split_once(':')).map(|(name, _)| name.to_owned());
    (names.filter(|name| name.contains('/') && !name.contains(' ')).collect(), client.proxy.trips().len())
}

#[tokio::test]
async fn a_hold_has_1_to_20_lines() {
    let shop = Shop::open().await;
    let products: [i64; 21] = products(&shop, 5).await;
    let client = shop.serve_without_workers().await;
    let lines: Vec<(i64, i64)> = products.iter().map(|&product_id| (product_id, 1)).collect();
    for wrong in [&lines[..0], &lines[..21], &[(products[0], 1); 21]] {
        take(&client, wrong).await.refused(422, "invalid_items");
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM holds").await, 0);
    let most = take(&client, &lines[..20]).await.expect(201);
    let expected: Vec<_> = lines[..20].iter().map(|&(product_id, qty)| (product_id, qty, 4999)).collect();
    assert_eq!(items(&most), expected);
    assert!(["product_id", "qty", "unit_price_minor"].iter().all(|field| most.body[field].is_null()), "{most:?}");
    let one = take(&client, &lines[20..]).await.expect(201);
    assert_eq!(items(&one), [(products[20], 1, 4999)]);
    let top = ["product_id", "qty", "unit_price_minor"].map(|field| one.body[field].as_i64());
    assert_eq!(top, [Some(products[20]), Some(1), Some(4999)]);
    let plain = client.try_hold(products[20], 2).await.expect(201);
    assert_eq!(items(&plain), [(products[20], 2, 4999)]);
    assert_eq!(shop.reserved(products[20]).await, 3);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_body_asks_for_one_product_or_for_lines() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 5).await;
    let client = shop.serve_without_workers().await;
    let lines = body(&[(one, 1), (other, 1)]);
    let item = |item: Value| json!({ "items": [item] });
    for wrong in [
        json!({}),
        json!({ "product_id": one }),
        json!({ "qty": 1 }),
        with(&lines, json!({ "product_id": one, "qty": 1 })),
        with(&lines, json!({ "qty": 1 })),
        item(json!({ "qty": 1 })),
        item(json!({ "product_id": one })),
        item(json!({ "product_id": one, "sku": "a", "qty": 1 })),
        item(json!({ "product_id": one, "qty": 1, "seat": "A" })),
        item(json!([one, 1])),
        json!({ "items": null, "product_id": one, "qty": 1 }),
        json!({ "product_id": one, "qty": 1, "replaces": "no id" }),
    ] {
        let text = wrong.to_string();
        client.post_raw("/api/holds", "application/json", text).await.refused(422, "invalid_body");
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM holds").await, 0);
}

#[tokio::test]
async fn equal_products_are_added_up_and_compared_with_the_most_units() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 50).await;
    let client = shop.serve_without_workers().await;
    let sum = take(&client, &[(one, 6), (other, 1), (one, 4)]).await.expect(201);
    assert_eq!(items(&sum), [(one, 10, 4999), (other, 1, 4999)]);
    for lines in [&[(one, 6), (one, 5)][..], &[(one, 6), (other, 1), (one, 5)]] {
        let many = take(&client, lines).await;
        assert_eq!(refused(many.refused(422, "invalid_quantity")), [(one, "invalid_quantity".to_owned())]);
        assert_eq!(many.body["items"][0]["requested"], 11);
    }
    for wrong in [0, -1, 1001, i64::MAX, i64::MIN] {
        let answer = take(&client, &[(one, wrong), (other, 1), (one, 2)]).await;
        assert_eq!(refused(answer.refused(422, "invalid_quantity")), [(one, "invalid_quantity".to_owned())], "{wrong}");
    }
    assert_eq!(reserved(&shop, &[one, other]).await, [10, 1]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn one_line_travels_like_a_hold_of_one_product_and_several_in_as_many_trips() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 50).await;
    let client = shop.serve_without_workers().await;
    cart(&client, &[(one, 1), (other, 1)]).await;
    client.proxy.clear();
    client.hold(one, 1).await;
    let plain = (sent(&client), client.proxy.trips());
    for lines in [&[(one, 1)][..], &[(one, 1), (one, 1)]] {
        client.proxy.clear();
        cart(&client, lines).await;
        assert_eq!((sent(&client), client.proxy.trips().len()), (plain.0.clone(), plain.1.len()));
        assert!(client.proxy.trips().iter().zip(&plain.1).all(|(bytes, plain)| bytes <= plain), "{plain:?}");
    }
    client.proxy.clear();
    cart(&client, &[(other, 1), (one, 2)]).await;
    let expected = ["holds/insert", "products/take_all", "products/find_left_of_all"].map(str::to_owned).to_vec();
    assert_eq!(sent(&client), (expected, 2));
    assert_eq!(reserved(&shop, &[one, other]).await, [7, 2]);
}

#[tokio::test]
async fn a_line_may_name_its_product_by_its_sku() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 50).await;
    shop.execute(&format!("UPDATE products SET sku = CONCAT('sku|', id) WHERE id = {one}")).await;
    let client = shop.serve_without_workers().await;
    let sku = format!("sku|{one}");
    let lines = |lines: Value| json!({ "items": lines });
    let mixed =
        lines(json!([{ "sku": sku, "qty": 1 }, { "product_id": other, "qty": 2 }, { "product_id": one, "qty": 3 }]));
    let taken = client.post("/api/holds", &mixed).await.expect(201);
    assert_eq!(items(&taken), [(one, 4, 4999), (other, 2, 4999)]);
    let single = client.post("/api/holds", &lines(json!([{ "sku": sku, "qty": 2 }]))).await.expect(201);
    assert_eq!(items(&single), [(one, 2, 4999)]);
    for lines in [json!([{ "sku": "none", "qty": 1 }]), json!([{ "sku": "none", "qty": 1 }, { "sku": sku, "qty": 1 }])]
    {
        let unknown = client.post("/api/holds", &json!({ "items": lines })).await;
        let items = unknown.refused(404, "product_not_found").body["items"].clone();
        assert_eq!(items, json!([{ "sku": "none", "requested": 1, "code": "product_not_found" }]));
    }
    let many =
        client.post("/api/holds", &lines(json!([{ "sku": sku, "qty": 11 }, { "product_id": other, "qty": 1 }]))).await;
    let items = &many.refused(422, "invalid_quantity").body["items"];
    assert_eq!((&items[0]["sku"], &items[0]["product_id"]), (&json!(sku), &json!(one)));
    assert_eq!(reserved(&shop, &[one, other]).await, [6, 2]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn every_place_that_shows_a_hold_shows_all_of_its_lines() {
    const TOKEN: &str = "an-operators-token-of-these-tests";
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 50).await;
    let config = Config { admin_token: AdminToken::new(TOKEN), ..shop.config() };
    let client = shop.serve_without_workers_as(config).await;
    let expected = [(one, 2, 4999), (other, 3, 4999)];
    let lines = body(&[(other, 3), (one, 2)]);
    let first = client.post_keyed("/api/holds", "key", &lines).await.expect(201);
    assert_eq!(items(&first), expected);
    let copy = client.post_keyed("/api/holds", "key", &lines).await.expect(201);
    assert!(copy.is_replayed());
    assert_eq!(with(&copy.body, json!({ "expires_in": null })), with(&first.body, json!({ "expires_in": null })));
    let path = first.header("location").to_owned();
    assert_eq!(items(&client.get(&path).await.expect(200)), expected);
    let list = client.send(client.request("GET", "/api/holds").bearer_auth(TOKEN)).await.expect(200);
    assert_eq!(list.body["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(list.body["items"][0]["items"], first.body["items"]);
    let of_other = client.request("GET", &format!("/api/holds?product_id={other}")).bearer_auth(TOKEN);
    assert_eq!(client.send(of_other).await.expect(200).body["items"][0]["hold_id"], first.body["hold_id"]);
    let released = client.delete(&path).await.expect(200);
    assert_eq!((items(&released), released.text("status").as_str()), (expected.to_vec(), "released"));
    assert_eq!(items(&client.delete(&path).await.expect(200)), expected);
    assert_eq!(reserved(&shop, &[one, other]).await, [0, 0]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_lasts_as_long_as_its_shortest_line_and_so_does_its_order() {
    let shop = Shop::open().await;
    let [one, other, third] = products(&shop, 50).await;
    let client = shop.serve_without_workers().await;
    let set = async |terms: &str, product_id: i64| {
        shop.execute(&format!("UPDATE products SET {terms} WHERE id = {product_id}")).await;
    };
    set("hold_ttl_seconds = 50, order_ttl_seconds = 3000", one).await;
    set("hold_ttl_seconds = 500, order_ttl_seconds = 2000", other).await;
    let left = |answer: &crate::support::Answer| answer.body["expires_in"].as_i64();
    assert_eq!(left(&take(&client, &[(one, 1), (other, 1), (third, 1)]).await.expect(201)), Some(50));
    // the shop's 120 seconds
    let mixed = take(&client, &[(other, 1), (third, 1)]).await.expect(201);
    assert_eq!(left(&mixed), Some(120));
    let stored = "CAST(TIMESTAMPDIFF(SECOND, created_at, expires_at) AS SIGNED)";
    assert_eq!(shop.count(&format!("SELECT MAX({stored}) FROM holds")).await, 120);
    let seconds = async |hold_id: String| {
        let order_id = client.order(&hold_id).await;
        let seconds = "CAST(TIMESTAMPDIFF(SECOND, created_at, pay_by) AS SIGNED)";
        shop.count(&format!("SELECT {seconds} FROM orders WHERE id = {}", binary(&order_id))).await
    };
    assert_eq!(seconds(mixed.text("hold_id")).await, 2000);
    assert_eq!(seconds(cart(&client, &[(one, 1), (other, 1)]).await).await, 2000);
    assert_eq!(seconds(cart(&client, &[(one, 1), (third, 1)]).await).await, 3000);
    set("order_ttl_seconds = NULL", one).await;
    assert_eq!(seconds(cart(&client, &[(one, 1), (third, 1)]).await).await, 900);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn units_that_are_too_many_when_they_are_added_up_are_refused_without_a_read() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 5).await;
    shop.execute(&format!("UPDATE products SET sku = 'one' WHERE id = {one}")).await;
    let client = shop.serve_without_workers().await;
    let lines = |product: &Value| {
        let line = with(product, json!({ "qty": 600 }));
        json!({ "items": [{ "product_id": other, "qty": 1 }, { "product_id": one, "qty": 600 }, line] })
    };
    for product in [json!({ "product_id": one }), json!({ "sku": "one" })] {
        client.proxy.clear();
        let answer = client.post("/api/holds", &lines(&product)).await;
        assert_eq!(refused(answer.refused(422, "invalid_quantity")), [(one, "invalid_quantity".to_owned())]);
        assert_eq!(answer.body["items"][0]["sku"], product["sku"]);
        let found = usize::from(product["sku"].is_string());
        assert_eq!(sent(&client).0, vec!["products/list_by_sku".to_owned(); found]);
    }
}
