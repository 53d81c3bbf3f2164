//! 15,000 buyers for 1,000 seats at once over HTTP, beside the same crowd for 1,000 units.

use std::time::Duration;

use super::{ROWS, SEATS, audit, best_seat, hall};
use crate::Plan;
use crate::client::{hold, post};
use crate::crowd::{BUYERS, CONNECTIONS, Storm, UNITS, storm};
use crate::database::Ground;
use crate::report::{self, Bounds, Target};
use crate::service::Served;

const KINDS: [&str; 3] = ["units", "best available seats", "named seats"];

/// Measures a few rounds of each in turns.
pub(super) async fn run(ground: &Ground, plan: &Plan, served: &Served, bounds: &mut Bounds) {
    report::heading(&format!("{BUYERS} buyers for {UNITS} seats at once, over {CONNECTIONS} connections"));
    report::line("of", &["sold", "refused", "answered in", "p99"]);
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..plan.crowd_rounds {
        for (kind, times) in KINDS.iter().zip(&mut times) {
            let product_id = match *kind {
                "units" => ground.product(UNITS as i64).await,
                _ => hall(served, ROWS).await,
            };
            let done = ask(served, kind, product_id).await;
            show(kind, &done);
            assert_eq!(
                (done.sold, done.sold + done.refused),
                (UNITS, BUYERS),
                "each is sold once, and all are answered"
            );
            check(ground, product_id, *kind != "units").await;
            times.push(done.took);
        }
    }
    audit(ground).await;
    let [units, best, named] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64()
    });
    bounds.add("seats: 15,000 buyers, best available / units", Some(best / units), Target::AtMost(1.5));
    bounds.add("seats: 15,000 buyers, named / units", Some(named / units), Target::AtMost(2.0));
}

async fn ask(served: &Served, kind: &str, product_id: i64) -> Storm {
    match kind {
        "units" => storm(served, move |_| hold(product_id)).await,
        "named seats" => storm(served, move |buyer| named_seat(product_id, buyer)).await,
        _ => storm(served, move |_| best_seat(product_id)).await,
    }
}

pub(super) fn show(name: &str, done: &Storm) {
    let (sold, refused) = (report::whole(done.sold as f64), report::whole(done.refused as f64));
    report::line(name, &[&sold, &refused, &report::short(done.took), &report::short(done.p99)]);
}

fn named_seat(product_id: i64, buyer: usize) -> Vec<u8> {
    let label = wanted(buyer).1;
    post("/api/holds", &format!(r#"{{"items":[{{"product_id":{product_id},"seats":["{label}"]}}]}}"#))
}

/// Returns the seat that a buyer wants, its number and its label: all want the front rows. A tenth of all buyers want the first
/// seat, half of them the best eighth of the hall, and each seat is wanted by five at least.
pub(super) fn wanted(buyer: usize) -> (usize, String) {
    // all numbers below that of the buyers, each once, in an order that is none
    let drawn = (buyer * 7_919) % BUYERS;
    let place = (drawn as f64 / BUYERS as f64).powi(3) * UNITS as f64;
    let place = (place as usize).min(UNITS - 1);
    (place + 1, format!("A-{}-{}", place / SEATS + 1, place % SEATS + 1))
}

/// Checks that what is stored was sold once.
async fn check(ground: &Ground, product_id: i64, is_seated: bool) {
    let reserved: i64 = ground.value(&format!("SELECT reserved FROM products WHERE id = {product_id}")).await;
    let holds: i64 = ground.value(&format!("SELECT COUNT(*) FROM holds WHERE product_id = {product_id}")).await;
    assert_eq!((reserved, holds), (UNITS as i64, UNITS as i64), "the stored holds are the acknowledged holds");
    if is_seated {
        assert_eq!(owned_seats(ground, product_id).await, UNITS as i64, "each seat belongs to a hold of its own");
    }
}

/// Counts the holds that have a seat, which is that of their row.
pub(super) async fn owned_seats(ground: &Ground, product_id: i64) -> i64 {
    let of_hold = "FROM seats JOIN holds ON holds.id = seats.hold_id AND holds.product_id = seats.product_id";
    let own = format!("seats.product_id = {product_id} AND holds.seats = seats.label");
    ground.value(&format!("SELECT COUNT(DISTINCT holds.id) {of_hold} WHERE {own}")).await
}
