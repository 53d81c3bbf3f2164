//! A backlog of payments in the inbox is applied in batches, and each payment once, in spite of other instances, crashes and
//! bad events.

use std::sync::Arc;

use holdfast::app::App;
use holdfast::domain::{EventStatus, Meaning, PaymentEvent, Reference, WebhookMode};
use uuid::Uuid;

use crate::support::crowd::{all, deliver, in_order, orders, sent};
use crate::support::proxy::{Action, Proxy, Rule};
use crate::support::{Shop, payment, with_policy};

/// Each of these four counts is wrong when an event is applied twice or not at all.
const PAID: &str = "SELECT COUNT(*) FROM orders WHERE status = 'paid'";
const APPLIED: &str = "SELECT COUNT(*) FROM payment_events WHERE status = 'applied'";
const TRANSITIONS: &str = "SELECT COUNT(*) FROM order_events WHERE to_status = 'paid'";
const CHARGES: &str = "SELECT COUNT(*) FROM charges WHERE status = 'paid'";

/// Returns an instance in queue mode without a worker: it leaves every event in the inbox.
async fn queueing(shop: &Shop) -> (Arc<App>, Proxy) {
    let (config, proxy) = shop.config_through_proxy().await;
    (Arc::new(App::new(&with_policy(config, |policy| policy.webhook_mode = WebhookMode::Queue))), proxy)
}

/// Delivers these events; all of them then wait in the inbox.
async fn queue(app: &Arc<App>, events: impl IntoIterator<Item = PaymentEvent>) {
    for receipt in all(in_order(events.into_iter().map(|event| deliver(app, event)))).await {
        assert_eq!(receipt.expect("it is taken in").status, EventStatus::Received);
    }
}

fn pay(order_id: &Uuid) -> PaymentEvent {
    payment(*order_id, &order_id.to_string())
}

async fn work_off(app: &App) {
    while app.checkout.process_due_events().await.expect("the step runs") {}
}

impl Shop {
    async fn let_backlog_be_due(&self) {
        self.execute("UPDATE payment_events SET due_at = UTC_TIMESTAMP(6) WHERE status = 'received'").await;
    }

    async fn assert_each_paid_once(&self, count: i64) {
        for query in [PAID, APPLIED, TRANSITIONS, CHARGES] {
            assert_eq!(self.count(query).await, count, "{query}");
        }
        self.assert_conserved().await;
    }
}

#[tokio::test]
async fn plain_payments_of_a_backlog_are_applied_in_one_transaction_and_other_events_alone() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (app, proxy) = queueing(&shop).await;
    let placed = orders(&app, product_id, 40).await;
    let mut events: Vec<PaymentEvent> = placed.iter().map(pay).collect();
    let of = |place: usize, key: &str| payment(placed[place], key);
    // this payment names the hold instead of the order
    let hold_id: Vec<u8> = shop.row(&format!("SELECT hold_id FROM orders WHERE id = x'{}'", placed[39].simple())).await;
    events[39].reference = Reference { order_id: None, hold_id: Uuid::from_slice(&hold_id).ok() };
    events.extend([
        of(0, "a second charge"),
        PaymentEvent { txn_id: events[1].txn_id.clone(), ..of(1, "the same charge") },
        PaymentEvent { meaning: Meaning::Failed, ..of(2, "a failure") },
        PaymentEvent { meaning: Meaning::Refunded, txn_id: events[3].txn_id.clone(), ..of(3, "a refund") },
        payment(Uuid::now_v7(), "of no order"),
    ]);
    events[4].amount = Some("1.00".to_owned());
    queue(&app, events).await;
    proxy.clear();
    work_off(&app).await;
    let batches = ["payment_events/lease_all", "payment_events/mark_all_applied", "orders/mark_all_paid"];
    assert_eq!(batches.map(|name| sent(&proxy, name)), [1, 1, 1]);
    let states: Vec<(String, i64)> =
        shop.rows("SELECT CONCAT(meaning, ' ', status), COUNT(*) FROM payment_events GROUP BY 1 ORDER BY 1").await;
    let expected = [
        ("failed ignored", 1),
        ("refunded applied", 1),
        ("succeeded applied", 39),
        ("succeeded ignored", 1),
        ("succeeded parked", 1),
        ("succeeded quarantined", 1),
        ("succeeded refund_due", 1),
    ];
    assert_eq!(states, expected.map(|(state, count)| (state.to_owned(), count)));
    let tried = "SELECT COUNT(*) FROM payment_events WHERE attempts = 1 AND attempted_at IS NOT NULL";
    assert_eq!(shop.count(tried).await, 45, "each attempt is counted");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refund_that_waits_for_a_payment_of_the_backlog_takes_effect_with_it() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (app, _proxy) = queueing(&shop).await;
    let placed = orders(&app, product_id, 3).await;
    let charge = pay(&placed[0]).txn_id;
    let refund = PaymentEvent { meaning: Meaning::Refunded, txn_id: charge, ..payment(placed[0], "a refund") };
    queue(&app, [refund]).await;
    work_off(&app).await;
    assert_eq!(shop.count("SELECT COUNT(*) FROM payment_events WHERE status = 'parked'").await, 1);
    queue(&app, placed.iter().map(pay)).await;
    work_off(&app).await;
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders WHERE status = 'refunded'").await, 1);
    assert_eq!(shop.count(PAID).await, 2);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn two_instances_on_one_backlog_apply_every_payment_once() {
    for held_back in ["payment_events/lease_all", "payment_events/mark_all_applied"] {
        let shop = Shop::open().await;
        let product_id = shop.product(100).await;
        let (slow, proxy) = queueing(&shop).await;
        let placed = orders(&slow, product_id, 30).await;
        queue(&slow, placed.iter().map(pay)).await;
        let packet = proxy.on(format!("-- {held_back}:").as_str(), Action::PauseBefore);
        let step = tokio::spawn(async move { slow.checkout.process_due_events().await });
        packet.reached().await;
        let (quick, others) = queueing(&shop).await;
        work_off(&quick).await;
        let leased = held_back.ends_with("applied");
        assert_eq!(sent(&others, "payment_events/mark_all_applied"), usize::from(!leased));
        packet.release();
        step.await.expect("no panic").expect("the step runs");
        shop.assert_each_paid_once(30).await;
        assert_eq!(shop.count("SELECT COUNT(*) FROM payment_events WHERE attempts <> 1").await, 0);
    }
}

#[tokio::test]
async fn a_payment_that_another_instance_applies_meanwhile_only_delays_its_batch() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (slow, proxy) = queueing(&shop).await;
    let placed = orders(&slow, product_id, 20).await;
    queue(&slow, placed.iter().map(pay)).await;
    let packet = proxy.on("-- payment_events/mark_all_applied:", Action::PauseBefore);
    let step = tokio::spawn(async move { slow.checkout.process_due_events().await });
    packet.reached().await;
    // the cancellation applies the waiting payment first
    shop.app()
        .checkout
        .cancel_order(&holdfast::domain::Caller::operator(), placed[7])
        .await
        .expect_err("it is paid by then");
    packet.release();
    step.await.expect("no panic").expect("the step runs");
    shop.assert_each_paid_once(20).await;
}

#[tokio::test]
async fn one_payment_that_cannot_be_applied_does_not_delay_the_others_of_its_batch() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (app, _proxy) = queueing(&shop).await;
    let placed = orders(&app, product_id, 20).await;
    queue(&app, placed.iter().map(pay)).await;
    let (id, refuse) = (placed[11].simple(), "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'");
    shop.execute(&format!(
        "CREATE TRIGGER no_order BEFORE UPDATE ON orders FOR EACH ROW BEGIN IF NEW.id = x'{id}' THEN {refuse}; END IF; END"
    ))
    .await;
    work_off(&app).await;
    shop.assert_each_paid_once(19).await;
    let left: (String, u32) = shop.row("SELECT status, attempts FROM payment_events WHERE status <> 'applied'").await;
    assert_eq!(left, ("received".to_owned(), 1));
    let trail: (String, String) = shop.row("SELECT action, CAST(detail AS CHAR) FROM payment_event_trail").await;
    assert!(trail.0 == "attempt_failed" && trail.1.contains("not this one"), "{trail:?}");
    shop.execute("DROP TRIGGER no_order").await;
    shop.let_backlog_be_due().await;
    work_off(&app).await;
    shop.assert_each_paid_once(20).await;
}

#[tokio::test]
async fn a_crash_anywhere_in_a_batch_of_the_backlog_loses_no_payment_and_applies_none_twice() {
    let cuts = |packet: &str| {
        let commit = || Rule::exactly("COMMIT");
        [
            (Rule::from(packet), Action::CutBefore),
            (packet.into(), Action::CutAfter),
            (commit(), Action::CutBefore),
            (commit(), Action::CutAfter),
        ]
    };
    let lease = cuts("-- payment_events/lease_all:").into_iter().map(|cut| (cut, 0));
    let apply = cuts("-- payment_events/mark_all_applied:").into_iter().map(|(rule, action)| {
        // the first COMMIT is that of the lease
        let skip = usize::from(rule == Rule::exactly("COMMIT"));
        ((rule, action), skip)
    });
    for ((rule, action), skip) in lease.chain(apply) {
        let shop = Shop::open().await;
        let product_id = shop.product(100).await;
        let (dying, proxy) = queueing(&shop).await;
        let placed = orders(&dying, product_id, 10).await;
        queue(&dying, placed.iter().map(pay)).await;
        let cut = proxy.on(rule.clone().skip(skip), action);
        let step = tokio::spawn(async move { dying.checkout.process_due_events().await });
        cut.reached().await;
        // from here on no packet reaches the database, and the process ends
        proxy.refuse().await;
        step.abort();
        let next = shop.app();
        shop.let_backlog_be_due().await;
        work_off(&next).await;
        // the server may roll back the transaction of the broken connection only later
        if shop.count(APPLIED).await < 10 {
            shop.let_backlog_be_due().await;
            work_off(&next).await;
        }
        shop.assert_each_paid_once(10).await;
        let most = shop.count("SELECT CAST(MAX(attempts) AS SIGNED) FROM payment_events").await;
        assert!(most <= 3, "{rule:?} {action:?}: {most} attempts");
    }
}
