//! What buyers are told about a product: honest states, and no parameter that is silently ignored.

use holdfast::config::Config;
use holdfast::domain::AdminToken;
use holdfast::http;
use serde_json::{Value, json};

use super::{TOKEN, desk, id, patch, poster, send};
use crate::support::crowd::sent;
use crate::support::{Client, Shop, mint, with};

async fn told(client: &Client, product_id: i64) -> (String, Value) {
    let seen = client.get(&format!("/api/products/{product_id}")).await.expect(200);
    let listed = client.get("/api/products?limit=100").await.expect(200);
    let listed =
        listed.body["items"].as_array().and_then(|items| items.iter().find(|item| item["id"] == product_id).cloned());
    if let Some(listed) = listed {
        assert_eq!(
            (&listed["sale_status"], &listed["next_return_at"]),
            (&seen.body["sale_status"], &seen.body["next_return_at"])
        );
    }
    (seen.text("sale_status"), seen.body["next_return_at"].clone())
}

#[tokio::test]
async fn a_buyer_is_told_whether_units_may_come_back_and_when() {
    let shop = Shop::open().await;
    let (product_id, client) = (shop.product(2).await, desk(&shop).await);
    let word = |word: &str| (word.to_owned(), Value::Null);
    assert_eq!(told(&client, product_id).await, word("on_sale"));
    let first = client.try_hold(product_id, 1).await.expect(201);
    assert_eq!(told(&client, product_id).await, word("on_sale"));
    let second = client.hold(product_id, 1).await;
    assert_eq!(told(&client, product_id).await, ("all_held".to_owned(), first.body["expires_at"].clone()));
    let order = client.order(&second).await;
    client.pay(&order, "paid", "1").await.expect(200);
    assert_eq!(told(&client, product_id).await, ("all_held".to_owned(), first.body["expires_at"].clone()));
    let order = client.try_order(&first.text("hold_id")).await.expect(201);
    assert_eq!(told(&client, product_id).await, ("all_held".to_owned(), order.body["pay_by"].clone()));
    client.pay(&order.text("order_id"), "paid", "2").await.expect(200);
    assert_eq!(told(&client, product_id).await, word("sold_out"));
    shop.execute("UPDATE products SET stock = 3").await;
    assert_eq!(told(&client, product_id).await, word("on_sale"));
}

#[tokio::test]
async fn a_product_with_units_on_sale_costs_one_read_and_a_sold_one_one_more() {
    let shop = Shop::open().await;
    let (product_id, client) = (shop.product(1).await, desk(&shop).await);
    let read = async || {
        client.proxy.clear();
        client.get(&format!("/api/products/{product_id}")).await.expect(200);
        (sent(&client.proxy, "products/list_some"), sent(&client.proxy, "holds/find_supply"))
    };
    assert_eq!(read().await, (1, 0));
    client.hold(product_id, 1).await;
    assert_eq!(read().await, (1, 1));
    shop.execute("UPDATE products SET status = 'paused'").await;
    assert_eq!(read().await, (1, 0));
}

#[tokio::test]
async fn a_sale_that_is_not_on_is_told_as_such() {
    let shop = Shop::open().await;
    let (product_id, client) = (shop.product(2).await, desk(&shop).await);
    for (terms, word) in [
        ("sale_starts_at = NOW(6) + INTERVAL 1 DAY", "upcoming"),
        ("status = 'paused'", "paused"),
        ("sale_ends_at = NOW(6)", "ended"),
        ("status = 'retired'", "ended"),
    ] {
        let reset = "status = 'on_sale', sale_starts_at = NULL, sale_ends_at = NULL";
        shop.execute(&format!("UPDATE products SET {reset}")).await;
        shop.execute(&format!("UPDATE products SET {terms}")).await;
        assert_eq!(told(&client, product_id).await.0, word);
    }
}

#[tokio::test]
async fn a_retired_product_leaves_the_list_and_is_found_by_its_id() {
    let shop = Shop::open().await;
    let client = desk(&shop).await;
    let mut ids = Vec::new();
    for sku in ["a", "b", "c", "d"] {
        ids.push(id(&send(&client, "POST", super::PRODUCTS, &with(&poster(), json!({ "sku": sku })))
            .await
            .expect(201)));
    }
    patch(&client, ids[1], &json!({ "status": "retired" })).await.expect(200);
    patch(&client, ids[2], &json!({ "status": "paused" })).await.expect(200);
    let list = async |query: &str| {
        let page = client.get(&format!("/api/products?{query}")).await.expect(200);
        let ids: Vec<i64> =
            page.body["items"].as_array().into_iter().flatten().filter_map(|item| item["id"].as_i64()).collect();
        (ids, page.body["next_cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(list("").await, (vec![ids[0], ids[2], ids[3]], None));
    let (page, cursor) = list("limit=2").await;
    assert_eq!(page, [ids[0], ids[2]]);
    assert_eq!(list(&format!("limit=2&cursor={}", cursor.expect("a next page"))).await, (vec![ids[3]], None));
    assert_eq!(client.get(&format!("/api/products/{}", ids[1])).await.expect(200).text("sale_status"), "ended");
    assert_eq!((list("sku=c").await, list("sku=b").await), ((vec![ids[2]], None), (vec![], None)));
    assert_eq!((list("sku=C").await.0, list("sku=").await.0, list("sku=%27").await.0), (vec![], vec![], vec![]));
}

#[tokio::test]
async fn a_read_of_a_product_is_never_304() {
    let shop = Shop::open().await;
    let (product_id, client) = (shop.product(2).await, desk(&shop).await);
    let path = format!("/api/products/{product_id}");
    let tag = client.get(&path).await.header("etag").to_owned();
    let again = client.send(client.request("GET", &path).header("if-none-match", &tag)).await;
    assert_eq!((again.status, again.header("etag"), again.header("cache-control")), (200, tag.as_str(), "no-store"));
}

#[tokio::test]
async fn a_parameter_that_a_read_does_not_have_is_refused_on_both_ways() {
    let shop = Shop::open().await;
    let product_id = shop.product(2).await;
    let config = || Config { admin_token: AdminToken::new(TOKEN), ..shop.config() };
    let ways =
        [shop.serve_routes(config(), http::routes).await, shop.serve_routes(config(), http::framework_routes).await];
    for client in &ways {
        let document = client.get("/openapi.json").await.expect(200).body;
        let mut looked_at = 0;
        for (path, _) in document["paths"]
            .as_object()
            .expect("paths")
            .iter()
            .filter(|(path, methods)| path.starts_with("/api/") && methods["get"].is_object())
        {
            let filled = path.replace("{product_id}", &product_id.to_string()).replace("{event_id}", "1");
            let filled = filled.replace("{hold_id}", &mint()).replace("{order_id}", &mint());
            for query in ["colour=red", "limit=1&colour=red", "colour"] {
                let request = client.request("GET", &format!("{filled}?{query}")).bearer_auth(TOKEN);
                client.send(request).await.refused(400, "unknown_parameter");
            }
            let codes = &document["paths"][path]["get"]["responses"]["400"]["description"];
            assert!(codes.as_str().is_some_and(|codes| codes.contains("`unknown_parameter`")), "{path}");
            looked_at += 1;
        }
        assert!(looked_at >= 10, "{looked_at}");
        client.get("/api/products?%6cimit=1").await.expect(200);
        client.get("/api/products?").await.expect(200);
        client.get(&format!("/api/products/{product_id}?")).await.expect(200);
        for path in ["/healthz?a=1", "/readyz?a=1", "/openapi.json?a=1", "/docs?a=1"] {
            client.get(path).await.expect(200);
        }
        client.get("/api/nothing?a=1").await.refused(404, "not_found");
        let hold = json!({ "product_id": product_id, "qty": 1 });
        client.post("/api/holds?a=1", &hold).await.expect(201);
        let paid = json!({ "order_id": mint(), "status": "paid", "txn_id": mint() });
        client.post("/api/payments/webhook?a=1", &paid).await.expect(202);
    }
}
