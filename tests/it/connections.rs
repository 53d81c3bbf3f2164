//! The effect of one connection on the others and on its own requests: pipelined requests, HTTP/2 that only sends PINGs,
//! heads that can be read in two ways.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use h2::client::{SendRequest, handshake};
use h2::{Ping, PingPong};
use holdfast::http::server::{Limits, serve};
use hyper::body::Bytes;
use mysql_async::prelude::Queryable as _;
use poem::endpoint::{make, make_sync};
use poem::http::{Request, StatusCode};
use poem::{Endpoint, IntoResponse as _, Response};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::process::Process;
use crate::support::{Client, Shop, eventually};

/// The most that a client waits here; less than a connection may be idle.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves the endpoint within these limits until the returned set of tasks is dropped.
async fn server(limits: Limits, endpoint: impl Endpoint<Output = Response> + 'static) -> (SocketAddr, JoinSet<()>) {
    server_until(CancellationToken::new(), limits, endpoint).await
}

/// The same, until `stop` is cancelled.
async fn server_until(
    stop: CancellationToken,
    limits: Limits,
    endpoint: impl Endpoint<Output = Response> + 'static,
) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        serve(listener, endpoint, stop, PATIENCE, limits).await.expect("it serves");
    });
    (address, serving)
}

async fn http2(address: SocketAddr) -> (SendRequest<Bytes>, PingPong, JoinSet<()>) {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (requests, mut connection) = handshake(stream).await.expect("it speaks HTTP/2");
    let pings = connection.ping_pong().expect("it is the first call");
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        let _ = connection.await;
    });
    (requests, pings, driver)
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("http://localhost{path}")).body(()).expect("a request")
}

#[tokio::test]
async fn other_tasks_run_between_the_requests_that_one_connection_pipelines() {
    const REQUESTS: usize = 12;
    let turns = Arc::new(AtomicUsize::new(0));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let endpoint = {
        let (turns, seen) = (Arc::clone(&turns), Arc::clone(&seen));
        make_sync(move |_| {
            seen.lock().expect("no panic").push(turns.load(Ordering::Relaxed));
            StatusCode::NO_CONTENT.into_response()
        })
    };
    let (address, _serving) = server(Limits::default(), endpoint).await;
    let mut others = JoinSet::new();
    others.spawn(async move {
        loop {
            turns.fetch_add(1, Ordering::Relaxed);
            yield_now().await;
        }
    });
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let last = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let all = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(REQUESTS - 1) + last;
    stream.write_all(all.as_bytes()).await.expect("it is sent");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.expect("it is answered");
    assert_eq!(answers.matches("HTTP/1.1 204 ").count(), REQUESTS);
    let seen = seen.lock().expect("no panic");
    // the runtime may swap the two tasks at each yield, so a turn is certain only after two requests
    assert!(seen.iter().zip(&seen[2..]).all(|(one, next_but_one)| one < next_but_one), "{seen:?}");
}

#[tokio::test]
async fn http2_that_only_pings_is_closed() {
    let limits = Limits { idle: Duration::from_millis(200), ..Limits::default() };
    let (address, _serving) = server(limits, make_sync(|_| StatusCode::NO_CONTENT.into_response())).await;
    let (mut requests, mut pings, _driver) = http2(address).await;
    let (response, _) = requests.send_request(get("/"), true).expect("the connection is open");
    assert_eq!(response.await.expect("it is answered").status(), 204);
    assert!(eventually(async || pings.ping(Ping::opaque()).await.is_err()).await, "it is closed");
}

#[tokio::test]
async fn http2_with_a_request_under_way_is_not_closed_for_being_idle() {
    let limits = Limits { idle: Duration::from_millis(100), ..Limits::default() };
    let permits = Arc::new(Semaphore::new(0));
    let (address, _serving) = server(limits, slow(&permits)).await;
    let (mut requests, mut pings, _driver) = http2(address).await;
    let (response, _) = requests.send_request(get("/slow"), true).expect("the connection is open");
    let begun = Instant::now();
    while begun.elapsed() < limits.idle * 4 {
        pings.ping(Ping::opaque()).await.expect("the connection is open");
    }
    permits.add_permits(1);
    assert_eq!(response.await.expect("it is answered").status(), 204);
}

#[tokio::test]
async fn an_http2_client_that_disconnects_leaves_no_request_behind() {
    let permits = Arc::new(Semaphore::new(0));
    let (address, _serving) = server(Limits::default(), slow(&permits)).await;
    let (mut requests, mut pings, driver) = http2(address).await;
    let (_response, _) = requests.send_request(get("/slow"), true).expect("the connection is open");
    pings.ping(Ping::opaque()).await.expect("the request has arrived before the ping");
    // one each for the server's endpoint, this test and the request
    assert!(eventually(async || Arc::strong_count(&permits) == 3).await);
    drop(driver);
    assert!(eventually(async || Arc::strong_count(&permits) == 2).await, "the request has ended");
}

#[tokio::test]
async fn a_stop_waits_for_the_whole_body_of_a_request_over_http2() {
    const BYTES: usize = 10_000;
    let (stop, begun) = (CancellationToken::new(), Arc::new(Semaphore::new(0)));
    let endpoint = {
        let begun = Arc::clone(&begun);
        make(move |request| {
            begun.add_permits(1);
            async move {
                let body = request.into_body().into_bytes().await?;
                assert_eq!(body.len(), BYTES);
                Ok::<_, poem::Error>(StatusCode::NO_CONTENT.into_response())
            }
        })
    };
    let (address, mut serving) = server_until(stop.clone(), Limits::default(), endpoint).await;
    let (mut requests, _, _driver) = http2(address).await;
    let request = Request::post("http://localhost/").body(()).expect("a request");
    let (response, mut body) = requests.send_request(request, false).expect("the connection is open");
    let _begun = begun.acquire().await.expect("it is not closed");
    stop.cancel();
    assert!(eventually(async || TcpStream::connect(address).await.is_err()).await, "it stops");
    body.send_data(vec![b'x'; BYTES].into(), true).expect("the stream is open");
    assert_eq!(response.await.expect("it is answered").status(), 204);
    assert!(serving.join_next().await.is_some_and(|ended| ended.is_ok()));
}

#[tokio::test]
async fn an_http2_request_whose_body_never_arrives_is_refused_and_frees_its_stream() {
    let (_shop, product_id, instance) = Shop::selling(5).await;
    let (mut requests, _, _driver) = http2(instance.client.address()).await;
    let head = || Request::post("http://localhost/api/holds").header("content-type", "application/json");
    let mut waiting = Vec::new();
    // as many streams as one connection may have open
    for _ in 0..100 {
        let request = head().body(()).expect("a request");
        requests = requests.ready().await.expect("the connection is open");
        waiting.push(requests.send_request(request, false).expect("the connection is open"));
    }
    for (response, _body) in waiting {
        assert_eq!(response.await.expect("it is answered").status(), 408);
    }
    requests = requests.ready().await.expect("its streams have ended");
    let body = json!({ "product_id": product_id, "qty": 1 }).to_string();
    let request = head().body(()).expect("a request");
    let (response, mut sender) = requests.send_request(request, false).expect("the connection is open");
    sender.send_data(body.into(), true).expect("the stream is open");
    assert_eq!(response.await.expect("it is answered").status(), 201);
}

/// An endpoint that answers a request for `/slow` once it gets a permit, and every other request at once.
fn slow(permits: &Arc<Semaphore>) -> impl Endpoint<Output = Response> + 'static + use<> {
    let permits = Arc::clone(permits);
    make(move |request| {
        let permits = Arc::clone(&permits);
        async move {
            if request.uri().path() == "/slow" {
                permits.acquire().await.expect("it is not closed").forget();
            }
            Ok::<_, poem::Error>(StatusCode::NO_CONTENT.into_response())
        }
    })
}

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

/// Sends a head and a body with a second request behind them. When the first is refused, the second must get no response.
async fn send(client: &Client, head: &str, body: &str) -> crate::support::Answer {
    let smuggled = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    client.raw(format!("{head}\r\n\r\n{body}{smuggled}").as_bytes()).await
}

#[tokio::test]
async fn a_head_that_can_be_read_in_two_ways_is_refused_and_the_connection_closed() {
    let (shop, product_id, instance) = Shop::selling(5).await;
    let body = json!({ "product_id": product_id, "qty": 1 }).to_string();
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let length = format!("Content-Length: {}", body.len());
    let (json, te) = ("Content-Type: application/json", "Transfer-Encoding: chunked");
    let cases = [
        (vec![json, &length], &body, "host_required"),
        (vec!["Host: a", "Host: b", json, &length], &body, "repeated_header"),
        (vec!["Host: a", "host: a", json, &length], &body, "repeated_header"),
        (vec!["Host: a", json, json, &length], &body, "repeated_header"),
        (vec!["Host: a", "Content-Type: text/plain", json, &length], &body, "repeated_header"),
        (vec!["Host: a", json, te, te], &chunked, "repeated_header"),
        (vec!["Host: a", json, te, "Transfer-Encoding: Chunked"], &chunked, "repeated_header"),
        (vec!["Host: a", json, "Transfer-Encoding: identity", te], &chunked, "invalid_transfer_encoding"),
        (vec!["Host: a", json, "Transfer-Encoding: chunked, chunked"], &chunked, "invalid_transfer_encoding"),
        (vec!["Host: a", json, "Transfer-Encoding: gzip, chunked"], &chunked, "invalid_transfer_encoding"),
    ];
    for (headers, body, code) in cases {
        for path in ["/api/holds", "/api/nothing"] {
            let answer =
                send(&instance.client, &format!("POST {path} HTTP/1.1\r\n{}", headers.join("\r\n")), body).await;
            answer.refused(400, code);
            assert_eq!(answer.header("connection"), "close", "{headers:?}");
            assert!(!answer.header("x-request-id").is_empty(), "{headers:?}");
        }
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM holds").await, 0);
    let old = instance.client.raw(b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.status, 200, "HTTP/1.0 needs no Host");
}

#[tokio::test]
async fn a_request_with_both_lengths_is_read_by_its_chunks_and_the_connection_closed() {
    let (shop, product_id, instance) = Shop::selling(5).await;
    let body = json!({ "product_id": product_id, "qty": 1 }).to_string();
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let (length, te) = ("Content-Length: 3".to_owned(), "Transfer-Encoding: chunked".to_owned());
    for lengths in [[&length, &te], [&te, &length]] {
        let [first, second] = lengths;
        let head =
            format!("POST /api/holds HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{first}\r\n{second}");
        let answer = send(&instance.client, &head, &chunked).await.expect(201);
        assert_eq!(answer.header("connection"), "close");
        assert_eq!(answer.body["qty"], 1, "one response, to the request that the chunks end");
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM holds").await, 2);
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
