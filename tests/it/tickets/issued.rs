//! Each unit of a ticket type gets one ticket in the transaction that pays its order, whichever way it is paid.

use std::collections::BTreeSet;

use holdfast::config::Config;
use holdfast::domain::{AdminToken, WebhookMode};
use serde_json::{Value, json};

use super::held::{hold, named, row_of};
use super::{event, office, send, standing, ticket_type};
use crate::clients::OPERATOR;
use crate::support::{Bare, Client, Shop, binary, mint, together, with, with_policy};

/// Product, unit, seat, status, code.
type Row = (i64, i64, Option<Vec<u8>>, String, Vec<u8>);

/// Returns the tickets of an order: `product unit seat status`, in this order, and as many codes as tickets.
pub(super) async fn tickets(shop: &Shop, order_id: &str) -> Vec<String> {
    let rows: Vec<Row> = shop
        .rows(&format!(
            "SELECT product_id, unit, seat, status, code FROM tickets WHERE order_id = {} ORDER BY product_id, unit, issue",
            binary(order_id)
        ))
        .await;
    let codes: BTreeSet<&Vec<u8>> = rows.iter().map(|(.., code)| code).collect();
    assert_eq!(codes.len(), rows.len());
    let text = |(product_id, unit, seat, status, _): &Row| {
        let seat = seat.as_ref().map_or("-".into(), |seat| String::from_utf8_lossy(seat));
        format!("{product_id} {unit} {seat} {status}")
    };
    rows.iter().map(text).collect()
}

/// A row of seats, and an admission of the same event.
pub(super) async fn concert(client: &Client, seats: i64) -> (i64, i64, i64) {
    let (event_id, seated) = row_of(client, seats).await;
    (event_id, seated, ticket_type(client, event_id, &standing()).await)
}

/// Holds and orders a plain product, two places and a seat.
pub(super) async fn mixed(client: &Client, plain: i64, standing: i64, seated: i64) -> String {
    let items = json!([
        { "product_id": plain, "qty": 1 }, { "product_id": standing, "qty": 2 },
        { "product_id": seated, "qty": 1, "best_available": true },
    ]);
    client.order(&hold(client, items).await.expect(201).text("hold_id")).await
}

async fn bare(shop: &Shop, mode: WebhookMode) -> Bare {
    let config = with_policy(shop.config(), |policy| policy.webhook_mode = mode);
    shop.serve_without_workers_as(Config { admin_token: AdminToken::new(OPERATOR), ..config }).await
}

#[tokio::test]
async fn each_unit_of_a_paid_order_gets_one_ticket_whichever_way_it_is_paid() {
    let shop = Shop::open().await;
    let (client, other) = (office(&shop).await, office(&shop).await);
    let queue = bare(&shop, WebhookMode::Queue).await;
    let plain = shop.product(50).await;
    let (_, seated, standing) = concert(&client, 20).await;
    for (n, way) in
        ["at once", "elsewhere", "twice", "parked", "late", "replayed", "queued", "queued late"].into_iter().enumerate()
    {
        let order_id = mint();
        let seat = format!("A-1-{}", n + 1);
        let items = json!([
            { "product_id": plain, "qty": 1 }, { "product_id": standing, "qty": 1 },
            { "product_id": seated, "seats": [seat] },
        ]);
        let hold_id = hold(&client, items).await.expect(201).text("hold_id");
        let order = async || drop(client.try_order_as(&hold_id, &order_id).await.expect(201));
        match way {
            "parked" => {
                client.pay(&order_id, "paid", &order_id).await.expect(202);
                order().await;
            }
            _ => order().await,
        }
        assert!(way == "parked" || tickets(&shop, &order_id).await.is_empty(), "{way}");
        match way {
            "at once" => drop(client.pay(&order_id, "paid", &order_id).await.expect(200)),
            "elsewhere" => drop(other.pay(&order_id, "paid", &order_id).await.expect(200)),
            "twice" => {
                let pay = |client: &Bare| {
                    let (client, order_id) = (client.client.clone(), order_id.clone());
                    async move { client.pay(&order_id, "paid", &order_id).await.expect(200) }
                };
                together([pay(&client), pay(&other)]).await;
            }
            "parked" => {}
            "late" | "queued late" => {
                client.cancel(&order_id).await.expect(200);
                let payer = if way == "late" { &client } else { &queue };
                payer.pay(&order_id, "paid", &order_id).await;
            }
            "replayed" => {
                let body = json!({
                    "order_id": order_id, "status": "paid", "idempotency_key": mint(), "amount": "1.00", "currency": "EUR",
                });
                client.webhook(&body).await;
                let event_id = shop.count("SELECT MAX(id) FROM payment_events").await;
                assert!(tickets(&shop, &order_id).await.is_empty());
                let path = format!("/api/admin/payment-events/{event_id}/replay");
                send(&client, &path, &json!({ "accept_amount": true, "note": "as agreed" })).await.expect(200);
            }
            _ => drop(queue.pay(&order_id, "paid", &order_id).await),
        }
        while queue.app.checkout.process_due_events().await.expect("a worker's step") {}
        let expected = [format!("{seated} 1 {seat} valid"), format!("{standing} 1 - valid")];
        assert_eq!((client.order_status(&order_id).await.as_str(), way), ("paid", way));
        assert_eq!(tickets(&shop, &order_id).await, expected, "{way}");
        // the same event again changes nothing
        client.pay(&order_id, "paid", &order_id).await;
        assert_eq!(tickets(&shop, &order_id).await, expected, "{way}");
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn the_orders_of_a_batch_get_their_tickets_by_the_lane_and_by_the_worker() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let queue = bare(&shop, WebhookMode::Queue).await;
    let plain = shop.product(50).await;
    let (_, seated, admission) = concert(&client, 20).await;
    shop.execute(&format!("UPDATE products SET stock = 50 WHERE id = {admission}")).await;
    for payer in [&client, &queue] {
        let mut orders = Vec::new();
        for n in 0..8 {
            orders.push(match n % 4 {
                0 => client.hold_and_order(plain, 1).await.1,
                1 => client.hold_and_order(admission, 2).await.1,
                _ => mixed(&client, plain, admission, seated).await,
            });
        }
        let pay = |order_id: &String| {
            let (client, order_id) = (payer.client.clone(), order_id.clone());
            async move { client.pay(&order_id, "paid", &order_id).await }
        };
        together(orders.iter().map(pay)).await;
        while queue.app.checkout.process_due_events().await.expect("a worker's step") {}
        for (n, order_id) in orders.iter().enumerate() {
            assert_eq!(client.order_status(order_id).await, "paid");
            let expected = [0, 2, 3, 3][n % 4];
            assert_eq!(tickets(&shop, order_id).await.len(), expected, "{n}");
        }
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn tickets_are_void_when_all_of_the_payment_is_given_back_and_only_then() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let plain = shop.product(50).await;
    let (_, seated, standing) = concert(&client, 20).await;
    for (n, restock) in [true, false].into_iter().enumerate() {
        let order_id = mixed(&client, plain, standing, seated).await;
        let report = async |status: &str, amount: Value| {
            let body = json!({
                "order_id": order_id, "status": status, "idempotency_key": mint(), "txn_id": order_id, "restock": restock,
            });
            client.webhook(&with(&body, amount)).await.expect(200)
        };
        report("paid", json!({})).await;
        let seat = format!("{seated} 1 A-1-{}", if n == 0 { "10" } else { "9" });
        let with_state = |state: &str| {
            vec![format!("{seat} {state}"), format!("{standing} 1 - {state}"), format!("{standing} 2 - {state}")]
        };
        let labels = |list: Vec<String>| -> Vec<String> {
            list.into_iter().map(|line| line.split_once(' ').map(|(_, rest)| rest.to_owned()).unwrap_or(line)).collect()
        };
        let states = |list: Vec<String>| -> Vec<String> {
            labels(list).iter().filter_map(|line| line.rsplit(' ').next().map(str::to_owned)).collect()
        };
        assert_eq!(states(tickets(&shop, &order_id).await), states(with_state("valid")));
        report("refunded", json!({ "amount": "1.00", "currency": "EUR" })).await;
        assert_eq!(client.order_status(&order_id).await, "paid");
        assert_eq!(states(tickets(&shop, &order_id).await), states(with_state("valid")));
        report("refunded", json!({})).await;
        assert_eq!(client.order_status(&order_id).await, "refunded");
        assert_eq!(states(tickets(&shop, &order_id).await), states(with_state("void")));
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn an_order_of_thousands_of_places_gets_all_of_its_tickets_in_packets_of_a_bounded_size() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let event_id = event(&client, json!({})).await;
    let mut items = Vec::new();
    for _ in 0..4 {
        let body = with(&standing(), json!({ "stock": 1000, "max_qty": 1000 }));
        items.push(json!({ "product_id": ticket_type(&client, event_id, &body).await, "qty": 1000 }));
    }
    let order_id = client.order(&hold(&client, items.into()).await.expect(201).text("hold_id")).await;
    client.proxy.clear();
    client.pay(&order_id, "paid", "key").await.expect(200);
    let longest = client.proxy.trips().into_iter().max();
    assert!(longest < Some(300 * 1024), "{longest:?}");
    assert_eq!(tickets(&shop, &order_id).await.len(), 4000);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn two_hundred_buyers_get_five_tickets_one_each_in_every_round() {
    let shop = Shop::open().await;
    let instances = [office(&shop).await, office(&shop).await];
    let event_id = event(&instances[0], json!({})).await;
    for round in 0..10 {
        let body = with(&standing(), json!({ "stock": 5, "max_qty": 1 }));
        let product_id = ticket_type(&instances[0], event_id, &body).await;
        let buyer = |n: usize| {
            let client = instances[n % 2].client.clone();
            async move {
                let held = client.try_hold(product_id, 1).await;
                if held.status != 201 {
                    held.refused(409, held.code());
                    return None;
                }
                let order_id = client.order(&held.text("hold_id")).await;
                client.pay(&order_id, "paid", &order_id).await.expect(200);
                Some(order_id)
            }
        };
        let orders: Vec<String> = together((0..200).map(buyer)).await.into_iter().flatten().collect();
        assert_eq!(orders.len(), 5, "round {round}");
        for order_id in &orders {
            assert_eq!(tickets(&shop, order_id).await, [format!("{product_id} 1 - valid")]);
        }
        let all = format!("SELECT COUNT(*) FROM tickets WHERE product_id = {product_id}");
        assert_eq!(shop.count(&all).await, 5, "round {round}");
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_seat_of_a_hold_of_named_seats_is_on_its_ticket() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, product_id) = row_of(&client, 5).await;
    let order_id =
        client.order(&named(&client, product_id, &["A-1-4", "A-1-2"]).await.expect(201).text("hold_id")).await;
    client.pay(&order_id, "paid", "key").await.expect(200);
    assert_eq!(
        tickets(&shop, &order_id).await,
        [format!("{product_id} 1 A-1-2 valid"), format!("{product_id} 2 A-1-4 valid")]
    );
}
