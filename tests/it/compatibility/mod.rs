//! A client that was made for the last release goes on working: `openapi/released.json` is the document of that release, and the document
//! of today has no change that breaks it. The changes that are meant are lines of `openapi/breaks.txt`.
//!
//! A comparison of its own, since none of the registries' does: `openapi-diff` of npm does not compare parameters, the crate `drift` takes an
//! added field for the same change as a removed one, and others fetch a program from elsewhere.

mod compare;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use self::compare::breaks;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn document(name: &str) -> Value {
    serde_json::from_str(&file(name)).expect("the document is JSON")
}

/// A document with `change` made to it.
fn changed(document: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut changed = document.clone();
    change(&mut changed);
    assert_ne!(&changed, document, "the change found its place");
    changed
}

fn at<'doc>(document: &'doc mut Value, place: &str) -> &'doc mut Value {
    document.pointer_mut(place).unwrap_or_else(|| panic!("the document has no {place}"))
}

fn remove(document: &mut Value, place: &str) {
    let (parent, name) = place.rsplit_once('/').expect("a place has a parent");
    let removed = at(document, parent).as_object_mut().expect("an object").remove(&name.replace("~1", "/"));
    assert!(removed.is_some(), "the document has no {place}");
}

#[test]
fn the_document_keeps_what_clients_of_the_last_release_rely_on() {
    let meant = file("breaks.txt");
    let meant: BTreeSet<&str> = meant.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let found = breaks(&document("released.json"), &document("openapi.json"));
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    let new: Vec<_> = found.difference(&meant).collect();
    assert!(new.is_empty(), "clients of the last release break: {new:#?}");
    let stale: Vec<_> = meant.difference(&found).collect();
    assert!(stale.is_empty(), "openapi/breaks.txt has lines that are no breaks: {stale:#?}");
}

const HOLD: &str = "/components/schemas/Hold";
const ASKED: &str = "/components/schemas/CreateHold";
const CREATE: &str = "/paths/~1api~1holds/post";
const LIST: &str = "/paths/~1api~1orders/get";

type Change = fn(&mut Value);

#[track_caller]
fn are_found(cases: &[(&str, Change)]) {
    let document = document("openapi.json");
    for (line, change) in cases {
        let found = breaks(&document, &changed(&document, change));
        assert!(found.iter().any(|found| found.contains(line)), "{line}: {found:#?}");
    }
}

#[test]
fn each_kind_of_break_of_an_operation_is_found() {
    are_found(&[
        ("POST /api/holds: the operation is gone", |it| remove(it, CREATE)),
        ("POST /api/holds: `operationId`", |it| *at(it, &format!("{CREATE}/operationId")) = json!("hold")),
        ("POST /api/holds: the token {} is not accepted", |it| {
            *at(it, &format!("{CREATE}/security")) = json!([{ "storefront": [] }, { "buyer": [] }, { "operator": [] }]);
        }),
        ("GET /healthz: a token is needed", |it| {
            *at(it, "/paths/~1healthz/get/security") = json!([{ "operator": [] }]);
        }),
        ("POST /api/holds, 201: the status is gone", |it| remove(it, &format!("{CREATE}/responses/201"))),
        ("POST /api/holds, 409: the status is gone", |it| remove(it, &format!("{CREATE}/responses/409"))),
        ("POST /api/holds: there is a new status 202", |it| {
            *at(it, &format!("{CREATE}/responses")) =
                json!({ "201": it.pointer(&format!("{CREATE}/responses/201")), "202": {} });
        }),
        ("POST /api/holds, 201: the header IDEMPOTENT-REPLAYED is gone", |it| {
            remove(it, &format!("{CREATE}/responses/201/headers/IDEMPOTENT-REPLAYED"));
        }),
        ("POST /api/holds, 201: the content type application/json", |it| {
            remove(it, &format!("{CREATE}/responses/201/content/application~1json"));
        }),
        ("GET /api/orders, parameter state: it is gone", |it| {
            at(it, &format!("{LIST}/parameters")).as_array_mut().expect("a list").retain(|it| it["name"] != "state");
        }),
        ("GET /api/orders: there is a new required parameter shop", |it| {
            let new = json!({ "name": "shop", "in": "query", "required": true, "schema": { "type": "string" } });
            at(it, &format!("{LIST}/parameters")).as_array_mut().expect("a list").push(new);
        }),
        ("parameter limit: `maximum` was 100 and is 50", |it| parameter(it, "limit")["schema"]["maximum"] = json!(50)),
        ("parameter limit: `minimum` was 1 and is 2", |it| parameter(it, "limit")["schema"]["minimum"] = json!(2)),
        ("parameter state: it is required", |it| parameter(it, "state")["required"] = json!(true)),
        ("parameter state: \"paid\" is not allowed", |it| {
            parameter(it, "state")["schema"]["enum"] = json!(["pending", "cancelled", "refunded"]);
        }),
    ]);
}

#[test]
fn each_kind_of_break_of_a_field_is_found() {
    are_found(&[
        ("Hold in an answer.expires_at: the field is gone", |it| remove(it, &format!("{HOLD}/properties/expires_at"))),
        ("Hold in an answer.expires_at: the field may be missing", |it| {
            at(it, &format!("{HOLD}/required")).as_array_mut().expect("a list").retain(|name| name != "expires_at");
        }),
        ("Hold in an answer.expires_in: `type` was", |it| {
            *at(it, &format!("{HOLD}/properties/expires_in/type")) = json!("string");
        }),
        ("Hold in an answer.currency: it may be null", |it| {
            at(it, &format!("{HOLD}/properties/currency"))["nullable"] = json!(true);
        }),
        ("Hold in an answer.status: \"lost\" may come now", |it| {
            at(it, &format!("{HOLD}/properties/status/enum")).as_array_mut().expect("a list").push(json!("lost"));
        }),
        ("CreateHold in a request.reference: the field is gone", |it| {
            remove(it, &format!("{ASKED}/properties/reference"));
        }),
        ("CreateHold in a request.shop: the field is required", |it| {
            at(it, &format!("{ASKED}/properties"))["shop"] = json!({ "type": "string" });
            at(it, ASKED)["required"] = json!(["shop"]);
        }),
        ("CreateHold in a request.reference: `maxLength` was 128 and is 64", |it| {
            at(it, &format!("{ASKED}/properties/reference"))["maxLength"] = json!(64);
        }),
        ("CreateHold in a request.reference: it must not be null", |it| {
            remove(it, &format!("{ASKED}/properties/reference/nullable"));
        }),
        ("PaymentEvent in a request: unknown fields are refused", |it| {
            at(it, "/components/schemas/PaymentEvent")["additionalProperties"] = json!(false);
        }),
        ("PaymentEvent in a request.amount: the alternative", |it| {
            at(it, "/components/schemas/PaymentEvent/properties/amount/oneOf").as_array_mut().expect("a list").pop();
        }),
    ]);
}

/// The parameter of the list of orders with this name.
fn parameter<'doc>(document: &'doc mut Value, name: &str) -> &'doc mut Value {
    let parameters = at(document, &format!("{LIST}/parameters")).as_array_mut().expect("a list");
    parameters.iter_mut().find(|parameter| parameter["name"] == name).expect("a parameter")
}

#[test]
fn what_is_added_breaks_no_client() {
    let cases: [Change; 12] = [
        |it| it["info"]["title"] = json!("Another title"),
        |it| at(it, "/paths")["/api/shops"] = json!({ "get": { "operationId": "listShops", "responses": {} } }),
        |it| at(it, &format!("{CREATE}/responses"))["423"] = json!({ "description": "Locked" }),
        |it| at(it, &format!("{CREATE}/security")).as_array_mut().expect("a list").push(json!({ "shop": [] })),
        |it| at(it, &format!("{HOLD}/properties"))["shop"] = json!({ "type": "string" }),
        |it| at(it, &format!("{HOLD}/required")).as_array_mut().expect("a list").push(json!("buyer")),
        |it| *at(it, &format!("{HOLD}/properties/status/enum")) = json!(["active", "ordered", "expired"]),
        |it| at(it, &format!("{ASKED}/properties"))["shop"] = json!({ "type": "string", "nullable": true }),
        |it| at(it, &format!("{ASKED}/properties/reference"))["maxLength"] = json!(256),
        |it| parameter(it, "limit")["schema"]["maximum"] = json!(1000),
        |it| parameter(it, "state")["schema"]["enum"].as_array_mut().expect("a list").push(json!("disputed")),
        |it| {
            let new = json!({ "name": "shop", "in": "query", "schema": { "type": "string" } });
            at(it, &format!("{LIST}/parameters")).as_array_mut().expect("a list").push(new);
        },
    ];
    let document = document("openapi.json");
    assert_eq!(breaks(&document, &document), Vec::<String>::new());
    for (number, change) in cases.into_iter().enumerate() {
        assert_eq!(breaks(&document, &changed(&document, change)), Vec::<String>::new(), "case {number}");
    }
}
