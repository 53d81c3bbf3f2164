//! Several servers behind one address: a lost connection is killed only on the server that it was made to.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast::app::App;
use holdfast::db::migrations;
use holdfast::dev::PrivateServer;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};

use crate::support::crowd::{all, hold, in_order};
use crate::support::proxy::{Action, Proxy, Rule};
use crate::support::server::connect;
use crate::support::{Shop, eventually};

/// A private server with a shop that sells product 1.
struct Own {
    server: PrivateServer,
    folder: PathBuf,
}

impl Own {
    async fn start(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let server = PrivateServer::start(&folder, &[]).await.expect("the private server starts");
        let own = Self { server, folder };
        migrations::migrate(&Opts::from_url(&own.url()).expect("a URL")).await.expect("the database can be migrated");
        let insert = "INSERT INTO products (name, price_minor, currency, stock) VALUES ('A thing', 4999, 'EUR', 100)";
        own.sql().await.query_drop(insert).await.expect("a product can be inserted");
        own
    }

    fn url(&self) -> String {
        self.server.url("shop")
    }

    fn address(&self) -> SocketAddr {
        let port = Opts::from_url(&self.url()).expect("a URL").tcp_port();
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    async fn sql(&self) -> Conn {
        connect(&self.url()).await
    }

    async fn stop(self) {
        self.server.stop().await;
        std::fs::remove_dir_all(&self.folder).expect("the folder can be removed");
    }
}

/// Returns the id of the connection whose COMMIT the server has not received.
async fn id_of_the_only_transaction(server: &Own) -> u32 {
    let open = "SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX";
    server.sql().await.query_first(open).await.expect("the query runs").expect("a transaction is open")
}

/// Opens connections of another client until one has this id on this server.
async fn connection_with_id(server: &Own, id: u32) -> Conn {
    loop {
        let conn = server.sql().await;
        assert!(conn.id() <= id, "this server has already used the id");
        if conn.id() == id {
            return conn;
        }
    }
}

#[tokio::test]
async fn a_lost_connection_is_never_killed_on_another_server() {
    let (first, second) = (Own::start("first-server").await, Own::start("second-server").await);
    // the connection ids of the first server are ahead of those of the second
    for _ in 0..50 {
        let _ = first.sql().await.disconnect().await;
    }
    let shop = Shop::open().await;
    let proxy = Proxy::start(first.address()).await;
    let mut config = shop.config();
    config.database_url = Opts::from_url(&proxy.url(&first.url())).expect("a URL");
    let app = Arc::new(App::new(&config));
    let lost = proxy.on(Rule::exactly("COMMIT"), Action::Partition);
    let held = in_order([hold(&app, 1, 1, None)]);
    lost.reached().await;
    let id = id_of_the_only_transaction(&first).await;
    let mut innocent = connection_with_id(&second, id).await;

    proxy.lead_to(second.address());
    all(held).await.remove(0).expect("the second server stores the hold");
    let alive: Option<u8> = innocent.query_first("SELECT 1").await.expect("the other client's connection is alive");
    assert_eq!(alive, Some(1));
    let tries = || proxy.statements().iter().filter(|statement| statement.contains("CONNECTION_ID()")).count();
    let before = tries();
    assert!(
        eventually(async || tries() >= before + 3).await,
        "the service keeps looking for the server of the lost connection"
    );
    let alive: Option<u8> = innocent.query_first("SELECT 1").await.expect("the other client's connection is alive");
    assert_eq!(alive, Some(1));
    drop(lost);
    first.stop().await;
    second.stop().await;
}
