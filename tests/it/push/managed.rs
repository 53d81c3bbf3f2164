//! Operators manage endpoints: each change happens once, and in a trail with the operator's name.

use holdfast::config::Config;
use holdfast::domain::{AdminToken, EndpointSecret, FeedType, Named as _, PushPrivate, Role};
use serde_json::{Value, json};

use super::worker::round;
use super::{ENDPOINTS, ask, ask_as};
use crate::clients::{OPERATOR, add, managed};
use crate::support::proxy::{Action, Rule};
use crate::support::{Bare, Shop, eventually, together};

const URL: &str = "https://shop.example/events";

/// Registers an endpoint; returns the response.
async fn register(api: &Bare, body: Value) -> Value {
    ask(api, "POST", ENDPOINTS, Some(body)).await.expect(201).body
}

fn path(endpoint: &Value, rest: &str) -> String {
    format!("{ENDPOINTS}/{}{rest}", endpoint["id"])
}

fn secret(body: &Value) -> String {
    body["secret"].as_str().expect("a new secret").to_owned()
}

/// The secrets that the database has of all endpoints, the newest first, as text.
async fn stored(shop: &Shop) -> Vec<String> {
    let query = "SELECT CONCAT_WS(' ', TO_BASE64(secret), TO_BASE64(older_secret)) FROM endpoints ORDER BY id";
    let rows: Vec<String> = shop.rows(query).await;
    rows.iter().flat_map(|row| row.split(' ')).map(|encoded| format!("whsec_{encoded}")).collect()
}

async fn actions(api: &Bare, endpoint: &Value) -> Vec<String> {
    let trail = ask(api, "GET", &path(endpoint, "/trail"), None).await.expect(200).body;
    let items = trail["items"].as_array().expect("items");
    items.iter().map(|item| item["action"].as_str().expect("a word").to_owned()).collect()
}

#[tokio::test]
async fn a_secret_is_shown_once_and_is_the_one_that_signs() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    let added = register(&api, json!({ "url": URL })).await;
    let first = secret(&added);
    assert!(first.starts_with("whsec_") && first.len() == 50, "{} characters", first.len());
    assert_eq!(stored(&shop).await, std::slice::from_ref(&first));
    let shown = json!({ "id": added["id"], "url": URL, "enabled": true, "live_secrets": 1, "created_at": added["created_at"], "position": 0 });
    let found = ask(&api, "GET", &path(&added, ""), None).await.expect(200);
    assert_eq!(found.body, shown, "no types, no client: all events");
    let listed = ask(&api, "GET", ENDPOINTS, None).await.expect(200);
    assert_eq!(listed.body["items"], json!([shown]));
    let trail = ask(&api, "GET", &path(&added, "/trail"), None).await.expect(200);
    for answer in [&found, &listed, &trail] {
        assert!(!answer.text.contains("whsec") && !answer.text.contains(&first[6..]), "{}", answer.text);
    }
    let detail = json!({ "url": URL, "types": null, "enabled": true, "client_id": null });
    assert_eq!(trail.body["items"][0]["detail"], detail);
    let live = round(&api, 1).await.expect("it is enabled").endpoint;
    assert_eq!(live.secrets.iter().map(EndpointSecret::reveal).collect::<Vec<_>>(), [first]);
}

#[tokio::test]
async fn every_event_type_can_be_wanted_and_no_other_one() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    let names: Vec<&str> = FeedType::ALL.iter().map(|known| known.as_str()).collect();
    assert_eq!(names.len(), 21);
    let added = register(&api, json!({ "url": URL, "types": names })).await;
    assert_eq!(added["types"], json!(names));
    let twice = register(&api, json!({ "url": URL, "types": ["order.paid", "hold.created", "order.paid"] })).await;
    assert_eq!(twice["types"], json!(["order.paid", "hold.created"]));
    assert_eq!(register(&api, json!({ "url": URL, "types": [] })).await["types"], Value::Null);
    for types in [json!(["order.payed"]), json!(["order.paid", ""]), json!(["ORDER.PAID"])] {
        let refused = ask(&api, "POST", ENDPOINTS, Some(json!({ "url": URL, "types": types }))).await;
        refused.refused(422, "unknown_event_type");
        let patched = ask(&api, "PATCH", &path(&added, ""), Some(json!({ "types": types }))).await;
        patched.refused(422, "unknown_event_type");
    }
    for types in [json!("order.paid"), json!([1]), json!({})] {
        ask(&api, "POST", ENDPOINTS, Some(json!({ "url": URL, "types": types }))).await.refused(422, "invalid_body");
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM endpoints").await, 3);
}

#[tokio::test]
async fn a_url_that_no_push_may_reach_is_refused_when_it_is_registered_and_when_it_is_changed() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    let added = register(&api, json!({ "url": URL })).await;
    let long = format!("https://shop.example/{}", "a".repeat(2000));
    for url in [
        "http://shop.example/",
        "https://user:pass@shop.example/",
        "https://shop.example/#a",
        "https://127.0.0.1/",
        "https://0x7f.1/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest",
        "https://localhost/",
        "shop.example",
        "",
        &long,
    ] {
        for (method, path) in [("POST", ENDPOINTS.to_owned()), ("PATCH", path(&added, ""))] {
            ask(&api, method, &path, Some(json!({ "url": url }))).await.refused(422, "endpoint_url_not_allowed");
        }
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM endpoint_trail").await, 1);
    let config = Config { push_private: PushPrivate::On, ..shop.config() };
    let config = Config { admin_token: AdminToken::new(OPERATOR), ..config };
    let private = shop.serve_without_workers_as(config).await;
    let local = register(&private, json!({ "url": "http://127.0.0.1:9000/events" })).await;
    // a service that must not reach it any more still lets it be disabled
    let disabled = ask(&api, "PATCH", &path(&local, ""), Some(json!({ "enabled": false }))).await.expect(200).body;
    assert_eq!((&disabled["enabled"], &disabled["disabled_reason"]), (&json!(false), &json!("operator")));
}

#[tokio::test]
async fn an_endpoint_of_a_client_needs_a_storefront_that_is_live() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    let [storefront, ended, gate] = [("shop", Role::Storefront), ("ended", Role::Storefront), ("gate", Role::Gate)]
        .map(|(name, role)| (name, role));
    let mut ids = Vec::new();
    for (name, role) in [storefront, ended, gate] {
        let body = json!({ "name": name, "role": role.as_str() });
        ids.push(ask(&api, "POST", "/api/admin/clients", Some(body)).await.expect(201).body["id"].clone());
    }
    ask(&api, "POST", &format!("/api/admin/clients/{}/revoke", ids[1]), None).await.expect(200);
    assert_eq!(register(&api, json!({ "url": URL, "client_id": ids[0] })).await["client_id"], ids[0]);
    for (client_id, status, code) in [
        (&ids[1], 409, "client_revoked"),
        (&ids[2], 422, "not_a_storefront"),
        (&json!(4711), 404, "client_not_found"),
        (&json!("shop"), 422, "invalid_body"),
    ] {
        let body = json!({ "url": URL, "client_id": client_id });
        ask(&api, "POST", ENDPOINTS, Some(body)).await.refused(status, code);
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM endpoints").await, 1);
}

#[tokio::test]
async fn the_endpoints_of_a_revoked_client_are_disabled_once_and_told_of() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    let mut ids = Vec::new();
    for name in ["revoked", "other"] {
        let body = json!({ "name": name, "role": "storefront" });
        ids.push(ask(&api, "POST", "/api/admin/clients", Some(body)).await.expect(201).body["id"].clone());
    }
    let own = register(&api, json!({ "url": URL, "client_id": ids[0] })).await;
    let disabled = register(&api, json!({ "url": URL, "client_id": ids[0], "enabled": false })).await;
    let others = [json!({ "url": URL, "client_id": ids[1] }), json!({ "url": URL })];
    let others = [register(&api, others[0].clone()).await, register(&api, others[1].clone()).await];
    let lost = api.proxy.on(Rule::exactly("COMMIT"), Action::CutAfter);
    for _ in 0..2 {
        ask(&api, "POST", &format!("/api/admin/clients/{}/revoke", ids[0]), None).await.expect(200);
    }
    lost.reached().await;
    let shown = ask(&api, "GET", &path(&own, ""), None).await.expect(200).body;
    assert_eq!((&shown["enabled"], &shown["disabled_reason"]), (&json!(false), &json!("revoked")));
    assert_eq!(actions(&api, &own).await, ["disabled", "added"]);
    let shown = ask(&api, "GET", &path(&disabled, ""), None).await.expect(200).body;
    assert_eq!(shown["disabled_reason"], "operator", "as it was");
    for other in &others {
        assert_eq!(ask(&api, "GET", &path(other, ""), None).await.expect(200).body["enabled"], true);
    }
    let told: Vec<(i64, String)> = shop.rows("SELECT client_id, events FROM feed_batches").await;
    let event = json!([{ "type": "endpoint.disabled", "endpoint_id": own["id"], "reason": "revoked" }]);
    let told: Vec<(Value, Value)> =
        told.iter().map(|(id, events)| (json!(id), serde_json::from_str(events).expect("JSON"))).collect();
    assert_eq!(told, [(ids[0].clone(), event)]);
    ask(&api, "PATCH", &path(&own, ""), Some(json!({ "enabled": true }))).await.expect(200);
    assert!(round(&api, 1).await.is_some(), "an operator may want the rest of its events delivered");
}

/// Pauses the first request at a statement, runs the second one until its statement about the client is being executed, where it waits for
/// the row, or until it is answered, and lets the first one go on. Returns both answers.
async fn at_once<A, B>(
    shop: &Shop,
    api: &Bare,
    statement: &str,
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
) -> (A, B) {
    let waiting = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE()
        AND (info LIKE '-- clients/revoke:%' OR info LIKE '-- clients/count_change:%')";
    let held_back = api.proxy.on(statement, Action::PauseBefore);
    let second = async {
        held_back.reached().await;
        let mut second = std::pin::pin!(second);
        let early = tokio::select! {
            answer = &mut second => Some(answer),
            waits = eventually(async || shop.count(waiting).await > 0) => { assert!(waits); None }
        };
        held_back.release();
        match early {
            Some(answer) => answer,
            None => second.await,
        }
    };
    tokio::join!(first, second)
}

#[tokio::test]
async fn an_endpoint_that_is_registered_while_its_client_is_revoked_is_disabled_or_refused() {
    for is_registered_first in [true, false] {
        let shop = Shop::open().await;
        let api = managed(&shop).await;
        let body = json!({ "name": "shop", "role": "storefront" });
        let client_id = ask(&api, "POST", "/api/admin/clients", Some(body)).await.expect(201).body["id"].clone();
        let path = format!("/api/admin/clients/{client_id}/revoke");
        let (registers, revokes) = (
            ask(&api, "POST", ENDPOINTS, Some(json!({ "url": URL, "client_id": client_id }))),
            ask(&api, "POST", &path, None),
        );
        let (registered, revoked) = if is_registered_first {
            at_once(&shop, &api, "-- push_cursors/insert:", registers, revokes).await
        } else {
            let (revoked, registered) = at_once(&shop, &api, "-- client_trail/insert:", revokes, registers).await;
            (registered, revoked)
        };
        revoked.expect(200);
        if is_registered_first {
            registered.expect(201);
        } else {
            registered.refused(409, "client_revoked");
        }
        assert_eq!(shop.count("SELECT COUNT(*) FROM endpoints WHERE disabled_at IS NULL").await, 0);
    }
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_the_same_patch_changes_nothing() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    let admin = add(&api.app, "alice", Role::Admin).await;
    let added = register(&api, json!({ "url": URL, "types": ["order.paid"], "enabled": false })).await;
    assert_eq!((&added["enabled"], &added["disabled_reason"]), (&json!(false), &json!("operator")));
    let patch = async |body: Value| ask_as(&api, &admin.token, "PATCH", &path(&added, ""), Some(body)).await;
    for _ in 0..2 {
        let moved = patch(json!({ "url": "https://shop.example/new" })).await.expect(200).body;
        assert_eq!((&moved["url"], &moved["types"]), (&json!("https://shop.example/new"), &json!(["order.paid"])));
        assert_eq!((&moved["enabled"], &moved["disabled_at"]), (&json!(false), &added["disabled_at"]));
    }
    let enabled = patch(json!({ "enabled": true, "types": null })).await.expect(200).body;
    for field in ["types", "disabled_at", "disabled_reason"] {
        assert_eq!(enabled[field], Value::Null, "{field}");
    }
    patch(json!({ "types": ["ticket.issued"] })).await.expect(200);
    assert_eq!(patch(json!({ "types": [] })).await.expect(200).body["types"], Value::Null);
    for body in [
        json!({ "url": null }),
        json!({ "enabled": null }),
        json!({ "enabled": "yes" }),
        json!({ "client_id": 1 }),
        json!({ "secret": "whsec_x" }),
    ] {
        patch(body).await.refused(422, "invalid_body");
    }
    let trail = ask(&api, "GET", &path(&added, "/trail?limit=100"), None).await.expect(200).body;
    let changes: Vec<(&Value, &Value)> =
        trail["items"].as_array().expect("items").iter().map(|item| (&item["detail"], &item["operator"])).collect();
    let (alice, operator) = (json!("alice"), json!("operator"));
    assert_eq!(
        changes,
        [
            (&json!({ "types": null }), &alice),
            (&json!({ "types": ["ticket.issued"] }), &alice),
            (&json!({ "types": null, "enabled": true }), &alice),
            (&json!({ "url": "https://shop.example/new" }), &alice),
            (&json!({ "url": URL, "types": ["order.paid"], "enabled": false, "client_id": null }), &operator),
        ]
    );
}

#[tokio::test]
async fn a_rotation_keeps_the_last_secret_until_it_is_ended() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    let added = register(&api, json!({ "url": URL })).await;
    let act =
        async |what: &str, body: Option<Value>| ask(&api, "POST", &path(&added, what), body).await.expect(200).body;
    let one = secret(&added);
    let rotated = act("/rotate", None).await;
    let two = secret(&rotated);
    assert_eq!((&rotated["live_secrets"], stored(&shop).await), (&json!(2), vec![two.clone(), one]));
    for _ in 0..2 {
        let ended = act("/end-old", None).await;
        assert_eq!((&ended["live_secrets"], &ended["secret"]), (&json!(1), &Value::Null));
        assert_eq!(stored(&shop).await, std::slice::from_ref(&two));
    }
    let three = secret(&act("/rotate", Some(json!({}))).await);
    let four = secret(&act("/rotate", Some(json!({ "end_old": false }))).await);
    assert_eq!(stored(&shop).await, [four, three], "two at most");
    let five = secret(&act("/rotate", Some(json!({ "end_old": true }))).await);
    assert_eq!(stored(&shop).await, [five]);
    let expected = ["replaced", "rotated", "rotated", "old_ended", "rotated", "added"];
    assert_eq!(actions(&api, &added).await, expected);
}

#[tokio::test]
async fn a_deleted_endpoint_loses_its_secrets_and_keeps_its_trail() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    let added = register(&api, json!({ "url": URL })).await;
    ask(&api, "POST", &path(&added, "/rotate"), None).await.expect(200);
    let mut deleted = Vec::new();
    for _ in 0..2 {
        deleted.push(ask(&api, "DELETE", &path(&added, ""), None).await.expect(200).body);
    }
    assert_eq!(deleted[0], deleted[1], "a repetition changes nothing");
    assert!(deleted[0]["deleted_at"].is_string() && deleted[0]["enabled"] == false, "{deleted:?}");
    assert_eq!((&deleted[0]["live_secrets"], &deleted[0]["disabled_reason"]), (&json!(0), &json!("deleted")));
    assert_eq!(shop.count("SELECT COUNT(*) FROM endpoints WHERE secret IS NULL AND older_secret IS NULL").await, 1);
    assert!(round(&api, 1).await.is_none());
    for (method, rest, body) in
        [("PATCH", "", Some(json!({ "enabled": true }))), ("POST", "/rotate", None), ("POST", "/end-old", None)]
    {
        ask(&api, method, &path(&added, rest), body).await.refused(409, "endpoint_deleted");
    }
    assert_eq!(ask(&api, "GET", &path(&added, ""), None).await.expect(200).body, deleted[0]);
    assert_eq!(actions(&api, &added).await, ["deleted", "rotated", "added"]);
    let other = json!({ "id": 4711 });
    for (method, rest, body) in [
        ("GET", "", None),
        ("GET", "/trail", None),
        ("PATCH", "", Some(json!({ "enabled": true }))),
        ("DELETE", "", None),
        ("POST", "/rotate", None),
        ("POST", "/end-old", None),
    ] {
        ask(&api, method, &path(&other, rest), body).await.refused(404, "endpoint_not_found");
    }
}

#[tokio::test]
async fn the_list_and_the_trail_of_endpoints_are_paged() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    for number in 0..3 {
        register(&api, json!({ "url": format!("https://shop.example/{number}") })).await;
    }
    let first = json!({ "id": 1 });
    ask(&api, "POST", &path(&first, "/rotate"), None).await.expect(200);
    ask(&api, "DELETE", &path(&json!({ "id": 2 }), ""), None).await.expect(200);
    let pages = async |path: &str, field: &str| {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = ask(&api, "GET", &format!("{path}?limit=1{cursor}"), None).await.expect(200).body;
            let [item] = page["items"].as_array().expect("items").as_slice() else { panic!("one item in {page}") };
            items.push(item[field].clone());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break items,
            }
        }
    };
    assert_eq!(pages(ENDPOINTS, "id").await, [1, 2, 3], "deleted ones, too");
    assert_eq!(pages(&path(&first, "/trail"), "action").await, ["rotated", "added"]);
    ask(&api, "GET", &format!("{ENDPOINTS}?limit=0"), None).await.refused(400, "invalid_limit");
    ask(&api, "GET", &format!("{ENDPOINTS}?cursor=x"), None).await.refused(400, "invalid_cursor");
}

#[tokio::test]
async fn a_change_of_an_endpoint_whose_commit_had_no_answer_was_made_once() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    let lose = || api.proxy.on(Rule::exactly("COMMIT"), Action::CutAfter);
    let lost = lose();
    let added = register(&api, json!({ "url": URL })).await;
    lost.reached().await;
    let one = secret(&added);
    assert_eq!(stored(&shop).await, std::slice::from_ref(&one), "the secret that is returned is the one that signs");
    let lost = lose();
    let two = secret(&ask(&api, "POST", &path(&added, "/rotate"), None).await.expect(200).body);
    lost.reached().await;
    assert_eq!(stored(&shop).await, [two, one], "it was rotated once");
    for (method, rest, body) in
        [("PATCH", "", Some(json!({ "enabled": false }))), ("POST", "/end-old", None), ("DELETE", "", None)]
    {
        let lost = lose();
        ask(&api, method, &path(&added, rest), body).await.expect(200);
        lost.reached().await;
    }
    assert_eq!(actions(&api, &added).await, ["deleted", "old_ended", "changed", "rotated", "added"]);
}

#[tokio::test]
async fn changes_of_one_endpoint_at_once_all_count_and_each_is_in_the_trail() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    let added = register(&api, json!({ "url": URL })).await;
    let own = path(&added, "");
    let changes =
        [json!({ "url": "https://shop.example/b" }), json!({ "types": ["order.paid"] }), json!({ "enabled": false })];
    let changing = changes.map(|body| {
        let (client, own) = (api.client.clone(), own.clone());
        async move { ask(&client, "PATCH", &own, Some(body)).await.status }
    });
    assert_eq!(together(changing).await, [200; 3]);
    let found = ask(&api, "GET", &own, None).await.expect(200).body;
    let shown = json!([found["url"], found["types"], found["enabled"]]);
    assert_eq!(shown, json!(["https://shop.example/b", ["order.paid"], false]));
    assert_eq!(actions(&api, &added).await.len(), 4);
}
