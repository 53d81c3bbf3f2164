//! A StatsD server that keeps every line that it receives.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

use super::eventually;

/// A real socket; it stops listening with this value.
pub(crate) struct StatsD {
    address: String,
    heard: Arc<Mutex<Vec<String>>>,
    listening: AbortHandle,
}

/// One line: `name:value|kind|#tag:value,…`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) kind: String,
    pub(crate) tags: Vec<String>,
}

impl Metric {
    fn read(line: &str) -> Option<Self> {
        let (name, rest) = line.split_once(':')?;
        let mut parts = rest.split('|');
        let value = parts.next()?.parse().ok()?;
        let kind = parts.next()?.to_owned();
        let tags = parts.find_map(|part| part.strip_prefix('#')).unwrap_or_default();
        let mut tags: Vec<String> = tags.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
        tags.sort_unstable();
        Some(Self { name: name.to_owned(), value, kind, tags })
    }
}

impl StatsD {
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let address = socket.local_addr().expect("an address").to_string();
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let ear = Arc::clone(&heard);
        let listening = tokio::spawn(async move {
            let mut datagram = vec![0; 65_536];
            while let Ok(length) = socket.recv(&mut datagram).await {
                let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
                ear.lock().unwrap_or_else(PoisonError::into_inner).extend(text.lines().map(str::to_owned));
            }
        });
        Self { address, heard, listening: listening.abort_handle() }
    }

    /// Returns its address, as a setting.
    pub(crate) fn setting(&self) -> (&'static str, &str) {
        ("HOLDFAST_STATSD", &self.address)
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns all values that were received under this name and kind with exactly these tags, in any order.
    pub(crate) fn all(&self, name: &str, kind: &str, tags: &[&str]) -> Vec<f64> {
        let mut tags = tags.to_vec();
        tags.sort_unstable();
        let metrics = self.lines().into_iter().filter_map(|line| Metric::read(&line));
        let named = metrics.filter(|metric| metric.name == format!("holdfast.{name}") && metric.kind == kind);
        named.filter(|metric| metric.tags == tags).map(|metric| metric.value).collect()
    }

    /// Waits until a counter has come to this sum, which it must not exceed.
    pub(crate) async fn counted(&self, name: &str, tags: &[&str], expected: u32) {
        let sum = || self.all(name, "c", tags).iter().sum::<f64>();
        let reached = eventually(async || sum() >= f64::from(expected)).await;
        assert!(reached && sum() <= f64::from(expected), "{name} {tags:?} is {} in {:#?}", sum(), self.lines());
    }

    /// Waits until a gauge has had such a value.
    pub(crate) async fn gauged(&self, name: &str, tags: &[&str], is_right: impl Fn(f64) -> bool) {
        let told = eventually(async || self.all(name, "g", tags).into_iter().any(&is_right)).await;
        assert!(told, "{name} {tags:?} in {:#?}", self.lines());
    }

    /// Waits until this many values were received, and returns them.
    pub(crate) async fn told(&self, name: &str, kind: &str, tags: &[&str], times: usize) -> Vec<f64> {
        let told = eventually(async || self.all(name, kind, tags).len() >= times).await;
        assert!(told, "{name} {tags:?} in {:#?}", self.lines());
        self.all(name, kind, tags)
    }
}

impl Drop for StatsD {
    fn drop(&mut self) {
        self.listening.abort();
    }
}
