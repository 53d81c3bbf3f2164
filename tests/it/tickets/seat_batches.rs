//! Holds of seats in one batch: in order of arrival, and a refused one takes nothing from those behind it.

use std::sync::Arc;

use holdfast::app::App;
use holdfast::checkout::{Error, Named, NewCart, NewLine, Skus, Taken};
use holdfast::domain::Refusal;
use holdfast::domain::seating::SeatWish;
use serde_json::json;
use tokio::task::JoinHandle;

use super::held::{agrees, named, row_of};
use super::{add_seats, map, office, row};
use crate::support::Shop;
use crate::support::crowd::{all, in_order};
use crate::support::proxy::{Action, Handle, Proxy, Rule};

/// How many batches of a ticket type run at the same time.
const UNDER_WAY: usize = 2;

/// A request for these seats without HTTP.
fn request(
    app: &Arc<App>,
    product_id: i64,
    labels: &[&str],
) -> impl Future<Output = Result<Taken, Error>> + Send + use<> {
    let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
    request_for(app, product_id, labels.len() as i64, SeatWish::Named(labels))
}

/// The same for seats that may not be named.
fn request_for(
    app: &Arc<App>,
    product_id: i64,
    qty: i64,
    wish: SeatWish,
) -> impl Future<Output = Result<Taken, Error>> + Send + use<> {
    let app = Arc::clone(app);
    let line = NewLine { product: Named::Id(product_id), qty, seats: Some(wish) };
    let new = NewCart {
        lines: vec![line],
        skus: Skus::default(),
        replaces: None,
        keyed: None,
        details: None,
        held_on: None,
        operator: None,
    };
    async move { app.checkout.create_cart(new).await }
}

fn code(answer: &Result<Taken, Error>) -> &str {
    match answer {
        Ok(_) => "",
        Err(Error::Refused(Refusal::RefusedLines(lines))) => lines[0].refusal.code(),
        Err(Error::Refused(refusal)) => refusal.code(),
        Err(error) => panic!("{error:?}"),
    }
}

/// Holds up the lane of a ticket type with seats of row B: as many batches as run at the same time wait before they lock the type.
async fn held_up(app: &Arc<App>, proxy: &Proxy, product_id: i64) -> (Handle, Vec<JoinHandle<Result<Taken, Error>>>) {
    let packets = proxy.on(Rule::from("-- products/take_all").times(UNDER_WAY), Action::PauseBefore);
    let mut under_way = Vec::new();
    for place in 1..=UNDER_WAY {
        under_way.extend(in_order([request(app, product_id, &[&format!("B-1-{place}")])]));
        packets.reached_by(place).await;
    }
    (packets, under_way)
}

#[tokio::test]
async fn a_hold_of_seats_that_there_are_not_takes_no_units_from_those_behind_it() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, product_id) = row_of(&client, 3).await;
    add_seats(&client, product_id, &row("B", "1", json!(UNDER_WAY))).await.expect(201);
    let (app, proxy) = shop.app_through_proxy().await;
    let (packets, under_way) = held_up(&app, &proxy, product_id).await;
    let crowd: [&[&str]; 2] = [&["A-9-1", "A-9-2"], &["A-1-1", "A-1-2", "A-1-3"]];
    let crowd = in_order(crowd.map(|labels| request(&app, product_id, labels)));
    drop(packets);
    assert!(all(under_way).await.iter().all(Result::is_ok));
    let answers = all(crowd).await;
    assert_eq!(answers.iter().map(code).collect::<Vec<_>>(), ["seat_not_found", ""]);
    assert_eq!(agrees(&shop, product_id).await, 3 + UNDER_WAY as i64);
}

#[tokio::test]
async fn a_refused_hold_leaves_its_units_to_those_behind_it_in_the_same_batch() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = row_of(&client, 3).await;
    add_seats(&client, product_id, &row("B", "1", json!(UNDER_WAY))).await.expect(201);
    let (app, proxy) = shop.app_through_proxy().await;
    let (packets, under_way) = held_up(&app, &proxy, product_id).await;
    let crowd: [&[&str]; 5] =
        [&["A-1-1"], &["A-1-1", "A-1-2"], &["A-1-2", "A-1-3"], &["A-1-3"], &["A-1-1", "A-1-2", "A-1-3"]];
    let crowd = in_order(crowd.map(|labels| request(&app, product_id, labels)));
    proxy.clear();
    drop(packets);
    assert!(all(under_way).await.iter().all(Result::is_ok));
    let answers = all(crowd).await;
    let codes: Vec<&str> = answers.iter().map(code).collect();
    assert_eq!(codes[..3], ["", "seat_taken", ""]);
    assert!(codes[3..].iter().all(|code| ["seat_taken", "all_held"].contains(code)), "{codes:?}");
    let rows = |text: &String| text.matches("INTERVAL 120 SECOND").count();
    let statements = proxy.statements();
    let inserts: Vec<usize> =
        statements.iter().filter(|text| text.contains("-- holds/insert_with_seats:")).map(rows).collect();
    assert!(inserts.len() <= UNDER_WAY + 3, "{inserts:?}");
    assert_eq!(
        (map(&client, event_id).await[0].as_str(), agrees(&shop, product_id).await),
        ("A-1 1h 2h 3h", 3 + UNDER_WAY as i64)
    );
    shop.assert_conserved().await;
}

/// Holds A-1-1 and A-1-2 of a row of three and lets these requests gather into one batch. Returns their results, and the statements
/// that were sent since.
async fn refused_beside(shop: &Shop, gone: &[&str], crowd: &[&[&str]]) -> (Vec<String>, Vec<String>) {
    let client = office(shop).await;
    let (_, product_id) = row_of(&client, 3).await;
    add_seats(&client, product_id, &row("B", "1", json!(UNDER_WAY))).await.expect(201);
    for label in ["A-1-1", "A-1-2"] {
        let hold_id = named(&client, product_id, &[label]).await.expect(201).text("hold_id");
        if gone.contains(&label) {
            shop.let_hold_run_out(&hold_id).await;
        }
    }
    let (app, proxy) = shop.app_through_proxy().await;
    let (packets, under_way) = held_up(&app, &proxy, product_id).await;
    let crowd = in_order(crowd.iter().map(|labels| request(&app, product_id, labels)));
    proxy.clear();
    drop(packets);
    assert!(all(under_way).await.iter().all(Result::is_ok));
    let answers = all(crowd).await;
    agrees(shop, product_id).await;
    shop.assert_conserved().await;
    (answers.iter().map(|answer| code(answer).to_owned()).collect(), proxy.statements())
}

#[tokio::test]
async fn requests_for_taken_seats_are_refused_by_one_read_although_there_are_fewer_units_than_requests() {
    let shop = Shop::open().await;
    let crowd: [&[&str]; 6] = [&["A-1-1"], &["A-1-2"], &["A-1-1", "A-1-2"], &["A-1-2"], &["A-1-1"], &["A-1-2"]];
    let (codes, statements) = refused_beside(&shop, &[], &crowd).await;
    assert_eq!(codes, ["seat_taken"; 6]);
    for read in ["-- products/list_some:", "-- holds/find_supply:", "-- seats/list_free_some:"] {
        assert_eq!(statements.iter().filter(|text| text.starts_with(read)).count(), 1, "{read} {statements:#?}");
    }
}

#[tokio::test]
async fn requests_for_free_seats_behind_those_for_taken_ones_get_them() {
    let shop = Shop::open().await;
    let crowd: [&[&str]; 5] = [&["A-1-1"], &["A-1-2"], &["A-1-1", "A-1-3"], &["A-1-3"], &["A-1-3"]];
    let (codes, _) = refused_beside(&shop, &[], &crowd).await;
    assert_eq!(codes[..4], ["seat_taken", "seat_taken", "seat_taken", ""]);
    assert!(["seat_taken", "all_held"].contains(&codes[4].as_str()), "{codes:?}");
}

#[tokio::test]
async fn a_seat_whose_hold_has_run_out_is_had_by_a_batch_with_fewer_units_than_requests() {
    let shop = Shop::open().await;
    let crowd: [&[&str]; 5] = [&["A-1-2"], &["A-1-1"], &["A-1-2"], &["A-1-2"], &["A-1-2"]];
    let (codes, _) = refused_beside(&shop, &["A-1-1"], &crowd).await;
    assert_eq!(codes, ["seat_taken", "", "seat_taken", "seat_taken", "seat_taken"]);
}

#[tokio::test]
async fn a_seat_that_comes_back_goes_to_the_hold_that_came_first() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = row_of(&client, 1).await;
    for (section, seats) in [("B", UNDER_WAY), ("C", 3)] {
        add_seats(&client, product_id, &row(section, "1", json!(seats))).await.expect(201);
    }
    shop.execute("UPDATE seats SET row_rank = 2 WHERE section <> 'A'").await;
    let gone = named(&client, product_id, &["A-1-1"]).await.expect(201).text("hold_id");
    shop.let_hold_run_out(&gone).await;
    let (app, proxy) = shop.app_through_proxy().await;
    let (packets, under_way) = held_up(&app, &proxy, product_id).await;
    let first = in_order([request(&app, product_id, &["A-1-1"])]);
    let second = in_order([request_for(&app, product_id, 1, SeatWish::Best { split: false })]);
    drop(packets);
    assert!(all(under_way).await.iter().all(Result::is_ok));
    let answers = all(first.into_iter().chain(second).collect()).await;
    assert_eq!(answers.iter().map(code).collect::<Vec<_>>(), ["", ""]);
    assert_eq!(map(&client, event_id).await, ["A-1 1h", "B-1 1h 2h", "C-1 1h 2f 3f"]);
    assert_eq!(agrees(&shop, product_id).await, 2 + UNDER_WAY as i64);
}

#[tokio::test]
async fn a_seat_that_another_instance_gives_back_before_the_refusal_is_had() {
    let shop = Shop::open().await;
    let (client, other) = (office(&shop).await, office(&shop).await);
    let (_, product_id) = row_of(&client, 5).await;
    let gone = named(&client, product_id, &["A-1-1"]).await.expect(201).text("hold_id");
    shop.let_hold_run_out(&gone).await;
    let look = client.proxy.on("-- holds/find_supply", Action::PauseBefore);
    let (late, ()) = tokio::join!(named(&client, product_id, &["A-1-1"]), async {
        look.reached().await;
        while other.app.checkout.expire_holds().await.expect("a worker's step") {}
        look.release();
    });
    late.expect(201);
    assert_eq!(agrees(&shop, product_id).await, 1);
    shop.assert_conserved().await;
}
