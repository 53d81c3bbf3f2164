//! Faults of clocks, by libfaketime.

use std::path::PathBuf;
use std::time::Duration;

use crate::ground::Ground;
use crate::journal::{Kind, digits};
use crate::play::{Outcome, Play, Start};
use crate::report::Report;
use crate::server::Server;
use crate::support::report::Target;
use crate::{Plan, Skipped, folder};

/// Folders in which distributions install libfaketime.
const PLACES: [&str; 4] = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib"];
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
/// Number of unpaid orders, and of holds, when the clock jumps.
const UNPAID: usize = 5;
/// Long enough for the expiry workers, which run every second.
const WORKERS: Duration = Duration::from_secs(4);

/// Finds libfaketime on this machine.
fn libfaketime() -> Result<PathBuf, Skipped> {
    let places = PLACES.map(PathBuf::from).into_iter();
    let below = places.flat_map(|place| {
        let folders = std::fs::read_dir(&place).into_iter().flatten().flatten().map(|entry| entry.path());
        std::iter::once(place).chain(folders)
    });
    let mut found = below.map(|place| place.join(LIBRARY)).filter(|path| path.is_file());
    found.next().ok_or_else(|| Skipped("libfaketime is missing (Debian, Ubuntu: apt-get install faketime)".to_owned()))
}

pub(crate) async fn service_clock(
    name: &str,
    ground: &Ground,
    plan: &Plan,
    report: &mut Report,
) -> Result<(), Skipped> {
    let library = libfaketime()?;
    let variables = "FAKETIME=+600 FAKETIME_DONT_FAKE_MONOTONIC=1";
    let shell = format!("export LD_PRELOAD='{}' {variables}", library.display());
    let mut play = Play::open(name, ground, plan, Start { shell: &shell, ..Start::directly(ground) }).await;
    play.begin();
    play.last(plan.fault, |window| window.of(Kind::Payment).count() > 0).await;
    play.end();
    let outcome = play.finish(ground, report).await;
    accepts_payments(name, &outcome, report);
    Ok(())
}

/// Adds the bound that payments are accepted although a clock is wrong.
fn accepts_payments(name: &str, outcome: &Outcome, report: &mut Report) {
    let payments = outcome.during.of(Kind::Payment);
    report.note(&format!("payments: {}", payments.statuses()));
    let share = payments.acknowledged().count() as f64 / payments.count().max(1) as f64;
    report.bound(format!("{name}: share of payments that are accepted"), share, Target::AtLeast(0.9));
}

/// Moves the database's clock an hour ahead, where it stays, as after a failover.
pub(crate) async fn clock_jump(
    name: &str,
    ground: &mut Ground,
    plan: &Plan,
    report: &mut Report,
) -> Result<(), Skipped> {
    ground.server().ok_or_else(Skipped::named_server)?;
    let library = libfaketime()?.display().to_string();
    let home = folder("faults-clock");
    let mut server = Server::start(&home, &[]).await.map_err(Skipped)?;
    let offset = home.join("offset");
    // Renamed, so that the server never reads an incomplete file.
    let set = |text: &str| {
        let written = std::fs::write(home.join("next"), text);
        written.and_then(|()| std::fs::rename(home.join("next"), &offset)).expect("the file can be written");
    };
    set("+0");
    server.kill().await;
    let file = offset.display().to_string();
    // The library turns its FORCE_MONOTONIC_FIX on by default, which makes every timed wait of MySQL far too long.
    let clock = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", &file),
        ("FAKETIME_CACHE_DURATION", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_FORCE_MONOTONIC_FIX", "0"),
    ];
    server.start_again(&clock).await;
    let ground = Ground::private(server).await;
    let mut play = Play::open(name, &ground, plan, Start::directly(&ground)).await;
    let (mut link, mut holds, mut orders) = (play.link(), Vec::new(), Vec::new());
    for _ in 0..UNPAID {
        holds.extend(link.hold(Kind::Other, play.other).await);
        if let Some(hold_id) = link.hold(Kind::Other, play.other).await {
            orders.extend(link.order(&hold_id).await);
        }
    }
    play.begin();
    set("+3600");
    play.last(plan.fault.max(WORKERS), |window| window.of(Kind::Hot).acknowledged().count() > 0).await;
    play.end();
    let states = [
        ground.states("SELECT HEX(id), CAST(status AS CHAR) FROM holds").await,
        ground.states("SELECT HEX(id), CAST(status AS CHAR) FROM orders").await,
    ];
    let jumped: i64 = ground.value("SELECT TIMESTAMPDIFF(SECOND, MIN(created_at), NOW(6)) FROM holds").await;
    let outcome = play.finish(&ground, report).await;
    accepts_payments(name, &outcome, report);
    let alive = |ids: &[String], states: &std::collections::HashMap<String, String>, state: &str| {
        ids.iter().filter(|id| states.get(&digits(id)).is_some_and(|found| found == state)).count()
    };
    let (holds_left, orders_left) = (alive(&holds, &states[0], "active"), alive(&orders, &states[1], "pending"));
    report.note(&format!(
        "the clock jumped by about {jumped} s; of {} unpaid orders {orders_left} are left, of {} holds {holds_left}",
        orders.len(),
        holds.len()
    ));
    let left = (holds_left + orders_left) as f64 / (holds.len() + orders.len()).max(1) as f64;
    report.bound(format!("{name}: share of unpaid orders and holds that survive"), left, Target::AtLeast(1.0));
    let sold = outcome.during.of(Kind::Hot).acknowledged().count() as f64;
    report.bound(format!("{name}: holds after the jump"), sold, Target::AtLeast(1.0));
    ground.leave().await;
    Ok(())
}
