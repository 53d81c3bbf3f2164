//! Limits of holds of several products: each line counts on its own counter, and what replaces or shrinks a hold counts net.

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{LIMIT, OPERATOR, counted, limited, operated, refused_over_limit, take, taken};
use crate::clients::add;
use crate::support::proxy::{Action, Rule};
use crate::support::{Answer, Bare, Client, Shop};
use holdfast::domain::Role;

/// Returns the body of a request for these lines, `(product, units)`, of a buyer.
fn body(lines: &[(i64, i64)], buyer: &str) -> Value {
    let item = |&(product_id, qty): &(i64, i64)| json!({ "product_id": product_id, "qty": qty });
    json!({ "items": lines.iter().map(item).collect::<Vec<_>>(), "buyer": buyer })
}

async fn take_cart(client: &Client, lines: &[(i64, i64)], buyer: &str) -> Answer {
    client.post("/api/holds", &body(lines, buyer)).await
}

async fn cart(client: &Client, lines: &[(i64, i64)], buyer: &str) -> String {
    take_cart(client, lines, buyer).await.expect(201).text("hold_id")
}

/// Asks for a hold in the place of another one of buyer `b`.
async fn replace(client: &Client, old: &str, lines: &[(i64, i64)]) -> Answer {
    let mut body = body(lines, "b");
    body["replaces"] = json!(old);
    client.post("/api/holds", &body).await
}

async fn reduce(client: &Client, hold_id: &str, lines: &[(i64, i64)]) -> Answer {
    let items = body(lines, "b")["items"].take();
    let path = format!("/api/holds/{hold_id}");
    client.send(client.request("PATCH", &path).json(&json!({ "items": items }))).await
}

/// Starts a request for a cart of buyer `b`.
fn start(client: &Bare, lines: &[(i64, i64)]) -> JoinHandle<Answer> {
    let (client, lines) = (client.client.clone(), lines.to_vec());
    tokio::spawn(async move { take_cart(&client, &lines, "b").await })
}

/// Returns the refused lines of a problem, `(product, code)`.
fn refused(answer: &Answer) -> Vec<(i64, String)> {
    let items = answer.body["items"].as_array().unwrap_or_else(|| panic!("no items in {answer:?}"));
    let code = |item: &Value| item["code"].as_str().unwrap_or_default().to_owned();
    items.iter().map(|item| (item["product_id"].as_i64().unwrap_or(0), code(item))).collect()
}

/// Returns the units of buyer `b` of these products, as the counters have them.
async fn both(shop: &Shop, products: [i64; 2]) -> [i64; 2] {
    [counted(shop, products[0], "b").await, counted(shop, products[1], "b").await]
}

#[tokio::test]
async fn a_cart_is_counted_line_by_line_and_refused_with_the_lines_that_pass_the_limit() {
    let shop = Shop::open().await;
    let (one, other, free) = (limited(&shop, 100).await, limited(&shop, 100).await, shop.product(100).await);
    let client = shop.serve_without_workers().await;
    for _ in 0..2 {
        // read, and then remembered
        let answer = take_cart(&client, &[(one, LIMIT), (other, LIMIT + 1), (free, 9)], "b").await;
        refused_over_limit(&answer, 0);
        assert_eq!(refused(&answer), [(other, "buyer_limit".to_owned())]);
        let item = &answer.body["items"][0];
        assert_eq!((&item["limit"], &item["yours"]), (&json!(LIMIT), &json!(0)), "{answer:?}");
    }
    cart(&client, &[(one, LIMIT), (other, 1), (free, 9)], "b").await;
    assert_eq!(both(&shop, [one, other]).await, [LIMIT, 1]);
    let answer = take_cart(&client, &[(one, 1), (other, LIMIT), (free, 1)], "b").await;
    let over = |product_id| (product_id, "buyer_limit".to_owned());
    assert_eq!(refused(answer.refused(409, "buyer_limit")), [over(one), over(other)]);
    // across a cart and a hold of one product, and for another buyer
    cart(&client, &[(other, LIMIT - 1), (free, 1)], "b").await;
    refused_over_limit(&take(&client, other, 1, "b").await, LIMIT);
    cart(&client, &[(one, LIMIT), (other, LIMIT)], "c").await;
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_cart_with_a_limited_product_needs_a_buyer() {
    let shop = Shop::open().await;
    let (product_id, free) = (limited(&shop, 10).await, shop.product(10).await);
    let client = shop.serve_without_workers().await;
    let mut nameless = body(&[(product_id, 1), (free, 1)], "b");
    nameless.as_object_mut().expect("an object").remove("buyer");
    for _ in 0..2 {
        let answer = client.post("/api/holds", &nameless).await;
        assert_eq!(refused(answer.refused(422, "buyer_required")), [(product_id, "buyer_required".to_owned())]);
    }
    assert_eq!((shop.reserved(product_id).await, shop.reserved(free).await), (0, 0));
}

#[tokio::test]
async fn of_two_carts_that_have_read_the_same_counter_one_is_refused() {
    let shop = Shop::open().await;
    let (one, other) = (limited(&shop, 100).await, limited(&shop, 100).await);
    let (client, second) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    let read = client.proxy.on("-- buyer_units/list:", Action::PauseAfter);
    let late = start(&client, &[(one, 3), (other, 1)]);
    read.reached().await;
    cart(&second, &[(one, 2), (other, 1)], "b").await;
    read.release();
    let late = late.await.expect("no panic");
    refused_over_limit(&late, 2);
    assert_eq!(refused(&late), [(one, "buyer_limit".to_owned())]);
    assert_eq!(both(&shop, [one, other]).await, [2, 1]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_cart_beside_a_packet_that_is_not_committed_waits_for_it_and_is_refused() {
    let shop = Shop::open().await;
    let (one, other) = (limited(&shop, 100).await, limited(&shop, 100).await);
    let (client, second) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    // both know the products
    for client in [&client, &second] {
        cart(client, &[(one, 1), (other, 1)], "c").await;
    }
    let commit = client.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let first = start(&client, &[(one, 3), (other, 1)]);
    commit.reached().await;
    let rival = start(&second, &[(one, 2), (other, 1)]);
    shop.until_running("buyer_units/add").await;
    commit.release();
    first.await.expect("no panic").expect(201);
    refused_over_limit(&rival.await.expect("no panic"), 3);
    assert_eq!(both(&shop, [one, other]).await, [3, 1]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_cart_that_replaces_a_hold_counts_net() {
    let shop = Shop::open().await;
    let products @ [one, other] = [limited(&shop, 100).await, limited(&shop, 100).await];
    let client = shop.serve_without_workers().await;
    let old = cart(&client, &[(one, LIMIT), (other, 1)], "b").await;
    let refused_one = replace(&client, &old, &[(one, LIMIT + 1), (other, LIMIT)]).await;
    assert_eq!(refused(&refused_one), [(one, "buyer_limit".to_owned())]);
    refused_over_limit(&refused_one, 0);
    assert_eq!(both(&shop, products).await, [LIMIT, 1], "the old hold stays");
    let new = replace(&client, &old, &[(one, LIMIT), (other, LIMIT)]).await.expect(201).text("hold_id");
    assert_eq!(both(&shop, products).await, [LIMIT, LIMIT]);
    let single = replace(&client, &new, &[(one, 1)]).await.expect(201).text("hold_id");
    assert_eq!(both(&shop, products).await, [1, 0]);
    client.release(&single).await.expect(200);
    assert_eq!(both(&shop, products).await, [0, 0]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_replaced_hold_that_is_marked_before_the_packet_is_given_back_with_its_mark() {
    let shop = Shop::open().await;
    let (one, other) = (shop.product(100).await, shop.product(100).await);
    let client = operated(&shop).await;
    let old = cart(&client, &[(one, 3), (other, 1)], "b").await;
    let release = client.proxy.on("-- holds/release_all:", Action::PauseBefore);
    let replacing = {
        let (client, old) = (client.client.clone(), old.clone());
        tokio::spawn(async move { replace(&client, &old, &[(one, 1), (other, 1)]).await })
    };
    release.reached().await;
    let path = format!("/api/admin/products/{one}");
    let request = client.request("PATCH", &path).bearer_auth(OPERATOR).json(&json!({ "max_per_buyer": LIMIT }));
    client.send(request).await.expect(200);
    while client.app.checkout.count_limited_units().await.expect("a worker's step") {}
    assert_eq!(counted(&shop, one, "b").await, 3);
    release.release();
    replacing.await.expect("no panic").expect(201);
    assert_eq!(counted(&shop, one, "b").await, 1);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_with_fewer_units_frees_the_limit_also_of_a_line_that_is_gone() {
    let shop = Shop::open().await;
    let products @ [one, other] = [limited(&shop, 100).await, limited(&shop, 100).await];
    let client = shop.serve_without_workers().await;
    let hold_id = cart(&client, &[(one, LIMIT), (other, LIMIT)], "b").await;
    refused_over_limit(&take(&client, one, 1, "b").await, LIMIT);
    reduce(&client, &hold_id, &[(one, 1), (other, 0)]).await.expect(200);
    assert_eq!(both(&shop, products).await, [1, 0]);
    cart(&client, &[(one, LIMIT - 1), (other, LIMIT)], "b").await;
    assert_eq!(both(&shop, products).await, [LIMIT, LIMIT]);
    client.release(&hold_id).await.expect(200);
    assert_eq!(both(&shop, products).await, [LIMIT - 1, LIMIT]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn units_that_leave_a_hold_while_it_is_being_counted_are_not_counted() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (client, second) = (operated(&shop).await, operated(&shop).await);
    let hold_id = taken(&client, product_id, 3, "b").await;
    let path = format!("/api/admin/products/{product_id}");
    let request = client.request("PATCH", &path).bearer_auth(OPERATOR).json(&json!({ "max_per_buyer": LIMIT }));
    client.send(request).await.expect(200);
    let mark = second.proxy.on("-- holds/mark_counted:", Action::PauseBefore);
    let app = std::sync::Arc::clone(&second.app);
    let counting = tokio::spawn(async move { while app.checkout.count_limited_units().await.unwrap_or(true) {} });
    mark.reached().await;
    reduce(&client, &hold_id, &[(product_id, 1)]).await.expect(200);
    mark.release();
    counting.await.expect("no panic");
    assert_eq!(counted(&shop, product_id, "b").await, 1);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn every_way_back_of_a_cart_takes_each_line_off_its_counter() {
    let shop = Shop::open().await;
    let products @ [one, other] = [limited(&shop, 100).await, limited(&shop, 100).await];
    let client = shop.serve_without_workers().await;
    for way in ["release", "expiry", "cancel", "overdue"] {
        let hold_id = cart(&client, &[(one, LIMIT), (other, 2)], "b").await;
        assert_eq!(both(&shop, products).await, [LIMIT, 2], "{way}");
        match way {
            "release" => drop(client.release(&hold_id).await.expect(200)),
            "expiry" => {
                shop.let_holds_run_out().await;
                while client.app.checkout.expire_holds().await.expect("a worker's step") {}
            }
            "cancel" => drop(client.cancel(&client.order(&hold_id).await).await.expect(200)),
            _ => {
                client.order(&hold_id).await;
                shop.let_orders_run_out().await;
                while client.app.checkout.cancel_overdue_orders().await.expect("a worker's step") {}
            }
        }
        assert_eq!(both(&shop, products).await, [0, 0], "{way}");
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn a_buyer_of_a_cart_is_not_refused_because_of_one_that_has_run_out() {
    let shop = Shop::open().await;
    let products @ [one, other] = [limited(&shop, 100).await, limited(&shop, 100).await];
    let client = shop.serve_without_workers().await;
    cart(&client, &[(one, LIMIT), (other, LIMIT)], "b").await;
    shop.let_holds_run_out().await;
    cart(&client, &[(one, LIMIT), (other, 1)], "b").await;
    assert_eq!(both(&shop, products).await, [LIMIT, 1]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_operator_passes_the_limit_with_each_line_of_a_cart() {
    let shop = Shop::open().await;
    let products @ [one, other] = [limited(&shop, 100).await, limited(&shop, 100).await];
    let client = operated(&shop).await;
    let desk = add(&client.app, "box-office", Role::Admin).await;
    for (times, lines) in [(1, [(one, LIMIT), (other, LIMIT)]), (2, [(one, 2), (other, 1)])] {
        let request = client.request("POST", "/api/holds").bearer_auth(&desk.token).json(&body(&lines, "b"));
        client.send(request).await.expect(201);
        let passed = shop.count("SELECT COUNT(id) FROM product_trail WHERE action = 'limit_passed'").await;
        assert_eq!(passed, (times - 1) * 2);
    }
    assert_eq!(shop.count("SELECT CAST(SUM(units) AS SIGNED) FROM buyer_units").await, 2 * LIMIT + 3);
    assert_eq!([shop.reserved(products[0]).await, shop.reserved(products[1]).await], [LIMIT + 2, LIMIT + 1]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_buyer_over_a_lowered_limit_may_replace_a_hold_by_one_that_is_not_larger() {
    let shop = Shop::open().await;
    let products @ [one, other] = [limited(&shop, 100).await, limited(&shop, 100).await];
    let client = shop.serve_without_workers().await;
    let old = cart(&client, &[(one, LIMIT), (other, 1)], "b").await;
    shop.execute(&format!("UPDATE products SET max_per_buyer = 2 WHERE id = {one}")).await;
    let new = replace(&client, &old, &[(one, 3), (other, 2)]).await.expect(201).text("hold_id");
    assert_eq!(both(&shop, products).await, [3, 2]);
    let new = replace(&client, &new, &[(one, 3), (other, 1)]).await.expect(201).text("hold_id");
    let larger = replace(&client, &new, &[(one, 4), (other, 1)]).await;
    assert_eq!(refused(larger.refused(409, "buyer_limit")), [(one, "buyer_limit".to_owned())]);
    take(&client, one, 1, "b").await.refused(409, "buyer_limit");
    assert_eq!(both(&shop, products).await, [3, 1], "the old hold stays");
    replace(&client, &new, &[(one, 2)]).await.expect(201);
    assert_eq!(both(&shop, products).await, [2, 0]);
    assert_eq!(shop.count("SELECT COUNT(id) FROM product_trail").await, 0, "nothing passes a limit");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_counter_over_a_lowered_limit_does_not_end_higher_than_it_was_read() {
    let shop = Shop::open().await;
    let (one, other) = (limited(&shop, 100).await, limited(&shop, 100).await);
    let client = shop.serve_without_workers().await;
    let old = cart(&client, &[(one, 3), (other, 1)], "b").await;
    shop.execute(&format!("UPDATE products SET max_per_buyer = 2 WHERE id = {one}")).await;
    cart(&client, &[(one, 1), (other, 1)], "c").await;
    let read = client.proxy.on("-- buyer_units/list:", Action::PauseAfter);
    let replacing = {
        let (client, old) = (client.client.clone(), old.clone());
        tokio::spawn(async move { replace(&client, &old, &[(one, 2), (other, 1)]).await })
    };
    read.reached().await;
    // more than the replacement frees: the packet must find it
    shop.execute("UPDATE buyer_units SET units = units + 2 WHERE units = 3").await;
    client.proxy.clear();
    read.release();
    replacing.await.expect("no panic").expect(201);
    let sent = client.proxy.statements();
    let packets = sent.iter().filter(|statement| statement.contains("-- buyer_units/list_over:")).count();
    assert_eq!(packets, 2, "{sent:?}");
    assert_eq!(counted(&shop, one, "b").await, 4);
}
