//! No statement reads more than it returns or changes, however large the tables are.
//!
//! Every statement of `sql/` runs on tables of 200,000 rows and more, for one row, two and many, in two stages:
//!
//! 1. beside a backlog: 100,000 holds, orders and events are overdue;
//! 2. after that backlog was settled while a snapshot and an older writing transaction are open, so that its index entries
//!    are delete-marked and purge cannot remove them.
//!
//! It must keep three bounds:
//!
//! - plan: EXPLAIN shows no table or index that is read as a whole, unless the expected rows are within the next bound;
//! - rows: `Handler_read_%` counts at most 100 rows, and 4 more for each row returned, changed or given to look through.
//!   Index entries that an index condition filters count as well: MariaDB reports them, and MySQL runs with index
//!   condition pushdown off;
//! - pages (second stage): `Handler_read_%` does not count delete-marked entries, but each costs a lookup in the clustered
//!   index. MariaDB 10.11.5 and later report the pages of a statement: at most 100, and 20 more for each row. Elsewhere
//!   (MySQL, and a MIN that the optimizer resolves while it plans) the check reads the counter of the whole server, which
//!   includes the pages of other tests: the smallest count of several runs must stay under a tenth of the cost of the walk.
//!
//! A statement that has a reason to read more says so in its header, on a line of its own:
//!
//! - `-- reads up to 8 rows for each: <reason>` instead of 4;
//! - `-- reads more while purge waits: <reason>` lifts the bounds in the second stage, for samples that begin at the head of
//!   an index;
//! - `-- reads everything: <reason>` lifts them in both stages;
//! - `-- reads no table: <reason>` is for data that the server keeps in memory: the statement is not run.
//!
//! Each can be limited to one engine (`for each on MariaDB: …`). An exception that is not needed fails the test.

mod check;
mod exception;
mod fill;
mod rows;
mod samples;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use holdfast::db::sql;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use self::check::{Checker, Limits, Measured};
use self::exception::{Engine, Exceptions};
use self::fill::{LATE, World};
use self::samples::{At, MANY, Sample};
use crate::support::server::connect;

/// Statements that read too much and are to be changed, with the engines on which they do. The test fails when one of them
/// keeps its bounds: take it off the list then.
const AWAITED: &[(&str, &[Engine], &str)] = &[];

const BOTH: &[Engine] = &[Engine::MariaDb, Engine::MySql];

/// Statements that must fail the check, in the stage named. They prove that the check can fail.
const BAD: &[(&str, bool, &[Engine], &str)] = &[
    ("a column without an index", false, BOTH, "SELECT id FROM orders WHERE total_minor = 1"),
    ("a whole index", false, BOTH, "SELECT COUNT(id) FROM orders"),
    ("rows that are filtered", false, BOTH, "SELECT id FROM holds WHERE status = 'ordered' AND qty = 2 LIMIT 1"),
    (
        "one tuple in IN",
        false,
        &[Engine::MariaDb],
        "UPDATE holds FORCE INDEX (PRIMARY) SET status = 'expired' \
         WHERE (id, product_id) IN ((x'01900000000170008000000000000001', 3)) AND status = 'active'",
    ),
    (
        "delete-marked rows before the first one",
        true,
        BOTH,
        "SELECT expires_at FROM holds FORCE INDEX (holds_due) WHERE status = 'active' ORDER BY expires_at LIMIT 1",
    ),
    ("delete-marked rows before a minimum", true, BOTH, "SELECT MIN(expires_at) FROM holds WHERE status = 'active'"),
];

#[tokio::test]
async fn no_statement_reads_more_than_it_returns_or_changes_however_large_the_tables_are() {
    let began = Instant::now();
    let world = World::fill().await;
    println!("filled after {:?}", began.elapsed());
    let mut guard = Guard::open(&world).await;
    guard.check_all(false).await;
    println!("checked beside the backlog after {:?}", began.elapsed());
    let _open = [keep_a_snapshot_open(&world).await, keep_a_writer_open(&world).await];
    world.settle_late().await;
    println!("settled after {:?}", began.elapsed());
    guard.check_all(true).await;
    println!("checked again after {:?}", began.elapsed());
    let faults = guard.verdict();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

async fn keep_a_snapshot_open(world: &World) -> Conn {
    let mut conn = connect(&world.database.url).await;
    conn.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT").await.expect("a snapshot");
    let _: Vec<i64> = conn.query("SELECT id FROM products LIMIT 1").await.expect("a read");
    conn
}

/// While an older writing transaction is open, InnoDB cannot treat an index page as visible as a whole, and looks up each
/// delete-marked entry.
async fn keep_a_writer_open(world: &World) -> Conn {
    let mut conn = connect(&world.database.url).await;
    conn.query_drop("START TRANSACTION").await.expect("a transaction");
    conn.query_drop("INSERT INTO numbers (i) VALUES (0)").await.expect("a write");
    conn
}

/// The findings about every statement.
struct Guard<'world> {
    world: &'world World,
    checker: Checker,
    exceptions: BTreeMap<&'static str, Exceptions>,
    /// Usual bounds that are exceeded, by statement.
    beyond_usual: BTreeMap<&'static str, Vec<String>>,
    /// Bounds that are exceeded although the exceptions count, by statement.
    beyond: BTreeMap<&'static str, Vec<String>>,
    /// Statements that walked over delete-marked entries, as their exceptions allow.
    walked: BTreeSet<&'static str>,
    /// Faults that no exception allows: a missing sample, a sample that misses its rows, a bad header.
    broken: Vec<String>,
}

impl<'world> Guard<'world> {
    async fn open(world: &'world World) -> Self {
        let checker = Checker::open(&world.database.url).await;
        let mut broken = Vec::new();
        let mut read = |&sql::Source { name, text, .. }: &sql::Source| match Exceptions::read(text, checker.engine) {
            Ok(exceptions) => (name, exceptions),
            Err(line) => {
                broken.push(format!("{name}: its header names no reason in the required form: {line}"));
                (name, Exceptions::default())
            }
        };
        let exceptions = sql::ALL.iter().map(&mut read).collect();
        let (beyond_usual, beyond, walked) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { world, checker, exceptions, beyond_usual, beyond, walked, broken }
    }

    async fn check_all(&mut self, settled: bool) {
        for &sql::Source { name, text: statement, .. } in sql::ALL {
            for rows in [1, 2, MANY] {
                let at = At { rows, settled, world: self.world };
                match samples::samples(name, at) {
                    Some(samples) => {
                        for sample in samples {
                            self.check(name, statement, settled, &sample).await;
                        }
                    }
                    None if rows == 1 && !settled && !reads_nothing(statement) && !self.exceptions[name].memory => {
                        self.broken.push(format!("{name}: add a sample in tests/it/plans/samples/"));
                    }
                    None => {}
                }
            }
        }
        for (what, stage, engines, statement) in BAD {
            if *stage == settled && engines.contains(&self.checker.engine) {
                let found = self.checker.measure(what, statement, &Sample::default(), settled, true).await;
                let caught = found.as_ref().is_ok_and(|found| !found.beyond(&Limits::USUAL, 0).is_empty());
                if !caught {
                    self.broken.push(format!("{what} passes the check: {found:?}"));
                }
            }
        }
    }

    async fn check(&mut self, name: &'static str, statement: &str, settled: bool, sample: &Sample) {
        let awaited = self.awaited().contains(name);
        if awaited && self.beyond.get(name).is_some_and(|faults| !faults.is_empty()) {
            // one fault is enough, and statements that read too much take long
            return;
        }
        let walks = settled && sample.head && self.exceptions[name].walks;
        if walks && !self.walked.insert(name) {
            // one walk shows that the exception is needed
            return;
        }
        let case = format!("{name} ({}, {sample})", if settled { "backlog settled" } else { "backlog" });
        let measured: Measured = match self.checker.measure(name, statement, sample, settled, awaited || walks).await {
            Ok(measured) => measured,
            Err(error) => {
                self.broken.push(format!("{case}: its sample in tests/it/plans/samples/ does not run: {error}"));
                return;
            }
        };
        if measured.hits < sample.hits {
            let (found, hits) = (measured.hits, sample.hits);
            self.broken.push(format!("{case}: its sample hits {found} rows instead of {hits}"));
        }
        let usual = Limits::USUAL;
        let own = self.exceptions[name].limits(settled && sample.head);
        for (found, limits) in [(&mut self.beyond_usual, usual), (&mut self.beyond, own)] {
            let faults = measured.beyond(&limits, sample.page);
            let faults = faults.into_iter().map(|fault| format!("{case}: {fault}"));
            found.entry(name).or_default().extend(faults);
        }
    }

    /// The statements of [`AWAITED`] on this engine.
    fn awaited(&self) -> BTreeSet<&'static str> {
        let here = AWAITED.iter().filter(|(_, engines, _)| engines.contains(&self.checker.engine));
        here.map(|(name, ..)| *name).collect()
    }

    /// Returns everything that is wrong.
    fn verdict(mut self) -> Vec<String> {
        let engine = self.checker.engine;
        let awaited = self.awaited();
        for name in &awaited {
            if self.beyond.get(name).is_none_or(Vec::is_empty) {
                self.broken.push(format!("{name} keeps its bounds on {engine:?}: take it off the list AWAITED"));
            }
        }
        for (name, exceptions) in &self.exceptions {
            let needed = self.beyond_usual.get(name).is_some_and(|faults| !faults.is_empty());
            if exceptions.any() && !exceptions.memory && !needed {
                self.broken.push(format!("{name} keeps the usual bounds on {engine:?}: its header needs no exception"));
            }
        }
        let beyond = self.beyond.into_iter().filter(|(name, _)| !awaited.contains(name));
        self.broken.into_iter().chain(beyond.flat_map(|(_, faults)| faults)).collect()
    }
}

/// Whether a statement needs no sample: it creates something, or inserts values and reads nothing.
fn reads_nothing(statement: &str) -> bool {
    let mut lines = statement.lines().filter(|line| !line.starts_with("--"));
    let first = lines.next().unwrap_or_default();
    let rest: Vec<&str> = lines.collect();
    let inserts = first.starts_with("INSERT") && rest.iter().any(|line| line.starts_with("VALUES"));
    first.starts_with("CREATE") || inserts && !statement.contains("ON DUPLICATE KEY")
}

/// The fewest pages that a walk through all delete-marked entries reads.
const WALK: i64 = LATE;
