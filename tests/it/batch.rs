//! Jobs that arrive during a round trip share the next one, and a bad job never fails the others of its batch.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use holdfast::app::App;
use holdfast::checkout::payments::receipt::Receipt;
use holdfast::checkout::{Error, Operation};
use holdfast::config::Config;
use holdfast::db::packets::pay_orders::{ID_STEP, PayOrders, Success};
use holdfast::db::packets::{Packet as _, send};
use holdfast::db::tables::orders::Order;
use holdfast::domain::{Event, EventStatus, OrderStatus, Refusal};
use mysql_async::OptsBuilder;
use mysql_async::prelude::Queryable as _;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::support::crowd::{all, deliver, held_up, hold, holds, in_order, keyed, order, orders, sent};
use crate::support::proxy::{Action, Handle, Proxy, Rule};
use crate::support::{Shop, payment};

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
        app.checkout.release_hold(taken.hold.id).await.expect("it is active");
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
            Ok(product) => assert_eq!((product.id, product.stock), (products[n % 50], n as i64 % 50)),
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
    assert_eq!((other.items.len(), other.next_after), (2, Some(other.items[1].id)));
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
    let good = holds(&app, product_id, 60).await;
    let [used, released] = holds(&app, product_id, 2).await[..] else { unreachable!() };
    order(&app, used, None, None).await.expect("an active hold");
    app.checkout.release_hold(released).await.expect("an active hold");
    let jam = held_up(&proxy, good[..2].iter().map(|&hold_id| order(&app, hold_id, None, None))).await;
    let key = |n: usize| keyed(Operation::Order, format!("key-{n}"), 0);
    let buyers = good[2..].iter().enumerate().map(|(n, &hold_id)| order(&app, hold_id, None, (n < 20).then(|| key(n))));
    let mut crowd: Vec<_> = in_order(buyers);
    let stranger = keyed(Operation::Order, "key-1", 1);
    crowd.extend(in_order([
        order(&app, used, None, None),
        order(&app, released, None, None),
        order(&app, Uuid::now_v7(), None, None),
        order(&app, good[40], None, None),
        order(&app, good[2], None, Some(key(0))),
        order(&app, good[50], None, Some(stranger)),
    ]));
    proxy.clear();
    jam.release().await;
    let mut answers = all(crowd).await;
    let bad = answers.split_off(58);
    for (hold_id, answer) in good[2..].iter().zip(&answers) {
        let placed = answer.as_ref().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((placed.order.hold_id, placed.replayed), (*hold_id, false));
    }
    let told: Vec<String> = bad.into_iter().map(|answer| word(answer.map(|placed| placed.replayed))).collect();
    let refusals = ["hold_used", "hold_released", "hold_not_found", "hold_used", "copy: true", "idempotency_key_reuse"];
    assert_eq!(told, refusals);
    assert_eq!(sent(&proxy, "orders/insert"), 1, "the good orders shared one packet");
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders").await, 61);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_order_id_that_is_taken_fails_no_other_order() {
    let shop = Shop::open().await;
    let product_id = shop.product(1000).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let taken = orders(&app, product_id, 1).await[0];
    let held = holds(&app, product_id, 32).await;
    let jam = held_up(&proxy, held[..2].iter().map(|&hold_id| order(&app, hold_id, None, None))).await;
    let (minted, twice) = (Uuid::now_v7(), Uuid::now_v7());
    let wish = |n: usize| match n {
        10 => Some(taken),
        15 => Some(minted),
        20 | 21 => Some(twice),
        _ => None,
    };
    let crowd = in_order(held[2..].iter().enumerate().map(|(n, &hold_id)| order(&app, hold_id, wish(n), None)));
    jam.release().await;
    for (n, answer) in all(crowd).await.into_iter().enumerate() {
        match (n, answer) {
            (10 | 21, Err(Error::Refused(Refusal::OrderIdTaken))) => {}
            (10 | 21, other) => panic!("{n}: {other:?}"),
            (_, Ok(placed)) => assert!(wish(n).is_none_or(|id| id == placed.order.id)),
            (_, Err(error)) => panic!("{n}: {error}"),
        }
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders").await, 31);
    assert_eq!(shop.count("SELECT COUNT(*) FROM holds WHERE status = 'active'").await, 2);
    shop.assert_conserved().await;
}

/// The number of packets of payments, and of payments that were sent alone.
type Sent = (usize, usize);

/// Delivers 30 payments while the lane is held up; `bad` may replace the event at each place.
async fn pay_in_a_crowd(bad: impl Fn(usize, Event, Uuid) -> Event) -> (Shop, Vec<Result<Receipt, Error>>, Sent) {
    let shop = Shop::open().await;
    let product_id = shop.product(1000).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let placed = orders(&app, product_id, 32).await;
    let event = |order_id: &Uuid| payment(*order_id, &order_id.to_string());
    let jam = held_up(&proxy, placed[..2].iter().map(|id| deliver(&app, event(id)))).await;
    let crowd = in_order(placed[2..].iter().enumerate().map(|(n, id)| deliver(&app, bad(n, event(id), placed[0]))));
    proxy.clear();
    jam.release().await;
    let answers = all(crowd).await;
    let packets = sent(&proxy, "payment_events/insert_applied");
    let alone = sent(&proxy, "payment_events/insert");
    shop.assert_conserved().await;
    (shop, answers, (packets, alone))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_pays_its_order_writes_no_row_about_its_delivery() {
    let (shop, answers, (packets, _)) = pay_in_a_crowd(|_, event, _| event).await;
    assert!(packets > 0 && answers.iter().all(is_paid), "{answers:?}");
    let rows =
        "SELECT (SELECT COUNT(*) FROM payment_event_deliveries) + (SELECT COUNT(*) FROM payment_event_quarantines)";
    assert_eq!(shop.count(rows).await, 0, "in a batch");

    let (app, proxy) = shop.app_through_proxy().await;
    let product_id = shop.product(1).await;
    let order_id = orders(&app, product_id, 1).await[0];
    proxy.clear();
    assert!(is_paid(&app.checkout.receive_event(payment(order_id, "alone")).await));
    let statements = proxy.statements();
    let tables = ["payment_event_deliveries/", "payment_event_quarantines/"];
    assert!(!statements.iter().any(|text| tables.iter().any(|table| text.contains(table))), "{statements:?}");
    assert_eq!(shop.count(rows).await, 0, "alone");
}

fn is_paid(answer: &Result<Receipt, Error>) -> bool {
    let paid = Some(OrderStatus::Paid);
    matches!(answer, Ok(Receipt { status: EventStatus::Applied, duplicate: false, order_status, .. }) if *order_status == paid)
}

#[tokio::test]
async fn payments_that_wait_share_a_packet() {
    let (shop, answers, sent) = pay_in_a_crowd(|_, event, _| event).await;
    assert!(answers.iter().all(is_paid), "{answers:?}");
    assert_eq!(sent, (1, 0));
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders WHERE status = 'paid'").await, 32);
    assert_eq!(shop.count("SELECT COUNT(*) FROM order_events WHERE to_status = 'paid'").await, 32);
}

#[tokio::test]
async fn a_payment_that_does_not_fit_fails_no_other_payment() {
    let bad = |n: usize, event: Event, _| match n {
        5 => Event { amount: Some("0.01".to_owned()), ..event },
        6 => Event { idempotency_key: b"twice".to_vec(), ..event },
        7 => Event { idempotency_key: b"twice".to_vec(), ..event },
        8 => Event { body: vec![b' '; 10_000], ..event },
        9 => payment(Uuid::now_v7(), "unknown order"),
        _ => event,
    };
    let (shop, mut answers, sent) = pay_in_a_crowd(bad).await;
    let bad = answers.drain(5..10).collect::<Vec<_>>();
    assert!(answers.iter().all(is_paid), "{answers:?}");
    let status = |answer: &Result<Receipt, Error>| answer.as_ref().ok().map(|receipt| receipt.status);
    assert_eq!(status(&bad[0]), Some(EventStatus::Quarantined));
    assert!(is_paid(&bad[1]) && is_paid(&bad[3]), "{bad:?}");
    assert!(matches!(bad[2], Err(Error::Refused(Refusal::IdempotencyKeyReuse))), "{bad:?}");
    assert_eq!(status(&bad[4]), Some(EventStatus::Parked));
    assert_eq!(sent, (1, 4), "only the events that are not plain were sent alone");
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders WHERE status = 'paid'").await, 29);
}

#[tokio::test]
async fn a_payment_whose_key_is_taken_rolls_back_one_packet_and_fails_no_other_payment() {
    let bad = |n: usize, event: Event, first: Uuid| match n {
        3 => Event { idempotency_key: first.to_string().into_bytes(), ..event },
        _ => event,
    };
    let (shop, mut answers, sent) = pay_in_a_crowd(bad).await;
    let bad = answers.remove(3);
    assert!(matches!(bad, Err(Error::Refused(Refusal::IdempotencyKeyReuse))), "{bad:?}");
    assert!(answers.iter().all(is_paid), "{answers:?}");
    assert_eq!(sent, (2, 1), "the others shared the second packet");
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders WHERE status = 'paid'").await, 31);
}

/// Makes orders, and returns each with its payment, sorted by the payments' keys.
async fn payments_of(app: &Arc<App>, product_id: i64, count: usize) -> Vec<(Event, Order)> {
    let mut to_pay = Vec::new();
    for order_id in orders(app, product_id, count).await {
        let order = app.checkout.order(order_id).await.expect("it is there").order;
        to_pay.push((payment(order_id, &order_id.to_string()), order));
    }
    to_pay.sort_by(|(one, _), (other, _)| one.idempotency_key.cmp(&other.idempotency_key));
    to_pay
}

fn successes(to_pay: &[(Event, Order)]) -> Vec<Success<'_>> {
    to_pay.iter().map(|(event, order)| Success { event_id: None, event, order, processing: Duration::ZERO }).collect()
}

/// Servers of a cluster increment ids in steps, so that no two of them generate the same id.
#[tokio::test]
async fn a_batch_of_payments_finds_the_ids_of_its_events_whatever_the_increment_of_the_server() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (app, _proxy) = shop.app_through_proxy().await;
    let to_pay = payments_of(&app, product_id, 6).await;
    let mut conn = shop.sql().await;
    for (step, offset, half) in [(3, 2, 0..3), (1, 1, 3..6)] {
        let successes = successes(&to_pay[half]);
        let settings = format!("auto_increment_increment = {step}, auto_increment_offset = {offset}");
        conn.query_drop(format!("SET SESSION {settings}")).await.expect("the increment is set");
        conn.query_drop("BEGIN").await.expect("a transaction");
        for statement in (PayOrders { successes, step }).statements() {
            conn.query_drop(statement).await.expect("it runs");
        }
        conn.query_drop("COMMIT").await.expect("committed");
    }
    let of_charges = "SELECT COUNT(*) FROM charges JOIN payment_events ON payment_events.id = charges.event_id
                      WHERE charges.name = txn_id AND charges.order_id = payment_events.order_id";
    let of_trails = "SELECT COUNT(*) FROM order_events JOIN payment_events ON payment_events.id = payment_event_id
                     WHERE order_events.txn_id = payment_events.txn_id AND to_status = 'paid'";
    assert_eq!((shop.count(of_charges).await, shop.count(of_trails).await), (6, 6));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_service_learns_the_increment_of_its_server_from_its_first_batch_of_payments() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let config = shop.config();
    let increment = vec!["SET SESSION auto_increment_increment = 3, auto_increment_offset = 2"];
    let database = OptsBuilder::from_opts(config.database_url.clone()).init(increment).into();
    let app = Arc::new(App::new(&Config { database_url: database, ..config }));
    let to_pay = payments_of(&app, product_id, 12).await;
    let batches = "SELECT COUNT(DISTINCT settled_at) FROM payment_events";
    let paid = join_all(to_pay.into_iter().map(|(event, _)| app.checkout.receive_event(event))).await;
    assert!(paid.iter().all(is_paid), "{paid:?}");
    assert_eq!(shop.count("SELECT COUNT(*) FROM payment_events WHERE id % 3 = 2").await, 12, "ids come in steps");
    assert!(shop.count(batches).await < 12, "the events share batches");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_batch_of_payments_under_wrong_ids_is_not_committed() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (app, _proxy) = shop.app_through_proxy().await;
    let to_pay = payments_of(&app, product_id, 2).await;
    for step in [7, 2, 1] {
        let packet = PayOrders { successes: successes(&to_pay), step };
        match send(app.checkout.database(), "test", &packet).await {
            Ok(ids) => assert_eq!((step, ids.len()), (1, 2)),
            Err(error) => assert!(matches!(error, holdfast::db::Error::Stale(ID_STEP)) && step > 1, "{error}"),
        }
    }
    shop.assert_conserved().await;
}
