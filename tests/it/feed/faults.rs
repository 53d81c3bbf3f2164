//! Faults between the statements of those that tell, and of those that number.

use super::{assert_as_trails, assert_whole, number, read_all, told};
use crate::clients::{OPERATOR, managed};
use crate::support::proxy::{Action, Rule};
use crate::support::{Shop, binary, eventually, mint};

/// Returns the state of an order as another connection sees it.
async fn committed(shop: &Shop, order_id: &str) -> String {
    let found: Vec<String> = shop.rows(&format!("SELECT status FROM orders WHERE id = {}", binary(order_id))).await;
    found.into_iter().next().unwrap_or_default()
}

#[tokio::test]
async fn a_transition_is_told_once_whatever_happens_to_its_statements_and_its_commit() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let client = managed(&shop).await;
    let mut orders = 0;
    for rule in [Rule::from("-- feed_batches/insert:"), Rule::exactly("COMMIT")] {
        for action in [Action::CutBefore, Action::CutAfter, Action::DEADLOCK] {
            let hold_id = client.hold(product_id, 1).await;
            let cut = client.proxy.on(rule.clone(), action);
            let order_id = client.order(&hold_id).await;
            assert_eq!(cut.hits(), 1, "{action:?}");
            assert_eq!(committed(&shop, &order_id).await, "pending", "{rule:?} {action:?}");
            let cut = client.proxy.on(rule.clone(), action);
            client.pay(&order_id, "paid", &mint()).await.expect(200);
            assert_eq!(cut.hits(), 1, "{action:?}");
            assert_eq!(committed(&shop, &order_id).await, "paid", "{rule:?} {action:?}");
            let cut = client.proxy.on(rule.clone(), action);
            client.pay(&order_id, "refunded", &mint()).await.expect(200);
            assert_eq!(cut.hits(), 1, "{action:?}");
            assert_eq!(committed(&shop, &order_id).await, "refunded", "{rule:?} {action:?}");
            orders += 1;
        }
    }
    let events = told(&client).await;
    assert_eq!(events.len(), 3 * orders);
    assert_whole(&events);
    assert_as_trails(&shop, &events).await;
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_sequencer_that_ends_between_its_statements_leaves_no_gap_and_tells_nothing_twice() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (client, other) = (managed(&shop).await, managed(&shop).await);
    let mut orders = 0;
    let rules = [
        Rule::from("-- feed/find:"),
        Rule::from("-- feed/advance:"),
        Rule::exactly("COMMIT"),
        Rule::from("-- feed/secure:"),
        Rule::exactly("COMMIT").skip(1),
    ];
    for rule in rules {
        for action in
            [Action::CutBefore, Action::CutAfter, Action::Error(1317, "70100", "Query execution was interrupted")]
        {
            other.hold_and_order(product_id, 1).await;
            orders += 1;
            let cut = client.proxy.on(rule.clone().times(20), action);
            // it may succeed by another attempt
            let _ = client.app.checkout.number_feed().await;
            assert!(cut.hits() > 0, "{rule:?} {action:?}");
            drop(cut);
            client.proxy.clear();
            other.hold_and_order(product_id, 1).await;
            orders += 1;
            number(&other.app).await;
            let events = read_all(&other, OPERATOR, 1000).await;
            assert_whole(&events);
        }
    }
    let events = told(&other).await;
    assert_eq!(events.len(), orders);
    assert_whole(&events);
}

#[tokio::test]
async fn a_position_is_not_read_before_it_is_on_disk() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let (client, other) = (managed(&shop).await, managed(&shop).await);
    other.hold_and_order(product_id, 1).await;
    let secured = client.proxy.on("-- feed/secure:", Action::PauseBefore);
    let reading = async {
        secured.reached().await;
        assert_eq!(shop.count("SELECT position FROM feed").await, 1);
        let events = read_all(&other, OPERATOR, 1000).await;
        secured.release();
        events
    };
    let (numbered, events) = tokio::join!(client.app.checkout.number_feed(), reading);
    numbered.expect("the step runs");
    assert!(events.is_empty(), "{events:?}");
    assert_eq!(read_all(&other, OPERATOR, 1000).await.len(), 1);
}

#[tokio::test]
async fn positions_of_a_sequencer_that_has_ended_are_made_safe_by_another_one() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let (client, other) = (managed(&shop).await, managed(&shop).await);
    other.hold_and_order(product_id, 1).await;
    let cut = client.proxy.on(Rule::from("-- feed/secure:").always(), Action::CutBefore);
    client.app.checkout.number_feed().await.expect_err("it cannot say that the position is on disk");
    assert!(cut.hits() > 0);
    assert!(read_all(&other, OPERATOR, 1000).await.is_empty());
    let read = eventually(async || {
        number(&other.app).await;
        read_all(&other, OPERATOR, 1000).await.len() == 1
    });
    assert!(read.await);
}
