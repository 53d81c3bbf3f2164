//! Wrong clocks: the service's own, and the database's, which may also jump. The proxy puts the database's clock forward or
//! back for every statement that it forwards.

use std::sync::Arc;

use holdfast::app::App;
use holdfast::checkout::audit::report::Kind;
use holdfast::checkout::{Error, Operation};
use holdfast::config::Config;
use holdfast::domain::{EventStatus, HoldStatus, OrderStatus, Reference, Refusal};
use serde_json::json;
use standardwebhooks::Webhook;
use uuid::Uuid;

use crate::signatures::now;
use crate::support::crowd::keyed;
use crate::support::process::Process;
use crate::support::proxy::Proxy;
use crate::support::statsd::StatsD;
use crate::support::{Answer, Client, Shop, eventually, payment, with_policy};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const HOUR: i64 = 3600;

/// Delivers a payment that was signed at this time.
async fn deliver(client: &Client, order_id: &str, at: i64) -> Answer {
    let body = json!({ "order_id": order_id, "status": "paid", "amount": "49.99", "txn_id": order_id }).to_string();
    let signature = Webhook::new(SECRET).expect("a secret").sign(order_id, at, body.as_bytes()).expect("a signature");
    let request = client.request("POST", "/api/payments/webhook").header("content-type", "application/json");
    let request = request.header("webhook-id", order_id).header("webhook-timestamp", at.to_string());
    client.send(request.header("webhook-signature", signature).body(body)).await
}

#[tokio::test]
async fn a_webhook_is_accepted_if_its_time_fits_the_clock_of_the_database_or_of_the_service() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let client = shop.serve_without_workers_as(shop.believing(SECRET)).await;
    let (_, first) = client.hold_and_order(product_id, 1).await;
    let (_, second) = client.hold_and_order(product_id, 1).await;
    // one of the two clocks is wrong by ten minutes
    client.proxy.set_clock(600);
    let early = deliver(&client, &first, now() + 600).await;
    early.refused(401, "invalid_signature");
    deliver(&client, &first, now()).await.expect(200);
    client.app.checkout.read_clock().await.expect("the database answers");
    // the service cannot tell which of the two clocks is right
    deliver(&client, &second, now() + 600).await.expect(200);
    let (_, third) = client.hold_and_order(product_id, 1).await;
    for off in [-600, 1200] {
        deliver(&client, &third, now() + off).await.refused(401, "invalid_signature");
    }
    deliver(&client, &third, now()).await.expect(200);
    shop.assert_conserved().await;
}

/// Rows that can run out, none of which has.
struct Sale {
    product_id: i64,
    hold_id: Uuid,
    order_id: Uuid,
    /// The hold that a later payment names.
    paid_hold: Uuid,
}

impl Sale {
    /// Makes the rows, and runs a step so that the instance has read the database's clock.
    async fn open(shop: &Shop, app: &Arc<App>) -> Self {
        let product_id = shop.product(4).await;
        let hold = async || {
            app.checkout
                .create_hold(holdfast::checkout::NewHold::new(product_id, 1, None))
                .await
                .expect("enough units")
                .hold
                .id
        };
        let (hold_id, ordered, paid_hold) = (hold().await, hold().await, hold().await);
        let order_id = app
            .checkout
            .create_order(holdfast::checkout::NewOrder::new(ordered, None, None))
            .await
            .expect("an active hold")
            .order
            .id;
        app.checkout.receive_event(payment(Uuid::now_v7(), "of no order")).await.expect("it is taken in");
        Self::step(app).await;
        Self { product_id, hold_id, order_id, paid_hold }
    }

    /// Runs each worker's step that ends overdue rows.
    async fn step(app: &App) {
        app.checkout.expire_holds().await.expect("the step runs");
        app.checkout.cancel_overdue_orders().await.expect("the step runs");
        app.checkout.find_stragglers().await.expect("the step runs");
        app.checkout.process_due_events().await.expect("the step runs");
        app.checkout.sweep_parked().await.expect("the step runs");
    }

    async fn assert_untouched(&self, shop: &Shop) {
        assert_eq!(shop.count("SELECT COUNT(*) FROM holds WHERE status = 'active'").await, 2);
        assert_eq!(shop.count("SELECT COUNT(*) FROM orders WHERE status = 'pending'").await, 1);
        assert_eq!(shop.count("SELECT COUNT(*) FROM payment_events WHERE status = 'refund_due'").await, 0);
        assert_eq!(shop.reserved(self.product_id).await, 3);
    }
}

async fn app_with_pause(shop: &Shop, clock_jump_seconds: u64) -> (Arc<App>, Proxy) {
    let (config, proxy) = shop.config_through_proxy().await;
    (
        Arc::new(App::new(&with_policy(Config { clock_jump_seconds, ..config }, |policy| policy.park_seconds = 1000))),
        proxy,
    )
}

#[tokio::test]
async fn a_database_clock_that_jumps_ahead_lets_nothing_run_out_until_the_pause_is_over() {
    let shop = Shop::open().await;
    let (app, proxy) = app_with_pause(&shop, 600).await;
    let sale = Sale::open(&shop, &app).await;
    proxy.set_clock(HOUR);
    // the page of due rows is the first response with the new time
    app.checkout.expire_holds().await.expect("the step runs");
    sale.assert_untouched(&shop).await;
    Sale::step(&app).await;
    sale.assert_untouched(&shop).await;
    for next in [app.checkout.next_hold_due().await, app.checkout.next_order_due().await] {
        let next = next.expect("it can be read").expect("the end of the pause");
        assert!(next.as_secs() > 500, "{next:?}");
    }
    // a refused hold gives nothing back either, and new holds are still taken
    let refused = app.checkout.create_hold(holdfast::checkout::NewHold::new(sale.product_id, 2, None)).await;
    assert!(matches!(refused, Err(Error::Refused(Refusal::AllHeld { available_stock: 1, .. }))), "{refused:?}");
    let ahead = app
        .checkout
        .create_hold(holdfast::checkout::NewHold::new(sale.product_id, 1, None))
        .await
        .expect("a unit is free")
        .hold;
    shop.execute("UPDATE products SET stock = 5").await;
    // a payment that names a hold is parked, and one that names an order pays it
    let for_hold = holdfast::domain::PaymentEvent {
        reference: Reference { order_id: None, hold_id: Some(sale.paid_hold) },
        ..payment(sale.order_id, "of a hold")
    };
    let parked = app.checkout.receive_event(for_hold).await.expect("it is taken in");
    assert_eq!(parked.status, EventStatus::Parked);
    let paid = app.checkout.receive_event(payment(sale.order_id, "of an order")).await.expect("it is taken in");
    assert_eq!(paid.order_status, Some(OrderStatus::Paid));
    assert_eq!(shop.count("SELECT COUNT(*) FROM holds WHERE status IN ('expired', 'released')").await, 0);
    proxy.set_clock(0);
    app.checkout.release_hold(&holdfast::domain::Caller::operator(), ahead.id).await.expect("it is active");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn every_code_path_that_ends_overdue_rows_stops_before_it_changes_one() {
    for place in 0..6 {
        let shop = Shop::open().await;
        let (app, proxy) = app_with_pause(&shop, 600).await;
        let sale = Sale::open(&shop, &app).await;
        shop.execute("UPDATE products SET stock = 3").await;
        proxy.set_clock(HOUR);
        let checkout = &app.checkout;
        match place {
            0 => drop(checkout.expire_holds().await.expect("the step runs")),
            1 => drop(checkout.cancel_overdue_orders().await.expect("the step runs")),
            2 => drop(checkout.find_stragglers().await.expect("the step runs")),
            3 => drop(checkout.process_due_events().await.expect("the step runs")),
            4 => drop(
                checkout
                    .create_hold(holdfast::checkout::NewHold::new(sale.product_id, 1, None))
                    .await
                    .expect_err("none is left"),
            ),
            _ => {
                let reference = Reference { order_id: None, hold_id: Some(sale.paid_hold) };
                let event = holdfast::domain::PaymentEvent { reference, ..payment(sale.order_id, "of a hold") };
                let receipt = checkout.receive_event(event).await.expect("it is taken in");
                assert_eq!(receipt.status, EventStatus::Parked);
            }
        }
        sale.assert_untouched(&shop).await;
        assert!(checkout.database().clock().paused_for().is_some(), "{place}");
    }
}

#[tokio::test]
async fn rows_that_are_overdue_by_the_new_clock_are_ended_after_the_pause() {
    let shop = Shop::open().await;
    let (app, proxy) = app_with_pause(&shop, 1).await;
    let sale = Sale::open(&shop, &app).await;
    proxy.set_clock(HOUR);
    app.checkout.expire_holds().await.expect("the step runs");
    sale.assert_untouched(&shop).await;
    let over = eventually(async || {
        Sale::step(&app).await;
        shop.reserved(sale.product_id).await == 0
    });
    assert!(over.await, "units come back after the pause");
    assert_eq!(
        app.checkout.hold(&holdfast::domain::Caller::operator(), sale.hold_id).await.expect("it is there")[0].status,
        HoldStatus::Expired
    );
    let given_up = async || {
        Sale::step(&app).await;
        shop.count("SELECT COUNT(*) FROM payment_events WHERE status = 'refund_due'").await == 1
    };
    assert!(eventually(given_up).await, "the payment without an order is given up");
}

#[tokio::test]
async fn after_a_database_clock_jumps_back_expiry_pauses_and_then_misses_no_row() {
    let shop = Shop::open().await;
    let (app, proxy) = app_with_pause(&shop, 1).await;
    // the clock is an hour ahead at first
    proxy.set_clock(HOUR);
    app.checkout.read_clock().await.expect("the database answers");
    Sale::step(&app).await;
    proxy.set_clock(0);
    let sale = Sale::open(&shop, &app).await;
    assert!(app.checkout.database().clock().paused_for().is_some());
    shop.let_hold_run_out(&sale.hold_id.to_string()).await;
    shop.let_order_run_out(&sale.order_id.to_string()).await;
    let over = eventually(async || {
        app.checkout.expire_holds().await.expect("the step runs");
        app.checkout.cancel_overdue_orders().await.expect("the step runs");
        shop.reserved(sale.product_id).await == 1
    });
    assert!(
        over.await,
        "rows that are overdue by the right clock are ended, although the workers have read a later time"
    );
    shop.assert_conserved().await;
}

#[tokio::test]
async fn two_servers_with_different_clocks_that_answer_in_turn_pause_expiry_once_and_end_nothing_early() {
    let shop = Shop::open().await;
    let (app, proxy) = app_with_pause(&shop, 2).await;
    let sale = Sale::open(&shop, &app).await;
    shop.let_hold_run_out(&sale.hold_id.to_string()).await;
    let over = eventually(async || {
        for seconds in [HOUR, 0] {
            proxy.set_clock(seconds);
            app.checkout.read_clock().await.expect("the database answers");
            Sale::step(&app).await;
        }
        shop.reserved(sale.product_id).await == 2
    });
    assert!(over.await, "a hold that has run out by both clocks is ended");
    proxy.set_clock(HOUR);
    Sale::step(&app).await;
    assert_eq!(shop.count("SELECT COUNT(*) FROM holds WHERE status = 'active'").await, 1);
    assert_eq!(shop.count("SELECT COUNT(*) FROM orders WHERE status = 'pending'").await, 1);
    assert_eq!(shop.count("SELECT COUNT(*) FROM payment_events WHERE status = 'refund_due'").await, 0);
}

#[tokio::test]
async fn a_clock_that_has_jumped_deletes_no_idempotency_key_until_the_pause_is_over() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let (app, proxy) = app_with_pause(&shop, 1).await;
    let key = || Some(keyed(Operation::Hold, "key", 0));
    let first = app
        .checkout
        .create_hold(holdfast::checkout::NewHold::new(product_id, 1, key()))
        .await
        .expect("enough units")
        .hold
        .id;
    app.checkout.read_clock().await.expect("the database answers");
    proxy.set_clock(72 * HOUR);
    assert!(!app.checkout.forget_old_keys().await.expect("the step runs"));
    let copy =
        app.checkout.create_hold(holdfast::checkout::NewHold::new(product_id, 1, key())).await.expect("a copy").hold.id;
    assert_eq!(copy, first, "the key is still there");
    let deleted = eventually(async || {
        app.checkout.forget_old_keys().await.expect("the step runs");
        shop.count("SELECT COUNT(*) FROM idempotency_keys").await == 0
    });
    assert!(deleted.await, "it is deleted after the pause");
}

#[tokio::test]
async fn a_clock_that_changes_again_and_again_is_logged_a_few_times_and_not_as_a_pause_when_there_is_none() {
    let shop = Shop::open().await;
    let statsd = StatsD::start().await;
    let (_, proxy) = shop.config_through_proxy().await;
    let settings = [statsd.setting(), ("HOLDFAST_CLOCK_JUMP_SECONDS", "0")];
    let (process, _client) = Process::serve(&proxy.url(&shop.database.url), &settings).await;
    statsd.gauged("expiry.paused", &[], |paused| paused == 0.0).await;
    for jump in 1..=5 {
        proxy.set_clock(if jump % 2 == 0 { 0 } else { HOUR });
        statsd.counted("clock.jumps", &[], jump).await;
    }
    let log = process.terminate().await.expect(0).err;
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(lines("the database's clock has jumped"), 1, "{log}");
    assert_eq!(lines("different clocks answer in turn"), 1, "{log}");
    assert!(lines("clock") <= 4 && lines("pause") == 0, "{log}");
}

#[tokio::test]
async fn with_a_pause_of_zero_seconds_a_clock_jump_does_not_stop_expiry() {
    let shop = Shop::open().await;
    let (app, proxy) = app_with_pause(&shop, 0).await;
    let sale = Sale::open(&shop, &app).await;
    proxy.set_clock(HOUR);
    app.checkout.expire_holds().await.expect("the step runs");
    assert_eq!(shop.reserved(sale.product_id).await, 1);
}

#[tokio::test]
async fn the_audit_finds_holds_and_orders_made_while_the_clock_was_ahead_and_they_can_be_ended() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let client = shop.serve_without_workers().await;
    client.proxy.set_clock(HOUR);
    let (hold_id, order_id) = (client.hold(product_id, 1).await, client.hold_and_order(product_id, 1).await.1);
    client.proxy.set_clock(0);
    let audit = async || shop.app().checkout.audit().await.expect("an audit can be made");
    let report = audit().await;
    let found: Vec<(Kind, &str)> = report.findings.iter().map(|finding| (finding.kind, finding.id.as_str())).collect();
    let expected = [(Kind::HoldDeadlineTooLate, hold_id.as_str()), (Kind::OrderDeadlineTooLate, order_id.as_str())];
    assert_eq!(found, expected, "{report}");
    client.release(&hold_id).await.expect(200);
    client.cancel(&order_id).await.expect(200);
    assert_eq!(shop.reserved(product_id).await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn metrics_readiness_and_logs_show_clocks_that_differ_and_a_jump() {
    let shop = Shop::open().await;
    let statsd = StatsD::start().await;
    let (_, proxy) = shop.config_through_proxy().await;
    proxy.set_clock(600);
    let (process, client) = Process::serve(&proxy.url(&shop.database.url), &[statsd.setting()]).await;
    statsd.gauged("clock.difference_s", &[], |seconds| (seconds - 600.0).abs() < 60.0).await;
    let detail = async || {
        let ready = client.get("/readyz").await.expect(200);
        ready.body["detail"].as_str().unwrap_or_default().to_owned()
    };
    assert!(eventually(async || detail().await.contains("ahead of this machine's")).await, "{}", detail().await);
    statsd.gauged("expiry.paused", &[], |paused| paused == 0.0).await;
    proxy.set_clock(-600);
    statsd.gauged("expiry.paused", &[], |paused| paused == 1.0).await;
    assert!(detail().await.contains("nothing runs out for another"), "{}", detail().await);
    statsd.counted("clock.jumps", &[], 1).await;
    proxy.set_clock(0);
    statsd.counted("clock.jumps", &[], 2).await;
    let agree = async || process.err.text().contains("agree again");
    assert!(eventually(agree).await, "{}", process.err.text());
    let told = |what: &str| process.err.all().iter().filter(|line| line.contains(what)).count();
    assert_eq!(told("this machine differ\""), 1, "{}", process.err.text());
    assert_eq!(told("the database's clock has jumped"), 2, "{}", process.err.text());
}
