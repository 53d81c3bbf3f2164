//! A new epoch of the feed, after a failover or a restore.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::{assert_whole, number, page, read_all, told};
use crate::clients::{OPERATOR, managed};
use crate::support::process::Process;
use crate::support::proxy::{Action, Rule};
use crate::support::{Instance, Shop};

/// Longer than any answer of a service at work, and shorter than the longest wait for an event.
const SOON: Duration = Duration::from_secs(20);

async fn epoch(shop: &Shop) -> i64 {
    shop.count("SELECT epoch FROM feed").await
}

#[tokio::test]
async fn the_command_begins_an_epoch_and_readers_of_the_old_one_are_refused_at_their_next_read() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let mut config = shop.config();
    config.admin_token = holdfast::domain::AdminToken::new(OPERATOR);
    let running = Arc::new(Instance::start(config).await);
    running.hold_and_order(product_id, 1).await;
    let read = page(&running, OPERATOR, "wait=30&types=order.created").await.expect(200);
    let before = read.body["items"].clone();
    let after = format!("wait=30&after={}", read.text("next"));
    // a reader that waits
    let waiting = {
        let (running, after) = (Arc::clone(&running), after.clone());
        tokio::spawn(async move { page(&running, OPERATOR, &after).await })
    };
    let settings = [("HOLDFAST_DATABASE_URL", shop.database.url.as_str())];
    let old = epoch(&shop).await;
    let ended = Process::run(&["feed", "new-epoch"], &settings).await.expect(0);
    let new = epoch(&shop).await;
    assert!(new > old);
    assert_eq!(ended.out, format!("the epoch of the feed was {old} and is {new}"));
    timeout(SOON, waiting).await.expect("it does not wait on").expect("a task").refused(410, "cursor_reset");
    page(&running, OPERATOR, &after).await.refused(410, "cursor_reset");
    // from the beginning, it is the same
    let read = page(&running, OPERATOR, "types=order.created").await.expect(200);
    assert_eq!(read.body["items"], before);
    running.hold_and_order(product_id, 1).await;
    let after = format!("wait=30&types=order.created&after={}", read.text("next"));
    let read = timeout(SOON, page(&running, OPERATOR, &after)).await.expect("it is told").expect(200);
    assert_eq!(read.body["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn the_command_reports_what_keeps_it_from_its_database() {
    let shop = Shop::open().await;
    let ended = Process::run(&["feed", "new-epoch"], &[("HOLDFAST_DATABASE_URL", "mysql://127.0.0.1:9/none")]).await;
    let ended = ended.expect(1);
    assert!(ended.err.contains("a new epoch cannot begin: ") && ended.out.is_empty(), "{}", ended.err);
    Process::run(&["feed", "new-epoch"], &[]).await.expect(2);
    Process::run(&["feed", "old-epoch"], &[]).await.expect(2);
    assert_eq!(epoch(&shop).await, 1);
}

#[tokio::test]
async fn two_runs_at_once_each_tell_the_epoch_that_they_have_begun() {
    let shop = Shop::open().await;
    let (one, other) = (managed(&shop).await, managed(&shop).await);
    let paused = one.proxy.on("-- feed/begin_epoch:", Action::PauseBefore);
    let meanwhile = async {
        paused.reached().await;
        let begun = other.app.checkout.begin_feed_epoch().await.expect("it begins");
        paused.release();
        begun
    };
    let (second, first) = tokio::join!(one.app.checkout.begin_feed_epoch(), meanwhile);
    let second = second.expect("it begins");
    assert_eq!((first.old, second.old, second.new), (1, first.new, epoch(&shop).await));
    assert!(first.old < first.new && first.new < second.new, "{first:?} {second:?}");
}

#[tokio::test]
async fn an_epoch_begins_once_whatever_happens_to_its_statement_and_its_commit() {
    let shop = Shop::open().await;
    let client = managed(&shop).await;
    for rule in [Rule::from("-- feed/begin_epoch:"), Rule::exactly("COMMIT")] {
        for action in [Action::CutBefore, Action::CutAfter, Action::DEADLOCK] {
            let old = epoch(&shop).await;
            let cut = client.proxy.on(rule.clone(), action);
            let begun = client.app.checkout.begin_feed_epoch().await.expect("it begins");
            assert_eq!(cut.hits(), 1, "{rule:?} {action:?}");
            assert_eq!((begun.old, begun.new), (old, epoch(&shop).await), "{rule:?} {action:?}");
            assert!(begun.new > old);
        }
    }
}

#[tokio::test]
async fn a_database_that_was_restored_never_begins_an_epoch_that_it_had_after_its_backup() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let client = managed(&shop).await;
    let mut epochs = vec![epoch(&shop).await];
    for _ in 0..3 {
        epochs.push(client.app.checkout.begin_feed_epoch().await.expect("it begins").new);
        client.hold_and_order(product_id, 1).await;
        number(&client.app).await;
        let read = page(&client, OPERATOR, "").await.expect(200);
        shop.execute("UPDATE feed SET epoch = 1").await;
        epochs.push(client.app.checkout.begin_feed_epoch().await.expect("it begins").new);
        page(&client, OPERATOR, &format!("after={}", read.text("next"))).await.refused(410, "cursor_reset");
    }
    assert!(epochs.is_sorted_by(|one, next| one < next), "{epochs:?}");
    assert_whole(&told(&client).await);
    assert_eq!(read_all(&client, OPERATOR, 1).await.len(), 3);
}
