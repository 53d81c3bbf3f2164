//! Runs one fault: starts a service with buyers, lets them buy before and during the fault, waits for the recovery, and
//! checks the ledger.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::Plan;
use crate::clients::{Agent, Link, SECRET};
use crate::feed::{self, Reader};
use crate::ground::Ground;
use crate::journal::{Journal, Kind, Window};
use crate::report::Report;
use crate::support::measure::Crowd;
use crate::support::service::Served;

/// Buyers of the hot product, of another product, of one that sells out, and buyers that order and pay what they hold.
const HOT_BUYERS: usize = 16;
const OTHER_BUYERS: usize = 4;
const SCARCE_BUYERS: usize = 2;
const PAYING_BUYERS: usize = 4;
const PLENTY: i64 = 1_000_000_000;
/// Units of the product that sells out.
const SCARCE: i64 = 200;
/// The longest time for requests that are under way when the buyers stop.
const LAST_ANSWERS: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(10);

/// The parameters with which the service is started.
pub(crate) struct Start<'a> {
    /// URL of the database.
    pub(crate) url: String,
    /// Settings in addition to those of every fault.
    pub(crate) settings: &'a [(&'a str, &'a str)],
    /// A command line of `sh` that runs before the service, in the same process.
    pub(crate) shell: &'a str,
}

impl Start<'_> {
    /// Connects to the database server itself, with no further settings.
    pub(crate) fn directly(ground: &Ground) -> Self {
        Self { url: ground.url_at(ground.address()), settings: &[], shell: ":" }
    }
}

/// A running service with its buyers.
pub(crate) struct Play {
    name: String,
    pub(crate) served: Served,
    pub(crate) journal: Arc<Journal>,
    pub(crate) hot: i64,
    pub(crate) other: i64,
    scarce: i64,
    crowd: Crowd,
    reader: Reader,
    opened: Instant,
    begun: Instant,
    ended: Instant,
    recovery: Duration,
    program: String,
    log: String,
}

/// The figures of a fault.
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) before: Window,
    pub(crate) during: Window,
    /// The second half of the fault, by which the service has detected it.
    pub(crate) known: Window,
    /// Time from the end of the fault to the first acknowledged hold.
    pub(crate) recovered: Option<Duration>,
}

impl Play {
    /// Starts the service and its buyers, and lets them buy for [`Plan::before`].
    pub(crate) async fn open(name: &str, ground: &Ground, plan: &Plan, start: Start<'_>) -> Self {
        let (hot, other) = (ground.product("Hot", PLENTY).await, ground.product("Other", PLENTY).await);
        let scarce = ground.product("Scarce", SCARCE).await;
        let mut command = Command::new("/bin/sh");
        let shell = format!("{}; exec \"$0\" serve", start.shell);
        command.args(["-c", &shell, &plan.program]).env_clear();
        let own = [
            ("HOLDFAST_WEBHOOK_SECRETS", SECRET),
            ("HOLDFAST_STOREFRONT", "open"),
            ("HOLDFAST_HOLD_TTL_SECONDS", "600"),
            ("HOLDFAST_ORDER_TTL_SECONDS", "900"),
            feed::token(),
        ];
        let served = Served::spawn(&mut command, &start.url, &plan.log, &[&own, start.settings].concat()).await;
        let journal = Arc::new(Journal::default());
        let crowd = Crowd::start(buyers(&served, &journal, hot, other, scarce));
        let reader = Reader::start(served.address);
        let opened = Instant::now();
        sleep(plan.before).await;
        let now = Instant::now();
        Self {
            name: name.to_owned(),
            served,
            journal,
            hot,
            other,
            scarce,
            crowd,
            reader,
            opened,
            begun: now,
            ended: now,
            recovery: plan.recovery,
            program: plan.program.clone(),
            log: plan.log.clone(),
        }
    }

    /// Returns a new client with the same journal.
    pub(crate) fn link(&self) -> Link {
        Link::new(self.served.address, &self.journal)
    }

    /// Records that the fault begins now.
    pub(crate) fn begin(&mut self) {
        self.begun = Instant::now();
    }

    /// Waits for `lasts`, and then until `shown` accepts the requests since the beginning of the fault: a loaded machine may
    /// need longer.
    pub(crate) async fn last(&self, lasts: Duration, shown: impl Fn(&Window) -> bool) {
        sleep(lasts).await;
        let deadline = Instant::now() + self.recovery;
        while !shown(&self.so_far()) && Instant::now() < deadline {
            sleep(POLL).await;
        }
    }

    /// Returns the completed requests since the beginning of the fault.
    pub(crate) fn so_far(&self) -> Window {
        self.journal.window(self.begun, Instant::now())
    }

    /// Records that the fault ends now; the caller has undone it.
    pub(crate) fn end(&mut self) {
        self.ended = Instant::now();
    }

    /// Waits until the service sells again, stops everything, and checks that nothing acknowledged is lost.
    pub(crate) async fn finish(self, ground: &Ground, report: &mut Report) -> Outcome {
        let deadline = self.ended + self.recovery;
        while self.journal.recovered(self.ended).is_none() && Instant::now() < deadline {
            sleep(POLL).await;
        }
        let mut stopping = Box::pin(self.crowd.stop());
        if timeout(LAST_ANSWERS, &mut stopping).await.is_err() {
            self.served.stop().await;
            stopping.await;
        } else {
            self.served.stop().await;
        }
        let middle = self.begun + (self.ended - self.begun) / 2;
        let outcome = Outcome {
            before: self.journal.window(self.opened, self.begun),
            during: self.journal.under_way(self.begun, self.ended),
            known: self.journal.window(middle, self.ended),
            recovered: self.journal.recovered(self.ended),
            name: self.name,
        };
        let mut wrong = self.journal.reconcile(ground, (self.scarce, SCARCE)).await;
        wrong.extend(self.reader.reconcile(ground, &self.program, &self.log).await);
        report.row(&outcome, &wrong, &audit(&self.program, ground).await);
        outcome
    }
}

fn buyers(served: &Served, journal: &Arc<Journal>, hot: i64, other: i64, scarce: i64) -> Vec<Agent> {
    let link = || Link::new(served.address, journal);
    let holders =
        [(HOT_BUYERS, Kind::Hot, hot), (OTHER_BUYERS, Kind::Other, other), (SCARCE_BUYERS, Kind::Scarce, scarce)];
    let holders =
        holders.into_iter().flat_map(|(count, kind, product_id)| std::iter::repeat_n((kind, product_id), count));
    let mut agents: Vec<Agent> =
        holders.map(|(kind, product_id)| Agent::Holder { link: link(), kind, product_id }).collect();
    agents.extend((0..PAYING_BUYERS).map(|_| Agent::Flow { link: link(), product_id: other }));
    agents.extend([Kind::Healthz, Kind::Readyz].map(|kind| Agent::checker(link(), kind)));
    agents
}

/// Runs `holdfast audit`. Returns its output unless it is clean.
async fn audit(program: &str, ground: &Ground) -> Option<String> {
    let mut command = Command::new(program);
    command.arg("audit").env_clear().env("HOLDFAST_DATABASE_URL", ground.admin_url()).stdin(Stdio::null());
    let output = command.kill_on_drop(true).output().await.expect("the audit can be started");
    let text = [output.stdout, output.stderr].concat();
    (!output.status.success()).then(|| format!("{}: {}", output.status, String::from_utf8_lossy(&text).trim_end()))
}
