//! Products that are sold out, and available again.

use std::time::{Duration, Instant};

use holdfast::app::App;
use mysql_async::prelude::Queryable as _;
use serde_json::{Value, json};

use super::{assert_whole, number, page, read_all, told, types};
use crate::clients::{OPERATOR, managed};
use crate::support::crowd::sent;
use crate::support::process::Process;
use crate::support::proxy::{Action, Rule};
use crate::support::statsd::StatsD;
use crate::support::{Bare, Instance, Shop, mint};

/// Walks over all products once.
async fn walk(app: &App) {
    while !app.checkout.walk_products().await.expect("the step runs").is_whole {}
}

async fn look(app: &App) {
    app.checkout.tell_touched_products().await.expect("the step runs");
}

/// Lets so much time pass that a product may be told again.
async fn pass_a_second(shop: &Shop) {
    shop.execute("UPDATE feed_products SET told_at = told_at - INTERVAL 2 SECOND").await;
}

/// Returns what was told of products, with their ids.
async fn availability(client: &Bare) -> Vec<(String, i64)> {
    let events = told(client).await;
    assert_whole(&events);
    let of_products = events.iter().filter(|event| {
        event["type"] != "product.changed" && event["type"].as_str().is_some_and(|kind| kind.starts_with("product."))
    });
    of_products
        .map(|event| {
            (
                event["type"].as_str().expect("a type").to_owned(),
                event["data"]["product_id"].as_i64().expect("a product"),
            )
        })
        .collect()
}

const SOLD_OUT: &str = "product.sold_out";
const AGAIN: &str = "product.available_again";

#[track_caller]
fn assert_told(found: &[(String, i64)], product_id: i64, expected: &[&str]) {
    let of_product: Vec<&str> = found.iter().filter(|told| told.1 == product_id).map(|told| told.0.as_str()).collect();
    assert_eq!(of_product, expected);
}

#[tokio::test]
async fn a_product_that_is_sold_out_and_comes_back_is_told_once_by_two_instances() {
    let shop = Shop::open().await;
    let product_id = shop.product(2).await;
    let (one, other) = (managed(&shop).await, managed(&shop).await);
    let mut hold_id = String::new();
    let mut expected: Vec<&str> = Vec::new();
    for statement in ["-- feed_products/insert:", "-- feed_batches/insert:"] {
        for is_sold_out in [true, false] {
            match is_sold_out {
                true => hold_id = one.hold(product_id, 2).await,
                false => drop(one.release(&hold_id).await.expect(200)),
            }
            expected.push(if is_sold_out { SOLD_OUT } else { AGAIN });
            // both have seen it before either of them tells
            let paused = one.proxy.on(statement, Action::PauseBefore);
            let paused_too = other.proxy.on("-- feed_products/insert:", Action::PauseBefore);
            let race = async {
                paused.reached().await;
                paused_too.reached().await;
                if statement.starts_with("-- feed_products") {
                    // the other one finds what was told more than a second ago
                    paused.release();
                    let noted = format!("SELECT COUNT(*) FROM feed_products WHERE sold_out = {is_sold_out}");
                    shop.until(&noted, 1).await;
                    pass_a_second(&shop).await;
                    paused_too.release();
                } else {
                    // the other one waits for the row
                    paused_too.release();
                    paused.release();
                }
            };
            tokio::join!(look(&one.app), walk(&other.app), race);
            assert_told(&availability(&one).await, product_id, &expected);
            pass_a_second(&shop).await;
            for client in [&one, &other] {
                look(&client.app).await;
                walk(&client.app).await;
            }
            assert_told(&availability(&one).await, product_id, &expected);
        }
    }
    let events = told(&one).await;
    assert_eq!(events[0]["data"], json!({ "product_id": product_id }));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn whatever_takes_the_last_unit_or_gives_one_back_is_told_without_a_walk() {
    let shop = Shop::open().await;
    let client = managed(&shop).await;
    let (product_id, other_id) = (shop.product(2).await, shop.product(10).await);
    let mut expected: Vec<&str> = Vec::new();
    let mut is_told = async |kind: &'static str, what: &str| {
        look(&client.app).await;
        expected.push(kind);
        let found = availability(&client).await;
        let found: Vec<&str> = found.iter().filter(|told| told.1 == product_id).map(|told| told.0.as_str()).collect();
        assert_eq!(found, expected, "{what}");
        pass_a_second(&shop).await;
    };
    let cart =
        async |items: Value| client.post("/api/holds", &json!({ "items": items })).await.expect(201).text("hold_id");
    let hold_id = client.hold(product_id, 2).await;
    is_told(SOLD_OUT, "a hold").await;
    client.release(&hold_id).await.expect(200);
    is_told(AGAIN, "a release").await;
    let hold_id = cart(json!([{ "product_id": product_id, "qty": 2 }, { "product_id": other_id, "qty": 1 }])).await;
    is_told(SOLD_OUT, "a cart").await;
    shop.let_hold_run_out(&hold_id).await;
    while client.app.checkout.expire_holds().await.expect("the step runs") {}
    is_told(AGAIN, "an expiry").await;
    let (hold_id, order_id) = client.hold_and_order(product_id, 2).await;
    is_told(SOLD_OUT, "a hold that is ordered").await;
    shop.let_order_run_out(&order_id).await;
    while client.app.checkout.cancel_overdue_orders().await.expect("the step runs") {}
    is_told(AGAIN, "an overdue order").await;
    client.pay(&order_id, "paid", &mint()).await.expect(200);
    assert_eq!(client.hold_status(&hold_id).await, "ordered");
    is_told(SOLD_OUT, "a late payment").await;
    let refund = json!({ "status": "refunded", "order_id": order_id, "idempotency_key": mint(), "restock": true });
    client.webhook(&refund).await.expect(200);
    is_told(AGAIN, "a refund").await;
    client.hold(product_id, 2).await;
    is_told(SOLD_OUT, "a hold").await;
    let stock = async |change: Value| {
        let path = format!("/api/admin/products/{product_id}/stock");
        client.send(client.request("POST", &path).bearer_auth(OPERATOR).json(&change)).await.expect(200);
    };
    stock(json!({ "add": 1 })).await;
    is_told(AGAIN, "more stock").await;
    stock(json!({ "add": -1 })).await;
    is_told(SOLD_OUT, "less stock").await;
    stock(json!({ "add": 2 })).await;
    is_told(AGAIN, "more stock").await;
    let hold_id = client.hold(product_id, 2).await;
    is_told(SOLD_OUT, "a hold").await;
    let replacing = json!({ "items": [{ "product_id": other_id, "qty": 1 }], "replaces": hold_id });
    client.post("/api/holds", &replacing).await.expect(201);
    is_told(AGAIN, "a hold that is replaced").await;
    let hold_id = client.hold(product_id, 2).await;
    is_told(SOLD_OUT, "a hold").await;
    let smaller = client.request("PATCH", &format!("/api/holds/{hold_id}")).json(&json!({ "qty": 1 }));
    client.send(smaller).await.expect(200);
    is_told(AGAIN, "a hold that is smaller").await;
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_product_is_told_at_most_once_within_a_second_and_its_last_state_in_the_end() {
    let shop = Shop::open().await;
    let client = managed(&shop).await;
    // a second that passed meanwhile proves nothing: then once more
    for _ in 0..20 {
        let product_id = shop.product(1).await;
        let hold_id = client.hold(product_id, 1).await;
        look(&client.app).await;
        assert_told(&availability(&client).await, product_id, &[SOLD_OUT]);
        client.release(&hold_id).await.expect(200);
        let began = Instant::now();
        shop.execute("UPDATE feed_products SET told_at = NOW(6)").await;
        look(&client.app).await;
        walk(&client.app).await;
        if began.elapsed() > Duration::from_millis(900) {
            continue;
        }
        assert_told(&availability(&client).await, product_id, &[SOLD_OUT]);
        let hold_id = client.hold(product_id, 1).await;
        look(&client.app).await;
        client.release(&hold_id).await.expect(200);
        // it is looked at again, although nothing touches it any more
        look(&client.app).await;
        pass_a_second(&shop).await;
        look(&client.app).await;
        assert_told(&availability(&client).await, product_id, &[SOLD_OUT, AGAIN]);
        return;
    }
    panic!("no look was shorter than a second");
}

#[tokio::test]
async fn a_product_that_flaps_while_it_is_told_is_told_as_it_is_then() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let (one, other) = (managed(&shop).await, managed(&shop).await);
    let hold_id = one.hold(product_id, 1).await;
    let paused = one.proxy.on("-- feed_products/insert:", Action::PauseBefore);
    let meanwhile = async {
        paused.reached().await;
        other.release(&hold_id).await.expect(200);
        paused.release();
    };
    tokio::join!(look(&one.app), meanwhile);
    assert_told(&availability(&one).await, product_id, &[]);
    other.hold(product_id, 1).await;
    // the instance that saw the change looks once more
    look(&one.app).await;
    assert_told(&availability(&one).await, product_id, &[SOLD_OUT]);
}

#[tokio::test]
async fn a_change_is_told_once_whatever_happens_to_its_statements_and_its_commit() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let client = managed(&shop).await;
    let (mut hold_id, mut expected) = (String::new(), Vec::new());
    for rule in [Rule::from("-- feed_products/insert:"), Rule::from("-- feed_batches/insert:"), Rule::exactly("COMMIT")]
    {
        for action in [Action::CutBefore, Action::CutAfter, Action::DEADLOCK] {
            let is_sold_out = expected.len() % 2 == 0;
            match is_sold_out {
                true => hold_id = client.hold(product_id, 1).await,
                false => drop(client.release(&hold_id).await.expect(200)),
            }
            expected.push(if is_sold_out { SOLD_OUT } else { AGAIN });
            let cut = client.proxy.on(rule.clone(), action);
            look(&client.app).await;
            assert_eq!(cut.hits(), 1, "{rule:?} {action:?}");
            drop(cut);
            assert_told(&availability(&client).await, product_id, &expected);
            pass_a_second(&shop).await;
        }
    }
}

#[tokio::test]
async fn a_worker_that_ends_between_its_statements_loses_nothing() {
    let shop = Shop::open().await;
    let (one, other) = (managed(&shop).await, managed(&shop).await);
    for rule in ["-- feed_products/list_some:", "-- feed_products/insert:", "-- feed_batches/insert:"].map(Rule::from) {
        let [mine, others] = [shop.product(1).await, shop.product(1).await];
        for product_id in [mine, others] {
            one.hold(product_id, 1).await;
        }
        let cut = one.proxy.on(rule.always(), Action::CutBefore);
        one.app.checkout.tell_touched_products().await.expect_err("it reaches no database");
        drop(cut);
        // the same instance goes on with what it has seen, another one finds it by its walk
        look(&one.app).await;
        assert_told(&availability(&one).await, mine, &[SOLD_OUT]);
        let product_id = shop.product(1).await;
        one.hold(product_id, 1).await;
        assert_told(&availability(&other).await, product_id, &[]);
        walk(&other.app).await;
        assert_told(&availability(&other).await, product_id, &[SOLD_OUT]);
        look(&one.app).await;
        assert_told(&availability(&other).await, product_id, &[SOLD_OUT]);
    }
}

#[tokio::test]
async fn a_change_by_another_hand_is_found_by_the_walk() {
    let shop = Shop::open().await;
    let client = managed(&shop).await;
    let (product_id, untouched) = (shop.product(5).await, shop.product(5).await);
    walk(&client.app).await;
    assert_eq!(shop.count("SELECT COUNT(*) FROM feed_products").await, 0);
    let set = async |change: &str| {
        shop.execute(&format!("UPDATE products SET {change} WHERE id = {product_id}")).await;
        pass_a_second(&shop).await;
        look(&client.app).await;
        walk(&client.app).await;
        availability(&client).await
    };
    assert_told(&set("stock = 0").await, product_id, &[SOLD_OUT]);
    // nothing is told of a product that is not sold any more
    assert_told(&set("stock = 5, status = 'retired'").await, product_id, &[SOLD_OUT]);
    assert_told(&set("cancelled_at = NOW(6), status = 'on_sale'").await, product_id, &[SOLD_OUT]);
    assert_told(&set("cancelled_at = NULL").await, product_id, &[SOLD_OUT, AGAIN]);
    assert_told(&set("status = 'paused'").await, product_id, &[SOLD_OUT, AGAIN]);
    assert_eq!(shop.count(&format!("SELECT COUNT(*) FROM feed_products WHERE product_id = {untouched}")).await, 0);
}

#[tokio::test]
async fn a_walk_goes_over_all_products_in_pages_and_tells_of_each_of_them_once() {
    let shop = Shop::open().await;
    let (one, other) = (managed(&shop).await, managed(&shop).await);
    let values = |count: usize| vec!["('Ring', 1, 'EUR', 0)"; count].join(", ");
    shop.execute(&format!("INSERT INTO products (name, price_minor, currency, stock) VALUES {}", values(2345))).await;
    tokio::join!(walk(&one.app), walk(&other.app));
    let found = availability(&one).await;
    let mut products: Vec<i64> = found.iter().map(|told| told.1).collect();
    products.sort_unstable();
    products.dedup();
    assert_eq!((found.len(), products.len()), (2345, 2345));
    assert!(shop.count("SELECT MAX(items) FROM feed_batches").await <= 100);
    assert_eq!(read_all(&one, OPERATOR, 1000).await.len(), 2345);
}

#[tokio::test]
async fn holds_that_leave_units_cost_the_worker_nothing_and_wait_for_nothing() {
    let shop = Shop::open().await;
    let client = managed(&shop).await;
    let (product_id, other_id) = (shop.product(10).await, shop.product(10).await);
    for _ in 0..3 {
        client.hold(product_id, 1).await;
        let cart = json!({ "items": [{ "product_id": product_id, "qty": 1 }, { "product_id": other_id, "qty": 1 }] });
        client.post("/api/holds", &cart).await.expect(201);
        look(&client.app).await;
    }
    assert_eq!(sent(&client.proxy, "feed_products/list_some"), 0);
    let hold_id = client.hold(product_id, 4).await;
    look(&client.app).await;
    assert_eq!(sent(&client.proxy, "feed_products/list_some"), 1);
    assert_told(&availability(&client).await, product_id, &[SOLD_OUT]);
    client.release(&hold_id).await.expect(200);
    pass_a_second(&shop).await;
    // while another transaction has the product locked
    let mut conn = shop.sql().await;
    conn.query_drop("BEGIN").await.expect("a transaction");
    let lock = format!("UPDATE products SET reserved = reserved + 1 WHERE id = {product_id}");
    conn.query_drop(lock).await.expect("it is locked");
    look(&client.app).await;
    assert_told(&availability(&client).await, product_id, &[SOLD_OUT, AGAIN]);
    conn.query_drop("ROLLBACK").await.expect("it is rolled back");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_running_service_tells_that_a_product_is_sold_out_and_available_again() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let mut config = shop.config();
    config.admin_token = holdfast::domain::AdminToken::new(OPERATOR);
    let running = Instance::start(config).await;
    let silent = shop.serve_without_workers().await;
    let hold_id = running.hold(product_id, 1).await;
    let types_of = "types=product.sold_out,product.available_again";
    let read = page(&running, OPERATOR, &format!("wait=30&{types_of}")).await.expect(200);
    assert_eq!(types(read.body["items"].as_array().expect("a list")), [SOLD_OUT]);
    // by an instance that has no workers
    silent.release(&hold_id).await.expect(200);
    let read = page(&running, OPERATOR, &format!("wait=30&{types_of}&after={}", read.text("next"))).await.expect(200);
    assert_eq!(types(read.body["items"].as_array().expect("a list")), [AGAIN]);
    number(&silent.app).await;
}

#[tokio::test]
async fn how_long_a_walk_takes_is_a_metric() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    shop.product(1).await;
    let (_process, _client) = Process::serve(&shop.database.url, &[statsd.setting()]).await;
    statsd.gauged("feed.walk_s", &[], |seconds| seconds > 0.0).await;
}
