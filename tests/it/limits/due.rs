//! Holds of a caller that have run out: they are given back before a counter refuses, also those of other products, and behind
//! others that run out first.

use holdfast::domain::Role;
use serde_json::{Value, json};

use super::counting::many_holds;
use super::held::{ask, limited_service};
use super::{LIMIT, limited};
use crate::clients::add;
use crate::support::{Answer, Shop};

const HERE: &str = "192.0.2.1";

fn retry_after(answer: &Answer) -> Option<&str> {
    answer.headers.get("retry-after").map(|value| value.to_str().expect("a text"))
}

/// Lets holds of other callers run out, before all others.
async fn run_out_first(shop: &Shop, product_id: i64, holds: u32) {
    many_holds(shop, product_id, holds, 10).await;
    let past = "SET expires_at = '2020-01-01', returns_at = expires_at";
    shop.execute(&format!("UPDATE holds {past} WHERE id <= UNHEX(LPAD(HEX({holds}), 32, '0'))")).await;
}

#[tokio::test]
async fn a_hold_of_another_product_that_has_run_out_is_not_held_any_more() {
    let shop = Shop::open().await;
    let (one, other, third) = (shop.product(100).await, shop.product(100).await, shop.product(100).await);
    let client = limited_service(&shop).await;
    ask(&client, one, 5, HERE).await.expect(201);
    let refused = ask(&client, other, 5, HERE).await;
    assert_eq!(retry_after(refused.refused(409, "held_units_limit")), None, "nothing has run out");
    shop.let_holds_run_out().await;
    ask(&client, other, 5, HERE).await.expect(201);
    shop.let_holds_run_out().await;
    let items = json!([{ "product_id": one, "qty": 3 }, { "product_id": third, "qty": 2 }]);
    let request = client.request("POST", "/api/holds").header("x-forwarded-for", HERE).json(&json!({ "items": items }));
    client.send(request).await.expect(201);
    assert_eq!(shop.count("SELECT CAST(SUM(units) AS SIGNED) FROM buyer_units").await, 5);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_buyers_own_holds_are_given_back_however_many_others_run_out_first() {
    let shop = Shop::open().await;
    let (product_id, other) = (limited(&shop, 100).await, shop.product(100).await);
    let (client, busy) = (limited_service(&shop).await, shop.product(100_000).await);
    let storefront = add(&client.app, "shop", Role::Storefront).await;
    let hold = async |body: Value| {
        let request =
            client.request("POST", "/api/holds").bearer_auth(&storefront.token).header("holdfast-buyer", "own");
        client.send(request.json(&body)).await
    };
    hold(json!({ "product_id": product_id, "qty": LIMIT })).await.expect(201);
    shop.let_holds_run_out().await;
    run_out_first(&shop, busy, 4_500).await;
    hold(json!({ "product_id": other, "qty": 5 })).await.expect(201);
    shop.let_holds_run_out().await;
    // one limit of the product, and one of what is held
    hold(json!({ "product_id": product_id, "qty": LIMIT })).await.expect(201);
    shop.let_holds_run_out().await;
    let items = json!([{ "product_id": product_id, "qty": LIMIT }, { "product_id": other, "qty": 1 }]);
    hold(json!({ "items": items })).await.expect(201);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_address_whose_holds_run_out_behind_many_others_is_told_to_come_back() {
    let shop = Shop::open().await;
    let (product_id, other) = (shop.product(100_000).await, shop.product(100).await);
    let client = limited_service(&shop).await;
    ask(&client, product_id, 5, HERE).await.expect(201);
    shop.let_holds_run_out().await;
    run_out_first(&shop, product_id, 600).await;
    let refused = ask(&client, other, 1, HERE).await;
    assert_eq!(retry_after(refused.refused(409, "held_units_limit")), Some("1"));
    ask(&client, other, 1, HERE).await.expect(201);
    shop.assert_conserved().await;
}
