//! The database that a fault is played on: migrated, with a database user for the service, and queries on it.

use std::collections::HashMap;
use std::net::SocketAddr;

use holdfast::db::{migrations, pool};
use mysql_async::prelude::{FromValue, Queryable};
use mysql_async::{Conn, Opts, Row};

use crate::server::{Server, connect};

/// The name of the only database that is used, and of the user with which the service connects.
pub(crate) const NAME: &str = "holdfast_faults";

/// A migrated database, and the server under it.
pub(crate) struct Ground {
    /// `None` if `--url` names the server.
    server: Option<Server>,
    /// URL for this process, with a user that has all privileges: `mysql://…/holdfast_faults`.
    admin_url: String,
    password: String,
    address: SocketAddr,
}

impl Ground {
    /// Creates the database on a private server.
    pub(crate) async fn private(server: Server) -> Self {
        let admin_url = server.url(NAME);
        Self::on(Some(server), admin_url).await
    }

    /// Creates the database on the server that `--url` names, `mysql://user:password@host:port/`.
    pub(crate) async fn named(base: &str) -> Self {
        Self::on(None, format!("{}/{NAME}", base.trim_end_matches('/'))).await
    }

    async fn on(server: Option<Server>, admin_url: String) -> Self {
        let opts = Opts::from_url(&admin_url).expect("--url must name a server: mysql://user:password@host:port/");
        let base = admin_url.trim_end_matches(NAME);
        let mut admin = connect(base).await.unwrap_or_else(|error| panic!("the server cannot be reached: {error}"));
        leave(&mut admin).await;
        migrations::migrate(&pool::options(&admin_url).expect("a database URL")).await.expect("the migrations succeed");
        let place = (opts.ip_or_hostname(), opts.tcp_port());
        let address = tokio::net::lookup_host(place).await.expect("the server resolves").next().expect("an address");
        let password = format!("{:032x}", rand::random::<u128>());
        run(&mut admin, &format!("CREATE USER {NAME}@'%' IDENTIFIED BY '{password}'")).await;
        let ground = Self { server, admin_url, password, address };
        run_all(&mut admin, &ground.privileges("GRANT SELECT, INSERT, UPDATE, DELETE", "TO").await).await;
        ground
    }

    /// Returns the statements that grant or revoke privileges table by table: open connections see such a change from their next
    /// statement on, but a change for the whole database only after they connect again.
    pub(crate) async fn privileges(&self, change: &str, direction: &str) -> Vec<String> {
        let tables = format!("SELECT table_name FROM information_schema.tables WHERE table_schema = '{NAME}'");
        let tables: Vec<String> = self.admin().await.query(tables).await.expect("the server lists its tables");
        tables.iter().map(|table| format!("{change} ON {NAME}.{table} {direction} {NAME}@'%'")).collect()
    }

    /// Returns the address of the database server.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL for a service that connects to this address.
    pub(crate) fn url_at(&self, address: SocketAddr) -> String {
        format!("mysql://{NAME}:{}@{address}/{NAME}", self.password)
    }

    /// Returns the URL with all privileges, for `holdfast audit`.
    pub(crate) fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// Returns the server, if it is private.
    pub(crate) fn server(&mut self) -> Option<&mut Server> {
        self.server.as_mut()
    }

    /// Opens a connection with all privileges.
    pub(crate) async fn admin(&self) -> Conn {
        connect(&self.admin_url).await.unwrap_or_else(|error| panic!("the server cannot be reached: {error}"))
    }

    /// Returns the only value of a query.
    pub(crate) async fn value<T: FromValue + Send + 'static>(&self, query: &str) -> T {
        let found = self.admin().await.query_first(query).await;
        found.unwrap_or_else(|error| panic!("{query}: {error}")).unwrap_or_else(|| panic!("{query}: no row"))
    }

    /// Runs a query for ids and states. Returns a map from the id, in upper-case hexadecimal digits, to the state.
    pub(crate) async fn states(&self, query: &str) -> HashMap<String, String> {
        let rows: Vec<(String, String)> =
            self.admin().await.query(query).await.unwrap_or_else(|error| panic!("{query}: {error}"));
        rows.into_iter().collect()
    }

    /// Inserts a product that costs 49.99 EUR, and returns its id.
    pub(crate) async fn product(&self, name: &str, stock: i64) -> i64 {
        let mut admin = self.admin().await;
        let values = format!("('{name}', 4999, 'EUR', {stock})");
        run(&mut admin, &format!("INSERT INTO products (name, price_minor, currency, stock) VALUES {values}")).await;
        i64::try_from(admin.last_insert_id().expect("an id")).expect("a small id")
    }

    /// Returns the ids of the service's connections.
    pub(crate) async fn connections(&self) -> Vec<u64> {
        let rows: Vec<Row> =
            self.admin().await.query("SHOW PROCESSLIST").await.expect("the server lists its connections");
        let is_own = |row: &Row| row.get::<Vec<u8>, _>("User").is_some_and(|user| user == NAME.as_bytes());
        rows.iter().filter(|row| is_own(row)).filter_map(|row| row.get("Id")).collect()
    }

    /// Returns engine, version and machine, which a reader needs to compare figures.
    pub(crate) async fn describe(&self) -> Vec<(&'static str, String)> {
        let version: String = self.value("SELECT VERSION()").await;
        let engine = if version.contains("MariaDB") { "MariaDB" } else { "MySQL" };
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        vec![
            ("engine", engine.to_owned()),
            ("version", version),
            ("server", self.server.as_ref().map_or("named by --url", |_| "private").to_owned()),
            ("cores, shared by server, service and clients", cores.to_string()),
        ]
    }

    /// Drops the database and its user, and stops a private server.
    pub(crate) async fn leave(self) {
        leave(&mut self.admin().await).await;
        if let Some(server) = self.server {
            server.leave().await;
        }
    }
}

async fn leave(admin: &mut Conn) {
    run(admin, &format!("DROP DATABASE IF EXISTS {NAME}")).await;
    run(admin, &format!("DROP USER IF EXISTS {NAME}@'%'")).await;
}

/// Runs a statement that must succeed.
pub(crate) async fn run(conn: &mut Conn, statement: &str) {
    conn.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// Runs statements that must succeed.
pub(crate) async fn run_all(conn: &mut Conn, statements: &[String]) {
    for statement in statements {
        run(conn, statement).await;
    }
}
