//! Seats: 15,000 buyers for 1,000 of them at once, beside as many units and beside row locks; many events on sale at the same time;
//! tickets at the gates.

mod gates;
mod locks;
mod rushes;

use holdfast::checkout::{Checkout, Policy};
use holdfast::db::Database;

use crate::Plan;
use crate::client::{Client, post, with_token};
use crate::crowd::UNITS;
use crate::database::{Ground, PLENTY};
use crate::measure::{Buyer, Load, Same, cell};
use crate::report::{self, Bounds, Target};
use crate::service::Served;

/// Rows of the hall that all buyers want.
const ROWS: usize = 20;
/// Seats of each of its rows.
const SEATS: usize = UNITS / ROWS;
/// Events on sale at the same time.
const EVENTS: usize = 40;
/// Rows of 50 seats of each of them.
const ROWS_OF_EACH: usize = 100;
/// Connections that ask for their seats.
const CONNECTIONS: usize = 512;
const OPERATOR: &str = "the-operators-token-of-a-benchmark";

/// Measures each of them.
pub(crate) async fn run(ground: &Ground, plan: &Plan, bounds: &mut Bounds) {
    ground.clear().await;
    let served = Served::start_as(ground, plan, OPERATOR).await;
    rushes::run(ground, plan, &served, bounds).await;
    many_events(ground, plan, &served, bounds).await;
    gates::run(ground, plan, &served, bounds).await;
    served.stop().await;
    locks::run(ground, plan, bounds).await;
}

/// Creates an event with a seated ticket type of so many rows of 50 seats, the best first. Returns the id of the type.
async fn hall(served: &Served, rows: usize) -> i64 {
    let mut operator = Client::connect(served.address).await;
    let mut send = async |path: &str, body: &str, id: &str| {
        operator.expect(&with_token(&post(&format!("/api/admin/{path}"), body), OPERATOR), 201).await.number(id)
    };
    let organizer_id = send("organizers", r#"{"name":"City Concerts"}"#, "id").await;
    let event = r#""name":"Concert","venue":"Hall","starts_at":"2090-05-01T18:00:00Z""#;
    let event_id = send("events", &format!(r#"{{"organizer_id":{organizer_id},{event}}}"#), "id").await;
    let stalls = r#"{"name":"Stalls","kind":"seated","price_minor":4999,"currency":"EUR"}"#;
    let product_id = send(&format!("events/{event_id}/ticket-types"), stalls, "id").await;
    let row = |n: usize| format!(r#"{{"name":"{n}","seats":{SEATS},"rank":{n}}}"#);
    let rows: Vec<String> = (1..=rows).map(row).collect();
    let seats = format!(r#"{{"sections":[{{"name":"A","rows":[{}]}}]}}"#, rows.join(","));
    send(&format!("ticket-types/{product_id}/seats"), &seats, "stock").await;
    product_id
}

/// A request for the best seat that is available.
fn best_seat(product_id: i64) -> Vec<u8> {
    let line = format!(r#"{{"product_id":{product_id},"qty":1,"best_available":true}}"#);
    post("/api/holds", &format!(r#"{{"items":[{line}]}}"#))
}

/// Checks that the service's own audit finds nothing wrong.
async fn audit(ground: &Ground) {
    let checkout = Checkout::new(Database::new(ground.opts.clone(), 1), Policy::default());
    let audit = checkout.audit().await.expect("an audit");
    checkout.database().close().await;
    assert!(audit.is_clean(), "{audit}");
}

/// Measures holds of single seats of many events, beside holds of single units of as many products.
async fn many_events(ground: &Ground, plan: &Plan, served: &Served, bounds: &mut Bounds) {
    let seats = EVENTS * ROWS_OF_EACH * SEATS;
    report::heading(&format!("{seats} seats in {EVENTS} events on sale, {CONNECTIONS} connections"));
    report::line("one of", &["holds/s", "p50", "p99"]);
    let mut halls = Vec::new();
    for _ in 0..EVENTS {
        halls.push(hall(served, ROWS_OF_EACH).await);
    }
    let first = ground.products(EVENTS as i64, PLENTY).await;
    let units = |n: usize| crate::client::hold(first + (n % EVENTS) as i64);
    let clients = served.clients(CONNECTIONS).await.into_iter().enumerate();
    let buyers = clients.map(|(n, client)| Same { client, request: units(n), status: 201 });
    let of_units = cell(ground, plan, buyers).await.0;
    show("units", of_units);
    ground.clear().await;
    let clients = served.clients(CONNECTIONS).await.into_iter().enumerate();
    let buyers = clients.map(|(n, client)| {
        let mut halls = halls.clone();
        halls.rotate_left(n % EVENTS);
        SeatBuyer { client, requests: halls.into_iter().map(best_seat).collect() }
    });
    let of_seats = cell(ground, plan, buyers).await.0;
    show("seats", of_seats);
    audit(ground).await;
    let taken: i64 = ground.value("SELECT COUNT(*) FROM seats WHERE hold_id IS NOT NULL").await;
    let holds: i64 = ground.value("SELECT COUNT(*) FROM holds").await;
    assert!(taken == holds && taken as f64 >= of_seats.per_second, "{taken} seats of {holds} holds");
    let ratio = of_seats.per_second / of_units.per_second;
    bounds.add(format!("seats: holds/s of {EVENTS} events / of units"), Some(ratio), Target::AtLeast(0.5));
}

fn show(name: &str, load: Load) {
    report::line(name, &[&report::whole(load.per_second), &report::short(load.p50), &report::short(load.p99)]);
}

/// Takes single seats of one event, and of the next ones when it has none left.
struct SeatBuyer {
    client: Client,
    /// One for each event.
    requests: Vec<Vec<u8>>,
}

impl Buyer for SeatBuyer {
    async fn ask(&mut self) {
        loop {
            let request = self.requests.first().expect("all seats are sold: use a smaller --seconds");
            let answer = self.client.send(request).await;
            match answer.status {
                201 => return,
                409 => drop(self.requests.remove(0)),
                status => panic!("{status}: {}", String::from_utf8_lossy(answer.body)),
            }
        }
    }
}
