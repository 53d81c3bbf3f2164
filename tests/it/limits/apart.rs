//! Batches of which one counter has grown or is locked: its jobs are put apart, and the others are served at once.

use std::sync::Arc;

use holdfast::app::App;
use holdfast::checkout::{Error, Named, NewCart, NewHold, NewLine, Skus, Taken};
use holdfast::domain::{Caller, Details, Owner, Refusal, Role, counter};
use mysql_async::prelude::Queryable as _;
use serde_json::json;
use tokio::task::JoinHandle;

use super::{LIMIT, counted, limited, operated, take, taken};
use crate::clients::add;
use crate::support::crowd::{SLOTS, all, held_up, in_order, sent};
use crate::support::proxy::{Action, Handle, Proxy, Rule};
use crate::support::{Shop, eventually};

type Answered = Result<Taken, Error>;

fn details(buyer: &str) -> Option<Arc<Details>> {
    Details::of_hold(&Caller::anonymous(), Some(buyer.to_owned()), None, None).expect("valid")
}

/// A request for a hold of a buyer.
fn hold(app: &Arc<App>, product_id: i64, buyer: &str) -> impl Future<Output = Answered> + Send + use<> {
    let (app, details) = (Arc::clone(app), details(buyer));
    async move { app.checkout.create_hold(NewHold { details, ..NewHold::new(product_id, 2, None) }).await }
}

/// A request for a cart of a buyer.
fn cart(app: &Arc<App>, products: [i64; 2], buyer: &str) -> impl Future<Output = Answered> + Send + use<> {
    let (app, details) = (Arc::clone(app), details(buyer));
    let lines = products.map(|product_id| NewLine { product: Named::Id(product_id), qty: 2, seats: None }).to_vec();
    let cart =
        NewCart { lines, skus: Skus::default(), replaces: None, keyed: None, details, held_on: None, operator: None };
    async move { app.checkout.create_cart(cart).await }
}

fn buyers() -> impl Iterator<Item = String> {
    (0..6).map(|number| format!("b{number}"))
}

/// Asks for holds of six buyers in one batch, which is held back when it has read their counters.
async fn six_holds(app: &Arc<App>, proxy: &Proxy, product_id: i64) -> (Vec<JoinHandle<Answered>>, Handle) {
    let jam = held_up(proxy, [hold(app, product_id, "first")]).await;
    let crowd = in_order(buyers().map(|buyer| hold(app, product_id, &buyer)));
    let read = proxy.on("-- buyer_units/list:", Action::PauseAfter);
    jam.release().await;
    read.reached().await;
    (crowd, read)
}

/// Checks what is sent after a packet that found a counter over its limit: the same packet again, without a read before it.
#[track_caller]
fn goes_on_at_once(proxy: &Proxy) {
    let statements = proxy.statements();
    let undone = statements.iter().position(|statement| statement == "ROLLBACK").expect("the packet is rolled back");
    let next = &statements[undone + 1];
    assert!(next.contains("-- holds/insert_counted:"), "{next}");
}

#[track_caller]
fn only_the_first_is_refused(answers: Vec<Answered>, yours: i64) {
    for (place, answer) in answers.into_iter().enumerate() {
        match (place, answer) {
            (0, Err(Error::Refused(refusal))) => {
                let found = match &refusal {
                    Refusal::RefusedLines(lines) => lines.first().map(|line| line.refusal.clone()),
                    other => Some(other.clone()),
                };
                assert!(
                    matches!(found, Some(Refusal::BuyerLimit { yours: found, .. }) if found == yours),
                    "{refusal:?}"
                );
            }
            (0, other) => panic!("{other:?}"),
            (_, answer) => drop(answer.expect("within its limit")),
        }
    }
}

#[tokio::test]
async fn the_other_buyers_of_a_batch_are_served_at_once_when_a_counter_has_grown() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let rival = shop.serve_without_workers().await;
    let (app, proxy) = shop.app_through_proxy().await;
    let (crowd, read) = six_holds(&app, &proxy, product_id).await;
    taken(&rival, product_id, 3, "b0").await;
    proxy.clear();
    read.release();
    only_the_first_is_refused(all(crowd).await, 3);
    goes_on_at_once(&proxy);
    assert_eq!(shop.reserved(product_id).await, 3 + 6 * 2);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_other_carts_of_a_batch_are_served_at_once_when_a_counter_has_grown() {
    let shop = Shop::open().await;
    let products @ [one, other] = [limited(&shop, 100).await, limited(&shop, 100).await];
    let rival = shop.serve_without_workers().await;
    let (app, proxy) = shop.app_through_proxy().await;
    cart(&app, products, "first").await.expect("within its limit");
    let idle = [[(); 2]; SLOTS].map(|pair| pair.map(|()| shop.product(10)));
    let mut jammed = Vec::new();
    for [one, other] in idle {
        jammed.push([one.await, other.await]);
    }
    let jam = held_up(&proxy, jammed.into_iter().map(|pair| cart(&app, pair, "first"))).await;
    let read = proxy.on("-- buyer_units/list:", Action::PauseAfter);
    let crowd = in_order(buyers().map(|buyer| cart(&app, products, &buyer)));
    drop(jam.release().await);
    read.reached().await;
    taken(&rival, other, 3, "b0").await;
    proxy.clear();
    read.release();
    only_the_first_is_refused(all(crowd).await, 3);
    goes_on_at_once(&proxy);
    assert_eq!([shop.reserved(one).await, shop.reserved(other).await], [2 + 5 * 2, 2 + 3 + 5 * 2]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_other_buyers_of_a_batch_are_served_while_a_counter_is_locked() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let before = shop.serve_without_workers().await;
    taken(&before, product_id, 2, "b0").await;
    let owner = Owner { client_id: None, buyer: Some("b0".into()) };
    let id = counter::of_buyer(product_id, &owner).expect("a buyer").simple().to_string();
    let mut locking = shop.sql().await;
    let (app, proxy) = shop.app_through_proxy().await;
    let (mut crowd, read) = six_holds(&app, &proxy, product_id).await;
    locking.query_drop("BEGIN").await.expect("a transaction");
    locking.query_drop(format!("UPDATE buyer_units SET units = units WHERE id = x'{id}'")).await.expect("a lock");
    read.release();
    let waiting = crowd.remove(0);
    for answer in all(crowd).await {
        answer.expect("another counter is locked");
    }
    locking.query_drop("COMMIT").await.expect("the lock ends");
    waiting.await.expect("no panic").expect("within its limit");
    assert_eq!((counted(&shop, product_id, "b0").await, shop.reserved(product_id).await), (LIMIT, 2 + 2 + 6 * 2));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_batch_that_waits_for_its_product_once_stays_together() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let mut locking = shop.sql().await;
    let (app, proxy) = shop.app_through_proxy().await;
    let (crowd, read) = six_holds(&app, &proxy, product_id).await;
    locking.query_drop("BEGIN").await.expect("a transaction");
    locking.query_drop(format!("UPDATE products SET stock = stock WHERE id = {product_id}")).await.expect("a lock");
    proxy.clear();
    read.release();
    assert!(eventually(async || sent(&proxy, "holds/insert_counted") == 2).await);
    locking.query_drop("COMMIT").await.expect("the lock ends");
    for answer in all(crowd).await {
        answer.expect("within its limit");
    }
    assert_eq!(sent(&proxy, "holds/insert_counted"), 2, "one by one, they would wait for each other's commits");
    assert_eq!(shop.reserved(product_id).await, 2 + 6 * 2);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_hold_beyond_the_limit_whose_commit_ends_late_is_found_and_answered() {
    let shop = Shop::open().await;
    let product_id = limited(&shop, 100).await;
    let client = operated(&shop).await;
    let desk = add(&client.app, "box-office", Role::Admin).await;
    let body = json!({ "product_id": product_id, "qty": LIMIT + 1, "buyer": "b" });
    let request = client.request("POST", "/api/holds").bearer_auth(&desk.token).json(&body);
    client.proxy.clear();
    let lost = client.proxy.on(Rule::exactly("COMMIT"), Action::CutBefore);
    let second = client.proxy.on(Rule::from("-- product_trail/insert:").skip(1), Action::PauseBefore);
    let http = client.client.clone();
    let asking = tokio::spawn(async move { http.send(request).await });
    second.reached().await;
    // the second attempt has found nothing: only now the first one takes effect
    let statements = client.proxy.statements();
    let packet = statements.iter().find(|text| text.contains("-- product_trail/insert:")).expect("a packet");
    let mut first = shop.sql().await;
    first.query_drop(packet.trim_start_matches("BEGIN;\n")).await.expect("it runs");
    second.release();
    let answer = asking.await.expect("no panic").expect(201);
    drop((lost, second));
    assert_eq!(answer.body["qty"], json!(LIMIT + 1));
    assert_eq!(shop.count("SELECT COUNT(id) FROM product_trail WHERE action = 'limit_passed'").await, 1);
    assert_eq!(shop.reserved(product_id).await, LIMIT + 1);
    take(&client, product_id, 1, "c").await.expect(201);
    shop.assert_conserved().await;
}
