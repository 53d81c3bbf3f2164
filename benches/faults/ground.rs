//! The database that a fault is played on: migrated, with a user of the service's own, and what can be asked of it.

use std::collections::HashMap;
use std::net::SocketAddr;

use holdfast::db::{migrations, pool};
use mysql_async::prelude::{FromValue, Queryable};
use mysql_async::{Conn, Opts, Row};

use crate::server::{Server, connect};

/// The only database that is touched, and the user that the service connects as.
pub(crate) const NAME: &str = "holdfast_faults";

/// A migrated database, and the server under it.
pub(crate) struct Ground {
    /// None where a server was named.
    server: Option<Server>,
    /// For the harness: a user who may do everything, `mysql://…/holdfast_faults`.
    admin_url: String,
    password: String,
    address: SocketAddr,
}

impl Ground {
    /// On a server of its own.
    pub(crate) async fn private(server: Server) -> Self {
        let admin_url = server.url(NAME);
        Self::on(Some(server), admin_url).await
    }

    /// On a server that was named, `mysql://user:password@host:port/`.
    pub(crate) async fn named(base: &str) -> Self {
        Self::on(None, format!("{}/{NAME}", base.trim_end_matches('/'))).await
    }

    async fn on(server: Option<Server>, admin_url: String) -> Self {
        let opts = Opts::from_url(&admin_url).expect("--url names a server: mysql://user:password@host:port/");
        let base = admin_url.trim_end_matches(NAME);
        let mut admin = connect(base).await.unwrap_or_else(|error| panic!("the server cannot be reached: {error}"));
        leave(&mut admin).await;
        migrations::migrate(&pool::options(&admin_url).expect("a database URL")).await.expect("the schema can be made");
        let place = (opts.ip_or_hostname(), opts.tcp_port());
        let address = tokio::net::lookup_host(place).await.expect("the server resolves").next().expect("an address");
        let password = format!("{:032x}", rand::random::<u128>());
        run(&mut admin, &format!("CREATE USER {NAME}@'%' IDENTIFIED BY '{password}'")).await;
        let ground = Self { server, admin_url, password, address };
        ground.privileges("GRANT SELECT, INSERT, UPDATE, DELETE", "TO").await;
        ground
    }

    /// Grants or revokes, table by table: such a change counts from the next statement of every connection on, one for
    /// the whole database only from the next connection on.
    pub(crate) async fn privileges(&self, change: &str, direction: &str) {
        let mut admin = self.admin().await;
        let tables = format!("SELECT table_name FROM information_schema.tables WHERE table_schema = '{NAME}'");
        let tables: Vec<String> = admin.query(tables).await.expect("the server tells its tables");
        for table in tables {
            run(&mut admin, &format!("{change} ON {NAME}.{table} {direction} {NAME}@'%'")).await;
        }
    }

    /// Where the database server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// For the service, which reaches the server at this address.
    pub(crate) fn url_at(&self, address: SocketAddr) -> String {
        format!("mysql://{NAME}:{}@{address}/{NAME}", self.password)
    }

    /// The same for commands of an operator.
    pub(crate) fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// The server, where its process is in our hands.
    pub(crate) fn server(&mut self) -> Option<&mut Server> {
        self.server.as_mut()
    }

    /// A connection of a user who may do everything.
    pub(crate) async fn admin(&self) -> Conn {
        connect(&self.admin_url).await.unwrap_or_else(|error| panic!("the server cannot be reached: {error}"))
    }

    /// Runs a statement as that user.
    pub(crate) async fn execute(&self, statement: &str) {
        run(&mut self.admin().await, statement).await;
    }

    /// The only value of a query.
    pub(crate) async fn value<T: FromValue + Send + 'static>(&self, query: &str) -> T {
        let found = self.admin().await.query_first(query).await;
        found.unwrap_or_else(|error| panic!("{query}: {error}")).unwrap_or_else(|| panic!("{query}: no row"))
    }

    /// A state for each id, which is in upper-case hexadecimal digits.
    pub(crate) async fn states(&self, query: &str) -> HashMap<String, String> {
        let rows: Vec<(String, String)> =
            self.admin().await.query(query).await.unwrap_or_else(|error| panic!("{query}: {error}"));
        rows.into_iter().collect()
    }

    /// A new product that costs 49.99 EUR.
    pub(crate) async fn product(&self, name: &str, stock: i64) -> i64 {
        let mut admin = self.admin().await;
        let values = format!("('{name}', 4999, 'EUR', {stock})");
        run(&mut admin, &format!("INSERT INTO products (name, price_minor, currency, stock) VALUES {values}")).await;
        i64::try_from(admin.last_insert_id().expect("an id")).expect("a small id")
    }

    /// The connections that the service has.
    pub(crate) async fn connections(&self) -> Vec<u64> {
        let rows: Vec<Row> =
            self.admin().await.query("SHOW PROCESSLIST").await.expect("the server tells its connections");
        let is_own = |row: &Row| row.get::<Vec<u8>, _>("User").is_some_and(|user| user == NAME.as_bytes());
        rows.iter().filter(|row| is_own(row)).filter_map(|row| row.get("Id")).collect()
    }

    /// Engine, version and machine, which a reader must know to compare figures.
    pub(crate) async fn describe(&self) -> Vec<(&'static str, String)> {
        let version: String = self.value("SELECT VERSION()").await;
        let engine = if version.contains("MariaDB") { "MariaDB" } else { "MySQL" };
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        vec![
            ("engine", engine.to_owned()),
            ("version", version),
            ("server", self.server.as_ref().map_or("as named", |_| "private").to_owned()),
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
