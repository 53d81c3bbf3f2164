//! What each event of Stripe means for its order: a declined card, a delayed or a missing payment, a refund.

use serde_json::json;

use crate::stripe::deliver;
use crate::stripe_payment::{Payment, Shown, declined, intent, outcome, refunded, session, spawn, two_instances};
use crate::support::Shop;
use crate::support::proxy::Action;

#[tokio::test]
async fn a_declined_card_changes_nothing_but_the_trail() {
    let (shop, client, _other, payment) = two_instances().await;
    let available = client.available(1).await;
    let pay_by = || async { client.get(&format!("/api/orders/{}", payment.order_id)).await.text("pay_by") };
    let before = pay_by().await;
    // the session is not complete: the intent itself names the order
    let first = payment.event("payment_intent.payment_failed", Shown::Order);
    let answer = deliver(&client, &first).await.expect(200);
    assert_eq!((outcome(&answer), answer.text("order_status")), ((200, "ignored"), "pending".to_owned()));
    assert_eq!(outcome(&deliver(&client, &first).await), (200, "duplicate"), "one row in the trail");
    // another card: the event does not name the order, but its intent is known by now
    let mut second = declined(&payment);
    second["id"] = json!("evt_second_card");
    assert_eq!(deliver(&client, &second).await.expect(200).text("order_status"), "pending");
    assert_eq!((client.available(1).await, pay_by().await), (available, before), "nothing is given back or extended");
    shop.assert_conserved().await;

    deliver(&client, &intent(&payment)).await.expect(200);
    let mut late = declined(&payment);
    late["id"] = json!("evt_late");
    assert_eq!(deliver(&client, &late).await.expect(200).text("order_status"), "paid");
    let pending = "pending>pending:payment_attempt_failed";
    let expected = [">pending:created", pending, pending, "pending>paid:payment_succeeded"];
    assert_eq!(client.transitions(&payment.order_id).await, expected);
    let row = &client.trail(&payment.order_id).await[1];
    assert_eq!((&row["txn_id"], &row["amount"]), (&json!(payment.charge()), &json!("49.99")), "{row}");
    let states = ["failed ignored", "failed ignored", "succeeded applied", "failed ignored"];
    assert_eq!(shop.states_of(&payment).await, states);
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declined_card_never_follows_the_end_of_its_order_in_the_trail() {
    let (shop, slow, client, payment) = two_instances().await;
    // the slow instance has read that the order is pending
    let count = slow.proxy.on("-- orders/count_failed_attempt:", Action::PauseBefore);
    let attempt = spawn(&slow, payment.event("payment_intent.payment_failed", Shown::Order));
    count.reached().await;
    assert_eq!(client.pay(&payment.order_id, "failed", "k").await.expect(200).text("order_status"), "cancelled");
    count.release();
    assert_eq!(outcome(&attempt.await.expect("no panic")), (200, "ignored"));
    let expected = [">pending:created", "pending>cancelled:payment_failed"];
    assert_eq!(client.transitions(&payment.order_id).await, expected);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_trail_shows_a_bounded_number_of_failed_attempts() {
    let (shop, client, _other, payment) = two_instances().await;
    shop.execute("UPDATE orders SET failed_attempts = 99").await;
    for number in 0..3 {
        let mut event = payment.event("payment_intent.payment_failed", Shown::Order);
        event["id"] = json!(format!("evt_{number}"));
        assert_eq!(outcome(&deliver(&client, &event).await), (200, "ignored"));
    }
    assert_eq!(client.transitions(&payment.order_id).await.len(), 2);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_order_is_cancelled_when_no_money_will_come() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = shop.stripe_without_workers().await;
    for (name, shown) in [
        ("payment_intent.canceled", Shown::Order),
        ("payment_intent.canceled", Shown::Nothing),
        ("checkout.session.expired", Shown::Order),
        ("checkout.session.async_payment_failed", Shown::Order),
        ("checkout.session.async_payment_failed", Shown::Nothing),
    ] {
        let (_, order_id) = client.hold_and_order(product_id, 1).await;
        let payment = Payment::of(&order_id);
        let linking = payment.event("checkout.session.completed.unpaid", Shown::Order);
        assert_eq!(deliver(&client, &linking).await.expect(200).body, json!({ "status": "ignored" }));
        assert_eq!(client.order_status(&order_id).await, "pending", "an unpaid session only links");
        let answer = deliver(&client, &payment.event(name, shown.clone())).await.expect(200);
        assert_eq!(answer.text("order_status"), "cancelled", "{name} {shown:?}");
        assert_eq!(client.available(product_id).await, 10, "{name} {shown:?}");
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_payment_by_a_delayed_method_counts_when_its_money_arrives() {
    let (shop, client, _other, payment) = two_instances().await;
    deliver(&client, &payment.event("checkout.session.completed.unpaid", Shown::Order)).await.expect(200);
    let answer = deliver(&client, &payment.event("checkout.session.async_payment_succeeded", Shown::Order)).await;
    assert_eq!((outcome(&answer), answer.text("order_status")), ((200, "processed"), "paid".to_owned()));
    let answer = deliver(&client, &intent(&payment)).await;
    assert_eq!((outcome(&answer), answer.text("order_status")), ((200, "ignored"), "paid".to_owned()));
    shop.assert_paid_once(&client, &payment).await;
}

#[tokio::test]
async fn a_session_that_needs_no_payment_pays_only_an_order_that_costs_nothing() {
    let (shop, client, _other, payment) = two_instances().await;
    let free = payment.event("checkout.session.completed.free", Shown::Order);
    let answer = deliver(&client, &free).await.expect(200);
    assert_eq!((outcome(&answer), answer.text("order_status")), ((200, "quarantined"), "pending".to_owned()));
    shop.execute("UPDATE products SET price_minor = 0").await;
    let (_, order_id) = client.hold_and_order(1, 1).await;
    let free = Payment::of(&order_id).event("checkout.session.completed.free", Shown::Order);
    assert_eq!(deliver(&client, &free).await.expect(200).text("order_status"), "paid");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_charge_without_an_intent_pays_and_is_refunded_by_its_own_id() {
    let (shop, client, _other, payment) = two_instances().await;
    let mut charge = payment.event("charge.succeeded.without_intent", Shown::Order);
    charge["data"]["object"]["captured"] = json!(false);
    assert_eq!(
        deliver(&client, &charge).await.expect(200).body,
        json!({ "status": "ignored" }),
        "authorised, not captured"
    );
    let mut charge = payment.event("charge.succeeded.without_intent", Shown::Nothing);
    charge["type"] = json!("charge.captured");
    assert_eq!(deliver(&client, &charge).await.expect(200).text("order_status"), "paid");
    let mut refund = refunded(&payment);
    refund["data"]["object"]["id"] = charge["data"]["object"]["id"].clone();
    refund["data"]["object"]["payment_intent"] = json!(null);
    assert_eq!(deliver(&client, &refund).await.expect(200).text("order_status"), "refunded");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refund_object_does_not_count_since_its_charge_has_the_total() {
    let (shop, client, _other, payment) = two_instances().await;
    deliver(&client, &session(&payment)).await.expect(200);
    for event in [payment.event("refund.updated", Shown::Nothing), payment.event("refund.updated", Shown::Order)] {
        assert_eq!(deliver(&client, &event).await.expect(200).body, json!({ "status": "ignored" }));
    }
    assert_eq!(client.order_status(&payment.order_id).await, "paid");
    deliver(&client, &refunded(&payment)).await.expect(200);
    assert_eq!(client.order_status(&payment.order_id).await, "refunded");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_authorisation_that_is_released_or_captured_in_part_refunds_nothing() {
    let (shop, client, _other, payment) = two_instances().await;
    deliver(&client, &payment.event("payment_intent.succeeded", Shown::Order)).await.expect(200);
    let refund = |name: &str, captured: bool, amounts: [u32; 3]| {
        let mut event = refunded(&payment);
        event["id"] = json!(name);
        event["api_version"] = json!("2024-12-18.acacia");
        let object = &mut event["data"]["object"];
        object["captured"] = json!(captured);
        for (field, amount) in ["amount", "amount_captured", "amount_refunded"].into_iter().zip(amounts) {
            object[field] = json!(amount);
        }
        event
    };
    for (name, captured, amounts) in
        [("evt_released", false, [4999, 0, 4999]), ("evt_taken_in_part", true, [9999, 4999, 5000])]
    {
        let answer = deliver(&client, &refund(name, captured, amounts)).await.expect(200);
        assert_eq!(answer.body, json!({ "status": "ignored" }), "{name}");
    }
    assert_eq!(client.order_status(&payment.order_id).await, "paid");
    let back = refund("evt_given_back", true, [9999, 4999, 9999]);
    assert_eq!(deliver(&client, &back).await.expect(200).text("order_status"), "refunded");
    assert_eq!(shop.count("SELECT refunded_minor FROM charges").await, 4999);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_transition_from_pending_to_pending_needs_a_failed_attempt() {
    let (shop, client, _other, payment) = two_instances().await;
    deliver(&client, &payment.event("payment_intent.payment_failed", Shown::Order)).await.expect(200);
    shop.assert_conserved().await;
    for (change, back, finding) in [
        ("reason = 'payment_failed'", "reason = 'payment_attempt_failed'", "transition_not_allowed"),
        ("payment_event_id = NULL", "payment_event_id = 1", "transition_event_mismatch"),
    ] {
        let id = "(SELECT id FROM (SELECT MAX(id) AS id FROM order_events) AS newest)";
        let original: i64 = shop.count("SELECT MAX(payment_event_id) FROM order_events").await;
        shop.execute(&format!("UPDATE order_events SET {change} WHERE id = {id}")).await;
        let report = shop.app().checkout.audit().await.expect("an audit");
        assert!(report.to_string().contains(finding), "{change}: {report}");
        let back = back.replace("= 1", &format!("= {original}"));
        shop.execute(&format!("UPDATE order_events SET {back} WHERE id = {id}")).await;
    }
    shop.assert_conserved().await;
}
