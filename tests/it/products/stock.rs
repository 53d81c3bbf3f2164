//! The stock of a product is changed by a guarded statement, once for each key, and never below what is reserved.

use serde_json::{Value, json};

use super::{PRODUCTS, TOKEN, desk, send, trail};
use crate::support::proxy::{Action, Rule};
use crate::support::{Answer, Client, Shop};

pub(super) async fn change(client: &Client, product_id: i64, body: &Value) -> Answer {
    send(client, "POST", &format!("{PRODUCTS}/{product_id}/stock"), body).await
}

async fn keyed(client: &Client, product_id: i64, key: &str, body: &Value) -> Answer {
    let request = client.request("POST", &format!("{PRODUCTS}/{product_id}/stock")).bearer_auth(TOKEN);
    client.send(request.header("idempotency-key", key).json(body)).await
}

#[tokio::test]
async fn stock_is_added_and_set_but_never_below_what_is_reserved() {
    let shop = Shop::open().await;
    let client = desk(&shop).await;
    let product_id = shop.product(5).await;
    client.hold(product_id, 3).await;
    let added = change(&client, product_id, &json!({ "add": 2, "reason": "a delivery" })).await.expect(200);
    assert_eq!((&added.body["stock"], &added.body["available_stock"]), (&json!(7), &json!(4)));
    for too_few in [json!({ "add": -5 }), json!({ "set": 2 })] {
        let refused = change(&client, product_id, &too_few).await;
        let refused = refused.refused(409, "stock_reserved");
        assert_eq!((&refused.body["reserved_stock"], &refused.body["available_stock"]), (&json!(3), &json!(4)));
    }
    let least = change(&client, product_id, &json!({ "set": 3 })).await.expect(200);
    assert_eq!((&least.body["available_stock"], &least.body["sale_status"]), (&json!(0), &json!("all_held")));
    change(&client, product_id, &json!({ "set": 3 })).await.expect(200);
    change(&client, product_id, &json!({ "add": 0 })).await.expect(200);
    let rows = trail(&client, product_id).await;
    let steps: Vec<_> = rows.iter().map(|row| (row["from"]["stock"].clone(), row["to"]["stock"].clone())).collect();
    assert_eq!(steps, [(json!(7), json!(3)), (json!(5), json!(7))]);
    assert_eq!((&rows[1]["reason"], &rows[0]["reason"]), (&json!("a delivery"), &Value::Null));
    for wrong in [
        json!({}),
        json!({ "add": 1, "set": 1 }),
        json!({ "add": "1" }),
        json!({ "add": 1, "reason": "r".repeat(501) }),
    ] {
        change(&client, product_id, &wrong).await.refused(422, "invalid_body");
    }
    change(&client, product_id, &json!({ "add": i64::MAX })).await.refused(422, "invalid_product");
    change(&client, product_id, &json!({ "set": -1 })).await.refused(409, "stock_reserved");
    change(&client, 4711, &json!({ "add": 1 })).await.refused(404, "product_not_found");
    assert_eq!(shop.count("SELECT stock FROM products").await, 3);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_change_with_a_key_is_made_once() {
    let shop = Shop::open().await;
    let (client, other) = (desk(&shop).await, desk(&shop).await);
    let product_id = shop.product(5).await;
    let add = json!({ "add": 2 });
    let first = keyed(&client, product_id, "k", &add).await.expect(200);
    let copy = keyed(&other, product_id, "k", &add).await.expect(200);
    assert_eq!((first.is_replayed(), copy.is_replayed(), &copy.body["stock"]), (false, true, &json!(7)));
    keyed(&client, product_id, "k", &json!({ "add": 3 })).await.refused(422, "idempotency_key_reuse");
    keyed(&client, product_id, "refused", &json!({ "add": -8 })).await.refused(409, "stock_reserved");
    assert!(!keyed(&client, product_id, "refused", &json!({ "add": -1 })).await.expect(200).is_replayed());
    // a change to the present value keeps its key, too
    keyed(&client, product_id, "same", &json!({ "set": 6 })).await.expect(200);
    change(&client, product_id, &json!({ "set": 9 })).await.expect(200);
    assert!(keyed(&client, product_id, "same", &json!({ "set": 6 })).await.expect(200).is_replayed());
    assert_eq!(shop.count("SELECT stock FROM products").await, 9);
    assert_eq!(trail(&client, product_id).await.len(), 3);
}

#[tokio::test]
async fn a_change_whose_commit_is_not_answered_is_made_once() {
    let shop = Shop::open().await;
    let client = desk(&shop).await;
    let product_id = shop.product(5).await;
    for key in [None, Some("k")] {
        let before = shop.count("SELECT stock FROM products").await;
        let _lost = client.proxy.on(Rule::exactly("COMMIT"), Action::CutAfter);
        let answer = match key {
            Some(key) => keyed(&client, product_id, key, &json!({ "add": 1 })).await,
            None => change(&client, product_id, &json!({ "add": 1 })).await,
        };
        assert_eq!((answer.expect(200).body["stock"].as_i64(), before), (Some(before + 1), before));
        assert_eq!(shop.count("SELECT stock FROM products").await, before + 1);
    }
    assert!(keyed(&client, product_id, "k", &json!({ "add": 1 })).await.expect(200).is_replayed());
    assert_eq!(trail(&client, product_id).await.len(), 2);
}

#[tokio::test]
async fn two_requests_with_one_key_on_two_instances_change_the_stock_once() {
    let shop = Shop::open().await;
    let (client, other) = (desk(&shop).await, desk(&shop).await);
    let product_id = shop.product(5).await;
    let held = client.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let add = json!({ "add": 1 });
    let first = tokio::spawn({
        let (client, add) = (client.client.clone(), add.clone());
        async move { keyed(&client, product_id, "k", &add).await }
    });
    held.reached().await;
    let second = tokio::spawn({
        let (client, add) = (other.client.clone(), add.clone());
        async move { keyed(&client, product_id, "k", &add).await }
    });
    shop.until_running("idempotency_keys/insert").await;
    held.release();
    let (first, second) = (first.await.expect("no panic").expect(200), second.await.expect("no panic").expect(200));
    assert_eq!((first.is_replayed(), second.is_replayed()), (false, true));
    assert_eq!(shop.count("SELECT stock FROM products").await, 6);
}

#[tokio::test]
async fn stock_that_is_reserved_between_the_read_and_the_write_stays() {
    let shop = Shop::open().await;
    let (client, buyer) = (desk(&shop).await, desk(&shop).await);
    let product_id = shop.product(5).await;
    let held = client.proxy.on("-- products/change_stock:", Action::PauseBefore);
    let set = tokio::spawn({
        let client = client.client.clone();
        async move { change(&client, product_id, &json!({ "set": 1 })).await }
    });
    held.reached().await;
    buyer.hold(product_id, 2).await;
    held.release();
    let refused = set.await.expect("no panic");
    assert_eq!(refused.refused(409, "stock_reserved").body["reserved_stock"], 2);
    assert_eq!((shop.count("SELECT stock FROM products").await, trail(&client, product_id).await.len()), (5, 0));
    // by another hand: the change begins again from what is true
    let held = client.proxy.on("-- products/change_stock:", Action::PauseBefore);
    let add = tokio::spawn({
        let client = client.client.clone();
        async move { change(&client, product_id, &json!({ "add": 1 })).await }
    });
    held.reached().await;
    shop.execute("UPDATE products SET stock = 8").await;
    held.release();
    assert_eq!(add.await.expect("no panic").expect(200).body["stock"], 9);
    assert_eq!(trail(&client, product_id).await[0]["from"], json!({ "stock": 8 }));
    shop.assert_conserved().await;
}
