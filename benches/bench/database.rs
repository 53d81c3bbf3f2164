//! The database server that is measured, private or named by `--url`, with its settings and counters.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use holdfast::db::tables::products::Terms;
use holdfast::db::{migrations, pool};
use holdfast::dev::PrivateServer;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::connections::connect;
use crate::disk::{BLOCK, SYNCS, sync_time};
use crate::report;

/// The database that is measured. The benchmark touches no others, except those that [`Ground::beside`] makes.
const DATABASE: &str = "holdfast_bench";
/// The buffer pool of a private server, unless a section sets another.
pub(crate) const BUFFER_POOL: &str = "--innodb-buffer-pool-size=2G";
/// A redo log with room for a few seconds of writes: with the defaults, a full redo log limits the figures instead of the
/// commits. Each engine ignores the other's option.
const SERVER_OPTIONS: [&str; 3] =
    ["--loose-innodb-log-file-size=2G", "--loose-innodb-redo-log-capacity=2G", "--max-connections=1000"];
/// More units than a run can sell.
pub(crate) const PLENTY: i64 = 1_000_000_000_000;

/// The terms of every product.
pub(crate) const PRICE_MINOR: i64 = 4999;
pub(crate) const CURRENCY: &str = "EUR";

/// Returns the terms of every product.
pub(crate) fn terms() -> Terms {
    Terms { price_minor: PRICE_MINOR, currency: CURRENCY.to_owned(), ..Terms::default() }
}

/// A migrated database, and the server under it.
pub(crate) struct Ground {
    server: Option<(PrivateServer, PathBuf)>,
    base: String,
    database: String,
    /// The URL for the service, with the database's name.
    pub(crate) url: String,
    /// The same as options for connections of this process.
    pub(crate) opts: Opts,
    control: Mutex<Conn>,
}

/// The server's counters: totals since its start, or differences over a window.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counters {
    /// COMMIT statements: every strategy sends one per transaction, and no other client sends any.
    pub(crate) commits: f64,
    /// SELECT statements.
    pub(crate) selects: f64,
    /// Syncs of the redo log, or of all files if the server does not count the redo log's.
    pub(crate) fsyncs: Option<f64>,
    /// Transactions that were rolled back because of a deadlock.
    pub(crate) deadlocks: f64,
    /// Length of the window; 0 for totals.
    pub(crate) seconds: f64,
}

impl Counters {
    /// Returns the differences to `earlier`, which was read `ago` before.
    pub(crate) fn since(self, earlier: &Self, ago: Duration) -> Self {
        Self {
            commits: self.commits - earlier.commits,
            selects: self.selects - earlier.selects,
            fsyncs: self.fsyncs.zip(earlier.fsyncs).map(|(now, then)| now - then),
            deadlocks: self.deadlocks - earlier.deadlocks,
            seconds: ago.as_secs_f64(),
        }
    }
}

impl Ground {
    /// Starts a private server unless `url` names one, and creates the database.
    pub(crate) async fn prepare(url: Option<&str>, buffer_pool: &str) -> Self {
        let (server, base) = match url {
            Some(url) => (None, url.to_owned()),
            None => {
                let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-database");
                let started = PrivateServer::start(&folder, &[&SERVER_OPTIONS[..], &[buffer_pool]].concat()).await;
                let server = started.unwrap_or_else(|error| panic!("the private server does not start: {error}"));
                let base = server.url("");
                (Some((server, folder)), base)
            }
        };
        Self { server, ..Self::on(base, DATABASE).await }
    }

    /// Creates another migrated database on the same server; its name is the first one's with `suffix`.
    pub(crate) async fn beside(&self, suffix: &str) -> Self {
        Self::on(self.base.clone(), &format!("{DATABASE}_{suffix}")).await
    }

    async fn on(base: String, database: &str) -> Self {
        let url = with_database(&base, database);
        let opts = pool::options(&url).expect("a database URL");
        let mut control = connect(&Opts::from_url(&base).expect("a database URL")).await;
        drop_database(&mut control, database).await;
        migrations::migrate(&opts).await.expect("the migrations succeed");
        Self { server: None, base, database: database.to_owned(), url, control: Mutex::new(connect(&opts).await), opts }
    }

    /// Returns the settings that a reader needs to compare figures.
    pub(crate) async fn describe(&self) -> Vec<(&'static str, String)> {
        let version: String = self.value("SELECT VERSION()").await;
        let engine = if version.contains("MariaDB") { "MariaDB" } else { "MySQL" };
        let mut settings = vec![("engine", engine.to_owned()), ("version", version)];
        for name in ["innodb_flush_log_at_trx_commit", "sync_binlog", "log_bin", "innodb_buffer_pool_size"] {
            settings.push((name, self.value(&format!("SELECT CAST(@@{name} AS CHAR)")).await));
        }
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        settings.push(("cores, shared by server, service and buyers", cores.to_string()));
        settings.push(("server", self.server.as_ref().map_or("named by --url", |_| "private").to_owned()));
        settings.push(("fsync", self.describe_sync()));
        settings
    }

    /// Measures an fsync on the disk of the private server, or in the temporary folder.
    fn describe_sync(&self) -> String {
        let (folder, place) = match &self.server {
            Some((_, folder)) => (folder.clone(), "beside the server's data"),
            None => (env::temp_dir(), "in the temporary folder: the disk of a server named by --url cannot be seen"),
        };
        let took = sync_time(&folder).map_or_else(|error| error.to_string(), report::short);
        format!("{took} (write of {BLOCK} bytes and fdatasync, median of {SYNCS}, {place})")
    }

    /// Reads the totals since the server's start.
    pub(crate) async fn counters(&self) -> Counters {
        let names = "'Com_commit', 'Com_select', 'Innodb_os_log_fsyncs', 'Innodb_data_fsyncs'";
        let query = format!("SHOW GLOBAL STATUS WHERE Variable_name IN ({names})");
        let deadlocks = "SELECT CAST(`count` AS SIGNED) FROM information_schema.innodb_metrics
                         WHERE name = 'lock_deadlocks'";
        let deadlocks: i64 = self.value(deadlocks).await;
        let rows: Vec<(String, String)> =
            self.control.lock().await.query(query).await.expect("the server shows its status");
        let find = |name: &str| {
            let value = rows.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
            value.and_then(|(_, value)| value.parse::<f64>().ok())
        };
        Counters {
            commits: find("Com_commit").unwrap_or_default(),
            selects: find("Com_select").unwrap_or_default(),
            fsyncs: find("Innodb_os_log_fsyncs").or_else(|| find("Innodb_data_fsyncs")),
            deadlocks: deadlocks as f64,
            seconds: 0.0,
        }
    }

    /// Runs a statement.
    pub(crate) async fn execute(&self, statement: &str) {
        let done = self.control.lock().await.query_drop(statement).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// Returns the only value of a query.
    pub(crate) async fn value<T: mysql_async::prelude::FromValue + Send + 'static>(&self, query: &str) -> T {
        let found = self.control.lock().await.query_first(query).await;
        found.unwrap_or_else(|error| panic!("{query}: {error}")).unwrap_or_else(|| panic!("{query}: no row"))
    }

    /// Inserts a product and returns its id.
    pub(crate) async fn product(&self, stock: i64) -> i64 {
        let values = format!("('Limited edition', {PRICE_MINOR}, '{CURRENCY}', {stock})");
        self.execute(&format!("INSERT INTO products (name, price_minor, currency, stock) VALUES {values}")).await;
        self.value("SELECT LAST_INSERT_ID()").await
    }

    /// Inserts `count` products with consecutive ids and returns the first id.
    pub(crate) async fn products(&self, count: i64, stock: i64) -> i64 {
        let mut conn = self.control.lock().await;
        let last = conn.query_first::<i64, _>("SELECT COALESCE(MAX(id), 0) FROM products").await;
        let first = last.expect("the server answers").expect("a maximum") + 1;
        let ids: Vec<i64> = (first..first + count).collect();
        for ids in ids.chunks(1000) {
            let rows: Vec<String> =
                ids.iter().map(|id| format!("({id}, 'One of many', {PRICE_MINOR}, '{CURRENCY}', {stock})")).collect();
            let insert =
                format!("INSERT INTO products (id, name, price_minor, currency, stock) VALUES {}", rows.join(", "));
            conn.query_drop(insert).await.expect("products can be inserted");
        }
        first
    }

    /// Deletes all holds, orders and payments, so that earlier figures do not slow down later ones.
    pub(crate) async fn clear(&self) {
        for table in [
            "holds",
            "hold_owners",
            "orders",
            "order_owners",
            "order_events",
            "payment_events",
            "payment_event_trail",
            "charges",
            "idempotency_keys",
        ] {
            self.execute(&format!("TRUNCATE TABLE {table}")).await;
        }
        self.execute("UPDATE seats SET hold_id = NULL, sold = FALSE WHERE hold_id IS NOT NULL").await;
        self.execute("UPDATE products SET reserved = 0 WHERE reserved > 0").await;
        sleep(Duration::from_millis(200)).await;
    }

    /// Drops the database, and removes the private server with its data.
    pub(crate) async fn leave(self) {
        drop_database(&mut *self.control.lock().await, &self.database).await;
        if let Some((server, folder)) = self.server {
            server.stop().await;
            let removed = std::fs::remove_dir_all(&folder);
            removed.unwrap_or_else(|error| eprintln!("{}: {error}", folder.display()));
        }
    }
}

async fn drop_database(conn: &mut Conn, database: &str) {
    conn.query_drop(format!("DROP DATABASE IF EXISTS {database}")).await.expect("the database can be dropped");
}

/// Returns `mysql://root@host:3306/?ssl=…` with the database's name after the slash.
fn with_database(base: &str, database: &str) -> String {
    let (place, parameters) = base.split_once('?').map_or((base, None), |(place, rest)| (place, Some(rest)));
    let place = place.trim_end_matches('/');
    let named = place.strip_prefix("mysql://").is_none_or(|rest| rest.contains('/'));
    assert!(!named, "--url must name a server without a database: mysql://user:password@host:port/");
    parameters.map_or_else(|| format!("{place}/{database}"), |rest| format!("{place}/{database}?{rest}"))
}
