//! Jobs that arrive during a round trip share the next one, and a bad job never fails the others of its batch.

mod payments;

use std::sync::Arc;

use futures_util::FutureExt as _;
use holdfast::app::App;
use holdfast::checkout::{Error, Operation};
use holdfast::domain::Refusal;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::support::Shop;
use crate::support::crowd::{SLOTS, all, held_up, hold, holds, in_order, keyed, order, orders, sent};
use crate::support::proxy::{Action, Handle, Proxy, Rule};

/// Returns the statements that were sent under any other name.
fn others(proxy: &Proxy, name: &str) -> Vec<String> {
    let name = format!("-- {name}:");
    proxy.statements().into_iter().filter(|statement| !statement.starts_with(&name)).collect()
}

#[tokio::test]
async fn holds_that_wait_for_a_commit_are_sent_in_one_packet() {
    let shop = Shop::open().await;
    let product_id = shop.product(10_000).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let jam = held_up(&proxy, [hold(&app, product_id, 1, None)]).await;
    let crowd = in_order((0..500).map(|n| hold(&app, product_id, n % 5 + 1, None)));
    proxy.clear();
    jam.release().await;
    assert!(all(crowd).await.iter().all(Result::is_ok));
    let statements = proxy.statements();
    let [packet, commit] = statements.as_slice() else { panic!("{statements:?}") };
    assert!(packet.starts_with("BEGIN") && packet.contains("-- holds/insert:"), "{packet}");
    assert_eq!(commit, "COMMIT");
    assert_eq!(shop.reserved(product_id).await, 1 + 1500);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn products_do_not_wait_for_each_other() {
    let shop = Shop::open().await;
    let (held, free) = (shop.product(10).await, shop.product(10).await);
    let (app, proxy) = shop.app_through_proxy().await;
    let jam = held_up(&proxy, [hold(&app, held, 1, None)]).await;
    hold(&app, free, 1, None).await.expect("its lane is free");
    assert_eq!(shop.reserved(held).await, 0);
    jam.release().await.remove(0).expect("enough units");
}

#[tokio::test]
async fn a_second_batch_is_sent_before_the_first_returns_if_there_are_units_for_both() {
    let shop = Shop::open().await;
    let (app, proxy) = shop.app_through_proxy().await;
    for (qty, leaves) in [(4, true), (5, false)] {
        let product_id = shop.product(10).await;
        let taken = hold(&app, product_id, 1, None).await.expect("enough units");
        app.checkout.release_hold(&holdfast::domain::Caller::operator(), taken.hold.id).await.expect("it is active");
        // The lane knows of nine units. Its batches are stopped before their packet, so that none waits for a row.
        let packets = proxy.on(Rule::from("-- holds/insert:").times(2), Action::PauseBefore);
        let first = tokio::spawn(hold(&app, product_id, qty, None));
        packets.reached().await;
        let second = in_order([hold(&app, product_id, qty, None)]);
        if leaves {
            packets.reached_by(2).await;
        }
        // when a later read has returned, no batch is left that can be sent
        app.checkout.product(product_id).await.expect("it is there");
        assert_eq!(packets.hits() == 2, leaves, "{qty} units each");
        drop(packets);
        first.await.expect("no panic").expect("enough units");
        all(second).await.remove(0).expect("enough units");
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn many_refusals_at_once_cost_one_read_and_no_write() {
    let shop = Shop::open().await;
    let product_id = shop.product(2).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let jam = held_up(&proxy, [hold(&app, product_id, 2, None)]).await;
    let crowd = in_order((0..300).map(|n| hold(&app, product_id, n % 4 + 1, None)));
    proxy.clear();
    jam.release().await.remove(0).expect("enough units");
    for (n, answer) in all(crowd).await.into_iter().enumerate() {
        match (n % 4 + 1, answer) {
            (1 | 2, Err(Error::Refused(Refusal::AllHeld { available_stock: 0, .. }))) => {}
            (3 | 4, Err(Error::Refused(Refusal::SoldOut { available_stock: 0 }))) => {}
            other => panic!("{other:?}"),
        }
    }
    let statements = proxy.statements();
    assert!(statements.iter().all(|statement| statement.starts_with("-- holds/find_supply:")), "{statements:?}");
    assert_eq!(statements.len(), 1);
}

/// Starts both rounds that may be under way, and stops them before their statement.
async fn rounds_held_up(shop: &Shop, app: &Arc<App>, proxy: &Proxy, name: &str) -> Rounds {
    let product_id = shop.product(1).await;
    let selects = proxy.on(Rule::from(name).times(2), Action::PauseBefore);
    let mut askers = Vec::new();
    for count in 1..=2 {
        let app = Arc::clone(app);
        let list = name.contains("products/list:");
        askers.push(tokio::spawn(async move {
            match list {
                true => app.checkout.list_products(0, 10).await.map(|_| ()),
                false => app.checkout.product(product_id).await.map(|_| ()),
            }
        }));
        selects.reached_by(count).await;
    }
    Rounds { selects, askers }
}

struct Rounds {
    selects: Handle,
    askers: Vec<JoinHandle<Result<(), Error>>>,
}

impl Rounds {
    async fn release(self) {
        drop(self.selects);
        assert!(all(self.askers).await.iter().all(Result::is_ok));
    }
}

#[tokio::test]
async fn reads_of_many_products_in_one_round_are_one_statement() {
    let shop = Shop::open().await;
    let mut products = Vec::new();
    for stock in 0..50 {
        products.push(shop.product(stock).await);
    }
    let (app, proxy) = shop.app_through_proxy().await;
    let rounds = rounds_held_up(&shop, &app, &proxy, "-- products/list_some:").await;
    let read = |product_id: i64| {
        let app = Arc::clone(&app);
        async move { app.checkout.product(product_id).await }
    };
    let unknown = products[49] + 1000;
    let wanted = (0..300).map(|n| products[n % 50]).chain([unknown]);
    let crowd = in_order(wanted.map(read));
    proxy.clear();
    rounds.release().await;
    for (n, answer) in all(crowd).await.into_iter().enumerate() {
        match answer {
            Ok(product) => assert_eq!((product.product.id, product.product.stock), (products[n % 50], n as i64 % 50)),
            Err(error) => assert!(n == 300 && matches!(error, Error::Refused(Refusal::ProductNotFound)), "{error:?}"),
        }
    }
    assert_eq!((sent(&proxy, "products/list_some"), others(&proxy, "products/list_some")), (1, vec![]));
}

#[tokio::test]
async fn a_page_that_many_clients_request_at_once_is_read_once() {
    let shop = Shop::open().await;
    for stock in 0..5 {
        shop.product(stock).await;
    }
    let (app, proxy) = shop.app_through_proxy().await;
    let rounds = rounds_held_up(&shop, &app, &proxy, "-- products/list:").await;
    let page = |limit| {
        let app = Arc::clone(&app);
        async move { app.checkout.list_products(0, limit).await }
    };
    let crowd = in_order((0..100).map(|_| page(10)));
    let other = page(2).await.expect("another page does not wait");
    assert_eq!((other.items.len(), other.next_after), (2, Some(other.items[1].product.id)));
    proxy.clear();
    rounds.release().await;
    for answer in all(crowd).await {
        assert_eq!(answer.expect("a page").items.len(), 6);
    }
    assert_eq!((sent(&proxy, "products/list"), others(&proxy, "products/list")), (1, vec![]));
}

#[tokio::test]
async fn a_read_never_joins_a_round_that_is_under_way() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let service = shop.serve_without_workers().await;
    let other = shop.app();
    let path = format!("/api/products/{product_id}");
    for place in 0..3 {
        // up to two rounds are under way: the server has executed them, and their responses are still to come
        let answers = service.proxy.on(Rule::from("-- products/list_some:").times(place), Action::PauseAfter);
        let mut early = Vec::new();
        for count in 1..=place {
            let (client, path) = (service.client.clone(), path.clone());
            early.push(tokio::spawn(async move { client.get(&path).await }));
            answers.reached_by(count).await;
        }
        let before = 10 - i64::try_from(place).expect("a small number");
        hold(&other, product_id, 1, None).await.expect("enough units");
        let (client, late_path) = (service.client.clone(), path.clone());
        let mut late = tokio::spawn(async move { client.get(&late_path).await.expect(200) });
        if place == 2 {
            // no third round starts before one returns
            service.get("/healthz").await.expect(200);
            assert!((&mut late).now_or_never().is_none(), "the read waits for a later round");
            answers.release();
        }
        assert_eq!(late.await.expect("no panic").body["available_stock"], before - 1, "{place} rounds under way");
        drop(answers);
        for answer in all(early).await {
            assert_eq!(answer.expect(200).body["available_stock"], before);
        }
    }
}

fn word(answer: Result<bool, Error>) -> String {
    match answer {
        Ok(copy) => format!("copy: {copy}"),
        Err(Error::Refused(refusal)) => refusal.code().to_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn orders_that_wait_share_a_packet_and_bad_jobs_do_not_fail_the_others() {
    let shop = Shop::open().await;
    let product_id = shop.product(1000).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let good = holds(&app, product_id, SLOTS + 58).await;
    let [used, released] = holds(&app, product_id, 2).await[..] else { unreachable!() };
    order(&app, used, None, None).await.expect("an active hold");
    app.checkout.release_hold(&holdfast::domain::Caller::operator(), released).await.expect("an active hold");
    let jam = held_up(&proxy, good[..SLOTS].iter().map(|&hold_id| order(&app, hold_id, None, None))).await;
    let key = |n: usize| keyed(Operation::Order, format!("key-{n}"), 0);
    let buyers =
        good[SLOTS..].iter().enumerate().map(|(n, &hold_id)| order(&app, hold_id, None, (n < 20).then(|| key(n))));
    let mut crowd: Vec<_> = in_order(buyers);
    let stranger = keyed(Operation::Order, "key-1", 1);
    crowd.extend(in_order([
        order(&app, used, None, None),
        order(&app, released, None, None),
        order(&app, Uuid::now_v7(), None, None),
        order(&app, good[SLOTS + 38], None, None),
        order(&app, good[SLOTS], None, Some(key(0))),
        order(&app, good[SLOTS + 48], None, Some(stranger)),
    ]));
    proxy.clear();
    jam.release().await;
    let mut answers = all(crowd).await;
    let bad = answers.split_off(58);
    for (hold_id, answer) in good[SLOTS..].iter().zip(&answers) {
        let placed = answer.as_ref().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((placed.order.hold_id, placed.replayed), (*hold_id, false));
    }
    let told: Vec<String> = bad.into_iter().map(|answer| word(answer.map(|placed| placed.replayed))).collect();
    let refusals = ["hold_used", "hold_released", "hold_not_found", "hold_used", "copy: true", "idempotency_key_reuse"];
    assert_eq!(told, refusals);
    assert_eq!(sent(&proxy, "orders/insert"), 1, "the good orders shared one packet");
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders").await, SLOTS as i64 + 59);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_order_id_that_is_taken_fails_no_other_order() {
    let shop = Shop::open().await;
    let product_id = shop.product(1000).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let taken = orders(&app, product_id, 1).await[0];
    let held = holds(&app, product_id, SLOTS + 30).await;
    let jam = held_up(&proxy, held[..SLOTS].iter().map(|&hold_id| order(&app, hold_id, None, None))).await;
    let (minted, twice) = (Uuid::now_v7(), Uuid::now_v7());
    let wish = |n: usize| match n {
        10 => Some(taken),
        15 => Some(minted),
        20 | 21 => Some(twice),
        _ => None,
    };
    let crowd = in_order(held[SLOTS..].iter().enumerate().map(|(n, &hold_id)| order(&app, hold_id, wish(n), None)));
    jam.release().await;
    for (n, answer) in all(crowd).await.into_iter().enumerate() {
        match (n, answer) {
            (10 | 21, Err(Error::Refused(Refusal::OrderIdTaken))) => {}
            (10 | 21, other) => panic!("{n}: {other:?}"),
            (_, Ok(placed)) => assert!(wish(n).is_none_or(|id| id == placed.order.id)),
            (_, Err(error)) => panic!("{n}: {error}"),
        }
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders").await, SLOTS as i64 + 29);
    assert_eq!(shop.count("SELECT COUNT(*) FROM holds WHERE status = 'active'").await, 2);
    shop.assert_conserved().await;
}
