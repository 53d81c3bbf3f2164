//! Measures what a statement reads: its plan, and the number of rows and pages.

use holdfast::db::pool;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, Params, Row};
use serde_json::Value as Json;

use super::WALK;
use super::exception::Engine;
use super::samples::Sample;

type Result<T> = std::result::Result<T, String>;

/// One line of EXPLAIN.
#[derive(Debug, Clone)]
struct Step {
    /// The table, `<derived2>` and the like included.
    table: String,
    /// How it is read: `ALL`, `index`, `range`, `ref`, …
    access: String,
    /// How many rows the optimizer expects.
    rows: i64,
}

/// Number of pages that a statement read.
#[derive(Debug, Clone, Copy)]
enum Pages {
    /// Read by the statement itself.
    Own(i64),
    /// Read by the whole server meanwhile: the smallest count of several runs.
    Server(i64),
}

/// The measurements of one run of a statement.
#[derive(Debug)]
pub(super) struct Measured {
    plan: Vec<Step>,
    /// Rows read from the storage engine.
    examined: i64,
    /// Rows returned or changed.
    pub(super) hits: i64,
    pages: Option<Pages>,
}

/// How much a statement may read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Rows examined for each row returned or changed, in addition to [`ROWS`].
    pub(super) rows_for_each: i64,
    /// Whether there is no bound at all.
    pub(super) unbounded: bool,
}

/// Rows that a statement may examine even if it returns none.
const ROWS: i64 = 100;
/// Pages that a statement may read even if it returns no row.
const PAGES: i64 = 100;
/// Pages for each row returned or changed: an update descends into the clustered index and every secondary one.
const PAGES_FOR_EACH: i64 = 20;
/// Pages for each row that an exception allows to be examined.
const PAGES_FOR_EACH_ROW: i64 = 5;
/// How often the pages of the whole server are counted before a count that is too high is a fault.
const TRIES: usize = 5;

impl Limits {
    /// The limits of a statement without an exception.
    pub(super) const USUAL: Self = Self { rows_for_each: 4, unbounded: false };
}

impl Measured {
    /// Returns the bounds that are exceeded. `page`: rows that the statement was given to look through.
    pub(super) fn beyond(&self, limits: &Limits, page: i64) -> Vec<String> {
        if limits.unbounded {
            return Vec::new();
        }
        let due = self.hits + page;
        let bound = ROWS + limits.rows_for_each * due;
        let mut faults = Vec::new();
        for Step { table, access, rows } in &self.plan {
            if ["ALL", "index"].contains(&access.as_str()) && !table.starts_with('<') && *rows > bound {
                faults.push(format!("its plan reads {table} as a whole ({access}, {rows} rows)"));
            }
        }
        if self.examined > bound {
            faults.push(format!("{} rows examined for {due}, more than {bound}", self.examined));
        }
        let for_each = PAGES_FOR_EACH.max(PAGES_FOR_EACH_ROW * limits.rows_for_each);
        match self.pages {
            Some(Pages::Own(pages)) if pages > PAGES + for_each * due => {
                faults.push(format!("{pages} pages read for {due} rows"));
            }
            Some(Pages::Server(pages)) if pages > WALK / 10 + for_each * due => {
                faults.push(format!("{pages} pages read by the server for {due} rows"));
            }
            _ => {}
        }
        faults
    }
}

/// A connection with the session settings of the service.
pub(super) struct Checker {
    conn: Conn,
    pub(super) engine: Engine,
}

impl Checker {
    #[expect(clippy::disallowed_methods, reason = "statements are measured outside the transaction door")]
    pub(super) async fn open(url: &str) -> Self {
        let options = Opts::from_url(url).expect("a database URL");
        let mut conn = Conn::new(pool::session(options)).await.expect("the test server can be reached");
        let version: Option<String> = conn.query_first("SELECT VERSION()").await.expect("a version");
        let maria = version.is_some_and(|version| version.contains("MariaDB"));
        Self { conn, engine: if maria { Engine::MariaDb } else { Engine::MySql } }
    }

    /// Runs a statement in transactions that are rolled back. `pages`: whether to count pages; `once`: count them once, since
    /// they are known to be too many.
    pub(super) async fn measure(
        &mut self,
        name: &str,
        statement: &str,
        sample: &Sample,
        pages: bool,
        once: bool,
    ) -> Result<Measured> {
        let text = sample.text(name, statement);
        let sql: String = text.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
        let placeholder = |rest: &str| rest.starts_with(|first: char| first.is_ascii_lowercase());
        if sql.split('{').skip(1).any(placeholder) {
            return Err(format!("a placeholder is left in {sql}"));
        }
        let measured = self.measure_text(&sql, sample, pages, if once { 1 } else { TRIES }).await;
        let rolled_back = self.conn.query_drop("ROLLBACK").await;
        measured.and_then(|measured| rolled_back.map(|()| measured)).map_err(|error| error.to_string())
    }

    async fn measure_text(
        &mut self,
        sql: &str,
        sample: &Sample,
        pages: bool,
        tries: usize,
    ) -> mysql_async::Result<Measured> {
        let explains = !["SET", "CREATE", "SHOW"].iter().any(|verb| sql.starts_with(verb));
        let looks = explains && !sql.starts_with("INSERT");
        self.begin(sample).await?;
        let plan = if explains { self.explain(sql, sample).await? } else { Vec::new() };
        let (examined, hits) = self.run_counted(sql, sample).await?;
        let own = if looks && pages { self.own_pages(sql, sample).await? } else { None };
        let pages = match own {
            Some(pages) => Some(Pages::Own(pages)),
            None if looks && pages => Some(Pages::Server(self.server_pages(sql, sample, tries).await?)),
            None => None,
        };
        Ok(Measured { plan, examined, hits, pages })
    }

    /// Begins a transaction, with the generated id that an earlier statement of a packet leaves.
    async fn begin(&mut self, sample: &Sample) -> mysql_async::Result<()> {
        self.conn.query_drop(format!("SELECT LAST_INSERT_ID({})", sample.generated)).await?;
        self.conn.query_drop("ROLLBACK").await?;
        self.conn.query_drop("START TRANSACTION").await
    }

    async fn explain(&mut self, sql: &str, sample: &Sample) -> mysql_async::Result<Vec<Step>> {
        let rows = self.run(&format!("EXPLAIN FORMAT=TRADITIONAL {sql}"), sample).await?;
        let step = |row: &Row| {
            let text = |name: &str| row.get::<Option<String>, _>(name).flatten().unwrap_or_default();
            let rows = row.get::<Option<i64>, _>("rows").flatten().unwrap_or_default();
            let inserts = text("select_type") == "INSERT";
            (!inserts).then(|| Step { table: text("table"), access: text("type"), rows })
        };
        Ok(rows.iter().filter_map(step).collect())
    }

    /// Runs a statement as the service does: as a prepared statement if it has parameters.
    async fn run(&mut self, sql: &str, sample: &Sample) -> mysql_async::Result<Vec<Row>> {
        match sample.params(sql) {
            Params::Empty => self.conn.query(sql).await,
            params => self.conn.exec(sql, params).await,
        }
    }

    /// Runs a statement; returns the rows examined, and the rows returned or changed.
    async fn run_counted(&mut self, sql: &str, sample: &Sample) -> mysql_async::Result<(i64, i64)> {
        self.push_index_conditions(false).await?;
        let before = self.rows_read().await?;
        let cost = self.rows_read().await? - before;
        let returned = self.run(sql, sample).await?.len();
        let changed = self.conn.affected_rows();
        let after = self.rows_read().await?;
        self.push_index_conditions(true).await?;
        let hits = changed.max(returned as u64);
        Ok((after - before - 2 * cost, i64::try_from(hits).unwrap_or(i64::MAX)))
    }

    /// Switches index condition pushdown on MySQL, which does not count the entries that an index condition filters.
    async fn push_index_conditions(&mut self, on: bool) -> mysql_async::Result<()> {
        if self.engine == Engine::MariaDb {
            return Ok(());
        }
        let switch = if on { "on" } else { "off" };
        self.conn.query_drop(format!("SET SESSION optimizer_switch = 'index_condition_pushdown={switch}'")).await
    }

    /// Returns the number of rows that this session has read so far.
    async fn rows_read(&mut self) -> mysql_async::Result<i64> {
        let names = "Variable_name LIKE 'Handler_read%' OR Variable_name = 'Handler_icp_attempts'";
        let counts: Vec<(String, i64)> = self.conn.query(format!("SHOW SESSION STATUS WHERE {names}")).await?;
        Ok(counts.iter().map(|(_, count)| count).sum())
    }

    /// Returns the number of pages that the server reports for the statement, if it reports one.
    async fn own_pages(&mut self, sql: &str, sample: &Sample) -> mysql_async::Result<Option<i64>> {
        if self.engine == Engine::MySql {
            return Ok(None);
        }
        self.begin(sample).await?;
        let rows = self.run(&format!("ANALYZE FORMAT=JSON {sql}"), sample).await?;
        let text: Option<String> = rows.first().and_then(|row| row.get(0));
        Ok(sum_pages(&serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default()))
    }

    /// Returns the number of pages that the whole server reads meanwhile, in the run with the fewest.
    async fn server_pages(&mut self, sql: &str, sample: &Sample, tries: usize) -> mysql_async::Result<i64> {
        let mut least = i64::MAX;
        for _ in 0..tries {
            self.begin(sample).await?;
            let before = self.pages_read().await?;
            self.run(sql, sample).await?;
            least = least.min(self.pages_read().await? - before);
            if least <= WALK / 10 {
                break;
            }
        }
        Ok(least)
    }

    async fn pages_read(&mut self) -> mysql_async::Result<i64> {
        let query = "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_read_requests'";
        let count: Option<(String, i64)> = self.conn.query_first(query).await?;
        Ok(count.map_or(0, |(_, count)| count))
    }
}

/// Sums all `pages_accessed` in an analysis.
fn sum_pages(json: &Json) -> Option<i64> {
    let add = |sum: Option<i64>, more: Option<i64>| more.map_or(sum, |more| Some(sum.unwrap_or(0) + more));
    match json {
        Json::Object(fields) => fields.iter().fold(None, |sum, (name, value)| {
            add(sum, if name == "pages_accessed" { value.as_i64() } else { sum_pages(value) })
        }),
        Json::Array(values) => values.iter().fold(None, |sum, value| add(sum, sum_pages(value))),
        _ => None,
    }
}
