//! The largest requests and maps.

use serde_json::{Value, json};

use super::{add_seats, hall, keyed, office, seated};
use crate::support::proxy::{Action, Rule};
use crate::support::{Answer, Client, Shop};

/// So many rows of 100 seats.
fn rows(section: &str, count: usize) -> Value {
    let row = |n: usize| json!({ "name": format!("row {n}"), "seats": 100, "rank": n + 1 });
    json!({ "sections": [{ "name": section, "rows": (0..count).map(row).collect::<Vec<_>>() }] })
}

/// Sends a request until it is answered: a slow machine may need more than the time of one transaction, and says to send it again.
async fn patient(request: impl AsyncFn() -> Answer) -> Answer {
    for _ in 0..20 {
        let answer = request().await;
        if answer.status != 503 {
            return answer;
        }
    }
    panic!("the request is never answered");
}

async fn add_many(client: &Client, product_id: i64, key: &str, body: &Value) -> Answer {
    let path = format!("/api/admin/ticket-types/{product_id}/seats");
    patient(async || keyed(client, &path, key, body).await).await
}

#[tokio::test]
async fn fifty_thousand_seats_are_added_in_one_request_all_or_none() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = hall(&client).await;
    let added = add_many(&client, product_id, "stand", &rows("Stand", 500)).await.expect(201);
    assert_eq!(added.body["stock"], 50_000);
    assert_eq!(seated(&shop, product_id).await, 50_000);
    let path = format!("/api/events/{event_id}/seats");
    let map = patient(async || client.get(&path).await).await.expect(200);
    assert!(map.text.len() < 15 * 50_000, "{} bytes", map.text.len());
    // one label that exists, and the other 1,000 are not added
    let mut more = rows("Other", 10);
    let again = json!({ "name": "Stand", "rows": [{ "name": "row 0", "seats": ["100"], "rank": 1 }] });
    more["sections"].as_array_mut().expect("a list").push(again);
    let refused = add_many(&client, product_id, "more", &more).await;
    assert_eq!(refused.refused(409, "seat_exists").body["seats"], json!(["Stand-row 0-100"]));
    let mut over = rows("Other", 500);
    over["sections"][0]["rows"].as_array_mut().expect("a list").push(json!({ "name": "x", "seats": 1, "rank": 1 }));
    add_many(&client, product_id, "over", &over).await.refused(422, "invalid_seats");
    let too_large = format!("{{\"sections\":[]{}}}", " ".repeat(8 * 1024 * 1024));
    let path = format!("/api/admin/ticket-types/{product_id}/seats");
    let request = client.request("POST", &path).bearer_auth(crate::clients::OPERATOR);
    let request = request.header("content-type", "application/json").body(too_large);
    client.send(request).await.refused(413, "body_too_large");
    assert_eq!(seated(&shop, product_id).await, 50_000);
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_request_whose_connection_is_lost_in_the_middle_leaves_nothing_and_goes_again() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, product_id) = hall(&client).await;
    // it takes several packets: the connection is lost behind the first one with seats
    let rule = client.proxy.on(Rule::from("-- seats/insert:"), Action::CutAfter);
    let added = add_seats(&client, product_id, &rows("Stand", 50)).await.expect(201);
    assert_eq!((rule.hits(), &added.body["stock"]), (1, &json!(5_000)));
    assert_eq!(seated(&shop, product_id).await, 5_000);
}

#[tokio::test]
async fn labels_of_the_longest_texts_fit_into_the_packets_of_a_server() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, product_id) = hall(&client).await;
    let name = |n: usize| format!("{n:04}{}", "\u{1F3AB}".repeat(16));
    let seats: Vec<String> = (0..1_500).map(name).collect();
    let row = json!({ "name": name(0), "seats": seats, "rank": 1 });
    let body = json!({ "sections": [{ "name": name(1), "rows": [row] }] });
    add_seats(&client, product_id, &body).await.expect(201);
    assert_eq!(seated(&shop, product_id).await, 1_500);
}

#[tokio::test]
async fn a_map_of_twenty_thousand_seats_has_at_most_300_kilobytes() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = hall(&client).await;
    add_many(&client, product_id, "stand", &rows("Stand", 200)).await.expect(201);
    client.proxy.clear();
    let map = client.get(&format!("/api/events/{event_id}/seats")).await.expect(200);
    assert!((100_000..300_000).contains(&map.text.len()), "{} bytes", map.text.len());
    // a connection that was given up while the seats were added may be replaced by a new one
    let statements = client.proxy.statements();
    let named: Vec<&str> =
        statements.iter().filter(|statement| statement.starts_with("-- ")).map(String::as_str).collect();
    assert!(matches!(named[..], [one] if one.starts_with("-- seats/list_map:")), "{statements:?}");
}
