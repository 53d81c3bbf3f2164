//! Limits per buyer, and of the units that one caller holds: kept by counters beside the holds and orders that they count.

mod apart;
mod carts;
mod counting;
mod damage;
mod due;
mod held;
mod races;
mod rounds;
mod storm;
mod ways_back;

use holdfast::config::Config;
use holdfast::domain::{AdminToken, Owner, Role, counter};
use serde_json::{Value, json};

use crate::clients::{OPERATOR, add};
use crate::support::{Answer, Bare, Client, Shop, mint};

/// The most units of one buyer in these tests.
const LIMIT: i64 = 4;

/// An instance without workers and with the operators' token.
async fn operated(shop: &Shop) -> Bare {
    shop.serve_without_workers_as(Config { admin_token: AdminToken::new(OPERATOR), ..shop.config() }).await
}

/// A product with a limit from the beginning, as its counts are known.
async fn limited(shop: &Shop, stock: i64) -> i64 {
    let product_id = shop.product(stock).await;
    let set = format!("SET max_per_buyer = {LIMIT}, limit_state = 'enforced'");
    shop.execute(&format!("UPDATE products {set} WHERE id = {product_id}")).await;
    product_id
}

/// Asks for units for a buyer of callers without a token.
async fn take(client: &Client, product_id: i64, qty: i64, buyer: &str) -> Answer {
    client.post("/api/holds", &json!({ "product_id": product_id, "qty": qty, "buyer": buyer })).await
}

/// Takes units for a buyer; returns the hold.
async fn taken(client: &Client, product_id: i64, qty: i64, buyer: &str) -> String {
    take(client, product_id, qty, buyer).await.expect(201).text("hold_id")
}

/// Checks that a request is refused because of its buyer's limit.
#[track_caller]
fn refused_over_limit(answer: &Answer, yours: i64) {
    answer.refused(409, "buyer_limit");
    assert_eq!((&answer.body["limit"], &answer.body["yours"]), (&json!(LIMIT), &json!(yours)), "{answer:?}");
}

/// Returns the units of a buyer of callers without a token, as the counter has them.
async fn counted(shop: &Shop, product_id: i64, buyer: &str) -> i64 {
    let owner = Owner { client_id: None, buyer: Some(buyer.into()) };
    let id = counter::of_buyer(product_id, &owner).expect("a buyer").simple().to_string();
    shop.count(&format!("SELECT COALESCE((SELECT units FROM buyer_units WHERE id = x'{id}'), 0)")).await
}

#[tokio::test]
async fn a_buyer_may_have_as_many_units_as_the_limit_and_not_one_more() {
    let shop = Shop::open().await;
    let (product_id, other) = (limited(&shop, 100).await, limited(&shop, 100).await);
    let client = shop.serve_without_workers().await;
    refused_over_limit(&take(&client, product_id, LIMIT + 1, "b").await, 0);
    let first = taken(&client, product_id, LIMIT - 1, "b").await;
    refused_over_limit(&take(&client, product_id, 2, "b").await, LIMIT - 1);
    taken(&client, product_id, 1, "b").await;
    refused_over_limit(&take(&client, product_id, 1, "b").await, LIMIT);
    assert_eq!(counted(&shop, product_id, "b").await, LIMIT);
    // another buyer, and another product
    taken(&client, product_id, LIMIT, "c").await;
    taken(&client, other, LIMIT, "b").await;
    client.release(&first).await.expect(200);
    taken(&client, product_id, LIMIT - 1, "b").await;
    refused_over_limit(&take(&client, product_id, 1, "b").await, LIMIT);
    assert_eq!(shop.reserved(product_id).await, 2 * LIMIT);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_product_with_a_limit_is_sold_to_named_buyers_only() {
    let shop = Shop::open().await;
    let (product_id, free) = (limited(&shop, 10).await, shop.product(10).await);
    let client = shop.serve_without_workers().await;
    for _ in 0..2 {
        // read, and then remembered
        client.try_hold(product_id, 1).await.refused(422, "buyer_required");
    }
    let key = mint();
    let body = json!({ "product_id": product_id, "qty": 1 });
    client.post_keyed("/api/holds", &key, &body).await.refused(422, "buyer_required");
    let named = client.request("POST", "/api/holds").header("holdfast-buyer", "b").json(&body);
    client.send(named).await.expect(201);
    client.hold(free, 1).await;
    assert_eq!((shop.reserved(product_id).await, counted(&shop, product_id, "b").await), (1, 1));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn two_clients_that_name_the_same_buyer_have_two_limits() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let client = shop.serve_without_workers().await;
    let (one, other) =
        (add(&client.app, "one", Role::Storefront).await, add(&client.app, "other", Role::Storefront).await);
    let ask = async |token: &str| {
        let body = json!({ "product_id": product_id, "qty": LIMIT, "buyer": "b" });
        client.send(client.request("POST", "/api/holds").bearer_auth(token).json(&body)).await
    };
    ask(&one.token).await.expect(201);
    ask(&other.token).await.expect(201);
    taken(&client, product_id, LIMIT, "b").await;
    refused_over_limit(&ask(&one.token).await, LIMIT);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_repeated_request_is_answered_with_its_hold_and_never_refused_because_of_its_own_units() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let client = shop.serve_without_workers().await;
    let body = json!({ "product_id": product_id, "qty": LIMIT, "buyer": "b" });
    let first = client.post_keyed("/api/holds", "key-1", &body).await.expect(201);
    let again = client.post_keyed("/api/holds", "key-1", &body).await.expect(201);
    assert!(again.is_replayed());
    assert_eq!(first.text("hold_id"), again.text("hold_id"));
    assert_eq!(counted(&shop, product_id, "b").await, LIMIT);
    refused_over_limit(&client.post_keyed("/api/holds", "key-2", &body).await, LIMIT);
}

#[tokio::test]
async fn a_buyer_whose_answer_was_lost_finds_the_hold_that_counts() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let client = shop.serve_without_workers().await;
    let storefront = add(&client.app, "shop", Role::Storefront).await;
    let ask = async |method: &str, path: &str, body: Option<Value>| {
        let request = client.request(method, path).bearer_auth(&storefront.token).header("holdfast-buyer", "b");
        client
            .send(match body {
                Some(body) => request.json(&body),
                None => request,
            })
            .await
    };
    let body = json!({ "product_id": product_id, "qty": LIMIT });
    let lost = ask("POST", "/api/holds", Some(body.clone())).await.expect(201).text("hold_id");
    refused_over_limit(&ask("POST", "/api/holds", Some(body.clone())).await, LIMIT);
    let found = ask("GET", "/api/holds?buyer=b&state=active", None).await.expect(200);
    let ids: Vec<&Value> =
        found.body["items"].as_array().expect("a list").iter().map(|hold| &hold["hold_id"]).collect();
    assert_eq!(ids, [&json!(lost)]);
    ask("DELETE", &format!("/api/holds/{lost}"), None).await.expect(200);
    ask("POST", "/api/holds", Some(body)).await.expect(201);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_buyer_in_the_body_that_differs_from_the_callers_is_refused() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 10).await;
    let client = shop.serve_without_workers().await;
    let body = json!({ "product_id": product_id, "qty": 1, "buyer": "other" });
    let request = client.request("POST", "/api/holds").header("holdfast-buyer", "b").json(&body);
    client.send(request).await.refused(422, "buyer_mismatch");
    assert_eq!(shop.reserved(product_id).await, 0);
}

#[tokio::test]
async fn an_operator_passes_the_limit_of_a_buyer_and_is_named_in_the_trail() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let client = operated(&shop).await;
    let desk = add(&client.app, "box-office", Role::Admin).await;
    let ask = async |qty: i64| {
        let body = json!({ "product_id": product_id, "qty": qty, "buyer": "b" });
        client.send(client.request("POST", "/api/holds").bearer_auth(&desk.token).json(&body)).await
    };
    ask(LIMIT).await.expect(201);
    let rows = "SELECT COUNT(id) FROM product_trail WHERE action = 'limit_passed'";
    assert_eq!(shop.count(rows).await, 0, "within the limit there is nothing to tell");
    let beyond = ask(2).await.expect(201).text("hold_id");
    let trail = client.request("GET", &format!("/api/admin/products/{product_id}/trail")).bearer_auth(OPERATOR);
    let trail = client.send(trail).await.expect(200);
    let entry = &trail.body["items"][0];
    assert_eq!((&entry["action"], &entry["actor"]), (&json!("limit_passed"), &json!("box-office")), "{trail:?}");
    let to = &entry["to"];
    assert_eq!((&to["hold_id"], &to["units"], &to["buyer"]), (&json!(beyond), &json!(LIMIT + 2), &json!("b")));
    let units = shop.count("SELECT units FROM buyer_units").await;
    assert_eq!(units, LIMIT + 2, "what is beyond the limit counts as well");
    let release = client.request("DELETE", &format!("/api/holds/{beyond}")).bearer_auth(&desk.token);
    client.send(release).await.expect(200);
    assert_eq!(shop.count("SELECT units FROM buyer_units").await, LIMIT);
    shop.assert_conserved().await;
}
