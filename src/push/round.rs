//! Several events of one endpoint: those of one order one after another, as many orders at a time as the endpoint has connections.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Delivery, Outcome, Sender};
use crate::domain::{AttemptOutcome, EndpointSecret};

/// How long an attempt may go on after a stop.
const GRACE: Duration = Duration::from_secs(2);

/// The endpoint of a round.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its id.
    pub endpoint_id: i64,
    /// Its URL.
    pub url: &'a str,
    /// Its live secrets.
    pub secrets: &'a [EndpointSecret],
    /// The time at the beginning of the round, in seconds since 1970.
    pub timestamp_seconds: i64,
}

/// An event to push.
#[derive(Debug, Clone)]
pub struct Message {
    /// The order or hold that it is about. Events of none wait for no other.
    pub subject: Option<Uuid>,
    /// Its id.
    pub id: String,
    /// The event as JSON.
    pub body: Vec<u8>,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It was tried.
    Tried(Outcome),
    /// It was not, since an earlier event of its order was not delivered.
    Held,
    /// It was not, since the round had to end.
    Left,
}

impl End {
    /// Whether it was delivered.
    pub fn is_delivered(&self) -> bool {
        matches!(self, Self::Tried(Outcome { kind: AttemptOutcome::Delivered, .. }))
    }
}

impl Sender {
    /// Pushes events, those of one order in this order, and returns what became of each. No attempt begins after `time`, or once `stop`
    /// is cancelled, and those that are under way then end soon.
    pub async fn send_all(
        &self,
        target: &Target<'_>,
        messages: &[Message],
        time: Duration,
        stop: &CancellationToken,
    ) -> Vec<End> {
        let begun = Instant::now();
        let sent = stream::iter(by_subject(messages)).map(|places| async move {
            let mut ends = Vec::new();
            for place in &places {
                if stop.is_cancelled() || begun.elapsed() >= time {
                    break;
                }
                let delivery = delivery(target, &messages[*place], begun.elapsed());
                let outcome = tokio::select! {
                    outcome = self.send(&delivery) => outcome,
                    () = stopped(stop) => break,
                };
                ends.push(End::Tried(outcome));
                if !ends.last().is_some_and(End::is_delivered) {
                    ends.resize(places.len(), End::Held);
                    break;
                }
            }
            ends.resize(places.len(), End::Left);
            places.into_iter().zip(ends).collect::<Vec<_>>()
        });
        let sent: Vec<Vec<(usize, End)>> = sent.buffer_unordered(self.options.connections.max(1)).collect().await;
        let mut ends = vec![End::Left; messages.len()];
        for (place, end) in sent.into_iter().flatten() {
            ends[place] = end;
        }
        ends
    }
}

/// Waits until attempts have had time to end after a stop.
async fn stopped(stop: &CancellationToken) {
    stop.cancelled().await;
    sleep(GRACE).await;
}

fn delivery<'a>(target: &Target<'a>, message: &'a Message, elapsed: Duration) -> Delivery<'a> {
    let elapsed = i64::try_from(elapsed.as_secs()).unwrap_or(0);
    Delivery {
        endpoint_id: target.endpoint_id,
        url: target.url,
        id: &message.id,
        timestamp_seconds: target.timestamp_seconds.saturating_add(elapsed),
        body: &message.body,
        secrets: target.secrets,
    }
}

/// Returns the places of the events of each order or hold, and those of each event without one, in the order in which they begin.
fn by_subject(messages: &[Message]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut of_subjects = std::collections::HashMap::new();
    for (place, message) in messages.iter().enumerate() {
        let Some(subject) = message.subject else {
            groups.push(vec![place]);
            continue;
        };
        let group = *of_subjects.entry(subject).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(place);
    }
    groups
}
