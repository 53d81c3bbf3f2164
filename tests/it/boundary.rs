//! Many buyers ask for the last units at once.

use crate::support::proxy::Action;
use crate::support::{Answer, Shop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_buyers_on_two_instances_never_reserve_more_than_the_stock() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let instances = [shop.serve().await, shop.serve().await];
    let buyers = (0..500).map(|buyer| {
        let client = instances[buyer % 2].client.clone();
        let qty = 1 + (buyer as i64 * 7) % 5;
        tokio::spawn(async move { (qty, client.try_hold(product_id, qty).await) })
    });
    let answers: Vec<(i64, Answer)> =
        futures_util::future::join_all(buyers).await.into_iter().map(|joined| joined.expect("no panic")).collect();

    let held: i64 = answers.iter().filter(|(_, answer)| answer.status == 201).map(|(qty, _)| qty).sum();
    for (_, refused) in answers.iter().filter(|(_, answer)| answer.status != 201) {
        assert_eq!(refused.status, 409, "{refused:?}");
        assert!(["sold_out", "all_held"].contains(&refused.code()), "{refused:?}");
        assert!(refused.body["available_stock"].is_i64(), "{refused:?}");
        assert_eq!(refused.code() == "all_held", !refused.header("retry-after").is_empty(), "{refused:?}");
    }
    assert!((96..=100).contains(&held), "{held} of 100 units are held although buyers of 1 unit were refused");
    assert_eq!(shop.count("SELECT reserved FROM products").await, held);
    assert_eq!(shop.count("SELECT CAST(SUM(qty) AS SIGNED) FROM holds WHERE status = 'active'").await, held);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refusal_states_whether_units_may_come_back() {
    let (shop, product_id, client) = Shop::selling(3).await;
    let held = client.hold(product_id, 2).await;
    let wanted = client.try_hold(product_id, 2).await.expect(409);
    assert_eq!((wanted.code(), wanted.body["available_stock"].as_i64()), ("all_held", Some(1)));
    let wait: u64 = wanted.header("retry-after").parse().expect("seconds");
    assert!((1..=120).contains(&wait), "{wait}");

    let order = client.order(&held).await;
    assert_eq!(client.try_hold(product_id, 3).await.expect(409).code(), "all_held", "an unpaid order may fail");
    client.pay(&order, "paid", "k").await.expect(200);
    assert_eq!(client.try_hold(product_id, 3).await.expect(409).code(), "sold_out", "a paid one stays paid");
    assert_eq!(client.try_hold(product_id, 1).await.status, 201, "a smaller quantity still fits");
    assert_eq!(client.try_hold(product_id, 4).await.expect(409).code(), "sold_out", "more than the stock");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_buyer_is_never_refused_because_of_a_hold_that_has_run_out() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let app = shop.app();
    app.checkout.create_hold(holdfast::checkout::NewHold::new(product_id, 1, None)).await.expect("the unit is free");
    shop.let_holds_run_out().await;
    app.checkout
        .create_hold(holdfast::checkout::NewHold::new(product_id, 1, None))
        .await
        .expect("the unit is free again, without any worker");
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buyer_is_never_refused_because_of_a_hold_that_a_worker_gives_back_at_the_same_moment() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let buying = shop.serve_without_workers().await;
    let worker = shop.app();
    worker.checkout.create_hold(holdfast::checkout::NewHold::new(product_id, 1, None)).await.expect("the unit is free");
    shop.let_holds_run_out().await;
    // the request has found no units left, and looks for holds that have run out
    let look = buying.proxy.on("-- holds/list_due_of_product:", Action::PauseBefore);
    let client = buying.client.clone();
    let buyer = tokio::spawn(async move { client.try_hold(product_id, 1).await });
    look.reached().await;
    worker.checkout.expire_holds().await.expect("the step runs");
    look.release();
    buyer.await.expect("no panic").expect(201);
    shop.assert_conserved().await;
}
