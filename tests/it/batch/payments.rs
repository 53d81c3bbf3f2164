//! Payments that wait share a packet. A bad one fails no other, and each row has the id of its own event.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use holdfast::app::App;
use holdfast::checkout::Error;
use holdfast::checkout::payments::receipt::Receipt;
use holdfast::config::Config;
use holdfast::db::packets::pay_orders::{ID_STEP, PayOrders, Success};
use holdfast::db::packets::{OneTrip as _, send};
use holdfast::db::tables::orders::Order;
use holdfast::domain::{EventStatus, OrderStatus, PaymentEvent, Refusal};
use mysql_async::OptsBuilder;
use mysql_async::prelude::Queryable as _;
use uuid::Uuid;

use crate::support::crowd::{SLOTS, all, deliver, held_up, in_order, orders, sent};
use crate::support::{Shop, payment};

/// The number of packets of payments, and of payments that were sent alone.
type Sent = (usize, usize);

/// Delivers 30 payments while the lane is held up; `bad` may replace the event at each place.
async fn pay_in_a_crowd(
    bad: impl Fn(usize, PaymentEvent, Uuid) -> PaymentEvent,
) -> (Shop, Vec<Result<Receipt, Error>>, Sent) {
    let shop = Shop::open().await;
    let product_id = shop.product(1000).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let placed = orders(&app, product_id, SLOTS + 30).await;
    let event = |order_id: &Uuid| payment(*order_id, &order_id.to_string());
    let jam = held_up(&proxy, placed[..SLOTS].iter().map(|id| deliver(&app, event(id)))).await;
    let crowd = in_order(placed[SLOTS..].iter().enumerate().map(|(n, id)| deliver(&app, bad(n, event(id), placed[0]))));
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
    // too large for a packet
    let alone = PaymentEvent { body: vec![b' '; 10_000], ..payment(order_id, "alone") };
    assert!(is_paid(&app.checkout.receive_event(alone).await));
    let statements = proxy.statements();
    assert!(statements.iter().any(|text| text.contains("-- orders/mark_paid:")), "{statements:?}");
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
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders WHERE status = 'paid'").await, SLOTS as i64 + 30);
    assert_eq!(shop.count("SELECT COUNT(*) FROM order_events WHERE to_status = 'paid'").await, SLOTS as i64 + 30);
}

#[tokio::test]
async fn a_payment_that_does_not_fit_fails_no_other_payment() {
    let bad = |n: usize, event: PaymentEvent, _| match n {
        5 => PaymentEvent { amount: Some("0.01".to_owned()), ..event },
        6 => PaymentEvent { idempotency_key: b"twice".to_vec(), ..event },
        7 => PaymentEvent { idempotency_key: b"twice".to_vec(), ..event },
        8 => PaymentEvent { body: vec![b' '; 10_000], ..event },
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
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders WHERE status = 'paid'").await, SLOTS as i64 + 27);
}

#[tokio::test]
async fn a_payment_whose_key_is_taken_rolls_back_one_packet_and_fails_no_other_payment() {
    let bad = |n: usize, event: PaymentEvent, first: Uuid| match n {
        3 => PaymentEvent { idempotency_key: first.to_string().into_bytes(), ..event },
        _ => event,
    };
    let (shop, mut answers, sent) = pay_in_a_crowd(bad).await;
    let bad = answers.remove(3);
    assert!(matches!(bad, Err(Error::Refused(Refusal::IdempotencyKeyReuse))), "{bad:?}");
    assert!(answers.iter().all(is_paid), "{answers:?}");
    assert_eq!(sent, (2, 1), "the others shared the second packet");
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders WHERE status = 'paid'").await, SLOTS as i64 + 29);
}

/// Makes orders, and returns each with its payment, sorted by the payments' keys.
async fn payments_of(app: &Arc<App>, product_id: i64, count: usize) -> Vec<(PaymentEvent, Order)> {
    let mut to_pay = Vec::new();
    for order_id in orders(app, product_id, count).await {
        let order =
            app.checkout.order(&holdfast::domain::Caller::operator(), order_id).await.expect("it is there").order;
        to_pay.push((payment(order_id, &order_id.to_string()), order));
    }
    to_pay.sort_by(|(one, _), (other, _)| one.idempotency_key.cmp(&other.idempotency_key));
    to_pay
}

fn successes(to_pay: &[(PaymentEvent, Order)]) -> Vec<Success<'_>> {
    to_pay
        .iter()
        .map(|(event, order)| Success { event_id: None, event, order, tickets: &[], processing: Duration::ZERO })
        .collect()
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
    // the statements ran without what the service tells with its COMMIT
    shop.execute("UPDATE order_events SET told = NULL WHERE to_status = 'paid'").await;
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
