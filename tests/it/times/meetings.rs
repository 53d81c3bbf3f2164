//! A change of a hold meets an expiry, an order, a release or another change.

use std::time::Duration;

use holdfast::checkout::{Checkout, Error, Extension, NewHold, Policy, WholeReads};
use holdfast::db::Database;
use holdfast::domain::{Caller, Refusal};
use mysql_async::Opts;

use super::*;
use crate::support::proxy::{Action, Rule};

const LAST_DEADLINE: &str = "SELECT MAX(expires_at) FROM holds WHERE status = 'active'";

#[tokio::test]
async fn an_extension_that_began_in_time_wins_over_an_expiry_that_saw_the_old_deadline() {
    let shop = Shop::open().await;
    let product_id = shop.product(3).await;
    let (buyer, worker) = (shop.serve_without_workers().await, shop.app());
    let hold_id = buyer.hold(product_id, 2).await;
    shop.let_holds_run_out_in(1_500).await;

    let commit = buyer.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let extension = extending(&buyer, &hold_path(&hold_id), 60);
    commit.reached().await;
    shop.until_holds_have_run_out().await;
    let step = tokio::spawn(async move { worker.checkout.expire_holds().await });
    // it has listed the hold by the old deadline, and waits for its row
    shop.until_running("holds/expire").await;
    commit.release();

    answer(extension).await.expect(200);
    step.await.expect("no panic").expect("the step runs");
    assert_eq!(buyer.hold_status(&hold_id).await, "active");
    assert_eq!(shop.reserved(product_id).await, 2);
    shop.assert_conserved().await;
    shop.app().checkout.expire_holds().await.expect("the step runs");
    assert_eq!(buyer.hold_status(&hold_id).await, "active");
}

#[tokio::test]
async fn units_that_were_taken_off_a_hold_after_the_worker_saw_it_come_back_once() {
    let shop = Shop::open().await;
    let product_id = shop.product(6).await;
    let (buyer, worker) = (shop.serve_without_workers().await, shop.app());
    let (ending, kept) = (buyer.hold(product_id, 3).await, buyer.hold(product_id, 3).await);
    run_out_in(&shop, &ending, 1_500).await;

    let commit = buyer.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let fewer = keeping(&buyer, &ending, 1);
    commit.reached().await;
    until_past(&shop, "SELECT MIN(expires_at) FROM holds").await;
    let step = tokio::spawn(async move { worker.checkout.expire_holds().await });
    shop.until_running("holds/expire").await;
    commit.release();

    answer(fewer).await.expect(200);
    step.await.expect("no panic").expect("the step runs");
    assert_eq!(
        (buyer.hold_status(&ending).await.as_str(), buyer.hold_status(&kept).await.as_str()),
        ("expired", "active")
    );
    assert_eq!(shop.reserved(product_id).await, 3, "the units of the other hold");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_order_whose_hold_shrinks_before_it_is_marked_costs_what_is_left() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let (buyer, other) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    // one hold is read by the instance that orders it, the other one is remembered there
    for taken_by in [&other, &buyer] {
        let hold_id = taken_by.hold(product_id, 4).await;
        let mark = buyer.proxy.on("-- holds/mark_ordered:", Action::PauseBefore);
        let order = ordering(&buyer, &hold_id);
        mark.reached().await;
        keep(&other, &hold_id, 1).await.expect(200);
        mark.release();
        let order = answer(order).await.expect(201);
        assert_eq!(
            (&order.body["total_minor"], &order.body["items"][0]["qty"]),
            (&4999.into(), &1.into()),
            "{order:?}"
        );
    }
    assert_eq!(shop.reserved(product_id).await, 2);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_batch_of_orders_marks_changed_and_unchanged_holds_together() {
    let shop = Shop::open().await;
    let product_id = shop.product(100).await;
    let (buyer, other) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    let mut holds = Vec::new();
    for changes in 0..4 {
        let hold_id = other.hold(product_id, 5).await;
        for qty in (5 - changes..5).rev() {
            keep(&other, &hold_id, qty).await.expect(200);
        }
        holds.push(hold_id);
    }
    // the first order keeps the lane busy, so that the others share a batch
    let first = other.hold(product_id, 1).await;
    let held_up = buyer.proxy.on(Rule::from("-- orders/insert:"), Action::PauseBefore);
    let ahead = ordering(&buyer, &first);
    held_up.reached().await;
    let orders: Vec<_> = holds.iter().map(|hold_id| ordering(&buyer, hold_id)).collect();
    held_up.release();
    answer(ahead).await.expect(201);
    for (order, qty) in orders.into_iter().zip([5, 4, 3, 2]) {
        assert_eq!(answer(order).await.expect(201).body["total_minor"], qty * 4999);
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn of_a_change_and_an_order_the_first_commit_wins() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let (buyer, other) = (shop.serve_without_workers().await, shop.serve_without_workers().await);

    for (statement, changes) in [("holds/extend", true), ("holds/reduce", false)] {
        let hold_id = buyer.hold(product_id, 2).await;
        let commit = buyer.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
        let order = ordering(&buyer, &hold_id);
        commit.reached().await;
        let path = hold_path(&hold_id);
        let change = if changes { extending(&other, &path, 60) } else { keeping(&other, &hold_id, 1) };
        shop.until_running(statement).await;
        commit.release();
        let order_id = answer(order).await.expect(201).text("order_id");
        assert_eq!(answer(change).await.refused(409, "hold_used").text("order_id"), order_id);
    }
    assert_eq!(shop.reserved(product_id).await, 4);

    let hold_id = buyer.hold(product_id, 2).await;
    let commit = other.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let extension = extending(&other, &hold_path(&hold_id), 60);
    commit.reached().await;
    let order = ordering(&buyer, &hold_id);
    shop.until_running("holds/mark_ordered").await;
    commit.release();
    answer(extension).await.expect(200);
    answer(order).await.expect(201);
    assert_eq!(shop.reserved(product_id).await, 6);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn of_a_change_and_a_release_the_first_commit_wins() {
    let shop = Shop::open().await;
    let product_id = shop.product(10).await;
    let (buyer, other) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    let releasing = |hold_id: &str| {
        let (client, hold_id) = (other.client.clone(), hold_id.to_owned());
        tokio::spawn(async move { client.release(&hold_id).await })
    };

    // the release waits for the change, and gives back what is left
    let hold_id = buyer.hold(product_id, 5).await;
    let commit = buyer.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let fewer = keeping(&buyer, &hold_id, 2);
    commit.reached().await;
    let release = releasing(&hold_id);
    shop.until_running("holds/release").await;
    commit.release();
    answer(fewer).await.expect(200);
    assert_eq!(answer(release).await.expect(200).text("status"), "released");
    assert_eq!(shop.reserved(product_id).await, 0);

    for extends in [true, false] {
        let hold_id = buyer.hold(product_id, 5).await;
        let commit = other.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
        let release = releasing(&hold_id);
        commit.reached().await;
        let path = hold_path(&hold_id);
        let change = if extends { extending(&buyer, &path, 60) } else { keeping(&buyer, &hold_id, 1) };
        shop.until_running(if extends { "holds/extend" } else { "holds/reduce" }).await;
        commit.release();
        assert_eq!(answer(release).await.expect(200).text("status"), "released");
        answer(change).await.refused(409, "hold_released");
        assert_eq!(shop.reserved(product_id).await, 0);
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_change_whose_hold_runs_out_before_its_statement_is_refused() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let (buyer, worker) = (shop.serve_without_workers().await, shop.app());
    for extends in [true, false] {
        let hold_id = buyer.hold(product_id, 2).await;
        let statement = if extends { "-- holds/extend:" } else { "-- holds/reduce:" };
        let held_back = buyer.proxy.on(statement, Action::PauseBefore);
        let path = hold_path(&hold_id);
        let change = if extends { extending(&buyer, &path, 60) } else { keeping(&buyer, &hold_id, 1) };
        held_back.reached().await;
        shop.let_holds_run_out().await;
        if extends {
            worker.checkout.expire_holds().await.expect("the step runs");
        }
        held_back.release();
        answer(change).await.refused(409, "hold_expired");
        worker.checkout.expire_holds().await.expect("the step runs");
        assert_eq!(shop.reserved(product_id).await, 0);
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn two_changes_at_once_both_count() {
    let shop = Shop::open().await;
    let product_id = shop.product(9).await;
    let (one, other) = (shop.serve_without_workers().await, shop.serve_without_workers().await);
    let hold_id = one.hold(product_id, 9).await;
    let before = deadline(&one, &hold_path(&hold_id)).await;

    let commit = one.proxy.on(Rule::exactly("COMMIT"), Action::PauseBefore);
    let first = keeping(&one, &hold_id, 4);
    commit.reached().await;
    let (second, third) = (keeping(&other, &hold_id, 6), extending(&other, &hold_path(&hold_id), 60));
    shop.until_running("holds/reduce").await;
    commit.release();
    answer(first).await.expect(200);
    // it saw nine units, and now there are four
    assert_eq!(answer(second).await.refused(409, "hold_not_larger").body["qty"], 4);
    answer(third).await.expect(200);
    let after = deadline(&one, &hold_path(&hold_id)).await;
    assert_eq!((after - before).num_seconds(), 60);
    assert_eq!(
        (lines(&shop, &hold_id).await, shop.reserved(product_id).await),
        (vec![(product_id, 4, "active".to_owned(), 2)], 4)
    );
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_worker_that_has_read_past_the_old_deadline_finds_the_new_one() {
    let shop = Shop::open().await;
    let product_id = shop.product(3).await;
    let (buyer, worker) = (shop.serve_without_workers().await, shop.app());
    let (held, ordered) = (buyer.hold(product_id, 2).await, buyer.hold(product_id, 1).await);
    let order_id = buyer.order(&ordered).await;
    let (hold, order) = (hold_path(&held), order_path(&order_id));
    run_out_in(&shop, &held, 4_000).await;
    overdue_in(&shop, 4_000).await;
    for path in [&hold, &order] {
        extend(&buyer, path, 1).await.expect(200);
    }
    until_past(&shop, &format!("({LAST_DEADLINE}) - INTERVAL 1 SECOND")).await;
    worker.checkout.expire_holds().await.expect("the step runs");
    worker.checkout.cancel_overdue_orders().await.expect("the step runs");
    assert_eq!(
        (buyer.hold_status(&held).await.as_str(), buyer.order_status(&order_id).await.as_str()),
        ("active", "pending")
    );
    until_past(&shop, LAST_DEADLINE).await;
    until_past(&shop, "SELECT pay_by FROM orders").await;
    worker.checkout.expire_holds().await.expect("the step runs");
    worker.checkout.cancel_overdue_orders().await.expect("the step runs");
    assert_eq!(
        (buyer.hold_status(&held).await.as_str(), buyer.order_status(&order_id).await.as_str()),
        ("expired", "cancelled")
    );
    assert_eq!(shop.reserved(product_id).await, 0);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refusal_knows_that_the_deadline_of_the_last_units_was_moved() {
    let shop = Shop::open().await;
    let product_id = shop.product(2).await;
    let opts = Opts::from_url(&shop.database.url).expect("a database URL");
    // each whole read counts as slow, and serves for an hour
    let whole_reads = WholeReads { slow: Duration::ZERO, every: Duration::from_secs(3_600) };
    let checkout = Checkout::new(Database::new(opts, 4), Policy { whole_reads, ..Policy::default() });
    // one row has both units, so that fewer rows come back than the refusal asks for: it knows of no others
    let refused = async || match checkout.create_hold(NewHold::new(product_id, 2, None)).await {
        Err(Error::Refused(Refusal::AllHeld { retry_after_seconds, .. })) => Some(retry_after_seconds),
        Err(Error::Refused(Refusal::SoldOut { .. })) => None,
        other => panic!("{other:?}"),
    };
    let hold = checkout.create_hold(NewHold::new(product_id, 2, None)).await.expect("enough units").hold;
    assert!(refused().await.is_some_and(|seconds| (110..=120).contains(&seconds)), "the hold's own time");
    let extension = Extension::new(400, None).expect("in range");
    checkout.extend_hold(&Caller::operator(), hold.id, &extension).await.expect("it is active");
    assert!(refused().await.is_some_and(|seconds| (510..=520).contains(&seconds)), "the moved time");

    let order =
        checkout.create_order(holdfast::checkout::NewOrder::new(hold.id, None, None)).await.expect("active").order;
    assert!(refused().await.is_some_and(|seconds| (890..=900).contains(&seconds)), "the order's own time");
    let extension = Extension::new(1_000, None).expect("in range");
    checkout.extend_order(&Caller::operator(), order.id, &extension).await.expect("it is pending");
    assert!(refused().await.is_some_and(|seconds| (1_890..=1_900).contains(&seconds)), "the moved time");
    checkout.close().await;
}
