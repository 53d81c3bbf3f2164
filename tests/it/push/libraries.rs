//! What is sent is verified by libraries that receivers use: `standardwebhooks` and `svix`, of `PyPI` and of npm.
//!
//! `TEST_WEBHOOK_LIBRARIES` names the command that runs them (see `.ci/webhook-libraries`, which `.ci/run` installs). If it is not set,
//! the Rust library of the standard alone verifies, and the test says so.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;

use holdfast::domain::{AttemptOutcome, EndpointSecret};
use holdfast::push::Delivery;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{Received, Receiver, Reply, here, sender};
use crate::signatures::now;

const BODY: &str =
    r#"{"type":"order.paid","timestamp":"2026-01-02T03:04:05.000006Z","data":{"note":"ä \u00e4 \"€\""}}"#;

/// What a library is given: a secret, and the request as it arrived.
fn case(secret: &EndpointSecret, request: &Received, body: &str) -> Value {
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), json!(request.header(name)))).collect();
    json!({ "secret": secret.reveal(), "headers": headers, "body": body })
}

/// Returns what each library says about each case.
async fn ask_libraries(command: &str, cases: &[Value]) -> Vec<Value> {
    let mut libraries = Command::new(command)
        .arg("verify")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("TEST_WEBHOOK_LIBRARIES runs");
    let mut stdin = libraries.stdin.take().expect("a pipe");
    let lines: String = cases.iter().map(|case| format!("{case}\n")).collect();
    stdin.write_all(lines.as_bytes()).await.expect("the command reads everything");
    drop(stdin);
    let output = libraries.wait_with_output().await.expect("the command ends");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Says what the Rust library of the standard says.
fn verified_here(case: &Value) -> bool {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut headers = reqwest::header::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, text(&case["headers"][name]).parse().expect("a value"));
    }
    let webhook = Webhook::new(&text(&case["secret"])).expect("a secret");
    webhook.verify(text(&case["body"]).as_bytes(), &headers).is_ok()
}

#[tokio::test]
async fn libraries_of_receivers_verify_what_is_sent() {
    let command = std::env::var("TEST_WEBHOOK_LIBRARIES").ok().filter(|command| !command.is_empty());
    let (receiver, sender) = (Receiver::start(Reply::status(200, "")).await, sender(here()));
    let secrets = [EndpointSecret::mint(), EndpointSecret::mint()];
    let url = receiver.url();
    let (id, body) = ("0196f3a4-1111-7abc-8def-000000000001", BODY.as_bytes());
    let delivery = Delivery { endpoint_id: 1, url: &url, id, timestamp_seconds: now(), body, secrets: &secrets };
    assert_eq!(sender.send(&delivery).await.kind, AttemptOutcome::Delivered);
    let requests = receiver.received();
    let request = &requests[0];
    let arrived = std::str::from_utf8(&request.body).expect("text");
    let [first, second, stranger] = [&secrets[0], &secrets[1], &EndpointSecret::mint()];
    let cases = [
        (case(first, request, arrived), true),
        (case(second, request, arrived), true),
        (case(stranger, request, arrived), false),
        (case(first, request, &arrived.replace("paid", "past")), false),
    ];
    for (case, expected) in &cases {
        assert_eq!(verified_here(case), *expected, "{case}");
    }
    let said = match command {
        None => "TEST_WEBHOOK_LIBRARIES is not set: verified by the Rust library of the standard alone".to_owned(),
        Some(command) => {
            let given: Vec<Value> = cases.iter().map(|(case, _)| case.clone()).collect();
            let answers = ask_libraries(&command, &given).await;
            let names: BTreeSet<&str> = answers.iter().filter_map(|answer| answer["library"].as_str()).collect();
            assert!(names.contains("PyPI standardwebhooks") && names.contains("PyPI svix"), "{names:?}");
            for name in &names {
                let own = answers.iter().filter(|answer| answer["library"] == *name);
                let verified: Vec<bool> = own.filter_map(|answer| answer["verified"].as_bool()).collect();
                assert_eq!(verified, cases.each_ref().map(|(_, expected)| *expected), "{name}: {answers:?}");
            }
            format!("verified by {}", names.into_iter().collect::<Vec<_>>().join(", "))
        }
    };
    // the test harness does not capture this, so it shows in a run that passes, too
    writeln!(std::io::stderr(), "{said}").expect("stderr is open");
}
