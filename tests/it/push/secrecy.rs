//! No secret of an endpoint is ever written: neither in logs nor metrics, nor in responses after the one that shows it.

use serde_json::json;

use super::{ENDPOINTS, Receiver, Reply, ask, here, push, sender};
use crate::clients::OPERATOR;
use crate::support::process::Process;
use crate::support::statsd::StatsD;
use crate::support::{Answer, Shop};

#[tokio::test]
async fn a_whole_run_never_shows_a_secret_of_an_endpoint() {
    let (shop, statsd) = (Shop::open().await, StatsD::start().await);
    let settings = [("HOLDFAST_LOG", "trace"), ("HOLDFAST_ADMIN_TOKEN", OPERATOR), statsd.setting()];
    let (process, client) = Process::serve(&shop.database.url, &settings).await;
    let url = "https://shop.example/a-token-in-the-path";
    let send = async |method: &str, path: &str, body| ask(&client, method, path, body).await.expect(200);
    let added = ask(&client, "POST", ENDPOINTS, Some(json!({ "url": url }))).await.expect(201);
    let own = format!("{ENDPOINTS}/{}", added.body["id"]);
    let mut secrets = vec![added.text("secret")];
    for body in [json!({}), json!({ "end_old": true }), json!({})] {
        secrets.push(send("POST", &format!("{own}/rotate"), Some(body)).await.text("secret"));
    }
    let mut answers: Vec<Answer> = Vec::new();
    for (method, path, body) in [
        ("PATCH", own.clone(), Some(json!({ "enabled": false }))),
        ("POST", format!("{own}/end-old"), None),
        ("GET", own.clone(), None),
        ("GET", ENDPOINTS.to_owned(), None),
        ("GET", format!("{own}/trail"), None),
        ("DELETE", own.clone(), None),
    ] {
        answers.push(send(method, &path, body).await);
    }
    let processes: Vec<mysql_async::Row> = shop.rows("SHOW FULL PROCESSLIST").await;
    let ended = process.terminate().await.expect(0);
    assert!(ended.err.contains("an operator changed an endpoint"), "the log is on");
    let answered: Vec<String> = answers.iter().map(|answer| format!("{} {:?}", answer.text, answer.headers)).collect();
    assert!(!ended.err.contains("a-token-in-the-path"), "the log has no URL");
    let written =
        [ended.out, ended.err, format!("{:?}", statsd.lines()), answered.join("\n"), format!("{processes:?}")];
    for (place, text) in written.iter().enumerate() {
        for (number, secret) in secrets.iter().enumerate() {
            // also a part of one
            let encoded = &secret["whsec_".len()..];
            let parts = [encoded, &encoded[..20], &encoded[20..]];
            assert!(parts.iter().all(|part| !text.contains(part)), "secret {number} is in text {place}");
        }
    }
}

#[tokio::test]
async fn what_is_sent_and_its_outcome_have_signatures_and_no_secret() {
    let receiver = Receiver::start(Reply::status(200, "")).await;
    let secret = holdfast::domain::EndpointSecret::mint();
    let outcome = push(&sender(here()), &receiver.url(), &secret).await;
    let shown = format!("{outcome:?} {:?} {secret:?}", receiver.received());
    assert!(shown.contains("v1,") && !shown.contains("whsec") && !shown.contains(&secret.reveal()[6..]), "{shown}");
}
