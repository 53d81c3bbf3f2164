//! Seats through lost connections: a seat never without its unit, nor a unit without its seat.

use serde_json::json;

use super::held::{agrees, named, row_of, seats};
use super::{add_seats, map, office, row};
use crate::support::Shop;
use crate::support::proxy::{Action, Rule};

const ACTIONS: [Action; 3] = [Action::CutBefore, Action::CutAfter, Action::DEADLOCK];

#[tokio::test]
async fn a_cut_at_any_command_of_a_hold_of_seats_takes_them_once() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, product_id) = row_of(&client, 90).await;
    let (mut expected, mut all) = (0, Vec::new());
    // the units with the read of what is free, the rows with their seats, and the end
    let rules = [Rule::from("-- products/take_all"), Rule::from("-- seats/take:"), Rule::exactly("COMMIT")];
    for keyed in [false, true] {
        for best in [false, true] {
            for (rule, action) in rules.iter().flat_map(|rule| ACTIONS.map(|action| (rule.clone(), action))) {
                let item = match best {
                    true => json!({ "product_id": product_id, "qty": 1, "best_available": true }),
                    false => {
                        let free: String =
                            shop.row("SELECT CAST(MIN(label) AS CHAR) FROM seats WHERE hold_id IS NULL").await;
                        json!({ "product_id": product_id, "seats": [free] })
                    }
                };
                let body = json!({ "items": [item] });
                let cut = client.proxy.on(rule.clone(), action);
                let answer = match keyed {
                    true => client.post_keyed("/api/holds", &format!("key-{expected}"), &body).await,
                    false => client.post("/api/holds", &body).await,
                };
                let told = answer.expect(201);
                expected += 1;
                all.extend(seats(&told));
                let shown = client.get(&format!("/api/holds/{}", told.text("hold_id"))).await.expect(200);
                assert_eq!((cut.hits(), seats(&shown)), (1, seats(&told)), "{rule:?} {action:?}");
                assert_eq!(agrees(&shop, product_id).await, expected, "{rule:?} {action:?}");
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!((all.len() as i64, shop.count("SELECT COUNT(*) FROM holds").await), (expected, expected));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_cut_at_any_command_of_a_replacement_of_seats_makes_it_once() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = row_of(&client, 3).await;
    let mut old = named(&client, product_id, &["A-1-1", "A-1-2"]).await.expect(201).text("hold_id");
    let rules = [Rule::from("-- products/take_all"), Rule::from("-- seats/take:"), Rule::exactly("COMMIT")];
    for (rule, action) in rules.iter().flat_map(|rule| ACTIONS.map(|action| (rule.clone(), action))) {
        let cut = client.proxy.on(rule.clone(), action);
        let shown = map(&client, event_id).await;
        let (labels, expected) = match shown[0].contains("3f") {
            true => (["A-1-2", "A-1-3"], "A-1 1f 2h 3h"),
            false => (["A-1-1", "A-1-2"], "A-1 1h 2h 3f"),
        };
        let body = json!({ "items": [{ "product_id": product_id, "seats": labels }], "replaces": old });
        let new = client.post("/api/holds", &body).await.expect(201).text("hold_id");
        assert_eq!((cut.hits(), client.hold_status(&old).await.as_str()), (1, "released"), "{rule:?} {action:?}");
        assert_eq!((map(&client, event_id).await, agrees(&shop, product_id).await), (vec![expected.to_owned()], 2));
        old = new;
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_cut_where_seats_come_back_or_are_paid_leaves_them_with_their_units() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = row_of(&client, 2).await;
    let mut count = 0;
    for action in ACTIONS {
        for rule in [Rule::from("-- seats/give_back:"), Rule::exactly("COMMIT")] {
            let hold_id = named(&client, product_id, &["A-1-1"]).await.expect(201).text("hold_id");
            let cut = client.proxy.on(rule.clone(), action);
            client.release(&hold_id).await.expect(200);
            assert_eq!((cut.hits(), agrees(&shop, product_id).await), (1, 0), "{rule:?} {action:?}");
        }
        for (rule, late) in [
            (Rule::from("-- seats/mark_sold:"), false),
            (Rule::exactly("COMMIT"), false),
            (Rule::from("-- seats/take_again:"), true),
            (Rule::exactly("COMMIT"), true),
        ] {
            let held = named(&client, product_id, &["A-1-2"]).await.expect(201);
            let order_id = client.order(&held.text("hold_id")).await;
            if late {
                client.cancel(&order_id).await.expect(200);
            }
            count += 1;
            let cut = client.proxy.on(rule.clone(), action);
            client.pay(&order_id, "paid", &format!("paid-{count}")).await.expect(200);
            assert!(cut.hits() >= 1, "{rule:?} {action:?}");
            drop(cut);
            assert_eq!(client.order_status(&order_id).await, "paid", "{rule:?} {action:?}");
            assert_eq!(
                (map(&client, event_id).await, agrees(&shop, product_id).await),
                (vec!["A-1 1f 2s".to_owned()], 1),
                "{rule:?} {action:?}"
            );
            let back = json!({
                "order_id": order_id, "status": "refunded", "idempotency_key": format!("back-{count}"), "restock": true,
            });
            client.webhook(&back).await.expect(200);
            assert_eq!(
                (map(&client, event_id).await, agrees(&shop, product_id).await),
                (vec!["A-1 1f 2f".to_owned()], 0)
            );
        }
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_instance_that_ends_between_the_packets_leaves_neither_units_nor_seats_taken() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, product_id) = row_of(&client, 2).await;
    add_seats(&client, product_id, &row("B", "1", json!(1))).await.expect(201);
    for rule in [Rule::from("-- seats/take:"), Rule::exactly("COMMIT")] {
        let dying = office(&shop).await;
        let paused = dying.proxy.on(rule, Action::PauseBefore);
        let lost = tokio::spawn({
            let client = dying.client.clone();
            let body = json!({ "items": [{ "product_id": product_id, "seats": ["A-1-1", "B-1-1"] }] });
            async move { client.try_send(client.request("POST", "/api/holds").json(&body)).await }
        });
        paused.reached().await;
        dying.proxy.refuse().await;
        drop(paused);
        lost.await.expect("no panic").expect("a response").expect(503);
        // the server rolls back once it notices the end
        let held = named(&client, product_id, &["A-1-1", "A-1-2", "B-1-1"]).await.expect(201).text("hold_id");
        client.release(&held).await.expect(200);
        assert_eq!(
            (agrees(&shop, product_id).await, shop.count("SELECT COUNT(*) FROM holds WHERE status = 'active'").await),
            (0, 0)
        );
    }
    shop.assert_conserved().await;
}
