//! What the OpenAPI document says beside what the framework generates of types and routes: one pass over its JSON. An addition that
//! finds nothing to belong to is a mistake, which [`complete`] returns.

mod bounds;
mod codes;
mod errors;
mod operations;
mod places;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use self::codes::Code;
pub use self::errors::errors;
use self::operations::operations;

/// Examples of successful answers and of bodies of requests, by operation: `{operation: {"request": body, "200": body}}`.
const EXAMPLES: &str = include_str!("examples.json");
/// The operation that `dev` alone has.
const DEV_OPERATION: &str = "payInDev";
/// Request bodies with fields of the providers' own, which are kept and not refused.
const OPEN: [&str; 2] = ["PaymentEvent", "StripeEvent"];

/// Completes the document. Returns what found nothing to belong to.
pub fn complete(document: &mut Value) -> Vec<String> {
    let mut lost = Vec::new();
    places::describe(document, &mut lost);
    name_references(document);
    bounds::add(document, &mut lost);
    describe_answers(document);
    describe_requests(document);
    let used = add_problems(document);
    for code in codes::all() {
        let name = code.example.code();
        if !used.contains(name) && !codes::EVERYWHERE.contains(&name) {
            lost.push(format!("no operation has the code {name}"));
        }
    }
    add_examples(document, &mut lost);
    lost
}

/// Adds the operations of another document, whose paths begin with `prefix`, and their schemas.
pub fn add(document: &mut Value, other: &Value, prefix: &str) {
    for (path, methods) in other["paths"].as_object().into_iter().flatten() {
        document["paths"][format!("{prefix}{path}")] = methods.clone();
    }
    for (name, schema) in other["components"]["schemas"].as_object().into_iter().flatten() {
        document["components"]["schemas"][name] = schema.clone();
    }
}

/// Moves what is said of a field with the schema of another name out of the list `allOf`, which then has this schema alone: generators of
/// clients make a type of its own of two schemas, and one of them gives it a name that is taken.
fn name_references(part: &mut Value) {
    match part {
        Value::Object(fields) => {
            if let Some([reference, said]) = fields.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
                let (reference, said) = (reference.clone(), said.clone());
                if let (true, Value::Object(said)) = (reference["$ref"].is_string(), said) {
                    fields.extend(said);
                    fields.insert("allOf".to_owned(), json!([reference]));
                }
            }
            fields.values_mut().for_each(name_references);
        }
        Value::Array(parts) => parts.iter_mut().for_each(name_references),
        _ => {}
    }
}

/// Describes the answers that only a type describes.
fn describe_answers(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    for operation in operations(document) {
        for answer in operation["responses"].as_object_mut().into_iter().flatten().map(|(_, answer)| answer) {
            let mut names = BTreeSet::new();
            self::schemas(&answer["content"]["application/json"]["schema"], &mut names);
            let description = names.first().and_then(|name| schemas[name]["description"].as_str());
            if answer["description"] == "" {
                answer["description"] = json!(description.unwrap_or_default());
            }
        }
    }
}

/// Says of the bodies of requests which fields may be null, and that other fields than theirs are refused.
fn describe_requests(document: &mut Value) {
    let mut names = BTreeSet::new();
    for operation in operations(document) {
        if let Some(body) = operation.get("requestBody") {
            schemas(body, &mut names);
        }
    }
    let (open, closed): (BTreeSet<_>, BTreeSet<_>) = names.into_iter().partition(|name| OPEN.contains(&name.as_str()));
    for (names, is_closed) in [(open, false), (closed, true)] {
        for name in with_inner(&document["components"]["schemas"], names) {
            let schema = &mut document["components"]["schemas"][name];
            bounds::allow_null(schema);
            bounds::shorten_example(schema);
            // what a provider adds in any part of its events is kept
            if is_closed && schema["properties"].is_object() {
                schema["additionalProperties"] = json!(false);
            }
        }
    }
}

/// Returns the names of schemas together with those to which these refer.
fn with_inner(all: &Value, mut names: BTreeSet<String>) -> BTreeSet<String> {
    let mut todo: Vec<String> = names.iter().cloned().collect();
    while let Some(name) = todo.pop() {
        let mut inner = BTreeSet::new();
        schemas(&all[&name], &mut inner);
        todo.extend(inner.into_iter().filter(|name| names.insert(name.clone())));
    }
    names
}

/// Collects the names of the schemas that a part of the document refers to.
fn schemas(part: &Value, names: &mut BTreeSet<String>) {
    match part {
        Value::Object(fields) => {
            let name = fields.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
            names.extend(name.map(str::to_owned));
            fields.values().for_each(|part| schemas(part, names));
        }
        Value::Array(parts) => parts.iter().for_each(|part| schemas(part, names)),
        _ => {}
    }
}

/// Adds to each answer with a problem an example for each code that its description names. Returns the codes.
fn add_problems(document: &mut Value) -> BTreeSet<&'static str> {
    let codes = codes::all();
    let (mut used, mut examples) = (BTreeSet::new(), Map::new());
    for operation in operations(document) {
        for (status, answer) in operation["responses"].as_object_mut().into_iter().flatten() {
            let description = answer["description"].as_str().unwrap_or_default().to_owned();
            let content = answer.get_mut("content").and_then(|content| content.get_mut("application/problem+json"));
            let Some(content) = content else { continue };
            let mut own = Map::new();
            for code in named(&codes, &description) {
                let name = code.example.code();
                used.insert(name);
                let (key, example) = example_of(code, status);
                own.insert(name.to_owned(), json!({ "$ref": format!("#/components/examples/{key}") }));
                examples.insert(key, example);
            }
            if !own.is_empty() {
                content["examples"] = Value::Object(own);
            }
        }
    }
    document["components"]["examples"] = Value::Object(examples);
    used
}

/// Returns the codes that a description names, in its order.
fn named<'codes>(codes: &'codes [Code], description: &str) -> Vec<&'codes Code> {
    let words = description.split('`').skip(1).step_by(2);
    let mut found: Vec<&Code> = Vec::new();
    for word in words {
        let code = codes.iter().find(|code| code.example.code() == word);
        found.extend(code.filter(|code| found.iter().all(|known| known.example.code() != code.example.code())));
    }
    found
}

/// Returns the example of a code in an answer with this status, and its name.
fn example_of(code: &Code, status: &str) -> (String, Value) {
    let name = code.example.code();
    let mut body = code.example.as_json();
    let is_usual = code.example.status().as_str() == status;
    if !is_usual {
        body["status"] = status.parse::<u16>().map_or(Value::Null, Value::from);
    }
    let key = if is_usual { name.to_owned() } else { format!("{name}_{status}") };
    (key, json!({ "summary": name.replace('_', " "), "description": code.action, "value": body }))
}

/// Adds the examples of successful answers and of requests.
fn add_examples(document: &mut Value, lost: &mut Vec<String>) {
    let mut examples: Map<String, Value> = serde_json::from_str(EXAMPLES).expect("the examples are JSON");
    for operation in operations(document) {
        let name = operation["operationId"].as_str().unwrap_or_default().to_owned();
        let Some(Value::Object(own)) = examples.remove(&name) else { continue };
        for (place, example) in own {
            let part = match place.as_str() {
                "request" => &mut operation["requestBody"],
                status => &mut operation["responses"][status],
            };
            match part.get_mut("content").and_then(|content| content.get_mut("application/json")) {
                Some(content) => content["example"] = example,
                None => lost.push(format!("{name} has no {place} with JSON")),
            }
        }
    }
    examples.remove(DEV_OPERATION);
    lost.extend(examples.into_iter().map(|(name, _)| format!("there is no operation {name}")));
}
