//! The events of one payment at Stripe meet on two instances, or a crash separates them: each is applied once.

use holdfast::domain::WebhookMode;

use crate::stripe::deliver;
use crate::stripe_payment::{Payment, Shown, declined, intent, outcome, session, spawn, two_instances};
use crate::support::proxy::{Action, Rule};
use crate::support::{Instance, Shop, together, with_policy};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_and_intent_at_the_same_moment_pay_once_wherever_one_is_held_back() {
    // which event is held back (0: session, 1: intent), at which statement, and before or after the server has run it
    for (held, statement, action) in [
        (1, "-- payment_events/insert_settled:", Action::PauseBefore),
        // the event is written but not committed: the session cannot see it
        (1, "-- unmatched_objects/insert:", Action::PauseAfter),
        (1, "-- unmatched_objects/list_of_event:", Action::PauseBefore),
        // the intent has found no link, and the link is written after that
        (1, "-- payment_links/list:", Action::PauseAfter),
        (0, "-- payment_links/insert:", Action::PauseBefore),
        // the link is written but not committed: the intent cannot see it
        (0, "-- payment_links/insert:", Action::PauseAfter),
        (0, "-- unmatched_objects/list_waiting:", Action::PauseBefore),
        (0, "-- payment_events/insert_applied:", Action::PauseBefore),
        (0, "-- payment_events/insert_applied:", Action::PauseAfter),
        (0, "-- orders/list_touched:", Action::PauseBefore),
    ] {
        let (shop, slow, fast, payment) = two_instances().await;
        let events = [session(&payment), intent(&payment)];
        let pause = slow.proxy.on(statement, action);
        let first = spawn(&slow, events[held].clone());
        pause.reached().await;
        deliver(&fast, &events[1 - held]).await;
        pause.release();
        let answer = first.await.expect("no panic");
        assert_eq!(answer.status, 200, "{statement} {action:?}: {answer:?}");
        let [one, other] = [slow.client.clone(), fast.client.clone()];
        for event in &events {
            assert_eq!(outcome(&deliver(&one, event).await), (200, "duplicate"), "{statement} {action:?}");
        }
        shop.assert_paid_once(&other, &payment).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_two_instances_match_at_once_is_applied_once() {
    let (shop, one, other, payment) = two_instances().await;
    let matches = [&one, &other].map(|instance| instance.proxy.on("-- payment_events/match:", Action::PauseBefore));
    // the intent finds the link, and the link finds the intent
    let link = other.proxy.on("-- unmatched_objects/list_waiting:", Action::PauseBefore);
    let linking = spawn(&other, session(&payment));
    link.reached().await;
    let unmatched = spawn(&one, intent(&payment));
    matches[0].reached().await;
    link.release();
    matches[1].reached().await;
    matches.iter().for_each(crate::support::proxy::Handle::release);
    for answer in [linking.await.expect("no panic"), unmatched.await.expect("no panic")] {
        assert!([200, 202].contains(&answer.status), "{answer:?}");
    }
    let app = shop.app();
    while app.checkout.process_due_events().await.expect("the step runs") {}
    shop.assert_paid_once(&one, &payment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_events_at_once_on_two_instances_pay_every_order_once() {
    let shop = Shop::open().await;
    let product_id = shop.product(20).await;
    let instances = [Instance::start(shop.stripe_config()).await, Instance::start(shop.stripe_config()).await];
    let mut payments = Vec::new();
    for _ in 0..20 {
        payments.push(Payment::of(&instances[0].hold_and_order(product_id, 1).await.1));
    }
    let deliveries = payments.iter().enumerate().flat_map(|(number, payment)| {
        let events = [session(payment), intent(payment), intent(payment), declined(payment)];
        events.into_iter().enumerate().map(move |(turn, event)| (number + turn, event))
    });
    let tasks = deliveries.map(|(turn, event)| {
        let client = instances[turn % 2].client.clone();
        async move { deliver(&client, &event).await }
    });
    for answer in together(tasks.collect::<Vec<_>>()).await {
        assert!([200, 202].contains(&answer.status), "{answer:?}");
    }
    shop.until("SELECT COUNT(*) FROM payment_events WHERE status IN ('received', 'unmatched')", 0).await;
    for payment in &payments {
        assert_eq!(instances[0].order_status(&payment.order_id).await, "paid");
        let mut states = shop.states_of(payment).await;
        states.sort();
        assert_eq!(states, ["failed ignored", "succeeded applied", "succeeded ignored"]);
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM charges").await, 20);
    assert_eq!(shop.unmatched().await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_workers_apply_events_that_a_crash_left_between_two_steps() {
    // the link is committed, but the instance does not look for the events that wait for it
    let (shop, crashing, client, payment) = two_instances().await;
    deliver(&client, &intent(&payment)).await.expect(200);
    let crash = crashing.proxy.on(Rule::from("-- unmatched_objects/list_waiting:").always(), Action::CutBefore);
    deliver(&crashing, &payment.event("checkout.session.completed.unpaid", Shown::Order)).await;
    drop(crash);
    assert_eq!((client.order_status(&payment.order_id).await.as_str(), shop.unmatched().await), ("pending", 1));
    shop.app().checkout.sweep_unmatched().await.expect("the step runs");
    assert_eq!((client.order_status(&payment.order_id).await.as_str(), shop.unmatched().await), ("paid", 0));
    shop.assert_conserved().await;

    // the unmatched event is committed, but the instance does not look for its link
    let (shop, crashing, client, payment) = two_instances().await;
    deliver(&client, &payment.event("checkout.session.completed.unpaid", Shown::Order)).await.expect(200);
    let crash = crashing.proxy.on(Rule::from("-- unmatched_objects/list_of_event:").always(), Action::CutBefore);
    assert_eq!(outcome(&deliver(&crashing, &intent(&payment)).await), (200, "unmatched"));
    drop(crash);
    shop.app().checkout.sweep_unmatched().await.expect("the step runs");
    assert_eq!((client.order_status(&payment.order_id).await.as_str(), shop.unmatched().await), ("paid", 0));
    shop.assert_conserved().await;

    // the event is matched, but not applied
    let (shop, crashing, client, payment) = two_instances().await;
    deliver(&client, &payment.event("checkout.session.completed.unpaid", Shown::Order)).await.expect(200);
    let crash = crashing.proxy.on(Rule::from("-- payment_events/lease:").always(), Action::CutBefore);
    assert_eq!(outcome(&deliver(&crashing, &intent(&payment)).await), (202, "queued"));
    drop(crash);
    while shop.app().checkout.process_due_events().await.expect("the step runs") {}
    assert_eq!((client.order_status(&payment.order_id).await.as_str(), shop.unmatched().await), ("paid", 0));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_event_whose_commit_has_an_unknown_result_is_applied_once() {
    for commit in [0, 1, 2] {
        let (shop, client, other, payment) = two_instances().await;
        deliver(&other, &payment.event("checkout.session.completed.unpaid", Shown::Order)).await.expect(200);
        let cut = client.proxy.on(Rule::exactly("COMMIT").skip(commit), Action::CutAfter);
        let answer = deliver(&client, &intent(&payment)).await;
        assert_eq!(cut.hits(), 1);
        assert!([200, 202].contains(&answer.status), "{commit}: {answer:?}");
        // a lease whose commit has an unknown result lasts until the next attempt
        shop.execute("UPDATE payment_events SET due_at = UTC_TIMESTAMP(6) WHERE due_at IS NOT NULL").await;
        while shop.app().checkout.process_due_events().await.expect("the step runs") {}
        assert_eq!(shop.states_of(&payment).await, ["succeeded applied"], "{commit}");
        assert_eq!((client.order_status(&payment.order_id).await.as_str(), shop.unmatched().await), ("paid", 0));
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn in_queue_mode_the_worker_applies_events_that_are_linked() {
    let shop = Shop::open().await;
    let product_id = shop.product(2).await;
    let queueing = with_policy(shop.stripe_config(), |policy| policy.webhook_mode = WebhookMode::Queue);
    let client = shop.serve_without_workers_as(queueing).await;
    for intent_first in [true, false] {
        let payment = Payment::of(&client.hold_and_order(product_id, 1).await.1);
        let events = [intent(&payment), session(&payment)];
        for place in if intent_first { [0, 1] } else { [1, 0] } {
            let answer = deliver(&client, &events[place]).await;
            let expected = if intent_first && place == 0 { (200, "unmatched") } else { (202, "queued") };
            assert_eq!(outcome(&answer), expected);
        }
        while client.app.checkout.process_due_events().await.expect("the step runs") {}
        shop.assert_paid_once(&client, &payment).await;
    }
}
