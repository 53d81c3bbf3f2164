//! Operators on two instances at once: no label twice, no event with more than it may have, and a stock that is the number of the
//! seats at every commit.

use serde_json::json;

use super::{add_seats, event, hall, map, office, row, seated, stalls, standing, try_type};
use crate::support::proxy::Action;
use crate::support::{Shop, together, with};

#[tokio::test]
async fn of_two_requests_with_one_label_the_second_is_refused_and_adds_nothing() {
    let shop = Shop::open().await;
    let (one, other) = (office(&shop).await, office(&shop).await);
    let (event_id, product_id) = hall(&one).await;
    // the first has read that there are none of its seats, and holds the ticket type locked
    let held = one.proxy.on("-- seats/insert:", Action::PauseBefore);
    let (first, second) = {
        let (row_one, row_other) = (row("A", "1", json!(["1", "2"])), row("A", "1", json!(["3", "2"])));
        let second = async {
            held.reached().await;
            let waits = async {
                shop.until_running("events/add_seats").await;
                assert_eq!(shop.count("SELECT COUNT(*) + (SELECT SUM(stock) FROM products) FROM seats").await, 0);
                held.release();
            };
            tokio::join!(add_seats(&other, product_id, &row_other), waits).0
        };
        tokio::join!(add_seats(&one, product_id, &row_one), second)
    };
    first.expect(201);
    assert_eq!(second.refused(409, "seat_exists").body["seats"], json!(["A-1-2"]));
    assert_eq!((seated(&shop, product_id).await, map(&one, event_id).await), (2, vec!["A-1 1f 2f".to_owned()]));
}

#[tokio::test]
async fn a_seat_that_another_program_makes_meanwhile_is_not_made_twice() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, product_id) = hall(&client).await;
    let held = client.proxy.on("-- seats/insert:", Action::PauseBefore);
    let body = row("A", "1", json!(2));
    let (added, ()) = tokio::join!(add_seats(&client, product_id, &body), async {
        held.reached().await;
        let values = format!("({product_id}, 9, 'A', '1', 'A-1-2', 1, 1, 1)");
        let columns = "product_id, n, section, row_name, label, row_n, place, row_rank";
        shop.execute(&format!("INSERT INTO seats ({columns}) VALUES {values}")).await;
        held.release();
    });
    assert_eq!(added.refused(409, "seat_exists").body["seats"], json!(["A-1-2"]));
    assert_eq!(
        (shop.count("SELECT COUNT(*) FROM seats").await, shop.count("SELECT SUM(stock) FROM products").await),
        (1, 0)
    );
}

#[tokio::test]
async fn many_requests_at_once_number_their_seats_without_a_gap_and_fill_an_event_to_its_limit() {
    let shop = Shop::open().await;
    let (one, other) = (office(&shop).await, office(&shop).await);
    let (event_id, product_id) = hall(&one).await;
    shop.execute("UPDATE events SET seats = 99970").await;
    let requests = (0..8).map(|n| {
        let client = if n % 2 == 0 { one.client.clone() } else { other.client.clone() };
        let seats: Vec<String> = (0..5).map(|seat| format!("{n}.{seat}")).collect();
        // two requests for each row
        let body = row("A", &format!("{}", n / 2), json!(seats));
        async move { add_seats(&client, product_id, &body).await }
    });
    let statuses: Vec<u16> = together(requests).await.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 6, "{statuses:?}");
    let told: (i64, i64, i64, i64) = shop
        .row("SELECT COUNT(*), MAX(n), COUNT(DISTINCT row_n, place), (SELECT stock FROM products LIMIT 1) FROM seats")
        .await;
    assert_eq!(told, (30, 30, 30, 30));
    assert_eq!(shop.count(&format!("SELECT seats FROM events WHERE id = {event_id}")).await, 100_000);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn an_event_that_is_cancelled_meanwhile_takes_no_ticket_type_and_no_seat() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = hall(&client).await;
    for (statement, of_type) in [("-- events/add_ticket_type:", true), ("-- events/add_seats:", false)] {
        let held = client.proxy.on(statement, Action::PauseBefore);
        let (body, seats) = (standing(), row("A", "1", json!(1)));
        let request = async {
            match of_type {
                true => try_type(&client, event_id, &body).await,
                false => add_seats(&client, product_id, &seats).await,
            }
        };
        let (answer, ()) = tokio::join!(request, async {
            held.reached().await;
            shop.execute("UPDATE events SET cancelled_at = NOW(6)").await;
            held.release();
        });
        answer.refused(409, "event_cancelled");
        shop.execute("UPDATE events SET cancelled_at = NULL").await;
    }
    assert_eq!(shop.count("SELECT COUNT(*) + SUM(stock) FROM products").await, 1);
}

#[tokio::test]
async fn ticket_types_that_are_made_at_once_have_one_currency() {
    let shop = Shop::open().await;
    let (one, other) = (office(&shop).await, office(&shop).await);
    let event_id = event(&one, json!({})).await;
    // the first has counted its type and said the currency, and has not committed
    let held = one.proxy.on("-- products/insert_ticket_type:", Action::PauseBefore);
    let (euros, francs) = (stalls(), with(&stalls(), json!({ "currency": "CHF" })));
    let (first, second) = tokio::join!(try_type(&one, event_id, &euros), async {
        held.reached().await;
        let waits = async {
            shop.until_running("events/add_ticket_type").await;
            held.release();
        };
        tokio::join!(try_type(&other, event_id, &francs), waits).0
    });
    first.expect(201);
    second.refused(422, "event_currency");
    assert_eq!(shop.count("SELECT ticket_types FROM events").await, 1);
}
