//! The security schemes in the document, and what each operation with one of them has in common.

use poem_openapi::registry::{MetaSecurityScheme, Registry};
use serde_json::{Value, json};

/// Operators.
pub(crate) const OPERATOR: &str = "operator";
/// Storefronts.
pub(crate) const STOREFRONT: &str = "storefront";
/// Buyers of a storefront.
pub(crate) const BUYER: &str = "buyer";
/// Payment providers.
pub(crate) const PROVIDER: &str = "provider";

/// Gates.
pub(crate) const GATE: &str = "gate";

/// Adds a scheme to the document.
pub(crate) fn register(registry: &mut Registry, name: &'static str) {
    let description = match name {
        OPERATOR => {
            "The token of an operator: the service's `HOLDFAST_ADMIN_TOKEN`, or that of a client with the role `admin`."
        }
        STOREFRONT => "The token of a client with the role `storefront`.",
        BUYER => {
            "A JSON Web Token (EdDSA) that a storefront signs for one of its buyers: `kid` in the header; `iss` the client's name, \
             `sub` the buyer, `aud` `holdfast`, `exp` at most 24 hours ahead."
        }
        GATE => "The token of a client with the role `gate`.",
        _ => "The token of a client with the role `provider`, where `HOLDFAST_WEBHOOK_AUTH` asks for it.",
    };
    let scheme = MetaSecurityScheme {
        ty: "http",
        description: Some(description),
        name: None,
        key_in: None,
        scheme: Some("bearer"),
        bearer_format: (name == BUYER).then_some("JWT"),
        flows: None,
        openid_connect_url: None,
    };
    registry.create_security_scheme(name, scheme);
}

/// Adds to each operation of the document the problems and the header that follow from its schemes.
pub(crate) fn complete(document: &mut Value) {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for operation in paths.flat_map(|(_, methods)| methods.as_object_mut().into_iter().flatten()).map(|(_, it)| it) {
        let has = |name: &str| {
            let security = operation["security"].as_array();
            security.is_some_and(|schemes| schemes.iter().any(|scheme| scheme.get(name).is_some()))
        };
        let (is_shop, is_operators) = (has(STOREFRONT), has(OPERATOR));
        if is_shop {
            add_problem(operation, "400", "`invalid_buyer`");
            add_problem(operation, "422", "`buyer_mismatch`: the token is one of another buyer");
            add_parameter(operation);
        }
        if is_shop || is_operators {
            add_problem(operation, "401", "`unauthorized`");
            add_problem(operation, "403", "`forbidden`: the token may not use this route");
        }
    }
}

/// Adds a code to the problems of a status.
fn add_problem(operation: &mut Value, status: &str, code: &str) {
    let responses = operation["responses"].as_object_mut();
    let Some(responses) = responses else { return };
    if let Some(found) = responses.get_mut(status) {
        let known = found["description"].as_str().unwrap_or_default();
        let name = code.split('`').nth(1).unwrap_or(code);
        if !known.contains(&format!("`{name}`")) {
            found["description"] = format!("{known}, {code}").into();
        }
        return;
    }
    let problem = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
    let mut response = json!({ "description": code, "content": { "application/problem+json": problem } });
    if status == "401" {
        let description = "The authentication scheme, or the header that must hold a valid signature.";
        response["headers"] = json!({
            "WWW-Authenticate": { "description": description, "schema": { "type": "string" } }
        });
    }
    responses.insert(status.to_owned(), response);
}

/// Adds the header `Holdfast-Buyer`.
fn add_parameter(operation: &mut Value) {
    let header = json!({
        "name": "Holdfast-Buyer",
        "schema": { "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$" },
        "in": "header",
        "description": "Narrows the request to one buyer, as the storefront calls it.",
        "required": false,
        "deprecated": false,
        "explode": true
    });
    match operation.get_mut("parameters").and_then(Value::as_array_mut) {
        Some(parameters) => parameters.push(header),
        None => operation["parameters"] = json!([header]),
    }
}
