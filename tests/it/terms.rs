//! Terms of a product that change under an instance that remembers them: every hold has the terms that were true when it was
//! taken.

use std::sync::Arc;

use holdfast::app::App;
use holdfast::checkout::{Error, Operation, Taken};
use holdfast::domain::Refusal;

use crate::support::Shop;
use crate::support::crowd::{all, held_up, hold, in_order, keyed, sent};
use crate::support::proxy::{Action, Proxy, Rule};

async fn set_price(shop: &Shop, price_minor: i64) {
    shop.execute(&format!("UPDATE products SET price_minor = {price_minor}")).await;
}

fn price(taken: Result<Taken, Error>) -> i64 {
    taken.expect("enough units").hold.unit_price_minor
}

/// A shop with one product, whose terms the instance remembers.
async fn known(stock: i64) -> (Shop, i64, Arc<App>, Proxy) {
    let shop = Shop::open().await;
    let product_id = shop.product(stock).await;
    let (app, proxy) = shop.app_through_proxy().await;
    assert_eq!(price(hold(&app, product_id, 1, None).await), 4999);
    proxy.clear();
    (shop, product_id, app, proxy)
}

#[tokio::test]
async fn a_price_that_changes_after_a_lost_commit_is_the_price_of_the_holds_that_follow() {
    let (shop, product_id, app, proxy) = known(10).await;
    let _commit = proxy.on(Rule::exactly("COMMIT"), Action::CutBefore);
    // the second attempt looks for the rows of the first one, and the price changes before it writes its own
    let look = proxy.on("-- holds/find:", Action::PauseAfter);
    let taken = in_order([hold(&app, product_id, 1, None)]);
    look.reached().await;
    set_price(&shop, 7000).await;
    look.release();
    assert_eq!(price(all(taken).await.remove(0)), 7000);
    assert!(sent(&proxy, "holds/insert") <= 4, "the old price is not tried again and again");
    assert_eq!(shop.reserved(product_id).await, 2);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_batch_of_holds_whose_terms_change_twice_stays_together() {
    let (shop, product_id, app, proxy) = known(100).await;
    let jam = held_up(&proxy, [hold(&app, product_id, 1, None)]).await;
    let crowd = in_order((0..20).map(|_| hold(&app, product_id, 1, None)));
    let packet = proxy.on("-- holds/insert:", Action::PauseBefore);
    let read = proxy.on("-- products/list_some:", Action::PauseAfter);
    jam.release().await.remove(0).expect("enough units");
    packet.reached().await;
    set_price(&shop, 6000).await;
    packet.release();
    read.reached().await;
    set_price(&shop, 7000).await;
    proxy.clear();
    drop((packet, read));
    for taken in all(crowd).await {
        assert_eq!(price(taken), 7000);
    }
    assert!(sent(&proxy, "holds/insert") <= 3, "no hold is taken alone: {}", sent(&proxy, "holds/insert"));
    assert_eq!(shop.reserved(product_id).await, 22);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_product_that_is_deleted_costs_one_transaction_and_then_a_read_for_each_request() {
    let (shop, product_id, app, proxy) = known(10).await;
    shop.execute("DELETE FROM holds").await;
    shop.execute("DELETE FROM products").await;
    for _ in 0..3 {
        let refused = hold(&app, product_id, 1, None).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::ProductNotFound))), "{refused:?}");
    }
    assert_eq!((sent(&proxy, "products/take"), sent(&proxy, "products/list_some")), (1, 2));
}

#[tokio::test]
async fn a_copy_is_answered_beside_a_request_that_is_refused_because_the_product_was_deleted() {
    let (shop, product_id, app, proxy) = known(10).await;
    let copy = || hold(&app, product_id, 1, Some(keyed(Operation::Hold, "key", 1)));
    let first = copy().await.expect("enough units").hold.id;
    shop.execute("DELETE FROM products").await;
    let look = proxy.on("-- idempotency_keys/list:", Action::PauseBefore);
    let mut answers = in_order([copy()]);
    look.reached().await;
    answers.extend(in_order([copy()]));
    let refused = in_order([hold(&app, product_id, 1, None)]);
    look.release();
    for answer in all(answers).await {
        let Taken { hold, replayed, .. } = answer.expect("the first response");
        assert_eq!((hold.id, replayed), (first, true));
    }
    assert!(matches!(all(refused).await.remove(0), Err(Error::Refused(Refusal::ProductNotFound))));
}
