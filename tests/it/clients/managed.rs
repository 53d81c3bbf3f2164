//! Operators manage clients: each change happens once, at once, and in a trail with the operator's name.

use holdfast::checkout::Error;
use holdfast::domain::{Refusal, Role};
use serde_json::{Value, json};

use super::{OPERATOR, Signer, add, ask, managed, post};
use crate::support::proxy::{Action, Rule};
use crate::support::{Bare, Shop, mint, together};

const CLIENTS: &str = "/api/admin/clients";

/// Whether this token is live, asked without the database.
async fn is_live(api: &Bare, token: &str) -> bool {
    ask(api, "GET", CLIENTS, token).await.status == 403
}

async fn act(api: &Bare, id: &Value, what: &str, body: Value) -> Value {
    post(api, &format!("{CLIENTS}/{id}/{what}"), OPERATOR, body).await.expect(200).body
}

fn token(body: &Value) -> String {
    body["token"].as_str().expect("a new token").to_owned()
}

#[tokio::test]
async fn a_token_is_shown_once_and_its_digest_alone_is_stored() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    let added = post(&api, CLIENTS, OPERATOR, json!({ "name": "shop", "role": "storefront" })).await.expect(201);
    let first = added.text("token");
    assert!(first.starts_with("hf_storefront_"), "{} characters", first.len());
    assert_eq!(
        (&added.body["name"], &added.body["role"], &added.body["live_tokens"]),
        (&json!("shop"), &json!("storefront"), &json!(1))
    );
    assert!(is_live(&api, &first).await, "it counts at once on this instance");
    post(&api, CLIENTS, OPERATOR, json!({ "name": "shop", "role": "admin" })).await.refused(409, "client_exists");
    let listed = ask(&api, "GET", CLIENTS, OPERATOR).await.expect(200);
    assert!(
        !listed.text.contains("hf_") && listed.body["items"].as_array().map(Vec::len) == Some(1),
        "{}",
        listed.text
    );
    let stored = format!("SELECT COUNT(*) FROM clients WHERE token_digest = UNHEX(SHA2('{first}', 256))");
    assert_eq!(shop.count(&stored).await, 1);
}

#[tokio::test]
async fn names_roles_and_ids_are_checked() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    for name in ["", "a b", "ä", "operator", "command-line", &"n".repeat(65)] {
        let body = json!({ "name": name, "role": "gate" });
        post(&api, CLIENTS, OPERATOR, body).await.refused(422, "invalid_client_name");
    }
    for role in ["", "owner", "Admin"] {
        post(&api, CLIENTS, OPERATOR, json!({ "name": "n", "role": role })).await.refused(422, "invalid_role");
    }
    post(&api, CLIENTS, OPERATOR, json!({ "name": "n" })).await.refused(422, "invalid_body");
    for what in ["rotate", "revoke", "end-old"] {
        ask(&api, "POST", &format!("{CLIENTS}/7/{what}"), OPERATOR).await.refused(404, "client_not_found");
    }
    ask(&api, "GET", &format!("{CLIENTS}/7/trail"), OPERATOR).await.refused(404, "client_not_found");
    ask(&api, "DELETE", &format!("{CLIENTS}/7/keys?kid=k"), OPERATOR).await.refused(404, "client_not_found");
    assert_eq!(shop.count("SELECT (SELECT COUNT(*) FROM clients) + (SELECT COUNT(*) FROM client_trail)").await, 0);
}

#[tokio::test]
async fn a_rotation_keeps_the_last_token_until_it_is_ended() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    let added = add(&api.app, "shop", Role::Storefront).await;
    let id = json!(added.id);
    let live = async |tokens: &[&str]| {
        let mut live = Vec::new();
        for token in tokens {
            live.push(is_live(&api, token).await);
        }
        live
    };
    let rotated = act(&api, &id, "rotate", json!({})).await;
    let (one, two) = (added.token.as_str(), token(&rotated));
    assert_eq!((rotated["live_tokens"].clone(), live(&[one, &two]).await), (json!(2), vec![true, true]));
    for _ in 0..2 {
        assert_eq!(act(&api, &id, "end-old", json!({})).await["live_tokens"], 1);
        assert_eq!(live(&[one, &two]).await, [false, true]);
    }
    let three = token(&act(&api, &id, "rotate", json!({})).await);
    let four = token(&act(&api, &id, "rotate", json!({ "end_old": false })).await);
    assert_eq!(live(&[&two, &three, &four]).await, [false, true, true], "two at most");
    let five = token(&act(&api, &id, "rotate", json!({ "end_old": true })).await);
    assert_eq!(live(&[&three, &four, &five]).await, [false, false, true]);
    for _ in 0..2 {
        let revoked = act(&api, &id, "revoke", json!({})).await;
        assert_eq!((&revoked["live_tokens"], revoked["revoked_at"].is_string()), (&json!(0), true));
    }
    assert!(!is_live(&api, &five).await);
    for what in ["rotate", "end-old"] {
        ask(&api, "POST", &format!("{CLIENTS}/{id}/{what}"), OPERATOR).await.refused(409, "client_revoked");
    }
    let trail = ask(&api, "GET", &format!("{CLIENTS}/{id}/trail"), OPERATOR).await.expect(200).body;
    let actions: Vec<&str> =
        trail["items"].as_array().expect("items").iter().filter_map(|item| item["action"].as_str()).collect();
    assert_eq!(actions, ["revoked", "replaced", "rotated", "rotated", "old_ended", "rotated", "added"]);
}

#[tokio::test]
async fn the_list_and_the_trail_are_paged_and_name_the_operator() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    let admin = add(&api.app, "alice", Role::Admin).await;
    let made = post(&api, CLIENTS, &admin.token, json!({ "name": "shop", "role": "storefront" })).await.expect(201);
    let id = made.body["id"].clone();
    post(&api, &format!("{CLIENTS}/{id}/rotate"), OPERATOR, json!({})).await.expect(200);
    let pages = async |path: &str| {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = ask(&api, "GET", &format!("{path}?limit=1{cursor}"), OPERATOR).await.expect(200).body;
            items.extend(page["items"].as_array().expect("items").clone());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break items,
            }
        }
    };
    let names: Vec<Value> = pages(CLIENTS).await.iter().map(|item| item["name"].clone()).collect();
    assert_eq!(names, ["alice", "shop"]);
    let trail: Vec<(Value, Value)> = (pages(&format!("{CLIENTS}/{id}/trail")).await.iter())
        .map(|item| (item["action"].clone(), item["operator"].clone()))
        .collect();
    assert_eq!(trail, [(json!("rotated"), json!("operator")), (json!("added"), json!("alice"))]);
}

#[tokio::test]
async fn a_storefront_has_four_keys_however_many_are_added_at_once() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    let storefront = add(&api.app, "shop", Role::Storefront).await;
    let path = format!("{CLIENTS}/{}/keys", storefront.id);
    let keys = (0..8).map(|seed| (seed, Signer::new(seed, &format!("k{seed}")).public_key()));
    let adding =
        keys.map(|(seed, public_key)| {
            let (client, path) = (api.client.clone(), path.clone());
            async move {
                post(&client, &path, OPERATOR, json!({ "kid": format!("k{seed}"), "public_key": public_key })).await
            }
        });
    let answers = together(adding).await;
    let (added, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!((added.len(), refused.len()), (4, 4), "{answers:?}");
    for answer in refused {
        answer.refused(409, "too_many_client_keys");
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM client_keys").await, 4);

    let kid: String = shop.row("SELECT kid FROM client_keys LIMIT 1").await;
    let seed: u8 = kid[1..].parse().expect("a number");
    let signer = Signer::new(seed, &kid);
    let same = json!({ "kid": kid, "public_key": signer.public_key() });
    post(&api, &path, OPERATOR, same).await.expect(201);
    let other = json!({ "kid": kid, "public_key": Signer::new(99, "").public_key() });
    post(&api, &path, OPERATOR, other).await.refused(409, "client_key_exists");
    assert_eq!(shop.count("SELECT COUNT(*) FROM client_trail WHERE action = 'key_added'").await, 4);

    let buyers_token = signer.token(&storefront, "b");
    assert!(is_live(&api, &buyers_token).await);
    ask(&api, "DELETE", &format!("{path}?kid={kid}"), OPERATOR).await.expect(200);
    assert!(!is_live(&api, &buyers_token).await);
    ask(&api, "DELETE", &format!("{path}?kid={kid}"), OPERATOR).await.refused(404, "client_key_not_found");
    // a name that no key can have, with a character that the database cannot compare with one
    ask(&api, "DELETE", &format!("{path}?kid=%C3%A9"), OPERATOR).await.refused(404, "client_key_not_found");
    for (body, code) in [
        (json!({ "kid": "", "public_key": "x" }), "invalid_kid"),
        (json!({ "kid": "k", "public_key": "x" }), "invalid_public_key"),
    ] {
        post(&api, &path, OPERATOR, body).await.refused(422, code);
    }
    let gate = add(&api.app, "gate", Role::Gate).await;
    let body = json!({ "kid": "k", "public_key": signer.public_key() });
    post(&api, &format!("{CLIENTS}/{}/keys", gate.id), OPERATOR, body).await.refused(422, "not_a_storefront");
}

#[tokio::test]
async fn a_change_whose_commit_had_no_answer_was_made_once_and_ends_right() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    let lose = || api.proxy.on(Rule::exactly("COMMIT"), Action::CutAfter);
    let lost = lose();
    let storefront = add(&api.app, "shop", Role::Storefront).await;
    lost.reached().await;
    assert!(is_live(&api, &storefront.token).await, "the token that is returned is the one that counts");
    let id = json!(storefront.id);
    let lost = lose();
    let rotated = token(&act(&api, &id, "rotate", json!({})).await);
    lost.reached().await;
    assert!(is_live(&api, &rotated).await && is_live(&api, &storefront.token).await, "it was rotated once");
    let signer = Signer::new(1, "k");
    let lost = lose();
    let path = format!("{CLIENTS}/{id}/keys");
    post(&api, &path, OPERATOR, json!({ "kid": "k", "public_key": signer.public_key() })).await.expect(201);
    lost.reached().await;
    let lost = lose();
    ask(&api, "DELETE", &format!("{path}?kid=k"), OPERATOR).await.expect(200);
    lost.reached().await;
    let lost = lose();
    act(&api, &id, "revoke", json!({})).await;
    lost.reached().await;
    let actions: Vec<String> = shop.rows("SELECT action FROM client_trail ORDER BY id").await;
    assert_eq!(actions, ["added", "rotated", "key_added", "key_removed", "revoked"]);
}

#[tokio::test]
async fn of_two_clients_with_one_name_one_is_added() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    let adding = (0..4).map(|_| {
        let app = std::sync::Arc::clone(&api.app);
        async move { app.checkout.add_client("a test", "shop", Role::Gate).await.map(|(file, _)| file.client.id) }
    });
    let (added, refused): (Vec<_>, Vec<_>) = together(adding).await.into_iter().partition(Result::is_ok);
    assert_eq!((added.len(), refused.len()), (1, 3));
    let taken = |error: &Result<i64, Error>| matches!(error, Err(Error::Refused(Refusal::ClientExists)));
    assert!(refused.iter().all(taken), "{refused:?}");
    assert_eq!(shop.count("SELECT COUNT(*) FROM client_trail").await, 1);
}

#[tokio::test]
async fn the_history_of_a_payment_event_names_the_operators_who_acted() {
    let shop = Shop::open().await;
    let product_id = shop.product(5).await;
    let api = managed(&shop).await;
    let admin = add(&api.app, "alice", Role::Admin).await;
    let event = async |status: &str, amount: &str| {
        let (_, order_id) = api.hold_and_order(product_id, 1).await;
        let event =
            json!({ "order_id": order_id, "status": status, "amount": amount, "txn_id": mint(), "currency": "EUR" });
        api.webhook(&event).await.body["event_id"].as_i64().expect("an id")
    };
    let history = async |event_id: i64| {
        let file = ask(&api, "GET", &format!("/api/admin/payment-events/{event_id}"), OPERATOR).await.expect(200).body;
        let entries = file["history"].as_array().expect("a history").clone();
        entries.iter().map(|entry| format!("{} by {}", entry["action"], entry["operator"])).collect::<Vec<_>>()
    };
    let act =
        async |path: &str, token: &str| post(&api, &format!("/api/admin/{path}"), token, json!({ "note": "n" })).await;
    let short = event("paid", "1.00").await;
    act(&format!("payment-events/{short}/replay"), &admin.token).await.expect(200);
    act(&format!("refunds/{short}/done"), OPERATOR).await.expect(200);
    act(&format!("refunds/{short}/done"), &admin.token).await.expect(200);
    let replayed = r#""replayed" by "alice""#;
    assert_eq!(history(short).await, [replayed, r#""refund_done" by "operator""#], "the first one counts");
    let (_, order_id) = api.hold_and_order(product_id, 1).await;
    let report = async |status: &str, amount: &str| {
        let event =
            json!({ "order_id": order_id, "status": status, "amount": amount, "txn_id": "T", "currency": "EUR" });
        api.webhook(&event).await.body["event_id"].as_i64().expect("an id")
    };
    report("paid", "49.99").await;
    let refund = report("refunded", "50.00").await;
    act(&format!("payment-events/{refund}/dismiss"), &admin.token).await.expect(200);
    act(&format!("payment-events/{refund}/dismiss"), OPERATOR).await.expect(200);
    assert_eq!(history(refund).await, [r#""dismissed" by "alice""#]);
}
