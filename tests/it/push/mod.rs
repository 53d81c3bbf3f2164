//! Pushes: endpoints, and the sender that sends signed events to them.

mod delivered;
mod documented;
pub(crate) mod example;
mod failing;
mod faults;
mod guard;
mod integrated;
mod libraries;
mod managed;
mod replayed;
mod restored;
mod secrecy;
mod sender;
mod shared;
mod tls;
mod worker;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast::domain::{EndpointSecret, PushPrivate};
use holdfast::push::{Delivery, Options, Outcome, Sender};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use crate::clients::OPERATOR;
use crate::signatures::now;
use crate::support::{Answer, Client};

const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const TWO: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// What a receiver does with each request.
#[derive(Clone)]
enum Reply {
    /// Writes these bytes, and reads the next request.
    Text(String),
    /// Writes these bytes and nothing more, and keeps the connection.
    Begin(String),
    /// Answers 200 once this is true.
    When(watch::Receiver<bool>),
    /// Answers 200 with a body without an end.
    Endless,
    /// Closes the connection.
    Close,
    /// Answers with the status that this returns for a request.
    By(Arc<dyn Fn(&Received) -> u16 + Send + Sync>),
}

impl Reply {
    fn status(status: u16, body: &str) -> Self {
        Self::with_header(status, "x-a: b", body)
    }

    fn with_header(status: u16, header: &str, body: &str) -> Self {
        Self::Text(format!("HTTP/1.1 {status} x\r\n{header}\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    }

    /// Answers 204, and closes the connection.
    fn once() -> Self {
        Self::with_header(204, "connection: close", "")
    }
}

/// A request as a receiver got it.
#[derive(Debug, Clone)]
struct Received {
    head: String,
    body: Vec<u8>,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let value = values.next().unwrap_or_else(|| panic!("no {name} in {}", self.head));
        assert_eq!(values.next(), None, "{name} once in {}", self.head);
        value
    }
}

/// A receiver of pushes on a port of this machine.
struct Receiver {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    connections: Arc<AtomicUsize>,
    /// Connections of which the sender has closed its side.
    closed: Arc<AtomicUsize>,
    serving: AbortHandle,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Receiver {
    async fn start(reply: Reply) -> Self {
        Self::start_at(SocketAddr::new(ONE, 0), reply, None).await
    }

    async fn start_at(address: SocketAddr, reply: Reply, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (received, connections, closed) = <(Arc<_>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let (requests, accepted, ended) = (Arc::clone(&received), Arc::clone(&connections), Arc::clone(&closed));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                let (requests, ended, reply, tls) =
                    (Arc::clone(&requests), Arc::clone(&ended), reply.clone(), tls.clone());
                tokio::spawn(async move {
                    let _ = match tls {
                        None => serve(stream, &requests, &reply).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &requests, &reply).await,
                            Err(error) => Err(error),
                        },
                    };
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, received, connections, closed, serving: serving.abort_handle() }
    }

    fn url(&self) -> String {
        format!("http://{}/events?a=b", self.address)
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().expect("no panic").clone()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn closed(&self) -> usize {
        self.closed.load(Ordering::SeqCst)
    }
}

/// Reads requests and replies, until one side closes the connection.
async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    received: &Mutex<Vec<Received>>,
    reply: &Reply,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut bytes).await? {
        let asked = request.clone();
        received.lock().expect("no panic").push(request);
        match reply {
            Reply::By(status) => {
                let text = format!("HTTP/1.1 {} x\r\ncontent-length: 2\r\n\r\nno", status(&asked));
                stream.write_all(text.as_bytes()).await?;
            }
            Reply::Text(text) => {
                stream.write_all(text.as_bytes()).await?;
                if text.contains("connection: close") {
                    return stream.shutdown().await;
                }
            }
            Reply::Begin(text) => {
                stream.write_all(text.as_bytes()).await?;
                stream.flush().await?;
                let _ = stream.read(&mut [0; 1]).await;
                return Ok(());
            }
            Reply::When(open) => {
                let _ = open.clone().wait_for(|open| *open).await;
                stream.write_all(b"HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n").await?;
            }
            Reply::Endless => {
                stream.write_all(b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                loop {
                    stream.write_all(format!("1000\r\n{}\r\n", "x".repeat(0x1000)).as_bytes()).await?;
                }
            }
            Reply::Close => return stream.shutdown().await,
        }
        stream.flush().await?;
    }
    Ok(())
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> io::Result<Option<Received>> {
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).expect("a head is text");
            let length: usize = (head.lines().filter_map(|line| line.split_once(": ")))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, length)| length.parse().expect("a length"));
            if bytes.len() >= end + 4 + length {
                let rest = bytes.split_off(end + 4 + length);
                let body = bytes.split_off(end + 4);
                *bytes = rest;
                return Ok(Some(Received { head, body }));
            }
        }
        if stream.read_buf(bytes).await? == 0 {
            return Ok(None);
        }
    }
}

/// Options for receivers on this machine, with a time that no test reaches.
fn here() -> Options {
    Options { time: Duration::from_secs(60), ..Options::new(PushPrivate::On) }
}

fn sender(options: Options) -> Sender {
    Sender::new(options).expect("there is TLS")
}

/// Sends one event, signed with this secret.
async fn push(sender: &Sender, url: &str, secret: &EndpointSecret) -> Outcome {
    let secrets = std::slice::from_ref(secret);
    let (id, body) = ("event-1", br#"{"type":"order.paid"}"#);
    sender.send(&Delivery { endpoint_id: 1, url, id, timestamp_seconds: now(), body, secrets }).await
}

/// Sends one event with any secret.
async fn push_to(sender: &Sender, url: &str) -> Outcome {
    push(sender, url, &EndpointSecret::mint()).await
}

const ENDPOINTS: &str = "/api/admin/endpoints";

/// A request of an operator.
async fn ask(client: &Client, method: &str, path: &str, body: Option<Value>) -> Answer {
    ask_as(client, OPERATOR, method, path, body).await
}

async fn ask_as(client: &Client, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
    let request = client.request(method, path).bearer_auth(token);
    client.send(body.into_iter().fold(request, |request, body| request.json(&body))).await
}
