//! The payments of `holdfast dev`: an order is paid with the mouse.

use holdfast::config::Config;
use holdfast::domain::signature::Secrets;
use serde_json::{Value, json};

use crate::support::{Answer, Bare, Shop, mint};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A service that pays, as that of `dev`.
async fn paying(shop: &Shop) -> Bare {
    let webhook_secrets = Some(Secrets::standard(SECRET).expect("a secret"));
    shop.serve_without_workers_as(Config { pays_orders: true, webhook_secrets, ..shop.config() }).await
}

async fn pay(client: &Bare, order_id: &str, query: &str) -> Answer {
    client.send(client.request("POST", &format!("/dev/pay/{order_id}{query}"))).await
}

/// Returns the answers to the events, and the state of the order.
fn outcome(answer: &Answer) -> Value {
    let answers = answer.body["answers"].as_array().expect("answers");
    json!([answers.iter().map(|answer| answer["status"].clone()).collect::<Vec<_>>(), answer.body["order"]["status"]])
}

#[tokio::test]
async fn each_outcome_of_a_payment_is_reported_and_shown() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let client = paying(&shop).await;
    for (query, expected) in [
        ("", json!([["processed"], "paid"])),
        ("?outcome=paid", json!([["processed"], "paid"])),
        ("?outcome=twice", json!([["processed", "duplicate"], "paid"])),
        ("?outcome=failed", json!([["processed"], "cancelled"])),
        ("?outcome=refunded", json!([["processed", "processed"], "refunded"])),
        ("?outcome=late", json!([["processed"], "paid"])),
    ] {
        let (_, order_id) = client.hold_and_order(product_id, 1).await;
        let paid = pay(&client, &order_id, query).await.expect(200);
        assert_eq!(outcome(&paid), expected, "{query}");
        assert_eq!(client.order_status(&order_id).await, expected[1].as_str().expect("a state"), "{query}");
    }
    // a paid order is given back; a second click changes nothing
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    pay(&client, &order_id, "").await.expect(200);
    let back = pay(&client, &order_id, "?outcome=refunded").await.expect(200);
    assert_eq!(outcome(&back), json!([["duplicate", "processed"], "refunded"]));
    let again = pay(&client, &order_id, "?outcome=refunded").await.expect(200);
    assert_eq!(outcome(&again), json!([["duplicate", "duplicate"], "refunded"]));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_payment_before_its_order_pays_the_order_that_is_made_with_its_id() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = paying(&shop).await;
    let order_id = mint();
    let early = pay(&client, &order_id, "?outcome=before").await.expect(200);
    assert_eq!(outcome(&early), json!([["pending_order"], null]));
    assert!(early.body.get("order").is_none(), "{early:?}");
    let made = client.try_order_as(&client.hold(product_id, 1).await, &order_id).await.expect(201);
    assert_eq!(made.text("status"), "paid");
    pay(&client, &order_id, "?outcome=before").await.refused(409, "order_id_taken");
    pay(&client, &order_id, "?outcome=late").await.refused(409, "order_paid");
}

#[tokio::test]
async fn what_cannot_be_paid_is_refused() {
    let shop = Shop::open().await;
    let client = paying(&shop).await;
    pay(&client, &mint(), "").await.refused(404, "order_not_found");
    pay(&client, "7", "").await.refused(400, "invalid_id");
    pay(&client, &mint(), "?outcome=perhaps").await.refused(400, "invalid_parameter");
    client.send(client.request("GET", &format!("/dev/pay/{}", mint()))).await.refused(405, "method_not_allowed");
    assert_eq!(shop.count("SELECT COUNT(*) FROM payment_events").await, 0);
}

#[tokio::test]
async fn a_service_that_is_not_that_of_dev_neither_pays_nor_describes_it() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = shop.serve_without_workers().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    pay(&client, &order_id, "").await.refused(404, "not_found");
    assert_eq!(client.order_status(&order_id).await, "pending");
    let document = client.get("/openapi.json").await.expect(200);
    assert!(!document.text.contains("payInDev") && !document.text.contains("DevPayment"));
    // that of dev is described without a mistake
    let (document, lost) = holdfast::http::completed(&paying(&shop).await.app);
    assert_eq!(lost, Vec::<String>::new());
    let operation = &document["paths"]["/dev/pay/{order_id}"]["post"];
    assert_eq!((&operation["operationId"], &operation["tags"]), (&json!("payInDev"), &json!(["Payments"])));
    assert_eq!(
        operation["responses"]["404"]["content"]["application/problem+json"]["examples"]["order_not_found"]["$ref"],
        "#/components/examples/order_not_found"
    );
}
