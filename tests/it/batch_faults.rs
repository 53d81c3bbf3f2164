//! Batches whose connection is cut at any point of the transaction: each job gets the result that it would get alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;
use holdfast::app::App;
use holdfast::checkout::Taken;
use holdfast::checkout::{Error, IdempotentRequest, Operation};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::support::crowd::{SLOTS, all, deliver, held_up, hold, holds, in_order, keyed, order, orders};
use crate::support::proxy::{Action, Rule};
use crate::support::{Shop, payment};

/// The points where a transaction can be cut: before its packet reaches the server, before the response to it is back, and the
/// same for its COMMIT.
fn cuts(packet: &str) -> [(Rule, Action); 4] {
    let commit = || Rule::exactly("COMMIT");
    [
        (packet.into(), Action::CutBefore),
        (packet.into(), Action::CutAfter),
        (commit(), Action::CutBefore),
        (commit(), Action::CutAfter),
    ]
}

/// The quantity and the key of one request.
type Wish = (i64, Option<IdempotentRequest>);

/// Returns twenty requests without a key, twenty with one, and copies of five of the latter.
fn wishes(tag: &str) -> Vec<Wish> {
    let key = |n: u8| keyed(Operation::Hold, format!("{tag}-{n}"), n);
    let qty = |n: u8| i64::from(n % 3) + 1;
    let plain = (0..20).map(|n| (qty(n), None));
    let named = (0..20).map(|n| (qty(n), Some(key(n))));
    let copies = (0..5).map(|n| (qty(n), Some(key(n))));
    let mut wishes: Vec<Wish> = plain.zip(named).flat_map(|(one, other)| [one, other]).collect();
    wishes.extend(copies);
    wishes
}

fn ask(app: &Arc<App>, product_id: i64, wishes: &[Wish]) -> Vec<JoinHandle<Result<Taken, Error>>> {
    in_order(wishes.iter().map(|(qty, key)| hold(app, product_id, *qty, key.clone())))
}

/// Asserts that every returned hold is stored, that no two requests share one, and that a key has one hold.
async fn assert_each_held_once(shop: &Shop, product_id: i64, wishes: &[Wish], answers: &[Result<Taken, Error>]) {
    let query = format!("SELECT id, qty FROM holds WHERE product_id = {product_id} AND status = 'active'");
    let rows: Vec<(Vec<u8>, i64)> = shop.rows(&query).await;
    let stored: BTreeMap<Uuid, i64> =
        rows.into_iter().map(|(id, qty)| (Uuid::from_slice(&id).expect("an id"), qty)).collect();
    let (mut seen, mut by_key) = (BTreeSet::new(), BTreeMap::new());
    for ((qty, key), answer) in wishes.iter().zip(answers) {
        let Ok(Taken { hold, replayed, .. }) = answer else { continue };
        assert_eq!(stored.get(&hold.id), Some(qty), "{hold:?}");
        assert!(seen.insert(hold.id) || *replayed, "two requests share {hold:?}");
        if let Some(IdempotentRequest { key, .. }) = key {
            assert_eq!(*by_key.entry(key).or_insert(hold.id), hold.id, "one key, one hold");
        }
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_batch_of_holds_that_is_cut_anywhere_takes_every_hold_once() {
    let shop = Shop::open().await;
    let (app, proxy) = shop.app_through_proxy().await;
    for (place, (rule, action)) in cuts("-- holds/insert").into_iter().enumerate() {
        let product_id = shop.product(1000).await;
        let wishes = wishes(&place.to_string());
        let jam = held_up(&proxy, [hold(&app, product_id, 1, None)]).await;
        let crowd = ask(&app, product_id, &wishes);
        let cut = proxy.on(rule.clone(), action);
        jam.release().await.remove(0).expect("the hold that blocked the lane is taken");
        let answers = all(crowd).await;
        assert_eq!(cut.hits(), 1, "{rule:?} {action:?}");
        assert!(answers.iter().all(Result::is_ok), "{rule:?} {action:?}: {answers:?}");
        let replayed = answers.iter().flatten().filter(|taken| taken.replayed).count();
        assert_eq!(replayed, 5, "{rule:?} {action:?}");
        let count = format!("SELECT COUNT(*) FROM holds WHERE product_id = {product_id}");
        assert_eq!(shop.count(&count).await, 41, "{rule:?} {action:?}");
        assert_each_held_once(&shop, product_id, &wishes, &answers).await;
    }
}

/// Cuts every attempt of a batch at the same place until the batch fails; then sends the requests with a key again.
async fn give_up_and_ask_again(rule: Rule, action: Action) {
    let shop = Shop::open().await;
    let (app, proxy) = shop.app_through_proxy().await;
    let product_id = shop.product(1000).await;
    let wishes = wishes("key");
    let jam = held_up(&proxy, [hold(&app, product_id, 1, None)]).await;
    let crowd = ask(&app, product_id, &wishes);
    let cut = proxy.on(rule.clone().always(), action);
    jam.release().await.remove(0).expect("the hold that blocked the lane is taken");
    let answers = all(crowd).await;
    let unavailable = |answer: &Result<Taken, Error>| matches!(answer, Err(Error::Unavailable(_)));
    assert!(answers.iter().all(unavailable), "{rule:?} {action:?}: {answers:?}");
    drop(cut);

    let (named, plain): (Vec<Wish>, Vec<Wish>) = wishes.into_iter().partition(|(_, key)| key.is_some());
    let again = all(ask(&app, product_id, &named)).await;
    assert!(again.iter().all(Result::is_ok), "{rule:?} {action:?}: {again:?}");
    assert_each_held_once(&shop, product_id, &named, &again).await;
    let made = shop.count("SELECT COUNT(*) FROM holds").await - 1;
    let committed = matches!(action, Action::CutAfter) && rule == Rule::exactly("COMMIT");
    let without_key = if committed { plain.len() } else { 0 };
    assert_eq!(made, without_key as i64 + 20, "{rule:?} {action:?}: a batch commits as a whole or not at all");
}

#[tokio::test]
async fn a_batch_that_fails_has_taken_every_hold_once_or_none() {
    join_all(cuts("-- holds/insert").map(|(rule, action)| give_up_and_ask_again(rule, action))).await;
}

#[tokio::test]
async fn a_batch_of_orders_that_is_cut_anywhere_makes_every_order_once() {
    let shop = Shop::open().await;
    let product_id = shop.product(1000).await;
    let (app, proxy) = shop.app_through_proxy().await;
    for (place, (rule, action)) in cuts("-- orders/insert").into_iter().enumerate() {
        let mut held = holds(&app, product_id, 40 + SLOTS).await;
        let first = held.split_off(40);
        let jam = held_up(&proxy, first.iter().map(|&hold_id| order(&app, hold_id, None, None))).await;
        let key = |n: usize| Some(keyed(Operation::Order, format!("{place}-{n}"), 0)).filter(|_| n.is_multiple_of(2));
        let buyers = held.iter().enumerate().map(|(n, &hold_id)| order(&app, hold_id, None, key(n)));
        let crowd = in_order(buyers);
        let cut = proxy.on(rule.clone(), action);
        jam.release().await;
        let answers = all(crowd).await;
        assert_eq!(cut.hits(), 1, "{rule:?} {action:?}");
        for (hold_id, answer) in held.iter().zip(answers) {
            let placed = answer.unwrap_or_else(|error| panic!("{rule:?} {action:?}: {error}"));
            assert_eq!((placed.order.hold_id, placed.replayed), (*hold_id, false));
            let stored =
                app.checkout.order(&holdfast::domain::Caller::operator(), placed.order.id).await.expect("it is there");
            assert_eq!(stored.order, placed.order);
        }
        let expected = (40 + SLOTS as i64) * (place as i64 + 1);
        assert_eq!(shop.count("SELECT COUNT(*) FROM orders").await, expected);
        assert_eq!(shop.count("SELECT COUNT(*) FROM order_events").await, expected);
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_batch_of_payments_that_is_cut_anywhere_pays_every_order_once() {
    let shop = Shop::open().await;
    let product_id = shop.product(1000).await;
    let (app, proxy) = shop.app_through_proxy().await;
    for (place, (rule, action)) in cuts("-- payment_events/insert_applied").into_iter().enumerate() {
        let placed = orders(&app, product_id, 40 + SLOTS).await;
        let (first, others) = placed.split_at(SLOTS);
        let pay = |order_id: &Uuid| deliver(&app, payment(*order_id, &order_id.to_string()));
        let jam = held_up(&proxy, first.iter().map(pay)).await;
        let crowd = in_order(others.iter().map(pay));
        let cut = proxy.on(rule.clone(), action);
        jam.release().await;
        let answers = all(crowd).await;
        assert_eq!(cut.hits(), 1, "{rule:?} {action:?}");
        assert!(answers.iter().all(Result::is_ok), "{rule:?} {action:?}: {answers:?}");
        let first_deliveries = answers.iter().flatten().all(|receipt| !receipt.duplicate);
        assert!(
            first_deliveries,
            "{rule:?} {action:?}: an event that was delivered once is not a duplicate: {answers:?}"
        );
        let expected = (40 + SLOTS as i64) * (place as i64 + 1);
        for query in [
            "SELECT COUNT(*) FROM orders WHERE status = 'paid'",
            "SELECT COUNT(*) FROM order_events WHERE to_status = 'paid'",
            "SELECT COUNT(*) FROM payment_events",
            "SELECT COUNT(*) FROM payment_events WHERE status = 'applied'",
        ] {
            assert_eq!(shop.count(query).await, expected, "{query} {rule:?} {action:?}");
        }
    }
    shop.assert_conserved().await;
}
