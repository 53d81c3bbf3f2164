//! An event that was cancelled: who cancels it repeats the sum, nothing is sold for it from then on, and it says so.

use serde_json::{Value, json};

use super::held::{hold, named, row_of};
use super::{add_seats, event, office, row, send, standing, ticket_type, try_type};
use crate::support::proxy::{Action, Rule};
use crate::support::{Answer, Bare, Client, Shop, mint};

pub(super) async fn cancel(client: &Client, event_id: i64, body: &Value) -> Answer {
    send(client, &format!("/api/admin/events/{event_id}/cancel"), body).await
}

pub(super) async fn dry_run(client: &Client, event_id: i64) -> Value {
    cancel(client, event_id, &json!({ "dry_run": true })).await.expect(200).body
}

/// Cancels an event with the sum that is due.
pub(super) async fn confirm(client: &Client, event_id: i64) -> Answer {
    let amount = dry_run(client, event_id).await["amount_due_minor"].clone();
    cancel(client, event_id, &json!({ "confirm_amount_minor": amount })).await.expect(200)
}

/// Ends what was sold for cancelled events.
pub(super) async fn end_all(client: &Bare) {
    while client.app.checkout.end_events().await.expect("a worker's step") {}
}

/// Holds units of an admission and makes an order of them.
pub(super) async fn order(client: &Client, product_id: i64, qty: i64) -> String {
    client.hold_and_order(product_id, qty).await.1
}

/// Holds units of an admission and pays for them; the charge has the name of the order.
pub(super) async fn paid(client: &Client, product_id: i64, qty: i64) -> String {
    let order_id = order(client, product_id, qty).await;
    pay(client, &order_id).await;
    order_id
}

/// Pays an order; the charge has its name.
pub(super) async fn pay(client: &Client, order_id: &str) -> Answer {
    let paid = json!({ "order_id": order_id, "status": "paid", "idempotency_key": mint(), "txn_id": order_id });
    client.webhook(&paid).await.expect(200)
}

/// An event with an admission; returns their ids.
pub(super) async fn concert_with_places(client: &Client) -> (i64, i64) {
    let event_id = event(client, json!({})).await;
    (event_id, ticket_type(client, event_id, &standing()).await)
}

#[tokio::test]
async fn a_dry_run_tells_what_would_end_and_changes_nothing() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = concert_with_places(&client).await;
    let thing = shop.product(10).await;
    client.hold(product_id, 1).await;
    let released = client.hold(product_id, 1).await;
    client.release(&released).await.expect(200);
    order(&client, product_id, 1).await;
    paid(&client, product_id, 2).await;
    // of a cart, only the event's line
    let items = json!([{ "product_id": product_id, "qty": 1 }, { "product_id": thing, "qty": 1 }]);
    let mixed = client.order(&hold(&client, items).await.expect(201).text("hold_id")).await;
    pay(&client, &mixed).await;
    // of what was given back in part, the rest
    let part = paid(&client, product_id, 1).await;
    let back = json!({ "order_id": part, "status": "refunded", "idempotency_key": mint(), "txn_id": part, "amount": "9.00",
                       "currency": "EUR" });
    client.webhook(&back).await.expect(200);
    let told = dry_run(&client, event_id).await;
    let expected = json!({
        "event_id": event_id, "state": "not_cancelled", "active_holds": 1, "pending_orders": 1, "paid_orders": 3,
        "amount_due_minor": 2 * 3900 + 3900 + 3000, "currency": "EUR",
    });
    assert_eq!(told, expected);
    end_all(&client).await;
    assert_eq!(dry_run(&client, event_id).await, expected);
    client.hold(product_id, 1).await;
    cancel(&client, 4711, &json!({ "dry_run": true })).await.refused(404, "event_not_found");
    cancel(&client, 4711, &json!({ "confirm_amount_minor": 1 })).await.refused(404, "event_not_found");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_sum_of_an_event_is_read_in_a_snapshot_as_it_may_take_long() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = concert_with_places(&client).await;
    paid(&client, product_id, 1).await;
    let snapshot = client.proxy.on("WITH CONSISTENT SNAPSHOT", Action::DEADLOCK);
    assert_eq!(dry_run(&client, event_id).await["amount_due_minor"], json!(3900));
    assert_eq!(snapshot.hits(), 1);
}

#[tokio::test]
async fn a_cancellation_with_another_sum_is_refused_with_the_sum_as_it_is() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = concert_with_places(&client).await;
    paid(&client, product_id, 1).await;
    for body in [json!({}), json!({ "confirm_amount_minor": 3899 }), json!({ "dry_run": false })] {
        let refused = cancel(&client, event_id, &body).await;
        assert_eq!(refused.refused(409, "amount_changed").body["amount_due_minor"], json!(3900));
    }
    client.hold(product_id, 1).await;
    let cancelled = cancel(&client, event_id, &json!({ "confirm_amount_minor": 3900 })).await.expect(200).body;
    assert_eq!((&cancelled["state"], &cancelled["cancelled_by"]), (&json!("running"), &json!("operator")));
    // one without ticket types has no sum
    let empty = event(&client, json!({})).await;
    assert_eq!(dry_run(&client, empty).await["amount_due_minor"], Value::Null);
    let refused = cancel(&client, empty, &json!({ "confirm_amount_minor": 0 })).await;
    assert_eq!(refused.refused(409, "amount_changed").body["amount_due_minor"], Value::Null);
    cancel(&client, empty, &json!({})).await.expect(200);
    end_all(&client).await;
    assert_eq!(dry_run(&client, empty).await["state"], json!("finished"));
}

#[tokio::test]
async fn nothing_is_held_of_a_cancelled_event_and_it_says_so() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let other = office(&shop).await;
    let (event_id, seated) = row_of(&client, 4).await;
    let admission = ticket_type(&client, event_id, &standing()).await;
    let thing = shop.product(5).await;
    // both instances remember the ticket types
    for client in [&client, &other] {
        client.hold(admission, 1).await;
        hold(client, json!([{ "product_id": seated, "qty": 1, "best_available": true }])).await.expect(201);
    }
    confirm(&client, event_id).await;
    for client in [&client, &other] {
        client.try_hold(admission, 1).await.refused(409, "event_cancelled");
        named(client, seated, &["A-1-4"]).await.refused(409, "event_cancelled");
        let cart = json!([{ "product_id": thing, "qty": 1 }, { "product_id": admission, "qty": 1 }]);
        let refused = hold(client, cart).await;
        assert_eq!(refused.refused(409, "event_cancelled").body["items"][0]["product_id"], json!(admission));
        try_type(client, event_id, &standing()).await.refused(409, "event_cancelled");
        add_seats(client, seated, &row("B", "1", json!(1))).await.refused(409, "event_cancelled");
    }
    let shown = client.get(&format!("/api/events/{event_id}")).await.expect(200).body;
    assert_eq!((&shown["sale_status"], shown["cancelled_at"].is_string()), (&json!("cancelled"), true));
    assert_eq!(shown["ticket_types"][0]["sale_status"], json!("cancelled"));
    let product = client.get(&format!("/api/products/{admission}")).await.expect(200).body;
    assert_eq!(product["sale_status"], json!("cancelled"));
    let path = format!("/api/admin/products/{admission}/trail");
    let trail = client.send(client.request("GET", &path).bearer_auth(crate::clients::OPERATOR)).await.expect(200).body;
    let last = &trail["items"][0];
    assert_eq!((&last["actor"], last["to"]["cancelled_at"].is_string()), (&json!("operator"), true), "{last}");
    end_all(&client).await;
    assert_eq!((shop.reserved(admission).await, shop.reserved(seated).await), (0, 0));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_cancellation_that_is_cut_or_sent_again_happens_once() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let rules =
        ["-- events/cancel:", "-- event_cancellations/insert:", "-- products/cancel:", "-- product_trail/insert:"];
    let rules = rules.iter().map(|name| Rule::from(*name)).chain([Rule::exactly("COMMIT")]);
    for rule in rules {
        for action in [Action::CutBefore, Action::CutAfter, Action::DEADLOCK] {
            let (event_id, product_id) = concert_with_places(&client).await;
            paid(&client, product_id, 1).await;
            let cut = client.proxy.on(rule.clone(), action);
            let first = cancel(&client, event_id, &json!({ "confirm_amount_minor": 3900 })).await.expect(200).body;
            assert_eq!((cut.hits(), &first["state"]), (1, &json!("running")), "{rule:?} {action:?}");
            drop(cut);
            // the sum does not matter any more
            let again = cancel(&client, event_id, &json!({ "confirm_amount_minor": 1 })).await.expect(200).body;
            assert_eq!(again, first);
            end_all(&client).await;
            let end = cancel(&client, event_id, &json!({})).await.expect(200).body;
            assert_eq!(
                (&end["state"], &end["refunds_due"], &end["amount_due_minor"]),
                (&json!("finished"), &json!(1), &json!(3900))
            );
            assert_eq!((&end["cancelled_at"], &end["holds_ended"]), (&first["cancelled_at"], &json!(0)));
            let trail = format!(
                "SELECT COUNT(*) FROM product_trail WHERE product_id = {product_id} AND to_values LIKE '%cancelled%'"
            );
            assert_eq!(shop.count(&trail).await, 1, "{rule:?} {action:?}");
        }
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_late_payment_for_a_cancelled_event_is_due_for_refund_and_gives_no_ticket() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = concert_with_places(&client).await;
    let thing = shop.product(5).await;
    let before = order(&client, product_id, 1).await;
    client.cancel(&before).await.expect(200);
    let pending = order(&client, product_id, 1).await;
    // all of the late payment of a cart is due, also for what could be sold
    let items = json!([{ "product_id": thing, "qty": 1 }, { "product_id": product_id, "qty": 1 }]);
    let mixed = client.order(&hold(&client, items).await.expect(201).text("hold_id")).await;
    confirm(&client, event_id).await;
    end_all(&client).await;
    assert_eq!(client.transitions(&pending).await[1], "pending>cancelled:event_cancelled");
    for order_id in [&before, &pending, &mixed] {
        let answer = pay(&client, order_id).await.body;
        assert_eq!((&answer["status"], &answer["order_status"]), (&json!("refund_due"), &json!("cancelled")));
        let path = format!("/api/admin/refunds?order_id={order_id}");
        let listed = client.send(client.request("GET", &path).bearer_auth(crate::clients::OPERATOR)).await.expect(200);
        assert_eq!(listed.body["items"][0]["event"]["quarantine"]["reason"], json!("event_cancelled"));
    }
    assert_eq!((shop.reserved(product_id).await, shop.reserved(thing).await), (0, 0));
    assert_eq!(shop.count("SELECT COUNT(*) FROM tickets").await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn units_that_another_instance_takes_while_an_event_is_cancelled_are_ended_with_it() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let other = office(&shop).await;
    let (event_id, product_id) = concert_with_places(&client).await;
    other.hold(product_id, 1).await;
    let late = order(&client, product_id, 1).await;
    client.cancel(&late).await.expect(200);
    // both have their units, and the product's row, when the event is cancelled
    for way in ["hold", "late payment"] {
        let held = other.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
        let begun = tokio::spawn({
            let (client, late) = (other.client.clone(), late.clone());
            async move {
                match way {
                    "hold" => client.try_hold(product_id, 2).await.expect(201),
                    _ => pay(&client, &late).await,
                }
            }
        });
        held.reached().await;
        let amount = dry_run(&client, event_id).await["amount_due_minor"].clone();
        let cancelling = tokio::spawn({
            let client = client.client.clone();
            async move { cancel(&client, event_id, &json!({ "confirm_amount_minor": amount })).await }
        });
        shop.until_running("products/cancel").await;
        held.release();
        drop(held);
        begun.await.expect("no panic");
        cancelling.await.expect("no panic").expect(200);
        end_all(&client).await;
        let left = shop.count("SELECT COUNT(*) FROM holds WHERE returns_at IS NOT NULL").await;
        assert_eq!(left, 0, "{way}");
        if way == "hold" {
            shop.execute("UPDATE events SET cancelled_at = NULL").await;
            shop.execute("UPDATE products SET cancelled_at = NULL").await;
            shop.execute("DELETE FROM event_cancellations").await;
        }
    }
    assert_eq!(client.order_status(&late).await, "paid");
    assert_eq!(shop.count("SELECT COUNT(*) FROM due_refunds WHERE amount_minor = 3900").await, 1);
    assert_eq!(shop.count("SELECT COUNT(*) FROM tickets WHERE status = 'void'").await, 1);
}
