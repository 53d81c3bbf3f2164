//! What no type says of the fields of requests and of parameters: their bounds, and what a parameter of a path names. The code that
//! reads a value checks it; schemathesis sends values at and beyond each bound (`.ci/schemathesis`).

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::operations::operations;

const FIELDS: &str = include_str!("bounds.json");

/// Additions to schemas and parameters.
#[derive(Deserialize)]
struct Addition {
    /// Their names: `Schema.field`, `Schema.field.*` for each value of an object or an array, or `query name` and the like, of all
    /// operations or with ` of operation` of one.
    of: Vec<String>,
    /// The keywords. `description` is that of a parameter.
    is: Map<String, Value>,
}

/// Adds the bounds. `lost` gets the names that the document does not have.
pub(super) fn add(document: &mut Value, lost: &mut Vec<String>) {
    let additions: Vec<Addition> = serde_json::from_str(FIELDS).expect("the bounds are JSON");
    for Addition { of, is } in additions {
        for name in of {
            let is_found = match name.split_once(' ') {
                Some((place, parameter)) => add_to_parameters(document, place, parameter, &is),
                None => add_to_field(&mut document["components"]["schemas"], &name, &is),
            };
            if !is_found {
                lost.push(format!("there is no {name} that has bounds"));
            }
        }
    }
}

fn add_to_field(schemas: &mut Value, name: &str, is: &Map<String, Value>) -> bool {
    let mut parts = name.split('.');
    let (schema, field) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Some(mut found) = schemas.get_mut(schema).and_then(|schema| schema["properties"].get_mut(field)) else {
        return false;
    };
    if parts.next().is_some() {
        let inner = if found["type"] == "array" { "items" } else { "additionalProperties" };
        found = &mut found[inner];
    }
    extend(found, is)
}

fn add_to_parameters(document: &mut Value, place: &str, parameter: &str, is: &Map<String, Value>) -> bool {
    let (name, wanted) = parameter.split_once(" of ").map_or((parameter, None), |(name, of)| (name, Some(of)));
    let mut is_found = false;
    for operation in operations(document) {
        if wanted.is_some_and(|wanted| operation["operationId"] != wanted) {
            continue;
        }
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten();
        for parameter in parameters.filter(|parameter| parameter["name"] == name && parameter["in"] == place) {
            let mut is = is.clone();
            if let Some(description) = is.remove("description") {
                parameter["description"] = description;
            }
            is_found |= extend(&mut parameter["schema"], &is);
        }
    }
    is_found
}

fn extend(schema: &mut Value, is: &Map<String, Value>) -> bool {
    let Some(schema) = schema.as_object_mut() else { return false };
    schema.extend(is.clone());
    true
}

/// Says of the optional fields of a request that null is the same as no value, unless a bound says otherwise.
pub(super) fn allow_null(schema: &mut Value) {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, field) in schema["properties"].as_object_mut().into_iter().flatten() {
        // `nullable` stands beside a type
        let typed = if field["oneOf"].is_array() { &mut field["oneOf"][0] } else { field };
        if typed["type"].is_string() && typed["nullable"].is_null() && !required.contains(&json!(name)) {
            typed["nullable"] = json!(true);
        }
    }
}

/// Removes the fields without a value from the example of a schema, which has all fields of its type.
pub(super) fn shorten_example(schema: &mut Value) {
    if let Some(example) = schema.get_mut("example").and_then(Value::as_object_mut) {
        example.retain(|_, value| !value.is_null());
    }
}
