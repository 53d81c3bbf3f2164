//! Holds by the terms of their product: when it is sold, how many units, for how long.

use std::sync::Arc;

use holdfast::app::App;
use holdfast::checkout::{Error, NewHold, Operation, Taken};
use holdfast::domain::{Details, Owner, Refusal};
use serde_json::json;

use super::{desk, patch};
use crate::support::crowd::{SLOTS, all, held_up, hold, holds, in_order, keyed, sent};
use crate::support::proxy::{Action, Proxy};
use crate::support::{Answer, Shop, binary, with_policy};

async fn set(shop: &Shop, terms: &str) {
    shop.execute(&format!("UPDATE products SET {terms}")).await;
}

#[tokio::test]
async fn a_hold_before_the_start_is_told_when_to_come_back() {
    let shop = Shop::open().await;
    let (product_id, client) = (shop.product(5).await, desk(&shop).await);
    client.hold(product_id, 1).await;
    set(&shop, "sale_starts_at = NOW(6) + INTERVAL 100 SECOND").await;
    let early = client.try_hold(product_id, 1).await;
    let early = early.refused(409, "sale_not_started");
    let wait: u64 = early.header("retry-after").parse().expect("seconds");
    assert!((90..=100).contains(&wait), "{wait}");
    let start: String = shop.row("SELECT DATE_FORMAT(sale_starts_at, '%Y-%m-%dT%H:%i:%s.%fZ') FROM products").await;
    assert_eq!(early.body["sale_starts_at"], start);
    assert_eq!(shop.reserved(product_id).await, 1);
}

#[tokio::test]
async fn a_sale_begins_and_ends_by_the_clock_of_the_database() {
    let shop = Shop::open().await;
    let (product_id, client) = (shop.product(5).await, desk(&shop).await);
    set(&shop, "sale_starts_at = NOW(6) + INTERVAL 1000 SECOND, sale_ends_at = NOW(6) + INTERVAL 2000 SECOND").await;
    for (clock, code) in [(900, "sale_not_started"), (1010, ""), (1900, ""), (2010, "sale_ended")] {
        client.proxy.set_clock(clock);
        let answer = client.try_hold(product_id, 1).await;
        assert_eq!(if answer.status == 201 { "" } else { answer.code() }, code, "{clock}: {answer:?}");
    }
    // what was remembered as ended is sold again as soon as the database says so
    client.proxy.set_clock(1500);
    client.hold(product_id, 1).await;
    assert_eq!(shop.reserved(product_id).await, 3);
}

#[tokio::test]
async fn a_sale_that_ends_between_the_read_and_the_guard_takes_no_hold() {
    let shop = Shop::open().await;
    let (product_id, client) = (shop.product(5).await, desk(&shop).await);
    set(&shop, "sale_ends_at = NOW(6) + INTERVAL 1000 SECOND").await;
    client.hold(product_id, 1).await;
    client.proxy.clear();
    client.proxy.set_clock(1010);
    client.try_hold(product_id, 1).await.refused(409, "sale_ended");
    // the guard itself refused it: nothing was read before
    assert_eq!((sent(&client.proxy, "products/take_on_terms"), sent(&client.proxy, "products/list_some")), (1, 0));
    client.try_hold(product_id, 1).await.refused(409, "sale_ended");
    assert_eq!((shop.reserved(product_id).await, shop.count("SELECT COUNT(*) FROM holds").await), (1, 1));
}

#[tokio::test]
async fn a_product_that_is_paused_or_retired_by_the_api_or_by_sql_takes_no_hold() {
    let shop = Shop::open().await;
    let (product_id, client) = (shop.product(9).await, desk(&shop).await);
    for (status, code) in [("paused", "sale_paused"), ("retired", "sale_ended")] {
        client.hold(product_id, 1).await;
        set(&shop, &format!("status = '{status}'")).await;
        client.try_hold(product_id, 1).await.refused(409, code);
        set(&shop, "status = 'on_sale'").await;
        client.hold(product_id, 1).await;
        patch(&client, product_id, &json!({ "status": status })).await.expect(200);
        client.try_hold(product_id, 1).await.refused(409, code);
        patch(&client, product_id, &json!({ "status": null })).await.expect(200);
    }
    assert_eq!(shop.reserved(product_id).await, 4);
}

#[tokio::test]
async fn a_product_without_units_that_is_not_sold_is_told_as_not_sold() {
    let shop = Shop::open().await;
    let (product_id, client) = (shop.product(1).await, desk(&shop).await);
    client.hold(product_id, 1).await;
    client.try_hold(product_id, 1).await.refused(409, "all_held");
    for (terms, code) in [("status = 'paused'", "sale_paused"), ("sale_ends_at = NOW(6)", "sale_ended")] {
        set(&shop, "status = 'on_sale'").await;
        set(&shop, terms).await;
        client.try_hold(product_id, 1).await.refused(409, code);
    }
    set(&shop, "sale_ends_at = NULL, max_qty = 5").await;
    client.try_hold(product_id, 1).await.refused(409, "all_held");
}

#[tokio::test]
async fn orders_and_late_payments_of_holds_that_were_taken_in_time_are_not_refused() {
    let shop = Shop::open().await;
    let (product_id, client) = (shop.product(3).await, desk(&shop).await);
    let held = client.hold(product_id, 1).await;
    let (_, late) = client.hold_and_order(product_id, 1).await;
    set(&shop, "status = 'paused', sale_ends_at = '2020-01-01', max_qty = 1").await;
    let order = client.order(&held).await;
    assert_eq!(client.pay(&order, "paid", "in-time").await.expect(200).body["order_status"], json!("paid"));
    // its units went back on sale and are needed again
    client.cancel(&late).await.expect(200);
    assert_eq!(shop.reserved(product_id).await, 1);
    client.pay(&late, "paid", "late").await.expect(200);
    assert_eq!((client.order_status(&late).await, shop.reserved(product_id).await), ("paid".to_owned(), 2));
    client.try_hold(product_id, 1).await.refused(409, "sale_ended");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_copy_of_a_hold_is_answered_after_its_sale() {
    let shop = Shop::open().await;
    let (product_id, client) = (shop.product(5).await, desk(&shop).await);
    let body = json!({ "product_id": product_id, "qty": 3 });
    let first = client.post_keyed("/api/holds", "k", &body).await.expect(201);
    for terms in ["max_qty = 2", "status = 'paused'", "sale_ends_at = '2020-01-01'"] {
        set(&shop, terms).await;
        let copy = client.post_keyed("/api/holds", "k", &body).await.expect(201);
        assert_eq!((copy.is_replayed(), copy.text("hold_id")), (true, first.text("hold_id")), "{terms}");
    }
    client.post_keyed("/api/holds", "other", &body).await.refused(409, "sale_ended");
}

#[tokio::test]
async fn a_copy_whose_first_request_commits_before_the_sale_ends_is_answered() {
    let shop = Shop::open().await;
    let (product_id, client, other) = (shop.product(5).await, desk(&shop).await, desk(&shop).await);
    // the copy has not found its key, and does not know the product
    let read = other.proxy.on("-- products/list_some:", Action::PauseBefore);
    let body = json!({ "product_id": product_id, "qty": 1 });
    let copy = tokio::spawn({
        let (other, body) = (other.client.clone(), body.clone());
        async move { other.post_keyed("/api/holds", "k", &body).await }
    });
    read.reached().await;
    let first = client.post_keyed("/api/holds", "k", &body).await.expect(201);
    set(&shop, "status = 'paused'").await;
    read.release();
    let copy = copy.await.expect("no panic").expect(201);
    assert_eq!((copy.is_replayed(), copy.text("hold_id")), (true, first.text("hold_id")));
    assert_eq!(shop.reserved(product_id).await, 1);
}

#[tokio::test]
async fn a_copy_beside_a_request_that_the_guard_refuses_is_answered() {
    let (shop, product_id, app, proxy) = known("sale_ends_at = NOW(6) + INTERVAL 1000 SECOND").await;
    let copy = || hold(&app, product_id, 1, Some(keyed(Operation::Hold, "key", 1)));
    let first = copy().await.expect("it is on sale").hold.id;
    let jam = held_up(&proxy, [hold(&app, product_id, 1, None)]).await;
    let copies = in_order([copy()]);
    let refused = in_order([hold(&app, product_id, 1, None)]);
    proxy.set_clock(1010);
    jam.release().await.remove(0).expect("it was on sale");
    assert_eq!(all(copies).await.remove(0).expect("the first response").hold.id, first);
    let refused = all(refused).await.remove(0);
    assert!(matches!(refused, Err(Error::Refused(Refusal::SaleEnded))), "{refused:?}");
    assert_eq!(shop.reserved(product_id).await, 3);
}

#[tokio::test]
async fn a_product_may_allow_fewer_or_more_units_than_the_shop() {
    let shop = Shop::open().await;
    let product_id = shop.product(2000).await;
    let client = desk(&shop).await;
    let most = |answer: &Answer, max: i64| {
        let detail = answer.refused(422, "invalid_quantity").text("detail");
        assert!(detail.ends_with(&format!("from 1 to {max}.")), "{detail}");
    };
    most(&client.try_hold(product_id, 11).await, 10);
    set(&shop, "max_qty = 2").await;
    most(&client.try_hold(product_id, 3).await, 2);
    client.hold(product_id, 2).await;
    set(&shop, "max_qty = 1000").await;
    client.hold(product_id, 1000).await;
    most(&client.try_hold(product_id, 1001).await, 1000);
    most(&client.try_hold(product_id, 0).await, 1000);
    client.post_keyed("/api/holds", "k", &json!({ "product_id": product_id, "qty": 11 })).await.expect(201);
    set(&shop, "max_qty = NULL").await;
    most(&client.try_hold(product_id, 11).await, 10);
    for huge in [i64::MAX, i64::MIN, 1001] {
        client.try_hold(product_id, huge).await.refused(422, "invalid_quantity");
    }
    shop.assert_conserved().await;
}

/// A request of a buyer, who may have a limit.
fn hold_of_buyer(
    app: &Arc<App>,
    product_id: i64,
    qty: i64,
) -> impl Future<Output = Result<Taken, Error>> + Send + use<> {
    let app = Arc::clone(app);
    let owner = Owner { client_id: None, buyer: Some("b".into()) };
    let details = Details::of(owner, None, None).expect("a name");
    async move { app.checkout.create_hold(NewHold { details, ..NewHold::new(product_id, qty, None) }).await }
}

/// A shop with one product, whose terms the instance remembers.
async fn known(terms: &str) -> (Shop, i64, Arc<App>, Proxy) {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    if !terms.is_empty() {
        set(&shop, terms).await;
    }
    let (app, proxy) = shop.app_through_proxy().await;
    hold_of_buyer(&app, product_id, 1).await.expect("enough units");
    proxy.clear();
    (shop, product_id, app, proxy)
}

#[tokio::test]
async fn every_term_that_changes_before_the_guard_counts_for_the_hold() {
    for (before, after, changed) in [
        ("", "status = 'paused'", "refused"),
        ("", "sale_starts_at = NOW(6) + INTERVAL 1 DAY", "refused"),
        ("", "sale_ends_at = NOW(6)", "refused"),
        ("", "max_qty = 1", "refused"),
        ("", "hold_ttl_seconds = 7", "taken"),
        ("", "order_ttl_seconds = 7", "taken"),
        ("", "max_per_buyer = 7", "taken"),
        ("hold_ttl_seconds = 5", "status = 'retired'", "refused"),
        ("hold_ttl_seconds = 5", "sale_starts_at = NOW(6) + INTERVAL 1 DAY", "refused"),
        ("hold_ttl_seconds = 5", "sale_ends_at = NOW(6)", "refused"),
        ("max_qty = 5", "max_qty = 1", "refused"),
        ("hold_ttl_seconds = 5", "hold_ttl_seconds = 7", "taken"),
        ("order_ttl_seconds = 5", "order_ttl_seconds = 7", "taken"),
        ("max_per_buyer = 5", "max_per_buyer = 7", "taken"),
        ("max_qty = 5", "price_minor = 7", "taken"),
        ("max_qty = 5", "currency = 'JPY'", "taken"),
        ("max_qty = 5", "max_qty = NULL", "taken"),
    ] {
        let (shop, product_id, app, proxy) = known(before).await;
        let packet = proxy.on("-- products/take", Action::PauseBefore);
        let taken = in_order([hold_of_buyer(&app, product_id, 2)]);
        packet.reached().await;
        set(&shop, after).await;
        packet.release();
        let answer = all(taken).await.remove(0);
        assert_eq!(if answer.is_ok() { "taken" } else { "refused" }, changed, "{before:?} {after:?}: {answer:?}");
        // the terms of the guard that took it are those that were true then, so it was written anew
        assert_eq!(sent(&proxy, "products/list_some"), 1, "{after}");
        let seconds = "CAST(TIMESTAMPDIFF(SECOND, created_at, expires_at) AS SIGNED)";
        if after == "hold_ttl_seconds = 7" {
            assert_eq!(shop.count(&format!("SELECT {seconds} FROM holds WHERE qty = 2")).await, 7);
        }
        if after == "price_minor = 7" {
            assert_eq!(shop.count("SELECT unit_price_minor FROM holds WHERE qty = 2").await, 7);
        }
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn a_plain_hold_is_taken_without_a_read_and_with_the_statements_of_plain_holds_alone() {
    let (_shop, product_id, app, proxy) = known("").await;
    hold(&app, product_id, 1, None).await.expect("enough units");
    let held = hold(&app, product_id, 1, None).await.expect("enough units").hold.id;
    app.checkout.create_order(holdfast::checkout::NewOrder::new(held, None, None)).await.expect("an active hold");
    for special in ["take_on_terms", "find_left_on_terms", "insert_with_order_time", "mark_ordered_each", "list_some"] {
        assert_eq!(proxy.statements().iter().filter(|statement| statement.contains(special)).count(), 0, "{special}");
    }
}

#[tokio::test]
async fn a_hold_and_its_order_last_as_long_as_the_product_said_when_the_hold_was_taken() {
    let shop = Shop::open().await;
    let product_id = shop.product(50).await;
    let client = desk(&shop).await;
    set(&shop, "hold_ttl_seconds = 30, order_ttl_seconds = 3000").await;
    let held = client.try_hold(product_id, 1).await.expect(201);
    assert_eq!(held.body["expires_in"], 30);
    let hold_id = held.text("hold_id");
    set(&shop, "order_ttl_seconds = 50").await;
    let order_id = client.order(&hold_id).await;
    let seconds = |order_id: &str| {
        let seconds = "CAST(TIMESTAMPDIFF(SECOND, created_at, pay_by) AS SIGNED)";
        format!("SELECT {seconds} FROM orders WHERE id = {}", binary(order_id))
    };
    assert_eq!(shop.count(&seconds(&order_id)).await, 3000);
    let returns = "SELECT COUNT(*) FROM holds JOIN orders ON orders.hold_id = holds.id WHERE returns_at = pay_by";
    assert_eq!(shop.count(returns).await, 1);
    shop.assert_conserved().await;
    // an overdue order of a short time is cancelled by the same worker
    let (_, short) = client.hold_and_order(product_id, 1).await;
    client.proxy.set_clock(52);
    client.app.checkout.cancel_overdue_orders().await.expect("the step runs");
    assert_eq!(
        (client.order_status(&short).await, client.order_status(&order_id).await),
        ("cancelled".into(), "pending".into())
    );
}

#[tokio::test]
async fn orders_of_one_batch_have_the_time_that_each_hold_says() {
    let shop = Shop::open().await;
    let products = [shop.product(50).await, shop.product(50).await, shop.product(50).await];
    for (product_id, seconds) in [(products[1], 60), (products[2], 3000)] {
        shop.execute(&format!("UPDATE products SET order_ttl_seconds = {seconds} WHERE id = {product_id}")).await;
    }
    let (app, proxy) = shop.app_through_proxy().await;
    let mut held = Vec::new();
    for place in 0..9 {
        held.push(hold(&app, products[place % 3], 1, None).await.expect("enough units").hold.id);
    }
    let order = |hold_id| {
        let app = Arc::clone(&app);
        async move { app.checkout.create_order(holdfast::checkout::NewOrder::new(hold_id, None, None)).await }
    };
    let extra = holds(&app, products[0], SLOTS).await;
    let jam = held_up(&proxy, extra.into_iter().map(order)).await;
    let crowd = in_order(held.into_iter().map(order));
    proxy.clear();
    jam.release().await;
    for (place, placed) in all(crowd).await.into_iter().enumerate() {
        let order = placed.expect("an active hold").order;
        let stored: chrono::NaiveDateTime =
            shop.row(&format!("SELECT pay_by FROM orders WHERE id = {}", binary(&order.id.to_string()))).await;
        let seconds = [900, 60, 3000][place % 3];
        assert_eq!((order.pay_by, (order.pay_by - order.created_at).num_seconds()), (stored, seconds));
    }
    assert_eq!(sent(&proxy, "holds/mark_ordered_each"), 1);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn rows_that_another_program_inserts_without_the_new_columns_are_sold_as_ever() {
    let shop = Shop::open().await;
    let product_id = shop.product(2).await;
    let policy = with_policy(shop.config(), |policy| (policy.hold_ttl_seconds, policy.order_ttl_seconds) = (77, 99));
    let client = shop.serve_without_workers_as(policy).await;
    let held = client.try_hold(product_id, 1).await.expect(201);
    assert_eq!(held.body["expires_in"], 77);
    // as an older version writes a hold
    let old = "INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, expires_at, returns_at)
               VALUES (REPEAT('x', 16), 1, 1, 4999, 'EUR', NOW(6) + INTERVAL 1 HOUR, expires_at)";
    assert_eq!(shop.execute(old).await, 1);
    shop.execute("UPDATE products SET reserved = reserved + 1").await;
    let old = uuid::Uuid::from_bytes(*b"xxxxxxxxxxxxxxxx").to_string();
    let order = client.try_order(&old).await.expect(201).text("order_id");
    let query = "SELECT CAST(TIMESTAMPDIFF(SECOND, created_at, pay_by) AS SIGNED) FROM orders WHERE id =";
    assert_eq!(shop.count(&format!("{query} {}", binary(&order))).await, 99);
    shop.assert_conserved().await;
}
