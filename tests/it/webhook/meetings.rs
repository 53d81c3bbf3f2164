//! A webhook and its order at the same moment, or with a crash between two commits, find each other.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use holdfast::app::App;
use holdfast::domain::PaymentEvent;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{deliver, outcome, success};
use crate::support::proxy::{Action, Handle, Proxy, Rule};
use crate::support::{Answer, Bare, Shop, mint, payment, with};

/// A webhook and its order, each held back just before its COMMIT and just after it, before it looks for the other.
struct Meeting {
    webhook: Side,
    order: Side,
}

/// One side of a meeting.
struct Side {
    commit: Handle,
    look: Handle,
    answer: Shared<BoxFuture<'static, Answer>>,
}

impl Side {
    /// Adds the rules, and then sends the request: a statement that is sent before its rule is there would not count.
    fn new(bare: &Bare, look: impl Into<Rule>, request: impl FnOnce() -> JoinHandle<Answer>) -> Self {
        let commit = bare.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
        let look = bare.proxy.on(look, Action::PauseBefore);
        let answer = request().map(|joined| joined.expect("no panic")).boxed().shared();
        Self { commit, look, answer }
    }
}

impl Meeting {
    /// Starts both sides, and returns when both have done their work and neither has committed it.
    async fn begin(webhook: &Bare, order: &Bare, event: Value, hold_id: &str, order_id: &str) -> Self {
        let (client, hold_id, order_id) = (order.client.clone(), hold_id.to_owned(), order_id.to_owned());
        // a success first looks for its order outside its transaction: it may be a plain payment
        let looks = if event["status"] == "failed" { 1 } else { 2 };
        let ordering = || tokio::spawn(async move { client.try_order_as(&hold_id, &order_id).await });
        let meeting = Self {
            webhook: Side::new(webhook, Rule::from("-- orders/find:").skip(looks), || deliver(webhook, event)),
            order: Side::new(order, "-- orders/list_touched:", ordering),
        };
        meeting.webhook.commit.reached().await;
        meeting.order.commit.reached().await;
        meeting
    }

    /// Lets one side go on, `w` or `o`: a capital letter stands for its commit, a small one for all that follows.
    async fn go_on(&self, moment: char) {
        let side = if moment.eq_ignore_ascii_case(&'w') { &self.webhook } else { &self.order };
        if moment.is_uppercase() {
            side.commit.release();
            side.look.reached().await;
        } else {
            side.look.release();
            side.answer.clone().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_and_its_order_at_the_same_moment_find_each_other_without_any_worker() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (webhook, order) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    let interleavings = ["WwOo", "WOwo", "WOow", "OoWw", "OWow", "OWwo"];
    let meanings = [("paid", "paid"), ("failed", "cancelled"), ("paid", "paid")];
    for (round, interleaving) in meanings.iter().flat_map(|meaning| interleavings.map(|order| (meaning, order))) {
        let (&(word, order_status), key) = (round, mint());
        let (hold_id, order_id) = (order.hold(product_id, 1).await, mint());
        let event = with(&success(&order_id), json!({ "status": word, "idempotency_key": key }));
        let meeting = Meeting::begin(&webhook, &order, event, &hold_id, &order_id).await;
        for moment in interleaving.chars() {
            meeting.go_on(moment).await;
        }
        let (received, ordered) = (meeting.webhook.answer.await, meeting.order.answer.await);
        assert!([200, 202].contains(&received.status), "{interleaving} {received:?}");
        assert_eq!(order.order_status(&order_id).await, order_status, "{interleaving} {received:?} {ordered:?}");
        ordered.expect(201);
        assert_eq!(order.trail(&order_id).await.len(), 2, "{interleaving}");
        assert_eq!(shop.event_status(&key).await, "applied", "{interleaving}");
    }
    assert_eq!(shop.reserved(product_id).await, 12);
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_made_while_its_payment_looks_for_it_by_both_names_is_paid() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let (webhook, order) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    let (hold_id, order_id) = (order.hold(product_id, 1).await, mint());
    let look = webhook.proxy.on("-- orders/find_by_hold:", Action::PauseBefore);
    let payment = deliver(&webhook, with(&success(&order_id), json!({ "hold_id": hold_id })));
    look.reached().await;
    order.try_order_as(&hold_id, &order_id).await.expect(201);
    look.release();
    assert_eq!(outcome(&payment.await.expect("no panic")), (200, "processed", "paid"));
    shop.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_and_its_order_may_look_for_each_other_at_the_same_moment() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (webhook, order) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    for round in 0..10 {
        let (hold_id, order_id) = (order.hold(product_id, 1).await, mint());
        let event = with(&success(&order_id), json!({ "idempotency_key": format!("round-{round}") }));
        let meeting = Meeting::begin(&webhook, &order, event, &hold_id, &order_id).await;
        for moment in ['W', 'O'] {
            meeting.go_on(moment).await;
        }
        meeting.webhook.look.release();
        meeting.order.look.release();
        let (received, ordered) = (meeting.webhook.answer.await, meeting.order.answer.await);
        assert_eq!(outcome(&received), (200, "processed", "paid"));
        assert_eq!(ordered.expect(201).text("status"), "paid");
        assert_eq!(order.trail(&order_id).await.len(), 2);
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_sweep_applies_an_event_that_a_crash_of_the_webhook_left_between_two_commits() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let (client, (doomed, proxy)) = (shop.serve_without_workers().await, shop.app_through_proxy().await);
    let (hold_id, order_id) = (client.hold(product_id, 1).await, mint());

    let commit = proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let look = proxy.on("-- payment_events/claim:", Action::PauseBefore);
    let crash = tokio::spawn(receive(Arc::clone(&doomed), order_id.clone()));
    commit.reached().await;
    assert_eq!(client.try_order_as(&hold_id, &order_id).await.expect(201).text("status"), "pending");
    commit.release();
    look.reached().await;
    end(crash, proxy).await;
    assert_the_sweep_finds(&shop, &client, &order_id).await;
}

#[tokio::test]
async fn the_sweep_applies_an_event_that_a_crash_of_the_order_left_between_two_commits() {
    let shop = Shop::open().await;
    let product_id = shop.product(1).await;
    let (client, (doomed, proxy)) = (shop.serve_without_workers().await, shop.app_through_proxy().await);
    let (hold_id, order_id) = (client.hold(product_id, 1).await, mint());

    client.webhook(&success(&order_id)).await.expect(202);
    let look = proxy.on("-- orders/list_touched:", Action::PauseBefore);
    let (hold, order) = (hold_id.parse().expect("an id"), order_id.parse().ok());
    let crash = tokio::spawn(async move {
        doomed.checkout.create_order(holdfast::checkout::NewOrder::new(hold, order, None)).await
    });
    look.reached().await;
    end(crash, proxy).await;
    assert_the_sweep_finds(&shop, &client, &order_id).await;
}

/// Ends a task as the end of its process would: it does nothing more, and its connections are closed.
async fn end<T: std::fmt::Debug>(running: JoinHandle<T>, proxy: Proxy) {
    running.abort();
    assert!(running.await.expect_err("the task was aborted").is_cancelled());
    drop(proxy);
}

async fn assert_the_sweep_finds(shop: &Shop, client: &Bare, order_id: &str) {
    assert_eq!(client.order_status(order_id).await, "pending");
    client.app.checkout.sweep_parked().await.expect("the step runs");
    assert_eq!(client.order_status(order_id).await, "paid");
    assert_eq!(shop.event_status("key").await, "applied");
    client.app.checkout.sweep_parked().await.expect("the step runs");
    assert_eq!(client.trail(order_id).await.len(), 2);
    shop.assert_conserved().await;
}

/// Delivers an event without HTTP, so that [`end`] can end it.
async fn receive(app: Arc<App>, order_id: String) {
    let event = PaymentEvent { txn_id: None, ..payment(order_id.parse().expect("an id"), "key") };
    app.checkout.receive_event(event).await.expect("the event is accepted");
}
