//! Refunds and late payments: money that comes or goes when its order is not waiting for it.

use serde_json::{Value, json};

use crate::support::proxy::Action;
use crate::support::{Answer, Client, Shop, binary, mint, with};

/// Returns the outcome of a delivery, and the state of its order.
fn outcome(answer: &Answer) -> (&str, &str) {
    let word = |field: &str| answer.body[field].as_str().unwrap_or_default();
    (word("status"), word("order_status"))
}

/// Reports an event for an order under a new key.
async fn report(client: &Client, order_id: &str, status: &str, more: Value) -> Answer {
    client.webhook(&with(&json!({ "order_id": order_id, "status": status, "idempotency_key": mint() }), more)).await
}

fn charge(name: &str) -> Value {
    json!({ "txn_id": name })
}

fn part(name: &str, amount: &str) -> Value {
    json!({ "txn_id": name, "amount": amount, "currency": "eur" })
}

impl Shop {
    /// Returns the states of the successes for an order, in the order of receipt.
    async fn successes(&self, order_id: &str) -> Vec<String> {
        let of = format!("order_id = {} AND meaning = 'succeeded'", binary(order_id));
        self.rows(&format!("SELECT status FROM payment_events WHERE {of} ORDER BY id")).await
    }
}

#[tokio::test]
async fn two_equal_refunds_without_keys_are_one_and_with_keys_they_are_two() {
    let (shop, product_id, client) = Shop::selling(1).await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    report(&client, &order_id, "paid", charge("T1")).await.expect(200);
    let refund = |key: Option<&str>, amount: &str| {
        let refund = with(&part("T1", amount), json!({ "order_id": order_id, "status": "refunded" }));
        with(&refund, json!({ "idempotency_key": key }))
    };
    let refunded = async || shop.count("SELECT refunded_minor FROM charges").await;
    // the second refund looks like a copy, and a retry must not count money twice
    assert_eq!(outcome(&client.webhook(&refund(None, "10.00")).await), ("processed", "paid"));
    assert_eq!(outcome(&client.webhook(&refund(None, "10.00")).await), ("duplicate", "paid"));
    client.webhook(&refund(None, "5.00")).await.refused(422, "idempotency_key_reuse");
    assert_eq!(refunded().await, 1000);
    for (key, sum) in [("one", 2000), ("two", 3000)] {
        assert_eq!(outcome(&client.webhook(&refund(Some(key), "10.00")).await), ("processed", "paid"));
        assert_eq!(refunded().await, sum);
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn partial_refunds_add_up_to_the_whole_charge_and_not_beyond() {
    let (shop, product_id, client) = Shop::selling(1).await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    report(&client, &order_id, "paid", charge("T1")).await.expect(200);
    for (amount, expected) in [
        ("10.00", ("processed", "paid")),
        ("40.00", ("quarantined", "paid")),
        ("39.989", ("quarantined", "paid")),
        ("-1", ("quarantined", "paid")),
        ("0", ("ignored", "paid")),
        ("39.99", ("processed", "refunded")),
        ("0.01", ("ignored", "refunded")),
    ] {
        assert_eq!(outcome(&report(&client, &order_id, "refunded", part("T1", amount)).await), expected, "{amount}");
    }
    let other_currency = json!({ "txn_id": "T1", "amount": "1", "currency": "USD" });
    assert_eq!(outcome(&report(&client, &order_id, "refunded", other_currency).await).1, "refunded");
    assert_eq!(
        client.transitions(&order_id).await,
        [
            ">pending:created",
            "pending>paid:payment_succeeded",
            "paid>paid:payment_part_refunded",
            "paid>refunded:payment_refunded",
        ]
    );
    let order = client.get(&format!("/api/orders/{order_id}")).await;
    assert_eq!((&order.body["refunded_minor"], &order.body["total_minor"]), (&json!(4999), &json!(4999)));
    assert_eq!(client.available(product_id).await, 0, "the units stay sold");
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refunds_at_the_same_moment_never_give_back_more_than_was_taken() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let instances = [shop.serve().await, shop.serve().await];
    let (_, order_id) = instances[0].hold_and_order(product_id, 1).await;
    report(&instances[0], &order_id, "paid", charge("T1")).await.expect(200);
    let refunds = (0..20).map(|number| {
        let (client, order_id) = (instances[number % 2].client.clone(), order_id.clone());
        async move { report(&client, &order_id, "refunded", part("T1", "10.00")).await }
    });
    let answers = crate::support::together(refunds).await;
    let counted = |word: &str| answers.iter().filter(|answer| outcome(answer).0 == word).count();
    assert_eq!((counted("processed"), counted("quarantined")), (4, 16), "{answers:?}");
    assert_eq!(shop.count("SELECT refunded_minor FROM orders").await, 4000);
    assert_eq!(shop.count("SELECT refunded_minor FROM charges").await, 4000);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refund_puts_the_units_back_on_sale_once_and_only_if_it_says_so() {
    let (shop, product_id, client) = Shop::selling(6).await;
    let mut orders = Vec::new();
    for _ in 0..3 {
        let (_, order_id) = client.hold_and_order(product_id, 2).await;
        report(&client, &order_id, "paid", charge(&order_id)).await.expect(200);
        orders.push(order_id);
    }
    let restock = |more: Value| with(&more, json!({ "restock": true }));
    report(&client, &orders[0], "refunded", charge(&orders[0])).await.expect(200);
    assert_eq!(client.available(product_id).await, 0);
    report(&client, &orders[1], "refunded", restock(charge(&orders[1]))).await.expect(200);
    assert_eq!(client.available(product_id).await, 2);
    report(&client, &orders[1], "refunded", restock(charge(&orders[1]))).await.expect(200);
    assert_eq!(client.available(product_id).await, 2, "once");
    // if any part says so, the units go back once all of the money is refunded
    report(&client, &orders[2], "refunded", restock(part(&orders[2], "0.98"))).await.expect(200);
    assert_eq!(client.available(product_id).await, 2);
    report(&client, &orders[2], "refunded", charge(&orders[2])).await.expect(200);
    assert_eq!(client.available(product_id).await, 4);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refund_that_comes_before_its_success_waits_for_it() {
    let shop = Shop::open().await;
    let product_id = shop.product(3).await;
    let client = shop.serve_without_workers().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    report(&client, &order_id, "refunded", charge("T1")).await.expect(202);
    assert_eq!(outcome(&report(&client, &order_id, "paid", charge("T1")).await), ("processed", "refunded"));

    // both come before the order, under different names
    let (hold_id, order_id) = (client.hold(product_id, 1).await, mint());
    client.webhook(&json!({ "hold_id": hold_id, "status": "refunded", "txn_id": "T2" })).await.expect(202);
    report(&client, &order_id, "paid", charge("T2")).await.expect(202);
    assert_eq!(client.try_order_as(&hold_id, &order_id).await.expect(201).text("status"), "refunded");
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_overtakes_its_success_is_recorded_after_it() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let (slow, client) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    // the refund has read the order, but not yet the charge
    let look = slow.proxy.on("-- charges/find:", Action::PauseBefore);
    let (instance, id) = (slow.client.clone(), order_id.clone());
    let refund = tokio::spawn(async move { report(&instance, &id, "refunded", charge("T1")).await });
    look.reached().await;
    report(&client, &order_id, "paid", charge("T1")).await.expect(200);
    look.release();
    assert_eq!(outcome(&refund.await.expect("no panic")), ("processed", "refunded"));
    assert_eq!(
        client.transitions(&order_id).await[1..],
        ["pending>paid:payment_succeeded", "paid>refunded:payment_refunded"]
    );
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refund_of_a_second_charge_settles_that_charge_and_leaves_the_order_paid() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let client = shop.serve_without_workers().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    assert_eq!(outcome(&report(&client, &order_id, "paid", charge("T1")).await), ("processed", "paid"));
    assert_eq!(outcome(&report(&client, &order_id, "refunded", charge("T2")).await), ("pending_order", "paid"));
    assert_eq!(outcome(&report(&client, &order_id, "paid", charge("T2")).await), ("refund_due", "paid"));
    assert_eq!(shop.successes(&order_id).await, ["applied", "refunded"], "the refund had waited for it");

    assert_eq!(outcome(&report(&client, &order_id, "paid", charge("T3")).await), ("refund_due", "paid"));
    let restock = with(&part("T3", "20.00"), json!({ "restock": true }));
    assert_eq!(outcome(&report(&client, &order_id, "refunded", restock).await), ("processed", "paid"));
    assert_eq!(shop.successes(&order_id).await[2], "refund_due", "a part of it is still due");
    assert_eq!(outcome(&report(&client, &order_id, "refunded", part("T3", "29.99")).await), ("processed", "paid"));
    assert_eq!(shop.successes(&order_id).await[2], "refunded");
    assert_eq!(outcome(&report(&client, &order_id, "refunded", charge("T3")).await), ("ignored", "paid"));
    assert_eq!((client.trail(&order_id).await.len(), client.available(product_id).await), (2, 0));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refund_without_a_charge_name_applies_to_the_only_charge() {
    let (shop, product_id, client) = Shop::selling(3).await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let nameless = json!({});
    report(&client, &order_id, "paid", charge("T1")).await.expect(200);
    assert_eq!(outcome(&report(&client, &order_id, "refunded", nameless.clone()).await), ("processed", "refunded"));
    assert_eq!(outcome(&report(&client, &order_id, "refunded", nameless.clone()).await), ("ignored", "refunded"));

    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    report(&client, &order_id, "paid", charge("T2")).await.expect(200);
    report(&client, &order_id, "paid", charge("T3")).await.expect(200);
    assert_eq!(outcome(&report(&client, &order_id, "refunded", nameless.clone()).await), ("quarantined", "paid"));

    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    assert_eq!(outcome(&report(&client, &order_id, "refunded", nameless.clone()).await), ("pending_order", "pending"));
    assert_eq!(outcome(&report(&client, &order_id, "paid", json!({})).await), ("processed", "refunded"));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_late_payment_takes_units_again_or_is_due_for_refund() {
    let (shop, product_id, client) = Shop::selling(2).await;
    let cancelled = async |word: &str| {
        let (_, order_id) = client.hold_and_order(product_id, 2).await;
        match word {
            "failed" => drop(report(&client, &order_id, "failed", json!({})).await.expect(200)),
            "given up" => drop(client.cancel(&order_id).await.expect(200)),
            _ => {
                shop.let_order_run_out(&order_id).await;
                client.service.app().checkout.cancel_overdue_orders().await.expect("the step runs");
            }
        }
        assert_eq!(
            (client.order_status(&order_id).await.as_str(), client.available(product_id).await),
            ("cancelled", 2)
        );
        order_id
    };
    for word in ["failed", "given up", "overdue"] {
        let order_id = cancelled(word).await;
        let name = |number: u32| charge(&format!("{word}-{number}"));
        assert_eq!(outcome(&report(&client, &order_id, "paid", name(1)).await), ("processed", "paid"), "{word}");
        assert_eq!(client.available(product_id).await, 0);
        assert_eq!(client.transitions(&order_id).await[2], "cancelled>paid:payment_succeeded");
        assert_eq!(outcome(&report(&client, &order_id, "paid", name(2)).await), ("refund_due", "paid"));
        let restock = with(&name(1), json!({ "restock": true }));
        assert_eq!(outcome(&report(&client, &order_id, "refunded", restock).await), ("processed", "refunded"));
    }
    let order_id = cancelled("given up").await;
    let hold_id = client.hold(product_id, 1).await;
    assert_eq!(outcome(&report(&client, &order_id, "paid", charge("L1")).await), ("refund_due", "cancelled"));
    assert_eq!(outcome(&report(&client, &order_id, "paid", charge("L1")).await), ("ignored", "cancelled"));
    assert_eq!(client.available(product_id).await, 1);
    // the charge is due for refund, and stays so when units come back; its refund leaves the order as it is
    client.release(&hold_id).await.expect(200);
    assert_eq!(outcome(&report(&client, &order_id, "paid", charge("L1")).await), ("ignored", "cancelled"));
    assert_eq!(outcome(&report(&client, &order_id, "refunded", charge("L1")).await), ("processed", "cancelled"));
    assert_eq!(shop.successes(&order_id).await, ["refunded", "ignored", "ignored"]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_that_has_run_out_keeps_no_units_from_a_late_payment() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let client = shop.serve_without_workers().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    client.cancel(&order_id).await.expect(200);
    client.hold(product_id, 1).await;
    shop.let_holds_run_out().await;
    assert_eq!(outcome(&report(&client, &order_id, "paid", charge("T1")).await), ("processed", "paid"));
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_late_payments_at_once_never_oversell() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let instances = [shop.serve().await, shop.serve().await];
    let mut orders = Vec::new();
    for _ in 0..10 {
        let (_, order_id) = instances[0].hold_and_order(product_id, 1).await;
        instances[0].cancel(&order_id).await.expect(200);
        orders.push(order_id);
    }
    instances[0].hold(product_id, 7).await;
    let payments = orders.iter().enumerate().map(|(number, order_id)| {
        let (client, order_id) = (instances[number % 2].client.clone(), order_id.clone());
        async move { report(&client, &order_id, "paid", charge(&order_id)).await }
    });
    let answers = crate::support::together(payments).await;
    let counted = |word: &str| answers.iter().filter(|answer| outcome(answer).0 == word).count();
    assert_eq!((counted("processed"), counted("refund_due")), (3, 7), "{answers:?}");
    assert_eq!(shop.reserved(product_id).await, 10);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn money_for_a_hold_that_ended_without_an_order_is_due_for_refund_and_can_be_given_back() {
    let shop = Shop::open().await;
    let product_id = shop.product(3).await;
    let client = shop.serve_without_workers().await;
    for (number, released) in [true, false].into_iter().enumerate() {
        let (hold_id, name) = (client.hold(product_id, 1).await, format!("H{number}"));
        let event = |status: &str, name: &str| json!({ "hold_id": hold_id, "status": status, "txn_id": name });
        assert_eq!(outcome(&client.webhook(&event("refunded", &name)).await).0, "pending_order");
        if released {
            client.release(&hold_id).await.expect(200);
        } else {
            shop.let_hold_run_out(&hold_id).await;
            client.app.checkout.expire_holds().await.expect("the step runs");
        }
        assert_eq!(outcome(&client.webhook(&event("paid", &name)).await).0, "refund_due");
        let states = format!("SELECT status FROM payment_events WHERE hold_id = {} ORDER BY id", binary(&hold_id));
        assert_eq!(shop.rows::<String>(&states).await, ["applied", "refunded"], "the refund had waited for it");
        let second = client.webhook(&event("paid", &format!("{name} again"))).await;
        assert_eq!(outcome(&second).0, "refund_due");
    }
    // an order id beside the hold changes nothing: no order can be made of this hold any more
    let hold_id = client.hold(product_id, 1).await;
    client.release(&hold_id).await.expect(200);
    let both = json!({ "hold_id": hold_id, "order_id": mint(), "status": "paid", "txn_id": "both" });
    assert_eq!(outcome(&client.webhook(&both).await).0, "refund_due");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_charge_counts_once_and_for_one_order() {
    let (shop, product_id, client) = Shop::selling(2).await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let (_, other) = client.hold_and_order(product_id, 1).await;
    assert_eq!(outcome(&report(&client, &order_id, "paid", charge("T1")).await), ("processed", "paid"));
    assert_eq!(outcome(&report(&client, &order_id, "paid", charge("T1")).await), ("ignored", "paid"));
    assert_eq!(outcome(&report(&client, &other, "paid", charge("T1")).await), ("quarantined", "pending"));
    assert_eq!(outcome(&report(&client, &other, "refunded", charge("T1")).await), ("quarantined", "pending"));
    assert_eq!(
        outcome(&report(&client, &other, "paid", charge("t1")).await),
        ("processed", "paid"),
        "names are compared byte by byte"
    );
    assert_eq!(client.order_status(&order_id).await, "paid");
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_charge_under_many_keys_at_once_pays_once() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let instances = [shop.serve().await, shop.serve().await];
    let (_, order_id) = instances[0].hold_and_order(product_id, 1).await;
    let payments = (0..40).map(|number| {
        let (client, order_id) = (instances[number % 2].client.clone(), order_id.clone());
        async move { report(&client, &order_id, "paid", charge("T1")).await }
    });
    let answers = crate::support::together(payments).await;
    let counted = |word: &str| answers.iter().filter(|answer| outcome(answer).0 == word).count();
    assert_eq!((counted("processed"), counted("ignored")), (1, 39), "{answers:?}");
    assert_eq!(shop.count("SELECT COUNT(*) FROM charges").await, 1);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refund_that_reads_its_order_before_the_payment_leaves_the_right_trail() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let (provider, other) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    let (_, order_id) = other.hold_and_order(product_id, 1).await;
    let looks = provider.proxy.on("-- charges/find:", Action::PauseBefore);
    let refund = tokio::spawn({
        let (client, order_id) = (provider.client.clone(), order_id.clone());
        async move { report(&client, &order_id, "refunded", charge("T1")).await }
    });
    looks.reached().await;
    report(&other, &order_id, "paid", charge("T1")).await.expect(200);
    looks.release();
    assert_eq!(outcome(&refund.await.expect("no panic")), ("processed", "refunded"));
    assert_eq!(
        other.transitions(&order_id).await,
        [">pending:created", "pending>paid:payment_succeeded", "paid>refunded:payment_refunded"]
    );
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_applies_to_an_order_that_is_made_and_paid_while_the_refund_looks_for_it() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let (refunding, selling) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    let hold_id = selling.hold(product_id, 1).await;
    let look = refunding.proxy.on("-- charges/find:", Action::PauseBefore);
    let (client, event) =
        (refunding.client.clone(), json!({ "hold_id": hold_id, "status": "refunded", "txn_id": "T1" }));
    let refund = tokio::spawn(async move { client.webhook(&event).await });
    look.reached().await;
    let order_id = selling.order(&hold_id).await;
    report(&selling, &order_id, "paid", charge("T1")).await.expect(200);
    look.release();
    assert_eq!(outcome(&refund.await.expect("no panic")), ("processed", "refunded"));
    assert_eq!(selling.order_status(&order_id).await, "refunded");
    shop.assert_conserved().await;
}
