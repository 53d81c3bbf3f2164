//! The map of an event's seats: a reader that has it gets 304 while it is the same, and never once a seat has changed.

use std::io::Read as _;

use serde_json::json;

use super::{add_seats, event, hall, map, office, row, stalls, standing, ticket_type};
use crate::support::proxy::Action;
use crate::support::{Answer, Client, Shop};

async fn read(client: &Client, event_id: i64, tag: &str) -> Answer {
    let request = client.request("GET", &format!("/api/events/{event_id}/seats"));
    client.send(if tag.is_empty() { request } else { request.header("if-none-match", tag) }).await
}

#[tokio::test]
async fn a_map_has_a_tag_that_changes_with_every_change_of_a_seat() {
    let shop = Shop::open().await;
    let (client, other) = (office(&shop).await, office(&shop).await);
    let (event_id, product_id) = hall(&client).await;
    let mut tags = vec![read(&client, event_id, "").await.expect(200).header("etag").to_owned()];
    add_seats(&client, product_id, &row("A", "1", json!(3))).await.expect(201);
    let changes = [
        ("", "A-1 1f 2f 3f"),
        ("hold_id = x'01900000000070008000000000000001' WHERE n = 2", "A-1 1f 2h 3f"),
        ("sold = TRUE WHERE n = 2", "A-1 1f 2s 3f"),
        ("hold_id = NULL, sold = FALSE WHERE n = 2", "A-1 1f 2f 3f"),
        ("hold_id = x'01900000000070008000000000000002' WHERE n = 3", "A-1 1f 2f 3h"),
        ("row_rank = 2", "A-1 1f 2f 3h"),
        ("label = 'A-1-9' WHERE n = 1", "A-1 9f 2f 3h"),
    ];
    for (change, shown) in changes {
        if !change.is_empty() {
            shop.execute(&format!("UPDATE seats SET {change}")).await;
        }
        let last = tags.last().expect("a tag").clone();
        // both instances see it at once
        for api in [&client, &other] {
            let changed = read(api, event_id, &last).await.expect(200);
            assert_ne!(changed.header("etag"), last, "{change}");
            assert_eq!(map(api, event_id).await, [shown], "{change}");
            let same = read(api, event_id, changed.header("etag")).await.expect(304);
            assert_eq!((same.text.as_str(), same.header("etag")), ("", changed.header("etag")));
            if tags.last() != Some(&changed.header("etag").to_owned()) && api.address() == other.address() {
                tags.push(changed.header("etag").to_owned());
            }
        }
    }
    // a map that is as it was before has its tag from before
    assert_eq!(tags[1], tags[4]);
    tags.remove(4);
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags.len(), 7);
}

#[tokio::test]
async fn a_map_may_be_kept_by_its_reader_alone_and_everything_else_by_nothing() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, _) = hall(&client).await;
    let told = |answer: &Answer| [answer.header("cache-control").to_owned(), answer.header("vary").to_owned()];
    let answer = read(&client, event_id, "").await.expect(200);
    assert_eq!(told(&answer), ["private, no-cache", "Accept-Encoding"]);
    assert_eq!(told(&read(&client, event_id, answer.header("etag")).await.expect(304)), told(&answer));
    assert!(answer.header("etag").starts_with("W/\""), "{answer:?}");
    for tag in ["*", "\"a\", W/\"b\"", answer.header("etag").trim_start_matches("W/")] {
        let expected = if tag.contains('a') && tag.contains('b') && tag.len() < 12 { 200 } else { 304 };
        read(&client, event_id, tag).await.expect(expected);
    }
    for (path, status) in
        [("/api/events", 200), ("/api/events/1", 200), ("/api/events/4711/seats", 404), ("/api/events/x/seats", 400)]
    {
        let answer = client.get(path).await.expect(status);
        assert_eq!((answer.header("cache-control"), answer.header("etag")), ("no-store", ""), "{path}");
    }
    client.get("/api/events/4711/seats").await.refused(404, "event_not_found");
}

#[tokio::test]
async fn a_map_is_compressed_for_readers_that_accept_gzip() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = hall(&client).await;
    add_seats(&client, product_id, &row("A", "1", json!(500))).await.expect(201);
    let plain = read(&client, event_id, "").await.expect(200);
    let request = client.request("GET", &format!("/api/events/{event_id}/seats")).header("accept-encoding", "gzip");
    let response = request.send().await.expect("an answer");
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(response.headers()["etag"], plain.header("etag"));
    let bytes = response.bytes().await.expect("a body");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("gzip");
    assert_eq!(text, plain.text);
    assert!(bytes.len() < plain.text.len() / 2, "{} of {}", bytes.len(), plain.text.len());
}

#[tokio::test]
async fn a_map_has_the_seated_types_that_are_not_retired_by_id() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, first) = hall(&client).await;
    ticket_type(&client, event_id, &standing()).await;
    let (second, retired) =
        (ticket_type(&client, event_id, &stalls()).await, ticket_type(&client, event_id, &stalls()).await);
    for product_id in [retired, second, first] {
        add_seats(&client, product_id, &row(&format!("S{product_id}"), "1", json!(1))).await.expect(201);
    }
    shop.execute(&format!("UPDATE products SET status = 'retired' WHERE id = {retired}")).await;
    let other = event(&client, json!({})).await;
    add_seats(&client, ticket_type(&client, other, &stalls()).await, &row("X", "1", json!(1))).await.expect(201);
    assert_eq!(map(&client, event_id).await, [format!("S{first}-1 1f"), format!("S{second}-1 1f")]);
    shop.execute("UPDATE products SET status = 'paused'").await;
    assert_eq!(map(&client, event_id).await.len(), 3);
}

#[tokio::test]
async fn a_read_that_began_before_a_request_does_not_answer_it() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id) = hall(&client).await;
    add_seats(&client, product_id, &row("A", "1", json!(1))).await.expect(201);
    let tag = read(&client, event_id, "").await.expect(200).header("etag").to_owned();
    // the answer to the first read is held back, while a seat changes and a second reader asks
    let held = client.proxy.on("-- seats/list_map:", Action::PauseAfter);
    let (first, second) = tokio::join!(read(&client, event_id, &tag), async {
        held.reached().await;
        shop.execute("UPDATE seats SET hold_id = x'01900000000070008000000000000001'").await;
        let second = read(&client, event_id, &tag).await;
        held.release();
        second
    });
    assert_eq!((first.status, second.status), (304, 200));
}
