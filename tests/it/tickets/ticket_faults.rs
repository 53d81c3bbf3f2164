//! Payments of orders with tickets through lost connections: never paid without tickets, and never with two sets.

use serde_json::json;

use super::issued::{concert, mixed, tickets};
use super::office;
use crate::support::proxy::{Action, Rule};
use crate::support::{Shop, mint};

const ACTIONS: [Action; 3] = [Action::CutBefore, Action::CutAfter, Action::DEADLOCK];

#[tokio::test]
async fn a_cut_at_any_command_of_a_payment_writes_one_set_of_tickets() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let plain = shop.product(200).await;
    let (_, seated, standing) = concert(&client, 60).await;
    shop.execute(&format!("UPDATE products SET stock = 200 WHERE id = {standing}")).await;
    for late in [false, true] {
        let packet = if late { "-- tickets/insert:" } else { "-- payment_events/insert_applied" };
        for rule in [Rule::from("-- tickets/list_units:"), Rule::from(packet), Rule::exactly("COMMIT")] {
            for action in ACTIONS {
                let order_id = mixed(&client, plain, standing, seated).await;
                if late {
                    client.cancel(&order_id).await.expect(200);
                }
                let cut = client.proxy.on(rule.clone(), action);
                client.pay(&order_id, "paid", &order_id).await.expect(200);
                assert!(cut.hits() >= 1, "{rule:?} {action:?} {late}");
                drop(cut);
                assert_eq!(client.order_status(&order_id).await, "paid", "{rule:?} {action:?} {late}");
                assert_eq!(tickets(&shop, &order_id).await.len(), 3, "{rule:?} {action:?} {late}");
                shop.assert_conserved().await;
            }
        }
    }
}

#[tokio::test]
async fn an_instance_that_ends_during_a_payment_leaves_it_unpaid_without_tickets_or_paid_with_all() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let plain = shop.product(200).await;
    let (_, seated, standing) = concert(&client, 20).await;
    for rule in ["-- payment_events/insert_applied", "COMMIT"] {
        let order_id = mixed(&client, plain, standing, seated).await;
        let dying = office(&shop).await;
        let rule = if rule == "COMMIT" { Rule::exactly(rule) } else { Rule::from(rule) };
        let paused = dying.proxy.on(rule, Action::PauseBefore);
        let lost = tokio::spawn({
            let (client, order_id) = (dying.client.clone(), order_id.clone());
            async move { client.pay(&order_id, "paid", &order_id).await }
        });
        paused.reached().await;
        dying.proxy.refuse().await;
        drop(paused);
        lost.await.expect("no panic").expect(503);
        assert!(tickets(&shop, &order_id).await.is_empty());
        client.pay(&order_id, "paid", &order_id).await.expect(200);
        assert_eq!((client.order_status(&order_id).await.as_str(), tickets(&shop, &order_id).await.len()), ("paid", 3));
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_cut_at_any_command_of_a_refund_makes_all_tickets_void() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let plain = shop.product(200).await;
    let (_, seated, standing) = concert(&client, 20).await;
    shop.execute(&format!("UPDATE products SET stock = 200 WHERE id = {standing}")).await;
    for rule in [Rule::from("-- tickets/void:"), Rule::exactly("COMMIT")] {
        for action in ACTIONS {
            let order_id = mixed(&client, plain, standing, seated).await;
            client.pay(&order_id, "paid", &order_id).await.expect(200);
            let cut = client.proxy.on(rule.clone(), action);
            let body =
                json!({ "order_id": order_id, "status": "refunded", "idempotency_key": mint(), "restock": true });
            client.webhook(&body).await.expect(200);
            assert!(cut.hits() >= 1, "{rule:?} {action:?}");
            drop(cut);
            assert_eq!(client.order_status(&order_id).await, "refunded", "{rule:?} {action:?}");
            let tickets = tickets(&shop, &order_id).await;
            assert!(tickets.len() == 3 && tickets.iter().all(|ticket| ticket.ends_with("void")), "{tickets:?}");
            shop.assert_conserved().await;
        }
    }
}

#[tokio::test]
async fn a_late_payment_without_units_left_writes_no_ticket() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let plain = shop.product(5).await;
    let (_, seated, standing) = concert(&client, 1).await;
    let order_id = mixed(&client, plain, standing, seated).await;
    client.cancel(&order_id).await.expect(200);
    let other = mixed(&client, plain, standing, seated).await;
    client.pay(&other, "paid", &other).await.expect(200);
    let late = client.pay(&order_id, "paid", &order_id).await.expect(200);
    assert_eq!(late.body["status"], "refund_due");
    assert!(tickets(&shop, &order_id).await.is_empty());
    shop.assert_conserved().await;
}
