//! Faults of a database server that is unreachable, frozen or slow, or that ends connections; and a row that another client
//! keeps locked.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use tokio::time::{Instant, sleep};

use crate::ground::{Ground, run};
use crate::journal::Kind;
use crate::play::{Outcome, Play, Start};
use crate::proxy::{Mode, Proxy};
use crate::report::Report;
use crate::support::report::Target;
use crate::{Plan, Skipped};

/// The interval at which connections are killed, and how many each time.
const KILL_EVERY: Duration = Duration::from_millis(50);
const KILLED_AT_ONCE: usize = 4;

pub(crate) async fn black_hole(name: &str, ground: &Ground, plan: &Plan, report: &mut Report) {
    let outcome = proxied(name, ground, plan, report, Mode::Swallow, plan.long_fault).await;
    fails_fast(&outcome, report);
}

pub(crate) async fn slow(name: &str, ground: &Ground, plan: &Plan, report: &mut Report) {
    let outcome = proxied(name, ground, plan, report, Mode::Late, plan.fault).await;
    let acknowledged = outcome.during.sales().acknowledged().count();
    report.bound(format!("{name}: acknowledged"), acknowledged as f64, Target::AtLeast(1.0));
}

/// Plays a fault of the network between service and database.
async fn proxied(
    name: &str,
    ground: &Ground,
    plan: &Plan,
    report: &mut Report,
    mode: Mode,
    lasts: Duration,
) -> Outcome {
    let proxy = Proxy::start(ground.address()).await;
    let start = Start { url: ground.url_at(proxy.address), ..Start::directly(ground) };
    let mut play = Play::open(name, ground, plan, start).await;
    play.begin();
    proxy.set(mode);
    match mode {
        Mode::Late => play.last(lasts, |window| window.sales().acknowledged().count() > 0).await,
        _ => sleep(lasts).await,
    }
    proxy.set(Mode::Forward);
    play.end();
    play.finish(ground, report).await
}

pub(crate) async fn frozen(name: &str, ground: &mut Ground, plan: &Plan, report: &mut Report) -> Result<(), Skipped> {
    ground.server().ok_or_else(Skipped::named_server)?;
    let mut play = Play::open(name, ground, plan, Start::directly(ground)).await;
    let server = ground.server().expect("the server is private");
    play.begin();
    server.signal("STOP").await;
    sleep(plan.long_fault).await;
    server.signal("CONT").await;
    play.end();
    fails_fast(&play.finish(ground, report).await, report);
    Ok(())
}

pub(crate) async fn gone(name: &str, ground: &mut Ground, plan: &Plan, report: &mut Report) -> Result<(), Skipped> {
    ground.server().ok_or_else(Skipped::named_server)?;
    let mut play = Play::open(name, ground, plan, Start::directly(ground)).await;
    let server = ground.server().expect("the server is private");
    play.begin();
    server.kill().await;
    sleep(plan.long_fault).await;
    server.start_again(&[]).await;
    play.end();
    fails_fast(&play.finish(ground, report).await, report);
    Ok(())
}

/// Adds the bounds for a service whose database does not answer.
fn fails_fast(outcome: &Outcome, report: &mut Report) {
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    let name = &outcome.name;
    let known = seconds(outcome.known.sales().quantile(0.99));
    report.timed(format!("{name}: p99 of all answers once it is known"), known, Target::AtMost(0.1));
    report.timed(format!("{name}: seconds to the first hold after"), seconds(outcome.recovered), Target::AtMost(1.0));
    let refused = outcome.known.of(Kind::Readyz).status(503).count() as f64;
    let share = refused / outcome.known.of(Kind::Readyz).count().max(1) as f64;
    report.timed(format!("{name}: share of readyz's answers that are 503"), Some(share), Target::AtLeast(0.9));
}

pub(crate) async fn killed(name: &str, ground: &Ground, plan: &Plan, report: &mut Report) {
    let mut play = Play::open(name, ground, plan, Start::directly(ground)).await;
    let mut admin = ground.admin().await;
    play.begin();
    let until = Instant::now() + plan.fault;
    while Instant::now() < until {
        let mut ids = ground.connections().await;
        for _ in 0..KILLED_AT_ONCE.min(ids.len()) {
            let id = ids.swap_remove(rand::random_range(0..ids.len()));
            // The connection may have ended already.
            let _ = admin.query_drop(format!("KILL {id}")).await;
        }
        sleep(KILL_EVERY).await;
    }
    play.end();
    let outcome = play.finish(ground, report).await;
    let orders = outcome.during.of(Kind::Order);
    report.note(&format!("orders: {}", orders.statuses()));
    let share = orders.acknowledged().count() as f64 / orders.count().max(1) as f64;
    report.timed(format!("{name}: share of orders that are made"), Some(share), Target::AtLeast(0.9));
}

pub(crate) async fn row_lock(name: &str, ground: &Ground, plan: &Plan, report: &mut Report) {
    let mut play = Play::open(name, ground, plan, Start::directly(ground)).await;
    let mut owner = ground.admin().await;
    run(&mut owner, "BEGIN").await;
    run(&mut owner, &format!("UPDATE products SET name = 'Locked' WHERE id = {}", play.hot)).await;
    play.begin();
    play.last(plan.fault, |window| window.of(Kind::Other).acknowledged().count() > 0).await;
    run(&mut owner, "ROLLBACK").await;
    play.end();
    let outcome = play.finish(ground, report).await;
    let [before, during] =
        [&outcome.before, &outcome.during].map(|window| window.of(Kind::Other).acknowledged().per_second());
    report.note(&format!("another product: {before:.0}/s before, {during:.0}/s during"));
    let count = outcome.during.of(Kind::Other).acknowledged().count();
    report.bound(format!("{name}: holds of another product"), count as f64, Target::AtLeast(1.0));
    report.timed(
        format!("{name}: holds of another product, rate / before"),
        Some(during / before),
        Target::AtLeast(0.5),
    );
}
