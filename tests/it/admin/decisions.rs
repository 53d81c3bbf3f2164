//! Operators decide: money is marked as given back, and events are replayed or dismissed.

use holdfast::config::Config;
use holdfast::domain::AdminToken;
use serde_json::{Value, json};

use super::{TOKEN, open_shop};
use crate::support::proxy::Action;
use crate::support::{Shop, mint, together, with};

#[tokio::test]
async fn money_that_was_given_back_by_hand_is_marked_once() {
    let (shop, product_id, client) = open_shop().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let paid = client.report(&order_id, "paid", json!({ "txn_id": "T-1" })).await;
    let due = client.report(&order_id, "paid", json!({ "txn_id": "T-2", "amount": "49.99" })).await;
    let other = client.report(&order_id, "paid", json!({ "txn_id": "T-3", "amount": "49.99" })).await;
    client.report(&order_id, "refunded", json!({ "txn_id": "T-2", "amount": "9.99" })).await;
    let refunds = client.pages("refunds?limit=1").await.concat();
    let found: Vec<_> = refunds.iter().map(|refund| refund["event"]["event_id"].as_i64()).collect();
    assert_eq!(found, [Some(due), Some(other)]);
    let charge = &refunds[0]["charge"];
    assert_eq!((&charge["amount_minor"], &charge["refunded_minor"]), (&json!(4999), &json!(999)));

    let done = format!("refunds/{due}/done");
    let told = together((0..8).map(|_| {
        let (client, done) = (client.client.clone(), done.clone());
        async move {
            let body = json!({ "note": "by bank transfer" });
            client.send(client.request("POST", &format!("/api/admin/{done}")).bearer_auth(TOKEN).json(&body)).await
        }
    }));
    for answer in told.await {
        assert_eq!(answer.expect(200).text("state"), "refunded");
    }
    let shown = client.event(due).await;
    let history = shown["history"].as_array().expect("a list");
    assert_eq!(history.len(), 1, "{shown}");
    assert_eq!((&history[0]["action"], &history[0]["detail"]), (&json!("refund_done"), &json!("by bank transfer")));
    assert_eq!((&shown["charge"]["state"], &shown["charge"]["refunded_minor"]), (&json!("refunded"), &json!(4999)));
    assert_eq!(client.pages("refunds?limit=20").await.concat().len(), 1);

    let late = client.report(&order_id, "refunded", json!({ "txn_id": "T-2" })).await;
    assert_eq!(client.state(late).await, "ignored", "the provider reports a refund that is known already");
    assert_eq!(client.order_status(&order_id).await, "paid");
    for settled in [paid, late] {
        client.act(&format!("refunds/{settled}/done"), json!({})).await.refused(409, "not_refundable");
    }
    client.act("refunds/0/done", json!({})).await.refused(404, "payment_event_not_found");
    client.act(&format!("payment-events/{due}/replay"), json!({})).await.refused(409, "not_replayable");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn quarantined_money_may_be_given_back_instead() {
    let (shop, product_id, client) = open_shop().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let wrong =
        client.report(&order_id, "paid", json!({ "txn_id": "T-1", "amount": "49.98", "currency": "EUR" })).await;
    let refund = client.report(&order_id, "refunded", json!({ "amount": "-1" })).await;
    assert_eq!(client.state(wrong).await, "quarantined");
    let request = client.request("POST", &format!("/api/admin/refunds/{wrong}/done")).bearer_auth(TOKEN);
    assert_eq!(client.send(request).await.expect(200).text("state"), "refunded", "no body is needed");
    let shown = client.event(wrong).await;
    assert_eq!((&shown["charge"]["amount_minor"], &shown["charge"]["state"]), (&json!(4998), &json!("refunded")));
    let again = client.report(&order_id, "paid", json!({ "txn_id": "T-1", "amount": "49.99" })).await;
    assert_eq!(client.state(again).await, "ignored", "a charge that was given back pays for no order");
    assert_eq!(client.order_status(&order_id).await, "pending");
    client.act(&format!("refunds/{refund}/done"), json!({})).await.refused(409, "not_refundable");
    shop.assert_conserved().await;

    let unnamed = client.report(&order_id, "paid", json!({ "amount": "1" })).await;
    client.act(&format!("refunds/{unnamed}/done"), json!({})).await.expect(200);
    shop.assert_conserved().await;
    let report = client.ask("audit").await.expect(200).body;
    assert_eq!(report["clean"], true, "{report}");
}

#[tokio::test]
async fn a_note_has_a_maximum_length_and_an_invalid_body_is_refused() {
    let (_shop, product_id, client) = open_shop().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let event_id = client.report(&order_id, "paid", json!({ "amount": "1" })).await;
    for path in [format!("refunds/{event_id}/done"), format!("payment-events/{event_id}/replay")] {
        for body in [json!({ "note": "x".repeat(501) }), json!({ "by": "me" }), json!({ "note": 1 }), json!([])] {
            client.act(&path, body).await.refused(422, "invalid_body");
        }
        let request = || client.request("POST", &format!("/api/admin/{path}")).bearer_auth(TOKEN);
        client.send(request().body("{}")).await.refused(415, "unsupported_media_type");
        let json = request().header("content-type", "application/json");
        client.send(json.body("{")).await.refused(400, "malformed_json");
    }
    assert_eq!(client.state(event_id).await, "quarantined");
}

#[tokio::test]
async fn a_replayed_event_takes_effect_as_the_operator_decides() {
    let (shop, product_id, client) = open_shop().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let wrong = client.report(&order_id, "paid", json!({ "txn_id": "T-1", "amount": "49.98" })).await;
    let replay = format!("payment-events/{wrong}/replay");
    let as_it_was = client.act(&replay, json!({ "note": "once more" })).await.expect(200).body;
    assert_eq!(as_it_was, json!({ "event_id": wrong, "state": "quarantined", "order_status": "pending" }));
    let accepted = client.act(&replay, json!({ "accept_amount": true, "note": "a cent is a cent" })).await.expect(200);
    assert_eq!(accepted.body, json!({ "event_id": wrong, "state": "applied", "order_status": "paid" }));
    client.act(&replay, json!({})).await.refused(409, "not_replayable");
    let shown = client.event(wrong).await;
    assert_eq!(shown["accepted_amount"], true);
    let history: Vec<_> = shown["history"].as_array().expect("a list").iter().map(|row| &row["action"]).collect();
    assert_eq!(history, ["replayed", "replayed"]);

    let parked = client.report(&mint(), "paid", json!({ "txn_id": "T-2" })).await;
    let waits = client.act(&format!("payment-events/{parked}/replay"), json!({})).await.expect(200).body;
    assert_eq!(waits, json!({ "event_id": parked, "state": "parked" }));
    client.act("payment-events/0/replay", json!({})).await.refused(404, "payment_event_not_found");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refund_cannot_be_marked_done_while_the_charge_pays_an_order_under_another_event() {
    let (shop, product_id, client) = open_shop().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let wrong = client.report(&order_id, "paid", json!({ "txn_id": "T-1", "amount": "49.98" })).await;
    let owner = client.report(&order_id, "paid", json!({ "txn_id": "T-1", "amount": "49.99" })).await;
    let (_, other_order) = client.hold_and_order(product_id, 1).await;
    let elsewhere = client.report(&other_order, "paid", json!({ "txn_id": "T-1" })).await;
    let part = json!({ "txn_id": "T-1", "amount": "10" });
    for _ in 0..2 {
        for event_id in [wrong, elsewhere] {
            let refused = client.act(&format!("refunds/{event_id}/done"), json!({})).await;
            refused.refused(409, "charge_pays_order");
            assert_eq!((&refused.body["owner_event_id"], &refused.body["order_id"]), (&json!(owner), &json!(order_id)));
            assert_eq!(client.state(event_id).await, "quarantined");
            assert_eq!(client.event(event_id).await["history"], json!([]));
        }
        client.report(&order_id, "refunded", part.clone()).await;
    }
    // once the whole charge is given back, every event that names it can be marked as refunded
    client.report(&order_id, "refunded", json!({ "txn_id": "T-1" })).await;
    assert_eq!(client.order_status(&order_id).await, "refunded");
    for event_id in [wrong, elsewhere] {
        client.act(&format!("refunds/{event_id}/done"), json!({})).await.expect(200);
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_charge_that_is_due_under_another_event_has_to_be_marked_refunded_there_first() {
    let (shop, product_id, client) = open_shop().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    client.report(&order_id, "paid", json!({ "txn_id": "T-1" })).await;
    let wrong = client.report(&order_id, "paid", json!({ "txn_id": "T-2", "amount": "1" })).await;
    let owner = client.report(&order_id, "paid", json!({ "txn_id": "T-2" })).await;
    assert_eq!(client.state(owner).await, "refund_due");
    let refused = client.act(&format!("refunds/{wrong}/done"), json!({})).await;
    refused.refused(409, "charge_due_elsewhere");
    assert_eq!((&refused.body["owner_event_id"], &refused.body["order_id"]), (&json!(owner), &json!(order_id)));
    for event_id in [owner, wrong] {
        client.act(&format!("refunds/{event_id}/done"), json!({})).await.expect(200);
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refund_is_refused_when_its_charge_pays_an_order_at_the_same_moment() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let config = Config { admin_token: AdminToken::new(TOKEN), ..shop.config() };
    let (client, acting) = (shop.serve().await, shop.serve_without_workers_as(config).await);
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let wrong = client.report(&order_id, "paid", json!({ "txn_id": "T-1", "amount": "1" })).await;
    let insert = acting.proxy.on("-- charges/insert_refund_done:", Action::PauseBefore);
    let request = acting.request("POST", &format!("/api/admin/refunds/{wrong}/done")).bearer_auth(TOKEN);
    let acts = acting.client.clone();
    let done = tokio::spawn(async move { acts.send(request).await });
    insert.reached().await;
    let owner = client.report(&order_id, "paid", json!({ "txn_id": "T-1" })).await;
    insert.release();
    let refused = done.await.expect("no panic");
    refused.refused(409, "charge_pays_order");
    assert_eq!(refused.body["owner_event_id"], owner);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_accepted_amount_in_another_currency_never_shows_as_the_orders_currency() {
    let (shop, product_id, client) = open_shop().await;
    let accept = async |amount: Value| {
        let (_, order_id) = client.hold_and_order(product_id, 1).await;
        let event_id = client.report(&order_id, "paid", with(&json!({ "txn_id": order_id }), amount)).await;
        client.act(&format!("payment-events/{event_id}/replay"), json!({ "accept_amount": true })).await.expect(200);
        assert_eq!(client.order_status(&order_id).await, "paid");
        (order_id, event_id)
    };
    let (order_id, event_id) = accept(json!({ "amount": "60", "currency": "usd" })).await;
    let charge = client.event(event_id).await["charge"].clone();
    assert_eq!((&charge["amount_minor"], &charge["currency"]), (&json!(6000), &json!("USD")));
    let refunded = async || client.get(&format!("/api/orders/{order_id}")).await.body["refunded_minor"].clone();
    let refund = json!({ "txn_id": order_id, "amount": "20", "currency": "USD" });
    client.report(&order_id, "refunded", refund).await;
    assert_eq!(refunded().await, 0, "a refund of 20 USD is no part of 49.99 EUR");
    let charge = client.event(event_id).await["charge"].clone();
    assert_eq!((&charge["refunded_minor"], &charge["currency"]), (&json!(2000), &json!("USD")));
    let sums = client.ask("audit").await.expect(200).body["money"].clone();
    let sums: Vec<_> =
        sums.as_array().expect("a list").iter().map(|sum| (&sum["amount_minor"], &sum["currency"])).collect();
    assert_eq!(sums, [(&json!(4000), &json!("USD")), (&json!(2000), &json!("USD"))]);
    client.report(&order_id, "refunded", json!({ "txn_id": order_id })).await;
    assert_eq!((refunded().await, client.order_status(&order_id).await), (json!(4999), "refunded".to_owned()));

    for (stated, code) in [("US$", Value::Null), ("QQQ", json!("QQQ"))] {
        let (_, event_id) = accept(json!({ "amount": "60", "currency": stated })).await;
        let charge = client.event(event_id).await["charge"].clone();
        assert_eq!(
            (&charge["state"], &charge["amount_minor"], &charge["currency"]),
            (&json!("paid"), &Value::Null, &code)
        );
    }
    // an earlier version also accepted events without an amount
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let event_id = client.report(&order_id, "paid", json!({ "currency": "USD" })).await;
    shop.execute(&format!("UPDATE payment_events SET accepted_amount = TRUE WHERE id = {event_id}")).await;
    client.act(&format!("payment-events/{event_id}/replay"), json!({})).await.expect(200);
    let charge = client.event(event_id).await["charge"].clone();
    assert_eq!((&charge["amount_minor"], &charge["currency"]), (&Value::Null, &json!("USD")));
    let money = client.ask("audit").await.expect(200).body["money"].clone();
    assert!(money.as_array().expect("a list").iter().all(|sum| sum["currency"] != "EUR"), "{money}");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn only_a_positive_amount_can_be_accepted() {
    let (shop, product_id, client) = open_shop().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let mut refused = Vec::new();
    for money in [
        json!({ "amount": "0" }),
        json!({ "amount": "-49.99" }),
        json!({ "amount": "free" }),
        json!({ "amount": "0.001" }),
        json!({ "amount": "0.001", "currency": "USD" }),
        json!({ "amount": "0", "currency": "US$" }),
        json!({ "currency": "USD" }),
    ] {
        let event_id = client.report(&order_id, "paid", with(&money, json!({ "txn_id": mint() }))).await;
        let before = client.event(event_id).await;
        let replay = format!("payment-events/{event_id}/replay");
        client.act(&replay, json!({ "accept_amount": true })).await.refused(409, "amount_not_acceptable");
        assert_eq!(client.event(event_id).await, before, "{money}");
        refused.push(event_id);
    }
    let refund = client.report(&order_id, "refunded", json!({ "hold_id": mint(), "amount": "-1" })).await;
    let replay = format!("payment-events/{refund}/replay");
    client.act(&replay, json!({ "accept_amount": true })).await.refused(409, "amount_not_acceptable");
    client
        .act("payment-events/0/replay", json!({ "accept_amount": true }))
        .await
        .refused(404, "payment_event_not_found");
    client.act(&format!("payment-events/{}/replay", refused[0]), json!({})).await.expect(200);
    assert_eq!(client.order_status(&order_id).await, "pending");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn quarantined_failures_and_refunds_are_dismissed_with_a_reason() {
    let (shop, product_id, client) = open_shop().await;
    let (_, order_id) = client.hold_and_order(product_id, 1).await;
    let failure = client.report(&order_id, "failed", json!({ "amount": "1" })).await;
    let money = client.report(&order_id, "paid", json!({ "amount": "1", "txn_id": "T-0" })).await;
    let paid = client.report(&order_id, "paid", json!({ "txn_id": "T-1" })).await;
    let refund = client.report(&order_id, "refunded", json!({ "txn_id": "T-1", "amount": "50" })).await;
    let old = client.report(&order_id, "refunded", json!({ "txn_id": "T-1", "amount": "51" })).await;
    let ignored = client.report(&order_id, "failed", json!({})).await;
    let parked = client.report(&mint(), "failed", json!({})).await;
    shop.execute(&format!("DELETE FROM payment_event_quarantines WHERE event_id = {old}")).await;
    for event_id in [failure, refund, old] {
        let dismiss = format!("payment-events/{event_id}/dismiss");
        for body in [json!({}), json!({ "note": "" }), json!({ "note": " " }), json!({ "note": "x".repeat(501) })] {
            client.act(&dismiss, body).await.refused(422, "invalid_body");
        }
        let told = together((0..4).map(|number| {
            let request = client.request("POST", &format!("/api/admin/{dismiss}")).bearer_auth(TOKEN);
            let (client, request) =
                (client.client.clone(), request.json(&json!({ "note": format!("a typo {number}") })));
            async move { client.send(request).await }
        }));
        for answer in told.await {
            assert_eq!(answer.expect(200).text("state"), "ignored");
        }
        let shown = client.event(event_id).await;
        let history = shown["history"].as_array().expect("a list");
        assert_eq!((history.len(), &history[0]["action"]), (1, &json!("dismissed")), "{shown}");
        assert!(history[0]["detail"].as_str().is_some_and(|note| note.starts_with("a typo")), "{shown}");
        assert_eq!(shown["event"]["quarantine"].is_null(), event_id == old, "the reason is still shown");
        client.act(&format!("payment-events/{event_id}/replay"), json!({})).await.refused(409, "not_replayable");
    }
    let note = json!({ "note": "a typo" });
    let refused = client.act(&format!("payment-events/{money}/dismiss"), note.clone()).await;
    assert!(refused.refused(409, "not_dismissible").text("detail").contains("money"), "{refused:?}");
    for event_id in [paid, ignored, parked] {
        client.act(&format!("payment-events/{event_id}/dismiss"), note.clone()).await.refused(409, "not_dismissible");
    }
    client.act("payment-events/0/dismiss", note.clone()).await.refused(404, "payment_event_not_found");
    assert_eq!(client.state(money).await, "quarantined");
    shop.assert_conserved().await;
}
