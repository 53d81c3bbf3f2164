//! Carts travel together, and a cart that cannot be had does not fail the others of its batch.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast::app::App;
use holdfast::checkout::{Error, Taken};
use mysql_async::prelude::Queryable as _;

use super::products;
use super::refusals::request;
use crate::support::crowd::{Jam, SLOTS, all, held_up, hold, in_order, sent};
use crate::support::proxy::{Action, Proxy, Rule};
use crate::support::{Shop, eventually};

/// Fills the lane of carts with products of its own: all that follow wait until this is released.
pub(super) async fn full(shop: &Shop, app: &Arc<App>, proxy: &Proxy) -> Jam<Result<Taken, Error>> {
    let products: [i64; 2 * SLOTS] = products(shop, 10).await;
    held_up(proxy, products.chunks(2).map(|pair| request(app, &[(pair[0], 1), (pair[1], 1)]))).await
}

#[tokio::test]
async fn carts_that_wait_for_a_commit_are_sent_in_one_packet() {
    let shop = Shop::open().await;
    let products: [i64; 12] = products(&shop, 10_000).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let lines = |place: usize| {
        let line = |step: usize| (products[(place * 5 + step * 7) % 12], 1 + (place + step) as i64 % 3);
        [line(0), line(1), line(2)]
    };
    let every: Vec<(i64, i64)> = products.iter().map(|&product_id| (product_id, 1)).collect();
    request(&app, &every).await.expect("enough units");
    let jam = full(&shop, &app, &proxy).await;
    let crowd = in_order((0..200).map(|place| request(&app, &lines(place))));
    proxy.clear();
    jam.release().await;
    for (place, taken) in all(crowd).await.into_iter().enumerate() {
        let taken = taken.expect("enough units");
        let mut expected = lines(place).to_vec();
        expected.sort_unstable();
        let found: Vec<(i64, i64)> =
            std::iter::once(&taken.hold).chain(&taken.others).map(|line| (line.product_id, line.qty)).collect();
        assert_eq!(found, expected);
        assert!(taken.others.iter().all(|line| (line.id, line.expires_at) == (taken.hold.id, taken.hold.expires_at)));
    }
    let statements = proxy.statements();
    let packets: Vec<&String> = statements.iter().filter(|text| text.contains("-- products/take_all:")).collect();
    let lines = packets.iter().map(|text| text.matches("INTERVAL 120 SECOND").count()).max();
    assert!(packets.len() <= 8 && lines >= Some(300), "{} packets of up to {lines:?} lines", packets.len());
    shop.assert_conserved().await;
}

#[tokio::test]
async fn carts_that_fit_are_taken_in_order_of_arrival_and_the_others_are_refused() {
    let shop = Shop::open().await;
    let [scarce, other, third] = products(&shop, 1000).await;
    shop.execute(&format!("UPDATE products SET stock = 12 WHERE id = {scarce}")).await;
    let (app, proxy) = shop.app_through_proxy().await;
    request(&app, &[(scarce, 1), (other, 1)]).await.expect("enough units");
    let jam = full(&shop, &app, &proxy).await;
    let crowd = in_order((0..40).map(|place| match place % 4 {
        // 11 units are left: places 0 and 4 get three each, 2 and 6 two each, and the last unit is left over
        0 => request(&app, &[(scarce, 3), (other, 1)]),
        2 => request(&app, &[(scarce, 2), (third, 1)]),
        _ => request(&app, &[(other, 1), (third, 1)]),
    }));
    proxy.clear();
    jam.release().await;
    let taken: Vec<bool> = all(crowd).await.iter().map(Result::is_ok).collect();
    let expected: Vec<bool> = (0..40)
        .scan(11, |left, place| {
            let qty = [3, 0, 2, 0][place % 4];
            let fits = qty <= *left;
            *left -= if fits { qty } else { 0 };
            Some(fits)
        })
        .collect();
    assert_eq!(taken, expected);
    assert_eq!(shop.reserved(scarce).await, 11);
    // too few units were left: one read of all products, and one packet of those that fit
    assert_eq!(["products/take_all", "products/list_some"].map(|name| sent(&proxy, name)), [1, 1]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_cart_that_starts_over_too_often_goes_alone_and_is_taken() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 100).await;
    let (app, proxy) = shop.app_through_proxy().await;
    request(&app, &[(one, 1), (other, 1)]).await.expect("enough units");
    let jam = full(&shop, &app, &proxy).await;
    let crowd = in_order((0..3).map(|_| request(&app, &[(one, 1), (other, 2)])));
    // another price before each of the four packets of the batch, over a connection that is open: a batch does not wait for long
    let mut conn = shop.sql().await;
    let packets = proxy.on(Rule::from("-- products/take_all").times(4), Action::PauseBefore);
    proxy.clear();
    let released = tokio::spawn(jam.release());
    for start in 1..=4 {
        packets.reached_by(start).await;
        let price = format!("UPDATE products SET price_minor = {} WHERE id = {one}", 100 + start);
        conn.query_drop(price).await.expect("another price");
        packets.release();
    }
    for taken in all(crowd).await {
        assert_eq!(taken.expect("enough units").hold.unit_price_minor, 104);
    }
    released.await.expect("no panic");
    // after four packets of the batch, each cart has its own
    assert_eq!(sent(&proxy, "products/take_all"), 4 + 3);
    assert_eq!(shop.reserved(other).await, 1 + 6);
    shop.assert_conserved().await;
}

/// Returns how many different packets of carts were sent: one that is given up and sent again is the same.
fn packets(proxy: &Proxy) -> usize {
    let statements = proxy.statements();
    statements.iter().filter(|text| text.contains("-- products/take_all:")).collect::<HashSet<_>>().len()
}

#[tokio::test]
async fn a_locked_product_delays_the_carts_with_it_alone() {
    let shop = Shop::open().await;
    let [locked, third, one, other] = products(&shop, 100).await;
    let (app, proxy) = shop.app_through_proxy().await;
    request(&app, &[(locked, 1), (third, 1), (one, 1), (other, 1)]).await.expect("enough units");
    let mut conn = shop.sql().await;
    conn.query_drop("BEGIN").await.expect("a transaction");
    conn.query_drop(format!("UPDATE products SET name = 'locked' WHERE id = {locked}")).await.expect("a lock");
    proxy.clear();
    // two batches, as many as run at the same time
    let mut waiting = Vec::new();
    for count in 1..=2 {
        waiting.extend(in_order([request(&app, &[(locked, 1), (third, 1)])]));
        assert!(eventually(async || packets(&proxy) == count).await);
    }
    shop.until_running("products/take_all").await;
    for _ in 0..3 {
        request(&app, &[(one, 1), (other, 1)]).await.expect("its products are free");
    }
    conn.query_drop("ROLLBACK").await.expect("the end");
    assert!(all(waiting).await.iter().all(Result::is_ok));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_batch_that_fails_is_tried_cart_by_cart() {
    let shop = Shop::open().await;
    let [one, other, third] = products(&shop, 100).await;
    let (app, proxy) = shop.app_through_proxy().await;
    request(&app, &[(one, 1), (other, 1), (third, 1)]).await.expect("enough units");
    let jam = full(&shop, &app, &proxy).await;
    let crowd = in_order((0..5).map(|_| request(&app, &[(one, 1), (other, 1)])));
    let failure = proxy.on("-- products/take_all:", Action::Error(1064, "42000", "a bug"));
    jam.release().await;
    assert!(all(crowd).await.iter().all(Result::is_ok));
    assert_eq!((failure.hits(), shop.reserved(other).await), (1, 6));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn single_holds_are_taken_while_carts_wait_for_a_locked_product_behind_theirs() {
    let shop = Shop::open().await;
    let [one, locked] = products(&shop, 1000).await;
    let (app, _proxy) = shop.app_through_proxy().await;
    request(&app, &[(one, 1), (locked, 1)]).await.expect("enough units");
    hold(&app, one, 1, None).await.expect("enough units");
    let mut conn = shop.sql().await;
    conn.query_drop("BEGIN").await.expect("a transaction");
    conn.query_drop(format!("UPDATE products SET name = 'locked' WHERE id = {locked}")).await.expect("a lock");
    let open = Arc::new(AtomicBool::new(true));
    let coming = (0..8).map(|_| {
        let (app, open) = (Arc::clone(&app), Arc::clone(&open));
        async move {
            while open.load(Ordering::Relaxed) {
                let cart = request(&app, &[(one, 1), (locked, 1)]).await;
                assert!(matches!(cart, Ok(_) | Err(Error::Unavailable(_))), "{cart:?}");
            }
        }
    });
    let coming = in_order(coming);
    shop.until_running("products/take_all").await;
    for _ in 0..5 {
        hold(&app, one, 1, None).await.expect("its product is free, except for moments");
    }
    open.store(false, Ordering::Relaxed);
    conn.query_drop("ROLLBACK").await.expect("the end");
    all(coming).await;
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_cart_that_a_locked_product_keeps_waiting_is_taken_when_it_is_free() {
    let shop = Shop::open().await;
    let [one, locked] = products(&shop, 100).await;
    let (app, proxy) = shop.app_through_proxy().await;
    request(&app, &[(one, 1), (locked, 1)]).await.expect("enough units");
    let mut conn = shop.sql().await;
    conn.query_drop("BEGIN").await.expect("a transaction");
    conn.query_drop(format!("UPDATE products SET name = 'locked' WHERE id = {locked}")).await.expect("a lock");
    proxy.clear();
    let waiting = in_order([request(&app, &[(one, 1), (locked, 1)])]);
    // in a batch, alone, and once more
    assert!(eventually(async || sent(&proxy, "products/take_all") == 3).await);
    conn.query_drop("ROLLBACK").await.expect("the end");
    assert!(all(waiting).await.iter().all(Result::is_ok));
    assert_eq!(super::reserved(&shop, &[one, locked]).await, [2, 2]);
    shop.assert_conserved().await;
}
