//! Why a cart is refused: each line that cannot be had, from a read that began after the request.

use std::sync::Arc;
use std::time::Duration;

use holdfast::app::App;
use holdfast::checkout::{
    Checkout, Error, Named, NewCart, NewHold, NewLine, NewOrder, Policy, Skus, Taken, WholeReads,
};
use holdfast::db::Database;
use holdfast::domain::{Caller, Details, Refusal};
use mysql_async::Opts;

use super::{cart, products, refused, reserved, take};
use crate::support::Shop;
use crate::support::crowd::{all, in_order, sent};
use crate::support::proxy::Action;

/// A request for a cart without HTTP.
pub(super) fn request(
    app: &Arc<App>,
    lines: &[(i64, i64)],
) -> impl Future<Output = Result<Taken, Error>> + Send + use<> {
    of_buyer(app, None, lines)
}

/// Takes these lines for a buyer, which a product with a limit per buyer demands, or for none.
fn of_buyer(
    app: &Arc<App>,
    buyer: Option<&str>,
    lines: &[(i64, i64)],
) -> impl Future<Output = Result<Taken, Error>> + Send + use<> {
    let app = Arc::clone(app);
    let details = Details::of_hold(&Caller::anonymous(), buyer.map(str::to_owned), None, None).expect("a name");
    let line = |&(product_id, qty): &(i64, i64)| NewLine { product: Named::Id(product_id), qty, seats: None };
    let lines = lines.iter().map(line).collect();
    async move {
        let skus = Skus::default();
        app.checkout
            .create_cart(NewCart { lines, skus, replaces: None, keyed: None, details, held_on: None, operator: None })
            .await
    }
}

async fn set(shop: &Shop, product_id: i64, terms: &str) {
    shop.execute(&format!("UPDATE products SET {terms} WHERE id = {product_id}")).await;
}

#[tokio::test]
async fn a_refusal_names_every_line_and_the_worst_one_gives_its_code() {
    let shop = Shop::open().await;
    let [free, held, early, paused, sold, ended, most] = products(&shop, 5).await;
    let client = shop.serve_without_workers().await;
    client.hold(held, 4).await;
    set(&shop, early, "sale_starts_at = NOW(6) + INTERVAL 1000 SECOND").await;
    set(&shop, paused, "status = 'paused'").await;
    set(&shop, sold, "stock = 1").await;
    set(&shop, ended, "sale_ends_at = NOW(6)").await;
    set(&shop, most, "max_qty = 1").await;
    let missing = most + 1000;
    let worst_last = [
        (held, 409, "all_held"),
        (early, 409, "sale_not_started"),
        (paused, 409, "sale_paused"),
        (sold, 409, "sold_out"),
        (ended, 409, "sale_ended"),
        (most, 422, "invalid_quantity"),
        (missing, 404, "product_not_found"),
    ];
    for count in 1..=worst_last.len() {
        let lines: Vec<(i64, i64)> = worst_last[..count].iter().map(|&(product_id, ..)| (product_id, 2)).collect();
        let (_, status, code) = worst_last[count - 1];
        // in any order, beside a line that could be had
        let asked: Vec<(i64, i64)> = lines.iter().rev().copied().chain([(free, 5)]).collect();
        let answer = take(&client, &asked).await;
        let mut expected: Vec<(i64, String)> =
            worst_last[..count].iter().map(|&(product_id, _, code)| (product_id, code.to_owned())).collect();
        expected.sort_unstable();
        assert_eq!(refused(answer.refused(status, code)), expected);
        let wait: u64 = answer.header("retry-after").parse().unwrap_or(0);
        let range = match code {
            "all_held" => 1..=120,
            // the later of the two
            "sale_not_started" => 900..=1000,
            _ => 0..=0,
        };
        assert!(range.contains(&wait), "{code}: {wait}");
        assert_eq!(answer.body["sale_starts_at"].is_string(), code == "sale_not_started");
        let of_held = answer.body["items"].as_array().expect("a list").iter().find(|item| item["product_id"] == held);
        let of_held = of_held.expect("it is named");
        assert_eq!((of_held["requested"].as_i64(), of_held["available_stock"].as_i64()), (Some(2), Some(1)));
    }
    assert_eq!(reserved(&shop, &[free, held, sold]).await, [0, 4, 0]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn products_of_different_currencies_are_not_held_together() {
    let shop = Shop::open().await;
    let [one, other, third] = products(&shop, 5).await;
    set(&shop, other, "currency = 'USD'").await;
    let client = shop.serve_without_workers().await;
    // first unknown, then remembered
    for _ in 0..2 {
        take(&client, &[(one, 1), (other, 1)]).await.refused(422, "mixed_currencies");
        cart(&client, &[(one, 1), (third, 1)]).await;
        client.hold(other, 1).await;
    }
    // another currency that comes between what is remembered and the guard
    let packet = client.proxy.on("-- products/take_all", Action::PauseBefore);
    let taken = tokio::spawn({
        let client = client.client.clone();
        async move { take(&client, &[(one, 1), (third, 1)]).await }
    });
    packet.reached().await;
    set(&shop, third, "currency = 'USD'").await;
    drop(packet);
    taken.await.expect("no panic").refused(422, "mixed_currencies");
    assert_eq!(reserved(&shop, &[one, other, third]).await, [2, 2, 2]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_cart_gets_the_units_of_holds_that_have_run_out_before_it_is_refused() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 3).await;
    let client = shop.serve_without_workers().await;
    let old = [cart(&client, &[(one, 2), (other, 1)]).await, client.hold(one, 1).await];
    take(&client, &[(one, 1), (other, 2)]).await.refused(409, "all_held");
    shop.let_holds_run_out().await;
    let taken = take(&client, &[(one, 3), (other, 3)]).await.expect(201);
    for hold_id in old {
        assert_eq!(client.hold_status(&hold_id).await, "expired");
    }
    assert_eq!(reserved(&shop, &[one, other]).await, [3, 3]);
    let refused = take(&client, &[(one, 1), (other, 1)]).await;
    assert_eq!(super::refused(refused.refused(409, "all_held")).len(), 2);
    client.order(&taken.text("hold_id")).await;
    take(&client, &[(one, 1), (other, 1)]).await.refused(409, "all_held");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_cart_whose_product_is_sold_out_is_refused_from_a_read_and_the_next_one_without_a_packet() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 3).await;
    let client = shop.serve_without_workers().await;
    cart(&client, &[(one, 3), (other, 1)]).await;
    for _ in 0..2 {
        client.proxy.clear();
        take(&client, &[(one, 1), (other, 1)]).await.refused(409, "all_held");
        let counts = ["products/take_all", "products/list_some", "holds/find_supply", "holds/find_supply_within"]
            .map(|name| sent(&client.proxy, name));
        // the second form of the last read comes after a slow one
        let [packets, reads, supplies, within] = counts;
        assert_eq!([packets, reads, supplies + within], [0, 1, 1]);
    }
    // what is remembered refuses nothing: the units came back by another hand
    shop.execute(&format!("UPDATE products SET stock = 4 WHERE id = {one}")).await;
    cart(&client, &[(one, 1), (other, 1)]).await;
    // units that others have taken are found by the guard, and then by a read
    client.hold(other, 1).await;
    client.proxy.clear();
    take(&client, &[(other, 1), (one, 1)]).await.refused(409, "all_held");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn every_term_that_changes_before_the_guard_counts_for_the_cart() {
    for (before, after, code) in [
        ("", "status = 'paused'", "sale_paused"),
        ("", "sale_starts_at = NOW(6) + INTERVAL 1 DAY", "sale_not_started"),
        ("", "sale_ends_at = NOW(6)", "sale_ended"),
        ("", "max_qty = 1", "invalid_quantity"),
        ("", "stock = 3", "all_held"),
        ("", "price_minor = 7", ""),
        ("", "hold_ttl_seconds = 7", ""),
        ("", "order_ttl_seconds = 7", ""),
        ("", "max_per_buyer = 7", ""),
        ("", "max_per_buyer = 7", "buyer_required"),
        ("hold_ttl_seconds = 5", "status = 'retired'", "sale_ended"),
        ("hold_ttl_seconds = 5", "sale_starts_at = NOW(6) + INTERVAL 1 DAY", "sale_not_started"),
        ("sale_starts_at = '2020-01-01'", "sale_ends_at = NOW(6)", "sale_ended"),
        ("sale_ends_at = '2090-01-01'", "sale_ends_at = '2090-01-02'", ""),
        ("sale_starts_at = '2020-01-01 00:00:00.5'", "sale_starts_at = '2020-01-01'", ""),
        ("max_qty = 5", "max_qty = 1", "invalid_quantity"),
        ("hold_ttl_seconds = 5", "hold_ttl_seconds = 7", ""),
        ("order_ttl_seconds = 5", "order_ttl_seconds = 7", ""),
        ("max_per_buyer = 5", "max_per_buyer = 7", ""),
        ("max_qty = 5", "price_minor = 7", ""),
        ("max_qty = 5", "max_qty = NULL", ""),
    ] {
        let shop = Shop::open().await;
        let [one, other] = products(&shop, 100).await;
        if !before.is_empty() {
            set(&shop, other, before).await;
        }
        let (app, proxy) = shop.app_through_proxy().await;
        let buyer = (code != "buyer_required").then_some("b");
        of_buyer(&app, buyer, &[(one, 1), (other, 2)]).await.expect("enough units");
        proxy.clear();
        let packet = proxy.on("-- products/take_all", Action::PauseBefore);
        let taken = in_order([of_buyer(&app, buyer, &[(one, 1), (other, 2)])]);
        packet.reached().await;
        set(&shop, other, after).await;
        drop(packet);
        let answer = all(taken).await.remove(0);
        let found = match &answer {
            Ok(_) => "",
            Err(Error::Refused(refusal)) => refusal.code(),
            other => panic!("{other:?}"),
        };
        assert_eq!(found, code, "{before:?} {after:?}: {answer:?}");
        // the terms of the guard that took it are those that were true then, so it was written anew
        assert_eq!(sent(&proxy, "products/list_some"), 1, "{after}");
        if after == "price_minor = 7" {
            assert_eq!(shop.count("SELECT COUNT(*) FROM holds WHERE unit_price_minor = 7").await, 1);
        }
        if after == "hold_ttl_seconds = 7" {
            let seconds = "CAST(TIMESTAMPDIFF(SECOND, created_at, expires_at) AS SIGNED) = 7";
            assert_eq!(shop.count(&format!("SELECT COUNT(*) FROM holds WHERE {seconds}")).await, 2);
        }
        shop.assert_conserved().await;
    }
}

#[tokio::test]
async fn terms_that_are_remembered_take_a_cart_without_a_read() {
    let shop = Shop::open().await;
    let [one, other] = products(&shop, 100).await;
    let terms = "sale_starts_at = '2020-01-01 01:02:03.456789', sale_ends_at = '2090-01-01', hold_ttl_seconds = 30, \
                 order_ttl_seconds = 40, max_qty = 5, max_per_buyer = 6";
    set(&shop, other, terms).await;
    let (app, proxy) = shop.app_through_proxy().await;
    of_buyer(&app, Some("b"), &[(one, 1), (other, 2)]).await.expect("enough units");
    proxy.clear();
    let taken = of_buyer(&app, Some("b"), &[(one, 1), (other, 2)]).await.expect("enough units");
    assert_eq!((sent(&proxy, "products/take_all_on_terms"), sent(&proxy, "products/list_some")), (1, 0));
    assert_eq!(taken.others[0].order_ttl_seconds, Some(40));
    let expected = Err(Refusal::InvalidItems { max: 20 });
    let refused = request(&app, &[]).await.map(drop).map_err(|error| match error {
        Error::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    });
    assert_eq!(refused, expected);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_line_that_its_product_does_not_allow_reads_no_units_that_may_come_back() {
    let shop = Shop::open().await;
    let [free, paused, most, limited] = products(&shop, 5).await;
    set(&shop, paused, "stock = 0, status = 'paused'").await;
    set(&shop, most, "stock = 0, max_qty = 1").await;
    set(&shop, limited, "stock = 0, max_per_buyer = 2").await;
    let (app, proxy) = shop.app_through_proxy().await;
    let supplies = || ["holds/find_supply", "holds/find_supply_within"].map(|name| sent(&proxy, name));
    let refused = request(&app, &[(free, 1), (paused, 1), (most, 2), (limited, 1)]).await;
    let Err(Error::Refused(Refusal::RefusedLines(lines))) = refused else { panic!("{refused:?}") };
    let codes: Vec<&str> = lines.iter().map(|line| line.refusal.code()).collect();
    assert_eq!((codes, supplies()), (vec!["sale_paused", "invalid_quantity", "buyer_required"], [0, 0]));
    // one that it allows reads them
    request(&app, &[(free, 1), (most, 1)]).await.expect_err("none is on sale");
    assert_eq!(supplies(), [1, 0]);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refusal_knows_when_the_lines_of_a_cart_and_of_its_order_come_back() {
    let shop = Shop::open().await;
    let [short, long] = products(&shop, 2).await;
    set(&shop, short, "hold_ttl_seconds = 60, order_ttl_seconds = 100").await;
    let opts = Opts::from_url(&shop.database.url).expect("a database URL");
    // each whole read counts as slow, and serves for an hour
    let whole_reads = WholeReads { slow: Duration::ZERO, every: Duration::from_secs(3_600) };
    let checkout = Checkout::new(Database::new(opts, 4), Policy { whole_reads, ..Policy::default() });
    let refused = async |qty: i64| match checkout.create_hold(NewHold::new(long, qty, None)).await {
        Err(Error::Refused(Refusal::AllHeld { retry_after_seconds, .. })) => Some(retry_after_seconds),
        Err(Error::Refused(Refusal::SoldOut { .. })) => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(3).await, None);
    let line = |(product_id, qty): (i64, i64)| NewLine { product: Named::Id(product_id), qty, seats: None };
    let (lines, skus) = ([(short, 1), (long, 2)].map(line).to_vec(), Skus::default());
    let cart = NewCart { lines, skus, replaces: None, keyed: None, details: None, held_on: None, operator: None };
    let hold = checkout.create_cart(cart).await.expect("enough units").hold;
    assert!(refused(2).await.is_some_and(|seconds| (50..=60).contains(&seconds)), "the time of the other product");
    checkout.create_order(NewOrder::new(hold.id, None, None)).await.expect("it is active");
    assert!(refused(2).await.is_some_and(|seconds| (90..=100).contains(&seconds)), "the time of the other product");
    checkout.close().await;
}
