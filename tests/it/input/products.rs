//! Lists of products: limits and cursors are checked, every product is on one page, and new products are sold at once.

use serde_json::Value;

use super::assert_problem;
use crate::support::shop::Instance;
use crate::support::{Client, Shop};

#[tokio::test]
async fn an_invalid_limit_or_cursor_is_refused() {
    let (_shop, _, client) = Shop::selling(100).await;
    for limit in ["0", "101", "-1", "x", "", "1.5", "4294967296", "4294967297", "%00", "1e1", "+1"] {
        let answer = client.get(&format!("/api/products?limit={limit}")).await;
        assert_problem(&answer, 400, "invalid_limit", limit);
    }
    for cursor in ["", "x", "1", "cC0", "cCsx", "cDE=", "%00", "%27%20OR%201=1", &"A".repeat(4000)] {
        let answer = client.get(&format!("/api/products?cursor={cursor}")).await;
        assert_problem(&answer, 400, "invalid_cursor", cursor);
    }
}

async fn many_products(shop: &Shop, count: usize) {
    let rows = vec!["('One of many', 100, 'EUR', 5)"; count].join(", ");
    shop.execute(&format!("INSERT INTO products (name, price_minor, currency, stock) VALUES {rows}")).await;
}

async fn pages(client: &Client, limit: usize) -> Vec<Vec<i64>> {
    let mut pages = Vec::new();
    let mut path = format!("/api/products?limit={limit}");
    loop {
        let page = client.get(&path).await.expect(200);
        let items = page.body["items"].as_array().expect("items");
        pages.push(items.iter().map(|item| item["id"].as_i64().expect("an id")).collect());
        match &page.body["next_cursor"] {
            Value::String(cursor) => path = format!("/api/products?limit={limit}&cursor={cursor}"),
            end => break assert_eq!(end, &Value::Null),
        }
    }
    pages
}

#[tokio::test]
async fn every_product_is_on_one_page_whatever_the_page_size() {
    let shop = Shop::open().await;
    many_products(&shop, 120).await;
    shop.execute("DELETE FROM products WHERE id % 10 = 3 OR id > 110").await;
    let client = shop.serve().await;
    let ids: Vec<i64> = (1..=110).filter(|id| id % 10 != 3).collect();
    for limit in [1, 7, 33, 98, 99, 100] {
        let pages = pages(&client, limit).await;
        assert_eq!(pages.concat(), ids, "in pages of {limit}");
        assert_eq!(pages.len(), ids.len().div_ceil(limit), "all pages but the last have {limit} items");
    }
    assert_eq!(client.get("/api/products").await.expect(200).body["items"].as_array().map(Vec::len), Some(20));
}

#[tokio::test]
async fn a_page_is_one_statement_whatever_its_size() {
    let shop = Shop::open().await;
    many_products(&shop, 150).await;
    let (client, proxy) = shop.serve_through_proxy().await;
    for limit in [1, 20, 100] {
        proxy.clear();
        client.get(&format!("/api/products?limit={limit}")).await.expect(200);
        let statements = proxy.statements();
        // workers look for units to count, and for products that are sold out
        let of_workers = ["products/find_uncounted:", "feed_products/"];
        let of_page = |statement: &&String| {
            statement.contains("products") && !of_workers.iter().any(|name| statement.contains(name))
        };
        let asked = statements.iter().filter(of_page).count();
        assert_eq!(asked, 1, "for a page of {limit}: {statements:?}");
    }
}

/// Returns the statuses of a read of a product and of a hold of one unit.
async fn look_and_buy(client: &Instance, product_id: i64) -> (u16, u16) {
    let seen = client.get(&format!("/api/products/{product_id}")).await.status;
    (seen, client.try_hold(product_id, 1).await.status)
}

#[tokio::test]
async fn products_and_units_that_are_added_directly_in_the_database_are_sold_at_once() {
    let (shop, first, client) = Shop::selling(1).await;
    assert_eq!(look_and_buy(&client, first + 1).await, (404, 404));
    let second = shop.product(1).await;
    assert_eq!(second, first + 1);
    assert_eq!(look_and_buy(&client, second).await, (200, 201));
    assert_eq!(look_and_buy(&client, second).await, (200, 409));
    shop.execute(&format!("UPDATE products SET stock = stock + 1 WHERE id = {second}")).await;
    assert_eq!(look_and_buy(&client, second).await, (200, 201));
    assert_eq!(pages(&client, 1).await, [[first], [second]]);
    shop.assert_conserved().await;
}
