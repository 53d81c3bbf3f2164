//! The audit compares cancelled events with what was sold for them, and due refunds with their charges, and finds each damage.

use holdfast::checkout::audit::report::Kind;
use serde_json::json;

use super::cancelled::{concert_with_places, confirm, end_all, paid, pay};
use super::ended::two_ended;
use super::held::hold;
use super::office;
use crate::audit::audit;
use crate::support::{Bare, Shop, binary, mint};

/// An event that has ended: the charges of an order, of one that was refunded, and of one with another product.
struct Ended {
    event_id: i64,
    product_id: i64,
    orders: [String; 3],
    charges: [i64; 3],
}

async fn ended(shop: &Shop, client: &Bare) -> Ended {
    let (event_id, product_id) = concert_with_places(client).await;
    let (open, settled) = (paid(client, product_id, 2).await, paid(client, product_id, 1).await);
    let thing = shop.product(5).await;
    let items = json!([{ "product_id": product_id, "qty": 1 }, { "product_id": thing, "qty": 1 }]);
    let mixed = client.order(&hold(client, items).await.expect(201).text("hold_id")).await;
    pay(client, &mixed).await;
    confirm(client, event_id).await;
    end_all(client).await;
    let back = json!({ "order_id": settled, "status": "refunded", "idempotency_key": mint(), "txn_id": settled });
    client.webhook(&back).await.expect(200);
    shop.assert_conserved().await;
    let orders = [open, settled, mixed];
    let mut charges = [0; 3];
    for (charge, order_id) in charges.iter_mut().zip(&orders) {
        *charge = shop.count(&format!("SELECT event_id FROM charges WHERE order_id = {}", binary(order_id))).await;
    }
    Ended { event_id, product_id, orders, charges }
}

#[tokio::test]
async fn each_damage_of_the_end_of_an_event_is_found_and_its_repair_leaves_nothing() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let Ended { event_id, product_id, orders: [open, _, mixed], charges } = ended(&shop, &client).await;
    let [of_open, of_settled, of_mixed] = charges;
    let due = |id: i64, set: &str| format!("UPDATE due_refunds SET {set} WHERE charge_event_id = {id}");
    let moved = |set: &str| format!("UPDATE charges SET {set} WHERE event_id = {of_open}");
    let hold_of_open = format!("id = (SELECT hold_id FROM orders WHERE id = {})", binary(&open));
    use Kind::{DueRefundMissing, DueRefundWrong, EventNotEnded};
    let damages = [
        (
            due(of_open, "event_id = 4711, until_minor = 0"),
            due(of_open, &format!("event_id = {event_id}, until_minor = 7800")),
            of_open,
            DueRefundMissing,
        ),
        (
            "UPDATE tickets SET status = 'valid', voided_at = NULL".to_owned(),
            "UPDATE tickets SET status = 'void', voided_at = NOW(6)".to_owned(),
            event_id,
            EventNotEnded,
        ),
        (due(of_open, "event_id = 4711"), due(of_open, &format!("event_id = {event_id}")), of_open, DueRefundWrong),
        (moved("due_refunds = 0"), moved("due_refunds = 1"), of_open, DueRefundMissing),
        (due(of_open, "amount_minor = 7799"), due(of_open, "amount_minor = 7800"), of_open, DueRefundWrong),
        (due(of_open, "until_minor = 7801"), due(of_open, "until_minor = 7800"), of_open, DueRefundWrong),
        (due(of_open, "currency = 'USD'"), due(of_open, "currency = 'EUR'"), of_open, DueRefundWrong),
        (due(of_open, "settled_at = NOW(6)"), due(of_open, "settled_at = NULL"), of_open, DueRefundWrong),
        (due(of_settled, "settled_at = NULL"), due(of_settled, "settled_at = NOW(6)"), of_settled, DueRefundWrong),
        (
            due(of_mixed, "amount_minor = 3901, until_minor = 3901"),
            due(of_mixed, "amount_minor = 3900, until_minor = 3900"),
            of_mixed,
            DueRefundWrong,
        ),
        (
            due(of_mixed, "order_id = x'0011'"),
            due(of_mixed, &format!("order_id = {}", binary(&mixed))),
            of_mixed,
            DueRefundWrong,
        ),
        (
            format!("UPDATE products SET cancelled_at = NULL WHERE id = {product_id}"),
            format!("UPDATE products SET cancelled_at = NOW(6) WHERE id = {product_id}"),
            event_id,
            EventNotEnded,
        ),
        (
            format!("UPDATE events SET cancelled_at = NULL WHERE id = {event_id}"),
            format!("UPDATE events SET cancelled_at = NOW(6) WHERE id = {event_id}"),
            event_id,
            EventNotEnded,
        ),
        (
            format!("UPDATE holds SET returns_at = NOW(6) WHERE {hold_of_open}"),
            format!("UPDATE holds SET returns_at = NULL WHERE {hold_of_open}"),
            event_id,
            EventNotEnded,
        ),
    ];
    for (damage, repair, id, kind) in damages {
        assert!(shop.execute(&damage).await > 0, "{damage}");
        let report = audit(&client.app).await;
        let is_found = report.findings.iter().any(|finding| finding.kind == kind && finding.id == id.to_string());
        assert!(is_found, "{kind} at {id} after {damage}: {report}");
        shop.execute(&repair).await;
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn two_events_that_are_due_of_the_same_part_of_a_charge_are_found() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let ([_, two], _) = two_ended(&client).await;
    shop.assert_conserved().await;
    for until_minor in [3900, 7799] {
        shop.execute(&format!("UPDATE due_refunds SET until_minor = {until_minor} WHERE event_id = {two}")).await;
        let report = audit(&client.app).await;
        assert!(report.findings.iter().any(|finding| finding.kind == Kind::DueRefundWrong), "{until_minor}: {report}");
    }
    shop.execute(&format!("UPDATE due_refunds SET until_minor = 7800 WHERE event_id = {two}")).await;
    shop.assert_conserved().await;
}
