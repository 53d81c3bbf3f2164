//! A Stripe payment is spread over a session, an intent, a charge and refunds, and few of them name the order.

use holdfast::domain::PaymentEvent;
use serde_json::{Value, json};

use crate::stripe::deliver;
use crate::stripe_payment::{Payment, Shown, TOKEN, ask, intent, outcome, refunded, session, two_instances};
use crate::support::proxy::{Action, Rule};
use crate::support::{Shop, binary, mint, payment};

/// Returns every permutation of some things.
fn orders_of<T: Clone>(things: &[T]) -> Vec<Vec<T>> {
    let Some(_) = things.first() else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for first in 0..things.len() {
        let mut rest = things.to_vec();
        let first = rest.remove(first);
        all.extend(orders_of(&rest).into_iter().map(|rest| [vec![first.clone()], rest].concat()));
    }
    all
}

#[tokio::test]
async fn the_events_of_one_checkout_have_the_same_result_in_every_order() {
    let shop = Shop::open().await;
    let product_id = shop.product(24).await;
    let instances = [shop.stripe_without_workers().await, shop.stripe_without_workers().await];
    let [one, _] = &instances;
    let events: [fn(&Payment) -> Value; 4] =
        [session, intent, refunded, |payment| payment.event("charge.succeeded", Shown::Nothing)];
    for order in orders_of(&[0, 1, 2, 3]) {
        let (_, order_id) = one.hold_and_order(product_id, 1).await;
        let payment = Payment::of(&order_id);
        for (turn, &event) in order.iter().enumerate() {
            let answer = deliver(&instances[turn % 2], &events[event](&payment)).await;
            assert!([200, 202].contains(&answer.status), "{order:?}: {answer:?}");
        }
        // a copy of each changes nothing
        for &event in &order {
            deliver(one, &events[event](&payment)).await.expect(200);
        }
        assert_eq!(one.order_status(&order_id).await, "refunded", "{order:?}");
        let mut states = shop.states_of(&payment).await;
        states.sort();
        assert_eq!(states, ["refunded applied", "succeeded applied", "succeeded ignored"], "{order:?}");
        let charge: (String, i64) =
            shop.row(&format!("SELECT name, refunded_minor FROM charges WHERE order_id = {}", binary(&order_id))).await;
        assert_eq!(charge, (payment.charge(), 4999), "{order:?}");
    }
    assert_eq!(shop.unmatched().await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_client_reference_is_a_second_place_for_the_order_id() {
    let (shop, client, _other, payment) = two_instances().await;
    let mut event = payment.event("checkout.session.completed", Shown::Metadata(json!({ "order_id": "A-1001" })));
    event["data"]["object"]["client_reference_id"] = json!(payment.order_id);
    assert_eq!(deliver(&client, &event).await.expect(200).text("order_status"), "paid");
    deliver(&client, &intent(&payment)).await.expect(200);
    shop.assert_paid_once(&client, &payment).await;
}

/// A session that names no order, with this client reference.
fn session_with_reference(payment: &Payment, reference: &str) -> Value {
    let mut event = payment.event("checkout.session.completed", Shown::Nothing);
    event["data"]["object"]["client_reference_id"] = json!(reference);
    event
}

#[tokio::test]
async fn a_client_reference_that_names_no_order_yields_to_the_metadata_of_the_intent() {
    for turn in 0..2 {
        let (shop, client, other, payment) = two_instances().await;
        let customer = mint();
        let mut events =
            [session_with_reference(&payment, &customer), payment.event("payment_intent.succeeded", Shown::Order)];
        events.rotate_left(turn);
        for event in &events {
            assert_eq!(deliver(&client, event).await.status, 200, "{event}");
        }
        // a copy is a duplicate, whatever links are known by then
        assert_eq!(outcome(&deliver(&other, &events[0]).await), (200, "duplicate"));
        shop.assert_paid_once(&client, &payment).await;
        // nothing waits for an order that never comes, and a refund that names nothing finds the charge
        assert_eq!(deliver(&other, &refunded(&payment)).await.expect(200).text("order_status"), "refunded");
        assert_eq!(shop.count("SELECT COUNT(*) FROM payment_events WHERE status = 'parked'").await, 0);
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn a_client_reference_that_two_payments_share_does_not_link_them() {
    let (shop, client, _other, first) = two_instances().await;
    let second = Payment::of(&client.hold_and_order(1, 1).await.1);
    let customer = mint();
    for payment in [&first, &second] {
        deliver(&client, &session_with_reference(payment, &customer)).await.expect(200);
    }
    for payment in [&first, &second] {
        deliver(&client, &payment.event("payment_intent.succeeded", Shown::Order)).await.expect(200);
    }
    shop.assert_paid_once(&client, &first).await;
    shop.assert_paid_once(&client, &second).await;
}

#[tokio::test]
async fn an_order_that_is_made_after_a_session_with_its_client_reference_is_paid_by_the_sweep() {
    let (shop, client, _other, _) = two_instances().await;
    let (hold_id, order_id) = (client.hold(1, 1).await, mint());
    let payment = Payment::of(&order_id);
    let answer = deliver(&client, &session_with_reference(&payment, &order_id)).await;
    assert_eq!(outcome(&answer), (200, "unmatched"));
    client.post("/api/orders", &json!({ "hold_id": hold_id, "order_id": order_id })).await.expect(201);
    client.app.checkout.sweep_unmatched().await.expect("the step runs");
    assert_eq!(client.order_status(&order_id).await, "paid");
    deliver(&client, &intent(&payment)).await.expect(200);
    shop.assert_paid_once(&client, &payment).await;
}

#[tokio::test]
async fn a_refund_without_metadata_belongs_to_its_charge_even_if_an_old_link_names_another_order() {
    let (shop, client, _other, payment) = two_instances().await;
    // an earlier session links the intent to another order
    let (_, other_order) = client.hold_and_order(1, 1).await;
    let mut early = payment.event("checkout.session.completed.unpaid", Shown::Order);
    early["data"]["object"]["metadata"] = json!({ "order_id": other_order });
    deliver(&client, &early).await.expect(200);
    deliver(&client, &payment.event("payment_intent.succeeded", Shown::Order)).await.expect(200);
    let answer = deliver(&client, &refunded(&payment)).await.expect(200);
    assert_eq!((outcome(&answer), answer.text("order_status")), ((200, "processed"), "refunded".to_owned()));
    assert_eq!(client.order_status(&payment.order_id).await, "refunded");
    assert_eq!(client.order_status(&other_order).await, "pending");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn payments_of_another_shop_are_stored_and_listed_and_nothing_is_due_for_them() {
    let (shop, client, _other, payment) = two_instances().await;
    let app = shop.app();
    let strange = [
        ("payment_intent.succeeded", Shown::Nothing),
        ("payment_intent.succeeded", Shown::Metadata(json!({ "order_id": "A-1001" }))),
        ("checkout.session.completed", Shown::Metadata(json!({ "hold_id": "", "colour": "red" }))),
        ("payment_intent.canceled", Shown::Nothing),
        ("charge.refunded", Shown::Metadata(json!(null))),
    ];
    let mut ids = Vec::new();
    for (name, shown) in strange {
        let event = Payment::of("").event(name, shown);
        let answer = deliver(&client, &event).await.expect(200);
        assert_eq!(answer.body, json!({ "status": "unmatched", "event_id": answer.body["event_id"] }));
        ids.push(answer.body["event_id"].clone());
        let again = deliver(&client, &event).await.expect(200);
        assert_eq!((outcome(&again), again.text("event_status")), ((200, "duplicate"), "unmatched".to_owned()));
    }
    // also after 30 days
    shop.execute("UPDATE payment_events SET received_at = received_at - INTERVAL 30 DAY").await;
    while app.checkout.process_due_events().await.expect("the step runs") {}
    app.checkout.sweep_parked().await.expect("the step runs");
    assert!(!app.checkout.sweep_unmatched().await.expect("the step runs"));
    assert_eq!(app.checkout.next_event_due().await.expect("the step runs"), None, "no event is due");
    assert_eq!(shop.unmatched().await, 5);
    let list = ask(&client, "payment-events?state=unmatched").await.expect(200);
    let listed: Vec<Value> =
        list.body["items"].as_array().expect("a list").iter().map(|item| item["event_id"].clone()).collect();
    assert_eq!(listed, ids);
    assert_eq!(ask(&client, "refunds").await.expect(200).body["items"], json!([]));
    let audit = ask(&client, "audit").await.expect(200);
    let sums: Vec<&Value> = audit.body["money"].as_array().expect("a list").iter().collect();
    assert!(sums.iter().all(|sum| sum["state"] == "unmatched" && sum["count"] == 3), "{sums:?}");
    shop.assert_conserved().await;

    // operators can neither replay such a payment nor mark it refunded: it is not this shop's
    for (path, code) in [("payment-events/{}/replay", "not_replayable"), ("refunds/{}/done", "not_refundable")] {
        let path = format!("/api/admin/{}", path.replace("{}", &ids[0].to_string()));
        let request = client.request("POST", &path).bearer_auth(TOKEN).json(&json!({ "note": "by hand" }));
        client.send(request).await.refused(409, code);
    }
    assert_eq!(client.order_status(&payment.order_id).await, "pending");
}

#[tokio::test]
async fn a_success_that_names_an_order_id_waits_for_that_order() {
    let (shop, client, _other, _) = two_instances().await;
    let hold_id = client.hold(1, 1).await;
    let payment = Payment::of(&mint());
    assert_eq!(outcome(&deliver(&client, &session(&payment)).await), (202, "pending_order"));
    assert_eq!(outcome(&deliver(&client, &intent(&payment)).await), (202, "pending_order"), "linked by the session");
    assert_eq!(client.try_order_as(&hold_id, &payment.order_id).await.expect(201).text("status"), "paid");
    shop.assert_paid_once(&client, &payment).await;
}

#[tokio::test]
async fn an_event_that_is_linked_days_later_has_the_full_time_to_wait_for_its_order() {
    let (shop, client, _other, _) = two_instances().await;
    let hold_id = client.hold(1, 1).await;
    let payment = Payment::of(&mint());
    assert_eq!(outcome(&deliver(&client, &intent(&payment)).await), (200, "unmatched"));
    shop.execute("UPDATE payment_events SET received_at = received_at - INTERVAL 3 DAY").await;
    // the session links only: its order does not exist yet
    deliver(&client, &payment.event("checkout.session.completed.unpaid", Shown::Order)).await.expect(200);
    assert_eq!(shop.states_of(&payment).await, ["succeeded parked"]);
    assert_eq!(client.try_order_as(&hold_id, &payment.order_id).await.expect(201).text("status"), "paid");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_sweep_reads_many_unmatched_events_in_pages_and_keeps_its_place() {
    let (shop, client, _other, payment) = two_instances().await;
    deliver(&client, &payment.event("checkout.session.completed.unpaid", Shown::Order)).await.expect(200);
    let columns = "provider, idempotency_key, fingerprint, status, meaning, txn_id, body, settled_at";
    let values = "'stripe', CONCAT('evt_', seq), '', 'unmatched', 'succeeded', CONCAT('pi_', seq), '', NOW(6)";
    let numbers = "WITH RECURSIVE numbers AS (SELECT 1 AS seq UNION ALL SELECT seq + 1 FROM numbers WHERE seq < 900)";
    shop.execute(&format!("INSERT INTO payment_events ({columns}) {numbers} SELECT {values} FROM numbers")).await;
    let objects = "SELECT 'stripe', CONCAT(kind, '_', id), id FROM payment_events, (SELECT 'pi' AS kind UNION SELECT 'ch') AS kinds";
    shop.execute(&format!("INSERT INTO unmatched_objects {objects}")).await;
    let crash = client.proxy.on(Rule::from("-- unmatched_objects/list_of_event:").always(), Action::CutBefore);
    deliver(&client, &intent(&payment)).await.expect(200);
    drop(crash);
    let app = shop.app();
    assert!(app.checkout.sweep_unmatched().await.expect("the step runs"), "1,802 rows are more than a page");
    assert_eq!(client.order_status(&payment.order_id).await, "pending");
    assert!(!app.checkout.sweep_unmatched().await.expect("the step runs"));
    assert_eq!(client.order_status(&payment.order_id).await, "paid");
    assert_eq!(shop.unmatched().await, 900);
    assert!(app.checkout.sweep_unmatched().await.expect("the step runs"), "the sweep begins again");
}

#[tokio::test]
async fn a_payment_that_was_stored_without_links_is_found_by_its_charge() {
    let (shop, client, _other, payment) = two_instances().await;
    let by_old_version = PaymentEvent {
        provider: "stripe",
        txn_id: Some(payment.charge()),
        ..self::payment(payment.order_id.parse().expect("an id"), "evt_old")
    };
    // the refund comes first: it waits, and no link ever comes
    assert_eq!(outcome(&deliver(&client, &refunded(&payment)).await), (200, "unmatched"));
    client.app.checkout.receive_event(by_old_version).await.expect("the event is accepted");
    client.app.checkout.sweep_unmatched().await.expect("the step runs");
    assert_eq!(client.order_status(&payment.order_id).await, "refunded");

    let (_, order_id) = client.hold_and_order(1, 1).await;
    let payment = Payment::of(&order_id);
    deliver(&client, &session(&payment)).await.expect(200);
    shop.execute("DELETE FROM payment_links").await;
    assert_eq!(deliver(&client, &refunded(&payment)).await.expect(200).text("order_status"), "refunded");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_unmatched_success_is_applied_before_the_failure_that_links_it() {
    let (shop, client, _other, payment) = two_instances().await;
    assert_eq!(outcome(&deliver(&client, &refunded(&payment)).await), (200, "unmatched"));
    assert_eq!(
        outcome(&deliver(&client, &payment.event("payment_intent.canceled", Shown::Nothing)).await).1,
        "unmatched"
    );
    assert_eq!(outcome(&deliver(&client, &intent(&payment)).await), (200, "unmatched"));
    let failure = payment.event("checkout.session.async_payment_failed", Shown::Order);
    let answer = deliver(&client, &failure).await.expect(200);
    assert_eq!((outcome(&answer), answer.text("order_status")), ((200, "ignored"), "refunded".to_owned()));
    let paid = ["pending>paid:payment_succeeded", "paid>refunded:payment_refunded"];
    assert_eq!(client.transitions(&payment.order_id).await[1..], paid);
    assert_eq!(shop.unmatched().await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_canonical_webhook_uses_no_links() {
    let (shop, client, _other, payment) = two_instances().await;
    client.proxy.clear();
    let failure = json!({ "order_id": payment.order_id, "status": "failure", "idempotency_key": "k" });
    assert_eq!(client.webhook(&failure).await.expect(200).text("order_status"), "cancelled");
    client.webhook(&json!({ "order_id": mint(), "status": "paid", "idempotency_key": "p" })).await.expect(202);
    let statements = client.proxy.statements().join("\n");
    assert!(statements.contains("payment_events/insert") && !statements.contains("_links"), "{statements}");
    assert!(!statements.contains("unmatched"), "{statements}");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_audit_reports_an_unmatched_event_that_no_link_can_find() {
    let (shop, client, _other, payment) = two_instances().await;
    deliver(&client, &intent(&payment)).await.expect(200);
    shop.assert_conserved().await;
    shop.execute("DELETE FROM unmatched_objects").await;
    let report = shop.app().checkout.audit().await.expect("an audit");
    assert!(report.to_string().contains("a payment event that is unmatched is never due"), "{report}");
}
