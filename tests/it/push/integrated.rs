//! The requests of docs/integrate.md work as they are written, and are answered as it shows.

use serde_json::Value;

use super::example::{PAYMENT_SECRET, demanding};
use crate::clients::OPERATOR;
use crate::clients::documented::{requests, run};
use crate::support::{Instance, Shop};

const DOCUMENT: &str = include_str!("../../../docs/integrate.md");

/// Fields whose values differ from run to run.
const VARYING: [&str; 15] = [
    "client_id",
    "created_at",
    "event_id",
    "expires_at",
    "expires_in",
    "hold_id",
    "id",
    "next",
    "order_id",
    "pay_by",
    "payment_event_id",
    "position",
    "secret",
    "timestamp",
    "token",
];

/// Returns the answers that the document shows, each with the number of requests before it; problems are not among them.
fn shown() -> Vec<(usize, Value)> {
    let (mut requests, mut answers, mut text) = (0, Vec::new(), String::new());
    for line in DOCUMENT.lines().chain([""]) {
        match line.strip_prefix("    ") {
            Some(line) if line.starts_with("{\"") || !text.is_empty() => text.push_str(line),
            Some(line) => requests += line.matches("curl ").count(),
            None if text.is_empty() => {}
            None => {
                let answer: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
                if answer.get("code").is_none() {
                    answers.push((requests, answer));
                }
                text.clear();
            }
        }
    }
    answers
}

/// Whether two answers differ in nothing but the values that vary.
fn alike(shown: &Value, given: &Value) -> bool {
    match (shown, given) {
        (Value::Object(shown), Value::Object(given)) => {
            shown.keys().eq(given.keys())
                && shown.iter().all(|(name, value)| VARYING.contains(&name.as_str()) || alike(value, &given[name]))
        }
        (Value::Array(shown), Value::Array(given)) => {
            shown.len() == given.len() && shown.iter().zip(given).all(|(shown, given)| alike(shown, given))
        }
        _ => shown == given,
    }
}

#[tokio::test]
async fn the_requests_of_the_document_for_integrators_are_answered_as_it_shows() {
    let shop = Shop::open().await;
    shop.product(100).await;
    let instance = Instance::start(demanding(&shop)).await;
    let script = requests(DOCUMENT).concat();
    let place = format!("http://{}", instance.address());
    let variables = [
        ("SERVICE", &*place),
        ("JSON", "content-type: application/json"),
        ("OPERATOR_TOKEN", OPERATOR),
        ("PAYMENT_SECRET", PAYMENT_SECRET),
    ];
    let answers = run(&script, &variables, &[]).await;
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), script.matches("curl ").count());
    let shown = shown();
    assert_eq!(shown.len(), 6, "{shown:?}");
    for (requests, shown) in shown {
        assert!(alike(&shown, &answers[requests - 1]), "shown: {shown}\ngiven: {}", answers[requests - 1]);
    }
    shop.assert_conserved().await;
}
