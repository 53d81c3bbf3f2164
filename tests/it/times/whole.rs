//! A hold of several products ends as a whole: at its deadline, before a refusal, and when a line of it is damaged.

use super::*;
use crate::support::together;

const RESERVED: &str = "SELECT CAST(SUM(reserved) AS SIGNED) FROM products";
/// How many holds have rows in different states.
const DIVIDED: &str =
    "SELECT COUNT(*) FROM (SELECT id FROM holds GROUP BY id HAVING COUNT(DISTINCT status) > 1) AS divided";

/// Puts so many products on sale, in ascending order of their ids.
async fn products(shop: &Shop, count: usize) -> Vec<i64> {
    let mut products = Vec::new();
    for _ in 0..count {
        products.push(shop.product(10_000).await);
    }
    products
}

async fn in_state(shop: &Shop, status: &str) -> i64 {
    shop.count(&format!("SELECT COUNT(DISTINCT id) FROM holds WHERE status = '{status}'")).await
}

#[tokio::test]
async fn no_page_and_no_batch_of_the_worker_ends_within_a_hold() {
    let shop = Shop::open().await;
    let products = products(&shop, 19).await;
    let lines: Vec<(i64, i64)> = products.iter().map(|&product_id| (product_id, 1)).collect();
    // a page of 20,000 rows ends within the 1,053rd hold, a batch of 2,000 within the 106th
    carts(&shop, &lines, -1, 1_060).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let mut pages = 1;
    while app.checkout.expire_holds().await.expect("the step runs") {
        pages += 1;
    }
    assert_eq!((pages, shop.count(RESERVED).await), (2, 0));
    assert_eq!(
        (in_state(&shop, "expired").await, in_state(&shop, "active").await, shop.count(DIVIDED).await),
        (1_060, 0, 0)
    );
    let batches = proxy.statements().iter().filter(|text| text.starts_with("-- holds/expire:")).count();
    assert_eq!(batches, 12, "1,052 holds in batches of 105, and 8 holds");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refusal_gives_back_every_line_of_the_holds_that_have_run_out() {
    let shop = Shop::open().await;
    let (wanted, before, behind) = {
        let before = shop.product(600).await;
        (shop.product(600).await, before, shop.product(600).await)
    };
    let client = shop.serve_without_workers().await;
    carts(&shop, &[(before, 1), (wanted, 1), (behind, 1)], -1, 550).await;
    let kept = cart(&shop, &[(before, 1), (wanted, 50)], 60).await;
    client.hold(wanted, 9).await;
    let reserved = [shop.reserved(before).await, shop.reserved(wanted).await, shop.reserved(behind).await];
    // one page of the product's rows, each with the other rows of its hold
    assert_eq!(reserved, [51, 109, 50]);
    assert_eq!((in_state(&shop, "expired").await, shop.count(DIVIDED).await), (500, 0));
    assert_eq!(client.hold_status(&kept).await, "active");
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_and_refusals_at_once_end_each_hold_once_and_whole() {
    let shop = Shop::open().await;
    let products = products(&shop, 3).await;
    let [one, two, three] = [products[0], products[1], products[2]];
    carts(&shop, &[(one, 2), (two, 1)], -2, 400).await;
    carts(&shop, &[(two, 1), (three, 3)], -1, 400).await;
    carts(&shop, &[(one, 1), (two, 1), (three, 1)], 60, 1).await;
    for product_id in [one, two, three] {
        shop.execute(&format!("UPDATE products SET stock = reserved WHERE id = {product_id}")).await;
    }
    let workers = (0..2).map(|_| {
        let app = shop.app();
        tokio::spawn(async move { while app.checkout.expire_holds().await.expect("the step runs") {} })
    });
    let buyers = [one, two, three].map(|product_id| {
        let app = shop.app();
        tokio::spawn(async move {
            let new = holdfast::checkout::NewHold::new(product_id, 1, None);
            app.checkout.create_hold(new).await.expect("units come back").hold.qty
        })
    });
    let running: Vec<_> = workers.chain(buyers.map(|buyer| tokio::spawn(async move { drop(buyer.await) }))).collect();
    together(running).await.into_iter().for_each(|joined| joined.expect("no panic"));
    assert_eq!((shop.count(DIVIDED).await, in_state(&shop, "expired").await), (0, 800));
    assert_eq!(shop.count(RESERVED).await, 6);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_with_a_deleted_product_is_passed_over_alone() {
    let shop = Shop::open().await;
    let products = products(&shop, 3).await;
    let (one, gone, other) = (products[0], products[1], products[2]);
    let damaged = cart(&shop, &[(one, 1), (gone, 1)], -3).await;
    carts(&shop, &[(one, 1), (other, 1)], -2, 30).await;
    let lone = cart(&shop, &[(other, 7)], -1).await;
    shop.execute(&format!("DELETE FROM products WHERE id = {gone}")).await;
    let app = shop.app();
    while app.checkout.expire_holds().await.expect("the step runs") {}
    assert_eq!((shop.reserved(one).await, shop.reserved(other).await), (1, 0));
    assert_eq!(lines(&shop, &damaged).await.iter().filter(|line| line.2 == "active").count(), 2);
    assert_eq!(lines(&shop, &lone).await[0].2, "expired");
    let restored = format!("({gone}, 'A thing', 4999, 'EUR', 10, 1)");
    shop.execute(&format!("INSERT INTO products (id, name, price_minor, currency, stock, reserved) VALUES {restored}"))
        .await;
    while shop.app().checkout.expire_holds().await.expect("the step runs") {}
    assert_eq!(shop.count(RESERVED).await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_whose_lines_have_different_deadlines_or_states_is_passed_over_alone() {
    let shop = Shop::open().await;
    let products = products(&shop, 2).await;
    let (one, other) = (products[0], products[1]);
    let damages =
        ["expires_at = NOW(6) + INTERVAL 1 DAY, returns_at = expires_at", "status = 'released', returns_at = NULL"];
    let mut damaged = Vec::new();
    for damage in damages {
        let hold_id = cart(&shop, &[(one, 1), (other, 1)], -2).await;
        shop.execute(&format!("UPDATE holds SET {damage} WHERE id = {} AND product_id = {other}", binary(&hold_id)))
            .await;
        damaged.push(hold_id);
    }
    carts(&shop, &[(one, 1), (other, 1)], -1, 100).await;
    let app = shop.app();
    let mut steps = 0;
    while app.checkout.expire_holds().await.expect("the step runs") {
        steps += 1;
        assert!(steps < 5, "the worker does not read the same rows for ever");
    }
    assert_eq!(in_state(&shop, "expired").await, 100);
    assert_eq!((shop.reserved(one).await, shop.reserved(other).await), (2, 2));
    for hold_id in &damaged {
        assert_eq!(lines(&shop, hold_id).await[0].2, "active");
    }
}

#[tokio::test]
async fn a_hold_of_several_products_is_released_and_ends_for_a_late_payment_as_a_whole() {
    let shop = Shop::open().await;
    let products = products(&shop, 2).await;
    let client = shop.serve_without_workers().await;
    let two = [(products[0], 2), (products[1], 3)];
    let released = cart(&shop, &two, 60).await;
    client.release(&released).await.expect(200);
    assert_eq!((lines(&shop, &released).await.len(), shop.count(DIVIDED).await, shop.count(RESERVED).await), (2, 0, 0));

    // a payment that names a hold which has run out ends it
    let ended = cart(&shop, &two, -1).await;
    let paid = json!({ "hold_id": ended, "status": "paid", "txn_id": "late" });
    client.webhook(&paid).await.expect(200);
    assert_eq!(client.hold_status(&ended).await, "expired");
    assert_eq!((in_state(&shop, "expired").await, shop.count(DIVIDED).await, shop.count(RESERVED).await), (1, 0, 0));
    shop.assert_conserved().await;

    // of a damaged hold, nothing comes back twice
    let (damaged, other) = (cart(&shop, &two, 60).await, cart(&shop, &two[1..], 60).await);
    let back = format!("UPDATE holds SET status = 'released', returns_at = NULL WHERE product_id = {}", products[1]);
    shop.execute(&format!("{back} AND id = {}", binary(&damaged))).await;
    shop.execute(&format!("UPDATE products SET reserved = 3 WHERE id = {}", products[1])).await;
    client.release(&damaged).await.expect(500);
    assert_eq!((shop.reserved(products[0]).await, shop.reserved(products[1]).await), (2, 3));
    assert_eq!(client.hold_status(&other).await, "active");
}

#[tokio::test]
async fn no_transaction_of_overdue_orders_has_more_rows_of_holds_than_one_of_holds() {
    let shop = Shop::open().await;
    let products = products(&shop, 19).await;
    let lines: Vec<(i64, i64)> = products.iter().map(|&product_id| (product_id, 1)).collect();
    let client = shop.serve_without_workers().await;
    let held = carts(&shop, &lines, 1_000, 120).await;
    let orders = held.into_iter().map(|hold_id| {
        let client = client.client.clone();
        async move { client.try_order(&hold_id).await.expect(201) }
    });
    together(orders).await;
    overdue_in(&shop, 0).await;
    client.proxy.clear();
    client.app.checkout.cancel_overdue_orders().await.expect("the step runs");
    let cancelled = "SELECT COUNT(*) FROM orders WHERE status = 'cancelled'";
    assert_eq!((shop.count(cancelled).await, shop.count(RESERVED).await), (120, 0));
    let batches = client.proxy.statements().iter().filter(|text| text.starts_with("-- orders/cancel_overdue:")).count();
    assert_eq!(batches, 2, "105 orders have 1,995 rows");
    shop.assert_conserved().await;
}
