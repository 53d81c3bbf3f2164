//! The codes of problems: an example of each, and what a client does about it. The OpenAPI document and `docs/errors.md` are made of
//! them.

use chrono::{DateTime, NaiveDateTime};
use poem::http::StatusCode;
use uuid::{Uuid, uuid};

use crate::checkout::Error;
use crate::domain::endpoint_refusal::UrlProblem;
use crate::domain::{EndpointRefusal, Missing, Refusal, RefusedLine, SeatRefusal, TicketRefusal};
use crate::http::problem::Problem;

/// The id of the order in examples.
const ORDER: Uuid = uuid!("01a21e3f-76b6-78fa-81ef-a63518d543ca");

/// A code of problems.
#[derive(Clone)]
pub(super) struct Code {
    /// A problem with the code, as a client gets it.
    pub(super) example: Problem,
    /// What a client does about it.
    pub(super) action: &'static str,
}

/// Codes that any request may get before its operation is known, or that no operation documents.
pub(super) const EVERYWHERE: [&str; 5] =
    ["bad_request", "host_required", "invalid_transfer_encoding", "method_not_allowed", "repeated_header"];

/// A time in examples: 2027-03-01, 19:00 UTC.
fn time() -> NaiveDateTime {
    DateTime::from_timestamp(1_803_927_600, 0).unwrap_or_default().naive_utc()
}

/// Returns all codes, sorted by their names.
pub(super) fn all() -> Vec<Code> {
    let mut codes: Vec<Code> =
        [sale(), holds(), orders(), tickets(), products(), clients(), payments(), requests(), refusals(), service()]
            .into_iter()
            .flatten()
            .collect();
    codes.sort_by_key(|code| code.example.code());
    codes
}

fn refused<const N: usize>(rows: [(Refusal, &'static str); N]) -> Vec<Code> {
    rows.into_iter().map(|(refusal, action)| Code { example: refusal.into(), action }).collect()
}

fn others<const N: usize>(rows: [(u16, &'static str, &'static str, &'static str); N]) -> Vec<Code> {
    let code = |(status, name, detail, action)| {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Code { example: Problem::new(status, name, detail), action }
    };
    rows.into_iter().map(code).collect()
}

/// Why units cannot be had.
fn sale() -> Vec<Code> {
    let line = RefusedLine {
        product_id: Some(2),
        sku: None,
        requested: 2,
        available_stock: Some(1),
        refusal: Refusal::AllHeld { available_stock: 1, retry_after_seconds: 42 },
    };
    refused([
        (
            Refusal::ProductNotFound,
            "Read the list of products; the product was never there, or its id is that of another service.",
        ),
        (
            Refusal::SoldOut { available_stock: 1 },
            "Offer at most `available_stock` units, or another product. To ask again does not help.",
        ),
        (
            Refusal::RefusedLines(vec![line]),
            "Ask again after `Retry-After` seconds, when held units may be back, or offer `available_stock` units.",
        ),
        (
            Refusal::SaleNotStarted { sale_starts_at: time(), retry_after_seconds: 3600 },
            "Ask again at `sale_starts_at`; `Retry-After` has the seconds until then.",
        ),
        (Refusal::SaleEnded, "Show that the sale is over."),
        (Refusal::SalePaused, "Ask again later: an operator goes on with the sale, or ends it."),
        (Refusal::EventCancelled, "Show that the event was cancelled. Payments for it are given back."),
        (Refusal::BuyerRequired, "Name the buyer."),
        (
            Refusal::BuyerLimit { event_id: None, limit: 4, yours: 4, is_due: false },
            "Show the buyer the own holds and orders (`GET /api/buyers`); a released hold or a cancelled order makes room.",
        ),
        (
            Refusal::HeldUnitsLimit { limit: 20, yours: 20, is_due: false },
            "Order or release what is held; else wait until it runs out.",
        ),
        (Refusal::InvalidQuantity { max: 10 }, "Ask for a number of units within the bound."),
        (Refusal::InvalidItems { max: 20 }, "Send 1 to 20 lines."),
        (Refusal::MixedCurrencies, "Take a hold for each currency."),
        (Refusal::Seats(SeatRefusal::Required), "Name `seats`, or send `best_available`."),
        (
            Refusal::Seats(SeatRefusal::Taken { seats: vec!["A-1-1".to_owned()] }),
            "Read the map again and offer other seats.",
        ),
        (Refusal::Seats(SeatRefusal::NotFound { seats: vec!["Z-9-9".to_owned()] }), "Name seats as the map does."),
        (Refusal::Seats(SeatRefusal::NotAdjacent), "Ask for fewer seats, or allow `split`."),
        (Refusal::NotSeated, "Leave `seats` and `best_available` out."),
    ])
}

fn holds() -> Vec<Code> {
    refused([
        (Refusal::HoldNotFound, "Check the id. What belongs to another client or buyer is not found either."),
        (Refusal::HoldUsed { order_id: ORDER }, "Go on with the order, `order_id`."),
        (Refusal::HoldExpired, "Take another hold."),
        (Refusal::HoldReleased, "Take another hold."),
        (Refusal::HoldNotLarger { product_id: 1, qty: 2 }, "Take a hold that `replaces` this one."),
        (
            Refusal::InvalidChange("it keeps at least one unit; release it instead"),
            "Send units that the hold can keep, as `detail` says.",
        ),
        (Refusal::InvalidSeconds { max: 3600 }, "Ask for a time within the bound."),
        (Refusal::ExtensionLimit { possible_seconds: 120 }, "Ask for at most `possible_seconds`."),
        (Refusal::BuyerMismatch, "Send one buyer, or name it in one place."),
        (Refusal::InvalidBuyer, "Name the buyer by 1 to 128 visible ASCII characters."),
        (Refusal::InvalidReference, "Send 1 to 128 visible ASCII characters."),
        (Refusal::InvalidMetadata, "Send fewer or shorter texts."),
    ])
}

fn orders() -> Vec<Code> {
    refused([
        (Refusal::OrderNotFound, "Check the id. What belongs to another client or buyer is not found either."),
        (Refusal::OrderIdTaken, "Choose another `order_id`, or leave it out."),
        (Refusal::OrderPaid, "Refund the payment at the provider to reverse it."),
        (Refusal::OrderCancelled, "Take another hold, and make an order of it."),
        (Refusal::OrderOverdue, "Take another hold, and make an order of it."),
        (Refusal::IdempotencyKeyReuse, "Send a new key with another request; send the same body to repeat one."),
    ])
}

fn tickets() -> Vec<Code> {
    refused([
        (Refusal::Missing(Missing::Organizer), "Check the id."),
        (Refusal::Missing(Missing::Event), "Check the id."),
        (Refusal::Missing(Missing::TicketType), "Check the id: a ticket type is the `id` of a product of an event."),
        (Refusal::Missing(Missing::Ticket), "Do not admit. Check that the whole code was read."),
        (
            Refusal::Ticket(TicketRefusal::AlreadyRedeemed { redeemed_at: time(), gate: Some("north".to_owned()) }),
            "Do not admit: the ticket was used at `redeemed_at`.",
        ),
        (Refusal::Ticket(TicketRefusal::Void), "Do not admit: the ticket was given back or replaced."),
        (Refusal::Ticket(TicketRefusal::InvalidGate), "Name the gate by 1 to 64 characters."),
        (
            Refusal::InvalidOrganizer { field: "name", reason: "must have 1 to 200 characters" },
            "Correct the field that `detail` names.",
        ),
        (
            Refusal::InvalidEvent { field: "ends_at", reason: "must be after `starts_at`" },
            "Correct the field that `detail` names.",
        ),
        (Refusal::InvalidSeats("`rows` must have 1 to 500 rows".to_owned()), "Correct what `detail` names."),
        (
            Refusal::AmountChanged { amount_due_minor: Some(1_950_000) },
            "Look at the sum again, and confirm `amount_due_minor`.",
        ),
        (Refusal::EventCurrency { currency: "EUR".to_owned() }, "Sell all ticket types of the event in its currency."),
        (Refusal::TooManyTicketTypes { limit: 50 }, "Make another event."),
        (Refusal::TooManySeats { limit: 100_000, yours: 99_990 }, "Add fewer seats, or make another event."),
        (Refusal::SeatExists { count: 1, labels: vec!["A-1-1".to_owned()] }, "Leave the seats out that `seats` lists."),
        (Refusal::StockIsSeats, "Add seats instead."),
    ])
}

fn products() -> Vec<Code> {
    refused([
        (
            Refusal::InvalidProduct { field: "price_minor", reason: "must be from 0 to 1000000000000".to_owned() },
            "Correct the field that `detail` names.",
        ),
        (Refusal::SkuTaken { product_id: 7 }, "Choose another sku, or change the product `product_id`."),
        (Refusal::StockNotHere, "Send the change of the stock to its own route."),
        (Refusal::StockReserved { reserved: 40, available_stock: 10 }, "Take off at most `available_stock` units."),
        (Refusal::PreconditionFailed, "Read the product again, and decide again."),
        (
            Refusal::InvalidLines(vec![(0, Refusal::SkuTaken { product_id: 7 })]),
            "Correct the `lines`, and send all of them again.",
        ),
    ])
}

fn clients() -> Vec<Code> {
    refused([
        (Refusal::ClientExists, "Choose another name; also a revoked client keeps its name."),
        (Refusal::ClientNotFound, "Check the id."),
        (Refusal::ClientRevoked, "Add another client."),
        (Refusal::InvalidClientName, "Choose a name of this form."),
        (Refusal::InvalidKid, "Choose a name of this form."),
        (Refusal::InvalidPublicKey, "Send the public half of an Ed25519 key."),
        (Refusal::NotAStorefront, "Name a client with the role `storefront`."),
        (Refusal::ClientKeyExists, "Choose another `kid`."),
        (Refusal::TooManyClientKeys, "Remove a key first."),
        (Refusal::ClientKeyNotFound, "Read the client: it lists its keys."),
        (Refusal::Missing(Missing::Endpoint), "Check the id."),
        (
            Refusal::Endpoint(EndpointRefusal::Url(UrlProblem::Address)),
            "Register a URL that is reached over the internet.",
        ),
        (
            Refusal::Endpoint(EndpointRefusal::UnknownType { name: "order.shipped".to_owned() }),
            "Name types that the list of the feed has.",
        ),
        (Refusal::Endpoint(EndpointRefusal::Deleted), "Register another endpoint."),
        (
            Refusal::Endpoint(EndpointRefusal::ReplayUnderWay),
            "Wait until the replay has ended; the endpoint shows how far it is.",
        ),
        (Refusal::Endpoint(EndpointRefusal::NothingToReplay), "Replay positions that the endpoint has had."),
    ])
}

fn payments() -> Vec<Code> {
    let mut codes = refused([
        (Refusal::EventNotFound, "Check the id: it is that of the inbox, not the provider's."),
        (Refusal::EventNotReplayable, "Read the event: it has its outcome, or is tried by itself."),
        (Refusal::NotRefundable, "Read the event: nothing of it is due."),
        (
            Refusal::ChargePaysOrder { owner_event_id: 17, order_id: Some(ORDER) },
            "Nothing: the money pays the order `order_id`.",
        ),
        (
            Refusal::ChargeDueElsewhere { owner_event_id: 17, order_id: Some(ORDER) },
            "Mark the event `owner_event_id` as refunded.",
        ),
        (Refusal::NotDismissible, "Replay the event, or wait for its outcome."),
        (Refusal::AmountNotAcceptable, "Refund the money at the provider, and mark the event as refunded."),
        (Refusal::AuditRunning, "Ask again when the audit has ended."),
    ]);
    codes.extend(others([
        (
            401,
            "invalid_signature",
            "No signature matches the request.",
            "Sign with the secret of this service; check the clock of the sender.",
        ),
        (
            400,
            "idempotency_key_required",
            "An event must have the header `Idempotency-Key`, or `idempotency_key` or `txn_id` in its body.",
            "Send the provider's name of the event.",
        ),
        (
            422,
            "idempotency_key_mismatch",
            "The idempotency keys in the header and in the body differ.",
            "Send one of them.",
        ),
        (
            422,
            "order_reference_required",
            "An event must have an `order_id` or a `hold_id`.",
            "Send the order, or the hold.",
        ),
        (422, "order_reference_mismatch", "`order_id` and `order_uuid` must be equal.", "Send one of them."),
        (
            422,
            "unknown_status",
            "`status` must be `success`, `succeeded`, `paid`, `failure`, `failed`, `cancelled` or `refunded`.",
            "Translate the provider's state into one of these.",
        ),
    ]));
    codes
}

/// Requests with a body or a parameter that cannot be read.
fn requests() -> Vec<Code> {
    const FORM: &str = "Send a value of the form that `detail` names.";
    others([
        (400, "bad_request", "The request cannot be read.", "Correct the request, as `detail` says."),
        (
            400,
            "malformed_json",
            "The body is not JSON: EOF while parsing an object at line 1 column 16.",
            "Send valid JSON.",
        ),
        (
            422,
            "invalid_body",
            "`qty` must be a whole number.",
            "Send the fields that the document lists, in their types.",
        ),
        (400, "unreadable_body", "The body cannot be read: connection reset.", "Send the whole body."),
        (408, "body_timeout", "The body did not arrive in time.", "Send the body within ten seconds."),
        (413, "body_too_large", "The body must have at most 65536 bytes.", "Send less at a time."),
        (
            415,
            "unsupported_media_type",
            "The body must be sent as `Content-Type: application/json`.",
            "Send this header.",
        ),
        (400, "invalid_id", "`hold_id` must be a UUID.", FORM),
        (400, "invalid_limit", "`limit` must be from 1 to 100.", FORM),
        (
            400,
            "invalid_cursor",
            "`cursor` must be the `next_cursor` of a previous page of this list.",
            "Begin with the first page again.",
        ),
        (400, "invalid_state", "`state` has an invalid value.", FORM),
        (400, "invalid_status", "`status` has an invalid value.", FORM),
        (400, "invalid_order_id", "`order_id` has an invalid value.", FORM),
        (400, "invalid_hold_id", "`hold_id` has an invalid value.", FORM),
        (400, "invalid_product_id", "`product_id` has an invalid value.", FORM),
        (400, "invalid_organizer_id", "`organizer_id` has an invalid value.", FORM),
        (400, "invalid_event_id", "`event_id` has an invalid value.", FORM),
        (400, "invalid_time", "`received_from` must be an RFC 3339 time, such as 2026-01-02T03:04:05Z.", FORM),
        (400, "invalid_charge", "`charge` must have 1 to 255 bytes and no control characters.", FORM),
        (
            400,
            "invalid_provider",
            "`provider` is allowed only together with `charge`.",
            "Send `charge`, too, or leave `provider` out.",
        ),
        (400, "invalid_parameter", "`plan` has an invalid value.", FORM),
        (
            400,
            "invalid_types",
            "`types` must be some of order.created, order.paid.",
            "Name types that the list of the feed has.",
        ),
        (400, "invalid_wait", "`wait` must be from 0 to 30.", FORM),
        (
            400,
            "invalid_idempotency_key",
            "An idempotency key must be 1 to 255 visible ASCII characters, sent once.",
            FORM,
        ),
        (400, "invalid_if_match", "`If-Match` must be `*` or a list of entity tags, such as `\"1f2e\"`.", FORM),
        (422, "invalid_role", "`role` must be `storefront`, `provider`, `gate` or `admin`.", FORM),
    ])
}

/// Requests that are refused whatever they ask for.
fn refusals() -> Vec<Code> {
    others([
        (
            400,
            "unknown_parameter",
            "`stauts` is no parameter of this route; it has `cursor`, `limit`, `status`.",
            "Correct its name, or leave it out: a misspelt filter would list everything.",
        ),
        (400, "host_required", "A request over HTTP/1.1 must have a `Host` header.", "Send this header."),
        (400, "repeated_header", "`content-type` must not be sent more than once.", "Send it once."),
        (400, "invalid_transfer_encoding", "`Transfer-Encoding` must be `chunked` or left out.", "Send it so."),
        (404, "not_found", "No resource has this path.", "Correct the path."),
        (405, "method_not_allowed", "Method not allowed; see `Allow`.", "Use a method that `Allow` lists."),
        (
            401,
            "unauthorized",
            "Send the token of a storefront: `Authorization: Bearer …`.",
            "Send `Authorization: Bearer` with a token that is valid; rotate it if it is lost.",
        ),
        (
            403,
            "forbidden",
            "The token is valid, but may not use this route.",
            "Use the token of a client with another role.",
        ),
        (
            403,
            "admin_shut",
            "The operators' routes are disabled: the service was started without `HOLDFAST_ADMIN_TOKEN`, and no client has the role `admin`.",
            "Set `HOLDFAST_ADMIN_TOKEN`, or add a client with the role `admin`.",
        ),
        (
            410,
            "cursor_reset",
            "Positions begin anew since the database was restored or failed over. Read the feed from the beginning.",
            "Read the feed without `after`, and ignore the ids that are known.",
        ),
    ])
}

fn service() -> Vec<Code> {
    let errors = [
        (Error::Unavailable(String::new()), "Send the same request again, with the same `Idempotency-Key`."),
        (Error::Overloaded, "Send the same request again after `Retry-After`."),
        (Error::Contended { attempts: 1, reason: String::new() }, "Send the same request again after `Retry-After`."),
    ];
    let mut codes: Vec<Code> =
        errors.into_iter().map(|(error, action)| Code { example: error.into(), action }).collect();
    codes.push(Code {
        example: Problem::rate_limited(12),
        action: "Send the request again after `Retry-After` seconds.",
    });
    codes.push(Code { example: Problem::internal(), action: "Tell the operator the `X-Request-Id` of the answer." });
    codes.extend(others([
        (
            503,
            "schema_outdated",
            "The schema of the database is older than this service requires.",
            "Operators run `holdfast migrate`; clients send the request again.",
        ),
        (503, "draining", "This instance is stopping.", "Load balancers send requests to other instances."),
    ]));
    codes
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Returns the code of the service but this folder, each text on one line.
    fn sources() -> String {
        let mut code = String::new();
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                match path.is_dir() {
                    true if path.ends_with("http/document") => {}
                    true => folders.push(path),
                    false => code.push_str(&std::fs::read_to_string(path).expect("a text")),
                }
            }
        }
        code.split("\\\n").map(str::trim_start).collect()
    }

    #[test]
    fn each_code_has_one_example_and_something_to_do() {
        let codes = all();
        let mut names: Vec<&str> = codes.iter().map(|code| code.example.code()).collect();
        names.dedup();
        assert_eq!(names.len(), codes.len(), "each code once");
        assert!(codes.iter().all(|code| code.action.ends_with('.')));
    }

    #[test]
    fn the_examples_of_problems_that_no_refusal_makes_say_what_the_service_says() {
        let code = sources();
        let mut examples = [requests(), refusals(), payments(), service()].concat();
        // made of refusals and errors, of the framework's words, or of two texts
        examples.retain(|one| {
            !["bad_request", "invalid_id"].contains(&one.example.code())
                && !code.contains(&format!("=> \"{}\"", one.example.code()))
        });
        assert!(examples.len() > 30, "{}", examples.len());
        for Code { example, .. } in examples {
            let detail = example.as_json()["detail"].as_str().expect("a text").to_owned();
            let words: Vec<&str> = detail.split(' ').collect();
            let is_said = words.windows(4.min(words.len())).any(|some| code.contains(&some.join(" ")));
            assert!(is_said, "{}: nothing in the code says {detail}", example.code());
        }
    }
}
