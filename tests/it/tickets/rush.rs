//! Many buyers of the same seats on two instances: each seat once, and the counter agrees.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::held::{agrees, best, named, seats};
use super::{add_seats, event, map, office, stalls, ticket_type};
use crate::support::{Answer, Bare, Shop, together};

/// Buyers of each instance.
const BUYERS: usize = 40;

/// Makes an event with so many rows of so many seats.
async fn rows_of(client: &Bare, rows: usize, seats: usize) -> (i64, i64) {
    let event_id = event(client, json!({})).await;
    let product_id = ticket_type(client, event_id, &stalls()).await;
    let row = |n: usize| json!({ "name": n.to_string(), "seats": seats, "rank": n });
    let body = json!({ "sections": [{ "name": "A", "rows": (1..=rows).map(row).collect::<Vec<Value>>() }] });
    add_seats(client, product_id, &body).await.expect(201);
    (event_id, product_id)
}

/// Checks that each seat was given to one buyer, whose hold has it; returns how many were.
async fn each_once(shop: &Shop, answers: &[Answer]) -> usize {
    let mut owners = HashMap::new();
    for answer in answers.iter().filter(|answer| answer.status == 201) {
        for seat in seats(answer) {
            assert_eq!(owners.insert(seat.clone(), answer.text("hold_id")), None, "{seat}");
        }
    }
    let rows: Vec<(String, String)> =
        shop.rows("SELECT CAST(label AS CHAR), LOWER(HEX(hold_id)) FROM seats WHERE hold_id IS NOT NULL").await;
    let stored: HashMap<String, String> = rows.into_iter().collect();
    let told: HashMap<String, String> =
        owners.into_iter().map(|(seat, hold_id)| (seat, hold_id.replace('-', "").to_lowercase())).collect();
    assert_eq!(told, stored);
    told.len()
}

#[tokio::test]
async fn named_and_best_seats_at_the_same_moment_are_each_sold_once() {
    let shop = Shop::open().await;
    let instances = [office(&shop).await, office(&shop).await];
    let (_, product_id) = rows_of(&instances[0], 6, 10).await;
    let buyers = (0..2 * BUYERS).map(|buyer| {
        let client = instances[buyer % 2].client.clone();
        async move {
            let mut answers = Vec::new();
            for turn in 0..2 {
                let place = buyer / 2 + turn;
                answers.push(match (place + buyer) % 3 {
                    // all want the middle of the best rows
                    0 => {
                        let row = 1 + place % 3;
                        let (from, to) = (3 + place % 5, 4 + place % 5);
                        named(&client, product_id, &[&format!("A-{row}-{from}"), &format!("A-{row}-{to}")]).await
                    }
                    1 => best(&client, product_id, 1 + (place % 3) as i64, false).await,
                    _ => best(&client, product_id, 1 + (place % 3) as i64, true).await,
                });
            }
            answers
        }
    });
    let answers: Vec<Answer> = together(buyers).await.into_iter().flatten().collect();
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert!(["seat_taken", "seats_not_adjacent", "all_held"].contains(&answer.code()), "{answer:?}");
    }
    let sold = each_once(&shop, &answers).await;
    assert_eq!(agrees(&shop, product_id).await, sold as i64);
    assert!(sold > 50, "{sold} of 60 seats");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn requests_of_one_seat_sell_every_seat() {
    let shop = Shop::open().await;
    let instances = [office(&shop).await, office(&shop).await];
    let (event_id, product_id) = rows_of(&instances[0], 7, 9).await;
    let buyers = (0..2 * BUYERS).map(|buyer| {
        let client = instances[buyer % 2].client.clone();
        async move { best(&client, product_id, 1, false).await }
    });
    let answers = together(buyers).await;
    assert!(answers.iter().filter(|answer| answer.status != 201).all(|answer| answer.code() == "all_held"));
    assert_eq!((each_once(&shop, &answers).await, agrees(&shop, product_id).await), (63, 63));
    assert!(map(&instances[0], event_id).await.iter().all(|row| !row.contains('f')));
    shop.assert_conserved().await;
}

#[tokio::test]
async fn groups_leave_at_most_what_fits_none_of_them() {
    let shop = Shop::open().await;
    let instances = [office(&shop).await, office(&shop).await];
    let (event_id, product_id) = rows_of(&instances[0], 10, 11).await;
    let buyers = (0..2 * BUYERS).map(|buyer| {
        let client = instances[buyer % 2].client.clone();
        async move { best(&client, product_id, 3, false).await }
    });
    let answers = together(buyers).await;
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert!(["seats_not_adjacent", "all_held"].contains(&answer.code()), "{answer:?}");
    }
    let sold = each_once(&shop, &answers).await;
    assert_eq!(agrees(&shop, product_id).await, sold as i64);
    for row in map(&instances[0], event_id).await {
        let states: String = row.split(' ').skip(1).filter_map(|seat| seat.chars().last()).collect();
        assert!(!states.contains("fff"), "{row}");
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn every_seat_is_sold_once_where_all_want_the_front_rows() {
    let shop = Shop::open().await;
    let instances = [office(&shop).await, office(&shop).await];
    let (event_id, product_id) = rows_of(&instances[0], 5, 8).await;
    // each of the 40 seats is wanted by six buyers at least, and the first ones by most
    let buyers = (0..2 * BUYERS).map(|buyer| {
        let client = instances[buyer % 2].client.clone();
        async move {
            let mut answers = Vec::new();
            for turn in 0..6 {
                let wanted = match turn % 2 {
                    0 => buyer * buyer % 8,
                    _ => (buyer + 7 * turn) % 40,
                };
                answers.push(named(&client, product_id, &[&format!("A-{}-{}", wanted / 8 + 1, wanted % 8 + 1)]).await);
            }
            answers
        }
    });
    let answers: Vec<Answer> = together(buyers).await.into_iter().flatten().collect();
    assert_eq!(answers.len(), 2 * BUYERS * 6);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert!(["seat_taken", "all_held"].contains(&answer.code()), "{answer:?}");
    }
    assert_eq!((each_once(&shop, &answers).await, agrees(&shop, product_id).await), (40, 40));
    assert!(map(&instances[0], event_id).await.iter().all(|row| !row.contains('f')));
    shop.assert_conserved().await;
}
