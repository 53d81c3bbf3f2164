//! What was sold for a cancelled event ends: holds, unpaid orders, and for paid ones a due refund for each charge.

use serde_json::{Value, json};

use super::cancelled::{concert_with_places, confirm, dry_run, end_all, order, paid, pay};
use super::held::{agrees, hold, named, row_of};
use super::{map, office, send, standing, ticket_type};
use crate::clients::OPERATOR;
use crate::support::proxy::{Action, Rule};
use crate::support::{Answer, Bare, Client, Shop, binary, mint};

async fn get(client: &Client, path: &str) -> Value {
    client.send(client.request("GET", path).bearer_auth(OPERATOR)).await.expect(200).body
}

/// Returns the amounts that are due by the charges that have the names of orders, as the list of refunds tells them.
async fn due(client: &Client, query: &str) -> Vec<(String, Value)> {
    let listed = get(client, &format!("/api/admin/refunds{query}")).await;
    let text = |item: &Value| item["event"]["txn_id"].as_str().expect("a charge").to_owned();
    let amounts = |item: &Value| {
        let due = item["due"].as_array().expect("a list").iter();
        Value::from(due.map(|due| due["amount_due_minor"].clone()).collect::<Vec<_>>())
    };
    listed["items"].as_array().expect("a list").iter().map(|item| (text(item), amounts(item))).collect()
}

async fn refund(client: &Client, order_id: &str, amount: &str) -> Answer {
    let back = json!({ "order_id": order_id, "status": "refunded", "idempotency_key": mint(), "txn_id": order_id,
                       "amount": amount, "currency": "EUR" });
    client.webhook(&back).await.expect(200)
}

async fn tickets(shop: &Shop, order_id: &str, status: &str) -> i64 {
    let order_id = binary(order_id);
    shop.count(&format!("SELECT COUNT(*) FROM tickets WHERE order_id = {order_id} AND status = '{status}'")).await
}

#[tokio::test]
async fn holds_and_unpaid_orders_end_as_a_whole_and_their_units_come_back() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, seated) = row_of(&client, 4).await;
    let admission = ticket_type(&client, event_id, &standing()).await;
    let thing = shop.product(5).await;
    let held = named(&client, seated, &["A-1-1", "A-1-2"]).await.expect(201).text("hold_id");
    let ran_out = client.hold(admission, 1).await;
    shop.let_hold_run_out(&ran_out).await;
    let items = json!([{ "product_id": thing, "qty": 2 }, { "product_id": admission, "qty": 1 }]);
    let mixed = hold(&client, items.clone()).await.expect(201).text("hold_id");
    let unpaid = order(&client, admission, 2).await;
    let unpaid_cart = client.order(&hold(&client, items).await.expect(201).text("hold_id")).await;
    let elsewhere = client.hold(thing, 1).await;
    confirm(&client, event_id).await;
    end_all(&client).await;
    for hold_id in [&held, &ran_out, &mixed] {
        assert_eq!(client.hold_status(hold_id).await, "released");
    }
    for order_id in [&unpaid, &unpaid_cart] {
        assert_eq!(client.order_status(order_id).await, "cancelled");
        assert_eq!(client.transitions(order_id).await[1], "pending>cancelled:event_cancelled");
    }
    assert_eq!(client.hold_status(&elsewhere).await, "active");
    assert_eq!((agrees(&shop, seated).await, shop.reserved(admission).await, shop.reserved(thing).await), (0, 0, 1));
    assert_eq!(map(&client, event_id).await, ["A-1 1f 2f 3f 4f"]);
    let end = dry_run(&client, event_id).await;
    let told =
        json!([end["state"], end["holds_ended"], end["orders_cancelled"], end["refunds_due"], end["amount_due_minor"]]);
    assert_eq!(told, json!(["finished", 3, 2, 0, 0]));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn each_charge_has_one_due_refund_of_what_is_left_for_the_event_and_its_tickets_are_void() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = concert_with_places(&client).await;
    let second = ticket_type(&client, event_id, &standing()).await;
    let (other_event, elsewhere) = concert_with_places(&client).await;
    let whole = paid(&client, product_id, 2).await;
    let refunded = paid(&client, product_id, 1).await;
    refund(&client, &refunded, "39.00").await;
    let part = paid(&client, product_id, 1).await;
    refund(&client, &part, "9.00").await;
    let cart = |items: Value| {
        let client = &client;
        async move {
            let order_id = client.order(&hold(client, items).await.expect(201).text("hold_id")).await;
            pay(client, &order_id).await;
            order_id
        }
    };
    let both = cart(json!([{ "product_id": product_id, "qty": 1 }, { "product_id": second, "qty": 1 }])).await;
    let mixed = cart(json!([{ "product_id": product_id, "qty": 1 }, { "product_id": elsewhere, "qty": 1 }])).await;
    let kept = paid(&client, elsewhere, 1).await;
    confirm(&client, event_id).await;
    end_all(&client).await;
    let expected = [(&whole, 7800), (&part, 3000), (&both, 7800), (&mixed, 3900)];
    let expected: Vec<(String, Value)> = expected.iter().map(|(id, minor)| ((*id).clone(), json!([minor]))).collect();
    assert_eq!(due(&client, "").await, expected);
    assert_eq!(due(&client, &format!("?event_id={event_id}")).await, expected);
    assert_eq!(due(&client, &format!("?event_id={other_event}")).await, []);
    assert_eq!(due(&client, &format!("?order_id={part}")).await, [(part.clone(), json!([3000]))]);
    assert_eq!(due(&client, &format!("?charge={mixed}&event_id={event_id}")).await, [(mixed.clone(), json!([3900]))]);
    assert_eq!(due(&client, &format!("?order_id={kept}")).await, []);
    // page by page
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(&client, &format!("/api/admin/refunds?limit=1{cursor}")).await;
        pages.push(page["items"][0]["event"]["txn_id"].as_str().expect("a charge").to_owned());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(pages, expected.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>());
    for order_id in [&whole, &part, &both, &mixed, &kept] {
        assert_eq!(client.order_status(order_id).await, "paid");
    }
    let count = |order_id: String, status| {
        let shop = &shop;
        async move { tickets(shop, &order_id, status).await }
    };
    assert_eq!((count(whole.clone(), "void").await, count(both.clone(), "void").await), (2, 2));
    assert_eq!(
        (count(mixed.clone(), "void").await, count(mixed.clone(), "valid").await, count(kept, "valid").await),
        (1, 1, 1)
    );
    let end = dry_run(&client, event_id).await;
    assert_eq!((&end["refunds_due"], &end["amount_due_minor"]), (&json!(4), &json!(7800 + 3000 + 7800 + 3900)));
    // what is due for another event comes on top
    confirm(&client, other_event).await;
    end_all(&client).await;
    assert_eq!(due(&client, &format!("?order_id={mixed}")).await, [(mixed.clone(), json!([3900, 3900]))]);
    assert_eq!(due(&client, &format!("?order_id={mixed}&event_id={event_id}")).await, [(mixed, json!([3900]))]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn refunds_settle_what_is_due_whatever_way_they_come() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = concert_with_places(&client).await;
    let (whole, parts, by_hand) =
        (paid(&client, product_id, 1).await, paid(&client, product_id, 1).await, paid(&client, product_id, 1).await);
    // a refund before its success counts, too
    let early = order(&client, product_id, 1).await;
    let back = json!({ "order_id": early, "status": "refunded", "idempotency_key": mint(), "txn_id": early });
    client.webhook(&back).await.expect(202);
    pay(&client, &early).await;
    confirm(&client, event_id).await;
    end_all(&client).await;
    let open = |client: &Bare| {
        let client = client.client.clone();
        async move { due(&client, "").await.into_iter().map(|(order_id, _)| order_id).collect::<Vec<_>>() }
    };
    assert_eq!(open(&client).await, [whole.clone(), parts.clone(), by_hand.clone()]);
    let copy = json!({ "order_id": whole, "status": "refunded", "idempotency_key": mint(), "txn_id": whole });
    for _ in 0..2 {
        client.webhook(&copy).await.expect(200);
    }
    assert_eq!(
        (open(&client).await, client.order_status(&whole).await.as_str()),
        (vec![parts.clone(), by_hand.clone()], "refunded")
    );
    refund(&client, &parts, "38.99").await;
    assert_eq!(open(&client).await, [parts.clone(), by_hand.clone()]);
    refund(&client, &parts, "0.01").await;
    assert_eq!((open(&client).await, client.order_status(&parts).await.as_str()), (vec![by_hand.clone()], "refunded"));
    let listed = get(&client, "/api/admin/refunds").await;
    let path = format!("/api/admin/refunds/{}/done", listed["items"][0]["event"]["event_id"]);
    for _ in 0..2 {
        send(&client, &path, &json!({ "note": "by transfer" })).await.expect(200);
    }
    assert_eq!((open(&client).await, client.order_status(&by_hand).await.as_str()), (vec![], "paid"));
    let settled = "SELECT COUNT(*) FROM due_refunds WHERE settled_at IS NOT NULL AND settled_by <=> ";
    assert_eq!(shop.count(&format!("{settled}'operator'")).await, 1);
    assert_eq!(shop.count(&format!("{settled}NULL")).await, 2);
    let event_id = listed["items"][0]["event"]["event_id"].clone();
    let file = get(&client, &format!("/api/admin/payment-events/{event_id}")).await;
    let trail = file.to_string();
    assert!(trail.contains("by transfer") && trail.contains("refund_done"), "{trail}");
    shop.assert_conserved().await;
}

/// Two events of which one order was paid with a place each, and which have ended one after the other; returns the events and the order.
pub(super) async fn two_ended(client: &Bare) -> ([i64; 2], String) {
    let (one, first) = concert_with_places(client).await;
    let (two, second) = concert_with_places(client).await;
    let items = json!([{ "product_id": first, "qty": 1 }, { "product_id": second, "qty": 1 }]);
    let order_id = client.order(&hold(client, items).await.expect(201).text("hold_id")).await;
    pay(client, &order_id).await;
    for event_id in [one, two] {
        confirm(client, event_id).await;
        end_all(client).await;
    }
    ([one, two], order_id)
}

#[tokio::test]
async fn a_cumulative_refund_and_one_for_each_event_settle_what_they_reach() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let ([one, _], order_id) = two_ended(&client).await;
    refund(&client, &order_id, "39.00").await;
    assert_eq!(due(&client, "").await, [(order_id.clone(), json!([3900]))]);
    assert_eq!(
        (due(&client, &format!("?event_id={one}")).await.len(), client.order_status(&order_id).await.as_str()),
        (0, "paid")
    );
    refund(&client, &order_id, "39.00").await;
    assert_eq!((due(&client, "").await.len(), client.order_status(&order_id).await.as_str()), (0, "refunded"));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refund_for_one_event_settles_it_after_an_operator_gave_back_the_others() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (one, first) = concert_with_places(&client).await;
    let (two, second) = concert_with_places(&client).await;
    let items = json!([{ "product_id": first, "qty": 1 }, { "product_id": second, "qty": 2 }]);
    let order_id = client.order(&hold(&client, items).await.expect(201).text("hold_id")).await;
    pay(&client, &order_id).await;
    confirm(&client, one).await;
    end_all(&client).await;
    let listed = get(&client, "/api/admin/refunds").await;
    let path = format!("/api/admin/refunds/{}/done", listed["items"][0]["event"]["event_id"]);
    send(&client, &path, &json!({ "note": "by transfer" })).await.expect(200);
    confirm(&client, two).await;
    end_all(&client).await;
    assert_eq!(due(&client, "").await[0].0, order_id);
    let written = format!("SELECT amount_minor, until_minor FROM due_refunds WHERE event_id = {two}");
    assert_eq!(shop.row::<(i64, i64)>(&written).await, (7800, 7800));
    shop.assert_conserved().await;
    refund(&client, &order_id, "78.00").await;
    assert!(due(&client, "").await.is_empty());
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_step_that_is_cut_at_any_command_goes_on_and_each_charge_has_one_due_refund() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let statements = [
        "-- event_cancellations/claim:",
        "-- holds/list_returning:",
        "-- orders/cancel:",
        "-- order_events/insert:",
        "-- holds/settle:",
        "-- holds/release_whole:",
        "-- products/give_back:",
        "-- due_refunds/list_to_write:",
        "-- charges/note_due:",
        "-- due_refunds/insert:",
        "-- tickets/void_of_event:",
        "-- event_cancellations/note:",
    ];
    let rules = statements.iter().map(|name| Rule::from(*name)).chain([Rule::exactly("COMMIT")]);
    let mut count = 0;
    for rule in rules {
        for action in [Action::CutBefore, Action::CutAfter, Action::DEADLOCK] {
            let (event_id, product_id) = concert_with_places(&client).await;
            paid(&client, product_id, 1).await;
            paid(&client, product_id, 2).await;
            order(&client, product_id, 1).await;
            client.hold(product_id, 1).await;
            confirm(&client, event_id).await;
            let cut = client.proxy.on(rule.clone(), action);
            end_all(&client).await;
            assert!(cut.hits() >= 1, "{rule:?} {action:?}");
            drop(cut);
            count += 1;
            let end = dry_run(&client, event_id).await;
            let told = json!([
                end["state"],
                end["holds_ended"],
                end["orders_cancelled"],
                end["refunds_due"],
                end["amount_due_minor"]
            ]);
            assert_eq!(told, json!(["finished", 1, 1, 2, 3 * 3900]), "{rule:?} {action:?}");
            assert_eq!(shop.reserved(product_id).await, 3);
        }
    }
    let written: (i64, i64, i64) = shop
        .row("SELECT COUNT(*), COUNT(DISTINCT charge_event_id), CAST(SUM(amount_minor) AS SIGNED) FROM due_refunds")
        .await;
    assert_eq!(written, (2 * count, 2 * count, count * 3 * 3900));
    assert_eq!(shop.count("SELECT COUNT(*) FROM tickets WHERE status <> 'void'").await, 0);
    shop.assert_conserved().await;
}
