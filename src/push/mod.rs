//! Pushes: sends signed events to endpoints of shops. It knows neither rows nor use cases.
//!
//! An operator enters the address of an endpoint, and its answer is shown to operators: so no request may reach what only this machine
//! can reach. The addresses of a name are judged where the connection is made ([`names`]), a redirect is not followed, and no proxy
//! of the environment is used. Nothing here logs a URL, which may have a token in its path.

pub mod names;
mod outcome;
mod places;
pub mod round;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, Url, redirect, retry};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use self::names::{Guarded, Names, System};
use self::outcome::{of_error, of_status};
use self::places::Places;
use crate::domain::address::is_public;
use crate::domain::push_signature::sign_standard;
use crate::domain::{AttemptOutcome, EndpointSecret, EndpointUrl, PushPrivate};

/// How long an attempt may take, from the wait for a connection to the end of the answer.
pub const TIME: Duration = Duration::from_secs(15);
/// Attempts, and so connections, of one endpoint at the same time.
const CONNECTIONS: usize = 4;
/// How much of an answer is kept, in bytes.
pub const ANSWER_BYTES: usize = 1024;
/// How much of an answer is read, so that its connection can be used again.
const READ_BYTES: usize = 64 * 1024;
/// How long a connection is kept that sends nothing.
const IDLE: Duration = Duration::from_secs(30);

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// How a sender sends.
#[derive(Clone)]
pub struct Options {
    /// Whether plain HTTP and addresses that are not of the internet are allowed.
    pub private: PushPrivate,
    /// Judges every address before a connection to it.
    pub allows: fn(IpAddr) -> bool,
    /// Resolves names.
    pub names: Arc<dyn Names>,
    /// How long an attempt may take.
    pub time: Duration,
    /// Attempts of one endpoint at the same time.
    pub connections: usize,
    /// Certificates that are trusted beside those of the machine.
    pub roots: Vec<CertificateDer<'static>>,
}

impl Options {
    /// Returns the options of a service.
    pub fn new(private: PushPrivate) -> Self {
        let allows = match private {
            PushPrivate::Off => is_public,
            PushPrivate::On => |_| true,
        };
        Self { private, allows, names: Arc::new(System), time: TIME, connections: CONNECTIONS, roots: Vec::new() }
    }
}

/// One attempt to push an event.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// The endpoint, whose connections are bounded.
    pub endpoint_id: i64,
    /// Its URL.
    pub url: &'a str,
    /// The event's id, the same for every attempt; without a dot.
    pub id: &'a str,
    /// The time of the attempt, in seconds since 1970.
    pub timestamp_seconds: i64,
    /// The event as JSON.
    pub body: &'a [u8],
    /// The endpoint's live secrets.
    pub secrets: &'a [EndpointSecret],
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The kind of its end.
    pub kind: AttemptOutcome,
    /// The status of the answer.
    pub status: Option<u16>,
    /// The first [`ANSWER_BYTES`] of the answer's body.
    pub answer: Vec<u8>,
    /// How long it took.
    pub duration: Duration,
}

/// What is known of an attempt that is under way.
#[derive(Default)]
struct Seen {
    has_place: bool,
    status: Option<u16>,
    answer: Vec<u8>,
}

/// Sends events. One per instance: it keeps connections.
pub struct Sender {
    client: Client,
    options: Options,
    places: Places,
    thread: Thread,
}

/// A thread that reads what endpoints answer, and resolves their names: an endpoint that answers without an end takes no time from the
/// requests of buyers.
struct Thread(Option<Runtime>);

impl Thread {
    fn start() -> Result<Self, String> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("push").enable_all().build();
        Ok(Self(Some(runtime.map_err(|error| error.to_string())?)))
    }

    /// Makes the request there. It ends when the future is dropped.
    async fn exchange(&self, request: RequestBuilder, seen: &Arc<Mutex<Seen>>) -> AttemptOutcome {
        let Some(runtime) = &self.0 else { return AttemptOutcome::Broken };
        let seen = Arc::clone(seen);
        let exchange = runtime.spawn(async move {
            match request.send().await {
                Ok(response) => read(response, &seen).await,
                Err(error) => of_error(&error),
            }
        });
        AbortOnDropHandle::new(exchange).await.unwrap_or(AttemptOutcome::Broken)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Sender {
    /// Creates a sender. It reads the certificates that the machine trusts.
    ///
    /// # Errors
    /// Why there is no TLS here.
    pub fn new(options: Options) -> Result<Self, String> {
        let guarded = Guarded { names: Arc::clone(&options.names), allows: options.allows };
        let client = Client::builder()
            .tls_backend_preconfigured(tls(&options.roots)?)
            .https_only(options.private == PushPrivate::Off)
            .http1_only()
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(retry::never())
            .no_proxy()
            .dns_resolver(Arc::new(guarded))
            .user_agent(concat!("holdfast/", env!("CARGO_PKG_VERSION")))
            // a connection that is made for an attempt which got another one goes on without it
            .connect_timeout(options.time)
            .pool_max_idle_per_host(options.connections)
            .pool_idle_timeout(IDLE)
            .build()
            .map_err(|error| error.to_string())?;
        let (places, thread) = (Places::new(options.connections), Thread::start()?);
        Ok(Self { client, options, places, thread })
    }

    /// Makes one attempt. Cancelling it closes its connection.
    pub async fn send(&self, delivery: &Delivery<'_>) -> Outcome {
        let (begun, seen) = (Instant::now(), Arc::default());
        let attempt = timeout(self.options.time, self.attempt(delivery, &seen)).await;
        let seen = std::mem::take(&mut *lock(&seen));
        let kind = match attempt {
            Ok(kind) => kind,
            // the status says what became of the event; only the rest of the answer is missing
            Err(_) => match (seen.status, seen.has_place) {
                (Some(status), _) => of_status(status),
                (None, true) => AttemptOutcome::TimedOut,
                (None, false) => AttemptOutcome::Busy,
            },
        };
        Outcome { kind, status: seen.status, answer: seen.answer, duration: begun.elapsed() }
    }

    async fn attempt(&self, delivery: &Delivery<'_>, seen: &Arc<Mutex<Seen>>) -> AttemptOutcome {
        let Some(url) = self.judge(delivery.url) else { return AttemptOutcome::NotAllowed };
        let _place = self.places.take(delivery.endpoint_id).await;
        lock(seen).has_place = true;
        let Some(headers) = headers(delivery) else { return AttemptOutcome::NotAllowed };
        let request = self.client.post(url).headers(headers).body(delivery.body.to_vec());
        self.thread.exchange(request, seen).await
    }

    /// Returns the URL, if it is one that may be reached. It was judged when it was registered, perhaps by other rules. The client
    /// asks no resolver about an address in it.
    fn judge(&self, url: &str) -> Option<Url> {
        let url = EndpointUrl::parse(url, self.options.private).ok()?;
        if !url.literal().is_none_or(self.options.allows) {
            return None;
        }
        Url::parse(url.as_str()).ok()
    }
}

/// Returns the headers by Standard Webhooks; `None` without a secret, and for an id that no header can have.
fn headers(delivery: &Delivery<'_>) -> Option<HeaderMap> {
    let Delivery { id, timestamp_seconds, body, secrets, .. } = delivery;
    if secrets.is_empty() {
        return None;
    }
    let signature = sign_standard(secrets, id, *timestamp_seconds, body);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ID, HeaderValue::from_str(id).ok()?);
    headers.insert(TIMESTAMP, HeaderValue::from(*timestamp_seconds));
    headers.insert(SIGNATURE, HeaderValue::from_str(&signature).ok()?);
    Some(headers)
}

/// Reads the answer to its end, which frees the connection, or to [`READ_BYTES`]. An error in it changes nothing: the endpoint has
/// said its status.
async fn read(mut response: Response, seen: &Mutex<Seen>) -> AttemptOutcome {
    let status = response.status().as_u16();
    lock(seen).status = Some(status);
    let mut length = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        let mut seen = lock(seen);
        let wanted = ANSWER_BYTES - seen.answer.len();
        seen.answer.extend_from_slice(&chunk[..chunk.len().min(wanted)]);
        length += chunk.len();
        if length > READ_BYTES {
            break;
        }
    }
    of_status(status)
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The machine's certificates, or where it has none, those of Mozilla's list.
fn tls(roots: &[CertificateDer<'static>]) -> Result<ClientConfig, String> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    store.add_parsable_certificates(roots.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(config.map_err(|error| error.to_string())?.with_root_certificates(store).with_no_client_auth())
}
