//! At the limits of connections, open files and requests, idle connections make room and no client is delayed.

use std::net::SocketAddr;
use std::sync::Arc;

use h2::Ping;
use holdfast::http::server::Limits;
use mysql_async::prelude::Queryable as _;
use poem::IntoResponse as _;
use poem::endpoint::make_sync;
use poem::http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{PATIENCE, get, http2, server, slow};
use crate::support::process::Process;
use crate::support::{Client, Shop, eventually};

/// Sends a request over a connection that stays open.
async fn ask(stream: &mut TcpStream, path: &str) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.expect("it is sent");
}

async fn is_answered(stream: &mut TcpStream) {
    let mut answer = [0; 1024];
    let read = timeout(PATIENCE, stream.read(&mut answer)).await.expect("it is answered");
    let length = read.expect("the connection is open");
    assert!(answer[..length].starts_with(b"HTTP/1.1 204 "), "{:?}", String::from_utf8_lossy(&answer[..length]));
}

async fn is_closed(stream: &mut TcpStream) {
    let read = timeout(PATIENCE, stream.read(&mut [0])).await.expect("it is closed");
    assert!(matches!(read, Ok(0) | Err(_)), "it is closed");
}

#[tokio::test]
async fn at_the_limit_the_longest_idle_connection_is_closed_and_none_with_a_request_under_way() {
    let permits = Arc::new(Semaphore::new(0));
    let limits = Limits { connections: 3, ..Limits::default() };
    let (address, _serving) = server(limits, slow(&permits)).await;
    let connect = async || TcpStream::connect(address).await.expect("it listens");
    let mut busy = connect().await;
    ask(&mut busy, "/slow").await;
    let mut first = connect().await;
    let mut second = connect().await;
    for turn in 0..3 {
        let stream = if turn == 1 { &mut second } else { &mut first };
        ask(stream, "/").await;
        is_answered(stream).await;
    }
    let mut newcomer = connect().await;
    ask(&mut newcomer, "/slow").await;
    is_closed(&mut second).await;
    ask(&mut first, "/").await;
    is_answered(&mut first).await;
    permits.add_permits(2);
    is_answered(&mut busy).await;
    is_answered(&mut newcomer).await;
}

#[tokio::test]
async fn at_the_limit_idle_http2_connections_and_half_sent_requests_are_closed() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let (address, _serving) = server(limits, slow(&Arc::new(Semaphore::new(0)))).await;
    let (mut requests, mut pings, _driver) = http2(address).await;
    let (response, _) = requests.send_request(get("/"), true).expect("the connection is open");
    assert_eq!(response.await.expect("it is answered").status(), 204);
    let mut half = TcpStream::connect(address).await.expect("it listens");
    half.write_all(b"GET / HTTP/1.1\r\nHost:").await.expect("it is sent");
    let mut newcomers = Vec::new();
    for _ in 0..2 {
        let mut newcomer = TcpStream::connect(address).await.expect("it listens");
        ask(&mut newcomer, "/").await;
        is_answered(&mut newcomer).await;
        newcomers.push(newcomer);
    }
    assert!(eventually(async || pings.ping(Ping::opaque()).await.is_err()).await, "it is closed");
    is_closed(&mut half).await;
}

async fn idle_clients(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    rlimit::increase_nofile_limit(u64::MAX).expect("the test may open files");
    let mut idle = Vec::new();
    for _ in 0..count {
        idle.push(TcpStream::connect(address).await.expect("it listens"));
    }
    idle
}

/// Returns the shop's number of connections on the database server.
async fn connections(shop: &Shop) -> usize {
    let rows: Vec<mysql_async::Row> = shop.sql().await.query("SHOW PROCESSLIST").await.expect("the query runs");
    let database = |row: &mysql_async::Row| row.get::<Option<String>, _>("db").flatten();
    rows.iter().filter(|row| database(row).as_ref() == Some(&shop.database.name)).count()
}

#[tokio::test]
async fn idle_clients_beyond_the_soft_limit_of_open_files_delay_no_client_and_take_no_connection_from_the_pool() {
    let shop = Shop::open().await;
    let mut products = Vec::new();
    for _ in 0..32 {
        products.push(shop.product(1).await);
    }
    let (process, client) = Process::serve_within("-Sn 1024", &shop.database.url).await;
    let idle = idle_clients(client.address(), 1200).await;
    // each of the holds needs a database connection, as far as the pool goes, and waits for its row
    let mut lock = shop.sql().await;
    lock.query_drop("BEGIN").await.expect("a transaction begins");
    lock.query_drop("UPDATE products SET name = 'Locked'").await.expect("all rows are free");
    let holds: Vec<_> = products.iter().map(|&id| (client.clone(), id)).collect();
    let holds = holds.into_iter().map(|(client, id)| tokio::spawn(async move { client.try_hold(id, 1).await.status }));
    let holds: Vec<_> = holds.collect();
    let mut open = 0;
    let grown = eventually(async || {
        open = connections(&shop).await;
        open > 8
    });
    let grown = timeout(PATIENCE, grown).await;
    assert!(grown.is_ok_and(|grown| grown), "{open} connections");
    lock.query_drop("ROLLBACK").await.expect("the transaction ends");
    for hold in holds {
        let status = timeout(PATIENCE, hold).await.expect("it is answered").expect("no panic");
        assert!([201, 503].contains(&status), "{status}");
    }
    let newcomer = Client::new(client.address());
    timeout(PATIENCE, newcomer.get("/healthz")).await.expect("it is answered").expect(200);
    drop(idle);
    process.terminate().await.expect(0);
}

#[tokio::test]
async fn idle_connections_beyond_the_hard_limit_of_open_files_are_closed_for_new_ones() {
    let (shop, product_id) = (Shop::open().await, 1);
    shop.product(100).await;
    let (process, client) = Process::serve_within("-n 256", &shop.database.url).await;
    let idle = idle_clients(client.address(), 1200).await;
    for _ in 0..3 {
        // each over a connection of its own
        let client = Client::new(client.address());
        timeout(PATIENCE, client.hold(product_id, 1)).await.expect("it is answered");
    }
    drop(idle);
    let ended = process.terminate().await.expect(0);
    assert!(ended.err.contains("LimitNOFILE") && ended.err.contains(r#""open_files":256"#), "{}", ended.err);
    assert!(!ended.err.contains("could not be accepted"), "{}", ended.err);
}

/// Otherwise, a few connections with many streams each could fill every queue.
#[tokio::test]
async fn the_more_connections_the_fewer_requests_each_may_have_under_way() {
    let endpoint = make_sync(|_| StatusCode::NO_CONTENT.into_response());
    let (address, _serving) = server(Limits { streams: 400, ..Limits::default() }, endpoint).await;
    let (mut connections, mut allowed) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        let (requests, pings, driver) = http2(address).await;
        let mut requests = requests.ready().await.expect("it is open");
        let (answer, _) = requests.send_request(get("/"), true).expect("it is sent");
        assert_eq!(answer.await.expect("an answer").status(), StatusCode::NO_CONTENT);
        // the server's settings come before its first response
        allowed.push(requests.current_max_send_streams());
        connections.push((requests, pings, driver));
    }
    assert_eq!(allowed[..8], [100, 100, 100, 100, 80, 66, 57, 50]);
    assert_eq!(allowed[24..], [16; 16], "each connection keeps some");
}
