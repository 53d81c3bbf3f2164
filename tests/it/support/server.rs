//! The database server of a test run: the one that `TEST_DATABASE_URL` names, or a private one that ends with the run.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use holdfast::db::migrations;
use holdfast::dev::PrivateServer;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Row};

/// The prefix of every test database, by which leftovers are found.
const PREFIX: &str = "holdfast_test_";

/// Returns the server's URL without a database, ending in a slash.
pub(crate) fn url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| match std::env::var("TEST_DATABASE_URL") {
        Ok(url) if !url.is_empty() => with_slash(&url),
        _ => start_private_server(),
    })
}

fn with_slash(url: &str) -> String {
    format!("{}/", url.trim_end_matches('/'))
}

/// Starts the server in a thread of its own. It runs until the process ends; then its supervisor stops it.
fn start_private_server() -> String {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut server = start_somewhere().await;
            tell.send(with_slash(&server.url(""))).expect("a test waits for the server");
            let died = server.exited().await;
            panic!("the database server of the tests died: {died}");
        });
    });
    told.recv().expect("the private database server starts")
}

/// Starts the server in a folder that is kept between runs or, if another run uses that one, in a folder of this run's own.
async fn start_somewhere() -> PrivateServer {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("database");
    match PrivateServer::start(&kept, &[]).await {
        Ok(server) => {
            drop_leftovers(&with_slash(&server.url(""))).await;
            server
        }
        Err(_) => PrivateServer::start(&own_folder(), &[]).await.expect("the private database server starts"),
    }
}

fn own_folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("database-{}", std::process::id()))
}

async fn drop_leftovers(server: &str) {
    let mut conn = connect(server).await;
    let names: Vec<String> = conn.query("SHOW DATABASES").await.expect("databases can be listed");
    for name in names.iter().filter(|name| name.starts_with(PREFIX)) {
        conn.query_drop(format!("DROP DATABASE `{name}`")).await.expect("a leftover can be dropped");
    }
}

/// Opens a connection of its own, outside the transaction door and the pool.
#[expect(clippy::disallowed_methods, reason = "tests look at the database from outside")]
pub(crate) async fn connect(url: &str) -> Conn {
    let opts = Opts::from_url(url).expect("a database URL");
    Conn::new(OptsBuilder::from_opts(opts).prefer_socket(false)).await.expect("the test server can be reached")
}

/// A migrated database of one test's own, dropped with this value unless `TEST_KEEP_DATABASES` is set.
pub(crate) struct TestDatabase {
    pub(crate) name: String,
    pub(crate) url: String,
}

impl TestDatabase {
    pub(crate) async fn create() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = tokio::task::spawn_blocking(url).await.expect("the server starts");
        let name = format!("{PREFIX}{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let url = format!("{server}{name}");
        let opts = Opts::from_url(&url).expect("a database URL");
        migrations::migrate(&opts).await.expect("a new database can be migrated");
        Self { name, url }
    }
}

/// Kills the connections to a database: a failed test may have left a transaction open, which would keep it from being dropped.
async fn end_connections(conn: &mut Conn, database: &str) {
    let connections: Vec<Row> = conn.query("SHOW PROCESSLIST").await.unwrap_or_default();
    for connection in connections {
        let used = connection.get::<Option<String>, _>("db").flatten();
        if let (Some(id), true) = (connection.get::<u64, _>("Id"), used.as_deref() == Some(database)) {
            let _ = conn.query_drop(format!("KILL {id}")).await;
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if std::env::var_os("TEST_KEEP_DATABASES").is_some() {
            println!("kept: {}", self.url);
            return;
        }
        let name = self.name.clone();
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut conn = connect(url()).await;
                end_connections(&mut conn, &name).await;
                // Do not wait for long for a transaction that a failed test has left open.
                let _ = conn.query_drop("SET SESSION lock_wait_timeout = 5").await;
                let _ = conn.query_drop(format!("DROP DATABASE IF EXISTS `{name}`")).await;
            });
        });
        let _ = dropped.join();
    }
}
