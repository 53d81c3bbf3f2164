//! Requests for the last units are served in their order of arrival; a request that does not fit may be passed by a smaller
//! one. The results must equal those of requests that are served one by one.
//!
//! `TEST_ARRIVAL_SEED` repeats the choices of a run that failed.

use std::sync::Arc;

use holdfast::app::App;
use holdfast::checkout::Error;
use holdfast::checkout::Taken;
use holdfast::domain::Refusal;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::crowd::{all, held_up, hold, in_order};
use crate::support::proxy::{Action, Proxy, Rule};
use crate::support::{Shop, payment};

const CASES: usize = 40;

/// The result of a request for units.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Held(i64),
    AllHeld { available: i64 },
    SoldOut { available: i64 },
    Else(String),
}

impl From<Result<Taken, Error>> for Told {
    fn from(answer: Result<Taken, Error>) -> Self {
        match answer {
            Ok(taken) => Self::Held(taken.hold.qty),
            Err(Error::Refused(Refusal::AllHeld { available_stock: available, retry_after_seconds: 1.. })) => {
                Self::AllHeld { available }
            }
            Err(Error::Refused(Refusal::SoldOut { available_stock: available })) => Self::SoldOut { available },
            other => Self::Else(format!("{other:?}")),
        }
    }
}

/// Returns the results of requests served one by one. `unsold` units are not paid for; `available` of them are on sale.
fn one_by_one(unsold: i64, mut available: i64, wishes: &[i64]) -> Vec<Told> {
    let told = wishes.iter().map(|&qty| {
        if qty <= available {
            available -= qty;
            return Told::Held(qty);
        }
        if qty <= unsold { Told::AllHeld { available } } else { Told::SoldOut { available } }
    });
    told.collect()
}

/// Creates a product with `stock` units, of which `sold` are paid for.
async fn partly_sold(shop: &Shop, stock: i64, sold: i64) -> i64 {
    let product_id = shop.product(stock).await;
    if sold > 0 {
        let app = shop.app();
        let taken = hold(&app, product_id, sold, None).await.expect("enough units");
        let order = app
            .checkout
            .create_order(holdfast::checkout::NewOrder::new(taken.hold.id, None, None))
            .await
            .expect("an active hold")
            .order;
        app.checkout.receive_event(payment(order.id, &order.id.to_string())).await.expect("it is paid");
    }
    product_id
}

/// Queues a wave of requests behind a first hold, and a second wave behind the commit of the first wave. Returns the results
/// of both waves. `served`: the first wave takes units.
async fn two_waves(
    app: &Arc<App>,
    proxy: &Proxy,
    product_id: i64,
    first: i64,
    waves: [&[i64]; 2],
    served: bool,
) -> Vec<Told> {
    let crowd = |wishes: &[i64]| in_order(wishes.iter().map(|&qty| hold(app, product_id, qty, None)));
    let jam = held_up(proxy, [hold(app, product_id, first, None)]).await;
    let one = crowd(waves[0]);
    let commit = proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    jam.release().await.remove(0).expect("enough units");
    // a wave without a hold sends no COMMIT
    if served {
        commit.reached().await;
    }
    let other = crowd(waves[1]);
    drop(commit);
    let answers = all(one).await.into_iter().chain(all(other).await);
    answers.map(Told::from).collect()
}

#[tokio::test]
async fn buyers_at_the_boundary_are_served_as_if_they_came_one_by_one() {
    let chosen = std::env::var("TEST_ARRIVAL_SEED").ok();
    let seed: u64 = chosen.map_or_else(rand::random, |text| text.parse().expect("the seed is a number"));
    println!("TEST_ARRIVAL_SEED={seed}");
    let mut luck = StdRng::seed_from_u64(seed);
    let shop = Shop::open().await;
    let (app, proxy) = shop.app_through_proxy().await;
    for case in 0..CASES {
        let stock = luck.random_range(2..80);
        let sold = luck.random_range(0..stock.min(10));
        let first = luck.random_range(1..=(stock - sold).min(10));
        let largest = luck.random_range(1..=10);
        let wishes: Vec<i64> = (0..luck.random_range(1..40)).map(|_| luck.random_range(1..=largest)).collect();
        let split = luck.random_range(0..=wishes.len());
        let expected = one_by_one(stock - sold, stock - sold - first, &wishes);
        let served = expected[..split].iter().any(|told| matches!(told, Told::Held(_)));
        let product_id = partly_sold(&shop, stock, sold).await;
        let (one, other) = wishes.split_at(split);
        let told = two_waves(&app, &proxy, product_id, first, [one, other], served).await;
        assert_eq!(told, expected, "case {case}: {stock} units, {sold} sold, {first} held, {one:?} {other:?}");
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_batch_that_another_instance_overtakes_still_serves_its_buyers_in_order() {
    let shop = Shop::open().await;
    let product_id = shop.product(20).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let wishes = [5, 9, 4, 3, 2];
    let jam = held_up(&proxy, [hold(&app, product_id, 1, None)]).await;
    let crowd = in_order(wishes.map(|qty| hold(&app, product_id, qty, None)));
    let looked = proxy.on("-- holds/find_supply:", Action::PauseAfter);
    jam.release().await.remove(0).expect("enough units");
    looked.reached().await;
    // the batch has read 19 units; another instance takes six of them before the batch writes
    hold(&shop.app(), product_id, 6, None).await.expect("enough units");
    drop(looked);
    let told: Vec<Told> = all(crowd).await.into_iter().map(Told::from).collect();
    assert_eq!(told, one_by_one(20, 13, &wishes));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn no_buyer_of_a_batch_is_refused_because_of_a_hold_that_has_run_out() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let (app, proxy) = shop.app_through_proxy().await;
    hold(&app, product_id, 6, None).await.expect("enough units");
    shop.let_holds_run_out().await;
    let jam = held_up(&proxy, [hold(&app, product_id, 1, None)]).await;
    let crowd = in_order([4, 3, 3].map(|qty| hold(&app, product_id, qty, None)));
    jam.release().await.remove(0).expect("enough units");
    let told: Vec<Told> = all(crowd).await.into_iter().map(Told::from).collect();
    assert_eq!(told, one_by_one(10, 9, &[4, 3, 3]));
    shop.assert_conserved().await;
}
