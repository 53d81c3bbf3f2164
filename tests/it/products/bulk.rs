//! Lists of products are applied as a whole.

use std::time::Instant;

use serde_json::{Value, json};

use super::{PRODUCTS, desk, poster, send, trail};
use crate::support::crowd::sent;
use crate::support::{Answer, Client, Shop, with};

async fn put_all(client: &Client, items: &[Value]) -> Answer {
    send(client, "POST", &format!("{PRODUCTS}/bulk"), &json!({ "items": items })).await
}

fn outcomes(answer: &Answer) -> Vec<&str> {
    let items = answer.body["items"].as_array().expect("a list");
    items.iter().map(|item| item["outcome"].as_str().expect("a word")).collect()
}

fn item(sku: &str, changes: Value) -> Value {
    with(&with(&poster(), json!({ "sku": sku })), changes)
}

#[tokio::test]
async fn a_list_names_every_line_that_is_wrong_and_changes_nothing() {
    let shop = Shop::open().await;
    let client = desk(&shop).await;
    let made = put_all(&client, &[item("a", json!({})), item("b", json!({}))]).await.expect(200);
    assert_eq!(outcomes(&made), ["created", "created"]);
    let wrong = [
        item("a", json!({ "price_minor": 1 })),
        item("b", json!({ "stock": 4 })),
        item("c", json!({ "stock": null })),
        item("d", json!({ "sale_starts_at": "soon" })),
        item("a", json!({})),
        item("", json!({})),
        item("e", json!({})),
        with(&poster(), json!({ "sku": null })),
    ];
    let refused = put_all(&client, &wrong).await;
    let lines = refused.refused(422, "invalid_lines").body["lines"].as_array().expect("lines").clone();
    let lines: Vec<(u64, &str)> = lines
        .iter()
        .map(|line| (line["line"].as_u64().expect("a place"), line["code"].as_str().expect("a code")))
        .collect();
    let invalid = "invalid_product";
    assert_eq!(lines, [(1, "stock_not_here"), (2, invalid), (3, invalid), (4, invalid), (5, invalid), (7, invalid)]);
    assert_eq!(shop.count("SELECT COUNT(*) FROM products WHERE price_minor = 4999").await, 2);
    assert_eq!(shop.count("SELECT COUNT(*) FROM product_trail").await, 2);
    put_all(&client, &[json!({ "sku": "a", "price": 1 })]).await.refused(422, "invalid_body");
}

#[tokio::test]
async fn a_thousand_products_are_one_request_and_the_same_list_again_writes_nothing() {
    let shop = Shop::open().await;
    let client = desk(&shop).await;
    let text = "x".repeat(50);
    let metadata = json!({ "a": text, "b": text, "c": text, "d": text });
    let list = |price: i64| -> Vec<Value> {
        (0..1000).map(|n| item(&format!("sku-{n}"), json!({ "price_minor": price, "metadata": metadata }))).collect()
    };
    let began = Instant::now();
    let made = put_all(&client, &list(1)).await.expect(200);
    println!("1,000 new products took {:?}", began.elapsed());
    assert_eq!(outcomes(&made), ["created"; 1000]);
    client.proxy.clear();
    assert_eq!(outcomes(&put_all(&client, &list(1)).await.expect(200)), ["unchanged"; 1000]);
    let written =
        ["products/change", "products/insert_all", "product_trail/insert"].map(|name| sent(&client.proxy, name));
    assert_eq!(written, [0, 0, 0]);
    let began = Instant::now();
    let mut half = list(2);
    half.truncate(500);
    half.extend(list(1).into_iter().skip(500));
    let changed = put_all(&client, &half).await.expect(200);
    println!("500 changes took {:?}", began.elapsed());
    assert_eq!(outcomes(&changed), [["changed"; 500], ["unchanged"; 500]].concat());
    let product_id = changed.body["items"][0]["id"].as_i64().expect("an id");
    assert_eq!(trail(&client, product_id).await.len(), 2);
    assert_eq!(shop.count("SELECT COUNT(*) FROM product_trail").await, 1500);
    let mut many = list(3);
    many.push(item("one more", json!({})));
    put_all(&client, &many).await.refused(422, "invalid_body");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn only_this_body_may_have_eight_megabytes() {
    let shop = Shop::open().await;
    let client = desk(&shop).await;
    let padded = |bytes: usize| format!("{{\"items\": [{}]}}", " ".repeat(bytes));
    let post = async |path: &str, body: String| {
        let request = client.request("POST", path).bearer_auth(super::TOKEN).header("content-type", "application/json");
        client.send(request.body(body)).await
    };
    let bulk = format!("{PRODUCTS}/bulk");
    let most = 8 * 1024 * 1024;
    assert_eq!(post(&bulk, padded(most - 13)).await.expect(200).body, json!({ "items": [] }));
    post(&bulk, padded(most - 12)).await.refused(413, "body_too_large");
    post(PRODUCTS, padded(64 * 1024)).await.refused(413, "body_too_large");
}
