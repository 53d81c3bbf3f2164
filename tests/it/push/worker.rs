//! What a worker that pushes needs to know of endpoints, and notes about them.

use std::time::Duration;

use holdfast::checkout::push::PushRound;
use holdfast::domain::{AttemptOutcome, EndpointSecret, FeedType};
use holdfast::push::Outcome;
use holdfast::push::round::End;
use serde_json::{Value, json};
use uuid::Uuid;

use super::shared::tell_of_products;
use super::{ENDPOINTS, ask};
use crate::clients::managed;
use crate::feed::number;
use crate::support::proxy::{Action, Rule};
use crate::support::{Bare, Shop};

/// What an instance would push to an endpoint now; `None`: nothing is pushed to it.
pub(super) async fn round(api: &Bare, endpoint_id: i64) -> Option<PushRound> {
    let checkout = &api.app.checkout;
    assert!(checkout.take_push_lease(Uuid::nil(), endpoint_id).await.expect("a database"));
    checkout.begin_push_round(Uuid::nil(), endpoint_id, None, 0).await.expect("a database")
}

/// The end of an attempt.
pub(super) fn tried(kind: AttemptOutcome) -> End {
    answered(kind, None, b"")
}

fn answered(kind: AttemptOutcome, status: Option<u16>, answer: &[u8]) -> End {
    End::Tried(Outcome { kind, status, answer: answer.to_vec(), duration: Duration::ZERO })
}

/// Notes that the events of a round ended like this.
async fn note(api: &Bare, round: &PushRound, outcome: AttemptOutcome, status: Option<u16>, answer: &[u8]) {
    let ends = vec![answered(outcome, status, answer); round.jobs.len()];
    api.app.checkout.note_push_round(Uuid::nil(), round, &ends).await.expect("a database");
}

#[tokio::test]
async fn the_live_endpoints_are_those_that_are_enabled_with_all_their_secrets() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    let types = json!(["order.paid", "ticket.issued"]);
    let mut secrets = Vec::new();
    for body in [
        json!({ "url": "https://shop.example/1", "types": types }),
        json!({ "url": "https://shop.example/2", "enabled": false }),
        json!({ "url": "https://shop.example/3" }),
        json!({ "url": "https://shop.example/4" }),
    ] {
        secrets.push(ask(&api, "POST", ENDPOINTS, Some(body)).await.expect(201).text("secret"));
    }
    ask(&api, "DELETE", &format!("{ENDPOINTS}/4"), None).await.expect(200);
    let new = ask(&api, "POST", &format!("{ENDPOINTS}/1/rotate"), None).await.expect(200).text("secret");
    let mut shown = Vec::new();
    for endpoint_id in 1..=4 {
        let Some(round) = round(&api, endpoint_id).await else { continue };
        assert!(!format!("{round:?}").contains("whsec"));
        let endpoint = round.endpoint;
        let secrets: Vec<String> = endpoint.secrets.iter().map(EndpointSecret::reveal).collect();
        shown.push((endpoint.id, endpoint.url, secrets, endpoint.types));
    }
    let two = Some(vec![FeedType::OrderPaid, FeedType::TicketIssued]);
    let expected = [
        (1, "https://shop.example/1".to_owned(), vec![new, secrets[0].clone()], two),
        (3, "https://shop.example/3".to_owned(), vec![secrets[2].clone()], None),
    ];
    assert_eq!(shown, expected);
    // an instance of a newer version has stored a type that this one does not know
    shop.execute("UPDATE endpoints SET types = 'order.moved' WHERE id = 1").await;
    assert!(round(&api, 1).await.is_none(), "it does not become all types");
}

#[tokio::test]
async fn the_last_attempt_is_shown_with_what_was_answered() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    let body = json!({ "url": "https://shop.example/" });
    ask(&api, "POST", ENDPOINTS, Some(body)).await.expect(201);
    let note = async |outcome, status, answer: &[u8]| {
        tell_of_products(&shop, 1).await;
        number(&api.app).await;
        shop.execute("UPDATE push_failures SET next_at = UTC_TIMESTAMP(6) + INTERVAL 1 DAY").await;
        note(&api, &round(&api, 1).await.expect("it is enabled"), outcome, status, answer).await;
        let page = ask(&api, "GET", ENDPOINTS, None).await.expect(200).body;
        let shown = page["items"][0]["last_attempt"].clone();
        assert!(shown["at"].is_string());
        (shown["outcome"].clone(), shown["status"].clone(), shown["answer"].clone())
    };
    let delivered_at =
        async || ask(&api, "GET", ENDPOINTS, None).await.expect(200).body["items"][0]["delivered_at"].clone();
    assert_eq!(delivered_at().await, Value::Null);
    let refused = note(AttemptOutcome::Refused, Some(503), b"busy \xff").await;
    assert_eq!(refused, (json!("refused"), json!(503), json!("busy \u{fffd}")));
    assert_eq!(delivered_at().await, Value::Null, "not a success");
    let delivered = note(AttemptOutcome::Delivered, Some(200), &[b'x'; 1024]).await;
    assert_eq!(delivered, (json!("delivered"), json!(200), json!("x".repeat(1024))));
    let first = delivered_at().await;
    assert!(first.is_string());
    let timed_out = note(AttemptOutcome::TimedOut, None, b"").await;
    assert_eq!(timed_out, (json!("timed_out"), Value::Null, json!("")));
    assert_eq!(delivered_at().await, first);
}

#[tokio::test]
async fn an_endpoint_that_fails_for_too_long_is_disabled_once_until_an_operator_enables_it() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    ask(&api, "POST", ENDPOINTS, Some(json!({ "url": "https://shop.example/" }))).await.expect(201);
    let lost = api.proxy.on(Rule::exactly("COMMIT"), Action::CutAfter);
    let disable = async || api.app.checkout.disable_failing_endpoint(1).await.expect("a database");
    assert!(disable().await, "although its COMMIT had no answer");
    lost.reached().await;
    assert!(!disable().await && round(&api, 1).await.is_none());
    let told: Vec<(i64, String)> = shop.rows("SELECT client_id, events FROM feed_batches").await;
    let event = r#"[{"type":"endpoint.disabled","endpoint_id":1,"reason":"failing"}]"#;
    assert_eq!(told, [(-2, event.to_owned())], "operators hear of it");
    let own = format!("{ENDPOINTS}/1");
    let shown = ask(&api, "GET", &own, None).await.expect(200).body;
    assert_eq!((&shown["enabled"], &shown["disabled_reason"]), (&json!(false), &json!("failing")));
    let still = ask(&api, "PATCH", &own, Some(json!({ "enabled": false }))).await.expect(200).body;
    assert_eq!(still, shown, "it is disabled already");
    ask(&api, "PATCH", &own, Some(json!({ "enabled": true }))).await.expect(200);
    assert!(round(&api, 1).await.is_some());
    let trail = ask(&api, "GET", &format!("{own}/trail"), None).await.expect(200).body;
    let entries: Vec<String> = (trail["items"].as_array().expect("items").iter())
        .map(|entry| format!("{} by {}", entry["action"], entry["operator"]))
        .collect();
    let expected = [r#""changed" by "operator""#, r#""disabled" by "push worker""#, r#""added" by "operator""#];
    assert_eq!(entries, expected);
}

#[tokio::test]
async fn an_endpoint_that_accepts_all_but_the_last_event_of_a_round_has_accepted_some() {
    let shop = Shop::open().await;
    let api = managed(&shop).await;
    ask(&api, "POST", ENDPOINTS, Some(json!({ "url": "https://shop.example/" }))).await.expect(201);
    tell_of_products(&shop, 2).await;
    number(&api.app).await;
    let round = round(&api, 1).await.expect("it is enabled");
    let ends = [AttemptOutcome::Delivered, AttemptOutcome::Refused].map(tried);
    api.app.checkout.note_push_round(Uuid::nil(), &round, &ends).await.expect("a database");
    let shown = ask(&api, "GET", &format!("{ENDPOINTS}/1"), None).await.expect(200).body;
    assert!(shown["delivered_at"].is_string(), "{shown}");
    assert_eq!(shown["last_attempt"]["outcome"], "refused");
}
