//! A reader of the feed that reads on during a fault, and one that comes later: both get the same events, byte for byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::clients::SECRET;
use crate::ground::Ground;
use crate::support::client::{Client, get, with_token};
use crate::support::service::Served;

/// The token of the readers.
pub(crate) const OPERATOR: &str = "the-operators-token-of-the-faults";
/// Timeout of a request, longer than it waits for an event.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);
/// The longest time until committed events have their positions.
const NUMBERED: Duration = Duration::from_secs(30);

/// A reader that goes on after any error, until it is dropped.
pub(crate) struct Reader {
    read: Arc<Mutex<Vec<u8>>>,
    reading: JoinHandle<()>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Reader {
    /// Starts a reader that begins at the first event.
    pub(crate) fn start(address: SocketAddr) -> Self {
        let read: Arc<Mutex<Vec<u8>>> = Arc::default();
        let events = Arc::clone(&read);
        let reading = tokio::spawn(async move {
            let mut after = String::new();
            loop {
                if let Ok(mut client) = Client::try_connect(address).await {
                    while let Some(page) = page(&mut client, &mut after, 1).await {
                        events.lock().unwrap_or_else(PoisonError::into_inner).extend(page);
                    }
                }
                sleep(PAUSE).await;
            }
        });
        Self { read, reading }
    }

    /// Compares what was read with what a new instance tells a reader that comes now. Returns a text for each difference.
    pub(crate) async fn reconcile(self, ground: &Ground, program: &str, log: &str) -> Vec<String> {
        let early = std::mem::take(&mut *self.read.lock().unwrap_or_else(PoisonError::into_inner));
        let settings = [("HOLDFAST_WEBHOOK_SECRETS", SECRET), ("HOLDFAST_STOREFRONT", "open"), token()];
        let mut command = tokio::process::Command::new(program);
        command.arg("serve").env_clear();
        let url = ground.url_at(ground.address());
        let served = Served::spawn(&mut command, &url, log, &settings).await;
        let late = read_all(ground, served.address).await;
        served.stop().await;
        match late {
            None => vec!["events have no positions".to_owned()],
            Some(late) if !late.starts_with(&early) => {
                let same = early.iter().zip(&late).take_while(|(one, other)| one == other).count();
                let from = |events: &[u8]| {
                    String::from_utf8_lossy(&events[same.saturating_sub(100)..events.len().min(same + 100)])
                        .into_owned()
                };
                vec![format!("a reader of the feed got …{}… and a later one …{}…", from(&early), from(&late))]
            }
            Some(_) if early.is_empty() => vec!["a reader of the feed got no event".to_owned()],
            Some(_) => Vec::new(),
        }
    }
}

/// The setting of the token.
pub(crate) fn token() -> (&'static str, &'static str) {
    ("HOLDFAST_ADMIN_TOKEN", OPERATOR)
}

/// Reads the feed from its beginning to its end, once all committed events have their positions.
async fn read_all(ground: &Ground, address: SocketAddr) -> Option<Vec<u8>> {
    let until = Instant::now() + NUMBERED;
    while ground.value::<i64>("SELECT COUNT(*) FROM feed_batches WHERE position IS NULL").await > 0
        || ground.value::<i64>("SELECT COUNT(*) FROM feed WHERE safe < position").await > 0
    {
        if Instant::now() > until {
            return None;
        }
        sleep(PAUSE).await;
    }
    let (mut client, mut after, mut events) = (Client::connect(address).await, String::new(), Vec::new());
    loop {
        let page = page(&mut client, &mut after, 0).await?;
        if page.is_empty() {
            return Some(events);
        }
        events.extend(page);
    }
}

/// Reads a page behind a cursor, which moves on. Returns its events as text, each with a comma before it; `None` after an error.
async fn page(client: &mut Client, after: &mut String, wait: u32) -> Option<Vec<u8>> {
    let request = with_token(&get(&format!("/api/feed?limit=1000&wait={wait}{after}")), OPERATOR);
    let answer = timeout(PATIENCE, client.try_send(&request)).await.ok()?.ok()?;
    if answer.status != 200 {
        return None;
    }
    let items = answer.body.strip_prefix(br#"{"items":["#)?;
    let end = items.windows(10).rposition(|end| end == br#"],"next":""#)?;
    *after = format!("&after={}", answer.text("next"));
    let items = &items[..end];
    Some(if items.is_empty() { Vec::new() } else { [b",", items].concat() })
}
