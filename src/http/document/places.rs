//! The groups of operations in the order of a sale, and what belongs to the whole document.

use serde_json::{Value, json};

use super::operations::operations;

/// The groups, in the order in which a visitor needs them.
const TAGS: [(&str, &str); 9] = [
    (
        "Products",
        "What is on sale, and how many are left. **Begin here**: `GET /api/products`, and keep the `id` of a product for the hold.",
    ),
    (
        "Holds",
        "Units that are reserved for a short time. Send a product and a quantity, or the example as it is; keep the `hold_id`.",
    ),
    ("Orders", "An order is made of a hold: send its `hold_id`. It waits for its payment; keep the `order_id`."),
    (
        "Payments",
        "Webhooks of payment providers. Paying an order settles it: send its `order_id` with the `status` `paid`. With `holdfast dev`, \
         `POST /dev/pay/{order_id}` does so.",
    ),
    (
        "Events",
        "Concerts and their like: ticket types, and maps of seats. A ticket type is held and ordered as any product.",
    ),
    ("Gate", "Tickets of paid orders admit once."),
    ("Feed", "What happened, in one order that never changes: a shop reads what became of its orders."),
    ("Operators", "What needs the token of an operator: press **Authorize**. `holdfast dev` prints its token."),
    ("Health", "For load balancers: whether this instance runs, and whether it can serve."),
];

/// Describes the whole document. `lost` gets the groups that no operation has.
pub(super) fn describe(document: &mut Value, lost: &mut Vec<String>) {
    document["servers"] = json!([{ "url": "/", "description": "This service" }]);
    document["info"]["title"] = json!("Holdfast: flash-sale checkout");
    document["info"]["contact"] = json!({ "name": "Holdfast" });
    document["info"]["license"] = json!({ "name": "MIT OR Apache-2.0", "url": "https://spdx.org/licenses/" });
    let is_used = |document: &mut Value, name: &str| operations(document).any(|operation| operation["tags"][0] == name);
    for (name, _) in TAGS {
        if !is_used(document, name) {
            lost.push(format!("no operation is in the group {name}"));
        }
    }
    document["tags"] =
        TAGS.iter().map(|(name, description)| json!({ "name": name, "description": description })).collect();
    for operation in operations(document) {
        if operation["security"].is_null() {
            operation["security"] = json!([]);
        }
        let tag = &operation["tags"][0];
        if TAGS.iter().all(|(name, _)| tag != name) {
            lost.push(format!("{tag} is no group"));
        }
    }
    let code = &mut document["components"]["schemas"]["Problem"]["properties"]["code"];
    code["example"] = json!("sold_out");
    code["description"] =
        json!("The stable name of the kind of problem. Each answer lists its own as examples; docs/errors.md has all.");
    // generated clients would read a number without a format into 32 bits
    let amount = document["components"]["schemas"]["PaymentEvent"]["properties"]["amount"]["oneOf"].as_array_mut();
    let number = amount.into_iter().flatten().find(|schema| schema["type"] == "number");
    match number {
        Some(number) => number["format"] = json!("double"),
        None => lost.push("a payment event states no amount as a number".to_owned()),
    }
}
