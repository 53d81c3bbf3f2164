//! An order meets another order, an expiry, a release, a cancellation or a payment of the same hold: the first commit wins.

use tokio::spawn;

use crate::support::proxy::{Action, Rule};
use crate::support::{Answer, Client, Shop, together};

fn ordering(client: &Client, hold_id: &str) -> tokio::task::JoinHandle<Answer> {
    let (client, hold_id) = (client.clone(), hold_id.to_owned());
    spawn(async move { client.try_order(&hold_id).await })
}

#[tokio::test]
async fn the_second_order_of_a_hold_waits_for_the_first_to_commit() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let (first, second) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    let hold_id = first.hold(product_id, 1).await;

    let commit = first.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let winner = ordering(&first, &hold_id);
    commit.reached().await;
    let loser = ordering(&second, &hold_id);
    shop.until_running("orders/insert").await;
    commit.release();

    let order_id = winner.await.expect("no panic").expect(201).text("order_id");
    let refusal = loser.await.expect("no panic");
    assert_eq!(refusal.refused(409, "hold_used").text("order_id"), order_id);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_order_made_in_time_keeps_its_units_although_the_expiry_runs_before_its_commit() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let (buyer, worker) = (shop.serve_without_workers().await, shop.app());
    let hold_id = buyer.hold(product_id, 1).await;
    shop.let_holds_run_out_in(1_500).await;

    let commit = buyer.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let order = ordering(&buyer, &hold_id);
    commit.reached().await;
    shop.until_holds_have_run_out().await;
    let expiry = spawn(async move { worker.checkout.expire_holds().await });
    shop.until_running("holds/expire").await;
    commit.release();

    let order_id = order.await.expect("no panic").expect(201).text("order_id");
    expiry.await.expect("no panic").expect("the step runs");
    assert_eq!(buyer.hold_status(&hold_id).await, "ordered");
    assert_eq!(buyer.order_status(&order_id).await, "pending");
    assert_eq!(shop.reserved(product_id).await, 1);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_order_that_meets_the_expiry_before_its_commit_is_refused_because_the_hold_expired() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let (buyer, (worker, proxy)) = (shop.serve_without_workers().await, shop.app_through_proxy().await);
    let hold_id = buyer.hold(product_id, 1).await;

    let mark = buyer.proxy.on("-- holds/mark_ordered:", Action::PauseBefore);
    let order = ordering(&buyer, &hold_id);
    mark.reached().await;
    shop.let_holds_run_out().await;
    let commit = proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let expiry = spawn(async move { worker.checkout.expire_holds().await });
    commit.reached().await;
    mark.release();
    order.await.expect("no panic").refused(409, "hold_expired");
    assert_eq!(shop.reserved(product_id).await, 1, "the expiry is not committed");
    commit.release();

    expiry.await.expect("no panic").expect("the step runs");
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders").await, 0);
    assert_eq!(buyer.available(product_id).await, 1);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_that_runs_out_while_it_is_being_ordered_is_not_ordered() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let buyer = shop.serve_without_workers().await;
    let hold_id = buyer.hold(product_id, 1).await;

    let mark = buyer.proxy.on("-- holds/mark_ordered:", Action::PauseBefore);
    let order = ordering(&buyer, &hold_id);
    mark.reached().await;
    shop.let_holds_run_out().await;
    mark.release();

    order.await.expect("no panic").refused(409, "hold_expired");
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders").await, 0);
    assert_eq!(shop.reserved(product_id).await, 1, "no worker has run yet");
    buyer.app.checkout.expire_holds().await.expect("the step runs");
    assert_eq!(shop.reserved(product_id).await, 0);
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_expiries_at_once_give_every_unit_back_once() {
    let shop = Shop::open().await;
    let product_id = shop.product(60).await;
    let apps = [shop.app(), shop.app()];
    let kept = apps[0]
        .checkout
        .create_hold(holdfast::checkout::NewHold::new(product_id, 10, None))
        .await
        .expect("units are free")
        .hold
        .id
        .to_string();
    apps[0]
        .checkout
        .create_order(holdfast::checkout::NewOrder::new(kept.parse().expect("an id"), None, None))
        .await
        .expect("the hold is active");
    for _ in 0..25 {
        apps[0]
            .checkout
            .create_hold(holdfast::checkout::NewHold::new(product_id, 2, None))
            .await
            .expect("units are free");
    }
    shop.let_holds_run_out().await;
    let steps = apps.into_iter().cycle().take(6).map(|app| async move { app.checkout.expire_holds().await });
    for step in together(steps).await {
        assert!(!step.expect("the step runs"), "one batch is enough for all of them");
    }
    assert_eq!(shop.reserved(product_id).await, 10);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn when_a_release_meets_an_order_the_first_of_them_wins() {
    let shop = Shop::open().await;
    let product_id = shop.product(2).await;
    let (buyer, other) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    let releasing = |hold_id: &str| {
        let (client, hold_id) = (other.client.clone(), hold_id.to_owned());
        spawn(async move { client.release(&hold_id).await })
    };

    let hold_id = buyer.hold(product_id, 1).await;
    let commit = buyer.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let order = ordering(&buyer, &hold_id);
    commit.reached().await;
    let release = releasing(&hold_id);
    shop.until_running("holds/release").await;
    commit.release();
    let order_id = order.await.expect("no panic").expect(201).text("order_id");
    assert_eq!(release.await.expect("no panic").refused(409, "hold_used").text("order_id"), order_id);
    assert_eq!(shop.reserved(product_id).await, 1);

    let hold_id = buyer.hold(product_id, 1).await;
    let commit = other.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let release = releasing(&hold_id);
    commit.reached().await;
    let order = ordering(&buyer, &hold_id);
    shop.until_running("holds/mark_ordered").await;
    commit.release();
    assert_eq!(release.await.expect("no panic").expect(200).text("status"), "released");
    order.await.expect("no panic").refused(409, "hold_released");
    assert_eq!(shop.reserved(product_id).await, 1);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn when_a_cancel_meets_a_payment_event_the_first_of_them_wins() {
    let shop = Shop::open().await;
    let product_id = shop.product(2).await;
    let (buyer, provider) = (shop.serve_without_workers().await, shop.serve_without_workers().await);

    let (_, paid) = buyer.hold_and_order(product_id, 1).await;
    let commit = provider.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let (client, order) = (provider.client.clone(), paid.clone());
    let payment = spawn(async move { client.pay(&order, "paid", "first").await });
    commit.reached().await;
    let (client, order) = (buyer.client.clone(), paid.clone());
    let cancel = spawn(async move { client.cancel(&order).await });
    shop.until_running("orders/cancel").await;
    commit.release();
    assert_eq!(payment.await.expect("no panic").expect(200).text("status"), "processed");
    cancel.await.expect("no panic").refused(409, "order_paid");
    assert_eq!(shop.reserved(product_id).await, 1);

    let (_, cancelled) = buyer.hold_and_order(product_id, 1).await;
    let commit = buyer.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let (client, order) = (buyer.client.clone(), cancelled.clone());
    let cancel = spawn(async move { client.cancel(&order).await });
    commit.reached().await;
    let (client, order) = (provider.client.clone(), cancelled.clone());
    let failure = spawn(async move { client.pay(&order, "failed", "second").await });
    shop.until_running("orders/cancel").await;
    commit.release();
    assert_eq!(cancel.await.expect("no panic").expect(200).text("status"), "cancelled");
    assert_eq!(failure.await.expect("no panic").expect(200).text("status"), "ignored");
    assert_eq!(shop.reserved(product_id).await, 1);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn when_a_payment_event_meets_the_cancellation_of_overdue_orders_the_first_of_them_wins() {
    let shop = Shop::open().await;
    let product_id = shop.product(2).await;
    let (client, (worker, proxy)) = (shop.serve_without_workers().await, shop.app_through_proxy().await);
    let paying = |order_id: &str, key: &'static str| {
        let (client, order_id) = (client.client.clone(), order_id.to_owned());
        spawn(async move { client.pay(&order_id, "paid", key).await })
    };
    let step = || {
        let worker = worker.clone();
        spawn(async move { worker.checkout.cancel_overdue_orders().await })
    };

    let (_, paid) = client.hold_and_order(product_id, 1).await;
    shop.let_orders_run_out().await;
    let commit = client.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let payment = paying(&paid, "first");
    commit.reached().await;
    let overdue = step();
    shop.until_running("orders/cancel_overdue").await;
    commit.release();
    assert_eq!(payment.await.expect("no panic").expect(200).text("status"), "processed");
    overdue.await.expect("no panic").expect("the step runs");
    assert_eq!((client.order_status(&paid).await.as_str(), shop.reserved(product_id).await), ("paid", 1));

    let (_, cancelled) = client.hold_and_order(product_id, 1).await;
    shop.let_orders_run_out().await;
    let commit = proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let overdue = step();
    commit.reached().await;
    let failure = spawn({
        let (client, order_id) = (client.client.clone(), cancelled.clone());
        async move { client.pay(&order_id, "failed", "second").await }
    });
    shop.until_running("orders/cancel").await;
    commit.release();
    overdue.await.expect("no panic").expect("the step runs");
    assert_eq!(failure.await.expect("no panic").expect(200).text("status"), "ignored");
    assert_eq!((client.order_status(&cancelled).await.as_str(), shop.reserved(product_id).await), ("cancelled", 1));
    shop.assert_conserved().await;
}
