//! Faults of a database server that answers but cannot write.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::ground::{Ground, run_all};
use crate::journal::Kind;
use crate::play::{Outcome, Play, Start};
use crate::report::Report;
use crate::server::Server;
use crate::support::report::Target;
use crate::{Plan, Skipped, folder};

/// Room for a new server of either engine, which needs 200 to 300 MB itself.
const DISK_SIZE: &str = "size=600m";
/// Without the binary log only the tables grow. MySQL's binary log grows with every commit, and on a full disk MySQL waits
/// for minutes to write it: that would be another fault.
const DISK_OPTIONS: [&str; 1] = ["--skip-log-bin"];

pub(crate) async fn read_only(
    name: &str,
    ground: &mut Ground,
    plan: &Plan,
    report: &mut Report,
) -> Result<(), Skipped> {
    ground.server().ok_or_else(Skipped::named_server)?;
    let statements = ["SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"].map(one);
    between(name, ground, plan, report, (statements, plan.fault)).await;
    Ok(())
}

pub(crate) async fn lost_privileges(name: &str, ground: &Ground, plan: &Plan, report: &mut Report) {
    let revoke = ground.privileges("REVOKE INSERT, UPDATE, DELETE", "FROM").await;
    let grant = ground.privileges("GRANT INSERT, UPDATE, DELETE", "TO").await;
    between(name, ground, plan, report, ([revoke, grant], plan.fault)).await;
}

pub(crate) async fn table_lock(name: &str, ground: &Ground, plan: &Plan, report: &mut Report) {
    let statements = ["LOCK TABLES holds WRITE", "UNLOCK TABLES"].map(one);
    between(name, ground, plan, report, (statements, plan.long_fault)).await;
}

pub(crate) async fn missing_table(name: &str, ground: &Ground, plan: &Plan, report: &mut Report) {
    let statements = ["RENAME TABLE holds TO holds_elsewhere", "RENAME TABLE holds_elsewhere TO holds"].map(one);
    between(name, ground, plan, report, (statements, plan.fault)).await;
}

fn one(statement: &str) -> Vec<String> {
    vec![statement.to_owned()]
}

/// Plays a fault that begins with some statements and ends with others, on one connection.
async fn between(
    name: &str,
    ground: &Ground,
    plan: &Plan,
    report: &mut Report,
    ([begin, end], lasts): ([Vec<String>; 2], Duration),
) {
    let mut play = Play::open(name, ground, plan, Start::directly(ground)).await;
    let mut admin = ground.admin().await;
    play.begin();
    run_all(&mut admin, &begin).await;
    sleep(lasts).await;
    run_all(&mut admin, &end).await;
    play.end();
    says_so(&play.finish(ground, report).await, report);
}

pub(crate) async fn full_disk(
    name: &str,
    ground: &mut Ground,
    plan: &Plan,
    report: &mut Report,
) -> Result<(), Skipped> {
    ground.server().ok_or_else(Skipped::named_server)?;
    let disk = Disk::mount(folder("faults-disk"))?;
    let server = Server::start(&disk.0.join("database"), &DISK_OPTIONS).await.map_err(Skipped)?;
    let mut ground = Ground::private(server).await;
    let mut play = Play::open(name, &ground, plan, Start::directly(&ground)).await;
    disk.fill();
    let filled = Instant::now();
    // The tables' files still have some free space at first.
    while play.journal.window(filled, Instant::now()).sales().status(201).count() > 0
        && filled.elapsed() < plan.recovery
        && play.journal.window(filled, Instant::now()).of(Kind::Hot).refused().count() == 0
    {
        sleep(plan.before / 10).await;
    }
    play.begin();
    sleep(plan.fault).await;
    disk.empty();
    // MariaDB aborts when a rollback finds no space
    let server = ground.server().expect("the server is private");
    let has_ended = server.has_ended();
    if has_ended {
        server.start_again(&[]).await;
    }
    play.end();
    let outcome = play.finish(&ground, report).await;
    report.note(&format!(
        "the disk was full {:.1} s before the first refusal",
        (filled.elapsed() - plan.fault).as_secs_f64()
    ));
    if has_ended {
        report.note("the server ended itself for lack of space, and was started again");
    }
    says_so(&outcome, report);
    ground.leave().await;
    Ok(())
}

/// Adds the bounds for a service whose database cannot write: it answers 503 and is not ready.
fn says_so(outcome: &Outcome, report: &mut Report) {
    let name = &outcome.name;
    let sales = outcome.during.sales();
    report.note(&format!("answers to buyers: {}", sales.statuses()));
    report.bound(format!("{name}: answers of unknown outcome"), sales.unknown().count() as f64, Target::AtMost(0.0));
    let readyz = outcome.known.of(Kind::Readyz);
    let share = readyz.status(503).count() as f64 / readyz.count().max(1) as f64;
    report.timed(format!("{name}: share of readyz's answers that are 503"), Some(share), Target::AtLeast(0.9));
    let recovered = outcome.recovered.map(|time| time.as_secs_f64());
    report.timed(format!("{name}: seconds to the first hold after"), recovered, Target::AtMost(1.0));
}

/// A small file system in memory; dropping the value unmounts it.
struct Disk(PathBuf);

impl Disk {
    fn mount(place: PathBuf) -> Result<Self, Skipped> {
        let failed = |error| Skipped(format!("{}: {error}", place.display()));
        unmount(&place);
        std::fs::create_dir_all(&place).map_err(failed)?;
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", DISK_SIZE, "tmpfs"]).arg(&place).output();
        let mounted = mounted.map_err(failed)?;
        if !mounted.status.success() {
            let reason = String::from_utf8_lossy(&mounted.stderr);
            return Err(Skipped(format!("a small disk cannot be mounted (it needs root): {}", reason.trim())));
        }
        Ok(Self(place))
    }

    /// Writes a file that takes all free space.
    fn fill(&self) {
        let mut ballast = File::create(self.ballast()).expect("the file can be created");
        for size in [1 << 20, 1 << 12] {
            let block = vec![0x5a; size];
            while ballast.write_all(&block).is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.ballast()).expect("the file exists");
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(&self.0);
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn unmount(place: &Path) {
    let _ = Command::new("umount").arg("-l").arg(place).output();
}
