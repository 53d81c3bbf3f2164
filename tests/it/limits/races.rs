//! Races about the last units of a buyer, forced at a named statement: of two only one is served, and the counter is right.

use serde_json::json;
use tokio::task::JoinHandle;

use super::{LIMIT, counted, limited, refused_over_limit, take, taken};
use crate::support::proxy::{Action, Rule};
use crate::support::{Answer, Bare, Shop, mint, together};

/// Starts a request for a hold of buyer `b`.
fn start(client: &Bare, product_id: i64, qty: i64) -> JoinHandle<Answer> {
    let client = client.client.clone();
    tokio::spawn(async move { take(&client, product_id, qty, "b").await })
}

async fn services(shop: &Shop) -> (Bare, Bare) {
    (shop.serve_without_workers().await, shop.serve_without_workers().await)
}

#[tokio::test]
async fn of_two_requests_that_have_read_the_same_counter_one_is_refused() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let (one, other) = services(&shop).await;
    let read = one.proxy.on("-- buyer_units/list:", Action::PauseAfter);
    let late = start(&one, product_id, 3);
    read.reached().await;
    taken(&other, product_id, 2, "b").await;
    read.release();
    refused_over_limit(&late.await.expect("no panic"), 2);
    assert_eq!((counted(&shop, product_id, "b").await, shop.reserved(product_id).await), (2, 2));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_request_beside_a_packet_that_is_not_committed_waits_for_it_and_is_refused() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let (one, other) = services(&shop).await;
    // both know the product
    drop((taken(&one, product_id, 1, "c").await, taken(&other, product_id, 1, "c").await));
    let commit = one.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let first = start(&one, product_id, 3);
    commit.reached().await;
    let second = start(&other, product_id, 3);
    shop.until_running("buyer_units/add").await;
    commit.release();
    first.await.expect("no panic").expect(201);
    refused_over_limit(&second.await.expect("no panic"), 3);
    assert_eq!(counted(&shop, product_id, "b").await, 3);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn other_buyers_of_a_batch_are_served_when_one_of_them_is_over_the_limit() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let (one, other) = services(&shop).await;
    taken(&one, product_id, 1, "a").await;
    let read = one.proxy.on("-- buyer_units/list:", Action::PauseBefore);
    let crowd: Vec<JoinHandle<Answer>> = (0..6)
        .map(|buyer| {
            let client = one.client.clone();
            tokio::spawn(async move { take(&client, product_id, LIMIT, &format!("b{buyer}")).await })
        })
        .collect();
    read.reached().await;
    taken(&other, product_id, 1, "b0").await;
    read.release();
    for (buyer, answer) in crowd.into_iter().enumerate() {
        let answer = answer.await.expect("no panic");
        match buyer {
            0 => refused_over_limit(&answer, 1),
            _ => drop(answer.expect(201)),
        }
    }
    assert_eq!(shop.reserved(product_id).await, 2 + 5 * LIMIT);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_beside_a_release_is_served_or_refused_and_the_counter_is_right() {
    for rule in [Rule::from("-- holds/release:"), Rule::exactly("COMMIT")] {
        let shop = Shop::open().await;
        let product_id = limited(&shop, 100).await;
        let (one, other) = services(&shop).await;
        let hold_id = taken(&one, product_id, LIMIT, "b").await;
        let held = one.proxy.on(rule, Action::PauseBefore);
        let release = {
            let (client, hold_id) = (one.client.clone(), hold_id.clone());
            tokio::spawn(async move { client.release(&hold_id).await })
        };
        held.reached().await;
        refused_over_limit(&take(&other, product_id, 1, "b").await, LIMIT);
        held.release();
        release.await.expect("no panic").expect(200);
        taken(&other, product_id, LIMIT, "b").await;
        assert_eq!((counted(&shop, product_id, "b").await, shop.reserved(product_id).await), (LIMIT, LIMIT));
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn two_transactions_that_end_one_hold_take_its_units_off_once() {
    for ending in ["release", "expiry"] {
        let shop = Shop::open().await;
        let product_id = limited(&shop, 100).await;
        let (one, other) = services(&shop).await;
        let hold_id = taken(&one, product_id, 2, "b").await;
        taken(&one, product_id, 1, "b").await;
        let held = other.proxy.on("-- holds/expire:", Action::PauseBefore);
        let read = other.proxy.on("-- holds/list_due", Action::PauseAfter);
        if ending == "expiry" {
            shop.let_hold_run_out(&hold_id).await;
        }
        let app = std::sync::Arc::clone(&other.app);
        let expiring =
            tokio::spawn(async move { while app.checkout.expire_holds().await.expect("a worker's step") {} });
        read.reached().await;
        match ending {
            "release" => drop(one.release(&hold_id).await.expect(200)),
            _ => while one.app.checkout.expire_holds().await.expect("a worker's step") {},
        }
        drop((read, held));
        expiring.await.expect("no panic");
        assert_eq!((counted(&shop, product_id, "b").await, shop.reserved(product_id).await), (1, 1), "{ending}");
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn a_late_payment_and_a_hold_that_do_not_both_fit_never_pass_the_limit_together() {
    for first in ["payment", "hold"] {
        let shop = Shop::open().await;
        let product_id = limited(&shop, 100).await;
        let (one, other) = services(&shop).await;
        let order_id = one.order(&taken(&one, product_id, 3, "b").await).await;
        one.cancel(&order_id).await.expect(200);
        taken(&other, product_id, 1, "c").await;
        let paying = {
            let (client, order_id) = (one.client.clone(), order_id.clone());
            async move { client.pay(&order_id, "paid", "late").await }
        };
        let (payment, hold) = if first == "payment" {
            let commit = one.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
            let payment = tokio::spawn(paying);
            commit.reached().await;
            let hold = start(&other, product_id, 2);
            shop.until_running("buyer_units/add").await;
            commit.release();
            (payment.await.expect("no panic"), hold.await.expect("no panic"))
        } else {
            let commit = other.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
            let hold = start(&other, product_id, 2);
            commit.reached().await;
            let payment = tokio::spawn(paying);
            shop.until_running("buyer_units/add").await;
            commit.release();
            (payment.await.expect("no panic"), hold.await.expect("no panic"))
        };
        let status = one.order_status(&order_id).await;
        if first == "payment" {
            assert_eq!((payment.text("status").as_str(), status.as_str()), ("processed", "paid"));
            refused_over_limit(&hold, 3);
            assert_eq!(counted(&shop, product_id, "b").await, 3);
        } else {
            hold.expect(201);
            assert_eq!((payment.text("status").as_str(), status.as_str()), ("refund_due", "cancelled"));
            assert_eq!(counted(&shop, product_id, "b").await, 2);
        }
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn a_late_payment_that_reads_the_limit_before_it_is_set_counts_all_the_same() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let client = shop.serve_without_workers().await;
    let order_id = client.order(&taken(&client, product_id, 3, "b").await).await;
    client.cancel(&order_id).await.expect(200);
    let read = client.proxy.on("-- holds/list_to_reserve:", Action::PauseAfter);
    let payment = {
        let (client, order_id) = (client.client.clone(), order_id.clone());
        tokio::spawn(async move { client.pay(&order_id, "paid", "late").await })
    };
    read.reached().await;
    shop.execute(&format!("UPDATE products SET max_per_buyer = {LIMIT}, limit_state = 'enforced'")).await;
    read.release();
    payment.await.expect("no panic").expect(200);
    assert_eq!((client.order_status(&order_id).await.as_str(), counted(&shop, product_id, "b").await), ("paid", 3));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_whose_commit_is_unknown_is_counted_once() {
    for action in [Action::CutBefore, Action::CutAfter] {
        let shop = Shop::open().await;
        let product_id = limited(&shop, 100).await;
        let client = shop.serve_without_workers().await;
        taken(&client, product_id, 1, "b").await;
        let commit = client.proxy.on(Rule::exactly("COMMIT"), action);
        let hold_id = taken(&client, product_id, 2, "b").await;
        drop(commit);
        assert_eq!((counted(&shop, product_id, "b").await, shop.reserved(product_id).await), (3, 3), "{action:?}");
        let commit = client.proxy.on(Rule::exactly("COMMIT"), action);
        client.release(&hold_id).await.expect(200);
        drop(commit);
        assert_eq!((counted(&shop, product_id, "b").await, shop.reserved(product_id).await), (1, 1), "{action:?}");
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn a_connection_that_breaks_at_any_statement_leaves_the_counter_right() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let client = shop.serve_without_workers().await;
    for statement in [
        "-- holds/insert_counted:",
        "-- buyer_units/list:",
        "-- holds/release:",
        "-- holds/list_counted:",
        "-- buyer_units/add:",
        "-- products/give_back:",
        "-- orders/cancel:",
        "-- holds/settle:",
        "-- holds/list_to_reserve:",
        "-- buyer_units/list_over:",
        "-- products/reserve:",
    ] {
        for action in [Action::CutBefore, Action::CutAfter] {
            let fault = client.proxy.on(statement, action);
            let hold_id = taken(&client, product_id, 2, "b").await;
            client.release(&hold_id).await.expect(200);
            let order_id = client.order(&taken(&client, product_id, 2, "b").await).await;
            client.cancel(&order_id).await.expect(200);
            client.pay(&order_id, "paid", &mint()).await.expect(200);
            assert!(fault.hits() > 0, "{statement} is not sent");
            drop(fault);
            assert_eq!(counted(&shop, product_id, "b").await, 2, "{statement} {action:?}");
            let refund =
                json!({ "order_id": order_id, "status": "refunded", "idempotency_key": mint(), "restock": true });
            client.webhook(&refund).await.expect(200);
            assert_eq!((counted(&shop, product_id, "b").await, shop.reserved(product_id).await), (0, 0));
        }
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn twenty_requests_of_one_buyer_in_one_batch_get_as_many_units_as_the_limit() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let client = shop.serve_without_workers().await;
    let ask = || {
        let client = client.client.clone();
        async move { take(&client, product_id, 1, "b").await }
    };
    let answers = together((0..20).map(|_| ask())).await;
    let served = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(i64::try_from(served), Ok(LIMIT));
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        refused_over_limit(refused, LIMIT);
    }
    shop.assert_conserved().await;
}
