//! Another code for a ticket, the door list of an event, and what a buyer has.

use std::collections::BTreeSet;

use holdfast::domain::Role;
use serde_json::{Value, json};

use super::issued::{concert, mixed};
use super::redeemed::{codes, shown, sold};
use super::{event, keyed, office, send, standing, ticket_type};
use crate::clients::{OPERATOR, add};
use crate::support::proxy::{Action, Rule};
use crate::support::{Answer, Bare, Client, Shop, together, with};

async fn reissue(client: &Client, code: &str, key: Option<&str>) -> Answer {
    let path = format!("/api/admin/tickets/{code}/reissue");
    match key {
        Some(key) => keyed(client, &path, key, &json!({})).await,
        None => send(client, &path, &json!({})).await,
    }
}

async fn admission(client: &Client, stock: i64) -> (i64, i64) {
    let event_id = event(client, json!({})).await;
    (event_id, ticket_type(client, event_id, &with(&standing(), json!({ "stock": stock }))).await)
}

async fn redeem(client: &Client, code: &str) -> Answer {
    send(client, &format!("/api/tickets/{code}/redeem"), &json!({})).await
}

#[tokio::test]
async fn a_reissued_ticket_admits_by_its_new_code_alone() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, product_id) = admission(&client, 10).await;
    let (order_id, old) = sold(&client, product_id, 2).await;
    let first = reissue(&client, &old[0], Some("key")).await.expect(201);
    let new = first.text("code");
    assert_eq!(
        (&first.body["status"], &first.body["unit"], &first.body["issue"]),
        (&json!("valid"), &json!(1), &json!(2))
    );
    assert_ne!(new, old[0]);
    redeem(&client, &old[0]).await.refused(409, "ticket_void");
    // the same request again
    let again = reissue(&client, &old[0], Some("key")).await.expect(201);
    assert_eq!((again.is_replayed(), again.text("code")), (true, new.clone()));
    reissue(&client, &old[0], Some("another")).await.refused(409, "ticket_void");
    reissue(&client, &old[0], None).await.refused(409, "ticket_void");
    redeem(&client, &new).await.expect(200);
    reissue(&client, &new, None).await.refused(409, "already_redeemed");
    let by = "SELECT CAST(issued_by AS CHAR) FROM tickets WHERE issue = 2";
    assert_eq!((shop.row::<String>(by).await.as_str(), shown(&client, &order_id).await.len()), ("operator", 3));
    shop.assert_conserved().await;
    // a refund makes the new one void, too
    client.pay(&order_id, "refunded", "back").await.expect(200);
    assert!(codes(&shown(&client, &order_id).await).is_empty());
    reissue(&client, &old[1], None).await.refused(409, "ticket_void");
    shop.assert_conserved().await;
}

#[tokio::test]
async fn many_reissues_of_one_ticket_at_once_and_beside_its_redemption_leave_one_ticket() {
    let shop = Shop::open().await;
    let instances = [office(&shop).await, office(&shop).await];
    let (_, product_id) = admission(&instances[0], 10).await;
    for _ in 0..5 {
        let (order_id, old) = sold(&instances[0], product_id, 1).await;
        let ask = |n: usize| {
            let (client, code) = (instances[n % 2].client.clone(), old[0].clone());
            async move { if n == 5 { redeem(&client, &code).await } else { reissue(&client, &code, None).await } }
        };
        let answers = together((0..8).map(ask)).await;
        assert_eq!(answers.iter().filter(|answer| answer.status < 300).count(), 1);
        assert_eq!(codes(&shown(&instances[0], &order_id).await).len(), 1);
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_cut_at_any_command_of_a_reissue_makes_one_ticket_and_is_answered_with_it() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, product_id) = admission(&client, 100).await;
    for rule in ["-- tickets/replace:", "-- tickets/insert_again:", "COMMIT"] {
        for action in [Action::CutBefore, Action::CutAfter, Action::DEADLOCK] {
            let (order_id, old) = sold(&client, product_id, 1).await;
            let rule = if rule == "COMMIT" { Rule::exactly(rule) } else { Rule::from(rule) };
            let cut = client.proxy.on(rule, action);
            let made = reissue(&client, &old[0], None).await.expect(201);
            assert_eq!(
                (cut.hits(), codes(&shown(&client, &order_id).await)),
                (1, vec![made.text("code")]),
                "{action:?}"
            );
        }
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_refund_that_meets_a_reissue_leaves_no_ticket_that_admits() {
    let shop = Shop::open().await;
    let (client, other) = (office(&shop).await, office(&shop).await);
    let (_, product_id) = admission(&client, 100).await;
    for rule in ["-- tickets/insert_again:", "COMMIT"] {
        let (order_id, old) = sold(&client, product_id, 2).await;
        let rule = if rule == "COMMIT" { Rule::exactly(rule) } else { Rule::from(rule) };
        let held = client.proxy.on(rule, Action::PauseBefore);
        let reissuing = tokio::spawn({
            let (client, code) = (client.client.clone(), old[0].clone());
            async move { reissue(&client, &code, None).await }
        });
        held.reached().await;
        let refunding = tokio::spawn({
            let (client, order_id) = (other.client.clone(), order_id.clone());
            async move { client.pay(&order_id, "refunded", &format!("back-{order_id}")).await }
        });
        shop.until_running("tickets/void").await;
        held.release();
        drop(held);
        reissuing.await.expect("no panic").expect(201);
        refunding.await.expect("no panic").expect(200);
        let tickets = shown(&client, &order_id).await;
        assert_eq!((tickets.len(), codes(&tickets).len()), (3, 0));
        shop.assert_conserved().await;
    }
}

async fn door_list(client: &Client, event_id: i64, query: &str) -> Answer {
    let path = format!("/api/admin/events/{event_id}/tickets?{query}");
    client.send(client.request("GET", &path).bearer_auth(OPERATOR)).await
}

/// Returns all pages of a door list: the codes with their states.
async fn whole(client: &Client, event_id: i64, query: &str) -> Vec<(String, String)> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = door_list(client, event_id, &format!("limit=3&{query}{cursor}")).await.expect(200);
        let items = page.body["items"].as_array().expect("a list");
        let text = |ticket: &Value, name: &str| ticket[name].as_str().expect("a text").to_owned();
        all.extend(items.iter().map(|ticket| (text(ticket, "code"), text(ticket, "status"))));
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[tokio::test]
async fn the_door_list_has_each_ticket_of_an_event_once_page_by_page() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let plain = shop.product(50).await;
    let (event_id, seated, standing) = concert(&client, 10).await;
    let (_, other_type) = admission(&client, 10).await;
    sold(&client, other_type, 2).await;
    let mut expected = BTreeSet::new();
    for n in 0..4 {
        let order_id = mixed(&client, plain, standing, seated).await;
        client.pay(&order_id, "paid", &order_id).await.expect(200);
        let codes = codes(&shown(&client, &order_id).await);
        let refunded = n == 3;
        for (place, code) in codes.iter().enumerate() {
            let redeemed = place == 1 && !refunded;
            if redeemed {
                redeem(&client, code).await.expect(200);
            }
            expected.insert((
                code.clone(),
                if refunded {
                    "void"
                } else if redeemed {
                    "redeemed"
                } else {
                    "valid"
                }
                .to_owned(),
            ));
        }
        if refunded {
            client.pay(&order_id, "refunded", &format!("back-{order_id}")).await.expect(200);
        }
    }
    let all = whole(&client, event_id, "").await;
    assert_eq!((all.len(), all.iter().cloned().collect::<BTreeSet<_>>()), (12, expected.clone()));
    for (status, count) in [("valid", 6), ("redeemed", 3), ("void", 3)] {
        let some = whole(&client, event_id, &format!("status={status}")).await;
        assert!(some.len() == count && some.iter().all(|ticket| expected.contains(ticket) && ticket.1 == status));
    }
    // a page of one state is one query
    client.proxy.clear();
    door_list(&client, event_id, "status=valid").await.expect(200);
    assert_eq!(client.proxy.statements().len(), 1, "{:?}", client.proxy.statements());
    door_list(&client, event_id, "status=lost").await.refused(400, "invalid_status");
    door_list(&client, event_id, "limit=0").await.refused(400, "invalid_limit");
    door_list(&client, event_id, "cursor=x").await.refused(400, "invalid_cursor");
    door_list(&client, 4711, "").await.refused(404, "event_not_found");
    let (empty, _) = admission(&client, 1).await;
    assert!(whole(&client, empty, "").await.is_empty());
}

async fn overview(client: &Client, token: &str, buyer: &str) -> Answer {
    client.send(client.request("GET", &format!("/api/buyers?buyer={buyer}")).bearer_auth(token)).await
}

async fn of_buyer(client: &Bare, token: &str, buyer: &str, product_id: i64) -> String {
    let body = json!({ "product_id": product_id, "qty": 2, "buyer": buyer });
    let held = client.send(client.request("POST", "/api/holds").bearer_auth(token).json(&body)).await.expect(201);
    held.text("hold_id")
}

#[tokio::test]
async fn a_storefront_sees_what_its_buyer_has_in_a_bounded_number_of_queries() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, product_id) = admission(&client, 500).await;
    let plain = shop.product(500).await;
    let own = add(&client.app, "shop", Role::Storefront).await.token;
    let other = add(&client.app, "other", Role::Storefront).await.token;
    let counts = async |token: &str| {
        let body = overview(&client, token, "ann").await.expect(200).body;
        let count = |name: &str| body[name].as_array().expect("a list").len();
        ((count("holds"), count("orders"), count("tickets")), body)
    };
    assert_eq!(counts(&own).await.0, (0, 0, 0));
    of_buyer(&client, &own, "ann", plain).await;
    of_buyer(&client, &own, "bob", plain).await;
    of_buyer(&client, &other, "ann", plain).await;
    let order = async |buyer: &str, product_id: i64| {
        let hold_id = of_buyer(&client, &own, buyer, product_id).await;
        let body = json!({ "hold_id": hold_id });
        let made = client.send(client.request("POST", "/api/orders").bearer_auth(&own).json(&body)).await.expect(201);
        made.text("order_id")
    };
    for n in 0..3 {
        let order_id = order("ann", product_id).await;
        if n > 0 {
            client.pay(&order_id, "paid", &order_id).await.expect(200);
        }
    }
    let (found, body) = counts(&own).await;
    assert_eq!(found, (1, 3, 4));
    assert_eq!(
        (&body["buyer"], &body["next_holds"], &body["next_orders"], &body["more_tickets"]),
        (&json!("ann"), &Value::Null, &Value::Null, &json!(false))
    );
    assert_eq!((counts(&other).await.0, counts(OPERATOR).await.0), ((1, 0, 0), (2, 3, 4)));
    // more than an overview has
    client.proxy.clear();
    counts(&own).await;
    let before = client.proxy.statements().len();
    for _ in 0..51 {
        let order_id = order("ann", product_id).await;
        client.pay(&order_id, "paid", &order_id).await.expect(200);
    }
    client.proxy.clear();
    let (found, body) = counts(&own).await;
    // a page that its filters do not fill takes one more read, of the ids and of their rows
    assert_eq!((found, client.proxy.statements().len()), ((1, 50, 50), before + 2));
    assert_eq!(body["more_tickets"], true);
    let next = body["next_orders"].as_str().expect("a cursor");
    let path = format!("/api/orders?buyer=ann&limit=100&cursor={next}");
    let rest = client.send(client.request("GET", &path).bearer_auth(&own)).await.expect(200);
    assert_eq!(rest.body["items"].as_array().map(Vec::len), Some(4));
    let narrowed = client.request("GET", "/api/buyers?buyer=ann").bearer_auth(&own).header("holdfast-buyer", "bob");
    client.send(narrowed).await.refused(422, "buyer_mismatch");
    client.get("/api/buyers?buyer=ann").await.refused(401, "unauthorized");
    for path in ["/api/buyers", "/api/buyers?buyer=", "/api/buyers?buyer=%20"] {
        client.send(client.request("GET", path).bearer_auth(&own)).await.refused(400, "invalid_buyer");
    }
    shop.assert_conserved().await;
}
