//! Many holds that expire at the same moment: how long until all are released, and how that slows the buyers.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::Plan;
use crate::client::hold;
use crate::database::{Ground, PLENTY};
use crate::measure::{Crowd, Same};
use crate::report::{self, Bounds, Target};
use crate::service::Served;

const BUYERS: usize = 64;
/// Time for which buyers are measured before the holds expire.
const BEFORE: Duration = Duration::from_secs(2);
/// Seconds between the insertion of the holds and their expiry.
const DUE_IN_SECONDS: u64 = 12;
const POLL: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures once with buyers on another product, and once with buyers on the product whose holds expire.
pub(crate) async fn run(ground: &Ground, plan: &Plan, bounds: &mut Bounds) {
    let count = report::whole(f64::from(plan.due_holds));
    report::heading(&format!("{count} holds that run out at the same moment, {BUYERS} buyers over HTTP"));
    report::line("buyers are on", &["released in", "p99 before", "p99 during", "per s", "during"]);
    let served = Served::start(ground, plan).await;
    for (place, same) in [("another product", false), ("the same product", true)] {
        ground.clear().await;
        let due_product = ground.product(PLENTY).await;
        let bought = if same { due_product } else { ground.product(PLENTY).await };
        let due_at = insert_due(ground, due_product, plan.due_holds).await;
        let request = hold(bought);
        let buyer = |client| Same { client, request: request.clone(), status: 201 };
        sleep_until(due_at - BEFORE - Duration::from_secs(1)).await;
        let crowd = Crowd::start(served.clients(BUYERS).await.into_iter().map(buyer));
        sleep_until(due_at).await;
        let released_at = all_released(ground, due_at, plan.due_holds).await;
        let log = crowd.stop().await;
        let (before, during) = (log.window(due_at - BEFORE, due_at), log.window(due_at, released_at));
        let took = released_at - due_at;
        report::line(
            place,
            &[
                &report::short(took),
                &report::short(before.p99),
                &report::short(during.p99),
                &report::whole(before.per_second),
                &report::whole(during.per_second),
            ],
        );
        let ratio = during.p99.as_secs_f64() / before.p99.as_secs_f64();
        let name = format!("{count} expiries, buyers on {place}");
        bounds.add(format!("{name}: seconds"), Some(took.as_secs_f64()), Target::AtMost(2.0));
        bounds.add(format!("{name}: p99 during / before"), Some(ratio), Target::AtMost(3.0));
    }
    served.stop().await;
}

/// Inserts active holds and returns the moment at which all of them expire.
async fn insert_due(ground: &Ground, product_id: i64, count: u32) -> Instant {
    let digits = "(SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4
                   UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
    ground.execute(&format!("SET @due = NOW(6) + INTERVAL {DUE_IN_SECONDS} SECOND")).await;
    let insert = format!(
        "INSERT INTO holds (id, product_id, qty, unit_price_minor, currency, expires_at, returns_at)
         SELECT UNHEX(CONCAT('0190', LPAD(HEX(number), 28, '0'))), {product_id}, 1, 4999, 'EUR', @due, @due
         FROM (SELECT CAST(d1.n + 10 * d2.n + 100 * d3.n + 1000 * d4.n + 10000 * d5.n AS UNSIGNED) AS number
               FROM {digits} AS d1, {digits} AS d2, {digits} AS d3, {digits} AS d4, {digits} AS d5) AS numbers
         WHERE number < {count}"
    );
    ground.execute(&insert).await;
    ground.execute(&format!("UPDATE products SET reserved = {count} WHERE id = {product_id}")).await;
    let left_us: i64 = ground.value("SELECT TIMESTAMPDIFF(MICROSECOND, NOW(6), @due)").await;
    let left = Duration::from_micros(u64::try_from(left_us).expect("the holds are inserted before they expire"));
    assert!(left > BEFORE + Duration::from_secs(1), "inserting the holds leaves time to measure before they expire");
    Instant::now() + left
}

/// Waits until none of the holds is active, and returns when that was. It polls 20 of them by primary key, which is cheap,
/// and counts all only once these are released.
async fn all_released(ground: &Ground, due_at: Instant, count: u32) -> Instant {
    let some: Vec<String> = (0..20).map(|part| format!("x'0190{:028x}'", (count - 1) / 19 * part)).collect();
    let some = format!("SELECT COUNT(*) FROM holds WHERE id IN ({}) AND status = 'active'", some.join(", "));
    let all = "SELECT COUNT(*) FROM holds WHERE status = 'active' AND expires_at <= @due";
    while due_at.elapsed() < PATIENCE {
        if ground.value::<i64>(&some).await == 0 {
            let looked_at = Instant::now();
            if ground.value::<i64>(all).await == 0 {
                return looked_at;
            }
        }
        sleep(POLL).await;
    }
    panic!("not all holds were released within {PATIENCE:?}");
}
