//! The limit of the units that one caller may hold: of a client's buyer, or of an address without a client.

use std::num::NonZeroU32;

use holdfast::config::Config;
use holdfast::domain::Role;
use holdfast::rate::TrustedProxies;
use serde_json::json;

use super::{LIMIT, counted, limited};
use crate::clients::add;
use crate::support::proxy::{Action, Rule};
use crate::support::{Answer, Bare, Client, Shop, mint, together, with_policy};

/// The most units in active holds of one caller in these tests.
const MOST: u32 = 5;

/// A configuration with the limit; requests say where they come from.
fn config(shop: &Shop) -> Config {
    let proxies = TrustedProxies::parse("127.0.0.1").expect("networks");
    let config = with_policy(shop.config(), |policy| {
        (policy.max_held_units, policy.max_qty) = (NonZeroU32::new(MOST), 10);
    });
    Config { trusted_proxies: proxies, ..config }
}

pub(super) async fn limited_service(shop: &Shop) -> Bare {
    shop.serve_without_workers_as(config(shop)).await
}

/// Asks for units from an address.
pub(super) async fn ask(client: &Client, product_id: i64, qty: i64, address: &str) -> Answer {
    let request = client.request("POST", "/api/holds").header("x-forwarded-for", address);
    client.send(request.json(&json!({ "product_id": product_id, "qty": qty }))).await
}

#[track_caller]
fn refused_over_limit(answer: &Answer, yours: i64) {
    answer.refused(409, "held_units_limit");
    assert_eq!((&answer.body["limit"], &answer.body["yours"]), (&json!(MOST), &json!(yours)), "{answer:?}");
}

#[tokio::test]
async fn an_address_holds_as_many_units_as_the_limit_and_orders_are_not_held() {
    let shop = Shop::open().await;
    let (one, other) = (shop.product(100).await, shop.product(100).await);
    let client = limited_service(&shop).await;
    let here = "192.0.2.1";
    refused_over_limit(&ask(&client, one, 6, here).await, 0);
    let first = ask(&client, one, 3, here).await.expect(201).text("hold_id");
    let second = ask(&client, other, 2, here).await.expect(201).text("hold_id");
    refused_over_limit(&ask(&client, one, 1, here).await, 5);
    ask(&client, one, 5, "192.0.2.2").await.expect(201);
    ask(&client, one, 5, "2001:db8:0:1::1").await.expect(201);
    refused_over_limit(&ask(&client, one, 1, "2001:db8:0:1::2").await, 5);
    ask(&client, one, 5, "2001:db8:0:2::1").await.expect(201);

    client.release(&first).await.expect(200);
    ask(&client, one, 3, here).await.expect(201);
    let order_id = client.order(&second).await;
    let third = ask(&client, one, 2, here).await.expect(201).text("hold_id");
    refused_over_limit(&ask(&client, one, 1, here).await, 5);
    // what an order gives back was not held any more
    client.cancel(&order_id).await.expect(200);
    refused_over_limit(&ask(&client, one, 1, here).await, 5);
    shop.assert_conserved().await;

    client.order(&third).await;
    shop.let_holds_run_out().await;
    while client.app.checkout.expire_holds().await.expect("a worker's step") {}
    assert_eq!(shop.count("SELECT CAST(SUM(units) AS SIGNED) FROM buyer_units").await, 0);
    ask(&client, one, 5, here).await.expect(201);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_of_the_product_that_has_run_out_is_not_held_any_more() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let client = limited_service(&shop).await;
    ask(&client, product_id, 5, "192.0.2.1").await.expect(201);
    shop.let_holds_run_out().await;
    ask(&client, product_id, 5, "192.0.2.1").await.expect(201);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn each_buyer_of_a_client_holds_units_of_its_own_and_a_client_without_a_buyer_is_not_limited() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let client = limited_service(&shop).await;
    let shop_front = add(&client.app, "shop", Role::Storefront).await;
    let desk = add(&client.app, "desk", Role::Admin).await;
    let ask = async |token: &str, qty: i64, buyer: Option<&str>| {
        let mut body = json!({ "product_id": product_id, "qty": qty });
        if let Some(buyer) = buyer {
            body["buyer"] = json!(buyer);
        }
        client.send(client.request("POST", "/api/holds").bearer_auth(token).json(&body)).await
    };
    ask(&shop_front.token, 5, Some("b")).await.expect(201);
    refused_over_limit(&ask(&shop_front.token, 1, Some("b")).await, 5);
    ask(&shop_front.token, 5, Some("c")).await.expect(201);
    ask(&shop_front.token, 10, None).await.expect(201);
    ask(&desk.token, 10, Some("b")).await.expect(201);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn without_the_setting_nothing_is_counted_and_what_was_counted_before_is_given_back() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (limited, free) = (limited_service(&shop).await, shop.serve_without_workers().await);
    let [released, ordered] = [1, 2].map(|qty| (qty, "127.0.0.1"));
    let released = ask(&limited, product_id, released.0, released.1).await.expect(201).text("hold_id");
    let ordered = ask(&limited, product_id, ordered.0, ordered.1).await.expect(201).text("hold_id");
    free.hold(product_id, 10).await;
    let units = "SELECT CAST(SUM(units) AS SIGNED) FROM buyer_units";
    assert_eq!(shop.count(units).await, 3);
    free.release(&released).await.expect(200);
    free.order(&ordered).await;
    assert_eq!(shop.count(units).await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_buyer_with_both_limits_is_counted_on_both() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let client = limited_service(&shop).await;
    let take = async |qty: i64, buyer: &str| super::take(&client, product_id, qty, buyer).await;
    let hold_id = take(LIMIT, "b").await.expect(201).text("hold_id");
    take(1, "b").await.refused(409, "buyer_limit");
    // the same address
    refused_over_limit(&take(2, "c").await, LIMIT);
    take(1, "c").await.expect(201);
    client.order(&hold_id).await;
    assert_eq!(counted(&shop, product_id, "b").await, LIMIT);
    take(LIMIT, "d").await.expect(201);
    take(1, "b").await.refused(409, "buyer_limit");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_order_whose_commit_is_unknown_takes_its_units_off_once() {
    for action in [Action::CutBefore, Action::CutAfter] {
        let shop = Shop::open().await;
        let product_id = shop.product(100).await;
        let client = limited_service(&shop).await;
        let hold_id = ask(&client, product_id, 2, "192.0.2.1").await.expect(201).text("hold_id");
        ask(&client, product_id, 1, "192.0.2.1").await.expect(201);
        let _commit = client.proxy.on(Rule::from("COMMIT;"), action);
        client.order(&hold_id).await;
        assert_eq!(shop.count("SELECT CAST(SUM(units) AS SIGNED) FROM buyer_units").await, 1);
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn eight_connections_cannot_hold_a_whole_sale_and_honest_buyers_get_their_units() {
    let shop = Shop::open().await;
    let product_id = shop.product(200).await;
    let (one, other) = (limited_service(&shop).await, limited_service(&shop).await);
    for _ in 0..2 {
        let attack = |connection: usize| {
            let client = [&one, &other][connection % 2].client.clone();
            async move {
                let mut held = 0;
                for _ in 0..25 {
                    held += i64::from(ask(&client, product_id, 1, "198.51.100.1").await.status == 201);
                }
                held
            }
        };
        let held: i64 = together((0..8).map(attack)).await.into_iter().sum();
        assert_eq!(held, i64::from(MOST));
        let honest = |buyer: usize| {
            let client = one.client.clone();
            async move { ask(&client, product_id, 1, &format!("203.0.113.{buyer}")).await.status }
        };
        let served = together((1..=100).map(honest)).await;
        assert!(served.iter().all(|&status| status == 201), "{served:?}");
        assert_eq!(shop.reserved(product_id).await, 100 + held);
        shop.assert_conserved().await;
        // and again after each expiry
        shop.let_holds_run_out().await;
        while one.app.checkout.expire_holds().await.expect("a worker's step") {}
    }
    assert_eq!(shop.reserved(product_id).await, 0);
}

#[tokio::test]
async fn a_copy_of_a_request_that_holds_all_that_may_be_held_gets_its_hold() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let client = limited_service(&shop).await;
    let (key, body) = (mint(), json!({ "product_id": product_id, "qty": MOST }));
    let copies = (0..4).map(|_| {
        let (client, key, body) = (client.client.clone(), key.clone(), body.clone());
        async move { client.post_keyed("/api/holds", &key, &body).await.expect(201).text("hold_id") }
    });
    let ids = together(copies).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_cart_is_held_with_all_its_units_and_a_replacement_and_fewer_units_count_net() {
    let shop = Shop::open().await;
    let (one, other) = (shop.product(100).await, shop.product(100).await);
    let client = limited_service(&shop).await;
    let ask = async |lines: [i64; 2], old: Option<&str>| {
        let items = json!([{ "product_id": one, "qty": lines[0] }, { "product_id": other, "qty": lines[1] }]);
        let mut body = json!({ "items": items });
        if let Some(old) = old {
            body["replaces"] = json!(old);
        }
        client.send(client.request("POST", "/api/holds").header("x-forwarded-for", "192.0.2.1").json(&body)).await
    };
    let refused = ask([3, 3], None).await;
    refused_over_limit(&refused, 0);
    assert_eq!(
        (&refused.body["items"][0]["product_id"], refused.body["items"].as_array().map(Vec::len)),
        (&json!(other), Some(1))
    );
    let old = ask([3, 2], None).await.expect(201).text("hold_id");
    refused_over_limit(&ask([1, 1], None).await, 5);
    let new = ask([1, 4], Some(&old)).await.expect(201).text("hold_id");
    let held = async || shop.count("SELECT CAST(SUM(units) AS SIGNED) FROM buyer_units").await;
    assert_eq!(held().await, 5);
    let path = format!("/api/holds/{new}");
    let fewer = json!({ "items": [{ "product_id": other, "qty": 0 }] });
    client.send(client.request("PATCH", &path).json(&fewer)).await.expect(200);
    assert_eq!(held().await, 1);
    let last = ask([2, 2], None).await.expect(201).text("hold_id");
    assert_eq!(held().await, 5);
    client.order(&last).await;
    assert_eq!(held().await, 1, "an order is not held");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_caller_over_a_lowered_limit_may_replace_a_hold_by_one_that_is_not_larger() {
    let shop = Shop::open().await;
    let (one, other) = (shop.product(100).await, shop.product(100).await);
    let before = limited_service(&shop).await;
    let lowered = with_policy(config(&shop), |policy| policy.max_held_units = NonZeroU32::new(2));
    let client = shop.serve_without_workers_as(lowered).await;
    let ask = async |client: &Client, lines: [i64; 2], old: Option<&str>| {
        let items = json!([{ "product_id": one, "qty": lines[0] }, { "product_id": other, "qty": lines[1] }]);
        let mut body = json!({ "items": items });
        if let Some(old) = old {
            body["replaces"] = json!(old);
        }
        client.send(client.request("POST", "/api/holds").header("x-forwarded-for", "192.0.2.1").json(&body)).await
    };
    let old = ask(&before, [3, 2], None).await.expect(201).text("hold_id");
    let new = ask(&client, [1, 4], Some(&old)).await.expect(201).text("hold_id");
    ask(&client, [2, 4], Some(&new)).await.refused(409, "held_units_limit");
    let new = ask(&client, [2, 2], Some(&new)).await.expect(201).text("hold_id");
    ask(&client, [1, 1], None).await.refused(409, "held_units_limit");
    ask(&client, [1, 1], Some(&new)).await.expect(201);
    assert_eq!(shop.count("SELECT CAST(SUM(units) AS SIGNED) FROM buyer_units").await, 2);
    shop.assert_conserved().await;
}
