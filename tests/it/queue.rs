//! Jobs that wait in a queue: a deadlock of their batch, a key that several jobs have, a client that disconnects, a full queue.

use std::sync::Arc;

use futures_util::FutureExt as _;
use holdfast::app::App;
use holdfast::checkout::Taken;
use holdfast::checkout::{Error, Operation};
use holdfast::domain::Refusal;
use mysql_async::prelude::Queryable as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::yield_now;

use crate::support::crowd::{all, held_up, hold, in_order, keyed, sent};
use crate::support::proxy::Action;
use crate::support::{Shop, eventually};

#[tokio::test]
async fn a_deadlock_in_a_batch_loses_no_hold() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (app, proxy) = shop.app_through_proxy().await;
    // a known product is not looked up, so all of the crowd queue at once
    hold(&app, product_id, 1, None).await.expect("enough units");
    proxy.clear();
    let insert = format!(
        "INSERT INTO products (name, price_minor, currency, stock) VALUES {}",
        vec!["('Other', 1, 'EUR', 1)"; 200].join(", ")
    );
    shop.execute(&insert).await;
    // This transaction changes so many more rows than the batch that the server rolls the batch back.
    let mut heavy = shop.sql().await;
    heavy.query_drop("BEGIN").await.expect("a transaction begins");
    heavy.query_drop("UPDATE products SET name = 'Heavy'").await.expect("all rows are free");
    let key = |n: i64| (n == 0).then(|| keyed(Operation::Hold, "key", 0));
    let crowd = in_order((0..20).map(|n| hold(&app, product_id, n % 3 + 1, key(n))));
    shop.until_running("products/take").await;
    let taken = "INSERT INTO idempotency_keys (scope, operation, idempotency_key, fingerprint, resource_id)
                 VALUES ('anonymous', 'hold', 'key', REPEAT('x', 32), REPEAT('x', 16))";
    heavy.query_drop(taken).await.expect("the batch is the victim of the deadlock");
    heavy.query_drop("ROLLBACK").await.expect("the transaction ends");
    let answers = all(crowd).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(sent(&proxy, "products/take"), 2, "the packet was rolled back once and sent again");
    assert_eq!(shop.count("SELECT COUNT(*) FROM holds").await, 21);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_key_that_a_batch_has_several_times_gives_one_hold_and_harms_no_other_job() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let key = |key: &str, body| Some(keyed(Operation::Hold, key, body));
    let known = hold(&app, product_id, 1, key("known", 0)).await.expect("enough units");
    let jam = held_up(&proxy, [hold(&app, product_id, 1, None)]).await;
    let wishes = [
        (2, key("new", 0)),
        (3, None),
        (2, key("new", 0)),
        (4, key("new", 1)),
        (1, key("known", 0)),
        (5, key("known", 1)),
        (1, key("other", 0)),
        (2, None),
    ];
    let crowd = in_order(wishes.map(|(qty, key)| hold(&app, product_id, qty, key)));
    proxy.clear();
    jam.release().await;
    let answers = all(crowd).await;
    let told: Vec<Option<bool>> = answers.iter().map(|answer| answer.as_ref().ok().map(|it| it.replayed)).collect();
    let [first, copy, refused] = [Some(false), Some(true), None];
    assert_eq!(told, [first, first, copy, refused, copy, refused, first, first], "{answers:?}");
    for answer in [&answers[3], &answers[5]] {
        assert!(matches!(answer, Err(Error::Refused(Refusal::IdempotencyKeyReuse))), "{answer:?}");
    }
    let hold_of = |place: usize| answers[place].as_ref().expect("a hold").hold.id;
    assert_eq!((hold_of(2), hold_of(4)), (hold_of(0), known.hold.id));
    assert_eq!(sent(&proxy, "holds/insert"), 1, "all new holds were in one packet");
    assert_eq!(shop.count("SELECT CAST(SUM(qty) AS SIGNED) FROM holds").await, 2 + 2 + 3 + 1 + 2);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_client_that_disconnects_while_queued_never_reaches_the_database() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let jam = held_up(&proxy, [hold(&app, product_id, 1, None)]).await;
    let key = |n: i64| Some(keyed(Operation::Hold, n.to_string(), 0)).filter(|_| n < 20);
    let mut crowd = in_order((0..40).map(|n| hold(&app, product_id, 1, key(n))));
    let stay = crowd.split_off(30);
    for leaver in crowd {
        leaver.abort();
        assert!(leaver.await.expect_err("the job was aborted").is_cancelled());
    }
    proxy.clear();
    jam.release().await;
    assert!(all(stay).await.iter().all(Result::is_ok));
    assert_eq!(shop.count("SELECT COUNT(*) FROM holds").await, 11);
    assert_eq!((sent(&proxy, "holds/insert"), sent(&proxy, "idempotency_keys/list")), (1, 0));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_connection_that_closes_while_its_request_is_queued_takes_no_hold() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let service = shop.serve_without_workers().await;
    let jam = held_up(&service.proxy, [hold(&service.app, product_id, 1, None)]).await;
    let body = json!({ "product_id": product_id, "qty": 1 }).to_string();
    let head = "POST /api/holds HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nContent-Length";
    let mut connection = TcpStream::connect(service.address()).await.expect("the service listens");
    connection
        .write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes())
        .await
        .expect("the request is sent");
    // a later request is answered, so the earlier one is in its queue
    service.get("/healthz").await.expect(200);
    connection.shutdown().await.expect("the client closes its side");
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.expect("the service closes the connection");
    assert!(answer.is_empty(), "the connection closes without a response: {}", String::from_utf8_lossy(&answer));
    service.proxy.clear();
    jam.release().await.remove(0).expect("enough units");
    service.hold(product_id, 2).await;
    assert_eq!((sent(&service.proxy, "holds/insert"), shop.reserved(product_id).await), (1, 3));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_connection_that_closes_while_its_skus_are_read_costs_no_connection_to_the_database() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    shop.execute(&format!("UPDATE products SET sku = 'a' WHERE id = {product_id}")).await;
    let service = shop.serve_without_workers().await;
    let body = json!({ "items": [{ "sku": "a", "qty": 1 }] });
    service.post("/api/holds", &body).await.expect(201);
    let before = service.proxy.connects();
    let read = service.proxy.on("-- products/list_by_sku:", Action::PauseAfter);
    let body = body.to_string();
    let head = "POST /api/holds HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nContent-Length";
    let mut connection = TcpStream::connect(service.address()).await.expect("the service listens");
    connection
        .write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes())
        .await
        .expect("the request is sent");
    read.reached().await;
    connection.shutdown().await.expect("the client closes its side");
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.expect("the service closes the connection");
    assert!(answer.is_empty(), "the connection closes without a response: {}", String::from_utf8_lossy(&answer));
    read.release();
    assert!(eventually(async || service.app.checkout.database().connections().1 == 0).await, "the read ends");
    service.hold(product_id, 2).await;
    assert_eq!((service.proxy.connects(), shop.reserved(product_id).await), (before, 3));
    shop.assert_conserved().await;
}

type Waiting = std::pin::Pin<Box<dyn Future<Output = Result<Taken, Error>> + Send>>;

/// Queues jobs until the queue stays full, also after the lane had its chance to take some of them.
async fn fill(app: &Arc<App>, product_id: i64) -> Vec<Waiting> {
    let mut waiting = Vec::new();
    let mut full = 0;
    while full < 100 {
        let mut buyer: Waiting = Box::pin(hold(app, product_id, 1, None));
        match buyer.as_mut().now_or_never() {
            None => {
                full = 0;
                waiting.push(buyer);
            }
            Some(Err(Error::Overloaded)) => {
                full += 1;
                yield_now().await;
            }
            other => panic!("{other:?}"),
        }
        assert!(waiting.len() < 100_000, "the queue has no limit");
    }
    waiting
}

#[tokio::test]
async fn a_full_queue_refuses_requests_at_once_and_does_not_affect_other_products() {
    let shop = Shop::open().await;
    let (product_id, other) = (shop.product(100).await, shop.product(100).await);
    let service = shop.serve_without_workers().await;
    let jam = held_up(&service.proxy, [hold(&service.app, product_id, 1, None)]).await;
    let crowd = fill(&service.app, product_id).await;
    let refused = service.try_hold(product_id, 1).await;
    assert_eq!(refused.refused(503, "overloaded").header("retry-after"), "1");
    service.hold(other, 1).await;
    assert_eq!(service.available(product_id).await, 100, "the lane is still held up");
    drop(crowd);
    service.proxy.clear();
    jam.release().await.remove(0).expect("enough units");
    let served = eventually(async || service.try_hold(product_id, 1).await.status == 201).await;
    assert!(served, "the queue has room again");
    assert_eq!(sent(&service.proxy, "holds/insert"), 1, "no other job was left");
    assert_eq!((shop.reserved(product_id).await, shop.reserved(other).await), (2, 1));
}

#[tokio::test]
async fn queues_that_are_not_needed_any_more_are_removed() {
    const PAGES: usize = 20_000;
    let shop = Shop::open().await;
    let first = shop.product(100).await;
    let service = shop.serve_without_workers().await;
    let asker = |after| {
        let app = Arc::clone(&service.app);
        async move { app.checkout.list_products(after, 1).await }.boxed()
    };
    let mut askers: Vec<_> = (1..=PAGES as i64).map(|n| asker(first + n)).collect();
    for asker in &mut askers {
        assert!(asker.as_mut().now_or_never().is_none(), "the request queues");
    }
    assert_eq!(service.app.checkout.lanes(), PAGES);
    // some requests stay and are answered; the others are dropped before their turn
    let stayed = askers.into_iter().step_by(200);
    for page in futures_util::future::join_all(stayed).await {
        assert!(page.expect("a page").items.is_empty());
    }
    for limit in 1..=100 {
        service.get(&format!("/api/products?limit={limit}")).await.expect(200);
    }
    let (_, order_id) = service.hold_and_order(first, 1).await;
    service.pay(&order_id, "paid", "key").await.expect(200);
    assert!(service.app.checkout.lanes() > 0);
    assert!(
        eventually(async || service.app.checkout.lanes() == 0).await,
        "{} lanes stay",
        service.app.checkout.lanes()
    );
    service.hold(first, 1).await;
    assert_eq!(service.available(first).await, 98);
}
