//! A later deadline: how far it moves, how often, and for which requests.

use holdfast::config::Config;
use holdfast::domain::AdminToken;

use super::*;
use crate::support::proxy::{Action, Rule};
use crate::support::{Bare, with_policy};

/// An instance whose holds and orders can be extended until so many seconds after they were made.
async fn serve(shop: &Shop, seconds: u64) -> Bare {
    shop.serve_without_workers_as(with_policy(shop.config(), |policy| policy.max_hold_seconds = seconds)).await
}

#[tokio::test]
async fn a_deadline_moves_by_the_seconds_up_to_the_limit_and_a_refusal_says_what_is_possible() {
    let shop = Shop::open().await;
    let product_id = shop.product(9).await;
    let client = serve(&shop, 1_000).await;
    // holds last 120 seconds, orders 900
    let hold_id = client.hold(product_id, 1).await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    for (path, left) in [(hold_path(&hold_id), 880), (order_path(&order_id), 100)] {
        let first = deadline(&client, &path).await;
        extend(&client, &path, 60).await.expect(200);
        assert_eq!((deadline(&client, &path).await - first).num_microseconds(), Some(60_000_000));
        let left = left - 60;
        let refusal = extend(&client, &path, left + 1).await;
        assert_eq!(refusal.refused(409, "extension_limit").body["possible_seconds"], left);
        assert_eq!((deadline(&client, &path).await - first).num_seconds(), 60, "nothing was changed");
        extend(&client, &path, left).await.expect(200);
        assert_eq!(extend(&client, &path, 1).await.refused(409, "extension_limit").body["possible_seconds"], 0);
        assert_eq!((deadline(&client, &path).await - first).num_seconds(), 60 + left);
        for seconds in [0, -1, 2_592_001] {
            extend(&client, &path, seconds).await.refused(422, "invalid_seconds");
        }
        let path = format!("{path}/extend");
        client.post(&path, &json!({})).await.refused(422, "invalid_body");
        client.post(&path, &json!({ "seconds": 1, "qty": 1 })).await.refused(422, "invalid_body");
    }
    extend(&client, &hold_path(&mint()), 1).await.refused(404, "hold_not_found");
    let returns = "SELECT COUNT(*) FROM holds LEFT JOIN orders ON orders.hold_id = holds.id
                   WHERE returns_at = COALESCE(pay_by, expires_at)";
    assert_eq!(shop.count(returns).await, 2, "the units come back at the new deadlines");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_product_has_its_own_limit_and_a_hold_of_several_the_smallest_of_theirs() {
    const TOKEN: &str = "an-operators-token-of-these-tests";
    let shop = Shop::open().await;
    let (one, other) = (shop.product(9).await, shop.product(9).await);
    let config = Config { admin_token: AdminToken::new(TOKEN), ..shop.config() };
    let client = shop.serve_without_workers_as(with_policy(config, |policy| policy.max_hold_seconds = 1_000)).await;
    let set = async |product_id: i64, value: Value| {
        let request = client.request("PATCH", &format!("/api/admin/products/{product_id}")).bearer_auth(TOKEN);
        let body = json!({ "max_hold_seconds": value });
        client.send(request.header("content-type", "application/merge-patch+json").body(body.to_string())).await
    };
    let possible = async |path: String| {
        extend(&client, &path, 100_000).await.refused(409, "extension_limit").body["possible_seconds"].clone()
    };
    let hold_id = client.hold(one, 1).await;
    assert_eq!(possible(hold_path(&hold_id)).await, 880);
    let shown = set(one, json!(3_000)).await.expect(200);
    assert_eq!((&shown.body["max_hold_seconds"], &shown.body["stock"]), (&json!(3_000), &json!(9)));
    assert_eq!(client.get(&format!("/api/products/{one}")).await.body["max_hold_seconds"], 3_000);
    assert_eq!(possible(hold_path(&hold_id)).await, 2_880);
    let order_id = client.order(&hold_id).await;
    assert_eq!(possible(order_path(&order_id)).await, 2_100);
    set(other, json!(500)).await.expect(200);
    let both = cart(&shop, &[(one, 1), (other, 1)], 120).await;
    let left = possible(hold_path(&both)).await.as_i64().expect("a number");
    assert!((379..=380).contains(&left), "{left}");
    set(one, Value::Null).await.expect(200);
    assert_eq!(possible(order_path(&order_id)).await, 100);
    for value in [json!(0), json!(2_592_001)] {
        set(one, value).await.refused(422, "invalid_product");
    }
    // a product with a limit of its own is sold as a plain one
    client.hold(other, 1).await;
    client.proxy.clear();
    client.hold(other, 1).await;
    let sent = client.proxy.statements().concat();
    assert!(sent.contains("-- products/take:") && !sent.contains("-- products/take_on_terms:"), "{sent}");
    shop.execute(&format!("DELETE FROM products WHERE id = {other}")).await;
    let left = possible(hold_path(&both)).await.as_i64().expect("a number");
    assert!((879..=880).contains(&left), "the shop's limit: {left}");
}

#[tokio::test]
async fn a_copy_of_an_extension_moves_nothing_and_is_answered_with_what_is() {
    let shop = Shop::open().await;
    let product_id = shop.product(9).await;
    let (client, other) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    let (hold_id, (_, order_id)) = (client.hold(product_id, 3).await, client.hold_and_order(product_id, 1).await);
    for path in [hold_path(&hold_id), order_path(&order_id)] {
        let first = deadline(&client, &path).await;
        let moved = async || (deadline(&client, &path).await - first).num_seconds();
        assert!(!extend_keyed(&client, &path, 60, "a").await.expect(200).is_replayed());
        assert!(extend_keyed(&other, &path, 60, "a").await.expect(200).is_replayed());
        assert_eq!(moved().await, 60);
        extend_keyed(&client, &path, 61, "a").await.refused(422, "idempotency_key_reuse");
        assert!(!extend_keyed(&client, &path, 60, "b").await.expect(200).is_replayed());
        let copy = extend_keyed(&client, &path, 60, "a").await.expect(200);
        assert_eq!((copy.is_replayed(), moved().await), (true, 120));
        // a refusal is not kept: the same request may succeed later
        extend_keyed(&client, &path, 5_000, "c").await.refused(409, "extension_limit");
        extend_keyed(&client, &path, 10, "c").await.expect(200);
        assert_eq!(moved().await, 130);
        shop.execute("DELETE FROM idempotency_keys").await;
    }
    // the keys of extensions are their own
    client.post_keyed("/api/holds", "d", &json!({ "product_id": product_id, "qty": 1 })).await.expect(201);
    extend_keyed(&client, &hold_path(&hold_id), 10, "d").await.expect(200);
    let ended = extend_keyed(&client, &hold_path(&hold_id), 10, "d").await.expect(200);
    assert!(ended.is_replayed());
    client.release(&hold_id).await.expect(200);
    assert_eq!(extend_keyed(&client, &hold_path(&hold_id), 10, "d").await.expect(200).text("status"), "released");
    extend_keyed(&client, &hold_path(&hold_id), 10, "e").await.refused(409, "hold_released");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn of_copies_at_the_same_time_on_two_instances_one_moves_the_deadline() {
    let shop = Shop::open().await;
    let product_id = shop.product(9).await;
    let (client, other) = (serve(&shop, 180).await, serve(&shop, 180).await);
    let hold_id = client.hold(product_id, 1).await;
    let path = hold_path(&hold_id);
    let first = deadline(&client, &path).await;
    let commit = client.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let keyed = |client: &Client| {
        let (client, path) = (client.clone(), path.clone());
        tokio::spawn(async move { extend_keyed(&client, &path, 60, "key").await })
    };
    let winner = keyed(&client);
    commit.reached().await;
    let copy = keyed(&other);
    shop.until_running("idempotency_keys/insert").await;
    commit.release();
    // the first one has used up what is possible, and its copy is not refused for that
    assert!(!answer(winner).await.expect(200).is_replayed());
    assert!(answer(copy).await.expect(200).is_replayed());
    assert_eq!((deadline(&client, &path).await - first).num_seconds(), 60);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_extension_that_is_cut_off_anywhere_moves_the_deadline_once() {
    let names = ["-- idempotency_keys/insert:", "-- holds/extend:", "-- orders/extend:", "-- holds/return_later:"];
    let shop = Shop::open().await;
    let product_id = shop.product(9).await;
    let client = shop.serve_without_workers().await;
    let (hold_id, (_, order_id)) = (client.hold(product_id, 1).await, client.hold_and_order(product_id, 1).await);
    let mut hits = 0;
    for path in [hold_path(&hold_id), order_path(&order_id)] {
        let mut expected = deadline(&client, &path).await;
        for rule in names.map(Rule::from).into_iter().chain([Rule::exactly("COMMIT")]) {
            for action in [Action::CutBefore, Action::CutAfter, Action::DEADLOCK] {
                for key in [None, Some(mint())] {
                    let cut = client.proxy.on(rule.clone(), action);
                    let extended = match &key {
                        Some(key) => extend_keyed(&client, &path, 10, key).await,
                        None => extend(&client, &path, 10).await,
                    };
                    let extended = extended.expect(200);
                    expected += chrono::TimeDelta::seconds(10);
                    hits += cut.hits();
                    assert!(!extended.is_replayed(), "{rule:?} {action:?}");
                    assert_eq!(deadline(&client, &path).await, expected, "{path} {rule:?} {action:?} {key:?}");
                }
            }
        }
    }
    // hold: key, extend and COMMIT; order: key, extend, return and COMMIT; each with three actions, with and without a key
    assert_eq!(hits, 7 * 3 * 2);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_copy_of_a_creation_shows_the_present_units_and_deadline() {
    let shop = Shop::open().await;
    let product_id = shop.product(9).await;
    let client = shop.serve_without_workers().await;
    let body = json!({ "product_id": product_id, "qty": 5 });
    let hold = client.post_keyed("/api/holds", "hold", &body).await.expect(201);
    let hold_id = hold.text("hold_id");
    keep(&client, &hold_id, 2).await.expect(200);
    let extended = extend(&client, &hold_path(&hold_id), 60).await.expect(200);
    let copy = async || {
        let copy = client.post_keyed("/api/holds", "hold", &body).await.expect(201);
        assert!(copy.is_replayed());
        let [qty, deadline, status] = ["qty", "expires_at", "status"].map(|field| copy.body[field].clone());
        assert_eq!((qty, deadline, status), (json!(2), extended.body["expires_at"].clone(), json!("active")));
    };
    assert_ne!(extended.body["expires_at"], hold.body["expires_at"]);
    copy().await;
    let order = client.post_keyed("/api/orders", "order", &json!({ "hold_id": hold_id })).await.expect(201);
    copy().await;
    let extended_order = extend(&client, &order_path(&order.text("order_id")), 60).await.expect(200);
    assert_ne!(extended_order.body["pay_by"], order.body["pay_by"]);
    let again = client.post_keyed("/api/orders", "order", &json!({ "hold_id": hold_id })).await.expect(201);
    assert_eq!((again.is_replayed(), &again.body["pay_by"]), (true, &extended_order.body["pay_by"]));
    assert_eq!(again.body["total_minor"], 2 * 4999);
    shop.assert_conserved().await;
}
