//! The OpenAPI document as a visitor and a generator of clients read it: groups, examples, codes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use holdfast::app::App;
use holdfast::config::Config;
use holdfast::domain::AdminToken;
use serde_json::{Value, json};

use crate::clients::OPERATOR;
use crate::support::Shop;
use crate::support::process::Process;
use crate::support::schema::Document;

fn document(app: &Arc<App>) -> Value {
    let (document, lost) = holdfast::http::completed(app);
    assert_eq!(lost, Vec::<String>::new(), "additions that found nothing to belong to");
    document
}

/// Returns the operations: the method, the path and the operation.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, methods): (&String, &Value)| {
        let methods = methods.as_object().expect("methods");
        methods.iter().map(|(method, it)| (method.clone(), path.clone(), it.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

/// Returns the words between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Returns the example that a reference names, or the example itself.
fn example<'doc>(document: &'doc Value, example: &'doc Value) -> &'doc Value {
    match example["$ref"].as_str() {
        Some(path) => &document["components"]["examples"][path.rsplit('/').next().expect("a name")]["value"],
        None => &example["value"],
    }
}

#[tokio::test]
async fn every_operation_says_what_it_guarantees_and_which_tokens_it_takes() {
    let shop = Shop::open().await;
    let document = document(&shop.app());
    for (method, path, operation) in operations(&document) {
        for field in ["summary", "description"] {
            assert!(operation[field].as_str().is_some_and(|text| text.len() > 4), "{method} {path} has no {field}");
        }
        assert!(operation["security"].is_array(), "{method} {path}");
        for (status, answer) in operation["responses"].as_object().expect("answers") {
            assert!(answer["description"].as_str().is_some_and(|text| text.len() > 4), "{method} {path} {status}");
        }
    }
    let tags: Vec<&str> =
        document["tags"].as_array().expect("groups").iter().map(|tag| tag["name"].as_str().expect("a name")).collect();
    assert_eq!(tags, ["Products", "Holds", "Orders", "Payments", "Events", "Gate", "Feed", "Operators", "Health"]);
    assert_eq!(document["servers"][0]["url"], "/");
}

#[tokio::test]
async fn every_answer_has_an_example_that_fits_its_schema() {
    let shop = Shop::open().await;
    let document = document(&shop.app());
    let (schemas, requests) = (Document::read(&document.to_string()), Document::of_requests(&document.to_string()));
    for (method, path, operation) in operations(&document) {
        for (status, answer) in operation["responses"].as_object().expect("answers") {
            let place = format!("{method} {path} {status}");
            if let Some(media) = answer["content"].get("application/json") {
                let example = media.get("example").unwrap_or_else(|| panic!("{place} has no example"));
                schemas.fits(&media["schema"], example, &place);
            }
            let Some(media) = answer["content"].get("application/problem+json") else { continue };
            let examples = media["examples"].as_object().unwrap_or_else(|| panic!("{place} has no examples"));
            for (code, reference) in examples {
                let problem = example(&document, reference);
                schemas.fits(&media["schema"], problem, &format!("{place} {code}"));
                assert_eq!(
                    (&problem["code"], problem["status"].to_string()),
                    (&json!(code), status.clone()),
                    "{place}"
                );
            }
        }
        let request = &operation["requestBody"]["content"]["application/json"];
        if let Some(example) = request.get("example") {
            requests.fits(&request["schema"], example, &format!("{method} {path}"));
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        if let Some(example) = schema.get("example") {
            requests.fits(schema, example, name);
        }
    }
}

/// Calls `look` with each object of a document and its name in the object around it.
fn each(name: &str, part: &Value, look: &mut impl FnMut(&str, &Value)) {
    look(name, part);
    match part {
        Value::Object(fields) => fields.iter().for_each(|(name, part)| each(name, part, look)),
        Value::Array(parts) => parts.iter().for_each(|part| each(name, part, look)),
        _ => {}
    }
}

#[tokio::test]
async fn numbers_are_read_into_64_bits_by_generated_clients() {
    let shop = Shop::open().await;
    let document = document(&shop.app());
    let mut amounts = 0;
    each("", &document["components"]["schemas"], &mut |name, schema| {
        if name.ends_with("_minor") && schema.is_object() {
            assert_eq!((&schema["type"], &schema["format"]), (&json!("integer"), &json!("int64")), "{name}");
            amounts += 1;
        }
        if schema["type"] == "number" {
            assert_eq!(schema["format"], "double", "{name}");
        }
    });
    assert!(amounts > 10, "{amounts}");
}

#[tokio::test]
async fn every_size_of_a_page_and_every_number_of_a_request_that_has_a_range_states_it() {
    let shop = Shop::open().await;
    let document = document(&shop.app());
    let mut pages = 0;
    for (method, path, operation) in operations(&document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["description"].is_string(), "{method} {path} {}", parameter["name"]);
            if parameter["name"] == "limit" {
                let most = if path == "/api/feed" { 1000 } else { 100 };
                let schema = &parameter["schema"];
                assert_eq!((&schema["minimum"], &schema["maximum"]), (&json!(1), &json!(most)), "{path}");
                pages += 1;
            }
        }
    }
    assert!(pages > 10, "{pages}");
    // without a range: ids, and what is compared with something of its own
    let free = ["product_id", "organizer_id", "client_id", "confirm_amount_minor", "created"];
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let (mut bounded, requests) = (0, schemas.iter().filter(|(_, schema)| schema["additionalProperties"] == false));
    for (name, schema) in requests {
        for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
            if schema["type"] == "integer" && !free.contains(&field.as_str()) {
                assert!(schema["minimum"].is_i64(), "{name}.{field} has no range");
                bounded += 1;
            }
        }
    }
    assert!(bounded > 20, "{bounded}");
}

#[tokio::test]
async fn every_code_that_an_operation_names_has_an_example_there() {
    let shop = Shop::open().await;
    let document = document(&shop.app());
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let fields: BTreeSet<&str> = schemas
        .values()
        .flat_map(|schema| schema["properties"].as_object().into_iter().flatten())
        .map(|(name, _)| name.as_str())
        .collect();
    for (method, path, operation) in operations(&document) {
        for (status, answer) in operation["responses"].as_object().expect("answers") {
            if !status.starts_with(['4', '5']) {
                continue;
            }
            let description = answer["description"].as_str().unwrap_or_default();
            let examples = &answer["content"]["application/problem+json"]["examples"];
            let is_code =
                |word: &&str| word.contains('_') && word.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase());
            for word in quoted(description).filter(is_code).filter(|word| !fields.contains(word)) {
                assert!(examples.get(word).is_some(), "{method} {path} {status} names {word}, which has no example");
            }
        }
    }
}

#[tokio::test]
async fn the_page_of_errors_is_printed_from_the_codes() {
    let printed = Process::run(&["errors"], &[]).await.expect(0);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    let page = std::fs::read_to_string(page).expect("a file");
    assert_eq!(printed.out.trim_end(), page.trim_end(), "run `cargo run -- errors > docs/errors.md`");
}

#[tokio::test]
async fn a_body_that_the_document_closes_refuses_an_unknown_field() {
    let shop = Shop::open().await;
    let client =
        shop.serve_without_workers_as(Config { admin_token: AdminToken::new(OPERATOR), ..shop.config() }).await;
    let document = document(&client.app);
    let mut closed = 0;
    for (method, path, operation) in operations(&document) {
        let Some(name) = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str() else {
            continue;
        };
        let schema = &document["components"]["schemas"][name.rsplit('/').next().expect("a name")];
        let place = path.split('/').map(|part| match part {
            "{hold_id}" | "{order_id}" => "01a21f31-7088-7e4c-8090-63942757c2a8",
            part if part.starts_with('{') => "1",
            part => part,
        });
        let place = place.collect::<Vec<_>>().join("/");
        let request = client.request(&method.to_uppercase(), &place).bearer_auth(OPERATOR);
        let answer = client.send(request.json(&json!({ "colour_of_field": 1 }))).await;
        let is_refused = answer.status == 422 && answer.text.contains("colour_of_field");
        assert_eq!(is_refused, schema["additionalProperties"] == false, "{method} {path}: {answer:?}");
        closed += usize::from(is_refused);
    }
    assert!(closed > 20, "{closed}");
    // a provider's event may have more fields in each of its parts
    for name in ["StripeEvent", "StripeData", "StripeObject", "StripeMetadata", "PaymentEvent"] {
        let schema = &document["components"]["schemas"][name];
        assert!(schema["properties"].is_object() && schema["additionalProperties"].is_null(), "{name}");
    }
}
