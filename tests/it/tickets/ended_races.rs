//! Steps of two instances, payments and refunds that meet the end of an event.

use serde_json::json;

use super::cancelled::{concert_with_places, confirm, dry_run, end_all, order, paid, pay};
use super::held::hold;
use super::{event, office, standing, ticket_type};
use crate::support::proxy::{Action, Rule};
use crate::support::{Shop, mint, with};

#[tokio::test]
async fn a_payment_that_commits_behind_the_step_that_looked_is_found() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let other = office(&shop).await;
    let (event_id, product_id) = concert_with_places(&client).await;
    // by id, the first one is the one that is paid last
    let late = order(&client, product_id, 1).await;
    paid(&client, product_id, 1).await;
    let also = order(&client, product_id, 1).await;
    confirm(&client, event_id).await;
    // this payment is under way when the step looks for unpaid orders, and commits afterwards
    let held = other.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let paying = tokio::spawn({
        let (client, late) = (other.client.clone(), late.clone());
        async move { pay(&client, &late).await }
    });
    held.reached().await;
    let ending = tokio::spawn({
        let client = client.app.clone();
        async move { while client.checkout.end_events().await.expect("a worker's step") {} }
    });
    shop.until_running("orders/cancel").await;
    held.release();
    assert_eq!(paying.await.expect("no panic").body["order_status"], json!("paid"));
    ending.await.expect("no panic");
    let end = dry_run(&client, event_id).await;
    assert_eq!(
        (&end["state"], &end["refunds_due"], &end["orders_cancelled"]),
        (&json!("finished"), &json!(2), &json!(1))
    );
    assert_eq!(
        (client.order_status(&late).await.as_str(), client.order_status(&also).await.as_str()),
        ("paid", "cancelled")
    );
    assert_eq!(shop.count("SELECT COUNT(*) FROM tickets WHERE status <> 'void'").await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_payment_of_an_order_that_the_step_cancels_is_late() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let other = office(&shop).await;
    let (event_id, product_id) = concert_with_places(&client).await;
    let order_id = order(&client, product_id, 1).await;
    confirm(&client, event_id).await;
    let held = client.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let ending = tokio::spawn({
        let app = client.app.clone();
        async move { while app.checkout.end_events().await.expect("a worker's step") {} }
    });
    held.reached().await;
    let paying = tokio::spawn({
        let (client, order_id) = (other.client.clone(), order_id.clone());
        async move { pay(&client, &order_id).await }
    });
    shop.until_running("orders/mark_all_paid").await;
    held.release();
    drop(held);
    let answer = paying.await.expect("no panic").body;
    assert_eq!((&answer["status"], &answer["order_status"]), (&json!("refund_due"), &json!("cancelled")));
    ending.await.expect("no panic");
    assert_eq!(shop.count("SELECT COUNT(*) FROM tickets").await, 0);
    assert_eq!(shop.count("SELECT COUNT(*) FROM due_refunds").await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refund_that_meets_the_walk_counts_once() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let other = office(&shop).await;
    for refund_first in [true, false] {
        let (event_id, product_id) = concert_with_places(&client).await;
        let order_id = paid(&client, product_id, 1).await;
        confirm(&client, event_id).await;
        assert!(client.app.checkout.end_events().await.expect("the stage of holds"));
        let refund = json!({ "order_id": order_id, "status": "refunded", "idempotency_key": mint(), "txn_id": order_id,
                             "amount": "10.00", "currency": "EUR" });
        let (first, second) = if refund_first { (&other, &client) } else { (&client, &other) };
        let held = first.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
        let walk = |app: std::sync::Arc<holdfast::app::App>| async move {
            while app.checkout.end_events().await.expect("a worker's step") {}
        };
        let send = |client: crate::support::Client, body: serde_json::Value| async move {
            client.webhook(&body).await.expect(200);
        };
        let begun = match refund_first {
            true => tokio::spawn(send(first.client.clone(), refund.clone())),
            false => tokio::spawn(walk(first.app.clone())),
        };
        held.reached().await;
        let (next, waits) = match refund_first {
            true => (tokio::spawn(walk(second.app.clone())), "charges/note_due"),
            false => (tokio::spawn(send(second.client.clone(), refund)), "charges/refund"),
        };
        shop.until_running(waits).await;
        held.release();
        drop(held);
        begun.await.expect("no panic");
        next.await.expect("no panic");
        let written: (i64, i64, i64) = shop
            .row(&format!(
                "SELECT amount_minor, until_minor, settled_at IS NULL FROM due_refunds WHERE event_id = {event_id}"
            ))
            .await;
        assert_eq!(written, if refund_first { (2900, 3900, 1) } else { (3900, 3900, 1) });
        let rest = json!({ "order_id": order_id, "status": "refunded", "idempotency_key": mint(), "txn_id": order_id,
                           "amount": "29.00", "currency": "EUR" });
        client.webhook(&rest).await.expect(200);
        assert_eq!(client.order_status(&order_id).await, "refunded");
        assert_eq!(shop.count("SELECT COUNT(*) FROM due_refunds WHERE settled_at IS NULL").await, 0);
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn two_events_that_end_at_once_are_due_of_different_parts_of_a_charge() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let other = office(&shop).await;
    let (one, first) = concert_with_places(&client).await;
    let (two, second) = concert_with_places(&client).await;
    let items = json!([{ "product_id": first, "qty": 1 }, { "product_id": second, "qty": 2 }]);
    let order_id = client.order(&hold(&client, items).await.expect(201).text("hold_id")).await;
    pay(&client, &order_id).await;
    // each instance has made the stage of holds of an event, and goes on with the other event
    for (instance, event_id) in [(&client, two), (&other, one)] {
        confirm(&client, event_id).await;
        assert!(instance.app.checkout.end_events().await.expect("the stage of holds"));
    }
    let held = client.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let walk = |app: std::sync::Arc<holdfast::app::App>| async move {
        while app.checkout.end_events().await.expect("a worker's step") {}
    };
    let begun = tokio::spawn(walk(client.app.clone()));
    held.reached().await;
    let next = tokio::spawn(walk(other.app.clone()));
    shop.until_running("charges/note_due").await;
    held.release();
    drop(held);
    begun.await.expect("no panic");
    next.await.expect("no panic");
    for (event_id, expected) in [(one, (3900, 3900)), (two, (7800, 11700))] {
        let due = format!("SELECT amount_minor, until_minor FROM due_refunds WHERE event_id = {event_id}");
        assert_eq!(shop.row::<(i64, i64)>(&due).await, expected);
    }
    for (amount, open) in [("78.00", 1), ("39.00", 0)] {
        let back = json!({ "order_id": order_id, "status": "refunded", "idempotency_key": mint(), "txn_id": order_id,
                           "amount": amount, "currency": "EUR" });
        client.webhook(&back).await.expect(200);
        assert_eq!(shop.count("SELECT COUNT(*) FROM due_refunds WHERE settled_at IS NULL").await, open);
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_whose_units_of_the_event_are_removed_meanwhile_goes_on() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let other = office(&shop).await;
    let (event_id, product_id) = concert_with_places(&client).await;
    let thing = shop.product(5).await;
    let items = json!([{ "product_id": product_id, "qty": 1 }, { "product_id": thing, "qty": 1 }]);
    let hold_id = hold(&client, items).await.expect(201).text("hold_id");
    confirm(&client, event_id).await;
    let held = client.proxy.on("-- holds/release_whole:", Action::PauseBefore);
    let ending = tokio::spawn({
        let app = client.app.clone();
        async move { while app.checkout.end_events().await.expect("a worker's step") {} }
    });
    held.reached().await;
    let fewer = json!({ "items": [{ "product_id": product_id, "qty": 0 }] });
    other.send(other.request("PATCH", &format!("/api/holds/{hold_id}")).json(&fewer)).await.expect(200);
    held.release();
    drop(held);
    ending.await.expect("no panic");
    assert_eq!(client.hold_status(&hold_id).await, "active");
    assert_eq!((shop.reserved(product_id).await, shop.reserved(thing).await), (0, 1));
    assert_eq!(dry_run(&client, event_id).await["state"], json!("finished"));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn two_instances_end_an_event_once() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let other = office(&shop).await;
    let event_id = event(&client, json!({})).await;
    let body = with(&standing(), json!({ "stock": 100 }));
    let (one, two) = (ticket_type(&client, event_id, &body).await, ticket_type(&client, event_id, &body).await);
    for product_id in [one, two] {
        for _ in 0..6 {
            paid(&client, product_id, 1).await;
            order(&client, product_id, 1).await;
        }
    }
    confirm(&client, event_id).await;
    // the other one looks at the same step
    let held = client.proxy.on("-- event_cancellations/note:", Action::PauseBefore);
    let first = tokio::spawn({
        let app = client.app.clone();
        async move { while app.checkout.end_events().await.expect("a worker's step") {} }
    });
    held.reached().await;
    let second = tokio::spawn({
        let app = other.app.clone();
        async move { while app.checkout.end_events().await.expect("a worker's step") {} }
    });
    shop.until_running("event_cancellations/claim").await;
    held.release();
    drop(held);
    first.await.expect("no panic");
    second.await.expect("no panic");
    let end = dry_run(&client, event_id).await;
    let told = json!([end["state"], end["orders_cancelled"], end["refunds_due"], end["amount_due_minor"]]);
    assert_eq!(told, json!(["finished", 12, 12, 12 * 3900]));
    assert_eq!((shop.reserved(one).await, shop.reserved(two).await), (6, 6));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_event_that_cannot_be_ended_holds_up_no_other() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (damaged, product_id) = concert_with_places(&client).await;
    client.hold(product_id, 2).await;
    let (event_id, elsewhere) = concert_with_places(&client).await;
    client.hold(elsewhere, 2).await;
    confirm(&client, damaged).await;
    confirm(&client, event_id).await;
    shop.execute(&format!("UPDATE products SET reserved = 1 WHERE id = {product_id}")).await;
    for _ in 0..8 {
        let _ = client.app.checkout.end_events().await;
    }
    assert_eq!(dry_run(&client, event_id).await["state"], json!("finished"));
    assert_eq!(dry_run(&client, damaged).await["state"], json!("running"));
    shop.execute(&format!("UPDATE products SET reserved = 2 WHERE id = {product_id}")).await;
    end_all(&client).await;
    assert_eq!(dry_run(&client, damaged).await["state"], json!("finished"));
    shop.assert_conserved().await;
}
