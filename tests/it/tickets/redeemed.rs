//! A ticket admits once, however often it is used, and its code is shown to its buyer and to operators alone.

use holdfast::domain::{Role, TicketCode};
use serde_json::{Value, json};

use super::issued::{concert, mixed};
use super::{event, office, send, standing, ticket_type};
use crate::clients::{OPERATOR, add};
use crate::support::process::Process;
use crate::support::proxy::{Action, Rule};
use crate::support::statsd::StatsD;
use crate::support::{Answer, Bare, Client, Shop, binary, mint, together};

/// Returns the tickets of an order, as its buyer sees them.
pub(super) async fn shown(client: &Client, order_id: &str) -> Vec<Value> {
    let answer = client.get(&format!("/api/orders/{order_id}/tickets")).await.expect(200);
    answer.body["items"].as_array().expect("a list").clone()
}

/// Returns the codes of these tickets that are not void.
pub(super) fn codes(tickets: &[Value]) -> Vec<String> {
    let live = tickets.iter().filter(|ticket| ticket["status"] != "void");
    live.map(|ticket| ticket["code"].as_str().expect("a code").to_owned()).collect()
}

/// Sells so many places; returns their order and the codes of its tickets.
pub(super) async fn sold(client: &Client, product_id: i64, qty: i64) -> (String, Vec<String>) {
    let (_, order_id) = client.hold_and_order(product_id, qty).await;
    client.pay(&order_id, "paid", &order_id).await.expect(200);
    let codes = codes(&shown(client, &order_id).await);
    (order_id, codes)
}

async fn redeem(client: &Client, token: &str, code: &str, key: Option<&str>, body: Value) -> Answer {
    let request = client.request("POST", &format!("/api/tickets/{code}/redeem")).bearer_auth(token).json(&body);
    client.send(key.into_iter().fold(request, |request, key| request.header("idempotency-key", key))).await
}

/// An admission, and the token of a gate.
async fn doors(client: &Bare) -> (i64, i64, String) {
    let event_id = event(client, json!({})).await;
    let product_id = ticket_type(client, event_id, &standing()).await;
    (event_id, product_id, add(&client.app, "north-gate", Role::Gate).await.token)
}

#[tokio::test]
async fn a_ticket_admits_once_and_its_second_use_is_told_when_and_where_it_was() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (event_id, product_id, gate) = doors(&client).await;
    let (order_id, codes) = sold(&client, product_id, 3).await;
    let first = redeem(&client, &gate, &codes[0], None, json!({ "gate": "north" })).await.expect(200);
    let fields = json!({
        "code": codes[0], "status": "redeemed", "order_id": order_id, "event_id": event_id, "product_id": product_id,
        "unit": 1, "issue": 1, "gate": "north", "disputed": false,
    });
    for (field, value) in fields.as_object().expect("an object") {
        assert_eq!(&first.body[field], value, "{field}");
    }
    let again = redeem(&client, OPERATOR, &codes[0], None, json!({})).await;
    let again = again.refused(409, "already_redeemed");
    assert_eq!((&again.body["redeemed_at"], &again.body["gate"]), (&first.body["redeemed_at"], &json!("north")));
    // as a person types it, and at a gate without a name
    let typed = codes[1].to_lowercase().replace('-', "").replace('0', "O");
    let second = redeem(&client, OPERATOR, &typed, None, json!({})).await.expect(200);
    assert_eq!((&second.body["code"], &second.body["gate"]), (&json!(codes[1]), &Value::Null));
    assert_eq!(
        redeem(&client, &gate, &codes[1], None, json!({})).await.refused(409, "already_redeemed").body["gate"],
        Value::Null
    );
    let by = "SELECT CAST(GROUP_CONCAT(COALESCE(redeemed_by, '-') ORDER BY unit) AS CHAR) FROM tickets";
    assert_eq!(shop.row::<String>(by).await, "north-gate,operator,-");
    for gate_name in ["".to_owned(), "x".repeat(65), "a\nb".to_owned()] {
        redeem(&client, &gate, &codes[2], None, json!({ "gate": gate_name })).await.refused(422, "invalid_gate");
    }
    client.pay(&order_id, "refunded", "back").await.expect(200);
    for code in &codes {
        redeem(&client, &gate, code, None, json!({})).await.refused(409, "ticket_void");
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_code_that_no_ticket_has_is_not_found_and_a_wrong_check_digit_needs_no_query() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, product_id, gate) = doors(&client).await;
    let (_, codes) = sold(&client, product_id, 1).await;
    redeem(&client, &gate, &TicketCode::mint().reveal(), None, json!({})).await.refused(404, "ticket_not_found");
    client.proxy.clear();
    let last = if codes[0].ends_with('Z') { "Y" } else { "Z" };
    let mistyped = format!("{}{last}", &codes[0][..codes[0].len() - 1]);
    for code in [mistyped.as_str(), "x", "%20", &codes[0][1..]] {
        let answer = redeem(&client, &gate, code, None, json!({})).await;
        assert!(!answer.refused(404, "ticket_not_found").text.contains(code), "{}", answer.text);
    }
    assert_eq!(client.proxy.statements().iter().filter(|text| text.contains("tickets")).count(), 0);
}

#[tokio::test]
async fn the_same_request_with_its_key_gets_the_first_answer_again() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, product_id, gate) = doors(&client).await;
    let other = add(&client.app, "south-gate", Role::Gate).await.token;
    let (_, codes) = sold(&client, product_id, 2).await;
    let body = json!({ "gate": "north" });
    let first = redeem(&client, &gate, &codes[0], Some("key"), body.clone()).await.expect(200);
    let again = redeem(&client, &gate, &codes[0], Some("key"), body.clone()).await.expect(200);
    assert_eq!((first.is_replayed(), again.is_replayed(), &first.body), (false, true, &again.body));
    redeem(&client, &gate, &codes[0], Some("key"), json!({})).await.refused(422, "idempotency_key_reuse");
    redeem(&client, &gate, &codes[0], Some("another"), body.clone()).await.refused(409, "already_redeemed");
    redeem(&client, &other, &codes[0], Some("key"), body.clone()).await.refused(409, "already_redeemed");
    // a key is about one ticket
    let second = redeem(&client, &gate, &codes[1], Some("key"), body).await.expect(200);
    assert!(!second.is_replayed());
    shop.assert_conserved().await;
}

#[tokio::test]
async fn of_many_gates_that_scan_one_ticket_at_once_one_admits() {
    let shop = Shop::open().await;
    let instances = [office(&shop).await, office(&shop).await];
    let (_, product_id, _) = doors(&instances[0]).await;
    for _ in 0..5 {
        let (_, codes) = sold(&instances[0], product_id, 1).await;
        let scan = |n: usize| {
            let (client, code) = (instances[n % 2].client.clone(), codes[0].clone());
            async move { redeem(&client, OPERATOR, &code, None, json!({ "gate": n.to_string() })).await }
        };
        let answers = together((0..16).map(scan)).await;
        let winner = answers.iter().position(|answer| answer.status == 200).expect("one admits");
        for (n, answer) in answers.iter().enumerate().filter(|(n, _)| *n != winner) {
            assert_eq!(answer.refused(409, "already_redeemed").body["gate"], winner.to_string(), "{n}");
        }
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn a_cut_at_any_command_of_a_redemption_admits_once_and_is_answered_with_it() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, product_id, gate) = doors(&client).await;
    for rule in [Rule::from("-- tickets/redeem:"), Rule::exactly("COMMIT")] {
        for action in [Action::CutBefore, Action::CutAfter, Action::DEADLOCK] {
            for key in [None, Some("key")] {
                let (_, codes) = sold(&client, product_id, 1).await;
                let cut = client.proxy.on(rule.clone(), action);
                let answer = redeem(&client, &gate, &codes[0], key, json!({ "gate": "north" })).await.expect(200);
                assert_eq!((cut.hits(), answer.is_replayed()), (1, false), "{rule:?} {action:?} {key:?}");
                drop(cut);
                redeem(&client, &gate, &codes[0], None, json!({})).await.refused(409, "already_redeemed");
                shop.execute(&format!("UPDATE products SET stock = stock + 1 WHERE id = {product_id}")).await;
            }
        }
    }
    shop.assert_conserved().await;
}

#[tokio::test]
async fn the_gate_is_told_that_a_payment_is_disputed() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let (_, product_id, gate) = doors(&client).await;
    let (order_id, codes) = sold(&client, product_id, 1).await;
    shop.execute(&format!("UPDATE orders SET disputed = TRUE WHERE id = {}", binary(&order_id))).await;
    assert_eq!(shown(&client, &order_id).await[0]["disputed"], true);
    let redeemed = redeem(&client, &gate, &codes[0], None, json!({})).await.expect(200);
    assert_eq!((&redeemed.body["disputed"], &redeemed.body["status"]), (&json!(true), &json!("redeemed")));
}

#[tokio::test]
async fn the_buyer_of_an_order_sees_its_tickets_once_it_is_paid_and_others_do_not() {
    let shop = Shop::open().await;
    let client = office(&shop).await;
    let plain = shop.product(5).await;
    let (_, seated, standing) = concert(&client, 5).await;
    let order_id = mixed(&client, plain, standing, seated).await;
    assert!(shown(&client, &order_id).await.is_empty());
    client.pay(&order_id, "paid", "key").await.expect(200);
    let tickets = shown(&client, &order_id).await;
    let told = |ticket: &Value| (ticket["product_id"].clone(), ticket["seat"].clone(), ticket["status"].clone());
    let told: Vec<_> = tickets.iter().map(told).collect();
    let valid = json!("valid");
    assert_eq!(
        told,
        [
            (json!(seated), json!("A-1-3"), valid.clone()),
            (json!(standing), Value::Null, valid.clone()),
            (json!(standing), Value::Null, valid),
        ]
    );
    let path = format!("/api/orders/{order_id}/tickets");
    let other = add(&client.app, "shop", Role::Storefront).await.token;
    client.send(client.request("GET", &path).bearer_auth(&other)).await.refused(404, "order_not_found");
    client.send(client.request("GET", &path).header("holdfast-buyer", "b")).await.refused(404, "order_not_found");
    client.send(client.request("GET", &path).bearer_auth(OPERATOR)).await.expect(200);
    client.get(&format!("/api/orders/{}/tickets", mint())).await.refused(404, "order_not_found");
    client.get("/api/orders/x/tickets").await.refused(400, "invalid_id");
    let (_, plain_order) = client.hold_and_order(plain, 1).await;
    client.pay(&plain_order, "paid", "plain").await.expect(200);
    assert!(shown(&client, &plain_order).await.is_empty());
}

#[tokio::test]
async fn a_whole_run_never_shows_a_code_but_in_the_answers_about_its_ticket() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let settings = [("HOLDFAST_LOG", "trace"), ("HOLDFAST_ADMIN_TOKEN", OPERATOR), statsd.setting()];
    let (process, client) = Process::serve(&shop.database.url, &settings).await;
    let event_id = event(&client, json!({})).await;
    let product_id = ticket_type(&client, event_id, &standing()).await;
    let (order_id, mut codes) = sold(&client, product_id, 3).await;
    let reissued = send(&client, &format!("/api/admin/tickets/{}/reissue", codes[2]), &json!({})).await.expect(201);
    let mut refused = Vec::new();
    codes.push(TicketCode::mint().reveal());
    for _ in 0..2 {
        for code in &codes {
            refused.push(redeem(&client, OPERATOR, code, Some("key"), json!({ "gate": "north" })).await);
            refused.push(redeem(&client, OPERATOR, code, None, json!({ "gate": 1 })).await);
            refused.push(redeem(&client, "wrong", code, None, json!({})).await);
            refused.push(client.get(&format!("/api/tickets/{code}/redeem")).await);
            refused.push(client.get(&format!("/api/tickets/{}", code.to_lowercase())).await);
            refused.push(redeem(&client, OPERATOR, &format!("{code}%0D"), None, json!({})).await);
            refused.push(redeem(&client, OPERATOR, &code[..code.len() - 1], None, json!({})).await);
            refused.push(send(&client, &format!("/api/admin/tickets/{code}/reissue"), &json!({})).await);
        }
    }
    codes.push(reissued.text("code"));
    client.pay(&order_id, "refunded", "back").await.expect(200);
    // the third code was another one by then
    statsd.counted("tickets.redeemed", &[], 2).await;
    let ended = process.terminate().await.expect(0);
    let metrics = format!("{:?}", statsd.lines());
    assert!(ended.err.contains("/api/tickets/{code}/redeem") && metrics.contains("tickets"), "{metrics}");
    let refused: Vec<String> =
        refused.iter().filter(|answer| answer.status >= 400).map(|answer| answer.text.clone()).collect();
    for (place, text) in [ended.out, ended.err, metrics, refused.join("\n")].iter().enumerate() {
        for code in &codes {
            let bare = code.replace('-', "");
            let hex: String =
                TicketCode::parse(code).expect("a code").bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            let (text, half) = (text.to_lowercase(), bare.len() / 2);
            for part in [&code[..17], &code[17..], &bare[..half], &bare[half..], &hex[..16], &hex[16..]] {
                assert!(!text.contains(&part.to_lowercase()), "a code is in text {place}");
            }
        }
    }
}
