//! A longer deadline of a pending order meets its payment, its cancellation and the worker.

use super::*;
use crate::support::proxy::{Action, Rule};

#[tokio::test]
async fn an_extension_that_began_in_time_wins_over_a_cancellation_that_saw_the_old_deadline() {
    let shop = Shop::open().await;
    let product_id = shop.product(3).await;
    let (buyer, worker) = (shop.serve_without_workers().await, shop.app());
    let (_, order_id) = buyer.hold_and_order(product_id, 2).await;
    overdue_in(&shop, 1_500).await;

    let commit = buyer.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let extension = extending(&buyer, &order_path(&order_id), 60);
    commit.reached().await;
    until_past(&shop, "SELECT pay_by FROM orders").await;
    let step = {
        let worker = worker.clone();
        tokio::spawn(async move { worker.checkout.cancel_overdue_orders().await })
    };
    shop.until_running("orders/cancel_overdue").await;
    commit.release();

    answer(extension).await.expect(200);
    step.await.expect("no panic").expect("the step runs");
    assert_eq!((buyer.order_status(&order_id).await.as_str(), shop.reserved(product_id).await), ("pending", 2));
    shop.assert_conserved().await;
    shop.let_orders_run_out().await;
    worker.checkout.cancel_overdue_orders().await.expect("the step runs");
    assert_eq!((buyer.order_status(&order_id).await.as_str(), shop.reserved(product_id).await), ("cancelled", 0));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn of_an_extension_and_a_payment_the_first_commit_wins() {
    let shop = Shop::open().await;
    let product_id = shop.product(9).await;
    let (buyer, provider) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    let paying = |order_id: &str, key: &'static str| {
        let (client, order_id) = (provider.client.clone(), order_id.to_owned());
        tokio::spawn(async move { client.pay(&order_id, "paid", key).await })
    };

    let (_, paid) = buyer.hold_and_order(product_id, 2).await;
    let commit = provider.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let payment = paying(&paid, "first");
    commit.reached().await;
    let extension = extending(&buyer, &order_path(&paid), 60);
    shop.until_running("orders/extend").await;
    commit.release();
    answer(payment).await.expect(200);
    answer(extension).await.refused(409, "order_paid");

    let (hold_id, extended) = buyer.hold_and_order(product_id, 2).await;
    let commit = buyer.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let extension = extending(&buyer, &order_path(&extended), 60);
    commit.reached().await;
    let payment = paying(&extended, "second");
    shop.until_running("orders/mark_all_paid").await;
    commit.release();
    answer(extension).await.expect(200);
    assert_eq!(answer(payment).await.expect(200).text("status"), "processed");
    let returning = format!("SELECT COUNT(*) FROM holds WHERE id = {} AND returns_at IS NOT NULL", binary(&hold_id));
    assert_eq!((shop.count(&returning).await, shop.reserved(product_id).await), (0, 4));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn of_an_extension_and_a_cancellation_the_first_commit_wins() {
    let shop = Shop::open().await;
    let product_id = shop.product(9).await;
    let (buyer, other) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    let cancelling = |order_id: &str| {
        let (client, order_id) = (other.client.clone(), order_id.to_owned());
        tokio::spawn(async move { client.cancel(&order_id).await })
    };

    let (_, cancelled) = buyer.hold_and_order(product_id, 2).await;
    let commit = other.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let cancel = cancelling(&cancelled);
    commit.reached().await;
    let extension = extending(&buyer, &order_path(&cancelled), 60);
    shop.until_running("orders/extend").await;
    commit.release();
    answer(cancel).await.expect(200);
    answer(extension).await.refused(409, "order_cancelled");

    let (_, extended) = buyer.hold_and_order(product_id, 2).await;
    let commit = buyer.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let extension = extending(&buyer, &order_path(&extended), 60);
    commit.reached().await;
    let cancel = cancelling(&extended);
    shop.until_running("orders/cancel").await;
    commit.release();
    answer(extension).await.expect(200);
    assert_eq!(answer(cancel).await.expect(200).text("status"), "cancelled");
    assert_eq!(shop.reserved(product_id).await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_order_whose_deadline_has_passed_is_not_extended() {
    let shop = Shop::open().await;
    let product_id = shop.product(9).await;
    let (buyer, worker) = (shop.serve_without_workers().await, shop.app());
    let (_, order_id) = buyer.hold_and_order(product_id, 2).await;
    let path = order_path(&order_id);
    // it passes between the read and the statement
    let held_back = buyer.proxy.on("-- orders/extend:", Action::PauseBefore);
    let extension = extending(&buyer, &path, 60);
    held_back.reached().await;
    shop.let_orders_run_out().await;
    held_back.release();
    answer(extension).await.refused(409, "order_overdue");
    extend(&buyer, &path, 60).await.refused(409, "order_overdue");
    worker.checkout.cancel_overdue_orders().await.expect("the step runs");
    extend(&buyer, &path, 60).await.refused(409, "order_cancelled");
    let (_, paid) = buyer.hold_and_order(product_id, 2).await;
    buyer.pay(&paid, "paid", "key").await.expect(200);
    extend(&buyer, &order_path(&paid), 60).await.refused(409, "order_paid");
    extend(&buyer, &order_path(&mint()), 60).await.refused(404, "order_not_found");
    shop.assert_conserved().await;
}
