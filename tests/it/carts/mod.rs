//! Carts: holds of several products, all or nothing.

mod bodies;
mod faults;
mod keys;
mod lanes;
mod orders;
mod refusals;
mod replaces;
mod replaces_races;
mod storm;

use serde_json::{Value, json};

use crate::support::{Answer, Client, Shop};

/// Puts so many products on sale, each with this stock; returns their ids, which ascend.
async fn products<const COUNT: usize>(shop: &Shop, stock: i64) -> [i64; COUNT] {
    let mut products = [0; COUNT];
    for product_id in &mut products {
        *product_id = shop.product(stock).await;
    }
    products
}

/// Returns the body of a request for these lines, `(product, units)`.
fn body(lines: &[(i64, i64)]) -> Value {
    let item = |&(product_id, qty): &(i64, i64)| json!({ "product_id": product_id, "qty": qty });
    json!({ "items": lines.iter().map(item).collect::<Vec<_>>() })
}

/// Tries to hold these lines.
async fn take(client: &Client, lines: &[(i64, i64)]) -> Answer {
    client.post("/api/holds", &body(lines)).await
}

/// Holds these lines and returns the id of the hold.
async fn cart(client: &Client, lines: &[(i64, i64)]) -> String {
    take(client, lines).await.expect(201).text("hold_id")
}

/// Returns the lines of a hold or an order, `(product, units, price)`.
fn items(answer: &Answer) -> Vec<(i64, i64, i64)> {
    let items = answer.body["items"].as_array().unwrap_or_else(|| panic!("no items in {answer:?}"));
    let number = |item: &Value, field: &str| item[field].as_i64().unwrap_or_else(|| panic!("no {field} in {answer:?}"));
    items
        .iter()
        .map(|item| (number(item, "product_id"), number(item, "qty"), number(item, "unit_price_minor")))
        .collect()
}

/// Returns the refused lines of a problem, `(product, code)`.
fn refused(answer: &Answer) -> Vec<(i64, String)> {
    let items = answer.body["items"].as_array().unwrap_or_else(|| panic!("no items in {answer:?}"));
    let line = |item: &Value| {
        let code = item["code"].as_str().unwrap_or_default().to_owned();
        (item["product_id"].as_i64().unwrap_or(0), code)
    };
    items.iter().map(line).collect()
}

/// Returns how many units of each product are reserved.
async fn reserved(shop: &Shop, products: &[i64]) -> Vec<i64> {
    let mut reserved = Vec::new();
    for &product_id in products {
        reserved.push(shop.reserved(product_id).await);
    }
    reserved
}
