//! Faults between the statements of a note, and instances that are killed while they push.

use std::collections::HashMap;

use holdfast::checkout::push::PushNoted;
use holdfast::domain::AttemptOutcome;
use serde_json::Value;
use uuid::Uuid;

use super::shared::{Registered, event, register, silent, tell_of_products};
use super::worker::{round, tried};
use super::{Reply, ask};
use crate::clients::OPERATOR;
use crate::feed::{number, read_all};
use crate::support::process::Process;
use crate::support::proxy::{Action, Rule};
use crate::support::{Shop, eventually, mint, together};

#[tokio::test]
async fn a_round_is_noted_once_whatever_happens_to_its_statements_and_its_commit() {
    let shop = Shop::open().await;
    let api = silent(&shop).await;
    let endpoint = register(&api, Reply::status(200, "")).await;
    let rules = [
        Rule::from("-- endpoints/note_attempt:"),
        Rule::from("-- push_cursors/move_on:"),
        Rule::from("-- push_failures/delete:"),
        Rule::from("-- push_failures/put:"),
        Rule::from("-- push_attempts/insert:"),
        Rule::from("-- push_attempts/forget:"),
        Rule::exactly("COMMIT"),
    ];
    // an event that the first round of the loop delivers at its second attempt
    tell_of_products(&shop, 1).await;
    number(&api.app).await;
    let first = round(&api, endpoint.id).await.expect("it is enabled");
    let ends = [tried(AttemptOutcome::Refused)];
    api.app.checkout.note_push_round(Uuid::nil(), &first, &ends).await.expect("a database");
    let (mut rounds, mut attempts) = (1, 1);
    for rule in rules {
        for action in [Action::CutBefore, Action::CutAfter, Action::DEADLOCK] {
            tell_of_products(&shop, 2).await;
            number(&api.app).await;
            endpoint.make_due(&shop).await;
            let round = round(&api, endpoint.id).await.expect("it is enabled");
            let positions: Vec<i64> = round.jobs.iter().map(|job| job.event.position).collect();
            assert_eq!(positions, [2 * rounds - 1, 2 * rounds, 2 * rounds + 1], "{rule:?} {action:?}");
            let ends = [AttemptOutcome::Delivered, AttemptOutcome::Delivered, AttemptOutcome::Refused].map(tried);
            let cut = api.proxy.on(rule.clone(), action);
            let noted = api.app.checkout.note_push_round(Uuid::nil(), &round, &ends).await.expect("a database");
            assert_eq!(noted, PushNoted::Kept { is_failing: false }, "{rule:?} {action:?}");
            assert_eq!(cut.hits(), 1, "{rule:?} {action:?}");
            (rounds, attempts) = (rounds + 1, attempts + 3);
            let cursor: (i64, i64, i64) = shop.row("SELECT position, rounds, attempts FROM push_cursors").await;
            assert_eq!(cursor, (2 * rounds - 1, rounds, attempts), "{rule:?} {action:?}");
            let waiting: Vec<(i64, i64)> = shop.rows("SELECT position, attempts FROM push_failures").await;
            assert_eq!(waiting, [(2 * rounds - 1, 1)], "{rule:?} {action:?}");
            assert_eq!(shop.count("SELECT COUNT(*) FROM push_attempts").await, attempts, "{rule:?} {action:?}");
        }
    }
}

/// Starts two instances that push, waits until so many requests have arrived, and kills both.
async fn push_until_killed(shop: &Shop, endpoint: &Registered, arrived: usize) {
    let settings = [("HOLDFAST_ADMIN_TOKEN", OPERATOR), ("HOLDFAST_PUSH_PRIVATE", "on")];
    let (one, two) =
        tokio::join!(Process::serve(&shop.database.url, &settings), Process::serve(&shop.database.url, &settings));
    endpoint.arrived(arrived).await;
    for (process, _) in [one, two] {
        process.kill().await;
    }
    // no process has the lease any more
    shop.execute("UPDATE push_cursors SET leased_until = UTC_TIMESTAMP(6)").await;
}

#[tokio::test]
async fn instances_that_are_killed_in_a_storm_lose_no_event_invent_none_and_repeat_few() {
    const KILLS: usize = 3;
    let shop = Shop::open().await;
    let product_id = shop.product(10_000).await;
    let api = silent(&shop).await;
    let endpoint = register(&api, Reply::status(200, "")).await;
    let storm = async {
        for kill in 1..=KILLS {
            let sales = together((0..20).map(|_| {
                let client = api.client.clone();
                async move {
                    let (_, order_id) = client.hold_and_order(product_id, 1).await;
                    client.pay(&order_id, "paid", &mint()).await.expect(200);
                }
            }));
            tokio::join!(sales, push_until_killed(&shop, &endpoint, kill * 20));
        }
    };
    storm.await;
    let settings = [("HOLDFAST_ADMIN_TOKEN", OPERATOR), ("HOLDFAST_PUSH_PRIVATE", "on")];
    let (_process, client) = Process::serve(&shop.database.url, &settings).await;
    let at_end = "SELECT COUNT(*) FROM push_cursors JOIN feed ON push_cursors.position = feed.safe";
    let numbered = "SELECT COUNT(*) FROM feed_batches WHERE position IS NULL";
    let done = async || shop.count(numbered).await == 0 && shop.count(at_end).await == 1;
    assert!(eventually(done).await, "the cursor reaches the end of the feed");
    let fed: HashMap<String, Value> = (read_all(&client, OPERATOR, 1000).await.into_iter())
        .map(|event| (event["id"].as_str().expect("an id").to_owned(), event))
        .collect();
    assert_eq!(fed.len(), KILLS * 40);
    let mut pushed: HashMap<String, usize> = HashMap::new();
    for request in endpoint.receiver.received() {
        let id = request.header("webhook-id").to_owned();
        assert_eq!(fed.get(&id), Some(&event(&request)), "what arrives is in the feed");
        *pushed.entry(id).or_default() += 1;
    }
    assert_eq!(pushed.len(), fed.len(), "each event arrived");
    let most = pushed.values().max().expect("an event");
    assert!(*most <= 1 + KILLS, "an event arrived {most} times, and a kill explains one repetition");
    endpoint.assert_signed();
    let attempts = ask(&client, "GET", "/api/admin/endpoints/1", None).await.expect(200);
    assert_eq!(attempts.body["last_attempt"]["outcome"], "delivered");
}
