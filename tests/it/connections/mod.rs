//! The effect of one connection on the others and on its own requests: pipelined requests, HTTP/2 that only sends PINGs,
//! heads that can be read in two ways.

mod limits;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use h2::client::{SendRequest, handshake};
use h2::{Ping, PingPong};
use holdfast::http::server::{Limits, serve};
use hyper::body::Bytes;
use poem::endpoint::{make, make_sync};
use poem::http::{Request, StatusCode};
use poem::{Endpoint, IntoResponse as _, Response};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

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
    let limits = Limits { idle: Duration::from_secs(1), ..Limits::default() };
    let (address, _serving) = server(limits, make_sync(|_| StatusCode::NO_CONTENT.into_response())).await;
    let (mut requests, mut pings, _driver) = http2(address).await;
    let (response, _) = requests.send_request(get("/"), true).expect("the connection is open");
    assert_eq!(response.await.expect("it is answered").status(), 204);
    assert!(eventually(async || pings.ping(Ping::opaque()).await.is_err()).await, "it is closed");
}

#[tokio::test]
async fn http2_with_a_request_under_way_is_not_closed_for_being_idle() {
    let limits = Limits { idle: Duration::from_millis(500), ..Limits::default() };
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
