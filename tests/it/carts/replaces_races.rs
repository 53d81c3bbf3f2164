//! Replacements beside what else happens to the old hold: one of them wins.

use serde_json::json;

use super::replaces::replace;
use super::{body, cart, items, products, reserved};
use crate::support::proxy::{Action, Rule};
use crate::support::{Answer, Bare, Shop, together, with};

/// What comes between the read of the old hold and the packet of its replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    Release,
    Order,
    Expiry,
    Replacement,
}

/// Starts a replacement and stops it before its packet.
async fn stopped(client: &Bare, old: &str, lines: [(i64, i64); 2], between: impl AsyncFnOnce()) -> Answer {
    let packet = client.proxy.on("-- holds/release_all:", Action::PauseBefore);
    let replacing = tokio::spawn({
        let (client, old) = (client.client.clone(), old.to_owned());
        async move { replace(&client, &old, &lines).await }
    });
    packet.reached().await;
    between().await;
    drop(packet);
    replacing.await.expect("no panic")
}

#[tokio::test]
async fn whatever_ends_the_old_hold_before_the_packet_wins() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 50).await;
    let (client, second) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    for (between, code, expected) in [
        (Between::Release, "hold_released", [0, 0]),
        (Between::Order, "hold_used", [2, 1]),
        (Between::Expiry, "hold_expired", [0, 0]),
        (Between::Replacement, "hold_released", [1, 0]),
    ] {
        let before = reserved(&shop, &[one, other]).await;
        let old = cart(&client, &[(one, 2), (other, 1)]).await;
        let answer = stopped(&client, &old, [(one, 1), (other, 3)], async || match between {
            Between::Release => drop(second.release(&old).await.expect(200)),
            Between::Order => drop(second.order(&old).await),
            Between::Expiry => {
                shop.let_hold_run_out(&old).await;
                second.app.checkout.expire_holds().await.expect("the step runs");
            }
            Between::Replacement => drop(replace(&second, &old, &[(one, 1)]).await.expect(201)),
        })
        .await;
        answer.refused(409, code);
        let after = reserved(&shop, &[one, other]).await;
        let change: Vec<i64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        assert_eq!(change, expected, "{between:?}");
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn a_hold_that_runs_out_before_the_packet_is_not_replaced_although_no_worker_has_seen_it() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 50).await;
    let client = shop.serve_without_workers().await;
    let old = cart(&client, &[(one, 2), (other, 1)]).await;
    let answer = stopped(&client, &old, [(one, 1), (other, 3)], async || shop.let_hold_run_out(&old).await).await;
    answer.refused(409, "hold_expired");
    assert_eq!(reserved(&shop, &[one, other]).await, [2, 1]);
    client.app.checkout.expire_holds().await.expect("the step runs");
    assert_eq!(reserved(&shop, &[one, other]).await, [0, 0]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_replacement_before_its_commit_makes_all_others_wait_and_then_wins() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 50).await;
    let (client, second) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    for between in [Between::Release, Between::Order, Between::Replacement] {
        let old = cart(&client, &[(one, 2), (other, 1)]).await;
        let commit = client.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
        let replacing = tokio::spawn({
            let (client, old) = (client.client.clone(), old.clone());
            async move { replace(&client, &old, &[(one, 1), (other, 3)]).await }
        });
        commit.reached().await;
        let rival = tokio::spawn({
            let (second, old) = (second.client.clone(), old.clone());
            async move {
                match between {
                    Between::Order => second.try_order(&old).await,
                    Between::Replacement => replace(&second, &old, &[(one, 1)]).await,
                    _ => second.release(&old).await,
                }
            }
        });
        let waiting = match between {
            Between::Order => "orders/insert",
            Between::Replacement => "holds/release_all",
            _ => "holds/release",
        };
        if between != Between::Order {
            shop.until_running(waiting).await;
        }
        drop(commit);
        let new = replacing.await.expect("no panic").expect(201);
        let rival = rival.await.expect("no panic");
        match between {
            Between::Release => assert_eq!(rival.expect(200).text("status"), "released"),
            _ => drop(rival.refused(409, "hold_released")),
        }
        client.release(&new.text("hold_id")).await.expect(200);
        assert_eq!(reserved(&shop, &[one, other]).await, [0, 0], "{between:?}");
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn a_line_that_changes_before_the_packet_is_given_back_as_it_is_then() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 50).await;
    let client = shop.serve_without_workers().await;
    let old = cart(&client, &[(one, 4), (other, 1)]).await;
    client.hold(one, 5).await;
    let answer = stopped(&client, &old, [(one, 1), (other, 3)], async || {
        // as a change of the hold to fewer units does
        shop.execute("UPDATE holds SET qty = 3 WHERE qty = 4").await;
        shop.execute(&format!("UPDATE products SET reserved = reserved - 1 WHERE id = {one}")).await;
    })
    .await;
    assert_eq!(items(&answer.expect(201)), [(one, 1, 4999), (other, 3, 4999)]);
    assert_eq!(reserved(&shop, &[one, other]).await, [6, 3]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn many_replacements_of_one_hold_at_once_on_two_instances_are_one() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 50).await;
    let instances = [shop.serve_without_workers().await, shop.serve_without_workers().await];
    let old = cart(&instances[0], &[(one, 4), (other, 4)]).await;
    let requests = (0..40).map(|place| {
        let (client, old) = (instances[place % 2].client.clone(), old.clone());
        async move { replace(&client, &old, &[(one, 1), (other, 2)]).await }
    });
    let answers = together(requests).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.refused(409, "hold_released");
    }
    assert_eq!(reserved(&shop, &[one, other]).await, [1, 2]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_replacement_whose_old_hold_has_ended_does_not_fail_the_carts_beside_it() {
    let shop = Shop::open().await;
    let [one, other, third, fourth] = products(&shop, 500).await;
    let (client, second) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    let old = cart(&client, &[(one, 4), (other, 4)]).await;
    let take = |request| {
        let client = client.client.clone();
        tokio::spawn(async move { client.post("/api/holds", &request).await })
    };
    // two batches with other products are under way, so that the next jobs gather
    let commits = client.proxy.on(Rule::exactly("COMMIT").times(2), Action::PauseBefore);
    let mut crowd = Vec::new();
    for place in 1..=2 {
        crowd.push(take(body(&[(third, 1), (fourth, 1)])));
        commits.reached_by(place).await;
    }
    let packet = client.proxy.on("-- holds/release_all:", Action::PauseBefore);
    let mut lost = Vec::new();
    for place in 0..20 {
        let request = body(&[(one, 1), (other, 1)]);
        match place % 5 {
            0 => lost.push(take(with(&request, json!({ "replaces": old })))),
            _ => crowd.push(take(request)),
        }
    }
    packet.reached().await;
    second.release(&old).await.expect(200);
    drop((packet, commits));
    for answer in crowd {
        answer.await.expect("no panic").expect(201);
    }
    for answer in lost {
        answer.await.expect("no panic").refused(409, "hold_released");
    }
    assert_eq!(reserved(&shop, &[one, other]).await, [16, 16]);
    shop.assert_conserved().await;
}
