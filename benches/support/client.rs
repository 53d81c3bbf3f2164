//! The load generator's HTTP client: one kept connection, prepared request bytes, and minimal parsing of responses, so that
//! the client itself does not limit the figures.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A client with one kept connection.
pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

/// A response.
pub(crate) struct Answer<'client> {
    pub(crate) status: u16,
    pub(crate) head: &'client [u8],
    pub(crate) body: &'client [u8],
}

impl Client {
    /// Connects; the service must accept.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.expect("the service accepts connections")
    }

    /// Connects, if the service accepts.
    pub(crate) async fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(4096) })
    }

    /// Opens `count` connections.
    pub(crate) async fn connect_all(address: SocketAddr, count: usize) -> Vec<Self> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            clients.push(Self::connect(address).await);
        }
        clients
    }

    /// Sends a request and waits for the response, which must come.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Answer<'_> {
        self.try_send(request).await.expect("the service answers")
    }

    /// Sends a request and waits for the response. After an error the connection cannot be used again.
    pub(crate) async fn try_send(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.received.clear();
        let (status, body) = loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                let received = String::from_utf8_lossy(&self.received);
                return Err(io::Error::new(ErrorKind::UnexpectedEof, format!("the connection was closed: {received}")));
            }
            if let Some(complete) = complete(&self.received) {
                break complete;
            }
        };
        let (head, body) = self.received.split_at(body);
        Ok(Answer { status, head, body })
    }

    /// Sends a request; the response must have this status.
    pub(crate) async fn expect(&mut self, request: &[u8], status: u16) -> Answer<'_> {
        let answer = self.send(request).await;
        let [head, body] = [answer.head, answer.body].map(String::from_utf8_lossy);
        assert_eq!(answer.status, status, "{head}{body}");
        answer
    }
}

/// Returns the status and the offset of the body, once the whole response has arrived.
fn complete(received: &[u8]) -> Option<(u16, usize)> {
    let body = find(received, b"\r\n\r\n")? + 4;
    let length = number_after(&received[..body], b"content-length: ").unwrap_or(0);
    let status = number_after(&received[..body], b"HTTP/1.1 ").expect("a response of HTTP/1.1");
    (received.len() >= body + length).then(|| (u16::try_from(status).unwrap_or(0), body))
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

fn number_after(bytes: &[u8], text: &[u8]) -> Option<usize> {
    let rest = &bytes[find(bytes, text)? + text.len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
}

impl Answer<'_> {
    /// Returns the UUID in this field of the body.
    pub(crate) fn id(&self, field: &str) -> String {
        let name = format!("\"{field}\":\"");
        let begin = find(self.body, name.as_bytes()).expect("the body has the field") + name.len();
        String::from_utf8_lossy(&self.body[begin..begin + 36]).into_owned()
    }

    /// Returns the text in this field of the body; it has no quotation mark.
    pub(crate) fn text(&self, field: &str) -> String {
        let name = format!("\"{field}\":\"");
        let begin = find(self.body, name.as_bytes()).expect("the body has the field") + name.len();
        let text = self.body[begin..].split(|byte| *byte == b'"').next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }

    /// Returns the number in this field of the body.
    pub(crate) fn number(&self, field: &str) -> i64 {
        let number = number_after(self.body, format!("\"{field}\":").as_bytes()).expect("the body has the field");
        i64::try_from(number).expect("a small number")
    }
}

/// `GET path`.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// `POST path` with a JSON body.
pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ");
    format!("{head}{}\r\n\r\n{body}", body.len()).into_bytes()
}

/// `POST path` with a JSON body and an `Idempotency-Key`.
pub(crate) fn post_with_key(path: &str, body: &str, key: &str) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
    format!("{head}Idempotency-Key: {key}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// The same request with a token.
pub(crate) fn with_token(request: &[u8], token: &str) -> Vec<u8> {
    let behind = find(request, b"\r\n").expect("a request line") + 2;
    let header = format!("Authorization: Bearer {token}\r\n");
    [&request[..behind], header.as_bytes(), &request[behind..]].concat()
}

/// `POST /api/holds` for one unit.
pub(crate) fn hold(product_id: i64) -> Vec<u8> {
    post("/api/holds", &format!(r#"{{"product_id":{product_id},"qty":1}}"#))
}
