//! Complete Stripe events, signed and verified by the code of Stripe's own library.
//!
//! `TEST_STRIPE_SIGNER` names the command that runs the library (see `.ci/stripe-events`, which `.ci/run` installs). If it is
//! not set, the tests use signatures that the library made of the same events at a fixed time.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use holdfast::domain::signature::{Secrets, verify_stripe};
use serde_json::{Value, json};

use crate::signatures::now;
use crate::stripe::{SECRET, header, request};
use crate::stripe_payment::{Payment, Shown};
use crate::support::Shop;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/stripe_events")
}

/// Returns every event as it is checked in: the name of its file and its text.
fn events() -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder()).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("plain names")).collect();
    names.retain(|name| name != "signatures.json");
    names.sort();
    let text = |name: &String| std::fs::read_to_string(folder().join(name)).expect("a text file");
    names.iter().map(|name| (name.clone(), text(name))).collect()
}

fn vectors() -> Value {
    let text = std::fs::read_to_string(folder().join("signatures.json")).expect("a text file");
    serde_json::from_str(&text).expect("JSON")
}

/// Gives the library each payload with our own header; returns its own header and the type of the event that it verified.
fn ask_library(signer: &str, payloads: &[String], headers: &[String]) -> Vec<Value> {
    let mut library = Command::new(signer)
        .arg("sign")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("TEST_STRIPE_SIGNER runs");
    let mut stdin = library.stdin.take().expect("a pipe");
    let lines: Vec<String> = payloads
        .iter()
        .zip(headers)
        .map(|(payload, header)| json!({ "secret": SECRET, "payload": payload, "header": header }).to_string())
        .collect();
    let writer = std::thread::spawn(move || stdin.write_all((lines.join("\n") + "\n").as_bytes()));
    let output = library.wait_with_output().expect("the library ends");
    writer.join().expect("no panic").expect("the library reads everything");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Returns the command that runs the library, if it is set. Prints whether this run uses it.
fn signer() -> Option<String> {
    let signer = std::env::var("TEST_STRIPE_SIGNER").ok().filter(|signer| !signer.is_empty());
    let used = match &signer {
        Some(signer) => format!("signed by Stripe's own library, through {signer}"),
        None => "TEST_STRIPE_SIGNER is not set: signed by hand, checked against the library's vectors".to_owned(),
    };
    // the test harness does not capture this, so it shows in a run that passes, too
    writeln!(std::io::stderr(), "{used}").expect("stderr is open");
    signer
}

#[test]
fn signatures_of_stripes_own_library_equal_ours_and_are_accepted() {
    let (vectors, events) = (vectors(), events());
    assert_eq!(vectors["headers"].as_object().map(serde_json::Map::len), Some(events.len()), "a vector per event");
    for (name, body) in events {
        let expected = vectors["headers"][&name].as_str().unwrap_or_else(|| panic!("no vector of {name}"));
        let at = expected.split(['=', ',']).nth(1).and_then(|at| at.parse().ok()).expect("a time");
        assert!(header(SECRET, at, &body).starts_with(&format!("{expected},")), "{name}");
        let secrets = Secrets::stripe(SECRET).expect("a secret");
        let verified = verify_stripe(expected.as_bytes(), &secrets, body.as_bytes(), at);
        assert!(verified.is_ok(), "{name}: {verified:?}");
    }
}

#[tokio::test]
async fn complete_events_signed_by_stripes_own_library_are_accepted() {
    let shop = Shop::open().await;
    let product_id = shop.product(50).await;
    let client = shop.serve_stripe().await;
    let mut payloads = Vec::new();
    for (name, _) in events() {
        let (_, order_id) = client.hold_and_order(product_id, 1).await;
        let event = Payment::of(&order_id).event(name.trim_end_matches(".json"), Shown::Order);
        payloads.push(serde_json::to_string_pretty(&event).expect("JSON"));
    }
    let ours: Vec<String> = payloads.iter().map(|payload| header(SECRET, now(), payload)).collect();
    let headers = match signer() {
        None => ours,
        Some(signer) => {
            let answers = ask_library(&signer, &payloads, &ours);
            assert_eq!(answers.len(), payloads.len());
            for (payload, answer) in payloads.iter().zip(&answers) {
                let event: Value = serde_json::from_str(payload).expect("JSON");
                assert_eq!(answer["verified"], event["type"], "the library accepts our signature: {answer}");
            }
            answers.iter().map(|answer| answer["header"].as_str().expect("a header").to_owned()).collect()
        }
    };
    for (payload, header) in payloads.iter().zip(&headers) {
        let answer = client.send(request(&client, header, payload)).await;
        assert!([200, 202].contains(&answer.status), "{answer:?}");
        let changed = payload.replacen("eur", "usd", 1);
        client.send(request(&client, header, &changed)).await.refused(401, "invalid_signature");
    }
    shop.assert_conserved().await;
}
