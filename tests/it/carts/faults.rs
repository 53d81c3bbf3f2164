//! Carts through lost connections: all of a cart, or nothing of it.

use holdfast::checkout::Error;
use mysql_async::prelude::Queryable as _;
use serde_json::json;

use super::lanes::full;
use super::refusals::request;
use super::{body, cart, products, reserved};
use crate::support::crowd::{all, in_order, sent};
use crate::support::proxy::{Action, Rule};
use crate::support::{Shop, eventually, with};

/// The commands of a cart, and of what follows it.
const PACKET: &str = "-- products/take_all";

#[tokio::test]
async fn a_cut_at_any_command_of_a_cart_takes_it_once() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 1000).await;
    let client = shop.serve_without_workers().await;
    let mut expected = 0;
    for keyed in [false, true] {
        for rule in [Rule::from(PACKET), Rule::exactly("COMMIT")] {
            for action in [Action::CutBefore, Action::CutAfter, Action::DEADLOCK] {
                let lines = body(&[(one, 1), (other, 2)]);
                let cut = client.proxy.on(rule.clone(), action);
                let answer = match keyed {
                    true => {
                        client.post_keyed("/api/holds", &format!("{rule:?}{action:?}").replace(' ', ""), &lines).await
                    }
                    false => client.post("/api/holds", &lines).await,
                };
                let hold_id = answer.expect(201).text("hold_id");
                expected += 1;
                assert_eq!(
                    (cut.hits(), client.hold_status(&hold_id).await),
                    (1, "active".to_owned()),
                    "{rule:?} {action:?}"
                );
                assert_eq!(reserved(&shop, &[one, other]).await, [expected, 2 * expected], "{rule:?} {action:?}");
            }
        }
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM holds").await, 2 * expected);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_cut_at_any_command_of_a_replacement_makes_it_once() {
    let shop = Shop::open().await;
    let [one, other, third] = products(&shop, 1000).await;
    let client = shop.serve_without_workers().await;
    let mut old = cart(&client, &[(one, 3), (other, 3)]).await;
    for rule in [Rule::from(PACKET), Rule::exactly("COMMIT")] {
        for action in [Action::CutBefore, Action::CutAfter, Action::DEADLOCK] {
            let cut = client.proxy.on(rule.clone(), action);
            let request = with(&body(&[(one, 1), (third, 2)]), json!({ "replaces": old }));
            let new = client.post("/api/holds", &request).await.expect(201).text("hold_id");
            assert_eq!(cut.hits(), 1);
            let states = [client.hold_status(&old).await, client.hold_status(&new).await];
            assert_eq!(states, ["released", "active"], "{rule:?} {action:?}");
            assert_eq!(reserved(&shop, &[one, other, third]).await, [1, 0, 2], "{rule:?} {action:?}");
            old = new;
        }
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_instance_that_ends_between_packet_and_commit_leaves_nothing() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 10).await;
    let client = shop.serve_without_workers().await;
    let old = cart(&client, &[(one, 3), (other, 3)]).await;
    for request in [body(&[(one, 1), (other, 2)]), with(&body(&[(one, 1)]), json!({ "replaces": old }))] {
        let dying = shop.serve_without_workers().await;
        let commit = dying.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
        let lost = tokio::spawn({
            let client = dying.client.clone();
            async move { client.try_send(client.request("POST", "/api/holds").json(&request)).await }
        });
        commit.reached().await;
        dying.proxy.refuse().await;
        drop(commit);
        lost.await.expect("no panic").expect("a response").expect(503);
        // the server rolls back once it notices the end
        shop.until("SELECT COUNT(*) FROM holds WHERE status = 'active'", 2).await;
        let all = super::take(&client, &[(one, 7), (other, 7)]).await.expect(201).text("hold_id");
        client.release(&all).await.expect(200);
        assert_eq!(client.hold_status(&old).await, "active");
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn carts_whose_commit_took_effect_without_an_answer_are_not_refused() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 7).await;
    let (app, proxy) = shop.app_through_proxy().await;
    request(&app, &[(one, 1), (other, 1)]).await.expect("enough units");
    let jam = full(&shop, &app, &proxy).await;
    // they take all units that are left
    let crowd = in_order((0..3).map(|_| request(&app, &[(one, 2), (other, 2)])));
    let commit = proxy.on(Rule::exactly("COMMIT"), Action::CutAfter);
    let disk = proxy.on(Rule::from("-- idempotency_keys/insert:").always(), Action::CutBefore);
    proxy.clear();
    jam.release().await;
    for answer in all(crowd).await {
        assert!(matches!(answer, Err(Error::Unavailable(_))), "whether it was taken is unknown: {answer:?}");
    }
    drop(disk);
    assert_eq!((commit.hits(), sent(&proxy, "products/take_all")), (1, 1));
    assert_eq!(reserved(&shop, &[one, other]).await, [7, 7]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn carts_stay_together_after_a_commit_without_an_answer() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 100).await;
    let (app, proxy) = shop.app_through_proxy().await;
    request(&app, &[(one, 1), (other, 1)]).await.expect("enough units");
    let jam = full(&shop, &app, &proxy).await;
    let crowd = in_order((0..2).map(|_| request(&app, &[(one, 2), (other, 2)])));
    let commit = proxy.on(Rule::exactly("COMMIT"), Action::CutBefore);
    let second = proxy.on("-- holds/find:", Action::PauseBefore);
    proxy.clear();
    jam.release().await;
    second.reached().await;
    let mut conn = shop.sql().await;
    conn.query_drop("BEGIN").await.expect("a transaction");
    conn.query_drop(format!("UPDATE products SET name = 'locked' WHERE id = {one}")).await.expect("a lock");
    second.release();
    assert!(eventually(async || sent(&proxy, "products/take_all") == 3).await);
    conn.query_drop("ROLLBACK").await.expect("the end");
    assert!(all(crowd).await.iter().all(Result::is_ok));
    let lines = |text: &String| text.matches("INTERVAL 120 SECOND").count();
    let statements = proxy.statements();
    let packets: Vec<usize> =
        statements.iter().filter(|text| text.contains("-- products/take_all:")).map(lines).collect();
    assert_eq!((commit.hits(), packets), (1, vec![4, 4, 4]), "a cart that goes alone knows nothing of the COMMIT");
    assert_eq!(reserved(&shop, &[one, other]).await, [5, 5]);
    shop.assert_conserved().await;
}
