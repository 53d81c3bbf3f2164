//! What neighbours in a batch may do to each other: nothing. Not by an id that is taken, not by a hold that runs out at the
//! wrong moment, and not by keys so long that a packet of all of them would be too large.

use holdfast::checkout::{Error, Operation};
use holdfast::domain::Refusal;

use crate::support::Shop;
use crate::support::crowd::{all, held_up, hold, holds, in_order, keyed, order, orders, sent};
use crate::support::proxy::Action;

#[tokio::test]
async fn an_order_id_that_is_sent_again_and_again_makes_nobody_travel_alone() {
    let shop = Shop::open().await;
    let product_id = shop.product(1000).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let taken = orders(&app, product_id, 1).await[0];
    let held = holds(&app, product_id, 32).await;
    let jam = held_up(&proxy, held[..2].iter().map(|&hold_id| order(&app, hold_id, None, None))).await;
    let wish = |n: usize| n.is_multiple_of(3).then_some(taken);
    let crowd = in_order(held[2..].iter().enumerate().map(|(n, &hold_id)| order(&app, hold_id, wish(n), None)));
    proxy.clear();
    jam.release().await;
    for (n, answer) in all(crowd).await.into_iter().enumerate() {
        match answer {
            Err(Error::Refused(Refusal::OrderIdTaken)) => assert_eq!(n % 3, 0),
            answer => assert!(n % 3 != 0 && answer.is_ok(), "{n}: {answer:?}"),
        }
    }
    assert_eq!((sent(&proxy, "orders/insert"), sent(&proxy, "orders/find")), (1, 1), "one look, one packet");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_that_runs_out_under_way_costs_its_neighbours_one_more_packet() {
    let shop = Shop::open().await;
    let product_id = shop.product(1000).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let held = holds(&app, product_id, 12).await;
    let jam = held_up(&proxy, held[..2].iter().map(|&hold_id| order(&app, hold_id, None, None))).await;
    let crowd = in_order(held[2..].iter().map(|&hold_id| order(&app, hold_id, None, None)));
    proxy.clear();
    let packet = proxy.on("-- orders/insert", Action::PauseBefore);
    jam.release().await;
    packet.reached().await;
    shop.let_hold_run_out(&held[5].to_string()).await;
    drop(packet);
    for (n, answer) in all(crowd).await.into_iter().enumerate() {
        match answer {
            Err(Error::Refused(Refusal::HoldExpired)) => assert_eq!(n, 3),
            answer => assert!(n != 3 && answer.is_ok(), "{n}: {answer:?}"),
        }
    }
    assert_eq!(sent(&proxy, "orders/insert"), 2, "what spoiled the first was seen before the second");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_crowd_with_long_keys_travels_in_packets_that_every_server_takes() {
    const BUYERS: usize = 2_000;
    let shop = Shop::open().await;
    let product_id = shop.product(10_000).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let jam = held_up(&proxy, [hold(&app, product_id, 1, None)]).await;
    let key = |n: usize| keyed(Operation::Hold, format!("{n:0255}"), 0);
    let crowd = in_order((0..BUYERS).map(|n| hold(&app, product_id, 1, Some(key(n)))));
    proxy.clear();
    jam.release().await;
    assert!(all(crowd).await.iter().all(Result::is_ok));
    let longest = proxy.statements().iter().map(String::len).max().expect("something was sent");
    assert!((400_000..600_000).contains(&longest), "{longest} bytes");
    assert_eq!(shop.reserved(product_id).await, BUYERS as i64 + 1);
    shop.assert_conserved().await;
}
