//! A cart is ordered, paid, and given back as a whole.

use serde_json::json;

use super::{cart, items, products, reserved};
use crate::support::{Shop, binary, mint};

#[tokio::test]
async fn one_order_has_the_total_and_the_items_of_all_lines() {
    let shop = Shop::open().await;
    let [one, other, third] = products(&shop, 50).await;
    shop.execute(&format!("UPDATE products SET price_minor = 100 WHERE id = {other}")).await;
    let client = shop.serve_without_workers().await;
    let hold_id = cart(&client, &[(one, 2), (other, 3), (third, 1)]).await;
    let order = client.try_order(&hold_id).await.expect(201);
    assert_eq!(order.body["total_minor"], 3 * 4999 + 300);
    assert_eq!(items(&order), [(one, 2, 4999), (other, 3, 100), (third, 1, 4999)]);
    let order_id = order.text("order_id");
    assert_eq!(items(&client.get(&format!("/api/orders/{order_id}")).await.expect(200)), items(&order));
    let hold = client.get(&format!("/api/holds/{hold_id}")).await.expect(200);
    assert_eq!((hold.text("status"), hold.text("order_id")), ("ordered".to_owned(), order_id.clone()));
    client.try_order(&hold_id).await.refused(409, "hold_used");
    client.release(&hold_id).await.refused(409, "hold_used");
    let event = json!({ "order_id": order_id, "status": "paid", "txn_id": "t", "amount": "152.97", "currency": "EUR" });
    assert_eq!(client.webhook(&event).await.expect(200).text("order_status"), "paid");
    let unsettled = "SELECT COUNT(*) FROM holds WHERE status <> 'ordered' OR returns_at IS NOT NULL";
    assert_eq!(shop.count(unsettled).await, 0);
    assert_eq!(reserved(&shop, &[one, other, third]).await, [2, 3, 1]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn every_end_of_a_cart_gives_all_lines_back_once() {
    let shop = Shop::open().await;
    let products: [i64; 3] = products(&shop, 10).await;
    let client = shop.serve_without_workers().await;
    let checkout = &client.app.checkout;
    let lines = [(products[0], 2), (products[1], 1), (products[2], 3)];
    for end in ["release", "expire", "fail", "cancel", "overdue", "refund"] {
        let hold_id = cart(&client, &lines).await;
        assert_eq!(reserved(&shop, &products).await, [2, 1, 3], "{end}");
        // each end twice: the second one changes nothing
        match end {
            "release" => {
                for _ in 0..2 {
                    assert_eq!(items(&client.release(&hold_id).await.expect(200)).len(), 3);
                }
            }
            "expire" => {
                shop.let_holds_run_out().await;
                for _ in 0..2 {
                    checkout.expire_holds().await.expect("the step runs");
                }
            }
            _ => {
                let order_id = client.order(&hold_id).await;
                for _ in 0..2 {
                    match end {
                        "fail" => drop(client.pay(&order_id, "failed", &mint()).await),
                        "cancel" => drop(client.cancel(&order_id).await.expect(200)),
                        "overdue" => {
                            shop.let_order_run_out(&order_id).await;
                            checkout.cancel_overdue_orders().await.expect("the step runs");
                        }
                        _ => {
                            client.pay(&order_id, "paid", "paid").await.expect(200);
                            let refund = json!({
                                "order_id": order_id, "status": "refunded", "idempotency_key": "refund", "restock": true,
                            });
                            client.webhook(&refund).await.expect(200);
                        }
                    }
                }
                let status = if end == "refund" { "refunded" } else { "cancelled" };
                assert_eq!(client.order_status(&order_id).await, status, "{end}");
            }
        }
        assert_eq!(reserved(&shop, &products).await, [0, 0, 0], "{end}");
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn a_late_payment_takes_all_lines_again_or_none() {
    let shop = Shop::open().await;
    let products: [i64; 3] = products(&shop, 3).await;
    let client = shop.serve_without_workers().await;
    let lines = [(products[0], 2), (products[1], 1), (products[2], 3)];
    let mut cancelled = Vec::new();
    for _ in 0..2 {
        let order_id = client.order(&cart(&client, &lines).await).await;
        client.cancel(&order_id).await.expect(200);
        cancelled.push(order_id);
    }
    let blocking = client.hold(products[2], 1).await;
    let late = client.pay(&cancelled[0], "paid", "late").await.expect(200);
    assert_eq!(late.text("status"), "refund_due");
    assert_eq!(reserved(&shop, &products).await, [0, 0, 1]);
    client.release(&blocking).await.expect(200);
    client.pay(&cancelled[1], "paid", "second").await.expect(200);
    assert_eq!(client.order_status(&cancelled[1]).await, "paid");
    assert_eq!(reserved(&shop, &products).await, [2, 1, 3]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_audit_finds_a_cart_order_whose_total_or_lines_are_wrong() {
    use holdfast::checkout::audit::report::Kind;
    let shop = Shop::open().await;
    let products: [i64; 3] = products(&shop, 10).await;
    let client = shop.serve_without_workers().await;
    let lines = [(products[0], 2), (products[1], 1), (products[2], 3)];
    let damage = |statement: &str, hold: &str, order: &str| {
        statement.replace("{hold}", hold).replace("{order}", order).replace("{product}", &products[1].to_string())
    };
    for (statement, kind, of_order) in [
        ("UPDATE orders SET total_minor = total_minor - 1 WHERE id = {order}", Kind::OrderTotalMismatch, true),
        ("DELETE FROM holds WHERE id = {hold} AND product_id = {product}", Kind::OrderTotalMismatch, true),
        ("UPDATE holds SET qty = 2 WHERE id = {hold} AND product_id = {product}", Kind::OrderTotalMismatch, true),
        ("UPDATE holds SET unit_price_minor = 1 WHERE id = {hold} AND qty = 3", Kind::OrderTotalMismatch, true),
        ("UPDATE holds SET currency = 'USD' WHERE id = {hold} AND qty = 3", Kind::HoldLinesDiffer, false),
        ("UPDATE holds SET currency = 'USD' WHERE id = {hold}", Kind::OrderTotalMismatch, true),
        ("UPDATE holds SET expires_at = NOW(6) WHERE id = {hold} AND qty = 3", Kind::HoldLinesDiffer, false),
        ("UPDATE holds SET status = 'released' WHERE id = {hold} AND qty = 3", Kind::HoldLinesDiffer, false),
    ] {
        for table in ["holds", "orders", "order_events", "feed_batches"] {
            shop.execute(&format!("DELETE FROM {table}")).await;
        }
        shop.execute("UPDATE products SET reserved = 0").await;
        let hold_id = cart(&client, &lines).await;
        let order_id = client.order(&hold_id).await;
        shop.assert_conserved().await;
        let statement = damage(statement, &binary(&hold_id), &binary(&order_id));
        assert!(shop.execute(&statement).await > 0, "{statement}");
        let report = shop.app().checkout.audit().await.expect("an audit can be made");
        let id = if of_order { &order_id } else { &hold_id };
        assert!(report.findings.iter().any(|found| found.kind == kind && found.id == *id), "{statement}\n{report}");
    }
}
