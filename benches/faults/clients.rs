//! Clients that continue after any error and record every response.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use standardwebhooks::Webhook;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::journal::{Journal, Kind, Sample};
use crate::support::client::{Answer, Client, get, hold, post};
use crate::support::measure::Buyer;

/// The secret that payments are signed with.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Timeout of a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause of a buyer after a request without a 2xx response.
const PAUSE: Duration = Duration::from_millis(50);
/// Interval of a load balancer's checks.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// A client whose connection is kept and opened again after a loss, with the journal for its responses.
pub(crate) struct Link {
    address: SocketAddr,
    client: Option<Client>,
    journal: Arc<Journal>,
}

/// A response with its body.
pub(crate) struct Reply {
    pub(crate) status: u16,
    body: Vec<u8>,
}

impl Reply {
    /// Returns the UUID in this field of the body of a 2xx response.
    fn id(&self, field: &str) -> String {
        Answer { status: self.status, head: &[], body: &self.body }.id(field)
    }

    fn says(&self, text: &str) -> bool {
        self.body.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

impl Link {
    pub(crate) fn new(address: SocketAddr, journal: &Arc<Journal>) -> Self {
        Self { address, client: None, journal: Arc::clone(journal) }
    }

    /// Sends a request once and records the outcome. Returns the response, if one came.
    pub(crate) async fn ask(&mut self, kind: Kind, request: &[u8]) -> Option<Reply> {
        let asked = Instant::now();
        let reply = timeout(PATIENCE, self.exchange(request)).await.ok().flatten();
        let (status, retry_after) = match &reply {
            Some((reply, retry_after)) => (Some(reply.status), *retry_after),
            None => (None, false),
        };
        if status.is_none() {
            self.client = None;
        }
        self.journal.answered(Sample { kind, asked, took: asked.elapsed(), status, retry_after });
        reply.map(|(reply, _)| reply)
    }

    async fn exchange(&mut self, request: &[u8]) -> Option<(Reply, bool)> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => Client::try_connect(self.address).await.ok()?,
        };
        let answer = client.try_send(request).await.ok()?;
        let retry_after = answer.head.windows(13).any(|name| name.eq_ignore_ascii_case(b"\r\nretry-after"));
        let stays = !answer.head.windows(17).any(|name| name.eq_ignore_ascii_case(b"connection: close"));
        let reply = Reply { status: answer.status, body: answer.body.to_vec() };
        self.client = stays.then_some(client);
        Some((reply, retry_after))
    }

    /// Sends a buyer's request. Returns a 2xx response; after any other outcome it pauses and returns `None`.
    async fn done(&mut self, kind: Kind, request: &[u8]) -> Option<Reply> {
        let reply = self.ask(kind, request).await.filter(|reply| (200..300).contains(&reply.status));
        if reply.is_none() {
            sleep(PAUSE).await;
        }
        reply
    }

    /// Takes a hold and returns its id.
    pub(crate) async fn hold(&mut self, kind: Kind, product_id: i64) -> Option<String> {
        let id = self.done(kind, &hold(product_id)).await?.id("hold_id");
        self.journal.held(&id, product_id);
        Some(id)
    }

    /// Makes an order of a hold and returns its id.
    pub(crate) async fn order(&mut self, hold_id: &str) -> Option<String> {
        let request = post("/api/orders", &format!(r#"{{"hold_id":"{hold_id}"}}"#));
        let id = self.done(Kind::Order, &request).await?.id("order_id");
        self.journal.ordered(&id);
        Some(id)
    }

    /// Reports an order as paid, signed with the current time of this process.
    async fn pay(&mut self, order_id: &str) {
        let body = format!(r#"{{"order_id":"{order_id}","status":"paid","txn_id":"{order_id}","amount":49.99}}"#);
        if let Some(reply) = self.done(Kind::Payment, &signed(&body)).await {
            self.journal.paid(order_id, reply.says(r#""processed""#) || reply.says(r#""duplicate""#));
        }
    }
}

/// Returns a signed webhook request with this body.
#[expect(clippy::disallowed_methods, reason = "a provider signs with its own clock")]
fn signed(body: &str) -> Vec<u8> {
    let (id, now) = (format!("msg_{}", Uuid::now_v7().simple()), Utc::now().timestamp());
    let signer = Webhook::new(SECRET).expect("a valid secret");
    let signature = signer.sign(&id, now, body.as_bytes()).expect("the body can be signed");
    let head = "POST /api/payments/webhook HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let signed = format!("webhook-id: {id}\r\nwebhook-timestamp: {now}\r\nwebhook-signature: {signature}\r\n");
    format!("{head}{signed}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A client in a closed loop.
pub(crate) enum Agent {
    /// Takes one hold after the other.
    Holder { link: Link, kind: Kind, product_id: i64 },
    /// Takes a hold, makes an order of it, and pays.
    Flow { link: Link, product_id: i64 },
    /// Sends a health check as often as a load balancer.
    Checker { link: Link, kind: Kind, request: Vec<u8> },
    /// Opens a new connection for each `GET /healthz`.
    Newcomer { address: SocketAddr, journal: Arc<Journal> },
}

impl Agent {
    /// Returns an agent that repeats a load balancer's health check.
    pub(crate) fn checker(link: Link, kind: Kind) -> Self {
        let path = if kind == Kind::Readyz { "/readyz" } else { "/healthz" };
        Self::Checker { link, kind, request: get(path) }
    }
}

impl Buyer for Agent {
    async fn ask(&mut self) {
        match self {
            Self::Holder { link, kind, product_id } => {
                link.hold(*kind, *product_id).await;
            }
            Self::Flow { link, product_id } => {
                let Some(hold_id) = link.hold(Kind::Other, *product_id).await else { return };
                if let Some(order_id) = link.order(&hold_id).await {
                    link.pay(&order_id).await;
                }
            }
            Self::Checker { link, kind, request } => {
                link.ask(*kind, request).await;
                sleep(CHECK_EVERY).await;
            }
            Self::Newcomer { address, journal } => {
                Link::new(*address, journal).ask(Kind::Newcomer, &get("/healthz")).await;
                sleep(CHECK_EVERY).await;
            }
        }
    }
}
