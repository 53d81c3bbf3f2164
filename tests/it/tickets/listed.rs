//! Events are listed by their start, each on one page, in one statement.

use serde_json::{Value, json};

use super::{concert, event, id, office, organizer, send, standing, ticket_type};
use crate::support::{Client, Shop, with};

/// Returns the pages of a list.
async fn pages(client: &Client, query: &str, limit: usize) -> Vec<Vec<i64>> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/api/events?limit={limit}{query}{cursor}")).await.expect(200);
        let items = page.body["items"].as_array().expect("a list");
        pages.push(items.iter().map(|item| item["id"].as_i64().expect("an id")).collect());
        match &page.body["next_cursor"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            end => break assert_eq!(end, &Value::Null),
        }
    }
    pages
}

#[tokio::test]
async fn every_event_is_on_one_page_by_its_start_whatever_the_page_size() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (one, other) = (organizer(&client).await, organizer(&client).await);
    let (mut by_start, mut of_one) = (Vec::new(), Vec::new());
    // every start twice, and later events first
    for day in [3, 1, 2, 3, 1, 2] {
        for organizer_id in [one, other] {
            let starts_at = json!({ "starts_at": format!("2090-05-0{day}T18:00:00Z") });
            let made = send(&client, "/api/admin/events", &with(&concert(organizer_id), starts_at)).await;
            by_start.push((day, id(&made.expect(201))));
            of_one.extend((organizer_id == one).then(|| by_start[by_start.len() - 1]));
        }
    }
    by_start.sort_unstable();
    of_one.sort_unstable();
    let ids = |events: &[(i32, i64)]| events.iter().map(|(_, event_id)| *event_id).collect::<Vec<_>>();
    for limit in [1, 5, 12, 100] {
        let all = pages(&client, "", limit).await;
        assert_eq!((all.concat(), all.len()), (ids(&by_start), 12_usize.div_ceil(limit)), "pages of {limit}");
        assert_eq!(pages(&client, &format!("&organizer_id={one}"), limit).await.concat(), ids(&of_one));
    }
    let (from, to) = ("starts_from=2090-05-02T20:00:00%2B02:00", "starts_to=2090-05-03T18:00:00Z");
    let within = |first: i32, last: i32| {
        by_start.iter().copied().filter(|(day, _)| (first..=last).contains(day)).collect::<Vec<_>>()
    };
    assert_eq!(pages(&client, &format!("&{from}"), 3).await.concat(), ids(&within(2, 3)));
    assert_eq!(pages(&client, &format!("&{to}"), 3).await.concat(), ids(&within(1, 2)));
    assert_eq!(pages(&client, &format!("&{from}&{to}"), 3).await.concat(), ids(&within(2, 2)));
    assert_eq!(pages(&client, "&organizer_id=4711", 3).await, [[0_i64; 0]]);
}

#[tokio::test]
async fn a_wrong_filter_or_cursor_is_refused() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let organizer_id = organizer(&client).await;
    for _ in 0..2 {
        send(&client, "/api/admin/events", &concert(organizer_id)).await.expect(201);
    }
    for (query, code) in [
        ("limit=0", "invalid_limit"),
        ("limit=101", "invalid_limit"),
        ("limit=x", "invalid_limit"),
        ("cursor=x", "invalid_cursor"),
        ("organizer_id=x", "invalid_organizer_id"),
        ("organizer_id=", "invalid_organizer_id"),
        ("starts_from=tomorrow", "invalid_time"),
        ("starts_to=2090-01-01", "invalid_time"),
        ("starts_from=2090-01-01T00:00:00Z&starts_to=2090-01-01T00:00:00Z", "invalid_time"),
        ("organiser_id=1", "unknown_parameter"),
    ] {
        client.get(&format!("/api/events?{query}")).await.refused(400, code);
    }
    let next = client.get("/api/events?limit=1").await.expect(200).text("next_cursor");
    client.get(&format!("/api/events?limit=2&cursor={next}")).await.expect(200);
    // a cursor is bound to the filters of its list
    client.get(&format!("/api/events?organizer_id={organizer_id}&cursor={next}")).await.refused(400, "invalid_cursor");
}

#[tokio::test]
async fn an_event_and_a_page_are_one_statement_whatever_they_have() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let event_id = event(&client, json!({})).await;
        for _ in 0..3 {
            ids.push(ticket_type(&client, event_id, &standing()).await);
        }
    }
    // one of them is held as a whole
    client.hold(ids[0], 10).await;
    for path in
        ["/api/events", "/api/events?limit=1", "/api/events?organizer_id=1", "/api/events/1", "/api/events/1/seats"]
    {
        client.proxy.clear();
        client.get(path).await.expect(200);
        assert_eq!(client.proxy.statements().len(), 1, "{path}: {:?}", client.proxy.statements());
    }
}

#[tokio::test]
async fn the_sale_of_an_event_is_told_by_its_best_ticket_type() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let event_id = event(&client, json!({})).await;
    let (one, other) =
        (ticket_type(&client, event_id, &standing()).await, ticket_type(&client, event_id, &standing()).await);
    let told = async || {
        let shown = client.get(&format!("/api/events/{event_id}")).await.expect(200).body;
        let listed = client.get("/api/events").await.expect(200).body["items"][0].clone();
        let same = |body: &Value| with(body, json!({ "server_time": null, "ticket_types": null }));
        assert_eq!(same(&shown), same(&listed));
        let types = shown["ticket_types"].as_array().expect("a list").clone();
        let types: Vec<String> =
            types.iter().map(|one| one["sale_status"].as_str().expect("a word").to_owned()).collect();
        (shown["sale_status"].as_str().expect("a word").to_owned(), types.join(" "))
    };
    let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
    assert_eq!(told().await, pair("on_sale", "on_sale on_sale"));
    let hold_id = client.hold(one, 10).await;
    assert_eq!(told().await, pair("on_sale", "all_held on_sale"));
    let shown = client.get(&format!("/api/events/{event_id}")).await.expect(200).body;
    let hold = client.get(&format!("/api/holds/{hold_id}")).await.expect(200);
    assert_eq!(shown["ticket_types"][0]["next_return_at"], hold.body["expires_at"]);
    shop.execute(&format!("UPDATE products SET status = 'paused' WHERE id = {other}")).await;
    assert_eq!(told().await, pair("all_held", "all_held paused"));
    let order_id = client.order(&hold_id).await;
    client.pay(&order_id, "paid", "key").await.expect(200);
    assert_eq!(told().await, pair("paused", "sold_out paused"));
    shop.execute(&format!("UPDATE products SET status = 'retired' WHERE id = {other}")).await;
    assert_eq!(told().await, pair("sold_out", "sold_out"));
    shop.execute("UPDATE products SET event_sale_starts_at = '2080-01-01'").await;
    assert_eq!(told().await, pair("upcoming", "upcoming"));
    shop.execute("UPDATE products SET event_sale_ends_at = '2020-01-01'").await;
    assert_eq!(told().await, pair("ended", "ended"));
    shop.execute("UPDATE products SET event_id = NULL").await;
    assert_eq!(told().await, pair("sold_out", ""));
    shop.execute("UPDATE events SET sale_starts_at = '2080-01-01'").await;
    assert_eq!(told().await, pair("upcoming", ""));
    shop.execute("UPDATE events SET cancelled_at = NOW(6)").await;
    assert_eq!(told().await, pair("cancelled", ""));
}
